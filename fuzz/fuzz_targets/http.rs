//! What restored machines answer: redirects, headers, bodies; and what they are said to be reached at.
//!
//! The input: a line of words (scheme, host or `-`, the machine's address, port, redirects that are followed), a line
//! that says what is expected of the body (`contains TEXT`, `matches REGEX`, `json POINTER EXPECTATION`), a line for each
//! answer (`STATUS LOCATION`, or `STATUS` alone), one with the values of `Content-Encoding`, and the body.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use libfuzzer_sys::{Corpus, fuzz_target};
use restore_proof_core::check::body::{self, Body};
use restore_proof_core::check::redirect::{Next, Server};
use restore_proof_core::check::{Target, Trouble, address};
use restore_proof_core::expectation::{Clocks, Judgement, compile_regex};
use restore_proof_core::policy::{
    Address, HttpCheck, HttpMethod, HttpStep, JsonExpectation, Scheme,
};
use serde_json::Value;
use url::Url;

/// The longest sentence about an answer beside what the policy itself says, characters.
const LONGEST_WORDS: usize = 400;

fuzz_target!(|data: &[u8]| -> Corpus {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut words = || std::str::from_utf8(lines.next().unwrap_or_default());
    let (Ok(place), Ok(expected)) = (words(), words()) else {
        return Corpus::Reject;
    };
    let Some((check, ip)) = check(place, expected) else {
        return Corpus::Reject;
    };
    never_elsewhere(ip);
    let mut rest = data
        .splitn(3, |byte| *byte == b'\n')
        .nth(2)
        .unwrap_or_default();
    let mut line = || {
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        line
    };
    let mut answers = Vec::new();
    let codings = loop {
        let line = line();
        match answer(line) {
            Some(answer) if answers.len() < 16 => answers.push(answer),
            _ => break line,
        }
    };
    if let Ok(server) = Server::new(&check, SocketAddr::new(ip, check.port)) {
        visit(&check, &server, &answers);
    }
    packed(&check.steps[0], codings);
    if let Ok(body) = collected(rest) {
        judged(&check.steps[0], body);
    }
    Corpus::Keep
});

/// A check of one step, and the machine's address.
fn check(place: &str, expected: &str) -> Option<(HttpCheck, IpAddr)> {
    let words: Vec<&str> = place.split(' ').collect();
    let [scheme, host, ip, port, redirects] = words[..] else {
        return None;
    };
    let mut step = HttpStep {
        name: "step".to_owned(),
        method: HttpMethod::Get,
        path: "/a/b?c=d".to_owned(),
        headers: [].into(),
        body: None,
        status: vec![200],
        contains: None,
        matches: None,
        json: None,
        within: None,
    };
    match expected.split_once(' ') {
        Some(("contains", text)) => step.contains = Some(text.to_owned()),
        Some(("matches", pattern)) => step.matches = Some(pattern.to_owned()),
        Some(("json", rest)) => {
            let (pointer, expect) = rest.split_once(' ')?;
            let whole = pointer.is_empty() || pointer.starts_with('/');
            let escaped = pointer
                .split('~')
                .skip(1)
                .all(|behind| behind.starts_with(['0', '1']));
            step.json = Some(JsonExpectation {
                pointer: pointer.to_owned(),
                expect: serde_json::from_str(expect)
                    .ok()
                    .filter(|_| whole && escaped)?,
            });
        }
        _ => {}
    }
    let check = HttpCheck {
        scheme: if scheme == "https" {
            Scheme::Https
        } else {
            Scheme::Http
        },
        port: port.parse().ok()?,
        host: Some(host).filter(|host| *host != "-").map(str::to_owned),
        address: Address::Private,
        redirects: redirects.parse().ok().filter(|count| *count <= 5)?,
        steps: vec![step],
    };
    Some((check, ip.parse().ok()?))
}

/// A status and, behind a space, where it leads.
fn answer(line: &[u8]) -> Option<(u16, Option<&[u8]>)> {
    let (status, behind) = line.split_at_checked(3)?;
    let status = std::str::from_utf8(status).ok()?.parse().ok()?;
    match behind {
        [] => Some((status, None)),
        [b' ', location @ ..] => Some((status, Some(location))),
        _ => None,
    }
}

/// Follows what the machine answers, as the function does: it ends, and never leaves the machine.
fn visit(check: &HttpCheck, server: &Server, answers: &[(u16, Option<&[u8]>)]) {
    let step = &check.steps[0];
    let mut url = server
        .url(&step.path)
        .expect("the policy's path makes a URL");
    here(check, server, &url);
    let mut followed = 0;
    for (status, location) in answers {
        match server.next(step, &url, *status, *location, followed) {
            Ok(Next::Arrived) => {
                assert!(step.status.contains(status));
                return;
            }
            Ok(Next::Follow {
                url: next,
                keeps_method,
            }) => {
                followed += 1;
                assert!(followed <= check.redirects, "{followed} redirects");
                assert_eq!(keeps_method, matches!(status, 307 | 308));
                here(check, server, &next);
                url = next;
            }
            Err(Trouble::Wrong(words)) => return short(&words, 0),
            Err(Trouble::Unnamed(words) | Trouble::CannotTell(words)) => panic!("{words}"),
        }
    }
}

/// The URL leads to the machine and carries no login: told by its text.
fn here(check: &HttpCheck, server: &Server, url: &Url) {
    let text = url.as_str();
    let authority = text.split('/').nth(2).expect("a URL with a host");
    let scheme = if check.scheme == Scheme::Https {
        "https:"
    } else {
        "http:"
    };
    assert_eq!(text.split('/').next(), Some(scheme), "{text}");
    let port = server.address().port();
    let shown = match port {
        80 if check.scheme == Scheme::Http => String::new(),
        443 if check.scheme == Scheme::Https => String::new(),
        port => format!(":{port}"),
    };
    let ip = match server.address().ip() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    // Names are the policy's: letters, digits, hyphens, underscores and dots, unless its reader was not asked.
    let named = check.host.as_deref().map(str::to_ascii_lowercase);
    let plain = named.as_deref().is_none_or(|host| {
        host.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    });
    let known = [Some(ip), named]
        .into_iter()
        .flatten()
        .any(|host| authority == format!("{host}{shown}"));
    assert!(known || !plain, "{text} is not on the machine");
    assert!(!authority.contains('@'), "{text} carries a login");
}

/// What is said of an answer is short and one line, whatever the machine sent.
fn short(words: &str, own: usize) {
    let length = words.chars().count();
    assert!(
        length > 0 && length <= LONGEST_WORDS + own,
        "{length} characters about an answer"
    );
    assert!(own > 0 || !words.chars().any(char::is_control), "{words:?}");
}

/// A packed body is refused when it matters, and no coding's name but the known ones is repeated.
fn packed(step: &HttpStep, codings: &[u8]) {
    let matters = step.contains.is_some() || step.matches.is_some() || step.json.is_some();
    let plain = codings
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"));
    match body::readable(step, [codings].into_iter()) {
        Ok(()) => assert!(plain || !matters),
        Err(Trouble::CannotTell(words)) => {
            assert!(matters && !plain);
            assert!(words.chars().count() < 80, "{words}");
        }
        Err(Trouble::Wrong(words) | Trouble::Unnamed(words)) => panic!("{words}"),
    }
}

/// The body as it comes in, in pieces. `*N` before it repeats it: what a machine sends has no end.
fn collected(sent: &[u8]) -> Result<Vec<u8>, Trouble> {
    let (times, sent) = match sent {
        [b'*', times, sent @ ..] => (usize::from(*times), sent),
        sent => (1, sent),
    };
    assert!(Body::announced(Some(body::LARGEST as u64 + 1)).is_err());
    let mut body = Body::announced(u64::try_from(sent.len()).ok())?;
    let mut length = 0;
    for chunk in std::iter::repeat_n(sent, times).flat_map(|sent| sent.chunks(4093)) {
        length += chunk.len();
        match body.push(chunk) {
            Ok(()) => assert!(length <= body::LARGEST),
            Err(Trouble::CannotTell(_)) => {
                assert!(length > body::LARGEST);
                assert!(body.into_bytes().len() <= body::LARGEST);
                return Ok(sent.to_vec());
            }
            Err(Trouble::Wrong(words) | Trouble::Unnamed(words)) => panic!("{words}"),
        }
    }
    let bytes = body.into_bytes();
    assert_eq!(bytes.len(), length);
    Ok(if times == 1 { bytes } else { sent.to_vec() })
}

/// What is ruled about a body is what other readers of text and JSON say of it.
fn judged(step: &HttpStep, sent: Vec<u8>) {
    let created = Timestamp::from_second(1_763_683_200).expect("2025");
    let clocks = Clocks {
        recovery_point_created: created,
        now: created,
    };
    let text = String::from_utf8_lossy(&sent).into_owned();
    let ruled = body::judge(step, sent.clone(), &clocks);
    let own = [&step.contains, &step.matches]
        .into_iter()
        .flatten()
        .map(|text| text.len() * 10)
        .sum::<usize>()
        + step.json.as_ref().map_or(0, |json| {
            10 * (json.pointer.len() + json.expect.to_string().len())
        })
        + 1;
    match &ruled {
        Err(Trouble::Wrong(words) | Trouble::Unnamed(words) | Trouble::CannotTell(words)) => {
            short(words, own)
        }
        Ok(judgement) => assert_eq!(judgement.is_some(), step.json.is_some()),
    }
    let wrong = matches!(ruled, Err(Trouble::Wrong(_)));
    if let Some(wanted) = &step.contains {
        assert_eq!(wrong, !text.contains(wanted.as_str()));
    } else if let Some(pattern) = &step.matches {
        match compile_regex(pattern) {
            Ok(regex) => assert_eq!(wrong, !regex.is_match(&text)),
            Err(_) => assert!(matches!(ruled, Err(Trouble::CannotTell(_)))),
        }
    } else if let Some(json) = &step.json {
        same_as_other_readers(json, &text, ruled, &clocks);
    }
}

fn same_as_other_readers(
    json: &JsonExpectation,
    text: &str,
    ruled: Result<Option<Judgement>, Trouble>,
    clocks: &Clocks,
) {
    // The other reader is a tree: what it finds too deep or too large to be read has no other answer.
    let Ok(tree) = serde_json::from_str::<Value>(text) else {
        return;
    };
    match (tree.pointer(&json.pointer), ruled) {
        (None, Err(Trouble::Wrong(_))) => {}
        (Some(value), Ok(Some(judgement))) => {
            let other = json.expect.judge_json(value, clocks);
            assert_eq!(
                (judgement.outcome, judgement.value),
                (other.outcome, other.value)
            );
        }
        (Some(value), Err(Trouble::CannotTell(_))) => {
            assert!(value.is_array() || value.is_object());
            assert!(text.len() > 64 << 10, "a small tree is judged");
        }
        (found, ruled) => panic!("{found:?} is found, and ruled {ruled:?}"),
    }
}

/// Whatever a machine is said to have for addresses, nobody else's is connected to.
fn never_elsewhere(ip: IpAddr) {
    for network in ["10.255.0.0/24", "0.0.0.0/0", "127.77.0.0/16"] {
        let network = network.parse().expect("a network");
        let target = Target::Machine {
            private: Some(ip),
            public: Some(ip),
            network,
        };
        if let Ok(address) = address::of(&target, Address::Private) {
            assert_eq!(address, ip);
            let IpAddr::V4(v4) = ip else {
                panic!("{ip} is private");
            };
            assert!(network.contains(ip));
            let [a, b, ..] = v4.octets();
            assert!(
                !v4.is_link_local()
                    && !v4.is_multicast()
                    && !v4.is_broadcast()
                    && !v4.is_unspecified()
            );
            assert!(a != 0 && (a, b) != (127, 0) && a < 240, "{ip}");
        }
        if let Ok(address) = address::of(&target, Address::Public) {
            assert_eq!(address, ip);
            match ip {
                IpAddr::V4(v4) => assert!(
                    !(v4.is_private()
                        || v4.is_loopback()
                        || v4.is_link_local()
                        || v4.is_documentation()
                        || v4.is_multicast()
                        || v4.is_broadcast()
                        || v4.is_unspecified()
                        || v4.octets()[0] == 0),
                    "{ip}"
                ),
                IpAddr::V6(v6) => assert!(
                    v6.to_ipv4().is_none() && v6.segments()[0] & 0xe000 == 0x2000,
                    "{ip}"
                ),
            }
        }
    }
    let site = Target::Site { address: ip };
    assert_eq!(address::of(&site, Address::Public).ok(), Some(ip));
}
