//! What RTrade's Temporal asks the servers of a stack, asked by a program of ours on its modules.
//!
//! Called by tests of what is rendered for its containers: the program takes their environment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::Start;
use super::running::{RunError, finish};
use crate::parts::{Parts, PartsError};

/// How long a question may take: longer than the program itself gives it.
const LIMIT: Duration = Duration::from_mins(2);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskerError {
    /// The program could not be had.
    #[error("get the asker ready")]
    Parts(#[from] PartsError),
    /// It did not run to its end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A server refused, or did not answer.
    #[error("{said}")]
    Refused {
        /// What the program said of it.
        said: String,
    },
    /// What it printed is no JSON.
    #[error("read the answer `{printed}`")]
    Answer {
        /// What it printed.
        printed: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// The program with the settings of a Pod.
#[derive(Debug, Clone)]
pub struct Asker {
    program: PathBuf,
    environment: BTreeMap<String, String>,
}

impl Asker {
    /// With these variables of Temporal.
    pub fn new(parts: &Parts, environment: &BTreeMap<String, String>) -> Result<Self, AskerError> {
        Ok(Self {
            program: parts.asker()?,
            environment: environment.clone(),
        })
    }

    /// How to start it with a question, which is a command with its arguments: `["pin", CID, "2"]`. It tells
    /// all of them when it is given none.
    pub fn start(&self, question: &[&str]) -> Start {
        let program = self.program.as_os_str();
        let mut start = Start::new(
            [program]
                .into_iter()
                .chain(question.iter().map(AsRef::as_ref)),
        );
        let given = self.environment.iter();
        start.environment = given
            .map(|(name, value)| (name.clone(), value.into()))
            .collect();
        start
    }

    /// Asks here and gives the answer.
    pub fn ask(&self, question: &[&str]) -> Result<Value, AskerError> {
        let output = finish(&self.start(question), "asker", LIMIT)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if !output.status.success() {
            let said = text(&output.stderr);
            return Err(AskerError::Refused { said });
        }
        serde_json::from_slice(&output.stdout).map_err(|source| AskerError::Answer {
            printed: text(&output.stdout),
            source,
        })
    }
}
