//! A certificate authority of our own, made anew in every run, and the servers' certificate.

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// The authority that signed the certificate every server has, and that certificate with its key.
pub struct Authority {
    certificate: String,
    server_certificate: String,
    server_key: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// An authority and a certificate for `localhost` and 127.0.0.1, both valid for years: a run
    /// lasts minutes.
    ///
    /// # Errors
    /// When the keys cannot be made.
    pub fn create() -> Result<Authority> {
        create().context("cannot make certificates")
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// The servers' certificate, PEM.
    pub(super) fn server_certificate(&self) -> &str {
        &self.server_certificate
    }

    /// The key of the servers' certificate, PEM.
    pub(super) fn server_key(&self) -> &str {
        &self.server_key
    }
}

fn create() -> Result<Authority, rcgen::Error> {
    let mut ca = CertificateParams::new(Vec::<String>::new())?;
    ca.distinguished_name
        .push(DnType::CommonName, "Restore Proof local authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    let certificate = ca.self_signed(&ca_key)?.pem();

    // An IP address among the names becomes an IP entry of the certificate.
    let mut server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    server
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let server_key = KeyPair::generate()?;
    let signed = server.signed_by(&server_key, &Issuer::new(ca, ca_key))?;
    Ok(Authority {
        certificate,
        server_certificate: signed.pem(),
        server_key: server_key.serialize_pem(),
    })
}
