//! What all Pods of the stack share: the mesh, the hash of their settings, and what they are not allowed.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Component, Context, Kind, Object, labels, selector};
use crate::input::{Mesh, Resources};

/// The annotation that changes with a Pod's settings.
const SETTINGS: &str = "temporal-stack/settings";

/// What one workload differs in from others.
pub(crate) struct Pods<'a> {
    context: Context<'a>,
    component: Component,
    /// User and group of the program, which is not root.
    user: (u32, u32),
    /// How long a Pod may take to end, in seconds.
    grace: u32,
    /// Differs whenever the Pods must be made anew.
    pub(crate) fingerprint: String,
    pub(crate) containers: Vec<Container>,
    pub(crate) init_containers: Vec<Container>,
    volumes: Vec<Value>,
    claims: Vec<Value>,
}

impl<'a> Pods<'a> {
    /// Without containers yet.
    pub(crate) const fn new(
        context: Context<'a>,
        component: Component,
        user: (u32, u32),
        grace: u32,
    ) -> Self {
        Self {
            context,
            component,
            user,
            grace,
            fingerprint: String::new(),
            containers: Vec::new(),
            init_containers: Vec::new(),
            volumes: Vec::new(),
            claims: Vec::new(),
        }
    }

    /// A volume that goes with the Pod.
    pub(crate) fn volume(&mut self, name: &str, kind: &str, source: &Value) {
        self.volumes.push(json!({ "name": name, kind: source }));
    }

    /// Storage that each Pod of a StatefulSet has for itself.
    pub(crate) fn claim(&mut self, name: &str, size: &str) {
        let mut claim = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": name, "labels": labels(self.component) },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": size } },
            },
        });
        if let Some(class) = &self.context.stack.storage_class {
            claim["spec"]["storageClassName"] = class.as_str().into();
        }
        self.claims.push(claim);
    }

    /// The Pod template.
    fn template(&self) -> Value {
        let mut annotations = mesh(self.context, self.component);
        annotations[SETTINGS] = self.fingerprint.as_str().into();
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
            spec["initContainers"] = json!(self.init_containers);
        }
        if !self.volumes.is_empty() {
            spec["volumes"] = json!(self.volumes);
        }
        let pull = &self.context.stack.image_pull_secrets;
        if !pull.is_empty() {
            let names: Vec<Value> = pull.iter().map(|name| json!({ "name": name })).collect();
            spec["imagePullSecrets"] = names.into();
        }
        json!({
            "metadata": { "labels": labels(self.component), "annotations": annotations },
            "spec": spec,
        })
    }

    /// Pods with names, and with claims of their own.
    pub(crate) fn stateful_set(self, service: &str, replicas: u32) -> Object {
        let spec = json!({
            "serviceName": service,
            "replicas": replicas,
            // they find each other by name, and each may need the others to become ready
            "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": selector(self.component) },
            "template": self.template(),
            "volumeClaimTemplates": self.claims,
        });
        self.workload(Kind::StatefulSet, &self.component.name(), &spec)
    }

    /// Pods that are all the same.
    pub(crate) fn deployment(self, replicas: u32) -> Object {
        let spec = json!({
            "replicas": replicas,
            "selector": { "matchLabels": selector(self.component) },
            "template": self.template(),
        });
        self.workload(Kind::Deployment, &self.component.name(), &spec)
    }

    /// A Pod that ends.
    pub(crate) fn job(self, name: &str) -> Object {
        let mut template = self.template();
        // each try is a Pod of its own: all of its steps again, and its words stay to be read
        template["spec"]["restartPolicy"] = "Never".into();
        let spec = json!({
            "backoffLimit": 5,
            "activeDeadlineSeconds": 1800,
            "template": template,
        });
        self.workload(Kind::Job, name, &spec)
    }

    fn workload(&self, kind: Kind, name: &str, spec: &Value) -> Object {
        Object::new(
            self.context,
            kind,
            name,
            self.component,
            json!({ "spec": spec }),
        )
    }
}

/// A container in the making: each call adds something to it.
#[derive(Serialize)]
pub(crate) struct Container(Value);

impl Container {
    /// One that is allowed nothing special, and whose last words are kept when it fails.
    pub(crate) fn new(name: &str, image: &str, resources: &Resources) -> Self {
        Self(json!({
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
        }))
    }

    /// Sets a field.
    pub(crate) fn with(mut self, field: &str, value: Value) -> Self {
        self.0[field] = value;
        self
    }

    /// Adds to a list.
    fn add(mut self, list: &str, value: Value) -> Self {
        match &mut self.0[list] {
            Value::Array(list) => list.push(value),
            none => *none = [value].into_iter().collect(),
        }
        self
    }

    /// What it runs in place of the image's own.
    pub(crate) fn command(self, words: &[&str]) -> Self {
        self.with("command", json!(words))
    }

    /// Its ports: name, number, protocol.
    pub(crate) fn ports(self, ports: &[(&str, u16, &str)]) -> Self {
        let port = |(name, port, protocol): &_| json!({ "name": name, "containerPort": port, "protocol": protocol });
        self.with("ports", ports.iter().map(port).collect())
    }

    /// All of a ConfigMap as environment.
    pub(crate) fn config_map(self, name: &str) -> Self {
        self.add("envFrom", json!({ "configMapRef": { "name": name } }))
    }

    /// All of a Secret as environment, which wins over what was added before.
    pub(crate) fn secret(self, name: &str) -> Self {
        self.add("envFrom", json!({ "secretRef": { "name": name } }))
    }

    /// A variable; `$(NAME)` is another one from before.
    pub(crate) fn variable(self, name: &str, value: &str) -> Self {
        self.add("env", json!({ "name": name, "value": value }))
    }

    /// A variable from somewhere else.
    pub(crate) fn variable_from(self, name: &str, kind: &str, source: &Value) -> Self {
        self.add(
            "env",
            json!({ "name": name, "valueFrom": { kind: source } }),
        )
    }

    /// The Pod's own name, as the variable `POD_NAME`.
    pub(crate) fn pod_name(self) -> Self {
        let field = json!({ "fieldPath": "metadata.name" });
        self.variable_from("POD_NAME", "fieldRef", &field)
    }

    /// A volume.
    pub(crate) fn mount(self, volume: &str, path: &str) -> Self {
        self.add("volumeMounts", json!({ "name": volume, "mountPath": path }))
    }

    /// A volume to be read.
    pub(crate) fn mount_to_read(self, volume: &str, path: &str) -> Self {
        let mount = json!({ "name": volume, "mountPath": path, "readOnly": true });
        self.add("volumeMounts", mount)
    }

    /// One file of a volume, alone: those of a whole volume are links, which not every program follows.
    pub(crate) fn mount_file(self, volume: &str, file: &str, path: &str) -> Self {
        let mount = json!({ "name": volume, "mountPath": path, "subPath": file, "readOnly": true });
        self.add("volumeMounts", mount)
    }

    /// Asks often while the Pod starts, and seldom later.
    pub(crate) fn probes(self, ready: &Value) -> Self {
        self.with("startupProbe", probe(ready, 3, 100))
            .with("readinessProbe", probe(ready, 10, 3))
    }
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
