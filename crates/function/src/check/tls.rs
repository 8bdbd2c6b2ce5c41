//! Connections to what was restored: encrypted, with certificates verified, unless the policy says otherwise.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::policy::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Amazon RDS's root certificates that have not expired, with the day they are of. `make certificates` renews the file.
const RDS_ROOT_CERTIFICATES: &str = include_str!("../../rds-root-certificates.pem");
/// Before the day that the file is of.
const AS_OF: &str = "# As of ";
/// After so long AWS may well have new Regions that the file lacks.
const OLD_AFTER: SignedDuration = SignedDuration::from_hours(365 * 24);

/// By whose certificates servers are verified.
#[derive(Clone, Debug)]
pub enum Certificates {
    /// Databases by those of Amazon RDS, of every Region; web servers by the public ones.
    BuiltIn,
    /// The same; databases by those of the partition of this Region alone, which must be among them.
    BuiltInOf(String),
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
        Certificates::BuiltIn => Cow::Borrowed(RDS_ROOT_CERTIFICATES.as_bytes()),
        // Nothing is verified by them.
        Certificates::BuiltInOf(_) if tls != Tls::Verify => Cow::default(),
        Certificates::BuiltInOf(region) => Cow::Owned(of_region(&region)?),
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

/// The built-in certificates of a Region's partition, PEM. RDS signs each database's certificate by an authority of its
/// Region ("Using SSL/TLS to encrypt a connection to a DB instance", Amazon RDS user guide).
///
/// # Errors
/// None is of this Region; continues "the built-in CA bundle …".
fn of_region(region: &str) -> Result<Vec<u8>, String> {
    let mut pem = String::new();
    let mut knows_region = false;
    for block in RDS_ROOT_CERTIFICATES.split_inclusive("-----END CERTIFICATE-----\n") {
        let Ok(certificate) = CertificateDer::from_pem_slice(block.as_bytes()) else {
            continue;
        };
        let is_of = region_of(&certificate);
        knows_region |= is_of.as_deref() == Some(region);
        if is_of.is_none_or(|is_of| partition(&is_of) == partition(region)) {
            pem.push_str(block);
        }
    }
    match knows_region {
        true => Ok(pem.into_bytes()),
        false => Err(format!(
            "does not know Region {region}: set DatabaseCaBundleUri"
        )),
    }
}

/// The Region that an authority of RDS is named by: `Amazon RDS eu-central-1 Root CA RSA2048 G1`. None of the public
/// authorities that are among them.
fn region_of(certificate: &CertificateDer<'_>) -> Option<String> {
    const BEFORE: &[u8] = b"Amazon RDS ";
    let mut names = certificate.windows(BEFORE.len()).enumerate();
    let regions = names.by_ref().filter(|(_, bytes)| *bytes == BEFORE);
    let mut regions = regions.filter_map(|(at, _)| {
        let name = certificate.get(at + BEFORE.len()..)?;
        let end = name.windows(8).position(|bytes| bytes == b" Root CA")?;
        let words = std::str::from_utf8(&name[..end]).ok()?;
        // `Beta us-east-1` and `Preview us-east-2` are of Regions that nobody restores in.
        (!words.contains(' ') && words.contains('-')).then(|| words.to_owned())
    });
    regions.next()
}

/// The partition of a Region ("AWS Regions", AWS General Reference).
fn partition(region: &str) -> &'static str {
    match region.split_once('-') {
        Some(("cn", _)) => "aws-cn",
        Some(("us", rest)) if rest.starts_with("gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// That the built-in certificates are of more than a year ago, in words; none if they are not.
pub fn are_old(now: Timestamp) -> Option<String> {
    let as_of = RDS_ROOT_CERTIFICATES.strip_prefix(AS_OF)?.get(..10)?;
    let date: Date = as_of.parse().ok()?;
    let then = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    (now.duration_since(then) > OLD_AFTER).then(|| {
        format!(
            "the built-in certificates of Amazon RDS are of {as_of}: new Regions may be missing; renew them with `make \
             certificates`, or set DatabaseCaBundleUri"
        )
    })
}

/// How to speak to web servers. There is no https without encryption: [`Tls::Off`] is [`Tls::Verify`] here.
///
/// # Errors
/// What is wrong with the certificates; continues "the bundle …".
pub(super) fn web(tls: Tls, certificates: Certificates) -> Result<ClientConfig, String> {
    let roots = match (tls, certificates) {
        (Tls::EncryptOnly, _) => None,
        (Tls::Verify | Tls::Off, Certificates::BuiltIn | Certificates::BuiltInOf(_)) => {
            Some(RootCertStore::empty())
        }
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

    /// Which Regions there are a test of botocore's list asks (`tests/conformance/test_certificates.py`).
    #[test]
    fn the_certificates_of_amazon_rds_are_built_in() {
        let all = roots(RDS_ROOT_CERTIFICATES.as_bytes()).expect("the bundle is well-formed");
        let here = of_region("eu-central-1").expect("it is known");
        let here = roots(&here).expect("the bundle is well-formed");
        assert!(here.len() > 80 && here.len() <= all.len(), "{}", here.len());
        for unknown in ["us-gov-west-1", "atlantis-1", "", "central-1"] {
            let why = of_region(unknown).expect_err("no such Region");
            let told = format!("does not know Region {unknown}: set DatabaseCaBundleUri");
            assert_eq!(why, told);
            let built_in = || Certificates::BuiltInOf(unknown.to_owned());
            assert!(databases(Tls::Verify, built_in()).is_err());
            assert!(databases(Tls::EncryptOnly, built_in()).is_ok());
            assert!(web(Tls::Verify, built_in()).is_ok(), "public ones");
        }
    }

    #[test]
    fn an_authority_is_told_by_the_partition_of_its_region() {
        let named = |name: &str| {
            let der = [b"\x30\x82Amazon RDS1\x0b", name.as_bytes(), b"1\x10"].concat();
            region_of(&CertificateDer::from(der))
        };
        assert_eq!(
            named("Amazon RDS us-gov-west-1 Root CA RSA2048 G1").as_deref(),
            Some("us-gov-west-1")
        );
        assert_eq!(named("Amazon RDS Beta us-east-1 Root CA RSA4096 G1"), None);
        assert_eq!(named("Amazon Root CA 1"), None);
        for (region, of) in [
            ("eu-central-1", "aws"),
            ("us-east-1", "aws"),
            ("us-gov-east-1", "aws-us-gov"),
            ("cn-north-1", "aws-cn"),
        ] {
            assert_eq!(partition(region), of);
        }
    }

    #[test]
    fn certificates_of_more_than_a_year_ago_are_old() {
        let as_of: Timestamp = RDS_ROOT_CERTIFICATES
            .strip_prefix(AS_OF)
            .and_then(|text| format!("{}T00:00:00Z", text.get(..10)?).parse().ok())
            .expect("the file begins with its date");
        assert_eq!(are_old(as_of + OLD_AFTER), None);
        let words = are_old(as_of + OLD_AFTER + SignedDuration::from_secs(1)).expect("too old");
        assert!(words.contains("`make certificates`"), "{words}");
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
