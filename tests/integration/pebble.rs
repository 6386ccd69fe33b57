//! The Pebble client against the real Pebble of every version that counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use temporal_k8s::apply;
use temporal_k8s::container::{self, check};
use temporal_k8s::facts::Attempt;
use temporal_k8s::observe;
use temporal_k8s::pebble::{
    CheckConfig, Error, Exec, ExecCheck, ExecOutput, File, FileErrorKind, FileType, Layer, Pebble,
    ServiceConfig, ServiceStatus,
};
use temporal_k8s::plan::Change;
use temporal_k8s::probe::Probe;
use temporal_k8s::secret::Secret;
use temporal_k8s::snapshot::ServiceState::Active;
use temporal_k8s::snapshot::Workload;
use temporal_k8s::temporal::Role;

const LIMIT: Duration = Duration::from_secs(20);

/// A Pebble of our own, with everything it touches in one directory that goes away with it.
struct Daemon {
    child: Child,
    directory: tempfile::TempDir,
    pebble: Pebble,
    version: &'static str,
}

impl Daemon {
    async fn start(version: &'static str) -> Self {
        Self::start_by(version, &["sh", "-c", r#"exec "$@""#, "sh"]).await
    }

    /// Starts it at the end of a command of ours, so that the command can prepare its surroundings.
    async fn start_by(version: &'static str, command: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), version, command).await
    }

    /// Starts it with the layers of an image, by label.
    async fn start_with(version: &'static str, layers: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("layers");
        fs::create_dir(&place).unwrap();
        for (order, (label, layer)) in layers.iter().enumerate() {
            fs::write(place.join(format!("{order:03}-{label}.yaml")), layer).unwrap();
        }
        Self::start_in(directory, version, &["env"]).await
    }

    async fn start_in(
        directory: tempfile::TempDir,
        version: &'static str,
        command: &[&str],
    ) -> Self {
        let child = Command::new(command[0])
            .args(&command[1..])
            .arg(super::pebble_binary(version))
            .args(["run", "--create-dirs", "--hold"])
            .env("PEBBLE", directory.path())
            .env("HOME", directory.path())
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pebble = Pebble::new(directory.path().join(".pebble.socket"));
        let daemon = Self {
            child,
            directory,
            pebble,
            version,
        };
        let started = Instant::now();
        loop {
            match daemon.pebble.system_info().await {
                Ok(_) => return daemon,
                Err(error) if error.is_not_up() && started.elapsed() < LIMIT => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("pebble {version} does not start: {error:?}"),
            }
        }
    }

    fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }

    async fn exec(&self, command: &[&str], stdin: &[u8]) -> Result<ExecOutput, Error> {
        self.pebble
            .exec(&Exec {
                command: command.iter().map(|&word| word.to_owned()).collect(),
                timeout: LIMIT,
                stdin: stdin.to_vec(),
                ..Exec::default()
            })
            .await
    }

    async fn add(&self, name: &str, service: ServiceConfig) {
        let services = BTreeMap::from([(name.to_owned(), service)]);
        self.pebble
            .add_layer(
                "test",
                &Layer {
                    services,
                    ..Layer::default()
                },
            )
            .await
            .unwrap();
    }

    async fn start_server(&self) -> Result<(), Error> {
        let change = self.pebble.start(&["server"]).await.unwrap();
        self.pebble.wait(&change, LIMIT).await.map(|_| ())
    }

    async fn status(&self, service: &str) -> ServiceStatus {
        let mut found = self.pebble.services(&[service]).await.unwrap();
        assert_eq!(found.len(), 1);
        found.remove(0).current
    }
}

impl Drop for Daemon {
    /// Pebble stops its services when it is asked to end, and would leave them when killed.
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        let asked = Command::new("sh")
            .args(["-c", r#"kill -TERM "$1""#, "sh", &id])
            .status();
        assert!(
            asked.is_ok_and(|status| status.success()),
            "pebble ended by itself"
        );
        let started = Instant::now();
        while started.elapsed() < LIMIT {
            if self.child.try_wait().unwrap().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn mode(path: &str) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &str, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn server(command: &str, hash: &str) -> ServiceConfig {
    ServiceConfig {
        override_: "replace".to_owned(),
        command: command.to_owned(),
        startup: "enabled".to_owned(),
        environment: BTreeMap::from([("CONFIG_HASH".to_owned(), hash.to_owned())]),
        ..ServiceConfig::default()
    }
}

/// A server that writes down each of its starts with its configuration, and then only lives.
fn recording_server(record: &str, hash: &str) -> ServiceConfig {
    server(
        &format!("sh -c 'echo $CONFIG_HASH >>{record}; exec sleep 1000'"),
        hash,
    )
}

async fn tells_its_version(daemon: Daemon) {
    let info = daemon.pebble.system_info().await.unwrap();
    assert_eq!(info.version, format!("v{}", daemon.version));
    assert_eq!(info.boot_id.len(), 36, "{}", info.boot_id);
    assert_eq!(daemon.pebble.system_info().await.unwrap(), info);
}

async fn is_not_up_once_it_has_ended(daemon: Daemon) {
    let pebble = daemon.pebble.clone();
    drop(daemon);
    let error = pebble.system_info().await.unwrap_err();
    assert!(error.is_not_up(), "{error:?}");
}

async fn an_empty_pebble_has_an_empty_plan(daemon: Daemon) {
    let plan = daemon.pebble.plan().await.unwrap();
    assert!(
        plan.services.is_empty() && plan.checks.is_empty(),
        "{plan:?}"
    );
    assert_eq!(daemon.pebble.services(&[]).await.unwrap(), []);
}

async fn a_layer_comes_back_in_the_plan(daemon: Daemon) {
    let hostile = [
        "yes",
        "1_000",
        "2024-01-01",
        "<<",
        "=",
        "0o14",
        "1:30",
        "",
        " ",
        "~",
        "null",
        "a: b # c",
        "'",
        "\"",
        "\\",
        "{{ x }}",
        "$HOME",
        "line\nline\n",
        "\ttab",
        "ü€😀",
        "\u{7f}\u{85}\u{1}",
        "- x",
        "&a *a !t",
        "%TAG",
        "@x",
        "`x`",
        "trailing ",
    ];
    let variable = |(number, value): (usize, &&str)| (format!("V{number}"), (*value).to_owned());
    let service = ServiceConfig {
        summary: "a: summary".to_owned(),
        environment: hostile.iter().enumerate().map(variable).collect(),
        working_dir: "/".to_owned(),
        kill_delay: "1m0s".to_owned(),
        ..server(r#"sleep "10 00" '#'"#, "")
    };
    let check = CheckConfig {
        override_: "replace".to_owned(),
        level: "ready".to_owned(),
        period: "1m0s".to_owned(),
        timeout: "1s".to_owned(),
        threshold: Some(5),
        exec: Some(ExecCheck {
            command: "true".to_owned(),
            ..ExecCheck::default()
        }),
        ..CheckConfig::default()
    };
    let layer = Layer {
        summary: "hostile".to_owned(),
        services: BTreeMap::from([("server".to_owned(), service)]),
        checks: BTreeMap::from([("up".to_owned(), check)]),
    };
    daemon.pebble.add_layer("test", &layer).await.unwrap();
    let mut plan = daemon.pebble.plan().await.unwrap();
    for check in plan.checks.values_mut() {
        // Filled in by the versions that know it.
        check.startup.clear();
    }
    assert_eq!(plan.services, layer.services);
    assert_eq!(plan.checks, layer.checks);
    // Nothing was started by that.
    assert_eq!(daemon.status("server").await, ServiceStatus::Inactive);
    // The same with the least that a service needs: nothing is added to it.
    let least = ServiceConfig {
        override_: "replace".to_owned(),
        command: "sleep 60".to_owned(),
        ..ServiceConfig::default()
    };
    daemon.add("least", least.clone()).await;
    assert_eq!(daemon.pebble.plan().await.unwrap().services["least"], least);
    // Durations come back as Go writes them.
    let minute = ServiceConfig {
        kill_delay: "60s".to_owned(),
        ..least
    };
    daemon.add("least", minute).await;
    assert_eq!(
        daemon.pebble.plan().await.unwrap().services["least"].kill_delay,
        "1m0s"
    );
    // The same label again is laid over it.
    daemon.add("server", server("sleep 7", "new")).await;
    let plan = daemon.pebble.plan().await.unwrap();
    assert_eq!(plan.services["server"].command, "sleep 7");
    assert_eq!(plan.checks.len(), 1);
}

async fn a_wrong_layer_is_refused_whole(daemon: Daemon) {
    let services = BTreeMap::from([
        ("good".to_owned(), server("sleep 1000", "")),
        ("bad".to_owned(), server("sleep 'unfinished", "")),
    ]);
    let layer = Layer {
        services,
        ..Layer::default()
    };
    match daemon.pebble.add_layer("test", &layer).await.unwrap_err() {
        Error::Refused {
            request,
            status: 400,
            message,
            ..
        } => {
            assert_eq!(request, "POST /v1/layers");
            assert!(message.contains(r#""bad""#), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert!(daemon.pebble.plan().await.unwrap().services.is_empty());
}

async fn services_start_stop_and_restart(daemon: Daemon) {
    let record = daemon.path("starts");
    let starts = || {
        fs::read_to_string(&record)
            .unwrap_or_default()
            .lines()
            .count()
    };
    daemon.add("server", recording_server(&record, "a")).await;
    let pebble = &daemon.pebble;

    let change = pebble.start(&["server"]).await.unwrap();
    let change = pebble.wait(&change, LIMIT).await.unwrap();
    assert_eq!(
        (change.kind.as_str(), change.ready, change.err.as_str()),
        ("start", true, "")
    );
    assert_eq!(daemon.status("server").await, ServiceStatus::Active);
    assert_eq!(starts(), 1);

    // one that runs stays as it is, even with another definition
    daemon.add("server", recording_server(&record, "b")).await;
    daemon.start_server().await.unwrap();
    assert_eq!(daemon.status("server").await, ServiceStatus::Active);
    assert_eq!(starts(), 1);

    for _ in 0..2 {
        let change = pebble.stop(&["server"]).await.unwrap();
        pebble.wait(&change, LIMIT).await.unwrap();
        assert_eq!(daemon.status("server").await, ServiceStatus::Inactive);
    }
    assert_eq!(starts(), 1);

    let all = pebble.services(&[]).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].startup, "enabled");
    assert_eq!(pebble.services(&["unknown"]).await.unwrap(), []);
    match pebble.start(&["unknown"]).await.unwrap_err() {
        Error::Refused {
            status: 400,
            message,
            ..
        } => assert!(message.contains("unknown")),
        other => panic!("{other:?}"),
    }
}

async fn a_server_that_exits_at_once_shows_why(daemon: Daemon) {
    let command = "sh -c 'echo cannot read the config; exit 3'";
    daemon.add("server", server(command, "")).await;
    let error = daemon.start_server().await.unwrap_err();
    let text = error.to_string();
    let Error::Change { kind, err, log } = error else {
        panic!("{error:?}")
    };
    assert_eq!(kind, "start");
    assert!(err.contains("exited quickly with code 3"), "{err}");
    assert!(
        log.iter()
            .any(|line| line.contains("cannot read the config")),
        "{log:?}"
    );
    assert!(
        !text.contains('\n') && text.contains("exited quickly"),
        "{text}"
    );
    let lines = daemon.pebble.logs("server", 5).await.unwrap();
    if daemon.version == "1.4.0" {
        // Before 1.17 a server that never really started leaves no log behind.
        assert_eq!(lines, []);
    } else {
        assert_eq!(lines.last().unwrap().message, "cannot read the config");
        assert_eq!(lines.last().unwrap().service, "server");
    }
    assert_ne!(daemon.status("server").await, ServiceStatus::Active);
}

async fn logs_are_the_last_lines(daemon: Daemon) {
    let command = r#"sh -c 'for i in 1 2 3 4 5; do echo "line $i"; done; exec sleep 1000'"#;
    daemon.add("server", server(command, "")).await;
    daemon.start_server().await.unwrap();
    let lines = daemon.pebble.logs("server", 2).await.unwrap();
    let messages: Vec<_> = lines.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(messages, ["line 4", "line 5"]);
    assert_eq!(daemon.pebble.logs("unknown", 2).await.unwrap(), []);
}

async fn a_slow_change_is_a_timeout_and_goes_on(daemon: Daemon) {
    // It ignores the request to stop, so it is killed after 2 s.
    let service = ServiceConfig {
        kill_delay: "2s".to_owned(),
        ..server(r#"sh -c 'trap "" TERM; while :; do sleep 0.1; done'"#, "")
    };
    daemon.add("server", service).await;
    daemon.start_server().await.unwrap();
    let change = daemon.pebble.stop(&["server"]).await.unwrap();
    let limit = Duration::from_millis(200);
    let started = Instant::now();
    match daemon.pebble.wait(&change, limit).await.unwrap_err() {
        Error::ChangeTimeout {
            change: id,
            limit: given,
        } => {
            assert_eq!((id, given), (change.to_string(), limit));
        }
        other => panic!("{other:?}"),
    }
    assert!(started.elapsed() >= limit && started.elapsed() < Duration::from_millis(1500));
    daemon.pebble.wait(&change, LIMIT).await.unwrap();
    assert_eq!(daemon.status("server").await, ServiceStatus::Inactive);
}

async fn files_with_hostile_content_come_back(daemon: Daemon) {
    let boundary = "--temporal-k8s-form-boundary-00000000000000000000";
    let contents: [(&str, Vec<u8>); 9] = [
        ("empty", vec![]),
        ("line end", b"\r\n".to_vec()),
        (
            "boundary",
            format!("\r\n{boundary}--\r\n\r\n{boundary}\r\n").into_bytes(),
        ),
        ("all bytes", (0..=255).collect()),
        ("quote\"s; name=\"request\"", b"quoted".to_vec()),
        ("back\\slash", b"slash".to_vec()),
        ("ümlaut & = + % %41 ?#", b"query".to_vec()),
        ("new/directories/file", b"deep".to_vec()),
        ("big", b"0123456789abcdef".repeat(256 * 1024)),
    ];
    let files: Vec<_> = contents
        .iter()
        .map(|(name, content)| File {
            path: daemon.path(name),
            content: Secret::new(content.clone()),
            permissions: 0o600,
        })
        .collect();
    daemon.pebble.write_files(&files).await.unwrap();
    for file in &files {
        let content = fs::read(&file.path).unwrap();
        assert!(content == *file.content.expose(), "{}", file.path);
        assert_eq!(mode(&file.path), 0o600, "{}", file.path);
    }
    let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    let read = daemon.pebble.read_files(&paths).await.unwrap();
    assert_eq!(read.len(), files.len());
    for (file, read) in files.iter().zip(read) {
        assert!(read.unwrap().unwrap() == file.content, "{}", file.path);
    }
    // Written again over wider permissions, with nothing left beside the files.
    set_mode(&files[0].path, 0o644);
    daemon.pebble.write_files(&files[..1]).await.unwrap();
    assert_eq!(mode(&files[0].path), 0o600);
    let entries = daemon
        .pebble
        .list_files(&daemon.path("new/directories"))
        .await
        .unwrap();
    assert_eq!(
        entries.iter().map(|entry| &entry.name).collect::<Vec<_>>(),
        ["file"]
    );
}

async fn a_file_that_cannot_be_read_hides_no_other(daemon: Daemon) {
    fs::write(daemon.path("good"), "good").unwrap();
    let (missing, directory) = (daemon.path("missing"), daemon.path(""));
    let good = daemon.path("good");
    let mut read = daemon
        .pebble
        .read_files(&[&missing, &directory, &good, &good])
        .await
        .unwrap()
        .into_iter();
    assert_eq!(read.next().unwrap().unwrap(), None);
    let error = read.next().unwrap().unwrap_err();
    assert_eq!((error.path, error.attempt), (directory, "read"));
    assert!(
        matches!(error.kind, FileErrorKind::Other(_)),
        "{:?}",
        error.kind
    );
    assert_eq!(read.next().unwrap().unwrap().unwrap().expose(), b"good");
    assert_eq!(read.next().unwrap().unwrap().unwrap().expose(), b"good");
    assert!(daemon.pebble.read_files(&[]).await.unwrap().is_empty());
    let relative = daemon
        .pebble
        .read_files(&["relative"])
        .await
        .unwrap()
        .remove(0)
        .unwrap_err();
    assert!(relative.message.contains("absolute"), "{relative}");
}

async fn a_file_that_cannot_be_written_is_an_error(daemon: Daemon) {
    fs::write(daemon.path("file"), "").unwrap();
    let file = |path: String| File {
        path,
        content: Secret::new(b"hunter2".to_vec()),
        permissions: 0o600,
    };
    let below_a_file = daemon.path("file/below");
    let files = [file(daemon.path("good")), file(below_a_file.clone())];
    let error = daemon.pebble.write_files(&files).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains("hunter2"), "{text}");
    let Error::File(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!((error.path, error.attempt), (below_a_file, "write"));
    assert_eq!(fs::read(daemon.path("good")).unwrap(), b"hunter2");

    let error = daemon
        .pebble
        .write_files(&[file(daemon.path("a\nb"))])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unsendable { .. }), "{error:?}");
    let wide = File {
        permissions: 0o1777,
        ..file(daemon.path("wide"))
    };
    let error = daemon.pebble.write_files(&[wide]).await.unwrap_err();
    assert!(matches!(error, Error::File(_)), "{error:?}");
}

async fn files_are_listed_and_removed(daemon: Daemon) {
    let pebble = &daemon.pebble;
    let (top, deep) = (daemon.path("top"), daemon.path("top/a/b"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(daemon.path("top/file"), "12345").unwrap();
    set_mode(&daemon.path("top/file"), 0o640);
    symlink("file", daemon.path("top/link")).unwrap();

    let entries = pebble.list_files(&top).await.unwrap();
    let seen: Vec<_> = entries
        .iter()
        .map(|e| (e.name.as_str(), e.r#type.clone(), e.size))
        .collect();
    assert_eq!(
        seen,
        [
            ("a", FileType::Directory, None),
            ("file", FileType::File, Some(5)),
            ("link", FileType::Symlink, None),
        ]
    );
    assert_eq!(
        (entries[1].path.as_str(), entries[1].permissions),
        (&*format!("{top}/file"), 0o640)
    );
    assert_eq!(pebble.list_files(&deep).await.unwrap(), []);

    // A directory with entries only goes when asked for by name.
    let error = pebble.remove_files(&[&top], false).await.unwrap_err();
    assert!(matches!(error, Error::File(_)), "{error:?}");
    pebble
        .remove_files(&[&format!("{top}/file"), &format!("{top}/gone")], false)
        .await
        .unwrap();
    assert!(!Path::new(&top).join("file").exists());
    for _ in 0..2 {
        pebble.remove_files(&[&top], true).await.unwrap();
    }
    assert!(!Path::new(&top).exists());
    match pebble.list_files(&top).await.unwrap_err() {
        Error::File(error) => assert_eq!(error.kind, FileErrorKind::NotFound),
        other => panic!("{other:?}"),
    }
}

/// A file system of 64 KiB that only this Pebble sees.
async fn on_a_small_disk(version: &'static str) {
    let script = r#"mkdir small && mount -t tmpfs -o size=64k tmpfs small && exec "$@""#;
    let as_root: &[&str] = if fs::metadata("/proc/self").unwrap().uid() == 0 {
        &["unshare", "--mount"]
    } else {
        &["unshare", "--user", "--map-root-user", "--mount"]
    };
    let daemon = Daemon::start_by(version, &[as_root, &["sh", "-c", script, "sh"]].concat()).await;
    let path = daemon.path("small/pgpass");
    let file = |content: &[u8]| File {
        path: path.clone(),
        content: Secret::new(content.to_vec()),
        permissions: 0o600,
    };
    daemon.pebble.write_files(&[file(b"small")]).await.unwrap();
    let error = daemon
        .pebble
        .write_files(&[file(&b"hunter2".repeat(16 * 1024))])
        .await
        .unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("no space left on device") && !text.contains("hunter2"),
        "{text}"
    );
    assert!(matches!(error, Error::File(_)), "{error:?}");
    // The file that was there is still there, whole.
    let read = daemon.pebble.read_files(&[&path]).await.unwrap().remove(0);
    assert_eq!(read.unwrap().unwrap().expose(), b"small");
    daemon
        .pebble
        .write_files(&[file(b"room again")])
        .await
        .unwrap();
    assert!(
        !Path::new(&path).exists(),
        "the small disk is Pebble's alone"
    );
}

async fn exec_gives_output_and_exit_code(daemon: Daemon) {
    let output = daemon
        .exec(&["sh", "-c", "echo out; echo err >&2; exit 7"], b"")
        .await
        .unwrap();
    assert_eq!(output.exit_code, 7);
    assert_eq!(
        (&*output.stdout, &*output.stderr),
        (&b"out\n"[..], &b"err\n"[..])
    );
    let output = daemon.exec(&["true"], b"").await.unwrap();
    assert!(output.variables.contains("HOME"), "{output:?}");
    assert_eq!(
        output,
        ExecOutput {
            exit_code: 0,
            stdout: vec![],
            stderr: vec![],
            variables: output.variables.clone(),
        }
    );
    let output = daemon
        .exec(&["sh", "-c", "kill -KILL $$"], b"")
        .await
        .unwrap();
    assert_eq!(output.exit_code, 128 + 9);
}

async fn exec_has_the_environment_and_directory_it_is_given(daemon: Daemon) {
    let exec = Exec {
        command: ["sh", "-c", "pwd; printf %s \"$HOSTILE\""]
            .map(str::to_owned)
            .to_vec(),
        environment: BTreeMap::from([("HOSTILE".to_owned(), "a 'b' \"c\" $d\n{{".to_owned())]),
        working_dir: Some("/proc".to_owned()),
        timeout: LIMIT,
        ..Exec::default()
    };
    let output = daemon.pebble.exec(&exec).await.unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "/proc\na 'b' \"c\" $d\n{{"
    );
}

async fn exec_moves_megabytes_in_all_three_directions(daemon: Daemon) {
    const SIZE: usize = 4 * 1024 * 1024;
    let stdin: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
    let script = r"head -c 4194304 /dev/zero | tr '\0' e >&2 & cat; wait";
    let output = daemon.exec(&["sh", "-c", script], &stdin).await.unwrap();
    assert_eq!(output.exit_code, 0);
    assert!(
        output.stdout == stdin,
        "{} bytes of stdout",
        output.stdout.len()
    );
    assert!(
        output.stderr == vec![b'e'; SIZE],
        "{} bytes of stderr",
        output.stderr.len()
    );
}

async fn exec_may_leave_its_input_unread(daemon: Daemon) {
    let stdin = vec![b'x'; 8 * 1024 * 1024];
    let output = daemon.exec(&["echo", "done"], &stdin).await.unwrap();
    assert_eq!((output.exit_code, &*output.stdout), (0, &b"done\n"[..]));
    let output = daemon.exec(&["head", "-c", "3"], &stdin).await.unwrap();
    assert_eq!((output.exit_code, &*output.stdout), (0, &b"xxx"[..]));
}

async fn exec_is_killed_at_its_limit(daemon: Daemon) {
    let limit = Duration::from_millis(300);
    // The second leaves a child behind that holds the output open.
    for script in ["exec sleep 6", "sleep 6 & wait"] {
        let exec = Exec {
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            timeout: limit,
            ..Exec::default()
        };
        let started = Instant::now();
        match daemon.pebble.exec(&exec).await.unwrap_err() {
            Error::ExecTimeout {
                command,
                limit: given,
            } => {
                assert_eq!((command.as_str(), given), ("sh", limit));
            }
            other => panic!("{other:?}"),
        }
        let took = started.elapsed();
        assert!(
            took >= limit && took < Duration::from_secs(4),
            "{script}: {took:?}"
        );
    }
    daemon.exec(&["true"], b"").await.unwrap();
}

/// Law S5: the names only.
async fn the_variables_of_an_image_are_seen(version: &'static str) {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("no-such-home");
    let home = format!("HOME={}", home.display());
    // empty ones are set, too
    let variables = [
        "env",
        &home,
        "TEMPORAL_SERVER_CONFIG_FILE_PATH=",
        "TOKEN=hunter2",
    ];
    let daemon = Daemon::start_in(directory, version, &variables).await;
    let program = daemon.path("temporal-server");
    fs::write(&program, "#!/bin/sh\necho temporal version 1.30.0\n").unwrap();
    set_mode(&program, 0o755);
    let why = "there is no `temporal-server` on its `PATH`".to_owned();
    assert_eq!(seen(&daemon).await.image, Probe::Known(Err(why)));

    let path = format!("PATH={}:/usr/bin:/bin", daemon.directory.path().display());
    let directory = tempfile::tempdir().unwrap();
    let variables = [
        "env",
        &home,
        &path,
        "TEMPORAL_SERVER_CONFIG_FILE_PATH=",
        "TOKEN=hunter2",
    ];
    let daemon = Daemon::start_in(directory, version, &variables).await;
    let workload = seen(&daemon).await;
    let image = "1.30.0 TEMPORAL_SERVER_CONFIG_FILE_PATH".parse().unwrap();
    assert_eq!(workload.image, Probe::Known(Ok(image)));
    assert!(!format!("{workload:?}").contains("hunter2"));
}

async fn exec_of_what_cannot_run_is_an_error(daemon: Daemon) {
    match daemon.exec(&["no-such-program"], b"").await.unwrap_err() {
        Error::Refused {
            status: 400,
            message,
            ..
        } => {
            assert!(message.contains("no-such-program"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        daemon.exec(&[], b"").await,
        Err(Error::Refused { status: 400, .. })
    ));
    let program = daemon.path("not-a-program");
    fs::write(&program, "\u{7f}ELF").unwrap();
    set_mode(&program, 0o755);
    let error = daemon.exec(&[&program], b"").await.unwrap_err();
    assert!(matches!(error, Error::Change { .. }), "{error:?}");
}

/// Services of an image: one of our name with everything that a definition may have, one that it requires, one that
/// requires it, one before and one after it; all of them are started with the container, outside of Juju.
const IMAGE: &str = r#"
services:
  temporal:
    override: replace
    summary: of the image
    command: sleep 2000
    startup: enabled
    requires: [ui]
    after: [ui]
    user: root
    group: root
    working-dir: /proc
    environment: {OF_THE_IMAGE: "1"}
    on-success: shutdown
    on-failure: ignore
    on-check-failure: {up: restart}
    backoff-delay: 7s
    kill-delay: 1s
  ui: {override: replace, command: sleep 3000, startup: enabled}
  leech: {override: replace, command: sleep 4000, startup: enabled, requires: [temporal], after: [temporal]}
  eager: {override: replace, command: sleep 5000, startup: enabled, before: [temporal]}
checks:
  up: {override: replace, exec: {command: "true"}}
"#;
const LATER: &str = r#"
services:
  temporal: {override: merge, command: sleep 6000, environment: {LATER: "1"}, requires: [other]}
  other: {override: replace, command: sleep 7000, startup: enabled}
"#;

/// Law S16: shapes of layers that images may have.
async fn nothing_of_an_image_runs_or_is_mixed_into_ours(version: &'static str) {
    for layers in [
        &[("of-the-image", IMAGE), ("later", LATER)][..],
        &[("temporal", IMAGE), ("later", LATER)],
        &[("early", LATER), (container::LAYER, IMAGE)],
    ] {
        let daemon = Daemon::start_with(version, layers).await;
        // as an earlier revision of the charm did
        let replan = Command::new(super::pebble_binary(version))
            .arg("replan")
            .env("PEBBLE", daemon.directory.path())
            .output()
            .unwrap();
        assert!(replan.status.success(), "{replan:?}");
        let others = ["eager", "leech", "other", "ui"].map(str::to_owned).into();
        assert_eq!(seen(&daemon).await.others, others);

        let environment = daemon.path("environment");
        let ours = |hash| {
            server(
                &format!("sh -c 'env >{environment}; exec sleep 1000'"),
                hash,
            )
        };
        let first = [
            Change::StopOthers(others),
            Change::Stop,
            Change::Layer(ours("a")),
            Change::Start,
        ];
        assert_eq!(apply::changes(&daemon.pebble, &first).await, Attempt::Done);
        let again = [Change::Stop, Change::Layer(ours("b")), Change::Start];
        assert_eq!(apply::changes(&daemon.pebble, &again).await, Attempt::Done);

        let workload = seen(&daemon).await;
        assert!(workload.others.is_empty(), "{:?}", workload.others);
        let service = workload.service.unwrap();
        assert_eq!((&service.config, service.state), (&ours("b"), Active));
        let environment = fs::read_to_string(&environment).unwrap();
        assert!(environment.contains("CONFIG_HASH=b\n"), "{environment}");
        assert!(
            !environment.contains("OF_THE_IMAGE") && !environment.contains("LATER"),
            "{environment}"
        );
        // with the fields that our client does not know
        let plan = Command::new(super::pebble_binary(version))
            .arg("plan")
            .env("PEBBLE", daemon.directory.path())
            .output()
            .unwrap();
        let plan: serde_json::Value = serde_saphyr::from_slice(&plan.stdout).unwrap();
        let ours = plan["services"]["temporal"].as_object().unwrap();
        let fields: Vec<&str> = ours.keys().map(String::as_str).collect();
        assert_eq!(fields, ["command", "environment", "override", "startup"]);
    }
}

/// What the charm sees of a container.
async fn seen(daemon: &Daemon) -> Workload {
    let workload = observe::workload(&daemon.pebble).await;
    Workload {
        image: observe::image(&daemon.pebble, None, true).await,
        ..workload.known().unwrap().clone()
    }
}

/// A hook that dies while the server stops: the next one finds it inactive, although its process is still there.
async fn a_start_waits_for_the_stop_that_another_hook_began(daemon: Daemon) {
    let record = daemon.path("record");
    // it takes its time to end, and two of them at once would be seen
    let slow = format!(
        "sh -c 'trap \"sleep 1; echo end >>{record}; exit 0\" TERM; echo start >>{record}; while :; do sleep 0.1; done'"
    );
    let config = ServiceConfig {
        kill_delay: "10s".to_owned(),
        ..server(&slow, "a")
    };
    let changes = [Change::Layer(config), Change::Start];
    assert_eq!(
        apply::changes(&daemon.pebble, &changes).await,
        Attempt::Done
    );
    daemon.pebble.stop(&["temporal"]).await.unwrap();
    // Pebble accepts a change before it begins with it
    while seen(&daemon).await.is_up() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(fs::read_to_string(&record).unwrap(), "start\n");
    assert_eq!(
        apply::changes(&daemon.pebble, &[Change::Start]).await,
        Attempt::Done
    );
    assert_eq!(fs::read_to_string(&record).unwrap(), "start\nend\nstart\n");
    assert!(seen(&daemon).await.is_up());
}

/// It may change under a server that runs, and a definition that comes back as another one would be sent for ever.
async fn our_check_comes_back_as_it_was(daemon: Daemon) {
    let record = daemon.path("starts");
    let changes = [Change::Layer(recording_server(&record, "a")), Change::Start];
    assert_eq!(
        apply::changes(&daemon.pebble, &changes).await,
        Attempt::Done
    );
    assert_eq!(seen(&daemon).await.check, None);
    let version = "1.32.2".parse().unwrap();
    for roles in [
        BTreeSet::from([Role::History]),
        BTreeSet::from([Role::Frontend, Role::Worker]),
    ] {
        let wants = check::config("fd00::1".parse().unwrap(), version, &roles);
        let watch = [Change::Watch(wants.clone())];
        assert_eq!(apply::changes(&daemon.pebble, &watch).await, Attempt::Done);
        let workload = seen(&daemon).await;
        let has = workload.check.unwrap();
        assert!(check::same(&wants, &has), "{has:?}");
        assert_eq!(workload.service.unwrap().state, Active);
    }
    assert_eq!(fs::read_to_string(&record).unwrap(), "a\n");
    // without the program it is none
    fs::remove_file(daemon.path(check::PROGRAM)).unwrap();
    assert_eq!(seen(&daemon).await.check, None);
}

macro_rules! on_every_pebble {
    ($($case:ident),* $(,)?) => {
        on_every_pebble! { @version v1_4_0 "1.4.0" $($case)* }
        on_every_pebble! { @version v1_19_2 "1.19.2" $($case)* }
        on_every_pebble! { @version v1_26_0 "1.26.0" $($case)* }
    };
    (@version $module:ident $version:literal $($case:ident)*) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case(super::Daemon::start($version).await).await;
                }
            )*

            #[tokio::test]
            async fn a_full_disk_harms_no_file() {
                super::on_a_small_disk($version).await;
            }

            #[tokio::test]
            async fn the_variables_of_an_image_are_seen() {
                super::the_variables_of_an_image_are_seen($version).await;
            }

            #[tokio::test]
            async fn nothing_of_an_image_runs_or_is_mixed_into_ours() {
                super::nothing_of_an_image_runs_or_is_mixed_into_ours($version).await;
            }
        }
    };
}

on_every_pebble! {
    tells_its_version,
    is_not_up_once_it_has_ended,
    an_empty_pebble_has_an_empty_plan,
    a_layer_comes_back_in_the_plan,
    a_wrong_layer_is_refused_whole,
    services_start_stop_and_restart,
    a_server_that_exits_at_once_shows_why,
    logs_are_the_last_lines,
    a_slow_change_is_a_timeout_and_goes_on,
    files_with_hostile_content_come_back,
    a_file_that_cannot_be_read_hides_no_other,
    a_file_that_cannot_be_written_is_an_error,
    files_are_listed_and_removed,
    exec_gives_output_and_exit_code,
    exec_has_the_environment_and_directory_it_is_given,
    exec_moves_megabytes_in_all_three_directions,
    exec_may_leave_its_input_unread,
    exec_is_killed_at_its_limit,
    exec_of_what_cannot_run_is_an_error,
    a_start_waits_for_the_stop_that_another_hook_began,
    our_check_comes_back_as_it_was,
}
