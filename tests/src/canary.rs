//! Canaries: texts that stand in every secret and in what AWS keeps of a source, and that must be nowhere in what the
//! function writes.
//!
//! A [`Watch`] stands between the function and the world of a scene. On the way in it puts canaries into the answers that
//! may hold a secret and learns the secrets that are in them. On the way out it keeps every request, and with them the
//! records, log events, messages and ledger items; and every answer and error of `handle`, every log line down to TRACE and
//! the text of every panic. When the scene ends all of that is searched.
//!
//! Two things are told to AWS because they are meant for it, and are not searched: the new master password, in
//! `ModifyDBInstance` alone; and of the restore metadata the values that a restore takes over from the backup, in
//! `StartRestoreJob` and in the intent that the ledger freezes to repeat it. What a recovery by hand takes of the metadata is told
//! to people, in the record of a restore that passed and in its runbook, and kept for that in the ledger: keys that are
//! withheld or that nobody has decided about are not. Names of parameter and option groups are told in
//! findings. And a login's user name is no secret where a server refuses the login: people must know whose.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::base64;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use restore_proof_core::resource_type::{Recovery, ResourceType};
use restore_proof_function::failure;
use restore_proof_local_aws::{Secret, World};
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::{RESET_KEY, SHOP_SECRET};

/// A file that every watch appends a line to when it ends: what was searched, and what was found.
pub const REPORT: &str = "RESTORE_PROOF_CANARIES";

/// Keys of restore metadata whose values a restore takes over (`crates/core/src/plan`): the world needs them as they are.
/// Every other value becomes a canary.
const TAKEN_OVER: [&str; 16] = [
    "AllocatedStorage",
    "BlockDeviceMappings",
    "CreditSpecification",
    // Not taken over, but told: the source's own groups, which the copy does not get.
    "DBClusterParameterGroupName",
    "DBInstanceClass",
    "DBParameterGroupName",
    "EbsOptimized",
    "Engine",
    // Not taken over, but read: it names the default option group.
    "EngineVersion",
    "HibernationOptions",
    "IamInstanceProfileName",
    "InstanceType",
    "Iops",
    "OptionGroupName",
    "Port",
    "StorageType",
];
/// Taken over as well, and of no use to the world: a canary that may stand in the restore request and nowhere else.
const TAKEN_OVER_CANARY: &str = "LicenseModel";
/// Keys that the metadata gets besides its own; the first two do hold secrets.
const ADDED: [&str; 3] = [
    "TdeCredentialPassword",
    "UserData",
    "InformationalOnly:Note",
];

/// Watches what the function of one scene writes. Ends, and fails the test, when it is dropped.
pub struct Watch {
    seen: Arc<Seen>,
    /// Where the process's log was when it began.
    log_from: usize,
    ended: bool,
}

#[derive(Debug)]
struct Seen {
    /// Begins every canary of this watch, and of no other.
    mark: String,
    /// Secrets that are no canaries: name by text.
    secrets: Mutex<BTreeMap<String, String>>,
    /// Names of the canaries that were put somewhere.
    seeded: Mutex<Vec<String>>,
    /// Channel and text of all that was written.
    written: Mutex<Vec<(String, String)>>,
}

impl Watch {
    /// Begins to watch.
    pub fn begin() -> Watch {
        listen();
        let mut watch = Watch::blind();
        watch.log_from = lock(&LOG).len();
        watch.ended = false;
        watch
    }

    /// A watch that neither listens nor searches.
    pub fn blind() -> Watch {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        // Letters and digits alone: whatever writes it leaves it as it is.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = format!("cnry{:x}n{number}vexq", std::process::id());
        Watch {
            seen: Arc::new(Seen {
                mark,
                secrets: Mutex::default(),
                seeded: Mutex::default(),
                written: Mutex::default(),
            }),
            log_from: 0,
            ended: true,
        }
    }

    /// What begins every canary of this watch, and nothing else.
    pub fn mark(&self) -> &str {
        &self.seen.mark
    }

    /// The world's client, listened to.
    pub fn over(&self, client: SharedHttpClient) -> SharedHttpClient {
        SharedHttpClient::new(Between {
            client,
            seen: Arc::clone(&self.seen),
        })
    }

    /// Puts canaries into the secrets of a scene's world.
    pub fn seed(&self, world: &World) {
        let login = json!({
            "username": self.canary("user"), "password": self.canary("password"), "dbname": "shop",
        });
        world.add_secret(Secret {
            name: SHOP_SECRET.to_owned(),
            value: login.to_string(),
        });
        self.secret("the key of passwords", RESET_KEY);
    }

    /// A text that the function must not write. The name is in it: letters and digits.
    pub fn canary(&self, name: &str) -> String {
        self.seen.canary(name)
    }

    /// Another text that the function must not write.
    pub fn secret(&self, name: &str, text: &str) {
        self.seen.secret(name, text);
    }

    /// Keeps what the function has answered, to be searched.
    pub fn answered(&self, answer: &failure::Result<Value>) {
        match answer {
            Ok(answer) => self.seen.write("answer", answer.to_string()),
            // As it is said, and as a panic would show it.
            Err(error) => self.seen.write("error", format!("{error} {error:?}")),
        }
    }

    /// Ends, and tells what was found where.
    pub fn end(mut self) -> Vec<String> {
        self.found()
    }

    fn found(&mut self) -> Vec<String> {
        self.ended = true;
        {
            let log = lock(&LOG);
            let heard = String::from_utf8_lossy(&log[self.log_from..]).into_owned();
            self.seen.write("log and panics", heard);
        }
        let seen = &self.seen;
        let mut wanted = vec![Wanted::new("a canary", &seen.mark)];
        for (text, name) in &*lock(&seen.secrets) {
            wanted.push(Wanted::new(name, text));
        }
        let (mut found, mut bytes) = (Vec::new(), BTreeMap::<String, usize>::new());
        for (channel, text) in &*lock(&seen.written) {
            *bytes.entry(channel.clone()).or_default() += text.len();
            let lower = text.to_ascii_lowercase();
            for wanted in &wanted {
                if let Some(place) = wanted.stands_in(text, &lower) {
                    found.push(format!("{} stands in {channel}: {place}", wanted.name));
                }
            }
        }
        found.sort();
        found.dedup();
        self.report(&bytes, &found);
        found
    }

    fn report(&self, bytes: &BTreeMap<String, usize>, found: &[String]) {
        let Some(file) = std::env::var_os(REPORT) else {
            return;
        };
        let secrets: Vec<String> = lock(&self.seen.secrets).values().cloned().collect();
        let seeded = lock(&self.seen.seeded).clone();
        let line = json!({
            "scenario": scenario(), "bytes": bytes, "canaries": seeded, "secrets": secrets, "found": found,
        });
        let file = OpenOptions::new().create(true).append(true).open(file);
        file.unwrap()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A test that has failed already says so itself, and may have shown anything.
        if self.ended || std::thread::panicking() {
            return;
        }
        let found = self.found();
        assert!(
            found.is_empty(),
            "secrets show in {}:\n{}",
            scenario(),
            found.join("\n")
        );
    }
}

/// The test, where it runs on its own thread.
fn scenario() -> String {
    let thread = std::thread::current();
    thread.name().unwrap_or("?").to_owned()
}

impl Seen {
    fn canary(&self, name: &str) -> String {
        lock(&self.seeded).push(name.to_owned());
        self.named(name)
    }

    /// The canary of this name.
    fn named(&self, name: &str) -> String {
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{}{name}", self.mark)
    }

    fn secret(&self, name: &str, text: &str) {
        // What is as short as a word may be one.
        if text.len() >= 6 && !self.is_canary(text) {
            lock(&self.secrets).insert(text.to_owned(), name.to_owned());
        }
    }

    fn is_canary(&self, text: &str) -> bool {
        text.starts_with(&self.mark)
    }

    fn write(&self, channel: &str, text: String) {
        lock(&self.written).push((channel.to_owned(), text));
    }

    /// Keeps a request as the function has sent it, without what is meant for AWS.
    fn ask(&self, call: &str, request: &HttpRequest, body: &[u8]) {
        let body = String::from_utf8_lossy(body);
        let shown = match call {
            "ModifyDBInstance" => self.without_password(&body),
            "StartRestoreJob" => self.without_taken_over(&body, "/Metadata"),
            "PutItem" | "TransactWriteItems" => self.without_intent(&body),
            "PUT" if request.uri().contains("/runbooks/") => self.without_told(&body),
            "PUT" => self.without_request(&body),
            _ => body.into_owned(),
        };
        let mut text = format!("{} {}\n", request.method(), request.uri());
        for (name, value) in request.headers() {
            if name != "authorization" {
                text += &format!("{name}: {value}\n");
            }
        }
        self.write(call, text + &shown);
    }

    fn without_password(&self, form: &str) -> String {
        let pairs = form.split('&').filter(|pair| {
            let password = pair.strip_prefix("MasterUserPassword=");
            if let Some(password) = password {
                self.secret("the master password that was set", password);
            }
            password.is_none()
        });
        pairs.collect::<Vec<_>>().join("&")
    }

    /// The JSON without the canary that a restore takes over, where restore metadata is meant to be.
    fn without_taken_over(&self, text: &str, pointer: &str) -> String {
        let Ok(mut document) = serde_json::from_str::<Value>(text) else {
            return text.to_owned();
        };
        let metadata = document.pointer_mut(pointer).and_then(Value::as_object_mut);
        if let Some(metadata) = metadata {
            let is_canary = |value: &Value| value.as_str().is_some_and(|text| self.is_canary(text));
            if metadata.get(TAKEN_OVER_CANARY).is_some_and(is_canary) {
                metadata.remove(TAKEN_OVER_CANARY);
            }
        }
        document.to_string()
    }

    /// A text without the canaries of what a recovery by hand takes of the metadata.
    fn without_told(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for resource_type in ResourceType::ALL {
            for (key, recovery, _) in resource_type.facts().recovery.keys {
                let is_told = match recovery {
                    Recovery::Withheld => false,
                    Recovery::AsPlanned
                    | Recovery::AsSource(_)
                    | Recovery::Yours(_)
                    | Recovery::LikeSources(_)
                    | Recovery::LeftOut
                    | Recovery::Afterwards => true,
                };
                if is_told {
                    text = text.replace(&self.named(&format!("metadata {key}")), "told");
                }
            }
        }
        text
    }

    /// A record without what its restore request tells.
    fn without_request(&self, text: &str) -> String {
        self.without_told_in(text, "/restore_request")
    }

    /// The JSON where one of its values has no canaries of what is told.
    fn without_told_in(&self, text: &str, pointer: &str) -> String {
        let Ok(mut document) = serde_json::from_str::<Value>(text) else {
            return text.to_owned();
        };
        let Some(told) = document.pointer_mut(pointer) else {
            return text.to_owned();
        };
        *told = self.without_told(&told.to_string()).into();
        document.to_string()
    }

    fn without_intent(&self, text: &str) -> String {
        let Ok(mut body) = serde_json::from_str::<Value>(text) else {
            return text.to_owned();
        };
        // The item of a write, or that of a transaction that is the validation.
        for item in ["/Item", "/TransactItems/0/Put/Item"] {
            let document = body.pointer_mut(&format!("{item}/document/S"));
            if let Some(Value::String(document)) = document {
                *document = self.without_taken_over(document, "/intent/metadata");
                *document = self.without_told_in(document, "/recovery");
            }
        }
        body.to_string()
    }

    /// What AWS answers, with canaries in it.
    fn salted(&self, call: &str, body: &[u8]) -> Option<Vec<u8>> {
        let mut answer: Value = serde_json::from_slice(body).ok()?;
        match call {
            "GetRecoveryPointRestoreMetadata" => {
                let metadata = answer.get_mut("RestoreMetadata")?.as_object_mut()?;
                for key in ADDED {
                    metadata.entry(key).or_insert_with(|| "".into());
                }
                for (key, value) in metadata {
                    if !TAKEN_OVER.contains(&key.as_str()) {
                        *value = self.canary(&format!("metadata {key}")).into();
                    }
                }
            }
            "GetSecretValue" => {
                let Some(Value::String(secret)) = answer.get_mut("SecretString") else {
                    return None;
                };
                match serde_json::from_str::<Value>(secret) {
                    Ok(Value::Object(mut login)) => {
                        if let Some(password) = login.get("password").and_then(Value::as_str) {
                            self.secret("the password of a secret", password);
                        }
                        login.insert("note".to_owned(), self.canary("secret note").into());
                        *secret = Value::Object(login).to_string();
                    }
                    _ => self.secret("a secret", secret),
                }
            }
            _ => return None,
        }
        Some(answer.to_string().into_bytes())
    }
}

/// A text in the forms in which a program may write it.
struct Wanted {
    name: String,
    text: String,
    /// In small letters: as it is and in hexadecimal digits.
    lower: Vec<String>,
    /// As JSON writes it within JSON, and in base64, in which a text begins at one of three places.
    exact: Vec<String>,
}

impl Wanted {
    fn new(name: &str, text: &str) -> Wanted {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let in_json = Value::from(text).to_string();
        let twice = Value::from(&in_json[1..in_json.len() - 1]).to_string();
        let mut exact = [in_json, twice]
            .iter()
            .map(|quoted| quoted[1..quoted.len() - 1].to_owned())
            .collect::<Vec<_>>();
        for before in 0..3 {
            let padded = [vec![0; before], text.as_bytes().to_vec()].concat();
            // Six bits to a character: without those that hold bits of what stands before or behind.
            let (first, last) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
            exact.push(base64::encode(&padded)[first..last].to_owned());
        }
        Wanted {
            name: name.to_owned(),
            text: text.to_owned(),
            lower: vec![text.to_ascii_lowercase(), hex],
            exact,
        }
    }

    /// Where it stands, in words; a canary is named by what follows its mark.
    fn stands_in(&self, text: &str, lower: &str) -> Option<String> {
        if let Some(at) = lower.find(&self.lower[0]) {
            let behind = &text[at + self.text.len()..];
            let name = behind.chars().take_while(char::is_ascii_alphanumeric);
            return Some(format!("as it is ({})", name.collect::<String>()));
        }
        if lower.contains(&self.lower[1]) {
            return Some("in hexadecimal digits".to_owned());
        }
        let mut exact = self.exact.iter();
        let form = exact.position(|form| text.contains(form.as_str()))?;
        Some(if form < 2 { "in JSON" } else { "in base64" }.to_owned())
    }
}

/// Between the function and the world.
#[derive(Clone, Debug)]
struct Between {
    client: SharedHttpClient,
    seen: Arc<Seen>,
}

impl HttpClient for Between {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            connector: self.client.http_connector(settings, components),
            seen: Arc::clone(&self.seen),
        })
    }
}

#[derive(Debug)]
struct Connector {
    connector: SharedHttpConnector,
    seen: Arc<Seen>,
}

impl HttpConnector for Connector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let (connector, seen) = (self.connector.clone(), Arc::clone(&self.seen));
        HttpConnectorFuture::new(async move {
            let body = ByteStream::new(request.take_body()).collect().await;
            let body = body.map_err(|error| ConnectorError::user(error.into()))?;
            let body = body.into_bytes();
            let call = operation(&request, &body);
            seen.ask(&call, &request, &body);
            *request.body_mut() = SdkBody::from(body);
            let mut response = connector.call(request).await?;
            let salted = response
                .body()
                .bytes()
                .and_then(|body| seen.salted(&call, body));
            if let Some(salted) = salted {
                set_body(&mut response, salted);
            }
            Ok(response)
        })
    }
}

fn set_body(response: &mut HttpResponse, body: Vec<u8>) {
    let length = body.len().to_string();
    response.headers_mut().insert("content-length", length);
    *response.body_mut() = SdkBody::from(body);
}

/// The operation that a request asks for, as its protocol says it; for S3 the method.
fn operation(request: &HttpRequest, body: &[u8]) -> String {
    if let Some(target) = request.headers().get("x-amz-target") {
        return target.rsplit('.').next().unwrap_or_default().to_owned();
    }
    let form = std::str::from_utf8(body).unwrap_or_default();
    let mut pairs = form.split('&');
    if let Some(action) = pairs.find_map(|pair| pair.strip_prefix("Action=")) {
        return action.to_owned();
    }
    let (method, uri) = (request.method(), request.uri());
    let path = uri.split('?').next().unwrap_or_default();
    let name = match method {
        "GET" if path.ends_with("/restore-metadata") => "GetRecoveryPointRestoreMetadata",
        "PUT" if path.ends_with("/restore-jobs") => "StartRestoreJob",
        "GET" => "GET",
        _ if path.ends_with("/invocations") => "Invoke",
        method => method,
    };
    name.to_owned()
}

/// What the function has logged in this process, and the text of its panics.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Begins to write down what the function logs, whatever its level, and what any panic says.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = EnvFilter::new("off,restore_proof_function=trace,restore_proof_core=trace");
        tracing_subscriber::fmt()
            .json()
            .with_env_filter(filter)
            .with_writer(ToLog)
            .init();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            lock(&LOG).extend(format!("{panic}\n").into_bytes());
            before(panic);
        }));
    });
}

/// All that was logged in this process so far.
pub fn logged() -> String {
    String::from_utf8_lossy(&lock(&LOG)).into_owned()
}

/// Writes to the process's log.
#[derive(Clone, Copy)]
struct ToLog;

impl Write for ToLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&LOG).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for ToLog {
    type Writer = ToLog;

    fn make_writer(&'a self) -> ToLog {
        ToLog
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
