//! `dispatch`: the one binary that Juju starts for every hook and action.

fn main() {}
