//! What is wrong is told before anything is made.

use temporal_stack::kubernetes::Kind;

use crate::world::World;

#[tokio::test]
async fn too_few_rights_are_listed_and_nothing_is_made() {
    let place = World::shared().await.place("rights").await.limited();
    place.apply(&[]).refused(&[
        "may not",
        "create secrets",
        "patch statefulsets",
        "list pods",
        "`rights`",
        "Role",
    ]);
    assert_eq!(place.find(Kind::Namespace, "rights").await, None);
    assert_eq!(place.all().await.len(), 0);
}

#[tokio::test]
async fn a_storage_class_that_is_not_there_is_told_with_those_that_are() {
    let place = World::shared().await.place("storage").await;
    place.apply(&["--storage-class", "standard"]).refused(&[
        "StorageClass `standard` is not there",
        "`pretended`",
        "`rook-ceph-block`",
    ]);
    assert_eq!(place.all().await.len(), 0);
}

#[tokio::test]
async fn an_absent_mesh_is_a_plain_warning_and_can_be_done_without() {
    let place = World::shared().await.place("mesh").await;
    let said = place.apply(&[]).done();
    assert!(
        said.err.contains("Linkerd is not installed") && said.err.contains("--mesh off"),
        "{}",
        said.err
    );
    let injected = async || {
        let api = place.get(Kind::Deployment, "temporal-api").await;
        api["spec"]["template"]["metadata"]["annotations"]["linkerd.io/inject"].clone()
    };
    assert_eq!(injected().await, "enabled");
    let said = place.apply(&["--mesh", "off"]).done();
    assert!(!said.err.contains("Linkerd"), "{}", said.err);
    assert_eq!(injected().await, "disabled");
}

#[tokio::test]
async fn every_mistake_in_the_files_is_told_at_once() {
    let place = World::shared().await.place("mistakes").await;
    let file = place.file(
        "ipfs: {replicas: 0, storage: lots}\n\
         rabbitmq: {replicas: 2}\n\
         namespace: Wrong\n",
    );
    place.run(&["plan", "-f", &file]).refused(&[
        "`ipfs.replicas`",
        "`ipfs.storage`",
        "`rabbitmq.replicas`",
        "`namespace`",
    ]);
    let file = place.file(
        "temporal:\n\
         \x20 workers: [email-send]\n\
         \x20 settings: {DATABASE_NAME: orders, V3_API_JWT_TIMEOUT: soon, CONFIG_DAG: /x}\n",
    );
    place.run(&["plan", "-f", &file]).refused(&[
        "`DATABASE_NAME`",
        "`V3_API_JWT_TIMEOUT`",
        "`CONFIG_DAG`",
        "`SENDGRID_API_KEY`",
    ]);
    let file = place.file("ipsf: {}\n");
    place.run(&["plan", "-f", &file]).refused(&["ipsf"]);
    place
        .run(&["plan", "-f", "/no/such/file"])
        .refused(&["/no/such/file"]);
    place.run(&["wait"]).refused(&["no stack"]);
    place.run(&["status"]).refused(&["no stack"]);
}

#[tokio::test]
async fn the_schema_knows_every_field_of_stack_yaml() {
    let place = World::shared().await.place("schema").await;
    let schema: serde_json::Value =
        serde_json::from_str(&place.run(&["schema"]).done().out).expect("JSON");
    let properties = schema["properties"].as_object().expect("properties");
    for field in [
        "namespace",
        "mesh",
        "storageClass",
        "temporal",
        "ipfs",
        "ipfsCluster",
    ] {
        assert!(properties.contains_key(field), "{field}");
    }
    assert_eq!(schema["additionalProperties"], false);
    for (program, name) in [
        ("temporal", "`DATABASE_URL`"),
        ("ipfs-cluster", "`CLUSTER_SECRET`"),
        ("postgres", "`POSTGRES_PASSWORD`"),
        ("rabbitmq", "`default_queue_type`"),
        ("ipfs", "`Addresses.Swarm`"),
    ] {
        let table = place.run(&["settings", program]).done().out;
        assert!(table.contains(name), "{table}");
    }
}
