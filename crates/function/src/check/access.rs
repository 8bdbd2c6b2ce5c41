//! How checks log in, and by which certificates they verify whom they talk to.

use std::fmt;
use std::time::Duration;

use futures_util::future;
use restore_proof_core::policy::{Check, CheckKind, Credentials, Rule, Scheme, Tls};
use rustls::ClientConfig;

use super::tls::{self, Certificates, Connector};
use super::{Login, Target};
use crate::aws::Aws;
use crate::config::Config;
use crate::policy_file::read_object;

/// The longest that reading logins and certificates may take.
const READ_AT_MOST: Duration = Duration::from_secs(60);

/// How a rule's checks log in and verify certificates. What could not be had is kept in words, and becomes the outcome of
/// the checks that need it. Nothing of it is shown by `Debug`.
pub struct Access {
    tls: Tls,
    pub(super) login: Result<Login, String>,
    pub(super) databases: Result<Connector, String>,
    pub(super) web: Result<ClientConfig, String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Access {
    /// Reads what the rule's checks of `target` need: its login from Secrets Manager or IAM unless `reset` is one that was
    /// set on the restored copy, and the certificates in the stack's bundle, which otherwise are the Region's built-in ones.
    pub async fn read(
        aws: &Aws,
        config: &Config,
        rule: &Rule,
        target: &Target,
        reset: Option<Login>,
    ) -> Access {
        let ca_bundle = config.ca_bundle.as_ref();
        let late = || "credentials and certificates could not be read in time".to_owned();
        let login = async {
            match (reset, &rule.credentials) {
                (Some(login), _) => Ok(login),
                (None, Some(Credentials::Secret(secret))) => Login::read(aws, secret).await,
                (None, Some(Credentials::Reset)) => {
                    Err("no password was set on the restored copy".to_owned())
                }
                (None, Some(Credentials::Iam(user))) => {
                    match config.iam_database_user(user.as_deref()) {
                        Ok(user) => Login::by_iam(aws, target, user).await,
                        Err(why) => Err(why),
                    }
                }
                (None, None) => Err("the rule names no credentials".to_owned()),
            }
        };
        let certificates = async {
            match ca_bundle {
                Some(uri) if needs_certificates(rule) => match read_object(aws, uri).await {
                    Ok(Some(pem)) => Ok(Certificates::Pem(pem)),
                    Ok(None) => Err(format!("the CA bundle {uri} is larger than 1 MiB")),
                    Err(error) => Err(format!("the CA bundle {uri} could not be read: {error}")),
                },
                _ => Ok(Certificates::BuiltInOf(config.region.clone())),
            }
        };
        let read = future::join(login, certificates);
        let (login, certificates) = match tokio::time::timeout(READ_AT_MOST, read).await {
            Ok(read) => read,
            Err(_) => (Err(late()), Err(late())),
        };
        let named = |why: String| match ca_bundle {
            Some(uri) => format!("the CA bundle {uri} {why}"),
            None => format!("the built-in CA bundle {why}"),
        };
        let databases = certificates
            .clone()
            .and_then(|certificates| tls::databases(rule.tls, certificates).map_err(named));
        let web =
            certificates.and_then(|certificates| tls::web(rule.tls, certificates).map_err(named));
        Access {
            tls: rule.tls,
            login,
            databases,
            web,
        }
    }

    /// What a person gives by hand.
    ///
    /// # Errors
    /// What is wrong with the certificates, in words.
    pub fn given(
        login: Option<Login>,
        tls: Tls,
        certificates: Certificates,
    ) -> Result<Access, String> {
        let named = |why| format!("the CA bundle {why}");
        Ok(Access {
            tls,
            login: login.ok_or_else(|| "no login was given".to_owned()),
            databases: Ok(tls::databases(tls, certificates.clone()).map_err(named)?),
            web: Ok(tls::web(tls, certificates).map_err(named)?),
        })
    }

    /// What is to be known of these checks besides their outcomes.
    pub(super) fn findings(&self, checks: &[Check]) -> Vec<String> {
        let mut findings = Vec::new();
        let word = match self.tls {
            Tls::Verify => return findings,
            Tls::EncryptOnly => "encrypt-only",
            Tls::Off => "off",
        };
        if checks.iter().any(|check| check.logs_in()) {
            findings.push(format!(
                "the policy asks for tls = {word:?}: the database's certificate was not verified"
            ));
        }
        if self.tls == Tls::EncryptOnly && checks.iter().any(is_https) {
            findings.push(format!(
                "the policy asks for tls = {word:?}: the web server's certificate was not verified"
            ));
        }
        findings
    }
}

fn is_https(check: &Check) -> bool {
    matches!(&check.kind, CheckKind::Http(http) if http.scheme == Scheme::Https)
}

/// Whether any of the rule's checks verifies a certificate.
fn needs_certificates(rule: &Rule) -> bool {
    let checks = &rule.checks;
    match rule.tls {
        Tls::Verify => checks
            .iter()
            .any(|check| check.logs_in() || is_https(check)),
        Tls::EncryptOnly => false,
        // There is no https without encryption.
        Tls::Off => checks.iter().any(is_https),
    }
}
