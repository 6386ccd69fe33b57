//! Juju secrets as the controller keeps them: revisions, owners, consumers, grants.
//!
//! `hook.rs` is what a hook may do with them, `commit.rs` what becomes of that when the hook ends,
//! `due.rs` which secret hooks follow. Not emulated: secrets of users, of other models, and in
//! other backends than Juju's own.

mod commit;
mod due;
mod hook;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::model::{Model, Settings, app_of};

pub use hook::{Access, Reading, SecretInfo, SecretOwner};

pub(super) use commit::{PendingSecrets, commit};
pub(super) use due::{conclude, due, latest, restart};

/// What all values of one revision may hold at most, in bytes of base64.
pub const MAX_CONTENT: usize = 1_000_000;

/// How soon a rotation or an expiry that changed nothing is told again.
pub const RETRY: Duration = Duration::from_mins(5);

/// A reference to a secret: `secret:<id>`, or `secret://<model's UUID>/<id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    /// The model, where it is named.
    pub source: Option<String>,
    /// Twenty letters and digits.
    pub id: String,
}

impl Uri {
    /// Reads what Juju takes for one, which includes a mere id.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = match text.split_once(':') {
            Some(("secret", rest)) => rest,
            Some(_) => return None,
            None => text,
        };
        let rest = rest.trim_start_matches('/');
        let (source, id) = match rest.split_once('/') {
            Some((source, id)) => (Some(source), id),
            None => (None, rest),
        };
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c) || c == '-';
        let is_uuid = |text: &&str| text.len() == 36 && text.chars().all(hex);
        // Twelve bytes in base 32: the last character has only one bit to tell.
        let is_id = id.len() == 20
            && id.bytes().all(|it| ALPHABET.contains(&it))
            && id.ends_with(['0', 'g']);
        let is_source = source.as_ref().is_none_or(is_uuid);
        (is_id && is_source).then(|| Self {
            source: source.map(str::to_owned),
            id: id.to_owned(),
        })
    }

    fn of(id: &str) -> Self {
        Self {
            source: None,
            id: id.to_owned(),
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "secret://{source}/{}", self.id),
            None => write!(f, "secret:{}", self.id),
        }
    }
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// How often a secret is to be rotated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rotate {
    /// Not at all.
    #[default]
    Never,
    /// Every hour.
    Hourly,
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
    /// Every month, here of 30 days.
    Monthly,
    /// Every quarter, here of 90 days.
    Quarterly,
    /// Every year, here of 365 days.
    Yearly,
}

impl Rotate {
    const ALL: [Self; 7] = [
        Self::Never,
        Self::Hourly,
        Self::Daily,
        Self::Weekly,
        Self::Monthly,
        Self::Quarterly,
        Self::Yearly,
    ];

    /// Juju's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Quarterly => "quarterly",
            Self::Yearly => "yearly",
        }
    }

    /// The policy of that name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.word() == word)
    }

    fn period(self) -> Option<Duration> {
        let hours = match self {
            Self::Never => return None,
            Self::Hourly => 1,
            Self::Daily => 24,
            Self::Weekly => 7 * 24,
            Self::Monthly => 30 * 24,
            Self::Quarterly => 90 * 24,
            Self::Yearly => 365 * 24,
        };
        Some(Duration::from_hours(hours))
    }
}

/// What is to be different about a secret, or what a new one is to be.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretChanges {
    /// The content, all of it; empty leaves it as it is.
    pub content: Settings,
    /// The owner's label.
    pub label: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The rotation policy.
    pub rotate: Option<Rotate>,
    /// When the newest revision expires.
    pub expire: Option<SystemTime>,
}

impl SecretChanges {
    /// New content and nothing else.
    pub fn content<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let content = pairs.into_iter();
        Self {
            content: content.map(|(k, v)| (k.into(), v.into())).collect(),
            ..Self::default()
        }
    }

    /// The same with a label.
    #[must_use]
    pub fn label(self, label: &str) -> Self {
        Self {
            label: Some(label.to_owned()),
            ..self
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Puts later changes over these.
    fn absorb(&mut self, later: Self) {
        if !later.content.is_empty() {
            self.content = later.content;
        }
        self.label = later.label.or(self.label.take());
        self.description = later.description.or(self.description.take());
        self.rotate = later.rotate.or(self.rotate);
        self.expire = later.expire.or(self.expire);
    }
}

/// Keys only: values are secret.
impl fmt::Debug for SecretChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretChanges")
            .field("keys", &self.content.keys())
            .field("label", &self.label)
            .field("rotate", &self.rotate)
            .field("expire", &self.expire)
            .finish_non_exhaustive()
    }
}

/// One revision's content.
#[derive(Clone, PartialEq, Eq)]
pub struct Revision {
    /// Keys and values.
    pub content: Settings,
    /// When it expires, if it does.
    pub expire: Option<SystemTime>,
    /// Nobody uses it any more, and it is not the newest.
    pub obsolete: bool,
}

/// Keys only: values are secret.
impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revision")
            .field("keys", &self.content.keys())
            .field("expire", &self.expire)
            .field("obsolete", &self.obsolete)
            .finish()
    }
}

/// A unit that has read a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consumer {
    /// The name that it gave the secret.
    pub label: String,
    /// The revision that it is shown until it asks for a newer one.
    pub revision: u32,
}

/// A secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// A unit (`pg/0`) or an application (`pg`).
    pub owner: String,
    /// The owner's label.
    pub label: String,
    /// What it is for.
    pub description: String,
    /// How often it is rotated.
    pub rotate: Rotate,
    /// When the owner is told next to rotate it.
    pub next_rotate: Option<SystemTime>,
    /// The newest revision's number.
    pub latest: u32,
    /// The revisions that are left.
    pub revisions: BTreeMap<u32, Revision>,
    /// The units that have read it.
    pub consumers: BTreeMap<String, Consumer>,
    /// Who else may read it, units or applications, each for as long as that relation lasts.
    pub grants: BTreeMap<String, u32>,
}

impl Secret {
    /// Whether this unit may change it, as its owner or as its owner's leader.
    fn is_managed_by(&self, model: &Model, unit: &str) -> bool {
        self.owner == unit || (self.owner == app_of(unit) && model.is_leader(unit))
    }

    /// Whether it belongs to this unit or to its application.
    fn is_owned_with(&self, unit: &str) -> bool {
        self.owner == unit || self.owner == app_of(unit)
    }

    /// The relation over which a unit or application may read it, as long as it lasts.
    fn grant(&self, model: &Model, subject: &str) -> Option<u32> {
        let id = self.grants.get(subject)?;
        let relation = model.relations.get(id).filter(|it| !it.gone)?;
        Some(relation.id)
    }

    fn is_readable_by(&self, model: &Model, unit: &str) -> bool {
        let granted = |subject| self.grant(model, subject).is_some();
        self.is_owned_with(unit) || granted(unit) || granted(app_of(unit))
    }

    fn latest_content(&self) -> Option<&Settings> {
        self.revisions.get(&self.latest).map(|it| &it.content)
    }

    /// Marks the revisions that nobody uses, apart from `except` and what `consumer` used until now.
    fn mark_obsolete(&mut self, consumer: Option<&str>, except: u32) {
        let others = |(unit, _): &(&String, &Consumer)| Some(unit.as_str()) != consumer;
        let others = self.consumers.iter().filter(others);
        let mut used: BTreeSet<u32> = others.map(|(_, it)| it.revision).collect();
        used.extend([except, self.latest]);
        for (number, revision) in &mut self.revisions {
            revision.obsolete |= !used.contains(number);
        }
    }
}

/// All secrets of a model, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    all: BTreeMap<String, Secret>,
    named: u32,
}

impl Secrets {
    /// A secret by its URI or id.
    pub fn get(&self, uri: &str) -> Option<&Secret> {
        self.all.get(&Uri::parse(uri)?.id)
    }

    /// All of them, with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.all.iter().map(|(id, it)| (id.as_str(), it))
    }

    /// An id that was never given before; two runs give the same ones.
    fn name(&mut self, model: &str) -> String {
        self.named += 1;
        let digest = Sha256::digest(format!("{model} {}", self.named));
        let mut bits = digest
            .iter()
            .take(12)
            .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        // 96 bits are 19 characters and one bit more.
        bits <<= 4;
        let character = |index: u32| {
            let five = (bits >> (95 - 5 * index)) & 0b1_1111;
            ALPHABET.get(usize::try_from(five).unwrap_or_default())
        };
        (0..20)
            .filter_map(character)
            .map(|it| char::from(*it))
            .collect()
    }

    /// A unit or an application is gone, and with it what it owned, read and was granted.
    pub(super) fn forget(&mut self, who: &str) {
        self.all.retain(|_, it| it.owner != who);
        for secret in self.all.values_mut() {
            secret.consumers.remove(who);
            secret.grants.remove(who);
        }
    }

    /// Whether a label is taken where it has to be unique: for an application with its units, for a
    /// unit with its application. `but` is the secret that has the label or is to get it.
    fn label_is_taken(&self, holder: &str, label: &str, but: &str) -> Option<String> {
        let app = app_of(holder);
        let is_app = app == holder;
        let near = |who: &str| who == holder || who == app || (is_app && app_of(who) == app);
        let others = self
            .all
            .iter()
            .filter(|(id, _)| *id != but)
            .map(|(_, it)| it);
        let mut owners = others
            .clone()
            .filter(|it| it.label == label)
            .map(|it| &it.owner);
        if let Some(owner) = owners.find(|it| near(it)) {
            let whose = if owner.contains('/') {
                format!("owner \"{}\"", tag(owner))
            } else {
                format!("application \"{owner}\"")
            };
            return Some(format!(
                "secret label \"{label}\" for {whose} already exists"
            ));
        }
        let mut consumers = others
            .flat_map(|it| &it.consumers)
            .filter(|(_, it)| it.label == label);
        let (unit, _) = consumers.find(|(unit, _)| near(unit))?;
        Some(format!(
            "secret label \"{label}\" for consumer \"{}\" already exists",
            tag(unit)
        ))
    }
}

/// Juju's tag of a unit or an application.
fn tag(who: &str) -> String {
    match who.split_once('/') {
        Some((app, number)) => format!("unit-{app}-{number}"),
        None => format!("application-{who}"),
    }
}

/// Juju's tag of a relation.
fn relation_tag(model: &Model, id: u32) -> String {
    let key = model.relations.get(&id).map(super::model::Relation::key);
    format!(
        "relation-{}",
        key.unwrap_or_default().replace(':', ".").replace(' ', "#")
    )
}

#[cfg(test)]
mod tests {
    use super::{Secrets, Uri};

    const ID: &str = "cjqub6vubg2s77p3nio0";

    #[test]
    fn a_secret_is_named_by_its_id_with_or_without_scheme_and_model() {
        let model = "59060ecc-1122-4788-8011-223344556677";
        for (text, shown) in [
            (ID.to_owned(), format!("secret:{ID}")),
            (format!("secret:{ID}"), format!("secret:{ID}")),
            (
                format!("secret://{model}/{ID}"),
                format!("secret://{model}/{ID}"),
            ),
            (
                format!("secret:{model}/{ID}"),
                format!("secret://{model}/{ID}"),
            ),
        ] {
            assert_eq!(Uri::parse(&text).unwrap().to_string(), shown, "{text}");
        }
        for wrong in [
            "",
            "secret:",
            "password",
            "http:cjqub6vubg2s77p3nio0",
            "secret:cjqub6vubg2s77p3niox",
        ] {
            assert_eq!(Uri::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ids_are_new_each_time_and_the_same_in_two_runs() {
        let ids = || {
            let mut secrets = Secrets::default();
            [secrets.name("prod"), secrets.name("prod")]
        };
        let [first, second] = ids();
        assert_ne!(first, second);
        assert_eq!(ids(), [first.clone(), second]);
        assert!(Uri::parse(&first).is_some(), "{first}");
    }
}
