//! The real stage: real Pebble, `PostgreSQL`, Temporal Server and schema tool, in namespaces.

use std::collections::BTreeMap;
use std::time::Duration;

use rehearsal::chain;
use rehearsal::counterparts::postgresql::client::Terms;
use rehearsal::juju::{Juju, Source};
use rehearsal::stage::{self, Brings, CONTAINER, Options, Setup, StageError};

use crate::scenarios::stage::{ADMIN, Condition, INGRESS, POSTGRESQL, Stage};

/// See the module's text.
pub(crate) struct RealStage(stage::Stage);

/// Enough for everything that a container writes, and soon full.
const DISK: u64 = 8 * 1024 * 1024;

impl RealStage {
    /// An empty model with the newest server.
    pub(crate) fn new(setup: &Setup) -> Result<Self, StageError> {
        let options = Options {
            disk: Some(DISK),
            ..Options::default()
        };
        Ok(Self(stage::Stage::new(setup, &options)?))
    }
}

/// A failure needs the last words of Pebble and of the servers.
impl Drop for RealStage {
    fn drop(&mut self) {
        const LINES: usize = 30;
        // our own looks from outside
        const LOOK: &str = "[pebble] GET ";
        if !std::thread::panicking() {
            return;
        }
        for unit in self.0.juju.model().unit_names() {
            let log = self.0.node.container_log(&unit, CONTAINER);
            let log = log.unwrap_or_default();
            let lines: Vec<&str> = log.lines().filter(|line| !line.contains(LOOK)).collect();
            let last = lines.len().saturating_sub(LINES);
            for line in lines.iter().skip(last) {
                println!("  {unit}: {line}");
            }
        }
    }
}

/// What the stage itself cannot do ends the scenario.
fn done<T, E: std::error::Error>(outcome: Result<T, E>) -> T {
    outcome.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

impl Stage for RealStage {
    fn juju(&mut self) -> &mut Juju {
        &mut self.0.juju
    }

    fn patience(&self) -> Duration {
        Duration::from_mins(3)
    }

    fn charm(&mut self) -> Source {
        self.0.charm()
    }

    fn deploy_counterpart(&mut self, name: &str) {
        done(match name {
            POSTGRESQL => self.0.deploy_postgresql(1),
            ADMIN => self.0.deploy_admin(),
            INGRESS => self.0.deploy_nginx(&[]),
            other => panic!("no counterpart `{other}`"),
        });
    }

    fn terms(&self) -> Terms {
        self.0.terms.clone()
    }

    fn recovery(&self) -> Duration {
        Duration::from_mins(2)
    }

    fn set_database(&mut self, condition: Condition) {
        let database = &self.0.database;
        match condition {
            Condition::Down => done(database.stop()),
            Condition::Silent => done(database.hang()),
            Condition::Distrustful => done(database.distrust(true)),
            Condition::Up => {
                done(database.resume());
                done(database.start());
                done(database.distrust(false));
            }
        }
    }

    fn recreate_database(&mut self, name: &str) {
        done(self.0.database.recreate_database(name));
    }

    fn copy_database(&mut self, from: &str, to: &str) {
        let create = format!("CREATE DATABASE \"{to}\" TEMPLATE \"{from}\"");
        done(self.0.database.query("postgres", &create));
    }

    fn type_sql(&mut self, database: &str, statement: &str) {
        done(self.0.database.query(database, statement));
    }

    fn bar_newcomers(&mut self, barred: bool) {
        const BAR: &str = "
            CREATE FUNCTION no_newcomers() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF NOT EXISTS (SELECT FROM cluster_membership WHERE host_id = NEW.host_id) THEN
                    RAISE 'nobody joins the ring';
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER no_newcomers BEFORE INSERT ON cluster_membership
            FOR EACH ROW EXECUTE FUNCTION no_newcomers()";
        let unbar = "DROP FUNCTION no_newcomers() CASCADE";
        let statement = if barred { BAR } else { unbar };
        done(self.0.database.query("temporal-k8s_db", statement));
    }

    fn choose_password(&mut self, password: &str) {
        self.0.database.next_password(password);
    }

    fn make_old_schema(&mut self, old: bool) {
        self.0.old_schema.set(old);
    }

    fn set_server_version(&mut self, version: &str) {
        done(self.0.set_temporal(version));
    }

    fn set_cluster_domain(&mut self, domain: &str) {
        self.0.node.set_domain(domain);
    }

    fn set_image(&mut self, files: &[(&str, &str)], variables: &[(&str, &str)]) {
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        self.0.set_image(Brings {
            files: owned(files),
            variables: owned(variables),
        });
    }

    fn running(&mut self, unit: &str) -> Vec<String> {
        done(self.0.running(unit))
    }

    fn set_mode(&mut self, unit: &str, path: &str, mode: u32) {
        done(self.0.set_mode(unit, path, mode));
    }

    fn freeze(&mut self, unit: &str, frozen: bool) {
        done(self.0.freeze(unit, frozen));
    }

    fn fill_disk(&mut self, unit: &str, full: bool) {
        done(self.0.fill_disk(unit, full));
    }

    fn restart_container(&mut self, unit: &str) {
        done(self.0.restart_container(unit));
    }

    fn set_container(&mut self, unit: &str, up: bool) {
        done(if up {
            self.0.restart_container(unit)
        } else {
            self.0.stop_container(unit)
        });
    }

    fn file(&mut self, unit: &str, path: &str) -> Option<(Vec<u8>, String)> {
        self.files(unit).remove(path)
    }

    fn files(&mut self, unit: &str) -> BTreeMap<String, (Vec<u8>, String)> {
        let files = done(self.0.files(unit)).into_iter();
        files
            .map(|(path, file)| (path, (file.content, format!("{:o}", file.mode))))
            .collect()
    }

    fn runs(&mut self, unit: &str) -> bool {
        !done(self.0.servers(unit)).is_empty()
    }

    fn starts(&mut self, unit: &str) -> u32 {
        let starts = done(self.0.starts(unit, "temporal"));
        u32::try_from(starts).unwrap_or(u32::MAX)
    }

    fn fingerprint(&mut self, unit: &str) -> String {
        let mut lines = done(self.0.changes(unit));
        lines.push(done(self.0.plan(unit)));
        lines.push(format!("processes {:?}", done(self.0.servers(unit))));
        for (path, file) in done(self.0.files(unit)) {
            lines.push(format!("{path} {:o} {:?}", file.mode, file.written));
        }
        lines.join("\n")
    }

    fn public_texts(&mut self, unit: &str) -> Vec<String> {
        done(self.0.public_texts(unit))
    }

    fn passwords(&mut self) -> Vec<String> {
        self.0.database.passwords()
    }

    fn cloud_knows(&mut self, app: &str) -> bool {
        self.0.node.knows(app)
    }

    fn seeds(&self) -> Vec<u64> {
        vec![1]
    }
}
