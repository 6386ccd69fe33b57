//! Pods that fail, API servers that go away, programs that are killed or started twice.

use std::time::{Duration, Instant};

use rehearsal::kubernetes::Fate;
use serde_json::json;
use temporal_stack::kubernetes::Kind;

use crate::world::{Place, Said, World};

/// Enough for what does become ready, on a busy machine, too.
const SOON: [&str; 2] = ["--timeout", "12s"];

/// A part of the stack fails; what is said of it, and that a second `apply` ends well when it fails no more.
fn fails(place: &Place<'_>, component: &str, fate: Fate, words: &[&str]) {
    place.decide(component, fate);
    place.apply(&SOON).refused(words);
    place.run(&["status"]).refused(&[component]);
    place.decide(component, Fate::Ready);
    place.apply(&[]).done();
    place.run(&["delete", "--delete-data"]).done();
}

/// One after the other: what becomes of Pods is decided for all namespaces, so it has a cluster of its own.
#[tokio::test]
async fn pods_that_fail_are_named_and_a_second_apply_goes_on() {
    let world = World::start("stack-fates").await;
    for (number, (component, fate, words)) in [
        (
            "ipfs",
            Fate::NeverReady,
            &[
                "stores: not ready after 12 s",
                "StatefulSet `ipfs`",
                "0 of 3 Pods",
            ][..],
        ),
        (
            "postgres",
            Fate::Crashes,
            &["Pod `postgres-0`", "CrashLoopBackOff"],
        ),
        (
            "rabbitmq",
            Fate::ImagePull,
            &[
                "Pod `rabbitmq-0`",
                "the image `rabbitmq:",
                "cannot be pulled",
            ],
        ),
        (
            "temporal-migrate",
            Fate::NeverReady,
            &["migration: not ready", "has not completed"],
        ),
        (
            "temporal-krab",
            Fate::NeverReady,
            &["key store: not ready", "temporal-krab"],
        ),
        (
            "temporal-api",
            Fate::Crashes,
            &["temporal: not ready", "Deployment `temporal-api`"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let place = world.place(&format!("fate-{number}")).await;
        fails(&place, component, fate, words);
    }
    a_migration_that_has_failed_is_tried_again(&world).await;
    // while the tables are missing, nothing that needs them is started
    let place = world.place("no-tables").await;
    place.decide("temporal-migrate", Fate::NeverReady);
    place.apply(&SOON).refused(&["migration"]);
    assert_eq!(place.find(Kind::Deployment, "temporal-api").await, None);
    assert_eq!(place.find(Kind::StatefulSet, "temporal-krab").await, None);
}

/// A Job that has failed stays so, and a new one has the same name.
async fn a_migration_that_has_failed_is_tried_again(world: &World) {
    let place = world.place("second-try").await;
    place.decide("temporal-migrate", Fate::NeverReady);
    place.apply(&SOON).refused(&["migration"]);
    // the same, but for the patience of ten failures
    let ((kind, name), mut job) = place
        .all()
        .await
        .into_iter()
        .find(|((kind, _), _)| *kind == Kind::Job)
        .expect("a Job");
    let kubernetes = &place.kubernetes;
    kubernetes.delete(kind, &name).await.expect("it goes");
    let mut labels = job["metadata"]["labels"].clone();
    if let Some(labels) = labels.as_object_mut() {
        labels.retain(|label, _| label.starts_with("app"));
    }
    job["metadata"] = json!({ "name": name, "labels": labels.clone() });
    job["spec"] = json!({
        "backoffLimit": 0,
        "template": {
            "metadata": { "labels": labels },
            "spec": job["spec"]["template"]["spec"],
        },
    });
    place.decide("temporal-migrate", Fate::JobFails);
    kubernetes
        .create(kind, &job)
        .await
        .expect("it can be made")
        .expect("there is no other");
    let begin = Instant::now();
    while !place.run(&["status"]).out.contains("it has failed") {
        assert!(begin.elapsed() < Duration::from_mins(1), "it never fails");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    place.run(&["wait"]).refused(&[&name, "it has failed"]);
    place.decide("temporal-migrate", Fate::Ready);
    let said = place.apply(&[]).done();
    assert!(said.err.contains("which had failed"), "{}", said.err);
    place.run(&["delete", "--delete-data"]).done();
}

#[tokio::test]
async fn an_api_server_that_goes_away_in_the_middle_is_waited_for() {
    let world = World::start("stack-restarts").await;
    let place = world.place("restarts").await;
    let running = place.applying(&[]);
    for pause in [700, 2500] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        world.cluster.stop_api().expect("it stops");
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.cluster.start_api().expect("it starts");
    }
    Said::from(running.wait_with_output().expect("it ends")).done();
    let again = place.apply(&[]).done();
    assert!(again.out.contains("created 0, changed 0,"), "{}", again.out);
}

#[tokio::test]
async fn two_at_once_end_in_one_stack() {
    let place = World::shared().await.place("twice").await;
    let both = [place.applying(&[]), place.applying(&[])];
    for running in both {
        Said::from(running.wait_with_output().expect("it ends")).done();
    }
    let before = place.versions().await;
    let again = place.apply(&[]).done();
    assert!(again.out.contains("created 0, changed 0,"), "{}", again.out);
    assert_eq!(place.versions().await, before);
}

/// Where the next kill comes: spread over the time that one run takes.
fn moment(number: u32, whole: Duration) -> Duration {
    // a low-discrepancy sequence: no two kills at the same place, and no luck involved
    let part = (f64::from(number) * 0.618_033_988_75).fract();
    whole.mul_f64(part)
}

#[tokio::test]
async fn killed_at_any_point_it_is_taken_up_again_and_keeps_its_secrets() {
    const KILLS: u32 = 50;
    let place = World::shared().await.place("killed").await;
    let begin = Instant::now();
    place.apply(&[]).done();
    let whole = begin.elapsed().min(Duration::from_secs(4));
    let secrets = place.secrets().await;
    let (mut kills, mut tries) = (0, 0);
    let mut is_whole = true;
    while kills < KILLS {
        assert!(tries < 4 * KILLS, "only {kills} came before the end");
        if is_whole {
            // everything is to be made again, but for the data
            place.run(&["delete"]).done();
        }
        let mut running = place.applying(&[]);
        tokio::time::sleep(moment(tries, whole)).await;
        is_whole = running.try_wait().expect("it can be asked").is_some();
        if !is_whole {
            running.kill().expect("it is killed");
            running.wait().expect("it has ended");
            kills += 1;
        }
        tries += 1;
        assert_eq!(place.secrets().await, secrets, "after kill {kills}");
    }
    place.apply(&[]).done();
    let again = place.apply(&[]).done();
    assert!(again.out.contains("created 0, changed 0,"), "{}", again.out);
    assert_eq!(place.secrets().await, secrets);

    // and when it has only just begun, with nothing there at all
    for number in 0..5 {
        place.run(&["delete", "--delete-data"]).done();
        gone(&place).await;
        let mut running = place.applying(&[]);
        tokio::time::sleep(Duration::from_millis(100 + 150 * number)).await;
        running.kill().expect("it is killed");
        running.wait().expect("it has ended");
        let made = place.secrets().await;
        place.apply(&[]).done();
        let after = place.secrets().await;
        for (name, data) in made {
            assert_eq!(after[&name], data, "Secret `{name}` was made anew");
        }
    }
}

/// A namespace takes its time to go.
async fn gone(place: &Place<'_>) {
    let begin = Instant::now();
    while place
        .find(Kind::Namespace, &place.namespace)
        .await
        .is_some()
    {
        assert!(
            begin.elapsed() < Duration::from_mins(1),
            "the namespace stays"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
