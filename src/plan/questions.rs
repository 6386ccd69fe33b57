//! Whom to ask in this hook, besides Juju and the container.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::facts::Facts;
use crate::juju::{Event, Hook, RelationEventKind};
use crate::relations::ENDPOINTS;
use crate::temporal::{Database, PerStore, Role, Version};

/// What to ask. An answer that could change nothing is not asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Questions {
    /// The databases to ask for a proof: before a start, and again while a server runs, since rights, connections
    /// and the ring come and go.
    pub proof: Option<PerStore<Database>>,
    /// See [`health`].
    pub health: Option<Health>,
}

/// A server to be asked whether it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Where it is.
    pub address: IpAddr,
    /// What should run there.
    pub roles: BTreeSet<Role>,
    /// What the image calls itself.
    pub version: Option<Version>,
}

/// Can this hook change nothing, so that nobody needs to be asked? Besides those that mean nothing to the charm, these
/// are the hooks about a unit that has come, changed or gone on the other side of an endpoint of which nothing is
/// read: there are as many of them as there are units.
pub fn is_idle(hook: &Hook) -> bool {
    let Event::Relation(event) = &hook.event else {
        return hook.event.is_idle();
    };
    let about_a_unit = match event.kind {
        RelationEventKind::Joined | RelationEventKind::Changed => true,
        RelationEventKind::Departed => !hook.departing_self(),
        RelationEventKind::Created | RelationEventKind::Broken => false,
    };
    let mut endpoints = ENDPOINTS.iter();
    let endpoint = endpoints.find(|endpoint| endpoint.name == event.endpoint);
    about_a_unit && endpoint.is_some_and(|endpoint| endpoint.reads.is_empty())
}

/// Decides whom to ask.
pub fn questions(facts: &Facts) -> Questions {
    Questions {
        proof: proof(facts),
        health: health(facts),
    }
}

fn proof(facts: &Facts) -> Option<PerStore<Database>> {
    match &facts.hook.event {
        Event::Remove | Event::Stop | Event::Other(_) => return None,
        Event::Install
        | Event::Start
        | Event::UpgradeCharm
        | Event::ConfigChanged
        | Event::UpdateStatus
        | Event::LeaderElected
        | Event::Relation(_)
        | Event::Workload { .. }
        | Event::Secret { .. }
        | Event::Action { .. } => {}
    }
    Some(facts.server.as_ref()?.databases.clone())
}

/// The roles that should run are asked for their health, if the server does run.
pub fn health(facts: &Facts) -> Option<Health> {
    let config = facts.config.as_ref().ok()?;
    let service = facts.workload.known()?.service.as_ref()?;
    let address = facts.bind_address?;
    service.is_active().then(|| Health {
        address,
        roles: facts.roles(config),
        version: facts.version(),
    })
}
