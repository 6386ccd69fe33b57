//! Host names and addresses, and which of them mean "the stack's own".

use std::collections::BTreeMap;
use std::net::IpAddr;

use rustls_pki_types::DnsName;

use super::amqp::AmqpUrl;

/// Does the value stand for the stack's own service?
///
/// The document's examples point at the machine they were tried on: `127.0.0.1`, the five-part
/// `0.0.0.0.0`, `amqp://127.0.0.1:5672/`. In a Pod none of these reaches another Pod, so a loopback or
/// unspecified host, `localhost`, with or without a port and inside an AMQP URL, is an order to the
/// installer to write its own Service there.
pub fn is_own(value: &str) -> bool {
    if value.contains("://") {
        return AmqpUrl::parse(value).is_ok_and(|url| is_own_host(&url.host));
    }
    is_own_host(value) || split_port(value).is_ok_and(|(host, _)| is_own_host(host))
}

fn is_own_host(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host == "0.0.0.0.0"
        || address(host).is_some_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

/// The addresses of Services in the cluster, with their names.
pub type Addresses = BTreeMap<IpAddr, String>;

/// Where the stack is: by that, the names and addresses of its own Services are told from others.
#[derive(Clone, Copy, Debug)]
pub struct Home<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The addresses of the stack's own Services, as far as they are known.
    pub addresses: &'a Addresses,
}

impl Home<'_> {
    /// The value with the machine itself, which means "the stack's own", in place of a host that is this Service of
    /// ours; `None` for any other host. Such values are what a user reads in the cluster after an installation.
    pub fn own(self, service: &str, value: &str) -> Option<String> {
        const OWN: &str = "127.0.0.1";
        if let Ok(url) = AmqpUrl::parse(value) {
            let host = OWN.to_owned();
            return self
                .is(service, &url.host)
                .then(|| AmqpUrl { host, ..url }.to_url().expose().clone());
        }
        if self.is(service, value) {
            return Some(OWN.to_owned());
        }
        let (host, port) = split_port(value).ok()?;
        self.is(service, host).then(|| format!("{OWN}:{port}"))
    }

    /// `postgres`, `postgres.<namespace>`, `….svc`, `….svc.cluster.local`, one Pod's name before it, or the address.
    fn is(self, service: &str, host: &str) -> bool {
        if let Some(address) = address(host) {
            return self.addresses.get(&address).is_some_and(|it| it == service);
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let host = host.strip_suffix(".cluster.local").unwrap_or(&host);
        let host = host.strip_suffix(".svc").unwrap_or(host);
        let host = host
            .strip_suffix(self.namespace)
            .and_then(|rest| rest.strip_suffix('.'))
            .unwrap_or(host);
        host.strip_suffix(service).is_some_and(|rest| {
            let number = rest
                .strip_prefix(service)
                .and_then(|rest| rest.strip_prefix('-'))
                .and_then(|rest| rest.strip_suffix('.'));
            rest.is_empty() || number.is_some_and(|it| it.parse::<u32>().is_ok())
        })
    }
}

/// Is it `localhost` or an address that only the Pod itself reaches?
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(|ip| ip.is_loopback())
}

/// An IP address, of version 6 with or without its brackets.
fn address(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

/// One host: a DNS name (RFC 1123, and underscores, which many a name has that resolves; one that ends in a number is a
/// mistyped address) or an address.
pub(crate) fn check(text: &str) -> Result<(), &'static str> {
    if text.contains("://") {
        return Err("is a host name, not a URL; write the host alone");
    }
    if is_own_host(text) || address(text).is_some() || DnsName::try_from(text).is_ok() {
        return Ok(());
    }
    if split_port(text).is_ok() {
        return Err("is a host name without a port; write the port in its own variable");
    }
    Err("is not a host; write a DNS name or an address")
}

/// A host and a port, as gRPC takes its targets.
pub(crate) fn check_with_port(text: &str) -> Result<(), &'static str> {
    let (host, port) = split_port(text)?;
    check(host)?;
    check_port(port)
}

/// A TCP port. 0 would mean "any", which nothing here can listen on or dial.
pub(crate) fn check_port(text: &str) -> Result<(), &'static str> {
    let port = port(text).ok_or("is not a port; write a number from 1 to 65535");
    port.map(|_| ())
}

/// Digits alone: Rust's own parser would take a sign as well.
pub(crate) fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_plain && *port != 0)
}

/// `host:port` → both, unchecked. An address of version 6 must be in brackets.
pub(crate) fn split_port(text: &str) -> Result<(&str, &str), &'static str> {
    text.rsplit_once(':')
        .filter(|(host, _)| !host.contains(':') || host.ends_with(']'))
        .ok_or("is not a host and a port; write `host:port`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_examples_mean_the_stacks_own() {
        for own in [
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
            "0.0.0.0.0",
            "0.0.0.0.0:5432",
            "localhost",
            "LocalHost:5001",
            "::1",
            "[::1]:9094",
            "[::]",
            "amqp://127.0.0.1:5672/",
            "amqp://guest:guest@localhost",
            "amqps://[::1]/temporal",
        ] {
            assert!(is_own(own), "{own}");
        }
    }

    #[test]
    fn others_are_not_the_stacks_own() {
        for other in [
            "",
            "postgres",
            "10.0.0.1",
            "localhost.example.com",
            "0.0.0.0.0.0",
            "amqp://rabbitmq:5672/",
            "postgres://127.0.0.1/temporal",
            "http://localhost",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }

    #[test]
    fn names_and_addresses_of_services_of_ours_mean_them() {
        let addresses = Addresses::from([
            ([10, 96, 0, 7].into(), "postgres".to_owned()),
            ([10, 96, 0, 8].into(), "rabbitmq".to_owned()),
        ]);
        let home = Home {
            namespace: "pinning",
            addresses: &addresses,
        };
        for (service, value, own) in [
            ("postgres", "postgres", Some("127.0.0.1")),
            ("postgres", "Postgres.pinning", Some("127.0.0.1")),
            ("postgres", "postgres.pinning.svc", Some("127.0.0.1")),
            (
                "postgres",
                "postgres.pinning.svc.cluster.local.",
                Some("127.0.0.1"),
            ),
            ("postgres", "10.96.0.7", Some("127.0.0.1")),
            (
                "temporal-krab",
                "temporal-krab:10000",
                Some("127.0.0.1:10000"),
            ),
            (
                "temporal-krab",
                "temporal-krab.pinning:7",
                Some("127.0.0.1:7"),
            ),
            (
                "rabbitmq",
                "amqp://u:p%40@rabbitmq.pinning.svc/v",
                Some("amqp://u:p%40@127.0.0.1:5672/v"),
            ),
            (
                "rabbitmq",
                "amqp://rabbitmq-0.rabbitmq:5672/",
                Some("amqp://127.0.0.1:5672/"),
            ),
            (
                "rabbitmq",
                "amqp://10.96.0.8/",
                Some("amqp://127.0.0.1:5672/"),
            ),
            ("postgres", "postgres.other", None),
            ("postgres", "postgres.other.svc.cluster.local", None),
            ("postgres", "postgres.pinning.example.com", None),
            ("postgres", "my-postgres", None),
            ("postgres", "postgres-x.postgres", None),
            ("postgres", "10.96.0.8", None),
            ("postgres", "10.96.0.9", None),
            ("postgres", "pinning", None),
            ("rabbitmq", "amqp://rabbitmq.other/", None),
            ("rabbitmq", "http://rabbitmq/", None),
            ("rabbitmq", "", None),
        ] {
            assert_eq!(
                home.own(service, value).as_deref(),
                own,
                "{service} {value}"
            );
        }
    }

    #[test]
    fn hosts() {
        for good in [
            "postgres",
            "a_b.c-d.svc.cluster.local.",
            "10.0.0.1",
            "fd00::1",
            "0.0.0.0.0",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, remedy) in [
            ("postgres://db/temporal", "write the host alone"),
            ("db:5432", "in its own variable"),
            ("10.0.0.256", "a DNS name or an address"),
            ("-db", "a DNS name or an address"),
            ("a..b", "a DNS name or an address"),
            ("", "a DNS name or an address"),
            ("d b", "a DNS name or an address"),
        ] {
            assert!(check(bad).unwrap_err().contains(remedy), "{bad}");
        }
    }

    #[test]
    fn hosts_with_ports() {
        for good in ["krab:10000", "10.0.0.1:1", "[fd00::1]:65535"] {
            assert_eq!(check_with_port(good), Ok(()), "{good}");
        }
        for (bad, remedy) in [
            ("krab", "`host:port`"),
            ("fd00::1", "`host:port`"),
            ("krab:", "from 1 to 65535"),
            ("krab:0", "from 1 to 65535"),
            ("krab:+80", "from 1 to 65535"),
            ("krab:65536", "from 1 to 65535"),
            ("http://krab:80", "`host:port`"),
        ] {
            let problem = check_with_port(bad).unwrap_err();
            assert!(problem.contains(remedy), "{bad}: {problem}");
        }
    }
}
