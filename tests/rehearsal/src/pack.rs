//! Makes the `.charm` file that Juju deploys, without charmcraft and without containers.
//!
//! Called by `tox -e pack`, by the rehearsal and by tests. The binary is static (musl), so it runs
//! in every base and in an empty root; where the musl target cannot be had, it is linked against a
//! glibc older than that of Ubuntu 22.04 instead. The same tree gives the same archive.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::parts::shown;

/// The files that go into the archive as they are in the tree.
const AS_THEY_ARE: [&str; 6] = [
    "metadata.yaml",
    "config.yaml",
    "actions.yaml",
    "LICENSE",
    "icon.svg",
    "README.md",
];

/// What links against an old glibc; installed into the active Python environment when needed.
const ZIG: [&str; 2] = ["cargo-zigbuild==0.24.0", "ziglang==0.17.1"];

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A charm is packed for the machine it is packed on, and this is not one of the platforms.
    #[error("the charm has no platform for `{0}` machines; pack it on amd64 or arm64")]
    Platform(&'static str),
    /// A program that packing needs could not be started.
    #[error("start `{command}`; is it installed?")]
    Start {
        /// The command line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program failed.
    #[error("`{command}` ended with {status}{output}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// What it said, on lines of its own; empty when that went to stderr.
        output: String,
    },
    /// Cargo built, and told of no program `dispatch`.
    #[error("`{command}` built no `dispatch`")]
    NoBinary {
        /// The command line.
        command: String,
    },
    /// Neither the musl target nor a Python environment to install the other linker into.
    #[error(
        "the Rust target `{target}` is not installed and cannot be added; add it with \
         `rustup target add {target}`, or pack with `tox -e pack`, which has another way"
    )]
    NoTarget {
        /// The target.
        target: String,
    },
    /// A file of the tree could not be read.
    #[error("read `{}` for the charm", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("write `{}`", path.display())]
    Write {
        /// The archive.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manifest could not be put into YAML.
    #[error("write the manifest")]
    Manifest(#[from] serde_saphyr::ser::Error),
}

/// How the binary is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// As it ships; the link takes a minute.
    Release,
    /// The shipped settings without link-time optimisation: for tests.
    Ci,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Ci => "ci",
        }
    }
}

/// What becomes of cargo's progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It goes to stderr.
    Shown,
    /// It is kept for the case that the build fails: somebody else uses the terminal.
    Kept,
}

/// The machine that the charm is for, in Juju's word and in Rust's.
#[derive(Debug, Clone, Copy)]
struct Platform {
    architecture: &'static str,
    rust: &'static str,
}

impl Platform {
    fn here() -> Result<Self, PackError> {
        match std::env::consts::ARCH {
            rust @ "x86_64" => Ok(Self {
                architecture: "amd64",
                rust,
            }),
            rust @ "aarch64" => Ok(Self {
                architecture: "arm64",
                rust,
            }),
            other => Err(PackError::Platform(other)),
        }
    }

    fn musl(self) -> String {
        format!("{}-unknown-linux-musl", self.rust)
    }

    /// The name that charmcraft gives the archive.
    fn file_name(self) -> String {
        format!("temporal-k8s_ubuntu-22.04-{}.charm", self.architecture)
    }
}

/// Builds `dispatch` and packs it with the charm's files into `out`; gives the archive's path.
/// Blocks for as long as cargo builds.
pub fn pack(
    workspace: &Path,
    out: &Path,
    profile: Profile,
    progress: Progress,
) -> Result<PathBuf, PackError> {
    let platform = Platform::here()?;
    let workspace = fs::canonicalize(workspace).map_err(|source| PackError::Read {
        path: workspace.to_owned(),
        source,
    })?;
    let binary = build(&workspace, platform, profile, progress)?;
    archive(&workspace, &binary, platform, out)
}

/// What cargo tells, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    executable: Option<PathBuf>,
    #[serde(default)]
    target: Option<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

fn build(
    workspace: &Path,
    platform: Platform,
    profile: Profile,
    progress: Progress,
) -> Result<PathBuf, PackError> {
    let musl = platform.musl();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    if has_target(workspace, &musl)? {
        command.args(["build", "--target", &musl]);
        // Paths of this machine say nothing to those who read a panic elsewhere; our own are
        // relative to the workspace as it is.
        let flags = serde_json::json!([remap_registry()]);
        command
            .arg("--config")
            .arg(format!("target.{musl}.rustflags={flags}"));
    } else {
        install_zig(&musl)?;
        let glibc = format!("{}-unknown-linux-gnu.2.31", platform.rust);
        command.args(["zigbuild", "--target", &glibc]);
    }
    command
        .args(["--locked", "--package", "temporal-k8s", "--bin", "dispatch"])
        .args([
            "--profile",
            profile.name(),
            "--message-format",
            "json-render-diagnostics",
        ])
        .current_dir(workspace)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if progress == Progress::Kept {
        command.stderr(Stdio::piped());
    }
    let shown = shown(&command);
    let started = |source| PackError::Start {
        command: shown.clone(),
        source,
    };
    let mut child = command.spawn().map_err(started)?;
    // read from the beginning: a child whose pipe is full waits for its reader
    let said = child.stderr.take().map(|mut stderr| {
        std::thread::spawn(move || {
            let mut said = Vec::new();
            // what cannot be read is not worth more than the rest
            drop(stderr.read_to_end(&mut said));
            said
        })
    });
    let mut binary = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Ok(Message {
                executable: Some(path),
                target: Some(target),
            }) = serde_json::from_str(&line)
                && target.name == "dispatch"
            {
                binary = Some(path);
            }
        }
    }
    let status = child.wait().map_err(started)?;
    let said = said.and_then(|reader| reader.join().ok());
    if !status.success() {
        let output = said.map(|said| format!("\n{}", String::from_utf8_lossy(&said).trim_end()));
        return Err(PackError::Failed {
            command: shown,
            status: status.to_string(),
            output: output.unwrap_or_default(),
        });
    }
    binary.ok_or(PackError::NoBinary { command: shown })
}

/// Whether the standard library for `target` is there, after an attempt to get it.
fn has_target(workspace: &Path, target: &str) -> Result<bool, PackError> {
    if library(workspace, target)? {
        return Ok(true);
    }
    // Without rustup, or without a way to its server, this fails; then there is another way.
    let added = Command::new("rustup")
        .args(["target", "add", target])
        .current_dir(workspace)
        .stdout(Stdio::null())
        .status();
    Ok(added.is_ok_and(|status| status.success()) && library(workspace, target)?)
}

fn library(workspace: &Path, target: &str) -> Result<bool, PackError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(workspace);
    let output = command.output().map_err(|source| PackError::Start {
        command: shown(&command),
        source,
    })?;
    let directory = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let is_std = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("libstd-");
    Ok(fs::read_dir(directory)
        .is_ok_and(|mut files| files.any(|file| file.is_ok_and(|file| is_std(&file.file_name())))))
}

/// Installs the other linker with pip, into a virtual environment only: nobody's own Python is
/// changed behind his back.
fn install_zig(target: &str) -> Result<(), PackError> {
    let Some(environment) = std::env::var_os("VIRTUAL_ENV") else {
        return Err(PackError::NoTarget {
            target: target.to_owned(),
        });
    };
    let mut command = Command::new(Path::new(&environment).join("bin/python"));
    command
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(ZIG);
    let status = command
        .stdout(Stdio::null())
        .status()
        .map_err(|source| PackError::Start {
            command: shown(&command),
            source,
        })?;
    if status.success() {
        return Ok(());
    }
    Err(PackError::Failed {
        command: shown(&command),
        status: status.to_string(),
        output: String::new(),
    })
}

fn remap_registry() -> String {
    let home = |name| std::env::var_os(name).map(PathBuf::from);
    let cargo = home("CARGO_HOME").or_else(|| Some(home("HOME")?.join(".cargo")));
    let registry = cargo.unwrap_or_default().join("registry/src");
    format!("--remap-path-prefix={}=registry", registry.display())
}

/// What `manifest.yaml` says: for which base and machine the charm was built. Juju takes a charm
/// with containers only in this format.
#[derive(Debug, Serialize)]
struct Manifest {
    bases: [Base; 1],
}

#[derive(Debug, Serialize)]
struct Base {
    name: &'static str,
    channel: &'static str,
    architectures: [&'static str; 1],
}

fn archive(
    workspace: &Path,
    binary: &Path,
    platform: Platform,
    out: &Path,
) -> Result<PathBuf, PackError> {
    let read = |path: &Path| {
        fs::read(path).map_err(|source| PackError::Read {
            path: path.to_owned(),
            source,
        })
    };
    let mut files = Vec::new();
    for name in AS_THEY_ARE {
        files.push((name, 0o644, read(&workspace.join(name))?));
    }
    let base = Base {
        name: "ubuntu",
        channel: "22.04",
        architectures: [platform.architecture],
    };
    let manifest = serde_saphyr::to_string(&Manifest { bases: [base] })?;
    files.push(("manifest.yaml", 0o644, manifest.into_bytes()));
    files.push(("version", 0o644, version(workspace).into_bytes()));
    files.push(("dispatch", 0o755, read(binary)?));
    files.sort();

    let path = out.join(platform.file_name());
    let write = || {
        fs::create_dir_all(out)?;
        // Under another name first: whoever deploys at the same time sees a whole file.
        let mut file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(out)?;
        let mut archive = ZipWriter::new(&mut file);
        for (name, mode, content) in files {
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Deflated)
                .last_modified_time(DateTime::default())
                .unix_permissions(mode);
            archive.start_file(name, options)?;
            archive.write_all(&content)?;
        }
        archive.finish()?;
        file.persist(&path).map_err(|refused| refused.error)?;
        Ok(())
    };
    write().map_err(|source| PackError::Write {
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

/// What Juju shows as the charm's version: the commit, or where git knows none, the package's.
fn version(workspace: &Path) -> String {
    let described = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .current_dir(workspace)
        .stderr(Stdio::null())
        .output();
    let described = described.ok().filter(|output| output.status.success());
    let described = described.and_then(|output| String::from_utf8(output.stdout).ok());
    described.unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        for name in AS_THEY_ARE {
            fs::write(tree.path().join(name), format!("this is {name}\n")).unwrap();
        }
        fs::write(tree.path().join("built"), b"\x7fELF").unwrap();
        tree
    }

    const AMD64: Platform = Platform {
        architecture: "amd64",
        rust: "x86_64",
    };

    #[test]
    fn the_archive_holds_what_juju_reads_and_only_dispatch_runs() {
        let tree = tree();
        let out = tree.path().join("out");
        let path = archive(tree.path(), &tree.path().join("built"), AMD64, &out).unwrap();
        assert_eq!(
            path.file_name().unwrap(),
            "temporal-k8s_ubuntu-22.04-amd64.charm"
        );
        let mut archive = zip::ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
        let mut modes = Vec::new();
        for index in 0..archive.len() {
            let file = archive.by_index(index).unwrap();
            modes.push((
                file.name().unwrap().into_owned(),
                file.unix_mode().unwrap() & 0o777,
            ));
        }
        let expected = [
            ("LICENSE", 0o644),
            ("README.md", 0o644),
            ("actions.yaml", 0o644),
            ("config.yaml", 0o644),
            ("dispatch", 0o755),
            ("icon.svg", 0o644),
            ("manifest.yaml", 0o644),
            ("metadata.yaml", 0o644),
            ("version", 0o644),
        ];
        assert_eq!(modes, expected.map(|(name, mode)| (name.to_owned(), mode)));
        let mut manifest = String::new();
        archive
            .by_name("manifest.yaml")
            .unwrap()
            .read_to_string(&mut manifest)
            .unwrap();
        let manifest: serde_json::Value = serde_saphyr::from_str(&manifest).unwrap();
        let base = serde_json::json!(
            {"name": "ubuntu", "channel": "22.04", "architectures": ["amd64"]}
        );
        assert_eq!(manifest, serde_json::json!({"bases": [base]}));
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes() {
        let tree = tree();
        let pack = |out: &str| {
            let out = tree.path().join(out);
            fs::read(archive(tree.path(), &tree.path().join("built"), AMD64, &out).unwrap())
                .unwrap()
        };
        assert_eq!(pack("first"), pack("second"));
    }

    #[test]
    fn a_missing_file_is_named_and_leaves_no_archive() {
        let tree = tree();
        fs::remove_file(tree.path().join("icon.svg")).unwrap();
        let out = tree.path().join("out");
        let missing = archive(tree.path(), &tree.path().join("built"), AMD64, &out).unwrap_err();
        assert!(missing.to_string().contains("icon.svg"), "{missing}");
        assert!(!out.exists());
    }
}
