//! The calls of Temporal's gRPC API that this charm makes, without TLS; every answer that is none is words for a
//! status line.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "every call has a deadline"
)]

use std::collections::BTreeSet;
use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use prost::Message;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;

use super::super::version::Version;

/// The listener of one role, for as long as it may take to answer.
pub(super) struct Server {
    address: SocketAddr,
    limit: Duration,
    deadline: Instant,
}

impl Server {
    /// Every call together may take `limit` from now on.
    pub(super) fn new(address: SocketAddr, limit: Duration) -> Self {
        Self {
            address,
            limit,
            deadline: Instant::now() + limit,
        }
    }

    pub(super) async fn connect(&self) -> Result<Channel, String> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address))
            .map_err(|error| format!("{} is no address: {error}", self.address))?;
        match timeout_at(self.deadline, endpoint.connect()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(self.connect_words(&error)),
            Err(_) => Err(self.silence()),
        }
    }

    /// Does anything listen there?
    pub(super) async fn listens(&self) -> Result<(), String> {
        match timeout_at(self.deadline, TcpStream::connect(self.address)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.refusal(error.kind())),
            Err(_) => Err(self.silence()),
        }
    }

    /// The state of a service, by the name under which the server reports it.
    pub(super) async fn health(&self, channel: &Channel, service: &str) -> Result<(), String> {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut client = HealthClient::new(channel.clone());
        let answer = self.within(channel, client.check(request)).await?;
        health_words(answer.status)
    }

    /// A call that reads the store.
    pub(super) async fn store(&self, channel: &Channel) -> Result<(), String> {
        let path = "/temporal.api.workflowservice.v1.WorkflowService/ListNamespaces";
        let request = ListNamespacesRequest { page_size: 1 };
        let _: ListNamespacesResponse = self.call(channel, path, request).await?;
        Ok(())
    }

    /// The numbers of the shards that a history process owns; they begin with 1.
    pub(super) async fn shards(&self, channel: &Channel) -> Result<BTreeSet<u32>, String> {
        let path = "/temporal.server.api.historyservice.v1.HistoryService/DescribeHistoryHost";
        let answer: DescribeHistoryHostResponse = self
            .call(channel, path, DescribeHistoryHostRequest {})
            .await?;
        let numbers = answer.shard_ids.into_iter();
        Ok(numbers.filter_map(|id| u32::try_from(id).ok()).collect())
    }

    /// The version that the server reports.
    pub(super) async fn version(&self, channel: &Channel) -> Option<Version> {
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
        let request = tonic::Request::new(request);
        let path = PathAndQuery::from_static(path);
        let call = async {
            let ready = client.ready().await;
            ready.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
            client.unary(request, path, ProstCodec::default()).await
        };
        self.within(channel, call).await
    }

    async fn within<A>(
        &self,
        channel: &Channel,
        call: impl Future<Output = Result<tonic::Response<A>, tonic::Status>>,
    ) -> Result<A, String> {
        let answer = async {
            let mut channel = Grpc::new(channel.clone());
            let ready = channel.ready().await;
            ready.map_err(|error| self.connect_words(&error))?;
            call.await.map_err(|status| status_words(&status))
        };
        match timeout_at(self.deadline, answer).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(self.silence()),
        }
    }

    fn silence(&self) -> String {
        let seconds = self.limit.as_secs_f32();
        format!("no answer from {} within {seconds} s", self.address)
    }

    fn refusal(&self, kind: io::ErrorKind) -> String {
        match kind {
            io::ErrorKind::ConnectionRefused => format!("connection refused by {}", self.address),
            kind => format!("{} cannot be reached: {kind}", self.address),
        }
    }

    fn connect_words(&self, error: &tonic::transport::Error) -> String {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(inner) = inner.downcast_ref::<io::Error>() {
                return self.refusal(inner.kind());
            }
            cause = inner.source();
        }
        format!("{} does not speak gRPC", self.address)
    }
}

/// A health in words.
fn health_words(status: i32) -> Result<(), String> {
    match ServingStatus::try_from(status) {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(ServingStatus::NotServing) => Err("it answers, but does not serve yet".to_owned()),
        Ok(ServingStatus::Unknown | ServingStatus::ServiceUnknown) | Err(_) => {
            Err(format!("it answers with the unknown health {status}"))
        }
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

// From temporal/api/workflowservice/v1/request_response.proto: the fields we use. Unknown fields are skipped.

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

// From temporal/server/api/historyservice/v1/request_response.proto. Without a host in the request, the process that
// is asked answers for itself.

#[derive(Clone, PartialEq, prost::Message)]
struct DescribeHistoryHostRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct DescribeHistoryHostResponse {
    #[prost(int32, repeated, tag = "2")]
    shard_ids: Vec<i32>,
}

#[cfg(test)]
mod tests {
    use super::*;

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
