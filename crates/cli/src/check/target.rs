//! The URL of a target, and where it leads.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use restore_proof_core::policy::{CheckKind, Rule, Scheme};
use restore_proof_function::check::Target;
use url::{Host, Url};

use crate::exit::Problem;

/// How long to try one of several addresses of a host.
const TRY: Duration = Duration::from_secs(2);

/// What a target is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// A database of this engine, by RDS's name.
    Database { engine: &'static str },
    /// A web server, or any machine that takes connections.
    Site { scheme: Scheme },
}

/// A target as it was given.
pub(super) struct Given {
    pub(super) place: Place,
    host: Host<String>,
    /// None when the URL names none.
    port: Option<u16>,
    pub(super) database: Option<String>,
    pub(super) username: Option<String>,
    /// Shown by nothing.
    pub(super) password: Option<String>,
    /// The URL without its password.
    pub(super) shown: String,
}

/// Reads a target. No error quotes it: it may hold a password.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(text: &str) -> Result<Given, Problem> {
    let wrong = |why: &str| {
        Problem::usage(format!("the target {why}")).help(
            "write postgres://user@host:5432/database, mysql://user@host/database, http://host:8080 or https://host",
        )
    };
    let mut url = Url::parse(text).map_err(|error| wrong(&format!("is no URL: {error}")))?;
    let place = match url.scheme() {
        "postgres" | "postgresql" => Place::Database { engine: "postgres" },
        "mysql" => Place::Database { engine: "mysql" },
        "mariadb" => Place::Database { engine: "mariadb" },
        "http" => Place::Site {
            scheme: Scheme::Http,
        },
        "https" => Place::Site {
            scheme: Scheme::Https,
        },
        _ => return Err(wrong("is neither a database nor a site")),
    };
    let host = match url.host() {
        // Of schemes that the URL standard does not know, an address is read as a name.
        Some(Host::Domain(name)) if !name.is_empty() => match name.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => Host::Ipv4(address),
            _ => Host::Domain(decoded(name)),
        },
        Some(Host::Ipv4(address)) => Host::Ipv4(address),
        Some(Host::Ipv6(address)) => Host::Ipv6(address),
        _ => return Err(wrong("names no host")),
    };
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(
            "has parameters (behind ? or #), which are not used; see --tls and --ca",
        ));
    }
    let path = decoded(url.path().trim_start_matches('/'));
    let word = |text: &str| (!text.is_empty()).then(|| decoded(text));
    let (username, password) = (word(url.username()), url.password().map(decoded));
    let database = match place {
        Place::Database { .. } if path.contains('/') => {
            return Err(wrong("names more than a database behind its host"));
        }
        Place::Database { .. } => (!path.is_empty()).then_some(path),
        Place::Site { .. } if !path.is_empty() => {
            return Err(wrong("has a path: the steps of http checks have their own"));
        }
        Place::Site { .. } if username.is_some() || password.is_some() => {
            return Err(wrong("has a login: http checks send headers, and no login"));
        }
        Place::Site { .. } => None,
    };
    let port = url.port();
    // Cannot fail for a URL that has a host.
    let _ = url.set_password(None);
    let shown = url.as_str().trim_end_matches('/').to_owned();
    Ok(Given {
        place,
        host,
        port,
        database,
        username,
        password,
        shown,
    })
}

/// A part of a URL without its percent signs.
fn decoded(text: &str) -> String {
    // What the decoder of forms reads as a space or as the end is a letter here.
    let text = text.replace('+', "%2B").replace('&', "%26");
    url::form_urlencoded::parse(format!("={text}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

impl Given {
    /// Where checks go. The rule's http checks are pointed there; answers what to know about that.
    ///
    /// # Errors
    /// When the host is not known.
    pub(super) async fn resolve(&self, rule: &mut Rule) -> Result<(Target, Vec<String>), Problem> {
        match self.place {
            Place::Database { engine } => Ok((
                Target::Database {
                    // Without the brackets that an address of IPv6 has in a URL.
                    host: match &self.host {
                        Host::Ipv6(address) => address.to_string(),
                        other => other.to_string(),
                    },
                    port: self.port.unwrap_or(match engine {
                        "postgres" => 5432,
                        _ => 3306,
                    }),
                    engine: engine.to_owned(),
                    database: self.database.clone(),
                    settings_differ: false,
                },
                Vec::new(),
            )),
            Place::Site { scheme } => {
                let notes = self.point(rule, scheme);
                let port = self.port.unwrap_or(default_port(scheme));
                let address = self.address(port).await?;
                Ok((Target::Site { address }, notes))
            }
        }
    }

    /// Points the rule's http checks at the site.
    fn point(&self, rule: &mut Rule, scheme: Scheme) -> Vec<String> {
        let mut notes: Vec<String> = Vec::new();
        for check in &mut rule.checks {
            let CheckKind::Http(http) = &mut check.kind else {
                continue;
            };
            let port = match self.port {
                Some(port) => port,
                None if http.scheme == scheme => http.port,
                None => default_port(scheme),
            };
            if (http.scheme, http.port) != (scheme, port) {
                let note = format!(
                    "http checks go to {} port {port}, where the rule says {} port {}",
                    name(scheme),
                    name(http.scheme),
                    http.port
                );
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
            (http.scheme, http.port) = (scheme, port);
            if let Host::Domain(host) = &self.host {
                http.host.get_or_insert_with(|| host.clone());
            }
        }
        notes
    }

    /// The one address that is connected to: the first that answers, else the first.
    async fn address(&self, port: u16) -> Result<IpAddr, Problem> {
        let name = match &self.host {
            Host::Ipv4(address) => return Ok(IpAddr::V4(*address)),
            Host::Ipv6(address) => return Ok(IpAddr::V6(*address)),
            Host::Domain(name) => name,
        };
        let unknown = |why: String| {
            Problem::cannot_run(format!("the host {name} is not found: {why}"))
                .help("is it spelt right, and is there a network?")
        };
        let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), port))
            .await
            .map_err(|error| unknown(error.to_string()))?
            .collect();
        let first = found
            .first()
            .ok_or_else(|| unknown("it has no address".to_owned()))?;
        for address in &found {
            let trial = tokio::net::TcpStream::connect(address);
            if let Ok(Ok(_)) = tokio::time::timeout(TRY, trial).await {
                return Ok(address.ip());
            }
        }
        Ok(first.ip())
    }
}

fn default_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    }
}

fn name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_database_is_read_with_its_login_and_shown_without_its_password() {
        let given =
            read("postgres://re%40der:p%40ss+w%3Ard@db.example.com:6432/my%20shop").unwrap();
        assert_eq!(given.username.as_deref(), Some("re@der"));
        assert_eq!(given.password.as_deref(), Some("p@ss+w:rd"));
        assert_eq!(given.database.as_deref(), Some("my shop"));
        assert_eq!(
            (given.port, given.host.to_string()),
            (Some(6432), "db.example.com".to_owned())
        );
        assert_eq!(
            given.shown,
            "postgres://re%40der@db.example.com:6432/my%20shop"
        );
        let given = read("mysql://root@127.0.0.1/").unwrap();
        assert_eq!((given.port, given.database), (None, None));
        assert!(matches!(given.host, Host::Ipv4(_)));
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_quoting_it() {
        for text in [
            "",
            "secret",
            "postgres://u:secret@",
            "redis://u:secret@host",
            "postgres://u:secret@host/db?sslmode=off",
            "postgres://u:secret@host/a/b",
            "postgres://u:secret@ho st/a",
            "http://u:secret@host",
            "http://host/secret",
            "postgres://u:secret@host:99999/db",
        ] {
            let Err(problem) = read(text) else {
                panic!("{text} is taken");
            };
            let words = format!("{} {}", problem.what, problem.help.unwrap_or_default());
            assert!(!words.contains("secret"), "{words}");
        }
    }
}
