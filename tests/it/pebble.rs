//! The Pebble client against replies that a real Pebble does not give on request.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use temporal_k8s::pebble::{ChangeId, Error, Exec, File, FileErrorKind, Pebble, ServiceStatus};
use temporal_k8s::secret::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio_websockets::{Message, ServerBuilder};

const LIMIT: Duration = Duration::from_millis(300);

/// What the scripted Pebble does with one connection, after it has read the request.
#[derive(Clone)]
enum Step {
    /// Sends these bytes and closes the connection.
    Send(Vec<u8>),
    /// Sends these bytes and then nothing more, with the connection open.
    Hang(Vec<u8>),
    /// Accepts a websocket, sends these messages, and keeps it open or not.
    Websocket(Vec<Message>, Then),
}

#[derive(Clone, Copy)]
enum Then {
    KeepOpen,
    Close,
}

/// A Pebble that follows a script, one step for each connection, and repeats its last step.
struct Script {
    directory: tempfile::TempDir,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut steps: VecDeque<_> = steps.into_iter().collect();
        let record = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let step = steps.pop_front().unwrap();
                if steps.is_empty() {
                    steps.push_back(step.clone());
                }
                tokio::spawn(follow(step, stream, Arc::clone(&record)));
            }
        });
        Self {
            directory,
            requests,
        }
    }

    fn pebble(&self) -> Pebble {
        Pebble::new(self.directory.path().join("socket")).with_request_limit(LIMIT)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn follow(step: Step, mut stream: UnixStream, record: Arc<Mutex<Vec<String>>>) {
    match step {
        Step::Send(bytes) => {
            let request = whole_request(&mut stream).await;
            record.lock().unwrap().push(request);
            // The client may have gone away by then.
            drop(stream.write_all(&bytes).await);
        }
        Step::Hang(bytes) => {
            let request = whole_request(&mut stream).await;
            record.lock().unwrap().push(request);
            stream.write_all(&bytes).await.unwrap();
            std::future::pending::<()>().await;
        }
        Step::Websocket(messages, then) => {
            let (request, socket) = ServerBuilder::new().accept(stream).await.unwrap();
            record
                .lock()
                .unwrap()
                .push(format!("GET {}", request.uri()));
            let (mut sink, mut source) = socket.split();
            for message in messages {
                sink.send(message).await.unwrap();
            }
            if matches!(then, Then::KeepOpen) {
                while source.next().await.is_some() {}
            }
        }
    }
}

async fn whole_request(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return text.into_owned();
            }
        }
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap();
        assert_ne!(count, 0, "the request breaks off: {bytes:?}");
        bytes.extend_from_slice(&chunk[..count]);
    }
}

fn http(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn json(status: &str, body: &str) -> Step {
    Step::Send(http(status, "application/json", body.as_bytes()))
}

fn sync(result: &str) -> Step {
    json(
        "200 OK",
        &format!(r#"{{"type":"sync","status-code":200,"result":{result}}}"#),
    )
}

fn refused(status: &str, result: &str) -> Step {
    json(status, &format!(r#"{{"type":"error","result":{result}}}"#))
}

fn change(fields: &str) -> Step {
    sync(&format!(
        r#"{{"id":"7","kind":"start","status":"Done","ready":true{fields}}}"#
    ))
}

fn not_yet() -> Step {
    refused(
        "504 Gateway Timeout",
        r#"{"message":"timed out waiting for change after 4s"}"#,
    )
}

fn id() -> ChangeId {
    ChangeId::from("7".to_owned())
}

/// Fails unless the error says "garbage", names the request, and shows nothing of the reply.
fn assert_garbage(error: &Error, wanted: &str, case: &str) {
    let Error::Garbage { request, .. } = error else {
        panic!("{case}: {error:?}")
    };
    assert_eq!(request, wanted, "{case}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("hunter2"), "{case}: {text}");
}

#[tokio::test]
async fn a_missing_or_deserted_socket_means_not_up() {
    let directory = tempfile::tempdir().unwrap();
    let deserted = directory.path().join("deserted");
    drop(StdListener::bind(&deserted).unwrap());
    for socket in [
        deserted,
        directory.path().join("missing"),
        directory.path().join("no/dir"),
    ] {
        let error = Pebble::new(&socket).system_info().await.unwrap_err();
        assert!(error.is_not_up(), "{error:?}");
        assert!(
            error.to_string().contains(socket.to_str().unwrap()),
            "{error}"
        );
    }
    let error = Pebble::of_container("no-such-container")
        .system_info()
        .await
        .unwrap_err();
    assert!(error.is_not_up(), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("/charm/containers/no-such-container/pebble.socket")
    );
}

#[tokio::test]
async fn a_socket_that_cannot_be_reached_is_no_waiting_matter() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let error = Pebble::new(directory.path().join("file/socket"))
        .system_info()
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Connect { .. }) && !error.is_not_up(),
        "{error:?}"
    );
}

#[tokio::test]
async fn broken_replies_are_garbage() {
    let good = br#"{"type":"sync","status-code":200,"result":{"version":"hunter2"}}"#;
    let whole = http("200 OK", "application/json", good);
    let cut_body = |length: usize| whole[..whole.len() - length].to_vec();
    let longer = |text: &str| {
        String::from_utf8(whole.clone())
            .unwrap()
            .replace(": 64", text)
    };
    assert_eq!(good.len(), 64, "the length that `longer` replaces");
    let html = b"<html>hunter2</html>";
    let cases = [
        ("nothing at all", vec![]),
        ("no HTTP", b"hunter2 hunter2 hunter2\r\n\r\n".to_vec()),
        ("half a status line", b"HTTP/1.1 20".to_vec()),
        ("half a header", b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()),
        ("no body", cut_body(good.len())),
        ("half a body", cut_body(20)),
        ("a body without its last byte", cut_body(1)),
        ("a length too great", longer(": 65").into_bytes()),
        ("a length too small", longer(": 63").into_bytes()),
        ("a length of words", longer(": many").into_bytes()),
        (
            "a broken chunk",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{}".to_vec(),
        ),
        ("HTML", http("200 OK", "text/html", html)),
        (
            "HTML with an error",
            http("502 Bad Gateway", "text/html", html),
        ),
        ("an empty body", http("200 OK", "application/json", b"")),
        (
            "no UTF-8",
            http("200 OK", "application/json", b"{\"type\":\"sync\xff\"}"),
        ),
    ];
    for (case, reply) in cases {
        let error = Script::of([Step::Send(reply)])
            .pebble()
            .system_info()
            .await
            .unwrap_err();
        assert_garbage(&error, "GET /v1/system-info", case);
    }
    let info = Script::of([Step::Send(whole.clone())])
        .pebble()
        .system_info()
        .await
        .unwrap();
    assert_eq!(
        (info.version.as_str(), info.boot_id.as_str()),
        ("hunter2", "")
    );
}

#[tokio::test]
async fn wrong_envelopes_are_garbage() {
    for envelope in [
        "null",
        "[]",
        "{}",
        r#""hunter2""#,
        r#"{"type":"sync"}"#,
        r#"{"type":"sync","result":null}"#,
        r#"{"type":"sync","result":"hunter2"}"#,
        r#"{"type":"sync","result":{}}"#,
        r#"{"type":"sync","result":{"version":["hunter2"]}}"#,
        r#"{"type":"async","change":"7","result":{"version":"v1"}}"#,
        r#"{"type":"other","result":{"version":"v1"}}"#,
        r#"{"result":{"version":"v1"}}"#,
        r#"{"type":"error","result":"hunter2"}"#,
    ] {
        let error = Script::of([json("200 OK", envelope)])
            .pebble()
            .system_info()
            .await;
        assert_garbage(&error.unwrap_err(), "GET /v1/system-info", envelope);
    }
    for envelope in [
        r#"{"type":"sync","result":null}"#,
        r#"{"type":"async","result":null}"#,
        r#"{"type":"async","change":7,"result":null}"#,
    ] {
        let error = Script::of([json("202 Accepted", envelope)])
            .pebble()
            .start(&["x"])
            .await;
        assert_garbage(&error.unwrap_err(), "POST /v1/services", envelope);
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_pebbles_words() {
    let script = Script::of([
        refused(
            "400 Bad Request",
            r#"{"message":"service \"x\"\ndoes not exist"}"#,
        ),
        refused(
            "401 Unauthorized",
            r#"{"message":"access denied","kind":"login-required"}"#,
        ),
        refused("500 Internal Server Error", "{}"),
    ]);
    let error = script.pebble().start(&["x"]).await.unwrap_err();
    let text = r#"pebble refused `POST /v1/services` with status 400: service "x" does not exist"#;
    assert_eq!(error.to_string(), text);
    match script.pebble().start(&["x"]).await.unwrap_err() {
        Error::Refused {
            status: 401, kind, ..
        } => {
            assert_eq!(kind.as_deref(), Some("login-required"));
        }
        other => panic!("{other:?}"),
    }
    match script.pebble().start(&["x"]).await.unwrap_err() {
        Error::Refused {
            status: 500,
            kind: None,
            message,
            ..
        } => {
            assert_eq!(message, "no reason given");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pebble_that_hangs_is_given_up() {
    let whole = http("200 OK", "application/json", b"{}");
    for sent in [0, 10, whole.len() - 1] {
        let script = Script::of([Step::Hang(whole[..sent].to_vec())]);
        let started = Instant::now();
        match script.pebble().system_info().await.unwrap_err() {
            Error::Timeout { request, limit } => {
                assert_eq!((request.as_str(), limit), ("GET /v1/system-info", LIMIT));
            }
            other => panic!("{other:?}"),
        }
        assert!(started.elapsed() >= LIMIT && started.elapsed() < 5 * LIMIT);
    }
}

#[tokio::test]
async fn services_are_asked_and_read_leniently() {
    let script = Script::of([
        sync(
            r#"[{"name":"a","startup":"enabled","current":"active","current-since":"2024"},
                {"name":"b","current":"backoff","new":{"field":1}},
                {"name":"c","current":"hibernating"}]"#,
        ),
        sync("null"),
    ]);
    let services = script.pebble().services(&["a", "b&c"]).await.unwrap();
    let states: Vec<_> = services
        .into_iter()
        .map(|service| service.current)
        .collect();
    let other = ServiceStatus::Other("hibernating".to_owned());
    assert_eq!(
        states,
        [ServiceStatus::Active, ServiceStatus::Backoff, other]
    );
    assert_eq!(script.pebble().services(&[]).await.unwrap(), []);
    let requests = script.requests();
    assert!(requests[0].starts_with("GET /v1/services?names=a%2Cb%26c HTTP/1.1\r\n"));
    assert!(requests[1].starts_with("GET /v1/services HTTP/1.1\r\n"));
}

#[tokio::test]
async fn each_action_asks_for_what_it_is_named() {
    let script = Script::of([json("202 Accepted", r#"{"type":"async","change":"42"}"#)]);
    let pebble = script.pebble();
    for change in [pebble.start(&["a"]).await, pebble.stop(&["a", "b"]).await] {
        assert_eq!(change.unwrap().to_string(), "42");
    }
    let bodies: Vec<_> = script
        .requests()
        .iter()
        .map(|request| {
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST /v1/services HTTP/1.1\r\n"), "{head}");
            serde_json::from_str::<serde_json::Value>(body).unwrap()
        })
        .collect();
    assert_eq!(
        bodies,
        [
            serde_json::json!({"action": "start", "services": ["a"]}),
            serde_json::json!({"action": "stop", "services": ["a", "b"]}),
        ]
    );
}

#[tokio::test]
async fn waiting_goes_on_until_the_change_is_over() {
    let script = Script::of([
        not_yet(),
        not_yet(),
        change(r#","tasks":[{"kind":"start"}]"#),
    ]);
    let done = script
        .pebble()
        .wait(&id(), Duration::from_secs(10))
        .await
        .unwrap();
    assert_eq!((done.id.as_str(), done.tasks.len()), ("7", 1));
    let requests = script.requests();
    assert_eq!(requests.len(), 3);
    assert!(
        requests[0].starts_with("GET /v1/changes/7/wait?timeout=4000ms "),
        "{}",
        requests[0]
    );
}

#[tokio::test]
async fn waiting_ends_at_its_own_deadline() {
    let script = Script::of([not_yet()]);
    let limit = Duration::from_millis(50);
    let started = Instant::now();
    let error = script.pebble().wait(&id(), limit).await.unwrap_err();
    assert!(matches!(error, Error::ChangeTimeout { .. }), "{error:?}");
    assert!(started.elapsed() >= limit && started.elapsed() < Duration::from_secs(2));
    assert_eq!(
        error.to_string(),
        "pebble's change 7 is not finished after 50ms and goes on"
    );

    let script = Script::of([Step::Hang(vec![])]);
    let error = script.pebble().wait(&id(), limit).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn a_change_that_is_not_done_well_is_an_error() {
    let failed = r#","err":"cannot perform:\n- Start","tasks":[{"kind":"start","log":["a","b"]},
        {"kind":"start"},{"kind":"start","log":["c"]}]"#;
    let script = Script::of([change(failed)]);
    match script.pebble().wait(&id(), LIMIT).await.unwrap_err() {
        Error::Change { kind, err, log } => {
            assert_eq!(
                (kind.as_str(), err.as_str()),
                ("start", "cannot perform:\n- Start")
            );
            assert_eq!(log, ["a", "b", "c"]);
        }
        other => panic!("{other:?}"),
    }
    let script = Script::of([sync(
        r#"{"id":"7","kind":"stop","status":"Hold","ready":true}"#,
    )]);
    match script.pebble().wait(&id(), LIMIT).await.unwrap_err() {
        Error::Change { err, .. } => assert_eq!(err, "it ended as `Hold`"),
        other => panic!("{other:?}"),
    }
    let script = Script::of([sync(
        r#"{"id":"7","kind":"stop","status":"Doing","ready":false}"#,
    )]);
    let error = script.pebble().wait(&id(), LIMIT).await.unwrap_err();
    assert_garbage(&error, "GET /v1/changes/7/wait", "not ready");
}

#[tokio::test]
async fn a_plan_is_read_leniently_but_must_be_one() {
    let plan =
        r#""services:\n  a:\n    command: x\n    backoff-factor: 2\n    workload: new\nnew: {}\n""#;
    let script = Script::of([
        sync(plan),
        sync(r#""{}\n""#),
        sync(r#""- hunter2\n""#),
        sync(r#""services: hunter2""#),
        sync(r#""services: {a: {command: [hunter2]""#),
        sync("{}"),
    ]);
    let pebble = script.pebble();
    assert_eq!(pebble.plan().await.unwrap().services["a"].command, "x");
    assert!(pebble.plan().await.unwrap().services.is_empty());
    for case in ["a list", "a word", "half a map", "no text"] {
        assert_garbage(&pebble.plan().await.unwrap_err(), "GET /v1/plan", case);
    }
    assert!(script.requests()[0].starts_with("GET /v1/plan?format=yaml "));
}

#[tokio::test]
async fn logs_are_lines_of_json() {
    let lines = concat!(
        r#"{"time":"2024-01-01T00:00:00Z","service":"a","message":"one"}"#,
        "\n",
        r#"{"time":"2024-01-01T00:00:01Z","service":"a","message":"two"}"#,
        "\n"
    );
    let log = |text: &str| Step::Send(http("200 OK", "application/x-ndjson", text.as_bytes()));
    let script = Script::of([
        log(lines),
        log(&lines[..lines.len() - 5]),
        log("<html>hunter2</html>"),
        refused("400 Bad Request", r#"{"message":"n must be positive"}"#),
    ]);
    let read = script.pebble().logs("a", 2).await.unwrap();
    assert_eq!(
        read.iter().map(|l| l.message.as_str()).collect::<Vec<_>>(),
        ["one", "two"]
    );
    for case in ["half a line", "HTML"] {
        let error = script.pebble().logs("a", 2).await.unwrap_err();
        assert_garbage(&error, "GET /v1/logs", case);
    }
    let error = script.pebble().logs("a", 2).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { status: 400, .. }),
        "{error:?}"
    );
    assert!(script.requests()[0].starts_with("GET /v1/logs?services=a&n=2 "));
}

fn file(path: &str) -> File {
    File {
        path: path.to_owned(),
        content: Secret::new(b"hunter2".to_vec()),
        permissions: 0o600,
    }
}

#[tokio::test]
async fn a_failed_item_fails_the_write_whatever_the_status_says() {
    let full = r#"[{"path":"/a"},{"path":"/b","error":{"kind":"generic-file-error",
        "message":"write /b.X~: no space left on device"}}]"#;
    let script = Script::of([sync(full), sync(r#"[{"path":"/a"}]"#), sync("null")]);
    let files = [file("/a"), file("/b")];
    match script.pebble().write_files(&files).await.unwrap_err() {
        Error::File(error) => {
            assert_eq!(
                error.kind,
                FileErrorKind::Other("generic-file-error".to_owned())
            );
            assert_eq!(
                error.to_string(),
                "pebble cannot write `/b` (generic-file-error): write /b.X~: no space left on device"
            );
        }
        other => panic!("{other:?}"),
    }
    for case in ["no word on the second", "no word at all"] {
        let error = script.pebble().write_files(&files).await.unwrap_err();
        assert_garbage(&error, "POST /v1/files", case);
    }
    let request = &script.requests()[0];
    assert!(request.contains(r#""permissions":"600""#), "{request}");
    assert_eq!(request.matches("hunter2").count(), 2);
    // Nothing to do asks nothing.
    script.pebble().write_files(&[]).await.unwrap();
    script.pebble().remove_files(&[], true).await.unwrap();
    assert_eq!(script.requests().len(), 3);
}

#[tokio::test]
async fn only_a_missing_file_is_removed_already() {
    let item = |kind: &str| {
        sync(&format!(
            r#"[{{"path":"/a","error":{{"kind":"{kind}","message":"m"}}}}]"#
        ))
    };
    let script = Script::of([item("not-found"), item("permission-denied")]);
    script.pebble().remove_files(&["/a"], false).await.unwrap();
    match script
        .pebble()
        .remove_files(&["/a"], false)
        .await
        .unwrap_err()
    {
        Error::File(error) => assert_eq!(error.kind, FileErrorKind::PermissionDenied),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn read_files_are_told_apart() {
    let form = "--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"/a\\\"b\"\r\n\
        Content-Type: application/octet-stream\r\n\r\nhunter2\r\n\
        --b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"/cut\"\r\n\r\nhunt\r\n\
        --b\r\nContent-Disposition: form-data; name=\"response\"\r\n\r\n\
        {\"type\":\"sync\",\"result\":[{\"path\":\"/a\\\"b\"},\
        {\"path\":\"/cut\",\"error\":{\"kind\":\"generic-file-error\",\"message\":\"input/output error\"}},\
        {\"path\":\"/gone\",\"error\":{\"kind\":\"not-found\",\"message\":\"stat /gone\"}}]}\r\n--b--\r\n";
    let reply = |form: &str| {
        Step::Send(http(
            "200 OK",
            "multipart/form-data; boundary=b",
            form.as_bytes(),
        ))
    };
    let paths = ["/gone", "/cut", "/a\"b"];
    let script = Script::of([reply(form)]);
    let read = script.pebble().read_files(&paths).await.unwrap();
    assert_eq!(read[0], Ok(None));
    assert_eq!(read[1].as_ref().unwrap_err().message, "input/output error");
    assert_eq!(read[2], Ok(Some(Secret::new(b"hunter2".to_vec()))));
    assert!(!format!("{read:?}").contains("hunter2"));
    let request = &script.requests()[0];
    assert!(
        request.contains("?action=read&path=/gone&path=/cut&path=/a%22b "),
        "{request}"
    );

    let no_word = form.replace("\"path\":\"/gone\"", "\"path\":\"/else\"");
    let no_content = form.replace("filename=\"/a\\\"b\"", "filename=\"/else\"");
    let no_response = form.replace("\"response\"", "\"request\"");
    let no_json = form.replace("{\"type\":\"sync\",\"result\":[", "\"hunter2\" [");
    let odd_json = form.replace("\"result\":[", "\"result\":[\"hunter2\",");
    let cut = &form[..form.len() - 7];
    let end = form
        .find("--b\r\nContent-Disposition: form-data; name=\"response\"")
        .unwrap();
    let early_end = format!("{}--b--\r\n", &form[..end]);
    let broken = [
        cut,
        &no_word,
        &no_content,
        &no_response,
        &no_json,
        &odd_json,
        &early_end,
        "",
    ];
    for form in broken {
        let error = Script::of([reply(form)])
            .pebble()
            .read_files(&paths)
            .await
            .unwrap_err();
        assert_garbage(&error, "GET /v1/files", form);
    }
    for content_type in ["text/html", "application/json", "multipart/form-data"] {
        let step = Step::Send(http("200 OK", content_type, form.as_bytes()));
        let error = Script::of([step])
            .pebble()
            .read_files(&paths)
            .await
            .unwrap_err();
        assert_garbage(&error, "GET /v1/files", content_type);
    }
    let script = Script::of([refused("400 Bad Request", r#"{"message":"must accept"}"#)]);
    let error = script.pebble().read_files(&paths).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { status: 400, .. }),
        "{error:?}"
    );
}

fn exec() -> Exec {
    Exec {
        command: vec!["program".to_owned(), "hunter2".to_owned()],
        timeout: Duration::from_millis(200),
        stdin: b"hunter2".to_vec(),
        ..Exec::default()
    }
}

fn started() -> Step {
    let body = r#"{"type":"async","change":"7","result":{"task-id":"9","environment":{}}}"#;
    json("202 Accepted", body)
}

fn end() -> Message {
    Message::text(r#"{"command":"end"}"#)
}

#[tokio::test]
async fn exec_reads_both_streams_to_their_end() {
    let stream = |text: &'static str| {
        let messages = vec![
            Message::text("no JSON"),
            Message::text(r#"{"command":"unknown"}"#),
            Message::binary(text),
            Message::ping("x"),
            Message::binary("\n"),
            end(),
        ];
        Step::Websocket(messages, Then::KeepOpen)
    };
    let finished = change(r#","tasks":[{"kind":"exec","data":{"exit-code":3}}]"#);
    let script = Script::of([started(), stream("x"), stream("x"), finished]);
    let output = script.pebble().exec(&exec()).await.unwrap();
    assert_eq!(
        (output.exit_code, output.stdout, output.stderr),
        (3, b"x\n".into(), b"x\n".into())
    );
    let requests = script.requests();
    assert!(
        requests[0].contains(r#""timeout":"200ms""#),
        "{}",
        requests[0]
    );
    let mut streams = requests[1..3].to_vec();
    streams.sort();
    assert_eq!(streams[0], "GET /v1/tasks/9/websocket/stderr");
    assert_eq!(streams[1], "GET /v1/tasks/9/websocket/stdio");
}

#[tokio::test]
async fn exec_takes_no_half_output_for_a_whole_one() {
    let cut = Step::Websocket(vec![Message::binary("hunter2")], Then::Close);
    let script = Script::of([started(), cut]);
    let error = script.pebble().exec(&exec()).await.unwrap_err();
    let Error::Garbage { request, reason } = &error else {
        panic!("{error:?}")
    };
    assert!(request.ends_with("of exec"), "{request}");
    assert!(!reason.contains("hunter2"), "{reason}");

    let whole = || Step::Websocket(vec![end()], Then::KeepOpen);
    let script = Script::of([started(), whole(), whole(), change("")]);
    let error = script.pebble().exec(&exec()).await.unwrap_err();
    assert_garbage(&error, "change 7", "no exit code");
}

#[tokio::test]
async fn exec_without_websockets_is_refused_or_garbage() {
    let gone = refused("404 Not Found", r#"{"message":"cannot find task"}"#);
    let script = Script::of([started(), gone]);
    let error = script.pebble().exec(&exec()).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { status: 404, .. }),
        "{error:?}"
    );

    let script = Script::of([started(), Step::Send(b"hunter2\r\n\r\n".to_vec())]);
    let error = script.pebble().exec(&exec()).await.unwrap_err();
    let Error::Garbage { request, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(
        request.starts_with("GET /v1/tasks/9/websocket/"),
        "{request}"
    );
    assert!(!error.to_string().contains("hunter2"), "{error}");

    let script = Script::of([started(), Step::Hang(vec![])]);
    let error = script.pebble().exec(&exec()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");

    let script = Script::of([json("202 Accepted", r#"{"type":"async","change":"7"}"#)]);
    let error = script.pebble().exec(&exec()).await.unwrap_err();
    assert_garbage(&error, "POST /v1/exec", "no task");
}

#[tokio::test]
async fn exec_is_given_up_a_second_after_its_limit() {
    let open = Step::Websocket(vec![Message::binary("hunter2")], Then::KeepOpen);
    let script = Script::of([started(), open]);
    let began = Instant::now();
    let error = script.pebble().exec(&exec()).await.unwrap_err();
    let took = began.elapsed();
    assert_eq!(
        error.to_string(),
        "`program` did not end within 200ms and is killed"
    );
    assert!(
        took >= Duration::from_millis(1200) && took < Duration::from_secs(4),
        "{took:?}"
    );
    assert!(!format!("{error:?} {:?}", exec()).contains("hunter2"));
}
