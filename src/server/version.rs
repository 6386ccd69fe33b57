//! Server versions and the schema that each of them needs.

/// A server version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 1.
    pub major: u32,
    /// The number that decides about features and schema.
    pub minor: u32,
    /// Never compared exactly: the tag 1.17.4 calls itself 1.17.3.
    pub patch: u32,
}

/// A schema version such as 1.10, which is above 1.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaVersion {
    /// Before the dot.
    pub major: u32,
    /// After the dot.
    pub minor: u32,
}
