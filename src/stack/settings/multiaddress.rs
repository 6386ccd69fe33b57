//! Multiaddresses, as libp2p writes where to listen and whom to dial: `/ip4/0.0.0.0/tcp/9096`.
//!
//! A strict reader of the protocols that the stack can use; the whole list is in
//! `multiformats/multiaddr:protocols.csv`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::host;

/// What follows the name of a protocol.
#[derive(Clone, Copy)]
enum Value {
    Nothing,
    Ip4,
    Ip6,
    Name,
    Port,
    Peer,
}

const HOSTS: &[&str] = &["ip4", "ip6", "dns", "dns4", "dns6"];
const FIRST: &[&str] = &[""];
const ANYWHERE: &[&str] = &[
    "ip4", "ip6", "dns", "dns4", "dns6", "dnsaddr", "tcp", "udp", "quic", "quic-v1", "ws", "wss",
];

/// Each protocol with its value and the protocols that it can follow; `""` is the beginning.
const PROTOCOLS: [(&str, Value, &[&str]); 13] = [
    ("ip4", Value::Ip4, FIRST),
    ("ip6", Value::Ip6, FIRST),
    ("dns", Value::Name, FIRST),
    ("dns4", Value::Name, FIRST),
    ("dns6", Value::Name, FIRST),
    ("dnsaddr", Value::Name, FIRST),
    ("tcp", Value::Port, HOSTS),
    ("udp", Value::Port, HOSTS),
    ("quic", Value::Nothing, &["udp"]),
    ("quic-v1", Value::Nothing, &["udp"]),
    ("ws", Value::Nothing, &["tcp"]),
    ("wss", Value::Nothing, &["tcp"]),
    ("p2p", Value::Peer, ANYWHERE),
];

/// One multiaddress.
pub(crate) fn check(text: &str) -> Result<(), String> {
    parts(text).map(|_| ())
}

/// Several, with commas between them.
pub(crate) fn check_list(text: &str) -> Result<(), String> {
    text.split(',').try_for_each(check)
}

/// Does every address of the list name the peer that answers there?
pub(crate) fn names_peers(list: &str) -> bool {
    list.split(',').all(|text| {
        parts(text).is_ok_and(|parts| parts.iter().any(|(protocol, _)| *protocol == "p2p"))
    })
}

/// Is every address of the list one that only the Pod itself reaches?
pub(crate) fn is_loopback(list: &str) -> bool {
    list.split(',').all(|text| {
        parts(text).is_ok_and(|parts| parts.first().is_some_and(|(_, at)| host::is_loopback(at)))
    })
}

/// The protocols with their values; the error says what to write, and may name a protocol.
fn parts(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut words = text
        .strip_prefix('/')
        .ok_or("is not a multiaddress; write one like `/ip4/0.0.0.0/tcp/9096`")?
        .split('/');
    let mut parts = Vec::new();
    let mut previous = "";
    while let Some(word) = words.next() {
        let (name, value, after) = PROTOCOLS
            .iter()
            .find(|(name, ..)| *name == word)
            .ok_or_else(|| unknown(word))?;
        if !after.contains(&previous) {
            return Err(format!(
                "has `/{name}` in a place where it means nothing; {ORDER}"
            ));
        }
        let given = if matches!(value, Value::Nothing) {
            ""
        } else {
            words.next().unwrap_or_default()
        };
        if !fits(*value, given) {
            return Err(format!(
                "has no right value after `/{name}`; write {}",
                wanted(*value)
            ));
        }
        parts.push((*name, given));
        previous = name;
    }
    if matches!(previous, "ip4" | "ip6" | "dns" | "dns4" | "dns6") {
        return Err(format!("ends after its host; {ORDER}"));
    }
    Ok(parts)
}

const ORDER: &str =
    "write a host, a port and what is spoken there, like `/ip4/0.0.0.0/udp/9096/quic-v1`";

fn unknown(word: &str) -> String {
    if word.is_empty() {
        return "has two slashes in a row, or one at the end; leave the second one out".to_owned();
    }
    format!("has the unknown protocol \"{word}\"; {ORDER}")
}

fn fits(value: Value, text: &str) -> bool {
    match value {
        Value::Nothing => text.is_empty(),
        Value::Ip4 => text.parse::<Ipv4Addr>().is_ok(),
        Value::Ip6 => text.parse::<Ipv6Addr>().is_ok(),
        Value::Name => host::check(text).is_ok() && !text.contains(':'),
        // 0 is a port here: the system chooses one to listen on
        Value::Port => text == "0" || host::port(text).is_some(),
        Value::Peer => is_peer(text),
    }
}

fn wanted(value: Value) -> &'static str {
    match value {
        Value::Nothing => "nothing",
        Value::Ip4 => "an address like `10.0.0.1`",
        Value::Ip6 => "an address like `fd00::1`",
        Value::Name => "a DNS name",
        Value::Port => "a port from 0 to 65535",
        Value::Peer => "a peer's id, like `12D3KooW…`",
    }
}

/// A peer's id in one of its spellings: base58 of a hash (`Qm…`) or of a key (`12D3KooW…`), or a CID.
fn is_peer(text: &str) -> bool {
    (46..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";

    #[test]
    fn good_ones() {
        for good in [
            "/ip4/0.0.0.0/tcp/9096",
            "/ip4/0.0.0.0/tcp/9096,/ip4/0.0.0.0/udp/9096/quic-v1",
            "/ip6/::/udp/0/quic",
            "/dns/ipfs/tcp/443/wss",
            "/dns6/ipfs/tcp/8081/ws",
            &format!("/dns4/ipfs-cluster-0.ipfs-cluster/tcp/9096/p2p/{PEER}"),
            &format!("/dnsaddr/bootstrap.libp2p.io/p2p/{PEER}"),
        ] {
            assert_eq!(check_list(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn bad_ones_say_what_to_write() {
        for (bad, remedy) in [
            ("", "write one like"),
            ("127.0.0.1:9094", "write one like"),
            ("/ip4/0.0.0.0/tcp/9096/", "one at the end"),
            ("/ip4/0.0.0.0/tcp/9096,", "write one like"),
            ("/ip4/0.0.0.0/sctp/1", "unknown protocol \"sctp\""),
            ("/ip4/0.0.0.0", "ends after its host"),
            ("/ip4/0.0.0.0.0/tcp/1", "after `/ip4`; write an address"),
            ("/ip6/1.2.3.4/tcp/1", "after `/ip6`; write an address"),
            ("/dns4/a b/tcp/1", "a DNS name"),
            ("/ip4/0.0.0.0/tcp", "a port"),
            ("/ip4/0.0.0.0/tcp/65536", "a port"),
            ("/ip4/0.0.0.0/tcp/1/quic", "`/quic` in a place"),
            ("/tcp/1", "`/tcp` in a place"),
            ("/ip4/0.0.0.0/tcp/1/p2p/x", "a peer's id"),
        ] {
            let problem = check_list(bad).unwrap_err();
            assert!(problem.contains(remedy), "{bad}: {problem}");
        }
    }

    #[test]
    fn a_list_is_loopback_when_all_of_it_is() {
        assert!(is_loopback("/ip4/127.0.0.1/tcp/9094"));
        assert!(is_loopback("/dns4/localhost/tcp/9094,/ip6/::1/tcp/9094"));
        assert!(!is_loopback(
            "/ip4/127.0.0.1/tcp/9094,/ip4/0.0.0.0/tcp/9094"
        ));
        assert!(!is_loopback("/ip4/0.0.0.0/tcp/9094"));
        assert!(!is_loopback(""));
    }

    #[test]
    fn peers_are_named_by_their_ids() {
        assert!(names_peers(&format!("/dns4/a/tcp/9096/p2p/{PEER}")));
        assert!(!names_peers("/dns4/a/tcp/9096"));
    }
}
