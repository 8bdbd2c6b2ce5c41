//! The Lambda bootstrap: settings, clients, one span per invocation.

use futures_util::FutureExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use restore_proof_function::aws::Aws;
use restore_proof_function::check::certificates_are_old;
use restore_proof_function::config::Config;
use restore_proof_function::{App, handle};
use serde_json::Value;
use tracing::{Instrument, error, info_span, warn};
use tracing_subscriber::EnvFilter;

fn main() -> Result<(), lambda_runtime::Error> {
    if let Some(problem) = start_without_missing_certificates() {
        return Err(problem.into());
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run())
}

/// The template names the one file of certificates of Lambda's runtime, so that a cold start need not read each file of a
/// folder. Should a later runtime have it elsewhere, no AWS call would get through: then the program starts anew without
/// the variable, and finds what there is. Returns only if there is nothing to do, or if that failed.
fn start_without_missing_certificates() -> Option<String> {
    let file = std::env::var_os(CERTIFICATES)?;
    if Path::new(&file).exists() {
        return None;
    }
    println!(
        "{CERTIFICATES} names {file:?}, which does not exist: the certificates are looked for"
    );
    let program = std::env::current_exe();
    let anew = program.map(|program| Command::new(program).env_remove(CERTIFICATES).exec());
    let (Ok(problem) | Err(problem)) = anew;
    Some(format!(
        "the function cannot start without {CERTIFICATES}: {problem}"
    ))
}

/// The environment variable by which TLS libraries find certificates.
const CERTIFICATES: &str = "SSL_CERT_FILE";

async fn run() -> Result<(), lambda_runtime::Error> {
    let level = std::env::var("LOG_LEVEL").unwrap_or_default();
    // The SDK's own logs may hold request bodies, and with them restore metadata: only ours are written.
    let filter = EnvFilter::try_new(format!(
        "off,restore_proof_function={level},bootstrap={level}"
    ))
    .unwrap_or_else(|_| EnvFilter::new("off,restore_proof_function=info,bootstrap=info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stdout)
        .init();

    let config =
        Config::read(|name| std::env::var(name).ok()).inspect_err(|error| error!("{error}"))?;
    if config.ca_bundle.is_none()
        && let Some(words) = certificates_are_old(Timestamp::now())
    {
        warn!("{words}");
    }
    let aws = Aws::from_environment().await;
    let app = Arc::new(App::new(config, aws, Arc::new(Timestamp::now)));
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let app = Arc::clone(&app);
        let deadline = i64::try_from(event.context.deadline)
            .ok()
            .and_then(|deadline| Timestamp::from_millisecond(deadline).ok())
            .unwrap_or_else(Timestamp::now);
        let span = info_span!("invocation", request.id = %event.context.request_id);
        async move {
            // Boxed: the compiler gives up on the layout of all futures in one.
            Box::pin(handle(&app, &event.payload, deadline))
                .await
                .map_err(|error| {
                    // Logged here and nowhere else.
                    error!("{error}");
                    lambda_runtime::Error::from(format!("{error}"))
                })
        }
        .boxed()
        .instrument(span)
    }))
    .await
}
