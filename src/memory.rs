//! What a unit notes for its later hooks, in Juju's `state-get` and `state-set`.

use std::collections::BTreeMap;
use std::fmt;

use crate::temporal::{Image, PerStore};

/// What this unit remembers between hooks (`state-get`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The connections that were once complete, so that a later mismatch of subnets does not undo them.
    pub accepted: PerStore<Option<String>>,
    /// `<boot id> <image>`: what the image said in the container's current life.
    pub image: Option<String>,
    /// `<boot id> <version>`: the version of its server that this unit told Juju last, and in which life of the
    /// container.
    pub told_version: Option<String>,
}

impl Memory {
    const ACCEPTED_MAIN: &str = "accepted-db";
    const ACCEPTED_VISIBILITY: &str = "accepted-visibility";
    const IMAGE: &str = "server-version";
    const TOLD_VERSION: &str = "told-version";

    /// How something is noted that is true of one life of the container: an [`Image`] or a version. `None` where one
    /// life cannot be told from another: nothing is remembered then.
    pub fn note(boot_id: &str, what: impl fmt::Display) -> Option<String> {
        (!boot_id.is_empty()).then(|| format!("{boot_id} {what}"))
    }

    /// What the image said, if it was asked in this life of the container.
    pub fn image_of(&self, boot_id: &str) -> Option<Image> {
        let (noted, image) = self.image.as_deref()?.split_once(' ')?;
        let same = noted == boot_id && !boot_id.is_empty();
        same.then(|| image.parse().ok()).flatten()
    }

    /// Reads what `state-get` answers; keys of other revisions are ignored.
    pub fn from_state(state: &BTreeMap<String, String>) -> Self {
        let get = |key: &str| state.get(key).cloned();
        Self {
            accepted: PerStore {
                main: get(Self::ACCEPTED_MAIN),
                visibility: get(Self::ACCEPTED_VISIBILITY),
            },
            image: get(Self::IMAGE),
            told_version: get(Self::TOLD_VERSION),
        }
    }

    /// The keys of [`Memory::from_state`] with their values.
    pub fn to_state(&self) -> BTreeMap<String, Option<String>> {
        [
            (Self::ACCEPTED_MAIN, &self.accepted.main),
            (Self::ACCEPTED_VISIBILITY, &self.accepted.visibility),
            (Self::IMAGE, &self.image),
            (Self::TOLD_VERSION, &self.told_version),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect()
    }
}
