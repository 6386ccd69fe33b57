//! The check by which Pebble finds out whether the server serves. Where Juju makes hooks of it (3.6 and newer), the
//! unit hears of a server that begins or ceases to serve after the hook. It has no level, so that no probe of
//! Kubernetes depends on it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::pebble::{CheckConfig, ExecCheck, SHARED};
use crate::temporal::{Role, Version};

/// Its name, which Juju tells in the hooks.
pub const NAME: &str = "serves";
/// The charm's own program, where the container sees it.
pub const PROGRAM: &str = "temporal-k8s";
/// What the program is asked to do: [`crate::serves`].
pub const COMMAND: &str = "serves";

/// The check's definition. A server that does not serve is found down before a hook gives up waiting for it (20 s),
/// so that what it does afterwards is a recovery; one that comes up quickly is never found down.
pub fn config(address: IpAddr, version: Version, roles: &BTreeSet<Role>) -> CheckConfig {
    let mut command = format!("{SHARED}/{PROGRAM} {COMMAND} {address} {version}");
    for role in roles {
        command.push(' ');
        command.push_str(role.name());
    }
    CheckConfig {
        override_: "replace".to_owned(),
        period: "5s".to_owned(),
        timeout: "3s".to_owned(),
        threshold: Some(3),
        exec: Some(ExecCheck {
            command,
            working_dir: "/".to_owned(),
            ..ExecCheck::default()
        }),
        ..CheckConfig::default()
    }
}

/// Is `has`, from Pebble's plan, what `wants` asks for? Newer Pebbles add what this one leaves out.
pub fn same(wants: &CheckConfig, has: &CheckConfig) -> bool {
    let startup = has.startup.clone();
    *has == CheckConfig {
        startup,
        ..wants.clone()
    }
}
