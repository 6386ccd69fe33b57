//! What hooks cost, measured: `tox -e bench`. It prints the tables of `docs/performance.md` and draws them into the
//! build directory.
//!
//! - `settled`: hooks in which nothing happens, each at least twenty times on each transport, on the real parts;
//! - `life`: a unit's whole life, twenty times on each transport, on the fakes of the fast tests;
//! - `growth`: settled hooks with more and more remote units and relations, on the fakes;
//! - `deployment`: the whole deployment of applications of 1, 10 and 30 units, over either interface of the databases, on
//!   the fakes;
//! - `hundred`: the same with 100 units, over `postgresql_client`, only where it is asked for.
//!
//! Names of parts as arguments play these parts only; `--release` measures the program as it ships, which takes
//! longer to build.
#![cfg(test)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "measures programs"
)]

mod deployment;
mod fakes;
mod figures;
mod growth;
mod life;
mod plots;
#[allow(dead_code, reason = "some steps are for scenarios only")]
#[path = "../scenarios"]
mod scenarios {
    pub(crate) mod stage;
}
mod settled;
#[allow(dead_code, unused_imports, reason = "faults and tests are for tests")]
#[path = "../support/mod.rs"]
mod support;

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use rehearsal::cloud::{self, Entered};
use rehearsal::pack::Profile;
use rehearsal::stage::{Interface, Setup, programme};
use rehearsal::{chain, juju, meter};

type Outcome<T> = Result<T, Box<dyn Error>>;

const INSIDE: &str = "--inside";

fn main() -> ExitCode {
    if let Some(code) = juju::as_hook_tool().or_else(meter::as_meter) {
        return code;
    }
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [first, charm, workdir] if first == INSIDE => inside(charm.as_ref(), workdir.as_ref()),
        words => outside(words),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("bench: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn outside(words: &[OsString]) -> Outcome<u8> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let parts: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| !word.starts_with("--"))
        .collect();
    if let Some(unknown) = parts
        .iter()
        .find(|part| !["settled", "life", "growth", "deployment", "hundred"].contains(part))
    {
        return Err(format!("there is no part `{unknown}`").into());
    }
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    let profile = if words.contains(&"--release") {
        Profile::Release
    } else {
        Profile::Ci
    };
    cloud::allowed()?;
    let charm = programme::prepare_and_pack(&["1.32.2"], &["1.19.2"], profile)?;
    let workdir = programme::workdir()?;
    let place = workdir.path();
    let program = place.join("dispatch");
    meter::unpack_program(&charm, &program)?;
    let out = out()?;
    let size = fs::metadata(&program)?.len() / 1024;
    println!("The program has {size} KiB; profile {profile:?}.");
    let begin = Instant::now();
    let mut settled = None;
    if wanted("settled") {
        let metered = place.join("metered.charm");
        meter::metered(&charm, &metered)?;
        let told = place.join(settled::TOLD);
        let arguments = vec![INSIDE.into(), metered.into(), place.into()];
        match cloud::run_inside(&[place.to_owned()], arguments)? {
            0 => {}
            code => return Ok(code),
        }
        let told: settled::Told = serde_json::from_slice(&fs::read(told)?)?;
        told.print();
        plots::hooks(&told.hooks, &out.join("hooks.svg"))?;
        settled = Some(told);
    }
    if wanted("life") {
        life::play(&program).print();
    }
    if wanted("growth") {
        let growth = growth::play(&program);
        growth.print();
        plots::growth(&growth, &out.join("growth.svg"))?;
    }
    let mut deployments = Vec::new();
    if wanted("deployment") {
        for interface in [Interface::Modern, Interface::Legacy] {
            let sizes = &deployment::SIZES;
            deployments.extend(deployment::play(&program, interface, sizes));
        }
    }
    if parts.contains(&"hundred") {
        deployments.extend(deployment::play(&program, Interface::Modern, &[100]));
    }
    if !deployments.is_empty() {
        deployment::print(&deployments);
        plots::deployments(&deployments, &out.join("deployment.svg"))?;
    }
    if let Some(told) = settled {
        told.print_goals();
    }
    let seconds = begin.elapsed().as_secs();
    println!(
        "\nMeasured in {seconds} s; the plots are in `{}`.",
        out.display()
    );
    Ok(0)
}

/// Where plots go: below the build directory.
fn out() -> Outcome<PathBuf> {
    let this = std::env::current_exe()?;
    let target = this.ancestors().nth(3).unwrap_or(Path::new("."));
    let out = target.join("bench");
    fs::create_dir_all(&out)?;
    Ok(out)
}

fn inside(charm: &Path, workdir: &Path) -> Outcome<u8> {
    if let Entered::Outside(code) = cloud::enter(&[workdir.to_owned()])? {
        return Ok(code);
    }
    let told = settled::play(&Setup {
        charm: charm.to_owned(),
        workdir: workdir.to_owned(),
    })?;
    fs::write(workdir.join(settled::TOLD), serde_json::to_vec(&told)?)?;
    Ok(0)
}
