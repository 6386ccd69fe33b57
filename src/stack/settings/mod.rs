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
pub mod host;
mod kind;
pub mod multiaddress;

pub use self::host::{Addresses, Home, is_own};
pub use self::kind::Kind;

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

impl Finding {
    pub(crate) fn new(
        severity: Severity,
        program: Program,
        name: &str,
        problem: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            program,
            name: name.to_owned(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (map, name, problem) = (self.program.config_map(), &self.name, &self.problem);
        write!(f, "{map}: `{name}`: {problem}")
    }
}

/// Is there an error among the findings?
pub(crate) fn is_refused(findings: &[Finding]) -> bool {
    findings.iter().any(|it| it.severity == Severity::Error)
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
        is_refused(&self.findings)
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
        &[$($crate::settings::Variable {
            name: stringify!($name),
            also: &[$(stringify!($also)),*],
            kind: $kind,
            secret: $crate::settings::rows!(@ $($secret)?),
            default: $default,
            meaning: $meaning,
        }),*]
    };
    (@ secret) => { true };
    (@) => { false };
}
pub(crate) use rows;

/// The known word that takes the fewest edits, if it takes no more than `most`.
pub(crate) fn nearest<'a>(
    known: impl Iterator<Item = &'a str>,
    word: &str,
    most: usize,
) -> Option<&'a str> {
    let edits = known.map(|known| (strsim::levenshtein(known, word), known));
    let (_, nearest) = edits.filter(|(edits, _)| *edits <= most).min()?;
    Some(nearest)
}

/// A program's settings while they are checked.
pub(crate) struct Draft {
    program: Program,
    pub(crate) checked: Checked,
}

impl Draft {
    pub(crate) fn new(program: Program) -> Self {
        Self {
            program,
            checked: Checked::default(),
        }
    }

    pub(crate) fn say(&mut self, severity: Severity, name: &str, problem: impl Into<String>) {
        let finding = Finding::new(severity, self.program, name, problem);
        self.checked.findings.push(finding);
    }

    /// Takes a value that is not empty, if it is what the variable holds.
    pub(crate) fn take(&mut self, variable: &Variable, name: &str, value: &Secret<String>) {
        if let Err(problem) = variable.kind.check(value.expose()) {
            self.say(Severity::Error, name, problem);
            return;
        }
        self.put(variable.name, name, value);
    }

    /// Keeps a value under its canonical name. Which of two values a program would read depends on the
    /// order in which it tries the spellings, and that is nobody's intention.
    pub(crate) fn put(&mut self, canonical: &str, name: &str, value: &Secret<String>) {
        let values = &mut self.checked.values;
        let kept = values.entry(canonical.to_owned());
        let kept = kept.or_insert_with(|| value.clone());
        if kept != value {
            let problem = "is given in two spellings with two values; leave one of them out";
            self.say(Severity::Error, name, problem);
        }
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.checked.value(name)
    }

    /// Says what is to be said of single values.
    pub(crate) fn judge(&mut self, rules: &[Rule]) {
        for (name, applies, severity, problem) in rules {
            if self.value(name).is_some_and(applies) {
                self.say(*severity, name, *problem);
            }
        }
    }

    /// Says which settings lack others, without which they have no meaning.
    pub(crate) fn together(&mut self, groups: &[&[&str]]) {
        for group in groups {
            let (set, missing): (Vec<&str>, Vec<&str>) =
                group.iter().partition(|name| self.value(name).is_some());
            if let (Some(first), false) = (set.first(), missing.is_empty()) {
                let problem = format!(
                    "needs `{}` as well; write all of them, or leave all of them out",
                    missing.join("` and `")
                );
                self.say(Severity::Error, first, problem);
            }
        }
    }
}

/// A setting, the values that are meant, how bad these are, and what is wrong with them.
pub(crate) type Rule = (&'static str, fn(&str) -> bool, Severity, &'static str);

/// The document's password is on the internet, next to the names of the services.
pub(crate) const fn no_public_password(name: &'static str) -> Rule {
    (
        name,
        |value| value == "password123",
        Severity::Warning,
        "is the public example of the documentation; write a password of your own",
    )
}
