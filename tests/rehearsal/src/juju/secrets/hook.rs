//! What a hook may do with secrets. Reading takes effect at once: the unit tracks from then on what
//! it has been shown. All else waits until the hook has ended well.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::{Consumer, Rotate, Secret, SecretChanges, Uri, relation_tag, tag};
use crate::juju::context::{HookContext, ToolError};
use crate::juju::model::{Settings, app_of};

/// Who is to own a new secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SecretOwner {
    /// The application, so that its leader manages it.
    #[default]
    Application,
    /// This unit alone.
    Unit,
}

/// Which revision is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reading {
    /// The one that was read first, or with `Refresh` last.
    #[default]
    Tracked,
    /// The newest, now and from now on.
    Refresh,
    /// The newest, just this time.
    Peek,
}

/// Who else may read a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// A unit or an application.
    pub target: String,
    /// The relation's number.
    pub relation: u32,
    /// Juju's tags of both.
    pub tags: (String, String),
}

/// What an owner is told of its secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretInfo {
    /// The owner, a unit or an application.
    pub owner: String,
    /// The owner's label.
    pub label: String,
    /// What it is for.
    pub description: String,
    /// The newest revision that is committed; 1 for a new secret.
    pub revision: u32,
    /// How often it is rotated.
    pub rotate: Rotate,
    /// When the newest revision expires.
    pub expire: Option<SystemTime>,
    /// When it is to be rotated next.
    pub next_rotate: Option<SystemTime>,
    /// Who else may read it.
    pub access: Vec<Access>,
}

impl SecretInfo {
    fn with(mut self, changes: &SecretChanges) -> Self {
        let SecretChanges {
            label,
            description,
            rotate,
            expire,
            content: _,
        } = changes.clone();
        self.label = label.unwrap_or(self.label);
        self.description = description.unwrap_or(self.description);
        self.rotate = rotate.unwrap_or(self.rotate);
        self.expire = expire.or(self.expire);
        self
    }
}

fn parse(uri: &str) -> Result<Uri, ToolError> {
    let wrong = || ToolError::Arguments(format!("secret URI \"{uri}\" not valid"));
    Uri::parse(uri).ok_or_else(wrong)
}

impl HookContext<'_> {
    fn is_old(&self) -> bool {
        self.model.juju.0 < 4
    }

    fn stored(&self, id: &str) -> Option<&Secret> {
        self.model.secrets.all.get(id)
    }

    /// The secrets that this unit manages, pending changes included.
    fn managed(&self) -> BTreeMap<String, SecretInfo> {
        let pending = &self.pending.secrets;
        let new = pending.created.iter().map(|(id, (owner, changes))| {
            let info = SecretInfo {
                owner: owner.clone(),
                revision: 1,
                ..SecretInfo::default()
            };
            (id.clone(), info.with(changes))
        });
        let stored = self.model.secrets.all.iter();
        let stored = stored
            .filter(|(id, it)| {
                it.is_managed_by(self.model, &self.unit) && !pending.removed.contains_key(*id)
            })
            .map(|(id, it)| {
                let info = SecretInfo {
                    owner: it.owner.clone(),
                    label: it.label.clone(),
                    description: it.description.clone(),
                    revision: it.latest,
                    rotate: it.rotate,
                    expire: it.revisions.get(&it.latest).and_then(|it| it.expire),
                    next_rotate: it.next_rotate,
                    access: Vec::new(),
                };
                let changes = pending.updated.get(id).cloned().unwrap_or_default();
                (id.clone(), info.with(&changes))
            });
        let mut all: BTreeMap<String, SecretInfo> = new.chain(stored).collect();
        for (id, info) in &mut all {
            info.access = self.access(id);
        }
        all
    }

    fn access(&self, id: &str) -> Vec<Access> {
        let stored = self.stored(id);
        let mut grants: Vec<(String, u32)> = stored
            .into_iter()
            .flat_map(|it| {
                it.grants
                    .keys()
                    .map(move |who| (who, it.grant(self.model, who)))
            })
            .filter_map(|(who, relation)| Some((who.clone(), relation?)))
            .collect();
        let pending = &self.pending.secrets;
        let granted = pending.granted.get(id).into_iter().flatten();
        grants.extend(granted.map(|(relation, who)| (who.clone(), *relation)));
        let revoked = pending.revoked.get(id);
        grants.retain(|(who, _)| !revoked.is_some_and(|it| it.contains(who)));
        let access = grants.into_iter().map(|(target, relation)| Access {
            tags: (tag(&target), relation_tag(self.model, relation)),
            target,
            relation,
        });
        access.collect()
    }

    /// `secret-add`, buffered; gives the new secret's URI. A secret of the application is the leader's to add.
    pub fn secret_add(
        &mut self,
        owner: SecretOwner,
        changes: SecretChanges,
    ) -> Result<String, ToolError> {
        let owner = match owner {
            SecretOwner::Application if !self.is_leader() => return Err(ToolError::NotLeader),
            SecretOwner::Application => self.app().to_owned(),
            SecretOwner::Unit => self.unit.clone(),
        };
        if changes.content.is_empty() {
            return Err(ToolError::refused("empty secret value not valid"));
        }
        check_content(&changes.content)?;
        let pending = &mut self.pending.secrets;
        if let Some(label) = &changes.label
            && pending
                .created
                .values()
                .any(|(_, it)| it.label.as_ref() == Some(label))
        {
            let text = format!("secret with label \"{label}\" already exists");
            return Err(ToolError::Refused(text));
        }
        let id = self.model.secrets.name(&self.model.uuid);
        let uri = Uri::of(&id).to_string();
        pending.created.insert(id, (owner, changes));
        Ok(uri)
    }

    /// `secret-set`, buffered. The same content again makes no new revision. Whether this unit may
    /// change that secret is seen when the hook ends.
    pub fn secret_set(&mut self, uri: &str, mut changes: SecretChanges) -> Result<(), ToolError> {
        let id = parse(uri)?.id;
        check_content(&changes.content)?;
        let known = self.stored(&id);
        let known = known.filter(|it| it.is_managed_by(self.model, &self.unit));
        if known.is_some_and(|it| it.latest_content() == Some(&changes.content)) {
            changes.content = Settings::new();
        }
        if changes.is_empty() {
            return Ok(());
        }
        let pending = &mut self.pending.secrets;
        pending.removed.remove(&id);
        match pending.created.get_mut(&id) {
            Some((_, new)) => new.absorb(changes),
            None => pending.updated.entry(id).or_default().absorb(changes),
        }
        Ok(())
    }

    /// `secret-remove` of one revision or, without, of all, buffered.
    pub fn secret_remove(&mut self, uri: &str, revision: Option<u32>) -> Result<(), ToolError> {
        let id = parse(uri)?.id;
        let pending = &mut self.pending.secrets;
        pending.created.remove(&id);
        pending.updated.remove(&id);
        pending.granted.remove(&id);
        pending.revoked.remove(&id);
        pending.tracked.remove(&id);
        match (pending.removed.get_mut(&id), revision) {
            // All revisions are to go already.
            (Some(None), _) => {}
            (Some(Some(revisions)), Some(revision)) => {
                revisions.insert(revision);
            }
            (_, revision) => {
                let revisions = revision.map(|it| [it].into());
                pending.removed.insert(id, revisions);
            }
        }
        Ok(())
    }

    /// `secret-get` by URI, by label, or by both, which gives the secret that label for this unit.
    pub fn secret_get(
        &mut self,
        uri: Option<&str>,
        label: Option<&str>,
        reading: Reading,
    ) -> Result<Settings, ToolError> {
        let asked = uri.map(parse).transpose()?;
        let managed = |hook: &Self, label: &str| {
            let mut all = hook.managed().into_iter();
            all.find(|(_, it)| it.label == label)
                .map(|(id, _)| Uri::of(&id))
        };
        let (uri, label) = match (asked, label) {
            (None, None) => {
                let text = "require either a secret URI or label";
                return Err(ToolError::Arguments(text.to_owned()));
            }
            (None, Some(text)) => match managed(self, text) {
                Some(uri) => (Some(uri), None),
                None => (None, label),
            },
            (uri, label) => (uri, label),
        };
        if let Some(uri) = &uri
            && let Some(content) = self.pending_content(&uri.id, label, reading)
        {
            return Ok(content);
        }
        self.controller_content(uri, label, reading)
    }

    /// What this hook itself wrote: a new secret always, a new revision where the newest is asked for.
    fn pending_content(
        &mut self,
        id: &str,
        label: Option<&str>,
        reading: Reading,
    ) -> Option<Settings> {
        let pending = &mut self.pending.secrets;
        if let Some((_, new)) = pending.created.get_mut(id) {
            new.label = label.map(str::to_owned).or(new.label.take());
            return Some(new.content.clone());
        }
        let update = pending.updated.get_mut(id)?;
        if reading == Reading::Tracked {
            return None;
        }
        update.label = label.map(str::to_owned).or(update.label.take());
        if reading == Reading::Refresh {
            pending.tracked.insert(id.to_owned());
        }
        Some(update.content.clone()).filter(|it| !it.is_empty())
    }

    fn controller_content(
        &mut self,
        uri: Option<Uri>,
        label: Option<&str>,
        reading: Reading,
    ) -> Result<Settings, ToolError> {
        let (unit, old) = (self.unit.clone(), self.is_old());
        // Owners and their units know the secret by the owner's label.
        let mut own = self
            .model
            .secrets
            .all
            .iter()
            .filter(|(_, it)| it.is_owned_with(&unit));
        let own = own.find(|(id, it)| match (&uri, label) {
            (Some(uri), _) => uri.id == **id,
            (None, Some(label)) => it.label == label,
            (None, None) => false,
        });
        let own = own.map(|(id, it)| (id.clone(), it.clone()));
        let (uri, consumer_label) = match (own, uri) {
            (Some((id, secret)), asked) => {
                let named = label.filter(|it| asked.is_some() && *it != secret.label);
                if let Some(label) = named.filter(|_| secret.is_managed_by(self.model, &unit)) {
                    self.relabel(&id, &secret.owner, label)?;
                }
                (asked.unwrap_or_else(|| Uri::of(&id)), None)
            }
            (None, Some(uri)) => (uri, label),
            (None, None) => (self.labelled(label.unwrap_or_default())?, None),
        };
        let missing = ToolError::SecretNotFound(uri.to_string());
        if uri.source.as_ref().is_some_and(|it| *it != self.model.uuid) {
            return Err(missing);
        }
        let secret = self.stored(&uri.id).ok_or(missing)?;
        if !secret.is_readable_by(self.model, &unit) {
            return Err(if old {
                ToolError::PermissionDenied
            } else {
                ToolError::Refused(format!("\"{unit}\" is not allowed to read this secret"))
            });
        }
        let known = secret.consumers.get(&unit).cloned();
        let refresh = reading == Reading::Refresh || known.is_none();
        let mut consumer = known.clone().unwrap_or_default();
        let shown = if refresh || reading == Reading::Peek {
            secret.latest
        } else {
            consumer.revision
        };
        if refresh {
            consumer.revision = shown;
        }
        if let Some(label) = consumer_label.filter(|it| **it != consumer.label) {
            if let Some(taken) = self.model.secrets.label_is_taken(&unit, label, &uri.id) {
                let text = format!("getting latest secret revision: {taken}");
                return Err(ToolError::Refused(text));
            }
            label.clone_into(&mut consumer.label);
        }
        let missing = || {
            ToolError::Refused(if old {
                format!("secret revision \"{}/{shown}\" not found", uri.id)
            } else {
                format!("secret revision {shown} for {uri} not found")
            })
        };
        let secret = self
            .model
            .secrets
            .all
            .get_mut(&uri.id)
            .ok_or_else(missing)?;
        secret.track(&unit, consumer);
        let revision = secret.revisions.get(&shown).ok_or_else(missing)?;
        Ok(revision.content.clone())
    }

    /// The secret that this unit once gave a label.
    fn labelled(&self, label: &str) -> Result<Uri, ToolError> {
        let read = |it: &Secret| {
            it.consumers
                .get(&self.unit)
                .is_some_and(|it| it.label == label)
        };
        let found = self.model.secrets.all.iter().find(|(_, it)| read(it));
        let missing = || {
            let whose = if self.is_old() { "" } else { "secret URI for " };
            ToolError::Refused(format!("{whose}consumer label \"{label}\" not found"))
        };
        found.map(|(id, _)| Uri::of(id)).ok_or_else(missing)
    }

    fn relabel(&mut self, id: &str, owner: &str, label: &str) -> Result<(), ToolError> {
        if let Some(taken) = self.model.secrets.label_is_taken(owner, label, id) {
            return Err(ToolError::Refused(taken));
        }
        if let Some(secret) = self.model.secrets.all.get_mut(id) {
            label.clone_into(&mut secret.label);
        }
        Ok(())
    }

    /// `secret-info-get`: of a secret that this unit manages, by URI or by label; gives its id too.
    pub fn secret_info(
        &self,
        uri: Option<&str>,
        label: Option<&str>,
    ) -> Result<(String, SecretInfo), ToolError> {
        let wrong = |text: &str| Err(ToolError::Arguments(text.to_owned()));
        let mut all = self.managed();
        let (found, wanted) = match (uri.map(parse).transpose()?, label) {
            (None, None) => return wrong("require either a secret URI or label"),
            (Some(_), Some(_)) => {
                return wrong("specify either a secret URI or label but not both");
            }
            (Some(uri), None) => (all.remove_entry(&uri.id), uri.id),
            (None, Some(label)) => {
                let found = all.into_iter().find(|(_, it)| it.label == label);
                (found, label.to_owned())
            }
        };
        found.ok_or(ToolError::SecretNotFound(wanted))
    }

    /// `secret-ids`: those that this unit manages.
    pub fn secret_ids(&self) -> Vec<String> {
        self.managed().into_keys().collect()
    }

    /// `secret-grant` to the application on the other side of a relation, or to one of its units, buffered.
    pub fn secret_grant(
        &mut self,
        uri: &str,
        relation: u32,
        unit: Option<&str>,
    ) -> Result<(), ToolError> {
        let id = parse(uri)?.id;
        let app = self.relation_app(relation)?;
        let subject = match unit {
            Some(unit) if app_of(unit) != app => {
                let text =
                    format!("cannot specify unit \"{unit}\" in relation to application \"{app}\"");
                return Err(ToolError::Arguments(text));
            }
            Some(unit) => unit.to_owned(),
            None => app,
        };
        let mut managed = self.managed();
        let info = managed
            .remove(&id)
            .ok_or_else(|| ToolError::SecretNotFound(id.clone()))?;
        for access in info.access.iter().filter(|it| it.relation == relation) {
            let (whole, one) = (!access.target.contains('/'), subject.contains('/'));
            if whole || access.target == subject {
                return Ok(());
            }
            if !one {
                let text = "any unit level grants need to be revoked before granting access to the corresponding application";
                return Err(ToolError::refused(text));
            }
        }
        // The agent keeps one grant for each relation: the last.
        let granted = self.pending.secrets.granted.entry(id).or_default();
        granted.insert(relation, subject);
        Ok(())
    }

    /// `secret-revoke` from a unit or an application, buffered.
    pub fn secret_revoke(&mut self, uri: &str, subject: &str) -> Result<(), ToolError> {
        let id = parse(uri)?.id;
        let revoked = self.pending.secrets.revoked.entry(id).or_default();
        if !revoked.contains(app_of(subject)) {
            revoked.insert(subject.to_owned());
        }
        Ok(())
    }
}

impl Secret {
    /// Notes what a unit has been shown; what it no longer uses may become obsolete.
    pub(super) fn track(&mut self, unit: &str, consumer: Consumer) {
        let now = consumer.revision;
        let before = self.consumers.insert(unit.to_owned(), consumer);
        if before.is_some_and(|it| it.revision < now) {
            self.mark_obsolete(Some(unit), now);
        }
    }
}

/// Keys are at least three characters, lower case letters, digits and single dashes.
fn check_content(content: &Settings) -> Result<(), ToolError> {
    let wrong = |text: String| Err(ToolError::Arguments(text));
    let mut total = 0;
    for (key, value) in content {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_key = key.starts_with(|c: char| c.is_ascii_lowercase())
            && key.ends_with(plain)
            && key.chars().all(|c| plain(c) || c == '-')
            && !key.contains("--")
            && key.chars().filter(|c| plain(*c)).count() >= 3;
        if !is_key {
            return wrong(format!("key \"{key}\" not valid"));
        }
        let size = value.len().div_ceil(3) * 4;
        if size > super::MAX_CONTENT {
            return wrong(format!(
                "base64 encoded secret content for key \"{key}\" too large: {size} bytes"
            ));
        }
        total += size;
    }
    if total > super::MAX_CONTENT {
        return wrong(format!(
            "base64 encoded secret content too large: {total} bytes"
        ));
    }
    Ok(())
}
