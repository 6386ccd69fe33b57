//! `peer`: the units of this application among themselves.
//!
//! Each tells the address at which its server can be reached, which is that of its network binding: what Juju itself
//! writes here is the address of the Service, which they all share. What all units must agree on is in the databases.

use std::net::IpAddr;

use super::endpoint::{Keys, Own, Said};
use crate::juju::Databag;

/// The keys that this charm writes.
pub const KEYS: Keys = Keys {
    app: &[],
    unit: &[ADDRESS],
};

const ADDRESS: &str = "address";

/// Where this unit is, once it is known.
pub fn publish(_: &str, own: &Own<'_>) -> Option<Said> {
    let address = own.address?.to_string();
    Some(Said {
        unit: Databag::from([(ADDRESS.to_owned(), address.into())]),
        ..Said::default()
    })
}

/// Where another unit is, by its databag.
pub fn parse(bag: &Databag) -> Option<IpAddr> {
    bag.get(ADDRESS)?.expose().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::juju::Unit;
    use crate::relations::Heard;

    #[test]
    fn what_one_unit_tells_is_what_another_reads() {
        let unit = Unit {
            app: "flows".to_owned(),
            number: 1,
        };
        for address in [None, Some("10.1.0.7"), Some("fd00::7")] {
            let address = address.map(|text| text.parse().unwrap());
            let own = Own {
                unit: &unit,
                model: "prod",
                cluster_domain: "cluster.local",
                leader: true,
                address,
                config: None,
                heard: &Heard::default(),
            };
            let said = publish("peer", &own);
            assert!(said.as_ref().is_none_or(|said| said.app.is_empty()));
            assert_eq!(said.and_then(|said| parse(&said.unit)), address);
        }
        let bag = Databag::from([(ADDRESS.to_owned(), "temporal-k8s-0".into())]);
        assert_eq!(parse(&bag), None);
    }
}
