//! Databags as Juju hands them out, and what has to be written into one.

use std::collections::BTreeMap;

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
/// cannot be read is a `None`, and never the end of its relation.
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
    /// This unit's own databag, with the keys that Juju maintains; `None` if it could not be read in this hook.
    pub own_unit_bag: Option<Databag>,
    /// Our application's databag; only the leader may read it, so it is `None` on other units.
    pub own_app_bag: Option<Databag>,
}

/// What has to be written so that `have` says what is wanted: new values, and `None` for keys of ours
/// that are no longer wanted. Keys that are not `owned`, such as Juju's own, are left alone. Empty when
/// there is nothing to do.
pub fn difference(
    have: &Databag,
    want: &Databag,
    owned: &[&str],
) -> BTreeMap<String, Option<Secret<String>>> {
    let stale = owned
        .iter()
        .filter(|key| have.contains_key(**key) && !want.contains_key(**key))
        .map(|key| ((*key).to_owned(), None));
    let new = want
        .iter()
        .filter(|(key, value)| have.get(*key) != Some(*value))
        .map(|(key, value)| (key.clone(), Some(value.clone())));
    stale.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bag(pairs: &[(&str, &str)]) -> Databag {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).into()))
            .collect()
    }

    #[test]
    fn only_what_differs_is_written_and_only_what_is_ours_is_deleted() {
        let have = bag(&[
            ("same", "1"),
            ("changed", "1"),
            ("stale", "1"),
            ("egress-subnets", "10.0.0.1/32"),
        ]);
        let want = bag(&[("same", "1"), ("changed", "2"), ("new", "1")]);
        let owned = ["same", "changed", "stale", "new", "never-written"];
        assert_eq!(
            difference(&have, &want, &owned),
            BTreeMap::from([
                ("changed".to_owned(), Some("2".into())),
                ("new".to_owned(), Some("1".into())),
                ("stale".to_owned(), None),
            ])
        );
    }

    #[test]
    fn nothing_is_written_over_what_was_just_written() {
        let want = bag(&[("a", "1")]);
        assert!(difference(&want, &want, &["a", "b"]).is_empty());
    }
}
