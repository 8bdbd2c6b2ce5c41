//! AWS Lambda for one function: its Runtime API, and the processes of the real bootstrap behind it.
//!
//! A process handles one invocation at a time; more are started on demand. An invocation that
//! outlasts the function's time-out is killed, a process that crashed is replaced. Asynchronous
//! invocations that fail are tried again, and land in the on-failure queue in the end.

mod instance;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::process::{self, Signal};
use crate::template::Function;
use crate::world::Clock;
use instance::Instance;

/// The secret key of whom is let run (the example of AWS's documentation).
pub(crate) const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// What a local Lambda needs to know.
#[derive(Clone)]
pub struct LambdaOptions {
    /// The function, from the template; its environment may have been changed for a local run.
    pub function: Function,
    /// The bootstrap: the program that AWS Lambda would run.
    pub bootstrap: PathBuf,
    /// Where the processes run and their log is written.
    pub folder: PathBuf,
    /// Where AWS is, as far as the function can see (`AWS_ENDPOINT_URL`).
    pub endpoint_url: String,
    /// The account, 12 digits.
    pub account: String,
    /// The Region.
    pub region: String,
    /// How many processes there may be at one time.
    pub max_processes: usize,
    /// Time before the first retry of an asynchronous invocation; the second comes after twice that.
    /// AWS waits one minute and two.
    pub retry_delay: Duration,
    /// What deadlines are told by: the processes must see the same time.
    pub clock: Clock,
}

impl std::fmt::Debug for LambdaOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LambdaOptions")
            .field("function", &self.function.name)
            .field("bootstrap", &self.bootstrap)
            .finish_non_exhaustive()
    }
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The function's answer.
    Answer(Value),
    /// A function error: what it reported, or what Lambda says when it crashed or took too long.
    Failed {
        /// `errorType`.
        error_type: String,
        /// `errorMessage`.
        message: String,
    },
}

/// AWS Lambda with one function. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lambda {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: LambdaOptions,
    /// One for each process that may exist.
    permits: Semaphore,
    idle: Mutex<Vec<Instance>>,
    /// The processes that have an invocation, by their access key.
    busy: Mutex<BTreeMap<String, u32>>,
    later: Mutex<JoinSet<()>>,
    pending: AtomicUsize,
    started: AtomicU64,
    invocations: AtomicU64,
    failures: Mutex<Vec<String>>,
    exhausted: Mutex<Vec<Value>>,
}

impl Lambda {
    /// A function without any process yet.
    ///
    /// # Errors
    /// When there is no bootstrap that can be run.
    pub fn new(options: LambdaOptions) -> Result<Lambda> {
        let bootstrap = &options.bootstrap;
        if !fs::metadata(bootstrap).is_ok_and(|meta| meta.is_file()) {
            bail!(
                "there is no function at {}: build it first (cargo build)",
                bootstrap.display()
            );
        }
        let permits = Semaphore::new(options.max_processes.max(1));
        Ok(Lambda {
            shared: Arc::new(Shared {
                options,
                permits,
                idle: Mutex::default(),
                busy: Mutex::default(),
                later: Mutex::default(),
                pending: AtomicUsize::new(0),
                started: AtomicU64::new(0),
                invocations: AtomicU64::new(0),
                failures: Mutex::default(),
                exhausted: Mutex::default(),
            }),
        })
    }

    /// Invokes the function and waits for its answer (invocation type `RequestResponse`).
    ///
    /// # Errors
    /// When no process can be started. What the function does wrong is an [`Outcome`].
    pub async fn invoke(&self, payload: &Value) -> Result<Outcome> {
        let shared = &self.shared;
        let _permit = shared
            .permits
            .acquire()
            .await
            .context("the function is being stopped")?;
        shared.invocations.fetch_add(1, Ordering::Relaxed);
        let mut instance = match self.idle_instance() {
            Some(instance) => instance,
            None => self.start_instance().await?,
        };
        let request_id = self.request_id();
        let payload = Bytes::from(payload.to_string());
        let timeout = shared.options.function.timeout;
        let deadline = (shared.options.clock)() + timeout;
        if let Some(pid) = instance.pid() {
            lock(&shared.busy).insert(instance.access_key().to_owned(), pid);
        }
        let (outcome, reusable) = instance
            .invoke(request_id, payload, deadline, timeout)
            .await;
        lock(&shared.busy).remove(instance.access_key());
        if let Outcome::Failed {
            error_type,
            message,
        } = &outcome
        {
            tracing::warn!(error_type, message, "the function failed");
            lock(&shared.failures).push(format!("{error_type}: {message}"));
        }
        if reusable {
            lock(&shared.idle).push(instance);
        }
        Ok(outcome)
    }

    /// Invokes the function some time soon (invocation type `Event`): tried again when it fails, then
    /// given up for the on-failure queue. Must be called within the async runtime.
    pub fn invoke_later(&self, payload: Value) {
        let lambda = self.clone();
        let mut later = lock(&self.shared.later);
        while later.try_join_next().is_some() {}
        self.shared.pending.fetch_add(1, Ordering::Relaxed);
        later.spawn(async move {
            lambda.until_it_works(payload).await;
            lambda.shared.pending.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn until_it_works(&self, payload: Value) {
        let options = &self.shared.options;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (error_type, message) = match self.invoke(&payload).await {
                Ok(Outcome::Answer(_)) => return,
                Ok(Outcome::Failed {
                    error_type,
                    message,
                }) => (error_type, message),
                Err(error) => ("Lambda.InitError".to_owned(), format!("{error:#}")),
            };
            if attempt > options.function.retries {
                // As Lambda writes it: "Configuring destinations for asynchronous invocation" in
                // its developer guide.
                lock(&self.shared.exhausted).push(json!({
                    "version": "1.0",
                    "timestamp": (options.clock)().to_string(),
                    "requestContext": {
                        "requestId": self.request_id(),
                        "functionArn": format!("{}:$LATEST", options.function_arn()),
                        "condition": "RetriesExhausted",
                        "approximateInvokeCount": attempt,
                    },
                    "requestPayload": payload,
                    "responseContext": {
                        "statusCode": 200,
                        "executedVersion": "$LATEST",
                        "functionError": "Unhandled",
                    },
                    "responsePayload": { "errorType": error_type, "errorMessage": message },
                }));
                return;
            }
            tokio::time::sleep(options.retry_delay * attempt).await;
        }
    }

    /// How many asynchronous invocations have not ended yet, retries that wait included.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.shared.pending.load(Ordering::Relaxed)
    }

    /// How often the function was invoked, retries included.
    #[must_use]
    pub fn invocations(&self) -> u64 {
        self.shared.invocations.load(Ordering::Relaxed)
    }

    /// The errors of all invocations that failed, also of those that worked when tried again.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        lock(&self.shared.failures).clone()
    }

    /// What lies in the on-failure queue.
    #[must_use]
    pub fn exhausted(&self) -> Vec<Value> {
        lock(&self.shared.exhausted).clone()
    }

    /// The file that the function's log lines are written to.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.shared.options.folder.join("function.log")
    }

    /// The access keys of the processes that have an invocation: each has one of its own, by which its calls are known.
    #[must_use]
    pub fn busy(&self) -> Vec<String> {
        lock(&self.shared.busy).keys().cloned().collect()
    }

    /// Kills the process with this access key while it has an invocation, as the system does when memory runs out: by
    /// SIGKILL, at once. Answers whether there was such a process.
    pub fn kill(&self, access_key: &str) -> bool {
        // Under the lock: a process whose invocation has ended is none of those any more.
        let busy = lock(&self.shared.busy);
        busy.get(access_key)
            .is_some_and(|pid| process::kill(*pid).is_ok())
    }

    /// Ends everything: waiting invocations, running ones, idle processes.
    pub async fn stop(&self) {
        self.shared.permits.close();
        let mut later = std::mem::take(&mut *lock(&self.shared.later));
        later.shutdown().await;
        let idle = std::mem::take(&mut *lock(&self.shared.idle));
        for mut instance in idle {
            instance.kill().await;
        }
    }

    fn idle_instance(&self) -> Option<Instance> {
        let mut idle = lock(&self.shared.idle);
        idle.retain_mut(|instance| !instance.has_ended());
        idle.pop()
    }

    async fn start_instance(&self) -> Result<Instance> {
        let options = &self.shared.options;
        let number = self.shared.started.fetch_add(1, Ordering::Relaxed);
        let path = self.log_path();
        let log = File::options().create(true).append(true).open(&path);
        let log = log.with_context(|| format!("cannot write {}", path.display()))?;
        let mut command = process::command(&options.bootstrap, None, Signal::KILL);
        command
            .env_clear()
            .envs(options.environment(number))
            .current_dir(&options.folder);
        command.stdout(log.try_clone()?).stderr(Stdio::from(log));
        Instance::start(command, options.function_arn(), access_key(number)).await
    }

    /// A request id: unique in this run, in the form Lambda gives it.
    fn request_id(&self) -> String {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        format!("00000000-0000-4000-8000-{number:012x}")
    }
}

impl LambdaOptions {
    fn function_arn(&self) -> String {
        format!(
            "arn:aws:lambda:{}:{}:function:{}",
            self.region, self.account, self.function.name
        )
    }

    /// The template's variables and those that Lambda documents as its own ("Defined runtime
    /// environment variables" in its developer guide), with credentials that open nothing.
    fn environment(&self, number: u64) -> BTreeMap<String, String> {
        let mut environment = self.function.environment.clone();
        let own = [
            ("_HANDLER", self.function.handler.clone()),
            ("AWS_REGION", self.region.clone()),
            ("AWS_DEFAULT_REGION", self.region.clone()),
            ("AWS_LAMBDA_FUNCTION_NAME", self.function.name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            (
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
                self.function.memory_mb.to_string(),
            ),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
            (
                "AWS_LAMBDA_LOG_GROUP_NAME",
                format!("/aws/lambda/{}", self.function.name),
            ),
            (
                "AWS_LAMBDA_LOG_STREAM_NAME",
                format!("local/[$LATEST]{number:032x}"),
            ),
            ("AWS_ACCESS_KEY_ID", access_key(number)),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_SESSION_TOKEN", "local".to_owned()),
            ("AWS_ENDPOINT_URL", self.endpoint_url.clone()),
            ("LAMBDA_TASK_ROOT", parent(&self.bootstrap)),
            ("LAMBDA_RUNTIME_DIR", "/var/runtime".to_owned()),
            ("LANG", "en_US.UTF-8".to_owned()),
            ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin".to_owned()),
            ("TZ", ":UTC".to_owned()),
        ];
        environment.extend(own.map(|(name, value)| (name.to_owned(), value)));
        // It names a file of Lambda's runtime. Where this machine has none there, the function
        // looks for what the machine has.
        if let Some(file) = environment.get("SSL_CERT_FILE")
            && !Path::new(file).exists()
        {
            environment.remove("SSL_CERT_FILE");
        }
        environment
    }
}

/// Each process has temporary credentials of its own, as on AWS.
fn access_key(number: u64) -> String {
    format!("ASIALOCAL{number:011}")
}

fn parent(path: &Path) -> String {
    path.parent()
        .map_or_else(|| "/".to_owned(), |folder| folder.display().to_string())
}

/// What a panicking thread has left half done in these lists is still a list.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
