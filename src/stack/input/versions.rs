//! What the tags of images say: which versions of IPFS work with RTrade's program, and what newer ones break (the program
//! is of 2020, and nobody changes it); and which PostgreSQL and RabbitMQ it is. What is refused and the table of `docs/stack.md` are made from the same lines. Only computes.

/// From some version on, a program does not work in the stack any more.
#[derive(Debug)]
pub struct Limit {
    /// The program.
    pub program: &'static str,
    /// How the paths of its well-known images end; of others nobody knows what their tags mean.
    pub repositories: &'static [&'static str],
    /// The image that is installed when none is named, with which the stack is tested.
    pub works: &'static str,
    /// The first version that does not work: major and minor.
    pub from: (u32, u32),
    /// What it breaks.
    pub breaks: &'static str,
}

/// The IPFS node.
pub const KUBO: Limit = Limit {
    program: "kubo",
    repositories: &["kubo", "go-ipfs"],
    works: "ipfs/kubo:v0.27.0",
    from: (0, 28),
    breaks: "`object/stat` and `object/new` are gone: what Temporal asks for the size of an object, and with it for the \
             price of a pin, is answered with an error",
};

/// The IPFS Cluster peer.
pub const CLUSTER: Limit = Limit {
    program: "IPFS Cluster",
    repositories: &["ipfs-cluster"],
    works: "ipfs/ipfs-cluster:v0.14.5",
    from: (1, 0),
    breaks: "`GET /peers` is no JSON array any more but one document a line: Temporal's API and its worker `cluster` \
             end when they start",
};

impl Limit {
    /// Does the tag say that the image does not work? `None` when it says nothing of a version: a digest, a word such
    /// as `latest`, somebody's own repository.
    pub fn is_broken_by(&self, image: &str) -> Option<bool> {
        let (repository, tag) = tag(image)?;
        let version = version(tag).filter(|_| self.repositories.contains(&repository))?;
        Some(version >= self.from)
    }

    /// What is wrong with an image, in a line of `stack.yaml`'s problems.
    pub(super) fn problem(&self, field: &str, image: &str) -> Option<String> {
        let (program, works, breaks) = (self.program, self.works, self.breaks);
        let (major, minor) = self.from;
        self.is_broken_by(image)?.then(|| {
            format!(
                "`{field}`: \"{image}\" does not work with Temporal: from {program} {major}.{minor} on {breaks}; write \
                 `{works}`"
            )
        })
    }

    /// What to know of an image whose tag says nothing.
    pub(super) fn doubt(&self, field: &str, image: &str) -> Option<String> {
        let (program, (major, minor)) = (self.program, self.from);
        self.is_broken_by(image).is_none().then(|| {
            format!(
                "`{field}`: \"{image}\" does not say its version; Temporal needs a {program} below {major}.{minor}"
            )
        })
    }
}

/// Repository and tag of an image.
fn tag(image: &str) -> Option<(&str, &str)> {
    let (name, _digest) = image.split_once('@').unwrap_or((image, ""));
    name.rsplit('/').next()?.split_once(':')
}

/// The major version that an image's tag begins with: `postgres:17`, `17.2-bookworm`, `v17`, `17beta1`.
pub(super) fn major(image: &str) -> Option<u32> {
    let (_, tag) = tag(image)?;
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let rest = tag.trim_start_matches(|c: char| c.is_ascii_digit());
    tag.strip_suffix(rest)?.parse().ok()
}

/// The first RabbitMQ that knows all of its configuration: `default_queue_type`, and queues that grow by themselves.
const RABBITMQ: (u32, u32) = (3, 13);

/// What is wrong with an image of RabbitMQ, if its tag says so.
pub(super) fn rabbitmq(field: &str, image: &str) -> Option<String> {
    let (repository, tag) = tag(image)?;
    let (major, minor) = version(tag).filter(|_| repository == "rabbitmq")?;
    ((major, minor) < RABBITMQ).then(|| {
        format!(
            "`{field}`: \"{image}\" does not start: before {}.{} RabbitMQ does not know the settings by which its queues \
             outlive a node; write a newer one, such as `rabbitmq:4.1-management`",
            RABBITMQ.0, RABBITMQ.1
        )
    })
}

/// Major and minor of a tag such as `v0.27.0`, `1.1.6` or `v0.28.0-rc1`.
fn version(tag: &str) -> Option<(u32, u32)> {
    let mut numbers = tag.strip_prefix('v').unwrap_or(tag).split(['.', '-']);
    let mut number = || numbers.next()?.parse().ok();
    Some((number()?, number()?))
}

/// A Markdown table of the versions.
pub fn reference() -> String {
    let rows = [KUBO, CLUSTER].map(|limit| {
        let (program, works, breaks) = (limit.program, limit.works, limit.breaks);
        let (major, minor) = limit.from;
        format!("| {program} | `{works}` | {major}.{minor} | {breaks} |\n")
    });
    let head =
        "| program | installed | does not work from | since there |\n| --- | --- | --- | --- |\n";
    head.to_owned() + &rows.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_begins_with_a_major_version_or_says_none() {
        for (image, version) in [
            ("postgres:17", Some(17)),
            ("postgres:17.2-bookworm", Some(17)),
            ("registry:5000/x/postgres:17-alpine", Some(17)),
            ("postgres:18beta1@sha256:00", Some(18)),
            ("x/postgres:v16", Some(16)),
            ("postgres", None),
            ("postgres:latest", None),
            ("postgres:bookworm", None),
            ("registry:5000/postgres", None),
            ("postgres@sha256:17", None),
        ] {
            assert_eq!(major(image), version, "{image}");
        }
    }

    #[test]
    fn a_rabbitmq_that_is_too_old_is_refused() {
        for (image, refused) in [
            ("rabbitmq:3.6.6-management-alpine", true),
            ("mirror.example.com/rabbitmq:3.12", true),
            ("rabbitmq:3.13.7", false),
            ("rabbitmq:4.1-management", false),
            ("rabbitmq:management", false),
            ("example.com/our-broker:1.0", false),
        ] {
            assert_eq!(rabbitmq("f", image).is_some(), refused, "{image}");
        }
    }

    #[test]
    fn only_what_is_known_not_to_work_is_refused() {
        for (limit, image, broken) in [
            (&KUBO, KUBO.works, Some(false)),
            (&KUBO, "ipfs/go-ipfs:v0.4.23", Some(false)),
            (&KUBO, "ipfs/kubo:v0.28.0-rc1", Some(true)),
            (
                &KUBO,
                "registry.example.com:5000/mirror/kubo:v0.43.1",
                Some(true),
            ),
            (&KUBO, "ipfs/kubo:v0.43.1@sha256:00", Some(true)),
            (&CLUSTER, CLUSTER.works, Some(false)),
            (&CLUSTER, "ipfs/ipfs-cluster:v1.1.6", Some(true)),
            (&CLUSTER, "ipfs-cluster:1.0", Some(true)),
            (&KUBO, "ipfs/kubo", None),
            (&KUBO, "ipfs/kubo:latest", None),
            (&KUBO, "ipfs/kubo@sha256:00", None),
            (&KUBO, "localhost:5000/kubo", None),
            (&KUBO, "example.com/our-node:v1.0.0", None),
        ] {
            assert_eq!(limit.is_broken_by(image), broken, "{image}");
        }
    }
}
