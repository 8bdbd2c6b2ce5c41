//! Connections to restored databases: encrypted, with certificates verified, unless the policy says otherwise.

use std::sync::Arc;

use restore_proof_core::policy::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::aws::Aws;
use crate::config::S3Uri;
use crate::policy_file::read_object;

/// Amazon RDS's root certificates of all Regions (AWS's "global bundle", as of 2026).
const RDS_ROOT_CERTIFICATES: &[u8] = include_bytes!("../../rds-root-certificates.pem");

/// How to connect.
#[derive(Clone)]
pub enum Connector {
    /// Encrypted.
    Tls(Arc<ClientConfig>),
    /// Not encrypted, as the policy wishes.
    Plain,
}

/// The connector for a rule.
///
/// # Errors
/// Why certificates cannot be verified, in words.
pub async fn connector(
    aws: &Aws,
    tls: Tls,
    ca_bundle: Option<&S3Uri>,
) -> Result<Connector, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let config = match tls {
        Tls::Off => return Ok(Connector::Plain),
        Tls::EncryptOnly => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth(),
        Tls::Verify => {
            let roots = match ca_bundle {
                None => roots(RDS_ROOT_CERTIFICATES),
                Some(uri) => match read_object(aws, uri).await {
                    Ok(Some(pem)) => {
                        roots(&pem).map_err(|why| format!("the CA bundle {uri} {why}"))
                    }
                    Ok(None) => Err(format!("the CA bundle {uri} is larger than 1 MiB")),
                    Err(error) => Err(format!("the CA bundle {uri} could not be read: {error}")),
                },
            }?;
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    Ok(Connector::Tls(Arc::new(config)))
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
