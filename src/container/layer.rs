//! The Pebble layer of the server. `plan` compares it with the plan that Pebble has: a difference is a
//! restart, since the layer is changed only while the server is stopped. It never holds a secret, since everybody
//! who may talk to Pebble can read it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::{config, pgpass};
use crate::pebble::ServiceConfig;
use crate::temporal::{Database, Image, PerStore, Role};

/// The variable that says with which `charm.yaml` the server was started; the server ignores it.
pub const CONFIG_HASH: &str = "CHARM_YAML_SHA256";
/// The variable that says on which databases the server runs; the server ignores it.
pub const STORES: &str = "CHARM_STORES";

/// A name for whoever the server runs as.
const USER: &str = "temporal";

/// The service's definition. `config` is the text of the configuration file; only its hash goes in.
/// `stores` is the pair's [`identity`].
///
/// Where the configuration is, is said in flags because a flag wins over the `TEMPORAL_*` variables that an image may
/// set; an empty variable would not unset one, since the server takes it as set. An image without users leaves the
/// server to find in `USER` and `HOME` who it is.
pub fn service(image: &Image, roles: &BTreeSet<Role>, config: &str, stores: &str) -> ServiceConfig {
    let mut command = if image.takes_one_file() {
        format!("temporal-server --config-file {} start", config::PATH)
    } else {
        format!(
            "temporal-server --root {} --config {} --env {} start",
            config::ROOT,
            config::DIRECTORY,
            config::ENVIRONMENT,
        )
    };
    for role in roles {
        command.push_str(" --service=");
        command.push_str(role.name());
    }
    ServiceConfig {
        override_: "replace".to_owned(),
        summary: "Temporal server".to_owned(),
        command,
        // only the charm starts it, when it may
        startup: "disabled".to_owned(),
        working_dir: config::ROOT.to_owned(),
        environment: BTreeMap::from([
            ("USER".to_owned(), USER.to_owned()),
            ("HOME".to_owned(), config::ROOT.to_owned()),
            ("PGPASSFILE".to_owned(), pgpass::PATH.to_owned()),
            (CONFIG_HASH.to_owned(), hash(config)),
            (STORES.to_owned(), stores.to_owned()),
        ]),
        // A stopping server may need that long in its first seconds. Spelled as Pebble reports it.
        kill_delay: "1m0s".to_owned(),
    }
}

/// The roles that a service runs.
pub fn roles(service: &ServiceConfig) -> BTreeSet<Role> {
    let names = service.command.split(' ');
    let names = names.filter_map(|word| word.strip_prefix("--service="));
    let named = |name: &str| Role::ALL.into_iter().find(|role| role.name() == name);
    names.filter_map(named).collect()
}

/// Tells one pair of databases from another, without a password.
pub fn identity(databases: &PerStore<&Database>) -> String {
    format!(
        "{} {}",
        databases.main.identity(),
        databases.visibility.identity()
    )
}

/// On which databases a service runs; `None` for one that this charm did not define.
pub fn stores(service: &ServiceConfig) -> Option<&str> {
    service.environment.get(STORES).map(String::as_str)
}

/// Is `has`, from Pebble's plan, what `wants` asks for? Pebble adds defaults of its own, so only what we
/// set is compared.
pub fn same(wants: &ServiceConfig, has: &ServiceConfig) -> bool {
    wants.command == has.command
        && wants.startup == has.startup
        && wants.working_dir == has.working_dir
        && wants.kill_delay == has.kill_delay
        && wants.environment == has.environment
}

fn hash(text: &str) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a string cannot fail.
        _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_are_read_back_from_the_command() {
        let image = "1.32.2".parse().unwrap();
        for roles in [
            vec![],
            vec![Role::Frontend, Role::InternalFrontend],
            Role::ALL.to_vec(),
        ] {
            let wanted: BTreeSet<Role> = roles.into_iter().collect();
            assert_eq!(super::roles(&service(&image, &wanted, "", "")), wanted);
        }
    }
}
