//! The files in `/etc` by which programs find users, hosts and name servers.

use std::net::IpAddr;
use std::path::Path;

use super::Error;
use super::mounts::{Root, write};

/// What the pieces of `/etc` in a pod tell.
#[derive(Debug, Clone)]
pub(super) struct Etc {
    /// The pod's name, which is its host name.
    pub(super) host: String,
    pub(super) ip: IpAddr,
    pub(super) app: String,
    pub(super) model: String,
    pub(super) dns: Dns,
}

/// What a cluster tells its pods of names.
#[derive(Debug, Clone)]
pub(super) struct Dns {
    /// The name server's address.
    pub(super) server: IpAddr,
    /// The cluster's domain.
    pub(super) domain: String,
    /// The resolver's options.
    pub(super) options: String,
}

impl Dns {
    /// What a cluster tells that nobody has configured.
    pub(super) fn new(server: IpAddr) -> Self {
        Self {
            server,
            domain: "cluster.local".to_owned(),
            options: "ndots:5".to_owned(),
        }
    }
}

impl Etc {
    /// The name of all pods of the application, below which each has its own.
    pub(super) fn domain(&self) -> String {
        let Self {
            app, model, dns, ..
        } = self;
        format!("{app}-endpoints.{model}.svc.{}", dns.domain)
    }

    fn files(&self) -> [(&'static str, String); 6] {
        let Self {
            host,
            ip,
            model,
            dns,
            ..
        } = self;
        let Dns {
            server,
            domain: cluster,
            options,
        } = dns;
        let domain = self.domain();
        [
            (
                "/etc/hosts",
                format!("127.0.0.1 localhost\n::1 localhost\n{ip} {host}.{domain} {host}\n"),
            ),
            ("/etc/hostname", format!("{host}\n")),
            (
                "/etc/resolv.conf",
                format!(
                    "search {model}.svc.{cluster} svc.{cluster} {cluster}\n\
                     nameserver {server}\noptions {options}\n"
                ),
            ),
            (
                "/etc/nsswitch.conf",
                "passwd: files\ngroup: files\nhosts: files dns\n".to_owned(),
            ),
            (
                "/etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\n\
                 user:x:1000:1000:user:/tmp:/bin/sh\n\
                 nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
                    .to_owned(),
            ),
            (
                "/etc/group",
                "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n".to_owned(),
            ),
        ]
    }

    /// Writes them into a container's root.
    pub(super) fn write_to(&self, root: &Root) -> Result<(), Error> {
        self.files()
            .iter()
            .try_for_each(|(path, text)| root.file(path, text.as_bytes(), 0o644))
    }

    /// Writes them into the `/etc` that the calling thread sees.
    pub(super) fn write_here(&self) -> Result<(), Error> {
        self.files()
            .iter()
            .try_for_each(|(path, text)| write(Path::new(path), text.as_bytes(), 0o644))
    }
}
