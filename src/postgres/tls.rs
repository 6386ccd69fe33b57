//! TLS to PostgreSQL: encrypted, and with nobody but a server of the name that was asked for, by the word of an authority
//! that its provider named. The Temporal server asks for the same.
#![expect(
    clippy::disallowed_methods,
    reason = "whether a certificate is still valid is a question of the clock"
)]

use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError, ClientConfig, RootCertStore, crypto};
use tokio_postgres_rustls::MakeRustlsConnect;
use x509_cert::Certificate;
use x509_cert::der::{DateTime, Decode as _};

use crate::temporal::Authority;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the server cannot be told from an impostor")]
    Distrusted(Distrust),
    #[error("it is not offered")]
    NotOffered,
    #[error("shake hands")]
    Handshake(#[source] rustls::Error),
}

impl Failure {
    /// What TLS has to do with the failure of a log-in, if anything.
    pub(super) fn of(error: &tokio_postgres::Error) -> Option<Self> {
        let source = error.source()?;
        let Some(source) = source.downcast_ref::<io::Error>() else {
            // the library has no type for it
            let refused = source.to_string() == "server does not support TLS";
            return refused.then_some(Self::NotOffered);
        };
        match source.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(why) => Some(Self::Distrusted(why.into())),
            other => Some(Self::Handshake(other.clone())),
        }
    }

    /// The same at a place, for a person.
    pub(super) fn words(&self, place: &str) -> String {
        match self {
            Self::Distrusted(why) => why.words(place),
            Self::NotOffered => format!("{place} does not offer TLS, though its provider says so"),
            Self::Handshake(why) => format!("{place} does not agree on TLS: {why}"),
        }
    }
}

/// Why a server cannot be told from an impostor. Its texts come from certificates, which are no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// What should be the authority's certificates cannot be read; why not.
    Unreadable(String),
    /// The certificates of the authority ended; the last of them then.
    AuthorityEnded(String),
    /// The authority did not issue the server's certificate.
    Stranger,
    /// The server's certificate has other names.
    OtherNames {
        /// The name that was asked for.
        asked: String,
        /// The names that the certificate has.
        has: Vec<String>,
    },
    /// The server's certificate ended then.
    Ended(String),
    /// The server's certificate begins then.
    Begins(String),
    /// The server's certificate will not do; why not.
    Unfit(String),
}

impl Distrust {
    /// What is wrong at a place, for a person.
    pub fn words(&self, place: &str) -> String {
        match self {
            Self::Unreadable(why) => format!("the CA for {place} cannot be read: {why}"),
            Self::AuthorityEnded(when) => format!("the CA for {place} expired on {when}"),
            Self::Stranger => {
                format!(
                    "the certificate of {place} was not issued by the CA that its provider names"
                )
            }
            Self::OtherNames { asked, has } if has.is_empty() => {
                format!("the certificate of {place} has no names, so not `{asked}` either")
            }
            Self::OtherNames { asked, has } => format!(
                "the certificate of {place} is for {}, not for `{asked}`",
                has.join(", ")
            ),
            Self::Ended(when) => format!("the certificate of {place} expired on {when}"),
            Self::Begins(when) => format!("the certificate of {place} is not valid before {when}"),
            Self::Unfit(why) => format!("the certificate of {place} will not do: {why}"),
        }
    }
}

impl From<&CertificateError> for Distrust {
    fn from(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Stranger,
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => Self::OtherNames {
                asked: expected.to_str().into_owned(),
                has: presented.iter().map(|name| bare(name)).collect(),
            },
            CertificateError::ExpiredContext { not_after, .. } => {
                Self::Ended(date(not_after.as_secs()))
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::Begins(date(not_before.as_secs()))
            }
            other => Self::Unfit(other.to_string()),
        }
    }
}

/// The name in what the library calls `DnsName("…")` and `IpAddress(…)`.
fn bare(name: &str) -> String {
    let inner = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    let inner = inner.unwrap_or(name).trim_matches('"');
    // it has ways of its own to write addresses
    let address = inner.parse::<IpAddr>();
    address.map_or_else(|_| inner.to_owned(), |address| address.to_string())
}

/// A second since 1970 as ISO 8601 has it.
fn date(second: u64) -> String {
    DateTime::from_unix_duration(Duration::from_secs(second)).map_or_else(
        |_| "a day out of all calendars".to_owned(),
        |date| date.to_string(),
    )
}

/// What connects with servers that the authority vouches for. Certificates of its that have ended count for nothing:
/// so it is with the Temporal server.
pub(super) fn connector(authority: &Authority) -> Result<MakeRustlsConnect, Failure> {
    let mut roots = RootCertStore::empty();
    let mut ended = None;
    for certificate in CertificateDer::pem_slice_iter(authority.as_str().as_bytes()) {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        match end(&certificate) {
            Some(end) if end.to_system_time() < SystemTime::now() => {
                ended = ended.max(Some(end));
            }
            Some(_) | None => roots.add(certificate).map_err(|error| unreadable(&error))?,
        }
    }
    if roots.is_empty() {
        return Err(Failure::Distrusted(match ended {
            Some(end) => Distrust::AuthorityEnded(end.to_string()),
            None => Distrust::Unreadable("there is no certificate in it".to_owned()),
        }));
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Failure::Handshake)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn unreadable(error: &impl ToString) -> Failure {
    Failure::Distrusted(Distrust::Unreadable(error.to_string()))
}

/// When a certificate ends, if it says so.
fn end(certificate: &CertificateDer<'_>) -> Option<DateTime> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(
        certificate
            .tbs_certificate
            .validity
            .not_after
            .to_date_time(),
    )
}
