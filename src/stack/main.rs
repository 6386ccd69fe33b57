//! `temporal-stack`: installs the other Temporal.

use std::process::ExitCode;

use clap::Parser as _;
use temporal_stack::cli::{Cli, main as run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    run(Cli::parse()).await
}
