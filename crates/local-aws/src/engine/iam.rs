//! Logins by tokens of IAM, as Amazon RDS takes them (RDS user guide, "IAM database authentication for MariaDB, MySQL, and
//! PostgreSQL"): the token is a request to connect that somebody with AWS credentials has signed, for this host, port and
//! user, and it is good for a quarter of an hour.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use jiff::Timestamp;

/// The service that tokens are signed for.
const SERVICE: &str = "rds-db";
/// The longest that a token may be good for.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// How far a caller's clock may be ahead (as with every signature of version 4).
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// Members of this role log in by tokens only, on PostgreSQL. Here the same holds for MariaDB, which has RDS's plugin
/// `AWSAuthenticationPlugin` on RDS alone.
pub const ROLE: &str = "rds_iam";

/// The secret keys of those who call this stand-in, by their access keys: the tests' own (aws-credential-types,
/// `Credentials::for_tests`), and whom [`crate::runtime_api`] lets run.
fn secret_key(access_key: &str) -> &'static str {
    match access_key {
        "ANOTREAL" => "notrealrnrELgWzOk3IfjzDKtFBhDby",
        _ => crate::runtime_api::SECRET_KEY,
    }
}

/// Says why RDS would not let this user in by this token at this port.
///
/// # Errors
/// What is wrong with the token.
pub(super) fn verify(token: &str, region: &str, host: &str, port: u16, user: &str) -> Result<()> {
    let (address, query) = token.split_once("/?").context("this is no token")?;
    ensure!(
        address == format!("{host}:{port}"),
        "the token is for {address}"
    );
    let said: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let of = |name: &str| said.get(name).map(String::as_str).unwrap_or_default();
    ensure!(of("Action") == "connect", "it asks for another action");
    ensure!(of("DBUser") == user, "it is for user {:?}", of("DBUser"));
    let scope: Vec<&str> = of("X-Amz-Credential").split('/').collect();
    let [access_key, _day, signed_for, service, "aws4_request"] = *scope else {
        bail!("its scope is {scope:?}");
    };
    ensure!(signed_for == region, "it is signed for {signed_for}");
    ensure!(service == SERVICE, "it is signed for the service {service}");
    let signed_at = jiff::fmt::strtime::parse(
        "%Y%m%dT%H%M%S%z",
        format!("{}+0000", of("X-Amz-Date").trim_end_matches('Z')),
    )
    .and_then(|time| time.to_timestamp())
    .context("it has no date")?;
    let expires: u64 = of("X-Amz-Expires").parse().context("it never expires")?;
    let lasts = Duration::from_secs(expires);
    ensure!(lasts <= LONGEST, "it would be good for {expires} s");
    let now = SystemTime::from(Timestamp::now());
    let signed_at = SystemTime::from(signed_at);
    ensure!(signed_at <= now + CLOCK_SKEW, "it is of the future");
    ensure!(now <= signed_at + lasts, "it has expired");

    let session = said.get("X-Amz-Security-Token").cloned();
    let caller = Credentials::new(access_key, secret_key(access_key), session, None, "caller");
    let signature = signature(address, user, region, &caller, signed_at, lasts)?;
    ensure!(
        of("X-Amz-Signature") == signature,
        "the request signature we calculated does not match the signature you provided"
    );
    Ok(())
}

/// The signature that a token must have.
fn signature(
    address: &str,
    user: &str,
    region: &str,
    caller: &Credentials,
    signed_at: SystemTime,
    lasts: Duration,
) -> Result<String> {
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(lasts);
    settings.signature_location = SignatureLocation::QueryParams;
    let identity = caller.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(signed_at)
        .settings(settings)
        .build()?
        .into();
    let url = format!("https://{address}/?Action=connect&DBUser={user}");
    let request = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::empty())?;
    Ok(sign(request, &params)?.into_parts().1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const USER: &str = "iam_check";

    fn token(address: &str, user: &str, signed_at: SystemTime, lasts: u64) -> String {
        let session = Some("notarealsessiontoken".to_owned());
        let caller = Credentials::new("ANOTREAL", secret_key("ANOTREAL"), session, None, "test");
        let lasts = Duration::from_secs(lasts);
        let signature =
            signature(address, user, "eu-central-1", &caller, signed_at, lasts).unwrap();
        let date = Timestamp::try_from(signed_at).unwrap();
        let (day, time) = (date.strftime("%Y%m%d"), date.strftime("%Y%m%dT%H%M%SZ"));
        format!(
            "{address}/?Action=connect&DBUser={user}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ANOTREAL%2F{day}\
             %2Feu-central-1%2Frds-db%2Faws4_request&X-Amz-Date={time}&X-Amz-Expires={}&X-Amz-SignedHeaders=host\
             &X-Amz-Security-Token=notarealsessiontoken&X-Amz-Signature={signature}",
            lasts.as_secs()
        )
    }

    #[test]
    fn a_token_is_for_one_user_of_one_server_and_soon_expires() {
        let now = SystemTime::now();
        let ago = |seconds| now - Duration::from_secs(seconds);
        let judge = |token: &str| verify(token, "eu-central-1", "localhost", 5432, USER);
        let good = token("localhost:5432", USER, ago(60), 900);
        judge(&good).unwrap();
        for (bad, why) in [
            (
                token("localhost:5433", USER, now, 900),
                "is for localhost:5433",
            ),
            (
                token("elsewhere:5432", USER, now, 900),
                "is for elsewhere:5432",
            ),
            (
                token("localhost:5432", "root", now, 900),
                "for user \"root\"",
            ),
            (token("localhost:5432", USER, ago(1000), 900), "expired"),
            (token("localhost:5432", USER, now, 1800), "good for 1800 s"),
            (
                token("localhost:5432", USER, now + Duration::from_secs(600), 900),
                "of the future",
            ),
            (good.replace("=notareal", "=another"), "does not match"),
            (
                good.replace("eu-central", "us-east"),
                "signed for us-east-1",
            ),
            (good.replace("rds-db", "rds"), "for the service rds"),
            (good.replace("connect", "describe"), "another action"),
            ("a password".to_owned(), "no token"),
        ] {
            let error = judge(&bad).unwrap_err().to_string();
            assert!(error.contains(why), "{error}: {why}");
        }
    }
}
