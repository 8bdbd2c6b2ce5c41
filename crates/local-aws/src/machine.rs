//! Restored machines that really serve: an HTTP server on a loopback address of its own.
//!
//! A machine has the address 127.77.x.y, any one on which all of its ports are free. While it boots it behaves as
//! machines do: at first nobody listens and connections are refused, then every answer is 503, and only then
//! comes what it serves.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};

use crate::world::Clock;
use crate::world::seed::WebBehaviour;

/// How many addresses are tried before a machine is given up.
const TRIES: u32 = 64;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;

/// A machine's server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Web {
    address: Ipv4Addr,
    runtime: Handle,
    /// Bound, so that nobody else takes the ports, and not listening: connections are refused.
    closed: Vec<TcpSocket>,
    open: Vec<JoinHandle<()>>,
}

/// What a machine serves, and from when.
#[derive(Debug)]
struct Site {
    content: Content,
    clock: Gate,
}

/// Files, and how they are answered with.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    /// Path → content.
    pub files: BTreeMap<String, String>,
    /// How it answers.
    pub behaviour: WebBehaviour,
}

/// The world's clock, and the time from which a machine answers well.
struct Gate {
    clock: Clock,
    ready_at: Timestamp,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "ready at {}", self.ready_at)
    }
}

impl Web {
    /// Takes an address on which all of `ports` are free. Nobody listens there yet.
    ///
    /// # Errors
    /// When there is none, when a port may not be had, or outside of a tokio runtime.
    pub fn reserve(ports: &[u16]) -> Result<Web> {
        let runtime = Handle::try_current().context("a machine needs a tokio runtime")?;
        for _ in 0..TRIES {
            let address = any_address();
            match bind_all(address, ports) {
                Ok(closed) => {
                    return Ok(Web {
                        address,
                        runtime,
                        closed,
                        open: Vec::new(),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("bind ports {ports:?} of {address}"));
                }
            }
        }
        bail!("of {TRIES} addresses in 127.77.0.0/16 none had the ports {ports:?} free");
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Begins to listen. Until `ready_at` by `clock` it answers 503. Does not block; has no effect the second time.
    ///
    /// # Errors
    /// When the system does not let it listen.
    pub fn listen(&mut self, content: &Content, clock: Clock, ready_at: Timestamp) -> Result<()> {
        let site = Arc::new(Site {
            content: content.clone(),
            clock: Gate { clock, ready_at },
        });
        let _entered = self.runtime.enter();
        for socket in self.closed.drain(..) {
            let listener = socket
                .listen(BACKLOG)
                .with_context(|| format!("listen on {}", self.address))?;
            self.open
                .push(self.runtime.spawn(accept(listener, Arc::clone(&site))));
        }
        Ok(())
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.open.iter().for_each(JoinHandle::abort);
    }
}

/// An address of 127.77.0.0/16 that differs from run to run, so that worlds in several processes seldom meet.
fn any_address() -> Ipv4Addr {
    let random = std::hash::RandomState::new().build_hasher().finish();
    let [third, fourth, ..] = random.to_le_bytes();
    // Neither the network's nor the broadcast address, in whatever smaller network they are taken for.
    Ipv4Addr::new(127, 77, third, fourth.clamp(1, 254))
}

fn bind_all(address: Ipv4Addr, ports: &[u16]) -> io::Result<Vec<TcpSocket>> {
    ports
        .iter()
        .map(|port| {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::V4(SocketAddrV4::new(address, *port)))?;
            Ok(socket)
        })
        .collect()
}

async fn accept(listener: TcpListener, site: Arc<Site>) {
    // Connections end with the set: a machine that is terminated leaves none behind.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(stream, Arc::clone(&site))); }
                Err(error) => {
                    tracing::warn!(%error, "a machine could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn connection(stream: TcpStream, site: Arc<Site>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let response = site.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to a machine ended early");
    }
}

impl Site {
    fn answer(&self, method: &Method, path: &str) -> http::Response<Full<Bytes>> {
        if (self.clock.clock)() < self.clock.ready_at {
            return text(StatusCode::SERVICE_UNAVAILABLE, "starting\n");
        }
        if let WebBehaviour::RedirectTo(url) = &self.content.behaviour {
            return with_header(
                text(StatusCode::FOUND, "elsewhere\n"),
                header::LOCATION,
                url,
            );
        }
        // To a HEAD request hyper sends the head alone, with the length the body would have.
        if !matches!(*method, Method::GET | Method::HEAD) {
            let refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            return with_header(refused, header::ALLOW, "GET, HEAD");
        }
        match self.content.file(path) {
            Some((name, content)) => with_header(
                http::Response::new(Full::new(Bytes::copy_from_slice(content.as_bytes()))),
                header::CONTENT_TYPE,
                content_type(name),
            ),
            None => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }
}

impl Content {
    /// The file at a path as it is in a request, and its name.
    fn file(&self, path: &str) -> Option<(&str, &str)> {
        let mut path = crate::wire::percent_decode(path);
        if path.ends_with('/') {
            path.push_str("index.html");
        }
        let bare = path.trim_start_matches('/');
        self.files
            .iter()
            .find(|(name, _)| name.trim_start_matches('/') == bare)
            .map(|(name, content)| (name.as_str(), content.as_str()))
    }
}

fn text(status: StatusCode, text: &'static str) -> http::Response<Full<Bytes>> {
    let mut response = http::Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    with_header(response, header::CONTENT_TYPE, "text/plain; charset=utf-8")
}

fn with_header(
    mut response: http::Response<Full<Bytes>>,
    name: header::HeaderName,
    value: &str,
) -> http::Response<Full<Bytes>> {
    match value.parse() {
        Ok(value) => {
            response.headers_mut().insert(name, value);
        }
        // Only a seeded redirection can be such.
        Err(error) => {
            tracing::warn!(%name, value, %error, "a header that HTTP cannot carry is left out")
        }
    }
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("xml") => "application/xml",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests;
