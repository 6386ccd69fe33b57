//! The hook tools of the fast tests: one small program under many names, since a hook starts twenty of them.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let program = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&program)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    ExitCode::from(u8::try_from(rehearsal::juju::hook_tool_main(name)).unwrap_or(1))
}
