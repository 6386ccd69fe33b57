//! What `apply` writes where the user says nothing, as tables for people. They are made from the objects themselves, so
//! they cannot tell anything else.

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;

use crate::input::{Stack, Worker};
use crate::kubernetes::{Kind, list, text};
use crate::names::{
    CLUSTER_SECRETS, POSTGRES_SECRETS, RABBITMQ_SECRETS, RABBITMQ_SERVER, TEMPORAL_SECRETS,
};
use crate::objects::Object;
use crate::parts::ipfs::node;
use crate::parts::variables;
use crate::secrets::{Source, Values};
use crate::settings::{Addresses, Finding, Program};
use crate::stack::{self, Wanted};

/// Whose table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Of {
    /// The API, krab and the workers.
    Temporal,
    /// The IPFS Cluster peers.
    IpfsCluster,
    /// The database.
    Postgres,
    /// The message broker.
    Rabbitmq,
    /// The IPFS nodes.
    Ipfs,
}

/// A Markdown table of what a program is told.
pub fn table(of: Of) -> String {
    match of {
        Of::Temporal => settings(Program::Temporal),
        Of::IpfsCluster => settings(Program::IpfsCluster),
        Of::Postgres => settings(Program::Postgres),
        Of::Rabbitmq => rabbitmq(),
        Of::Ipfs => format!("{}\n{IPFS}\n", node::reference()),
    }
}

const IPFS: &str = "`ipfs.config` of `stack.yaml` adds keys, or has other values for these.";

const RABBITMQ: &str = "The login and the virtual host are those of `RABBITMQ_URL` in `temporal-config`, if it has them. The \
    rest follows from `rabbitmq.replicas` and `rabbitmq.resources` of `stack.yaml`.";

/// Settings without which some workers do not run; they are in no table as written by us.
const GIVEN: [&str; 2] = ["SERVICES_RTNS_KEY_NAME", "SENDGRID_API_KEY"];

/// A whole stack, of which nothing but the workers is said.
struct Usual {
    wanted: Wanted,
    objects: Vec<Object>,
}

impl Usual {
    fn new() -> Result<Self, Vec<Finding>> {
        let mut stack = Stack::default();
        let given = GIVEN.map(|name| (name.to_owned(), "given".into()));
        stack.temporal.settings.extend(given);
        stack.temporal.workers = Some(Worker::ALL.to_vec());
        let wanted = stack::wanted(stack, "default", &Addresses::new())?;
        let objects = stack::objects(wanted.context(&Values::new()));
        Ok(Self { wanted, objects })
    }

    /// What a `ConfigMap` says.
    fn config_map(&self, name: &str) -> BTreeMap<String, String> {
        let mut objects = self.objects.iter();
        let found = objects.find(|it| it.kind == Kind::ConfigMap && it.name() == name);
        let data = found.and_then(|map| map.body.get("data")?.as_object());
        let texts = data.into_iter().flatten();
        texts
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    }

    /// What containers with one of these names are told besides.
    fn containers(&self, names: &[&str]) -> BTreeMap<String, String> {
        let containers = self
            .objects
            .iter()
            .flat_map(|it| list(&it.body, "/spec/template/spec/containers"));
        containers
            .filter(|it| names.contains(&text(it, "/name")))
            .flat_map(|it| list(it, "/env"))
            .filter(|variable| variable.get("value").is_some())
            .map(|it| (text(it, "/name").to_owned(), text(it, "/value").to_owned()))
            .collect()
    }

    /// The keys of Secrets, with the value or with a word for where it comes from; not those that follow from others.
    fn secrets(&self, name: &str) -> BTreeMap<&str, String> {
        let mut secrets = self.wanted.secrets.iter();
        let found = secrets.find(|secret| secret.name == name);
        let keys = found.into_iter().flat_map(|secret| &secret.keys);
        keys.filter_map(|(key, source)| match source {
            Source::Made(..) => Some((key.as_str(), "made once, and kept".to_owned())),
            Source::Given(value, _) => Some((key, format!("`{}`", value.expose()))),
            Source::Derived(_) => None,
        })
        .collect()
    }
}

fn settings(program: Program) -> String {
    let Ok(usual) = Usual::new() else {
        return String::new();
    };
    let (secrets, containers): (_, &[&str]) = match program {
        Program::Temporal => (TEMPORAL_SECRETS, &["krab", "ipns-entry"]),
        Program::IpfsCluster => (CLUSTER_SECRETS, &["ipfs-cluster"]),
        Program::Postgres => (POSTGRES_SECRETS, &["postgres"]),
    };
    let mut written = usual.containers(containers);
    written.extend(usual.config_map(program.config_map()));
    let secrets = usual.secrets(secrets);
    let rows = variables(program).iter().map(|variable| {
        let (name, default) = (variable.name, variable.default);
        let value = match (written.get(name), secrets.get(name)) {
            _ if GIVEN.contains(&name) => default.to_owned(),
            (Some(value), _) => format!("`{value}`"),
            (None, Some(made)) => made.clone(),
            (None, None) => default.to_owned(),
        };
        let names = variable.spellings().map(|name| format!("`{name}`"));
        let names = names.collect::<Vec<_>>().join(" or ");
        format!("| {names} | {value} | {} |\n", variable.meaning)
    });
    let head = "| name | when it is not set | meaning |\n| --- | --- | --- |\n";
    std::iter::once(head.to_owned()).chain(rows).collect()
}

fn rabbitmq() -> String {
    let Ok(usual) = Usual::new() else {
        return String::new();
    };
    let mut rows = BTreeSet::new();
    let mut row = |name: &str, value: &str| _ = rows.insert(format!("| `{name}` | {value} |\n"));
    for (name, value) in usual.containers(&["rabbitmq"]) {
        row(&name, &format!("`{value}`"));
    }
    for (name, made) in usual.secrets(RABBITMQ_SECRETS) {
        row(name, &made);
    }
    for text in usual.config_map(RABBITMQ_SERVER).values() {
        for (name, value) in text.lines().filter_map(|line| line.split_once(" = ")) {
            row(name, &format!("`{value}`"));
        }
    }
    let head = "| name | what `apply` writes |\n| --- | --- |\n";
    let rows: String = rows.into_iter().collect();
    format!("{head}{rows}\n{RABBITMQ}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second column of a variable's row.
    fn told(program: Program, name: &str) -> String {
        let table = settings(program);
        let row = table
            .lines()
            .find(|row| row.starts_with(&format!("| `{name}`")));
        let row = row.unwrap_or_else(|| panic!("{name}: {table}"));
        row.split(" | ").nth(1).unwrap().to_owned()
    }

    #[test]
    fn a_table_has_a_row_for_each_variable_and_tells_what_is_written() {
        let stack = stack::wanted(Stack::default(), "default", &Addresses::new()).unwrap();
        for (program, written) in [
            (Program::Temporal, &stack.environment.temporal),
            (Program::IpfsCluster, &stack.environment.cluster),
            (Program::Postgres, &stack.environment.postgres),
        ] {
            let text = settings(program);
            assert_eq!(text.lines().count(), variables(program).len() + 2);
            assert!(text.lines().all(|line| line.matches('|').count() == 4));
            assert!(!written.is_empty());
            for (name, value) in written {
                assert_eq!(told(program, name), format!("`{value}`"), "{name}");
            }
        }
        for (name, said) in [
            ("API_JWT_KEY", "made once, and kept"),
            ("RABBITMQ_URL", "the stack's own RabbitMQ"),
            ("IPFS_KEYSTORE_PATH", "`/krab/keystore`"),
            ("SERVICES_RTNS_DATASTORE_PATH", "`/records/datastore`"),
            ("AWS_SECRET", "no use of AWS"),
        ] {
            assert_eq!(told(Program::Temporal, name), said);
        }
        assert!(told(Program::Temporal, "SENDGRID_API_KEY").contains("no e-mail"));
    }

    #[test]
    fn what_is_written_for_the_others_is_told_too() {
        let broker = table(Of::Rabbitmq);
        for row in [
            "| `RABBITMQ_DEFAULT_PASS` | made once, and kept |",
            "| `RABBITMQ_DEFAULT_USER` | `temporal` |",
            "| `default_queue_type` | `quorum` |",
            "| `RABBITMQ_USE_LONGNAME` | `true` |",
        ] {
            assert!(broker.contains(row), "{broker}");
        }
        assert!(table(Of::Ipfs).contains("| `Addresses.Swarm` |"));
    }
}
