//! The fast tests: tables, properties and whole-process scenarios without servers.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests touch the world"
)]

#[cfg(test)]
mod agent;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod databases;
#[cfg(test)]
mod dispatch;
#[cfg(test)]
mod dispatch_faults;
#[cfg(test)]
mod house;
#[cfg(test)]
mod juju;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod model;
#[cfg(test)]
mod pebble;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod questions;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod regressions_relations;
#[cfg(test)]
#[path = "../scenarios/mod.rs"]
mod scenarios;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod server;
#[cfg(test)]
mod stores;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod transports;
#[cfg(test)]
mod turns;
#[cfg(test)]
mod wire;
