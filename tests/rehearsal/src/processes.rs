//! The processes of the sandbox, as `/proc` shows them: to find what must be gone, to prove that
//! no command line carries a secret, to stop a whole server. Read by the story and by tests.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number in the sandbox.
    pub id: u32,
    /// The process that started it.
    pub parent: u32,
    /// The file name of its program, as the kernel keeps it: at most 15 bytes.
    pub name: String,
    /// Its command line.
    pub arguments: Vec<String>,
}

/// All processes of this PID namespace and those below it; zombies are left out.
pub fn all() -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(id) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // A process may end while it is looked at.
        processes.extend(one(id));
    }
    Ok(processes)
}

/// The processes with this very argument.
pub fn with_argument(argument: &str) -> io::Result<Vec<Process>> {
    let mut processes = all()?;
    processes.retain(|it| it.arguments.iter().any(|word| word == argument));
    Ok(processes)
}

fn one(id: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name is in parentheses and may contain any byte, parentheses too.
    let (head, rest) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let line = fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let arguments = line
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .filter(|word| !word.is_empty())
        .collect();
    (state != "Z").then(|| Process {
        id,
        parent,
        name: name.to_owned(),
        arguments,
    })
}

/// A process and all that it started, directly or not; parents come before their children.
pub fn tree(root: u32) -> io::Result<Vec<Process>> {
    let (mut found, mut others): (Vec<_>, Vec<_>) =
        all()?.into_iter().partition(|it| it.id == root);
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|it| it.id) {
        found.extend(others.extract_if(.., |it| it.parent == parent));
        next += 1;
    }
    Ok(found)
}

/// The environment that a process was started with; empty if it has ended or does not tell.
pub fn environment(id: u32) -> String {
    let bytes = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends a signal to a process and to all that it started, directly or not.
pub fn signal_tree(root: u32, signal: Signal) -> io::Result<()> {
    for process in tree(root)? {
        let id = i32::try_from(process.id).map_err(io::Error::other)?;
        match kill(Pid::from_raw(id), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::sys::signal::Signal;

    use super::{all, signal_tree};

    #[test]
    fn a_tree_of_processes_is_found_and_ended() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 & wait"])
            .spawn()
            .unwrap();
        let child = loop {
            let child = all()
                .unwrap()
                .into_iter()
                .find(|it| it.parent == shell.id());
            match child {
                Some(child) if child.name == "sleep" => break child,
                _ => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        };
        assert_eq!(child.arguments, ["sleep", "60"]);
        signal_tree(shell.id(), Signal::SIGKILL).unwrap();
        shell.wait().unwrap();
        let gone = || all().unwrap().iter().all(|it| it.id != child.id);
        while !gone() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
