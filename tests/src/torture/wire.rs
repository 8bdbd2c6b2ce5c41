//! The way between the SDK and the world, which takes time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_async::rt::sleep::AsyncSleep;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use super::time::Time;

/// How long the next request takes to the world, and its answer back.
pub type Latency = Arc<Mutex<dyn FnMut() -> (Duration, Duration) + Send>>;

/// A fixed latency.
pub fn steady() -> Latency {
    Arc::new(Mutex::new(|| {
        (Duration::from_millis(10), Duration::from_millis(5))
    }))
}

/// The world's HTTP client behind a wire.
#[derive(Clone)]
pub struct Wire {
    world: SharedHttpClient,
    time: Time,
    latency: Latency,
}

impl Wire {
    /// A wire to this world.
    pub fn new(world: SharedHttpClient, time: Time, latency: Latency) -> Wire {
        Wire {
            world,
            time,
            latency,
        }
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl HttpClient for Wire {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            world: self.world.http_connector(settings, components),
            wire: self.clone(),
        })
    }
}

#[derive(Clone, Debug)]
struct Connector {
    world: SharedHttpConnector,
    wire: Wire,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Connector { world, wire } = self.clone();
        HttpConnectorFuture::new(async move {
            let (there, back) = wire.latency.lock().unwrap_or_else(PoisonError::into_inner)();
            wire.time.sleep(there).await;
            match world.call(request).await {
                // Silence: the SDK's own time-out ends it.
                Err(error) if error.is_timeout() => std::future::pending().await,
                answer => {
                    wire.time.sleep(back).await;
                    answer
                }
            }
        })
    }
}
