//! Asks the running server whether it serves, over gRPC without TLS. Called by `observe`, and by `apply`
//! after a start. It changes nothing, and every wait in it has an end.
#![expect(clippy::disallowed_methods, reason = "waits for a server to come up")]

use std::collections::BTreeSet;
use std::error::Error as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use prost::Message;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::server::Role;
use crate::server::version::Version;
use crate::snapshot::Serving;

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
    let server = Server {
        address: SocketAddr::new(address, role.grpc_port()),
        limit,
        deadline: Instant::now() + limit,
    };
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

/// The listener of one role.
struct Server {
    address: SocketAddr,
    limit: Duration,
    deadline: Instant,
}

impl Server {
    async fn connect(&self) -> Result<Channel, String> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address))
            .map_err(|error| format!("{} is no address: {error}", self.address))?;
        match timeout_at(self.deadline, endpoint.connect()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(self.connect_words(&error)),
            Err(_) => Err(self.silence()),
        }
    }

    async fn health(&self, channel: &Channel, service: &str) -> Result<(), String> {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer: HealthCheckResponse = self
            .call(channel, "/grpc.health.v1.Health/Check", request)
            .await?;
        health_words(answer.status)
    }

    async fn store(&self, channel: &Channel) -> Result<(), String> {
        let path = "/temporal.api.workflowservice.v1.WorkflowService/ListNamespaces";
        let request = ListNamespacesRequest { page_size: 1 };
        let _: ListNamespacesResponse = self.call(channel, path, request).await?;
        Ok(())
    }

    async fn version(&self, channel: &Channel) -> Option<Version> {
        let path = "/temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo";
        let answer: GetSystemInfoResponse = self
            .call(channel, path, GetSystemInfoRequest {})
            .await
            .ok()?;
        answer.server_version.parse().ok()
    }

    async fn call<Q, A>(
        &self,
        channel: &Channel,
        path: &'static str,
        request: Q,
    ) -> Result<A, String>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut client = Grpc::new(channel.clone());
        let call = async {
            client
                .ready()
                .await
                .map_err(|error| self.connect_words(&error))?;
            client
                .unary(
                    tonic::Request::new(request),
                    PathAndQuery::from_static(path),
                    ProstCodec::default(),
                )
                .await
                .map_err(|status| status_words(&status))
        };
        match timeout_at(self.deadline, call).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(self.silence()),
        }
    }

    fn silence(&self) -> String {
        let seconds = self.limit.as_secs_f32();
        format!("no answer from {} within {seconds} s", self.address)
    }

    fn connect_words(&self, error: &tonic::transport::Error) -> String {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(inner) = inner.downcast_ref::<io::Error>() {
                return match inner.kind() {
                    io::ErrorKind::ConnectionRefused => {
                        format!("connection refused by {}", self.address)
                    }
                    kind => format!("{} cannot be reached: {kind}", self.address),
                };
            }
            cause = inner.source();
        }
        format!("{} does not speak gRPC", self.address)
    }
}

/// The enum `ServingStatus`, in words.
fn health_words(status: i32) -> Result<(), String> {
    const SERVING: i32 = 1;
    const NOT_SERVING: i32 = 2;
    match status {
        SERVING => Ok(()),
        NOT_SERVING => Err("it answers, but does not serve yet".to_owned()),
        other => Err(format!("it answers with the unknown health {other}")),
    }
}

/// gRPC's code in words, with the first line of what the server says about it.
fn status_words(status: &tonic::Status) -> String {
    const LONGEST: usize = 120;
    let line = status.message().lines().next().unwrap_or_default();
    let mut message: String = line.chars().take(LONGEST).collect();
    if message.len() < line.len() {
        message.push('…');
    }
    let code = status.code();
    if message.is_empty() {
        format!("it answers with {code:?}")
    } else {
        format!("it answers with {code:?}: {message}")
    }
}

// From grpc/health/v1/health.proto and temporal/api/workflowservice/v1/request_response.proto: the fields
// we use. Unknown fields are skipped.

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListNamespacesRequest {
    #[prost(int32, tag = "1")]
    page_size: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListNamespacesResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct GetSystemInfoRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct GetSystemInfoResponse {
    #[prost(string, tag = "1")]
    server_version: String,
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

    #[test]
    fn only_serving_is_healthy() {
        assert_eq!(health_words(1), Ok(()));
        for status in [0, 2, 3, 4, -1] {
            assert!(health_words(status).is_err(), "{status}");
        }
    }

    #[test]
    fn a_long_answer_is_cut() {
        let status = tonic::Status::unavailable(format!("{}\nsecond line", "é".repeat(500)));
        let words = status_words(&status);
        assert_eq!(
            words,
            format!("it answers with Unavailable: {}…", "é".repeat(120))
        );
    }
}
