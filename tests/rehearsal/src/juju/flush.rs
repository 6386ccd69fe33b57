//! The commit at the end of a hook: all buffered changes, or none of them.

use std::collections::{BTreeMap, BTreeSet};

use super::context::HookContext;
use super::model::{Model, Port, Relation, Settings, app_of, merge};
use super::secrets::{self, PendingSecrets};

/// Juju's `max-charm-state-size`, in bytes.
pub const MAX_STATE: usize = 2 * 1024 * 1024;
/// What a bag's document may hold at most, in bytes.
pub const MAX_BAG: usize = 16 * 1024 * 1024;

/// Why a commit is refused; the hook then counts as failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlushError {
    /// The unit wrote application bags and does not lead any more.
    #[error("could not write application settings to relation {0}: permission denied")]
    LeadershipLost(u32),
    /// The relation is gone.
    #[error("could not write settings to relation {0}: relation not found")]
    RelationGone(u32),
    /// More state than the controller takes.
    #[error("max allowed charm state size ({MAX_STATE} bytes) exceeded")]
    StateTooLarge,
    /// A bag that does not fit a document.
    #[error("could not write settings to relation {0}: document too large")]
    BagTooLarge(u32),
    /// Something about a secret.
    #[error("{doing}: {why}")]
    Secret {
        /// The kind of change.
        doing: &'static str,
        /// Why not.
        why: String,
    },
}

/// Changes that become visible only when the hook ends well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) unit_bags: BTreeMap<u32, Settings>,
    pub(super) app_bags: BTreeMap<u32, Settings>,
    pub(super) state: Settings,
    pub(super) state_deleted: BTreeSet<String>,
    pub(super) opened: BTreeSet<(Port, String)>,
    pub(super) closed: BTreeSet<(Port, String)>,
    pub(super) secrets: PendingSecrets,
}

impl Pending {
    pub(super) fn apply_ports(&self, ports: &mut BTreeSet<(Port, String)>) {
        ports.extend(self.opened.iter().cloned());
        for (port, endpoint) in &self.closed {
            // Closing a port without naming endpoints closes it everywhere.
            ports.retain(|(open, at)| open != port || !(endpoint.is_empty() || at == endpoint));
        }
    }

    pub(super) fn apply_state(&self, state: &mut Settings) {
        state.retain(|key, _| !self.state_deleted.contains(key));
        state.extend(self.state.clone());
    }

    pub(super) fn overlay(changes: Option<&Settings>, settings: &mut Settings) {
        if let Some(changes) = changes {
            merge(settings, changes);
        }
    }
}

fn size(settings: &Settings) -> usize {
    settings
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum()
}

impl HookContext<'_> {
    /// Commits what the hook buffered. Leadership is checked again, since it may be lost by now.
    pub(super) fn flush(&mut self) -> Result<(), FlushError> {
        let mut pending = std::mem::take(&mut self.pending);
        check_rights(self.model, &self.unit, &pending)?;
        let mut secrets = self.model.secrets.clone();
        let changes = std::mem::take(&mut pending.secrets);
        let committed = secrets::commit(self.model, &mut secrets, &self.unit, changes);
        if self.model.juju.0 < 4 {
            // Secrets come before all else there, and stay even if what comes next is refused.
            self.model.secrets = secrets;
            committed?;
            check_sizes(self.model, &self.unit, &pending)?;
        } else {
            committed?;
            check_sizes(self.model, &self.unit, &pending)?;
            self.model.secrets = secrets;
        }
        let app = app_of(&self.unit).to_owned();
        for (id, changes) in &pending.unit_bags {
            if let Some(relation) = self.model.relations.get_mut(id) {
                relation
                    .units
                    .entry(self.unit.clone())
                    .or_default()
                    .apply(changes);
            }
        }
        for (id, changes) in &pending.app_bags {
            let Some(relation) = self.model.relations.get_mut(id) else {
                continue;
            };
            let bag = relation.apps.entry(app.clone()).or_default();
            let before = bag.version;
            bag.apply(changes);
            let (peer, after) = (relation.is_peer(), bag_version(relation, &app));
            // The writer hears nothing of its own write to a peer application bag.
            if let Some(me) = self.model.unit_mut(&self.unit).filter(|_| peer) {
                let local = me.agent.relations.entry(*id).or_default();
                if local.app_version == before {
                    local.app_version = after;
                }
            }
        }
        if let Some(unit) = self.model.unit_mut(&self.unit) {
            pending.apply_state(&mut unit.state);
            pending.apply_ports(&mut unit.ports);
        }
        Ok(())
    }
}

fn bag_version(relation: &Relation, app: &str) -> u64 {
    relation.apps.get(app).map_or(0, |bag| bag.version)
}

fn check_rights(model: &Model, unit: &str, pending: &Pending) -> Result<(), FlushError> {
    if let Some(id) = pending
        .app_bags
        .keys()
        .next()
        .filter(|_| !model.is_leader(unit))
    {
        return Err(FlushError::LeadershipLost(*id));
    }
    let mut ids = pending.unit_bags.keys().chain(pending.app_bags.keys());
    let gone = |id: &&u32| model.relations.get(id).is_none_or(|it| it.gone);
    ids.find(gone)
        .map_or(Ok(()), |id| Err(FlushError::RelationGone(*id)))
}

fn check_sizes(model: &Model, unit: &str, pending: &Pending) -> Result<(), FlushError> {
    let sides = [
        (&pending.unit_bags, unit),
        (&pending.app_bags, app_of(unit)),
    ];
    for (bags, who) in sides {
        for (id, changes) in bags {
            let relation = model.relations.get(id);
            let bag = relation.and_then(|it| it.units.get(who).or_else(|| it.apps.get(who)));
            let mut settings = bag.map(|bag| bag.settings.clone()).unwrap_or_default();
            merge(&mut settings, changes);
            if size(&settings) > MAX_BAG {
                return Err(FlushError::BagTooLarge(*id));
            }
        }
    }
    let mut state = model
        .unit(unit)
        .map(|it| it.state.clone())
        .unwrap_or_default();
    pending.apply_state(&mut state);
    if size(&state) > MAX_STATE {
        return Err(FlushError::StateTooLarge);
    }
    Ok(())
}
