//! The programs of a cluster: what they are, where they listen, that they come back and go away.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use rehearsal::kubernetes::User;
use rehearsal::processes::{Process, all};

use super::workloads::available;
use super::world::{World, deployment};

/// The cluster's programs: those whose arguments name its directory.
fn programs(directory: &Path) -> Vec<Process> {
    let directory = directory.to_str().unwrap();
    let mut programs = all().unwrap();
    programs.retain(|it| it.arguments.iter().any(|word| word.contains(directory)));
    programs
}

/// The addresses that a process listens on, as the kernel writes them.
fn listens_on(process: &Process) -> BTreeSet<String> {
    let sockets: BTreeSet<_> = std::fs::read_dir(format!("/proc/{}/fd", process.id))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|target| {
            let target = target.to_str()?.to_owned();
            Some(
                target
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .to_owned(),
            )
        })
        .collect();
    let tables = ["tcp", "tcp6"].map(|table| {
        std::fs::read_to_string(format!("/proc/{}/net/{table}", process.id)).unwrap_or_default()
    });
    tables
        .iter()
        .flat_map(|table| table.lines())
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(3) == Some(&"0A") && sockets.contains(fields[9]))
        .map(|fields| fields[1].split(':').next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_api_server_says_its_version() {
    let world = World::shared().await;
    let client = world.cluster.client(User::Limited).await.unwrap();
    let version = client.apiserver_version().await.unwrap();
    assert_eq!(version.git_version, format!("v{}", world.cluster.version()));
    assert_eq!((&*version.major, &*version.minor), ("1", "34"));
}

#[tokio::test]
async fn the_api_server_comes_back_and_all_programs_end_with_the_cluster() {
    let place = tempfile::tempdir().unwrap();
    let world = World::start(place.path()).await;
    let kubeconfig = world.cluster.kubeconfig().metadata().unwrap();
    assert_eq!(kubeconfig.permissions().mode() & 0o777, 0o600);
    let space = world.space("restarts").await;
    let _: Deployment = space.create(deployment("before", "before", 1)).await;
    available(&space, "before", 1).await;
    let running = programs(place.path());
    assert_eq!(running.len(), 4, "{running:?}");
    for program in &running {
        let addresses = listens_on(program);
        let is_server = ["etcd", "kube-apiserver"].contains(&&*program.name);
        let loopback = is_server.then(|| "0100007F".to_owned());
        assert_eq!(
            addresses,
            loopback.into_iter().collect(),
            "{}",
            program.name
        );
    }

    world.cluster.stop_api().unwrap();
    assert!(space.client.apiserver_version().await.is_err());
    assert_eq!(programs(place.path()).len(), 3);
    world.cluster.start_api().unwrap();
    available(&space, "before", 1).await;
    let _: Deployment = space.create(deployment("after", "after", 1)).await;
    available(&space, "after", 1).await;
    assert_eq!(programs(place.path()).len(), 4);

    drop(world);
    assert_eq!(programs(place.path()), []);
}
