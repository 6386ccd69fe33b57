//! What must be right before anything is made: the API server, our rights, storage, network, mesh. Asks only.

use futures_util::future::try_join_all;
use serde_json::Value;

use super::delete;
use crate::input::Mesh;
use crate::kubernetes::{Error, Kind, Kubernetes, list, name_of, text};
use crate::names::{COOKIE_KEY, RABBITMQ_CONFIG};
use crate::secrets::Existing;
use crate::stack::Wanted;

/// The oldest API server: from it on, a proxy in a Job's Pod ends with the Job.
const OLDEST: (u32, u32) = (1, 29);

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What stands in the way. Each names the remedy.
    pub failures: Vec<String>,
    /// What works, but should be known.
    pub warnings: Vec<String>,
}

/// Checks everything, so that all of it can be put right at once.
pub async fn check(kubernetes: &Kubernetes, wanted: &Wanted) -> Result<Report, Error> {
    let stack = &wanted.stack;
    let mut report = Report {
        failures: too_old(kubernetes.version().await?).into_iter().collect(),
        warnings: stack.unjudged().collect(),
    };
    rights(kubernetes, &mut report).await?;
    if kubernetes.may("list", Kind::StorageClass).await? {
        let classes = kubernetes.list(Kind::StorageClass, "").await?;
        let missing = no_class(&classes, stack.storage_class.as_deref());
        report.failures.extend(missing);
    } else {
        report.warnings.push(UNKNOWN_STORAGE.to_owned());
    }
    if kubernetes.may("list", Kind::Node).await? {
        let nodes = kubernetes.list(Kind::Node, "").await?;
        report.failures.extend(no_node(&nodes));
    }
    if stack.mesh == Mesh::Linkerd && !kubernetes.has_group("policy.linkerd.io").await? {
        report.warnings.push(NO_MESH.to_owned());
    }
    if kubernetes.may("get", Kind::Secret).await? {
        secrets(kubernetes, wanted, &mut report).await?;
    }
    Ok(report)
}

const UNKNOWN_STORAGE: &str =
    "this user may not list StorageClasses, so it is not known whether claims will be bound";
const NO_MESH: &str = "Linkerd is not installed in this cluster: Pods start without its proxy, and what they say to each \
    other is not encrypted; install it and restart the workloads (`kubectl rollout restart`), or say `--mesh off`";

fn too_old(version: (u32, u32)) -> Option<String> {
    let ((major, minor), (oldest_major, oldest_minor)) = (version, OLDEST);
    (version < OLDEST).then(|| {
        format!(
            "the API server is {major}.{minor}; the stack needs {oldest_major}.{oldest_minor} or newer"
        )
    })
}

/// The verbs that an installation uses on what it makes.
const VERBS: [&str; 5] = ["get", "list", "create", "patch", "delete"];

async fn rights(kubernetes: &Kubernetes, report: &mut Report) -> Result<(), Error> {
    let mut needs = vec![(Kind::Pod, "list"), (Kind::PersistentVolumeClaim, "list")];
    for kind in delete::KINDS.into_iter().chain([Kind::Secret]) {
        needs.extend(VERBS.map(|verb| (kind, verb)));
    }
    needs.push((Kind::Namespace, "get"));
    // all at the same time: there are dozens of them, and the cluster may be far away
    let questions = needs.iter().map(|(kind, verb)| kubernetes.may(verb, *kind));
    let answers = try_join_all(questions).await?;
    let namespace = kubernetes.namespace();
    let may_look = answers.last() == Some(&true);
    if may_look
        && kubernetes.get(Kind::Namespace, namespace).await?.is_none()
        && !kubernetes.may("create", Kind::Namespace).await?
    {
        report.failures.push(format!(
            "namespace `{namespace}` is not there, and this user may not make it: `kubectl create namespace \
             {namespace}` as somebody who may"
        ));
    }
    let refused = needs.iter().zip(answers).filter(|(_, allowed)| !allowed);
    let missing: Vec<String> = refused
        .map(|((kind, verb), _)| format!("{verb} {}", kind.resource().plural))
        .collect();
    if !missing.is_empty() {
        report.failures.push(format!(
            "this user may not {} in namespace `{namespace}`; have a Role that allows it bound to the user",
            missing.join(", "),
        ));
    }
    Ok(())
}

fn no_class(classes: &[Value], wanted: Option<&str>) -> Option<String> {
    let names: Vec<&str> = classes.iter().map(name_of).collect();
    let known = if names.is_empty() {
        "there is none; install a CSI driver".to_owned()
    } else {
        format!("there are `{}`", names.join("`, `"))
    };
    match wanted {
        Some(name) if !names.contains(&name) => Some(format!(
            "StorageClass `{name}` is not there: {known}; name one of them in `storageClass`"
        )),
        None if !classes.iter().any(is_default) => Some(format!(
            "the cluster has no default StorageClass: {known}; name one in `storageClass` of stack.yaml, or \
             with `--storage-class`"
        )),
        Some(_) | None => None,
    }
}

fn is_default(class: &Value) -> bool {
    let mark = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
    text(class, mark) == "true"
}

/// A machine whose network plugin is missing says so itself.
fn no_node(nodes: &[Value]) -> Option<String> {
    let ready = |node| list(node, "/status/conditions").find(|it| text(it, "/type") == "Ready");
    let mut conditions = nodes.iter().filter_map(ready);
    if conditions.clone().any(|it| text(it, "/status") == "True") {
        return None;
    }
    let why = conditions.next();
    let why = why.map_or("there is none", |it| text(it, "/message"));
    let remedy = if why.to_lowercase().contains("cni") {
        "install a network plugin (CNI)"
    } else {
        "see `kubectl describe nodes`"
    };
    Some(format!("no node of the cluster is ready ({why}): {remedy}"))
}

/// Secrets that only the user can bring.
async fn secrets(
    kubernetes: &Kubernetes,
    wanted: &Wanted,
    report: &mut Report,
) -> Result<(), Error> {
    let cookies = kubernetes.get(Kind::Secret, RABBITMQ_CONFIG).await?;
    report.warnings.extend(cookies.as_ref().and_then(cookie));
    let stack = &wanted.stack;
    let pull = stack.image_pull_secrets.iter();
    let tls = stack.temporal.tls_secret.iter();
    let named = pull
        .map(|name| ("imagePullSecrets", name))
        .chain(tls.map(|name| ("temporal.tlsSecret", name)));
    for (field, name) in named {
        if kubernetes.get(Kind::Secret, name).await?.is_none() {
            report.failures.push(format!(
                "Secret `{name}`, which `{field}` names, is not in namespace `{}`: make it, or correct the name",
                kubernetes.namespace()
            ));
        }
    }
    Ok(())
}

/// The cookie is the key to the broker; what is there is kept, whatever it is.
fn cookie(secret: &Value) -> Option<String> {
    /// The example of the original documentation, which everybody can read.
    const EXAMPLE: &str = "c-is-for-cookie-thats-good-enough-for-me";
    let existing = Existing::of(secret);
    let cookie = existing.data.get(COOKIE_KEY)?.as_ref()?.expose().trim();
    let is_usable =
        (20..=255).contains(&cookie.len()) && cookie.bytes().all(|byte| byte.is_ascii_graphic());
    let problem = match cookie {
        EXAMPLE => "is the public example of the documentation",
        _ if is_usable => return None,
        _ => "is not 20 to 255 printable characters",
    };
    Some(format!(
        "`{COOKIE_KEY}` of Secret `{RABBITMQ_CONFIG}` {problem}: delete the Secret before the first start, and one \
         is made"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(name: &str, is_default: &str) -> Value {
        json!({ "metadata": {
            "name": name,
            "annotations": { "storageclass.kubernetes.io/is-default-class": is_default },
        } })
    }

    fn node(status: &str, message: &str) -> Value {
        json!({ "status": { "conditions": [
            { "type": "MemoryPressure", "status": "False" },
            { "type": "Ready", "status": status, "message": message },
        ] } })
    }

    #[test]
    fn an_old_api_server_is_refused() {
        assert_eq!(too_old((1, 29)), None);
        assert_eq!(too_old((2, 0)), None);
        assert!(too_old((1, 28)).unwrap().contains("is 1.28"));
    }

    #[test]
    fn a_class_must_be_there_by_name_or_by_default() {
        let classes = [class("fast", "false"), class("slow", "true")];
        assert_eq!(no_class(&classes, None), None);
        assert_eq!(no_class(&classes, Some("fast")), None);
        for (classes, wanted, said) in [
            (
                &classes[..],
                Some("rook-ceph-block"),
                "there are `fast`, `slow`",
            ),
            (
                &classes[..1],
                None,
                "no default StorageClass: there are `fast`",
            ),
            (&[], None, "install a CSI driver"),
        ] {
            let why = no_class(classes, wanted).unwrap();
            assert!(why.contains(said), "{why}");
        }
    }

    #[test]
    fn one_ready_node_is_enough_and_a_missing_network_plugin_is_named() {
        let cni = "container runtime network not ready: cni plugin not initialized";
        assert_eq!(no_node(&[node("False", cni), node("True", "")]), None);
        for (nodes, said) in [
            (vec![], "there is none"),
            (vec![node("False", cni)], "install a network plugin (CNI)"),
            (
                vec![node("Unknown", "kubelet stopped posting")],
                "kubectl describe nodes",
            ),
        ] {
            let why = no_node(&nodes).unwrap();
            assert!(why.contains(said), "{why}");
        }
    }

    #[test]
    fn a_cookie_that_everybody_knows_or_that_is_none_is_told() {
        let secret = |cookie: &str| {
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(cookie);
            json!({ "data": { COOKIE_KEY: encoded } })
        };
        assert_eq!(cookie(&secret("a-cookie-of-more-than-20")), None);
        assert_eq!(cookie(&json!({ "data": {} })), None);
        for (value, said) in [
            ("c-is-for-cookie-thats-good-enough-for-me", "public example"),
            ("short", "20 to 255"),
            ("with spaces and more than twenty", "20 to 255"),
        ] {
            let why = cookie(&secret(value)).unwrap();
            assert!(why.contains(said) && !why.contains(value), "{why}");
        }
    }
}
