//! The fast tests: tables, properties and whole-process scenarios without servers.

mod model;
mod pebble;
mod plan;
mod properties;
