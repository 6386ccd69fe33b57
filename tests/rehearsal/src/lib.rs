//! A real deployment, played on one machine: an emulated Juju, and everything else real.

pub mod cloud;
pub mod counterparts;
pub mod juju;
pub mod pack;
pub mod parts;
pub mod processes;
pub mod servers;
pub mod stage;
pub mod story;
