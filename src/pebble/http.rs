//! One request, one connection, one reply; and the envelope that every JSON reply comes in.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "speaks with Pebble"
)]

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::client::Pebble;
use super::error::Error;

/// A request before it is sent.
pub(super) struct Request {
    method: &'static str,
    path: String,
    query: String,
    content_type: String,
    accept: &'static str,
    body: Bytes,
}

impl Request {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self {
            method: "GET",
            path: path.into(),
            query: String::new(),
            content_type: String::new(),
            accept: "application/json",
            body: Bytes::new(),
        }
    }

    pub(super) fn post(path: impl Into<String>, body: &Value) -> Self {
        Self::post_as(path, "application/json".to_owned(), body.to_string().into())
    }

    pub(super) fn post_as(path: impl Into<String>, content_type: String, body: Bytes) -> Self {
        Self {
            method: "POST",
            content_type,
            body,
            ..Self::get(path)
        }
    }

    #[must_use]
    pub(super) fn query(mut self, key: &str, value: &str) -> Self {
        self.query
            .push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(key);
        self.query.push('=');
        self.query.extend(percent_encoded(value));
        self
    }

    #[must_use]
    pub(super) fn accept(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }

    /// Method and path, as errors name the request.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn into_message(self) -> Result<hyper::Request<Full<Bytes>>, Error> {
        let name = self.name();
        let mut message = hyper::Request::builder()
            .method(self.method)
            .uri(format!("{}{}", self.path, self.query))
            .header(HOST, "localhost")
            .header(ACCEPT, self.accept);
        if !self.content_type.is_empty() {
            message = message.header(CONTENT_TYPE, self.content_type);
        }
        message
            .body(Full::new(self.body))
            .map_err(|error| Error::Unsendable {
                request: name,
                reason: error.to_string(),
            })
    }
}

/// A complete reply, not yet understood.
pub(super) struct Reply {
    request: String,
    status: u16,
    content_type: String,
    body: Bytes,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    change: String,
    #[serde(default)]
    result: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    message: String,
    kind: String,
}

impl Reply {
    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn content_type(&self) -> &str {
        &self.content_type
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The result of a request that is answered at once.
    pub(super) fn sync<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let envelope = self.envelope(&self.body)?;
        self.result(envelope)
    }

    /// The same for an envelope that is only a part of the reply.
    pub(super) fn sync_part<T: DeserializeOwned>(&self, json: &[u8]) -> Result<T, Error> {
        let envelope = self.envelope(json)?;
        self.result(envelope)
    }

    /// The identifier of the change that a request started, and what was answered besides.
    pub(super) fn change<T: DeserializeOwned>(&self) -> Result<(String, T), Error> {
        let envelope = self.envelope(&self.body)?;
        if envelope.kind != "async" || envelope.change.is_empty() {
            let kind = &envelope.kind;
            return Err(self.garbage(format!("expected a change, got type `{kind}` without one")));
        }
        let result =
            serde_json::from_value(envelope.result).map_err(|e| self.garbage(shape(&e)))?;
        Ok((envelope.change, result))
    }

    /// This reply as an error, with the reason why it is none of Pebble's.
    pub(super) fn garbage(&self, reason: impl AsRef<str>) -> Error {
        let Self {
            request,
            status,
            content_type,
            body,
        } = self;
        let length = body.len();
        let reason = reason.as_ref();
        Error::Garbage {
            request: request.clone(),
            reason: format!("{reason} (status {status}, {length} bytes of `{content_type}`)"),
        }
    }

    fn envelope(&self, json: &[u8]) -> Result<Envelope, Error> {
        let envelope: Envelope =
            serde_json::from_slice(json).map_err(|error| self.garbage(shape(&error)))?;
        if envelope.kind != "error" {
            return Ok(envelope);
        }
        let Refusal { message, kind } =
            serde_json::from_value(envelope.result).map_err(|e| self.garbage(shape(&e)))?;
        Err(Error::Refused {
            request: self.request.clone(),
            status: self.status,
            kind: (!kind.is_empty()).then_some(kind),
            message: if message.is_empty() {
                "no reason given".to_owned()
            } else {
                message
            },
        })
    }

    fn result<T: DeserializeOwned>(&self, envelope: Envelope) -> Result<T, Error> {
        if envelope.kind != "sync" {
            let kind = &envelope.kind;
            return Err(self.garbage(format!("expected type `sync`, got `{kind}`")));
        }
        serde_json::from_value(envelope.result).map_err(|error| self.garbage(shape(&error)))
    }
}

impl Pebble {
    pub(super) async fn ask(&self, request: Request) -> Result<Reply, Error> {
        self.ask_within(request, self.request_limit).await
    }

    pub(super) async fn ask_within(
        &self,
        request: Request,
        limit: Duration,
    ) -> Result<Reply, Error> {
        let name = request.name();
        match timeout(limit, self.exchange(request)).await {
            Ok(reply) => reply,
            Err(_) => Err(Error::Timeout {
                request: name,
                limit,
            }),
        }
    }

    pub(super) async fn connect(&self) -> Result<UnixStream, Error> {
        let socket = self.socket.clone();
        UnixStream::connect(&self.socket)
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    Error::NotUp { socket, source }
                }
                _ => Error::Connect { socket, source },
            })
    }

    async fn exchange(&self, request: Request) -> Result<Reply, Error> {
        let name = request.name();
        let message = request.into_message()?;
        let stream = self.connect().await?;
        let (head, body) = converse(stream, message)
            .await
            .map_err(|error| Error::Garbage {
                request: name.clone(),
                reason: format!("it breaks off or is not HTTP: {error}"),
            })?;
        let content_type = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        Ok(Reply {
            request: name,
            status: head.status.as_u16(),
            content_type: content_type.unwrap_or_default().to_owned(),
            body,
        })
    }
}

async fn converse(
    stream: UnixStream,
    message: hyper::Request<Full<Bytes>>,
) -> hyper::Result<(hyper::http::response::Parts, Bytes)> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let conversation = async move {
        let (head, body) = sender.send_request(message).await?.into_parts();
        Ok((head, body.collect().await?.to_bytes()))
    };
    tokio::pin!(conversation, connection);
    // The connection only moves the bytes; its end leaves the rest of the reply in our hands.
    tokio::select! {
        biased;
        reply = &mut conversation => reply,
        _ = &mut connection => conversation.await,
    }
}

/// What is wrong with some JSON, without a word of what stands in it: serde quotes strings that it
/// did not expect, and one of these may be a secret.
pub(super) fn shape(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once('"') {
        Some((before, _)) => format!("{}…", before.trim_end()),
        None => text,
    }
}

/// What stands for itself in a path or a query.
const PLAIN: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// A value as it may stand in a path or a query.
pub(super) fn percent_encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, &PLAIN)
}
