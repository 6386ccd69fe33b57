//! The words of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::input::Mesh;
use crate::reference::Of;
use crate::run::plan::Allowed;

/// Install the IPFS Temporal stack (RTrade's pinning API with IPFS, IPFS Cluster, PostgreSQL and RabbitMQ) on
/// Kubernetes.
///
/// It has nothing to do with Temporal Server, which the charm temporal-k8s runs.
#[derive(Debug, Parser)]
#[command(name = "temporal-stack", version, max_term_width = 100)]
pub struct Cli {
    /// The kubeconfig file, in place of the one that kubectl would take.
    #[arg(long, global = true)]
    pub(super) kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig.
    #[arg(long, global = true)]
    pub(super) context: Option<String>,
    /// The namespace, in place of the one in the files or of the context's.
    #[arg(long, short, global = true)]
    pub(super) namespace: Option<String>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the manifests; needs no cluster
    Render {
        #[command(flatten)]
        source: Source,
        /// Print the Secrets too, with their values. What is not in the files is made up, anew in every run: keep what
        /// was printed.
        #[arg(long)]
        with_secrets: bool,
    },
    /// Show what apply would do, object by object; changes nothing
    Plan(Planned),
    /// Install, or change what is installed; may be repeated at any time
    Apply {
        #[command(flatten)]
        planned: Planned,
        #[command(flatten)]
        timeout: Timeout,
    },
    /// Show what runs
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Wait until everything that is installed is ready
    Wait(Timeout),
    /// Look after the accounts of the API
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Remove the stack; its data stays
    Delete {
        /// Remove the data, too: claims, Secrets, and the namespace if it was made by apply.
        #[arg(long)]
        delete_data: bool,
        #[command(flatten)]
        timeout: Timeout,
    },
    /// Print the JSON schema of stack.yaml
    Schema,
    /// Print every setting of a program with what apply writes for it, as a Markdown table
    Settings {
        /// Whose settings.
        #[arg(value_enum)]
        program: Of,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make an account that can be used at once: whoever signs up with the API waits for a mail that nobody sends
    Add(NewUser),
}

#[derive(Debug, Args)]
pub(super) struct NewUser {
    /// The name to log in with.
    #[arg(value_parser = word)]
    pub(super) name: String,
    /// The mail address, which no other account may have. Without it the name at `localhost`.
    #[arg(long, value_parser = word)]
    pub(super) mail: Option<String>,
    /// Read the password from standard input, in place of the terminal.
    #[arg(long, conflicts_with = "from_secret")]
    pub(super) password_stdin: bool,
    /// Read the password from a Secret of the namespace, under the key `password` or the one that is named.
    #[arg(long, value_name = "SECRET[/KEY]")]
    pub(super) from_secret: Option<String>,
    #[command(flatten)]
    pub(super) timeout: Timeout,
}

#[derive(Debug, Args)]
pub(super) struct Source {
    /// The stack.yaml; `-` is standard input. Without it everything has its default.
    #[arg(long, short = 'f')]
    pub(super) file: Option<PathBuf>,
    /// Files with the ConfigMaps temporal-config, ipfs-cluster-config and postgres-config of the original
    /// documentation, among other manifests and in Lists, too.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub(super) from_configmaps: Vec<PathBuf>,
    /// The mesh, in place of the one in stack.yaml.
    #[arg(long, value_enum)]
    pub(super) mesh: Option<Mesh>,
    /// The StorageClass of all claims, in place of the one in stack.yaml.
    #[arg(long)]
    pub(super) storage_class: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Planned {
    #[command(flatten)]
    pub(super) source: Source,
    #[command(flatten)]
    pub(super) allowed: Allowed,
}

#[derive(Debug, Args)]
pub(super) struct Timeout {
    /// How long each wait may take, such as `90s`, `15m` or `1h`.
    #[arg(long, default_value = "15m", value_parser = duration)]
    pub(super) timeout: Duration,
}

fn word(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('-') || text.contains(char::is_whitespace) {
        return Err("write one without spaces that does not begin with `-`".to_owned());
    }
    Ok(text.to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600)];
    let read = units.into_iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(Duration::from_secs(number.saturating_mul(seconds)))
    });
    read.ok_or_else(|| format!("\"{text}\" is no duration; write one such as `90s`, `15m` or `1h`"))
}
