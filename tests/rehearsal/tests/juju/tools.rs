//! The hook tools' outputs and error texts.

use std::cell::RefCell;
use std::rc::Rc;

use rehearsal::juju::HookContext;
use serde_json::json;

use crate::world::{World, json, refused, tool, tool_with};

/// Runs `act` in an update-status of `server/0`, which leads and is related to `db/0`.
fn in_server(act: impl FnOnce(&mut HookContext, u32) + 'static) {
    let (mut world, id) = World::related(2, 1);
    world.in_hook("server/0", move |hook| act(hook, id));
}

#[test]
fn config_get_is_typed_and_omits_what_has_no_value() {
    in_server(|hook, _| {
        assert_eq!(json(hook, "config-get"), json!({"level": "info"}));
        assert_eq!(json(hook, "config-get level"), json!("info"));
        assert_eq!(json(hook, "config-get shards"), json!(null));
        assert_eq!(
            json(hook, "config-get --all"),
            json!({"level": "info", "shards": null})
        );
        assert_eq!(tool(hook, "config-get level").stdout, "info\n");
    });
    let mut world = World::settled(1, 0);
    world.juju.config("server", &[("shards", "4")]).unwrap();
    world.in_hook("server/0", |hook| {
        assert_eq!(json(hook, "config-get shards"), json!(4));
    });
}

#[test]
fn is_leader_is_a_boolean() {
    let mut world = World::settled(2, 0);
    for (unit, leads) in [("server/0", true), ("server/1", false)] {
        let said = world.in_hook(unit, |hook| json(hook, "is-leader"));
        assert_eq!(said, json!(leads));
    }
    world.in_hook("server/0", |hook| {
        assert_eq!(tool(hook, "is-leader").stdout, "True\n");
    });
}

#[test]
fn relation_ids_are_sorted_as_text_and_unknown_endpoints_have_none() {
    let mut world = World::settled(1, 0);
    let metadata = "name: web\nsummary: s\ndescription: d\nprovides: {web: {interface: http}}\n";
    for number in 0..11 {
        let app = format!("web{}", char::from(b'a' + number));
        world.deploy(&app, metadata, 0);
        world.juju.integrate("server:web", &app).unwrap();
    }
    let ids = world.in_hook("server/0", |hook| json(hook, "relation-ids web"));
    let ids: Vec<String> = serde_json::from_value(ids).unwrap();
    let mut sorted = ids.clone();
    sorted.sort();
    assert_eq!(ids, sorted);
    assert_eq!(ids[..3], ["web:10", "web:11", "web:12"]);
    let none = world.in_hook("server/0", |hook| json(hook, "relation-ids nothing"));
    assert_eq!(none, json!([]));
}

#[test]
fn a_dying_relation_without_members_is_not_listed_any_more() {
    let (mut world, _) = World::related(1, 2);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = seen.clone();
    world.script("server", move |event, hook| {
        log.borrow_mut()
            .push((event.name(), json(hook, "relation-ids db") != json!([])));
        Ok(())
    });
    world.juju.remove_relation("server", "db").unwrap();
    world.settle();
    let expected = [
        ("db-relation-departed".to_owned(), true),
        ("db-relation-departed".to_owned(), false),
        ("db-relation-broken".to_owned(), false),
    ];
    assert_eq!(*seen.borrow(), expected);
}

#[test]
fn relation_list_gives_remote_units_or_the_application() {
    in_server(|hook, id| {
        assert_eq!(
            json(hook, &format!("relation-list -r {id}")),
            json!(["db/0"])
        );
        assert_eq!(
            json(hook, &format!("relation-list -r db:{id} --app")),
            json!("db")
        );
        let peer = json(hook, "relation-ids peer")[0]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(
            json(hook, &format!("relation-list -r {peer}")),
            json!(["server/1"])
        );
        assert_eq!(
            json(hook, &format!("relation-list -r {peer} --app")),
            json!("server")
        );
    });
    let (mut world, id) = World::related(1, 0);
    let list = move |hook: &mut HookContext| json(hook, &format!("relation-list -r {id}"));
    assert_eq!(
        world.in_hook("server/0", list),
        json!([]),
        "an empty list is legal"
    );
}

#[test]
fn relation_get_reads_bags_and_says_what_is_wrong() {
    let (mut world, id) = World::related(1, 1);
    world.in_hook("db/0", move |hook| {
        hook.relation_set_app(id, [("k", "v")]).unwrap();
    });
    world.in_hook("server/0", move |hook| {
        let bag = |rest: &str| format!("relation-get -r {id} {rest}");
        assert_eq!(json(hook, &bag("--app - db")), json!({"k": "v"}));
        assert_eq!(json(hook, &bag("--app k db")), json!("v"));
        assert_eq!(json(hook, &bag("--app nothing db")), json!(null));
        assert_eq!(
            json(hook, &bag("--app - db/0")),
            json!({"k": "v"}),
            "a unit names its app"
        );
        assert_eq!(json(hook, &bag("--app - server")), json!({}), "no bag yet");
        let (code, text) = refused(hook, &bag("- db"));
        assert_eq!(code, 2);
        assert!(
            text.starts_with("ERROR expected unit name, got application name"),
            "{text}"
        );
        assert_eq!(
            refused(hook, &bag("- other/0")),
            (1, "ERROR permission denied".to_owned())
        );
    });
}

#[test]
fn an_unknown_relation_id_is_an_argument_error_in_jujus_words() {
    in_server(|hook, id| {
        for given in ["99", "db:99", &format!("visibility:{id}")] {
            let text = format!("ERROR invalid value \"{given}\" for option -r: relation not found");
            assert_eq!(
                refused(hook, &format!("relation-get -r {given} - db/0")),
                (2, text.clone())
            );
            assert_eq!(
                refused(hook, &format!("relation-set -r {given} k=v")),
                (2, text)
            );
        }
        let none = (2, "ERROR no relation id specified".to_owned());
        assert_eq!(refused(hook, "relation-list"), none);
    });
}

#[test]
fn relation_tools_know_the_running_relation_hook() {
    let mut world = World::settled(1, 1);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = seen.clone();
    world.script("server", move |event, hook| {
        if event.name() == "db-relation-joined" {
            log.borrow_mut().push(json(hook, "relation-ids"));
            log.borrow_mut().push(json(hook, "relation-list"));
            log.borrow_mut().push(
                json(hook, "relation-get -")
                    .get("egress-subnets")
                    .cloned()
                    .unwrap(),
            );
            hook.log("INFO", "hello");
        }
        Ok(())
    });
    let id = world.juju.integrate("server:db", "db").unwrap();
    let runs = world.settle();
    let address = world.juju.status().applications["db"].address.clone();
    let expected = [
        json!([format!("db:{id}")]),
        json!(["db/0"]),
        json!(format!("{address}/32")),
    ];
    assert_eq!(*seen.borrow(), expected);
    let joined = runs
        .iter()
        .find(|run| run.unit == "server/0" && run.hook == "db-relation-joined");
    let logged = &joined.unwrap_or_else(|| panic!("joined ran")).juju_log[0];
    assert_eq!(
        (logged.level.as_str(), logged.text.as_str()),
        ("INFO", format!("db:{id}: hello").as_str())
    );
}

#[test]
fn relation_set_takes_pairs_and_a_yaml_map_of_strings() {
    in_server(|hook, id| {
        let file = format!("relation-set -r {id} --file -");
        assert_eq!(
            tool_with(hook, &file, Some("{\"a\": \"1\", \"b\": \"x y\"}")).code,
            0
        );
        assert_eq!(tool_with(hook, &file, Some("port: 5432\n")).code, 0);
        assert_eq!(tool(hook, &format!("relation-set -r {id} c=d=e")).code, 0);
        let bag = hook.relation_get(id, "server/0").unwrap();
        let shown = ["a", "b", "c", "port"].map(|key| bag[key].as_str());
        assert_eq!(shown, ["1", "x y", "d=e", "5432"]);
        for bad in ["[1]", "a: {b: c}", "just text", "a: [1]", "a: 'x"] {
            let reply = tool_with(hook, &file, Some(bad));
            assert_eq!((reply.code, reply.stdout.as_str()), (1, ""), "{bad}");
            assert_eq!(
                reply.stderr, "ERROR expected YAML map of strings\n",
                "nothing is quoted"
            );
        }
        assert_eq!(refused(hook, &format!("relation-set -r {id} novalue")).0, 2);
        assert_eq!(
            refused(hook, &file).1,
            "ERROR hook tool requires stdin, none supplied"
        );
    });
}

#[test]
fn status_set_takes_four_words_and_one_message() {
    in_server(|hook, _| {
        for word in ["maintenance", "blocked", "waiting", "active"] {
            assert_eq!(tool(hook, &format!("status-set {word} text")).code, 0);
        }
        assert_eq!(tool(hook, "status-set active").code, 0);
        let (code, text) = refused(hook, "status-set error no");
        assert_eq!(code, 2);
        assert!(
            text.contains("expected one of [maintenance blocked waiting active]"),
            "{text}"
        );
        assert_eq!(refused(hook, "status-set active two words").0, 2);
        assert_eq!(refused(hook, "status-set").0, 2);
    });
}

#[test]
fn application_status_is_the_leaders() {
    let mut world = World::settled(2, 0);
    let refusal = (1, "ERROR this unit is not the leader".to_owned());
    let (set, get) = world.in_hook("server/1", |hook| {
        (
            refused(hook, "status-set --application active"),
            refused(hook, "status-get --application"),
        )
    });
    assert_eq!((set, get), (refusal.clone(), refusal));
    let said = world.in_hook("server/0", |hook| {
        assert_eq!(tool(hook, "status-set --application blocked why").code, 0);
        json(hook, "status-get --include-data --application")
    });
    let status = &said["application-status"];
    assert_eq!(
        (&status["status"], &status["message"]),
        (&json!("blocked"), &json!("why"))
    );
    let unit = json!({"status": "unknown", "message": "", "status-data": {}});
    assert_eq!(status["units"]["server/1"], unit);
}

#[test]
fn status_get_has_the_documented_shape() {
    in_server(|hook, _| {
        tool(hook, "status-set active fine");
        assert_eq!(
            json(hook, "status-get --include-data"),
            json!({"status": "active", "message": "fine", "status-data": {}})
        );
        assert_eq!(tool(hook, "status-get").stdout, "active\n");
    });
}

#[test]
fn ports_are_single_and_ranges_are_refused() {
    in_server(|hook, _| {
        for line in [
            "open-port 7233/tcp",
            "open-port 7234",
            "open-port 53/udp",
            "open-port icmp",
        ] {
            assert_eq!(tool(hook, line).code, 0, "{line}");
        }
        assert_eq!(tool(hook, "open-port 99 --endpoints db,peer").code, 0);
        assert_eq!(
            json(hook, "opened-ports"),
            json!(["53/udp", "7233/tcp", "7234/tcp", "99/tcp", "icmp"])
        );
        assert_eq!(tool(hook, "close-port 99").code, 0);
        assert_eq!(tool(hook, "close-port 7234/tcp").code, 0);
        assert_eq!(
            json(hook, "opened-ports"),
            json!(["53/udp", "7233/tcp", "icmp"])
        );
        let (code, text) = refused(hook, "open-port 80-90/tcp");
        assert_eq!(code, 1);
        assert!(text.starts_with("ERROR port ranges are not supported for k8s applications"));
        for bad in [
            "open-port",
            "open-port 0",
            "open-port 70000",
            "open-port x/tcp",
            "open-port 1/ip",
        ] {
            assert_eq!(refused(hook, bad).0, 2, "{bad}");
        }
        assert_eq!(refused(hook, "open-port 1 --endpoints nothing").0, 1);
    });
}

#[test]
fn network_get_gives_the_pod_and_the_service_address() {
    let mut world = World::settled(1, 0);
    let page = world.juju.status();
    let (pod, service) = (
        &page.units["server/0"].address,
        &page.applications["server"].address,
    );
    let expected = json!({
        "bind-addresses": [{
            "mac-address": "",
            "interface-name": "",
            "addresses": [{"hostname": "", "value": pod, "cidr": ""}],
        }],
        "egress-subnets": [format!("{service}/32")],
        "ingress-addresses": [service],
    });
    assert_eq!(
        world.in_hook("server/0", |hook| json(hook, "network-get peer")),
        expected
    );
    let pod = pod.clone();
    world.in_hook("server/0", move |hook| {
        assert_eq!(
            tool(hook, "network-get peer --bind-address").stdout,
            format!("{pod}\n")
        );
        let refusal = "ERROR no network config found for binding \"nothing\"".to_owned();
        assert_eq!(refused(hook, "network-get nothing"), (1, refusal));
    });
    world.juju.hide_service_address("server", true);
    let early = world.in_hook("server/0", |hook| json(hook, "network-get peer"));
    assert_eq!(
        (&early["egress-subnets"], &early["ingress-addresses"]),
        (&json!([]), &json!([]))
    );
}

#[test]
fn juju_log_takes_levels_and_turns_bad_ones_into_info() {
    let mut world = World::settled(1, 0);
    world.in_hook("server/0", |hook| {
        for line in [
            "-l WARNING -- -x y",
            "-l debug a",
            "-l LOUD b",
            "c",
            "--debug d",
        ] {
            assert_eq!(tool(hook, &format!("juju-log {line}")).code, 0, "{line}");
        }
        assert_eq!(
            refused(hook, "juju-log -x").0,
            2,
            "text that looks like a flag"
        );
        assert_eq!(refused(hook, "juju-log").0, 2);
    });
    let log = &world.juju.log().last().unwrap().juju_log;
    let log: Vec<(&str, &str)> = log
        .iter()
        .map(|line| (line.level.as_str(), line.text.as_str()))
        .collect();
    assert_eq!(
        log,
        [
            ("WARNING", "-x y"),
            ("DEBUG", "a"),
            ("INFO", "b"),
            ("INFO", "c"),
            ("DEBUG", "d")
        ]
    );
}

#[test]
fn state_is_a_map_of_strings_per_unit() {
    let mut world = World::settled(2, 0);
    world.in_hook("server/0", |hook| {
        assert_eq!(tool(hook, "state-set a=1 b=2").code, 0);
        assert_eq!(
            tool_with(hook, "state-set --file -", Some("{\"c\": \"3\"}")).code,
            0
        );
        assert_eq!(tool(hook, "state-delete b").code, 0);
    });
    world.in_hook("server/0", |hook| {
        assert_eq!(json(hook, "state-get"), json!({"a": "1", "c": "3"}));
        assert_eq!(json(hook, "state-get a"), json!("1"));
        assert_eq!(json(hook, "state-get b"), json!(null));
        assert_eq!(
            refused(hook, "state-get b --strict"),
            (1, "ERROR \"b\" not found".to_owned())
        );
    });
    let other = world.in_hook("server/1", |hook| json(hook, "state-get"));
    assert_eq!(other, json!({}));
}

#[test]
fn actions_get_parameters_and_give_nested_results() {
    let mut world = World::settled(1, 0);
    world.script("server", |_, hook| {
        assert_eq!(json(hook, "action-get"), json!({"sql": "x", "limit": 5}));
        assert_eq!(json(hook, "action-get limit"), json!(5));
        assert_eq!(json(hook, "action-get nothing"), json!(null));
        assert_eq!(tool(hook, "action-set rows.count=2 rows.first=a=b").code, 0);
        assert_eq!(tool(hook, "action-log half way").code, 0);
        let reserved = "ERROR cannot set reserved action key \"stdout\"".to_owned();
        assert_eq!(refused(hook, "action-set stdout=x"), (1, reserved));
        assert_eq!(refused(hook, "action-set Bad=x").0, 1);
        assert_eq!(refused(hook, "action-set novalue").0, 2);
        Ok(())
    });
    let params = json!({"sql": "x"}).as_object().cloned().unwrap();
    let outcome = world.juju.run_action("server/0", "query", params).unwrap();
    assert_eq!(
        serde_json::to_value(outcome).unwrap(),
        json!({
            "status": "completed",
            "results": {"rows.count": "2", "rows.first": "a=b", "return-code": "0"},
            "message": "",
            "log": ["half way"],
        })
    );
}

#[test]
fn a_failed_action_keeps_its_results_and_flushes_only_on_exit_0() {
    for fails in [true, false] {
        let mut world = World::settled(1, 0);
        world.script("server", move |_, hook| {
            tool(hook, "action-set done=half");
            tool(hook, "action-fail why");
            hook.state_set("k", "v");
            if fails { Err("crash".into()) } else { Ok(()) }
        });
        let outcome = world
            .juju
            .run_action("server/0", "restart", serde_json::Map::new())
            .unwrap();
        let outcome = serde_json::to_value(outcome).unwrap();
        assert_eq!(
            (&outcome["status"], &outcome["message"]),
            (&json!("failed"), &json!("why"))
        );
        assert_eq!(outcome["results"]["done"], "half");
        assert_eq!(
            world
                .juju
                .model()
                .unit("server/0")
                .unwrap()
                .state
                .is_empty(),
            fails
        );
        assert_eq!(
            world.juju.status().units["server/0"].agent,
            "idle",
            "no error for an action"
        );
    }
}

#[test]
fn action_tools_fail_outside_actions() {
    in_server(|hook, _| {
        for line in [
            "action-get",
            "action-set a=1",
            "action-fail x",
            "action-log x",
        ] {
            assert_eq!(
                refused(hook, line),
                (1, "ERROR not running an action".to_owned()),
                "{line}"
            );
        }
    });
}

#[test]
fn goal_state_names_units_here_and_there() {
    in_server(|hook, _| {
        let goals = json(hook, "goal-state");
        assert_eq!(goals["units"]["server/1"]["status"], "unknown");
        assert!(
            goals["units"]["server/0"]["since"]
                .as_str()
                .unwrap()
                .ends_with('Z')
        );
        assert_eq!(goals["relations"]["db"]["db"]["status"], "joined");
        assert_eq!(goals["relations"]["db"]["db/0"]["status"], "unknown");
        assert!(goals["relations"].get("peer").is_none());
    });
}

#[test]
fn what_is_not_to_be_had_is_refused() {
    in_server(|hook, _| {
        assert_eq!(
            refused(hook, "credential-get").1,
            "ERROR cannot access cloud credentials"
        );
        let (code, text) = refused(hook, "resource-get image");
        assert_eq!(code, 1);
        assert!(
            text.starts_with("ERROR could not download resource"),
            "{text}"
        );
        assert_eq!(
            refused(hook, "leader-get").1,
            "ERROR bad request: unknown command: leader-get"
        );
    });
}

#[test]
fn formats_are_json_yaml_and_smart() {
    in_server(|hook, _| {
        assert_eq!(
            tool(hook, "config-get --format yaml").stdout.trim(),
            "level: info"
        );
        assert_eq!(tool(hook, "relation-ids nothing").stdout, "");
        assert_eq!(tool(hook, "relation-list -r 2").stdout, "db/0\n");
        assert_eq!(refused(hook, "config-get --format xml").0, 2);
        assert_eq!(refused(hook, "config-get --nothing").0, 2);
        assert_eq!(
            refused(hook, "status-set --format json active").0,
            2,
            "it prints nothing"
        );
    });
}
