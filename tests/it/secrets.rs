//! The charm reads Juju's secrets over the agent's socket itself, in a hook of the emulated Juju.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rehearsal::juju::plain::{PlainCloud, write_charm};
use rehearsal::juju::{
    Charm, Event, HookContext, Juju as Emulated, Reading, SecretChanges, SecretOwner, Source,
};
use temporal_k8s::juju::{Agent, Databag, Juju};

const METADATA: &str = "name: server\nsummary: s\ndescription: d\nrequires: {db: {interface: x}}\n";
const LIMIT: Duration = Duration::from_mins(1);

/// Owns one secret, tells its URI in its databag, and gives it new content in `update-status`.
struct Owner;

impl Charm for Owner {
    fn metadata(&self) -> &'static str {
        "name: db\nsummary: s\ndescription: d\nprovides: {db: {interface: x}}\n"
    }

    fn dispatch(
        &mut self,
        event: &Event,
        hook: &mut HookContext,
    ) -> Result<(), Box<dyn std::error::Error>> {
        if event.name() == "db-relation-created" {
            let id = event.relation().expect("one").id;
            let changes = SecretChanges::content([("password", "one")]).label("mine");
            let uri = hook.secret_add(SecretOwner::Application, changes)?;
            hook.secret_grant(&uri, id, None)?;
            hook.relation_set_app(id, [("secret-user", uri)])?;
        }
        if *event == Event::UpdateStatus {
            hook.secret_get(None, Some("mine"), Reading::Tracked)?;
            let (id, _) = hook.secret_info(None, Some("mine"))?;
            hook.secret_set(&id, SecretChanges::content([("password", "two")]))?;
        }
        Ok(())
    }
}

/// A hook that tells where its agent is and lasts until it is told to end.
fn deploy(juju: &mut Emulated, directory: &Path) {
    let here = directory.display();
    let script = format!(
        "#!/bin/sh\n[ $JUJU_HOOK_NAME = update-status ] || exit 0\n\
         echo \"$JUJU_AGENT_SOCKET_ADDRESS $JUJU_CONTEXT_ID\" > {here}/begin\ncat {here}/end\n"
    );
    let charm = directory.join("server.charm");
    let manifest: &[u8] = b"bases: [{name: ubuntu, channel: '22.04', architectures: [amd64]}]";
    let files = [
        ("metadata.yaml", METADATA.as_bytes()),
        ("manifest.yaml", manifest),
        ("dispatch", script.as_bytes()),
    ];
    write_charm(&charm, &files).unwrap();
    for pipe in ["begin", "end"] {
        let made = Command::new("mkfifo").arg(directory.join(pipe)).status();
        assert!(made.unwrap().success());
    }
    juju.deploy("server", Source::File(charm), 1, &[]).unwrap();
    let owner = |_: &str| -> Box<dyn Charm> { Box::new(Owner) };
    juju.deploy("db", Source::Counterpart(Box::new(owner)), 1, &[])
        .unwrap();
    juju.integrate("server", "db").unwrap();
}

/// What `secret_get` of the charm answers in the next hook of `server/0`, for each of these.
fn asked(
    juju: &mut Emulated,
    directory: &Path,
    questions: &[(&str, bool)],
) -> Vec<Option<Databag>> {
    juju.update_status("server").unwrap();
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let begin = fs::read_to_string(directory.join("begin")).unwrap();
            let (address, context) = begin.trim_end().split_once(' ').unwrap();
            let agent = Agent {
                address: address.to_owned(),
                context: context.to_owned(),
            };
            // There is no tool to fall back on.
            let charm = Juju::new().with_path("/nowhere").with_agent(Some(agent));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let answers = runtime.unwrap().block_on(async {
                let mut answers = Vec::new();
                for (uri, refresh) in questions {
                    answers.push(charm.secret_get(uri, *refresh).await);
                }
                drop(charm);
                answers
            });
            fs::write(directory.join("end"), "").unwrap();
            answers
        });
        juju.settle(LIMIT).unwrap();
        let answers = client.join().unwrap().into_iter();
        answers.map(Result::unwrap).collect()
    })
}

#[test]
fn a_secret_is_read_and_refreshed_without_the_hook_tools() {
    let directory = tempfile::tempdir().unwrap();
    let cloud = PlainCloud::new(&directory.path().join("pods"));
    let mut juju = Emulated::new("prod", Box::new(cloud), directory.path()).unwrap();
    deploy(&mut juju, directory.path());
    juju.settle(LIMIT).unwrap();
    let relation = juju.relation("server:db").unwrap();
    let uri = juju.databag(relation, "db")["secret-user"].clone();
    let content = |text: &str| Some(Databag::from([("password".to_owned(), text.into())]));

    let unknown = "secret:cjqub6vubg2s77p3nio0";
    let answers = asked(
        &mut juju,
        directory.path(),
        &[(&uri, false), (unknown, true)],
    );
    assert_eq!(answers, [content("one"), None]);

    juju.update_status("db").unwrap();
    juju.settle(LIMIT).unwrap();
    assert_eq!(juju.log().last().unwrap().hook, "secret-changed");
    let answers = asked(
        &mut juju,
        directory.path(),
        &[(&uri, false), (&uri, true), (&uri, false)],
    );
    assert_eq!(answers, [content("one"), content("two"), content("two")]);

    juju.remove_relation("server", "db").unwrap();
    juju.settle(LIMIT).unwrap();
    let answers = asked(&mut juju, directory.path(), &[(&uri, true)]);
    assert_eq!(answers, [None]);
}
