//! The world on loopback, over HTTP/1.1.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::world::{NoAnswer, World};

/// How long a request that gets no answer is held before its connection closes.
const SILENCE: Duration = Duration::from_secs(60);

/// A world being served; it stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves a world on an address (port 0: any free port).
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(world: World, address: SocketAddr) -> anyhow::Result<Server> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on {address}"))?;
    let address = listener
        .local_addr()
        .context("ask for the address listened on")?;
    let task = tokio::spawn(async move {
        // Connections end with the set: an aborted server leaves none behind.
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => { connections.spawn(connection(world.clone(), stream)); }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    });
    Ok(Server { address, task })
}

async fn connection(world: World, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let service =
        service_fn(move |request: hyper::Request<Incoming>| answer(world.clone(), request));
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// An error closes the connection without an answer.
async fn answer(
    world: World,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    match world.answer(http::Request::from_parts(parts, body)) {
        Ok(response) => Ok(response.map(Full::new)),
        Err(NoAnswer::Reset) => Err("connection reset (injected)".into()),
        Err(cause @ (NoAnswer::Timeout | NoAnswer::Hang)) => {
            if cause == NoAnswer::Hang {
                world.faults().report_hang();
            }
            tokio::time::sleep(SILENCE).await;
            Err("no answer (injected)".into())
        }
    }
}
