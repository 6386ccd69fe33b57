//! Certificates for servers, and the authorities that issue them, made anew without a program of the machine.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// When something is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Valid {
    /// Now, and for as long as anybody looks.
    Now,
    /// Until the end of 2020.
    Until2020,
    /// From the beginning of 2090.
    From2090,
}

impl Valid {
    fn put(self, params: &mut CertificateParams) {
        match self {
            Self::Now => {}
            Self::Until2020 => params.not_after = date_time_ymd(2020, 12, 31),
            Self::From2090 => params.not_before = date_time_ymd(2090, 1, 1),
        }
    }
}

/// An authority. Its key is kept nowhere.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A server's certificate with its key, both as PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// What everybody may see.
    pub certificate: String,
    /// What only the server may see.
    pub key: String,
}

impl Authority {
    /// An authority with a name, which need not be its alone.
    pub fn new(name: &str, valid: Valid) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid.put(&mut params);
        CertifiedIssuer::self_signed(params, KeyPair::generate()?).map(Self)
    }

    /// Its own certificate, as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a server with these names and addresses; `title` counts for nothing.
    pub fn issue(
        &self,
        title: &str,
        names: &[&str],
        valid: Valid,
    ) -> Result<Certificate, rcgen::Error> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, title);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        valid.put(&mut params);
        let key = KeyPair::generate()?;
        Ok(Certificate {
            certificate: params.signed_by(&key, &self.0)?.pem(),
            key: key.serialize_pem(),
        })
    }
}
