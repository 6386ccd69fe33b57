//! The command line: reads files, calls the rest, and prints. What a script may read goes to standard output,
//! everything for people to standard error.
#![expect(clippy::disallowed_methods, reason = "reads the user's files")]

mod arguments;
mod teller;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

pub use self::arguments::Cli;
use self::arguments::{Applied, Command, MeshName, Planned, ProgramName, Source};
use self::teller::Teller;

use super::input::{self, File, Mesh, Stack};
use super::objects::{self, Context};
use super::plan::Action;
use super::secrets::Values;
use super::settings::{self, Finding, Program, Severity};
use super::wait::WORKLOADS;
use super::wanted::{Wanted, wanted};
use super::{apply, check, delete, plan, status, wait};
use crate::error::chain;
use crate::kubernetes::{Access, Kind, Kubernetes};

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
