//! `rehearsal`: deploys the packed charm and plays its whole life; `rehearsal pack` packs it.
//! Started under the name of a hook tool, it is that tool.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rehearsal::pack::{Profile, pack};
use rehearsal::{juju, story};

/// A real deployment of temporal-k8s, played on this machine.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    story: story::Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes the `.charm` file.
    Pack(Pack),
}

#[derive(Debug, Args)]
struct Pack {
    /// Directory to put it into.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Without link-time optimisation: quicker, larger, for tests.
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    let program = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&program)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if juju::is_hook_tool(name) {
        let code = juju::hook_tool_main(name);
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let line = CommandLine::parse();
    match line.command {
        Some(Command::Pack(options)) => pack_into(&options),
        None => story::main(&line.story),
    }
}

fn pack_into(options: &Pack) -> ExitCode {
    let profile = if options.quick {
        Profile::Ci
    } else {
        Profile::Release
    };
    match pack(&story::workspace(), &options.out, profile) {
        Ok(path) => {
            println!("{}", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot pack the charm: {}", story::chain(&error));
            ExitCode::FAILURE
        }
    }
}
