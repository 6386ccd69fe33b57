//! Loopback addresses that no other test on this machine uses at the same time.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// An address of 127.64.0.0/10 that is ours until it is dropped.
#[derive(Debug)]
pub(crate) struct Address {
    ip: Ipv4Addr,
    /// Whoever holds this port of an address owns the address.
    _claim: TcpListener,
}

/// No fake listens on it.
const CLAIM: u16 = 61_321;

impl Address {
    /// The next free one.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // test processes begin at different places, and claim what they take
        let begin = std::process::id().wrapping_mul(977);
        loop {
            let number = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % (1 << 22);
            let ip = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 64, 0, 0)) + number);
            if let Ok(claim) = TcpListener::bind((ip, CLAIM)) {
                return Self { ip, _claim: claim };
            }
        }
    }

    /// The address.
    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.ip
    }
}
