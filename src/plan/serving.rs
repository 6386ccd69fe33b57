//! Does this unit's server serve, by what it and its store said in this hook? Law S12: active means that it does.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::words::Problem;
use crate::facts::Facts;
use crate::probe::Probe;
use crate::temporal::health::Serving;
use crate::temporal::{Member, Role};

/// Does every role that should run serve?
pub fn serves(facts: &Facts) -> bool {
    health_problems(facts).is_empty()
}

/// Does a server serve that runs these roles, which need not be those that it should run? What it lacks of these is
/// no fault of its own.
pub(super) fn serves_as(facts: &Facts, running: &BTreeSet<Role>) -> bool {
    let lacks = |problem: &Problem| match problem {
        Problem::NotServing { role, .. } => !running.contains(role),
        Problem::StoreNotServing(_) => !running.contains(&Role::Frontend),
        _ => false,
    };
    health_problems(facts).iter().all(lacks)
}

/// Why the server does not serve.
pub(super) fn health_problems(facts: &Facts) -> Vec<Problem> {
    let serving = match &facts.serving {
        Probe::Known(serving) => serving,
        Probe::Unreachable(why) => return vec![Problem::Unobserved(why.clone())],
        Probe::NotAsked => {
            return vec![Problem::Unobserved(
                "it was not looked at in this hook".to_owned(),
            )];
        }
    };
    let roles = serving.roles.iter().filter_map(|(&role, answer)| {
        let why = match answer {
            Err(_) if role == Role::History && rests(facts).is_some() => return None,
            // what the ring says comes first: it is the cause of what the process does
            answer if role == Role::Worker => worker(facts).or_else(|| answer.clone().err())?,
            Err(why) => why.clone(),
            Ok(()) => return None,
        };
        Some(Problem::NotServing { role, why })
    });
    let store = match &serving.store {
        Some(Err(why)) => Some(Problem::StoreNotServing(why.clone())),
        Some(Ok(())) | None => None,
    };
    roles.chain(store).collect()
}

/// History that owns no shard, since the other units own every one of them, and how many these are.
///
/// Such a process calls itself not serving: it does so from its start until it has owned a shard, for however short a
/// time. Nothing is wrong with it: the ring gave it none, as it does when there are few shards for many units. Whoever
/// is alone in a ring of its own would own all shards itself.
pub fn rests(facts: &Facts) -> Option<u32> {
    let all = facts.stores.main.known()?.shards?;
    let elsewhere = &facts.serving.known()?.elsewhere;
    (may_rest(facts) && (1..=all).all(|shard| elsewhere.contains(&shard))).then_some(all)
}

/// Does history answer that it owns no shard?
pub fn may_rest(facts: &Facts) -> bool {
    own_shards(facts).is_some_and(BTreeSet::is_empty)
}

/// The other history processes, to be asked for their shards if this unit's owns none.
pub fn others(facts: &Facts) -> Vec<IpAddr> {
    if !may_rest(facts) {
        return Vec::new();
    }
    let all = histories(facts).into_iter();
    all.filter(|address| Some(*address) != facts.bind_address)
        .collect()
}

/// Where history is alive.
pub(super) fn histories(facts: &Facts) -> BTreeSet<IpAddr> {
    let members = facts.stores.main.known().map(|store| &store.members);
    let members = members.into_iter().flatten();
    let histories = members.filter(|member| member.role == Role::History);
    histories.map(|member| member.address).collect()
}

fn own_shards(facts: &Facts) -> Option<&BTreeSet<u32>> {
    let serving: &Serving = facts.serving.known()?;
    serving.shards.as_ref()
}

/// Why the worker cannot be working, by what is in the ring: its process writes a heartbeat; and it needs a frontend
/// somewhere: without one it ends after a minute, to be started again, and so on.
fn worker(facts: &Facts) -> Option<String> {
    let said = facts.stores.main.known();
    let members = &said.filter(|said| said.were_read())?.members;
    let frontend = if facts.version()?.has_internal_frontend() {
        Role::InternalFrontend
    } else {
        Role::Frontend
    };
    if !members.iter().any(|member| member.role == frontend) {
        return Some("no unit that runs `frontend` has been alive in the last 30 s".to_owned());
    }
    let own = Member {
        role: Role::Worker,
        address: facts.bind_address?,
    };
    (!members.contains(&own)).then(|| "it has not been alive in the last 30 s".to_owned())
}
