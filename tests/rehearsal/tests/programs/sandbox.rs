use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rehearsal::cloud::{self, Family, Node};
use rehearsal::parts::{Part, Parts};
use rehearsal::servers::ipfs_cluster::IpfsClusterPorts;

const WORK: &str = "REHEARSAL_TEST_WORK";

/// How long a server may take to be up on a busy machine.
pub(crate) const UP: Duration = Duration::from_mins(2);

/// Runs `test` in a process of its own inside a sandbox, where the loopback is the whole network.
pub(crate) fn sandboxed(name: &str, needed: &[Part], test: impl FnOnce(&Parts, &Path)) {
    on_node(name, needed, |parts, work, _| test(parts, work));
}

/// The same for a test that makes pods on the sandbox's node.
pub(crate) fn on_node(name: &str, needed: &[Part], test: impl FnOnce(&Parts, &Path, &Node)) {
    let parts = Parts::locate().unwrap();
    if cloud::inside().unwrap() {
        let work = PathBuf::from(std::env::var_os(WORK).unwrap());
        let entered = cloud::enter(std::slice::from_ref(&work)).unwrap();
        assert_eq!(entered, cloud::Entered::Inside);
        // It brings the loopback up and answers for names.
        let node = Node::new(work.join("node"), BTreeMap::new(), Family::default()).unwrap();
        test(&parts, &work, &node);
        std::fs::write(work.join("ran"), "").unwrap();
        return;
    }
    cloud::allowed().unwrap();
    // Inside, the cache is read-only.
    parts.prepare(needed, None).unwrap();
    let work = tempfile::tempdir().unwrap();
    let status = cloud::command(std::env::current_exe().unwrap())
        .unwrap()
        .args([name, "--exact", "--nocapture"])
        .env(WORK, work.path())
        .env("TMPDIR", work.path())
        .status()
        .unwrap();
    assert!(status.success());
    assert!(
        work.path().join("ran").exists(),
        "no test is named `{name}`"
    );
}

pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The usual ports, as if it were the only peer.
pub(crate) const USUAL: IpfsClusterPorts = IpfsClusterPorts {
    swarm: 9096,
    rest: 9094,
    proxy: 9095,
    ipfs: 5001,
};

pub(crate) fn variables(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    variables.iter().map(owned).collect()
}
