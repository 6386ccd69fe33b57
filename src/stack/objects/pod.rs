//! What all Pods of the stack share: the mesh, the hash of their settings, and what they are not allowed.

use serde_json::{Value, json};

use super::{Component, Context, Kind, Object, Phase, labels, selector};
use crate::input::{Mesh, Resources};

/// The annotation that changes with a Pod's settings.
const SETTINGS: &str = "temporal-stack/settings";

/// What one workload differs in from others.
pub(crate) struct Pods {
    pub(crate) component: Component,
    pub(crate) phase: Phase,
    /// Differs whenever the Pods must be made anew.
    pub(crate) fingerprint: String,
    /// User and group of the program, which is not root.
    pub(crate) user: (u32, u32),
    /// How long a Pod may take to end.
    pub(crate) grace: u32,
    pub(crate) containers: Vec<Value>,
    pub(crate) init_containers: Vec<Value>,
    pub(crate) volumes: Vec<Value>,
}

impl Pods {
    /// The Pod template.
    fn template(self, context: Context<'_>) -> Value {
        let mut annotations = mesh(context, self.component);
        annotations[SETTINGS] = self.fingerprint.into();
        let (user, group) = self.user;
        let security = json!({
            "seccompProfile": { "type": "RuntimeDefault" },
            "runAsNonRoot": true,
            "runAsUser": user,
            "runAsGroup": group,
            "fsGroup": group,
            "fsGroupChangePolicy": "OnRootMismatch",
        });
        let mut spec = json!({
            // Services named like a program's settings would become settings of it
            "enableServiceLinks": false,
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": self.grace,
            "securityContext": security,
            "topologySpreadConstraints": [{
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": { "matchLabels": selector(self.component) },
            }],
            "containers": self.containers,
        });
        if !self.init_containers.is_empty() {
            spec["initContainers"] = self.init_containers.into();
        }
        if !self.volumes.is_empty() {
            spec["volumes"] = self.volumes.into();
        }
        let pull = &context.stack.image_pull_secrets;
        if !pull.is_empty() {
            let names: Vec<Value> = pull.iter().map(|name| json!({ "name": name })).collect();
            spec["imagePullSecrets"] = names.into();
        }
        json!({
            "metadata": { "labels": labels(self.component), "annotations": annotations },
            "spec": spec,
        })
    }

    /// Pods with names and, for each claim (name and size), storage of their own.
    pub(crate) fn stateful_set(
        self,
        context: Context<'_>,
        service: &str,
        replicas: u32,
        claims: &[(&str, &str)],
    ) -> Object {
        let (component, phase) = (self.component, self.phase);
        let claims: Vec<Value> = claims
            .iter()
            .map(|(name, size)| claim(context, component, name, size))
            .collect();
        let spec = json!({ "spec": {
            "serviceName": service,
            "replicas": replicas,
            // they find each other by name, and each may need the others to become ready
            "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": selector(component) },
            "template": self.template(context),
            "volumeClaimTemplates": claims,
        } });
        let (kind, name) = (Kind::StatefulSet, component.name());
        Object::new(context, kind, &name, component, phase, spec)
    }

    /// Pods that are all the same.
    pub(crate) fn deployment(self, context: Context<'_>, replicas: u32) -> Object {
        let (component, phase) = (self.component, self.phase);
        let spec = json!({ "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": selector(component) },
            "template": self.template(context),
        } });
        let (kind, name) = (Kind::Deployment, component.name());
        Object::new(context, kind, &name, component, phase, spec)
    }

    /// A Pod that ends.
    pub(crate) fn job(self, context: Context<'_>, name: &str) -> Object {
        let (component, phase) = (self.component, self.phase);
        let mut template = self.template(context);
        // each try is a Pod of its own: all of its steps again, and its words stay to be read
        template["spec"]["restartPolicy"] = "Never".into();
        let spec = json!({ "spec": {
            "backoffLimit": 5,
            "activeDeadlineSeconds": 1800,
            "template": template,
        } });
        Object::new(context, Kind::Job, name, component, phase, spec)
    }
}

fn claim(context: Context<'_>, component: Component, name: &str, size: &str) -> Value {
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": name, "labels": labels(component) },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": size } },
        },
    });
    if let Some(class) = &context.stack.storage_class {
        claim["spec"]["storageClassName"] = class.as_str().into();
    }
    claim
}

/// A container that is allowed nothing special, and whose last words are kept when it fails.
pub(crate) fn container(name: &str, image: &str, resources: &Resources) -> Value {
    json!({
        "name": name,
        "image": image,
        "resources": {
            "requests": { "cpu": resources.cpu, "memory": resources.memory },
            "limits": { "memory": resources.memory_limit },
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
        },
    })
}

/// The ports of a container.
pub(crate) fn ports(ports: &[(&str, u16, &str)]) -> Value {
    ports
        .iter()
        .map(|(name, port, protocol)| {
            json!({ "name": name, "containerPort": port, "protocol": protocol })
        })
        .collect()
}

/// Environment from a ConfigMap and, winning over it, from a Secret.
pub(crate) fn environment_from(config_map: &str, secret: &str) -> Value {
    json!([{ "configMapRef": { "name": config_map } }, { "secretRef": { "name": secret } }])
}

/// The Pod's own name, as a variable.
pub(crate) fn pod_name() -> Value {
    json!({ "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } })
}

/// Asks often while the Pod starts, and seldom later.
pub(crate) fn probes(container: &mut Value, ready: &Value) {
    container["startupProbe"] = probe(ready, 3, 100);
    container["readinessProbe"] = probe(ready, 10, 3);
}

/// A probe that asks every so many seconds, and believes so many bad answers in a row.
pub(crate) fn probe(question: &Value, period: u32, failures: u32) -> Value {
    let mut probe = question.clone();
    probe["periodSeconds"] = period.into();
    probe["timeoutSeconds"] = 5.into();
    probe["failureThreshold"] = failures.into();
    probe
}

/// The annotations by which Linkerd's injector decides.
fn mesh(context: Context<'_>, component: Component) -> Value {
    if context.stack.mesh == Mesh::Off {
        // a namespace may ask for the proxy on its own
        return json!({ "linkerd.io/inject": "disabled" });
    }
    let mut annotations = opaque_ports(context, component).unwrap_or_else(|| json!({}));
    annotations["linkerd.io/inject"] = "enabled".into();
    match component {
        Component::Ipfs => {
            // strangers of the swarm have no mesh, and bring their own encryption
            annotations["config.linkerd.io/skip-inbound-ports"] = "4001".into();
            annotations["config.linkerd.io/skip-outbound-ports"] = "4001".into();
        }
        Component::Migrate | Component::Account => {
            // a proxy that is an ordinary container would keep the Job's Pod running for ever
            annotations["config.linkerd.io/proxy-enable-native-sidecar"] = "true".into();
        }
        _ => {}
    }
    annotations
}

/// Ports whose protocol the proxy must not guess: there the server speaks first, or both wait. The list takes
/// the place of Linkerd's own, and stands on Pods and Services alike.
pub(crate) fn opaque_ports(context: Context<'_>, component: Component) -> Option<Value> {
    const OPAQUE: &str = "3999,4001,4369,5432,5672,9096,25672";
    (component != Component::Stack && context.stack.mesh == Mesh::Linkerd)
        .then(|| json!({ "config.linkerd.io/opaque-ports": OPAQUE }))
}
