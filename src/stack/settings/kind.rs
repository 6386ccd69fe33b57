//! What a value can be, and whether a text is one.

use super::amqp::AmqpUrl;
use super::{host, multiaddress};

/// What a variable holds. An empty text is none of these: what it means is the program's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything.
    Text,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// Yes or no, as Go reads it.
    Bool,
    /// A whole number, not below zero.
    Number,
    /// A whole number that may have a sign.
    Integer,
    /// A time as Go writes it, like `15s`.
    Duration,
    /// A DNS name or an address.
    Host,
    /// A number from 1 to 65535.
    Port,
    /// `host:port`.
    Address,
    /// A path in the container, from the root.
    Path,
    /// Texts with commas between them.
    List,
    /// Pairs `user:password` with commas between them.
    Credentials,
    /// 32 bytes as 64 hexadecimal digits.
    Hex32,
    /// RabbitMQ's address, an [`AmqpUrl`].
    Amqp,
    /// One multiaddress.
    Multiaddress,
    /// Multiaddresses with commas between them.
    Multiaddresses,
}

impl Kind {
    /// Is the text one? The error is what is wrong and what to write. It does not quote the text, which
    /// may be a password, nor a part of it but the name of an unknown protocol in a multiaddress.
    pub fn check(self, text: &str) -> Result<(), String> {
        let must =
            |holds: bool, problem: &str| holds.then_some(()).ok_or_else(|| problem.to_owned());
        if text.contains('\0') {
            return Err("has a NUL, which no variable can hold; leave it out".to_owned());
        }
        match self {
            Self::Text => Ok(()),
            Self::Choice(words) => must(
                words.contains(&text),
                &format!(
                    "is not one of the words that can be used; write `{}`",
                    words.join("` or `")
                ),
            ),
            Self::Bool => must(is_bool(text), "is not a yes or no; write `true` or `false`"),
            Self::Number => must(
                is_digits(text) && text.parse::<i64>().is_ok(),
                "is not a number; write digits alone",
            ),
            Self::Integer => must(
                is_digits(text.strip_prefix('-').unwrap_or(text)) && text.parse::<i32>().is_ok(),
                "is not a number; write digits, and `-` before them if it is below zero",
            ),
            Self::Duration => must(
                is_duration(text),
                "is not a time; write one like `15s` or `2m30s`",
            ),
            Self::Host => Ok(host::check(text)?),
            Self::Port => Ok(host::check_port(text)?),
            Self::Address => Ok(host::check_with_port(text)?),
            Self::Path => must(
                text.starts_with('/'),
                "is not a path from the root; write one that begins with `/`",
            ),
            Self::List => must(
                !text.split(',').any(str::is_empty),
                "has an empty entry; write one comma between two entries",
            ),
            Self::Credentials => must(
                text.split(',').all(is_credential),
                "is not a list of users and passwords; write `user:password`, with commas between",
            ),
            Self::Hex32 => must(
                text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "is not 32 bytes in hexadecimal; write 64 hexadecimal digits, or leave it out",
            ),
            Self::Amqp => {
                AmqpUrl::parse(text)?;
                Ok(())
            }
            Self::Multiaddress => multiaddress::check(text),
            Self::Multiaddresses => multiaddress::check_list(text),
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The words of Go's `strconv.ParseBool`.
fn is_bool(text: &str) -> bool {
    matches!(
        text,
        "1" | "t" | "T" | "true" | "TRUE" | "True" | "0" | "f" | "F" | "false" | "FALSE" | "False"
    )
}

fn is_credential(pair: &str) -> bool {
    pair.split_once(':')
        .is_some_and(|(user, password)| !user.is_empty() && !password.is_empty())
}

/// Numbers with units, the units of Go's `time.ParseDuration`; no sign and no bare zero, since none
/// of the settings has a use for them.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let unitless = rest.trim_start_matches(is_number);
        let digits = rest.strip_suffix(unitless).unwrap_or_default();
        // `ms` before `m`
        let unit = ["ns", "us", "ms", "s", "m", "h"]
            .into_iter()
            .find_map(|unit| unitless.strip_prefix(unit));
        match unit {
            Some(left) if digits.parse::<f64>().is_ok() => rest = left,
            _ => return false,
        }
    }
    !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_values() {
        for (kind, text) in [
            (Kind::Text, " anything\n"),
            (Kind::Choice(&["crdt", "raft"]), "raft"),
            (Kind::Bool, "True"),
            (Kind::Number, "0"),
            (Kind::Integer, "-1"),
            (Kind::Integer, "3"),
            (Kind::Duration, "1h2m3.5s"),
            (Kind::Duration, "20ms"),
            (Kind::Host, "postgres"),
            (Kind::Port, "5432"),
            (Kind::Address, "krab:10000"),
            (Kind::Path, "/tmp"),
            (Kind::List, "a,b"),
            (Kind::Credentials, "al:a:b,bo:c"),
            (Kind::Hex32, &"0aF9".repeat(16)),
            (Kind::Amqp, "amqp://mq/"),
            (Kind::Multiaddress, "/ip4/127.0.0.1/tcp/5001"),
            (Kind::Multiaddresses, "/ip4/0.0.0.0/tcp/1,/ip6/::/tcp/1"),
        ] {
            assert_eq!(kind.check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn bad_values() {
        for (kind, text) in [
            (Kind::Text, "a\0b"),
            (Kind::Choice(&["crdt", "raft"]), "Raft"),
            (Kind::Bool, "yes"),
            (Kind::Number, "-1"),
            (Kind::Number, "1.5"),
            (Kind::Number, "99999999999999999999"),
            (Kind::Integer, "+1"),
            (Kind::Integer, "--1"),
            (Kind::Integer, "-"),
            (Kind::Duration, "15"),
            (Kind::Duration, "s"),
            (Kind::Duration, "1.2.3s"),
            (Kind::Duration, "1d"),
            (Kind::Host, "http://a"),
            (Kind::Port, "http"),
            (Kind::Address, "krab"),
            (Kind::Path, "api.cert"),
            (Kind::List, "a,,b"),
            (Kind::Credentials, "al"),
            (Kind::Credentials, "al:a,bo:"),
            (Kind::Hex32, "00"),
            (Kind::Hex32, &"0g".repeat(32)),
            (Kind::Amqp, "mq"),
            (Kind::Multiaddress, "/ip4/0.0.0.0/tcp/1,/ip6/::/tcp/1"),
            (Kind::Multiaddresses, "0.0.0.0"),
        ] {
            let problem = kind.check(text).unwrap_err();
            assert!(
                problem.contains("write ") || problem.contains("leave "),
                "{problem}"
            );
        }
    }
}
