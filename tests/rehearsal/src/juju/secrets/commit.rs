//! What becomes of a hook's changes to secrets when it has ended well.

use std::collections::{BTreeMap, BTreeSet};

use super::{Consumer, Revision, Secret, SecretChanges, Secrets, Uri, relation_tag, tag};
use crate::juju::flush::FlushError;
use crate::juju::model::{Model, app_of};

/// Changes that wait for the end of the hook, by the secret's id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::juju) struct PendingSecrets {
    /// New secrets with their owners.
    pub(super) created: BTreeMap<String, (String, SecretChanges)>,
    pub(super) updated: BTreeMap<String, SecretChanges>,
    /// Revisions to remove, all if `None`.
    pub(super) removed: BTreeMap<String, Option<BTreeSet<u32>>>,
    /// By relation, who may read.
    pub(super) granted: BTreeMap<String, BTreeMap<u32, String>>,
    pub(super) revoked: BTreeMap<String, BTreeSet<String>>,
    /// Secrets of which this unit tracks the newest revision from now on.
    pub(super) tracked: BTreeSet<String>,
}

/// Puts the changes into `secrets`, one kind after the other; those before an error are in then.
pub(in crate::juju) fn commit(
    model: &Model,
    secrets: &mut Secrets,
    unit: &str,
    pending: PendingSecrets,
) -> Result<(), FlushError> {
    let failed = |doing| move |why| FlushError::Secret { doing, why };
    for (id, (owner, changes)) in pending.created {
        create(model, secrets, id, owner, changes).map_err(failed("creating secrets"))?;
    }
    for (id, changes) in pending.updated {
        update(model, secrets, unit, &id, changes).map_err(failed("updating secrets"))?;
    }
    for id in pending.tracked {
        if let Some(secret) = secrets.all.get_mut(&id) {
            let label = secret.consumers.get(unit).map(|it| it.label.clone());
            let consumer = Consumer {
                label: label.unwrap_or_default(),
                revision: secret.latest,
            };
            secret.track(unit, consumer);
        }
    }
    for (id, grants) in pending.granted {
        for (relation, subject) in grants {
            grant(model, secrets, unit, &id, relation, subject)
                .map_err(failed("granting secrets access"))?;
        }
    }
    for (id, subjects) in pending.revoked {
        // What is gone needs no revoking.
        if secrets.all.contains_key(&id) {
            let secret =
                managed(model, secrets, unit, &id).map_err(failed("revoking secrets access"))?;
            secret.grants.retain(|who, _| !subjects.contains(who));
        }
    }
    for (id, revisions) in pending.removed {
        if !secrets.all.contains_key(&id) {
            continue;
        }
        let secret = managed(model, secrets, unit, &id).map_err(failed("removing secrets"))?;
        match revisions {
            Some(revisions) => secret.revisions.retain(|it, _| !revisions.contains(it)),
            None => secret.revisions.clear(),
        }
        // Without its last revision a secret is gone.
        if secret.revisions.is_empty() {
            secrets.all.remove(&id);
        }
    }
    Ok(())
}

fn managed<'a>(
    model: &Model,
    secrets: &'a mut Secrets,
    unit: &str,
    id: &str,
) -> Result<&'a mut Secret, String> {
    let secret = secrets.all.get_mut(id);
    let secret = secret.ok_or_else(|| format!("secret \"{}\" not found", Uri::of(id)))?;
    if secret.is_managed_by(model, unit) {
        Ok(secret)
    } else {
        Err("permission denied".to_owned())
    }
}

fn label_is_free(secrets: &Secrets, owner: &str, label: &str, id: &str) -> Result<(), String> {
    let taken = secrets.label_is_taken(owner, label, id);
    taken.map_or(Ok(()), |_| {
        Err(format!("secret with label \"{label}\" already exists"))
    })
}

fn create(
    model: &Model,
    secrets: &mut Secrets,
    id: String,
    owner: String,
    changes: SecretChanges,
) -> Result<(), String> {
    let app = model.applications.get(app_of(&owner));
    let dying = match model.unit(&owner) {
        Some(unit) => unit.dying,
        None => app.is_none_or(|app| app.dying),
    };
    if dying {
        let owner = tag(&owner);
        return Err(format!(
            "cannot create secret for owner \"{owner}\" which is not alive"
        ));
    }
    let label = changes.label.unwrap_or_default();
    if !label.is_empty() {
        label_is_free(secrets, &owner, &label, &id)?;
    }
    let revision = Revision {
        content: changes.content,
        expire: changes.expire,
        obsolete: false,
    };
    let rotate = changes.rotate.unwrap_or_default();
    let secret = Secret {
        owner,
        label,
        description: changes.description.unwrap_or_default(),
        rotate,
        next_rotate: rotate.period().map(|it| model.clock + it),
        latest: 1,
        revisions: BTreeMap::from([(1, revision)]),
        consumers: BTreeMap::new(),
        grants: BTreeMap::new(),
    };
    secrets.all.insert(id, secret);
    Ok(())
}

fn update(
    model: &Model,
    secrets: &mut Secrets,
    unit: &str,
    id: &str,
    changes: SecretChanges,
) -> Result<(), String> {
    let owner = managed(model, secrets, unit, id)?.owner.clone();
    if let Some(label) = &changes.label {
        label_is_free(secrets, &owner, label, id)?;
    }
    let secret = managed(model, secrets, unit, id)?;
    secret.label = changes.label.unwrap_or_else(|| secret.label.clone());
    secret.description = changes
        .description
        .unwrap_or_else(|| secret.description.clone());
    if let Some(rotate) = changes.rotate.filter(|it| *it != secret.rotate) {
        let next = rotate.period().map(|it| model.clock + it);
        // A rotation that comes sooner stays where it is.
        secret.next_rotate = next.map(|it| secret.next_rotate.map_or(it, |old| old.min(it)));
        secret.rotate = rotate;
    }
    if changes.content.is_empty() {
        if let Some(revision) = secret.revisions.get_mut(&secret.latest) {
            revision.expire = changes.expire.or(revision.expire);
        }
    } else {
        secret.latest += 1;
        let revision = Revision {
            content: changes.content,
            expire: changes.expire,
            obsolete: false,
        };
        secret.revisions.insert(secret.latest, revision);
        secret.mark_obsolete(None, secret.latest);
    }
    Ok(())
}

fn grant(
    model: &Model,
    secrets: &mut Secrets,
    unit: &str,
    id: &str,
    relation: u32,
    subject: String,
) -> Result<(), String> {
    let secret = managed(model, secrets, unit, id)?;
    let scope = model.relations.get(&relation);
    if scope.is_none_or(|it| it.dying || it.gone) {
        let scope = relation_tag(model, relation);
        return Err(format!(
            "cannot grant access to secret in scope of \"{scope}\" which is not alive"
        ));
    }
    if model.juju.0 >= 4 && scope.is_some_and(super::super::model::Relation::is_peer) {
        let text = "granting access to a secret over a peer relation is not supported";
        return Err(text.to_owned());
    }
    let app = model.applications.get(app_of(&subject));
    let dying = match (subject.contains('/'), model.unit(&subject), app) {
        (true, it, _) => it.is_none_or(|it| it.dying),
        (false, _, app) => app.is_none_or(|app| app.dying),
    };
    if dying {
        return Err(format!(
            "cannot grant dying \"{}\" access to secret",
            tag(&subject)
        ));
    }
    if secret
        .grant(model, &subject)
        .is_some_and(|it| it != relation)
    {
        return Err("cannot change secret permission scope".to_owned());
    }
    secret.grants.insert(subject, relation);
    Ok(())
}
