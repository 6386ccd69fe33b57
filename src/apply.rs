//! [`Plan`](crate::plan::Plan) → the world: one arm for each change and each note, in order. Decides nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tracing::{debug, error, info, warn};

use crate::container::{FILE_MODE, LAYER, SERVICE, check};
use crate::error::{chain, shorten};
use crate::facts::{Attempt, Failure};
use crate::juju::{self, Juju, LogLevel};
use crate::memory::Memory;
use crate::pebble::{self, Layer, Pebble};
use crate::plan::{Change, Note};
use crate::secret::Secret;

/// How long Pebble may take to stop and start the server: its kill-delay, the 5 seconds that Pebble
/// waits after a kill, and some for the start.
const CHANGE_LIMIT: Duration = Duration::from_secs(90);

/// Changes the container, and says how far it came: failing is a fact that the next plan shows. A server that was
/// stopped for a change that did not come is started as it was.
pub async fn changes(pebble: &Pebble, changes: &[Change]) -> Attempt {
    let mut stopped = false;
    for change in changes {
        if let Err(error) = make(pebble, change).await {
            if let Change::Watch(_) = change {
                // without it, the unit looks again with the next event that there is
                debug!("{change}: {}", chain(&error));
                continue;
            }
            let failed = failed(change, &error);
            let starts = *change != Change::Start && changes.contains(&Change::Start);
            if stopped
                && starts
                && let Err(error) = make(pebble, &Change::Start).await
            {
                debug!("not started as it was: {}", chain(&error));
            }
            return failed;
        }
        stopped |= *change == Change::Stop;
    }
    Attempt::Done
}

/// A start that failed is the server's doing, whose words say more than Pebble's.
fn failed(change: &Change, error: &pebble::Error) -> Attempt {
    if *change == Change::Start && matches!(error, pebble::Error::Change { .. }) {
        return Attempt::Exited(error.last_output().map(shorten));
    }
    Attempt::Failed(Failure {
        attempt: change.attempt(),
        why: chain(error),
    })
}

async fn make(pebble: &Pebble, change: &Change) -> Result<(), pebble::Error> {
    let under_way = match change {
        Change::StopOthers(names) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            pebble.stop(&names).await?
        }
        Change::Write { path, content } => {
            let content = Secret::new(content.expose().as_bytes().to_vec());
            let file = pebble::File {
                path: (*path).to_owned(),
                content,
                permissions: FILE_MODE,
            };
            return pebble.write_files(&[file]).await;
        }
        Change::Watch(check) => {
            if let Err(error) = pebble.share_program(check::PROGRAM) {
                debug!("{change}: {}", chain(&error));
            }
            let layer = Layer {
                checks: BTreeMap::from([(check::NAME.to_owned(), check.clone())]),
                ..Layer::default()
            };
            return pebble.add_layer(LAYER, &layer).await;
        }
        Change::Stop => pebble.stop(&[SERVICE]).await?,
        Change::Delete { path } => return pebble.remove_files(&[path], false).await,
        Change::Layer(service) => {
            let layer = Layer {
                services: BTreeMap::from([(SERVICE.to_owned(), service.clone())]),
                ..Layer::default()
            };
            return pebble.add_layer(LAYER, &layer).await;
        }
        Change::Start => {
            // what an earlier hook began comes to its end first, whichever that is
            for earlier in pebble.changes_under_way(SERVICE).await? {
                match pebble.wait(&earlier, CHANGE_LIMIT).await {
                    Ok(_) | Err(pebble::Error::Change { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            pebble.start(&[SERVICE]).await?
        }
    };
    pebble.wait(&under_way, CHANGE_LIMIT).await.map(|_| ())
}

/// How much is said on relations at the same time.
const AT_ONCE: usize = 64;

/// Tells Juju. The first failure ends the hook, and Juju runs it again: nothing of it was kept.
pub async fn notes(juju: &Juju, notes: &[Note]) -> Result<(), juju::Error> {
    let mut untold = false;
    // what is said on one relation does not depend on what is said on another
    for together in notes.chunk_by(|one, next| is_said(one) && is_said(next)) {
        let each = together
            .iter()
            .map(|note| tell_what_is_known(juju, note, untold));
        let answers: Vec<_> = stream::iter(each).buffered(AT_ONCE).collect().await;
        for (note, told) in together.iter().zip(answers) {
            match told {
                // who leads now tells it in its own hook; a relation that is gone needs to be told nothing
                Err(error)
                    if error.is_not_leader() || error.is_not_found() || error.is_denied() =>
                {
                    debug!("not told: {note}: {}", chain(&error));
                    untold = true;
                }
                told => told?,
            }
        }
    }
    Ok(())
}

const fn is_said(note: &Note) -> bool {
    matches!(note, Note::PublishApp { .. } | Note::PublishUnit { .. })
}

/// What was not told is told again as long as it can be, so it is not noted.
async fn tell_what_is_known(juju: &Juju, note: &Note, untold: bool) -> Result<(), juju::Error> {
    match note {
        Note::Remember { entries } if untold => {
            let mut entries = entries.clone();
            entries.retain(|key, _| !Memory::is_of_what_was_told(key));
            remember(juju, &entries).await
        }
        note => tell(juju, note).await,
    }
}

async fn tell(juju: &Juju, note: &Note) -> Result<(), juju::Error> {
    match note {
        Note::OpenPorts(ports) => juju.open_ports(ports).await,
        Note::ClosePorts(ports) => juju.close_ports(ports).await,
        Note::PublishApp {
            leadership: _,
            relation,
            entries,
        } => juju.relation_set(*relation, true, entries).await,
        Note::PublishUnit { relation, entries } => {
            juju.relation_set(*relation, false, entries).await
        }
        Note::Remember { entries } => remember(juju, entries).await,
        Note::TellVersion { version } => juju.application_version_set(version).await,
        Note::Log { level, text } => {
            match level {
                LogLevel::Debug => debug!("{text}"),
                LogLevel::Info => info!("{text}"),
                LogLevel::Warning => warn!("{text}"),
                LogLevel::Error => error!("{text}"),
            }
            Ok(())
        }
        Note::AppStatus {
            leadership: _,
            status,
        } => juju.status_set(status, true).await,
        Note::UnitStatus(status) => juju.status_set(status, false).await,
        Note::ActionResult { results } => juju.action_set(results).await,
        Note::ActionFailed { message } => juju.action_fail(message).await,
    }
}

async fn remember(
    juju: &Juju,
    entries: &BTreeMap<String, Option<String>>,
) -> Result<(), juju::Error> {
    let mut values = BTreeMap::new();
    for (key, value) in entries {
        match value {
            Some(value) => _ = values.insert(key.clone(), value.clone()),
            None => juju.state_delete(key).await?,
        }
    }
    if values.is_empty() {
        Ok(())
    } else {
        juju.state_set(&values).await
    }
}
