//! RTrade's program: its Pods on a real API server, and the proof of its tables on a real PostgreSQL.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use rehearsal::kubernetes::Fate;
use serde_json::Value;
use temporal_stack::kubernetes::Kind;

use crate::world::{Place, Said, World};

const PASSWORD: &str = "a password with 'quotes' and $(words)";

impl Place<'_> {
    /// `user add al`, while it runs.
    fn adding(&self, more: &[&str]) -> std::process::Child {
        let mut child = self
            .command(&["user", "add", "al", "--password-stdin"])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        writeln!(stdin, "{PASSWORD}").expect("it reads");
        child
    }

    fn add(&self, more: &[&str]) -> Said {
        Said::from(self.adding(more).wait_with_output().expect("it ends"))
    }

    async fn of_account(&self, kind: Kind) -> Vec<Value> {
        let labels = "app.kubernetes.io/component=temporal-user";
        let listed = self.kubernetes.list(kind, labels).await;
        listed.expect("the API answers")
    }
}

/// It has a cluster of its own: what becomes of Pods is decided for all namespaces.
#[tokio::test]
async fn an_account_is_made_by_a_job_that_shows_no_password_and_goes_again() {
    let world = World::start("stack-accounts").await;
    let place = world.place("accounts").await;
    place
        .add(&[])
        .refused(&["no migrated stack", "temporal-stack apply"]);
    let said = place.apply(&[]).done();
    assert!(
        said.out
            .contains("temporal-stack --namespace accounts user add"),
        "{}",
        said.out
    );
    let said = place.add(&[]).done();
    assert!(said.out.contains("`al` can log in"), "{}", said.out);

    // while it runs
    place.decide("temporal-user", Fate::NeverReady);
    let running = place.adding(&["--timeout", "20s"]);
    let begin = std::time::Instant::now();
    let (job, secret) = loop {
        let jobs = place.of_account(Kind::Job).await;
        let secrets = place.of_account(Kind::Secret).await;
        let owned = |it: &Value| it["metadata"]["ownerReferences"].is_array();
        if let ([job], [secret]) = (&jobs[..], &secrets[..])
            && owned(secret)
        {
            break (job.clone(), secret.clone());
        }
        assert!(begin.elapsed() < Duration::from_mins(1), "it never comes");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(!job.to_string().contains("quotes"), "{job}");
    let owner = &secret["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], job["metadata"]["uid"]);
    Said::from(running.wait_with_output().expect("it ends"))
        .refused(&["no account was made", "has not completed"]);

    place.decide("temporal-user", Fate::JobFails);
    let said = place
        .add(&[])
        .refused(&["no account was made", "it has failed", "it ended with 1"]);
    assert!(!said.err.contains("quotes"), "{}", said.err);
    for kind in [Kind::Job, Kind::Secret] {
        assert_eq!(place.of_account(kind).await.len(), 0, "{}", kind.word());
    }

    // the API server runs nothing: what is in a Secret is read by the program
    place
        .run(&["user", "add", "al", "--from-secret", "nobody"])
        .refused(&["Secret `nobody`", "`password`"]);
    place.decide("temporal-user", Fate::Ready);
    place
        .run(&[
            "user",
            "add",
            "al",
            "--from-secret",
            "temporal-secrets/API_JWT_KEY",
        ])
        .done();
    place
        .run(&["user", "add", "al"])
        .refused(&["--password-stdin"]);
    place
        .run(&["user", "add", "-", "--password-stdin"])
        .refused(&["does not begin with"]);
}
