//! A real deployment, played on one machine: an emulated Juju, and everything else real.

pub mod cloud;
pub mod juju;
