use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rehearsal::parts::Parts;
use rehearsal::servers::nginx::{Ingress, Nginx};

use super::running::{Running, free_port, listens};

/// Sends bytes and reads until the peer closes or has nothing more to say.
fn exchange(port: u16, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = stream.read(&mut buffer)
        && count > 0
    {
        answer.extend_from_slice(&buffer[..count]);
    }
    answer
}

fn get(port: u16, host: &str) -> String {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    String::from_utf8_lossy(&exchange(port, request.as_bytes())).into_owned()
}

/// A backend that answers one HTTP/1.1 request with the first line it was sent.
fn backend() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).unwrap();
        let first = String::from_utf8_lossy(&buffer[..count])
            .lines()
            .next()
            .unwrap()
            .to_owned();
        let length = first.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{first}"
        )
        .unwrap();
    });
    port
}

#[test]
fn one_plain_port_serves_both_protocols_and_follows_its_ingresses() {
    let root = tempfile::tempdir().unwrap();
    let port = free_port();
    let nginx = Nginx::lay(&Parts::locate().unwrap(), root.path(), port).unwrap();
    let running = Running::start(&nginx.start(), Signal::SIGTERM);
    listens(port, Duration::from_secs(10));
    assert!(get(port, "temporal-k8s").starts_with("HTTP/1.1 404 "));

    let ingress = Ingress {
        host: "temporal-k8s".to_owned(),
        service: "temporal-k8s-service".to_owned(),
        service_port: backend(),
        endpoints: vec![Ipv4Addr::LOCALHOST.into()],
        ..Ingress::default()
    };
    nginx.configure(std::slice::from_ref(&ingress)).unwrap();
    running.signal(Signal::SIGHUP);
    let started = Instant::now();
    let answer = loop {
        let answer = get(port, "temporal-k8s");
        if answer.starts_with("HTTP/1.1 200 ") {
            break answer;
        }
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "not taken up: {answer}"
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(answer.ends_with("GET / HTTP/1.1"), "{answer}");
    assert!(get(port, "another-host").starts_with("HTTP/1.1 404 "));

    // Prior knowledge: the preface and an empty SETTINGS frame; the server's own SETTINGS come
    // back, a frame of type 4 on stream 0.
    let answer = exchange(
        port,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    );
    assert_eq!(
        answer.get(3..9),
        Some(&[4, 0, 0, 0, 0, 0][..]),
        "{answer:?}"
    );
}
