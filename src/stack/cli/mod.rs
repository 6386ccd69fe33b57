//! The command line: reads files, calls the rest, and prints. What a script may read goes to standard output,
//! everything for people to standard error.
#![expect(clippy::disallowed_methods, reason = "reads the user's files")]

mod arguments;
mod teller;
mod user;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

pub use self::arguments::Cli;
use self::arguments::{Command, Planned, Source, UserCommand};
use self::teller::Teller;

use crate::error::chain;
use crate::input::{self, File, Stack};
use crate::kubernetes::{Access, Kind, Kubernetes, list, name_of};
use crate::names::MANAGER;
use crate::objects;
use crate::parts::temporal;
use crate::reference;
use crate::run::{Progress as _, Run, apply, check, delete, plan, status, wait};
use crate::secrets::Values;
use crate::settings::{Addresses, Program, Severity};
use crate::stack::{self, Wanted, wanted};

/// Does what the command line says. The exit code is 0 only if that was done.
pub async fn main(cli: Cli) -> ExitCode {
    match run(cli).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("temporal-stack: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Whether all is well.
type Outcome = Result<bool, Box<dyn Error>>;

async fn run(cli: Cli) -> Outcome {
    let to = Cluster {
        access: Access {
            kubeconfig: cli.kubeconfig,
            context: cli.context,
            manager: MANAGER,
        },
        namespace: cli.namespace,
    };
    match cli.command {
        Command::Render {
            source,
            with_secrets,
        } => render(&to, &source, with_secrets),
        Command::Plan(planned) => show_plan(&to, &planned).await,
        Command::Apply { planned, timeout } => install(&to, &planned, timeout.timeout).await,
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
            Ok(true)
        }
        Command::Settings { program } => {
            print!("{}", reference::table(program));
            Ok(true)
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
    async fn connect(&self, files: Option<&str>) -> Result<Kubernetes, Box<dyn Error>> {
        let kubernetes = Kubernetes::connect(&self.access).await?;
        // a wrong address is told in seconds
        kubernetes.version().await?;
        Ok(match self.namespace.as_deref().or(files) {
            Some(namespace) => kubernetes.within(namespace),
            None => kubernetes,
        })
    }

    /// Checks the settings without a cluster.
    fn imagine(&self, stack: Stack) -> Result<Wanted, Box<dyn Error>> {
        let namespace = self.namespace.clone().or_else(|| stack.namespace.clone());
        let namespace = namespace.unwrap_or_else(|| "default".to_owned());
        completed(stack, &namespace, &Addresses::new())
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
        stack.mesh = source.mesh.unwrap_or(stack.mesh);
        if let Some(class) = &source.storage_class {
            stack.storage_class = Some(class.clone());
        }
        Ok(stack)
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
    let outcome = wanted(stack, namespace, addresses);
    let findings = match &outcome {
        Ok(wanted) => &wanted.findings,
        Err(findings) => findings,
    };
    for finding in findings {
        let word = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        eprintln!("{word}: {finding}");
    }
    outcome.map_err(|_| "the settings have errors".into())
}

fn render(to: &Cluster, source: &Source, with_secrets: bool) -> Outcome {
    let wanted = to.imagine(Files::read(source)?.stack(source)?)?;
    let mut values = Values::new();
    if with_secrets {
        let (made, writes) = plan::resolve(&wanted, &BTreeMap::new())?;
        for write in &writes {
            print_document(write.body.expose())?;
        }
        values = made;
    } else {
        for secret in &wanted.secrets {
            let keys: Vec<&str> = secret.keys.iter().map(|(key, _)| key.as_str()).collect();
            println!(
                "# Secret `{}` ({}) is made by `temporal-stack apply`",
                secret.name,
                keys.join(", ")
            );
        }
    }
    for object in stack::objects(wanted.context(&values)) {
        print_document(&object.body)?;
    }
    Ok(true)
}

fn print_document(object: &Value) -> Result<(), Box<dyn Error>> {
    println!("---\n{}", serde_saphyr::to_string(object)?.trim_end());
    Ok(())
}

/// What `plan` and `apply` begin with: files, settings, cluster. What is wrong with the settings needs no cluster to be
/// told.
async fn prepared(to: &Cluster, planned: &Planned) -> Result<(Kubernetes, Wanted), Box<dyn Error>> {
    let source = &planned.source;
    let mut files = Files::read(source)?;
    let mut stack = files.stack(source)?;
    let kubernetes = match to.connect(stack.namespace.as_deref()).await {
        Ok(kubernetes) => kubernetes,
        Err(error) => {
            to.imagine(stack)?;
            return Err(error);
        }
    };
    if planned.allowed.adopt {
        files.config_maps.extend(by_hand(&kubernetes).await?);
        stack = files.stack(source)?;
    }
    let addresses = addresses(&kubernetes).await;
    let wanted = completed(stack, kubernetes.namespace(), &addresses)?;
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
async fn addresses(kubernetes: &Kubernetes) -> Addresses {
    let services = kubernetes.list(Kind::Service, &objects::ours()).await;
    let mut addresses = Addresses::new();
    for service in services.unwrap_or_default() {
        let listed = list(&service, "/spec/clusterIPs").filter_map(Value::as_str);
        let parsed = listed.filter_map(|address| address.parse().ok());
        addresses.extend(parsed.map(|address| (address, name_of(&service).to_owned())));
    }
    addresses
}

/// The document's ConfigMaps that somebody has applied by hand, as if they were files.
async fn by_hand(kubernetes: &Kubernetes) -> Result<Vec<File>, Box<dyn Error>> {
    let mut files = Vec::new();
    for name in Program::ALL.map(Program::config_map) {
        let found = kubernetes.get(Kind::ConfigMap, name).await?;
        if let Some(map) = found.filter(|map| !objects::is_ours(map)) {
            let namespace = kubernetes.namespace();
            files.push(File {
                name: format!("ConfigMap `{name}` of namespace `{namespace}`"),
                text: map.to_string().into(),
            });
        }
    }
    Ok(files)
}

async fn show_plan(to: &Cluster, planned: &Planned) -> Outcome {
    let (kubernetes, wanted) = prepared(to, planned).await?;
    let plan = plan::plan(&kubernetes, &wanted, planned.allowed).await?;
    Teller::new().warns(&kubernetes.warnings());
    for step in &plan.steps {
        println!("{step}");
    }
    Ok(plan.refused().is_empty())
}

async fn install(to: &Cluster, planned: &Planned, limit: Duration) -> Outcome {
    let (kubernetes, wanted) = prepared(to, planned).await?;
    let mut teller = Teller::new();
    let mut run = Run::new(&kubernetes, limit, &mut teller);
    let counts = apply::apply(&mut run, &wanted, planned.allowed).await?;
    drop(teller);
    println!("{counts}");
    println!("{}", address(&kubernetes, &wanted).await?);
    println!(
        "who signs up there waits for a mail that nobody sends: `temporal-stack --namespace {} user add NAME` makes an \
         account",
        wanted.namespace
    );
    Ok(true)
}

/// Where the API answers.
async fn address(kubernetes: &Kubernetes, wanted: &Wanted) -> Result<String, Box<dyn Error>> {
    let ((service, port), path) = (temporal::API, temporal::HEALTH);
    let scheme = if wanted.environment.certificate.is_some() {
        "https"
    } else {
        "http"
    };
    let namespace = &wanted.namespace;
    let inside = format!(
        "the API answers inside the cluster at {scheme}://{service}.{namespace}:{port}{path}"
    );
    let found = kubernetes.get(Kind::Service, service).await?;
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
    let status = status::status(&to.connect(None).await?).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        println!("{status}");
    }
    Ok(status.ready)
}

async fn wait_for_all(to: &Cluster, limit: Duration) -> Outcome {
    let kubernetes = to.connect(None).await?;
    let mut teller = Teller::new();
    let mut run = Run::new(&kubernetes, limit, &mut teller);
    let count = wait::until_all_ready(&mut run).await?;
    drop(teller);
    println!("all of {count} workloads are ready");
    Ok(true)
}

async fn remove(to: &Cluster, data: bool, limit: Duration) -> Outcome {
    let kubernetes = to.connect(None).await?;
    let namespace = kubernetes.namespace();
    let mut teller = Teller::new();
    delete::delete(&mut Run::new(&kubernetes, limit, &mut teller), data).await?;
    drop(teller);
    if data {
        println!("nothing of the stack is left in namespace `{namespace}`");
    } else {
        println!(
            "the stack is gone from namespace `{namespace}`; its claims and Secrets are kept, and \
             `--delete-data` removes them, too"
        );
    }
    Ok(true)
}
