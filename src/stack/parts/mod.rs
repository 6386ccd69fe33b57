//! The parts of the stack. Each has a directory with the table of its program's settings, what of them its Pods get,
//! its Secrets, its objects and its address; here is what the parts have to know of each other. Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "writes into JSON objects that were made a few lines above"
)]

pub mod ipfs;
pub mod postgres;
pub mod rabbitmq;
pub mod temporal;

use std::collections::BTreeMap;

use crate::input::Stack;
use crate::objects::{Component, Own};
use crate::secret::Secret;
use crate::secrets::{self, Change, Source, Values};
use crate::settings::amqp::AmqpUrl;
use crate::settings::{self, Checked, Finding, Given, Home, Program, Variable, is_own};

/// All variables that a program is known to read.
pub fn variables(program: Program) -> &'static [Variable] {
    match program {
        Program::Temporal => temporal::settings::VARIABLES,
        Program::IpfsCluster => ipfs::settings::VARIABLES,
        Program::Postgres => postgres::settings::VARIABLES,
    }
}

/// Checks one program's settings.
pub fn check(program: Program, given: &Given) -> Checked {
    let mut checked = match program {
        Program::Temporal => temporal::settings::check(given),
        Program::IpfsCluster => ipfs::settings::check(given),
        Program::Postgres => postgres::settings::check(given),
    };
    checked.findings.sort();
    checked
}

/// Does the value of this name belong into a Secret? A name that no table has may be one that holds a
/// password, so the answer for it is yes.
pub fn is_secret(program: Program, name: &str) -> bool {
    let known = match program {
        Program::Temporal | Program::Postgres => known(program, name),
        Program::IpfsCluster => ipfs::settings::known(name),
    };
    known.is_none_or(|variable| variable.secret)
}

/// The variable with this name in one of its spellings.
fn known(program: Program, name: &str) -> Option<&'static Variable> {
    let mut variables = variables(program).iter();
    variables.find(|variable| variable.spellings().any(|spelling| spelling == name))
}

/// What to write instead of a name that the program is not known to read.
fn unread(program: Program, name: &str) -> String {
    let owner = Program::ALL
        .into_iter()
        .find(|other| known(*other, name).is_some());
    let remedy = match (owner, nearest(program, name, name.len() / 3)) {
        (Some(owner), _) => format!("write it in `{}`", owner.config_map()),
        (None, Some(nearest)) => format!("the nearest known name is `{nearest}`"),
        (None, None) => "leave it out".to_owned(),
    };
    format!("is not read by the program; {remedy}")
}

/// The known spelling that is nearest, if it takes no more than `most` edits.
fn nearest(program: Program, name: &str, most: usize) -> Option<&'static str> {
    let known = variables(program).iter().flat_map(Variable::spellings);
    settings::nearest(known, &name.to_ascii_uppercase(), most)
}

/// What the user wants, with the settings of all programs checked.
pub(crate) struct Settings<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) namespace: &'a str,
    pub(crate) temporal: Checked,
    pub(crate) cluster: Checked,
    pub(crate) postgres: Checked,
    /// A setting that is missing, or that names the machine itself as in the document's example, means ours.
    pub(crate) own: Own,
}

impl<'a> Settings<'a> {
    pub(crate) fn check(stack: &'a Stack, home: Home<'a>) -> Self {
        let temporal = temporal::settings::at_home(&stack.temporal.settings, home);
        let temporal = check(Program::Temporal, &temporal);
        let is_own = |name| temporal.value(name).is_none_or(is_own);
        Self {
            own: Own {
                postgres: is_own("DATABASE_URL"),
                rabbitmq: is_own("RABBITMQ_URL"),
                ipfs: is_own("IPFS_API_CONNECTION_HOST"),
                cluster: is_own("IPFS_CLUSTER_API_CONNECTION_HOST"),
                krab: is_own("SERVICES_KRAB_URL"),
            },
            stack,
            namespace: home.namespace,
            temporal,
            cluster: check(Program::IpfsCluster, &stack.ipfs_cluster.settings),
            postgres: check(Program::Postgres, &stack.postgres.settings),
        }
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        let each = [&self.temporal, &self.cluster, &self.postgres];
        let mut all: Vec<Finding> = each.map(|it| it.findings.as_slice()).concat();
        all.extend(postgres::settings::agree(&self.temporal, &self.postgres));
        all.extend(temporal::settings::agree(&self.temporal, &self.cluster));
        all
    }

    pub(crate) fn temporal(&self, name: &str) -> Option<&str> {
        self.temporal.value(name)
    }

    pub(crate) fn user(&self) -> &str {
        self.postgres
            .value("POSTGRES_USER")
            .or_else(|| self.temporal("DATABASE_USERNAME"))
            .unwrap_or("postgres")
    }

    pub(crate) fn broker(&self) -> Option<AmqpUrl> {
        AmqpUrl::parse(self.temporal("RABBITMQ_URL")?).ok()
    }
}

/// The settings that anybody may read.
pub(crate) fn plain(program: Program, checked: &Checked) -> BTreeMap<String, String> {
    let values = checked.values.iter();
    values
        .filter(|(name, _)| !is_secret(program, name))
        .map(|(name, value)| (name.clone(), value.expose().clone()))
        .collect()
}

pub(crate) fn set(
    plain: &mut BTreeMap<String, String>,
    name: &str,
    value: &(impl ToString + ?Sized),
) {
    plain.insert(name.to_owned(), value.to_string());
}

/// The settings that are secrets, without those that are dealt with one by one.
pub(crate) fn others<'a>(
    program: Program,
    checked: &'a Checked,
    without: &[&str],
) -> Vec<(&'a str, Source)> {
    let values = checked.values.iter();
    values
        .map(|(name, value)| (name.as_str(), value))
        .filter(|(name, _)| is_secret(program, name) && !without.contains(name))
        .map(|(name, value)| (name, Source::Given(value.clone(), Change::Replace)))
        .collect()
}

pub(crate) fn given_or_made(given: Option<&str>, change: Change) -> Source {
    given.map_or_else(secrets::random_hex, |value| {
        Source::Given(value.into(), change)
    })
}

pub(crate) fn derived(derive: impl Fn(&Values) -> String + 'static) -> Source {
    Source::Derived(Box::new(move |values| Secret::new(derive(values))))
}

/// A Secret with these keys.
pub(crate) fn secret(
    name: &'static str,
    component: Component,
    keys: Vec<(&str, Source)>,
) -> secrets::Wanted {
    let keys = keys.into_iter();
    secrets::Wanted {
        name,
        component,
        kind: None,
        keys: keys
            .map(|(name, source)| (name.to_owned(), source))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
