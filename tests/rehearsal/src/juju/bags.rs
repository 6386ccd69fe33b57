//! Relations as a hook sees them: who is there, and which databag may be read or written
//!.

use std::collections::BTreeSet;

use super::context::{HookContext, ToolError};
use super::event::RelationChange;
use super::flush::Pending;
use super::model::{Relation, Settings, app_of};

impl HookContext<'_> {
    /// `relation-ids`: numbers of the endpoint's relations, in the order of their texts, so that
    /// `db:10` comes before `db:2`.
    pub fn relation_ids(&self, endpoint: &str) -> Vec<u32> {
        let app = self.app();
        let mut ids: Vec<u32> = self
            .known_relations()
            .filter(|it| it.side(app).is_some_and(|side| side.endpoint == endpoint))
            .filter(|it| !self.counts_as_broken(it))
            .map(|it| it.id)
            .collect();
        ids.sort_by_key(u32::to_string);
        ids
    }

    fn known_relations(&self) -> impl Iterator<Item = &Relation> {
        self.model
            .relations_of(self.app())
            .filter(|it| it.scope.contains(&self.unit))
    }

    /// A dying relation without members is not listed any more, from the last unit's departed hook
    /// on (Juju 3.6.11).
    fn counts_as_broken(&self, relation: &Relation) -> bool {
        relation.dying && !relation.is_peer() && self.members(relation.id).is_empty()
    }

    /// A relation by number, if this unit is in it.
    pub fn relation(&self, id: u32) -> Result<&Relation, ToolError> {
        self.known_relations()
            .find(|it| it.id == id)
            .ok_or_else(|| ToolError::Relation(id.to_string()))
    }

    /// `relation-list`: remote units (or peers) of which this unit has been told, the joining one
    /// included and the departing one not.
    pub fn relation_list(&self, id: u32) -> Result<Vec<String>, ToolError> {
        self.relation(id)?;
        Ok(self.members(id).into_iter().collect())
    }

    fn members(&self, id: u32) -> BTreeSet<String> {
        let local = self
            .model
            .unit(&self.unit)
            .and_then(|it| it.agent.relations.get(&id));
        let mut members: BTreeSet<String> = local
            .into_iter()
            .flat_map(|it| it.members.keys().cloned())
            .collect();
        if let Some(event) = self.event.relation().filter(|event| event.id == id)
            && let Some(unit) = &event.remote_unit
        {
            match event.change {
                RelationChange::Departed => members.remove(unit),
                _ => members.insert(unit.clone()),
            };
        }
        members
    }

    /// `relation-list --app`: the other application, this one for peers.
    pub fn relation_app(&self, id: u32) -> Result<String, ToolError> {
        let app = self
            .relation(id)?
            .remote_app(self.app())
            .unwrap_or_default();
        Ok(app.to_owned())
    }

    /// `relation-get` of a unit's bag (`pg/0`) or of an application's (`pg`).
    pub fn relation_get(&self, id: u32, who: &str) -> Result<Settings, ToolError> {
        let relation = self.relation(id)?;
        if relation.side(app_of(who)).is_none() {
            return Err(ToolError::PermissionDenied);
        }
        let own = app_of(who) == self.app();
        if relation.gone {
            return Err(self.nothing_of(relation, who));
        }
        let over = |event: &super::event::RelationEvent| {
            event.id == id && event.change == RelationChange::Broken
        };
        if !own && self.event.relation().is_some_and(over) {
            return Err(ToolError::PermissionDenied);
        }
        let is_app = !who.contains('/');
        if is_app && own && !relation.is_peer() && !self.is_leader() {
            return Err(ToolError::PermissionDenied);
        }
        if !is_app && self.model.unit(who).is_none() && !relation.units.contains_key(who) {
            return Err(ToolError::PermissionDenied);
        }
        let (bags, pending) = if is_app {
            (&relation.apps, &self.pending.app_bags)
        } else {
            (&relation.units, &self.pending.unit_bags)
        };
        let mut settings = bags
            .get(who)
            .map(|bag| bag.settings.clone())
            .unwrap_or_default();
        if who == self.unit || (is_app && own) {
            Pending::overlay(pending.get(&id), &mut settings);
        }
        Ok(settings)
    }

    /// What `relation-get` says of a relation that the controller has removed behind the agent's back.
    fn nothing_of(&self, relation: &Relation, who: &str) -> ToolError {
        if who == self.unit {
            ToolError::PermissionDenied
        } else if who == self.app() && self.is_leader() {
            ToolError::Unauthorized
        } else {
            let kind = if relation.is_peer() {
                "peer"
            } else {
                "regular"
            };
            ToolError::Refused(format!(
                "getting {kind} relation by key: relation not found"
            ))
        }
    }

    /// `relation-set` into this unit's bag, buffered. An empty value deletes its key.
    pub fn relation_set<K: Into<String>, V: Into<String>>(
        &mut self,
        id: u32,
        changes: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), ToolError> {
        if self.relation(id)?.gone {
            let why = "cannot read relation settings: permission denied";
            return Err(ToolError::refused(why));
        }
        let bag = self.pending.unit_bags.entry(id).or_default();
        bag.extend(
            changes
                .into_iter()
                .map(|(key, value)| (key.into(), value.into())),
        );
        Ok(())
    }

    /// `relation-set --app` into the application's bag, buffered, leader only.
    pub fn relation_set_app<K: Into<String>, V: Into<String>>(
        &mut self,
        id: u32,
        changes: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), ToolError> {
        let gone = self.relation(id)?.gone;
        if !self.is_leader() {
            return Err(ToolError::CannotWrite);
        }
        if gone {
            let why = ToolError::Unauthorized;
            let text = format!("cannot read relation application settings: {why}");
            return Err(ToolError::Refused(text));
        }
        let bag = self.pending.app_bags.entry(id).or_default();
        bag.extend(
            changes
                .into_iter()
                .map(|(key, value)| (key.into(), value.into())),
        );
        Ok(())
    }
}
