//! The fast tests: tables, properties and whole-process scenarios without servers.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod juju;
#[cfg(test)]
mod regressions_relations;
