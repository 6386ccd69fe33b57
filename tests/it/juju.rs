//! The hook-tool shell against small scripts on a `PATH` of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Map, json};
use temporal_k8s::juju::{ApplicationStatus, Databag, Error, Juju, Level, LogLevel, Status};

/// A directory of hook tools. Each notes its arguments, in one write since several may run at the same
/// time, before it does what it is told to.
pub(crate) struct Tools {
    directory: PathBuf,
}

impl Tools {
    /// One tool with one script. `name` keeps tests apart, and is the test's own.
    pub(crate) fn with(name: &str, tool: &str, script: &str) -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("juju-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self { directory }.and(tool, script)
    }

    pub(crate) fn and(self, tool: &str, script: &str) -> Self {
        let text = format!(
            "#!/bin/sh\n\
             here=${{0%/*}}\n\
             call=\"${{0##*/}}$(printf ' [%s]' \"$@\")\"\n\
             printf '%s\\n' \"$call\" >> \"$here/calls\"\n\
             {script}\n"
        );
        // Another process writes the file: were it open for writing in this one, a test that forks at
        // the same time would hold it open, and the kernel would refuse to run it.
        let status = Command::new("sh")
            .args([
                "-c",
                "printf '%s' \"$1\" > \"$2\" && chmod 755 \"$2\"",
                "sh",
            ])
            .arg(text)
            .arg(self.directory.join(tool))
            .status()
            .unwrap();
        assert!(status.success());
        self
    }

    pub(crate) fn juju(&self) -> Juju {
        Juju::new().with_path(format!("{}:/usr/bin:/bin", self.directory.display()))
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.directory.join(file)).unwrap()
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.read("calls").lines().map(str::to_owned).collect()
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        // A directory left behind disturbs nobody: it has the process's number in its name.
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

fn bag(pairs: &[(&str, &str)]) -> Databag {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).into()))
        .collect()
}

fn status(level: Level, message: &str) -> Status {
    Status {
        level,
        message: message.to_owned(),
    }
}

#[tokio::test]
async fn options_keep_their_types() {
    let tools = Tools::with(
        "options",
        "config-get",
        r#"echo '{"services":"frontend","num-history-shards":4}'"#,
    );
    assert_eq!(
        tools.juju().config_get().await.unwrap(),
        Map::from_iter([
            ("services".to_owned(), json!("frontend")),
            ("num-history-shards".to_owned(), json!(4)),
        ])
    );
    assert_eq!(tools.calls(), ["config-get [--format=json]"]);
}

#[tokio::test]
async fn leadership_is_a_clear_answer() {
    for (script, leader) in [
        ("echo true", true),
        ("echo false", false),
        ("echo 'ERROR leadership status unknown' >&2; exit 1", false),
    ] {
        let tools = Tools::with("leader", "is-leader", script);
        assert_eq!(tools.juju().is_leader().await.unwrap(), leader, "{script}");
    }
    let tools = Tools::with("leader", "is-leader", "");
    assert!(matches!(
        tools.juju().is_leader().await,
        Err(Error::Garbage { .. })
    ));
}

#[tokio::test]
async fn relations_are_listed_by_number() {
    let tools = Tools::with("ids", "relation-ids", r#"echo '["db:10","db:2"]'"#);
    assert_eq!(tools.juju().relation_ids("db").await.unwrap(), [2, 10]);
    assert_eq!(tools.calls(), ["relation-ids [--format=json] [db]"]);
}

#[tokio::test]
async fn a_relation_is_read_whole() {
    let tools = Tools::with(
        "read",
        "relation-list",
        r#"case "$*" in *--app*) echo '"pg"';; *) echo '["pg/1","pg/0"]';; esac"#,
    )
    .and(
        "relation-get",
        r#"case "$*" in *--app*) echo '{"master":"host=x"}';; *) echo '{}';; esac"#,
    );
    let juju = tools.juju();
    assert_eq!(juju.relation_app(7).await.unwrap().as_deref(), Some("pg"));
    assert_eq!(
        juju.relation_units(7).await.unwrap(),
        Some(BTreeSet::from(["pg/0".to_owned(), "pg/1".to_owned()]))
    );
    assert_eq!(
        juju.relation_get_app(7, "pg").await.unwrap(),
        Some(bag(&[("master", "host=x")]))
    );
    assert_eq!(
        juju.relation_get_unit(7, "pg/0").await.unwrap(),
        Some(bag(&[]))
    );
    assert_eq!(
        tools.calls(),
        [
            "relation-list [--format=json] [-r] [7] [--app]",
            "relation-list [--format=json] [-r] [7]",
            "relation-get [--format=json] [-r] [7] [--app] [-] [pg]",
            "relation-get [--format=json] [-r] [7] [-] [pg/0]",
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_an_answer() {
    for said in [
        // Juju 3
        r#"invalid value "7" for option -r: relation not found"#,
        r#"cannot read settings for unit "pg/0" in relation "us:db pg:db": unit "pg/0": settings not found"#,
        r#"relation "us:db pg:db" not found"#,
        "permission denied",
        // Juju 4
        "relation not found",
        "relation unit not found",
        "application not found",
        "permission denied (unauthorized access)",
    ] {
        let refused = format!("echo 'ERROR {said}' >&2; exit 1");
        let tools = Tools::with("unread", "relation-list", &refused).and("relation-get", &refused);
        let juju = tools.juju();
        assert_eq!(juju.relation_app(7).await.unwrap(), None, "{said}");
        assert_eq!(juju.relation_units(7).await.unwrap(), None, "{said}");
        assert_eq!(
            juju.relation_get_app(7, "pg").await.unwrap(),
            None,
            "{said}"
        );
        assert_eq!(
            juju.relation_get_unit(7, "pg/0").await.unwrap(),
            None,
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_secret_is_read_as_the_unit_tracks_it_or_anew() {
    let tools = Tools::with("secret", "secret-get", r#"echo '{"password":"hunter2"}'"#);
    let uri = "secret:cjqub6vubg2s77p3nio0";
    let content = Some(bag(&[("password", "hunter2")]));
    for refresh in [false, true] {
        let read = tools.juju().secret_get(uri, refresh).await.unwrap();
        assert_eq!(read, content);
        assert!(!format!("{read:?}").contains("hunter2"));
    }
    assert_eq!(
        tools.calls(),
        [
            format!("secret-get [--format=json] [--] [{uri}]"),
            format!("secret-get [--format=json] [--refresh] [--] [{uri}]"),
        ]
    );
}

#[tokio::test]
async fn a_secret_that_is_gone_or_forbidden_is_an_answer_and_all_else_a_failure() {
    for said in [
        r#"secret "secret:cjqub6vubg2s77p3nio0" not found"#,
        r#"secret revision "cjqub6vubg2s77p3nio0/1" not found"#,
        "secret revision 1 for secret:cjqub6vubg2s77p3nio0 not found",
        "permission denied",
        r#""temporal-k8s/0" is not allowed to read this secret"#,
    ] {
        let script = format!("echo 'ERROR {said}' >&2; exit 1");
        let tools = Tools::with("secret-gone", "secret-get", &script);
        let read = tools.juju().secret_get("secret:x", true).await.unwrap();
        assert_eq!(read, None, "{said}");
    }
    let script = r#"echo 'ERROR secret URI "x" not valid' >&2; exit 2"#;
    let tools = Tools::with("secret-wrong", "secret-get", script);
    let error = tools.juju().secret_get("x", false).await.unwrap_err();
    assert!(error.to_string().contains("not valid"), "{error}");
}

#[tokio::test]
async fn databag_values_travel_over_standard_input_only() {
    let tools = Tools::with("set", "relation-set", "cat > \"$here/input\"");
    let changes = BTreeMap::from([
        ("gone".to_owned(), None),
        ("password".to_owned(), Some("a\"b\\c\n{{é".into())),
    ]);
    tools.juju().relation_set(7, true, &changes).await.unwrap();
    assert_eq!(
        tools.read("input"),
        r#"{"gone":"","password":"a\"b\\c\n{{é"}"#
    );
    tools.juju().relation_set(7, false, &changes).await.unwrap();
    assert_eq!(
        tools.calls(),
        [
            "relation-set [-r] [7] [--app] [--file] [-]",
            "relation-set [-r] [7] [--file] [-]",
        ]
    );
}

#[tokio::test]
async fn a_refused_write_tells_why_without_its_values() {
    let tools = Tools::with(
        "refused",
        "relation-set",
        "echo \"ERROR cannot write relation settings: $(cat)\" >&2; exit 1",
    );
    let changes = BTreeMap::from([("password".to_owned(), Some("hunter2".into()))]);
    let error = tools
        .juju()
        .relation_set(7, true, &changes)
        .await
        .unwrap_err();
    assert!(error.is_not_leader());
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(text.contains("cannot write relation settings"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_tool_that_ends_before_it_has_read_its_input_is_understood() {
    let changes = BTreeMap::from([("k".to_owned(), Some("x".repeat(1 << 20).into()))]);
    let tools = Tools::with(
        "early",
        "relation-set",
        "echo 'ERROR cannot write relation settings' >&2; exit 1",
    );
    let refused = tools.juju().relation_set(7, true, &changes).await;
    assert!(refused.unwrap_err().is_not_leader());
    let tools = Tools::with("early", "relation-set", "exit 0");
    let lost = tools.juju().relation_set(7, true, &changes).await;
    assert!(matches!(lost, Err(Error::Talk { .. })), "{lost:?}");
}

#[tokio::test]
async fn a_long_input_meets_a_long_output_without_a_standstill() {
    let tools = Tools::with("long", "relation-set", "tee \"$here/input\"");
    let changes = BTreeMap::from([("k".to_owned(), Some("x".repeat(1 << 20).into()))]);
    tools.juju().relation_set(7, true, &changes).await.unwrap();
    assert_eq!(tools.read("input").len(), (1 << 20) + r#"{"k":""}"#.len());
}

#[tokio::test]
async fn statuses_are_set_with_their_message_as_one_argument() {
    let tools = Tools::with("status-set", "status-set", "");
    let juju = tools.juju();
    for (level, message, application) in [
        (Level::Active, "", false),
        (Level::Blocked, "--help: `db` is missing", false),
        (Level::Waiting, "for schema", true),
        (Level::Maintenance, "starting", false),
    ] {
        juju.status_set(&status(level, message), application)
            .await
            .unwrap();
    }
    assert_eq!(
        tools.calls(),
        [
            "status-set [--] [active] []",
            "status-set [--] [blocked] [--help: `db` is missing]",
            "status-set [--application] [--] [waiting] [for schema]",
            "status-set [--] [maintenance] [starting]",
        ]
    );
}

#[tokio::test]
async fn statuses_are_read_where_a_charm_could_have_set_them() {
    for (word, expected) in [
        ("active", Some(Level::Active)),
        ("maintenance", Some(Level::Maintenance)),
        ("waiting", Some(Level::Waiting)),
        ("blocked", Some(Level::Blocked)),
        ("unknown", None),
        ("error", None),
    ] {
        let tools = Tools::with(
            "status-get",
            "status-get",
            &format!(r#"echo '{{"status":"{word}","message":"m","status-data":{{}}}}'"#),
        );
        assert_eq!(
            tools.juju().status_get().await.unwrap(),
            expected.map(|level| status(level, "m")),
            "{word}"
        );
        assert_eq!(
            tools.calls(),
            ["status-get [--format=json] [--include-data]"]
        );
    }
}

#[tokio::test]
async fn the_leader_sees_the_application_and_its_units() {
    let tools = Tools::with(
        "status-app",
        "status-get",
        r#"echo '{"application-status":{"status":"waiting","message":"w","status-data":{},"units":{
            "a/0":{"status":"active","message":"","status-data":{}},
            "a/1":{"status":"unknown","message":"","status-data":{}}}}}'"#,
    );
    assert_eq!(
        tools.juju().status_get_application().await.unwrap(),
        ApplicationStatus {
            own: Some(status(Level::Waiting, "w")),
            units: BTreeMap::from([
                ("a/0".to_owned(), Some(status(Level::Active, ""))),
                ("a/1".to_owned(), None),
            ]),
        }
    );
    assert_eq!(
        tools.calls(),
        ["status-get [--format=json] [--include-data] [--application]"]
    );
}

#[tokio::test]
async fn ports_are_opened_at_the_same_time() {
    // Each call waits for the other two, so one after the other would never end well.
    let meet = r#"touch "$here/${1%/tcp}.port"
        for _ in $(seq 500); do
            [ "$(ls "$here"/*.port | wc -l)" = 3 ] && exit 0
            sleep 0.02
        done
        exit 1"#;
    let tools = Tools::with("ports", "open-port", meet);
    let ports = BTreeSet::from([7233, 7234, 7235]);
    tools.juju().open_ports(&ports).await.unwrap();
    let calls: BTreeSet<String> = tools.calls().into_iter().collect();
    let expected = ["[7233/tcp]", "[7234/tcp]", "[7235/tcp]"].map(|arg| format!("open-port {arg}"));
    assert_eq!(calls, BTreeSet::from(expected));
}

#[tokio::test]
async fn one_port_that_cannot_be_closed_fails_the_call_and_stops_no_other() {
    let tools = Tools::with("close", "close-port", r#"[ "$1" != 1/tcp ]"#);
    let closed = tools.juju().close_ports(&BTreeSet::from([1, 2, 3])).await;
    assert!(matches!(closed, Err(Error::Failed { .. })));
    assert_eq!(tools.calls().len(), 3);
    tools.juju().close_ports(&BTreeSet::new()).await.unwrap();
    assert_eq!(tools.calls().len(), 3);
}

#[tokio::test]
async fn only_tcp_ports_are_ours() {
    let tools = Tools::with(
        "opened",
        "opened-ports",
        r#"echo '["7233/tcp","53/udp","8000-8010/tcp","icmp"]'"#,
    );
    let opened = tools.juju().opened_ports().await.unwrap();
    assert_eq!(opened, BTreeSet::from([7233]));
}

#[tokio::test]
async fn an_address_that_is_not_known_yet_is_no_error() {
    let bound = |addresses: &str| {
        format!(r#"echo '{{"bind-addresses":[{{"addresses":{addresses}}}],"egress-subnets":[]}}'"#)
    };
    for (script, address) in [
        (
            bound(r#"[{"hostname":"","value":"10.1.0.5","cidr":""}]"#),
            Some("10.1.0.5"),
        ),
        (bound(r#"[{"value":"fd00::5"}]"#), Some("fd00::5")),
        (bound(r#"[{"value":""}]"#), None),
        (bound("[]"), None),
        (bound("null"), None),
        (r#"echo '{"bind-addresses":[]}'"#.to_owned(), None),
        ("echo '{}'".to_owned(), None),
        (
            r#"echo 'ERROR no network config found for binding "peer"' >&2; exit 1"#.to_owned(),
            None,
        ),
    ] {
        let tools = Tools::with("network", "network-get", &script);
        assert_eq!(
            tools.juju().network_get("peer").await.unwrap(),
            address.map(|text| text.parse().unwrap()),
            "{script}"
        );
    }
    let tools = Tools::with(
        "network",
        "network-get",
        "echo 'ERROR no agent' >&2; exit 1",
    );
    assert!(tools.juju().network_get("peer").await.is_err());
}

#[tokio::test]
async fn long_texts_are_logged_in_pieces() {
    let tools = Tools::with("log", "juju-log", "");
    let juju = tools.juju();
    juju.juju_log(LogLevel::Warning, "--x\0y").await.unwrap();
    assert_eq!(
        tools.calls(),
        ["juju-log [-l] [WARNING] [--] [--x\u{fffd}y]"]
    );
    let long = "é".repeat(150 * 1024);
    juju.juju_log(LogLevel::Info, &long).await.unwrap();
    assert_eq!(tools.calls().len(), 1 + 3);
}

#[tokio::test]
async fn a_units_memory_is_written_and_read() {
    let tools = Tools::with("state", "state-set", "cat > \"$here/state\"")
        .and("state-get", "cat \"$here/state\"")
        .and(
            "state-delete",
            "rm \"$here/state\"; echo null > \"$here/state\"",
        );
    let juju = tools.juju();
    let values = BTreeMap::from([("accepted".to_owned(), r#"[7,"u"]"#.to_owned())]);
    juju.state_set(&values).await.unwrap();
    assert_eq!(juju.state_get().await.unwrap(), values);
    juju.state_delete("accepted").await.unwrap();
    assert_eq!(juju.state_get().await.unwrap(), BTreeMap::new());
    assert_eq!(
        tools.calls()[..3],
        [
            "state-set [--file] [-]",
            "state-get [--format=json] [-]",
            "state-delete [accepted]",
        ]
    );
}

#[tokio::test]
async fn actions_are_answered() {
    let tools = Tools::with("action", "action-get", r#"echo '{"force":true}'"#)
        .and("action-set", "")
        .and("action-fail", "")
        .and("action-log", "")
        .and("application-version-set", "");
    let juju = tools.juju();
    assert_eq!(
        juju.action_get().await.unwrap(),
        Map::from_iter([("force".to_owned(), json!(true))])
    );
    let results = BTreeMap::from([("result".to_owned(), "it is up".to_owned())]);
    juju.action_set(&results).await.unwrap();
    juju.action_log("-- waiting").await.unwrap();
    juju.action_fail("-1 roles").await.unwrap();
    juju.application_version_set("1.23.1").await.unwrap();
    assert_eq!(
        tools.calls(),
        [
            "action-get [--format=json]",
            "action-set [result=it is up]",
            "action-log [--] [-- waiting]",
            "action-fail [--] [-1 roles]",
            "application-version-set [--] [1.23.1]",
        ]
    );
}

#[tokio::test]
async fn a_tool_that_is_missing_asks_whether_this_is_a_hook() {
    let tools = Tools::with("missing", "config-get", "");
    let error = tools.juju().is_leader().await.unwrap_err();
    assert!(matches!(
        error,
        Error::Spawn {
            tool: "is-leader",
            ..
        }
    ));
    assert!(error.to_string().contains("is this a Juju hook?"));
}

#[tokio::test]
async fn a_tool_that_fails_is_quoted_with_its_command() {
    let tools = Tools::with(
        "fails",
        "config-get",
        "echo 'ERROR connection lost' >&2; exit 3",
    );
    let error = tools.juju().config_get().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "`config-get --format=json` failed (exit status: 3): ERROR connection lost"
    );
}

#[tokio::test]
async fn garbage_is_located_and_not_quoted() {
    for script in [
        "echo hunter2",
        "echo '{\"password\":'",
        "echo '[\"hunter2\"]'",
        "echo '{\"password\":[\"hunter2\"]}'",
        "printf '\\377\\376'",
    ] {
        let tools = Tools::with("garbage", "relation-get", script);
        let error = tools.juju().relation_get_unit(7, "pg/0").await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Garbage {
                    tool: "relation-get",
                    ..
                }
            ),
            "{script}: {error:?}"
        );
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    let tools = Tools::with("garbage", "relation-ids", r#"echo '["db"]'"#);
    assert!(matches!(
        tools.juju().relation_ids("db").await,
        Err(Error::Garbage { .. })
    ));
}

#[tokio::test]
async fn a_tool_that_hangs_is_killed() {
    let tools = Tools::with(
        "hangs",
        "config-get",
        "echo $$ > \"$here/pid\"; exec sleep 600",
    );
    let limit = Duration::from_secs(1);
    let error = tools
        .juju()
        .with_limit(limit)
        .config_get()
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Timeout {
            tool: "config-get",
            ..
        }
    ));
    assert!(error.to_string().contains("within 1 s"), "{error}");
    let stat = format!("/proc/{}/stat", tools.read("pid").trim());
    for _ in 0..200 {
        let alive = std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z "));
        if !alive {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the tool is still there");
}
