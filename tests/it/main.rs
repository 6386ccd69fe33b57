//! The fast tests: tables, properties and whole-process scenarios without servers.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod juju;
#[cfg(test)]
mod model;
#[cfg(test)]
mod pebble;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod regressions_relations;
