//! The fast tests: tables, properties and whole-process scenarios without servers.

mod model;
mod plan;
mod properties;
