//! The services, one file each. A service answers a parsed request from the world's state.

mod backup;
pub(crate) mod dynamodb;
mod ec2;
mod lambda;
mod logs;
pub(crate) mod rds;
mod s3;
mod secrets;
mod sns;
#[cfg(test)]
pub(crate) mod testing;

use serde_json::Value;

use crate::wire::{Reply, Request, Service, ServiceError};
use crate::world::state::State;

type Answer = Result<Reply, ServiceError>;

/// Answers a request.
pub(crate) fn dispatch(state: &mut State, request: &Request) -> Reply {
    let options = &state.options;
    let backup_only = options.rds_endpoint.is_some() || options.ec2_endpoint.is_some();
    let answer = match request.service {
        service if backup_only && service != Service::Backup => {
            Err(ServiceError::not_played(request))
        }
        Service::Backup => backup::answer(state, request),
        Service::Rds => rds::answer(state, request),
        Service::Ec2 => ec2::answer(state, request),
        Service::DynamoDb => dynamodb::answer(state, request),
        Service::S3 => s3::answer(state, request),
        Service::Sns => sns::answer(state, request),
        Service::Logs => logs::answer(state, request),
        Service::SecretsManager => secrets::answer(state, request),
        Service::Lambda => lambda::answer(state, request),
        Service::Other => Err(ServiceError::not_played(request)),
    };
    answer.unwrap_or_else(|error| Reply::error(request, &error))
}

/// Whether an operation creates, changes, deletes or sends something. An operation this world
/// does not know counts as mutating unless its name says that it reads.
pub(crate) fn is_mutating(operation: &str) -> bool {
    let reads = [
        "BatchGet", "Describe", "Get", "List", "Head", "Query", "Scan", "GET", "HEAD",
    ];
    !reads.iter().any(|verb| operation.starts_with(verb))
}

/// Names and ARNs of the resources a request is about.
pub(crate) fn resources(request: &Request) -> Vec<String> {
    let mut found = Vec::new();
    match request.service {
        Service::S3 => found.push(format!("{}/{}", request.bucket, request.key)),
        Service::Rds | Service::Sns => {
            let about = |name: &str| {
                name.contains("Identifier")
                    || name.ends_with("Arn")
                    || name.ends_with("ResourceName")
            };
            found.extend(
                request
                    .params
                    .iter()
                    .filter(|(name, _)| about(name))
                    .map(|(_, value)| value.clone()),
            );
        }
        Service::Ec2 => {
            let about = |name: &str| {
                let name = name.split('.').next().unwrap_or(name);
                matches!(name, "InstanceId" | "VolumeId" | "ImageId" | "ResourceId")
            };
            found.extend(
                request
                    .params
                    .iter()
                    .filter(|(name, _)| about(name))
                    .map(|(_, value)| value.clone()),
            );
        }
        Service::Backup | Service::Lambda => {
            let literal = [
                "functions",
                "backup-jobs",
                "copy-jobs",
                "invocations",
                "recovery-points",
                "restore-metadata",
                "metadata",
            ];
            found.extend(
                request
                    .path
                    .iter()
                    .skip(1)
                    .filter(|part| !literal.contains(&part.as_str()))
                    .cloned(),
            );
            if let Ok(Value::Object(body)) = serde_json::from_slice(&request.body) {
                let named = ["RecoveryPointArn", "IamRoleArn"];
                found.extend(
                    named
                        .iter()
                        .filter_map(|key| body.get(*key)?.as_str())
                        .map(str::to_owned),
                );
                for name in ["DBInstanceIdentifier", "DBClusterIdentifier"] {
                    let target = body.get("Metadata").and_then(|metadata| metadata.get(name));
                    found.extend(target.and_then(Value::as_str).map(str::to_owned));
                }
            }
        }
        Service::DynamoDb | Service::Logs | Service::SecretsManager => {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let actions = body.get("TransactItems").and_then(Value::as_array);
            let actions = actions.into_iter().flatten().filter_map(Value::as_object);
            let actions = actions.flat_map(serde_json::Map::values);
            for body in std::iter::once(&body).chain(actions) {
                for key in [
                    "TableName",
                    "IndexName",
                    "SecretId",
                    "logGroupName",
                    "logStreamName",
                ] {
                    found.extend(text(body, key).map(str::to_owned));
                }
                if let Some(Value::Object(key)) = body.get("Key") {
                    found.extend(
                        key.values()
                            .filter_map(|value| value.get("S")?.as_str())
                            .map(str::to_owned),
                    );
                }
                // An item put names its key among its attributes; this project's key is `id`.
                let id = body.pointer("/Item/id/S").and_then(Value::as_str);
                found.extend(id.map(str::to_owned));
            }
        }
        Service::Other => {}
    }
    found
}

/// The JSON object in a request's body.
fn json_body(request: &Request) -> Result<Value, ServiceError> {
    if request.body.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    match serde_json::from_slice(&request.body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(ServiceError::new(
            "SerializationException",
            400,
            "the body is not a JSON object",
        )),
    }
}

fn text<'a>(body: &'a Value, key: &str) -> Option<&'a str> {
    body.get(key).and_then(Value::as_str)
}
