//! The cluster's name server: answers for the names of pods and Services as Kubernetes does, and
//! denies every other name at once. Pods find it through their `/etc/resolv.conf`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::runtime::Handle;

use super::Error;

/// Pods come and go: nobody shall remember an answer.
const LIFETIME: u32 = 0;

/// Names and their addresses, shared with the server.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    table: Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>,
    silent: Arc<AtomicBool>,
}

impl Names {
    pub(super) fn add(&self, name: &str, ip: IpAddr) {
        self.table()
            .entry(name.to_ascii_lowercase())
            .or_default()
            .push(ip);
    }

    pub(super) fn remove(&self, name: &str, ip: IpAddr) {
        let mut table = self.table();
        if let Some(addresses) = table.get_mut(&name.to_ascii_lowercase()) {
            addresses.retain(|address| *address != ip);
        }
        table.retain(|_, addresses| !addresses.is_empty());
    }

    pub(super) fn forget(&self, name: &str) {
        self.table().remove(&name.to_ascii_lowercase());
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Vec<IpAddr>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops every question, or answers again.
    pub(super) fn silence(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
    }

    /// Starts to serve at this address.
    pub(super) fn serve(&self, address: IpAddr, runtime: &Handle) -> Result<(), Error> {
        let address = SocketAddr::new(address, 53);
        let socket = UdpSocket::bind(address)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .map_err(|source| Error::Listen { address, source })?;
        let names = self.clone();
        runtime.spawn(async move {
            let Ok(socket) = tokio::net::UdpSocket::from_std(socket) else {
                return;
            };
            let mut query = [0; 4096];
            loop {
                // An error here belongs to an answer whose receiver has gone.
                let Ok((length, client)) = socket.recv_from(&mut query).await else {
                    continue;
                };
                let Some(query) = query.get(..length) else {
                    continue;
                };
                if names.silent.load(Ordering::Relaxed) {
                    continue;
                }
                if let Some(answer) = names.answer(query) {
                    drop(socket.send_to(&answer, client).await);
                }
            }
        });
        Ok(())
    }

    /// The answer to a query; none to what is no query.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let query = Packet::parse(query).ok()?;
        let question = query.questions.first()?.clone();
        let table = self.table();
        let found = table.get(&question.qname.to_string().to_ascii_lowercase());
        let mut reply = Packet::new_reply(query.id());
        reply.set_flags(
            PacketFlag::AUTHORITATIVE_ANSWER
                | PacketFlag::RECURSION_DESIRED
                | PacketFlag::RECURSION_AVAILABLE,
        );
        if found.is_none() {
            *reply.rcode_mut() = RCODE::NameError;
        }
        let wanted = found
            .into_iter()
            .flatten()
            .filter(|ip| match question.qtype {
                QTYPE::TYPE(TYPE::A) => ip.is_ipv4(),
                QTYPE::TYPE(TYPE::AAAA) => ip.is_ipv6(),
                _ => false,
            });
        reply.answers = wanted
            .map(|ip| {
                let data = match ip {
                    IpAddr::V4(ip) => RData::A(A {
                        address: (*ip).into(),
                    }),
                    IpAddr::V6(ip) => RData::AAAA(AAAA {
                        address: (*ip).into(),
                    }),
                };
                ResourceRecord::new(question.qname.clone(), CLASS::IN, LIFETIME, data)
            })
            .collect();
        reply.questions.push(question);
        reply.build_bytes_vec().ok()
    }
}

#[cfg(test)]
mod tests {
    use simple_dns::{CLASS, Name, Packet, QCLASS, QTYPE, Question, RCODE, TYPE};

    use super::Names;

    fn ask(names: &Names, name: &str, kind: TYPE) -> (RCODE, usize) {
        let mut query = Packet::new_query(7);
        query.questions.push(Question::new(
            Name::new(name).unwrap(),
            QTYPE::TYPE(kind),
            QCLASS::CLASS(CLASS::IN),
            false,
        ));
        let reply = names.answer(&query.build_bytes_vec().unwrap()).unwrap();
        let reply = Packet::parse(&reply).unwrap();
        assert_eq!(reply.id(), 7);
        (reply.rcode(), reply.answers.len())
    }

    #[test]
    fn a_known_name_has_addresses_and_no_others_exist() {
        let names = Names::default();
        names.add("Web.model.svc.cluster.local", [10, 1, 0, 10].into());
        names.add("web.model.svc.cluster.local", [10, 1, 0, 11].into());
        let known = "web.MODEL.svc.cluster.local";
        assert_eq!(ask(&names, known, TYPE::A), (RCODE::NoError, 2));
        assert_eq!(ask(&names, known, TYPE::AAAA), (RCODE::NoError, 0));
        assert_eq!(ask(&names, "example.com", TYPE::A), (RCODE::NameError, 0));
        names.remove("web.model.svc.cluster.local", [10, 1, 0, 10].into());
        names.remove("web.model.svc.cluster.local", [10, 1, 0, 11].into());
        assert_eq!(ask(&names, known, TYPE::A), (RCODE::NameError, 0));
        assert!(names.answer(b"noise").is_none());
    }
}
