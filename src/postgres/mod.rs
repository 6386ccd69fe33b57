//! PostgreSQL: what the server will find there, and the turn to restart.

mod connection;
mod proof;
mod ring;
mod turn;

pub use proof::{StoreFacts, proof};
pub use turn::{Turn, turn};
