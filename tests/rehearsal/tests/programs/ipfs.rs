use rehearsal::parts::{KUBO_VERSION, Part};
use rehearsal::servers::http::ask;
use rehearsal::servers::ipfs::{Ipfs, IpfsPorts};
use serde_json::Value;

use super::sandbox::{UP, listens, sandboxed};

const PORTS: IpfsPorts = IpfsPorts {
    swarm: 4001,
    api: 5001,
    gateway: 8080,
};

/// How the image's own check asks: for the empty directory, which every node has.
const CHECK: [&str; 3] = [
    "dag",
    "stat",
    "/ipfs/QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
];

/// Asks the daemon, and not the node's files.
const AT_ITS_API: [&str; 2] = ["--api", "/ip4/127.0.0.1/tcp/5001"];

#[test]
fn the_api_takes_post_only_and_the_node_knows_nobody() {
    let name = "programs::ipfs::the_api_takes_post_only_and_the_node_knows_nobody";
    sandboxed(name, &[Part::Kubo], |parts, work| {
        let ipfs = Ipfs::lay(parts, work, PORTS).unwrap();
        let running = ipfs.run(UP).unwrap();
        let id = ask(PORTS.api, "POST", "/api/v0/id", None).unwrap();
        let id: Value = serde_json::from_str(&id.body).unwrap();
        assert!(id["ID"].as_str().unwrap().starts_with("12D3KooW"), "{id}");
        let agent = id["AgentVersion"].as_str().unwrap();
        assert!(agent.contains(KUBO_VERSION), "{id}");
        let get = ask(PORTS.api, "GET", "/api/v0/id", None).unwrap();
        assert_eq!(get.status, 405);
        for question in ["/api/v0/bootstrap/list", "/api/v0/swarm/peers"] {
            let nobody = ask(PORTS.api, "POST", question, None).unwrap();
            let nobody: Value = serde_json::from_str(&nobody.body).unwrap();
            assert!(
                nobody["Peers"].as_array().is_none_or(Vec::is_empty),
                "{nobody}"
            );
        }
        assert!(listens(PORTS.swarm) && listens(PORTS.gateway));
        assert!(!id["Addresses"].to_string().contains("quic"), "{id}");
        drop(running);
        assert!(!listens(PORTS.api));
    });
}

/// Without `--api` the program looks into the node's files itself, and finds them healthy.
#[test]
fn the_check_notices_a_daemon_that_is_down_only_when_it_asks_its_api() {
    let name = "programs::ipfs::the_check_notices_a_daemon_that_is_down_only_when_it_asks_its_api";
    sandboxed(name, &[Part::Kubo], |parts, work| {
        let ipfs = Ipfs::lay(parts, work, PORTS).unwrap();
        let passes = |arguments: &[&str]| ipfs.tool(arguments).unwrap().status.success();
        let asked = [&AT_ITS_API[..], &CHECK].concat();
        assert!(passes(&CHECK));
        assert!(!passes(&asked));
        let _running = ipfs.run(UP).unwrap();
        assert!(passes(&CHECK));
        assert!(passes(&asked));
    });
}
