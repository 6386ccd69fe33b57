//! The command line: reads files, calls the rest, and prints. What a script may read goes to standard output,
//! everything for people to standard error.
#![expect(clippy::disallowed_methods, reason = "reads the user's files")]

mod arguments;
mod teller;
mod user;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

pub use self::arguments::Cli;
use self::arguments::{Applied, Command, MeshName, Planned, ProgramName, Source, UserCommand};
use self::teller::Teller;

use crate::error::chain;
use crate::input::{self, File, Mesh, Stack};
use crate::kubernetes::{Access, Kind, Kubernetes, name_of};
use crate::objects;
use crate::parts::temporal;
use crate::reference::{self, Of};
use crate::run::plan::Allowed;
use crate::run::wait::{Progress as _, WORKLOADS, Watch};
use crate::run::{apply, check, delete, plan, status, wait};
use crate::secrets::{Values, Write};
use crate::settings::{Addresses, Finding, Program, Severity};
use crate::stack::{self, Wanted, wanted};

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
        Command::Render {
            source,
            with_secrets,
        } => render(&source, to.namespace, with_secrets),
        Command::Plan(planned) => show_plan(&to, &planned).await,
        Command::Apply(applied) => install(&to, &applied).await,
        Command::Status { json } => show_status(&to, json).await,
        Command::Wait(timeout) => wait_for_all(&to, timeout.timeout).await,
        Command::User {
            command: UserCommand::Add(new),
        } => user::add(&to, &new).await,
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
            let of = match program {
                ProgramName::Temporal => Of::Settings(Program::Temporal),
                ProgramName::IpfsCluster => Of::Settings(Program::IpfsCluster),
                ProgramName::Postgres => Of::Settings(Program::Postgres),
                ProgramName::Rabbitmq => Of::Rabbitmq,
                ProgramName::Ipfs => Of::Ipfs,
            };
            print!("{}", reference::table(of));
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

/// The files that the command line names.
struct Files {
    stack: Option<File>,
    config_maps: Vec<File>,
}

impl Files {
    fn read(source: &Source) -> Result<Self, Box<dyn Error>> {
        let config_maps = source.from_configmaps.iter();
        Ok(Self {
            stack: source.file.as_deref().map(read_file).transpose()?,
            config_maps: config_maps
                .map(|path| read_file(path))
                .collect::<Result<_, _>>()?,
        })
    }

    /// What they say, all problems at once, and what the command line says instead.
    fn stack(&self, source: &Source) -> Result<Stack, Box<dyn Error>> {
        let read = input::read(self.stack.as_ref(), &self.config_maps);
        let mut stack = read.map_err(|problems| {
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
fn completed(
    stack: Stack,
    namespace: &str,
    addresses: &Addresses,
) -> Result<Wanted, Box<dyn Error>> {
    for remark in &stack.remarks {
        eprintln!("warning: {remark}");
    }
    match wanted(stack, namespace, addresses) {
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

fn render(source: &Source, namespace: Option<String>, with_secrets: bool) -> Outcome {
    let stack = Files::read(source)?.stack(source)?;
    let namespace = namespace
        .or_else(|| stack.namespace.clone())
        .unwrap_or_else(|| "default".to_owned());
    let wanted = completed(stack, &namespace, &Addresses::new())?;
    let values = if with_secrets {
        let (values, writes) = plan::from_nothing(&wanted)?;
        for write in &writes {
            if let Write::Create { object, .. } = write {
                println!(
                    "---\n{}",
                    serde_saphyr::to_string(object.expose())?.trim_end()
                );
            }
        }
        values
    } else {
        for secret in &wanted.secrets {
            let keys: Vec<&str> = secret.keys.iter().map(|(key, _)| key.as_str()).collect();
            println!(
                "# Secret `{}` ({}) is made by `temporal-stack apply`",
                secret.name,
                keys.join(", ")
            );
        }
        Values::new()
    };
    for object in stack::objects(wanted.context(&values)) {
        println!("---\n{}", serde_saphyr::to_string(&object.body)?.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// What `plan` and `apply` begin with: files, settings, cluster. What is wrong with the settings needs no cluster to be
/// told.
async fn prepared(to: &Cluster, planned: &Planned) -> Result<(Kubernetes, Wanted), Box<dyn Error>> {
    let source = &planned.source;
    let mut files = Files::read(source)?;
    let stack = files.stack(source)?;
    let (kubernetes, namespace) = match to.connect(stack.namespace.as_deref()).await {
        Ok(connected) => connected,
        Err(error) => {
            let namespace = to.namespace.as_ref().or(stack.namespace.as_ref());
            let namespace = namespace.map_or("default", String::as_str).to_owned();
            completed(stack, &namespace, &Addresses::new())?;
            return Err(error);
        }
    };
    let stack = if planned.adopt {
        files
            .config_maps
            .extend(by_hand(&kubernetes, &namespace).await?);
        files.stack(source)?
    } else {
        stack
    };
    let addresses = addresses(&kubernetes, &namespace).await;
    let wanted = completed(stack, &namespace, &addresses)?;
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

/// The addresses of the Services that are ours; none where they cannot be read, which the check of rights tells.
async fn addresses(kubernetes: &Kubernetes, namespace: &str) -> Addresses {
    let ours = objects::ours();
    let services = kubernetes.list(Kind::Service, namespace, &ours).await;
    let mut addresses = Addresses::new();
    for service in services.unwrap_or_default() {
        let listed = service
            .pointer("/spec/clusterIPs")
            .and_then(Value::as_array);
        let parsed = listed.into_iter().flatten().filter_map(Value::as_str);
        for address in parsed.filter_map(|address| address.parse().ok()) {
            addresses.insert(address, name_of(&service).to_owned());
        }
    }
    addresses
}

/// The document's ConfigMaps that somebody has applied by hand, as if they were files.
async fn by_hand(kubernetes: &Kubernetes, namespace: &str) -> Result<Vec<File>, Box<dyn Error>> {
    let mut files = Vec::new();
    for name in Program::ALL.map(Program::config_map) {
        let found = kubernetes.get(Kind::ConfigMap, namespace, name).await?;
        if let Some(map) = found.filter(|map| !objects::is_ours(map)) {
            files.push(File {
                name: format!("ConfigMap `{name}` of namespace `{namespace}`"),
                text: map.to_string().into(),
            });
        }
    }
    Ok(files)
}

fn allowed(planned: &Planned) -> Allowed {
    Allowed {
        force: planned.force_conflicts,
        adopt: planned.adopt,
        remove_stores: planned.remove_stores,
    }
}

async fn show_plan(to: &Cluster, planned: &Planned) -> Outcome {
    let (kubernetes, wanted) = prepared(to, planned).await?;
    let plan = plan::plan(&kubernetes, &wanted, allowed(planned)).await?;
    Teller::new().warns(&kubernetes.warnings());
    for step in &plan.steps {
        println!("{step}");
    }
    Ok(if plan.refused().is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn install(to: &Cluster, applied: &Applied) -> Outcome {
    let (kubernetes, wanted) = prepared(to, &applied.planned).await?;
    let options = apply::Options {
        allowed: allowed(&applied.planned),
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
    println!(
        "who signs up there waits for a mail that nobody sends: `temporal-stack --namespace {} user add NAME` makes an \
         account",
        wanted.namespace
    );
    Ok(ExitCode::SUCCESS)
}

/// Where the API answers.
async fn address(kubernetes: &Kubernetes, wanted: &Wanted) -> Result<String, Box<dyn Error>> {
    let (service, port) = temporal::API;
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
    let values = wait::values_of(&kubernetes, &namespace).await?;
    let mut watch = Watch::begin(&kubernetes, &namespace, &values).await?;
    let outcome = watch.until_ready(&workloads, limit, &mut teller).await;
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
