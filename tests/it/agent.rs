//! An agent that is silent, stops in the middle or goes: what is asked of it directly ends all the same.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use temporal_k8s::juju::{Agent, Error, Juju};
use tokio::sync::oneshot;

use crate::juju::Tools;

/// Go's answer to the first call: exit code 300, `größer`, `ERROR no`.
fn answer() -> Vec<u8> {
    let golden = include_str!("../rehearsal/src/juju/golden/calls.txt");
    let line = golden.lines().find_map(|line| line.strip_prefix("< "));
    let digits = line.expect("an answer").as_bytes().chunks(2);
    let byte = |digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

/// The way to an agent that does this with each connection.
fn talks(tools: &Tools, talk: impl Fn(UnixStream) + Send + 'static) -> (Juju, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let address = directory.path().join("socket");
    let listener = UnixListener::bind(&address).unwrap();
    thread::spawn(move || listener.incoming().for_each(|stream| talk(stream.unwrap())));
    let agent = Agent {
        address: address.display().to_string(),
        context: "now".to_owned(),
    };
    (tools.juju().with_agent(Some(agent)), directory)
}

/// Says this, then reads for ever.
fn says(words: Vec<u8>) -> impl Fn(UnixStream) + Send + 'static {
    move |mut stream| {
        stream.write_all(&words).unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).ok();
    }
}

#[tokio::test]
async fn a_question_to_a_silent_agent_is_asked_by_the_tool_while_there_is_time() {
    let half = answer().len() / 2;
    for words in [Vec::new(), answer()[..half].to_vec(), b"HTTP".to_vec()] {
        let tools = Tools::with("silent", "is-leader", "echo true");
        let (juju, _socket) = talks(&tools, says(words));
        let juju = juju.with_limit(Duration::from_secs(6));
        let begin = Instant::now();
        let (one, other) = tokio::join!(juju.is_leader(), juju.is_leader());
        assert!(one.unwrap() && other.unwrap());
        assert!(
            begin.elapsed() >= Duration::from_secs(2),
            "it was waited for"
        );
        assert_eq!(tools.calls().len(), 2);
    }
}

#[tokio::test]
async fn bytes_that_cannot_become_an_answer_are_not_waited_for() {
    let tools = Tools::with("nonsense", "is-leader", "echo true");
    let (juju, _socket) = talks(&tools, says(b"\xf0".to_vec()));
    let begin = Instant::now();
    assert!(juju.is_leader().await.unwrap());
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_write_to_a_silent_agent_is_not_repeated() {
    let tools = Tools::with("silent-write", "state-delete", "true").and("is-leader", "echo true");
    let (juju, _socket) = talks(&tools, says(Vec::new()));
    let juju = juju.with_limit(Duration::from_secs(3));
    let error = juju.state_delete("key").await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(juju.is_leader().await.unwrap());
    assert_eq!(tools.calls(), ["is-leader [--format=json]"]);
}

/// The agent stops reading: what it has read is answered, what it has not is not known to have been done.
#[tokio::test]
async fn an_answer_on_its_way_is_heard_though_nothing_more_can_be_asked() {
    let tools = Tools::with("deaf", "state-delete", "true");
    let (deaf, is_deaf) = oneshot::channel();
    let (speak, may_speak) = oneshot::channel::<()>();
    let once = std::sync::Mutex::new(Some((deaf, may_speak)));
    let (juju, _socket) = talks(&tools, move |mut stream| {
        let (deaf, may_speak) = once.lock().unwrap().take().unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream.shutdown(Shutdown::Read).unwrap();
        deaf.send(()).unwrap();
        may_speak.blocking_recv().unwrap();
        stream.write_all(&answer()).unwrap();
    });
    let asking = juju.clone();
    let first = tokio::spawn(async move { asking.state_delete("one").await });
    is_deaf.await.unwrap();
    let second = juju.state_delete("two").await.unwrap_err();
    assert!(matches!(second, Error::Unsure { .. }), "{second}");
    speak.send(()).unwrap();
    let first = first.await.unwrap().unwrap_err().to_string();
    assert_eq!(
        first,
        "`state-delete one` failed (exit status: 44): ERROR no"
    );
    // the tools are asked from now on
    juju.state_delete("three").await.unwrap();
    assert_eq!(tools.calls(), ["state-delete [three]"]);
}
