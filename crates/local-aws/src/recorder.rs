//! Every request and answer of a run as one JSON line, for validation against botocore's models.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use aws_smithy_types::base64;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::wire::{HIDDEN, Request, percent_decode};
use crate::world::lock;

/// An open recording.
pub(crate) struct Recorder(Mutex<File>);

impl Recorder {
    pub fn open(file: &Path) -> anyhow::Result<Recorder> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .with_context(|| format!("open {} for recording", file.display()))?;
        Ok(Recorder(Mutex::new(file)))
    }

    pub fn record(
        &self,
        parsed: &Request,
        request: &http::Request<Bytes>,
        response: &http::Response<Bytes>,
        answered: Option<Value>,
        injected: bool,
    ) {
        let mut line = json!({
            "service": parsed.service.model(),
            "operation": parsed.operation,
            "method": request.method().as_str(),
            "path": path(parsed, request.uri().path()),
            "query": request.uri().query().unwrap_or_default(),
            "request_headers": headers(request.headers()),
            "request_body": base64::encode(shown_request(parsed, request.body())),
            "status": response.status().as_u16(),
            "response_headers": headers(response.headers()),
            "response_body": base64::encode(shown_response(parsed, response.body())),
            "injected": injected,
        });
        if let Some(answered) = answered {
            line["answered"] = answered;
        }
        let mut line = line.to_string();
        line.push('\n');
        if let Err(error) = lock(&self.0).write_all(line.as_bytes()) {
            tracing::error!(%error, "a call could not be recorded");
        }
    }
}

/// A request's body, its secrets replaced: what botocore's models call sensitive.
fn shown_request(request: &Request, body: &[u8]) -> Vec<u8> {
    match request.operation.as_str() {
        _ if request.has_password() => form_urlencoded::Serializer::new(String::new())
            .extend_pairs(request.shown_params())
            .finish()
            .into_bytes(),
        "StartRestoreJob" => in_json(body, |members| {
            let metadata = members.get_mut("Metadata").and_then(Value::as_object_mut);
            for value in metadata.into_iter().flat_map(|all| all.values_mut()) {
                *value = HIDDEN.into();
            }
        }),
        _ => body.to_vec(),
    }
}

/// An answer's body, its secrets replaced.
fn shown_response(request: &Request, body: &[u8]) -> Vec<u8> {
    match request.operation.as_str() {
        "GetSecretValue" => in_json(body, |members| {
            if let Some(value) = members.get_mut("SecretString") {
                *value = HIDDEN.into();
            }
        }),
        _ => body.to_vec(),
    }
}

fn in_json(body: &[u8], hide: impl FnOnce(&mut Map<String, Value>)) -> Vec<u8> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut members)) => {
            hide(&mut members);
            Value::Object(members).to_string().into_bytes()
        }
        _ => body.to_vec(),
    }
}

/// The path as the service model has it. S3's begins with the bucket, which the SDK names in the host unless that is an
/// address; the record has no host.
fn path(parsed: &Request, path: &str) -> String {
    let names_key_alone = percent_decode(path).strip_prefix('/') == Some(parsed.key.as_str());
    if parsed.service.model() == "s3" && names_key_alone && !parsed.bucket.is_empty() {
        format!("/{}{path}", parsed.bucket)
    } else {
        path.to_owned()
    }
}

/// Headers by lower-case name; the signature is left out.
fn headers(headers: &HeaderMap) -> BTreeMap<&str, String> {
    headers
        .iter()
        .filter(|(name, _)| *name != "authorization" && *name != "x-amz-security-token")
        .map(|(name, value)| {
            (
                name.as_str(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::base64;
    use crate::service::testing::*;
    use crate::{DbInstance, Secret};

    #[test]
    fn what_is_recorded_holds_no_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (world, _) = still_world(|_| ());
        world.add_db_instance(DbInstance {
            identifier: "db".into(),
            ..DbInstance::default()
        });
        world.add_secret(Secret {
            name: "login".into(),
            value: "s3cret-login".into(),
        });
        world.record_to(file.path()).unwrap();
        let modify = [
            ("Action", "ModifyDBInstance"),
            ("Version", "2014-10-31"),
            ("DBInstanceIdentifier", "db"),
            ("MasterUserPassword", "n3w-password"),
        ];
        assert_eq!(query_call(&world, "rds", &modify).status, 200);
        let mut metadata = good_metadata();
        metadata["TdeCredentialPassword"] = "tde-password".into();
        start_restore(&world, metadata, None);
        let id = json!({"SecretId": "login"});
        let secret = json_call(&world, "secretsmanager.GetSecretValue", &id);
        assert_eq!(secret.json()["SecretString"], "s3cret-login");

        let recorded = std::fs::read_to_string(file.path()).unwrap();
        let bodies: Vec<String> = recorded
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .flat_map(|call| ["request_body", "response_body"].map(|body| call[body].clone()))
            .map(|body| base64::decode(body.as_str().unwrap()).unwrap())
            .map(|body| String::from_utf8(body).unwrap())
            .collect();
        let all = bodies.join("\n");
        for secret in ["s3cret-login", "n3w-password", "tde-password", "isolated"] {
            assert!(!all.contains(secret), "{secret}: {all}");
        }
        // All that is no secret is there.
        for words in [
            "DBInstanceIdentifier=db&MasterUserPassword=****",
            "\"DBInstanceIdentifier\":\"****\"",
            "\"SecretString\":\"****\"",
            "\"RecoveryPointArn\":",
        ] {
            assert!(all.contains(words), "{words}: {all}");
        }
    }
}
