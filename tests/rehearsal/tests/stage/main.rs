//! Deployments on real parts that go wrong, one after another, each on a stage of its own. Needs
//! the Python environment of `tox -e integration`.

mod provider;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rehearsal::cloud::Family;
use rehearsal::counterparts::nginx::Generation;
use rehearsal::juju::ActionStatus;
use rehearsal::processes;
use rehearsal::stage::programme::{Outcome, Scenario, play_all};
use rehearsal::stage::{APP, Client, NGINX, Options, Setup, Stage};

const SOON: Duration = Duration::from_secs(90);
const WORKFLOW: Duration = Duration::from_mins(1);
const UNIT: &str = "temporal-k8s/0";
const SERVICE: &str = "temporal-k8s:7233";

fn main() -> ExitCode {
    let scenarios = [
        Scenario {
            name: "a_stopped_database_stops_no_server_and_is_found_again",
            play: stopped_database,
        },
        Scenario {
            name: "a_silent_database_holds_no_hook",
            play: silent_database,
        },
        Scenario {
            name: "a_silent_name_server_holds_no_hook",
            play: silent_name_server,
        },
        Scenario {
            name: "a_renewed_password_restarts_nothing",
            play: renewed_password,
        },
        Scenario {
            name: "a_dropped_database_is_noticed_and_made_again",
            play: dropped_database,
        },
        Scenario {
            name: "a_full_disk_blocks_until_the_container_is_new",
            play: full_disk,
        },
        Scenario {
            name: "the_integrator_of_2023_serves_grpc_once_annotated",
            play: integrator_of_2023,
        },
        Scenario {
            name: "a_cluster_may_have_ipv6_only",
            play: ipv6_only,
        },
        Scenario {
            name: "todays_postgresql_gives_a_user_that_is_changed_under_its_client",
            play: provider::todays,
        },
        Scenario {
            name: "the_last_postgresql_with_both_interfaces_serves_one_at_a_time",
            play: provider::both,
        },
    ];
    play_all(&scenarios, &["1.32.2"], &["1.19.2"])
}

fn open(
    setup: &Setup,
    options: &Options,
    config: &[(&str, &str)],
) -> Result<Stage, Box<dyn Error>> {
    let mut stage = Stage::new(setup, options)?;
    stage.open(1, config)?;
    let args = "--ns default namespace register -rd 3";
    stage.run("temporal-admin-k8s/0", "tctl", &[("args", args)])?;
    Ok(stage)
}

fn expect(seen: bool, otherwise: impl Into<String>) -> Outcome {
    if seen {
        Ok(())
    } else {
        Err(otherwise.into().into())
    }
}

/// The numbers of all processes of servers.
fn servers() -> Result<Vec<u32>, Box<dyn Error>> {
    let all = processes::all()?
        .into_iter()
        .filter(|it| it.name == "temporal-server");
    Ok(all.map(|it| it.id).collect())
}

fn workflow(stage: &Stage, id: &str) -> Outcome {
    stage.hello(Client::Inside, SERVICE, id, WORKFLOW)?;
    Ok(())
}

fn stopped_database(setup: &Setup) -> Outcome {
    let mut stage = open(setup, &Options::default(), &[])?;
    let before = servers()?;
    stage.database.stop()?;
    stage.juju.update_status(APP)?;
    stage.until_status("waiting", SOON)?;
    expect(servers()? == before, "the server did not stay")?;
    stage.database.start()?;
    stage.until_active(SOON)?;
    expect(servers()? == before, "the server was restarted")?;
    workflow(&stage, "after-the-stop")
}

fn silent_database(setup: &Setup) -> Outcome {
    let mut stage = open(setup, &Options::default(), &[])?;
    let before = servers()?;
    stage.database.hang()?;
    stage.juju.update_status(APP)?;
    let begin = Instant::now();
    stage.until_status("waiting", SOON)?;
    let seconds = begin.elapsed().as_secs();
    expect(seconds < 30, format!("the hook took {seconds} s"))?;
    stage.database.resume()?;
    stage.until_active(SOON)?;
    expect(servers()? == before, "the server was restarted")?;
    workflow(&stage, "after-the-silence")
}

/// A lookup cannot be called off: the program must not wait for it after its answer.
fn silent_name_server(setup: &Setup) -> Outcome {
    // how long a hook waits for a database, and some more for the rest of it
    const LIMIT: Duration = Duration::from_secs(5 + 4);
    let mut stage = Stage::new(setup, &Options::default())?;
    stage.node.set_resolver("ndots:5 timeout:20");
    stage.deploy_postgresql(1)?;
    stage.deploy(1, &[])?;
    for endpoint in ["temporal-k8s:db", "temporal-k8s:visibility"] {
        stage.juju.integrate(endpoint, "postgresql-k8s:db")?;
    }
    stage.until_status("blocked", SOON)?;
    stage.node.silence_names(true);
    stage.juju.update_status(APP)?;
    stage.until_status("waiting", SOON)?;
    let run = stage.juju.log().iter().rev().find(|run| run.unit == UNIT);
    let run = run.ok_or("no hook")?;
    let said = stage.juju.unit_status(UNIT).map(|it| it.message.clone());
    let took = run.duration;
    expect(
        took < LIMIT,
        format!("{} took {took:?}: {said:?}", run.hook),
    )?;
    stage.node.silence_names(false);
    stage.deploy_admin()?;
    let admin = "temporal-admin-k8s:admin";
    stage.juju.integrate("temporal-k8s:admin", admin)?;
    stage.until_active(SOON)?;
    Ok(())
}

/// A new leader of postgresql-k8s renews the password of every relation in which it hears of a
/// change: here that our application has one unit more.
fn renewed_password(setup: &Setup) -> Outcome {
    const HOSTILE: &str = "it's \"a b\" : \\ {{.x}} $HOME #%& <p> é=\t;";
    let mut stage = Stage::new(setup, &Options::default())?;
    stage.database.next_password(&HOSTILE.replace('\t', " "));
    stage.database.next_password(&"a long 'one' ".repeat(15));
    stage.deploy_postgresql(2)?;
    stage.deploy_admin()?;
    stage.deploy(1, &[])?;
    stage.relate_all()?;
    stage.until_active(SOON)?;
    let before = servers()?;
    let id = stage
        .juju
        .relation("temporal-k8s:db")
        .ok_or("no relation")?;
    let old = stage.juju.databag(id, "postgresql-k8s").remove("password");
    expect(old.is_some(), "no password")?;
    stage.database.next_password(&format!("{HOSTILE} again"));
    stage.move_database_leader("postgresql-k8s/1")?;
    stage.juju.add_unit(APP)?;
    stage.until_active(SOON)?;
    let new = stage.juju.databag(id, "postgresql-k8s").remove("password");
    expect(new != old, "the password is the old one")?;
    let after = servers()?;
    expect(
        before.iter().all(|id| after.contains(id)),
        "the server was restarted",
    )?;
    expect(after.len() == 2, format!("{} servers run", after.len()))?;
    let args = "--ns default namespace register -rd 3";
    stage.run("temporal-admin-k8s/0", "tctl", &[("args", args)])?;
    workflow(&stage, "with-the-new-password")
}

fn dropped_database(setup: &Setup) -> Outcome {
    let mut stage = open(setup, &Options::default(), &[])?;
    stage.database.drop_database("temporal-k8s_db")?;
    stage.juju.update_status(APP)?;
    stage.until("temporal-k8s to be active no more", SOON, |stage| {
        stage
            .juju
            .unit_status(UNIT)
            .is_some_and(|it| it.status != "active")
    })?;
    stage
        .juju
        .remove_relation("temporal-k8s:db", "postgresql-k8s:db")?;
    stage.until_status("blocked", SOON)?;
    stage
        .juju
        .integrate("temporal-k8s:db", "postgresql-k8s:db")?;
    stage.until_active(SOON)?;
    let args = "--ns default namespace register -rd 3";
    stage.run("temporal-admin-k8s/0", "tctl", &[("args", args)])?;
    workflow(&stage, "in-the-new-database")
}

fn full_disk(setup: &Setup) -> Outcome {
    let disk = Some(8 * 1024 * 1024);
    let mut stage = open(
        setup,
        &Options {
            disk,
            ..Options::default()
        },
        &[],
    )?;
    let before = servers()?;
    stage.fill_disk(UNIT, true)?;
    stage.juju.config(APP, &[("log-level", "debug")])?;
    stage.until_status("blocked", SOON)?;
    let message = stage
        .juju
        .unit_status(UNIT)
        .map(|it| it.message.clone())
        .unwrap_or_default();
    expect(message.contains("could not write"), message)?;
    expect(servers()? == before, "the server did not stay")?;
    stage.restart_container(UNIT)?;
    stage.until_active(SOON)?;
    workflow(&stage, "after-the-restart")
}

fn integrator_of_2023(setup: &Setup) -> Outcome {
    let options = Options {
        integrator: Generation::Early2023,
        ..Options::default()
    };
    let mut stage = open(setup, &options, &[("ingress-protocol", "nginx-2023")])?;
    stage.deploy_nginx(&[])?;
    stage
        .juju
        .integrate("temporal-k8s:ingress", "nginx-ingress-integrator:ingress")?;
    stage.until_active(SOON)?;
    let short = Duration::from_secs(3);
    let refused = stage
        .hello(Client::Outside, "temporal-k8s:80", "unannotated", short)
        .is_err();
    expect(
        refused,
        "gRPC went through an Ingress that speaks HTTP/1.1 to its backend",
    )?;
    stage.annotations.borrow().backend_protocol("GRPC");
    stage.juju.update_status(NGINX)?;
    stage.until_active(SOON)?;
    stage.hello(Client::Outside, "temporal-k8s:80", "annotated", WORKFLOW)?;
    Ok(())
}

fn ipv6_only(setup: &Setup) -> Outcome {
    let options = Options {
        family: Family::V6,
        ..Options::default()
    };
    let mut stage = open(setup, &options, &[])?;
    workflow(&stage, "through-the-service")?;
    let before = servers()?;
    let restarted = stage.run(UNIT, "restart", &[])?;
    expect(
        restarted.status == ActionStatus::Completed,
        restarted.message,
    )?;
    expect(servers()? != before, "the server was not restarted")?;
    stage.until_active(SOON)?;
    stage.juju.add_unit(APP)?;
    stage.juju.add_unit(APP)?;
    stage.until_active(SOON)?;
    // A restart that waits for its turn asks the other units at the addresses that they have told.
    let before = servers()?;
    stage.juju.config(APP, &[("log-level", "debug")])?;
    stage.until("all servers to have restarted", SOON, |_| {
        servers().is_ok_and(|now| now.len() == 3 && now.iter().all(|id| !before.contains(id)))
    })?;
    stage.until_active(SOON)?;
    for unit in stage.juju.model().units_of(APP) {
        let pod = unit.replace('/', "-");
        let address = format!("{pod}.{APP}-endpoints:7233");
        stage.hello(
            Client::Inside,
            &address,
            &format!("through-{pod}"),
            WORKFLOW,
        )?;
    }
    stage.deploy_nginx(&[
        ("service-hostname", APP),
        ("path-routes", "/"),
        ("backend-protocol", "GRPC"),
    ])?;
    stage
        .juju
        .integrate("temporal-k8s:ingress", "nginx-ingress-integrator:ingress")?;
    stage.until_active(SOON)?;
    stage.hello(Client::Outside, "temporal-k8s:80", "from-outside", WORKFLOW)?;
    Ok(())
}
