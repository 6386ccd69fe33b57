//! The steps of the story, in order.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Story;
use crate::juju::cloud::Cloud;
use crate::juju::{ActionStatus, Settings};
use crate::processes::{self, Process};
use crate::stage::{ADMIN, APP, Client, NGINX};

type Outcome = Result<(), Box<dyn Error>>;

/// Juju's part of a deployment: hooks, schema, start of the server.
const DEPLOYED: Duration = Duration::from_mins(3);
/// A change of relations.
const RELATED: Duration = Duration::from_secs(90);
/// A workflow, with all that a new namespace or connection needs first.
const WORKFLOW: Duration = Duration::from_mins(1);
/// How long a refused connection may take to be refused.
const REFUSAL: Duration = Duration::from_secs(2);
const SERVER: &str = "temporal-server";
const RETENTION: &str = "259200s";

impl Story<'_> {
    pub(super) fn acts(&mut self) -> Outcome {
        let units = self.options.units;
        self.deploy(units)?;
        self.register_namespace()?;
        self.step(
            "a workflow runs to completion through temporal-k8s:7233",
            |story| story.workflow(Client::Inside, "temporal-k8s:7233", "through-the-service"),
        )?;
        if units > 1 {
            self.each_unit()?;
        }
        if let Some(seconds) = self.options.idle {
            let title = format!("everything is left alone for {seconds} s");
            self.step(&title, |story| story.idle(seconds))?;
        }
        if let Some(times) = self.options.restarts {
            let title =
                format!("each server is restarted {times} time(s) under a client that writes");
            self.step(&title, |story| story.restarts(times))?;
        }
        if self.options.tls {
            self.step(
                "every session of the servers is encrypted; PostgreSQL gets another authority, and nothing restarts",
                Self::another_authority,
            )?;
        }
        self.ingress()?;
        self.step(
            "passwords are in pass files of mode 600, and in no command line, environment or log",
            Self::no_secret,
        )?;
        self.step("juju status --relations", |story| {
            let page = story.stage.juju.status();
            story.teller.line(&page.to_string());
            story.status = Some(page);
            story.ports_and_versions()
        })?;
        if self.options.keep {
            return self.keep();
        }
        self.lose_the_database()?;
        self.relate_again()?;
        self.remove()
    }

    fn deploy(&mut self, units: u32) -> Outcome {
        let server = self.options.temporal_version.clone();
        let title = format!(
            "juju deploy postgresql-k8s, temporal-admin-k8s, and temporal-k8s with {units} unit(s) \
             of temporalio/server:{server}; every unit of ours waits for its database"
        );
        self.step(&title, |story| {
            story.stage.deploy_postgresql(1)?;
            story.stage.deploy_admin()?;
            let config = story.options.config.iter();
            let config: Vec<_> = config.map(|(k, v)| (k.as_str(), v.as_str())).collect();
            story.stage.deploy(units, &config)?;
            Ok(story.stage.until_status("blocked", DEPLOYED)?)
        })?;
        let relations = self.options.database.endpoints();
        let [main, visibility] =
            relations.map(|(ours, _)| ours.trim_start_matches("temporal-k8s:"));
        let title = format!("juju relate {main}, {visibility}, admin; all units become active");
        self.step(&title, |story| {
            story.stage.relate_all()?;
            story.stage.until_active(DEPLOYED)?;
            story.figures.ready_to_active_seconds = story.ready_to_active();
            if let Some(seconds) = story.figures.ready_to_active_seconds {
                let text = format!("  from schema_status=ready to Active: {seconds:.2} s");
                story.teller.line(&text);
            }
            Ok(())
        })
    }

    /// From the hook that said `ready` to the last unit's first Active.
    fn ready_to_active(&self) -> Option<f64> {
        let ready = self.stage.schema_ready?;
        let model = self.stage.juju.model();
        let first = |unit: &String| {
            let history = &model.unit(unit)?.history;
            Some(history.iter().find(|entry| entry.status == "active")?.since)
        };
        let last = model.units_of(APP).iter().filter_map(first).max()?;
        Some(last.duration_since(ready).unwrap_or_default().as_secs_f64())
    }

    fn register_namespace(&mut self) -> Outcome {
        let command =
            "juju run temporal-admin-k8s/0 tctl args=\"--ns default namespace register -rd 3\"";
        self.step(command, |story| {
            let args = "--ns default namespace register -rd 3";
            let outcome = story
                .stage
                .run("temporal-admin-k8s/0", "tctl", &[("args", args)])?;
            for (key, value) in &outcome.results {
                story.teller.line(&format!("  {key}: {}", value.trim()));
            }
            expect(outcome.status == ActionStatus::Completed, || {
                outcome.message.clone()
            })
        })?;
        self.step(
            "its retention is read back: 72 hours",
            Self::namespace_is_there,
        )
    }

    fn namespace_is_there(&mut self) -> Outcome {
        let command = [
            "operator",
            "namespace",
            "describe",
            "--namespace",
            "default",
        ];
        let command = [&command[..], &["--output", "json"]].concat();
        let begin = Instant::now();
        // A frontend may know namespaces from a list that it reads again every ten seconds.
        let text = loop {
            match self.stage.cli(&command) {
                Err(_) if begin.elapsed() < WORKFLOW => {
                    std::thread::sleep(Duration::from_millis(250));
                }
                outcome => break outcome?,
            }
        };
        let described: Value = serde_json::from_str(&text)?;
        let retention = described.pointer("/config/workflowExecutionRetentionTtl");
        expect(retention.and_then(Value::as_str) == Some(RETENTION), || {
            format!("the namespace's retention is {retention:?}")
        })
    }

    fn workflow(&mut self, client: Client, address: &str, id: &str) -> Outcome {
        let done = self.stage.hello(client, address, id, WORKFLOW)?;
        self.teller.line(&format!("  {done}"));
        Ok(())
    }

    fn each_unit(&mut self) -> Outcome {
        for unit in self.stage.juju.model().units_of(APP) {
            let name = unit.replace('/', "-");
            self.step(&format!("a workflow runs through {unit} itself"), |story| {
                let address = format!("{name}.{APP}-endpoints:7233");
                story.workflow(Client::Inside, &address, &format!("through-{name}"))
            })?;
        }
        Ok(())
    }

    fn ingress(&mut self) -> Outcome {
        let options = [
            ("service-hostname", APP),
            ("path-routes", "/"),
            ("backend-protocol", "GRPC"),
        ];
        let title = "juju deploy nginx-ingress-integrator, relate ingress, and set its options \
                     service-hostname=temporal-k8s path-routes=/ backend-protocol=GRPC";
        self.step(title, |story| {
            story.stage.deploy_nginx(&[])?;
            story
                .stage
                .juju
                .integrate("temporal-k8s:ingress", "nginx-ingress-integrator:ingress")?;
            let what = "nginx-ingress-integrator to ask for its option service-hostname";
            story.stage.until(what, RELATED, |stage| {
                let status = stage.juju.unit_status("nginx-ingress-integrator/0");
                status.is_some_and(|it| it.message.contains("service-hostname is not set"))
            })?;
            story.stage.juju.config(NGINX, &options)?;
            Ok(story.stage.until_active(RELATED)?)
        })?;
        let title = "a workflow runs from outside through nginx: temporal-k8s:80, plain HTTP/2";
        self.step(title, |story| {
            story.workflow(Client::Outside, "temporal-k8s:80", "through-nginx")
        })
    }

    /// Each unit has its server, and each server its pass file: what is looked for later exists.
    fn servers_have_pass_files(&self, passwords: &BTreeSet<String>) -> Outcome {
        let servers = servers()?;
        expect(servers.len() == self.options.units as usize, || {
            format!("{} servers run", servers.len())
        })?;
        for server in servers {
            let process = Path::new("/proc").join(server.id.to_string());
            let path = process.join("root").join("etc/temporal/pgpass");
            let text = std::fs::read_to_string(&path)?;
            let held = passwords
                .iter()
                .all(|password| text.contains(password.as_str()));
            expect(held, || "a pass file lacks a password".to_owned())?;
            let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
            expect(mode == 0o600, || {
                format!("the mode of a pass file is {mode:o}")
            })?;
        }
        Ok(())
    }

    /// Passwords are where they belong, and nowhere else.
    fn another_authority(&mut self) -> Outcome {
        self.sessions_are_encrypted()?;
        let before = server_ids()?;
        self.stage.renew_certificate()?;
        self.stage.juju.settle(RELATED)?;
        self.stage.until_active(RELATED)?;
        self.workflow(
            Client::Inside,
            "temporal-k8s:7233",
            "after-another-authority",
        )?;
        expect(server_ids()? == before, || {
            "a server was restarted".to_owned()
        })?;
        self.sessions_are_encrypted()
    }

    fn sessions_are_encrypted(&self) -> Outcome {
        let question = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                        WHERE application_name = 'temporal-server'";
        let sessions = self.stage.database.query("postgres", question)?;
        let plain = sessions.iter().filter(|ssl| *ssl != "t").count();
        let all = sessions.len();
        self.teller
            .line(&format!("  {all} sessions, {plain} of them not encrypted"));
        expect(all > 0 && plain == 0, || {
            format!("{plain} of {all} sessions are not encrypted")
        })
    }

    fn no_secret(&mut self) -> Outcome {
        let model = self.stage.juju.model();
        let passwords: BTreeSet<String> = self.stage.database.passwords().into_iter().collect();
        expect(passwords.len() == 2, || {
            format!("{} passwords are known", passwords.len())
        })?;
        self.servers_have_pass_files(&passwords)?;
        let tells = |text: &str| {
            passwords
                .iter()
                .any(|password| text.contains(password.as_str()))
        };
        for process in processes::all()? {
            let line = process.arguments.join(" ");
            let found = tells(&line) || tells(&processes::environment(process.id));
            expect(!found, || {
                format!("process {} of {} tells one", process.id, process.name)
            })?;
        }
        for run in self.stage.juju.log() {
            let called = run
                .calls
                .iter()
                .flat_map(|call| &call.args)
                .any(|arg| tells(arg));
            let logged = run.juju_log.iter().any(|line| tells(&line.text));
            let printed = tells(&run.stdout) || tells(&run.stderr);
            expect(!(called || logged || printed), || {
                format!("hook {} of {} tells one", run.hook, run.unit)
            })?;
        }
        for unit in model.units_of(APP) {
            let log = self
                .stage
                .node
                .container_log(&unit, crate::stage::CONTAINER)?;
            expect(!tells(&log), || {
                format!("the server's log on {unit} tells one")
            })?;
        }
        Ok(())
    }

    fn ports_and_versions(&mut self) -> Outcome {
        let page = self.stage.juju.status();
        let version = page
            .applications
            .get(APP)
            .map(|app| app.version.clone())
            .unwrap_or_default();
        // Tag 1.17.4 calls itself 1.17.3.
        let minor = |version: &str| version.split('.').take(2).collect::<Vec<_>>().join(".");
        expect(
            minor(&version) == minor(&self.options.temporal_version),
            || format!("the workload version is `{version}`"),
        )?;
        for unit in self.stage.juju.model().units_of(APP) {
            let ports = self.stage.juju.opened_ports(&unit);
            let frontend = ports.iter().any(|port| port == "7233/tcp");
            expect(frontend, || format!("{unit} has opened {ports:?}"))?;
        }
        Ok(())
    }

    fn lose_the_database(&mut self) -> Outcome {
        let [(ours, theirs), _] = self.options.database.endpoints();
        let title =
            format!("juju remove-relation {ours} {theirs}; the server ends, every unit is blocked");
        self.step(&title, |story| {
            story.stage.juju.remove_relation(ours, theirs)?;
            story.stage.until_status("blocked", RELATED)?;
            let left = servers()?;
            expect(left.is_empty(), || format!("{SERVER} still runs: {left:?}"))?;
            let roles = story.roles()?;
            expect(roles.len() == 1, || {
                format!("PostgreSQL has the roles {roles:?}")
            })
        })
    }

    fn roles(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let statement = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'relation_id_%'";
        Ok(self.stage.database.query("postgres", statement)?)
    }

    fn relate_again(&mut self) -> Outcome {
        let [(ours, theirs), _] = self.options.database.endpoints();
        let title = format!("juju relate {ours} {theirs}; all units become active again");
        self.step(&title, |story| {
            story.stage.juju.integrate(ours, theirs)?;
            Ok(story.stage.until_active(DEPLOYED)?)
        })?;
        self.step(
            "the namespace is still there, and a workflow runs",
            |story| {
                story.namespace_is_there()?;
                story.workflow(Client::Inside, "temporal-k8s:7233", "after-the-return")
            },
        )
    }

    fn remove(&mut self) -> Outcome {
        let address = self.stage.node.service_ip(APP);
        self.step(
            "juju remove-application temporal-k8s; nothing is left of it",
            |story| {
                story.stage.juju.remove_application(APP)?;
                story
                    .stage
                    .until("temporal-k8s to be gone", RELATED, |stage| {
                        !stage.juju.model().applications.contains_key(APP)
                    })?;
                story.nothing_is_left(address)
            },
        )
    }

    fn nothing_is_left(&mut self, address: Option<std::net::IpAddr>) -> Outcome {
        let names = [SERVER, "pebble"];
        let left: Vec<_> = processes::all()?
            .into_iter()
            .filter(|it| names.contains(&it.name.as_str()))
            .collect();
        expect(left.is_empty(), || format!("processes are left: {left:?}"))?;
        let model = self.stage.juju.model();
        let mut bags = model.relations.values().filter(|it| it.side(APP).is_some());
        expect(bags.next().is_none(), || "a relation is left".to_owned())?;
        let node = &self.stage.node;
        expect(node.service_ip(APP).is_none(), || {
            "the Service is left".to_owned()
        })?;
        expect(node.pod_ip("temporal-k8s/0").is_none(), || {
            "a pod is left".to_owned()
        })?;
        for port in address
            .into_iter()
            .flat_map(|ip| [7233, 7234, 7235, 7236, 7239].map(|p| (ip, p)))
        {
            let open = TcpStream::connect_timeout(&SocketAddr::from(port), REFUSAL).is_ok();
            expect(!open, || format!("port {} is still open", port.1))?;
        }
        let roles = self.roles()?;
        expect(roles.is_empty(), || {
            format!("PostgreSQL still has the roles {roles:?}")
        })?;
        // The counterparts stay, and none of them keeps a word of ours.
        let kept: Vec<&Settings> = model
            .relations
            .values()
            .flat_map(|it| {
                it.apps
                    .iter()
                    .filter(|(app, _)| *app == APP)
                    .map(|(_, bag)| &bag.settings)
            })
            .collect();
        expect(kept.is_empty(), || {
            format!("{ADMIN} or another keeps our databag")
        })
    }

    /// Juju goes on; the person at the keyboard plays with what is there.
    fn keep(&mut self) -> Outcome {
        let address = self
            .stage
            .node
            .service_ip(APP)
            .map(|ip| SocketAddr::new(ip, 7233).to_string())
            .unwrap_or_default();
        let temporal = self.stage.temporal_cli()?;
        self.teller.line(&format!(
            "\nthe deployment stays until Ctrl-C. From another terminal, as the same user:\n  \
             nsenter --all --target $(pgrep --newest --full '[r]ehearsal .*--inside') \
             {} workflow list --address {address}",
            temporal.display()
        ));
        loop {
            // Never done: Ctrl-C ends the whole sandbox.
            self.stage.until("Ctrl-C", Duration::MAX, |_| false)?;
        }
    }
}

fn expect(seen: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if seen {
        Ok(())
    } else {
        Err(otherwise().into())
    }
}

/// The processes of servers, in whatever container.
fn servers() -> std::io::Result<Vec<Process>> {
    let mut all = processes::all()?;
    all.retain(|process| process.name == SERVER);
    Ok(all)
}

fn server_ids() -> std::io::Result<BTreeSet<u32>> {
    Ok(servers()?.into_iter().map(|process| process.id).collect())
}
