//! Databags as Juju hands them out, and what has to be written into one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::probe::Probe;
use crate::secret::Secret;

/// One databag. Any value may carry a password, so none can be printed.
pub type Databag = BTreeMap<String, Secret<String>>;

/// Everything this unit may read of one relation. A relation that is being removed
/// (`-relation-broken`) is not represented at all.
///
/// A relation exists as long as `relation-ids` lists it: the agent settles its relations and their members before a
/// hook begins, and answers `relation-ids` and `relation-list` from that. `relation-get` asks the controller, which may
/// be ahead: then the relation was removed by force and its broken hook is still to come, or a unit has left in the
/// middle of the hook and the relation lives on (Juju 4 forgets the empty databag of such a unit: `relation unit not
/// found`), or Juju 4 has taken this dying unit out of the relation (`permission denied`). So a databag that
/// cannot be read is a `None`, or unreachable where it is ours, and never the end of its relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Juju's number of the relation, the 7 of `db:7`.
    pub id: u32,
    /// The application on the other side (our own on a peer relation).
    pub remote_app: String,
    /// The other application's databag; `None` if it could not be read in this hook.
    pub remote_app_bag: Option<Databag>,
    /// The databags of the other application's units that were asked for and could be read, by unit name.
    pub remote_unit_bags: BTreeMap<String, Databag>,
    /// The contents of secrets that the other application's databag names and that were asked for and could be read, by
    /// the key that names them.
    pub secrets: BTreeMap<String, Databag>,
    /// This unit's own databag: for the keys that Juju maintains there, or to know what it says.
    pub own_unit_bag: Probe<Databag>,
    /// Our application's databag, to know what it says; the leader may read it.
    pub own_app_bag: Probe<Databag>,
}

impl Relation {
    /// A relation of which nothing was read yet.
    pub const fn unread(id: u32) -> Self {
        Self {
            id,
            remote_app: String::new(),
            remote_app_bag: None,
            remote_unit_bags: BTreeMap::new(),
            secrets: BTreeMap::new(),
            own_unit_bag: Probe::NotAsked,
            own_app_bag: Probe::NotAsked,
        }
    }
}

/// Is it the URI of a secret? Juju fails a hook that asks for anything else. It is `secret:` with the secret's
/// identifier of 20 digits and letters from `a` to `v`, or `secret://`, the model's and then that.
pub fn is_secret_uri(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("secret:") else {
        return false;
    };
    let id = match rest.strip_prefix("//").map(|rest| rest.split_once('/')) {
        None => rest,
        Some(Some((model, id))) if is_word(model) => id,
        Some(_) => return false,
    };
    id.len() == 20
        && id
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v'))
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// What makes a databag say what is wanted, whatever it says now: the wanted values, and `None` for those of our keys
/// that are not wanted. Keys that are not `owned`, such as Juju's own, are left alone. Juju tells nobody of a value that
/// is written once more, or of a key deleted that was not there.
pub fn entries(want: &Databag, owned: &[&str]) -> BTreeMap<String, Option<Secret<String>>> {
    let unwanted = owned.iter().filter(|key| !want.contains_key(**key));
    let unwanted = unwanted.map(|key| ((*key).to_owned(), None));
    let wanted = want.iter();
    let wanted = wanted.map(|(key, value)| (key.clone(), Some(value.clone())));
    unwanted.chain(wanted).collect()
}

/// A short name for what a databag says: its hash, of which no value can be read.
pub fn digest(bag: &Databag) -> String {
    let mut hash = Sha256::new();
    for (key, value) in bag {
        // a zero ends each, so that no two databags make one text
        hash.update(key);
        hash.update([0]);
        hash.update(value.expose());
        hash.update([0]);
    }
    let hash = hash.finalize();
    hash.iter().take(8).fold(String::new(), |mut hex, byte| {
        // writing to a string cannot fail
        _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn bag(pairs: &[(&str, &str)]) -> Databag {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).into()))
            .collect()
    }

    #[test]
    fn all_that_is_wanted_is_written_and_only_what_is_ours_is_deleted() {
        let want = bag(&[("changed", "2"), ("new", "1")]);
        assert_eq!(
            entries(&want, &["changed", "stale", "new"]),
            BTreeMap::from([
                ("changed".to_owned(), Some("2".into())),
                ("new".to_owned(), Some("1".into())),
                ("stale".to_owned(), None),
            ])
        );
    }

    #[test]
    fn two_databags_that_differ_have_two_digests() {
        let bags = [
            bag(&[]),
            bag(&[("a", "")]),
            bag(&[("a", "b")]),
            bag(&[("ab", "")]),
            bag(&[("a", "b"), ("c", "d")]),
            bag(&[("a", "b"), ("c", "e")]),
        ];
        let digests: BTreeSet<String> = bags.iter().map(digest).collect();
        assert_eq!(digests.len(), bags.len());
        assert!(digests.iter().all(|digest| digest.len() == 16));
    }
}
