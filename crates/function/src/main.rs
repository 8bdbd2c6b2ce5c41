//! The Lambda bootstrap: settings, clients, one span per invocation.

use std::sync::Arc;

use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use restore_proof_function::aws::Aws;
use restore_proof_function::config::Config;
use restore_proof_function::{App, handle};
use serde_json::Value;
use tracing::{Instrument, error, info_span};
use tracing_subscriber::EnvFilter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
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
            handle(&app, &event.payload, deadline)
                .await
                .map_err(|error| {
                    // Logged here and nowhere else, with the whole chain of causes.
                    error!("{error:#}");
                    lambda_runtime::Error::from(format!("{error:#}"))
                })
        }
        .instrument(span)
    }))
    .await
}
