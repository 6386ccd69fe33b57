//! A real deployment, played on one machine: an emulated Juju, and everything else real.

pub mod parts;
pub mod servers;
