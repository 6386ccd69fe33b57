//! `rehearsal`: deploys the packed charm and plays its whole life.

fn main() {}
