use std::path::Path;
use std::process::Command;

use rehearsal::parts::{
    IPFS_CLUSTER_VERSION, KUBERNETES_VERSIONS, KUBO_VERSION, PEBBLE_VERSIONS, Parts,
    TEMPORAL_VERSIONS,
};

fn says(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program:?} {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

#[test]
fn every_pinned_pebble_starts() {
    let parts = Parts::locate().unwrap();
    for version in PEBBLE_VERSIONS {
        let pebble = parts.pebble(version).unwrap();
        let printed = says(&pebble, &["version", "--client"]);
        assert!(!printed.trim().is_empty(), "{version}");
        assert!(pebble.starts_with(parts.cache()), "{pebble:?}");
    }
}

#[test]
fn every_pinned_temporal_says_its_version_and_brings_its_schema() {
    let parts = Parts::locate().unwrap();
    for version in TEMPORAL_VERSIONS {
        let temporal = parts.temporal(version).unwrap();
        let said = if version == "1.17.4" {
            "1.17.3"
        } else {
            version
        };
        assert!(
            says(&temporal.server, &["--version"]).contains(said),
            "{version}"
        );
        // The old schema tools have version numbers of their own; that they start is enough here.
        assert!(
            says(&temporal.sql_tool, &["--help"]).contains("setup-schema"),
            "{version}"
        );
        for store in ["temporal", "visibility"] {
            let generation = if version == "1.17.4" { "v96" } else { "v12" };
            let first = temporal
                .schema
                .join(generation)
                .join(store)
                .join("versioned/v1.0");
            assert!(first.join("manifest.json").is_file(), "{first:?}");
        }
    }
}

#[test]
fn every_pinned_kubernetes_says_its_version() {
    let parts = Parts::locate().unwrap();
    for version in KUBERNETES_VERSIONS {
        let kubernetes = parts.kubernetes(version).unwrap();
        for program in [
            kubernetes.apiserver,
            kubernetes.controller_manager,
            kubernetes.scheduler,
        ] {
            let said = says(&program, &["--version"]);
            assert_eq!(said.trim(), format!("Kubernetes v{version}"));
        }
        assert!(says(&kubernetes.etcd, &["--version"]).contains("etcd Version: 3.6.4"));
    }
}

#[test]
fn the_parts_of_the_stack_say_their_versions() {
    let parts = Parts::locate().unwrap();
    assert!(says(&parts.kubo().unwrap(), &["version"]).contains(KUBO_VERSION));
    assert!(says(&parts.ipfs_cluster().unwrap(), &["--version"]).contains(IPFS_CLUSTER_VERSION));
    let asker = Command::new(parts.asker().unwrap())
        .arg("-h")
        .output()
        .unwrap();
    let said = String::from_utf8(asker.stderr).unwrap();
    assert!(said.contains("what the API asks at its start"), "{said}");
    // Debian's version of RabbitMQ is Debian's business; that its Erlang starts is enough here.
    let erl = parts.rabbitmq().unwrap().join("bin/erl");
    let root = "io:put_chars(code:root_dir()), halt().";
    let root = says(&erl, &["-noshell", "-eval", root]);
    assert!(Path::new(&root).starts_with(parts.cache()), "{root}");
}

#[test]
fn valgrind_starts_from_the_cache() {
    let parts = Parts::locate().unwrap();
    let valgrind = parts.valgrind().unwrap();
    assert!(valgrind.starts_with(parts.cache()), "{valgrind:?}");
    // its tools are found only where it is told that they are
    let said = says(
        &valgrind,
        &["--tool=callgrind", "--callgrind-out-file=/dev/null", "true"],
    );
    assert!(said.contains("Collected : "), "{said}");
}

#[test]
fn the_ready_made_parts_start() {
    let parts = Parts::locate().unwrap();
    assert!(
        says(
            &parts.postgresql().unwrap().join("bin/postgres"),
            &["--version"]
        )
        .contains(" 18.6")
    );
    assert!(says(&parts.temporal_cli().unwrap(), &["--version"]).contains("1.9.1"));
    assert!(says(&parts.nginx().unwrap(), &["-v"]).contains("nginx/1.31.3"));
    let sdk = "import temporalio.service as s; print(s.__version__)";
    assert_eq!(
        says(&parts.interpreter().unwrap(), &["-I", "-c", sdk]).trim(),
        "1.35.0"
    );
}
