//! What one hook costs: time, processor and memory of the charm's program, measured beside it.
//!
//! A charm is measured when a script that starts this program stands in the place of its `dispatch`
//! ([`metered`]). This program then starts the real one and tells its figures on standard output, which is part of
//! the hook's record ([`Cost::of`]). So neither entering a container nor the agent is counted, and the hook tools
//! are: a process is charged with those that it has started and waited for.
//!
//! Memory is that of the charm's program alone, read at its very end, for which it is traced: what the kernel keeps
//! of a process afterwards begins with the memory of the one that has started it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use nix::sys::ptrace::{self, Options};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::sys::time::TimeValLike as _;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use zip::write::SimpleFileOptions;

use crate::juju::HookRun;

/// What makes this program the meter; the program to measure follows.
pub const OPTION: &str = "--metered";
/// How its line begins.
const LINE: &str = "metered: ";
/// The charm's real program, beside the script.
const REAL: &str = "dispatch.real";

/// What a hook has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// From the program's start to its end.
    pub wall: Duration,
    /// Processor time of the program and of the hook tools that it has started, in the kernel and outside.
    pub processor: Duration,
    /// The largest resident set of the program, in bytes; 0 if it ended too quickly to be seen.
    pub memory: u64,
}

impl Cost {
    /// What a metered hook has told.
    pub fn of(run: &HookRun) -> Option<Self> {
        let mut lines = run.stdout.lines().rev();
        let numbers = lines.find_map(|line| line.strip_prefix(LINE))?;
        let mut numbers = numbers.split(' ').map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(Self {
            wall: Duration::from_micros(next()?),
            processor: Duration::from_micros(next()?),
            memory: next()?,
        })
    }
}

/// Is this program the meter? Then it measures, and ends as the measured one did.
pub fn as_meter() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == OPTION).then_some(())?;
    let mut command = Command::new(arguments.next()?);
    command.args(arguments);
    Some(match measure(command) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        Err(error) => {
            eprintln!("the program cannot be measured: {error}");
            ExitCode::FAILURE
        }
    })
}

fn measure(mut command: Command) -> io::Result<i32> {
    let begin = Instant::now();
    let child = Pid::from_raw(command.spawn()?.id().cast_signed());
    // one that does nothing may have ended already
    ptrace::seize(child, Options::PTRACE_O_TRACEEXIT).ok();
    let mut memory = 0;
    let code = loop {
        match waitpid(child, None)? {
            WaitStatus::Exited(_, code) => break code,
            WaitStatus::Signaled(_, signal, _) => break 128 + signal as i32,
            // it is about to end, or to be told of a signal
            WaitStatus::PtraceEvent(..) => {
                memory = memory.max(peak(child));
                ptrace::cont(child, None)?;
            }
            WaitStatus::Stopped(_, signal) => {
                let signal = Some(signal).filter(|signal| *signal != Signal::SIGTRAP);
                ptrace::cont(child, signal)?;
            }
            _ => {}
        }
    };
    let wall = begin.elapsed().as_micros();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let processor = (used.user_time() + used.system_time()).num_microseconds();
    println!("{LINE}{wall} {processor} {memory}");
    Ok(code)
}

/// The largest resident set of a process so far, in bytes.
fn peak(process: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap_or_default().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap_or_default() * 1024
}

/// Makes of a `.charm` file one that is measured by this program.
pub fn metered(charm: &Path, metered: &Path) -> io::Result<()> {
    let this = std::env::current_exe()?.canonicalize()?;
    let script = format!(
        "#!/bin/sh\nexec '{}' {OPTION} \"$PWD/{REAL}\"\n",
        this.display()
    );
    let mut from = zip::ZipArchive::new(File::open(charm)?)?;
    let mut to = zip::ZipWriter::new(File::create(metered)?);
    let program = SimpleFileOptions::default().unix_permissions(0o755);
    for index in 0..from.len() {
        let file = from.by_index(index)?;
        if file.name()? == "dispatch" {
            to.start_file(REAL, program)?;
            io::copy(&mut { file }, &mut to)?;
        } else {
            to.raw_copy_file(file)?;
        }
    }
    to.start_file("dispatch", program)?;
    to.write_all(script.as_bytes())?;
    to.finish()?;
    Ok(())
}

/// Takes the program out of a `.charm` file.
pub fn unpack_program(charm: &Path, program: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut from = zip::ZipArchive::new(File::open(charm)?)?;
    let mut to = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o755)
        .open(program)?;
    io::copy(&mut from.by_name("dispatch")?, &mut to)?;
    Ok(())
}
