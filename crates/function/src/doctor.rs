//! Which services answer the function, asked from where it runs: for `restore-proof doctor`, which sees the network from
//! outside only.

use std::pin::Pin;

use futures_util::{FutureExt, future};
use serde_json::{Map, Value, json};

use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_sdk_ec2::types::Filter;
use aws_sdk_lambda::types::InvocationType;

use crate::App;
use crate::aws::{Aws, AwsError, call};
use crate::failure::Failure;
use crate::ledger::{Ledger, Slots};

/// No version of a secret is staged so: Secrets Manager has nothing to hand out.
const NO_STAGE: &str = "restore-proof-doctor";
/// Nobody makes a log stream of this name: CloudWatch Logs has nowhere to put an event.
const NO_STREAM: &str = "restore-proof-doctor";

/// How one service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    /// It answered, whatever; with an error's code if it was one.
    Answered(Option<String>),
    /// It, or the policy of the endpoint on the way, refuses the function.
    Refused(String),
    /// Nothing came back that can be read.
    Nothing(String),
}

impl Heard {
    fn of<T>(result: Result<T, AwsError>) -> Heard {
        match result {
            Ok(_) => Heard::Answered(None),
            Err(error) => match &error.code {
                None => Heard::Nothing(error.message),
                Some(code) if error.is_access_denied() => Heard::Refused(code.clone()),
                Some(code) => Heard::Answered(Some(code.clone())),
            },
        }
    }

    fn told(&self) -> Value {
        match self {
            Heard::Answered(None) => json!({ "state": "answered" }),
            Heard::Answered(Some(code)) => json!({ "state": "answered", "code": code }),
            Heard::Refused(code) => json!({ "state": "refused", "code": code }),
            Heard::Nothing(why) => json!({ "state": "no_answer", "why": why }),
        }
    }
}

/// A question, and the service that it is for.
type Asked<'a> = (
    &'static str,
    Pin<Box<dyn Future<Output = Heard> + Send + 'a>>,
);

/// How each service that the function calls answers it, and what the ledger says of a pause.
///
/// The function's role and the endpoints allow what validations need and nothing else, so each question is one of those
/// operations. Where that operation changes something, the question is one that the service refuses as it stands.
pub async fn answers(app: &App) -> Value {
    let aws = &app.aws.impatient();
    let (ledger, heard) = future::join(
        Ledger::new(aws.dynamodb.clone(), &app.config.ledger_table).slots(),
        future::join_all(
            questions(app, aws)
                .into_iter()
                .map(|(service, asked)| asked.map(move |heard| (service, heard))),
        ),
    )
    .await;
    let (paused, of_ledger) = match ledger {
        Ok(slots) => (pause(&slots), Heard::Answered(None)),
        Err(Failure::Aws(error)) => (Value::Null, Heard::of::<()>(Err(error))),
        // DynamoDB did answer; that its item cannot be read is the function's own trouble, and `status` tells it.
        Err(
            Failure::LeaseLost(_)
            | Failure::Unreadable(..)
            | Failure::NotIsolated(_)
            | Failure::Other(_),
        ) => (Value::Null, Heard::Answered(Some("Unreadable".to_owned()))),
    };
    let mut services = Map::new();
    services.insert("dynamodb".to_owned(), of_ledger.told());
    services.extend(
        heard
            .into_iter()
            .map(|(service, heard)| (service.to_owned(), heard.told())),
    );
    json!({
        "doctor": {
            "version": env!("CARGO_PKG_VERSION"),
            "paused": paused,
            "services": services,
        },
    })
}

fn pause(slots: &Slots) -> Value {
    slots.paused().map_or(
        Value::Null,
        |pause| json!({ "since": pause.since, "reason": pause.reason }),
    )
}

fn questions<'a>(app: &'a App, aws: &'a Aws) -> Vec<Asked<'a>> {
    let config = &app.config;
    let mut questions: Vec<Asked<'a>> = vec![
        (
            "backup",
            heard(call(
                "backup:ListBackupVaults",
                aws.backup.list_backup_vaults().max_results(1).send(),
            )),
        ),
        (
            "ec2",
            // Each restore depends on both.
            heard(async {
                call(
                    "ec2:DescribeRouteTables",
                    aws.ec2
                        .describe_route_tables()
                        .filters(Filter::builder().name("vpc-id").values(&config.vpc).build())
                        .max_results(5)
                        .send(),
                )
                .await?;
                call(
                    "ec2:DescribeSecurityGroups",
                    aws.ec2
                        .describe_security_groups()
                        .set_group_ids(Some(config.network.db_security_groups.clone()))
                        .send(),
                )
                .await
            }),
        ),
        (
            "s3",
            heard(call(
                "s3:GetObject",
                aws.s3
                    .get_object()
                    .bucket(&config.policy.bucket)
                    .key(&config.policy.key)
                    .send(),
            )),
        ),
        // SNS refuses an empty message (`Invalid parameter: Empty message`): nobody is sent anything.
        (
            "sns",
            heard(call(
                "sns:Publish",
                aws.sns
                    .publish()
                    .topic_arn(&config.topic_arn)
                    .message("")
                    .send(),
            )),
        ),
        (
            "logs",
            heard(call(
                "logs:PutLogEvents",
                aws.logs
                    .put_log_events()
                    .log_group_name(&config.records_log_group)
                    .log_stream_name(NO_STREAM)
                    .log_events(
                        InputLogEvent::builder()
                            .timestamp(app.now().as_millisecond())
                            .message("doctor")
                            .build()
                            .expect("timestamp and message are set"),
                    )
                    .send(),
            )),
        ),
        (
            "secretsmanager",
            heard(call(
                "secretsmanager:GetSecretValue",
                aws.secrets
                    .get_secret_value()
                    .secret_id(&config.reset_key_secret)
                    .version_stage(NO_STAGE)
                    .send(),
            )),
        ),
        // Asks for the permission and starts nothing ("Invoke", Lambda API reference: DryRun).
        (
            "lambda",
            heard(call(
                "lambda:Invoke",
                aws.lambda
                    .invoke()
                    .function_name(&config.function_name)
                    .invocation_type(InvocationType::DryRun)
                    .send(),
            )),
        ),
    ];
    if config.calls_rds() {
        // Nothing that is restored has a name as short as this.
        let nobody = format!("{}-r-doctor", config.name_prefix);
        questions.push((
            "rds",
            heard(call(
                "rds:DescribeDBInstances",
                aws.rds
                    .describe_db_instances()
                    .db_instance_identifier(nobody)
                    .send(),
            )),
        ));
    }
    questions
}

fn heard<'a, T: 'a>(
    asked: impl Future<Output = Result<T, AwsError>> + Send + 'a,
) -> Pin<Box<dyn Future<Output = Heard> + Send + 'a>> {
    asked.map(Heard::of).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: Option<&str>) -> Result<(), AwsError> {
        Err(AwsError {
            operation: "sns:Publish",
            code: code.map(str::to_owned),
            message: "words".to_owned(),
        })
    }

    #[test]
    fn an_error_is_an_answer_unless_it_is_a_refusal() {
        assert_eq!(Heard::of(Ok(())), Heard::Answered(None));
        assert_eq!(Heard::of(error(None)), Heard::Nothing("words".to_owned()));
        for refusal in ["AccessDeniedException", "AuthorizationError"] {
            let heard = Heard::of(error(Some(refusal)));
            assert_eq!(heard, Heard::Refused(refusal.to_owned()));
        }
        let heard = Heard::of(error(Some("InvalidParameter")));
        assert_eq!(heard, Heard::Answered(Some("InvalidParameter".to_owned())));
    }
}
