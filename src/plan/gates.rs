//! When may a server start, and when must one stop? Each law is a line; a refusal is a typed [`Problem`].

use super::room::shortages;
use super::words::Problem;
use crate::container::layer;
use crate::facts::{Facts, Server};
use crate::probe::Probe;
use crate::relations::State;
use crate::snapshot::Workload;
use crate::temporal::{Role, Store, host_port, required_schema};

/// The gates in front of a start; empty means that the server may start.
pub(super) fn held(facts: &Facts, server: &Server) -> Vec<Problem> {
    if let Err(unsupported) = required_schema(server.image.version) {
        return vec![Problem::VersionUnsupported(unsupported.to_string())];
    }
    let contradiction = server.image.contradiction();
    if !contradiction.is_empty() {
        let variables = contradiction.into_iter().map(str::to_owned).collect();
        return vec![Problem::Variables(variables)];
    }
    if has(facts, Role::Worker)
        && !has(facts, Role::Frontend)
        && !server.image.version.has_internal_frontend()
    {
        return vec![Problem::WorkerWithoutFrontend(server.image.version)];
    }
    match &facts.heard.schema {
        State::Waiting(missing) => {
            // whoever is waited for cannot make a schema where there is one
            let mut held = store_problems(facts, server);
            held.retain(|problem| matches!(problem, Problem::Copy { .. } | Problem::Fixed { .. }));
            held.push(Problem::Admin(missing.clone()));
            return held;
        }
        State::Invalid(reason) => return vec![Problem::Admin(reason.clone())],
        State::Absent | State::Ready(()) => {}
    }
    store_problems(facts, server)
}

/// Is it one of the configured roles?
fn has(facts: &Facts, role: Role) -> bool {
    let config = facts.config.as_ref();
    config.is_ok_and(|config| config.services.contains(&role))
}

/// What is wrong with the stores: what keeps a server from being started is told of one that runs, too, but does not
/// stop it.
pub(super) fn store_problems(facts: &Facts, server: &Server) -> Vec<Problem> {
    let app = &facts.hook.unit.app;
    let Ok(needs) = required_schema(server.image.version) else {
        return Vec::new();
    };
    let mut held = Vec::new();
    for store in Store::ALL {
        let want = *needs.get(store);
        let endpoint = facts.heard.endpoint(store);
        match facts.stores.get(store) {
            Probe::Unreachable(why) => {
                held.push(Problem::StoreUnreachable {
                    endpoint,
                    why: why.clone(),
                });
            }
            Probe::NotAsked => held.push(Problem::StoreUnreachable {
                endpoint,
                why: "its schema was not looked at in this hook".to_owned(),
            }),
            Probe::Known(said) => {
                let have = said.schema;
                let database = server.databases.get(store);
                if let Some(why) = &said.distrust {
                    held.push(Problem::Distrust {
                        endpoint,
                        place: host_port(&database.host, database.port),
                        why: why.clone(),
                    });
                } else if let Some(denied) = &said.denied {
                    held.push(Problem::Denied {
                        endpoint,
                        user: database.user.clone(),
                        database: database.name.clone(),
                        denied: denied.clone(),
                    });
                } else if let Some(of) = said.copy_of.as_ref().filter(|_| have < Some(want)) {
                    held.push(Problem::Copy {
                        endpoint,
                        database: database.name.clone(),
                        of: of.clone(),
                        tried: have.is_some(),
                    });
                } else if have.is_none_or(|have| have < want) {
                    held.push(match (&facts.heard.admin, &said.fixed) {
                        (Some(_), Some(fixed)) => Problem::Fixed {
                            endpoint,
                            user: database.user.clone(),
                            database: database.name.clone(),
                            fixed: fixed.clone(),
                        },
                        (Some(admin), None) => Problem::Schema {
                            endpoint,
                            have,
                            want,
                            admin: admin.clone(),
                        },
                        (None, _) if has(facts, Role::Frontend) => Problem::SchemaUnattended {
                            endpoint,
                            have,
                            want,
                            app: app.clone(),
                        },
                        (None, _) => Problem::SchemaElsewhere {
                            endpoint,
                            have,
                            want,
                        },
                    });
                }
                if let Some(stored) = said.shards.filter(|stored| *stored != server.shards) {
                    held.push(Problem::Shards {
                        option: server.shards,
                        stored,
                        app: app.clone(),
                    });
                }
            }
        }
    }
    held.extend(shortages(facts, server));
    held
}

/// Law S2: nothing keeps running on a store that was removed or is another one now. A store that is
/// merely down, or a provider that says nothing for a moment, stops nothing.
pub(super) fn must_stop(facts: &Facts, workload: &Workload) -> bool {
    let removed = |store: &Store| facts.heard.offers.get(*store).is_none();
    if Store::ALL.iter().any(removed) {
        return true;
    }
    let (Some(connections), Some(service)) = (facts.heard.connections(), &workload.service) else {
        return false;
    };
    let moved = layer::stores(&service.config)
        .is_some_and(|running| running != layer::identity(&connections));
    let held = |server: &Server| !held(facts, server).is_empty();
    moved && facts.server.as_ref().is_none_or(held)
}
