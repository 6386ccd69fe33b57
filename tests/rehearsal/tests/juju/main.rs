//! The emulated Juju keeps the rules of Juju: one test per rule.

#[cfg(test)]
mod bags;
#[cfg(test)]
mod client;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod events;
#[cfg(test)]
mod process;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod removal;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod transactions;
#[cfg(test)]
mod world;
