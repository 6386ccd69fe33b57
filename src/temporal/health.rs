//! Does the running server serve? Called by `observe`, again and again after a start. It changes nothing, and every
//! question in it has a deadline.
mod api;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::task::JoinSet;

use api::Server;

use super::role::Role;
use super::version::Version;

/// What the running server says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// Each role that was asked, and why it does not serve, if it does not.
    pub roles: BTreeMap<Role, Result<(), String>>,
    /// A call that reads the store; `None` without a frontend in this unit.
    pub store: Option<Result<(), String>>,
    /// The version that the frontend reports.
    pub version: Option<Version>,
    /// Which shards history owns, asked only when it answers and does not call itself serving.
    pub shards: Option<BTreeSet<u32>>,
    /// Which shards the other members of the ring own, asked only when history owns none.
    pub elsewhere: BTreeSet<u32>,
}

/// Asks every role of a server of this version at the same time. Never waits longer than `limit`.
pub async fn look(
    address: IpAddr,
    roles: &BTreeSet<Role>,
    version: Option<Version>,
    limit: Duration,
) -> Serving {
    let mut questions = JoinSet::new();
    let has_worker_health = version.is_some_and(Version::has_worker_health);
    for &role in roles {
        questions.spawn(async move {
            let answer = if role == Role::Worker && !has_worker_health {
                Answer::of(joins(role, address, limit).await)
            } else {
                ask(role, address, limit).await
            };
            (role, answer)
        });
    }
    let mut serving = Serving::default();
    for (role, answer) in questions.join_all().await {
        serving.roles.insert(role, answer.health);
        if role == Role::Frontend {
            serving.store = Some(answer.store);
            serving.version = answer.version;
        }
        if role == Role::History {
            serving.shards = answer.shards;
        }
    }
    serving
}

/// The shards that these history processes own, as far as they answer within `limit`.
pub async fn shards(addresses: &[IpAddr], limit: Duration) -> BTreeSet<u32> {
    let mut questions = JoinSet::new();
    for &address in addresses {
        questions.spawn(async move {
            let server = Server::new(SocketAddr::new(address, Role::History.grpc_port()), limit);
            let channel = server.connect().await?;
            server.shards(&channel).await
        });
    }
    let answers = questions.join_all().await;
    answers.into_iter().flatten().flatten().collect()
}

/// Does every role serve, and the store too where it was asked?
pub fn all_is_well(serving: &Serving) -> bool {
    serving.roles.values().all(Result::is_ok) && !matches!(serving.store, Some(Err(_)))
}

/// What one role answers. The store and the version are of interest for the frontend only, the shards for history.
struct Answer {
    health: Result<(), String>,
    store: Result<(), String>,
    version: Option<Version>,
    shards: Option<BTreeSet<u32>>,
}

impl Answer {
    const fn of(health: Result<(), String>) -> Self {
        Self {
            health,
            store: Ok(()),
            version: None,
            shards: None,
        }
    }
}

/// Is there a process to be a member of the ring? That is all that can be seen from outside of one that does not tell
/// its health.
async fn joins(role: Role, address: IpAddr, limit: Duration) -> Result<(), String> {
    let server = Server::new(SocketAddr::new(address, role.membership_port()), limit);
    server.listens().await
}

async fn ask(role: Role, address: IpAddr, limit: Duration) -> Answer {
    let service = health_name(role);
    let server = Server::new(SocketAddr::new(address, role.grpc_port()), limit);
    let channel = match server.connect().await {
        Ok(channel) => channel,
        Err(why) => {
            return Answer {
                store: Err(why.clone()),
                ..Answer::of(Err(why))
            };
        }
    };
    if role == Role::Frontend {
        let (health, store, version) = tokio::join!(
            server.health(&channel, service),
            server.store(&channel),
            server.version(&channel),
        );
        return Answer {
            store,
            version,
            ..Answer::of(health)
        };
    }
    let health = server.health(&channel, service).await;
    let shards = if role == Role::History && health.is_err() {
        server.shards(&channel).await.ok()
    } else {
        None
    };
    Answer {
        shards,
        ..Answer::of(health)
    }
}

/// The name under which a role reports its health, the same from 1.17 (the worker: 1.31) to 1.32. The empty name would
/// be weaker: 1.17 does not know it, and newer servers report SERVING under it from the first moment.
const fn health_name(role: Role) -> &'static str {
    match role {
        Role::Frontend | Role::InternalFrontend => {
            "temporal.api.workflowservice.v1.WorkflowService"
        }
        Role::History => "temporal.api.workflowservice.v1.HistoryService",
        Role::Matching => "temporal.api.workflowservice.v1.MatchingService",
        Role::Worker => "temporal.api.workflowservice.v1.WorkerService",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving(health: Result<(), String>, store: Option<Result<(), String>>) -> Serving {
        Serving {
            roles: [(Role::Frontend, health)].into(),
            store,
            ..Serving::default()
        }
    }

    #[test]
    fn all_is_well_only_when_nothing_failed() {
        let bad = || Err("why".to_owned());
        assert!(all_is_well(&serving(Ok(()), Some(Ok(())))));
        assert!(all_is_well(&serving(Ok(()), None)));
        assert!(!all_is_well(&serving(bad(), Some(Ok(())))));
        assert!(!all_is_well(&serving(Ok(()), Some(bad()))));
    }
}
