//! The command line: reads files, calls the rest, and prints. What a script may read goes to standard output,
//! everything for people to standard error.
#![expect(
    clippy::disallowed_methods,
    reason = "reads the user's files and looks at the clock for progress"
)]

use std::error::Error;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::input::{self, File, Mesh, Stack};
use super::objects::{self, Context};
use super::plan::Action;
use super::secrets::Values;
use super::settings::{self, Finding, Program, Severity};
use super::wait::{Progress, WORKLOADS};
use super::wanted::{Wanted, wanted};
use super::{apply, check, delete, plan, status, wait};
use crate::chain;
use crate::kubernetes::{Access, Kind, Kubernetes};

/// Install the IPFS Temporal stack (RTrade's pinning API with IPFS, IPFS Cluster, PostgreSQL and RabbitMQ) on
/// Kubernetes.
///
/// It has nothing to do with Temporal Server, which the charm temporal-k8s runs.
#[derive(Debug, Parser)]
#[command(name = "temporal-stack", version, max_term_width = 100)]
pub struct Cli {
    /// The kubeconfig file, in place of the one that kubectl would take.
    #[arg(long, global = true)]
    kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig.
    #[arg(long, global = true)]
    context: Option<String>,
    /// The namespace, in place of the one in the files or of the context's.
    #[arg(long, short, global = true)]
    namespace: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the manifests, without Secrets; needs no cluster
    Render(Source),
    /// Show what apply would do, object by object; changes nothing
    Plan(Planned),
    /// Install, or change what is installed; may be repeated at any time
    Apply(Applied),
    /// Show what runs
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Wait until everything that is installed is ready
    Wait(Timeout),
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
    /// Print every setting of a program with its default, as a Markdown table
    Settings {
        /// Whose settings.
        #[arg(value_enum)]
        program: ProgramName,
    },
}

#[derive(Debug, Args)]
struct Source {
    /// The stack.yaml; `-` is standard input. Without it everything has its default.
    #[arg(long, short = 'f')]
    file: Option<PathBuf>,
    /// Files with the ConfigMaps temporal-config, ipfs-cluster-config and postgres-config of the original
    /// documentation.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    from_configmaps: Vec<PathBuf>,
    /// The mesh, in place of the one in stack.yaml.
    #[arg(long, value_enum)]
    mesh: Option<MeshName>,
    /// The StorageClass of all claims, in place of the one in stack.yaml.
    #[arg(long)]
    storage_class: Option<String>,
}

#[derive(Debug, Args)]
struct Planned {
    #[command(flatten)]
    source: Source,
    /// Take over fields that somebody else has changed since.
    #[arg(long)]
    force_conflicts: bool,
}

#[derive(Debug, Args)]
struct Applied {
    #[command(flatten)]
    planned: Planned,
    #[command(flatten)]
    timeout: Timeout,
}

#[derive(Debug, Args)]
struct Timeout {
    /// How long each wait may take, such as `90s`, `15m` or `1h`.
    #[arg(long, default_value = "15m", value_parser = duration)]
    timeout: Duration,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MeshName {
    Linkerd,
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProgramName {
    Temporal,
    IpfsCluster,
    Postgres,
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no duration; write one such as `90s`, `15m` or `1h`");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let digits = text.strip_suffix(unit).unwrap_or_default();
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

/// Does what the command line says. The exit code is 0 only if that was done.
pub fn main(cli: Cli) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("temporal-stack: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<ExitCode, Box<dyn Error>>;

async fn run(cli: Cli) -> Outcome {
    let to = Cluster {
        access: Access {
            kubeconfig: cli.kubeconfig,
            context: cli.context,
        },
        namespace: cli.namespace,
    };
    match cli.command {
        Command::Render(source) => render(&source, to.namespace),
        Command::Plan(planned) => show_plan(&to, &planned).await,
        Command::Apply(applied) => install(&to, &applied).await,
        Command::Status { json } => show_status(&to, json).await,
        Command::Wait(timeout) => wait_for_all(&to, timeout.timeout).await,
        Command::Delete {
            delete_data,
            timeout,
        } => remove(&to, delete_data, timeout.timeout).await,
        Command::Schema => {
            let schema = schemars::schema_for!(Stack);
            println!("{}", serde_json::to_string_pretty(&schema)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Settings { program } => {
            let program = match program {
                ProgramName::Temporal => Program::Temporal,
                ProgramName::IpfsCluster => Program::IpfsCluster,
                ProgramName::Postgres => Program::Postgres,
            };
            print!("{}", settings::reference(program));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Which cluster, and where in it.
struct Cluster {
    access: Access,
    namespace: Option<String>,
}

impl Cluster {
    /// Connects, and settles the namespace: the flag's, the files', the context's.
    async fn connect(&self, files: Option<&str>) -> Result<(Kubernetes, String), Box<dyn Error>> {
        let kubernetes = Kubernetes::connect(&self.access).await?;
        // a wrong address is told in seconds
        kubernetes.version().await?;
        let namespace = self
            .namespace
            .as_deref()
            .or(files)
            .unwrap_or_else(|| kubernetes.namespace())
            .to_owned();
        Ok((kubernetes, namespace))
    }
}

fn read_file(path: &Path) -> Result<File, Box<dyn Error>> {
    let name = path.display().to_string();
    let text = if name == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| format!("cannot read {name}: {error}"))?;
    Ok(File {
        name,
        text: text.into(),
    })
}

/// Reads the files; what is wrong with them goes to standard error, all at once.
fn stack(source: &Source) -> Result<Stack, Box<dyn Error>> {
    let file = source.file.as_deref().map(read_file).transpose()?;
    let config_maps = source
        .from_configmaps
        .iter()
        .map(|path| read_file(path))
        .collect::<Result<Vec<_>, _>>()?;
    let mut stack = input::read(file.as_ref(), &config_maps).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    match source.mesh {
        Some(MeshName::Linkerd) => stack.mesh = Mesh::Linkerd,
        Some(MeshName::Off) => stack.mesh = Mesh::Off,
        None => {}
    }
    if let Some(class) = &source.storage_class {
        stack.storage_class = Some(class.clone());
    }
    Ok(stack)
}

fn tell(findings: &[Finding]) {
    for finding in findings {
        let word = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        eprintln!("{word}: {finding}");
    }
}

/// Checks the settings and tells of them.
fn completed(stack: Stack, namespace: &str) -> Result<Wanted, Box<dyn Error>> {
    match wanted(stack, namespace) {
        Ok(wanted) => {
            tell(&wanted.findings);
            Ok(wanted)
        }
        Err(findings) => {
            tell(&findings);
            Err("the settings have errors".into())
        }
    }
}

fn render(source: &Source, namespace: Option<String>) -> Outcome {
    let stack = stack(source)?;
    let namespace = namespace
        .or_else(|| stack.namespace.clone())
        .unwrap_or_else(|| "default".to_owned());
    let wanted = completed(stack, &namespace)?;
    let no_values = Values::new();
    for secret in &wanted.secrets {
        let keys: Vec<&str> = secret.keys.iter().map(|(key, _)| key.as_str()).collect();
        println!(
            "# Secret `{}` ({}) is made by `temporal-stack apply`",
            secret.name,
            keys.join(", ")
        );
    }
    let context = Context {
        stack: &wanted.stack,
        namespace: &wanted.namespace,
        environment: &wanted.environment,
        values: &no_values,
    };
    for object in objects::all(context) {
        println!("---\n{}", serde_saphyr::to_string(&object.body)?.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// What `plan` and `apply` begin with: files, settings, cluster.
async fn prepared(to: &Cluster, source: &Source) -> Result<(Kubernetes, Wanted), Box<dyn Error>> {
    let stack = stack(source)?;
    let (kubernetes, namespace) = to.connect(stack.namespace.as_deref()).await?;
    let wanted = completed(stack, &namespace)?;
    let report = check::check(&kubernetes, &wanted).await?;
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    for failure in &report.failures {
        eprintln!("error: {failure}");
    }
    if report.failures.is_empty() {
        Ok((kubernetes, wanted))
    } else {
        Err("the cluster is not ready for the stack".into())
    }
}

async fn show_plan(to: &Cluster, planned: &Planned) -> Outcome {
    let (kubernetes, wanted) = prepared(to, &planned.source).await?;
    let steps = plan::plan(&kubernetes, &wanted, planned.force_conflicts).await?;
    for step in &steps {
        println!("{step}");
    }
    let refused = |action: &Action| matches!(action, Action::Refuse(_));
    Ok(if steps.iter().any(|step| refused(&step.action)) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

async fn install(to: &Cluster, applied: &Applied) -> Outcome {
    let (kubernetes, wanted) = prepared(to, &applied.planned.source).await?;
    let options = apply::Options {
        force: applied.planned.force_conflicts,
        limit: applied.timeout.timeout,
    };
    let mut teller = Teller::new();
    let outcome = apply::apply(&kubernetes, &wanted, options, &mut teller).await;
    teller.end();
    let summary = outcome?;
    println!(
        "created {}, changed {}, unchanged {}, removed {}",
        summary.created, summary.changed, summary.kept, summary.removed
    );
    println!("{}", address(&kubernetes, &wanted).await?);
    Ok(ExitCode::SUCCESS)
}

/// Where the API answers.
async fn address(kubernetes: &Kubernetes, wanted: &Wanted) -> Result<String, Box<dyn Error>> {
    let (service, port) = objects::temporal::API;
    let scheme = if wanted.environment.certificate.is_some() {
        "https"
    } else {
        "http"
    };
    let namespace = &wanted.namespace;
    let inside = format!(
        "the API answers inside the cluster at {scheme}://{service}.{namespace}:{port}/v2/systems/check"
    );
    let found = kubernetes.get(Kind::Service, namespace, service).await?;
    let outside = found.as_ref().and_then(|service| {
        let first = service.pointer("/status/loadBalancer/ingress/0")?;
        first.get("hostname").or_else(|| first.get("ip"))?.as_str()
    });
    Ok(match outside {
        Some(outside) => format!("{inside}, and outside at {scheme}://{outside}:{port}/"),
        None => inside,
    })
}

async fn show_status(to: &Cluster, json: bool) -> Outcome {
    let (kubernetes, namespace) = to.connect(None).await?;
    let status = status::status(&kubernetes, &namespace).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        println!("{status}");
    }
    Ok(if status.ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn wait_for_all(to: &Cluster, limit: Duration) -> Outcome {
    let (kubernetes, namespace) = to.connect(None).await?;
    let mut workloads = Vec::new();
    for kind in WORKLOADS {
        for object in kubernetes.list(kind, &namespace, &objects::ours()).await? {
            let name = crate::kubernetes::name_of(&object).to_owned();
            workloads.push((kind, name));
        }
    }
    if workloads.is_empty() {
        return Err(format!("namespace `{namespace}` has no stack in it").into());
    }
    let mut teller = Teller::new();
    let outcome = wait::until_ready(&kubernetes, &namespace, &workloads, limit, &mut teller).await;
    teller.end();
    outcome?;
    println!("all of {} workloads are ready", workloads.len());
    Ok(ExitCode::SUCCESS)
}

async fn remove(to: &Cluster, data: bool, limit: Duration) -> Outcome {
    let (kubernetes, namespace) = to.connect(None).await?;
    let mut teller = Teller::new();
    let options = delete::Options { data, limit };
    let outcome = delete::delete(&kubernetes, &namespace, options, &mut teller).await;
    teller.end();
    outcome?;
    if data {
        println!("nothing of the stack is left in namespace `{namespace}`");
    } else {
        println!(
            "the stack is gone from namespace `{namespace}`; its claims and Secrets are kept, and \
             `--delete-data` removes them, too"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// One living line on a terminal; in a log a line for what is new, and one now and then.
struct Teller {
    bar: Option<ProgressBar>,
    last: String,
    told: Instant,
}

impl Teller {
    /// How often a log is told of a wait in which nothing changes.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = "{spinner} [{bar:20}] {pos}/{len} {elapsed}  {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            bar,
            last: String::new(),
            told: Instant::now(),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Teller {
    fn done(&mut self, what: &str) {
        match &self.bar {
            Some(bar) => bar.println(what),
            None => eprintln!("{what}"),
        }
    }

    fn waits(&mut self, what: &str, ready: u64, wanted: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(wanted);
            bar.set_position(ready);
            bar.set_message(what.to_owned());
        } else if self.last != what || self.told.elapsed() > Self::PATIENCE {
            what.clone_into(&mut self.last);
            self.told = Instant::now();
            eprintln!("waiting, {ready} of {wanted}: {what}");
        }
    }
}
