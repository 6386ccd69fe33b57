//! The ConfigMaps of the original documentation, as they are printed there, in files of any manifests, and as kubectl
//! prints them. Only computes.

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::yaml::{self, Twice, at};
use super::{File, Problem, Stack, texts};
use crate::settings::{Given, Program};

/// A manifest, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    api_version: Spanned<String>,
    kind: Spanned<String>,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default, deserialize_with = "texts")]
    data: Given,
    #[serde(default)]
    items: Vec<Manifest>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    name: Option<Spanned<String>>,
    namespace: Option<String>,
}

/// Puts the settings of all ConfigMaps in a file into the stack's. Gives what is wrong.
pub(super) fn read(file: &File, stack: &mut Stack) -> Vec<Problem> {
    let manifests = match yaml::documents(file, Twice::Last) {
        Ok(manifests) => manifests,
        Err(problem) => return vec![problem],
    };
    if let Err(twice) = yaml::documents::<Manifest>(file, Twice::Refused) {
        stack.remarks.push(Problem {
            text: format!(
                "{}; the last one counts, as it does for kubectl",
                twice.text
            ),
            ..twice
        });
    }
    let mut reading = Reading {
        file,
        stack,
        found: 0,
        others: Vec::new(),
        problems: Vec::new(),
    };
    for manifest in manifests {
        reading.manifest(manifest);
    }
    let Reading {
        found,
        others,
        mut problems,
        ..
    } = reading;
    if found > 0 {
        stack.remarks.extend(others);
    } else {
        problems.extend(others);
        problems.push(Problem {
            file: file.name.clone(),
            text: "has no ConfigMap in it; name a file with one here".to_owned(),
        });
    }
    problems
}

struct Reading<'a> {
    file: &'a File,
    stack: &'a mut Stack,
    found: u32,
    others: Vec<Problem>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn manifest(&mut self, manifest: Manifest) {
        let (version, kind) = (manifest.api_version.value, manifest.kind.value);
        match (version.as_str(), kind.as_str()) {
            ("v1", "ConfigMap") => {
                self.found += 1;
                let line = manifest.kind.referenced.line();
                self.config_map(line, manifest.metadata, manifest.data);
            }
            ("v1", "List" | "ConfigMapList") => {
                for item in manifest.items {
                    self.manifest(item);
                }
            }
            _ => {
                let line = manifest.kind.referenced.line();
                let text = format!(
                    "is a {kind} of {version}, and left out: only ConfigMaps of v1 are read here"
                );
                self.others.push(at(self.file, line, &text));
            }
        }
    }

    fn config_map(&mut self, line: u64, metadata: Option<Metadata>, data: Given) {
        let (name, namespace) =
            metadata.map_or((None, None), |metadata| (metadata.name, metadata.namespace));
        let line = name.as_ref().map_or(line, |name| name.referenced.line());
        let name = name.map(|name| name.value).unwrap_or_default();
        let Some(program) = Program::ALL.into_iter().find(|it| it.config_map() == name) else {
            let known = Program::ALL.map(Program::config_map).join("`, `");
            self.problem(
                line,
                &format!("`metadata.name` is \"{name}\"; write one of `{known}`"),
            );
            return;
        };
        match (&self.stack.namespace, namespace) {
            (Some(other), Some(namespace)) if *other != namespace => {
                let text = format!(
                    "`metadata.namespace` is \"{namespace}\", and elsewhere it is \"{other}\"; write the same in \
                     both"
                );
                self.problem(line, &text);
            }
            (_, Some(namespace)) => self.stack.namespace = Some(namespace),
            (_, None) => {}
        }
        for (name, value) in data {
            let settings = self.stack.settings_mut(program);
            if settings.get(&name).is_some_and(|other| *other != value) {
                let text = format!("`{name}` has another value elsewhere; write it in one place");
                self.problem(line, &text);
            } else {
                settings.insert(name, value);
            }
        }
    }

    fn problem(&mut self, line: u64, text: &str) {
        self.problems.push(at(self.file, line, text));
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
