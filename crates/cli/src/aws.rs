//! The deployed function, the bucket with its records, and what keeps us from them.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::ProvideCredentials as _;
use aws_sdk_lambda::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_s3::config::http::HttpResponse;
use restore_proof_core::report::RecordKeys;
use serde_json::Value;

use crate::exit::Problem;

/// The longest a function runs, and a little.
const ANSWER: Duration = Duration::from_secs(15 * 60 + 30);
const CONNECT: Duration = Duration::from_secs(5);

/// What the environment tells of Region and credentials, and the Region.
///
/// # Errors
/// When it tells none.
pub(crate) async fn environment() -> Result<(SdkConfig, String), Problem> {
    let config = aws_config::defaults(BehaviorVersion::latest()).load().await;
    let region = config.region().map(ToString::to_string).ok_or_else(|| {
        Problem::cannot_run("no AWS Region is given")
            .help("set AWS_REGION, or region in the profile of ~/.aws/config")
    })?;
    let no_credentials = |why: &str| {
        // The chain's own words name every place that was looked at, over several lines.
        let why = match why {
            why if why.contains("no credentials found in chain") => String::new(),
            why => format!(": {}", crate::output::one_line(why)),
        };
        Problem::cannot_run(format!("there are no AWS credentials{why}")).help(
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; after a single sign-on: \
             eval \"$(aws configure export-credentials --format env)\"",
        )
    };
    match config.credentials_provider() {
        None => return Err(no_credentials("none are configured")),
        Some(provider) => {
            // Asked for here, for the call itself would hide why there are none.
            provider
                .provide_credentials()
                .await
                .map_err(|error| no_credentials(&chain(&error)))?;
        }
    }
    Ok((config, region))
}

/// A Lambda function.
pub(crate) struct Function {
    client: Client,
    name: String,
    region: String,
}

impl Function {
    /// The function of this name, in the Region and with the credentials that the environment tells.
    ///
    /// # Errors
    /// When it tells none.
    pub(crate) async fn find(name: &str) -> Result<Function, Problem> {
        let (config, region) = patient().await?;
        Ok(Function {
            client: Client::new(&config),
            name: name.to_owned(),
            region,
        })
    }

    /// Invokes the function and waits for its answer.
    ///
    /// # Errors
    /// When it cannot be invoked, or fails.
    pub(crate) async fn ask(&self, payload: &Value) -> Result<Value, Problem> {
        let answer = self
            .client
            .invoke()
            .function_name(&self.name)
            .payload(Blob::new(payload.to_string()))
            .send()
            .await
            .map_err(|error| {
                let code = error
                    .as_service_error()
                    .and_then(|e| e.code())
                    .map(str::to_owned);
                let message = error
                    .as_service_error()
                    .and_then(|e| e.message())
                    .map(str::to_owned);
                self.problem(code, message, &error)
            })?;
        let body = answer.payload().map(Blob::as_ref).unwrap_or_default();
        let told: Value = serde_json::from_slice(body).unwrap_or_default();
        if answer.function_error().is_some() {
            let message = told["errorMessage"]
                .as_str()
                .unwrap_or("it does not say why");
            return Err(Problem::cannot_run(format!(
                "the function {} failed: {message}",
                self.name
            ))
            .help(format!(
                "its log says more: aws logs tail /aws/lambda/{}",
                self.name
            )));
        }
        if !told.is_object() {
            return Err(Problem::cannot_run(format!(
                "the function {} answers nothing that can be read",
                self.name
            )));
        }
        Ok(told)
    }

    /// What a call that did not succeed means, and what to do.
    fn problem<E, R>(
        &self,
        code: Option<String>,
        message: Option<String>,
        error: &SdkError<E, R>,
    ) -> Problem
    where
        E: std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let Function { name, region, .. } = self;
        let said = message.or(code.clone()).unwrap_or_default();
        match code.as_deref() {
            Some("ResourceNotFoundException") => {
                Problem::cannot_run(format!("there is no function {name} in {region}")).help(
                    "name it with --function (the stack's parameter NamePrefix), and look at Region and account",
                )
            }
            Some("AccessDeniedException" | "AccessDenied") => {
                Problem::cannot_run(format!("AWS refuses to invoke {name}: {said}"))
                    .help("these credentials need the permission lambda:InvokeFunction on it")
            }
            Some(
                "UnrecognizedClientException"
                | "InvalidSignatureException"
                | "ExpiredTokenException"
                | "ExpiredToken"
                | "InvalidClientTokenId",
            ) => Problem::cannot_run(format!("AWS does not take the credentials: {said}"))
                .help("they may have expired, or be those of another account: log in again"),
            Some("TooManyRequestsException") => {
                Problem::cannot_run(format!("AWS has no room to run {name} now: {said}"))
                    .help("try again in a while")
            }
            Some(_) => Problem::cannot_run(format!("invoking {name} in {region} failed: {said}")),
            None => Problem::cannot_run(format!(
                "invoking {name} in {region} failed: {}",
                chain(error)
            ))
            .help("is there a way to AWS from here? AWS_ENDPOINT_URL and the Region decide where it leads"),
        }
    }
}

/// What is said of a function that answers otherwise than ours does.
pub(crate) fn is_another(name: &str) -> Problem {
    Problem::cannot_run(format!("{name} answers as no Restore Proof function does")).help(
        "is this the right function, and new enough? The stack's parameter NamePrefix names it",
    )
}

/// An error with its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !words.ends_with(&more) {
            words = format!("{words}: {more}");
        }
        cause = inner.source();
    }
    words
}

/// The same for calls that may take as long as the function runs.
async fn patient() -> Result<(SdkConfig, String), Problem> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ANSWER)
        .build();
    let (config, region) = environment().await?;
    let config = config.into_builder().timeout_config(timeouts).build();
    Ok((config, region))
}

/// A bucket with records.
#[derive(Clone)]
pub(crate) struct Bucket {
    client: aws_sdk_s3::Client,
    name: String,
    region: String,
}

impl Bucket {
    /// The bucket of this name.
    ///
    /// # Errors
    /// When the environment tells no Region or no credentials.
    pub(crate) async fn find(name: &str) -> Result<Bucket, Problem> {
        let (config, region) = patient().await?;
        Ok(Bucket {
            client: aws_sdk_s3::Client::new(&config),
            name: name.to_owned(),
            region,
        })
    }

    /// The bucket that a deployed function writes its records to.
    ///
    /// # Errors
    /// When the function cannot be asked for, or names none.
    pub(crate) async fn of_function(name: &str) -> Result<Bucket, Problem> {
        let function = Function::find(name).await?;
        let asked = function.client.get_function_configuration();
        let told = asked.function_name(name).send().await.map_err(|error| {
            let code = error.code().map(str::to_owned);
            let message = error.message().map(str::to_owned);
            match code.as_deref() {
                Some("AccessDeniedException" | "AccessDenied") => Problem::cannot_run(format!(
                    "AWS refuses to tell how {name} is configured: {}",
                    message.unwrap_or_default()
                ))
                .help("these credentials need the permission lambda:GetFunctionConfiguration on it; or name the bucket with --bucket"),
                Some(_) | None => function.problem(code, message, &error),
            }
        })?;
        // A key that these credentials may not use hides the variables.
        let environment = told.environment();
        let hidden = environment.and_then(|environment| environment.error()?.message());
        if let Some(why) = hidden {
            return Err(Problem::cannot_run(format!(
                "AWS does not tell the bucket of {name}: {why}"
            ))
            .help("name it with --bucket"));
        }
        let variables = environment.and_then(|environment| environment.variables());
        let bucket = variables.and_then(|variables| variables.get("RESULTS_BUCKET"));
        Bucket::find(bucket.ok_or_else(|| is_another(name))?).await
    }

    /// The keys of these records that are there, with their sizes.
    ///
    /// # Errors
    /// When S3 refuses or cannot be reached.
    pub(crate) async fn keys(&self, of: &RecordKeys) -> Result<Vec<(String, u64)>, Problem> {
        let asked = self.client.list_objects_v2().bucket(&self.name);
        let asked = asked.prefix(of.prefix).start_after(&of.after);
        let mut pages = asked.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.problem("s3:ListBucket", &error))?;
            for object in page.contents.unwrap_or_default() {
                let Some(key) = object.key else {
                    continue;
                };
                // S3 lists in the order of the keys.
                if key >= of.end {
                    return Ok(keys);
                }
                let size = object.size.and_then(|size| u64::try_from(size).ok());
                keys.push((key, size.unwrap_or_default()));
            }
        }
        Ok(keys)
    }

    /// An object; None if it is not there.
    ///
    /// # Errors
    /// When S3 refuses or cannot be reached.
    pub(crate) async fn object(&self, key: &str) -> Result<Option<Vec<u8>>, Problem> {
        let asked = self.client.get_object().bucket(&self.name).key(key);
        let found = match asked.send().await {
            Ok(found) => found,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
            Err(error) => return Err(self.problem("s3:GetObject", &error)),
        };
        let body = found.body.collect().await.map_err(|error| {
            Problem::cannot_run(format!(
                "reading {key} of {} broke off: {}",
                self.name,
                chain(&error)
            ))
        })?;
        Ok(Some(body.to_vec()))
    }

    fn problem<E>(&self, permission: &str, error: &SdkError<E, HttpResponse>) -> Problem
    where
        E: std::error::Error + aws_sdk_s3::error::ProvideErrorMetadata + 'static,
    {
        let Bucket { name, region, .. } = self;
        let said = error.message().or(error.code()).unwrap_or_default();
        match error.code() {
            Some("NoSuchBucket") => Problem::cannot_run(format!("there is no bucket {name}"))
                .help("the stack's output ResultsBucketName names it"),
            Some("AccessDenied") => {
                Problem::cannot_run(format!("AWS refuses to read the bucket {name}: {said}")).help(format!(
                    "these credentials need the permission {permission} on it, and the use of its key"
                ))
            }
            Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
                Problem::cannot_run(format!("the bucket {name} is not in {region}: {said}"))
                    .help("set AWS_REGION to the Region of the stack")
            }
            Some(
                "ExpiredToken" | "InvalidAccessKeyId" | "InvalidToken" | "SignatureDoesNotMatch",
            ) => Problem::cannot_run(format!("AWS does not take the credentials: {said}"))
                .help("they may have expired, or be those of another account: log in again"),
            Some(_) => Problem::cannot_run(format!("reading the bucket {name} failed: {said}")),
            None => Problem::cannot_run(format!("reading the bucket {name} failed: {}", chain(error)))
                .help("is there a way to AWS from here? AWS_ENDPOINT_URL and the Region decide where it leads"),
        }
    }
}
