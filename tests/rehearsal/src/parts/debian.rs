//! RabbitMQ with the Erlang that it needs, PgBouncer, a PostgreSQL with TLS and valgrind, from the packages of
//! the Debian-like system that the tests run on.
//!
//! The system's own apt resolves and verifies them with its own sources and keys, but in private
//! directories: nothing on the host is installed or changed, and no rights are needed. What the
//! host lacks beside them (a library, say) comes along. The version is the distribution's.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::PartsError;
use super::progress::{Agenda, Job, Progress};
use super::run::run;

/// Raise it when the layout of the cache entry changes.
const LAYOUT: u32 = 1;

const REMEDY: &str = "apt needs its sources within reach; `apt-get update` shows whether they are";

/// What is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packages {
    /// RabbitMQ with its Erlang.
    RabbitMq,
    /// PgBouncer.
    PgBouncer,
    /// PostgreSQL, with TLS.
    Postgresql,
    /// valgrind.
    Valgrind,
}

impl Packages {
    /// The part's name.
    const fn part(self) -> &'static str {
        match self {
            Self::RabbitMq => "rabbitmq",
            Self::PgBouncer => "pgbouncer",
            Self::Postgresql => "postgresql",
            Self::Valgrind => "valgrind",
        }
    }

    /// The package that brings all others.
    const fn package(self) -> &'static str {
        match self {
            Self::RabbitMq => "rabbitmq-server",
            Self::PgBouncer => "pgbouncer",
            Self::Postgresql => "postgresql",
            Self::Valgrind => "valgrind",
        }
    }

    /// What is taken from packages even where the host has it: the installed files may be anywhere.
    const fn fresh(self) -> &'static [&'static str] {
        match self {
            Self::RabbitMq => &["erlang", "esl-erlang", "rabbitmq-server"],
            Self::PgBouncer => &["pgbouncer"],
            Self::Postgresql => &["postgresql"],
            Self::Valgrind => &["valgrind"],
        }
    }

    /// The name in the cache: another release of the system makes another entry.
    pub(super) fn entry(self) -> String {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        format!("{}-{}-{LAYOUT}", self.part(), system(&release))
    }

    /// What it is called, and about how long it takes.
    pub(super) fn job(self) -> Job {
        Job {
            title: self.part().to_owned(),
            seconds: 20.0,
        }
    }

    /// Fetches the packages and lays them out in `staging`: the unpacked files below `tree`, programs in
    /// `bin`, and RabbitMQ's own directory as `rabbitmq`.
    pub(super) fn unpack(self, staging: &Path, agenda: &mut Agenda) -> Result<(), PartsError> {
        unpack(self, staging, agenda)?;
        match self {
            Self::RabbitMq => lay_out_rabbitmq(staging),
            Self::PgBouncer => scripts(staging, &["pgbouncer"], PGBOUNCER),
            Self::Postgresql => scripts(staging, &["initdb", "postgres"], POSTGRESQL),
            Self::Valgrind => scripts(staging, &["valgrind"], VALGRIND),
        }
    }
}

/// The packages' own `erl` looks below `/usr` only, and `ERL_ROOTDIR` does not change that.
const ERL: &str = r#"ROOTDIR=$root/tree/usr/lib/erlang
BINDIR=$(echo "$ROOTDIR"/erts-*/bin)
EMU=beam
PROGNAME=erl
export ROOTDIR BINDIR EMU PROGNAME
exec "$BINDIR/erlexec" "$@"
"#;

const PGBOUNCER: &str = r#"exec "$root/tree/usr/sbin/pgbouncer" "$@"
"#;

/// One version of several that there might be: the directory has its number. The programs find everything else relative to
/// themselves.
const POSTGRESQL: &str = r#"exec "$root"/tree/usr/lib/postgresql/*/bin/"$(basename "$0")" "$@"
"#;

/// The distribution's own script around it does nothing that is needed here.
const VALGRIND: &str = r#"VALGRIND_LIB=$root/tree/usr/libexec/valgrind
export VALGRIND_LIB
program=$root/tree/usr/bin/valgrind
[ -x "$program.bin" ] && program=$program.bin
exec "$program" "$@"
"#;

/// Whatever is run brings its libraries.
const LIBRARIES: &str = r#"#!/bin/sh
root=$(dirname "$(dirname "$(readlink -f "$0")")")
for libraries in "$root"/tree/usr/lib/*-linux-gnu* "$root"/tree/lib/*-linux-gnu*; do
    [ -d "$libraries" ] && LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
"#;

fn system(release: &str) -> String {
    let field = |name: &str| {
        let line = release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let value = line.unwrap_or("unknown").trim_matches('"');
        value.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-")
    };
    format!("{}-{}", field("ID"), field("VERSION_ID"))
}

fn unpack(packages: Packages, staging: &Path, agenda: &mut Agenda) -> Result<(), PartsError> {
    let part = packages.part();
    for (program, package) in [("apt-get", "apt"), ("dpkg-deb", "dpkg")] {
        let tried = Command::new(program).arg("--version").output();
        if tried.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Err(PartsError::NoPackages {
                part,
                program,
                package,
            });
        }
    }
    let mut progress = Progress::start(agenda, "unpacking packages of the system");
    let place = staging.join(".apt");
    let configuration = configure(packages, &place)?;
    for arguments in [
        &["update"][..],
        &[
            "install",
            "--fix-broken",
            "--download-only",
            "--yes",
            packages.package(),
        ],
    ] {
        let mut apt = Command::new("apt-get");
        apt.arg("--config-file").arg(&configuration).arg("-qq");
        apt.args(arguments).env("LC_ALL", "C");
        run(part, apt, REMEDY, &mut progress)?;
    }
    let tree = staging.join("tree");
    let archives = place.join("cache/archives");
    for package in listed(&archives)? {
        if package.extension().is_some_and(|it| it == "deb") {
            let mut dpkg = Command::new("dpkg-deb");
            dpkg.arg("--extract").arg(&package).arg(&tree);
            run(part, dpkg, REMEDY, &mut progress)?;
        }
    }
    fs::remove_dir_all(&place).map_err(PartsError::file("remove", &place))?;
    progress.done();
    Ok(())
}

/// Writes the configuration that keeps apt in `place`, and what it is to believe is installed.
fn configure(packages: Packages, place: &Path) -> Result<PathBuf, PartsError> {
    for directory in ["state/lists/partial", "cache/archives/partial"] {
        let directory = place.join(directory);
        fs::create_dir_all(&directory).map_err(PartsError::file("create", &directory))?;
    }
    let installed = fs::read_to_string("/var/lib/dpkg/status").unwrap_or_default();
    let root = place.display();
    // Hooks are for the host: they may empty its caches.
    let text = format!(
        "\
Dir::State \"{root}/state\";
Dir::State::lists \"lists\";
Dir::State::status \"{root}/status\";
Dir::Cache \"{root}/cache\";
Dir::Cache::archives \"archives\";
APT::Sandbox::User \"root\";
APT::Install-Recommends \"false\";
Acquire::Languages \"none\";
Acquire::Retries \"3\";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
"
    );
    let configuration = place.join("apt.conf");
    for (path, text) in [
        (&place.join("status"), &without_fresh(packages, &installed)),
        (&configuration, &text),
    ] {
        fs::write(path, text).map_err(PartsError::file("write", path))?;
    }
    Ok(configuration)
}

/// The list of installed packages without those that are to be fetched in any case.
fn without_fresh(packages: Packages, installed: &str) -> String {
    let fresh = |paragraph: &&str| {
        let name = paragraph
            .lines()
            .find_map(|it| it.strip_prefix("Package: "));
        name.is_some_and(|name| packages.fresh().iter().any(|it| name.starts_with(it)))
    };
    let kept: Vec<_> = installed
        .split("\n\n")
        .filter(|paragraph| !fresh(paragraph))
        .collect();
    kept.join("\n\n")
}

/// Gives the programs names that do not depend on versions. Links are relative: the staging
/// directory gets another name.
fn lay_out_rabbitmq(staging: &Path) -> Result<(), PartsError> {
    let runtime = only(&staging.join("tree/usr/lib/erlang"), "erts-")?;
    let server = only(
        &staging.join("tree/usr/lib/rabbitmq/lib"),
        "rabbitmq_server-",
    )?;
    let bin = staging.join("bin");
    scripts(staging, &["erl"], ERL)?;
    for (target, link) in [
        (
            format!("../tree/usr/lib/erlang/{runtime}/bin/epmd"),
            bin.join("epmd"),
        ),
        (
            format!("tree/usr/lib/rabbitmq/lib/{server}"),
            staging.join("rabbitmq"),
        ),
    ] {
        symlink(target, &link).map_err(PartsError::file("make the link", &link))?;
    }
    Ok(())
}

/// Writes programs in `bin` that run some of the packages'.
fn scripts(staging: &Path, names: &[&str], text: &str) -> Result<(), PartsError> {
    let bin = staging.join("bin");
    fs::create_dir(&bin).map_err(PartsError::file("create", &bin))?;
    for path in names.iter().map(|name| bin.join(name)) {
        fs::write(&path, [LIBRARIES, text].concat()).map_err(PartsError::file("write", &path))?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))
            .map_err(PartsError::file("make executable", &path))?;
    }
    Ok(())
}

/// The name of the entry of `directory` that starts with `prefix`.
fn only(directory: &Path, prefix: &str) -> Result<String, PartsError> {
    let names = listed(directory)?
        .into_iter()
        .filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
    names
        .into_iter()
        .find(|name| name.starts_with(prefix))
        .ok_or_else(|| ErrorKind::NotFound.into())
        .map_err(PartsError::file("find the program below", directory))
}

fn listed(directory: &Path) -> Result<Vec<PathBuf>, PartsError> {
    let read = || -> io::Result<Vec<_>> {
        fs::read_dir(directory)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    read().map_err(PartsError::file("read the directory", directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_release_of_the_system_is_another_entry() {
        let release = "PRETTY_NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\nID_LIKE=x\n";
        assert_eq!(system(release), "debian-12");
        assert_eq!(
            system("ID=\"ubuntu\"\nVERSION_ID=\"24.04\""),
            "ubuntu-24.04"
        );
        assert_eq!(system("ID=../x"), "..-x-unknown");
    }

    #[test]
    fn an_installed_erlang_is_not_believed() {
        let installed = "Package: socat\nStatus: x\n\nPackage: erlang-base\nStatus: x\n\n\
                         Package: rabbitmq-server\n\nPackage: zlib1g\n";
        assert_eq!(
            without_fresh(Packages::RabbitMq, installed),
            "Package: socat\nStatus: x\n\nPackage: zlib1g\n"
        );
    }
}
