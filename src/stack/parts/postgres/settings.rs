//! PostgreSQL's image. Its variables matter at the first start only, when the data folder is empty.

use crate::parts::{known, unread};
use crate::settings::Kind::{Choice, Path, Text};
use crate::settings::{
    Checked, Draft, Finding, Given, Program, Severity, Variable, is_own, no_public_password, rows,
};

/// The variables of the image that the installer lets through.
pub(crate) static VARIABLES: &[Variable] = rows! {
    POSTGRES_DB: Choice(&["temporal"]),
        "`temporal`", "name of the database; Temporal uses no other than `temporal`";
    POSTGRES_USER: Text,
        "`postgres`", "role that owns the database, a superuser";
    POSTGRES_PASSWORD: Text, secret,
        "made once, and kept",
        "the role's password; another one later changes nothing in a database that is there";
    PGDATA: Path,
        "`/var/lib/postgresql/data/pgdata`",
        "folder where the server finds the data; on the claim they are always in the same one";
    POSTGRES_INITDB_ARGS: Text,
        "none", "arguments for `initdb`";
    POSTGRES_HOST_AUTH_METHOD: Choice(&["scram-sha-256", "md5", "password"]),
        "`scram-sha-256`",
        "how clients prove who they are; `trust` would let in everyone without a password";
};

/// Checks the settings of PostgreSQL's image.
pub(crate) fn check(given: &Given) -> Checked {
    let mut draft = Draft::new(Program::Postgres);
    for (name, value) in given {
        let text = value.expose().as_str();
        let Some(variable) = known(Program::Postgres, name) else {
            not_known(&mut draft, name);
            continue;
        };
        let problem = match variable.name {
            "POSTGRES_PASSWORD" if text.is_empty() => {
                "is empty, and PostgreSQL does not start without a password; write one, or leave it out and one is made"
            }
            _ if text.is_empty() => continue,
            "POSTGRES_HOST_AUTH_METHOD" if text == "trust" => {
                "lets in everyone who reaches the port, without a password; leave it out"
            }
            "PGDATA" if text.starts_with('/') && is_taken(text) => {
                "is a folder in which the image or the system has things of its own; write one that is for the data \
                 alone, such as `/var/lib/postgresql/data`, or leave it out"
            }
            _ => {
                draft.take(variable, name, value);
                continue;
            }
        };
        draft.say(Severity::Error, name, problem);
    }
    draft.judge(&[no_public_password("POSTGRES_PASSWORD")]);
    draft.checked
}

/// Would a volume there hide something, or hold something beside the data? Of one written with `.` or `:` Kubernetes or
/// the image would make another path.
fn is_taken(path: &str) -> bool {
    const SYSTEM: [&str; 10] = [
        "bin", "boot", "dev", "etc", "lib", "lib64", "proc", "sbin", "sys", "usr",
    ];
    const HOLDS: [&str; 4] = [
        "/var/lib/postgresql/data",
        "/var/run/postgresql/x",
        "/run/postgresql/x",
        "/tmp/x",
    ];
    let path = path.trim_end_matches('/');
    let mut parts = path.split('/').skip(1);
    let is_strange =
        parts.clone().any(|part| matches!(part, "" | "." | "..")) || path.contains(':');
    let is_above = |inner: &&str| {
        inner
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let is_system = parts.next().is_none_or(|first| SYSTEM.contains(&first));
    is_strange || is_system || HOLDS.iter().any(is_above)
}

fn not_known(draft: &mut Draft, name: &str) {
    let value = name.strip_suffix("_FILE");
    let value = value.filter(|value| known(Program::Postgres, value).is_some());
    let (severity, problem) = match value {
        Some(value) => (
            Severity::Error,
            format!(
                "names a file in the container, where the installer puts none; write the value in `{value}`, and it is \
                 kept in a Secret if it is one"
            ),
        ),
        None => (Severity::Warning, unread(Program::Postgres, name)),
    };
    draft.say(severity, name, problem);
}

/// Does Temporal log in as the role that PostgreSQL's image makes? One that is given on one side only
/// counts for both. With a PostgreSQL outside of the stack there is nothing to compare, and nobody to read these settings.
pub(crate) fn agree(temporal: &Checked, postgres: &Checked) -> Vec<Finding> {
    if temporal
        .value("DATABASE_URL")
        .is_some_and(|host| !is_own(host))
    {
        let problem = "is read by nobody: `DATABASE_URL` names another database than the stack's own; leave it out, and \
                       write what is meant for that one in `temporal-config`";
        let (severity, program) = (Severity::Warning, Program::Postgres);
        let unread = |name: &String| Finding::new(severity, program, name, problem);
        return postgres.values.keys().map(unread).collect();
    }
    let compare = |(theirs, ours)| {
        let (severity, problem) = match (temporal.value(theirs), postgres.value(ours)) {
            (Some(a), Some(b)) if a != b => (
                Severity::Error,
                format!("is not what `{ours}` in `postgres-config` says; write the same in both"),
            ),
            (Some(_), None) => (
                Severity::Note,
                format!("is not matched by `{ours}` in `postgres-config`; it counts for both"),
            ),
            (None, Some(_)) => (
                Severity::Note,
                format!("is not set; `{ours}` in `postgres-config` counts for both"),
            ),
            (Some(_), Some(_)) | (None, None) => return None,
        };
        Some(Finding::new(severity, Program::Temporal, theirs, problem))
    };
    let pairs = [
        ("DATABASE_PASSWORD", "POSTGRES_PASSWORD"),
        ("DATABASE_USERNAME", "POSTGRES_USER"),
    ];
    pairs.into_iter().filter_map(compare).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::tests::{Case, each_gives_one_finding, findings, given};

    const P: Program = Program::Postgres;

    /// The document's `postgres-config`.
    const DOCUMENT: [(&str, &str); 3] = [
        ("POSTGRES_DB", "temporal"),
        ("POSTGRES_USER", "postgres"),
        ("POSTGRES_PASSWORD", "password123"),
    ];

    #[test]
    fn the_documents_settings_work_but_for_the_password() {
        let checked = crate::parts::check(P, &given(&DOCUMENT));
        let shown: Vec<String> = checked.findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "postgres-config: `POSTGRES_PASSWORD`: is the public example of the documentation; write a \
              password of your own"
            ]
        );
        assert!(!checked.is_refused());
        assert_eq!(checked.values, given(&DOCUMENT));
    }

    /// One setting, one finding.
    const CASES: &[Case] = &[
        (
            "POSTGRES_DB",
            "temporal2",
            Severity::Error,
            "write `temporal`",
        ),
        (
            "POSTGRES_PASSWORD",
            "",
            Severity::Error,
            "without a password",
        ),
        (
            "POSTGRES_PASSWORD_FILE",
            "/run/x",
            Severity::Error,
            "in `POSTGRES_PASSWORD`",
        ),
        (
            "POSTGRES_HOST_AUTH_METHOD",
            "trust",
            Severity::Error,
            "leave it out",
        ),
        (
            "POSTGRES_HOST_AUTH_METHOD",
            "peer",
            Severity::Error,
            "`scram-sha-256`",
        ),
        ("PGDATA", "data", Severity::Error, "begins with `/`"),
        ("PGDATA", "/", Severity::Error, "for the data alone"),
        ("PGDATA", "/usr/pg", Severity::Error, "for the data alone"),
        (
            "PGDATA",
            "/var/lib/postgresql/",
            Severity::Error,
            "for the data alone",
        ),
        ("PGDATA", "/var", Severity::Error, "for the data alone"),
        (
            "PGDATA",
            "/pg/../etc",
            Severity::Error,
            "for the data alone",
        ),
        ("PGDATA", "/pg:ro", Severity::Error, "for the data alone"),
        (
            "POSTGRES_PASWORD",
            "hunter2",
            Severity::Warning,
            "`POSTGRES_PASSWORD`",
        ),
        (
            "DATABASE_PASSWORD",
            "hunter2",
            Severity::Warning,
            "`temporal-config`",
        ),
        ("OTHER", "hunter2", Severity::Warning, "leave it out"),
    ];

    #[test]
    fn one_setting_one_finding() {
        each_gives_one_finding(P, CASES);
    }

    #[test]
    fn folders_that_are_for_the_data_alone_are_accepted() {
        for path in [
            "/var/lib/postgresql/data",
            "/var/lib/postgresql/data/",
            "/var/lib/postgresql/data/pgdata",
            "/var/lib/postgresql/18/docker",
            "/var/lib/pg",
            "/pgdata",
            "/pg/17/data",
        ] {
            assert_eq!(findings(P, &[("PGDATA", path)]), [], "{path}");
        }
    }

    #[test]
    fn empty_values_are_as_good_as_none() {
        assert_eq!(
            findings(
                P,
                &[("POSTGRES_DB", ""), ("POSTGRES_USER", ""), ("PGDATA", "")]
            ),
            []
        );
    }

    #[test]
    fn both_sides_must_agree() {
        let (user, password) = ("DATABASE_USERNAME", "DATABASE_PASSWORD");
        let error = Severity::Error;
        for (temporal, postgres, wanted) in [
            (vec![], vec![], vec![]),
            (
                vec![(user, "al"), (password, "a")],
                vec![("POSTGRES_USER", "al"), ("POSTGRES_PASSWORD", "a")],
                vec![],
            ),
            (
                vec![(user, "al"), (password, "a")],
                vec![("POSTGRES_USER", "bo"), ("POSTGRES_PASSWORD", "b")],
                vec![(error, password), (error, user)],
            ),
            (
                vec![(password, "a")],
                vec![],
                vec![(Severity::Note, password)],
            ),
            (
                vec![],
                vec![("POSTGRES_PASSWORD", "b")],
                vec![(Severity::Note, password)],
            ),
            (
                vec![("DATABASE_URL", "127.0.0.1"), (user, "al")],
                vec![("POSTGRES_USER", "bo")],
                vec![(error, user)],
            ),
            (
                vec![("DATABASE_URL", "db.example.com"), (user, "al")],
                vec![("POSTGRES_USER", "bo")],
                vec![(Severity::Warning, "POSTGRES_USER")],
            ),
            (
                vec![("DATABASE_URL", "db.example.com"), (password, "a")],
                vec![],
                vec![],
            ),
        ] {
            let found = agree(
                &crate::parts::check(Program::Temporal, &given(&temporal)),
                &crate::parts::check(P, &given(&postgres)),
            );
            let found: Vec<_> = found
                .iter()
                .map(|one| (one.severity, one.name.as_str()))
                .collect();
            assert_eq!(found, wanted, "{temporal:?} {postgres:?}");
        }
    }
}
