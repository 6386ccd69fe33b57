//! IPFS Cluster: `CLUSTER_<COMPONENT>_<KEY>`, the key without a `_` and all in capitals.
//!
//! The document writes some names after the sections of `service.json`; none of these is read. They
//! are kept as they are, and the names that work get their values. An empty value is a value to this
//! program, so none is handed on.

use crate::parts::{nearest, unread};
use crate::settings::Kind::{
    Bool, Choice, Credentials, Duration, Hex32, Integer, List, Multiaddress, Multiaddresses,
    Number, Path, Text,
};
use crate::settings::{
    Checked, Draft, Given, Program, Rule, Severity, Variable, multiaddress, rows,
};

/// The variables with a meaning for this installer; the program has many more.
pub(crate) static VARIABLES: &[Variable] = rows! {
    CLUSTER_PEERNAME: Text,
        "the Pod's name", "name of a peer in listings; the installer always writes the Pod's name";
    CLUSTER_SECRET: Hex32, secret,
        "made once, and kept",
        "what peers of one cluster share, 64 hexadecimal digits; another one splits the cluster";
    CLUSTER_ID: Text,
        "made for each peer", "a peer's id, derived from its key; never the same for two peers";
    CLUSTER_PRIVATEKEY: Text, secret,
        "made for each peer",
        "a peer's libp2p private key in base64; needs `CLUSTER_ID`, never the same for two peers";
    CLUSTER_LEAVEONSHUTDOWN: Bool,
        "`false`", "does a peer leave the cluster when it stops?";
    CLUSTER_FOLLOWERMODE: Bool,
        "`false`", "does a peer only follow what others pin?";
    CLUSTER_LISTENMULTIADDRESS: Multiaddresses,
        "`/ip4/0.0.0.0/tcp/9096`", "where a peer listens for other peers, with commas between";
    CLUSTER_PEERADDRESSES: Multiaddresses,
        "the first Pod's peer, which is always among them",
        "other peers, as multiaddresses that end in `/p2p/` and an id; called until they answer";
    CLUSTER_MDNSINTERVAL: Duration,
        "`0s`: never", "time between two searches for peers in the local network";
    CLUSTER_REPLICATIONFACTORMIN: Integer,
        "`-1`",
        "smallest number of peers that must keep a pin; -1, for both factors, is every peer";
    CLUSTER_REPLICATIONFACTORMAX: Integer,
        "`-1`", "largest number of peers that keep a pin; -1, for both factors, is every peer";
    CLUSTER_MONITORPINGINTERVAL: Duration,
        "`15s`", "time between two signs of life of a peer";
    CLUSTER_CRDT_CLUSTERNAME: Text,
        "`ipfs-cluster`", "name of the cluster; peers of one cluster have the same";
    CLUSTER_CRDT_TRUSTEDPEERS: List,
        "`*`", "ids of the peers whose changes are believed, or `*` for all that have the secret";
    CLUSTER_STATELESS_CONCURRENTPINS: Number,
        "10", "pins that a peer works on at the same time";
    CLUSTER_IPFSPROXY_LISTENMULTIADDRESS | API_IPFSPROXY_LISTENMULTIADDRESS: Multiaddresses,
        "`/ip4/127.0.0.1/tcp/9095`",
        "where the proxy in front of the IPFS node's API listens; full control without a password";
    CLUSTER_IPFSPROXY_NODEMULTIADDRESS | API_IPFSPROXY_NODEMULTIADDRESS: Multiaddress,
        "the same as `CLUSTER_IPFSHTTP_NODEMULTIADDRESS`: `/ip4/127.0.0.1/tcp/5001`",
        "the IPFS node's API behind that proxy";
    CLUSTER_RESTAPI_HTTPLISTENMULTIADDRESS | API_RESTAPI_HTTPLISTENMULTIADDRESS: Multiaddresses,
        "always `/ip4/0.0.0.0/tcp/9094`",
        "where the REST API listens; full control without a password";
    CLUSTER_RESTAPI_BASICAUTHCREDENTIALS | API_RESTAPI_BASICAUTHCREDENTIALS: Credentials, secret,
        "no password", "`user:password,…` for the REST API; Temporal sends none";
    CLUSTER_IPFSHTTP_NODEMULTIADDRESS | IPFSCONNECTOR_IPFSHTTP_NODEMULTIADDRESS: Multiaddress,
        "the node in the same Pod, `/ip4/127.0.0.1/tcp/5001`, or else the one that `IPFS_API_CONNECTION_HOST` names",
        "the API of the IPFS node that a peer looks after";
    CLUSTER_IPFSHTTP_CONNECTSWARMSDELAY: Duration,
        "`1m15s`", "how long after its start a peer tells its node of the others' nodes, once";
    CLUSTER_METRICS_ENABLESTATS | OBSERVATIONS_METRICS_ENABLESTATS: Bool,
        "`false`", "are there metrics for Prometheus?";
    CLUSTER_METRICS_PROMETHEUSENDPOINT | OBSERVATIONS_METRICS_PROMETHEUSENDPOINT: Multiaddress,
        "`/ip4/127.0.0.1/tcp/8888`", "where the metrics are served";
    IPFS_CLUSTER_PATH: Path,
        "`/data/ipfs-cluster`", "folder of a peer's configuration and state, to be kept";
    IPFS_CLUSTER_CONSENSUS: Choice(&["crdt"]),
        "`crdt`", "how peers agree; with `raft` they would have to be named, and mended, by hand";
    IPFS_CLUSTER_LOG_LEVEL: Text,
        "`info`", "what is logged: a level, or `component:level,…`";
};

/// How the document's names begin, with the beginnings that work.
const SECTIONS: [(&str, &str); 4] = [
    ("API_IPFSPROXY_", "CLUSTER_IPFSPROXY_"),
    ("API_RESTAPI_", "CLUSTER_RESTAPI_"),
    ("IPFSCONNECTOR_IPFSHTTP_", "CLUSTER_IPFSHTTP_"),
    ("OBSERVATIONS_METRICS_", "CLUSTER_METRICS_"),
];

/// What a name is to the program.
enum Name {
    /// A variable's, the working one or the document's.
    Known(&'static Variable),
    /// One that the tables do not have: the name that the program may read.
    Unchecked(String),
    /// Temporal's, which does no harm.
    Temporals,
    /// None that is read, with what to write instead.
    Unread(String),
}

/// Checks IPFS Cluster's settings.
pub(crate) fn check(given: &Given) -> Checked {
    let mut draft = Draft::new(Program::IpfsCluster);
    for (name, value) in given {
        match read(name) {
            Name::Unread(problem) => draft.say(Severity::Warning, name, problem),
            meant if value.expose().is_empty() => draft.say(Severity::Note, name, empty(&meant)),
            Name::Temporals => {
                let problem = "is Temporal's and has no meaning here";
                draft.say(Severity::Note, name, problem);
                draft.put(name, name, value);
            }
            Name::Known(variable) => {
                if works(&mut draft, given, name, variable.name) {
                    draft.take(variable, name, value);
                }
            }
            Name::Unchecked(working) => {
                if works(&mut draft, given, name, &working) {
                    draft.say(Severity::Note, name, unchecked(&working));
                    draft.put(&working, name, value);
                }
            }
        }
    }
    keep_documents_names(&mut draft, given);
    factors(&mut draft);
    draft.together(&[&["CLUSTER_ID", "CLUSTER_PRIVATEKEY"]]);
    draft.judge(&RULES);
    draft.checked
}

/// The variable with this name, in the program's spelling or in the document's. Also what Temporal
/// reads, since the document gives some of it to both.
pub(crate) fn known(name: &str) -> Option<&'static Variable> {
    crate::parts::known(Program::IpfsCluster, name)
        .or_else(|| crate::parts::known(Program::Temporal, name))
}

fn read(name: &str) -> Name {
    if let Some(variable) = crate::parts::known(Program::IpfsCluster, name) {
        return Name::Known(variable);
    }
    if let Some(working) = working_name(name) {
        return Name::Unchecked(working);
    }
    if name.starts_with("IPFS_") && crate::parts::known(Program::Temporal, name).is_some() {
        return Name::Temporals;
    }
    let squashed = |name: &str| name.to_ascii_uppercase().replace('_', "");
    let is_meant = |it: &&Variable| it.spellings().any(|it| squashed(it) == squashed(name));
    if let Some(Variable { name, .. }) = VARIABLES.iter().find(is_meant) {
        return Name::Unread(format!("is not read by the program; write `{name}`"));
    }
    let is_upper = name
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if name.starts_with("CLUSTER_") && is_upper {
        return Name::Unchecked(name.to_owned());
    }
    Name::Unread(unread(Program::IpfsCluster, name))
}

/// The document's name → the one that works.
fn working_name(name: &str) -> Option<String> {
    SECTIONS.iter().find_map(|(section, working)| {
        let key = name.strip_prefix(section)?;
        Some(format!("{working}{key}"))
    })
}

/// Says which of two names works; is this one's value the one that counts?
fn works(draft: &mut Draft, given: &Given, name: &str, working: &str) -> bool {
    if name == working {
        return true;
    }
    let other = given
        .get(working)
        .filter(|value| !value.expose().is_empty());
    if other.is_some_and(|value| given.get(name) != Some(value)) {
        let problem = format!(
            "is not read by the program, and `{working}` has another value, which is in force; leave this \
             one out"
        );
        draft.say(Severity::Warning, name, problem);
        return false;
    }
    let problem = format!("is not read by the program; `{working}` is, and gets the same value");
    draft.say(Severity::Note, name, problem);
    true
}

/// So that a user finds in the cluster what was written.
fn keep_documents_names(draft: &mut Draft, given: &Given) {
    for (name, value) in given {
        let is_taken = working_name(name).is_some_and(|working| draft.value(&working).is_some());
        if is_taken && !value.expose().is_empty() {
            draft.put(name, name, value);
        }
    }
}

/// Two edits make a mistyped name of a known one, three may make another name.
fn unchecked(name: &str) -> String {
    nearest(Program::IpfsCluster, name, 2).map_or_else(
        || "is handed on as it is, unchecked".to_owned(),
        |known| format!("is handed on as it is, unchecked; is `{known}` meant?"),
    )
}

fn empty(meant: &Name) -> String {
    let Name::Known(Variable { kind, default, .. }) = meant else {
        return "is empty, and left out".to_owned();
    };
    match kind {
        Hex32 => "is empty, which would leave the cluster open to anyone; it is left out, and a secret is \
                  made once and kept"
            .to_owned(),
        Bool | Number | Integer => {
            format!("is empty, which would stop the program; it is left out, which means {default}")
        }
        _ => format!("is empty; it is left out, which means {default}"),
    }
}

/// Both at -1, or the smaller one first and both above zero.
fn factors(draft: &mut Draft) {
    const MIN: &str = "CLUSTER_REPLICATIONFACTORMIN";
    const MAX: &str = "CLUSTER_REPLICATIONFACTORMAX";
    let factor = |name| draft.value(name).map_or(Ok(-1), str::parse::<i32>);
    let (Ok(min), Ok(max)) = (factor(MIN), factor(MAX)) else {
        return;
    };
    let name = if draft.value(MAX).is_some() { MAX } else { MIN };
    if (min, max) != (-1, -1) && !(1 <= min && min <= max) {
        let problem = format!(
            "does not go with the other one (one that is not set is -1); write `{MIN}` and `{MAX}` both as \
             -1, or both above 0 and the largest not below the smallest"
        );
        draft.say(Severity::Error, name, problem);
    }
}

/// What is to be said of single values.
const RULES: [Rule; 4] = [
    (
        "CLUSTER_PEERNAME",
        |_| true,
        Severity::Note,
        "would be the same for all peers; the installer writes each Pod's own name",
    ),
    (
        "CLUSTER_LISTENMULTIADDRESS",
        multiaddress::is_loopback,
        Severity::Warning,
        "lets no other peer in; write `/ip4/0.0.0.0/tcp/9096`",
    ),
    (
        "CLUSTER_RESTAPI_HTTPLISTENMULTIADDRESS",
        multiaddress::is_loopback,
        Severity::Note,
        "lets no Service reach the API; the installer writes `/ip4/0.0.0.0/tcp/9094` instead",
    ),
    (
        "CLUSTER_PEERADDRESSES",
        |list| !multiaddress::names_peers(list),
        Severity::Error,
        "has an address without its peer; write `/p2p/` and the peer's id at the end of each",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::tests::{Case, each_gives_one_finding, findings, given};

    const P: Program = Program::IpfsCluster;
    const PEER: &str = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";

    /// The document's `ipfs-cluster-config`.
    const DOCUMENT: [(&str, &str); 14] = [
        ("CLUSTER_PEERNAME", "cluster"),
        ("CLUSTER_SECRET", ""),
        ("CLUSTER_LEAVEONSHUTDOWN", "false"),
        ("CLUSTER_LISTENMULTIADDRESS", "/ip4/0.0.0.0/tcp/9096"),
        ("CLUSTER_REPLICATIONFACTORMAX", "-1"),
        (
            "API_IPFSPROXY_LISTENMULTIADDRESS",
            "/ip4/127.0.0.1/tcp/9095",
        ),
        ("API_IPFSPROXY_NODEMULTIADDRESS", "/ip4/127.0.0.1/tcp/5001"),
        (
            "API_RESTAPI_HTTPLISTENMULTIADDRESS",
            "/ip4/127.0.0.1/tcp/9094",
        ),
        (
            "IPFSCONNECTOR_IPFSHTTP_NODEMULTIADDRESS",
            "/ip4/127.0.0.1/tcp/5001",
        ),
        ("IPFS_API_CONNECTION_HOST", "127.0.0.1"),
        ("IPFS_API_CONNECTION_PORT", "5001"),
        ("IPFS_KEYSTORE_PATH", "/tmp"),
        ("IPFS_CLUSTER_API_CONNECTION_HOST", "127.0.0.1"),
        ("IPFS_CLUSTER_API_CONNECTION_PORT", "9094"),
    ];

    #[test]
    fn the_documents_settings_are_kept_and_made_to_work() {
        let checked = crate::parts::check(P, &given(&DOCUMENT));
        assert!(
            checked
                .findings
                .iter()
                .all(|finding| finding.severity == Severity::Note)
        );
        let mut wanted = given(&DOCUMENT);
        wanted.remove("CLUSTER_SECRET");
        for (working, documents) in [
            (
                "CLUSTER_IPFSPROXY_LISTENMULTIADDRESS",
                "API_IPFSPROXY_LISTENMULTIADDRESS",
            ),
            (
                "CLUSTER_IPFSPROXY_NODEMULTIADDRESS",
                "API_IPFSPROXY_NODEMULTIADDRESS",
            ),
            (
                "CLUSTER_RESTAPI_HTTPLISTENMULTIADDRESS",
                "API_RESTAPI_HTTPLISTENMULTIADDRESS",
            ),
            (
                "CLUSTER_IPFSHTTP_NODEMULTIADDRESS",
                "IPFSCONNECTOR_IPFSHTTP_NODEMULTIADDRESS",
            ),
        ] {
            wanted.insert(working.to_owned(), wanted[documents].clone());
        }
        assert_eq!(checked.values, wanted);
    }

    /// One setting, one finding.
    const CASES: &[Case] = &[
        (
            "CLUSTER_LISTENMULTIADDRESS",
            "/ip4/127.0.0.1/tcp/9096",
            Severity::Warning,
            "no other peer",
        ),
        (
            "CLUSTER_LISTENMULTIADDRESS",
            "/ip4/0.0.0.0/sctp/9096",
            Severity::Error,
            "\"sctp\"",
        ),
        ("CLUSTER_LISTENMULTIADDRESS", "", Severity::Note, "left out"),
        ("CLUSTER_SECRET", "", Severity::Note, "made once"),
        (
            "CLUSTER_SECRET",
            "hunter2",
            Severity::Error,
            "64 hexadecimal digits",
        ),
        (
            "CLUSTER_LEAVEONSHUTDOWN",
            "",
            Severity::Note,
            "which means `false`",
        ),
        (
            "CLUSTER_LEAVEONSHUTDOWN",
            "no",
            Severity::Error,
            "`true` or `false`",
        ),
        (
            "CLUSTER_REPLICATIONFACTORMAX",
            "",
            Severity::Note,
            "which means `-1`",
        ),
        (
            "CLUSTER_REPLICATIONFACTORMAX",
            "2",
            Severity::Error,
            "both above 0",
        ),
        (
            "CLUSTER_REPLICATIONFACTORMIN",
            "0",
            Severity::Error,
            "both above 0",
        ),
        (
            "CLUSTER_REPLICATIONFACTORMIN",
            "two",
            Severity::Error,
            "not a number",
        ),
        ("CLUSTER_ID", PEER, Severity::Error, "`CLUSTER_PRIVATEKEY`"),
        (
            "CLUSTER_PRIVATEKEY",
            "CAESQ",
            Severity::Error,
            "`CLUSTER_ID`",
        ),
        (
            "CLUSTER_PEERNAME",
            "cluster",
            Severity::Note,
            "Pod's own name",
        ),
        (
            "CLUSTER_PEERADDRESSES",
            "/dns4/a/tcp/1",
            Severity::Error,
            "`/p2p/`",
        ),
        ("CLUSTER_DISK_METRICTTL", "30s", Severity::Note, "unchecked"),
        (
            "CLUSTER_PEERNAM",
            "a",
            Severity::Note,
            "is `CLUSTER_PEERNAME` meant?",
        ),
        ("IPFS_KEYSTORE_PATH", "", Severity::Note, "left out"),
        ("CLUSTER_DISK_METRICTTL", "", Severity::Note, "left out"),
        (
            "CLUSTER_PEER_NAME",
            "a",
            Severity::Warning,
            "write `CLUSTER_PEERNAME`",
        ),
        (
            "cluster_peername",
            "a",
            Severity::Warning,
            "write `CLUSTER_PEERNAME`",
        ),
        (
            "IPFS_CLUSTER_CONSENSUS",
            "raft",
            Severity::Error,
            "write `crdt`",
        ),
        ("IPFS_KEYSTORE_PATH", "/tmp", Severity::Note, "Temporal's"),
        (
            "IPFS_CLUSTER_PATHS",
            "/a",
            Severity::Warning,
            "`IPFS_CLUSTER_PATH`",
        ),
        (
            "DATABASE_PORT",
            "1",
            Severity::Warning,
            "write it in `temporal-config`",
        ),
        (
            "CLUSTER_RESTAPI_BASICAUTHCREDENTIALS",
            "hunter2",
            Severity::Error,
            "`user:password`",
        ),
    ];

    #[test]
    fn one_setting_one_finding() {
        each_gives_one_finding(P, CASES);
    }

    #[test]
    fn the_table_says_what_is_written_when_nothing_is() {
        let home = crate::settings::Home {
            namespace: "n",
            addresses: &crate::settings::Addresses::new(),
        };
        let stack = crate::input::Stack::default();
        let settings = crate::parts::Settings::check(&stack, home);
        let written = crate::parts::ipfs::peer::environment(&settings, &mut Vec::new());
        assert_eq!(written.len(), 7);
        for (name, value) in written {
            let variable = known(&name).unwrap();
            assert!(
                variable.default.contains(&format!("`{value}`")),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn what_goes_together_is_not_worth_a_word() {
        for good in [
            [
                ("CLUSTER_REPLICATIONFACTORMIN", "2"),
                ("CLUSTER_REPLICATIONFACTORMAX", "3"),
            ],
            [("CLUSTER_ID", PEER), ("CLUSTER_PRIVATEKEY", "CAESQ")],
        ] {
            assert_eq!(findings(P, &good), []);
        }
    }

    #[test]
    fn the_name_that_works_wins() {
        let two = |documents, working| {
            [
                ("API_RESTAPI_HTTPREADTIMEOUT", documents),
                ("CLUSTER_RESTAPI_HTTPREADTIMEOUT", working),
            ]
        };
        let differ = crate::parts::check(P, &given(&two("1s", "2s")));
        assert_eq!(differ.value("CLUSTER_RESTAPI_HTTPREADTIMEOUT"), Some("2s"));
        assert_eq!(differ.value("API_RESTAPI_HTTPREADTIMEOUT"), Some("1s"));
        assert_eq!(differ.findings[0].severity, Severity::Warning);
        assert!(differ.findings[0].problem.contains("in force"));

        let one_is_empty = crate::parts::check(P, &given(&two("1s", "")));
        assert_eq!(
            one_is_empty.value("CLUSTER_RESTAPI_HTTPREADTIMEOUT"),
            Some("1s")
        );
    }

    #[test]
    fn the_documents_spellings_follow_the_sections() {
        for variable in VARIABLES {
            for other in variable.also {
                assert_eq!(working_name(other).as_deref(), Some(variable.name));
            }
        }
    }

    #[test]
    fn secrets_are_secret_in_both_spellings() {
        for name in [
            "CLUSTER_SECRET",
            "API_RESTAPI_BASICAUTHCREDENTIALS",
            "CLUSTER_DISK_METRICTTL",
        ] {
            assert!(crate::parts::is_secret(P, name), "{name}");
        }
        for name in [
            "CLUSTER_PEERNAME",
            "API_IPFSPROXY_NODEMULTIADDRESS",
            "IPFS_KEYSTORE_PATH",
        ] {
            assert!(!crate::parts::is_secret(P, name), "{name}");
        }
    }
}
