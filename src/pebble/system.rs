//! What Pebble says of itself.

use serde::Deserialize;

use super::client::Pebble;
use super::error::Error;
use super::http::Request;

impl Pebble {
    /// Version and start of this Pebble; also the question whether the container is up at all.
    pub async fn system_info(&self) -> Result<SystemInfo, Error> {
        self.ask(Request::get("/v1/system-info")).await?.sync()
    }
}

/// What Pebble says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SystemInfo {
    /// The version with its `v`, for example `v1.19.2`.
    pub version: String,
    /// New with each start of the daemon, so a changed value means that the container was restarted
    /// and that all added layers are lost. Empty where Pebble is too old to tell.
    #[serde(default)]
    pub boot_id: String,
}
