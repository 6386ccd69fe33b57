//! The fast tests: tables, properties and whole-process scenarios without servers.

#[cfg(test)]
mod server;
