//! Who is in which relation, and what Juju itself does on the way in and out: addresses in unit
//! bags, leadership, the end of dying relations.

use std::net::IpAddr;

use super::model::{Model, Settings, app_of, number_of};

/// The subnet that has this address only.
pub(super) fn subnet(address: IpAddr) -> String {
    match address {
        IpAddr::V4(it) => format!("{it}/32"),
        IpAddr::V6(it) => format!("{it}/128"),
    }
}

impl Model {
    /// Hands leadership to a unit, which has not been told yet.
    pub fn set_leader(&mut self, unit: &str) {
        let Some(app) = self.applications.get_mut(app_of(unit)) else {
            return;
        };
        if app.leader.as_deref() == Some(unit) {
            return;
        }
        app.leader = Some(unit.to_owned());
        if let Some(it) = self.unit_mut(unit) {
            it.agent.leader_told = false;
        }
    }

    /// Hands leadership to the first living unit if nobody holds it.
    pub(super) fn elect(&mut self, app: &str) {
        let Some(application) = self.applications.get(app) else {
            return;
        };
        let held = application
            .leader
            .as_ref()
            .and_then(|leader| number_of(leader));
        if held
            .and_then(|it| application.units.get(&it))
            .is_some_and(|unit| !unit.dying)
        {
            return;
        }
        let living = application
            .units
            .iter()
            .find(|(_, unit)| !unit.dying)
            .map(|(it, _)| *it);
        if let Some(number) = living {
            self.set_leader(&format!("{app}/{number}"));
        }
    }

    /// The keys that Juju itself keeps in a unit's bag. Without a Service address they
    /// are absent.
    fn address_settings(&self, app: &str) -> Settings {
        let address = self.applications.get(app).and_then(|it| it.service_ip);
        let text = address.map(|it| it.to_string()).unwrap_or_default();
        let subnet = address.map(subnet).unwrap_or_default();
        Settings::from([
            ("ingress-address".to_owned(), text.clone()),
            ("private-address".to_owned(), text),
            ("egress-subnets".to_owned(), subnet),
        ])
    }

    /// Lets an installed unit enter the living relations of its application, as the agent does
    /// before it runs relation-created, and leave those that ended before that.
    pub(super) fn enter_scopes(&mut self, unit: &str) {
        let app = app_of(unit).to_owned();
        let ready = self
            .unit(unit)
            .is_some_and(|it| it.agent.installed && !it.dying);
        if !ready {
            return;
        }
        let addresses = self.address_settings(&app);
        for relation in self.relations.values_mut() {
            if relation.dying
                || relation.gone
                || relation.side(&app).is_none()
                || relation.scope.contains(unit)
            {
                continue;
            }
            relation.scope.insert(unit.to_owned());
            // A unit that comes back under its old name starts with an empty bag.
            let bag = relation.units.entry(unit.to_owned()).or_default();
            bag.version += 1;
            bag.settings.clear();
            bag.apply(&addresses);
        }
        let told = self
            .unit(unit)
            .map(|it| it.agent.relations.clone())
            .unwrap_or_default();
        let untold = |id: &u32| !told.get(id).is_some_and(|local| local.created);
        let over: Vec<u32> = self
            .relations
            .values()
            .filter(|it| it.dying && !it.gone && it.scope.contains(unit) && untold(&it.id))
            .map(|it| it.id)
            .collect();
        for id in over {
            self.leave_scope(unit, id);
        }
    }

    /// Writes the addresses again into the unit's bags, as Juju does after config-changed.
    pub(super) fn refresh_addresses(&mut self, unit: &str) {
        let addresses = self.address_settings(app_of(unit));
        for relation in self.relations.values_mut() {
            if relation.scope.contains(unit) {
                relation
                    .units
                    .entry(unit.to_owned())
                    .or_default()
                    .apply(&addresses);
            }
        }
    }

    /// Takes the unit out of a relation and removes the relation once it is dying and empty.
    pub(super) fn leave_scope(&mut self, unit: &str, id: u32) {
        if let Some(relation) = self.relations.get_mut(&id) {
            relation.scope.remove(unit);
            relation.leaving.remove(unit);
        }
        if let Some(it) = self.unit_mut(unit) {
            it.agent.relations.remove(&id);
        }
        self.drop_finished_relations();
    }

    pub(super) fn drop_finished_relations(&mut self) {
        let over = |it: &super::model::Relation| (it.dying || it.gone) && it.scope.is_empty();
        self.relations.retain(|_, relation| !over(relation));
    }

    /// Whether Juju 4 calls this unit dead as soon as it looks: it leaves, and is in no relation any more. Its agent
    /// then ends at once, whatever hooks would have come.
    pub(super) fn out_of_relations(&self, unit: &str) -> bool {
        let leaves = self.unit(unit).is_some_and(|it| it.dying);
        let mut relations = self.relations_of(app_of(unit)).filter(|it| !it.gone);
        self.juju.0 >= 4 && leaves && !relations.any(|it| it.scope.contains(unit))
    }

    /// The relations that Juju 4 takes from this unit: every ten seconds it removes those dying ones
    /// whose last unit is dying too and says blocked, or is in error.
    pub(super) fn taken_from(&self, unit: &str) -> Vec<u32> {
        let stuck = self.unit(unit).is_some_and(|it| {
            let status = super::status::shown_status(it).status;
            it.dying && matches!(status.as_str(), "blocked" | "error")
        });
        if self.juju.0 < 4 || !stuck {
            return Vec::new();
        }
        let app = self.applications.get(app_of(unit));
        let app_dies = app.is_some_and(|it| it.dying);
        let ends = |it: &&super::model::Relation| {
            // An application takes its peer relations with it.
            let dying = it.dying || (it.is_peer() && app_dies);
            dying && !it.gone && it.scope.len() == 1 && it.scope.contains(unit)
        };
        self.relations_of(app_of(unit))
            .filter(ends)
            .map(|it| it.id)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::subnet;

    #[test]
    fn an_address_alone_is_a_subnet_of_its_family() {
        for (address, expected) in [("10.1.0.7", "10.1.0.7/32"), ("fd98::7", "fd98::7/128")] {
            assert_eq!(subnet(address.parse().unwrap()), expected);
        }
    }
}
