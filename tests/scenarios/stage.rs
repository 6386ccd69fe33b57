//! What a scenario needs of the world it plays in, and the steps that many scenarios share.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rehearsal::counterparts::postgresql::client::Terms;
use rehearsal::juju::event::Event;
use rehearsal::juju::record::HookRun;
use rehearsal::juju::{Juju, Source};

/// Our application.
pub(crate) const APP: &str = "temporal-k8s";
/// Its first unit.
pub(crate) const UNIT: &str = "temporal-k8s/0";
/// The databases' provider.
pub(crate) const POSTGRESQL: &str = "postgresql-k8s";
/// The application that sets up the schema.
pub(crate) const ADMIN: &str = "temporal-admin-k8s";
/// The ingress.
pub(crate) const INGRESS: &str = "nginx-ingress-integrator";
/// The pass file in the workload container.
pub(crate) const PASS_FILE: &str = "/etc/temporal/pgpass";
/// The configuration file in the workload container.
pub(crate) const CONFIG: &str = "/etc/temporal/config/charm.yaml";

/// How the database treats those who come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It answers.
    Up,
    /// It refuses connections.
    Down,
    /// It takes connections and says nothing.
    Silent,
    /// It takes nobody's password.
    Distrustful,
}

/// A world with an emulated Juju in it; the rest is fake or real.
pub(crate) trait Stage {
    /// The controller.
    fn juju(&mut self) -> &mut Juju;

    /// How long the model may take to come to rest.
    fn patience(&self) -> Duration;

    /// Our charm.
    fn charm(&mut self) -> Source;

    /// `juju deploy` of a counterpart: [`POSTGRESQL`], [`ADMIN`] or [`INGRESS`].
    fn deploy_counterpart(&mut self, name: &str);

    /// What the provider says on its endpoint `database`, and which track it is. What is told takes effect in its next
    /// hook: [`hear_provider`].
    fn terms(&self) -> Terms;

    /// How long a server may take to find databases or members again; fakes take no time.
    fn recovery(&self) -> Duration;

    /// Changes how the database server treats those who come.
    fn set_database(&mut self, condition: Condition);

    /// Drops a database and creates it again, empty, for the same user.
    fn recreate_database(&mut self, name: &str);

    /// Makes a database that is another one's copy, as a restored dump is.
    fn copy_database(&mut self, from: &str, to: &str);

    /// Types a statement into a database, with all rights.
    fn type_sql(&mut self, database: &str, statement: &str);

    /// Keeps servers that start from now on from ever serving, or no longer. Those that run are left alone.
    fn bar_newcomers(&mut self, barred: bool);

    /// The next password that the provider makes for a relation.
    fn choose_password(&mut self, password: &str);

    /// Sets the schema that the admin application makes: that of the server, or one step less.
    fn make_old_schema(&mut self, old: bool);

    /// The version of the server in the image of pods made from now on.
    fn set_server_version(&mut self, version: &str);

    /// The cluster's domain, for pods made from now on.
    fn set_cluster_domain(&mut self, domain: &str);
    /// What the image of containers made from now on brings besides the server: files with their contents, and
    /// variables with their values.
    fn set_image(&mut self, files: &[(&str, &str)], variables: &[(&str, &str)]);

    /// The services that run in a unit's workload container, whoever brought them.
    fn running(&mut self, unit: &str) -> Vec<String>;

    /// Changes the mode of a file in the workload container.
    fn set_mode(&mut self, unit: &str, path: &str, mode: u32);

    /// Stops the server from serving, or lets it serve again; its process stays.
    fn freeze(&mut self, unit: &str, frozen: bool);

    /// Fills the file system of a unit's workload container, or gives the space back.
    fn fill_disk(&mut self, unit: &str, full: bool);

    /// The workload container dies and is started again, empty.
    fn restart_container(&mut self, unit: &str);

    /// The workload container goes away, or comes back, empty.
    fn set_container(&mut self, unit: &str, up: bool);

    /// A file in the workload container, with its mode like `600`.
    fn file(&mut self, unit: &str, path: &str) -> Option<(Vec<u8>, String)>;

    /// All files of the server in the workload container, with their modes.
    fn files(&mut self, unit: &str) -> BTreeMap<String, (Vec<u8>, String)>;

    /// Does the server run in this unit?
    fn runs(&mut self, unit: &str) -> bool;

    /// How often the server was started in this container's life.
    fn starts(&mut self, unit: &str) -> u32;

    /// Differs whenever somebody changed something in the workload container.
    fn fingerprint(&mut self, unit: &str) -> String;

    /// Everything in the container that others than its owner may see: plan, command lines, environments.
    fn public_texts(&mut self, unit: &str) -> Vec<String>;

    /// Every password that the provider has made so far.
    fn passwords(&mut self) -> Vec<String>;

    /// Whether anything of an application is left in the cloud.
    fn cloud_knows(&mut self, app: &str) -> bool;

    /// Which orders of events to try, by seed.
    fn seeds(&self) -> Vec<u64>;
}

/// Runs hooks until none is due; a failing hook fails the scenario.
pub(crate) fn settle(stage: &mut dyn Stage) -> Vec<HookRun> {
    let patience = stage.patience();
    let runs = stage.juju().settle(patience);
    runs.unwrap_or_else(|error| panic!("{error}"))
}

/// The five-minute timer fires for every unit of ours.
pub(crate) fn update_status(stage: &mut dyn Stage) -> Vec<HookRun> {
    for app in applications(stage) {
        let fired = stage.juju().update_status(&app);
        fired.expect("the application is there");
    }
    settle(stage)
}

/// The provider's next hook, in which it does what its [`Stage::terms`] have been told, and all that follows.
pub(crate) fn hear_provider(stage: &mut dyn Stage) -> Vec<HookRun> {
    let fired = stage.juju().update_status(POSTGRESQL);
    fired.expect("the application is there");
    settle(stage)
}

/// Runs the hooks that come by themselves, until the unit has this status.
pub(crate) fn until_status(stage: &mut dyn Stage, unit: &str, word: &str) {
    const LIMIT: Duration = Duration::from_mins(1);
    let begin = Instant::now();
    loop {
        settle(stage);
        let (is, message) = status(stage, unit);
        if is == word {
            return;
        }
        assert!(begin.elapsed() < LIMIT, "{unit} stays {is}: {message}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The applications of our charm: usually one.
fn applications(stage: &mut dyn Stage) -> Vec<String> {
    let all = &stage.juju().model().applications;
    let ours = all.iter().filter(|(_, app)| app.metadata.name == APP);
    ours.map(|(name, _)| name.clone()).collect()
}

/// The timer fires until all is well again, which must be soon.
pub(crate) fn recover(stage: &mut dyn Stage) {
    update_status(stage);
    assert_soon_active(stage);
}

/// All is well: at once, if the servers are fake. A real one may look for the other members of its ring, or for
/// those of before where its databases were in use a moment ago, for longer than a hook waits for it; then the
/// timer finds it later.
pub(crate) fn assert_soon_active(stage: &mut dyn Stage) {
    let begin = Instant::now();
    let all_active = |stage: &mut dyn Stage| {
        let ours = units(stage);
        ours.iter().all(|unit| status(stage, unit).0 == "active")
    };
    while !all_active(stage) && begin.elapsed() < stage.recovery() {
        std::thread::sleep(Duration::from_millis(500));
        update_status(stage);
    }
    assert_all_active(stage);
}

/// `juju deploy` of our charm.
pub(crate) fn deploy(stage: &mut dyn Stage, units: u32, config: &[(&str, &str)]) {
    let charm = stage.charm();
    stage
        .juju()
        .deploy(APP, charm, units, config)
        .expect("deploy");
}

/// `juju deploy` of counterparts.
pub(crate) fn deploy_counterparts(stage: &mut dyn Stage, names: &[&str]) {
    for name in names {
        stage.deploy_counterpart(name);
    }
}

/// `juju integrate temporal-k8s:<endpoint>` with the application that is meant for it.
pub(crate) fn integrate(stage: &mut dyn Stage, endpoint: &str) {
    let ours = format!("{APP}:{endpoint}");
    let theirs = remote(endpoint);
    stage.juju().integrate(&ours, theirs).expect("integrate");
}

/// `juju remove-relation`
pub(crate) fn separate(stage: &mut dyn Stage, endpoint: &str) {
    let ours = format!("{APP}:{endpoint}");
    let theirs = remote(endpoint);
    stage
        .juju()
        .remove_relation(&ours, theirs)
        .expect("remove-relation");
}

fn remote(endpoint: &str) -> &'static str {
    match endpoint {
        "db" | "visibility" => "postgresql-k8s:db",
        "database" | "visibility-database" => "postgresql-k8s:database",
        "admin" => "temporal-admin-k8s:admin",
        "ingress" => "nginx-ingress-integrator:ingress",
        other => panic!("nothing is meant for `{other}`"),
    }
}

/// Everything one after the other, each settled before the next, as the README tells it.
pub(crate) fn deploy_calmly(stage: &mut dyn Stage, units: u32, config: &[(&str, &str)]) {
    deploy_counterparts(stage, &[POSTGRESQL, ADMIN]);
    deploy(stage, units, config);
    settle(stage);
    for endpoint in ["db", "visibility", "admin"] {
        integrate(stage, endpoint);
        settle(stage);
    }
}

/// The units of our charm.
pub(crate) fn units(stage: &mut dyn Stage) -> Vec<String> {
    let applications = applications(stage);
    let model = stage.juju().model();
    applications
        .iter()
        .flat_map(|app| model.units_of(app))
        .collect()
}

/// A unit's open ports, in order.
pub(crate) fn ports(stage: &mut dyn Stage, unit: &str) -> Vec<String> {
    let mut ports = stage.juju().opened_ports(unit);
    ports.sort();
    ports
}

/// A unit's status: word and message.
pub(crate) fn status(stage: &mut dyn Stage, unit: &str) -> (String, String) {
    let status = stage.juju().unit_status(unit).expect("the unit is there");
    (status.status.clone(), status.message.clone())
}

/// The unit's status has this word, and its message all of these parts.
pub(crate) fn assert_status(stage: &mut dyn Stage, unit: &str, word: &str, parts: &[&str]) {
    let (is, message) = status(stage, unit);
    assert_eq!(is, word, "{unit}: {message}");
    for part in parts {
        assert!(
            message.contains(part),
            "{unit} {is}: {message:?} lacks {part:?}"
        );
    }
}

/// Does what the unit's status says to type into a database.
pub(crate) fn obey(stage: &mut dyn Stage, unit: &str, database: &str) {
    let (_, message) = status(stage, unit);
    let (_, rest) = message
        .split_once(" type `")
        .unwrap_or_else(|| panic!("{message}"));
    let (statement, _) = rest.split_once('`').unwrap_or_else(|| panic!("{message}"));
    stage.type_sql(database, statement);
}

/// All units and the application are active, and every server runs.
pub(crate) fn assert_all_active(stage: &mut dyn Stage) {
    for unit in units(stage) {
        assert_status(stage, &unit, "active", &[]);
        assert!(stage.runs(&unit), "{unit} is active, but nothing runs");
    }
    for app in applications(stage) {
        let status = stage
            .juju()
            .app_status(&app)
            .expect("the leader has told")
            .clone();
        assert_eq!(
            (status.status.as_str(), status.message.as_str()),
            ("active", ""),
            "{app}"
        );
    }
}

/// Is it one of the hooks that Pebble's check brings? They come when they like: a start that takes longer than the check
/// has patience is told of afterwards.
pub(crate) fn is_of_the_check(run: &HookRun) -> bool {
    run.hook.starts_with("temporal-pebble-check-")
}

/// The tools with which a charm changes something or makes itself heard.
const WRITES: [&str; 8] = [
    "relation-set",
    "state-set",
    "state-delete",
    "status-set",
    "open-port",
    "close-port",
    "application-version-set",
    "juju-log",
];

/// One more hook for every unit does nothing at all, and nothing that was ever shown holds a secret.
pub(crate) fn rests(stage: &mut dyn Stage) {
    let ours = units(stage);
    let before: Vec<_> = ours
        .iter()
        .map(|unit| (status(stage, unit), stage.fingerprint(unit)))
        .collect();
    let runs = update_status(stage);
    for unit in &ours {
        assert!(
            runs.iter()
                .any(|run| run.unit == *unit && run.event == Event::UpdateStatus),
            "{unit} had no hook"
        );
    }
    for run in &runs {
        assert!(
            ours.contains(&run.unit),
            "{run}: an idle hook has woken somebody"
        );
        assert!(
            run.event == Event::UpdateStatus || is_of_the_check(run),
            "{run}: an idle hook has caused another"
        );
        for call in &run.calls {
            assert!(
                !WRITES.contains(&call.name.as_str()),
                "an idle hook calls {call}"
            );
        }
    }
    let after: Vec<_> = ours
        .iter()
        .map(|unit| (status(stage, unit), stage.fingerprint(unit)))
        .collect();
    assert_eq!(before, after, "an idle hook has changed the container");
    sweep(stage);
}

/// No password in anything that people or other programs see, and no file of ours that others can read.
pub(crate) fn sweep(stage: &mut dyn Stage) {
    let mut seen: Vec<(String, String)> = Vec::new();
    for run in stage.juju().log() {
        let mut of_run = vec![run.stdout.clone(), run.stderr.clone()];
        of_run.extend(run.juju_log.iter().map(|line| line.text.clone()));
        of_run.extend(run.calls.iter().map(|call| call.args.join(" ")));
        seen.extend(
            of_run
                .into_iter()
                .map(|text| (format!("{} on {}", run.hook, run.unit), text)),
        );
    }
    let units = units(stage);
    for unit in &units {
        let model = stage.juju().model();
        let it = model.unit(unit).expect("the unit is there");
        let statuses = it.history.iter().map(|entry| entry.message.clone());
        let state = it.state.iter().map(|(key, value)| format!("{key}={value}"));
        seen.extend(statuses.map(|text| (format!("a status of {unit}"), text)));
        seen.extend(state.map(|text| (format!("the state of {unit}"), text)));
        let public = stage.public_texts(unit);
        seen.extend(
            public
                .into_iter()
                .map(|text| (format!("the container of {unit}"), text)),
        );
        for (path, (content, mode)) in stage.files(unit) {
            assert_eq!(mode, "600", "{path} of {unit}");
            if path != PASS_FILE {
                seen.push((path, String::from_utf8_lossy(&content).into_owned()));
            }
        }
    }
    // its own status line and the peers' bags are read by whoever may read the model
    let model = stage.juju().model();
    let app = model
        .applications
        .get(APP)
        .and_then(|app| app.status.as_ref());
    seen.extend(app.map(|status| {
        (
            "the application's status".to_owned(),
            status.message.clone(),
        )
    }));
    for relation in model
        .relations
        .values()
        .filter(|relation| relation.is_peer())
    {
        let bags = relation.apps.values().chain(relation.units.values());
        let values = bags.flat_map(|bag| bag.settings.values().cloned());
        seen.extend(values.map(|text| ("a peer databag".to_owned(), text)));
    }
    // a short one may be part of an innocent word
    for password in stage
        .passwords()
        .iter()
        .filter(|password| password.len() >= 6)
    {
        for (place, text) in &seen {
            assert!(
                !text.contains(password.as_str()),
                "{place} holds a password: {text}"
            );
        }
    }
}

/// The state that a deployment has come to, without what may differ between two of them: addresses,
/// passwords, users and hashes.
pub(crate) fn state(stage: &mut dyn Stage) -> String {
    let passwords = stage.passwords();
    let mut lines = Vec::new();
    let units = units(stage);
    for unit in &units {
        let (word, message) = status(stage, unit);
        lines.push(format!("{unit} {word} {message:?}"));
        let ports = ports(stage, unit);
        lines.push(format!("{unit} ports {}", ports.join(" ")));
        lines.push(format!("{unit} runs {}", stage.runs(unit)));
        for (path, (content, mode)) in stage.files(unit) {
            lines.push(format!(
                "{unit} {path} {mode}\n{}",
                String::from_utf8_lossy(&content)
            ));
        }
    }
    let model = stage.juju().model();
    let app = model
        .applications
        .get(APP)
        .expect("the application is there");
    let shown = app
        .status
        .as_ref()
        .map(|status| (status.status.clone(), status.message.clone()));
    lines.push(format!("application {shown:?} version {}", app.version()));
    let mut bags: BTreeSet<String> = BTreeSet::new();
    for relation in model.relations_of(APP) {
        let endpoint = relation
            .side(APP)
            .map(|side| side.endpoint.clone())
            .unwrap_or_default();
        let ours = relation.apps.iter().chain(&relation.units);
        for (who, bag) in ours.filter(|(who, _)| who.split('/').next() == Some(APP)) {
            bags.insert(format!("{endpoint} {who} {:?}", bag.settings));
        }
    }
    lines.extend(bags);
    masked(&lines.join("\n"), &passwords)
}

/// Replaces what may differ: passwords, dotted addresses, numbered users, hashes.
pub(crate) fn masked(text: &str, passwords: &[String]) -> String {
    let mut text = text.to_owned();
    // one may begin like another
    let mut longest_first: Vec<&String> = passwords.iter().collect();
    longest_first.sort_by_key(|password| std::cmp::Reverse(password.len()));
    for password in longest_first {
        text = text.replace(password.as_str(), "<password>");
    }
    let mut result = String::new();
    let mut word = String::new();
    for character in text.chars().chain(['\n']) {
        if character.is_ascii_alphanumeric() || matches!(character, '.' | '_') {
            word.push(character);
            continue;
        }
        let dotted =
            word.split('.').count() == 4 && word.split('.').all(|it| it.parse::<u8>().is_ok());
        let user = word
            .strip_prefix("relation_id_")
            .is_some_and(|it| it.parse::<u32>().is_ok());
        let hash = word.len() == 64 && word.chars().all(|it| it.is_ascii_hexdigit());
        result.push_str(match (dotted, user, hash) {
            (true, _, _) => "<address>",
            (_, true, _) => "<user>",
            (_, _, true) => "<hash>",
            _ => &word,
        });
        word.clear();
        result.push(character);
    }
    result
}
