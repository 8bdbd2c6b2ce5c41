//! Machines that speak https.

use restore_proof_core::ceiling::Ceiling;
use std::io::Write;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::server::request;
use super::*;

/// A site with a certificate for a name, and the certificate of who signed it.
fn site(name: &str) -> (Server, Vec<u8>) {
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority_key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &Issuer::new(authority, authority_key))
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let config = Arc::new(config);
    let server = Server::start(MACHINE, |_| {
        Box::new(move |stream| {
            let connection =
                ServerConnection::new(Arc::clone(&config)).map_err(std::io::Error::other)?;
            let mut stream = StreamOwned::new(connection, stream);
            request(&mut stream)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nWelcome")?;
            stream.conn.send_close_notify();
            stream.flush()
        })
    });
    (server, pem.into_bytes())
}

async fn ask(server: &Server, host: &str, tls: Tls, certificates: Certificates) -> CheckResult {
    let access = Access::given(None, tls, certificates).unwrap();
    let check = format!(
        "kind = \"http\"\nscheme = \"https\"\nport = {}\n{host}\nsteps = [{{ path = \"/\", contains = \"Welcome\" }}]",
        server.port
    );
    run(&check, &access).await
}

#[track_caller]
fn refused(result: &CheckResult) {
    assert_eq!(result.outcome, CheckOutcome::Errored, "{result:#?}");
    assert!(
        result.detail.at(Ceiling::Text).contains("certificate"),
        "{}",
        result.detail.at(Ceiling::Text)
    );
}

#[tokio::test]
async fn a_certificate_is_verified_unless_the_policy_says_otherwise() {
    let _alone = ALONE.lock().await;
    let named = "host = \"shop.example\"";
    let (server, pem) = site("shop.example");
    let ours = || Certificates::Pem(pem.clone());
    let result = ask(&server, named, Tls::Verify, ours()).await;
    assert_eq!(result.outcome, CheckOutcome::Passed, "{result:#?}");
    // There is no https without encryption, nor without the question whose it is.
    let result = ask(&server, named, Tls::Off, ours()).await;
    assert_eq!(result.outcome, CheckOutcome::Passed, "{result:#?}");
    refused(&ask(&server, named, Tls::Off, Certificates::BuiltIn).await);
    refused(&ask(&server, named, Tls::Verify, Certificates::BuiltIn).await);
    refused(&ask(&server, "host = \"shop.test\"", Tls::Verify, ours()).await);
    refused(&ask(&server, "", Tls::Verify, ours()).await);
    let result = ask(&server, "", Tls::EncryptOnly, Certificates::BuiltIn).await;
    assert_eq!(result.outcome, CheckOutcome::Passed, "{result:#?}");

    let (server, pem) = site(MACHINE);
    let result = ask(&server, "", Tls::Verify, Certificates::Pem(pem)).await;
    assert_eq!(result.outcome, CheckOutcome::Passed, "{result:#?}");
}

#[test]
fn a_bundle_that_is_none_is_refused() {
    for pem in [&b""[..], b"hello"] {
        let given = Access::given(None, Tls::Verify, Certificates::Pem(pem.to_vec()));
        assert!(given.unwrap_err().contains("CA bundle"));
    }
}
