//! `temporal-stack`, the program, against a real Kubernetes API with its controllers and scheduler; the node and
//! its storage are pretended, since no images can be pulled. Needs the Python environment of
//! `tox -e integration`.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests touch the world"
)]

#[cfg(test)]
mod change;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod heard;
#[cfg(test)]
mod install;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod program;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod rabbitmq;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod world;

#[cfg(test)]
#[path = "../rehearsal/tests/programs/sandbox.rs"]
mod sandbox;
