//! The world as the AWS SDK's HTTP client, in the same process.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::BodyExt;

use crate::world::{NoAnswer, World};

impl World {
    /// An HTTP client for `aws_config` or a service's config builder: every request of the SDK,
    /// whatever its endpoint, is answered by this world.
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(InProcess(self.clone()))
    }
}

#[derive(Clone, Debug)]
struct InProcess(World);

impl HttpClient for InProcess {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let world = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = collect(request).await.map_err(ConnectorError::user)?;
            match world.answer(request) {
                Ok(response) => HttpResponse::try_from(response.map(SdkBody::from))
                    .map_err(|error| ConnectorError::other(error.into(), None)),
                Err(NoAnswer::Timeout) => Err(ConnectorError::timeout(
                    "no answer in time (injected)".into(),
                )),
                Err(NoAnswer::Reset) => Err(ConnectorError::io(
                    "connection reset by peer (injected)".into(),
                )),
                Err(NoAnswer::Hang) => {
                    world.faults().report_hang();
                    std::future::pending().await
                }
            }
        })
    }
}

async fn collect(
    request: HttpRequest,
) -> Result<http::Request<Bytes>, Box<dyn std::error::Error + Send + Sync + 'static>> {
    let (parts, body) = request.try_into_http1x()?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(http::Request::from_parts(parts, body))
}
