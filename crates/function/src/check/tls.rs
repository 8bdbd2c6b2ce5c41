//! Connections to what was restored: encrypted, with certificates verified, unless the policy says otherwise.

use std::borrow::Cow;
use std::sync::Arc;

use restore_proof_core::policy::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Amazon RDS's root certificates of all Regions (AWS's "global bundle", as of 2026).
const RDS_ROOT_CERTIFICATES: &[u8] = include_bytes!("../../rds-root-certificates.pem");

/// By whose certificates servers are verified.
#[derive(Clone, Debug)]
pub enum Certificates {
    /// Databases by those of Amazon RDS, web servers by the public ones.
    BuiltIn,
    /// Databases by those of this PEM file alone; web servers by them and by the public ones.
    Pem(Vec<u8>),
}

/// How to connect to databases.
#[derive(Clone)]
pub(super) enum Connector {
    /// Encrypted.
    Tls {
        /// For clients that take the library's own settings.
        config: Arc<ClientConfig>,
        /// For clients that make their own: the root certificates (PEM); none when no certificate is verified.
        roots: Option<Cow<'static, [u8]>>,
    },
    /// Not encrypted, as the policy wishes.
    Plain,
}

/// The connector to databases.
///
/// # Errors
/// What is wrong with the certificates; continues "the bundle …".
pub(super) fn databases(tls: Tls, certificates: Certificates) -> Result<Connector, String> {
    let pem = match certificates {
        Certificates::BuiltIn => Cow::Borrowed(RDS_ROOT_CERTIFICATES),
        Certificates::Pem(pem) => Cow::Owned(pem),
    };
    Ok(match tls {
        Tls::Off => Connector::Plain,
        Tls::EncryptOnly => Connector::Tls {
            config: Arc::new(config(None)?),
            roots: None,
        },
        Tls::Verify => Connector::Tls {
            config: Arc::new(config(Some(roots(&pem)?))?),
            roots: Some(pem),
        },
    })
}

/// How to speak to web servers. There is no https without encryption: [`Tls::Off`] is [`Tls::Verify`] here.
///
/// # Errors
/// What is wrong with the certificates; continues "the bundle …".
pub(super) fn web(tls: Tls, certificates: Certificates) -> Result<ClientConfig, String> {
    let roots = match (tls, certificates) {
        (Tls::EncryptOnly, _) => None,
        (Tls::Verify | Tls::Off, Certificates::BuiltIn) => Some(RootCertStore::empty()),
        (Tls::Verify | Tls::Off, Certificates::Pem(pem)) => Some(roots(&pem)?),
    };
    let mut config = config(roots.map(|mut roots| {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        roots
    }))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The library's settings; without roots any certificate is taken.
fn config(roots: Option<RootCertStore>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot be used: {error}"))?;
    Ok(match roots {
        Some(roots) => builder.with_root_certificates(roots).with_no_client_auth(),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth(),
    })
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| "is not PEM".to_owned())?;
        roots
            .add(certificate)
            .map_err(|error| format!("holds a bad certificate: {error}"))?;
    }
    if roots.is_empty() {
        Err("holds no certificate".to_owned())
    } else {
        Ok(roots)
    }
}

/// Takes whatever certificate the server shows; the policy asked for `tls = "encrypt-only"`.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificates_of_amazon_rds_are_built_in() {
        let roots = roots(RDS_ROOT_CERTIFICATES).expect("the bundle is well-formed");
        assert!(roots.len() > 100, "{} certificates", roots.len());
    }

    #[test]
    fn other_files_are_no_bundle() {
        for pem in [
            &b""[..],
            b"hello",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(roots(pem).is_err());
        }
    }
}
