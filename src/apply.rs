//! [`Plan`](crate::plan::Plan) → the world: one arm for each effect, in order. Decides nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::effect::Effect;
use crate::juju::{self, Juju};
use crate::pebble::{self, Layer, Pebble};
use crate::secret::Secret;
use crate::server;
use crate::snapshot::{Attempt, Failure, Snapshot, shorten};

/// How long Pebble may take to stop and start the server: its kill-delay, the 5 seconds that Pebble
/// waits after a kill, and some for the start.
const CHANGE_LIMIT: Duration = Duration::from_secs(90);
/// Only the owner may read what the server reads.
const MODE: u32 = 0o600;

/// Applies the effects on the container and notes in the snapshot how far they came. Juju failing is an
/// error; the container failing is a fact that the next plan shows.
pub async fn workload(
    effects: impl Iterator<Item = &Effect>,
    snapshot: &mut Snapshot,
) -> Result<(), juju::Error> {
    let (juju, pebble) = (Juju::new(), Pebble::of_container(server::CONTAINER));
    snapshot.attempt = Attempt::Done;
    for effect in effects {
        if let Effect::Announce(status) = effect {
            juju.status_set(status, false).await?;
            snapshot.status = Some(status.clone());
        } else if let Err(error) = change(&pebble, effect).await {
            snapshot.attempt = failed(effect, &error);
            break;
        }
    }
    Ok(())
}

/// A start that failed is the server's doing, whose words say more than Pebble's.
fn failed(effect: &Effect, error: &pebble::Error) -> Attempt {
    let starts = matches!(effect, Effect::Replan | Effect::Restart);
    if starts && matches!(error, pebble::Error::Change { .. }) {
        return Attempt::Exited(error.last_output().map(shorten));
    }
    Attempt::Failed(Failure {
        attempt: effect.attempt(),
        why: crate::chain(error),
    })
}

async fn change(pebble: &Pebble, effect: &Effect) -> Result<(), pebble::Error> {
    let services = [server::SERVICE];
    let change = match effect {
        Effect::Stop => pebble.stop(&services).await?,
        Effect::Write { path, content } => {
            let content = Secret::new(content.expose().as_bytes().to_vec());
            let file = pebble::File {
                path: (*path).to_owned(),
                content,
                permissions: MODE,
            };
            return pebble.write_files(&[file]).await;
        }
        Effect::Delete { path } => return pebble.remove_files(&[path], false).await,
        Effect::Layer(service) => {
            let layer = Layer {
                services: BTreeMap::from([(server::SERVICE.to_owned(), service.clone())]),
                ..Layer::default()
            };
            return pebble.add_layer(server::SERVICE, &layer).await;
        }
        Effect::Replan => pebble.replan().await?,
        Effect::Restart => pebble.restart(&services).await?,
        Effect::Announce(_)
        | Effect::OpenPorts(_)
        | Effect::ClosePorts(_)
        | Effect::PublishApp { .. }
        | Effect::PublishUnit { .. }
        | Effect::Remember { .. }
        | Effect::TellVersion { .. }
        | Effect::Log { .. }
        | Effect::AppStatus { .. }
        | Effect::UnitStatus(_)
        | Effect::ActionResult { .. }
        | Effect::ActionFailed { .. } => return Ok(()),
    };
    pebble.wait(&change, CHANGE_LIMIT).await.map(|_| ())
}

/// Tells Juju. The first failure ends the hook, and Juju runs it again: nothing of it was kept.
pub async fn model(effects: impl Iterator<Item = &Effect>) -> Result<(), juju::Error> {
    let juju = Juju::new();
    for effect in effects {
        tell(&juju, effect).await?;
    }
    Ok(())
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

async fn tell(juju: &Juju, effect: &Effect) -> Result<(), juju::Error> {
    match effect {
        Effect::OpenPorts(ports) => juju.open_ports(ports).await,
        Effect::ClosePorts(ports) => juju.close_ports(ports).await,
        Effect::PublishApp {
            leadership: _,
            relation,
            entries,
        } => juju.relation_set(*relation, true, entries).await,
        Effect::PublishUnit { relation, entries } => {
            juju.relation_set(*relation, false, entries).await
        }
        Effect::Remember { entries } => remember(juju, entries).await,
        Effect::TellVersion {
            leadership: _,
            version,
        } => juju.application_version_set(version).await,
        Effect::Log { level, text } => juju.juju_log(*level, text).await,
        Effect::AppStatus {
            leadership: _,
            status,
        } => juju.status_set(status, true).await,
        Effect::UnitStatus(status) => juju.status_set(status, false).await,
        Effect::ActionResult { results } => juju.action_set(results).await,
        Effect::ActionFailed { message } => juju.action_fail(message).await,
        Effect::Announce(_)
        | Effect::Stop
        | Effect::Write { .. }
        | Effect::Delete { .. }
        | Effect::Layer(_)
        | Effect::Replan
        | Effect::Restart => Ok(()),
    }
}
