//! The real programs, each alone: built or found, started, used, stopped. Needs the Python
//! environment of `tox -e integration`.

#[cfg(test)]
mod servers {
    mod go_rpc;
    mod nginx;
    mod parts;
    mod postgresql;
    mod running;
    mod temporal;
}
