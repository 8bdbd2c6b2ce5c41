//! A certificate authority of our own, made anew in every run, and the servers' certificate.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// All PEM.
pub(super) struct Authority {
    pub ca_certificate: String,
    pub server_certificate: String,
    pub server_key: String,
}

/// An authority and a certificate for `localhost` and 127.0.0.1, both valid for years: a run lasts minutes.
pub(super) fn create() -> Result<Authority, rcgen::Error> {
    let mut ca = CertificateParams::new(Vec::<String>::new())?;
    ca.distinguished_name
        .push(DnType::CommonName, "Restore Proof local authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    let ca_certificate = ca.self_signed(&ca_key)?.pem();

    // An IP address among the names becomes an IP entry of the certificate.
    let mut server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    server
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let server_key = KeyPair::generate()?;
    let certificate = server.signed_by(&server_key, &Issuer::new(ca, ca_key))?;
    Ok(Authority {
        ca_certificate,
        server_certificate: certificate.pem(),
        server_key: server_key.serialize_pem(),
    })
}
