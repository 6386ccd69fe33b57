//! `rehearsal`: deploys the packed charm and plays its whole life; this is `tox -e rehearsal`.
//! Started under the name of a hook tool, it is that tool.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use rehearsal::{juju, story};

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
    story::main(&story::Options::parse())
}
