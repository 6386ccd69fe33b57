//! The settings of the stack's programs: what a user gives → what each program gets, and every
//! mistake at once.
//!
//! None of the programs says a word about a variable that it does not read, and some stop at one that
//! they cannot read. So all that is known of the names is in tables here: they check, and they are
//! the reference in the README. Nothing here does I/O.

use std::collections::BTreeMap;
use std::fmt;

use crate::secret::Secret;

pub mod amqp;
mod cluster;
mod host;
mod kind;
mod multiaddress;
mod postgres;
mod temporal;

pub use self::host::is_own;
pub use self::kind::Kind;
pub use self::postgres::agree;

/// Who reads the variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    /// The pinning API with krab and the queue workers, one binary.
    Temporal,
    /// IPFS Cluster.
    IpfsCluster,
    /// PostgreSQL's image.
    Postgres,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Temporal, Self::IpfsCluster, Self::Postgres];

    /// The `ConfigMap` in which the user gives its settings.
    pub const fn config_map(self) -> &'static str {
        match self {
            Self::Temporal => "temporal-config",
            Self::IpfsCluster => "ipfs-cluster-config",
            Self::Postgres => "postgres-config",
        }
    }
}

/// The settings as a user gives them, by name. A value may be a password, so it cannot be printed.
pub type Given = BTreeMap<String, Secret<String>>;

/// What a finding means for the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Cannot work: nothing is installed.
    Error,
    /// Works, but surely not as it was meant.
    Warning,
    /// Good to know.
    Note,
}

/// Something to say about a setting. Findings sort by severity, then by program and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Whose setting it is.
    pub program: Program,
    /// The setting's name: as the user wrote it, or canonical where it is about several settings.
    pub name: String,
    /// What is wrong and what to write instead. Never quotes a value.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            program,
            name,
            problem,
            ..
        } = self;
        write!(f, "{}: `{name}`: {problem}", program.config_map())
    }
}

/// What came of the user's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Canonical name → value: what the user gave and the program reads. No defaults, and no value
    /// with an [`Severity::Error`] of its own.
    pub values: BTreeMap<String, Secret<String>>,
    /// All that is to be said, errors first.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Is there an error among the findings?
    pub fn is_refused(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }

    /// The value under a canonical name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.expose().as_str())
    }
}

/// One variable that a program reads.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// The canonical name: the document's spelling where it has one, else the one with `_` between words.
    pub name: &'static str,
    /// Other spellings that a user may write.
    pub also: &'static [&'static str],
    /// What it holds.
    pub kind: Kind,
    /// Does it belong into a Secret?
    pub secret: bool,
    /// What happens when it is not set.
    pub default: &'static str,
    /// What it is for.
    pub meaning: &'static str,
}

impl Variable {
    /// The name, and the other spellings.
    pub fn spellings(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.also.iter().copied())
    }
}

/// A table of variables: `NAME | OTHER_SPELLING: kind, "default", "meaning";`, with `secret` after the
/// kind for what belongs into a Secret.
macro_rules! rows {
    ($($name:ident $(| $also:ident)*: $kind:expr, $($secret:ident,)? $default:literal, $meaning:literal;)*) => {
        &[$($crate::stack::settings::Variable {
            name: stringify!($name),
            also: &[$(stringify!($also)),*],
            kind: $kind,
            secret: rows!(@ $($secret)?),
            default: $default,
            meaning: $meaning,
        }),*]
    };
    (@ secret) => { true };
    (@) => { false };
}
use rows;

/// All variables that a program is known to read.
pub fn variables(program: Program) -> &'static [Variable] {
    match program {
        Program::Temporal => temporal::VARIABLES,
        Program::IpfsCluster => cluster::VARIABLES,
        Program::Postgres => postgres::VARIABLES,
    }
}

/// Checks one program's settings.
pub fn check(program: Program, given: &Given) -> Checked {
    let mut checked = match program {
        Program::Temporal => temporal::check(given),
        Program::IpfsCluster => cluster::check(given),
        Program::Postgres => postgres::check(given),
    };
    checked.findings.sort();
    checked
}

/// Does the value of this name belong into a Secret? A name that no table has may be one that holds a
/// password, so the answer for it is yes.
pub fn is_secret(program: Program, name: &str) -> bool {
    let known = match program {
        Program::Temporal | Program::Postgres => known(program, name),
        Program::IpfsCluster => cluster::known(name),
    };
    known.is_none_or(|variable| variable.secret)
}

/// A Markdown table of a program's variables.
pub fn reference(program: Program) -> String {
    let rows = variables(program).iter().map(|variable| {
        let names: Vec<_> = variable
            .spellings()
            .map(|name| format!("`{name}`"))
            .collect();
        let Variable {
            default, meaning, ..
        } = variable;
        format!("| {} | {default} | {meaning} |\n", names.join(" or "))
    });
    let head = "| name | when it is not set | meaning |\n| --- | --- | --- |\n";
    std::iter::once(head.to_owned()).chain(rows).collect()
}

/// The variable with this name in one of its spellings.
fn known(program: Program, name: &str) -> Option<&'static Variable> {
    variables(program)
        .iter()
        .find(|variable| variable.spellings().any(|spelling| spelling == name))
}

/// A program's settings while they are checked.
struct Draft {
    program: Program,
    checked: Checked,
}

impl Draft {
    fn new(program: Program) -> Self {
        Self {
            program,
            checked: Checked::default(),
        }
    }

    fn say(&mut self, severity: Severity, name: &str, problem: impl Into<String>) {
        self.checked.findings.push(Finding {
            severity,
            program: self.program,
            name: name.to_owned(),
            problem: problem.into(),
        });
    }

    /// Takes a value that is not empty, if it is what the variable holds.
    fn take(&mut self, variable: &Variable, name: &str, value: &Secret<String>) {
        if let Err(problem) = variable.kind.check(value.expose()) {
            self.say(Severity::Error, name, problem);
            return;
        }
        self.put(variable.name, name, value);
    }

    /// Keeps a value under its canonical name. Which of two values a program would read depends on the
    /// order in which it tries the spellings, and that is nobody's intention.
    fn put(&mut self, canonical: &str, name: &str, value: &Secret<String>) {
        let values = &mut self.checked.values;
        let kept = values
            .entry(canonical.to_owned())
            .or_insert_with(|| value.clone());
        if kept != value {
            let problem = "is given in two spellings with two values; leave one of them out";
            self.say(Severity::Error, name, problem);
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.checked.value(name)
    }

    /// The document's password is on the internet, next to the names of the services.
    fn warn_of_public_password(&mut self, name: &str) {
        if self.value(name) == Some("password123") {
            let problem =
                "is the public example of the documentation; write a password of your own";
            self.say(Severity::Warning, name, problem);
        }
    }
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

/// The known spelling that takes the fewest edits, if it takes no more than `most`.
fn nearest(program: Program, name: &str, most: usize) -> Option<&'static str> {
    let name = name.to_ascii_uppercase();
    variables(program)
        .iter()
        .flat_map(Variable::spellings)
        .filter(|known| known.len().abs_diff(name.len()) <= most)
        .map(|known| (distance(known, &name), known))
        .filter(|(edits, _)| *edits <= most)
        .min()
        .map(|(_, known)| known)
}

/// How many letters must be added, removed or replaced (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for ((b, above), diagonal) in to.bytes().zip(row.iter().skip(1)).zip(&row) {
            left = (diagonal + usize::from(a != b))
                .min(above + 1)
                .min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
