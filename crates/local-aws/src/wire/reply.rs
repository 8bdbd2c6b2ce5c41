//! Answers and errors, each in the protocol of its service.

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value, json};

use crate::fault::FaultKind;
use crate::world::NoAnswer;

use super::shape::{write_ec2, write_query};
use super::xml::Xml;
use super::{Request, Service};

/// XML namespace of RDS answers.
pub(crate) const RDS_NAMESPACE: &str = "http://rds.amazonaws.com/doc/2014-10-31/";
/// Version of the EC2 API.
pub(crate) const EC2_VERSION: &str = "2016-11-15";
/// XML namespace of EC2 answers.
pub(crate) const EC2_NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
/// XML namespace of SNS answers.
pub(crate) const SNS_NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// An answer before it becomes HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    pub error_code: Option<String>,
    /// What the operation results in, where the body was written from it.
    pub answered: Option<Value>,
}

/// An error as the service answers it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServiceError {
    pub code: String,
    pub status: u16,
    pub message: String,
    /// Further members of a JSON error (DynamoDB's `Item`).
    pub extra: Map<String, Value>,
}

impl ServiceError {
    pub fn new(code: &str, status: u16, message: &str) -> ServiceError {
        ServiceError {
            code: code.to_owned(),
            status,
            message: message.to_owned(),
            extra: Map::new(),
        }
    }

    /// The answer to an operation this world does not play.
    pub fn not_played(request: &Request) -> ServiceError {
        let operation = match request.service {
            Service::Other => request.operation.clone(),
            service => format!("{}:{}", service.model(), request.operation),
        };
        // 501 is not retried by the SDKs.
        ServiceError::new(
            "NotImplemented",
            501,
            &format!("local-aws does not play {operation}"),
        )
    }
}

impl Reply {
    pub fn empty(status: u16) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            error_code: None,
            answered: None,
        }
    }

    pub fn json(value: &Value) -> Reply {
        Reply {
            body: value.to_string().into(),
            ..Reply::empty(200)
        }
    }

    /// `<OperationResponse><OperationResult>…</OperationResult><ResponseMetadata>…`; without a result for an operation
    /// that answers none.
    pub fn query(operation: &str, namespace: &str, request_id: &str, result: &Value) -> Reply {
        let mut xml = Xml::default();
        xml.element(
            &format!("{operation}Response xmlns=\"{namespace}\""),
            |xml| {
                write_query(xml, "", &format!("{operation}Result"), result);
                xml.element("ResponseMetadata", |xml| {
                    xml.text("RequestId", request_id);
                });
            },
        );
        Reply {
            answered: Some(result.clone()),
            ..Reply::xml(xml)
        }
    }

    /// `<OperationResponse><requestId>…</requestId>…</OperationResponse>`, as EC2 answers.
    pub fn ec2(operation: &str, request_id: &str, result: &Value) -> Reply {
        let mut xml = Xml::default();
        xml.element(
            &format!("{operation}Response xmlns=\"{EC2_NAMESPACE}\""),
            |xml| {
                xml.text("requestId", request_id);
                write_ec2(xml, "", result);
            },
        );
        Reply {
            answered: Some(result.clone()),
            ..Reply::xml(xml)
        }
    }

    pub fn xml(xml: Xml) -> Reply {
        Reply {
            body: xml.finish().into(),
            ..Reply::empty(200)
        }
    }

    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    /// An error in the protocol of the request's service.
    pub fn error(request: &Request, error: &ServiceError) -> Reply {
        let (code, message) = (error.code.as_str(), error.message.as_str());
        let json = |value: Value| {
            let mut value = value;
            if let Value::Object(members) = &mut value {
                members.extend(error.extra.clone());
            }
            Bytes::from(value.to_string())
        };
        let mut headers = Vec::new();
        let body = match request.service {
            Service::Backup => {
                headers.push(("x-amzn-errortype", code.to_owned()));
                json(json!({"Code": code, "Message": message, "Type": "Sender", "Context": ""}))
            }
            Service::Lambda => {
                headers.push(("x-amzn-errortype", code.to_owned()));
                json(json!({"Type": "User", "Message": message}))
            }
            Service::DynamoDb if code == "ValidationException" => json(
                json!({"__type": "com.amazon.coral.validate#ValidationException", "message": message}),
            ),
            // These two begin their message with a capital (API reference).
            Service::DynamoDb
                if matches!(
                    code,
                    "TransactionCanceledException" | "IdempotentParameterMismatchException"
                ) =>
            {
                json(
                    json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "Message": message}),
                )
            }
            Service::DynamoDb => json(
                json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message}),
            ),
            Service::SecretsManager => json(json!({"__type": code, "Message": message})),
            Service::Logs => json(json!({"__type": code, "message": message})),
            Service::Other if request.param("Action").is_some() => query_error("", error),
            Service::Other => {
                headers.push(("x-amzn-errortype", code.to_owned()));
                headers.push(("content-type", "application/json".to_owned()));
                json(json!({"__type": code, "message": message, "Message": message}))
            }
            Service::Rds => query_error(RDS_NAMESPACE, error),
            Service::Ec2 => ec2_error(error),
            Service::Sns => query_error(SNS_NAMESPACE, error),
            // A HEAD answer has no body.
            Service::S3 if request.method == Method::HEAD => Bytes::new(),
            Service::S3 => {
                let mut xml = Xml::default();
                xml.element("Error", |xml| {
                    xml.text("Code", code).text("Message", message);
                    if code == "NoSuchKey" {
                        xml.text("Key", &request.key);
                    }
                    if code == "NoSuchBucket" {
                        xml.text("BucketName", &request.bucket);
                    }
                    xml.text("RequestId", "4442587FB7D0A2F9")
                        .text("HostId", "local-aws");
                });
                xml.finish().into()
            }
        };
        Reply {
            status: error.status,
            headers,
            body,
            error_code: Some(code.to_owned()),
            answered: None,
        }
    }

    /// The HTTP answer, with the headers every answer of the service carries.
    pub fn into_http(self, service: Service, request_id: &str) -> http::Response<Bytes> {
        let content_type = match service {
            Service::Backup | Service::Lambda | Service::Other => "application/json",
            Service::DynamoDb => "application/x-amz-json-1.0",
            Service::Logs | Service::SecretsManager => "application/x-amz-json-1.1",
            Service::Rds | Service::Ec2 | Service::Sns => "text/xml",
            Service::S3 => "application/xml",
        };
        let id_header = if service == Service::S3 {
            "x-amz-request-id"
        } else {
            "x-amzn-requestid"
        };
        let mut response = http::Response::builder()
            .status(self.status)
            .header(id_header, request_id);
        if !self.headers.iter().any(|(name, _)| *name == "content-type") && !self.body.is_empty() {
            response = response.header("content-type", content_type);
        }
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(self.body).unwrap_or_else(|_| {
            // A header value that HTTP cannot carry (a content type someone stored, say).
            let mut response = http::Response::new(Bytes::new());
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    }
}

fn query_error(namespace: &str, error: &ServiceError) -> Bytes {
    let mut xml = Xml::default();
    xml.element(&format!("ErrorResponse xmlns=\"{namespace}\""), |xml| {
        xml.element("Error", |xml| {
            xml.text(
                "Type",
                if error.status < 500 {
                    "Sender"
                } else {
                    "Receiver"
                },
            );
            xml.text("Code", &error.code)
                .text("Message", &error.message);
        });
        xml.text("RequestId", "c0ffee00-0000-4000-8000-000000000000");
    });
    xml.finish().into()
}

/// EC2 has an error shape of its own, without a namespace.
fn ec2_error(error: &ServiceError) -> Bytes {
    let mut xml = Xml::default();
    xml.element("Response", |xml| {
        xml.element("Errors", |xml| {
            xml.element("Error", |xml| {
                xml.text("Code", &error.code)
                    .text("Message", &error.message);
            });
        });
        xml.text("RequestID", "c0ffee00-0000-4000-8000-000000000000");
    });
    xml.finish().into()
}

/// What a caller meets through an injected fault.
pub(crate) fn fault_reply(request: &Request, kind: &FaultKind) -> Result<Reply, NoAnswer> {
    let error = match kind {
        FaultKind::Timeout => return Err(NoAnswer::Timeout),
        FaultKind::Reset => return Err(NoAnswer::Reset),
        FaultKind::Hang => return Err(NoAnswer::Hang),
        FaultKind::Error { code, status } => {
            ServiceError::new(code, *status, "injected by a fault")
        }
        FaultKind::Throttle => {
            let (code, status) = match request.service {
                Service::S3 => ("SlowDown", 503),
                Service::Rds | Service::Sns => ("Throttling", 400),
                Service::Ec2 => ("RequestLimitExceeded", 503),
                Service::Lambda => ("TooManyRequestsException", 429),
                Service::DynamoDb => ("ProvisionedThroughputExceededException", 400),
                _ => ("ThrottlingException", 400),
            };
            ServiceError::new(code, status, "Rate exceeded")
        }
    };
    Ok(Reply::error(request, &error))
}
