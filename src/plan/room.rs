//! Is there room for all the connections that the units' servers may want? Told before they want them.

use super::words::{Limit, Problem, Shortage};
use crate::config::LEAST_CONNECTIONS;
use crate::container::config::pools;
use crate::facts::{Facts, Server};
use crate::postgres::{Connections, Room};
use crate::temporal::{PerStore, Store, host_port};

/// The limits that are too low: of the PostgreSQL server, of a role, of a database. Stores that share one are told of
/// together.
pub(super) fn shortages(facts: &Facts, server: &Server) -> Vec<Problem> {
    let limits = [
        shared(facts, server, limit_of_server, |it| &it.server),
        shared(facts, server, limit_of_role, |it| &it.role),
        shared(facts, server, limit_of_database, |it| &it.database),
    ];
    limits.into_iter().flatten().collect()
}

fn limit_of_server(server: &Server, store: Store) -> Limit {
    let database = server.databases.get(store);
    Limit::Server(host_port(&database.host, database.port))
}

fn limit_of_role(server: &Server, store: Store) -> Limit {
    Limit::Role(server.databases.get(store).user.clone())
}

fn limit_of_database(server: &Server, store: Store) -> Limit {
    Limit::Database(server.databases.get(store).name.clone())
}

/// One kind of limit. Roles and databases have the same limit only on the same server.
fn shared(
    facts: &Facts,
    server: &Server,
    limit: fn(&Server, Store) -> Limit,
    room: fn(&Connections) -> &Room,
) -> Vec<Problem> {
    let key = |store| (limit_of_server(server, store), limit(server, store));
    let mut problems = Vec::new();
    for store in Store::ALL {
        let sharing = Store::ALL
            .into_iter()
            .filter(|other| key(*other) == key(store));
        let sharing: Vec<Store> = sharing.collect();
        if sharing.first() == Some(&store) {
            problems.extend(shortage(
                facts,
                server,
                &sharing,
                limit(server, store),
                room,
            ));
        }
    }
    problems
}

/// What these stores lack under the limit that they share, if they do.
fn shortage(
    facts: &Facts,
    server: &Server,
    stores: &[Store],
    limit: Limit,
    room: fn(&Connections) -> &Room,
) -> Option<Problem> {
    let said = |store: Store| Some(&facts.stores.get(store).known()?.connections);
    let (first, rest) = stores.split_first()?;
    let Room { limit: most, taken } = room(said(*first)?);
    let most = (*most)?;
    // the first store's question has counted the other's servers with everybody else
    let rest: u32 = rest
        .iter()
        .filter_map(|store| Some(said(*store)?.temporal))
        .sum();
    let taken = taken.saturating_sub(rest);
    let others = Store::ALL
        .into_iter()
        .filter_map(|store| Some(said(store)?.others));
    let units = 1 + others.max().unwrap_or_default();
    let each = |connections: &PerStore<u32>| {
        stores
            .iter()
            .map(|store| connections.get(*store))
            .sum::<u32>()
    };
    let wants = |connections: &PerStore<u32>| units.saturating_mul(each(connections));
    let fits = |connections: &PerStore<u32>| wants(connections).saturating_add(taken) <= most;
    if fits(&server.connections) {
        return None;
    }
    let config = facts.config.as_ref().ok()?;
    let roles = u32::try_from(facts.roles(config).len()).ok()?;
    let less = (LEAST_CONNECTIONS..config.connections).rev().find(|less| {
        let pools = pools(*less, roles);
        fits(&PerStore::of(|store| pools.get(store) * roles))
    });
    Some(Problem::Connections(Shortage {
        limit,
        most,
        taken,
        units,
        each: each(&server.connections),
        needs: wants(&server.connections).saturating_add(taken),
        less,
        app: facts.hook.unit.app.clone(),
    }))
}
