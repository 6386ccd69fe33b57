//! The socket of a fake Pebble: HTTP/1.1 over a unix socket in front of a [`Container`], with the websockets of exec.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_websockets::{Message, ServerBuilder};

use super::container::{Container, Reply, Request};
use super::{RUNTIME, lock};

/// A running fake; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Pebble {
    container: Arc<Container>,
    socket: PathBuf,
    listener: Mutex<Option<JoinHandle<()>>>,
}

impl Pebble {
    /// Starts it in front of a container.
    pub(crate) fn start(socket: &Path, container: Container) -> Self {
        let pebble = Self {
            container: Arc::new(container),
            socket: socket.to_owned(),
            listener: Mutex::new(None),
        };
        pebble.up();
        pebble
    }

    /// What it is in front of.
    pub(crate) fn container(&self) -> &Container {
        &self.container
    }

    /// The boot id, while it answers.
    pub(crate) fn boot_id(&self) -> Option<String> {
        lock(&self.listener)
            .is_some()
            .then(|| self.container.boot_id())
    }

    /// The container comes back, empty.
    pub(crate) fn up(&self) {
        let mut listener = lock(&self.listener);
        if listener.is_none() {
            let socket = {
                let _runtime = RUNTIME.enter();
                UnixListener::bind(&self.socket).expect("Pebble's socket")
            };
            *listener = Some(RUNTIME.spawn(accept(socket, Arc::clone(&self.container))));
        }
    }

    /// The container is gone, and the socket with it.
    pub(crate) fn down(&self) {
        if let Some(listener) = lock(&self.listener).take() {
            listener.abort();
            _ = RUNTIME.block_on(listener);
            std::fs::remove_file(&self.socket).expect("Pebble's socket");
            self.container.reset();
        }
    }

    /// The container dies and is started again.
    pub(crate) fn restart(&self) {
        self.down();
        self.up();
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if let Some(listener) = lock(&self.listener).take() {
            listener.abort();
        }
    }
}

async fn accept(listener: UnixListener, container: Arc<Container>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let container = Arc::clone(&container);
        // a client that goes away in the middle is its own business
        connections.spawn(async move { _ = serve(stream, &container).await });
        while connections.try_join_next().is_some() {}
    }
}

/// One request per connection: the answer says so.
async fn serve(mut stream: UnixStream, container: &Container) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let mut request = parse(&head)?;
    if request.headers.contains_key("upgrade") {
        return websocket(stream, head, container, &request.path).await;
    }
    let length = request
        .headers
        .get("content-length")
        .and_then(|it| it.parse().ok())
        .unwrap_or(0);
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).await?;
    let (status, content_type, body) = match container.answer(&request) {
        Reply::Sync(result) => (200, "application/json".to_owned(), sync(&result)),
        Reply::Change(id, result) => {
            let body = json!({
                "type": "async", "status-code": 202, "status": "Accepted",
                "change": id.to_string(), "result": result,
            });
            (
                202,
                "application/json".to_owned(),
                body.to_string().into_bytes(),
            )
        }
        Reply::Error(status, kind, message) => {
            let mut result = json!({ "message": message });
            if !kind.is_empty() {
                result["kind"] = Value::from(kind);
            }
            let body =
                json!({ "type": "error", "status-code": status, "status": "", "result": result });
            (
                status,
                "application/json".to_owned(),
                body.to_string().into_bytes(),
            )
        }
        Reply::Form(content_type, body) => (200, content_type, body),
        Reply::Lines(lines) => (200, "application/x-ndjson".to_owned(), lines.into_bytes()),
        Reply::Silence => return std::future::pending().await,
    };
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let cut = if container.truncates(&request.path) {
        body.len() / 2
    } else {
        body.len()
    };
    stream.write_all(&body[..cut]).await
}

fn sync(result: &Value) -> Vec<u8> {
    let body = json!({ "type": "sync", "status-code": 200, "status": "OK", "result": result });
    body.to_string().into_bytes()
}

fn parse(head: &[u8]) -> io::Result<Request> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines();
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, _] = words.as_slice() else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let query = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), decoded(value)))
        .collect();
    Ok(Request {
        method: (*method).to_owned(),
        path: path.to_owned(),
        query,
        headers,
        body: Vec::new(),
    })
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A stream of exec: what the command printed, on `stdio`; nothing on the others.
async fn websocket(
    stream: UnixStream,
    head: Vec<u8>,
    container: &Container,
    path: &str,
) -> io::Result<()> {
    let rest = path.strip_prefix("/v1/tasks/").unwrap_or_default();
    let Some((task, name)) = rest.split_once("/websocket/") else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let Some(output) = container.exec_output(task) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let (reader, writer) = stream.into_split();
    let again = tokio::io::join(io::Cursor::new(head).chain(reader), writer);
    let (_, mut socket) = ServerBuilder::new()
        .accept(again)
        .await
        .map_err(io::Error::other)?;
    if name == "stdio" {
        socket
            .send(Message::binary(output))
            .await
            .map_err(io::Error::other)?;
    }
    socket
        .send(Message::text(r#"{"command":"end"}"#))
        .await
        .map_err(io::Error::other)?;
    // until the other side has had enough
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    Ok(())
}
