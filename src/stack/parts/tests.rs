use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::settings::Severity;

pub(super) fn given(pairs: &[(&str, &str)]) -> Given {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect()
}

pub(super) fn findings(program: Program, pairs: &[(&str, &str)]) -> Vec<Finding> {
    check(program, &given(pairs)).findings
}

/// Name, value, how bad it is, and words of what is said.
pub(super) type Case = (&'static str, &'static str, Severity, &'static str);

pub(super) fn each_gives_one_finding(program: Program, cases: &[Case]) {
    for (name, value, severity, words) in cases {
        let found = findings(program, &[(*name, *value)]);
        let [finding] = found.as_slice() else {
            panic!("{name}={value}: {found:?}");
        };
        assert_eq!(finding.severity, *severity, "{finding}");
        assert!(finding.problem.contains(words), "{finding}");
        assert!(!finding.problem.contains("hunter2"), "{finding}");
    }
}

#[test]
fn a_finding_reads_as_one_line() {
    let found = findings(Program::Temporal, &[("KRAB_URL", "krab:1")]);
    assert_eq!(
        found[0].to_string(),
        "temporal-config: `KRAB_URL`: is not read by the program; write `SERVICES_KRAB_URL`"
    );
}

#[test]
fn everything_is_reported_at_once_and_errors_first() {
    let found = findings(
        Program::Temporal,
        &[
            ("API_JWT_KEY", ""),
            ("DATABASE_NAME", "other"),
            ("DATABASE_PORT", "x"),
            ("KRAB_URL", "krab:1"),
        ],
    );
    let names: Vec<_> = found.iter().map(|finding| finding.name.as_str()).collect();
    assert_eq!(
        names,
        ["DATABASE_NAME", "DATABASE_PORT", "KRAB_URL", "API_JWT_KEY"]
    );
}

#[test]
fn what_is_refused_is_not_among_the_values() {
    let checked = check(
        Program::Temporal,
        &given(&[("DATABASE_PORT", "x"), ("LOG_DIR", "/a")]),
    );
    assert!(checked.is_refused());
    assert_eq!(checked.values, given(&[("LOG_DIR", "/a")]));
}

#[test]
fn the_tables_are_whole() {
    for program in Program::ALL {
        let mut seen = BTreeSet::new();
        for variable in variables(program) {
            for text in [variable.default, variable.meaning] {
                assert!(!text.trim().is_empty(), "{}", variable.name);
                assert!(!text.contains(['|', '\n']), "{}", variable.name);
                assert!(
                    !text.contains("  ") && !text.ends_with('.'),
                    "{}",
                    variable.name
                );
            }
            for spelling in variable.spellings() {
                assert!(seen.insert(spelling), "{spelling} is there twice");
                assert_eq!(spelling, spelling.to_uppercase());
            }
        }
    }
}

#[test]
fn unknown_names_are_secret() {
    for program in Program::ALL {
        assert!(is_secret(program, "DATABASE_PASWORD"));
    }
    assert!(!is_secret(Program::Temporal, "DATABASE_PORT"));
}

/// A name that is known to some program, or any text.
fn name() -> impl Strategy<Value = String> {
    let known: Vec<&str> = Program::ALL
        .into_iter()
        .flat_map(variables)
        .flat_map(Variable::spellings)
        .collect();
    prop_oneof![
        4 => prop::sample::select(known.clone()).prop_map(str::to_owned),
        1 => prop::sample::select(known).prop_map(str::to_lowercase),
        1 => "[A-Z]{1,3}_[A-Z_]{0,12}",
        1 => any::<String>(),
    ]
}

/// Something that looks like a value, around a word that no finding may show.
fn value() -> impl Strategy<Value = String> {
    let shapes = [
        "",
        "amqp://a:@mq/",
        "/ip4/",
        ",",
        "://",
        "-1",
        "a:",
        "%",
        "127.0.0.1:",
    ];
    let around = prop::sample::select(shapes.to_vec());
    prop_oneof![
        3 => (around.clone(), around).prop_map(|(a, b)| format!("{a}hunter2{b}")),
        1 => any::<String>().prop_map(|text| text + "hunter2"),
        1 => Just(String::new()),
    ]
}

proptest! {
    #[test]
    fn any_settings_get_an_answer_that_shows_no_secret(
        pairs in prop::collection::btree_map(name(), value(), 0..12)
    ) {
        let given: Given = pairs.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        for program in Program::ALL {
            let secrets: Given = given
                .iter()
                .filter(|(name, _)| is_secret(program, name) && !name.contains("hunter2"))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            let checked = check(program, &secrets);
            prop_assert!(!format!("{checked:?}").contains("hunter2"), "{checked:?}");
            prop_assert_eq!(&checked, &check(program, &secrets));
            // and with the others beside them
            let all = check(program, &given);
            prop_assert!(all.findings.is_sorted());
            prop_assert!(all.values.values().all(|value| !value.expose().is_empty()));
        }
        postgres::settings::agree(&check(Program::Temporal, &given), &check(Program::Postgres, &given));
    }
}
