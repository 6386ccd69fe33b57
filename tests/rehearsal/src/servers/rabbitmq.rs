//! A real RabbitMQ node, configured by variables and files as in a container.
//!
//! Called by tests of what is rendered for such a container. All its files are below the directory
//! it is given; it runs as whoever starts it, root or not, since the packages' wrappers that insist
//! on a user of their own are left out.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use super::Start;
use super::running::{RunError, Running, finish};
use crate::parts::{Parts, PartsError};

/// How long one of its tools may take: each starts an Erlang of its own.
const TOOL_LIMIT: Duration = Duration::from_mins(2);

/// How long epmd may take.
const EPMD_LIMIT: Duration = Duration::from_secs(20);

/// The node's name where the variables give none.
const NODE: &str = "rabbit@localhost";

/// Keeps the distribution of server and tools on this machine.
const LOOPBACK: &str = "-kernel inet_dist_use_interface {127,0,0,1}";

/// What stopped a step.
#[derive(Debug, thiserror::Error)]
pub enum RabbitMqError {
    /// The programs could not be had.
    #[error("get RabbitMQ ready")]
    Parts(#[from] PartsError),
    /// A program did not run as it should.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A file could not be written.
    #[error("write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The ports of one node on 127.0.0.1. Its configuration may open more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RabbitMqPorts {
    /// AMQP without TLS.
    pub amqp: u16,
    /// Other nodes and the tools.
    pub distribution: u16,
    /// The name server of Erlang's nodes.
    pub epmd: u16,
    /// The first of eleven ports, one for each tool that runs.
    pub tools: u16,
}

/// What a container would be given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RabbitMqSetup {
    /// Variables, of server and tools alike. Those that name files or ports are overridden.
    pub environment: BTreeMap<String, String>,
    /// A file of `conf.d`. Its plain AMQP listener `default` is overridden.
    pub conf: String,
    /// The file `enabled_plugins`, for example `[rabbitmq_management].`.
    pub plugins: String,
    /// The cookie, which gets the mode 0600; empty for none: the first start then makes one.
    pub cookie: String,
}

/// A node whose files are laid out.
#[derive(Debug, Clone)]
pub struct RabbitMq {
    programs: PathBuf,
    root: PathBuf,
    ports: RabbitMqPorts,
    environment: BTreeMap<String, String>,
}

impl RabbitMq {
    /// Lays out a fresh node in the directory `rabbitmq` below the existing `root`.
    pub fn lay(
        parts: &Parts,
        root: &Path,
        ports: RabbitMqPorts,
        setup: &RabbitMqSetup,
    ) -> Result<Self, RabbitMqError> {
        let programs = parts.rabbitmq()?;
        let root = root.join("rabbitmq");
        let written = |path: &Path| {
            let path = path.to_owned();
            |source| RabbitMqError::Write { path, source }
        };
        for directory in ["conf.d", "data", "home", "log"] {
            let path = root.join(directory);
            fs::create_dir_all(&path).map_err(written(&path))?;
        }
        let listener = format!("listeners.tcp.default = 127.0.0.1:{}\n", ports.amqp);
        for (name, text) in [
            ("conf.d/10-given.conf", &setup.conf),
            ("conf.d/90-ports.conf", &listener),
            ("enabled_plugins", &setup.plugins),
        ] {
            let path = root.join(name);
            fs::write(&path, text).map_err(written(&path))?;
        }
        let cookie = root.join("home/.erlang.cookie");
        if !setup.cookie.is_empty() {
            write_cookie(&cookie, &setup.cookie).map_err(written(&cookie))?;
        }
        Ok(Self {
            programs,
            root,
            ports,
            environment: setup.environment.clone(),
        })
    }

    /// The file with the cookie, `.erlang.cookie` in the server's home directory.
    pub fn cookie(&self) -> PathBuf {
        self.root.join("home/.erlang.cookie")
    }

    /// The file with what the server prints once it has been run.
    pub fn log(&self) -> PathBuf {
        self.root.join("log/server")
    }

    /// How to start epmd in the foreground. Without it the server and its tools find no node; it
    /// has to be there before them, else one of them leaves one behind.
    pub fn epmd(&self) -> Start {
        self.with([self.programs.join("bin/epmd")])
    }

    /// How to start the server in the foreground, logging to stdout.
    pub fn start(&self) -> Start {
        self.with([self.script("rabbitmq-server")])
    }

    /// Starts it here and waits until it is up with all its plugins, at most `limit`.
    pub fn run(&self, limit: Duration) -> Result<RunningRabbitMq, RabbitMqError> {
        let mut epmd = Running::start(&self.epmd(), "epmd", &self.root.join("log/epmd"))?;
        let what = format!("it listens on port {}", self.ports.epmd);
        epmd.until(&what, EPMD_LIMIT, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.epmd)).is_ok()
        })?;
        let mut server = Running::start(&self.start(), "rabbitmq-server", &self.log())?;
        server.prints("Server startup complete", limit)?;
        Ok(RunningRabbitMq {
            server,
            epmd,
            node: self.clone(),
        })
    }

    /// Runs `rabbitmqctl`, or another of its tools by name, to its end.
    pub fn tool(&self, tool: &str, arguments: &[&str]) -> Result<Output, RabbitMqError> {
        let arguments = arguments.iter().map(Into::into);
        let start = self.with([self.script(tool)].into_iter().chain(arguments));
        Ok(finish(&start, tool, TOOL_LIMIT)?)
    }

    fn script(&self, name: &str) -> PathBuf {
        self.programs.join("rabbitmq/sbin").join(name)
    }

    fn with(&self, argv: impl IntoIterator<Item = PathBuf>) -> Start {
        let mut start = Start::new(argv);
        let mut environment: BTreeMap<String, OsString> =
            BTreeMap::from([("RABBITMQ_NODENAME".to_owned(), NODE.into())]);
        let given = self.environment.iter();
        environment.extend(given.map(|(name, value)| (name.clone(), value.into())));
        environment.extend(self.places());
        environment.extend(self.listeners());
        start.environment = environment.into_iter().collect();
        start
    }

    /// The variables that keep all files below the root.
    fn places(&self) -> impl Iterator<Item = (String, OsString)> {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let mut path = self.programs.join("bin").into_os_string();
        path.push(":");
        path.push(inherited);
        let below = |name: &str| self.root.join(name).into_os_string();
        let plugins = self.programs.join("rabbitmq/plugins");
        [
            ("PATH", path),
            ("HOME", below("home")),
            ("ERL_CRASH_DUMP", below("log/crash")),
            // The host may have a RabbitMQ of its own.
            ("RABBITMQ_CONF_ENV_FILE", OsStr::new("/dev/null").to_owned()),
            ("RABBITMQ_CONFIG_FILES", below("conf.d")),
            ("RABBITMQ_CONFIG_FILE", below("rabbitmq.conf")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", below("advanced.config")),
            ("RABBITMQ_GENERATED_CONFIG_DIR", below("data/config")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", below("enabled_plugins")),
            ("RABBITMQ_PLUGINS_DIR", plugins.into_os_string()),
            ("RABBITMQ_MNESIA_BASE", below("data")),
            ("RABBITMQ_FEATURE_FLAGS_FILE", below("data/feature_flags")),
            ("RABBITMQ_PID_FILE", below("data/pid")),
            ("RABBITMQ_LOG_BASE", below("log")),
            ("RABBITMQ_LOGS", OsStr::new("-").to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
    }

    /// The variables that keep all ports on this machine.
    fn listeners(&self) -> impl Iterator<Item = (String, OsString)> {
        let last = self.ports.tools.saturating_add(10);
        [
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", self.ports.epmd.to_string()),
            ("RABBITMQ_DIST_PORT", self.ports.distribution.to_string()),
            ("RABBITMQ_CTL_DIST_PORT_MIN", self.ports.tools.to_string()),
            ("RABBITMQ_CTL_DIST_PORT_MAX", last.to_string()),
            ("RABBITMQ_CTL_ERL_ARGS", LOOPBACK.to_owned()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", LOOPBACK.to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
    }
}

/// A node that runs; it and its epmd end with this value.
#[derive(Debug)]
pub struct RunningRabbitMq {
    // In this order: a server that is being ended may look for its epmd.
    server: Running,
    epmd: Running,
    node: RabbitMq,
}

impl RunningRabbitMq {
    /// Runs `rabbitmqctl` against it, to its end.
    pub fn ctl(&self, arguments: &[&str]) -> Result<Output, RabbitMqError> {
        self.node.tool("rabbitmqctl", arguments)
    }

    /// The server.
    pub fn server(&mut self) -> &mut Running {
        &mut self.server
    }

    /// Its epmd.
    pub fn epmd(&mut self) -> &mut Running {
        &mut self.epmd
    }
}

/// Erlang refuses a cookie that others may read.
fn write_cookie(path: &Path, cookie: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(cookie.as_bytes())
}
