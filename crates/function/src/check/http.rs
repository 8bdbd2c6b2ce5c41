//! `http` checks: requests to a restored machine, one after the other, and what their answers must be.
//!
//! A restored machine is hostile until proved otherwise. Its answers cost what the limits here say and no more, and lead
//! to no other address: whatever names they hold, one socket address is connected to.

mod body;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Response, StatusCode, redirect, retry};
use restore_proof_core::expectation::{CheckOutcome, Clocks, Judgement};
use restore_proof_core::policy::{HttpCheck, HttpStep, Method, Scheme};
use url::{Host, Url};

use super::apart::apart;
use super::{Access, Place, Target, Trouble, address, chain, ruling};

/// The longest that connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest body that is read, bytes.
const LARGEST_BODY: usize = 4 << 20;
/// The longest name of a host that is quoted, characters.
const LONGEST_HOST: usize = 100;

/// Takes the steps; the first that does not answer as expected decides. `place` tells which is being taken.
pub(super) async fn run(
    check: &HttpCheck,
    target: &Target,
    access: &Access,
    clocks: Clocks,
    place: &Place,
    limit: Duration,
) -> Result<Judgement, Trouble> {
    let server = SocketAddr::new(address::of(target, check.address)?, check.port);
    let tls = access.web.clone().map_err(Trouble::CannotTell)?;
    let visit = Visit {
        check: check.clone(),
        base: base(check, server)?,
        server,
        client: client(server, tls)?,
    };
    let place = place.clone();
    apart(limit, move || async move {
        visit.take_steps(clocks, &place).await
    })
    .await
}

/// One check's requests to one machine.
struct Visit {
    check: HttpCheck,
    /// The machine's root.
    base: Url,
    /// All that is connected to.
    server: SocketAddr,
    client: Client,
}

impl Visit {
    async fn take_steps(&self, clocks: Clocks, place: &Place) -> Result<Judgement, Trouble> {
        let mut value = (None, None);
        let mut slowest: Option<(&str, Duration)> = None;
        for step in &self.check.steps {
            place.begin(&step.name);
            let began = Instant::now();
            let answer = self.answer(step).await?;
            readable(step, answer.headers())?;
            let read = self.body(step, answer).await?;
            let took = began.elapsed();
            if let Some(judgement) = body::judge(step, read, &clocks)? {
                if judgement.outcome != CheckOutcome::Passed {
                    return Ok(Judgement {
                        detail: place.before(&judgement.detail),
                        ..judgement
                    });
                }
                value = (judgement.value, judgement.value_number);
            }
            if let Some(most) = step.within
                && took > most
            {
                return Err(Trouble::Wrong(format!(
                    "the answer took {} ms; expected: at most {} ms",
                    took.as_millis(),
                    most.as_millis()
                )));
            }
            if slowest.is_none_or(|(_, longest)| took > longest) {
                slowest = Some((&step.name, took));
            }
        }
        let steps = match self.check.steps.len() {
            1 => "1 step".to_owned(),
            steps => format!("{steps} steps"),
        };
        let slowest = slowest.map_or_else(String::new, |(name, took)| {
            format!(", the slowest, {name:?}, within {} ms", took.as_millis())
        });
        Ok(Judgement {
            value: value.0,
            value_number: value.1,
            ..ruling(
                CheckOutcome::Passed,
                format!("{steps} answered as expected{slowest}"),
            )
        })
    }

    /// The answer to a step, of a status it expects, after the redirects that may be followed.
    async fn answer(&self, step: &HttpStep) -> Result<Response, Trouble> {
        let mut method = match step.method {
            Method::Get => reqwest::Method::GET,
            Method::Head => reqwest::Method::HEAD,
            Method::Post => reqwest::Method::POST,
        };
        let mut url = self
            .base
            .as_str()
            .strip_suffix('/')
            .and_then(|root| Url::parse(&format!("{root}{}", step.path)).ok())
            .filter(|url| self.is_here(url))
            .ok_or_else(|| Trouble::CannotTell("the path makes no URL".to_owned()))?;
        let mut followed = 0;
        loop {
            let response = self.ask(step, method.clone(), url.clone()).await?;
            let status = response.status();
            if step.status.contains(&status.as_u16()) {
                return Ok(response);
            }
            let wrong = |more: &str| {
                let expected: Vec<_> = step.status.iter().map(u16::to_string).collect();
                Trouble::Wrong(format!(
                    "status {}{more}; expected: status {}",
                    status.as_u16(),
                    expected.join(" or ")
                ))
            };
            let Some(location) = redirects(status, response.headers()) else {
                return Err(wrong(""));
            };
            let next = match std::str::from_utf8(location.as_bytes())
                .ok()
                .and_then(|location| url.join(location).ok())
            {
                Some(next) => next,
                None => return Err(wrong(", a redirect to what is no URL")),
            };
            if !self.is_here(&next) {
                return Err(wrong(&format!(
                    ", a redirect off the machine, to {}, which is not followed",
                    told(&next)
                )));
            }
            if followed >= self.check.redirects {
                return Err(wrong(&format!(
                    ", a redirect to {}, which is not followed: redirects = {}",
                    told(&next),
                    self.check.redirects
                )));
            }
            followed += 1;
            // RFC 9110, 15.4: what browsers do with a form.
            let keeps = matches!(
                status,
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
            );
            if !keeps && method == reqwest::Method::POST {
                method = reqwest::Method::GET;
            }
            url = next;
        }
    }

    /// Sends one request.
    async fn ask(
        &self,
        step: &HttpStep,
        method: reqwest::Method,
        url: Url,
    ) -> Result<Response, Trouble> {
        let mut request = self
            .client
            .request(method.clone(), url)
            .headers(headers(step)?);
        if let Some(body) = step
            .body
            .as_ref()
            .filter(|_| method == reqwest::Method::POST)
        {
            request = request.body(body.clone());
        }
        let response = request.send().await.map_err(unreadable)?;
        // Nothing above can lead elsewhere; if it could, this would say so.
        if response.remote_addr() != Some(self.server) {
            return Err(Trouble::CannotTell(
                "another address answered; this is a fault of ours".to_owned(),
            ));
        }
        Ok(response)
    }

    /// The body, which must be complete and not too large.
    async fn body(&self, step: &HttpStep, mut response: Response) -> Result<Vec<u8>, Trouble> {
        if step.method == Method::Head {
            return Ok(Vec::new());
        }
        let too_large = || {
            Trouble::CannotTell(format!(
                "the body is larger than {} MiB",
                LARGEST_BODY >> 20
            ))
        };
        let announced = response.content_length().unwrap_or(0);
        if announced > LARGEST_BODY as u64 {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreadable)? {
            if body.len() + chunk.len() > LARGEST_BODY {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Whether a URL leads to this machine, over the same protocol to the same port, and carries no login.
    fn is_here(&self, url: &Url) -> bool {
        let own = match url.host() {
            Some(Host::Ipv4(address)) => self.server.ip() == address,
            Some(Host::Ipv6(address)) => self.server.ip() == address,
            Some(Host::Domain(_)) => url.host() == self.base.host(),
            None => false,
        };
        own && url.scheme() == self.base.scheme()
            && url.port_or_known_default() == Some(self.server.port())
            && url.username().is_empty()
            && url.password().is_none()
    }
}

/// The machine's root, under the name that the policy gives it.
fn base(check: &HttpCheck, server: SocketAddr) -> Result<Url, Trouble> {
    let scheme = match check.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let port = server.port();
    let text = match &check.host {
        None => format!("{scheme}://{server}/"),
        Some(host) => format!("{scheme}://{host}:{port}/"),
    };
    let whole = |url: &Url| {
        let own = match url.host() {
            Some(Host::Domain(_)) => check.host.is_some(),
            Some(Host::Ipv4(address)) => server.ip() == address,
            Some(Host::Ipv6(address)) => server.ip() == address,
            None => false,
        };
        own && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    };
    Url::parse(&text).ok().filter(whole).ok_or_else(|| {
        Trouble::CannotTell("the host is neither a name nor the machine's own address".to_owned())
    })
}

/// A client that connects to this address only.
fn client(server: SocketAddr, tls: rustls::ClientConfig) -> Result<Client, Trouble> {
    Client::builder()
        .user_agent("restore-proof")
        .dns_resolver(Only(server))
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(retry::never())
        .http1_only()
        // A connection for each request.
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT_TIMEOUT)
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(|error| Trouble::CannotTell(format!("no client could be made: {}", chain(&error))))
}

/// Knows one address, whatever the name: nothing is looked up.
struct Only(SocketAddr);

impl Resolve for Only {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// The headers to send. No error quotes a value: it may be a token.
fn headers(step: &HttpStep) -> Result<HeaderMap, Trouble> {
    step.headers
        .iter()
        .map(|(name, value)| {
            let (Ok(key), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value),
            ) else {
                return Err(Trouble::CannotTell(format!(
                    "the header {name:?} cannot be sent"
                )));
            };
            Ok((key, value))
        })
        .collect()
}

/// Refuses a body that is packed while something is expected of it: packed, it would not hold what it holds.
fn readable(step: &HttpStep, headers: &HeaderMap) -> Result<(), Trouble> {
    if step.contains.is_none() && step.matches.is_none() && step.json.is_none() {
        return Ok(());
    }
    let codings = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|coding| coding.trim_ascii());
    let mut packed =
        codings.filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"));
    let Some(coding) = packed.next() else {
        return Ok(());
    };
    // The registered ones (RFC 9110, 8.4.1, and its successors); other words are the machine's own.
    let name = [
        "gzip",
        "x-gzip",
        "deflate",
        "compress",
        "x-compress",
        "br",
        "zstd",
    ]
    .into_iter()
    .find(|name| coding.eq_ignore_ascii_case(name.as_bytes()))
    .unwrap_or("in a way unknown");
    Err(Trouble::CannotTell(format!(
        "the answer is compressed ({name}), which was not asked for"
    )))
}

/// Where an answer redirects to, if it does.
fn redirects(status: StatusCode, headers: &HeaderMap) -> Option<&HeaderValue> {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
        .then(|| headers.get(LOCATION))
        .flatten()
}

/// A URL that the machine sent, as far as it is quoted: neither login nor path nor query.
fn told(url: &Url) -> String {
    let host: String = url
        .host_str()
        .unwrap_or("no host")
        .chars()
        .take(LONGEST_HOST)
        .collect();
    match url.port() {
        Some(port) => format!("{} {host}:{port}", url.scheme()),
        None => format!("{} {host}", url.scheme()),
    }
}

/// An answer that did not come, or that is none. The library's words hold nothing of it.
fn unreadable(error: reqwest::Error) -> Trouble {
    let error = error.without_url();
    let cause = std::error::Error::source(&error);
    Trouble::CannotTell(format!(
        "no readable answer: {}",
        cause.map_or_else(|| error.to_string(), chain)
    ))
}
