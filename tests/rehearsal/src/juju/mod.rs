//! The emulated Juju.

pub mod cloud;
