//! The endpoint `database` of the counterpart of postgresql-k8s, on a server that only takes notes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rehearsal::counterparts::CounterpartError;
use rehearsal::counterparts::postgresql::client::{Backend, Clients, Grant, Status, Terms, Track};
use rehearsal::juju::{
    Charm, Event, HookContext, Reading, RelationChange, Settings, Source, ToolError,
};

use crate::world::{Outcome, World};

const CLIENT: &str = "name: client\nsummary: s\ndescription: d\n\
                      requires: {database: {interface: postgresql_client, limit: 1}}\n";
const PROVIDER: &str = "name: postgresql-k8s\nsummary: s\ndescription: d\n\
                        provides: {database: {interface: postgresql_client}}\n";
const SECRETS: (&str, &str) = (
    "requested-secrets",
    r#"["username", "password", "tls", "tls-ca", "uris"]"#,
);

/// What the server was told, and the passwords that it would take.
#[derive(Default)]
struct Notes {
    grants: Vec<Grant>,
    passwords: BTreeMap<String, String>,
    made: u32,
}

#[derive(Clone, Default)]
struct Server(Rc<RefCell<Notes>>);

impl Backend for Server {
    fn is_up(&self) -> bool {
        true
    }

    fn version(&self) -> Result<String, CounterpartError> {
        Ok("16.9".to_owned())
    }

    fn new_password(&mut self) -> Result<String, CounterpartError> {
        let mut notes = self.0.borrow_mut();
        notes.made += 1;
        Ok(format!("password{}", notes.made))
    }

    fn grant(&mut self, grant: &Grant) -> Result<(), CounterpartError> {
        self.0.borrow_mut().grants.push(grant.clone());
        self.alter_password(&grant.user, &grant.password)
    }

    fn alter_password(&mut self, user: &str, password: &str) -> Result<(), CounterpartError> {
        let passwords = &mut self.0.borrow_mut().passwords;
        passwords.insert(user.to_owned(), password.to_owned());
        Ok(())
    }

    fn drop_user(&mut self, user: &str) -> Result<(), CounterpartError> {
        self.0.borrow_mut().passwords.remove(user);
        Ok(())
    }

    fn endpoints(&self, _hook: &HookContext<'_>) -> (String, String) {
        ("primary:5432".to_owned(), "replicas:5432".to_owned())
    }
}

struct Provider {
    server: Server,
    clients: Clients,
}

impl Charm for Provider {
    fn metadata(&self) -> &str {
        PROVIDER
    }

    fn dispatch(&mut self, event: &Event, hook: &mut HookContext) -> Outcome {
        self.clients.run(event, hook, &mut self.server)?;
        let (word, text) = match self.clients.blocked() {
            Some(why) => ("blocked", why),
            None => ("active", ""),
        };
        Ok(hook.status_set(word, text)?)
    }
}

/// `client` and `pg`, deployed and settled; the client's first hook in the relation writes what it asks for.
struct Play {
    world: World,
    terms: Terms,
    server: Server,
}

impl Play {
    fn new() -> Self {
        let (mut world, terms, server) = (World::new(), Terms::default(), Server::default());
        terms.track(Track::Sixteen);
        world.deploy("client", CLIENT, 2);
        let (of_charm, notes) = (terms.clone(), server.clone());
        let make = move |_: &str| -> Box<dyn Charm> {
            Box::new(Provider {
                server: notes.clone(),
                clients: Clients::new(of_charm.clone()),
            })
        };
        let source = Source::Counterpart(Box::new(make));
        world.juju.deploy("pg", source, 1, &[]).unwrap();
        world.settle();
        Self {
            world,
            terms,
            server,
        }
    }

    /// Relates both; the leader asks for this.
    fn relate(&mut self, asked: &[(&str, &str)]) -> u32 {
        let asked: Settings = asked
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        self.world.script("client", move |event, hook| {
            if let Some(event) = event.relation()
                && event.change == RelationChange::Created
                && hook.is_leader()
            {
                hook.relation_set_app(event.id, asked.clone())?;
            }
            Ok(())
        });
        let id = self.world.juju.integrate("client", "pg").unwrap();
        self.world.settle();
        self.world.scripts["client"].clear();
        id
    }

    /// A related pair that uses secrets.
    fn related() -> (Self, u32) {
        let mut play = Self::new();
        let id = play.relate(&[("database", "d"), SECRETS]);
        (play, id)
    }

    fn answer(&self, id: u32) -> Settings {
        self.world.juju.databag(id, "pg")
    }

    /// The provider's next hook, and the names of the hooks that follow at the client.
    fn provider_acts(&mut self) -> Vec<String> {
        self.world.juju.update_status("pg").unwrap();
        let hooks = self.world.hooks().into_iter();
        hooks.filter(|it| it.starts_with("client")).collect()
    }

    /// A secret that the answer names, as a unit of the client reads it.
    fn read(&mut self, unit: &str, id: u32, group: &str) -> Result<Settings, ToolError> {
        let uri = self.answer(id)[&format!("secret-{group}")].clone();
        self.world.in_hook(unit, move |hook| {
            hook.secret_get(Some(&uri), None, Reading::Refresh)
        })
    }

    fn set(&mut self, id: u32, key: &'static str, value: &'static str) {
        self.world.in_hook("client/0", move |hook| {
            hook.relation_set_app(id, [(key, value)]).unwrap();
        });
    }
}

fn keys(bag: &Settings) -> Vec<&str> {
    bag.keys().map(String::as_str).collect()
}

const PLAIN: [&str; 5] = [
    "data",
    "database",
    "endpoints",
    "read-only-endpoints",
    "version",
];

#[test]
fn what_is_asked_for_in_secrets_is_given_in_secrets_and_all_else_in_the_bag() {
    let (mut play, id) = Play::related();
    let answer = play.answer(id);
    let mut expected = PLAIN.to_vec();
    expected.extend(["secret-tls", "secret-user"]);
    expected.sort_unstable();
    assert_eq!(keys(&answer), expected);
    assert_eq!(answer["endpoints"], "primary:5432");
    let uuid = play.world.juju.model().uuid.clone();
    let user = format!("relation_id_{id}");
    for unit in ["client/0", "client/1"] {
        let content = play.read(unit, id, "user").unwrap();
        let uri = format!("postgresql://{user}:password1@primary:5432/d");
        let pairs = [
            ("password", "password1"),
            ("uris", &uri),
            ("username", &user),
        ];
        assert_eq!(
            content,
            pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
        );
        let content = play.read(unit, id, "tls").unwrap();
        assert_eq!((&*content["tls"], &*content["tls-ca"]), ("False", ""));
    }
    assert!(answer["secret-user"].starts_with(&format!("secret://{uuid}/")));
    let label = format!("database.{id}.user.secret");
    let secret = play.world.juju.model().secrets.get(&answer["secret-user"]);
    let secret = secret.map(|it| (&*it.owner, &*it.label));
    assert_eq!(secret, Some(("pg", &*label)));
    let expected = Grant {
        track: Track::Sixteen,
        user,
        password: "password1".to_owned(),
        database: "d".to_owned(),
        roles: BTreeSet::new(),
        alone: true,
    };
    assert_eq!(play.server.0.borrow().grants, [expected]);
    assert_eq!(play.provider_acts(), Vec::<String>::new(), "nothing new");
}

#[test]
fn whoever_asks_for_no_secrets_or_too_late_gets_none() {
    let mut play = Play::new();
    let id = play.relate(&[("database", "d")]);
    let mut expected = PLAIN.to_vec();
    expected.extend(["password", "tls", "uris", "username"]);
    expected.sort_unstable();
    assert_eq!(keys(&play.answer(id)), expected);
    assert_eq!(play.answer(id)["tls"], "False");
    let (key, value) = SECRETS;
    play.set(id, key, value);
    play.terms.tls(Some("CA"));
    play.provider_acts();
    expected.push("tls-ca");
    expected.sort_unstable();
    assert_eq!(keys(&play.answer(id)), expected);

    let mut play = Play::new();
    play.terms.plain(true);
    let id = play.relate(&[("database", "d"), SECRETS]);
    assert_eq!(play.answer(id)["password"], "password1");
}

#[test]
fn a_new_password_is_a_new_revision_and_nothing_else() {
    let (mut play, id) = Play::related();
    for unit in ["client/0", "client/1"] {
        play.read(unit, id, "user").unwrap();
    }
    let before = play.answer(id);
    play.terms.rotate_password(id);
    let told = play.provider_acts();
    assert_eq!(told, ["client/0 secret-changed", "client/1 secret-changed"]);
    assert_eq!(play.answer(id), before);
    let content = play.read("client/1", id, "user").unwrap();
    assert_eq!(content["password"], "password2");
    assert!(content["uris"].contains(":password2@"));
    let user = format!("relation_id_{id}");
    assert_eq!(play.server.0.borrow().passwords[&user], "password2");
}

#[test]
fn tls_comes_and_goes_in_its_secret_alone() {
    let (mut play, id) = Play::related();
    play.read("client/0", id, "tls").unwrap();
    for (ca, tls) in [
        (Some("one"), "True"),
        (Some("two"), "True"),
        (None, "False"),
    ] {
        let before = play.answer(id);
        play.terms.tls(ca);
        assert_eq!(play.provider_acts(), ["client/0 secret-changed"]);
        let content = play.read("client/0", id, "tls").unwrap();
        assert_eq!(content["tls"], tls);
        assert_eq!(content["tls-ca"], ca.unwrap_or_default());
        assert_eq!(play.answer(id), before);
    }
}

#[test]
fn endpoints_and_statuses_are_changes_of_the_bag() {
    let (mut play, id) = Play::related();
    let text = "[fd00::1]:5432,other:5433";
    play.terms.endpoints(Some(text));
    let status = |code| Status {
        code,
        message: "m".to_owned(),
        resolution: "r".to_owned(),
    };
    play.terms.statuses(Some(&[status(5001), status(4001)]));
    let changed = [
        "client/0 database-relation-changed",
        "client/1 database-relation-changed",
    ];
    assert_eq!(play.provider_acts(), changed);
    assert_eq!(play.answer(id)["endpoints"], text);
    let json = r#"[{"code":4001,"message":"m","resolution":"r"},{"code":5001,"message":"m","resolution":"r"}]"#;
    assert_eq!(play.answer(id)["status"], json);
    play.terms.statuses(None);
    assert_eq!(play.provider_acts(), changed);
    assert!(!play.answer(id).contains_key("status"));
}

#[test]
fn secrets_that_are_taken_away_leave_their_uris() {
    let (mut play, id) = Play::related();
    let before = play.answer(id);
    play.terms.revoke_secrets(id);
    play.provider_acts();
    let refused = play.read("client/0", id, "user");
    assert_eq!(refused, Err(ToolError::PermissionDenied));
    play.terms.grant_secrets(id);
    play.provider_acts();
    assert!(play.read("client/0", id, "user").is_ok());
    play.terms.remove_secrets(id);
    play.provider_acts();
    play.provider_acts();
    let refused = play.read("client/0", id, "user");
    assert!(
        matches!(refused, Err(ToolError::SecretNotFound(_))),
        "{refused:?}"
    );
    assert_eq!(play.answer(id), before);
}

#[test]
fn another_user_comes_beside_the_one_of_before_and_both_go_with_the_relation() {
    let (mut play, id) = Play::related();
    play.terms.replace_user(id);
    play.provider_acts();
    let user = format!("relation_id_{id}_1");
    assert_eq!(play.read("client/0", id, "user").unwrap()["username"], user);
    assert_eq!(play.server.0.borrow().passwords.len(), 2);
    play.world.juju.remove_relation("client", "pg").unwrap();
    play.world.settle();
    assert_eq!(play.server.0.borrow().passwords, BTreeMap::new());
}

#[test]
fn a_role_of_the_other_track_is_refused_until_the_relation_is_removed() {
    let mut play = Play::new();
    let id = play.relate(&[("database", "d"), ("extra-user-roles", "admin"), SECRETS]);
    let status = |play: &Play| play.world.juju.unit_status("pg/0").unwrap().clone();
    let text = "invalid role(s) for extra user roles";
    assert_eq!(
        (&*status(&play).status, &*status(&play).message),
        ("blocked", text)
    );
    assert_eq!(keys(&play.answer(id)), ["data"]);
    play.world.juju.remove_relation("client", "pg").unwrap();
    play.world.settle();
    assert_eq!(status(&play).status, "active");
}

#[test]
fn a_request_waits_for_the_cluster() {
    let mut play = Play::new();
    play.terms.hold(true);
    let id = play.relate(&[("database", "d"), SECRETS]);
    assert_eq!(keys(&play.answer(id)), ["data"]);
    play.terms.hold(false);
    play.provider_acts();
    assert!(play.answer(id).contains_key("secret-user"));
}
