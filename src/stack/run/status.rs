//! What runs: a line for each workload of the stack in the cluster. Asks only.

use std::fmt;

use serde::Serialize;

use super::ready::{counts, readiness};
use super::wait::{self, Watch};
use crate::kubernetes::{Error, Kubernetes, name_of, text};

/// One workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Kubernetes' kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// Pods that are ready.
    pub ready: u64,
    /// Pods that are wanted.
    pub wanted: u64,
    /// The image of its first container.
    pub image: String,
    /// What is in the way; empty when it is ready.
    pub problems: Vec<String>,
}

/// All workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Where.
    pub namespace: String,
    /// All of them are ready, and there are some.
    pub ready: bool,
    /// A line for each.
    pub workloads: Vec<Line>,
}

/// Looks at the cluster.
pub async fn status(kubernetes: &Kubernetes) -> Result<Status, Error> {
    let mut workloads = Vec::new();
    let values = wait::values_of(kubernetes).await?;
    let watch = Watch::begin(kubernetes, &values).await?;
    for (kind, object) in wait::workloads(kubernetes).await? {
        let mut problems = Vec::new();
        if let Some(why) = readiness(kind, &object).problem() {
            problems.push(why.to_owned());
            problems.extend(watch.troubles(&object).await?);
        }
        let (wanted, ready) = counts(kind, &object);
        workloads.push(Line {
            kind: kind.word(),
            name: name_of(&object).to_owned(),
            ready: ready.min(wanted),
            wanted,
            image: text(&object, "/spec/template/spec/containers/0/image").to_owned(),
            problems,
        });
    }
    Ok(Status {
        namespace: kubernetes.namespace().to_owned(),
        ready: !workloads.is_empty() && workloads.iter().all(|line| line.problems.is_empty()),
        workloads,
    })
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.workloads.is_empty() {
            return write!(f, "namespace `{}` has no stack in it", self.namespace);
        }
        let width = self.workloads.iter().map(|line| line.name.len()).max();
        let width = width.unwrap_or_default();
        write!(f, "{:width$}  ready  image", "name")?;
        for line in &self.workloads {
            let count = format!("{}/{}", line.ready, line.wanted);
            write!(f, "\n{:width$}  {count:5}  {}", line.name, line.image)?;
            for problem in &line.problems {
                write!(f, "\n{:width$}         {problem}", "")?;
            }
        }
        Ok(())
    }
}
