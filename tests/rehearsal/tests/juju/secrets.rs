//! Juju secrets: who may read and change them, which revision is shown, which hooks follow.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rehearsal::juju::secrets::Rotate;
use rehearsal::juju::{
    Event, HookContext, OrderOfEvents, Reading, SecretChange, SecretChanges, SecretOwner, ToolError,
};
use serde_json::json;

use crate::world::{World, json, refused, tool};

const HOUR: Duration = Duration::from_hours(1);
/// No secret has this id.
const UNKNOWN: &str = "secret:cjqub6vubg2s77p3nio0";

fn password(text: &str) -> SecretChanges {
    SecretChanges::content([("password", text)])
}

/// `server` related to `db`, whose leader made this secret and granted it; its URI too.
fn granted(servers: u32, databases: u32) -> (World, u32, String) {
    let (mut world, id) = World::related(servers, databases);
    let uri = world.in_hook("db/0", move |hook| {
        let changes = password("one").label("operator");
        let uri = hook.secret_add(SecretOwner::Application, changes).unwrap();
        hook.secret_grant(&uri, id, None).unwrap();
        uri
    });
    (world, id, uri)
}

fn read(hook: &mut HookContext, uri: &str, reading: Reading) -> String {
    hook.secret_get(Some(uri), None, reading).unwrap()["password"].clone()
}

fn reads(world: &mut World, unit: &str, uri: &str, reading: Reading) -> String {
    let uri = uri.to_owned();
    world.in_hook(unit, move |hook| read(hook, &uri, reading))
}

fn refusal(world: &mut World, unit: &str, uri: &str) -> ToolError {
    let uri = uri.to_owned();
    world.in_hook(unit, move |hook| {
        let content = hook.secret_get(Some(&uri), None, Reading::Tracked);
        content.unwrap_err()
    })
}

fn sets(world: &mut World, unit: &str, uri: &str, text: &str) {
    let (uri, text) = (uri.to_owned(), text.to_owned());
    world.in_hook(unit, move |hook| {
        hook.secret_set(&uri, password(&text)).unwrap();
    });
}

/// The secret hooks since the log had this length, as `unit hook label revision`.
fn told(world: &World, since: usize) -> Vec<String> {
    let runs = world.juju.log().iter().skip(since);
    let shown = runs.filter_map(|run| match &run.event {
        Event::Secret(event) => {
            let revision = event.revision.map(|it| format!(" {it}"));
            let revision = revision.unwrap_or_default();
            let label = &event.label;
            Some(format!("{} {} '{label}'{revision}", run.unit, run.hook))
        }
        _ => None,
    });
    shown.collect()
}

fn settled_since(world: &mut World, since: usize) -> Vec<String> {
    world.settle();
    told(world, since)
}

#[test]
fn a_secret_is_read_by_every_unit_of_the_application_that_it_is_granted_to() {
    let (mut world, id) = World::related(2, 1);
    let uri = world.in_hook("db/0", |hook| {
        hook.secret_add(SecretOwner::Application, password("one"))
            .unwrap()
    });
    for unit in ["server/0", "server/1"] {
        assert_eq!(refusal(&mut world, unit, &uri), ToolError::PermissionDenied);
    }
    let line = format!("secret-grant {uri} --relation db:{id}");
    world.in_hook("db/0", move |hook| assert_eq!(tool(hook, &line).code, 0));
    for unit in ["server/0", "server/1"] {
        assert_eq!(reads(&mut world, unit, &uri, Reading::Tracked), "one");
    }
    let uuid = world.juju.model().uuid.clone();
    let whole = uri.replace("secret:", &format!("secret://{uuid}/"));
    assert_eq!(
        reads(&mut world, "server/0", &whole, Reading::Tracked),
        "one"
    );
}

#[test]
fn a_secret_that_is_not_there_and_one_that_is_forbidden_have_their_own_texts() {
    for (version, forbidden) in [
        ((3, 6, 11), "ERROR permission denied"),
        (
            (4, 0, 0),
            "ERROR \"server/0\" is not allowed to read this secret",
        ),
    ] {
        let (mut world, _) = World::related(1, 1);
        world.juju.set_version(version);
        let uri = world.in_hook("db/0", |hook| {
            hook.secret_add(SecretOwner::Application, password("one"))
                .unwrap()
        });
        world.in_hook("server/0", move |hook| {
            let said = refused(hook, &format!("secret-get {uri}"));
            assert_eq!(said, (1, forbidden.to_owned()));
            let said = refused(hook, &format!("secret-get {UNKNOWN}"));
            let missing = format!("ERROR secret \"{UNKNOWN}\" not found");
            assert_eq!(said, (1, missing));
            let other = "secret://59060ecc-1122-4788-8011-223344556677/cjqub6vubg2s77p3nio0";
            let said = refused(hook, &format!("secret-get {other}"));
            let missing = format!("ERROR secret \"{other}\" not found");
            assert_eq!(said, (1, missing), "of another model");
            let (code, said) = refused(hook, "secret-get --label nothing");
            assert!(code == 1 && said.ends_with("consumer label \"nothing\" not found"));
        });
    }
}

#[test]
fn a_grant_may_name_one_unit() {
    let (mut world, id) = World::related(2, 1);
    let uri = world.in_hook("db/0", move |hook| {
        let uri = hook.secret_add(SecretOwner::Unit, password("one")).unwrap();
        let wrong = refused(hook, &format!("secret-grant {uri} -r {id} --unit web/0"));
        let text = "ERROR cannot specify unit \"web/0\" in relation to application \"server\"";
        assert_eq!(wrong, (2, text.to_owned()));
        hook.secret_grant(&uri, id, Some("server/1")).unwrap();
        uri
    });
    assert_eq!(reads(&mut world, "server/1", &uri, Reading::Tracked), "one");
    assert_eq!(
        refusal(&mut world, "server/0", &uri),
        ToolError::PermissionDenied
    );
    world.in_hook("db/0", move |hook| {
        let error = hook.secret_grant(&uri, id, None).unwrap_err().to_string();
        assert!(error.contains("unit level grants need to be revoked"));
    });
}

#[test]
fn a_grant_ends_with_its_relation_and_when_it_is_revoked() {
    let (mut world, id, uri) = granted(1, 1);
    assert_eq!(reads(&mut world, "server/0", &uri, Reading::Tracked), "one");
    let line = format!("secret-revoke {uri} --app server");
    world.in_hook("db/0", move |hook| assert_eq!(tool(hook, &line).code, 0));
    assert_eq!(
        refusal(&mut world, "server/0", &uri),
        ToolError::PermissionDenied
    );
    let again = uri.clone();
    world.in_hook("db/0", move |hook| {
        hook.secret_grant(&again, id, None).unwrap();
    });
    assert_eq!(reads(&mut world, "server/0", &uri, Reading::Tracked), "one");
    world.juju.remove_relation("server", "db").unwrap();
    world.settle();
    assert_eq!(
        refusal(&mut world, "server/0", &uri),
        ToolError::PermissionDenied
    );
}

#[test]
fn no_grant_is_made_over_a_relation_that_ends() {
    let (mut world, id) = World::related(1, 1);
    world.script("db", move |event, hook| {
        if event.name() == "db-relation-departed" {
            let uri = hook.secret_add(SecretOwner::Application, password("one"))?;
            hook.secret_grant(&uri, id, None)?;
        }
        Ok(())
    });
    world.juju.remove_relation("server", "db").unwrap();
    let error = world.juju.settle(Duration::from_secs(5)).unwrap_err();
    assert!(
        error.to_string().contains(
            "granting secrets access: cannot grant access to secret in scope of \
             \"relation-server.db#db.db\" which is not alive"
        ),
        "{error}"
    );
}

#[test]
fn a_hook_sees_its_own_secrets_and_others_see_them_when_it_ended_well() {
    let (mut world, id) = World::related(1, 1);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (log, mut fails) = (seen.clone(), true);
    world.script("db", move |event, hook| {
        if *event == Event::UpdateStatus {
            let changes = password("one").label("operator");
            let uri = hook.secret_add(SecretOwner::Application, changes)?;
            hook.secret_grant(&uri, id, None)?;
            assert_eq!(read(hook, &uri, Reading::Tracked), "one");
            let by_label = hook.secret_get(None, Some("operator"), Reading::Tracked)?;
            assert_eq!(by_label["password"], "one");
            hook.secret_set(&uri, password("two"))?;
            assert_eq!(read(hook, &uri, Reading::Tracked), "two", "still new");
            let (_, info) = hook.secret_info(Some(&uri), None)?;
            assert_eq!(
                (info.revision, info.access[0].target.as_str()),
                (1, "server")
            );
            log.borrow_mut().push(uri);
            if std::mem::take(&mut fails) {
                return Err("for once".into());
            }
        }
        Ok(())
    });
    world.juju.retries(1);
    world.juju.update_status("db").unwrap();
    world.settle();
    let uris = seen.take();
    let [lost, kept] = uris.as_slice() else {
        panic!("{uris:?}")
    };
    assert_ne!(lost, kept, "an id is never used again");
    assert_eq!(
        refusal(&mut world, "server/0", lost),
        ToolError::SecretNotFound(lost.clone())
    );
    assert_eq!(reads(&mut world, "server/0", kept, Reading::Tracked), "two");
    assert_eq!(world.juju.model().secrets.get(kept).unwrap().latest, 1);
}

#[test]
fn a_hook_sees_its_own_new_revision_where_it_asks_for_the_newest() {
    let (mut world, _, uri) = granted(1, 1);
    let secret = uri.clone();
    world.in_hook("db/0", move |hook| {
        assert_eq!(read(hook, &secret, Reading::Tracked), "one");
        hook.secret_set(&secret, password("two")).unwrap();
        assert_eq!(read(hook, &secret, Reading::Tracked), "one");
        assert_eq!(read(hook, &secret, Reading::Peek), "two");
        assert_eq!(read(hook, &secret, Reading::Refresh), "two");
    });
    assert_eq!(reads(&mut world, "db/0", &uri, Reading::Tracked), "two");
}

#[test]
fn a_unit_is_shown_what_it_read_first_until_it_refreshes() {
    let (mut world, _, uri) = granted(2, 1);
    assert_eq!(reads(&mut world, "server/0", &uri, Reading::Tracked), "one");
    sets(&mut world, "db/0", &uri, "two");
    assert_eq!(reads(&mut world, "server/0", &uri, Reading::Tracked), "one");
    assert_eq!(reads(&mut world, "server/0", &uri, Reading::Peek), "two");
    assert_eq!(reads(&mut world, "server/0", &uri, Reading::Tracked), "one");
    assert_eq!(reads(&mut world, "server/1", &uri, Reading::Tracked), "two");
    assert_eq!(reads(&mut world, "server/0", &uri, Reading::Refresh), "two");
    assert_eq!(reads(&mut world, "server/0", &uri, Reading::Tracked), "two");
}

#[test]
fn what_was_read_counts_even_if_the_hook_fails() {
    let (mut world, _, uri) = granted(1, 1);
    reads(&mut world, "server/0", &uri, Reading::Tracked);
    sets(&mut world, "db/0", &uri, "two");
    let (secret, mut fails) = (uri.clone(), true);
    world.script("server", move |event, hook| {
        if *event == Event::UpdateStatus && std::mem::take(&mut fails) {
            read(hook, &secret, Reading::Refresh);
            return Err("for once".into());
        }
        Ok(())
    });
    world.juju.retries(1);
    world.juju.update_status("server").unwrap();
    world.settle();
    assert_eq!(reads(&mut world, "server/0", &uri, Reading::Tracked), "two");
}

#[test]
fn uri_and_label_together_name_the_secret_for_this_unit() {
    let (mut world, _, uri) = granted(2, 1);
    let line = format!("secret-get {uri} --label db.7.user.secret");
    world.in_hook("server/0", move |hook| {
        assert_eq!(json(hook, &line), json!({"password": "one"}));
        let by_label = json(hook, "secret-get --label db.7.user.secret");
        assert_eq!(by_label, json!({"password": "one"}));
    });
    world.in_hook("server/1", |hook| {
        refused(hook, "secret-get --label db.7.user.secret");
    });
    let owner = world.in_hook("db/0", |hook| hook.secret_info(None, Some("operator")));
    assert_eq!(owner.unwrap().1.label, "operator", "the owner's is its own");
}

#[test]
fn a_label_names_one_secret() {
    let (mut world, id, uri) = granted(1, 1);
    let other = world.in_hook("db/0", move |hook| {
        let other = hook
            .secret_add(SecretOwner::Application, password("other"))
            .unwrap();
        hook.secret_grant(&other, id, None).unwrap();
        other
    });
    world.in_hook("server/0", move |hook| {
        hook.secret_get(Some(&uri), Some("mine"), Reading::Tracked)
            .unwrap();
        let again = hook.secret_get(Some(&other), Some("mine"), Reading::Tracked);
        let text = "getting latest secret revision: secret label \"mine\" for consumer \
                    \"unit-server-0\" already exists";
        assert_eq!(again, Err(ToolError::Refused(text.to_owned())));
    });
    world.script("db", |event, hook| {
        if *event == Event::UpdateStatus {
            let taken = password("more").label("operator");
            hook.secret_add(SecretOwner::Application, taken)?;
        }
        Ok(())
    });
    world.juju.update_status("db").unwrap();
    let error = world.juju.settle(Duration::from_secs(5)).unwrap_err();
    let text = "creating secrets: secret with label \"operator\" already exists";
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn an_applications_secret_is_its_leaders_to_change_and_its_units_to_read() {
    let (mut world, _, uri) = granted(1, 2);
    let secret = uri.clone();
    world.in_hook("db/1", move |hook| {
        let add = hook.secret_add(SecretOwner::Application, password("x"));
        assert_eq!(add, Err(ToolError::NotLeader));
        let said = refused(hook, "secret-add password=x");
        assert_eq!(said, (1, "ERROR this unit is not the leader".to_owned()));
        assert_eq!(read(hook, &secret, Reading::Tracked), "one");
        let by_label = hook.secret_get(None, Some("operator"), Reading::Tracked);
        assert_eq!(by_label.unwrap()["password"], "one", "by the owner's label");
        assert_eq!(json(hook, "secret-ids"), json!([]));
        let info = refused(hook, &format!("secret-info-get {secret}"));
        let id = secret.trim_start_matches("secret:");
        assert_eq!(info, (1, format!("ERROR secret \"{id}\" not found")));
    });
    let secret = uri.clone();
    world.script("db", move |event, hook| {
        if *event == Event::UpdateStatus && hook.unit() == "db/1" {
            hook.secret_set(&secret, password("stolen"))?;
        }
        Ok(())
    });
    world.juju.update_status("db").unwrap();
    let error = world.juju.settle(Duration::from_secs(5)).unwrap_err();
    let text = "updating secrets: permission denied";
    assert!(error.to_string().contains(text), "{error}");
    world.scripts["db"].clear();
    world.juju.set_leader("db", "db/1").unwrap();
    sets(&mut world, "db/1", &uri, "two");
    assert_eq!(reads(&mut world, "server/0", &uri, Reading::Refresh), "two");
}

#[test]
fn a_units_secret_is_that_units_alone() {
    let mut world = World::settled(2, 0);
    let uri = world.in_hook("server/1", |hook| {
        let uri = tool(hook, "secret-add --owner unit password=one").stdout;
        uri.trim_end().to_owned()
    });
    assert!(uri.starts_with("secret:"), "{uri}");
    assert_eq!(
        refusal(&mut world, "server/0", &uri),
        ToolError::PermissionDenied,
        "not even the leader's"
    );
    sets(&mut world, "server/1", &uri, "two");
    assert_eq!(reads(&mut world, "server/1", &uri, Reading::Refresh), "two");
    world.in_hook("server/1", move |hook| {
        let id = uri.trim_start_matches("secret:").to_owned();
        assert_eq!(hook.secret_ids(), [id]);
    });
}

#[test]
fn the_same_content_makes_no_new_revision() {
    let (mut world, _, uri) = granted(1, 1);
    reads(&mut world, "server/0", &uri, Reading::Tracked);
    let since = world.juju.log().len();
    sets(&mut world, "db/0", &uri, "one");
    assert_eq!(world.juju.model().secrets.get(&uri).unwrap().latest, 1);
    assert!(settled_since(&mut world, since).is_empty());
}

#[test]
fn a_new_revision_is_told_to_who_has_read_the_secret() {
    let (mut world, _, uri) = granted(3, 1);
    let secret = uri.clone();
    world.in_hook("server/0", move |hook| {
        hook.secret_get(Some(&secret), Some("mine"), Reading::Tracked)
            .unwrap();
    });
    reads(&mut world, "server/1", &uri, Reading::Tracked);
    let since = world.juju.log().len();
    sets(&mut world, "db/0", &uri, "two");
    let mut told = told(&world, since);
    told.sort();
    let expected = [
        "server/0 secret-changed 'mine'",
        "server/1 secret-changed ''",
    ];
    assert_eq!(told, expected, "and neither to server/2 nor to its owner");
    assert!(world.hooks().is_empty(), "once");
}

/// `server/0` owns a secret that `db/0` has read; its action gives it a new revision, before any hook.
fn owned_by_server() -> (World, String) {
    let (mut world, id) = World::related(1, 1);
    let uri = world.in_hook("server/0", move |hook| {
        let uri = hook
            .secret_add(SecretOwner::Application, password("0"))
            .unwrap();
        hook.secret_grant(&uri, id, None).unwrap();
        uri
    });
    assert_eq!(reads(&mut world, "db/0", &uri, Reading::Tracked), "0");
    let (secret, mut turn) = (uri.clone(), 0);
    world.script("server", move |event, hook| {
        if event.is_action() {
            turn += 1;
            hook.secret_set(&secret, password(&turn.to_string()))?;
        }
        Ok(())
    });
    (world, uri)
}

fn renew(world: &mut World) {
    let action = world
        .juju
        .run_action("server/0", "restart", serde_json::Map::new());
    assert_eq!(action.unwrap().message, "");
}

#[test]
fn several_new_revisions_before_the_next_hook_are_one_event() {
    let (mut world, uri) = owned_by_server();
    let since = world.juju.log().len();
    for _ in 0..3 {
        renew(&mut world);
    }
    let told = settled_since(&mut world, since);
    let changed: Vec<&String> = told.iter().filter(|it| it.contains("changed")).collect();
    assert_eq!(changed, ["db/0 secret-changed ''"]);
    assert_eq!(reads(&mut world, "db/0", &uri, Reading::Refresh), "3");
}

#[test]
fn before_juju_4_a_revision_is_told_even_to_a_unit_that_has_read_it() {
    for (version, expected) in [((3, 6, 11), 1), ((4, 0, 0), 0)] {
        let (mut world, _, uri) = granted(2, 1);
        world.juju.set_version(version);
        world.settle();
        sets(&mut world, "db/0", &uri, "two");
        let since = world.juju.log().len();
        assert_eq!(reads(&mut world, "server/0", &uri, Reading::Tracked), "two");
        let told = settled_since(&mut world, since);
        assert_eq!(told.len(), expected, "{version:?}: {told:?}");
    }
}

#[test]
fn an_agent_that_starts_again_takes_a_new_revision_for_told() {
    let (mut world, uri) = owned_by_server();
    renew(&mut world);
    world.settle();
    let since = world.juju.log().len();
    renew(&mut world);
    world.juju.replace_pod("db/0").unwrap();
    let told = settled_since(&mut world, since);
    assert!(!told.iter().any(|it| it.contains("changed")), "{told:?}");
    // So who refreshes in every hook misses nothing.
    assert_eq!(reads(&mut world, "db/0", &uri, Reading::Refresh), "2");
}

#[test]
fn a_revision_that_nobody_uses_is_told_to_its_owner() {
    let (mut world, _, uri) = granted(2, 2);
    for unit in ["server/0", "server/1"] {
        reads(&mut world, unit, &uri, Reading::Tracked);
    }
    sets(&mut world, "db/0", &uri, "two");
    let since = world.juju.log().len();
    reads(&mut world, "server/0", &uri, Reading::Refresh);
    assert!(told(&world, since).is_empty(), "server/1 uses it");
    reads(&mut world, "server/1", &uri, Reading::Refresh);
    assert_eq!(
        settled_since(&mut world, since),
        ["db/0 secret-remove 'operator' 1"]
    );
    let line = format!("secret-remove {uri} --revision 1");
    world.in_hook("db/0", move |hook| assert_eq!(tool(hook, &line).code, 0));
    let secret = world.juju.model().secrets.get(&uri).unwrap();
    assert_eq!(secret.revisions.keys().collect::<Vec<_>>(), [&2]);
}

#[test]
fn a_revision_that_was_never_read_is_obsolete_with_the_next() {
    let (mut world, _, uri) = granted(1, 1);
    let since = world.juju.log().len();
    sets(&mut world, "db/0", &uri, "two");
    assert_eq!(
        settled_since(&mut world, since),
        ["db/0 secret-remove 'operator' 1"]
    );
}

#[test]
fn a_removed_secret_is_not_found_and_a_removed_revision_neither() {
    let (mut world, _, uri) = granted(1, 1);
    reads(&mut world, "server/0", &uri, Reading::Tracked);
    sets(&mut world, "db/0", &uri, "two");
    let secret = uri.clone();
    world.in_hook("db/0", move |hook| {
        hook.secret_remove(&secret, Some(1)).unwrap();
        assert_eq!(
            read(hook, &secret, Reading::Peek),
            "two",
            "until the hook ends"
        );
    });
    let id = uri.trim_start_matches("secret:").to_owned();
    let gone = format!("secret revision \"{id}/1\" not found");
    assert_eq!(
        refusal(&mut world, "server/0", &uri),
        ToolError::Refused(gone)
    );
    assert_eq!(reads(&mut world, "server/0", &uri, Reading::Refresh), "two");
    let secret = uri.clone();
    world.in_hook("db/0", move |hook| {
        hook.secret_remove(&secret, None).unwrap();
        assert!(hook.secret_ids().is_empty());
    });
    let since = world.juju.log().len();
    assert_eq!(
        refusal(&mut world, "server/0", &uri),
        ToolError::SecretNotFound(uri)
    );
    assert!(
        settled_since(&mut world, since).is_empty(),
        "no event tells it"
    );
}

#[test]
fn rotation_is_told_to_the_owner_and_again_soon_if_nothing_changed() {
    let (mut world, _) = World::related(1, 2);
    let uri = world.in_hook("db/0", |hook| {
        let changes = SecretChanges {
            rotate: Some(Rotate::Daily),
            ..password("one").label("operator")
        };
        hook.secret_add(SecretOwner::Application, changes).unwrap()
    });
    let since = world.juju.log().len();
    world.juju.pass(23 * HOUR);
    assert!(settled_since(&mut world, since).is_empty());
    world.juju.pass(HOUR);
    let rotate = "db/0 secret-rotate 'operator'";
    assert_eq!(settled_since(&mut world, since), [rotate]);
    world.juju.pass(Duration::from_mins(5));
    assert_eq!(settled_since(&mut world, since), [rotate, rotate]);
    let (secret, mut turn) = (uri.clone(), 0);
    world.script("db", move |event, hook| {
        if matches!(event, Event::Secret(it) if it.change == SecretChange::Rotate) {
            turn += 1;
            hook.secret_set(&secret, password(&turn.to_string()))?;
        }
        Ok(())
    });
    world.juju.pass(Duration::from_mins(5));
    world.settle();
    let since = world.juju.log().len();
    world.juju.pass(23 * HOUR);
    assert!(settled_since(&mut world, since).is_empty());
    world.juju.pass(HOUR);
    world.settle();
    assert_eq!(told(&world, since)[0], rotate);
    assert_eq!(world.juju.model().secrets.get(&uri).unwrap().latest, 3);
}

#[test]
fn an_expired_revision_is_told_until_it_is_removed() {
    let (mut world, _, uri) = granted(1, 1);
    let line = format!("secret-set {uri} --expire 24h password=two");
    world.in_hook("db/0", move |hook| assert_eq!(tool(hook, &line).code, 0));
    world.settle();
    let since = world.juju.log().len();
    world.juju.pass(23 * HOUR);
    assert!(settled_since(&mut world, since).is_empty());
    world.juju.pass(HOUR);
    let expired = "db/0 secret-expired 'operator' 2";
    assert_eq!(settled_since(&mut world, since), [expired]);
    world.juju.pass(Duration::from_mins(5));
    assert_eq!(settled_since(&mut world, since), [expired, expired]);
    sets(&mut world, "db/0", &uri, "three");
    world.in_hook("db/0", move |hook| {
        hook.secret_remove(&uri, Some(2)).unwrap();
    });
    world.settle();
    let since = world.juju.log().len();
    world.juju.pass(HOUR);
    assert!(settled_since(&mut world, since).is_empty());
}

#[test]
fn secret_hooks_come_in_any_order_among_the_others() {
    let mut firsts = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let (mut world, id, uri) = granted(1, 1);
        reads(&mut world, "server/0", &uri, Reading::Tracked);
        world.juju.order(OrderOfEvents::shuffled(seed));
        let since = world.juju.log().len();
        world.in_hook("db/0", move |hook| {
            hook.secret_set(&uri, password("two")).unwrap();
            hook.relation_set_app(id, [("k", "v")]).unwrap();
        });
        let runs = world.juju.log().iter().skip(since);
        let hooks = runs
            .filter(|run| run.unit == "server/0")
            .map(|run| run.hook.clone());
        let hooks: Vec<String> = hooks.collect();
        let mut sorted = hooks.clone();
        sorted.sort();
        assert_eq!(
            sorted,
            ["db-relation-changed", "secret-changed"],
            "seed {seed}"
        );
        firsts.extend(hooks.into_iter().next());
    }
    assert_eq!(firsts.len(), 2);
}

#[test]
fn a_unit_that_leaves_is_told_of_no_secret() {
    let (mut world, _, uri) = granted(2, 1);
    reads(&mut world, "server/1", &uri, Reading::Tracked);
    let since = world.juju.log().len();
    let secret = uri.clone();
    world.script("db", move |event, hook| {
        if *event == Event::UpdateStatus {
            hook.secret_set(&secret, password("two"))?;
        }
        Ok(())
    });
    world.juju.update_status("db").unwrap();
    while world.juju.model().secrets.get(&uri).unwrap().latest < 2 {
        world.juju.step().unwrap();
    }
    world.juju.remove_unit("server").unwrap();
    let told = settled_since(&mut world, since);
    let told: Vec<&String> = told.iter().filter(|it| it.starts_with("server")).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn secrets_go_with_their_owner_and_a_new_unit_of_the_name_has_read_nothing() {
    let (mut world, _, uri) = granted(2, 1);
    reads(&mut world, "server/1", &uri, Reading::Tracked);
    let own = world.in_hook("server/1", |hook| {
        hook.secret_add(SecretOwner::Unit, password("own")).unwrap()
    });
    world.juju.remove_unit("server").unwrap();
    world.settle();
    let secrets = &world.juju.model().secrets;
    assert!(secrets.get(&own).is_none());
    assert!(secrets.get(&uri).unwrap().consumers.is_empty());
    world.juju.remove_application("db").unwrap();
    world.settle();
    assert_eq!(world.juju.model().secrets.iter().count(), 0);
}

/// The hook writes a databag that is too large, which the controller sees only after the secrets.
#[test]
fn before_juju_4_secrets_are_committed_before_all_else_is_checked() {
    for (version, kept) in [((3, 6, 11), 1), ((4, 0, 0), 0)] {
        let (mut world, id) = World::related(1, 1);
        world.juju.set_version(version);
        world.settle();
        world.script("db", move |event, hook| {
            if *event == Event::UpdateStatus {
                hook.secret_add(SecretOwner::Application, password("one"))?;
                hook.relation_set(id, [("big", "x".repeat(17 * 1024 * 1024))])?;
            }
            Ok(())
        });
        world.juju.update_status("db").unwrap();
        let error = world.juju.settle(Duration::from_secs(5)).unwrap_err();
        assert!(error.to_string().contains("too large"), "{error}");
        let secrets = world.juju.model().secrets.iter().count();
        assert_eq!(secrets, kept, "{version:?}");
    }
}

#[test]
fn secret_info_is_its_owners() {
    let (mut world, id, uri) = granted(1, 1);
    world.in_hook("db/0", move |hook| {
        let bare = uri.trim_start_matches("secret:");
        let expected = json!({bare: {
            "revision": 1,
            "label": "operator",
            "owner": "application",
            "rotation": "never",
            "access": [{
                "target": "application-server",
                "scope": "relation-server.db#db.db",
                "role": "view",
            }],
        }});
        assert_eq!(json(hook, &format!("secret-info-get {uri}")), expected);
        let by_label = json(hook, "secret-info-get --label operator");
        assert_eq!(by_label, expected);
        assert_eq!(json(hook, "secret-ids"), json!([bare]));
        let both = refused(hook, &format!("secret-info-get {uri} --label operator"));
        let text = "ERROR specify either a secret URI or label but not both";
        assert_eq!(both, (2, text.to_owned()));
        let line = format!(
            "secret-set {uri} --rotate weekly --expire 2030-01-02T03:04:05 --description d"
        );
        assert_eq!(tool(hook, &line).code, 0);
        let info = json(hook, &format!("secret-info-get {uri}"));
        assert_eq!(info[bare]["expiry"], "2030-01-02T03:04:05Z");
        assert_eq!(
            (
                info[bare]["rotation"].as_str(),
                info[bare]["revision"].as_u64()
            ),
            (Some("weekly"), Some(1))
        );
        assert!(hook.secret_grant(&uri, id, None).is_ok(), "granted already");
    });
}

#[test]
fn content_comes_from_arguments_base64_and_files() {
    let mut world = World::settled(1, 0);
    let file = world.directory.path().join("content");
    std::fs::write(
        &file,
        "{\"from-file\": \"f\", \"encoded#base64\": \"eHl6\"}",
    )
    .unwrap();
    let value = world.directory.path().join("value");
    std::fs::write(&value, "long\ntext").unwrap();
    world.in_hook("server/0", move |hook| {
        let line = format!(
            "secret-add plain=a=b encoded-too#base64=eA== value#file={} --file {}",
            value.display(),
            file.display()
        );
        let uri = tool(hook, &line).stdout.trim_end().to_owned();
        let expected = json!({
            "plain": "a=b", "encoded-too": "x", "value": "long\ntext", "from-file": "f", "encoded": "xyz",
        });
        assert_eq!(json(hook, &format!("secret-get {uri}")), expected);
        assert_eq!(json(hook, &format!("secret-get {uri} plain")), json!("a=b"));
        let encoded = json(hook, &format!("secret-get {uri} encoded#base64"));
        assert_eq!(encoded, json!("eHl6"));
        let missing = refused(hook, &format!("secret-get {uri} nothing"));
        let text = "ERROR secret key value \"nothing\" not found";
        assert_eq!(missing, (1, text.to_owned()));
    });
}

#[test]
fn wrong_arguments_are_named() {
    let mut world = World::settled(1, 0);
    world.in_hook("server/0", |hook| {
        for (line, said) in [
            ("secret-add", "missing secret value or filename"),
            ("secret-add ab=1", "key \"ab\" not valid"),
            ("secret-add Password=1", "key \"Password\" not valid"),
            ("secret-add a--b=1", "key \"a--b\" not valid"),
            ("secret-add password", "key value \"password\" not valid"),
            (
                "secret-add --owner model password=1",
                "secret owner \"model\" not valid",
            ),
            (
                "secret-add --rotate often password=1",
                "rotate policy \"often\" not valid",
            ),
            (
                "secret-add --expire soon password=1",
                "expire time or duration \"soon\" not valid",
            ),
            (
                "secret-add --expire -1h password=1",
                "negative expire duration \"-1h\" not valid",
            ),
            ("secret-set", "missing secret URI"),
            ("secret-remove", "missing secret URI"),
            ("secret-get", "require either a secret URI or label"),
            ("secret-get nonsense", "secret URI \"nonsense\" not valid"),
            (
                "secret-get --peek --refresh --label x",
                "specify one of --peek or --refresh but not both",
            ),
            (
                "secret-get --format smart --label x",
                "invalid value \"smart\" for option --format: unknown format",
            ),
            (
                &format!("secret-grant {UNKNOWN}"),
                "no relation id specified",
            ),
            (
                &format!("secret-revoke {UNKNOWN}"),
                "missing relation or application or unit",
            ),
            (
                &format!("secret-revoke {UNKNOWN} --app a --unit a/0"),
                "specify only one of application or unit",
            ),
        ] {
            assert_eq!(refused(hook, line), (2, format!("ERROR {said}")), "{line}");
        }
        let large = format!("secret-add password={}", "x".repeat(750_001));
        let text =
            "ERROR base64 encoded secret content for key \"password\" too large: 1000004 bytes";
        assert_eq!(refused(hook, &large), (2, text.to_owned()));
        let empty = hook.secret_add(SecretOwner::Unit, SecretChanges::default());
        let text = "empty secret value not valid";
        assert_eq!(empty, Err(ToolError::Refused(text.to_owned())));
    });
}

#[test]
fn a_process_finds_the_tools_and_its_hook_names_the_secret() {
    let mut world = World::shell("exec env");
    world.settle();
    world.deploy("db", crate::world::DATABASE, 1);
    let id = world.juju.integrate("server:db", "db").unwrap();
    world.settle();
    let uri = world.in_hook("db/0", move |hook| {
        let uri = hook
            .secret_add(SecretOwner::Application, password("one"))
            .unwrap();
        hook.secret_grant(&uri, id, None).unwrap();
        hook.relation_set_app(id, [("secret-user", uri.clone())])
            .unwrap();
        uri
    });
    let script = "case $JUJU_HOOK_NAME in
upgrade-charm) secret-get $(relation-get -r $(relation-ids db) --app secret-user db) --label mine --format=json;;
secret-changed) env; secret-get --label mine --refresh --format=json;;
esac";
    let other = World::shell(script);
    let charm = other.directory.path().join("server.charm");
    let charm = rehearsal::juju::Source::File(charm);
    world.juju.refresh("server", charm).unwrap();
    world.settle();
    let upgrade = world
        .juju
        .log()
        .iter()
        .rev()
        .find(|run| run.hook == "upgrade-charm");
    assert_eq!(upgrade.unwrap().stdout, "{\"password\":\"one\"}\n");
    let secret = uri.clone();
    world.in_hook("db/0", move |hook| {
        let line = format!("secret-set {secret} password=two");
        assert_eq!(tool(hook, &line).code, 0);
    });
    let changed = world
        .juju
        .log()
        .iter()
        .rev()
        .find(|run| run.hook == "secret-changed");
    let changed = changed.unwrap();
    for line in [
        "JUJU_DISPATCH_PATH=hooks/secret-changed",
        &format!("JUJU_SECRET_ID={uri}"),
        "JUJU_SECRET_LABEL=mine",
        "{\"password\":\"two\"}",
    ] {
        assert!(changed.stdout.lines().any(|it| it == line), "{line}");
    }
    assert!(!changed.stdout.contains("JUJU_SECRET_REVISION"));
}
