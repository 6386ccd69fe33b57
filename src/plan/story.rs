//! What a hook has done, in one line for people who read the log; nothing, if it has done nothing.

use super::effects::{Note, Plan};
use crate::facts::{Attempt, Facts};
use crate::juju::{Level, Status};
use crate::relations::PEER;

/// The line. `changed` is the plan that was carried out in the container, if there was one, and `serves` how long it
/// took until the server served; `told` is what Juju was told.
pub fn story(facts: &Facts, changed: Option<&Plan>, serves: &str, told: &Plan) -> Option<String> {
    let mut parts: Vec<String> = changed
        .map(|plan| outcome(facts, plan, serves))
        .into_iter()
        .collect();
    parts.extend(told.notes.iter().filter_map(|note| words(facts, note)));
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn outcome(facts: &Facts, plan: &Plan, serves: &str) -> String {
    let summary = &plan.summary;
    match &facts.attempt {
        Attempt::None | Attempt::Done if plan.starts() => format!("{summary}; {serves}"),
        Attempt::None | Attempt::Done => summary.clone(),
        Attempt::Exited(_) => format!("{summary}, which ended at once"),
        Attempt::Postponed(_) => "left the server as it is until it is this unit's turn".to_owned(),
        Attempt::Failed(failure) => {
            format!("could not {}: {}", failure.attempt, failure.why)
        }
    }
}

/// `None` for what only the charm itself has use for, or is said elsewhere; units among themselves are the charm.
fn words(facts: &Facts, note: &Note) -> Option<String> {
    match note {
        Note::OpenPorts(ports) => Some(format!("opened {} ports", ports.len())),
        Note::ClosePorts(ports) => Some(format!("closed {} ports", ports.len())),
        Note::PublishApp { relation, .. } => publication(facts, *relation),
        // what a leader says in both databags is said once
        Note::PublishUnit { relation, .. } if facts.leadership.is_none() => {
            publication(facts, *relation)
        }
        Note::UnitStatus(status) => Some(now(status)),
        Note::PublishUnit { .. }
        | Note::Remember { .. }
        | Note::TellVersion { .. }
        | Note::Log { .. }
        | Note::AppStatus { .. }
        | Note::ActionResult { .. }
        | Note::ActionFailed { .. } => None,
    }
}

fn publication(facts: &Facts, id: u32) -> Option<String> {
    let (endpoint, relation) = facts.relations.iter().find_map(|(endpoint, all)| {
        let relation = all.iter().find(|relation| relation.id == id)?;
        (*endpoint != PEER).then_some((endpoint, relation))
    })?;
    Some(match relation.remote_app.as_str() {
        "" => format!("wrote to `{endpoint}:{id}`"),
        remote => format!("wrote to `{endpoint}` for {remote}"),
    })
}

/// A message that begins with the word of its level needs it no second time, and work says itself what it is.
fn now(status: &Status) -> String {
    let (word, message) = (status.level.word(), status.message.as_str());
    match status.level {
        _ if message.is_empty() => format!("now {word}"),
        Level::Maintenance => message.to_owned(),
        Level::Active | Level::Waiting | Level::Blocked if message.starts_with(word) => {
            format!("now {message}")
        }
        Level::Active | Level::Waiting | Level::Blocked => format!("now {word}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_said_twice() {
        for (level, message, said) in [
            (Level::Active, "", "now active"),
            (
                Level::Waiting,
                "waiting for `db`: x",
                "now waiting for `db`: x",
            ),
            (
                Level::Blocked,
                "`db` has none",
                "now blocked: `db` has none",
            ),
            (Level::Maintenance, "stopping temporal", "stopping temporal"),
        ] {
            let message = message.to_owned();
            assert_eq!(now(&Status { level, message }), said);
        }
    }
}
