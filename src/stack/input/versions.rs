//! Which versions of IPFS work with RTrade's program, and what newer ones break: the program is of 2020, and nobody
//! changes it. What is refused and the table of `docs/stack.md` are made from the same lines. Only computes.

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
        let (name, _digest) = image.split_once('@').unwrap_or((image, ""));
        let last = name.rsplit('/').next()?;
        let (repository, tag) = last.split_once(':')?;
        let version = version(tag).filter(|_| self.repositories.contains(&repository))?;
        Some(version >= self.from)
    }

    /// What is wrong with an image, in a line of `stack.yaml`'s problems.
    pub(super) fn problem(&self, field: &str, image: &str) -> Option<String> {
        let (
            Self {
                program,
                works,
                breaks,
                ..
            },
            (major, minor),
        ) = (self, self.from);
        let broken = self.is_broken_by(image)?;
        broken.then(|| {
            format!(
                "`{field}`: \"{image}\" does not work with Temporal: from {program} {major}.{minor} on {breaks}; write \
                 `{works}`"
            )
        })
    }

    /// What to know of an image whose tag says nothing.
    pub(super) fn doubt(&self, field: &str, image: &str) -> Option<String> {
        let (program, (major, minor)) = (self.program, self.from);
        let is_unknown = self.is_broken_by(image).is_none();
        is_unknown.then(|| {
            format!(
                "`{field}`: \"{image}\" does not say its version; Temporal needs a {program} below {major}.{minor}"
            )
        })
    }
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
        let Limit {
            program,
            works,
            from: (major, minor),
            breaks,
            ..
        } = limit;
        format!("| {program} | `{works}` | {major}.{minor} | {breaks} |\n")
    });
    let head =
        "| program | installed | does not work from | since there |\n| --- | --- | --- | --- |\n";
    std::iter::once(head.to_owned()).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
