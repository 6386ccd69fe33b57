//! The pretend cluster keeps its claims. Needs the Python environment of `tox -e integration`.

#[cfg(test)]
mod fates;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod server;
#[cfg(test)]
mod workloads;
#[cfg(test)]
mod world;
