//! Where the requests of an `http` check go: to one server, whatever its answers say.

use std::net::SocketAddr;

use url::{Host, Url};

use super::Trouble;
use crate::ceiling::{number, text};
use crate::policy::{HttpCheck, HttpStep, Scheme};

/// The most that is quoted of a host's name, or of a scheme's, characters.
const LONGEST_NAME: usize = 100;

/// The one server that a check asks, under the name and over the protocol that the policy gives it.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its root.
    base: Url,
    address: SocketAddr,
    /// How many redirects are followed.
    redirects: u8,
}

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is the one that the step waits for.
    Arrived,
    /// It leads to another place of the same server.
    Follow {
        /// Where it leads.
        url: Url,
        /// Whether a POST stays one.
        keeps_method: bool,
    },
}

impl Server {
    /// The server at this address.
    ///
    /// # Errors
    /// When the policy's host is neither a name nor the address itself.
    pub fn new(check: &HttpCheck, address: SocketAddr) -> Result<Server, Trouble> {
        let scheme = match check.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let port = address.port();
        let text = match &check.host {
            None => format!("{scheme}://{address}/"),
            Some(host) => format!("{scheme}://{host}:{port}/"),
        };
        let whole = |url: &Url| {
            let own = match url.host() {
                Some(Host::Domain(_)) => check.host.is_some(),
                Some(Host::Ipv4(named)) => address.ip() == named,
                Some(Host::Ipv6(named)) => address.ip() == named,
                None => false,
            };
            own && url.username().is_empty()
                && url.password().is_none()
                && url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
        };
        let base = Url::parse(&text).ok().filter(whole).ok_or_else(|| {
            Trouble::CannotTell(
                "the host is neither a name nor the machine's own address".to_owned(),
            )
        })?;
        Ok(Server {
            base,
            address,
            redirects: check.redirects,
        })
    }

    /// All that is connected to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a step's path.
    ///
    /// # Errors
    /// When the path makes no URL of this server.
    pub fn url(&self, path: &str) -> Result<Url, Trouble> {
        self.base
            .as_str()
            .strip_suffix('/')
            .and_then(|root| Url::parse(&format!("{root}{path}")).ok())
            .filter(|url| self.is_here(url))
            .ok_or_else(|| Trouble::CannotTell("the path makes no URL".to_owned()))
    }

    /// What follows from an answer to a request for `url`: its status, and its `Location` header if it has one.
    /// `followed` redirects have led there.
    ///
    /// # Errors
    /// When the status is none that the step expects and leads nowhere that may be gone to.
    pub fn next(
        &self,
        step: &HttpStep,
        url: &Url,
        status: u16,
        location: Option<&[u8]>,
        followed: u8,
    ) -> Result<Next, Trouble> {
        if step.status.contains(&status) {
            return Ok(Next::Arrived);
        }
        let wrong = |more: &str| {
            let expected: Vec<_> = step.status.iter().map(u16::to_string).collect();
            Trouble::Wrong(format!(
                "status {}{more}; expected: status {}",
                number(status),
                expected.join(" or ")
            ))
        };
        let redirects = matches!(status, 301 | 302 | 303 | 307 | 308);
        let Some(location) = location.filter(|_| redirects) else {
            return Err(wrong(""));
        };
        let next = match std::str::from_utf8(location)
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
        if followed >= self.redirects {
            return Err(wrong(&format!(
                ", a redirect to {}, which is not followed: redirects = {}",
                told(&next),
                self.redirects
            )));
        }
        Ok(Next::Follow {
            url: next,
            // RFC 9110, 15.4: what browsers do with a form.
            keeps_method: matches!(status, 307 | 308),
        })
    }

    /// Whether a URL leads to this machine, over the same protocol to the same port, and carries no login.
    fn is_here(&self, url: &Url) -> bool {
        let own = match url.host() {
            Some(Host::Ipv4(named)) => self.address.ip() == named,
            Some(Host::Ipv6(named)) => self.address.ip() == named,
            Some(Host::Domain(_)) => url.host() == self.base.host(),
            None => false,
        };
        own && url.scheme() == self.base.scheme()
            && url.port_or_known_default() == Some(self.address.port())
            && url.username().is_empty()
            && url.password().is_none()
    }
}

/// A URL that the machine sent, as far as it is quoted: neither login nor path nor query.
fn told(url: &Url) -> String {
    let cut = |name: &str| -> String { name.chars().take(LONGEST_NAME).collect() };
    let scheme = cut(url.scheme());
    let host = cut(url.host_str().unwrap_or("no host"));
    text(&match url.port() {
        Some(port) => format!("{scheme} {host}:{port}"),
        None => format!("{scheme} {host}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ceiling::{Ceiling, Marked, seen};
    use crate::policy::{CheckKind, parse};

    /// The check of a shop on port 8080 that expects 200 and follows two redirects.
    fn shop(host: &str) -> HttpCheck {
        let text = format!(
            "version = \"1\"\n[[rules]]\nname = \"web\"\nfrequency = \"daily\"\n\
             match = {{ resource_type = \"EC2\" }}\n[[rules.checks]]\nname = \"site\"\nkind = \"http\"\n\
             port = 8080\nredirects = 2\n{host}\nsteps = [{{ path = \"/a/b\" }}]\n"
        );
        match parse(&text).unwrap().rules.remove(0).checks.remove(0).kind {
            CheckKind::Http(http) => http,
            other => panic!("{other:?}"),
        }
    }

    fn next(host: &str, status: u16, location: &[u8], followed: u8) -> Result<Next, Trouble> {
        let check = shop(host);
        let server = Server::new(&check, "10.255.0.7:8080".parse().unwrap()).unwrap();
        let url = server.url(&check.steps[0].path).unwrap();
        server.next(&check.steps[0], &url, status, Some(location), followed)
    }

    #[test]
    fn a_redirect_on_the_machine_is_followed() {
        for (host, location, leads_to) in [
            ("", "/c", "http://10.255.0.7:8080/c"),
            ("", "c", "http://10.255.0.7:8080/a/c"),
            ("", "//10.255.0.7:8080/", "http://10.255.0.7:8080/"),
            ("host = \"shop.test\"", "?x", "http://shop.test:8080/a/b?x"),
            (
                "host = \"shop.test\"",
                "http://10.255.0.7:8080/",
                "http://10.255.0.7:8080/",
            ),
        ] {
            let followed = Next::Follow {
                url: Url::parse(leads_to).unwrap(),
                keeps_method: false,
            };
            assert_eq!(next(host, 302, location.as_bytes(), 1).unwrap(), followed);
        }
        for (status, keeps) in [(301, false), (303, false), (307, true), (308, true)] {
            match next("", status, b"/", 0).unwrap() {
                Next::Follow { keeps_method, .. } => assert_eq!(keeps_method, keeps, "{status}"),
                Next::Arrived => panic!("{status}"),
            }
        }
        assert_eq!(next("", 200, b"/", 2).unwrap(), Next::Arrived);
    }

    #[test]
    fn no_redirect_leaves_the_machine() {
        for location in [
            "http://169.254.169.254:8080/",
            "http://shop.test:8080/",
            "https://10.255.0.7:8080/",
            "http://10.255.0.7/",
            "http://10.255.0.7:8081/",
            "http://admin@10.255.0.7:8080/",
            "http://admin:admin@10.255.0.7:8080/",
            "http://[::ffff:10.255.0.7]:8080/",
            "//localhost:8080/",
            "file:///etc/passwd",
            "javascript:0",
        ] {
            match next("", 302, location.as_bytes(), 0) {
                Err(Trouble::Wrong(words)) => {
                    assert!(words.contains("off the machine"), "{words}");
                    assert!(
                        !words.contains("admin") && !words.contains("passwd"),
                        "{words}"
                    );
                }
                other => panic!("{location}: {other:?}"),
            }
        }
        for (status, location, words) in [
            (
                302,
                &b"https://admin:admin@shop.test/orders?all"[..],
                "status 302, a redirect off the machine, to https shop.test, which is not followed",
            ),
            (302, b"//10.255.0.8:81/", "to http 10.255.0.8:81, which"),
            (302, b"http://", "no URL"),
            (302, b"/\xff", "no URL"),
            (304, b"/", "status 304; expected: status 200"),
            (500, b"/", "status 500; expected: status 200"),
        ] {
            match next("", status, location, 0) {
                Err(Trouble::Wrong(said)) => {
                    assert!(seen(&said).contains(words), "{said}");
                    let masked = Marked::from(said).at(Ceiling::Numbers);
                    assert!(!masked.contains("shop.test"), "{masked}");
                }
                other => panic!("{status}: {other:?}"),
            }
        }
        let long = format!("{0}://{0}/", "x".repeat(5000));
        match next("", 302, long.as_bytes(), 0) {
            Err(Trouble::Wrong(words)) => assert!(words.len() < 400, "{words}"),
            other => panic!("{other:?}"),
        }
        match next("", 302, b"/", 2) {
            Err(Trouble::Wrong(words)) => assert!(words.contains("redirects = 2"), "{words}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_host_that_is_another_address_is_not_asked() {
        let server = |host: &str| {
            let check = HttpCheck {
                host: Some(host.to_owned()),
                ..shop("")
            };
            Server::new(&check, "10.255.0.7:8080".parse().unwrap())
        };
        assert!(server("shop.test").is_ok());
        assert!(server("10.255.0.7").is_ok());
        for host in ["10.255.0.8", "0x0a.255.8", "shop.test/x", "a@shop.test", ""] {
            assert!(server(host).is_err(), "{host}");
        }
    }
}
