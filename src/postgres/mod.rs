//! PostgreSQL: what the server will find there, and the turn to restart.

mod connection;
mod connections;
mod proof;
mod rights;
mod ring;
mod tls;
mod turn;

pub use connections::{Connections, Room};
pub use proof::{StoreFacts, proof};
pub use rights::{Denied, Fixed};
pub use ring::silent_workers;
pub use tls::Distrust;
pub use turn::{LEASE, Turn, turn};
