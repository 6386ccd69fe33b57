//! The server's configuration file, from typed values through a serializer; `plan` compares the text with
//! the file in the container. No password is in it, and no comment: servers from 1.28 on take a comment
//! that says so as the order to expand the whole file as a template.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;
use serde_saphyr::DoubleQuoted;

use super::{authority, dynamic};
use crate::config::LogLevel;
use crate::temporal::{CLUSTER, Database, PerStore, Role, Store, Version, host_port};

/// Where the file lies in the container: [`ROOT`], [`DIRECTORY`], and [`ENVIRONMENT`] with `.yaml`.
pub const PATH: &str = "/etc/temporal/config/charm.yaml";
/// What the server's flag `--root` says.
pub const ROOT: &str = "/etc/temporal";
/// What the server's flag `--config` says; the server joins it to the root.
pub const DIRECTORY: &str = "config";
/// What the server's flag `--env` says: the name of the file.
pub const ENVIRONMENT: &str = "charm";
/// Where the server shows its metrics.
pub const METRICS_PORT: u16 = 9090;

/// All that the file depends on. No password is among them: it is in the pass file. Nor are the unit's roles, which are
/// in the command; but each brings pools of its own, so that their sizes depend on how many there are.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// What the binary answers.
    pub version: Version,
    /// The two databases.
    pub databases: PerStore<&'a Database>,
    /// See [`pools`].
    pub pools: PerStore<u32>,
    /// The number of history shards.
    pub shards: u32,
    /// How much the server logs.
    pub log_level: LogLevel,
    /// Where the other members of the ring reach this unit.
    pub broadcast_address: IpAddr,
}

/// The most connections of one role's pool to each store, of as many as a unit may have in all: each role of a process
/// has pools of its own, and two thirds go to the main store. A pool has at least one.
pub fn pools(connections: u32, roles: u32) -> PerStore<u32> {
    let each = connections / roles.max(1);
    let main = (2 * each + 1) / 3;
    PerStore {
        main: main.max(1),
        visibility: each.saturating_sub(main).max(1),
    }
}

/// The file's text.
#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "texts, numbers and flags in structs and maps with text keys always serialise"
)]
pub fn render(inputs: &Inputs<'_>) -> String {
    serde_saphyr::to_string(&File::from(inputs)).expect("plain data")
}

/// The pools are of another size: by option, or since other roles share the connections.
pub const OTHER_POOLS: &str = "option `database-connections` changed";

/// TLS was switched on or off.
const OTHER_TLS: &str = "another word on TLS from the database";

/// What a person would call the differences between two of these files; the older may be anything.
pub fn differences(before: &[u8], after: &str) -> Vec<&'static str> {
    let before: Option<Value> = serde_saphyr::from_slice(before).ok();
    let (Some(before), Ok(after)) = (before, serde_saphyr::from_str::<Value>(after)) else {
        return vec!["its configuration changed"];
    };
    let known = [
        ("/log/level", "option `log-level` changed"),
        (
            "/persistence/numHistoryShards",
            "option `num-history-shards` changed",
        ),
        ("/persistence/datastores/default/sql/maxConns", OTHER_POOLS),
        ("/persistence/datastores/default/sql/tls", OTHER_TLS),
        ("/persistence/datastores/visibility/sql/tls", OTHER_TLS),
        (
            "/global/membership/broadcastAddress",
            "this unit has another address",
        ),
        ("/services", "another server version"),
    ];
    let differs = |path: &str| before.pointer(path) != after.pointer(path);
    let words = known.iter().filter(|(path, _)| differs(path));
    let mut words: Vec<_> = words.map(|(_, words)| *words).collect();
    words.dedup();
    words
}

/// One line in double quotes whatever it holds.
type Text = DoubleQuoted<String>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    log: Log,
    persistence: Persistence,
    global: Global,
    services: BTreeMap<&'static str, Service>,
    cluster_metadata: ClusterMetadata,
    dc_redirection_policy: DcRedirectionPolicy,
    archival: Archival,
    namespace_defaults: NamespaceDefaults,
    dynamic_config_client: DynamicConfigClient,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_client: Option<PublicClient>,
}

#[derive(Serialize)]
struct Log {
    stdout: bool,
    level: Text,
    format: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Persistence {
    default_store: Text,
    visibility_store: Text,
    num_history_shards: u32,
    datastores: Datastores,
}

#[derive(Serialize)]
struct Datastores {
    default: Datastore,
    visibility: Datastore,
}

#[derive(Serialize)]
struct Datastore {
    sql: Sql,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sql {
    plugin_name: Text,
    database_name: Text,
    connect_addr: Text,
    connect_protocol: Text,
    connect_attributes: ConnectAttributes,
    user: Text,
    max_conns: u32,
    max_idle_conns: u32,
    max_conn_lifetime: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tls {
    enabled: bool,
    enable_host_verification: bool,
    ca_file: Text,
}

#[derive(Serialize)]
struct ConnectAttributes {
    application_name: Text,
    binary_parameters: Text,
    connect_timeout: Text,
}

#[derive(Serialize)]
struct Global {
    membership: Membership,
    metrics: Metrics,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Membership {
    max_join_duration: Text,
    broadcast_address: Text,
}

#[derive(Serialize)]
struct Metrics {
    prometheus: Prometheus,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Prometheus {
    timer_type: Text,
    listen_address: Text,
}

#[derive(Serialize)]
struct Service {
    rpc: Rpc,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rpc {
    grpc_port: u16,
    membership_port: u16,
    #[serde(rename = "bindOnIP")]
    bind_on_ip: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterMetadata {
    enable_global_namespace: bool,
    failover_version_increment: u32,
    master_cluster_name: Text,
    current_cluster_name: Text,
    cluster_information: BTreeMap<&'static str, Cluster>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    enabled: bool,
    initial_failover_version: u32,
    rpc_name: Text,
    rpc_address: Text,
}

#[derive(Serialize)]
struct DcRedirectionPolicy {
    policy: Text,
}

#[derive(Serialize)]
struct Archival {
    history: ArchivalState,
    visibility: ArchivalState,
}

#[derive(Serialize)]
struct ArchivalState {
    state: Text,
}

#[derive(Serialize)]
struct NamespaceDefaults {
    archival: Archival,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DynamicConfigClient {
    filepath: Text,
    poll_interval: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PublicClient {
    host_port: Text,
}

impl From<&Inputs<'_>> for File {
    fn from(inputs: &Inputs<'_>) -> Self {
        let any = any_address(inputs.broadcast_address);
        Self {
            log: Log {
                stdout: true,
                level: text(level(inputs.log_level)),
                format: text("json"),
            },
            persistence: Persistence::from(inputs),
            global: Global {
                membership: Membership {
                    max_join_duration: text("30s"),
                    broadcast_address: text(&inputs.broadcast_address),
                },
                metrics: Metrics {
                    prometheus: Prometheus {
                        timer_type: text("histogram"),
                        listen_address: text(&SocketAddr::new(any, METRICS_PORT)),
                    },
                },
            },
            services: services(inputs.version, any),
            cluster_metadata: ClusterMetadata::new(),
            dc_redirection_policy: DcRedirectionPolicy {
                policy: text("noop"),
            },
            archival: Archival::disabled(),
            namespace_defaults: NamespaceDefaults {
                archival: Archival::disabled(),
            },
            dynamic_config_client: DynamicConfigClient {
                filepath: text(dynamic::PATH),
                poll_interval: text("10s"),
            },
            public_client: public_client(inputs),
        }
    }
}

impl From<&Inputs<'_>> for Persistence {
    fn from(inputs: &Inputs<'_>) -> Self {
        let plugin = inputs.version.plugin();
        Self {
            default_store: text("default"),
            visibility_store: text("visibility"),
            num_history_shards: inputs.shards,
            datastores: Datastores {
                default: Datastore::new(plugin, Store::Main, inputs),
                visibility: Datastore::new(plugin, Store::Visibility, inputs),
            },
        }
    }
}

impl Datastore {
    fn new(plugin: &str, store: Store, inputs: &Inputs<'_>) -> Self {
        let (database, connections) = (inputs.databases.get(store), *inputs.pools.get(store));
        Self {
            sql: Sql {
                plugin_name: text(plugin),
                database_name: text(&database.name),
                connect_addr: text(&host_port(&database.host, database.port)),
                connect_protocol: text("tcp"),
                connect_attributes: ConnectAttributes {
                    application_name: text("temporal-server"),
                    // A statement and its values in one message: a pooler in transaction mode may hand the next
                    // message to another session, which knows another statement, or none.
                    binary_parameters: text("yes"),
                    // Without it a database that accepts and never answers hangs the server for ever.
                    connect_timeout: text("10"),
                },
                user: text(&utf8_percent_encode(&database.user, &PLAIN_IN_URL)),
                max_conns: connections,
                max_idle_conns: connections,
                max_conn_lifetime: text("1h"),
                tls: database.tls.as_ref().map(|_| Tls {
                    enabled: true,
                    // with a file of its own, nobody but that authority is trusted
                    enable_host_verification: true,
                    ca_file: text(authority::path(store)),
                }),
            },
        }
    }
}

impl ClusterMetadata {
    fn new() -> Self {
        Self {
            enable_global_namespace: false,
            failover_version_increment: 10,
            master_cluster_name: text(CLUSTER),
            current_cluster_name: text(CLUSTER),
            cluster_information: BTreeMap::from([(
                CLUSTER,
                Cluster {
                    enabled: true,
                    initial_failover_version: 1,
                    rpc_name: text("frontend"),
                    // Kept in the database, where other clusters would find it: the same in all units.
                    rpc_address: text(&SocketAddr::from((
                        Ipv4Addr::LOCALHOST,
                        Role::Frontend.grpc_port(),
                    ))),
                },
            )]),
        }
    }
}

impl Archival {
    fn disabled() -> Self {
        let disabled = || ArchivalState {
            state: text("disabled"),
        };
        Self {
            history: disabled(),
            visibility: disabled(),
        }
    }
}

/// The entry of every role that the version has, whatever this unit runs: a process learns from its own file
/// on which ports it finds the others in the ring, and with the internal frontend among them its
/// system workers talk to that one, wherever it runs, and so past any authorization. A worker that finds no
/// frontend in the ring waits for a minute and ends; history and matching serve without.
fn services(version: Version, bind: IpAddr) -> BTreeMap<&'static str, Service> {
    Role::ALL
        .into_iter()
        .filter(|role| *role != Role::InternalFrontend || version.has_internal_frontend())
        .map(|role| {
            let rpc = Rpc {
                grpc_port: role.grpc_port(),
                membership_port: role.membership_port(),
                bind_on_ip: text(&bind),
            };
            (role.name(), Service { rpc })
        })
        .collect()
}

/// Required before the internal frontend existed, refused together with it. Such an old server cannot look for
/// a frontend in the ring: its worker ends at once when this one does not answer, so that a unit with
/// the worker needs the frontend too.
fn public_client(inputs: &Inputs<'_>) -> Option<PublicClient> {
    let frontend = SocketAddr::new(inputs.broadcast_address, Role::Frontend.grpc_port());
    (!inputs.version.has_internal_frontend()).then(|| PublicClient {
        host_port: text(&frontend),
    })
}

fn any_address(family: IpAddr) -> IpAddr {
    match family {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

const fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
        LogLevel::Fatal => "fatal",
    }
}

/// The server puts the user into a URL as it is.
const PLAIN_IN_URL: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_');

fn text(value: &(impl ToString + ?Sized)) -> Text {
    DoubleQuoted(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pools_together_stay_within_the_units_connections() {
        for (connections, roles, main, visibility) in [
            (10, 5, 1, 1),
            (15, 5, 2, 1),
            (20, 5, 3, 1),
            (25, 5, 3, 2),
            (29, 5, 3, 2),
            (30, 5, 4, 2),
            (30, 1, 20, 10),
            (150, 5, 20, 10),
        ] {
            let pools = pools(connections, roles);
            assert_eq!(
                pools,
                PerStore { main, visibility },
                "{connections} for {roles}"
            );
            assert!((pools.main + pools.visibility) * roles <= connections);
        }
    }
}
