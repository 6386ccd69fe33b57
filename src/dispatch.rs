//! The straight line of a hook: what Juju says → what the container says → facts → whom else to ask → plan → apply →
//! look again → plan → tell.

use std::time::Duration;

use tracing::{Instrument as _, debug, debug_span, info};

use crate::container::CONTAINER;
use crate::facts::{Attempt, Facts};
use crate::juju::{Agent, Error, Hook, Juju, Log, Watch};
use crate::observe::{self, Patience};
use crate::pebble::Pebble;
use crate::plan::{self, Plan, Terms, Turn};
use crate::{apply, postgres};

/// How long a hook waits for its turn to restart a server. After that the next hook tries again, or it goes on without.
const TURN_LIMIT: Duration = Duration::from_mins(1);

/// One hook, and what it has to say of itself.
pub async fn dispatch(hook: Hook, log: &Log) -> Result<(), Error> {
    let juju = Juju::new().with_agent(Agent::from_environment());
    let outcome = reconcile(&juju, hook).await;
    let logged = log.flush(&juju).await;
    outcome.and(logged)
}

/// The container is changed first, and looked at again, so that what Juju is told is what came of it.
async fn reconcile(juju: &Juju, hook: Hook) -> Result<(), Error> {
    let (watch, event) = (Watch::start(), hook.event.to_string());
    let pebble = Pebble::of_container(CONTAINER);
    let mut facts = Facts::of(observe::snapshot(juju, &pebble, hook).await?);
    let questions = plan::questions(&facts);
    let asking = observe::answers(&questions, &mut facts);
    asking
        .instrument(debug_span!("asking databases and server"))
        .await;

    let mut told = plan::plan(&facts);
    show(&told);
    let mut changed = None;
    if !told.changes.is_empty() {
        let serves = change(juju, &pebble, &told, &mut facts).await?;
        let plan = plan::plan(&facts);
        show(&plan);
        changed = Some((std::mem::replace(&mut told, plan), serves));
    }
    let telling = apply::notes(juju, &told.notes);
    telling.instrument(debug_span!("telling juju")).await?;
    let (plan, serves) = changed.unzip();
    if let Some(story) = plan::story(&facts, plan.as_ref(), &serves.unwrap_or_default(), &told) {
        info!("{story} ({event}, {})", watch.took());
    }
    Ok(())
}

/// The right to make the changes, with the lock that it may take; or why they have to wait. The other units are looked
/// at under the lock: whoever had it before has ended.
async fn take_turn(
    juju: &Juju,
    plan: &Plan,
) -> Result<Result<Option<postgres::Turn>, String>, Error> {
    let Some(Turn { database, terms }) = &plan.turn else {
        return Ok(Ok(None));
    };
    let watch = Watch::start();
    let turn = match postgres::turn(database, TURN_LIMIT, postgres::LEASE).await {
        Ok(turn) => turn,
        Err(why) if matches!(terms, Terms::OrWithout(_)) => {
            debug!("goes on without its turn to restart: {why}");
            return Ok(Ok(None));
        }
        Err(why) => return Ok(Err(why)),
    };
    match terms {
        Terms::OthersServe(units) => {
            if let Some(why) =
                observe::other_that_does_not_serve(juju, units, Duration::ZERO).await?
            {
                return Ok(Err(why));
            }
        }
        Terms::OrWithout(Some(units)) => {
            let left = watch.left(TURN_LIMIT);
            if let Some(why) = observe::other_that_does_not_serve(juju, units, left).await? {
                debug!("does not wait any longer for the other units: {why}");
            }
        }
        Terms::Any | Terms::OrWithout(None) => {}
    }
    Ok(Ok(Some(turn)))
}

/// Changes the container and looks at it again; says how long the server took to serve. The turn to restart is given
/// back when the server serves, or did not in time.
async fn change(
    juju: &Juju,
    pebble: &Pebble,
    plan: &Plan,
    facts: &mut Facts,
) -> Result<String, Error> {
    let _turn = match take_turn(juju, plan).await? {
        Ok(turn) => turn,
        Err(why) => {
            facts.attempt = match apply::changes(pebble, &plan.without_turn()).await {
                Attempt::Done => Attempt::Postponed(why),
                attempt => attempt,
            };
            return Ok(String::new());
        }
    };
    if let Some(status) = &plan.announce {
        juju.status_set(status, false).await?;
        facts.status = Some(status.clone());
    }
    let watch = Watch::start();
    let changing = apply::changes(pebble, &plan.changes);
    facts.attempt = changing
        .instrument(debug_span!("changing the container"))
        .await;
    let patience = if plan.starts() {
        Patience::ForAStart
    } else {
        Patience::OneLook
    };
    let looking = observe::again(pebble, facts, patience);
    looking.instrument(debug_span!("looking again")).await;
    let outcome = if plan::serves(facts) {
        "serves"
    } else {
        "does not serve"
    };
    Ok(format!("{outcome} after {}", watch.took()))
}

fn show(plan: &Plan) {
    if !plan.is_empty() {
        plan.to_string()
            .lines()
            .for_each(|line| debug!("plan: {line}"));
    }
}
