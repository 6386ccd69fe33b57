//! Pebble's checks and the health that Kubernetes' probes see.

use serde::Deserialize;

use super::http::Request;
use super::{Error, Pebble};

/// The level that a check belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckLevel {
    /// Kubernetes restarts the container when it is down.
    Alive,
    /// Kubernetes sends no traffic while it is down.
    Ready,
}

impl CheckLevel {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Ready => "ready",
        }
    }
}

/// A check as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Check {
    /// Its name in the plan.
    pub name: String,
    /// `alive`, `ready` or empty.
    #[serde(default)]
    pub level: String,
    /// Whether it passes.
    pub status: CheckStatus,
    /// How often it failed in a row.
    #[serde(default)]
    pub failures: u32,
    /// How many failures in a row mean "down"; 0 where Pebble does not say.
    #[serde(default)]
    pub threshold: u32,
}

/// Whether a check passes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum CheckStatus {
    /// It passes, or failed less often in a row than its threshold.
    Up,
    /// It failed as often in a row as its threshold.
    Down,
    /// It does not run.
    Inactive,
    /// A word that this client does not know.
    Other(String),
}

impl From<String> for CheckStatus {
    fn from(word: String) -> Self {
        match word.as_str() {
            "up" => Self::Up,
            "down" => Self::Down,
            "inactive" => Self::Inactive,
            _ => Self::Other(word),
        }
    }
}

#[derive(Deserialize)]
struct Health {
    healthy: bool,
}

impl Pebble {
    /// All checks, by name.
    pub async fn checks(&self) -> Result<Vec<Check>, Error> {
        self.ask_checks(Request::get("/v1/checks")).await
    }

    /// The checks of exactly this level, by name.
    pub async fn checks_of(&self, level: CheckLevel) -> Result<Vec<Check>, Error> {
        self.ask_checks(Request::get("/v1/checks").query("level", level.as_str()))
            .await
    }

    async fn ask_checks(&self, request: Request) -> Result<Vec<Check>, Error> {
        let checks: Option<_> = self.ask(request).await?.sync()?;
        Ok(checks.unwrap_or_default())
    }

    /// What a Kubernetes probe of this level gets to see: false when a check of the level is down,
    /// where `ready` includes `alive`. True when there is no such check.
    pub async fn health(&self, level: CheckLevel) -> Result<bool, Error> {
        let request = Request::get("/v1/health").query("level", level.as_str());
        let health: Health = self.ask(request).await?.sync()?;
        Ok(health.healthy)
    }
}
