//! A program that enters the sandbox, as `rehearsal` does: its exit code comes out, and whoever
//! ends it ends everything.
#![cfg(test)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rehearsal::cloud::{Entered, enter, inside};

const ROLE: &str = "REHEARSAL_TEST_ROLE";
const LIMIT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    if let Ok(role) = std::env::var(ROLE) {
        return program(&role);
    }
    exit_codes_come_out();
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGKILL,
    ] {
        a_signal_ends_everything(signal);
    }
    what_is_missing_is_told();
    println!("test result: ok");
    ExitCode::SUCCESS
}

/// The program under test.
fn program(role: &str) -> ExitCode {
    let work = (!inside().unwrap()).then(|| tempfile::tempdir().unwrap());
    match enter(&[std::env::temp_dir()]) {
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
        Ok(Entered::Outside(code)) => {
            println!("outside again");
            drop(work);
            ExitCode::from(code)
        }
        Ok(Entered::Inside) => inner(role),
    }
}

fn inner(role: &str) -> ExitCode {
    if let Some(seconds) = role.strip_prefix("sleep ") {
        let mut sleep = Command::new("setsid")
            .args(["sleep", seconds])
            .spawn()
            .unwrap();
        println!("ready");
        sleep.wait().unwrap();
        return ExitCode::SUCCESS;
    }
    tempfile::tempfile().unwrap();
    ExitCode::from(role.parse::<u8>().unwrap())
}

/// The program outside, ended with the test.
struct Outside(Child);

impl Drop for Outside {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

fn start(role: &str, place: &Path) -> Outside {
    let child = Command::new(std::env::current_exe().unwrap())
        .env(ROLE, role)
        .env("TMPDIR", place)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    Outside(child)
}

fn exit_codes_come_out() {
    for code in ["0", "7"] {
        let place = tempfile::tempdir().unwrap();
        let mut outside = start(code, place.path());
        let mut said = String::new();
        outside
            .0
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(outside.0.wait().unwrap().code().unwrap().to_string(), code);
        assert_eq!(said, "outside again\n");
    }
}

fn a_signal_ends_everything(signal: Signal) {
    let place = tempfile::tempdir().unwrap();
    // A number of seconds that no other process has.
    let seconds = format!("1618.{}", std::process::id());
    let mut outside = start(&format!("sleep {seconds}"), place.path());
    let mut output = BufReader::new(outside.0.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let begin = Instant::now();
    while sleeping(&seconds) == 0 {
        assert!(begin.elapsed() < LIMIT, "no sleeper");
    }
    kill(Pid::from_raw(outside.0.id().try_into().unwrap()), signal).unwrap();
    let status = outside.0.wait().unwrap();
    // The pipe ends with the last process that holds it.
    output.read_to_string(&mut line).unwrap();
    while sleeping(&seconds) > 0 {
        assert!(begin.elapsed() < LIMIT, "{signal}: something is left");
    }
    if signal == Signal::SIGKILL {
        assert!(!status.success());
    } else {
        assert_eq!(status.code(), Some(128 + signal as i32));
        assert!(line.contains("outside again"), "{signal}: {line}");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }
}

/// How many sleepers for so many seconds the host has.
fn sleeping(seconds: &str) -> usize {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| *line == format!("sleep\0{seconds}\0").into_bytes())
        .count()
}

fn what_is_missing_is_told() {
    let place = tempfile::tempdir().unwrap();
    // A user namespace with one place for a further one, which the program itself takes up.
    let script = "echo 1 > /proc/sys/user/max_user_namespaces && \
                  exec unshare --user --map-user=1000 --map-group=1000 -- \"$@\"";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .env(ROLE, "0")
        .env("TMPDIR", place.path())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("does not allow the namespaces"), "{error}");
    assert!(error.contains("run it as root"), "{error}");
}
