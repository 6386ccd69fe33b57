//! The emulated Juju keeps the rules that juju.md §1–§5 of the facts name: one test per rule.

#[cfg(test)]
mod bags;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod events;
#[cfg(test)]
mod process;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod transactions;
#[cfg(test)]
mod world;
