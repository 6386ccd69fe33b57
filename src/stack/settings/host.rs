//! Host names and addresses, and which of them mean "the stack's own".

use std::net::{IpAddr, Ipv4Addr};

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

/// One host: a DNS name (RFC 1123) or an address.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if text.contains("://") {
        return Err("is a host name, not a URL; write the host alone".to_owned());
    }
    if is_own_host(text) || address(text).is_some() || is_name(text) {
        return Ok(());
    }
    if split_port(text).is_ok() {
        return Err("is a host name without a port; write the port in its own variable".to_owned());
    }
    Err("is not a host; write a DNS name or an address".to_owned())
}

/// A host and a port, as gRPC takes its targets.
pub(crate) fn check_with_port(text: &str) -> Result<(), String> {
    let (host, port) = split_port(text)?;
    check(host)?;
    check_port(port)
}

/// A TCP port. 0 would mean "any", which nothing here can listen on or dial.
pub(crate) fn check_port(text: &str) -> Result<(), String> {
    port(text)
        .map(|_| ())
        .ok_or_else(|| "is not a port; write a number from 1 to 65535".to_owned())
}

/// Digits alone: Rust's own parser would take a sign as well.
pub(crate) fn port(text: &str) -> Option<u16> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
        .filter(|port| *port != 0)
}

/// `host:port` → both, unchecked. An address of version 6 must be in brackets.
pub(crate) fn split_port(text: &str) -> Result<(&str, &str), String> {
    text.rsplit_once(':')
        .filter(|(host, _)| !host.contains(':') || host.ends_with(']'))
        .ok_or_else(|| "is not a host and a port; write `host:port`".to_owned())
}

/// A DNS name. One that ends in a number is a mistyped address: no top-level domain is a number.
fn is_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= 253
        && name.split('.').all(is_label)
        && !name.split('.').next_back().is_some_and(numeric)
        && name.parse::<Ipv4Addr>().is_err()
}

/// Underscores are not of the RFC, but of many a name that resolves.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
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
