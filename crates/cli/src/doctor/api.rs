//! The few calls of five services whose SDKs are not linked: they would take two minutes of each build for seven
//! operations, and CloudWatch's brings a second, legacy HTTP stack (`deny.toml`). Requests are signed by the SDK's own
//! crate, and errors are told as those of all other calls.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_types::service_config::ServiceConfigKey;
use restore_proof_function::aws::AwsError;
use serde_json::{Value, json};

/// How often a call is tried in all.
const TRIES: u32 = 3;
/// Before the second try; doubled before each further one.
const BACK_OFF: Duration = Duration::from_millis(300);
const CONNECT: Duration = Duration::from_secs(4);
const ANSWER: Duration = Duration::from_secs(20);

/// How a service is called.
struct Service {
    /// The name under which people give an endpoint of their own (`AWS_ENDPOINT_URL_<ID>`).
    id: &'static str,
    /// Begins its host name; its requests are signed for this too.
    host: &'static str,
}

const CLOUDWATCH: Service = Service {
    id: "CloudWatch",
    host: "monitoring",
};
const EVENTS: Service = Service {
    id: "EventBridge",
    host: "events",
};
const IAM: Service = Service {
    id: "IAM",
    host: "iam",
};
const KMS: Service = Service {
    id: "KMS",
    host: "kms",
};
const QUOTAS: Service = Service {
    id: "Service Quotas",
    host: "servicequotas",
};

/// Calls these services.
pub(super) struct Api {
    http: reqwest::Client,
    sdk: SdkConfig,
    region: String,
    partition: String,
}

/// A request without its signature.
struct Unsigned<'a> {
    content_type: &'a str,
    target: Option<&'a str>,
    body: Vec<u8>,
}

impl Api {
    /// Calls them in a Region of a partition, with the credentials of an SDK's configuration.
    ///
    /// # Errors
    /// When this machine has no usable certificates.
    pub(super) fn new(sdk: &SdkConfig, region: &str, partition: &str) -> anyhow::Result<Api> {
        // Another part of the program may have done it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("restore-proof/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .build()?;
        Ok(Api {
            http,
            sdk: sdk.clone(),
            region: region.to_owned(),
            partition: partition.to_owned(),
        })
    }

    /// A page of the alarms that tell a topic.
    pub(super) async fn alarms(&self, topic: &str, next: Option<&str>) -> Result<Value, AwsError> {
        let mut asked = json!({ "ActionPrefix": topic, "AlarmTypes": ["MetricAlarm"] });
        if let Some(next) = next {
            asked["NextToken"] = json!(next);
        }
        let target = "GraniteServiceVersion20100801.DescribeAlarms";
        let kind = "application/x-amz-json-1.0";
        let operation = "cloudwatch:DescribeAlarms";
        self.json(&CLOUDWATCH, operation, kind, target, asked).await
    }

    /// The names of the rules of a bus that tell the function. EventBridge lists them in pages of a hundred, and no function
    /// has so many.
    pub(super) async fn rules_of(&self, function: &str, bus: &str) -> Result<Value, AwsError> {
        let asked = json!({ "TargetArn": function, "EventBusName": bus });
        let operation = "events:ListRuleNamesByTarget";
        self.events(operation, "AWSEvents.ListRuleNamesByTarget", asked)
            .await
    }

    /// A rule.
    pub(super) async fn rule(&self, name: &str, bus: &str) -> Result<Value, AwsError> {
        let asked = json!({ "Name": name, "EventBusName": bus });
        self.events("events:DescribeRule", "AWSEvents.DescribeRule", asked)
            .await
    }

    async fn events(
        &self,
        operation: &'static str,
        target: &str,
        asked: Value,
    ) -> Result<Value, AwsError> {
        let kind = "application/x-amz-json-1.1";
        self.json(&EVENTS, operation, kind, target, asked).await
    }

    /// What a key is, and whether it can be used.
    pub(super) async fn key(&self, key: &str) -> Result<Value, AwsError> {
        let (operation, target) = ("kms:DescribeKey", "TrentService.DescribeKey");
        let kind = "application/x-amz-json-1.1";
        self.json(&KMS, operation, kind, target, json!({ "KeyId": key }))
            .await
    }

    /// The policy of a key.
    pub(super) async fn key_policy(&self, key: &str) -> Result<Value, AwsError> {
        let (operation, target) = ("kms:GetKeyPolicy", "TrentService.GetKeyPolicy");
        let kind = "application/x-amz-json-1.1";
        let asked = json!({ "KeyId": key, "PolicyName": "default" });
        let answer = self.json(&KMS, operation, kind, target, asked).await?;
        let text = answer["Policy"].as_str().unwrap_or_default();
        serde_json::from_str(text).map_err(|_| unreadable(operation, "the policy is no JSON"))
    }

    /// How much of something an account may have.
    pub(super) async fn quota(&self, service: &str, code: &str) -> Result<f64, AwsError> {
        let operation = "servicequotas:GetServiceQuota";
        let target = "ServiceQuotasV20190624.GetServiceQuota";
        let kind = "application/x-amz-json-1.1";
        let asked = json!({ "ServiceCode": service, "QuotaCode": code });
        let answer = self.json(&QUOTAS, operation, kind, target, asked).await?;
        let value = answer["Quota"]["Value"].as_f64();
        value.ok_or_else(|| unreadable(operation, "the quota has no value"))
    }

    /// The trust policy of a role.
    pub(super) async fn trust(&self, role: &str) -> Result<Value, AwsError> {
        let operation = "iam:GetRole";
        let asked = [("Action", "GetRole"), ("RoleName", role)];
        self.iam(operation, &asked, "AssumeRolePolicyDocument")
            .await
    }

    /// A policy that stands in a role itself.
    pub(super) async fn role_policy(&self, role: &str, policy: &str) -> Result<Value, AwsError> {
        let operation = "iam:GetRolePolicy";
        let asked = [
            ("Action", "GetRolePolicy"),
            ("RoleName", role),
            ("PolicyName", policy),
        ];
        self.iam(operation, &asked, "PolicyDocument").await
    }

    /// The policy document in an answer of IAM.
    async fn iam(
        &self,
        operation: &'static str,
        asked: &[(&str, &str)],
        document: &str,
    ) -> Result<Value, AwsError> {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(asked)
            .append_pair("Version", "2010-05-08")
            .finish();
        let request = Unsigned {
            content_type: "application/x-www-form-urlencoded",
            target: None,
            body: body.into_bytes(),
        };
        let answer = self.send(&IAM, operation, &request).await?;
        // Documents are encoded as RFC 3986 has it ("GetRole", IAM API reference), so that there is no markup in them.
        let encoded = between(&answer, document).unwrap_or_default();
        let decoded = form_urlencoded::parse(encoded.as_bytes()).next();
        let document = decoded.and_then(|(document, _)| serde_json::from_str(&document).ok());
        document.ok_or_else(|| unreadable(operation, "the role's policy is no JSON"))
    }

    async fn json(
        &self,
        service: &Service,
        operation: &'static str,
        content_type: &str,
        target: &str,
        body: Value,
    ) -> Result<Value, AwsError> {
        let request = Unsigned {
            content_type,
            target: Some(target),
            body: body.to_string().into_bytes(),
        };
        let answer = self.send(service, operation, &request).await?;
        serde_json::from_str(&answer).map_err(|_| unreadable(operation, "the answer is no JSON"))
    }

    /// The text of the answer, if it is no error.
    async fn send(
        &self,
        service: &Service,
        operation: &'static str,
        request: &Unsigned<'_>,
    ) -> Result<String, AwsError> {
        let mut tries = 1;
        loop {
            match self.try_once(service, operation, request).await {
                Err(error) if tries < TRIES && error.may_pass() => {
                    tokio::time::sleep(BACK_OFF * 2_u32.pow(tries - 1)).await;
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    async fn try_once(
        &self,
        service: &Service,
        operation: &'static str,
        request: &Unsigned<'_>,
    ) -> Result<String, AwsError> {
        let failed = |why: String| AwsError {
            operation,
            code: None,
            message: why,
        };
        let signed = self.signed(service, request).await.map_err(failed)?;
        let signed = reqwest::Request::try_from(signed).map_err(|error| failed(chain(&error)))?;
        let answer = self.http.execute(signed).await;
        let answer = answer.map_err(|error| failed(chain(&error)))?;
        let is_good = answer.status().is_success();
        let text = answer.text().await;
        let text = text.map_err(|error| failed(chain(&error)))?;
        if is_good {
            return Ok(text);
        }
        let (code, words) = error_in(&text);
        Err(AwsError {
            operation,
            message: match (&code, words) {
                (Some(code), Some(words)) => format!("{code}: {words}"),
                (Some(code), None) => code.clone(),
                (None, _) => "an error that cannot be read".to_owned(),
            },
            code,
        })
    }

    async fn signed(
        &self,
        service: &Service,
        request: &Unsigned<'_>,
    ) -> Result<http::Request<Vec<u8>>, String> {
        let provider = self.sdk.credentials_provider();
        let provider = provider.ok_or("there are no credentials")?;
        let credentials = provider.provide_credentials().await;
        let identity = credentials.map_err(|error| chain(&error))?.into();
        let (url, region) = self.endpoint(service);
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&region)
            .name(service.host)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let mut headers = vec![("content-type", request.content_type)];
        headers.extend(request.target.map(|target| ("x-amz-target", target)));
        let signable = SignableRequest::new(
            "POST",
            &url,
            headers.iter().copied(),
            SignableBody::Bytes(&request.body),
        );
        let signable = signable.map_err(|error| error.to_string())?;
        let (instructions, _) = sign(signable, &params)
            .map_err(|error| error.to_string())?
            .into_parts();
        let mut builder = http::Request::post(&url);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let mut http = builder
            .body(request.body.clone())
            .map_err(|error| error.to_string())?;
        instructions.apply_to_request_http1x(&mut http);
        Ok(http)
    }

    /// Where a service is called, and the Region that the call is signed for.
    fn endpoint(&self, service: &Service) -> (String, String) {
        // IAM is one for all Regions of a partition ("IAM endpoints and quotas", AWS General Reference).
        let region = match (service.id, self.partition.as_str()) {
            ("IAM", "aws") => "us-east-1",
            ("IAM", "aws-us-gov") => "us-gov-west-1",
            _ => &self.region,
        };
        let of_its_own = self.sdk.service_config().and_then(|config| {
            let key = ServiceConfigKey::builder()
                .service_id(service.id)
                .env("AWS_ENDPOINT_URL")
                .profile("endpoint_url")
                .build();
            config.load_config(key.ok()?)
        });
        let given = of_its_own.or_else(|| self.sdk.endpoint_url().map(str::to_owned));
        let url = given.unwrap_or_else(|| {
            let host = match (service.id, self.partition.as_str()) {
                ("IAM", "aws") => "iam.amazonaws.com".to_owned(),
                ("IAM", "aws-us-gov") => "iam.us-gov.amazonaws.com".to_owned(),
                (_, "aws-eusc") => format!("{}.{region}.amazonaws.eu", service.host),
                _ => format!("{}.{region}.amazonaws.com", service.host),
            };
            format!("https://{host}/")
        });
        (url, region.to_owned())
    }
}

fn unreadable(operation: &'static str, why: &str) -> AwsError {
    AwsError {
        operation,
        code: None,
        message: why.to_owned(),
    }
}

/// The code and the words of an error, in JSON or, of IAM, in XML.
fn error_in(text: &str) -> (Option<String>, Option<String>) {
    if let Ok(error) = serde_json::from_str::<Value>(text) {
        let word = |key: &str| error[key].as_str().map(str::to_owned);
        // Some services put a namespace before it.
        let code = word("__type").or_else(|| word("code"));
        let code = code.map(|code| code.rsplit('#').next().unwrap_or(&code).to_owned());
        return (code, word("message").or_else(|| word("Message")));
    }
    let text_of = |tag: &str| between(text, tag).map(str::to_owned);
    (text_of("Code"), text_of("Message"))
}

/// The text of the first element of this name, which holds no other.
fn between<'t>(xml: &'t str, tag: &str) -> Option<&'t str> {
    let (_, rest) = xml.split_once(&format!("<{tag}>"))?;
    rest.split_once(&format!("</{tag}>")).map(|(text, _)| text)
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn iam_is_one_for_all_regions_of_a_partition() {
        let sdk = SdkConfig::builder().build();
        let of = |partition: &str, region: &str, service: &Service| {
            Api::new(&sdk, region, partition).unwrap().endpoint(service)
        };
        let wanted = |url: &str, region: &str| (url.to_owned(), region.to_owned());
        assert_eq!(
            of("aws", "eu-central-1", &IAM),
            wanted("https://iam.amazonaws.com/", "us-east-1")
        );
        assert_eq!(
            of("aws-us-gov", "us-gov-east-1", &IAM),
            wanted("https://iam.us-gov.amazonaws.com/", "us-gov-west-1")
        );
        assert_eq!(
            of("aws", "eu-central-1", &CLOUDWATCH),
            wanted(
                "https://monitoring.eu-central-1.amazonaws.com/",
                "eu-central-1"
            )
        );
        let own = SdkConfig::builder()
            .endpoint_url("http://127.0.0.1:1")
            .build();
        let api = Api::new(&own, "eu-central-1", "aws").unwrap();
        assert_eq!(api.endpoint(&KMS).0, "http://127.0.0.1:1");
    }

    #[test]
    fn errors_are_read_in_both_their_forms() {
        let told = |code: &str, words: &str| (Some(code.to_owned()), Some(words.to_owned()));
        let json = r#"{"__type":"com.amazonaws.kms#NotFoundException","message":"no key"}"#;
        assert_eq!(error_in(json), told("NotFoundException", "no key"));
        let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>no role</Message></Error>\
                   </ErrorResponse>";
        assert_eq!(error_in(xml), told("NoSuchEntity", "no role"));
        assert_eq!(error_in("<html>"), (None, None));
    }
}
