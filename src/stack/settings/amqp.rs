//! RabbitMQ's address: `amqp://user:password@host:5672/vhost`.
//!
//! Stricter than Temporal's client, which reads some mistakes (an `@` in a password) as something
//! else. No problem quotes a part of the text, since any part may be the password.

use super::host;
use crate::secret::Secret;

/// The parts of an AMQP URL, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmqpUrl {
    /// `amqps`: TLS from the first byte on.
    pub tls: bool,
    /// User and password; without them the client says `guest` and `guest`.
    pub credentials: Option<(String, Secret<String>)>,
    /// A DNS name or an address, of version 6 without its brackets.
    pub host: String,
    /// 5672 when the URL has none, with TLS 5671.
    pub port: u16,
    /// `/` when the URL has none.
    pub vhost: String,
}

impl AmqpUrl {
    /// Reads the text; the error is what is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("is not an AMQP URL; write `amqp://user:password@host:5672/`")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "amqp" => false,
            "amqps" => true,
            _ => return Err("has another scheme; write `amqp://` or `amqps://`".to_owned()),
        };
        if rest.contains(['?', '#']) {
            return Err(
                "has a query or a fragment, which nothing reads; leave it out, or write `?` in a \
                 password as `%3F` and `#` as `%23`"
                    .to_owned(),
            );
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((userinfo, place)) => (Some(credentials(userinfo)?), place),
            None => (None, authority),
        };
        let (host, port) = place_of(place, if tls { 5671 } else { 5672 })?;
        Ok(Self {
            tls,
            credentials,
            host,
            port,
            vhost: vhost(path)?,
        })
    }

    /// The text again, with all that needs it percent-encoded.
    pub fn to_url(&self) -> Secret<String> {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        let userinfo = self
            .credentials
            .as_ref()
            .map(|(user, password)| format!("{}:{}@", encode(user), encode(password.expose())));
        let userinfo = userinfo.unwrap_or_default();
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        // an empty path is the vhost `/` to every client, `%2F` only to most
        let path = if self.vhost == "/" {
            String::new()
        } else {
            encode(&self.vhost)
        };
        Secret::new(format!("{scheme}://{userinfo}{host}:{}/{path}", self.port))
    }
}

fn credentials(userinfo: &str) -> Result<(String, Secret<String>), String> {
    let (user, password) = userinfo
        .split_once(':')
        .ok_or("has a user without a password; write `user:password@`")?;
    let decoded = |text: &str| {
        decode(text).ok_or_else(|| {
            "has a user or password with characters that must be percent-encoded, like `%40` for `@`"
                .to_owned()
        })
    };
    let (user, password) = (decoded(user)?, decoded(password)?);
    if user.is_empty() || password.is_empty() {
        return Err("has an empty user or password; write both, or neither and no `@`".to_owned());
    }
    Ok((user, Secret::new(password)))
}

/// `host[:port]` → both.
fn place_of(place: &str, standard: u16) -> Result<(String, u16), String> {
    let (host, port) = match host::split_port(place) {
        Ok((host, port)) => (
            host,
            host::port(port).ok_or("has a port that is not a number from 1 to 65535")?,
        ),
        Err(_) => (place, standard),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let bracketed = bare.is_some();
    let host = bare.unwrap_or(host);
    if host::check(host).is_err() || host.contains(':') != bracketed {
        return Err("has something else than one host; write a DNS name or an address".to_owned());
    }
    Ok((host.to_owned(), port))
}

fn vhost(path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Ok("/".to_owned());
    }
    decode(path).ok_or_else(|| {
        "has a vhost with characters that must be percent-encoded, like `%2F` for `/`".to_owned()
    })
}

/// What may stand in a user, a password or a vhost as it is (RFC 3986: unreserved, sub-delims, `:`).
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:".contains(&byte)
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            byte if is_plain(byte) => byte,
            _ => return None,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

/// More than the RFC asks for: what is not a letter, a digit or one of `-._~` is encoded.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(host: &str, port: u16) -> AmqpUrl {
        AmqpUrl {
            tls: false,
            credentials: None,
            host: host.to_owned(),
            port,
            vhost: "/".to_owned(),
        }
    }

    #[test]
    fn parts_are_read() {
        assert_eq!(
            AmqpUrl::parse("amqp://127.0.0.1:5672/"),
            Ok(url("127.0.0.1", 5672))
        );
        assert_eq!(AmqpUrl::parse("amqp://rabbitmq"), Ok(url("rabbitmq", 5672)));
        assert_eq!(AmqpUrl::parse("AMQP://[::1]:1/"), Ok(url("::1", 1)));
        let full = AmqpUrl {
            tls: true,
            credentials: Some(("al".to_owned(), "p@s:s".into())),
            vhost: "a/b".to_owned(),
            ..url("mq.example.com", 5671)
        };
        assert_eq!(
            AmqpUrl::parse("amqps://al:p%40s:s@mq.example.com/a%2fb"),
            Ok(full)
        );
    }

    #[test]
    fn problems_say_what_to_write() {
        for (bad, remedy) in [
            ("127.0.0.1:5672", "write `amqp://user:password@host:5672/`"),
            ("http://mq/", "write `amqp://` or `amqps://`"),
            ("amqp://mq/?heartbeat=1", "leave it out"),
            ("amqp://a:hunter2#@mq/", "as `%23`"),
            ("amqp://a:hunter2@b@mq/", "percent-encoded"),
            ("amqp://a:hunter2%4@mq/", "percent-encoded"),
            ("amqp://a:hunter2%ff@mq/", "percent-encoded"),
            ("amqp://hunter2@mq/", "`user:password@`"),
            ("amqp://a:@mq/", "write both"),
            ("amqp://a:hunter2@/", "one host"),
            ("amqp://fd00::1/", "one host"),
            ("amqp://[mq]/", "one host"),
            ("amqp://mq:0/", "from 1 to 65535"),
            ("amqp://mq:/", "from 1 to 65535"),
            ("amqp://mq/a/b", "`%2F`"),
        ] {
            let problem = AmqpUrl::parse(bad).unwrap_err();
            assert!(problem.contains(remedy), "{bad}: {problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(user in ".+", password in ".+", vhost in ".+", tls: bool) {
            let url = AmqpUrl {
                tls,
                credentials: Some((user, Secret::new(password))),
                vhost,
                ..url("fd00::1", 7)
            };
            prop_assert_eq!(AmqpUrl::parse(url.to_url().expose()), Ok(url));
        }
    }
}
