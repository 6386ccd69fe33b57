//! `pack`: makes the `.charm` file; this is `tox -e pack`. Prints the archive's path.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use rehearsal::chain;
use rehearsal::pack::{self, Progress, pack};

/// Make the .charm file that Juju deploys.
#[derive(Debug, Parser)]
#[command(name = "pack")]
struct Arguments {
    /// Where to put the archive
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// How to build `dispatch`: as it ships, or faster and larger for tests
    #[arg(long, value_enum, default_value_t = Profile::Release)]
    profile: Profile,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Profile {
    Release,
    Ci,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let profile = match arguments.profile {
        Profile::Release => pack::Profile::Release,
        Profile::Ci => pack::Profile::Ci,
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match pack(&workspace, &arguments.out, profile, Progress::Shown) {
        Ok(charm) => {
            println!("{}", charm.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("pack: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}
