//! The deployed stack as its function tells of it, and what several areas look at: asked for once.

use std::collections::HashMap;

use aws_sdk_ec2::types::{Filter, VpcEndpoint};
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::primitives::Blob;
use jiff::Timestamp;
use restore_proof_core::policy::Policy;
use restore_proof_function::aws::{Aws, AwsError, call, failed};
use restore_proof_function::config::{Config, S3Uri};
use restore_proof_function::policy_file::read_object;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::api::Api;
use super::{Area, Findings};
use crate::aws;
use crate::exit::Problem;

/// What came of looking for the stack.
pub(super) enum Looked {
    /// There it is.
    Seen(Box<Stack>),
    /// Its function does not show what the rest rests on.
    Not(Findings),
}

/// A deployed stack.
pub(super) struct Stack {
    pub(super) aws: Aws,
    pub(super) api: Api,
    /// The function's settings.
    pub(super) config: Config,
    /// The function as Lambda describes it.
    pub(super) function: GetFunctionConfigurationOutput,
    pub(super) now: Timestamp,
    endpoints: OnceCell<Result<Vec<VpcEndpoint>, AwsError>>,
    inside: OnceCell<Inside>,
    policy: OnceCell<PolicyText>,
}

/// What the function tells of the services that it calls.
#[derive(Debug)]
pub(super) enum Inside {
    /// As it answered.
    Told(Value),
    /// It does not know the question.
    Older,
    /// It could not answer: in its own words.
    Failed(String),
    /// It could not be asked.
    Unseen(AwsError),
}

/// The policy file.
#[derive(Debug)]
pub(super) enum PolicyText {
    /// Its text.
    Text(String),
    /// There is none that can be obeyed, in words.
    Useless(String),
    /// There is no bucket or object.
    Missing,
    /// It could not be read.
    Unseen(AwsError),
}

impl Stack {
    /// The stack of a function.
    ///
    /// # Errors
    /// When there are no credentials, or there is no such function.
    pub(super) async fn find(name: &str) -> anyhow::Result<Looked> {
        let (sdk, region) = aws::environment().await?;
        let aws = Aws::new(&sdk);
        let operation = "lambda:GetFunctionConfiguration";
        let asked = aws.lambda.get_function_configuration();
        let function = match call(operation, asked.function_name(name).send()).await {
            Ok(function) => function,
            Err(error) if error.is(&["ResourceNotFoundException"]) => {
                return Err(Problem::cannot_run(format!("there is no function {name} in {region}"))
                    .help("name it with --function (the stack's parameter NamePrefix), and look at Region and account")
                    .into());
            }
            Err(error) if error.is_access_denied() => {
                let mut findings = Findings::of(Area::Function);
                findings.refused("function_settings", "the function's settings", &error);
                return Ok(Looked::Not(findings));
            }
            Err(error) => {
                return Err(Problem::cannot_run(format!("the function {name}: {error}"))
                    .help("are the credentials good, and is there a way to AWS from here?")
                    .into());
            }
        };
        let variables = function.environment().and_then(|all| all.variables());
        let config = match read_config(variables, name, &region) {
            Ok(config) => config,
            Err(why) => {
                let mut findings = Findings::of(Area::Function);
                let words = format!("the function's settings are of no use: {why}");
                findings.broken(
                    "function_settings",
                    words,
                    "deploy the stack again: sam deploy; is this the right function (--function)?",
                );
                return Ok(Looked::Not(findings));
            }
        };
        let api = Api::new(&sdk, &region, &config.partition)?;
        Ok(Looked::Seen(Box::new(Stack {
            aws,
            api,
            config,
            function,
            now: Timestamp::now(),
            endpoints: OnceCell::new(),
            inside: OnceCell::new(),
            policy: OnceCell::new(),
        })))
    }

    /// Which stack this is, for programs.
    pub(super) fn described(&self) -> Value {
        json!({
            "function": self.config.function_name,
            "region": self.config.region,
            "account": self.config.account,
        })
    }

    /// ARN of the function.
    pub(super) fn function_arn(&self) -> &str {
        self.function.function_arn().unwrap_or_default()
    }

    /// The isolated network.
    pub(super) fn vpc(&self) -> Option<&str> {
        let vpc = self.function.vpc_config()?.vpc_id();
        vpc.filter(|vpc| !vpc.is_empty())
    }

    /// The endpoints of the isolated network.
    pub(super) async fn endpoints(&self) -> &Result<Vec<VpcEndpoint>, AwsError> {
        self.endpoints.get_or_init(|| self.ask_endpoints()).await
    }

    async fn ask_endpoints(&self) -> Result<Vec<VpcEndpoint>, AwsError> {
        let filter = Filter::builder()
            .name("vpc-id")
            .values(self.vpc().unwrap_or_default());
        let mut pages = self
            .aws
            .ec2
            .describe_vpc_endpoints()
            .filters(filter.build())
            .into_paginator()
            .send();
        let mut endpoints = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(failed("ec2:DescribeVpcEndpoints"))?;
            endpoints.extend(page.vpc_endpoints.unwrap_or_default());
        }
        // EC2 shows those that are gone for a while.
        endpoints.retain(|one| {
            let state = one.state().map_or("", |state| state.as_str());
            !state.to_ascii_lowercase().starts_with("delet")
        });
        Ok(endpoints)
    }

    /// What the function tells of the services that it calls.
    pub(super) async fn inside(&self) -> &Inside {
        self.inside.get_or_init(|| self.ask_function()).await
    }

    async fn ask_function(&self) -> Inside {
        let wish = Blob::new(json!({ "doctor": {} }).to_string());
        let asked = self.aws.lambda.invoke();
        let asked = asked
            .function_name(self.function_arn())
            .payload(wish)
            .send();
        match call("lambda:Invoke", asked).await {
            Err(error) => Inside::Unseen(error),
            Ok(answer) => {
                let body = answer.payload().map(Blob::as_ref).unwrap_or_default();
                let told: Value = serde_json::from_slice(body).unwrap_or_default();
                if answer.function_error().is_some() {
                    let why = told["errorMessage"].as_str();
                    return Inside::Failed(why.unwrap_or("it does not say why").to_owned());
                }
                match told.get("doctor") {
                    Some(told) => Inside::Told(told.clone()),
                    None => Inside::Older,
                }
            }
        }
    }

    /// The policy file.
    pub(super) async fn policy(&self) -> &PolicyText {
        self.policy.get_or_init(|| self.read_policy()).await
    }

    async fn read_policy(&self) -> PolicyText {
        let uri = &self.config.policy;
        match read_object(&self.aws, uri).await {
            Ok(None) => PolicyText::Useless(restore_proof_core::policy::TOO_LARGE.to_owned()),
            Ok(Some(bytes)) => String::from_utf8(bytes).map_or_else(
                |_| PolicyText::Useless("it is not UTF-8 text".to_owned()),
                PolicyText::Text,
            ),
            Err(error) if error.is(&["NoSuchKey", "NoSuchBucket"]) => PolicyText::Missing,
            Err(error) if error.is_access_denied() => match self.is_listed(uri).await {
                Some(false) => PolicyText::Missing,
                Some(true) | None => PolicyText::Unseen(error),
            },
            Err(error) => PolicyText::Unseen(error),
        }
    }

    /// Whether the bucket lists the object: to whoever may not list, S3 refuses what is not there. None if that is not to
    /// be seen either.
    async fn is_listed(&self, uri: &S3Uri) -> Option<bool> {
        let asked = self.aws.s3.list_objects_v2().bucket(&uri.bucket);
        let asked = asked.prefix(&uri.key).max_keys(1).send();
        let listed = call("s3:ListObjectsV2", asked).await.ok()?;
        let mut objects = listed.contents().iter();
        Some(objects.any(|object| object.key() == Some(&uri.key)))
    }

    /// The policy, if it can be read and has no mistakes.
    pub(super) async fn good_policy(&self) -> Option<Policy> {
        match self.policy().await {
            PolicyText::Text(text) => restore_proof_core::policy::parse(text).ok(),
            PolicyText::Useless(_) | PolicyText::Missing | PolicyText::Unseen(_) => None,
        }
    }
}

/// The function's settings by its environment, and by what Lambda itself sets.
fn read_config(
    variables: Option<&HashMap<String, String>>,
    function: &str,
    region: &str,
) -> Result<Config, String> {
    // A name, an ARN or part of one.
    let function = function.rsplit("function:").next().unwrap_or(function);
    let function = function.split(':').next().unwrap_or(function);
    Config::read(|name| match name {
        "AWS_REGION" => Some(region.to_owned()),
        "AWS_LAMBDA_FUNCTION_NAME" => Some(function.to_owned()),
        other => variables?.get(other).cloned(),
    })
    .map_err(|error| error.to_string())
}
