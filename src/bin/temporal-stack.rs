//! `temporal-stack`: installs the other Temporal. All of it is in the library's `stack`.

use std::process::ExitCode;

use clap::Parser as _;
use temporal_k8s::stack::cli::{Cli, main as run};

fn main() -> ExitCode {
    run(Cli::parse())
}
