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
    api_version: String,
    kind: Spanned<String>,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default, deserialize_with = "texts")]
    data: Given,
    #[serde(default)]
    items: Vec<Manifest>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: Option<Spanned<String>>,
    namespace: Option<String>,
}

/// Puts the settings of all ConfigMaps in a file into the stack's. Gives what is wrong.
pub(super) fn read(file: &File, stack: &mut Stack) -> Vec<Problem> {
    let mut manifests: Vec<Manifest> = match yaml::documents(file, Twice::Last) {
        Ok(manifests) => manifests,
        Err(problem) => return vec![problem],
    };
    if let Err(Problem { file, text }) = yaml::documents::<Manifest>(file, Twice::Refused) {
        let text = format!("{text}; the last one counts, as it does for kubectl");
        stack.remarks.push(Problem { file, text });
    }
    let mut is_empty = true;
    let mut others = Vec::new();
    let mut problems = Vec::new();
    manifests.reverse();
    while let Some(manifest) = manifests.pop() {
        let (version, kind) = (&manifest.api_version, &manifest.kind);
        match (version.as_str(), kind.value.as_str()) {
            ("v1", "ConfigMap") => {
                is_empty = false;
                problems.extend(config_map(file, manifest, stack));
            }
            ("v1", "List" | "ConfigMapList") => manifests.extend(manifest.items.into_iter().rev()),
            (version, word) => {
                let text = format!(
                    "is a {word} of {version}, and left out: only ConfigMaps of v1 are read here"
                );
                others.push(at(file, kind.referenced.line(), &text));
            }
        }
    }
    if is_empty {
        problems.extend(others);
        problems.push(file.problem("has no ConfigMap in it; name a file with one here"));
    } else {
        stack.remarks.extend(others);
    }
    problems
}

fn config_map(file: &File, manifest: Manifest, stack: &mut Stack) -> Vec<Problem> {
    let Metadata { name, namespace } = manifest.metadata.unwrap_or_default();
    let line = name.as_ref().map_or(&manifest.kind, |name| name);
    let line = line.referenced.line();
    let name = name.map(|name| name.value).unwrap_or_default();
    let Some(program) = Program::ALL.into_iter().find(|it| it.config_map() == name) else {
        let known = Program::ALL.map(Program::config_map).join("`, `");
        let text = format!("`metadata.name` is \"{name}\"; write one of `{known}`");
        return vec![at(file, line, &text)];
    };
    let mut problems = Vec::new();
    if let Some(namespace) = namespace {
        let other = stack.namespace.get_or_insert_with(|| namespace.clone());
        if *other != namespace {
            let text = format!(
                "`metadata.namespace` is \"{namespace}\", and elsewhere it is \"{other}\"; write the same in both"
            );
            problems.push(at(file, line, &text));
        }
    }
    let settings = match program {
        Program::Temporal => &mut stack.temporal.settings,
        Program::IpfsCluster => &mut stack.ipfs_cluster.settings,
        Program::Postgres => &mut stack.postgres.settings,
    };
    for (name, value) in manifest.data {
        let kept = settings
            .entry(name.clone())
            .or_insert_with(|| value.clone());
        if *kept != value {
            let text = format!("`{name}` has another value elsewhere; write it in one place");
            problems.push(at(file, line, &text));
        }
    }
    problems
}
