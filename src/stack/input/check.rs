//! What a `stack.yaml` may say beyond its types. Only computes.

use super::versions::{self, Limit};
use super::{Stack, kubo, quantity};

impl Stack {
    /// Values of `stack.yaml` that no cluster would take, or that cannot be meant.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (field, count) in [
            ("temporal", self.temporal.replicas),
            ("ipfs", self.ipfs.replicas),
            ("rabbitmq", self.rabbitmq.replicas),
        ] {
            if count == 0 {
                problems.push(format!("`{field}.replicas`: is 0; write at least 1"));
            } else if field == "rabbitmq" && count.is_multiple_of(2) {
                problems.push(format!(
                    "`{field}.replicas`: is {count}; write 1, or an odd number such as 3: of an even number no \
                     majority is left when half of them is cut off"
                ));
            }
        }
        let is_wrong = |(_, value): &(String, &str)| !quantity::is(value);
        for (field, value) in self.quantities().into_iter().filter(is_wrong) {
            problems.push(format!(
                "`{field}`: \"{value}\" is no quantity; write one such as `100m`, `512Mi` or `10Gi`"
            ));
        }
        for (part, image) in [
            ("temporal", &self.temporal.image),
            ("ipfs", &self.ipfs.image),
            ("ipfsCluster", &self.ipfs_cluster.image),
            ("postgres", &self.postgres.image),
            ("rabbitmq", &self.rabbitmq.image),
        ] {
            if image.trim() != image || image.is_empty() {
                problems.push(format!("`{part}.image`: \"{image}\" is no image"));
            }
        }
        for (field, limit, image) in self.limited() {
            problems.extend(limit.problem(field, image));
        }
        problems.extend(versions::rabbitmq("rabbitmq.image", &self.rabbitmq.image));
        if self.postgres.major().is_none() {
            problems.push(format!(
                "`postgres.image`: \"{}\" does not say which version it is, and the files of one major version are not \
                 read by another; write a tag such as `postgres:17`, or the version in `postgres.version`",
                self.postgres.image
            ));
        }
        problems.extend(kubo::problems(&self.ipfs.config));
        for (field, name) in [
            ("namespace", &self.namespace),
            ("storageClass", &self.storage_class),
            ("temporal.tlsSecret", &self.temporal.tls_secret),
        ] {
            if let Some(name) = name.as_ref().filter(|name| !is_name(name)) {
                problems.push(format!(
                    "`{field}`: \"{name}\" is no name of a Kubernetes object; write lower case letters, \
                     digits and dashes"
                ));
            }
        }
        problems
    }

    /// Images of which nobody can say whether they work with RTrade's program.
    pub fn unjudged(&self) -> impl Iterator<Item = String> {
        let limited = self.limited().into_iter();
        limited.filter_map(|(field, limit, image)| limit.doubt(field, image))
    }

    fn limited(&self) -> [(&'static str, Limit, &str); 2] {
        let cluster = &self.ipfs_cluster.image;
        [
            ("ipfs.image", versions::KUBO, &self.ipfs.image),
            ("ipfsCluster.image", versions::CLUSTER, cluster),
        ]
    }

    fn quantities(&self) -> Vec<(String, &str)> {
        let mut all = vec![(
            "temporal.logLimit".to_owned(),
            self.temporal.log_limit.as_str(),
        )];
        for (part, size) in [
            ("temporal", &self.temporal.storage),
            ("ipfs", &self.ipfs.storage),
            ("ipfsCluster", &self.ipfs_cluster.storage),
            ("postgres", &self.postgres.storage),
            ("rabbitmq", &self.rabbitmq.storage),
        ] {
            all.push((format!("{part}.storage"), size));
        }
        for (part, it) in [
            ("temporal", &self.temporal.resources),
            ("ipfs", &self.ipfs.resources),
            ("ipfsCluster", &self.ipfs_cluster.resources),
            ("postgres", &self.postgres.resources),
            ("rabbitmq", &self.rabbitmq.resources),
        ] {
            all.push((format!("{part}.resources.cpu"), &it.cpu));
            all.push((format!("{part}.resources.memory"), &it.memory));
            all.push((format!("{part}.resources.memoryLimit"), &it.memory_limit));
        }
        all
    }
}

fn is_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}
