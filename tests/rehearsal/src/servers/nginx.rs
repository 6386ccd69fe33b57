//! A real nginx, configured from Ingress objects as the ingress-nginx controller from 1.10 on does.
//!
//! Called by the counterpart of nginx-ingress-integrator and by tests. One plain port serves
//! HTTP/1.1 and HTTP/2 with prior knowledge. All its files are below the directory it is given.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};

use super::Start;
use crate::parts::{Parts, PartsError};

/// What every annotation of the controller starts with.
const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// What stopped a step.
#[derive(Debug, thiserror::Error)]
pub enum NginxError {
    /// The program could not be had.
    #[error("get nginx ready")]
    Parts(#[from] PartsError),
    /// A name or value that the API server of Kubernetes would refuse, too.
    #[error("{what} `{value}` is not valid in an Ingress")]
    Invalid {
        /// What the value is.
        what: String,
        /// The value.
        value: String,
    },
    /// The configuration could not be written.
    #[error("write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// One Ingress with one rule, and the endpoints of the Service it points to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ingress {
    /// The host of the rule.
    pub host: String,
    /// The name of the Service.
    pub service: String,
    /// The port of the Service.
    pub service_port: u16,
    /// The addresses behind the Service, which the controller talks to directly. None: 503.
    pub endpoints: Vec<IpAddr>,
    /// Annotations with their full names. Known are `backend-protocol`, `proxy-body-size`,
    /// `proxy-read-timeout` and `proxy-send-timeout`; others change nothing here.
    pub annotations: BTreeMap<String, String>,
}

impl Ingress {
    /// Sets `backend-protocol`: `GRPC` is what Temporal needs, and its absence means HTTP/1.1.
    #[must_use]
    pub fn backend_protocol(mut self, protocol: &str) -> Self {
        self.annotations
            .insert(format!("{PREFIX}backend-protocol"), protocol.to_owned());
        self
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations
            .get(&format!("{PREFIX}{name}"))
            .map(String::as_str)
    }
}

/// An nginx whose files are laid out.
#[derive(Debug, Clone)]
pub struct Nginx {
    program: PathBuf,
    root: PathBuf,
    port: u16,
}

impl Nginx {
    /// Lays it out in the existing directory `root`, listening on `port`, without any Ingress.
    pub fn lay(parts: &Parts, root: &Path, port: u16) -> Result<Self, NginxError> {
        let nginx = Self {
            program: parts.nginx()?,
            root: root.to_owned(),
            port,
        };
        nginx.configure(&[])?;
        Ok(nginx)
    }

    /// Writes the configuration for these Ingresses; a running nginx takes it up on SIGHUP.
    pub fn configure(&self, ingresses: &[Ingress]) -> Result<(), NginxError> {
        let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        let text = configuration(ingresses, self.port, has_ipv6, &self.root)?;
        let path = self.root.join("nginx.conf");
        fs::write(&path, text).map_err(|source| NginxError::Write { path, source })
    }

    /// How to start it in the foreground, logging to stderr. SIGTERM ends it at once.
    pub fn start(&self) -> Start {
        let conf = self.root.join("nginx.conf");
        Start::new([
            self.program.clone().into_os_string(),
            "-p".into(),
            self.root.clone().into(),
            "-c".into(),
            conf.into(),
            "-e".into(),
            "stderr".into(),
        ])
    }
}

/// The text of `nginx.conf`.
///
/// The worker stays root, the one user that every user namespace has (there nginx complains that it
/// cannot set its groups, and goes on). A single process would do without, but it stops answering
/// after a SIGHUP. Unknown hosts get the controller's default backend, 404. As the controller it listens with IPv6
/// where the machine has that.
fn configuration(
    ingresses: &[Ingress],
    port: u16,
    has_ipv6: bool,
    root: &Path,
) -> Result<String, NginxError> {
    let listen = |also: &str| {
        let ipv4 = format!("listen {port}{also};");
        if has_ipv6 {
            format!("{ipv4} listen [::]:{port}{also};")
        } else {
            ipv4
        }
    };
    let root = root.display();
    let mut text = format!(
        "\
daemon off;
worker_processes 1;
user root root;
error_log stderr notice;
pid \"{root}/nginx.pid\";
events {{ worker_connections 1024; }}
http {{
    access_log off;
    server_tokens off;
    http2 on;
    keepalive_timeout 75s;
    client_body_temp_path \"{root}/client-body\";
    proxy_temp_path \"{root}/proxy\";
    fastcgi_temp_path \"{root}/fastcgi\";
    uwsgi_temp_path \"{root}/uwsgi\";
    scgi_temp_path \"{root}/scgi\";
    server {{
        {}
        server_name _;
        return 404;
    }}
",
        listen(" default_server")
    );
    for (number, ingress) in ingresses.iter().enumerate() {
        text.push_str(&server(number, ingress, &listen(""))?);
    }
    text.push_str("}\n");
    Ok(text)
}

fn server(number: usize, ingress: &Ingress, listen: &str) -> Result<String, NginxError> {
    let host = checked("host", &ingress.host)?;
    let service = checked("service", &ingress.service)?;
    let size = checked(
        "proxy-body-size",
        ingress.annotation("proxy-body-size").unwrap_or("1m"),
    )?;
    let seconds = |name| checked(name, ingress.annotation(name).unwrap_or("60"));
    let (read, send) = (
        seconds("proxy-read-timeout")?,
        seconds("proxy-send-timeout")?,
    );
    let name = format!("upstream-{number}-{service}-{}", ingress.service_port);
    let addresses = ingress
        .endpoints
        .iter()
        .map(|&address| (address, ingress.service_port));
    let servers: Vec<_> = addresses
        .map(|address| format!("server {};", std::net::SocketAddr::from(address)))
        .collect();
    let (upstream, module, pass) = if servers.is_empty() {
        (String::new(), "proxy", "return 503".to_owned())
    } else {
        // The controller takes an unknown protocol for HTTP.
        let (module, pass) = match ingress.annotation("backend-protocol") {
            Some("GRPC") => ("grpc", format!("grpc_pass grpc://{name}")),
            Some("GRPCS") => ("grpc", format!("grpc_pass grpcs://{name}")),
            Some("HTTPS") => ("proxy", format!("proxy_pass https://{name}")),
            _ => (
                "proxy",
                format!("proxy_http_version 1.1; proxy_pass http://{name}"),
            ),
        };
        let servers = servers.join(" ");
        (
            format!("upstream {name} {{ {servers} keepalive 32; }}"),
            module,
            pass,
        )
    };
    Ok(format!(
        "    \
    {upstream}
    server {{
        {listen}
        server_name {host};
        client_max_body_size {size};
        location / {{
            {module}_set_header Host $http_host;
            {module}_set_header X-Real-IP $remote_addr;
            {module}_set_header X-Forwarded-For $remote_addr;
            {module}_set_header X-Forwarded-Proto $scheme;
            {module}_connect_timeout 5s;
            {module}_read_timeout {read}s;
            {module}_send_timeout {send}s;
            {pass};
        }}
    }}
"
    ))
}

/// Lets through only what cannot change the meaning of the configuration around it.
fn checked<'a>(what: &str, value: &'a str) -> Result<&'a str, NginxError> {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b".-*".contains(&byte);
    if !value.is_empty() && value.bytes().all(harmless) {
        return Ok(value);
    }
    Err(NginxError::Invalid {
        what: what.to_owned(),
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingress() -> Ingress {
        Ingress {
            host: "temporal-k8s".to_owned(),
            service: "temporal-k8s-service".to_owned(),
            service_port: 7233,
            endpoints: vec![[10, 1, 0, 7].into(), [10, 1, 0, 8].into()],
            annotations: BTreeMap::new(),
        }
    }

    fn rendered(ingress: Ingress) -> String {
        configuration(&[ingress], 80, true, Path::new("/n")).unwrap()
    }

    #[test]
    fn without_the_annotation_the_backend_is_spoken_to_in_http() {
        let text = rendered(ingress());
        assert!(
            text.contains("proxy_pass http://upstream-0-temporal-k8s-service-7233;"),
            "{text}"
        );
        assert!(!text.contains("grpc_"), "{text}");
        assert!(
            text.contains("server 10.1.0.7:7233; server 10.1.0.8:7233;"),
            "{text}"
        );
    }

    #[test]
    fn grpc_is_passed_on_as_grpc() {
        let text = rendered(ingress().backend_protocol("GRPC"));
        assert!(
            text.contains("grpc_pass grpc://upstream-0-temporal-k8s-service-7233;"),
            "{text}"
        );
        assert!(!text.contains("proxy_pass"), "{text}");
    }

    #[test]
    fn a_service_without_endpoints_is_unavailable() {
        let text = rendered(Ingress {
            endpoints: Vec::new(),
            ..ingress()
        });
        assert!(
            text.contains("return 503;") && !text.contains("upstream-"),
            "{text}"
        );
    }

    #[test]
    fn a_host_cannot_smuggle_configuration_in() {
        for host in ["", "a b", "x; } server { listen 81;", "a\nb", "ü"] {
            let ingress = Ingress {
                host: host.to_owned(),
                ..ingress()
            };
            let refused = configuration(&[ingress], 80, true, Path::new("/n")).unwrap_err();
            assert!(matches!(refused, NginxError::Invalid { .. }), "{host:?}");
        }
    }
}
