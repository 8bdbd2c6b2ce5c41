//! One process of the function, and the Runtime API it talks to: a listener of its own, so that
//! processes cannot be mixed up.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{Outcome, lock};
use crate::process::{self, Child, Signal};

/// A running process. Killed when dropped.
#[derive(Debug)]
pub(super) struct Instance {
    access_key: String,
    child: Child,
    server: JoinHandle<()>,
    mailbox: mpsc::Sender<Invocation>,
    api: Arc<Api>,
}

#[derive(Debug)]
struct Invocation {
    request_id: String,
    payload: Bytes,
    deadline: Timestamp,
    answer: oneshot::Sender<Outcome>,
}

/// What the connections of one process share.
#[derive(Debug)]
struct Api {
    function_arn: String,
    mailbox: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    /// The invocation the process works on.
    current: Mutex<Option<(String, oneshot::Sender<Outcome>)>>,
    init_error: Mutex<Option<Outcome>>,
}

impl Instance {
    /// Starts a process with a Runtime API for it.
    pub async fn start(
        mut command: Command,
        function_arn: String,
        access_key: String,
    ) -> Result<Instance> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no free port on 127.0.0.1 for the Runtime API")?;
        command.env("AWS_LAMBDA_RUNTIME_API", listener.local_addr()?.to_string());
        let (mailbox, invocations) = mpsc::channel(1);
        let api = Arc::new(Api {
            function_arn,
            mailbox: tokio::sync::Mutex::new(invocations),
            current: Mutex::default(),
            init_error: Mutex::default(),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&api)));
        let child = process::spawn(command, Signal::KILL).await?;
        Ok(Instance {
            access_key,
            child,
            server,
            mailbox,
            api,
        })
    }

    /// Hands an invocation to the process and waits for its end; also says whether the process can
    /// take another one.
    pub async fn invoke(
        &mut self,
        request_id: String,
        payload: Bytes,
        deadline: Timestamp,
        timeout: Duration,
    ) -> (Outcome, bool) {
        let (answer, answered) = oneshot::channel();
        let invocation = Invocation {
            request_id,
            payload,
            deadline,
            answer,
        };
        // It has room for one, and a process gets one at a time.
        let _ = self.mailbox.try_send(invocation);
        tokio::select! {
            // An answer counts even if the process ended right after it.
            biased;
            outcome = answered => match outcome {
                Ok(outcome) => (outcome, true),
                Err(_) => (self.crashed().await, false),
            },
            _ = self.child.wait() => (self.crashed().await, false),
            () = tokio::time::sleep(timeout) => {
                self.kill().await;
                let message = format!("Task timed out after {:.2} seconds", timeout.as_secs_f64());
                (failed("Sandbox.Timedout", message), false)
            }
        }
    }

    /// What its calls are signed with.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// Its process id, unless it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.has_ended()
    }

    /// Kills the process and waits until it is gone.
    pub async fn kill(&mut self) {
        self.child.stop(Duration::from_secs(5)).await;
    }

    async fn crashed(&mut self) -> Outcome {
        self.kill().await;
        if let Some(reported) = lock(&self.api.init_error).take() {
            return reported;
        }
        let status = self
            .child
            .wait()
            .await
            .map_or_else(|error| error.to_string(), |status| status.to_string());
        failed(
            "Runtime.ExitError",
            format!("Runtime exited without providing a reason ({status})"),
        )
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn failed(error_type: &str, message: String) -> Outcome {
    Outcome::Failed {
        error_type: error_type.to_owned(),
        message,
    }
}

async fn serve(listener: TcpListener, api: Arc<Api>) {
    // Ends all connections when this task is aborted.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let api = Arc::clone(&api);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let api = Arc::clone(&api);
                async move { Ok::<_, Infallible>(api.answer(request).await) }
            });
            // A process that is killed breaks its connection: nothing to report.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Api {
    /// The Runtime API of AWS Lambda, version 2018-06-01.
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let Some(call) = path.strip_prefix("/2018-06-01/runtime/") else {
            return reply(StatusCode::NOT_FOUND, "no such path");
        };
        let parts: Vec<_> = call.split('/').collect();
        match (request.method().clone(), parts.as_slice()) {
            (Method::GET, ["invocation", "next"]) => self.next().await,
            (Method::POST, ["invocation", id, "response"]) => match body(request).await {
                Ok(answer) => self.end(id, Outcome::Answer(answer)),
                Err(refused) => refused,
            },
            (Method::POST, ["invocation", id, "error"]) => match body(request).await {
                Ok(error) => self.end(id, reported(&error)),
                Err(refused) => refused,
            },
            (Method::POST, ["init", "error"]) => match body(request).await {
                Ok(error) => {
                    *lock(&self.init_error) = Some(reported(&error));
                    reply(StatusCode::ACCEPTED, "OK")
                }
                Err(refused) => refused,
            },
            _ => reply(StatusCode::NOT_FOUND, "no such path"),
        }
    }

    /// Waits for an invocation, as long as it takes.
    async fn next(&self) -> Response<Full<Bytes>> {
        let Some(invocation) = self.mailbox.lock().await.recv().await else {
            return reply(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the function is being stopped",
            );
        };
        let Invocation {
            request_id,
            payload,
            deadline,
            answer,
        } = invocation;
        let response = Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &request_id)
            // An instant (milliseconds since 1970), not a duration.
            .header(
                "lambda-runtime-deadline-ms",
                deadline.as_millisecond().to_string(),
            )
            .header("lambda-runtime-invoked-function-arn", &self.function_arn)
            .header(
                "lambda-runtime-trace-id",
                "Root=1-00000000-000000000000000000000000;Sampled=0",
            )
            .body(Full::new(payload))
            .expect("ids and ARNs are valid header values");
        *lock(&self.current) = Some((request_id, answer));
        response
    }

    fn end(&self, request_id: &str, outcome: Outcome) -> Response<Full<Bytes>> {
        let mut current = lock(&self.current);
        match current.take_if(|(id, _)| id == request_id) {
            Some((_, answer)) => {
                // Nobody waits any more when it took too long.
                let _ = answer.send(outcome);
                reply(StatusCode::ACCEPTED, "OK")
            }
            None => reply(StatusCode::BAD_REQUEST, "no such invocation"),
        }
    }
}

fn reported(error: &Value) -> Outcome {
    let part = |name: &str| error[name].as_str().unwrap_or("unknown").to_owned();
    Outcome::Failed {
        error_type: part("errorType"),
        message: part("errorMessage"),
    }
}

async fn body(request: Request<Incoming>) -> Result<Value, Response<Full<Bytes>>> {
    let bytes = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Err(reply(StatusCode::BAD_REQUEST, "the request broke off")),
    };
    serde_json::from_slice(&bytes)
        .map_err(|_| reply(StatusCode::BAD_REQUEST, "the body is not JSON"))
}

fn reply(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let body = json!({ "status": message }).to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}
