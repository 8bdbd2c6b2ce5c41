//! Secrets Manager: GetSecretValue (awsJson1.1).

use serde_json::json;

use crate::wire::{Reply, Request, ServiceError};
use crate::world::state::State;

use super::{Answer, json_body, text};

pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    let body = json_body(request)?;
    match request.operation.as_str() {
        "GetSecretValue" => {
            let id = text(&body, "SecretId").unwrap_or_default();
            // By name, by ARN, or by ARN without the six random characters.
            let found = state.secrets.iter().find(|(name, secret)| {
                let partial = secret
                    .arn
                    .rsplit_once('-')
                    .map_or("", |(partial, _)| partial);
                *name == id || secret.arn == id || partial == id
            });
            let Some((name, secret)) = found else {
                let message = "Secrets Manager can't find the specified secret.";
                return Err(ServiceError::new("ResourceNotFoundException", 400, message));
            };
            let stage = text(&body, "VersionStage").unwrap_or("AWSCURRENT");
            if stage != "AWSCURRENT"
                || text(&body, "VersionId").is_some_and(|version| version != secret.version)
            {
                let message = format!(
                    "Secrets Manager can't find the specified secret value for staging label: {stage}"
                );
                return Err(ServiceError::new(
                    "ResourceNotFoundException",
                    400,
                    &message,
                ));
            }
            Ok(Reply::json(&json!({
                "ARN": secret.arn,
                "Name": name,
                "VersionId": secret.version,
                "SecretString": secret.value,
                "VersionStages": ["AWSCURRENT"],
                "CreatedDate": secret.created_at.as_millisecond() as f64 / 1000.0,
            })))
        }
        _ => Err(ServiceError::not_played(request)),
    }
}
