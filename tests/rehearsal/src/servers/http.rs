//! The little HTTP that the servers' own interfaces need: one request, one answer, no more.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may be silent.
const LIMIT: Duration = Duration::from_secs(10);

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Sends a request without a body to a port of this machine. `authorization` is the whole value of
/// that header.
pub fn ask(port: u16, method: &str, path: &str, authorization: Option<&str>) -> io::Result<Answer> {
    let address = (Ipv4Addr::LOCALHOST, port).into();
    ask_at(address, method, path, authorization)
}

/// Sends it to any address. An old version of the protocol spares both sides the chunks.
pub fn ask_at(
    address: SocketAddr,
    method: &str,
    path: &str,
    authorization: Option<&str>,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let authorization =
        authorization.map_or_else(String::new, |value| format!("Authorization: {value}\r\n"));
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\n{authorization}Content-Length: 0\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_answer_without_a_status_is_none() {
        assert_eq!(
            parse("HTTP/1.0 204 No Content\r\nA: b\r\n\r\n")
                .unwrap()
                .status,
            204
        );
        assert_eq!(parse("HTTP/1.0 200 OK\r\n\r\n{}").unwrap().body, "{}");
        assert!(parse("").is_none());
        assert!(parse("HTTP/1.0 OK\r\n\r\n").is_none());
    }
}
