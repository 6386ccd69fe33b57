//! Passwords, keys and certificates: how each is made.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use libp2p_identity::Keypair;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};
use rsa::PrivateKey;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};

use super::{Error, Make, Random, Source, Values, known};
use crate::secret::Secret;

/// A value that serves for ever.
fn made(make: impl Fn(&Values, &mut Random) -> Result<Secret<String>, Error> + 'static) -> Source {
    Source::Made(Box::new(make), Box::new(|_, _| true))
}

/// A password: 32 random bytes as hex digits, which need no quoting anywhere.
pub fn random_hex() -> Source {
    made(|_, random| Ok(Secret::new(to_hex(&bytes::<32>(random)?))))
}

/// So many random bytes.
pub(crate) fn bytes<const N: usize>(random: &mut Random) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    random.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}

/// Two digits for each byte.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // writing to a string cannot fail
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// A libp2p private key as IPFS Cluster takes it in `CLUSTER_PRIVATEKEY`.
pub fn peer_key() -> Source {
    made(|_, random| {
        let seed = bytes::<32>(random)?;
        let failed = |error| Error(format!("make a key for a peer: {error}"));
        let pair = Keypair::ed25519_from_bytes(seed).map_err(failed)?;
        let message = pair.to_protobuf_encoding().map_err(failed)?;
        Ok(Secret::new(BASE64.encode(message)))
    })
}

/// The peer's name that goes with a [`peer_key`]. Empty for what is no key.
pub fn peer_id(private_key: &str) -> String {
    let message = BASE64.decode(private_key).unwrap_or_default();
    let pair = Keypair::from_protobuf_encoding(&message);
    pair.map(|pair| pair.public().to_peer_id().to_string())
        .unwrap_or_default()
}

/// A private key for the API's certificate: RSA, since below TLS 1.3 the API offers nothing else. One of another kind,
/// as we made them once, gives way.
pub fn tls_key() -> Source {
    let make: Box<Make> = Box::new(|_, random| {
        let key = PrivateKey::new(random, 2048).map_err(no_certificate)?;
        let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(no_certificate)?;
        Ok(Secret::new(pem.as_str().to_owned()))
    });
    let serves = |_: &Values, key: &str| PrivateKey::from_pkcs8_pem(key).is_ok();
    Source::Made(make, Box::new(serves))
}

fn no_certificate(error: impl fmt::Display) -> Error {
    Error(format!("make a certificate for the API: {error}"))
}

/// A certificate for the [`tls_key`] in another key of `secret`, signed by itself, for these names. It is kept
/// for as long as the key is, so it does not end within the life of a cluster.
pub fn certificate(secret: &'static str, key: &'static str, names: Vec<String>) -> Source {
    let pair = move |values: &Values| KeyPair::from_pem(known(values, secret, key));
    let is_for = |pair: &KeyPair, certificate: &str| {
        let key = pair.subject_public_key_info();
        pem_bytes(certificate)
            .windows(key.len())
            .any(|part| part == key)
    };
    let make: Box<Make> = Box::new(move |values, _| {
        let pair = pair(values).map_err(no_certificate)?;
        let mut params = CertificateParams::new(names.clone()).map_err(no_certificate)?;
        let mut subject = DistinguishedName::new();
        subject.push(
            DnType::CommonName,
            names.first().cloned().unwrap_or_default(),
        );
        params.distinguished_name = subject;
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2099, 12, 31);
        let certificate = params.self_signed(&pair).map_err(no_certificate)?;
        Ok(Secret::new(certificate.pem()))
    });
    let serves = move |values: &Values, certificate: &str| {
        pair(values).is_ok_and(|pair| is_for(&pair, certificate))
    };
    Source::Made(make, Box::new(serves))
}

/// What stands between the two lines of a PEM text.
fn pem_bytes(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    BASE64.decode(lines.collect::<String>()).unwrap_or_default()
}
