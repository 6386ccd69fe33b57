//! What the user wants: `stack.yaml`, and the ConfigMaps of the original document, as one [`Stack`]. Pure: texts
//! in, values or every problem out.

mod check;
mod config_map;
pub mod kubo;
mod quantity;
pub mod versions;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use self::yaml::Twice;
use crate::secret::Secret;
use crate::settings::Given;

/// `stack.yaml`. Everything has a default: an empty file is a whole stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(title = "stack.yaml")]
pub struct Stack {
    /// Where everything is made. The flag `--namespace` comes before it; without both it is the namespace of the
    /// ConfigMaps, or else that of the kubeconfig's context.
    pub namespace: Option<String>,
    /// The Linkerd service mesh.
    pub mesh: Mesh,
    /// The StorageClass of all claims, such as `rook-ceph-block`. Without it the cluster's default one.
    pub storage_class: Option<String>,
    /// Secrets with which images are pulled; they must be there already.
    pub image_pull_secrets: Vec<String>,
    /// The Temporal API, its key store and its workers.
    pub temporal: Temporal,
    /// The IPFS nodes.
    pub ipfs: Ipfs,
    /// The IPFS Cluster peers, one for each IPFS node.
    pub ipfs_cluster: IpfsCluster,
    /// The database.
    pub postgres: Postgres,
    /// The message broker.
    pub rabbitmq: Rabbitmq,
    /// What is odd in the files, and was read all the same.
    #[serde(skip)]
    pub remarks: Vec<Problem>,
}

/// Whether Pods ask for the mesh's proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mesh {
    /// They do. Where no Linkerd is installed this has no effect, and a warning says so.
    #[default]
    Linkerd,
    /// They do not, even where the namespace asks for it.
    Off,
}

/// The Temporal API, its key store and its workers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Temporal {
    /// Image of all of them.
    pub image: String,
    /// Settings by the names of the environment variables, as in the ConfigMap `temporal-config`.
    #[serde(deserialize_with = "texts")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub settings: Given,
    /// Pods of the API.
    pub replicas: u32,
    /// How the API's Service is reached.
    pub service_type: ServiceType,
    /// A Secret of type `kubernetes.io/tls` for the API, where the settings name a certificate. Without it a
    /// self-signed one is made.
    pub tls_secret: Option<String>,
    /// The queue workers to run. Without it all whose settings are complete.
    pub workers: Option<Vec<Worker>>,
    /// Whether the database takes TLS connections, so that the migration uses one. The stack's own takes none.
    pub database_tls: bool,
    /// Size of the claim that holds the key store.
    pub storage: String,
    /// How much a Pod may log into files before it is replaced: the program never takes a log away.
    pub log_limit: String,
    /// What each Pod asks for.
    pub resources: Resources,
}

impl Default for Temporal {
    fn default() -> Self {
        Self {
            image: "rtradetech/temporal:v2.6.3".to_owned(),
            settings: Given::new(),
            replicas: 1,
            service_type: ServiceType::ClusterIp,
            tls_secret: None,
            workers: None,
            database_tls: false,
            storage: "1Gi".to_owned(),
            log_limit: "1Gi".to_owned(),
            resources: Resources::of("50m", "128Mi", "512Mi"),
        }
    }
}

/// A queue of Temporal's, each with a worker of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Worker {
    /// Pins on the IPFS node.
    Pin,
    /// Pins on IPFS Cluster.
    Cluster,
    /// Makes keys in krab.
    KeyCreation,
    /// Publishes IPNS records; needs `SERVICES_RTNS_KEY_NAME`, a key that is in krab already.
    IpnsEntry,
    /// Sends mail; needs `SENDGRID_API_KEY`.
    EmailSend,
}

impl Worker {
    /// All workers.
    pub const ALL: [Self; 5] = [
        Self::Pin,
        Self::Cluster,
        Self::KeyCreation,
        Self::IpnsEntry,
        Self::EmailSend,
    ];

    /// The name in objects and in `stack.yaml`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Cluster => "cluster",
            Self::KeyCreation => "key-creation",
            Self::IpnsEntry => "ipns-entry",
            Self::EmailSend => "email-send",
        }
    }

    /// The program's sub-command.
    pub fn arguments(self) -> Vec<&'static str> {
        match self {
            Self::EmailSend => vec!["queue", self.name()],
            _ => vec!["queue", "ipfs", self.name()],
        }
    }

    /// The setting without which it has nothing to do.
    pub const fn needs(self) -> Option<&'static str> {
        match self {
            Self::IpnsEntry => Some("SERVICES_RTNS_KEY_NAME"),
            Self::EmailSend => Some("SENDGRID_API_KEY"),
            _ => None,
        }
    }
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ServiceType {
    /// From inside the cluster only.
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// On a port of every machine too.
    NodePort,
    /// Through a load balancer of the cloud too.
    LoadBalancer,
}

/// The IPFS nodes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Ipfs {
    /// Image of the node: kubo below 0.28.
    pub image: String,
    /// Nodes, each with its peer of IPFS Cluster. Where IPFS is elsewhere there is one peer, for the one node there.
    pub replicas: u32,
    /// kubo's own settings: keys of its configuration, such as `Swarm.ConnMgr.HighWater`, with their values. They are
    /// written before each start; one that is taken back keeps its value until another is written.
    pub config: kubo::Config,
    /// How strangers reach the swarm port 4001, the only one that is for them. Without it not at all.
    pub swarm_service_type: Option<ServiceType>,
    /// Size of each node's claim.
    pub storage: String,
    /// What each Pod asks for.
    pub resources: Resources,
}

impl Default for Ipfs {
    fn default() -> Self {
        Self {
            image: versions::KUBO.works.to_owned(),
            replicas: 3,
            config: kubo::Config::new(),
            swarm_service_type: None,
            storage: "100Gi".to_owned(),
            resources: Resources::of("250m", "512Mi", "2Gi"),
        }
    }
}

/// The IPFS Cluster peers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct IpfsCluster {
    /// Image of the peer: IPFS Cluster below 1.0.
    pub image: String,
    /// Settings by the names of the environment variables, as in the ConfigMap `ipfs-cluster-config`.
    #[serde(deserialize_with = "texts")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub settings: Given,
    /// Size of each peer's claim.
    pub storage: String,
    /// What each Pod asks for.
    pub resources: Resources,
}

impl Default for IpfsCluster {
    fn default() -> Self {
        Self {
            image: versions::CLUSTER.works.to_owned(),
            settings: Given::new(),
            storage: "5Gi".to_owned(),
            resources: Resources::of("100m", "256Mi", "1Gi"),
        }
    }
}

/// The database.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Postgres {
    /// Image of the server: the official one on Debian, whose user is 999. Its tag says the major version, which
    /// cannot be changed once there are data.
    pub image: String,
    /// The server's major version, such as 17, where the image's tag does not begin with it.
    pub version: Option<u32>,
    /// Settings by the names of the environment variables, as in the ConfigMap `postgres-config`.
    #[serde(deserialize_with = "texts")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub settings: Given,
    /// Size of the claim.
    pub storage: String,
    /// What the Pod asks for.
    pub resources: Resources,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            image: "postgres:17".to_owned(),
            version: None,
            settings: Given::new(),
            storage: "10Gi".to_owned(),
            resources: Resources::of("100m", "256Mi", "1Gi"),
        }
    }
}

impl Postgres {
    /// The server's major version, if anything says it.
    pub fn major(&self) -> Option<u32> {
        self.version.or_else(|| versions::major(&self.image))
    }
}

/// The message broker.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Rabbitmq {
    /// Image of the server: the official one on Ubuntu, whose user is 999.
    pub image: String,
    /// Nodes: one for small sites, or an odd number, whose queues are replicated. It may grow later, and the queues
    /// with it, but not shrink.
    pub replicas: u32,
    /// Size of each node's claim.
    pub storage: String,
    /// What each Pod asks for.
    pub resources: Resources,
}

impl Default for Rabbitmq {
    fn default() -> Self {
        Self {
            image: "rabbitmq:4.1-management".to_owned(),
            replicas: 1,
            storage: "5Gi".to_owned(),
            resources: Resources::of("100m", "512Mi", "1Gi"),
        }
    }
}

/// What a Pod asks for, in Kubernetes' quantities.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Resources {
    /// Processor time that it surely gets, such as `100m`.
    pub cpu: String,
    /// Memory that it surely gets, such as `256Mi`.
    pub memory: String,
    /// Memory beyond which it is ended.
    pub memory_limit: String,
}

impl Resources {
    /// The memory beyond which a container is ended, in bytes.
    pub fn limit_in_bytes(&self) -> Option<u64> {
        quantity::bytes(&self.memory_limit)
    }

    fn of(cpu: &str, memory: &str, memory_limit: &str) -> Self {
        Self {
            cpu: cpu.to_owned(),
            memory: memory.to_owned(),
            memory_limit: memory_limit.to_owned(),
        }
    }
}

/// Something in the user's files that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which file.
    pub file: String,
    /// What is wrong, and what to write instead.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.text)
    }
}

/// A file, read.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name, for messages.
    pub name: String,
    /// Its text, which may hold passwords.
    pub text: Secret<String>,
}

impl File {
    /// Something that is wrong with it.
    fn problem(&self, text: impl Into<String>) -> Problem {
        Problem {
            file: self.name.clone(),
            text: text.into(),
        }
    }
}

/// Puts the files together; the error lists every problem.
pub fn read(stack: Option<&File>, config_maps: &[File]) -> Result<Stack, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut result = Stack::default();
    if let Some(file) = stack {
        match parse(file) {
            Ok(stack) => result = stack,
            Err(problem) => problems.push(problem),
        }
        let texts = result.problems().into_iter();
        problems.extend(texts.map(|text| file.problem(text)));
    }
    for file in config_maps {
        problems.extend(config_map::read(file, &mut result));
    }
    if problems.is_empty() {
        Ok(result)
    } else {
        Err(problems)
    }
}

fn parse(file: &File) -> Result<Stack, Problem> {
    let mut documents = yaml::documents(file, Twice::Refused)?;
    let stack = documents.pop().unwrap_or_default();
    if documents.is_empty() {
        return Ok(stack);
    }
    Err(file.problem("has several documents; write one, without `---` in it"))
}

/// A map of texts. Numbers and yes or no without quotes are taken for what is written.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Given, D::Error> {
    // a key with nothing behind it has no value
    let raw: Option<BTreeMap<String, Option<String>>> = Deserialize::deserialize(deserializer)?;
    let texts = raw.unwrap_or_default().into_iter();
    Ok(texts
        .map(|(name, value)| (name, value.unwrap_or_default().into()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File {
            name: "f.yaml".to_owned(),
            text: text.into(),
        }
    }

    fn problems(text: &str) -> String {
        let problems = read(Some(&file(text)), &[]).unwrap_err();
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    fn config_map(name: &str, data: &str) -> File {
        file(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\ndata: {data}\n"
        ))
    }

    #[test]
    fn nothing_is_a_whole_stack() {
        assert_eq!(read(None, &[]), Ok(Stack::default()));
        for text in ["", "\n", "# nothing\n", "---\n{}\n---\n", "temporal: {}\n"] {
            assert_eq!(
                read(Some(&file(text)), &[]),
                Ok(Stack::default()),
                "{text:?}"
            );
        }
        assert_eq!(Stack::default().problems(), Vec::<String>::new());
    }

    #[test]
    fn the_example_of_the_readme_is_one() {
        let readme = include_str!("../../../README.md");
        let (_, rest) = readme.split_once("```yaml\nnamespace: pinning").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        let stack = read(Some(&file(&format!("namespace: pinning{example}"))), &[]).unwrap();
        assert_eq!(stack.storage_class.as_deref(), Some("rook-ceph-block"));
        assert_eq!(stack.temporal.settings.len(), 2);
        assert_eq!(stack.rabbitmq.replicas, 3);
    }

    #[test]
    fn what_cannot_be_meant_is_told_by_field() {
        for (text, said) in [
            ("ipsf: {}", "line 1: `ipsf` is no field here; write `ipfs`"),
            (
                "\nwhatever: {}",
                "line 2: `whatever` is no field here; there are `namespace`",
            ),
            (
                "mesh: istio",
                "line 1: is not one of the words that can stand here; write `linkerd`, `off`",
            ),
            (
                "temporal:\n  workers: [mail]",
                "line 2: is not one of the words",
            ),
            (
                "temporal: {replicas: many}",
                "line 1: something else stands here",
            ),
            (
                "mesh: off\nmesh: off",
                "line 2: `mesh` is written twice; leave one of them out",
            ),
            ("mesh: off\n---\nmesh: off", "several documents"),
            ("mesh: off\n\t- x", "this is no YAML"),
            ("temporal: {replicas: 0}", "`temporal.replicas`: is 0"),
            (
                "rabbitmq: {replicas: 4}",
                "`rabbitmq.replicas`: is 4; write 1, or an odd number",
            ),
            (
                "ipfs: {storage: lots}",
                "`ipfs.storage`: \"lots\" is no quantity",
            ),
            ("ipfs: {storage: -1Gi}", "`ipfs.storage`"),
            ("ipfs: {storage: 0Gi}", "`ipfs.storage`"),
            ("ipfs: {storage: 10GiB}", "`ipfs.storage`"),
            (
                "postgres: {resources: {cpu: fast, memory: 1Gi, memoryLimit: 1Gi}}",
                "`postgres.resources.cpu`",
            ),
            ("postgres: {image: ''}", "`postgres.image`"),
            (
                "postgres: {image: 'postgres:latest'}",
                "`postgres.image`: \"postgres:latest\" does not say which version it is",
            ),
            (
                "rabbitmq: {image: 'rabbitmq:3.6.6-management-alpine'}",
                "`rabbitmq.image`: \"rabbitmq:3.6.6-management-alpine\" does not start",
            ),
            ("namespace: My_Space", "`namespace`: \"My_Space\""),
            ("storageClass: -x", "`storageClass`"),
            (
                "ipfs: {image: 'ipfs/kubo:v0.43.1'}",
                "write `ipfs/kubo:v0.27.0`",
            ),
            (
                "ipfsCluster: {image: 'ipfs/ipfs-cluster:v1.1.6'}",
                "write `ipfs/ipfs-cluster:v0.14.5`",
            ),
            ("ipfs: {config: {Swram.X: 1}}", "begins with no section"),
        ] {
            let problems = problems(text);
            assert!(
                problems.starts_with("f.yaml: ") && problems.contains(said),
                "{text}: {problems}"
            );
        }
    }

    #[test]
    fn a_file_that_is_no_yaml_is_told_without_its_text() {
        let problems = problems("temporal: {settings: {DATABASE_PASSWORD: hunter2}\n");
        assert!(
            problems.contains("f.yaml") && !problems.contains("hunter2"),
            "{problems}"
        );
        let problems = self::problems("temporal: {settings: {DATABASE_PASSWORD: [hunter2]}}\n");
        assert!(!problems.contains("hunter2"), "{problems}");
    }

    #[test]
    fn config_maps_are_settings_by_their_names() {
        let maps = [
            config_map("temporal-config", "{DATABASE_URL: db.example.com}"),
            config_map("ipfs-cluster-config", "{CLUSTER_LEAVEONSHUTDOWN: false}"),
            config_map("postgres-config", "{POSTGRES_USER: }"),
        ];
        let stack = read(None, &maps).unwrap();
        assert_eq!(stack.namespace.as_deref(), Some("default"));
        assert_eq!(
            stack.temporal.settings["DATABASE_URL"].expose(),
            "db.example.com"
        );
        assert_eq!(
            stack.ipfs_cluster.settings["CLUSTER_LEAVEONSHUTDOWN"].expose(),
            "false"
        );
        assert_eq!(stack.postgres.settings["POSTGRES_USER"].expose(), "");
    }

    #[test]
    fn a_space_in_front_of_the_first_line_does_no_harm() {
        let map = config_map("temporal-config", "{A: b}");
        let spaced = file(&format!(" {}", map.text.expose()));
        assert_eq!(read(None, &[spaced]), read(None, &[map]));
    }

    #[test]
    fn config_maps_that_do_not_fit_are_refused() {
        for (map, said) in [
            (config_map("other", "{}"), "`metadata.name` is \"other\""),
            (
                file("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n"),
                "f.yaml: line 2: is a Secret of v1",
            ),
            (
                file("kind: ConfigMap\n"),
                "f.yaml: line 1: `apiVersion` is missing",
            ),
            (file(": :\n - ["), "f.yaml: line"),
            (file("---\n"), "f.yaml: has no ConfigMap in it"),
            (
                config_map("temporal-config", "{DATABASE_PASSWORD: [hunter2]}"),
                "f.yaml: line 4: something else stands here",
            ),
        ] {
            let problems = read(None, std::slice::from_ref(&map)).unwrap_err();
            assert!(problems[0].to_string().contains(said), "{problems:?}");
            assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
        }
    }

    #[test]
    fn what_kubectl_reads_is_read() {
        let apart = [
            config_map("temporal-config", "{DATABASE_URL: db.example.com}"),
            config_map("postgres-config", "{POSTGRES_USER: al}"),
        ];
        let wanted = read(None, &apart).unwrap();
        let [first, second] = apart.map(|file| file.text.expose().clone());
        let item = |text: &str| format!("- {}", text.trim_end().replace('\n', "\n  "));
        let list = |kind: &str| {
            format!(
                "kind: {kind}\napiVersion: v1\nitems:\n{}\n{}\n",
                item(&first),
                item(&second)
            )
        };
        let json = r#"{"apiVersion":"v1","kind":"List","items":[
            {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"temporal-config","namespace":"default",
             "labels":{"a":"b"}},"data":{"DATABASE_URL":"db.example.com"}},
            {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"postgres-config","namespace":"default"},
             "data":{"POSTGRES_USER":"al"}}]}"#;
        for text in [
            format!("{first}---\n{second}"),
            format!("---\n{first}---\n---\n{second}---\n"),
            list("List"),
            list("ConfigMapList"),
            json.to_owned(),
        ] {
            assert_eq!(read(None, &[file(&text)]), Ok(wanted.clone()), "{text}");
        }
        let others = "apiVersion: apps/v1\nkind: Deployment\nspec: {data: [1]}\n";
        let mut stack = read(None, &[file(&format!("{first}---\n{second}---\n{others}"))]).unwrap();
        let remarks = std::mem::take(&mut stack.remarks);
        assert_eq!(stack, wanted);
        assert!(
            remarks[0]
                .to_string()
                .contains("line 12: is a Deployment of apps/v1, and left out"),
            "{remarks:?}"
        );
    }

    #[test]
    fn of_a_key_that_is_there_twice_the_last_one_counts_and_it_is_told() {
        let map = config_map("temporal-config", "\n  A: hunter2\n  B: x\n  A: hunter3");
        let stack = read(None, &[map]).unwrap();
        assert_eq!(stack.temporal.settings["A"].expose(), "hunter3");
        let said = stack.remarks[0].to_string();
        assert!(said.contains("line 7: `A` is written twice"), "{said}");
        assert!(
            said.ends_with("the last one counts, as it does for kubectl"),
            "{said}"
        );
        assert!(!said.contains("hunter"));
    }

    #[test]
    fn a_setting_in_two_places_must_be_the_same() {
        let stack = file("namespace: here\ntemporal: {settings: {A: hunter2}}\n");
        let map = config_map("temporal-config", "{A: hunter3, B: x}");
        let problems = read(Some(&stack), &[map]).unwrap_err();
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said[0].contains("`metadata.namespace` is \"default\"") && said[0].contains("\"here\"")
        );
        assert!(said[1].contains("`A` has another value elsewhere"));
        assert!(!said.join("").contains("hunter"));
    }
}
