//! This program in the workload container, where Pebble's check starts it: do these roles serve at this address?

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use crate::temporal::health::{all_is_well, look};
use crate::temporal::{Role, Version};

/// Pebble waits longer.
const LIMIT: Duration = Duration::from_secs(2);

/// Asks the roles that the command line names, and says why they do not serve, if they do not.
pub async fn serves(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let (address, version, roles) = read(arguments)?;
    let serving = look(address, &roles, Some(version), LIMIT).await;
    if all_is_well(&serving) {
        return Ok(());
    }
    let roles = serving.roles.iter();
    let roles = roles.filter_map(|(role, answer)| Some((role.name(), answer.as_ref().err()?)));
    let store = serving.store.iter();
    let store = store.filter_map(|answer| Some(("the store", answer.as_ref().err()?)));
    let words: Vec<String> = roles
        .chain(store)
        .map(|(what, why)| format!("{what}: {why}"))
        .collect();
    Err(words.join("; "))
}

fn read(
    mut arguments: impl Iterator<Item = String>,
) -> Result<(IpAddr, Version, BTreeSet<Role>), String> {
    let address = arguments.next().ok_or("no address was given")?;
    let address = address
        .parse()
        .map_err(|_| format!("`{address}` is no address"))?;
    let version = arguments.next().ok_or("no version was given")?;
    let version = version
        .parse::<Version>()
        .map_err(|error| error.to_string())?;
    let known = |name: String| {
        let role = Role::ALL.into_iter().find(|role| role.name() == name);
        role.ok_or_else(|| format!("`{name}` is no role"))
    };
    let roles = arguments.map(known).collect::<Result<BTreeSet<_>, _>>()?;
    if roles.is_empty() {
        return Err("no role was given".to_owned());
    }
    Ok((address, version, roles))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_that_asks_for_nothing_is_never_a_yes() {
        let read = |line: &str| read(line.split_whitespace().map(str::to_owned));
        let roles = BTreeSet::from([Role::Frontend, Role::InternalFrontend]);
        assert_eq!(
            read("fd00::1 1.32.2 internal-frontend frontend"),
            Ok(("fd00::1".parse().unwrap(), "1.32.2".parse().unwrap(), roles))
        );
        for line in [
            "",
            "10.0.0.1",
            "10.0.0.1 1.32.2",
            "frontend",
            "10.0.0.1 frontend",
            "10.0.0.1 1.32.2 histroy",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
