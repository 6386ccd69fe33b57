//! Calls of the functions with which the charm speaks to Juju, as data: the test `transports` makes a list of them,
//! and the program `asks` performs it in a hook.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// One call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Call {
    ConfigGet,
    IsLeader,
    RelationIds(String),
    RelationApp(u32),
    RelationUnits(u32),
    RelationGetApp(u32, String),
    RelationGetUnit(u32, String),
    RelationSet(u32, bool, BTreeMap<String, Option<String>>),
    StatusSet(bool, String),
    StatusGet,
    StatusGetApplication,
    VersionSet(String),
    OpenPorts(BTreeSet<u16>),
    ClosePorts(BTreeSet<u16>),
    OpenedPorts,
    IsDying(String),
    NetworkGet(String),
    Log(String),
    StateGet,
    StateSet(BTreeMap<String, String>),
    StateDelete(String),
    ActionGet,
    ActionSet(BTreeMap<String, String>),
    ActionFail(String),
    ActionLog(String),
}
