//! Does the running server serve? Called by `observe`, with patience after a start. It changes nothing, and every
//! wait in it has an end.
#![expect(clippy::disallowed_methods, reason = "waits for a server to come up")]

mod api;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

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
}

/// One look of [`wait_until_serving`] takes no longer, so that a call that was lost in a start-up does not use
/// up the whole wait.
const ONE_LOOK: Duration = Duration::from_secs(3);

/// Asks every role at the same time. Never waits longer than `limit`.
pub async fn look(address: IpAddr, roles: &BTreeSet<Role>, limit: Duration) -> Serving {
    let mut questions = JoinSet::new();
    for &role in roles {
        questions.spawn(async move { (role, ask(role, address, limit).await) });
    }
    let mut serving = Serving::default();
    for (role, answer) in questions.join_all().await {
        serving.roles.insert(role, answer.health);
        if role == Role::Frontend {
            serving.store = Some(answer.store);
            serving.version = answer.version;
        }
    }
    serving
}

/// Looks again every `pause` until all is well or `limit` is over; the last answer tells which.
pub async fn wait_until_serving(
    address: IpAddr,
    roles: &BTreeSet<Role>,
    limit: Duration,
    pause: Duration,
) -> Serving {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let serving = look(address, roles, left.min(ONE_LOOK)).await;
        if all_is_well(&serving) || Instant::now() + pause >= deadline {
            return serving;
        }
        sleep(pause).await;
    }
}

/// Does every role serve, and the store too where it was asked?
pub fn all_is_well(serving: &Serving) -> bool {
    serving.roles.values().all(Result::is_ok) && !matches!(serving.store, Some(Err(_)))
}

/// What one role answers; the last two are of interest for the frontend only.
struct Answer {
    health: Result<(), String>,
    store: Result<(), String>,
    version: Option<Version>,
}

async fn ask(role: Role, address: IpAddr, limit: Duration) -> Answer {
    let Some(service) = health_name(role) else {
        // Nothing listens for the worker: it serves while the process runs, which Pebble tells.
        return Answer {
            health: Ok(()),
            store: Ok(()),
            version: None,
        };
    };
    let server = Server::new(SocketAddr::new(address, role.grpc_port()), limit);
    let channel = match server.connect().await {
        Ok(channel) => channel,
        Err(why) => {
            return Answer {
                health: Err(why.clone()),
                store: Err(why),
                version: None,
            };
        }
    };
    if role == Role::Frontend {
        let (health, store, version) = tokio::join!(
            server.health(&channel, service),
            server.store(&channel),
            server.version(&channel),
        );
        Answer {
            health,
            store,
            version,
        }
    } else {
        Answer {
            health: server.health(&channel, service).await,
            store: Ok(()),
            version: None,
        }
    }
}

/// The name under which a role reports its health, the same from 1.17 to 1.32. The empty name would be
/// weaker: 1.17 does not know it, and newer servers report SERVING under it from the first moment.
const fn health_name(role: Role) -> Option<&'static str> {
    match role {
        Role::Frontend | Role::InternalFrontend => {
            Some("temporal.api.workflowservice.v1.WorkflowService")
        }
        Role::History => Some("temporal.api.workflowservice.v1.HistoryService"),
        Role::Matching => Some("temporal.api.workflowservice.v1.MatchingService"),
        Role::Worker => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving(health: Result<(), String>, store: Option<Result<(), String>>) -> Serving {
        Serving {
            roles: [(Role::Frontend, health)].into(),
            store,
            version: None,
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
