//! The clients of AWS, and what went wrong when they answer with an error.

use std::pin::Pin;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_backup::config::retry::{RetryPartition, TokenBucket};
use aws_sdk_backup::config::{AsyncSleep, SharedAsyncSleep};
use aws_sdk_rds::auth_token::{self, AuthTokenGenerator};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::Timestamp;

/// How often a call of AWS Backup is tried: within some thirty seconds, a minute at most. It takes a few calls a second
/// of all that an account asks, and when many copies land together as many ask as there are slots; with the SDK's three
/// tries within two seconds hardly any of them would get through the calls that a restore takes.
const BACKUP_TRIES: u32 = 8;
/// What the budget of retries that the SDK keeps for a client regains, in tokens a second; a retry costs five or more. Without,
/// an execution environment that is throttled for hours comes to try once only.
const BACKUP_BUDGET_REGAINS: f32 = 5.0;
/// How long a call of [`Aws::impatient`] may take.
const IMPATIENCE: Duration = Duration::from_secs(5);

/// One client for each service the function calls.
#[derive(Clone, Debug)]
pub struct Aws {
    /// AWS Backup.
    pub backup: aws_sdk_backup::Client,
    /// EC2.
    pub ec2: aws_sdk_ec2::Client,
    /// RDS.
    pub rds: aws_sdk_rds::Client,
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// SNS.
    pub sns: aws_sdk_sns::Client,
    /// CloudWatch Logs.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// Secrets Manager.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// Lambda.
    pub lambda: aws_sdk_lambda::Client,
    /// How the clients wait before they try again.
    sleep: SharedAsyncSleep,
    /// What the clients are made of: credentials, Region and clock.
    config: SdkConfig,
}

impl Aws {
    /// Clients with credentials and Region from the environment.
    pub async fn from_environment() -> Aws {
        Aws::new(&aws_config::defaults(BehaviorVersion::latest()).load().await)
    }

    /// Clients of one configuration. In a network without internet a call to a service without an endpoint
    /// hangs, so every attempt is bounded.
    pub fn new(config: &SdkConfig) -> Aws {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(4))
            .operation_attempt_timeout(Duration::from_secs(20))
            .build();
        let config = config.to_builder().timeout_config(timeouts).build();
        Aws::of(config, BACKUP_TRIES)
    }

    /// The same clients for one try that is over in a few seconds: whether a service answers at all.
    pub fn impatient(&self) -> Aws {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_timeout(IMPATIENCE)
            .build();
        let once = RetryConfig::standard().with_max_attempts(1);
        let config = self.config.to_builder();
        Aws::of(
            config.timeout_config(timeouts).retry_config(once).build(),
            1,
        )
    }

    fn of(config: SdkConfig, backup_tries: u32) -> Aws {
        let retries = config.retry_config().cloned();
        let retries = retries.unwrap_or_else(RetryConfig::standard);
        let budget = TokenBucket::builder()
            .refill_rate(BACKUP_BUDGET_REGAINS)
            .build();
        let patient = aws_sdk_backup::config::Builder::from(&config)
            .retry_config(retries.with_max_attempts(backup_tries))
            .retry_partition(
                RetryPartition::custom("AWS Backup")
                    .token_bucket(budget)
                    .build(),
            )
            .build();
        Aws {
            backup: aws_sdk_backup::Client::from_conf(patient),
            ec2: aws_sdk_ec2::Client::new(&config),
            rds: aws_sdk_rds::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            s3: aws_sdk_s3::Client::new(&config),
            sns: aws_sdk_sns::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            sleep: config
                .sleep_impl()
                .expect("clients with time-outs have a way to wait"),
            config,
        }
    }

    /// What a database user logs in with as a password (RDS user guide, "IAM database authentication"): a request to
    /// connect that is signed here; AWS is not asked.
    ///
    /// # Errors
    /// Why it could not be signed.
    pub async fn database_token(
        &self,
        host: &str,
        port: u16,
        user: &str,
    ) -> Result<String, String> {
        let whose = auth_token::Config::builder()
            .hostname(host)
            .port(port.into())
            .username(user)
            .build()
            .map_err(|error| error.to_string())?;
        let token = AuthTokenGenerator::new(whose)
            .auth_token(&self.config)
            .await
            .map_err(|error| error.to_string())?;
        Ok(token.to_string())
    }

    /// Waits as the clients do before they try again: what waits for AWS waits by one clock.
    pub async fn sleep(&self, time: Duration) {
        self.sleep.sleep(time).await;
    }
}

/// A call to AWS that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct AwsError {
    /// For example `backup:StartRestoreJob`.
    pub operation: &'static str,
    /// The service's error code; none when there was no answer that can be read.
    pub code: Option<String>,
    /// What the service, or the way to it, says.
    pub message: String,
}

impl AwsError {
    /// Whether the service answered one of these codes.
    pub fn is(&self, codes: &[&str]) -> bool {
        self.code
            .as_deref()
            .is_some_and(|code| codes.contains(&code))
    }

    /// Whether the same call may succeed a little later: no answer that can be read, too many calls, a fault of the
    /// service (AWS, "Common Errors").
    pub fn may_pass(&self) -> bool {
        self.code.as_deref().is_none_or(|code| {
            code.contains("Throttl")
                || code.contains("LimitExceeded") && code.starts_with("Request")
                || code.starts_with("Internal")
                || code.starts_with("ServiceUnavailable")
                || code == "TooManyRequestsException"
        })
    }

    /// Whether there were too many calls. `LimitExceededException` is not among the codes: of AWS Backup it is a quota.
    /// Source: the codes at which the AWS SDKs slow down ("Retry behavior", AWS SDKs and Tools Reference Guide).
    pub fn is_throttle(&self) -> bool {
        self.is(&[
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "RequestThrottled",
            "RequestThrottledException",
            "TooManyRequestsException",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "BandwidthLimitExceeded",
            "PriorRequestNotComplete",
            "SlowDown",
            "EC2ThrottledException",
            // Why a transaction of DynamoDB was cancelled, or what kept a write from an item that one is changing.
            "ThrottlingError",
            "ProvisionedThroughputExceeded",
            "TransactionConflict",
            "TransactionConflictException",
        ])
    }

    /// Whether the service refused for lack of permission.
    pub fn is_access_denied(&self) -> bool {
        self.is(&[
            "AccessDenied",
            "AccessDeniedException",
            "UnauthorizedOperation",
            // SNS ("Common Error Types", Amazon SNS API reference).
            "AuthorizationError",
        ])
    }
}

/// One call of AWS: `call("rds:DescribeDBInstances", aws.rds.describe_db_instances().send()).await`. Boxed, since the SDK's
/// futures are many kilobytes each, and whatever awaits one unboxed carries it.
pub fn call<'a, T, E, R>(
    operation: &'static str,
    sent: impl Future<Output = Result<T, SdkError<E, R>>> + Send + 'a,
) -> Pin<Box<dyn Future<Output = Result<T, AwsError>> + Send + 'a>>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    Box::pin(async move { sent.await.map_err(failed(operation)) })
}

/// Turns an SDK error into what is worth knowing of it.
pub fn failed<E, R>(operation: &'static str) -> impl FnOnce(SdkError<E, R>) -> AwsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    move |error| {
        let service = error.as_service_error();
        let code = service.and_then(|e| e.code()).map(str::to_owned);
        let message = match (&code, service.and_then(|e| e.message())) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.clone(),
            // No answer of the service: the chain of causes tells about time-outs and connections.
            (None, _) => match &error {
                SdkError::TimeoutError(_) => "no answer in time".to_owned(),
                SdkError::DispatchFailure(failure) => failure.as_connector_error().map_or_else(
                    || "no connection".to_owned(),
                    |cause| DisplayErrorContext(cause).to_string(),
                ),
                _ => "an answer that cannot be read".to_owned(),
            },
        };
        AwsError {
            operation,
            code,
            message,
        }
    }
}

/// The SDK's point in time as ours, to the microsecond; none outside of the years we know. JSON services give times as
/// floating-point numbers, which of today's seconds are some hundred nanoseconds off: one moment must not be before itself.
pub fn timestamp(at: &aws_smithy_types::DateTime) -> Option<Timestamp> {
    let exact = Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()?;
    exact.round(jiff::Unit::Microsecond).ok()
}

/// Our point in time as the SDK's, whole seconds.
pub fn date_time(at: Timestamp) -> aws_smithy_types::DateTime {
    aws_smithy_types::DateTime::from_secs(at.as_second())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use aws_sdk_rds::config::{Credentials, Region, SharedCredentialsProvider};
    use aws_smithy_async::time::{SharedTimeSource, StaticTimeSource};

    use super::*;

    /// As botocore 1.43.127 makes it by `generate_db_auth_token`, at this time and with these keys.
    #[tokio::test]
    async fn a_token_is_what_botocore_makes() {
        const TOKEN: &str = "restore-proof-r-1.abc.eu-central-1.rds.amazonaws.com:5432/?Action=connect\
            &DBUser=restore_check.me&X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIDEXAMPLE%2F20261128%2Feu-central-1%2Frds-db%2Faws4_request\
            &X-Amz-Date=20261128T211600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=900\
            &X-Amz-Security-Token=a%2Fsession%2Btoken%3D%3D\
            &X-Amz-Signature=56259df6ee00bd089474cda8218835d5d00c2adb2d91445c89f9c46fefa6d8e0";
        let moment: Timestamp = "2026-11-28T21:16:00Z".parse().unwrap();
        let keys = Credentials::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            Some("a/session+token==".to_owned()),
            None,
            "test",
        );
        let config = aws_config::defaults(BehaviorVersion::latest())
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .region(Region::new("eu-central-1"))
            .time_source(SharedTimeSource::new(StaticTimeSource::new(moment.into())))
            .load()
            .await;
        let host = "restore-proof-r-1.abc.eu-central-1.rds.amazonaws.com";
        let token = Aws::new(&config)
            .database_token(host, 5432, "restore_check.me")
            .await
            .unwrap();
        // The order of what is asked for is not signed.
        let parts = |token: &str| -> BTreeSet<String> {
            token.split(['?', '&']).map(str::to_owned).collect()
        };
        assert_eq!(parts(&token), parts(TOKEN));
    }

    #[test]
    fn a_moment_is_the_same_in_json_and_in_xml() {
        for milliseconds in 0..1000_u32 {
            let text = format!("2026-11-22T12:50:13.{milliseconds:03}Z");
            let moment: Timestamp = text.parse().unwrap();
            // As an XML service gives it, and as a JSON service does.
            let exact = aws_smithy_types::DateTime::from_secs_and_nanos(
                moment.as_second(),
                milliseconds * 1_000_000,
            );
            let number = moment.as_millisecond() as f64 / 1000.0;
            let floating = aws_smithy_types::DateTime::from_secs_f64(number);
            assert_eq!(timestamp(&exact), Some(moment));
            assert_eq!(timestamp(&floating), Some(moment), "{text}");
        }
    }
}
