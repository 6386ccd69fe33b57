//! RabbitMQ's address: `amqp://user:password@host:5672/vhost`.
//!
//! Stricter than the crate that reads it, and than Temporal's client: both take some mistakes (an `@` in a password) for
//! something else. No problem quotes a part of the text, since any part may be the password.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::{Host, ParseError, Url};

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
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.contains(['?', '#']) {
            return Err(NO_QUERY);
        }
        let url = Url::parse(text).map_err(unreadable)?;
        if url.cannot_be_a_base() {
            return Err(NO_URL);
        }
        let tls = match url.scheme() {
            "amqp" => false,
            "amqps" => true,
            _ => return Err("has another scheme; write `amqp://` or `amqps://`"),
        };
        // others read some of them as something else, or not at all
        if !text.bytes().all(may_stand) || text.matches('@').count() > 1 {
            return Err(NOT_ENCODED);
        }
        let credentials = match (url.username(), url.password()) {
            ("", None) if !text.contains('@') => None,
            (user, Some(password)) if !user.is_empty() && !password.is_empty() => {
                Some((decode(user)?, Secret::new(decode(password)?)))
            }
            _ => return Err(HALF_A_LOGIN),
        };
        let host = match url.host() {
            Some(Host::Ipv6(ip)) => ip.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        };
        host::check(&host).map_err(|_| NO_HOST)?;
        if url.port() == Some(0) {
            return Err(NO_PORT);
        }
        let path = url.path().strip_prefix('/').unwrap_or_default();
        let vhost = match path {
            "" => "/".to_owned(),
            path if path.contains('/') => {
                return Err("has a vhost with a `/` in it; write it as `%2F`");
            }
            path => decode(path)?,
        };
        Ok(Self {
            tls,
            credentials,
            host,
            port: url.port().unwrap_or(if tls { 5671 } else { 5672 }),
            vhost,
        })
    }

    /// The text again, with all that needs it percent-encoded.
    pub fn to_url(&self) -> Secret<String> {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        let login = self.credentials.as_ref();
        let login = login
            .map(|(user, password)| format!("{}:{}@", encode(user), encode(password.expose())));
        let login = login.unwrap_or_default();
        let host = match self.host.as_str() {
            host if host.contains(':') => format!("[{host}]"),
            host => host.to_owned(),
        };
        // an empty path is the vhost `/` to every client, `%2F` only to most
        let path = match self.vhost.as_str() {
            "/" => String::new(),
            vhost => encode(vhost),
        };
        Secret::new(format!("{scheme}://{login}{host}:{}/{path}", self.port))
    }
}

const NO_URL: &str = "is not an AMQP URL; write `amqp://user:password@host:5672/`";
const NO_HOST: &str = "has something else than one host; write a DNS name or an address";
const NO_PORT: &str = "has a port that is not a number from 1 to 65535; write one, and an address that has colons itself in \
    brackets";
const NO_QUERY: &str = "has a query or a fragment, which nothing reads; leave it out, or write `?` in a password as `%3F` \
    and `#` as `%23`";
const HALF_A_LOGIN: &str = "has a user or a password without the other; write both, as `user:password@`, or neither and \
    no `@`";
const NOT_ENCODED: &str = "has characters in its user, password or vhost that must be percent-encoded, like `%40` for `@`";

fn unreadable(error: ParseError) -> &'static str {
    match error {
        ParseError::InvalidPort => NO_PORT,
        ParseError::RelativeUrlWithoutBase => NO_URL,
        _ => NO_HOST,
    }
}

/// Of what a URL is made; everything else is percent-encoded (RFC 3986).
fn may_stand(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/[]@!$&'()*+,;=%".contains(&byte)
}

fn decode(text: &str) -> Result<String, &'static str> {
    let is_hex = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) if text.split('%').skip(1).all(is_hex) => Ok(decoded.into_owned()),
        _ => Err(NOT_ENCODED),
    }
}

/// More than the RFC asks for: what is not a letter, a digit or one of `-._~` is encoded.
const ENCODE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODE).to_string()
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
            ("amqp://fd00::1/", "in brackets"),
            ("amqp://[mq]/", "one host"),
            ("amqp://mq:0/", "from 1 to 65535"),
            ("amqp://mq:http/", "from 1 to 65535"),
            ("amqp://mq/ ", "percent-encoded"),
            ("amqp:mq", "write `amqp://user:password@host:5672/`"),
            ("amqp://mq/a/b", "`%2F`"),
        ] {
            let problem = AmqpUrl::parse(bad).unwrap_err();
            assert!(problem.contains(remedy), "{bad}: {problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    proptest! {
        #[test]
        // a path of dots alone is a way up to every reader of URLs
        fn what_is_written_is_read_back(user in ".+", password in ".+", vhost in "[^.].*", tls: bool) {
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
