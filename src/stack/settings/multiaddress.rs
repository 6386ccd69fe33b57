//! Multiaddresses, as libp2p writes where to listen and whom to dial: `/ip4/0.0.0.0/tcp/9096`. The crate reads them; what
//! is judged here is whether such an address can be listened on or dialled by a server of the stack.

use multiaddr::{Error, Multiaddr, Protocol};

use super::host;

/// One multiaddress. The problem names no part of it but an unknown protocol.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err("is not a multiaddress; write one like `/ip4/0.0.0.0/tcp/9096`".to_owned());
    }
    let address: Multiaddr = text.parse().map_err(|error| unreadable(&error))?;
    let mut protocols = address.iter();
    match protocols.next() {
        // its ports are in the name's records
        Some(Protocol::Dnsaddr(name)) => return host_name(&name),
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) => {
            host_name(&name)?;
        }
        Some(Protocol::Ip4(_) | Protocol::Ip6(_)) => {}
        _ => return Err(format!("does not begin with a host; {ORDER}")),
    }
    match (protocols.next(), protocols.next()) {
        (
            Some(Protocol::Tcp(_)),
            None | Some(Protocol::Ws(_) | Protocol::Wss(_) | Protocol::P2p(_)),
        )
        | (
            Some(Protocol::Udp(_)),
            None | Some(Protocol::Quic | Protocol::QuicV1 | Protocol::P2p(_)),
        ) => Ok(()),
        (Some(Protocol::Tcp(_) | Protocol::Udp(_)), Some(other)) | (Some(other), _) => {
            Err(format!(
                "has \"{}\" in a place where it means nothing; {ORDER}",
                other.tag()
            ))
        }
        (None, _) => Err(format!("has no port after its host; {ORDER}")),
    }
}

/// Several, with commas between them.
pub(crate) fn check_list(text: &str) -> Result<(), String> {
    text.split(',').try_for_each(check)
}

/// Does every address of the list name the peer that answers there?
pub(crate) fn names_peers(list: &str) -> bool {
    all(list, |address| {
        address.iter().any(|it| matches!(it, Protocol::P2p(_)))
    })
}

/// Is every address of the list one that only the Pod itself reaches?
pub(crate) fn is_loopback(list: &str) -> bool {
    all(list, |address| match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) => {
            host::is_loopback(&name)
        }
        _ => false,
    })
}

fn all(list: &str, holds: impl Fn(Multiaddr) -> bool) -> bool {
    list.split(',').all(|text| text.parse().is_ok_and(&holds))
}

const ORDER: &str =
    "write a host, a port and what is spoken there, like `/ip4/0.0.0.0/udp/9096/quic-v1`";

fn host_name(name: &str) -> Result<(), String> {
    host::check(name).map_err(|_| format!("has no DNS name after `/dns`; {ORDER}"))
}

fn unreadable(error: &Error) -> String {
    match error {
        Error::UnknownProtocolString(word) if word.is_empty() => {
            "has two slashes in a row, or one at the end; leave the second one out".to_owned()
        }
        Error::UnknownProtocolString(word) => {
            format!("has the unknown protocol \"{word}\"; {ORDER}")
        }
        _ => format!("has a protocol without a right value after it; {ORDER}"),
    }
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
            ("/ip4/0.0.0.0/tpc/1", "unknown protocol \"tpc\""),
            ("/ip4/0.0.0.0/sctp/1", "has \"sctp\" in a place"),
            ("/ip4/0.0.0.0", "no port after its host"),
            ("/ip4/0.0.0.0.0/tcp/1", "without a right value"),
            ("/ip6/1.2.3.4/tcp/1", "without a right value"),
            ("/dns4/a b/tcp/1", "no DNS name"),
            ("/ip4/0.0.0.0/tcp", "without a right value"),
            ("/ip4/0.0.0.0/tcp/65536", "without a right value"),
            ("/ip4/0.0.0.0/tcp/1/quic", "has \"quic\" in a place"),
            ("/tcp/1", "begin with a host"),
            ("/ip4/0.0.0.0/tcp/1/p2p/x", "without a right value"),
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
