//! The ConfigMaps of the original document, as they are printed there. Only computes.

use serde::Deserialize;

use super::{File, Problem, Stack, texts, unreadable};
use crate::settings::{Given, Program};

/// A ConfigMap of the document, by its name.
pub(super) struct ConfigMap {
    file: String,
    program: Program,
    namespace: Option<String>,
    data: Given,
}

/// The names that the document gives its ConfigMaps.
const CONFIG_MAPS: [(&str, Program); 3] = [
    ("temporal-config", Program::Temporal),
    ("ipfs-cluster-config", Program::IpfsCluster),
    ("postgres-config", Program::Postgres),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawConfigMap {
    api_version: String,
    kind: String,
    metadata: RawMetadata,
    #[serde(default, deserialize_with = "texts")]
    data: Given,
}

#[derive(Deserialize)]
struct RawMetadata {
    name: String,
    namespace: Option<String>,
}

impl ConfigMap {
    /// Reads one.
    pub(super) fn read(file: &File) -> Result<Self, Problem> {
        let problem = |text: String| Problem {
            file: file.name.clone(),
            text,
        };
        let text = file.text.expose();
        // the document prints one of them with a space in front of its first line
        let parsed: Result<RawConfigMap, _> = serde_saphyr::from_str(text)
            .or_else(|error| serde_saphyr::from_str(text.trim_start()).map_err(|_| error));
        let raw = parsed.map_err(|error| unreadable(file, &error))?;
        if raw.kind != "ConfigMap" || raw.api_version != "v1" {
            return Err(problem(format!(
                "is a {} of {}; name files with a ConfigMap of v1 here",
                raw.kind, raw.api_version
            )));
        }
        let known = CONFIG_MAPS
            .iter()
            .find(|(name, _)| *name == raw.metadata.name);
        let Some((_, program)) = known else {
            return Err(problem(format!(
                "`metadata.name` is \"{}\"; it must be `temporal-config`, `ipfs-cluster-config` or \
                 `postgres-config`",
                raw.metadata.name
            )));
        };
        Ok(Self {
            file: file.name.clone(),
            program: *program,
            namespace: raw.metadata.namespace,
            data: raw.data,
        })
    }

    /// Puts its settings into the stack's.
    pub(super) fn put_into(self, stack: &mut Stack) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem = |text: String| {
            problems.push(Problem {
                file: self.file.clone(),
                text,
            });
        };
        if let Some(namespace) = self.namespace {
            match &stack.namespace {
                Some(other) if *other != namespace => problem(format!(
                    "`metadata.namespace` is \"{namespace}\", and elsewhere it is \"{other}\"; write the \
                     same in both"
                )),
                _ => stack.namespace = Some(namespace),
            }
        }
        let settings = stack.settings_mut(self.program);
        for (name, value) in self.data {
            match settings.get(&name) {
                Some(other) if *other != value => problem(format!(
                    "`{name}` has another value elsewhere; write it in one place"
                )),
                _ => _ = settings.insert(name, value),
            }
        }
        problems
    }
}

impl Stack {
    fn settings_mut(&mut self, program: Program) -> &mut Given {
        match program {
            Program::Temporal => &mut self.temporal.settings,
            Program::IpfsCluster => &mut self.ipfs_cluster.settings,
            Program::Postgres => &mut self.postgres.settings,
        }
    }
}
