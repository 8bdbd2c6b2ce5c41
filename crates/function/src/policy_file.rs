//! Reads the policy file from S3.

use futures_util::FutureExt;
use std::sync::{Arc, Mutex, PoisonError};

use restore_proof_core::policy::{self, LARGEST_FILE, Policy, TOO_LARGE};
use restore_proof_core::validation::PolicyUsed;

use crate::App;
use crate::aws::{Aws, AwsError, failed};
use crate::config::S3Uri;

/// What the policy file turned out to be.
#[derive(Debug)]
pub enum PolicyFile {
    /// A policy without mistakes.
    Good(Arc<Policy>),
    /// None that can be obeyed: missing, closed to us, or with mistakes.
    Broken {
        /// What is known of it.
        used: PolicyUsed,
        /// What is wrong, in words.
        reason: String,
    },
}

/// The policy that was read last, with the object's ETag: read again, it is only asked whether it is another. To parse a
/// policy with thousands of expressions takes longer than to ask.
#[derive(Debug, Default)]
pub struct Known(Mutex<Option<(String, Arc<Policy>)>>);

impl Known {
    fn get(&self) -> Option<(String, Arc<Policy>)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, known: Option<(String, Arc<Policy>)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

/// Reads the policy.
///
/// # Errors
/// When S3 does not answer; that says nothing of the policy.
pub async fn read(app: &App) -> Result<PolicyFile, AwsError> {
    let uri = &app.config.policy;
    let broken = |used: PolicyUsed, reason: String| PolicyFile::Broken {
        used,
        reason: format!("the policy {uri} {reason}"),
    };
    let mut used = PolicyUsed {
        version: None,
        version_id: None,
        fingerprint: None,
    };
    let known = app.known_policy.get();
    let etag = known.as_ref().map(|(etag, _)| etag.as_str());
    let object = match (get_object(&app.aws, uri, etag).await, known) {
        (Ok(None), Some((_, policy))) => return Ok(PolicyFile::Good(policy)),
        (Ok(object), _) => object.unwrap_or_default(),
        (Err(error), _) if error.is(&["NoSuchKey", "NoSuchBucket"]) => {
            return Ok(broken(used, "does not exist".to_owned()));
        }
        // Without the permission to list, S3 answers so for a missing object too.
        (Err(error), _) if error.is_access_denied() => {
            return Ok(broken(used, "does not exist or may not be read".to_owned()));
        }
        (Err(error), _) => return Err(error),
    };
    used.version_id = object.version_id;
    let Some(bytes) = object.bytes else {
        return Ok(broken(used, format!("is of no use: {TOO_LARGE}")));
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return Ok(broken(used, "is not UTF-8 text".to_owned()));
    };
    Ok(match policy::parse(&text) {
        Ok(policy) => {
            let policy = Arc::new(Policy {
                version_id: used.version_id,
                ..policy
            });
            let known = object.etag.map(|etag| (etag, Arc::clone(&policy)));
            app.known_policy.set(known);
            PolicyFile::Good(policy)
        }
        Err(mistakes) => {
            let count = mistakes.0.len();
            let first = mistakes
                .0
                .first()
                .map(ToString::to_string)
                .unwrap_or_default();
            let more = if count > 1 {
                format!(" and {} more mistakes", count - 1)
            } else {
                String::new()
            };
            used.fingerprint = Some(policy::fingerprint(&text));
            broken(used, format!("has a mistake at {first}{more}"))
        }
    })
}

/// The bytes of an object; none when it is larger than 1 MiB.
///
/// # Errors
/// When S3 refuses or does not answer.
pub async fn read_object(aws: &Aws, uri: &S3Uri) -> Result<Option<Vec<u8>>, AwsError> {
    let object = get_object(aws, uri, None).await?;
    Ok(object.unwrap_or_default().bytes)
}

/// An object as S3 answered it.
#[derive(Default)]
struct Object {
    /// None if it is larger than 1 MiB.
    bytes: Option<Vec<u8>>,
    /// None in a bucket without versions: S3 calls an object's only version there `null`, or says nothing.
    version_id: Option<String>,
    etag: Option<String>,
}

/// None if the object has the ETag that is `known`: the same bytes, though perhaps in another version.
async fn get_object(
    aws: &Aws,
    uri: &S3Uri,
    known: Option<&str>,
) -> Result<Option<Object>, AwsError> {
    let answer = aws
        .s3
        .get_object()
        .bucket(&uri.bucket)
        .key(&uri.key)
        .set_if_none_match(known.map(str::to_owned))
        .send()
        .boxed()
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        // No error that the SDK has a name for ("GetObject", API reference of S3: `304 Not Modified`).
        Err(error)
            if error
                .raw_response()
                .is_some_and(|raw| raw.status().as_u16() == 304) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed("s3:GetObject")(error)),
    };
    let mut object = Object {
        bytes: None,
        version_id: answer.version_id.filter(|id| id != "null"),
        etag: answer.e_tag,
    };
    let mut body = answer.body;
    let mut bytes = Vec::new();
    while let Some(some) = body.try_next().await.map_err(|error| AwsError {
        operation: "s3:GetObject",
        code: None,
        message: format!("the body of {uri} broke off: {error}"),
    })? {
        bytes.extend_from_slice(&some);
        if bytes.len() > LARGEST_FILE {
            return Ok(Some(object));
        }
    }
    object.bytes = Some(bytes);
    Ok(Some(object))
}
