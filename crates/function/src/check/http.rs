//! `http` checks: requests to a restored machine, one after the other, and what their answers must be.
//!
//! A restored machine is hostile until proved otherwise. Its answers cost what the limits here say and no more, and lead
//! to no other address: whatever names they hold, one socket address is connected to.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Response, redirect, retry};
use restore_proof_core::ceiling::{self, Marked};
use restore_proof_core::check::body::{self, Body};
use restore_proof_core::check::redirect::{Next, Server};
use restore_proof_core::check::{Target, Trouble, address, ruling};
use restore_proof_core::expectation::{CheckOutcome, Clocks, Judgement, Measurement};
use restore_proof_core::policy::{HttpCheck, HttpMethod, HttpStep};
use url::Url;

use super::apart::apart;
use super::{Access, Place, chain};

/// The longest that connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
        server: Server::new(check, server)?,
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
    /// All that is connected to.
    server: Server,
    client: Client,
}

impl Visit {
    async fn take_steps(&self, clocks: Clocks, place: &Place) -> Result<Judgement, Trouble> {
        let mut last = None;
        let mut measured = Vec::new();
        let mut slowest: Option<(&str, Duration)> = None;
        for step in &self.check.steps {
            place.begin(&step.name);
            let began = Instant::now();
            let answer = self.answer(step).await?;
            let packed = answer.headers().get_all(CONTENT_ENCODING);
            body::readable(step, packed.iter().map(HeaderValue::as_bytes))?;
            let status = answer.status().as_u16();
            let read = self.body(step, answer).await?;
            let took = began.elapsed();
            measured.push(Measurement {
                name: format!("{}, ms", step.name),
                number: Some(took.as_secs_f64() * 1000.0),
                text: Some(Marked::from(format!("status {}", ceiling::number(status)))),
            });
            if let Some(judgement) = body::judge(step, read, &clocks)? {
                if judgement.outcome != CheckOutcome::Passed {
                    return Ok(Judgement {
                        detail: place.before(&judgement.detail),
                        measured,
                        ..judgement
                    });
                }
                last = Some(judgement);
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
        let passed = format!("{steps} answered as expected{slowest}");
        let judgement = last.unwrap_or_else(|| ruling(CheckOutcome::Passed, String::new()));
        Ok(Judgement {
            detail: passed,
            measured,
            age_at_backup: None,
            age_against_now: None,
            ..judgement
        })
    }

    /// The answer to a step, of a status it expects, after the redirects that may be followed.
    async fn answer(&self, step: &HttpStep) -> Result<Response, Trouble> {
        let mut method = match step.method {
            HttpMethod::Get => reqwest::Method::GET,
            HttpMethod::Head => reqwest::Method::HEAD,
            HttpMethod::Post => reqwest::Method::POST,
        };
        let mut url = self.server.url(&step.path)?;
        let mut followed = 0;
        loop {
            let response = self.ask(step, method.clone(), url.clone()).await?;
            let location = response.headers().get(LOCATION).map(HeaderValue::as_bytes);
            let status = response.status().as_u16();
            match self.server.next(step, &url, status, location, followed)? {
                Next::Arrived => return Ok(response),
                Next::Follow {
                    url: next,
                    keeps_method,
                } => {
                    if !keeps_method && method == reqwest::Method::POST {
                        method = reqwest::Method::GET;
                    }
                    followed += 1;
                    url = next;
                }
            }
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
        if response.remote_addr() != Some(self.server.address()) {
            return Err(Trouble::CannotTell(
                "another address answered; this is a fault of ours".to_owned(),
            ));
        }
        Ok(response)
    }

    /// The body, which must be complete and not too large.
    async fn body(&self, step: &HttpStep, mut response: Response) -> Result<Vec<u8>, Trouble> {
        if step.method == HttpMethod::Head {
            return Ok(Vec::new());
        }
        let mut body = Body::announced(response.content_length())?;
        while let Some(chunk) = response.chunk().await.map_err(unreadable)? {
            body.push(&chunk)?;
        }
        Ok(body.into_bytes())
    }
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

/// An answer that did not come, or that is none. The library's words hold nothing of it.
fn unreadable(error: reqwest::Error) -> Trouble {
    let error = error.without_url();
    let cause = std::error::Error::source(&error);
    Trouble::CannotTell(format!(
        "no readable answer: {}",
        cause.map_or_else(|| error.to_string(), chain)
    ))
}
