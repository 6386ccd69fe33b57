//! The fast stage: everything but `dispatch` and the hook tools is a fake.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use rehearsal::counterparts::postgresql::client::{Clients, Terms};
use rehearsal::juju::plain::write_charm;
use rehearsal::juju::{Charm, Juju, Source};

use super::cloud::FakeCloud;
use super::container::Fault;
use super::counterparts::{Ingress, Knobs, PostgresqlK8s, TemporalAdminK8s};
use super::pebble::Pebble;
use super::postgres::{self, Postgres};
use super::temporal::Brings;
use super::{lock, temporal};
use crate::scenarios::stage::{ADMIN, Condition, INGRESS, POSTGRESQL, Stage};

/// See the module's text.
pub(crate) struct FastStage {
    juju: Juju,
    /// The pods.
    pub cloud: FakeCloud,
    /// The database server.
    pub postgres: Arc<Postgres>,
    /// What the counterparts do.
    pub knobs: Arc<Mutex<Knobs>>,
    terms: Terms,
    charm: PathBuf,
}

/// Schema versions of the main and of the visibility store.
type Schema = (&'static str, &'static str);

/// What servers need, and a step less.
const SCHEMA: [(&str, Schema, Schema); 3] = [
    ("1.32", ("1.19", "1.14"), ("1.18", "1.14")),
    ("1.23", ("1.11", "1.4"), ("1.11", "1.3")),
    ("1.17", ("1.8", "1.1"), ("1.7", "1.1")),
];

const VERSION: &str = "1.32.2";

/// With `tools` in this variable the charm asks Juju by its hook tools alone.
const TRANSPORT: &str = "REHEARSAL_TRANSPORT";

/// The program behind the hook tools.
pub(crate) static HOOK_TOOL: LazyLock<PathBuf> = LazyLock::new(|| example("hook-tool"));

/// An example of this package. Cargo builds them with the tests, but not when only some test targets are asked for.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    let profile = test.ancestors().nth(2).expect("a build directory");
    let program = profile.join("examples").join(name);
    let made = |path: &Path| path.metadata().and_then(|it| it.modified()).ok();
    if made(&program) < made(&test) {
        let profile_name = profile
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                env!("CARGO_PKG_NAME"),
                "--example",
                name,
            ])
            .arg("--profile")
            .arg(match profile_name {
                "debug" => "dev",
                other => other,
            })
            .arg("--target-dir")
            .arg(profile.parent().expect("a target directory"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            // set for this test by cargo; build scripts that see another one than before run again
            .env_remove("CARGO_MANIFEST_DIR")
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "no {}",
            program.display()
        );
    }
    program
}

impl FastStage {
    /// An empty model with the newest server.
    pub(crate) fn new() -> Self {
        Self::with_tools(&HOOK_TOOL)
    }

    /// The same with another program behind the hook tools.
    pub(crate) fn with_tools(program: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let postgres = Postgres::start();
        let cloud = FakeCloud::new(VERSION, &postgres);
        let directory = cloud.directory();
        let charm = directory.join("temporal-k8s.charm");
        pack(&charm, "");
        let workdir = directory.join("juju");
        fs::create_dir_all(&workdir).expect("a directory");
        let juju = Juju::with_tools("test", Box::new(cloud.clone()), &workdir, program);
        let mut juju = juju.unwrap_or_else(|error| panic!("{}", rehearsal::chain(&error)));
        juju.tools_only(std::env::var(TRANSPORT).is_ok_and(|transport| transport == "tools"));
        let marker = format!("pw{}x{number}z", std::process::id());
        let knobs = Knobs::new(&marker, SCHEMA[0].1);
        Self {
            juju,
            cloud,
            postgres,
            knobs,
            terms: Terms::default(),
            charm,
        }
    }

    /// What goes wrong in a unit's Pebble.
    pub(crate) fn set_faults(&self, unit: &str, faults: &[Fault]) {
        self.cloud
            .container(unit, |pebble| pebble.container().set_faults(faults));
    }

    /// Our charm, with actions that it does not know.
    pub(crate) fn charm_with(&self, more_actions: &str) -> Source {
        pack(&self.charm, more_actions);
        Source::File(self.charm.clone())
    }

    /// How a unit's server treats its callers.
    pub(crate) fn set_server_mood(&self, unit: &str, mood: temporal::Mood) {
        self.cloud.with(unit, |pod| pod.image.set_mood(mood));
    }
}

/// What Juju reads of a charm. The program comes from the build directory, and is packed in earnest by
/// `tox -e pack`.
fn pack(path: &Path, more_actions: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text =
        |name: &str| fs::read(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let manifest = "bases: [{name: ubuntu, channel: '22.04', architectures: [amd64]}]\n";
    let files: [(&str, &[u8]); 5] = [
        ("metadata.yaml", &text("metadata.yaml")),
        ("config.yaml", &text("config.yaml")),
        (
            "actions.yaml",
            &[text("actions.yaml").as_slice(), more_actions.as_bytes()].concat(),
        ),
        ("manifest.yaml", manifest.as_bytes()),
        ("dispatch", b""),
    ];
    write_charm(path, &files).expect("a charm");
}

impl Stage for FastStage {
    fn juju(&mut self) -> &mut Juju {
        &mut self.juju
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(100)
    }

    fn charm(&mut self) -> Source {
        Source::File(self.charm.clone())
    }

    fn deploy_counterpart(&mut self, name: &str) {
        let (postgres, knobs) = (Arc::clone(&self.postgres), Arc::clone(&self.knobs));
        let source = match name {
            POSTGRESQL => {
                let terms = self.terms.clone();
                Source::Counterpart(Box::new(move |_| {
                    let (postgres, knobs) = (Arc::clone(&postgres), Arc::clone(&knobs));
                    Box::new(PostgresqlK8s {
                        postgres,
                        knobs,
                        clients: Clients::new(terms.clone()),
                    }) as Box<dyn Charm>
                }))
            }
            ADMIN => Source::Counterpart(Box::new(move |_| {
                let (postgres, knobs) = (Arc::clone(&postgres), Arc::clone(&knobs));
                Box::new(TemporalAdminK8s { postgres, knobs }) as Box<dyn Charm>
            })),
            INGRESS => Source::Counterpart(Box::new(|_| Box::new(Ingress))),
            other => panic!("no counterpart `{other}`"),
        };
        self.juju.deploy(name, source, 1, &[]).expect("deploy");
    }

    fn terms(&self) -> Terms {
        self.terms.clone()
    }

    fn recovery(&self) -> Duration {
        Duration::ZERO
    }

    fn set_database(&mut self, condition: Condition) {
        match condition {
            Condition::Up => self.postgres.up(),
            Condition::Down => self.postgres.down(),
            Condition::Silent => self.postgres.set_mood(postgres::Mood::Silent),
            Condition::Distrustful => self.postgres.set_mood(postgres::Mood::Distrustful),
        }
    }

    fn recreate_database(&mut self, name: &str) {
        self.postgres.recreate_database(name);
    }

    fn copy_database(&mut self, from: &str, to: &str) {
        self.postgres.copy_database(from, to);
    }

    fn type_sql(&mut self, database: &str, statement: &str) {
        self.postgres.type_sql(database, statement);
    }

    fn bar_newcomers(&mut self, barred: bool) {
        self.cloud.bar_newcomers(barred);
    }

    fn choose_password(&mut self, password: &str) {
        lock(&self.knobs).chosen.push_back(password.to_owned());
    }

    fn make_old_schema(&mut self, old: bool) {
        let version = self.cloud.version();
        let known = SCHEMA.iter().find(|(minor, ..)| version.starts_with(minor));
        let (_, right, less) = known.expect("a version that scenarios use");
        lock(&self.knobs).set_schema(if old { *less } else { *right });
    }

    fn set_server_version(&mut self, version: &str) {
        self.cloud.set_version(version);
        self.make_old_schema(false);
    }

    fn set_cluster_domain(&mut self, domain: &str) {
        self.cloud.set_domain(domain);
    }

    fn set_image(&mut self, files: &[(&str, &str)], variables: &[(&str, &str)]) {
        self.cloud.set_brings(Brings::new(files, variables));
    }

    fn running(&mut self, unit: &str) -> Vec<String> {
        self.cloud
            .container(unit, |pebble| pebble.container().running())
    }

    fn set_mode(&mut self, unit: &str, path: &str, mode: u32) {
        self.cloud
            .container(unit, |pebble| pebble.container().set_mode(path, mode));
    }

    fn freeze(&mut self, unit: &str, frozen: bool) {
        let mood = if frozen {
            temporal::Mood::NotServing
        } else {
            temporal::Mood::Serving
        };
        self.set_server_mood(unit, mood);
        self.cloud.container(unit, |pebble| {
            pebble.container().set_check("serves", !frozen);
        });
    }

    fn fill_disk(&mut self, unit: &str, full: bool) {
        self.set_faults(unit, if full { &[Fault::NoSpace] } else { &[] });
    }

    fn restart_container(&mut self, unit: &str) {
        self.cloud.container(unit, Pebble::restart);
    }

    fn set_container(&mut self, unit: &str, up: bool) {
        self.cloud
            .container(unit, |pebble| if up { pebble.up() } else { pebble.down() });
    }

    fn file(&mut self, unit: &str, path: &str) -> Option<(Vec<u8>, String)> {
        let file = self
            .cloud
            .container(unit, |pebble| pebble.container().file(path))?;
        Some((file.content, file.permissions))
    }

    fn files(&mut self, unit: &str) -> BTreeMap<String, (Vec<u8>, String)> {
        let files = self
            .cloud
            .container(unit, |pebble| pebble.container().files());
        files
            .into_iter()
            .map(|(path, file)| (path, (file.content, file.permissions)))
            .collect()
    }

    fn runs(&mut self, unit: &str) -> bool {
        self.cloud
            .container(unit, |pebble| pebble.container().runs("temporal"))
    }

    fn starts(&mut self, unit: &str) -> u32 {
        self.cloud
            .container(unit, |pebble| pebble.container().starts())
    }

    fn fingerprint(&mut self, unit: &str) -> String {
        self.cloud.container(unit, |pebble| {
            let container = pebble.container();
            format!(
                "{} writes, {} starts",
                container.writes().len(),
                container.starts()
            )
        })
    }

    fn public_texts(&mut self, unit: &str) -> Vec<String> {
        self.cloud.container(unit, |pebble| {
            let container = pebble.container();
            let asked = container.writes().into_iter().map(|write| write.body);
            asked.chain([container.plan()]).collect()
        })
    }

    fn passwords(&mut self) -> Vec<String> {
        lock(&self.knobs).given.clone()
    }

    fn cloud_knows(&mut self, app: &str) -> bool {
        self.cloud.knows(app)
    }

    fn seeds(&self) -> Vec<u64> {
        (0..3).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::FastStage;
    use crate::scenarios::stage::{CONFIG, Stage as _, UNIT, deploy_calmly, settle};

    #[test]
    fn a_check_that_goes_down_and_up_is_told_to_the_charm() {
        let mut stage = FastStage::new();
        deploy_calmly(&mut stage, 1, &[]);
        assert!(
            stage.file(UNIT, CONFIG).is_some(),
            "the charm has been there"
        );
        for (up, hook) in [
            (false, "temporal-pebble-check-failed"),
            (true, "temporal-pebble-check-recovered"),
        ] {
            for _ in 0..2 {
                stage
                    .cloud
                    .container(UNIT, |pebble| pebble.container().set_check("serves", up));
            }
            let runs = settle(&mut stage);
            let hooks: Vec<&str> = runs.iter().map(|run| run.hook.as_str()).collect();
            assert_eq!(hooks, [hook], "once");
            let check = runs.iter().flat_map(|run| run.event.variables());
            let check = check.filter(|(name, _)| *name == "JUJU_PEBBLE_CHECK_NAME");
            assert_eq!(
                check.map(|(_, value)| value).collect::<Vec<_>>(),
                ["serves"]
            );
        }
    }
}
