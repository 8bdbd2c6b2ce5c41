//! The wire: which service and operation a request is for, and how answers and errors are shaped
//! in each service's protocol.

pub(crate) mod body;
pub(crate) mod reply;
pub(crate) mod shape;
pub(crate) mod xml;

use bytes::Bytes;
use http::{HeaderMap, Method};

pub(crate) use reply::{Reply, ServiceError, fault_reply};

/// The services of this world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Backup,
    Rds,
    Ec2,
    DynamoDb,
    S3,
    Sns,
    Logs,
    SecretsManager,
    Lambda,
    /// None of them; the operation then says which it was.
    Other,
}

impl Service {
    /// As calls and faults name it.
    pub fn name(self) -> &'static str {
        match self {
            Service::Backup => "Backup",
            Service::Rds => "RDS",
            Service::Ec2 => "EC2",
            Service::DynamoDb => "DynamoDB",
            Service::S3 => "S3",
            Service::Sns => "SNS",
            Service::Logs => "Logs",
            Service::SecretsManager => "SecretsManager",
            Service::Lambda => "Lambda",
            Service::Other => "Other",
        }
    }

    /// As botocore's folder of service models names it.
    pub fn model(self) -> &'static str {
        match self {
            Service::Backup => "backup",
            Service::Rds => "rds",
            Service::Ec2 => "ec2",
            Service::DynamoDb => "dynamodb",
            Service::S3 => "s3",
            Service::Sns => "sns",
            Service::Logs => "logs",
            Service::SecretsManager => "secretsmanager",
            Service::Lambda => "lambda",
            Service::Other => "other",
        }
    }

    fn of_signing_name(name: &str) -> Option<Service> {
        Some(match name {
            "backup" => Service::Backup,
            "rds" => Service::Rds,
            "ec2" => Service::Ec2,
            "dynamodb" => Service::DynamoDb,
            "s3" => Service::S3,
            "sns" => Service::Sns,
            "logs" => Service::Logs,
            "secretsmanager" => Service::SecretsManager,
            "lambda" => Service::Lambda,
            _ => return None,
        })
    }
}

/// What is shown in place of a secret, as RDS shows a pending password.
pub(crate) const HIDDEN: &str = "****";

/// A request, taken apart.
#[derive(Debug)]
pub(crate) struct Request {
    pub service: Service,
    pub operation: String,
    pub method: Method,
    /// Decoded path segments, without empty ones at either end.
    pub path: Vec<String>,
    /// Decoded query.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    /// Body, chunk framing removed.
    pub body: Bytes,
    /// Parameters of the query protocol.
    pub params: Vec<(String, String)>,
    /// S3: bucket and key.
    pub bucket: String,
    pub key: String,
}

impl Request {
    pub fn parse(request: http::Request<Bytes>) -> Request {
        let (parts, raw_body) = request.into_parts();
        let query = decode_form(parts.uri.query().unwrap_or_default().as_bytes());
        let body = body::decode(&parts.headers, raw_body);
        let content_type = header(&parts.headers, "content-type").unwrap_or_default();
        let params = if content_type.starts_with("application/x-www-form-urlencoded")
            && parts.method == Method::POST
        {
            decode_form(&body)
        } else {
            query.clone()
        };
        let raw_path = parts.uri.path();
        let mut request = Request {
            service: Service::Other,
            operation: String::new(),
            path: raw_path
                .trim_matches('/')
                .split('/')
                .map(percent_decode)
                .collect(),
            method: parts.method,
            query,
            headers: parts.headers,
            body,
            params,
            bucket: String::new(),
            key: String::new(),
        };
        let (service, operation) = request.route(raw_path);
        if service == Service::S3 {
            let host = parts.uri.host().map(str::to_owned);
            request.locate_object(raw_path, host.as_deref());
        }
        request.service = service;
        request.operation = match service {
            Service::S3 => request.s3_operation(),
            _ => operation,
        };
        request
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// A query parameter by name.
    pub fn query(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    /// A parameter of the query protocol by name.
    pub fn param(&self, name: &str) -> Option<&str> {
        find(&self.params, name)
    }

    /// Access key id, from the signature's credential scope.
    pub fn access_key(&self) -> Option<String> {
        self.scope()
            .and_then(|scope| scope.split('/').next())
            .map(str::to_owned)
    }

    /// The parameters of the query protocol, without the passwords among them.
    pub fn shown_params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.params.iter().map(|(name, value)| {
            let secret = name == "MasterUserPassword";
            (name.as_str(), if secret { HIDDEN } else { value.as_str() })
        })
    }

    /// Everything the request says, decoded, for searching; object bodies and passwords are left out.
    pub fn text(&self) -> String {
        let mut text = self.path.join("/");
        let query = self.query.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        for (name, value) in query.chain(self.shown_params()) {
            text.push_str(&format!("\n{name}={value}"));
        }
        // A form's parameters are its body.
        if self.service != Service::S3 && !self.has_password() {
            text.push('\n');
            text.push_str(&String::from_utf8_lossy(&self.body));
        }
        text
    }

    /// Whether a password is among its parameters.
    pub fn has_password(&self) -> bool {
        self.param("MasterUserPassword").is_some()
    }

    fn scope(&self) -> Option<&str> {
        let authorization = self.header("authorization")?;
        let start = authorization.find("Credential=")? + "Credential=".len();
        authorization[start..].split([',', ' ']).next()
    }

    fn route(&self, raw_path: &str) -> (Service, String) {
        let signed = self.scope().and_then(|scope| scope.split('/').nth(3));
        if let Some(target) = self.header("x-amz-target") {
            let (prefix, operation) = target.rsplit_once('.').unwrap_or(("", target));
            let service = match prefix.split('_').next().unwrap_or_default() {
                "DynamoDB" => Service::DynamoDb,
                "Logs" => Service::Logs,
                "secretsmanager" => Service::SecretsManager,
                _ => {
                    return (
                        Service::Other,
                        format!("{}:{operation}", signed.unwrap_or(prefix)),
                    );
                }
            };
            return (service, operation.to_owned());
        }
        let action = self.param("Action").unwrap_or_default().to_owned();
        let service = match signed.map(|name| (name, Service::of_signing_name(name))) {
            Some((_, Some(service))) => service,
            Some((name, None)) => {
                let operation = if action.is_empty() {
                    format!("{} {raw_path}", self.method)
                } else {
                    action
                };
                return (Service::Other, format!("{name}:{operation}"));
            }
            None => match (self.param("Version"), self.path.first().map(String::as_str)) {
                (Some("2014-10-31"), _) => Service::Rds,
                (Some(reply::EC2_VERSION), _) => Service::Ec2,
                (Some("2010-03-31"), _) => Service::Sns,
                (_, Some("backup-jobs" | "copy-jobs" | "restore-jobs" | "backup-vaults")) => {
                    Service::Backup
                }
                (_, Some("2015-03-31")) => Service::Lambda,
                _ => Service::S3,
            },
        };
        let operation = match service {
            Service::Rds | Service::Ec2 | Service::Sns => action,
            Service::Backup => self.backup_operation(),
            Service::Lambda => self.lambda_operation(),
            _ => String::new(),
        };
        (service, operation)
    }

    fn backup_operation(&self) -> String {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let known = match (self.method.as_str(), path.as_slice()) {
            ("GET", ["backup-jobs", _]) => "DescribeBackupJob",
            ("GET", ["copy-jobs", _]) => "DescribeCopyJob",
            ("PUT", ["restore-jobs"]) => "StartRestoreJob",
            ("GET", ["restore-jobs"]) => "ListRestoreJobs",
            ("GET", ["restore-jobs", _]) => "DescribeRestoreJob",
            ("GET", ["restore-jobs", _, "metadata"]) => "GetRestoreJobMetadata",
            ("GET", ["account-settings"]) => "DescribeRegionSettings",
            ("GET", ["backup-vaults"]) => "ListBackupVaults",
            ("GET", ["backup-vaults", _, "access-policy"]) => "GetBackupVaultAccessPolicy",
            ("GET", ["backup-vaults", _, "recovery-points"]) => "ListRecoveryPointsByBackupVault",
            ("GET", ["backup-vaults", _, "recovery-points", _]) => "DescribeRecoveryPoint",
            ("GET", ["backup-vaults", _, "recovery-points", _, "restore-metadata"]) => {
                "GetRecoveryPointRestoreMetadata"
            }
            ("DELETE", ["backup-vaults", _, "recovery-points", _]) => "DeleteRecoveryPoint",
            ("PUT", ["restore-jobs", _, "validations"]) => "PutRestoreValidationResult",
            (method, path) => return format!("{method} /{}", path.join("/")),
        };
        known.to_owned()
    }

    fn lambda_operation(&self) -> String {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        match (self.method.as_str(), path.as_slice()) {
            ("POST", ["2015-03-31", "functions", _, "invocations"]) => "Invoke".to_owned(),
            (method, path) => format!("{method} /{}", path.join("/")),
        }
    }

    /// Bucket and key, in path style or by the host's first label.
    fn locate_object(&mut self, raw_path: &str, uri_host: Option<&str>) {
        let host = uri_host.or_else(|| self.header("host")).unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default();
        let virtual_bucket = host
            .find(".s3.")
            .or_else(|| host.find(".s3-"))
            .or_else(|| host.strip_suffix(".localhost").map(str::len))
            .map(|end| host[..end].to_owned());
        let path = raw_path.strip_prefix('/').unwrap_or(raw_path);
        let (bucket, key) = match virtual_bucket {
            Some(bucket) => (bucket, path),
            None => {
                let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
                (percent_decode(bucket), key)
            }
        };
        self.key = percent_decode(key);
        self.bucket = bucket;
    }

    fn s3_operation(&self) -> String {
        let has = |name: &str| self.query.iter().any(|(key, _)| key == name);
        let object = !self.key.is_empty();
        let sub = [
            "uploads",
            "uploadId",
            "versions",
            "versioning",
            "tagging",
            "acl",
            "policy",
            "lifecycle",
            "delete",
        ]
        .into_iter()
        .find(|name| has(name));
        if let Some(sub) = sub {
            return format!("{} ?{sub}", self.method);
        }
        let known = match (self.method.as_str(), object) {
            ("PUT", true) if self.headers.contains_key("x-amz-copy-source") => "CopyObject",
            ("PUT", true) => "PutObject",
            ("GET", true) => "GetObject",
            ("HEAD", true) => "HeadObject",
            ("DELETE", true) => "DeleteObject",
            ("GET", false) if self.bucket.is_empty() => "ListBuckets",
            ("GET", false) if self.query("list-type") == Some("2") => "ListObjectsV2",
            ("GET", false) => "ListObjects",
            ("PUT", false) => "CreateBucket",
            ("DELETE", false) => "DeleteBucket",
            ("HEAD", false) => "HeadBucket",
            (method, _) => return method.to_owned(),
        };
        known.to_owned()
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

fn decode_form(input: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(input).into_owned().collect()
}

/// Percent-decoding of a path segment: unlike in forms, `+` stays.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten();
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Request {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Request::parse(request.body(Bytes::from(body.to_owned())).unwrap())
    }

    fn signed(service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/eu-central-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        )
    }

    #[test]
    fn routes_by_signature_target_action_and_path() {
        let auth = signed("backup");
        let arn = "arn%3Aaws%3Ards%3Aeu-central-1%3A1%3Asnapshot%3Aawsbackup%3Acopyjob-1";
        let request = parse(
            "GET",
            &format!(
                "http://127.0.0.1:1/backup-vaults/central/recovery-points/{arn}/restore-metadata"
            ),
            &[("authorization", &auth)],
            "",
        );
        assert_eq!(
            (request.service, request.operation.as_str()),
            (Service::Backup, "GetRecoveryPointRestoreMetadata")
        );
        assert_eq!(
            request.path[3],
            "arn:aws:rds:eu-central-1:1:snapshot:awsbackup:copyjob-1"
        );
        assert_eq!(request.access_key().as_deref(), Some("AKIDEXAMPLE"));

        let request = parse(
            "POST",
            "/",
            &[("x-amz-target", "DynamoDB_20120810.GetItem")],
            "{}",
        );
        assert_eq!(
            (request.service, request.operation.as_str()),
            (Service::DynamoDb, "GetItem")
        );

        let form = [("content-type", "application/x-www-form-urlencoded")];
        let request = parse(
            "POST",
            "/",
            &form,
            "Action=DescribeDBInstances&Version=2014-10-31",
        );
        assert_eq!(
            (request.service, request.operation.as_str()),
            (Service::Rds, "DescribeDBInstances")
        );

        let auth = signed("kms");
        let request = parse(
            "POST",
            "/",
            &[("authorization", &auth), form[0]],
            "Action=Decrypt",
        );
        assert_eq!(
            (request.service, request.operation.as_str()),
            (Service::Other, "kms:Decrypt")
        );
    }

    #[test]
    fn finds_bucket_and_key_in_both_styles() {
        let auth = signed("s3");
        let request = parse(
            "PUT",
            "http://127.0.0.1:1/results/records/dt%3D2026-11-21/a+b%20c.json?x-id=PutObject",
            &[("authorization", &auth)],
            "{}",
        );
        assert_eq!(request.operation, "PutObject");
        assert_eq!(
            (request.bucket.as_str(), request.key.as_str()),
            ("results", "records/dt=2026-11-21/a+b c.json")
        );
        let request = parse(
            "GET",
            "https://results.s3.eu-central-1.amazonaws.com/a/b",
            &[("authorization", &auth)],
            "",
        );
        assert_eq!(
            (request.bucket.as_str(), request.key.as_str()),
            ("results", "a/b")
        );
        let request = parse(
            "GET",
            "http://results.localhost:99/?list-type=2",
            &[("authorization", &auth)],
            "",
        );
        assert_eq!(
            (request.bucket.as_str(), request.operation.as_str()),
            ("results", "ListObjectsV2")
        );
    }

    #[test]
    fn a_malformed_escape_stays_as_it_is() {
        assert_eq!(percent_decode("a%2"), "a%2");
        assert_eq!(percent_decode("%zz%é"), "%zz%é");
    }
}
