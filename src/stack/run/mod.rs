//! What is done in a cluster: look, compare, carry out, wait, remove; make accounts.

pub mod apply;
pub mod check;
pub mod delete;
mod events;
pub mod plan;
pub mod ready;
pub mod status;
pub mod user;
pub mod wait;
