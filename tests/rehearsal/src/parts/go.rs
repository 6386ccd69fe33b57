//! Builds the Go programs from the modules pinned below `parts/`.
//!
//! The module directories are only read (`-mod=readonly`), so the tree stays as it is.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sha2::{Digest, Sha256};

use super::files::copy_tree;
use super::progress::{Agenda, Job, Progress};
use super::run::run;
use super::{IPFS_CLUSTER_VERSION, KUBO_VERSION, PartsError};

/// The Go that builds everything: new enough for the newest Temporal, and it still builds 1.17.4.
pub(super) const GO_VERSION: &str = "1.27.3";

/// What to know about a build that failed.
const REMEDY: &str = "the first build needs a Go module proxy and some 10 GB of disk; \
                      what was done so far is kept, so a second try goes on from there";

/// One set of flags for all keeps the build cache shared; what differs is for the linker.
const FLAGS: [&str; 4] = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-v"];

/// Temporal 1.17 links only with the link-name check off; it does no harm to the others.
const UNCHECKED: &str = "-checklinkname=0";

/// Stands in for the QUIC of old libp2p, see there.
const WITHOUT_QUIC: &str = "without-quic";

/// What to build from one pinned module.
#[derive(Debug)]
pub(super) struct Recipe {
    title: String,
    module: PathBuf,
    /// The directories below `parts/` with source of our own that is compiled in.
    own: &'static [&'static str],
    /// Package and the name its program gets.
    programs: &'static [(&'static str, &'static str)],
    /// A directory of a module that the programs need at run time, and the name it gets.
    data: Option<(&'static str, &'static str, &'static str)>,
    /// The flags of Go's linker.
    linker: String,
    /// How long two quiet cores took for it when nothing was in the build cache but what parts before it left
    /// there. What is seen corrects it while parts are made.
    seconds: u32,
}

/// Fetches the sources of a part while another is compiled; ends with this value.
#[derive(Debug)]
pub(super) struct Fetching(Option<Child>);

impl Drop for Fetching {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Recipe {
    pub(super) fn pebble(version: &str) -> Self {
        Self {
            title: format!("pebble {version}"),
            module: module(&format!("pebble-{version}")),
            own: &[],
            programs: &[("github.com/canonical/pebble/cmd/pebble", "pebble")],
            data: None,
            linker: UNCHECKED.to_owned(),
            seconds: 10,
        }
    }

    pub(super) fn temporal(version: &str) -> Self {
        Self {
            title: format!("temporal {version}"),
            module: module(&format!("temporal-{version}")),
            own: &[],
            programs: &[
                ("go.temporal.io/server/cmd/server", "temporal-server"),
                ("go.temporal.io/server/cmd/tools/sql", "temporal-sql-tool"),
            ],
            data: Some(("go.temporal.io/server", "schema/postgresql", "schema")),
            linker: UNCHECKED.to_owned(),
            seconds: match version {
                "1.17.4" => 75,
                "1.23.1" => 72,
                _ => 168,
            },
        }
    }

    /// A control plane and its store. Without its version stamped in, the API server would call
    /// itself v0.0.0; without symbols the four programs are a third smaller.
    pub(super) fn kubernetes(version: &str) -> Self {
        let stamp = "k8s.io/component-base/version";
        let mut numbers = version.split('.');
        let mut number = || numbers.next().unwrap_or_default();
        let (major, minor) = (number(), number());
        Self {
            title: format!("kubernetes {version}"),
            module: module(&format!("kubernetes-{version}")),
            own: &[],
            programs: &[
                ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
                (
                    "k8s.io/kubernetes/cmd/kube-controller-manager",
                    "kube-controller-manager",
                ),
                ("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler"),
                ("go.etcd.io/etcd/server/v3", "etcd"),
            ],
            data: None,
            linker: format!(
                "-s -w -X {stamp}.gitVersion=v{version} -X {stamp}.gitMajor={major} \
                 -X {stamp}.gitMinor={minor} -X {stamp}.gitTreeState=clean"
            ),
            seconds: 234,
        }
    }

    pub(super) fn kubo() -> Self {
        Self {
            title: format!("kubo {KUBO_VERSION}"),
            module: module(&format!("kubo-{KUBO_VERSION}")),
            own: &[],
            programs: &[("github.com/ipfs/kubo/cmd/ipfs", "ipfs")],
            data: None,
            linker: UNCHECKED.to_owned(),
            seconds: 60,
        }
    }

    pub(super) fn ipfs_cluster() -> Self {
        Self {
            title: format!("ipfs-cluster {IPFS_CLUSTER_VERSION}"),
            module: module(&format!("ipfs-cluster-{IPFS_CLUSTER_VERSION}")),
            own: &[WITHOUT_QUIC],
            programs: &[(
                "github.com/ipfs/ipfs-cluster/cmd/ipfs-cluster-service",
                "ipfs-cluster-service",
            )],
            data: None,
            linker: UNCHECKED.to_owned(),
            seconds: 38,
        }
    }

    /// A program of ours, on the modules of RTrade's Temporal.
    pub(super) fn asker() -> Self {
        Self {
            title: "asker".to_owned(),
            module: module("asker"),
            own: &["asker", WITHOUT_QUIC],
            programs: &[("asker", "asker")],
            data: None,
            linker: UNCHECKED.to_owned(),
            seconds: 23,
        }
    }

    /// A program of ours, on Go's standard library alone.
    pub(super) fn go_rpc() -> Self {
        Self {
            title: "go-rpc".to_owned(),
            module: module("go-rpc"),
            own: &["go-rpc"],
            programs: &[("go-rpc", "go-rpc")],
            data: None,
            linker: UNCHECKED.to_owned(),
            seconds: 5,
        }
    }

    /// What it is called and how long it takes.
    pub(super) fn job(&self) -> Job {
        Job {
            title: self.title.clone(),
            seconds: f64::from(self.seconds),
        }
    }

    /// The name in the cache: other pins, other source of ours or another Go make another entry.
    pub(super) fn entry(&self) -> Result<String, PartsError> {
        let mut hash = Sha256::new();
        for path in self.hashed()? {
            let text = fs::read(&path).map_err(PartsError::file("read the pins", &path))?;
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.update(GO_VERSION);
        hash.update(self.flags().join(" "));
        let hash = hash
            .finalize()
            .iter()
            .take(8)
            .fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
        Ok(format!("{}-{hash:016x}", self.title.replace(' ', "-")))
    }

    /// What a build depends on and nobody else pins: the pins themselves, and source of ours.
    fn hashed(&self) -> Result<Vec<PathBuf>, PartsError> {
        let mut paths = ["go.mod", "go.sum"]
            .map(|name| self.module.join(name))
            .to_vec();
        for directory in self.own {
            paths.extend(files_of(&module(directory))?);
        }
        Ok(paths)
    }

    /// Begins to fetch the sources, for as long as the value lives: the network has time while the
    /// processor compiles something else. What fails here fails again where it is told.
    pub(super) fn fetch(&self, go: &Path, cache: &Path) -> Fetching {
        let mut list = self.list(go, cache);
        for stdio in [Command::stdin, Command::stdout, Command::stderr] {
            stdio(&mut list, Stdio::null());
        }
        Fetching(list.spawn().ok())
    }

    /// Builds into `staging`. `cache` takes Go's own caches where the user has no place for them.
    pub(super) fn build(
        &self,
        go: &Path,
        cache: &Path,
        staging: &Path,
        agenda: &mut Agenda,
    ) -> Result<(), PartsError> {
        let mut progress = Progress::start(agenda, "looking for sources");
        progress.fetching(self.modules()?);
        let listed = run(&self.title, self.list(go, cache), REMEDY, &mut progress)?;
        let (stale, all) = packages(&listed);
        progress.compiling(stale, all, self.programs.len());
        // A trailing slash makes Go take it for a directory: several programs, one pass.
        let out = staging.join(".out").join("");
        fs::create_dir(&out).map_err(PartsError::file("create the directory", &out))?;
        let mut build = self.go(go, cache);
        build.arg("build").args(self.flags()).arg("-o").arg(&out);
        build.args(self.programs.iter().map(|(package, _)| package));
        run(&self.title, build, REMEDY, &mut progress)?;
        for (package, name) in self.programs {
            let built = out.join(program_of(package));
            let program = staging.join(name);
            fs::rename(&built, &program).map_err(PartsError::file("put in place", &program))?;
        }
        fs::remove_dir(&out).map_err(PartsError::file("remove the directory", &out))?;
        if let Some((module, directory, name)) = self.data {
            let mut list = self.go(go, cache);
            list.args(["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module]);
            let printed = run(&self.title, list, REMEDY, &mut progress)?;
            let found = PathBuf::from(printed.trim_end());
            copy_tree(&found.join(directory), &staging.join(name), 0o755)?;
        }
        progress.done();
        Ok(())
    }

    /// Lists all packages, and before each that is not in the build cache, `+`. For that it needs the
    /// sources, which it fetches.
    fn list(&self, go: &Path, cache: &Path) -> Command {
        let mut list = self.go(go, cache);
        list.arg("list").args(self.flags());
        list.args(["-deps", "-f", "{{if .Stale}}+{{end}}{{.ImportPath}}"]);
        list.args(self.programs.iter().map(|(package, _)| package));
        list
    }

    /// How many modules the pins are for; some of them only for tests.
    fn modules(&self) -> Result<usize, PartsError> {
        let path = self.module.join("go.sum");
        let pins = fs::read_to_string(&path).map_err(PartsError::file("read the pins", &path))?;
        let sources = |line: &&str| !line.contains("/go.mod ");
        Ok(pins.lines().filter(sources).count())
    }

    fn flags(&self) -> Vec<String> {
        let linker = format!("-ldflags={}", self.linker);
        FLAGS
            .map(str::to_owned)
            .into_iter()
            .chain([linker])
            .collect()
    }

    /// A `go` command that depends on the pins alone, not on what the user set for other projects.
    fn go(&self, go: &Path, cache: &Path) -> Command {
        let mut command = Command::new(go);
        command.current_dir(&self.module);
        for name in [
            "GOROOT",
            "GOOS",
            "GOARCH",
            "GOAMD64",
            "GOARM64",
            "GOEXPERIMENT",
            "GOTOOLDIR",
        ] {
            command.env_remove(name);
        }
        command.envs([
            ("CGO_ENABLED", "0"),
            ("GO111MODULE", "on"),
            ("GOFLAGS", ""),
            ("GOTOOLCHAIN", "local"),
            ("GOWORK", "off"),
        ]);
        if std::env::var_os("HOME").is_none_or(|home| home.is_empty()) {
            for (name, place) in [("GOPATH", "go"), ("GOCACHE", "go-build")] {
                if std::env::var_os(name).is_none() {
                    command.env(name, cache.join(place));
                }
            }
        }
        command
    }
}

/// The packages to compile, and how many there are in all.
fn packages(listed: &str) -> (HashSet<String>, usize) {
    let stale = listed.lines().filter_map(|line| line.strip_prefix('+'));
    (stale.map(str::to_owned).collect(), listed.lines().count())
}

fn module(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("parts")
        .join(name)
}

/// The files of a directory, in the order of their names.
fn files_of(directory: &Path) -> Result<Vec<PathBuf>, PartsError> {
    let unread = || PartsError::file("read the directory", directory);
    let entries = fs::read_dir(directory).map_err(unread())?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<_> = paths.collect::<Result<_, _>>().map_err(unread())?;
    paths.sort();
    Ok(paths)
}

/// The name that Go gives to a package's program: the last part of the path that is no major version.
fn program_of(package: &str) -> &str {
    let is_version = |part: &&str| {
        part.strip_prefix('v')
            .is_some_and(|number| number.parse::<u32>().is_ok())
    };
    package
        .rsplit('/')
        .find(|part| !is_version(part))
        .unwrap_or(package)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A stand-in for `go` that fails as a proxy out of reach does.
    #[test]
    fn a_failed_build_names_part_command_and_last_lines() {
        let place = tempfile::tempdir().unwrap();
        let go = place.path().join("go");
        let script = "#!/bin/sh\nseq 1 30 >&2\necho 'no such host' >&2\nexit 3\n";
        fs::write(&go, script).unwrap();
        fs::set_permissions(&go, fs::Permissions::from_mode(0o755)).unwrap();
        let staging = place.path().join("staging");
        fs::create_dir(&staging).unwrap();
        let recipe = Recipe::pebble("1.26.0");
        let mut agenda = Agenda::new(vec![recipe.job()]);
        let failed = recipe
            .build(&go, place.path(), &staging, &mut agenda)
            .unwrap_err()
            .to_string();
        for told in [
            "pebble 1.26.0: ",
            "list -mod=readonly",
            "exit status: 3",
            "no such host",
        ] {
            assert!(failed.contains(told), "{told} in {failed}");
        }
        assert!(
            failed.contains("\n12\n") && !failed.contains("\n11\n"),
            "{failed}"
        );
    }

    #[test]
    fn fetching_ends_with_its_value() {
        let place = tempfile::tempdir().unwrap();
        let (go, told) = (place.path().join("go"), place.path().join("told"));
        let script = format!(
            "#!/bin/sh\necho $$ $1 >'{}'\nexec sleep 60\n",
            told.display()
        );
        fs::write(&go, script).unwrap();
        fs::set_permissions(&go, fs::Permissions::from_mode(0o755)).unwrap();
        let fetching = Recipe::pebble("1.26.0").fetch(&go, place.path());
        let said = std::iter::repeat_with(|| fs::read_to_string(&told).unwrap_or_default())
            .take(1000)
            .inspect(|_| std::thread::sleep(std::time::Duration::from_millis(10)))
            .find(|said| said.ends_with('\n'))
            .unwrap();
        let process = Path::new("/proc").join(said.strip_suffix(" list\n").unwrap());
        assert!(process.exists());
        drop(fetching);
        assert!(!process.exists());
    }

    #[test]
    fn packages_in_the_build_cache_are_not_to_be_compiled() {
        let (stale, all) = packages("errors\n+example.invalid/a\n+example.invalid/b\n");
        assert_eq!(all, 3);
        assert_eq!(
            stale,
            ["example.invalid/a", "example.invalid/b"]
                .map(str::to_owned)
                .into()
        );
    }

    #[test]
    fn a_program_is_named_after_its_package_not_after_its_major_version() {
        for (package, program) in [
            ("go.temporal.io/server/cmd/tools/sql", "sql"),
            ("go.etcd.io/etcd/server/v3", "server"),
            ("example.invalid/cmd/vault", "vault"),
        ] {
            assert_eq!(program_of(package), program);
        }
    }

    #[test]
    fn another_source_of_ours_is_another_entry() {
        let hashed = Recipe::asker().hashed().unwrap();
        for path in ["asker/go.sum", "asker/main.go", "without-quic/quic.go"] {
            assert!(hashed.contains(&module("").join(path)), "{hashed:?}");
        }
        assert_eq!(Recipe::pebble("1.26.0").hashed().unwrap().len(), 2);
    }

    #[test]
    fn another_version_is_another_entry() {
        let entries: std::collections::BTreeSet<_> = ["1.4.0", "1.19.2", "1.26.0"]
            .map(|version| Recipe::pebble(version).entry().unwrap())
            .into();
        assert_eq!(entries.len(), 3);
        assert!(
            entries.iter().all(|entry| entry.starts_with("pebble-1.")),
            "{entries:?}"
        );
    }
}
