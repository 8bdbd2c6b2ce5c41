//! Reads the policy file from S3.

use restore_proof_core::policy::{self, Policy};
use restore_proof_core::validation::PolicyUsed;

use crate::aws::{Aws, AwsError, failed};
use crate::config::S3Uri;

/// The largest policy file, bytes.
const LARGEST: usize = 1 << 20;

/// What the policy file turned out to be.
#[derive(Debug)]
pub enum PolicyFile {
    /// A policy without mistakes.
    Good(Box<Policy>),
    /// None that can be obeyed: missing, closed to us, or with mistakes.
    Broken {
        /// What is known of it.
        used: PolicyUsed,
        /// What is wrong, in words.
        reason: String,
    },
}

/// Reads the policy.
///
/// # Errors
/// When S3 does not answer; that says nothing of the policy.
pub async fn read(aws: &Aws, uri: &S3Uri) -> Result<PolicyFile, AwsError> {
    let broken = |used: PolicyUsed, reason: String| PolicyFile::Broken {
        used,
        reason: format!("the policy {uri} {reason}"),
    };
    let mut used = PolicyUsed {
        version: None,
        version_id: None,
        fingerprint: None,
    };
    let object = match get_object(aws, uri).await {
        Ok(object) => object,
        Err(error) if error.is(&["NoSuchKey", "NoSuchBucket"]) => {
            return Ok(broken(used, "does not exist".to_owned()));
        }
        // Without the permission to list, S3 answers so for a missing object too.
        Err(error) if error.is_access_denied() => {
            return Ok(broken(used, "does not exist or may not be read".to_owned()));
        }
        Err(error) => return Err(error),
    };
    used.version_id = object.version_id;
    let Some(bytes) = object.bytes else {
        return Ok(broken(used, "is larger than 1 MiB".to_owned()));
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return Ok(broken(used, "is not UTF-8 text".to_owned()));
    };
    Ok(match policy::parse(&text) {
        Ok(policy) => PolicyFile::Good(Box::new(Policy {
            version_id: used.version_id,
            ..policy
        })),
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
    Ok(get_object(aws, uri).await?.bytes)
}

/// An object as S3 answered it.
struct Object {
    /// None if it is larger than 1 MiB.
    bytes: Option<Vec<u8>>,
    /// None in a bucket without versions: S3 calls an object's only version there `null`, or says nothing.
    version_id: Option<String>,
}

async fn get_object(aws: &Aws, uri: &S3Uri) -> Result<Object, AwsError> {
    let answer = aws
        .s3
        .get_object()
        .bucket(&uri.bucket)
        .key(&uri.key)
        .send()
        .await
        .map_err(failed("s3:GetObject"))?;
    let version_id = answer.version_id.filter(|id| id != "null");
    let mut body = answer.body;
    let mut bytes = Vec::new();
    while let Some(some) = body.try_next().await.map_err(|error| AwsError {
        operation: "s3:GetObject",
        code: None,
        message: format!("the body of {uri} broke off: {error}"),
    })? {
        bytes.extend_from_slice(&some);
        if bytes.len() > LARGEST {
            return Ok(Object {
                bytes: None,
                version_id,
            });
        }
    }
    Ok(Object {
        bytes: Some(bytes),
        version_id,
    })
}
