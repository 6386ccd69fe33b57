//! `ingress`: a way in from outside the model, by host name.

use std::net::IpAddr;

use crate::config::IngressProtocol;
use crate::hook::Unit;
use crate::relations::{Databag, Relation, State};

/// The endpoint's name in `metadata.yaml`.
pub const ENDPOINT: &str = "ingress";

/// What we say on the relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// In the application's databag (leader only).
    pub app: Databag,
    /// In this unit's databag.
    pub unit: Databag,
}

/// What the leader and each unit publish.
pub fn publish(
    protocol: IngressProtocol,
    unit: &Unit,
    model: &str,
    external_hostname: Option<&str>,
    bind_address: Option<IpAddr>,
) -> Published {
    todo!()
}

/// The URL that the other side offers.
pub fn parse(protocol: IngressProtocol, relation: Option<&Relation>) -> State<String> {
    todo!()
}
