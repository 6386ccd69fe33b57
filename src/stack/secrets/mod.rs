//! Passwords and keys: which ones there are, and what each becomes. A value that is in the cluster is kept, a
//! missing one is made, and one that the user gives must not contradict what data were written with.
//!
//! Pure but for the randomness, which the caller hands in. No value can be printed.

mod made;

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use getrandom::Error as NoRandom;
use rsa::rand_core::TryCryptoRng;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) use self::made::{bytes, to_hex};
pub use self::made::{certificate, peer_id, peer_key, random_hex, tls_key};
use crate::component::{Component, is_ours, object};
use crate::kubernetes::{Kind, text};
use crate::names::STACK_SECRET;
use crate::secret::Secret;

/// The values of one Secret.
pub type Data = BTreeMap<String, Secret<String>>;

/// The values of all Secrets, by name.
pub type Values = BTreeMap<&'static str, Data>;

/// A Secret that the stack needs.
#[derive(Debug)]
pub struct Wanted {
    /// Its name.
    pub name: &'static str,
    /// Whose it is.
    pub component: Component,
    /// Kubernetes' type, where it is not the plain one.
    pub kind: Option<&'static str>,
    /// Its keys, in an order in which each needs only earlier ones.
    pub keys: Vec<(String, Source)>,
}

/// Where a value comes from.
pub enum Source {
    /// The user gives it.
    Given(Secret<String>, Change),
    /// It is made once, with the values before it at hand, and then kept. One of ours that does not serve (any more) is
    /// made anew.
    Made(Box<Make>, Box<Serves>),
    /// It follows from the values before it.
    Derived(Box<Derive>),
}

/// Where random bytes come from.
pub type Random = dyn TryCryptoRng<Error = NoRandom>;
/// Makes a value that is kept.
pub type Make = dyn Fn(&Values, &mut Random) -> Result<Secret<String>, Error>;
/// Does a value of before still serve, with those before it?
pub type Serves = dyn Fn(&Values, &str) -> bool;
/// Computes a value from others.
pub type Derive = dyn Fn(&Values) -> Secret<String>;

/// What it means when the user gives another value than the one in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The new one counts.
    Replace,
    /// Data were written with the old one. The text says what to do.
    Refuse(&'static str),
    /// Likewise, and it is no secret, so both values are told.
    Fixed(&'static str),
    /// A number that data were written with, which may grow and not shrink.
    Grows(&'static str),
}

impl Change {
    /// May a value take the place of the one that is there? The error says what to do.
    fn allows(self, secret: &str, key: &str, had: &str, wants: &str) -> Result<(), Error> {
        let shrinks = wants.parse::<u64>().ok() < had.parse().ok();
        let told = |remedy| {
            format!(
                "`{key}` was \"{had}\" when the data were made, and \"{wants}\" is wanted: {remedy}"
            )
        };
        Err(Error(match self {
            Self::Refuse(remedy) if had != wants => {
                format!("Secret `{secret}` has another `{key}` than the settings: {remedy}")
            }
            Self::Fixed(remedy) if had != wants => told(remedy),
            Self::Grows(remedy) if shrinks => told(remedy),
            Self::Replace | Self::Refuse(_) | Self::Fixed(_) | Self::Grows(_) => return Ok(()),
        }))
    }
}

/// A Secret as the cluster has it.
#[derive(Clone, Debug)]
pub struct Existing {
    /// We made it.
    pub ours: bool,
    /// Its version.
    pub resource_version: String,
    /// Its values, decoded. A key whose bytes are no text is `None`.
    pub data: BTreeMap<String, Option<Secret<String>>>,
}

impl Existing {
    /// Reads an object of the API.
    pub fn of(object: &Value) -> Self {
        let decode = |value: &Value| {
            let bytes = BASE64.decode(value.as_str()?).ok()?;
            String::from_utf8(bytes).ok().map(Secret::new)
        };
        let data = object.get("data").and_then(Value::as_object);
        Self {
            ours: is_ours(object),
            resource_version: text(object, "/metadata/resourceVersion").to_owned(),
            data: data
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), decode(value)))
                .collect(),
        }
    }
}

/// What has to be written so that a Secret is complete.
#[derive(Clone, Debug)]
pub struct Write {
    /// The Secret's name.
    pub name: &'static str,
    /// All of one that is new: if somebody else is faster, everything has to be resolved again. Of one that is there, the
    /// change, which counts only for the version that was read.
    pub body: Secret<Value>,
    /// The keys that change in one that is there, for people; those that go have a dash in front.
    pub changes: Option<Vec<String>>,
}

/// Why there is no value, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl From<NoRandom> for Error {
    fn from(_: NoRandom) -> Self {
        Self("the system gives no random numbers".to_owned())
    }
}

/// Resolves every value; the error lists all that stand in the way.
pub fn resolve(
    wanted: &[Wanted],
    existing: &BTreeMap<String, Existing>,
    namespace: &str,
    random: &mut Random,
) -> Result<(Values, Vec<Write>), Vec<Error>> {
    let mut values = Values::new();
    let mut writes = Vec::new();
    let mut errors = Vec::new();
    for secret in wanted {
        let found = existing.get(secret.name);
        let mut changed = Data::new();
        for (key, source) in &secret.keys {
            match value(secret.name, key, source, found, &values, random) {
                Ok((value, differs)) => {
                    if differs {
                        changed.insert(key.clone(), value.clone());
                    }
                    let data = values.entry(secret.name).or_default();
                    data.insert(key.clone(), value);
                }
                Err(error) => errors.push(error),
            }
        }
        let stale = found.map_or_else(Vec::new, |found| stale(secret, found));
        if !changed.is_empty() || !stale.is_empty() || found.is_none() {
            writes.push(write(secret, found, &changed, &stale, namespace));
        }
    }
    if errors.is_empty() {
        Ok((values, writes))
    } else {
        Err(errors)
    }
}

/// A key's value, and whether the cluster has another one or none.
fn value(
    secret: &'static str,
    key: &str,
    source: &Source,
    found: Option<&Existing>,
    values: &Values,
    random: &mut Random,
) -> Result<(Secret<String>, bool), Error> {
    let is_theirs = found.is_some_and(|found| !found.ours);
    let has = found.and_then(|found| found.data.get(key));
    if matches!(has, Some(None)) {
        return Err(Error(format!(
            "Secret `{secret}` has a `{key}` that is no text: write one that is"
        )));
    }
    let has = has.and_then(Option::as_ref);
    if let (Source::Given(given, change), Some(has)) = (source, has) {
        change.allows(secret, key, has.expose(), given.expose())?;
    }
    let wants = match (source, has) {
        (Source::Given(given, _), _) => given.clone(),
        (Source::Made(_, serves), Some(has)) if is_theirs || serves(values, has.expose()) => {
            has.clone()
        }
        (Source::Made(make, _), _) => make(values, random)?,
        (Source::Derived(derive), _) => derive(values),
    };
    let differs = has != Some(&wants);
    if differs && is_theirs {
        return Err(Error(format!(
            "Secret `{secret}` was not made by temporal-stack and lacks the key `{key}`: add the key, or delete the \
             Secret to have it made"
        )));
    }
    Ok((wants, differs))
}

/// The keys of a Secret of ours that are not wanted any more: settings that the user has taken back. What
/// was made is always wanted, and what data were made with is known for as long as they may be there, wherever
/// the settings send their users meanwhile.
fn stale(secret: &Wanted, found: &Existing) -> Vec<String> {
    let is_wanted = |key: &String| {
        secret.name == STACK_SECRET || secret.keys.iter().any(|(wanted, _)| wanted == key)
    };
    let keys = found.data.keys();
    keys.filter(|key| found.ours && !is_wanted(key))
        .cloned()
        .collect()
}

fn write(
    secret: &Wanted,
    found: Option<&Existing>,
    changed: &Data,
    stale: &[String],
    namespace: &str,
) -> Write {
    // in a patch, null removes a key
    let gone = stale.iter().map(|key| (key.clone(), Value::Null));
    let data: serde_json::Map<String, Value> = changed
        .iter()
        .map(|(key, value)| (key.clone(), BASE64.encode(value.expose()).into()))
        .chain(gone)
        .collect();
    let (name, component) = (secret.name, secret.component);
    let body = match found {
        None => {
            let kind = secret.kind.unwrap_or("Opaque");
            let fields = json!({ "type": kind, "data": data });
            object(Kind::Secret, name, component, namespace, fields)
        }
        Some(found) => json!({
            "metadata": { "name": name, "resourceVersion": found.resource_version },
            "data": data,
        }),
    };
    let gone = stale.iter().map(|key| format!("-{key}"));
    Write {
        name,
        body: body.into(),
        changes: found.map(|_| changed.keys().cloned().chain(gone).collect()),
    }
}

/// A value that was resolved before.
pub fn known<'a>(values: &'a Values, secret: &str, key: &str) -> &'a str {
    let value = values.get(secret).and_then(|data| data.get(key));
    value.map_or("", |value| value.expose())
}

/// Differs whenever settings do, so that Pods are made anew: they read their environment only once. The salt,
/// which is a secret itself, keeps short passwords from being guessed from it.
pub fn fingerprint<'a>(
    salt: &str,
    config: impl Iterator<Item = (&'a String, &'a String)>,
    secrets: impl Iterator<Item = (&'a String, &'a Secret<String>)>,
) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    add(salt);
    let secrets = secrets.map(|(key, value)| (key, value.expose()));
    for (key, value) in config.chain(secrets) {
        add(key);
        add(value);
    }
    to_hex(hash.finalize().get(..16).unwrap_or_default())
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given(..) => "given",
            Self::Made(..) => "made",
            Self::Derived(_) => "derived",
        })
    }
}

#[cfg(test)]
mod tests {
    use getrandom::SysRng;
    use rcgen::KeyPair;
    use rsa::PrivateKey;
    use rsa::pkcs8::DecodePrivateKey as _;

    use super::*;

    fn wanted(keys: Vec<(&str, Source)>) -> Vec<Wanted> {
        vec![Wanted {
            name: "s",
            component: Component::Stack,
            kind: None,
            keys: keys
                .into_iter()
                .map(|(key, source)| (key.to_owned(), source))
                .collect(),
        }]
    }

    fn existing(ours: bool, data: &[(&str, &str)]) -> BTreeMap<String, Existing> {
        let data = data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Some((*value).into())))
            .collect();
        let secret = Existing {
            ours,
            resource_version: "7".to_owned(),
            data,
        };
        BTreeMap::from([("s".to_owned(), secret)])
    }

    fn resolved(
        keys: Vec<(&str, Source)>,
        existing: &BTreeMap<String, Existing>,
    ) -> Result<(Values, Vec<Write>), Vec<Error>> {
        resolve(&wanted(keys), existing, "n", &mut SysRng)
    }

    fn given(value: &str, change: Change) -> Source {
        Source::Given(value.into(), change)
    }

    #[test]
    fn what_is_there_is_kept_and_what_is_missing_is_made_once() {
        let (made, writes) = resolved(vec![("k", random_hex())], &BTreeMap::new()).unwrap();
        assert!(matches!(
            &writes[..],
            [Write {
                name: "s",
                changes: None,
                ..
            }]
        ));
        let value = known(&made, "s", "k");
        assert_eq!(value.len(), 64);
        let there = existing(true, &[("k", value)]);
        let (again, writes) = resolved(vec![("k", random_hex())], &there).unwrap();
        assert_eq!(known(&again, "s", "k"), value);
        assert!(writes.is_empty(), "{writes:?}");
    }

    #[test]
    fn a_missing_key_is_added_to_the_version_that_was_read() {
        let there = existing(true, &[("old", "x")]);
        let keys = vec![("old", random_hex()), ("new", given("y", Change::Replace))];
        let (_, writes) = resolved(keys, &there).unwrap();
        let [write] = &writes[..] else {
            panic!("{writes:?}");
        };
        assert_eq!(write.changes.as_ref().unwrap(), &["new"]);
        assert_eq!(write.body.expose()["metadata"]["resourceVersion"], "7");
        assert_eq!(write.body.expose()["data"], json!({ "new": "eQ==" }));
    }

    #[test]
    fn a_key_that_is_not_wanted_any_more_goes_from_a_secret_of_ours_only() {
        let keys = || vec![("kept", random_hex())];
        let data = [("kept", "x"), ("taken-back", "y")];
        let (_, writes) = resolved(keys(), &existing(true, &data)).unwrap();
        let [write] = &writes[..] else {
            panic!("{writes:?}");
        };
        assert_eq!(write.changes.as_ref().unwrap(), &["-taken-back"]);
        assert_eq!(write.body.expose()["data"], json!({ "taken-back": null }));
        let (_, writes) = resolved(keys(), &existing(false, &data)).unwrap();
        assert!(writes.is_empty());
    }

    #[test]
    fn a_given_value_replaces_or_is_refused() {
        let there = || existing(true, &[("k", "old")]);
        let (values, writes) =
            resolved(vec![("k", given("new", Change::Replace))], &there()).unwrap();
        assert_eq!((known(&values, "s", "k"), writes.len()), ("new", 1));
        let refused = resolved(
            vec![("k", given("new", Change::Refuse("do that")))],
            &there(),
        );
        let said = refused.unwrap_err()[0].to_string();
        assert!(
            said.contains("`s`") && said.contains("`k`") && said.contains("do that"),
            "{said}"
        );
        assert!(!said.contains("new") && !said.contains("old"), "{said}");
        let same = resolved(vec![("k", given("old", Change::Refuse("")))], &there());
        assert!(same.unwrap().1.is_empty());
    }

    #[test]
    fn what_data_were_made_with_is_told_when_it_is_no_secret_and_may_grow_if_it_is_a_number() {
        let outcome = |had: &str, wants: &str, change| {
            let keys = vec![("k", given(wants, change))];
            let outcome = resolved(keys, &existing(true, &[("k", had)]));
            outcome.map(|(_, writes)| writes.len())
        };
        let (fixed, grows) = (Change::Fixed("do that"), Change::Grows("do that"));
        for (had, wants, change, writes) in [
            ("17", "17", fixed, 0),
            ("3", "3", grows, 0),
            ("3", "11", grows, 1),
        ] {
            assert_eq!(outcome(had, wants, change), Ok(writes), "{had} {wants}");
        }
        for (had, wants, change) in [("17", "18", fixed), ("", "x", fixed), ("11", "3", grows)] {
            let said = outcome(had, wants, change).unwrap_err()[0].to_string();
            let words = format!(
                "`k` was \"{had}\" when the data were made, and \"{wants}\" is wanted: do that"
            );
            assert_eq!(said, words);
        }
    }

    #[test]
    fn what_data_were_made_with_is_known_while_their_part_is_not_wanted() {
        let mut all = wanted(vec![("salt", random_hex())]);
        all[0].name = STACK_SECRET;
        let mut there = existing(true, &[("salt", "x"), ("postgres.version", "17")]);
        let found = there.remove("s").unwrap();
        there.insert(STACK_SECRET.to_owned(), found);
        let (_, writes) = resolve(&all, &there, "n", &mut SysRng).unwrap();
        assert!(writes.is_empty(), "{writes:?}");
    }

    #[test]
    fn a_secret_of_somebody_else_is_never_written() {
        let there = existing(false, &[("k", "theirs")]);
        let (values, writes) = resolved(vec![("k", random_hex())], &there).unwrap();
        assert_eq!(known(&values, "s", "k"), "theirs");
        assert!(writes.is_empty());
        for keys in [
            vec![("k", random_hex()), ("more", random_hex())],
            vec![("k", given("ours", Change::Replace))],
        ] {
            let said = resolved(keys, &there).unwrap_err()[0].to_string();
            assert!(said.contains("was not made by temporal-stack"), "{said}");
        }
    }

    #[test]
    fn derived_values_follow_those_before_them() {
        let twice = Source::Derived(Box::new(|values: &Values| {
            known(values, "s", "a").repeat(2).into()
        }));
        let there = existing(true, &[("a", "x"), ("b", "stale")]);
        let (values, writes) = resolved(vec![("a", random_hex()), ("b", twice)], &there).unwrap();
        assert_eq!(known(&values, "s", "b"), "xx");
        assert_eq!(writes.len(), 1);
    }

    #[test]
    fn bytes_that_are_no_text_are_told() {
        let object = json!({
            "metadata": { "resourceVersion": "1" },
            "data": { "k": "gIGC", "fine": "eA==" },
        });
        let found = Existing::of(&object);
        assert!(!found.ours);
        assert_eq!(found.data["fine"], Some("x".into()));
        let there = BTreeMap::from([("s".to_owned(), found)]);
        let said = resolved(vec![("k", random_hex())], &there).unwrap_err();
        assert!(said[0].to_string().contains("no text"), "{said:?}");
    }

    /// The key pair of the first example in RFC 8032, section 7.1, as a libp2p key.
    #[test]
    fn a_peer_is_named_after_its_public_key() {
        let key = "CAESQJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        assert_eq!(
            peer_id(key),
            "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV"
        );
        for other in ["", "eA==", "no base64"] {
            assert_eq!(peer_id(other), "", "{other}");
        }
        let (values, _) = resolved(vec![("k", peer_key())], &BTreeMap::new()).unwrap();
        assert!(peer_id(known(&values, "s", "k")).starts_with("12D3KooW"));
    }

    #[test]
    fn a_certificate_goes_with_its_key() {
        let names = vec!["api".to_owned(), "api.n.svc".to_owned()];
        let keys = vec![
            ("tls.key", tls_key()),
            ("tls.crt", certificate("s", "tls.key", names)),
        ];
        let (values, _) = resolved(keys, &BTreeMap::new()).unwrap();
        let (key, certificate) = (
            known(&values, "s", "tls.key"),
            known(&values, "s", "tls.crt"),
        );
        assert!(PrivateKey::from_pkcs8_pem(key).is_ok());
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    }

    /// Such a pair is what an earlier release made.
    #[test]
    fn a_key_that_the_api_cannot_serve_gives_way_with_its_certificate_if_it_is_ours() {
        let elliptic = KeyPair::generate().unwrap().serialize_pem();
        let keys = || {
            vec![
                ("tls.key", tls_key()),
                (
                    "tls.crt",
                    certificate("s", "tls.key", vec!["api".to_owned()]),
                ),
            ]
        };
        let pair = [("tls.key", elliptic.as_str()), ("tls.crt", "theirs")];
        let (values, writes) = resolved(keys(), &existing(true, &pair)).unwrap();
        assert_eq!(writes.len(), 1);
        let value = |key| known(&values, "s", key);
        assert!(PrivateKey::from_pkcs8_pem(value("tls.key")).is_ok());
        let now = [("tls.key", value("tls.key")), ("tls.crt", value("tls.crt"))];
        let (_, writes) = resolved(keys(), &existing(true, &now)).unwrap();
        assert!(writes.is_empty(), "{writes:?}");
        let (values, writes) = resolved(keys(), &existing(false, &pair)).unwrap();
        assert_eq!(known(&values, "s", "tls.key"), elliptic);
        assert!(writes.is_empty());
    }

    #[test]
    fn fingerprints_tell_settings_apart_and_nothing_else() {
        let config = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let secret = Data::from([("B".to_owned(), "2".into())]);
        let of = |salt: &str, config: &BTreeMap<String, String>, secret: &Data| {
            fingerprint(salt, config.iter(), secret.iter())
        };
        let usual = of("s", &config, &secret);
        assert_eq!(of("s", &config, &secret), usual);
        assert_ne!(of("t", &config, &secret), usual);
        let other = BTreeMap::from([("A1".to_owned(), String::new())]);
        assert_ne!(of("s", &other, &secret), usual);
        let other = Data::from([("B".to_owned(), "3".into())]);
        assert_ne!(of("s", &config, &other), usual);
    }
}
