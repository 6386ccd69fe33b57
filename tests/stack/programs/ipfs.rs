//! Pods with IPFS: the nodes and peers of the rendered objects in the real programs, with their environment, files,
//! commands and probes, each Pod in a network of its own with the name that Kubernetes would give it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rehearsal::cloud::{Node, Process, Running};
use rehearsal::juju::cloud::{Cloud as _, Pod as Description};
use rehearsal::parts::{Part, Parts};
use rehearsal::servers::http::{Answer, ask_at};
use serde_json::Value;
use temporal_stack::kubernetes::Kind;

use super::Rendered;
use crate::sandbox::{UP, on_node};

/// Where in the images the programs are that start the containers.
const ENTRIES: [(&str, &str); 2] = [
    ("ipfs", "/usr/local/bin/start_ipfs"),
    ("ipfs-cluster", "/usr/local/bin/entrypoint.sh"),
];

/// What kubo's image does when it starts, with its folder of scripts in `INIT`.
const START_IPFS: &str = "#!/bin/sh\nset -e\n\
    if ! [ -e \"$IPFS_PATH/config\" ]; then\n\
    \x20 ipfs init\n\
    \x20 ipfs config Addresses.API /ip4/0.0.0.0/tcp/5001\n\
    \x20 ipfs config Addresses.Gateway /ip4/0.0.0.0/tcp/8080\n\
    fi\n\
    find \"$INIT\" -maxdepth 1 -type f -iname '*.sh' -print0 | sort -z | xargs -n 1 -0 -r sh -ec '. \"$0\"'\n\
    exec ipfs \"$@\"\n";

/// What IPFS Cluster's image does.
const ENTRYPOINT: &str = "#!/bin/sh\nset -e\n\
    [ -e \"$IPFS_CLUSTER_PATH/service.json\" ] || ipfs-cluster-service init --consensus crdt --datastore leveldb\n\
    exec ipfs-cluster-service \"$@\"\n";

/// A claim for each Pod, and the programs.
struct Site<'a> {
    work: &'a Path,
    node: &'a Node,
    rendered: &'a Rendered,
    path: String,
}

impl<'a> Site<'a> {
    fn new(parts: &Parts, work: &'a Path, node: &'a Node, rendered: &'a Rendered) -> Self {
        let mut path = String::from("/usr/bin:/bin");
        for program in [parts.kubo().unwrap(), parts.ipfs_cluster().unwrap()] {
            path = format!("{}:{path}", program.parent().unwrap().display());
        }
        for (text, (name, _)) in [START_IPFS, ENTRYPOINT].into_iter().zip(ENTRIES) {
            let file = work.join(format!("entry-{name}"));
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self {
            work,
            node,
            rendered,
            path,
        }
    }

    fn spec(&self) -> Value {
        let set = self.rendered.object(Kind::StatefulSet, "ipfs");
        set.body["spec"].clone()
    }

    /// Where a claim of a Pod is here.
    fn claim(&self, claim: &str, number: u16) -> PathBuf {
        let place = self
            .work
            .join("claims")
            .join(format!("{claim}-ipfs-{number}"));
        fs::create_dir_all(&place).unwrap();
        place
    }

    fn start(&self, number: u16) -> Pod<'_> {
        let unit = format!("ipfs/{number}");
        let mut node = self.node.clone();
        let description = Description {
            model: "pinning".to_owned(),
            app: "ipfs".to_owned(),
            unit: unit.clone(),
            charm: None,
            containers: Vec::new(),
            tools: self.work.to_owned(),
            agent_socket: self.work.to_owned(),
        };
        node.create_pod(&description).unwrap();
        let ip = node.pod_ip(&unit).unwrap();
        let host = format!("ipfs-{number}.ipfs.pinning.svc.cluster.local");
        node.name(&host, ip);
        let spec = self.spec();
        let containers = spec["template"]["spec"]["containers"].as_array().unwrap();
        let pod = Pod {
            site: self,
            number,
            unit,
            host,
            ip,
        };
        for container in containers {
            pod.run(container);
        }
        pod
    }
}

struct Pod<'a> {
    site: &'a Site<'a>,
    number: u16,
    unit: String,
    host: String,
    ip: IpAddr,
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        self.site.node.unname(&self.host);
        self.site.node.clone().delete_pod(&self.unit).unwrap();
    }
}

impl Pod<'_> {
    /// Where the container's volumes are here, the longest paths first.
    fn mounts(&self, container: &Value) -> Vec<(String, PathBuf)> {
        let spec = self.site.spec();
        let volumes = spec["template"]["spec"]["volumes"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let rendered = self.site.rendered;
        let place = |mount: &Value| {
            let name = text(&mount["name"]);
            let Some(volume) = volumes.iter().find(|it| it["name"] == name.as_str()) else {
                return self.site.claim(&name, self.number);
            };
            let place = self
                .site
                .work
                .join(format!("files-{}", self.number))
                .join(&name);
            fs::create_dir_all(&place).unwrap();
            if let Some(map) = volume["configMap"]["name"].as_str() {
                let map = rendered.object(Kind::ConfigMap, map);
                for (key, value) in map.body["data"].as_object().unwrap() {
                    fs::write(place.join(key), value.as_str().unwrap()).unwrap();
                }
            } else {
                let secret = volume["secret"]["secretName"].as_str().unwrap();
                for (key, value) in &rendered.values[secret] {
                    fs::write(place.join(key), value.expose()).unwrap();
                }
            }
            mount["subPath"]
                .as_str()
                .map_or(place.clone(), |file| place.join(file))
        };
        let mounts = container["volumeMounts"].as_array().unwrap().iter();
        mounts
            .map(|mount| (text(&mount["mountPath"]), place(mount)))
            .collect()
    }

    /// Starts a container as its image does, or as its command says.
    fn run(&self, container: &Value) -> Running {
        let name = container["name"].as_str().unwrap();
        let mounts = self.mounts(container);
        let here = |text: &str| {
            let mut text = text.to_owned();
            for (from, to) in &mounts {
                text = text.replace(from, &to.display().to_string());
            }
            for (name, entry) in ENTRIES {
                text = text.replace(
                    entry,
                    &self
                        .site
                        .work
                        .join(format!("entry-{name}"))
                        .display()
                        .to_string(),
                );
            }
            text
        };
        let mut environment = self
            .site
            .rendered
            .environment_of(container, &format!("ipfs-{}", self.number));
        let command: Vec<String> = match container["command"].as_array() {
            Some(words) => words
                .iter()
                .map(|word| here(word.as_str().unwrap()))
                .collect(),
            None => ["/usr/local/bin/start_ipfs", "daemon", "--migrate=true"]
                .map(here)
                .into(),
        };
        // what the images set
        environment.insert("IPFS_PATH".to_owned(), here("/data/ipfs"));
        environment.insert("IPFS_CLUSTER_PATH".to_owned(), here("/data/ipfs-cluster"));
        let hook = PathBuf::from(here("/container-init.d/50-stack.sh"));
        environment.insert(
            "INIT".to_owned(),
            hook.parent().unwrap().display().to_string(),
        );
        let (program, arguments) = command.split_first().unwrap();
        self.spawn(name, program, arguments, &environment)
    }

    fn spawn(
        &self,
        name: &str,
        program: &str,
        arguments: &[String],
        environment: &BTreeMap<String, String>,
    ) -> Running {
        let place = self.site.work.join(format!("run-{}-{name}", self.number));
        let mut process = Process::new(program, place)
            .args(arguments.iter().cloned())
            .name(name);
        for (name, value) in environment {
            process = process.env(name, value);
        }
        let process = process.env("PATH", &self.site.path);
        self.site.node.spawn_in_pod(&self.unit, &process).unwrap()
    }

    /// What a command in the node's container says.
    fn ipfs(&self, command: &str) -> Result<String, String> {
        let path = self.site.claim("data", self.number).display().to_string();
        let environment = BTreeMap::from([("IPFS_PATH".to_owned(), path)]);
        let words = ["-c".to_owned(), command.to_owned()];
        let running = self.spawn("command", "/bin/sh", &words, &environment);
        let ended = running.wait(UP).unwrap();
        if ended.status.success() {
            Ok(ended.stdout)
        } else {
            Err(ended.stderr)
        }
    }

    fn ask(&self, method: &str, path: &str) -> std::io::Result<Answer> {
        ask_at(SocketAddr::new(self.ip, 9094), method, path, None)
    }

    fn log(&self) -> String {
        let mut all = String::new();
        for (name, _) in ENTRIES {
            for kind in ["stdout", "stderr"] {
                let place = self.site.work.join(format!("run-{}-{name}", self.number));
                let text =
                    fs::read_to_string(place.join(format!("{name}.{kind}"))).unwrap_or_default();
                let lines: Vec<&str> = text.lines().rev().take(30).collect();
                all.extend(
                    lines
                        .into_iter()
                        .rev()
                        .map(|line| format!("ipfs-{} {name}: {line}\n", self.number)),
                );
            }
        }
        all
    }

    /// Do the probes of all containers succeed?
    fn is_ready(&self) -> bool {
        let spec = self.site.spec();
        let containers = spec["template"]["spec"]["containers"].as_array().unwrap();
        containers.iter().all(|container| {
            let probe = &container["readinessProbe"];
            if let Some(words) = probe["exec"]["command"].as_array() {
                let words: Vec<&str> = words.iter().map(|word| word.as_str().unwrap()).collect();
                return self.ipfs(&words.join(" ")).is_ok();
            }
            let port = &probe["httpGet"]["port"];
            let mut ports = container["ports"].as_array().unwrap().iter();
            let port = ports.find(|it| it["name"] == *port).unwrap()["containerPort"]
                .as_u64()
                .unwrap();
            let address = SocketAddr::new(self.ip, port.try_into().unwrap());
            let path = probe["httpGet"]["path"].as_str().unwrap();
            ask_at(address, "GET", path, None).is_ok_and(|answer| answer.status == 200)
        })
    }

    fn ready(self) -> Self {
        until("a Pod to be ready", &[&self], || self.is_ready());
        self
    }

    /// The names of the peers that this one knows; Temporal's client reads them as one array.
    fn peers(&self) -> Vec<String> {
        let Ok(answer) = self.ask("GET", "/peers") else {
            return Vec::new();
        };
        let peers: Value = serde_json::from_str(&answer.body).unwrap();
        let name = |peer: &Value| peer["peername"].as_str().unwrap().to_owned();
        let mut names: Vec<String> = peers.as_array().unwrap().iter().map(name).collect();
        names.sort();
        names
    }
}

fn until(what: &str, pods: &[&Pod<'_>], mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        let logs: String = pods.iter().map(|pod| pod.log()).collect();
        assert!(
            begin.elapsed() < UP,
            "{what} not within {} s\n{logs}",
            UP.as_secs()
        );
        std::thread::sleep(Duration::from_millis(500));
    }
    eprintln!("{what}: {:.0?}", begin.elapsed());
}

/// Both peers know each other, and what is added to one node and pinned at the other's peer gets to both.
fn replicates(one: &Pod<'_>, other: &Pod<'_>) {
    let both = ["ipfs-0", "ipfs-1"];
    until("both peers to know each other", &[one, other], || {
        [one, other].iter().all(|pod| pod.peers() == both)
    });
    let cid = one
        .ipfs("date +%N | ipfs --api=/ip4/127.0.0.1/tcp/5001 add -q --pin=false")
        .unwrap();
    let path = format!("/pins/{}", cid.trim());
    let pinned = other.ask("POST", &path).unwrap();
    assert!(pinned.status < 300, "{pinned:?}");
    until("both nodes to have a pin", &[one, other], || {
        let Ok(answer) = other.ask("GET", &path) else {
            return false;
        };
        let status: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let map = status["peer_map"].as_object();
        map.is_some_and(|map| map.len() == 2 && map.values().all(|it| it["status"] == "pinned"))
    });
    for pod in [one, other] {
        let words = format!("ipfs --api=/ip4/127.0.0.1/tcp/5001 pin ls {}", cid.trim());
        pod.ipfs(&words).unwrap();
    }
}

/// Nothing that a node tells of itself is an address of a private network.
fn tells_its_name_only(pod: &Pod<'_>) {
    let said = pod
        .ipfs("ipfs --api=/ip4/127.0.0.1/tcp/5001 id -f '<addrs>'")
        .unwrap();
    let name = format!("/dns4/ipfs-{}.ipfs.pinning.svc/tcp/4001/p2p/", pod.number);
    assert!(
        said.starts_with(&name) && said.trim().lines().count() == 1,
        "{said}"
    );
}

fn in_order(name: &str, first: u16, second: u16) {
    on_node(
        name,
        &[Part::Kubo, Part::IpfsCluster],
        |parts, work, node| {
            let rendered = Rendered::new();
            let site = Site::new(parts, work, node, &rendered);
            let one = site.start(first).ready();
            tells_its_name_only(&one);
            let other = site.start(second).ready();
            replicates(&one, &other);
            // the first Pod comes back at another address
            let (zero, stays) = if first == 0 {
                (one, other)
            } else {
                (other, one)
            };
            drop(zero);
            let zero = site.start(0).ready();
            replicates(&stays, &zero);
        },
    );
}

#[test]
fn the_first_pod_comes_first() {
    in_order("programs::ipfs::the_first_pod_comes_first", 0, 1);
}

#[test]
fn the_first_pod_comes_last() {
    in_order("programs::ipfs::the_first_pod_comes_last", 1, 0);
}

#[test]
fn a_volume_with_the_old_filters_is_mended_and_the_users_own_stay() {
    let name = "programs::ipfs::a_volume_with_the_old_filters_is_mended_and_the_users_own_stay";
    on_node(
        name,
        &[Part::Kubo, Part::IpfsCluster],
        |parts, work, node| {
            let rendered = Rendered::new();
            let site = Site::new(parts, work, node, &rendered);
            let old = Process::new(parts.kubo().unwrap(), work.join("old"))
                .args(["init", "--profile=server"])
                .env("IPFS_PATH", site.claim("data", 0));
            // any Pod will do to run it in
            let pod = site.start(1);
            let init = node.spawn_in_pod(&pod.unit, &old).unwrap();
            assert!(init.wait(UP).unwrap().status.success());
            drop(pod);
            let config = || -> Value {
                let text = fs::read(site.claim("data", 0).join("config")).unwrap();
                serde_json::from_slice(&text).unwrap()
            };
            let mut before = config();
            let filters = before["Swarm"]["AddrFilters"].as_array_mut().unwrap();
            assert!(filters.len() > 10, "the profile brings none: {filters:?}");
            filters.insert(0, "/ip4/8.8.8.0/ipcidr/24".into());
            fs::write(site.claim("data", 0).join("config"), before.to_string()).unwrap();
            let pod = site.start(0).ready();
            let mended = config();
            assert_eq!(
                mended["Swarm"]["AddrFilters"],
                serde_json::json!(["/ip4/8.8.8.0/ipcidr/24"])
            );
            assert_eq!(mended["Identity"], before["Identity"]);
            tells_its_name_only(&pod);
            drop(pod);
            let files = || fs::read_dir(site.claim("data", 0)).unwrap().count();
            let kept = files();
            let _pod = site.start(0).ready();
            assert_eq!(config(), mended);
            assert_eq!(files(), kept, "it is mended again");
        },
    );
}
