//! What a `stack.yaml` may say beyond its types. Only computes.

use super::{Stack, kubo, quantity, versions};

impl Stack {
    /// Values of `stack.yaml` that no cluster would take, or that cannot be meant.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut replicas = |field: &str, count: u32, odd: bool| {
            if count == 0 {
                problems.push(format!("`{field}`: is 0; write at least 1"));
            } else if odd && count.is_multiple_of(2) {
                problems.push(format!(
                    "`{field}`: is {count}; write 1, or an odd number such as 3: of an even number no \
                     majority is left when half of them is cut off"
                ));
            }
        };
        replicas("temporal.replicas", self.temporal.replicas, false);
        replicas("ipfs.replicas", self.ipfs.replicas, false);
        replicas("rabbitmq.replicas", self.rabbitmq.replicas, true);
        for (field, value) in self.quantities() {
            if !quantity::is(value) {
                problems.push(format!(
                    "`{field}`: \"{value}\" is no quantity; write one such as `100m`, `512Mi` or `10Gi`"
                ));
            }
        }
        for (field, value) in [
            ("temporal.image", &self.temporal.image),
            ("ipfs.image", &self.ipfs.image),
            ("ipfsCluster.image", &self.ipfs_cluster.image),
            ("postgres.image", &self.postgres.image),
            ("rabbitmq.image", &self.rabbitmq.image),
        ] {
            if value.trim() != value || value.is_empty() {
                problems.push(format!("`{field}`: \"{value}\" is no image"));
            }
        }
        for (limit, field, image) in [
            (versions::KUBO, "ipfs.image", &self.ipfs.image),
            (
                versions::CLUSTER,
                "ipfsCluster.image",
                &self.ipfs_cluster.image,
            ),
        ] {
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
        let names = [
            ("namespace", self.namespace.as_ref()),
            ("storageClass", self.storage_class.as_ref()),
            ("temporal.tlsSecret", self.temporal.tls_secret.as_ref()),
        ];
        for (field, name) in names {
            if let Some(name) = name.filter(|name| !is_name(name)) {
                problems.push(format!(
                    "`{field}`: \"{name}\" is no name of a Kubernetes object; write lower case letters, \
                     digits and dashes"
                ));
            }
        }
        problems
    }

    fn quantities(&self) -> Vec<(String, &str)> {
        let storage = [
            ("temporal", &self.temporal.storage),
            ("ipfs", &self.ipfs.storage),
            ("ipfsCluster", &self.ipfs_cluster.storage),
            ("postgres", &self.postgres.storage),
            ("rabbitmq", &self.rabbitmq.storage),
        ]
        .map(|(part, size)| (format!("{part}.storage"), size.as_str()));
        let resources = [
            ("temporal", &self.temporal.resources),
            ("ipfs", &self.ipfs.resources),
            ("ipfsCluster", &self.ipfs_cluster.resources),
            ("postgres", &self.postgres.resources),
            ("rabbitmq", &self.rabbitmq.resources),
        ]
        .into_iter()
        .flat_map(|(part, it)| {
            [
                (format!("{part}.resources.cpu"), it.cpu.as_str()),
                (format!("{part}.resources.memory"), &it.memory),
                (format!("{part}.resources.memoryLimit"), &it.memory_limit),
            ]
        });
        let log = [(
            "temporal.logLimit".to_owned(),
            self.temporal.log_limit.as_str(),
        )];
        storage.into_iter().chain(log).chain(resources).collect()
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
