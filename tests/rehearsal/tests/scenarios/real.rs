//! The real stage as scenarios see it: Pebble, PostgreSQL, Temporal and nginx are the real ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rehearsal::counterparts::admin::Admin;
use rehearsal::counterparts::postgresql::role;
use rehearsal::juju::{Juju, Source};
use rehearsal::parts::Parts;
use rehearsal::processes;
use rehearsal::stage::programme::Outcome;
use rehearsal::stage::{self, CONTAINER, Options, Setup};

use crate::scenarios::stage::{ADMIN, CONFIG, Condition, INGRESS, PASS_FILE, POSTGRESQL, Stage};

/// The server of most scenarios.
pub(crate) const NEWEST: &str = "1.32.2";
/// A server whose schema is older.
pub(crate) const OLDER: &str = "1.23.1";
/// The Pebble that Juju 3.6 brings.
pub(crate) const PEBBLE: &str = "1.19.2";

/// The image has a file of its own there, until ours replaces it.
const DYNAMIC: &str = "/etc/temporal/config/dynamicconfig/docker.yaml";
const DIRECTORIES: [&str; 3] = [
    "/etc/temporal",
    "/etc/temporal/config",
    "/etc/temporal/config/dynamicconfig",
];
/// Room for everything that the charm writes, and quickly filled.
const DISK: u64 = 8 * 1024 * 1024;
const BOOT: Duration = Duration::from_secs(30);

struct RealStage {
    stage: stage::Stage,
    parts: Arc<Parts>,
    pebble: PathBuf,
    charm: PathBuf,
    version: String,
    old_schema: bool,
    condition: Condition,
    passwords: Vec<String>,
}

/// Plays one scenario on a stage of its own.
pub(crate) fn play(setup: &Setup, scenario: fn(&mut dyn Stage)) -> Outcome {
    let options = Options {
        disk: Some(DISK),
        ..Options::default()
    };
    let parts = Arc::new(Parts::locate()?);
    let pebble = parts.pebble(PEBBLE)?;
    let mut stage = stage::Stage::new(setup, &options)?;
    // a counterpart that hears of one password and not of the other yet fails, as the real one does
    stage.juju.retries(5);
    let mut stage = RealStage {
        stage,
        parts,
        pebble,
        charm: setup.charm.clone(),
        version: NEWEST.to_owned(),
        old_schema: false,
        condition: Condition::Up,
        passwords: Vec::new(),
    };
    scenario(&mut stage);
    Ok(())
}

impl RealStage {
    /// Runs the `pebble` program against a unit's container; `None` if it refuses.
    fn pebble(&self, unit: &str, arguments: &[&str]) -> Option<String> {
        let pod = self.stage.node.pod_directory(unit).ok()?;
        let socket = pod
            .join("containers")
            .join(CONTAINER)
            .join("shared/pebble.socket");
        let output = Command::new(&self.pebble)
            .args(arguments)
            .env("PEBBLE_SOCKET", socket)
            .output()
            .expect("the program starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }

    /// The mode of a file in digits, from the letters that `pebble ls` shows.
    fn mode(&self, unit: &str, path: &str) -> Option<String> {
        let listing = self.pebble(unit, &["ls", "-l", "-d", path])?;
        let letters: Vec<char> = listing.lines().next()?.chars().skip(1).take(9).collect();
        let digits = letters.chunks(3).map(|three| {
            let bits = three
                .iter()
                .fold(0, |sum, letter| sum * 2 + u8::from(*letter != '-'));
            bits.to_string()
        });
        Some(digits.collect())
    }

    fn boot_id(&self, unit: &str) -> Option<String> {
        self.stage.juju.cloud().boot_id(unit, CONTAINER)
    }

    fn boot(&mut self, unit: &str) {
        let before = self.boot_id(unit);
        self.stage
            .restart_container(unit)
            .expect("restart the container");
        let begin = Instant::now();
        while self.boot_id(unit).is_none() || self.boot_id(unit) == before {
            assert!(
                begin.elapsed() < BOOT,
                "the container of {unit} does not come up"
            );
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// The databags of the provider that name a user.
    fn grants(&self) -> Vec<(u32, String)> {
        let model = self.stage.juju.model();
        let bags = model.relations_of(POSTGRESQL).filter_map(|relation| {
            let bag = relation.apps.get(POSTGRESQL)?;
            Some((relation.id, bag.settings.get("password")?.clone()))
        });
        bags.collect()
    }

    fn set_passwords(&self, choose: impl Fn(String) -> String) {
        for (id, password) in self.grants() {
            let password = choose(password).replace('\'', "''");
            let statement = format!("ALTER ROLE \"{}\" PASSWORD '{password}'", role(id));
            self.stage
                .database
                .query("postgres", &statement)
                .expect("alter a role");
        }
    }

    fn admin(&self) -> Source {
        let version = if self.old_schema {
            OLDER
        } else {
            &self.version
        };
        let temporal = self.parts.temporal(version).expect("the part is there");
        let (node, parts) = (self.stage.node.clone(), Arc::clone(&self.parts));
        Source::Counterpart(Box::new(move |_| {
            Box::new(Admin::new(
                node.clone(),
                Arc::clone(&parts),
                temporal.clone(),
            ))
        }))
    }
}

impl Stage for RealStage {
    fn juju(&mut self) -> &mut Juju {
        &mut self.stage.juju
    }

    fn patience(&self) -> Duration {
        Duration::from_mins(3)
    }

    fn charm(&mut self) -> Source {
        Source::File(self.charm.clone())
    }

    fn deploy_counterpart(&mut self, name: &str) {
        match name {
            POSTGRESQL => self.stage.deploy_postgresql(1).expect("deploy"),
            ADMIN => {
                let source = self.admin();
                self.stage
                    .juju
                    .deploy(ADMIN, source, 1, &[])
                    .expect("deploy");
            }
            INGRESS => self.stage.deploy_nginx(&[]).expect("deploy"),
            other => panic!("no counterpart `{other}`"),
        }
    }

    fn recovery(&self) -> Duration {
        Duration::from_mins(1)
    }

    fn set_database(&mut self, condition: Condition) {
        let database = self.stage.database.clone();
        match (self.condition, condition) {
            (Condition::Up, Condition::Down) => database.stop().expect("stop PostgreSQL"),
            (Condition::Up, Condition::Silent) => database.hang().expect("hang PostgreSQL"),
            (Condition::Up, Condition::Distrustful) => {
                self.passwords();
                self.set_passwords(|password| format!("not {password}"));
            }
            (Condition::Down, Condition::Up) => database.start().expect("start PostgreSQL"),
            (Condition::Silent, Condition::Up) => database.resume().expect("resume PostgreSQL"),
            (Condition::Distrustful, Condition::Up) => self.set_passwords(|password| password),
            (before, after) => panic!("no way from {before:?} to {after:?}"),
        }
        self.condition = condition;
    }

    fn recreate_database(&mut self, name: &str) {
        let database = self.stage.database.clone();
        database.drop_database(name).expect("drop the database");
        let run = |database_name: &str, statement: &str| {
            database
                .query(database_name, statement)
                .expect("a statement");
        };
        run("postgres", &format!("CREATE DATABASE \"{name}\""));
        for (id, _) in self.grants() {
            let role = role(id);
            run(
                "postgres",
                &format!("GRANT ALL ON DATABASE \"{name}\" TO \"{role}\""),
            );
            run(name, &format!("GRANT ALL ON SCHEMA public TO \"{role}\""));
        }
    }

    fn choose_password(&mut self, password: &str) {
        self.stage.database.next_password(password);
    }

    fn make_old_schema(&mut self, old: bool) {
        self.old_schema = old;
        if self.stage.juju.model().applications.contains_key(ADMIN) {
            let source = self.admin();
            self.stage.juju.refresh(ADMIN, source).expect("refresh");
        }
    }

    fn set_server_version(&mut self, version: &str) {
        version.clone_into(&mut self.version);
        self.stage.set_temporal(version).expect("the part is there");
    }

    fn fill_disk(&mut self, unit: &str, full: bool) {
        if full {
            self.stage.fill_disk(unit).expect("fill the disk");
        } else {
            // what filled it goes with the container
            self.boot(unit);
        }
    }

    fn restart_container(&mut self, unit: &str) {
        self.boot(unit);
    }

    fn set_container(&mut self, unit: &str, up: bool) {
        if up {
            self.boot(unit);
        } else {
            self.stage
                .node
                .kill_container(unit, CONTAINER)
                .expect("kill the container");
        }
    }

    fn file(&mut self, unit: &str, path: &str) -> Option<(Vec<u8>, String)> {
        let mode = self.mode(unit, path)?;
        let directory = self.stage.node.pod_directory(unit).ok()?;
        let copy = directory.join("pulled");
        self.pebble(unit, &["pull", path, copy.to_str()?])?;
        Some((fs::read(&copy).ok()?, mode))
    }

    fn files(&mut self, unit: &str) -> BTreeMap<String, (Vec<u8>, String)> {
        [CONFIG, DYNAMIC, PASS_FILE]
            .into_iter()
            .filter_map(|path| Some((path.to_owned(), self.file(unit, path)?)))
            .filter(|(path, (content, _))| path != DYNAMIC || !content.is_empty())
            .collect()
    }

    fn runs(&mut self, unit: &str) -> bool {
        let services = self
            .pebble(unit, &["services", "temporal"])
            .unwrap_or_default();
        services
            .lines()
            .any(|line| line.split_whitespace().nth(2) == Some("active"))
    }

    fn starts(&mut self, unit: &str) -> u32 {
        let log = self
            .stage
            .node
            .container_log(unit, CONTAINER)
            .unwrap_or_default();
        let starts = log.matches("Service \"temporal\" starting").count();
        u32::try_from(starts).expect("a small number")
    }

    fn fingerprint(&mut self, unit: &str) -> String {
        let mut shown = vec![format!("{} starts", self.starts(unit))];
        for directory in DIRECTORIES {
            shown.extend(self.pebble(unit, &["ls", "-l", "--abs-time", directory]));
        }
        shown.extend(self.pebble(unit, &["plan"]));
        shown.join("\n")
    }

    fn public_texts(&mut self, unit: &str) -> Vec<String> {
        let mut texts: Vec<String> = self.pebble(unit, &["plan"]).into_iter().collect();
        texts.extend(self.stage.node.container_log(unit, CONTAINER));
        for process in processes::all().expect("the list of processes") {
            if process.name == "temporal-server" {
                for file in ["cmdline", "environ"] {
                    // it may have ended meanwhile
                    let text = fs::read(format!("/proc/{}/{file}", process.id)).unwrap_or_default();
                    texts.push(String::from_utf8_lossy(&text).into_owned());
                }
            }
        }
        texts
    }

    fn passwords(&mut self) -> Vec<String> {
        for (_, password) in self.grants() {
            if !self.passwords.contains(&password) {
                self.passwords.push(password);
            }
        }
        self.passwords.clone()
    }

    fn cloud_knows(&mut self, app: &str) -> bool {
        let unit = format!("{app}/0");
        self.stage.juju.cloud().service_ip(app).is_some()
            || self.stage.juju.cloud().pod_ip(&unit).is_some()
    }

    fn seeds(&self) -> Vec<u64> {
        vec![1, 2]
    }
}
