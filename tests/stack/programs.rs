//! The environment that the containers get, in the real programs, each test in a network of its own.

mod ipfs;
mod tables;

use std::collections::BTreeMap;
use std::fs;

use getrandom::SysRng;
use serde_json::Value;
use temporal_stack::input::{self, File, Stack};
use temporal_stack::kubernetes::Kind;
use temporal_stack::objects::{Context, Object};
use temporal_stack::secrets::{self, Values, known};
use temporal_stack::stack::{self, Wanted, wanted};

use crate::world::document;

/// The document's stack, with values for all Secrets.
pub(crate) struct Rendered {
    pub(crate) wanted: Wanted,
    values: Values,
}

impl Rendered {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same with something changed.
    pub(crate) fn with(change: impl FnOnce(&mut Stack)) -> Self {
        let files = document().map(|path| File {
            name: path.display().to_string(),
            text: fs::read_to_string(&path).unwrap().into(),
        });
        let mut stack = input::read(None, &files).unwrap();
        change(&mut stack);
        let wanted = wanted(stack, "pinning", &BTreeMap::new()).unwrap();
        let none = BTreeMap::new();
        let resolved = secrets::resolve(&wanted.secrets, &none, "pinning", &mut SysRng);
        let (values, _) = resolved.unwrap();
        Self { wanted, values }
    }

    fn objects(&self) -> Vec<Object> {
        stack::objects(Context {
            stack: &self.wanted.stack,
            namespace: &self.wanted.namespace,
            environment: &self.wanted.environment,
            values: &self.values,
        })
    }

    pub(crate) fn object(&self, kind: Kind, name: &str) -> Object {
        let found = self
            .objects()
            .into_iter()
            .find(|it| it.kind == kind && it.name() == name);
        found.unwrap_or_else(|| panic!("{} `{name}`", kind.word()))
    }

    /// The environment that a container's `envFrom` makes: a Secret wins over a ConfigMap before it.
    pub(crate) fn environment(&self, workload: &str) -> BTreeMap<String, String> {
        let object = self.object(Kind::StatefulSet, workload);
        self.shared(&object.body["spec"]["template"]["spec"]["containers"][0])
    }

    fn shared(&self, container: &Value) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        for source in container["envFrom"].as_array().into_iter().flatten() {
            if let Some(name) = source["configMapRef"]["name"].as_str() {
                let map = self.object(Kind::ConfigMap, name);
                for (key, value) in map.body["data"].as_object().unwrap() {
                    environment.insert(key.clone(), value.as_str().unwrap().to_owned());
                }
            }
            if let Some(name) = source["secretRef"]["name"].as_str() {
                for (key, value) in &self.values[name] {
                    environment.insert(key.clone(), value.expose().clone());
                }
            }
        }
        environment
    }

    /// All of a container's environment, in a Pod of this name.
    fn environment_of(&self, container: &Value, pod: &str) -> BTreeMap<String, String> {
        let mut environment = self.shared(container);
        for variable in container["env"].as_array().into_iter().flatten() {
            let from = &variable["valueFrom"];
            let value = if let Some(value) = variable["value"].as_str() {
                let put_in = |text: String, (name, value): (&String, &String)| {
                    text.replace(&format!("$({name})"), value)
                };
                environment.iter().fold(value.to_owned(), put_in)
            } else if let Some(name) = from["secretKeyRef"]["name"].as_str() {
                self.secret(name, from["secretKeyRef"]["key"].as_str().unwrap())
            } else {
                assert_eq!(from["fieldRef"]["fieldPath"], "metadata.name");
                pod.to_owned()
            };
            environment.insert(variable["name"].as_str().unwrap().to_owned(), value);
        }
        environment
    }

    pub(crate) fn secret(&self, name: &str, key: &str) -> String {
        known(&self.values, name, key).to_owned()
    }
}
