//! `juju integrate` and `juju remove-relation` on the model, with Juju's refusals.

use std::collections::{BTreeMap, BTreeSet};

use super::metadata::Role;
use super::model::{Model, Relation, Side};

/// What Juju refuses a person, in its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such application.
    #[error("application \"{0}\" not found")]
    NoApplication(String),
    /// No such unit.
    #[error("unit \"{0}\" not found")]
    NoUnit(String),
    /// The name is taken.
    #[error("cannot add application \"{0}\": application already exists")]
    ApplicationExists(String),
    /// A name that Juju does not take.
    #[error("invalid application name \"{0}\"")]
    ApplicationName(String),
    /// Being removed.
    #[error("application \"{0}\" is not alive")]
    NotAlive(String),
    /// No such endpoint.
    #[error("application \"{app}\" has no \"{endpoint}\" relation")]
    NoEndpoint {
        /// The application.
        app: String,
        /// What was typed after the colon.
        endpoint: String,
    },
    /// No two endpoints fit.
    #[error("no relations found")]
    NoRelations,
    /// Several pairs fit.
    #[error("ambiguous relation: \"{asked}\" could refer to {choices}")]
    Ambiguous {
        /// What was typed.
        asked: String,
        /// The pairs.
        choices: String,
    },
    /// Already related.
    #[error("cannot add relation \"{0}\": relation {0} already exists")]
    RelationExists(String),
    /// `limit` of an endpoint.
    #[error(
        "cannot add relation \"{key}\": establishing a new relation for {endpoint} would exceed its maximum relation limit of {limit}"
    )]
    Limit {
        /// The relation's key.
        key: String,
        /// `app:endpoint`
        endpoint: String,
        /// The limit in its metadata.
        limit: u32,
    },
    /// Nothing to remove.
    #[error("relation \"{0}\" not found")]
    NoRelation(String),
    /// An option or its value.
    #[error(transparent)]
    Option(#[from] super::options::OptionError),
    /// An action or its parameters.
    #[error(transparent)]
    Action(#[from] super::actions::ActionError),
}

struct Candidate {
    side: Side,
    interface: String,
    limit: Option<u32>,
}

fn split(spec: &str) -> (&str, Option<&str>) {
    match spec.split_once(':') {
        Some((app, endpoint)) => (app, Some(endpoint)),
        None => (spec, None),
    }
}

impl Model {
    /// Relates two applications; endpoints may be left out where only one pair fits.
    pub fn integrate(&mut self, a: &str, b: &str) -> Result<u32, Refusal> {
        let pairs = self.pairs(a, b)?;
        let (requirer, provider) = match <[_; 1]>::try_from(pairs) {
            Ok([pair]) => pair,
            Err(pairs) if pairs.is_empty() => return Err(Refusal::NoRelations),
            Err(pairs) => {
                let choices: Vec<String> = pairs
                    .iter()
                    .map(|(a, b)| format!("\"{}\"", key(a, b)))
                    .collect();
                let choices = choices.join("; ");
                return Err(Refusal::Ambiguous {
                    asked: format!("{a} {b}"),
                    choices,
                });
            }
        };
        let key = key(&requirer, &provider);
        for side in [&requirer.side, &provider.side] {
            if self
                .applications
                .get(&side.app)
                .is_some_and(|app| app.dying)
            {
                return Err(Refusal::NotAlive(side.app.clone()));
            }
        }
        if self
            .relations
            .values()
            .any(|relation| !relation.gone && relation.key() == key)
        {
            return Err(Refusal::RelationExists(key));
        }
        for candidate in [&requirer, &provider] {
            self.check_limit(candidate, &key)?;
        }
        let interface = requirer.interface;
        Ok(self.add_relation(vec![requirer.side, provider.side], interface))
    }

    fn check_limit(&self, candidate: &Candidate, key: &str) -> Result<(), Refusal> {
        let Some(limit) = candidate.limit else {
            return Ok(());
        };
        let has = self
            .relations
            .values()
            .filter(|it| !it.gone && it.sides.contains(&candidate.side))
            .count();
        if has < limit as usize {
            return Ok(());
        }
        let Side { app, endpoint, .. } = &candidate.side;
        let endpoint = format!("{app}:{endpoint}");
        Err(Refusal::Limit {
            key: key.to_owned(),
            endpoint,
            limit,
        })
    }

    /// Starts the end of a relation: units see departed and broken; it is gone once all left.
    pub fn remove_relation(&mut self, a: &str, b: &str) -> Result<(), Refusal> {
        let matches = |relation: &Relation| {
            let fits = |spec: &str| {
                let (app, endpoint) = split(spec);
                relation
                    .side(app)
                    .is_some_and(|it| endpoint.is_none_or(|e| e == it.endpoint))
            };
            !relation.is_peer() && !relation.gone && fits(a) && fits(b)
        };
        let found: Vec<(u32, String)> = self
            .relations
            .values()
            .filter(|it| matches(it) && split(a).0 != split(b).0)
            .map(|it| (it.id, it.key()))
            .collect();
        match found.as_slice() {
            [] => Err(Refusal::NoRelation(format!("{a} {b}"))),
            [(id, _)] => {
                if let Some(relation) = self.relations.get_mut(id) {
                    relation.dying = true;
                }
                self.drop_finished_relations();
                Ok(())
            }
            several => {
                let choices: Vec<String> = several
                    .iter()
                    .map(|(_, key)| format!("\"{key}\""))
                    .collect();
                let choices = choices.join("; ");
                Err(Refusal::Ambiguous {
                    asked: format!("{a} {b}"),
                    choices,
                })
            }
        }
    }

    /// Makes the peer relations of a new application.
    pub(super) fn add_peers(&mut self, app: &str) {
        let Some(application) = self.applications.get(app) else {
            return;
        };
        let endpoints = application.metadata.endpoints.clone();
        for (endpoint, declared) in endpoints
            .into_iter()
            .filter(|(_, it)| it.role == Role::Peer)
        {
            let side = Side {
                app: app.to_owned(),
                endpoint,
                role: Role::Peer,
            };
            if !self.relations.values().any(|it| it.sides.contains(&side)) {
                self.add_relation(vec![side], declared.interface);
            }
        }
    }

    fn add_relation(&mut self, sides: Vec<Side>, interface: String) -> u32 {
        let id = self.next_relation;
        self.next_relation += 1;
        let relation = Relation {
            id,
            sides,
            interface,
            dying: false,
            gone: false,
            scope: BTreeSet::new(),
            leaving: BTreeSet::new(),
            apps: BTreeMap::new(),
            units: BTreeMap::new(),
        };
        self.relations.insert(id, relation);
        id
    }

    fn candidates(&self, spec: &str) -> Result<Vec<Candidate>, Refusal> {
        let (app, endpoint) = split(spec);
        let application = self
            .applications
            .get(app)
            .ok_or_else(|| Refusal::NoApplication(app.to_owned()))?;
        let declared = &application.metadata.endpoints;
        if let Some(endpoint) = endpoint.filter(|it| !declared.contains_key(*it)) {
            let (app, endpoint) = (app.to_owned(), endpoint.to_owned());
            return Err(Refusal::NoEndpoint { app, endpoint });
        }
        let all = declared.iter().filter(|(name, it)| {
            it.role != Role::Peer && endpoint.is_none_or(|wanted| wanted == name.as_str())
        });
        Ok(all
            .map(|(name, it)| Candidate {
                side: Side {
                    app: app.to_owned(),
                    endpoint: name.clone(),
                    role: it.role,
                },
                interface: it.interface.clone(),
                limit: it.limit,
            })
            .collect())
    }

    /// All pairs of fitting endpoints, requirer first.
    fn pairs(&self, a: &str, b: &str) -> Result<Vec<(Candidate, Candidate)>, Refusal> {
        let mut pairs = Vec::new();
        for (requirers, providers) in [(a, b), (b, a)] {
            for requirer in self.candidates(requirers)? {
                for provider in self.candidates(providers)? {
                    let roles = (requirer.side.role, provider.side.role);
                    if roles == (Role::Requirer, Role::Provider)
                        && requirer.interface == provider.interface
                        && requirer.side.app != provider.side.app
                    {
                        let side = &requirer.side;
                        let again = Candidate {
                            side: side.clone(),
                            interface: requirer.interface.clone(),
                            limit: requirer.limit,
                        };
                        pairs.push((again, provider));
                    }
                }
            }
        }
        Ok(pairs)
    }
}

fn key(requirer: &Candidate, provider: &Candidate) -> String {
    let (a, b) = (&requirer.side, &provider.side);
    format!("{}:{} {}:{}", a.app, a.endpoint, b.app, b.endpoint)
}
