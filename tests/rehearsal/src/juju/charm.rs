//! Charms: archives that are unpacked into a pod, and counterparts that are Rust in this process.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::actions::Actions;
use super::context::HookContext;
use super::event::Event;
use super::metadata::{Metadata, MetadataError};
use super::options::Options;

/// A charm written in Rust, one value per unit. It is held to the same rules as a charm that runs
/// as a process: the hook's writes are flushed only if `dispatch` returns `Ok`.
pub trait Charm {
    /// `metadata.yaml`
    fn metadata(&self) -> &str;

    /// `config.yaml`
    #[expect(
        clippy::unnecessary_literal_bound,
        reason = "implementors may return their own text"
    )]
    fn config(&self) -> &str {
        ""
    }

    /// `actions.yaml`
    #[expect(
        clippy::unnecessary_literal_bound,
        reason = "implementors may return their own text"
    )]
    fn actions(&self) -> &str {
        ""
    }

    /// Runs one hook or action; an error fails it as a non-zero exit code does.
    fn dispatch(&mut self, event: &Event, hook: &mut HookContext) -> Result<(), Box<dyn Error>>;
}

/// Makes the charm of a unit.
pub type CharmFactory = Box<dyn FnMut(&str) -> Box<dyn Charm>>;

/// Where an application's charm comes from.
pub enum Source {
    /// A `.charm` archive.
    File(PathBuf),
    /// A counterpart.
    Counterpart(CharmFactory),
}

/// Why a charm cannot be deployed.
#[derive(Debug, thiserror::Error)]
pub enum CharmError {
    /// The archive cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a zip archive, or a broken one.
    #[error("cannot read {name} in {path}")]
    Read {
        /// The archive.
        path: PathBuf,
        /// The file in it.
        name: String,
        /// Why.
        source: zip::result::ZipError,
    },
    /// Something every charm has is missing.
    #[error("charm has no {0}")]
    Missing(&'static str),
    /// Its YAML is not accepted.
    #[error("charm is not accepted")]
    Metadata(#[from] MetadataError),
}

/// What the model needs to know of a charm.
pub(super) struct CharmFiles {
    pub(super) metadata: Metadata,
    pub(super) options: Options,
    pub(super) actions: Actions,
}

impl CharmFiles {
    pub(super) fn of(charm: &dyn Charm, juju: (u32, u32)) -> Result<Self, CharmError> {
        Ok(Self {
            metadata: Metadata::parse(charm.metadata(), juju)?,
            options: Options::parse(charm.config())?,
            actions: Actions::parse(charm.actions())?,
        })
    }

    pub(super) fn read(path: &Path, juju: (u32, u32)) -> Result<Self, CharmError> {
        let open = |source| CharmError::Open {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(open)?;
        let failed = |name: &str, source| CharmError::Read {
            path: path.to_owned(),
            name: name.to_owned(),
            source,
        };
        let mut archive =
            zip::ZipArchive::new(file).map_err(|source| failed("directory", source))?;
        let mut text = |name: &str| -> Result<Option<String>, CharmError> {
            let mut entry = match archive.by_name(name) {
                Ok(entry) => entry,
                Err(zip::result::ZipError::FileNotFound) => return Ok(None),
                Err(source) => return Err(failed(name, source)),
            };
            let mut text = String::new();
            entry
                .read_to_string(&mut text)
                .map_err(|source| failed(name, source.into()))?;
            Ok(Some(text))
        };
        let metadata = text("metadata.yaml")?.ok_or(CharmError::Missing("metadata.yaml"))?;
        let metadata = Metadata::parse(&metadata, juju)?;
        // Bases make it a version 2 charm, and only those may have containers.
        let manifest = text("manifest.yaml")?;
        if !metadata.containers.is_empty() && !has_bases(manifest.as_deref())? {
            return Err(CharmError::Missing(
                "manifest.yaml with bases, which containers need",
            ));
        }
        let options = Options::parse(&text("config.yaml")?.unwrap_or_default())?;
        let actions = Actions::parse(&text("actions.yaml")?.unwrap_or_default())?;
        if archive.index_for_name("dispatch").is_none() {
            return Err(CharmError::Missing("dispatch"));
        }
        Ok(Self {
            metadata,
            options,
            actions,
        })
    }
}

fn has_bases(manifest: Option<&str>) -> Result<bool, CharmError> {
    let Some(manifest) = manifest else {
        return Ok(false);
    };
    let manifest = super::metadata::yaml("manifest.yaml", manifest)?;
    let bases = manifest.get("bases").and_then(serde_json::Value::as_array);
    Ok(bases.is_some_and(|bases| !bases.is_empty()))
}
