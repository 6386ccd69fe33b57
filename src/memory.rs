//! What a unit notes for its later hooks, in Juju's `state-get` and `state-set`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

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
    /// The applications on the other side, by relation: that of a relation never changes.
    pub remotes: BTreeMap<u32, String>,
    /// What this unit wrote into its databags last.
    pub told_unit: Told,
    /// What it wrote into the application's, if it led in its last hook: whoever has led since may have written more.
    pub told_app: Told,
}

/// The [`digest`](crate::juju::digest) of what was told, by relation. It is noted by digest, since what is told is
/// mostly the same on all relations of an endpoint.
pub type Told = BTreeMap<u32, String>;

impl Memory {
    const ACCEPTED_MAIN: &str = "accepted-db";
    const ACCEPTED_VISIBILITY: &str = "accepted-visibility";
    const IMAGE: &str = "server-version";
    const TOLD_VERSION: &str = "told-version";
    const REMOTES: &str = "remote-apps";
    const TOLD_UNIT: &str = "told-unit";
    const TOLD_APP: &str = "told-app";

    /// Does this key hold what was told?
    pub fn is_of_what_was_told(key: &str) -> bool {
        [Self::TOLD_UNIT, Self::TOLD_APP].contains(&key)
    }

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
            remotes: json(state.get(Self::REMOTES)),
            told_unit: told(state.get(Self::TOLD_UNIT)),
            told_app: told(state.get(Self::TOLD_APP)),
        }
    }

    /// The keys of [`Memory::from_state`] with their values.
    pub fn to_state(&self) -> BTreeMap<String, Option<String>> {
        [
            (Self::ACCEPTED_MAIN, self.accepted.main.clone()),
            (Self::ACCEPTED_VISIBILITY, self.accepted.visibility.clone()),
            (Self::IMAGE, self.image.clone()),
            (Self::TOLD_VERSION, self.told_version.clone()),
            (Self::REMOTES, to_json(&self.remotes)),
            (Self::TOLD_UNIT, to_json(&by_digest(&self.told_unit))),
            (Self::TOLD_APP, to_json(&by_digest(&self.told_app))),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }
}

/// What cannot be read was not noted.
fn json<T: DeserializeOwned + Default>(text: Option<&String>) -> T {
    let value = text.and_then(|text| serde_json::from_str(text).ok());
    value.unwrap_or_default()
}

/// `None` where there is nothing to note.
fn to_json<K: Serialize, V: Serialize>(map: &BTreeMap<K, V>) -> Option<String> {
    // a map of texts and numbers always has a JSON form
    let text = serde_json::to_string(map).ok();
    text.filter(|_| !map.is_empty())
}

fn told(text: Option<&String>) -> Told {
    let by_digest: BTreeMap<String, Vec<u32>> = json(text);
    let each = by_digest.into_iter().flat_map(|(digest, relations)| {
        let digest = move |relation| (relation, digest.clone());
        relations.into_iter().map(digest)
    });
    each.collect()
}

fn by_digest(told: &Told) -> BTreeMap<&str, Vec<u32>> {
    let mut by_digest = BTreeMap::<&str, Vec<u32>>::new();
    for (relation, digest) in told {
        by_digest.entry(digest).or_default().push(*relation);
    }
    by_digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_again() {
        let memory = Memory {
            accepted: PerStore {
                main: Some("[7,\"u\",\"h\",5432,\"d\"]".to_owned()),
                visibility: None,
            },
            image: Memory::note("boot", "1.32.2"),
            told_version: None,
            remotes: BTreeMap::from([(7, "postgresql-k8s".to_owned())]),
            told_unit: Told::new(),
            told_app: [(7, "aa"), (8, "bb"), (9, "aa")]
                .map(|(relation, digest)| (relation, digest.to_owned()))
                .into(),
        };
        let state = memory.to_state();
        let state: BTreeMap<String, String> = state
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        assert_eq!(state["told-app"], r#"{"aa":[7,9],"bb":[8]}"#);
        assert_eq!(state["remote-apps"], r#"{"7":"postgresql-k8s"}"#);
        assert!(!state.contains_key("told-unit"));
        assert_eq!(Memory::from_state(&state), memory);
    }

    #[test]
    fn notes_of_another_form_are_none() {
        for text in ["", "[]", "null", r#"{"a":1}"#, r#"{"a":["7"]}"#] {
            let keys = ["remote-apps", "told-unit", "told-app"];
            let state = keys.map(|key| (key.to_owned(), text.to_owned())).into();
            assert_eq!(Memory::from_state(&state), Memory::default(), "{text}");
        }
    }
}
