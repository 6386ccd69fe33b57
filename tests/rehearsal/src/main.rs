//! `rehearsal`: deploys the packed charm and plays its whole life; this is `tox -e rehearsal`.
//! Started under the name of a hook tool, it is that tool.

use std::process::ExitCode;

use clap::Parser;
use rehearsal::{juju, story};

fn main() -> ExitCode {
    juju::as_hook_tool().unwrap_or_else(|| story::main(&story::Options::parse()))
}
