//! An account: a Job that is the migration's but for its command, so that it is the same program with the same settings.
//! Whoever signs up with the API waits for a mail that nobody sends; the program's own command needs none.

use serde_json::{Value, json};

use crate::kubernetes::{Kind, list};
use crate::objects::{Component, labels, object};

/// Who is to have an account.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The name to log in with.
    pub name: &'a str,
    /// Its mail address; the program wants one, and no two accounts may have the same.
    pub mail: &'a str,
}

/// The key of the Secret that holds the password, and only for as long as the Job runs.
const KEY: &str = "password";
/// The password is an argument of the program, but not of the container, which anybody may read who may read Pods.
const SCRIPT: &str =
    "name=$1; mail=$2; shift 2; exec \"$@\" user \"$name\" \"$NEW_PASSWORD\" \"$mail\"";

/// The Job; `None` if this is no migration of ours. Its Secret has the same name.
pub fn job(migration: &Value, namespace: &str, name: &str, account: Account<'_>) -> Option<Value> {
    let spec = migration.pointer("/spec/template/spec")?;
    let containers = list(spec, "/containers");
    let mut program = containers
        .filter_map(Value::as_object)
        .find(|it| it.get("name").and_then(Value::as_str) == Some("migrate"))?
        .clone();
    let (_, program_words) = program.get("command")?.as_array()?.split_last()?;
    // Kubernetes would put variables in
    let word = |text: &str| Value::from(text.replace('$', "$$"));
    let mut command = vec!["sh".into(), "-c".into(), SCRIPT.into(), "sh".into()];
    command.extend([word(account.name), word(account.mail)]);
    command.extend(program_words.iter().cloned());
    program.insert("name".to_owned(), "user".into());
    program.insert("command".to_owned(), command.into());
    let password = json!({ "secretKeyRef": { "name": name, "key": KEY } });
    program.insert(
        "env".to_owned(),
        json!([{ "name": "NEW_PASSWORD", "valueFrom": password }]),
    );
    let mut spec = spec.as_object()?.clone();
    // of other Pods
    spec.remove("topologySpreadConstraints");
    spec.insert("containers".to_owned(), json!([program]));
    let template = json!({
        "metadata": {
            "labels": labels(Component::Account),
            "annotations": migration.pointer("/spec/template/metadata/annotations"),
        },
        "spec": spec,
    });
    let fields = json!({ "spec": {
        // a second try would find the name taken
        "backoffLimit": 0,
        "activeDeadlineSeconds": 1800,
        // should nobody be left to take it away
        "ttlSecondsAfterFinished": 300,
        "template": template,
    } });
    let (kind, component) = (Kind::Job, Component::Account);
    Some(object(kind, name, component, namespace, fields))
}

/// The Secret with the password.
pub fn password(namespace: &str, name: &str, password: &str) -> Value {
    let fields = json!({ "stringData": { KEY: password } });
    object(Kind::Secret, name, Component::Account, namespace, fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_made_by_the_migrations_program_without_its_proof() {
        let migration = json!({ "spec": { "template": {
            "metadata": { "annotations": { "a": "b" }, "labels": { "of": "another" } },
            "spec": {
                "restartPolicy": "Never",
                "containers": [
                    {
                        "name": "migrate", "image": "i", "envFrom": [1],
                        "command": ["temporal", "-config", "", "-db.no_ssl", "migrate"],
                    },
                    { "name": "tables", "image": "postgres" },
                ],
            },
        } } });
        let account = Account {
            name: "al $(X)",
            mail: "al@localhost",
        };
        let job = job(&migration, "n", "temporal-user-1", account).unwrap();
        let template = &job["spec"]["template"];
        assert_eq!(template["metadata"]["annotations"]["a"], "b");
        assert_eq!(template["metadata"]["labels"]["of"], Value::Null);
        assert_eq!(
            template["spec"]["containers"],
            json!([{
                "name": "user", "image": "i", "envFrom": [1],
                "command": [
                    "sh", "-c", SCRIPT, "sh", "al $$(X)", "al@localhost",
                    "temporal", "-config", "", "-db.no_ssl",
                ],
                "env": [{
                    "name": "NEW_PASSWORD",
                    "valueFrom": { "secretKeyRef": { "name": "temporal-user-1", "key": "password" } },
                }],
            }])
        );
        assert_eq!(super::job(&json!({}), "n", "x", account), None);
    }

    #[test]
    #[expect(clippy::disallowed_types, reason = "the words are a shell's")]
    fn the_shell_hands_every_word_on_as_it_is() {
        let words = ["a b", "m'\"@x", "printf", "%s|"];
        let output = std::process::Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .args(words)
            .env("NEW_PASSWORD", "$(p) `w`")
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "user|a b|$(p) `w`|m'\"@x|"
        );
    }
}
