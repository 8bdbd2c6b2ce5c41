//! Reading a check of kind `http`: where to connect, and its steps.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;

use super::super::rule::LONGEST_NAME;
use super::super::{
    HttpCheck, HttpMethod, HttpStep, JsonExpectation, MOST_REDIRECTS, MOST_STEPS, Scheme,
    readable_latency,
};
use super::{read_address, read_expectation, read_port, read_regex};
use crate::reader::{Item, Names, Section, optional};

/// The longest path and the longest header value, in characters: servers take hardly more.
const LONGEST_PATH: usize = 2048;
const LONGEST_HEADER: usize = 8192;

/// Headers that are not the policy's, with what to do instead.
const NOT_THE_POLICYS: [(&str, &str); 9] = [
    (
        "Host",
        "is a key of its own: write host = \"…\" in the check",
    ),
    ("Content-Length", "follows from the body"),
    ("Transfer-Encoding", "follows from the body"),
    (
        "Connection",
        "is the client's: each request has a connection of its own",
    ),
    (
        "Keep-Alive",
        "is the client's: each request has a connection of its own",
    ),
    ("Upgrade", "is the client's: it speaks HTTP/1.1 only"),
    ("TE", "is the client's: it speaks HTTP/1.1 only"),
    ("Expect", "is the client's: a body is sent at once"),
    (
        "Accept-Encoding",
        "is the client's: it reads answers that are not compressed",
    ),
];

/// A check of kind `http`, which may take so long.
pub(super) fn read(mut check: Section<'_>, longest: Option<Duration>) -> Option<HttpCheck> {
    let scheme = optional(check.optional("scheme"), |item| {
        item.one_of(&[("http", Scheme::Http), ("https", Scheme::Https)])
    });
    let port = optional(check.optional("port"), read_port);
    let host = optional(check.optional("host"), read_host);
    let address = optional(check.optional("address"), read_address);
    let redirects = optional(check.optional("redirects"), |item| {
        let count = u8::try_from(item.integer()?).ok();
        let count = count.filter(|count| *count <= MOST_REDIRECTS);
        if count.is_none() {
            item.mistake(format!("is a number from 0 to {MOST_REDIRECTS}"));
        }
        count
    });
    let steps = check
        .required("steps", "steps = [ { path = \"/\" } ]")
        .and_then(|item| read_steps(&item, longest));
    check.finish();
    let scheme = scheme?.unwrap_or_default();
    Some(HttpCheck {
        scheme,
        port: port?.unwrap_or(match scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }),
        host: host?,
        address: address?.unwrap_or_default(),
        redirects: redirects?.unwrap_or(0),
        steps: steps?,
    })
}

/// A name as it stands in a certificate, or an IPv4 address.
fn read_host(item: &Item<'_>) -> Option<String> {
    let host = item.line(253)?;
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if !host.split('.').all(label) {
        item.mistake("must be a name such as \"shop.example.com\"; scheme, port and path have keys of their own");
        return None;
    }
    Some(host.to_owned())
}

fn read_steps(item: &Item<'_>, longest: Option<Duration>) -> Option<Vec<HttpStep>> {
    let items = item.list()?;
    if items.is_empty() {
        item.mistake("must hold at least one step, such as { path = \"/\" }");
        return None;
    }
    if items.len() > MOST_STEPS {
        item.mistake(format!(
            "holds {} steps; a check has at most {MOST_STEPS}",
            items.len()
        ));
        return None;
    }
    let mut names = Names::default();
    let steps: Vec<Option<HttpStep>> = items
        .iter()
        .map(|item| read_step(item.section()?, longest, &mut names))
        .collect();
    steps.into_iter().collect()
}

fn read_step(
    mut step: Section<'_>,
    longest: Option<Duration>,
    names: &mut Names,
) -> Option<HttpStep> {
    let path_item = step.required("path", "path = \"/health\"");
    let path = path_item.as_ref().and_then(read_path);
    let name = match (step.optional("name"), &path_item, path) {
        (Some(item), _, _) => names
            .take(item.line(LONGEST_NAME)?, &item)
            .map(str::to_owned),
        (None, Some(item), Some(path)) => name_by_path(path, item, names),
        (None, _, _) => None,
    };
    let method_item = step.optional("method");
    let method = optional(method_item, |item| {
        item.one_of(&[
            ("GET", HttpMethod::Get),
            ("HEAD", HttpMethod::Head),
            ("POST", HttpMethod::Post),
        ])
    });
    let headers = optional(step.optional("headers"), read_headers);
    let body_item = step.optional("body");
    let body = optional(body_item.clone(), |item| item.text().map(str::to_owned));
    let status = optional(step.optional("status"), read_status);
    let contains_item = step.optional("contains");
    let contains = optional(contains_item.clone(), |item| {
        let text = item.text()?;
        if text.is_empty() {
            item.mistake(
                "is empty, and every answer holds that; leave it out, or ask for some text",
            );
            return None;
        }
        Some(text.to_owned())
    });
    let matches_item = step.optional("matches");
    let matches = optional(matches_item.clone(), |item| {
        read_regex(item, "leave it out, or ask for some text")
    });
    let (json_item, json) = read_json(&mut step);
    let within = optional(step.optional("within"), |item| {
        let within = item.latency()?;
        if let Some(longest) = longest.filter(|longest| within > *longest) {
            item.mistake(format!(
                "is longer than the whole check may take, {}; give the check a longer timeout",
                readable_latency(longest)
            ));
            return None;
        }
        Some(within)
    });
    step.finish();

    let known_method = method.map(Option::unwrap_or_default);
    if let (Some(item), Some(HttpMethod::Get | HttpMethod::Head)) = (&body_item, known_method) {
        item.mistake("only a POST sends a body; write method = \"POST\"");
        return None;
    }
    if known_method == Some(HttpMethod::Head) {
        for item in [&contains_item, &matches_item, &json_item]
            .into_iter()
            .flatten()
        {
            item.mistake("the answer to HEAD has no body; write method = \"GET\"");
        }
    }
    Some(HttpStep {
        name: name?,
        method: known_method?,
        path: path?.to_owned(),
        headers: headers?.unwrap_or_default(),
        body: body?,
        status: status?.unwrap_or_else(|| vec![200]),
        contains: contains?,
        matches: matches?,
        json: json?,
        within: within?,
    })
}

/// A step without a name is called by its path. Not by its query: that may hold a key, and names stand in records and
/// messages.
fn name_by_path(path: &str, item: &Item<'_>, names: &mut Names) -> Option<String> {
    let path = path.split('?').next().unwrap_or(path);
    if path.chars().count() > LONGEST_NAME {
        item.mistake(format!(
            "is longer than {LONGEST_NAME} characters, too long to call the step by; give the step a name"
        ));
        return None;
    }
    if let Some(first) = names.owner(path) {
        item.mistake(format!(
            "a step without a name is called by its path, and {first} is called so already; give the step a name"
        ));
        return None;
    }
    names.take(path, item).map(str::to_owned)
}

/// Path and query as they are sent (RFC 9112, origin form).
fn read_path<'t>(item: &Item<'t>) -> Option<&'t str> {
    let path = item.line(LONGEST_PATH)?;
    let problem = if !path.starts_with('/') {
        "must begin with \"/\"; the host has a key of its own in the check"
    } else if path.contains('#') {
        "holds a \"#\": what is behind it is never sent; write %23 for the character"
    } else if path.contains(' ') {
        "holds a space; write %20"
    } else if !path.bytes().all(|b| b.is_ascii_graphic()) {
        "holds a character beyond ASCII; write its UTF-8 bytes with percent signs, such as %C3%A9 for é"
    } else if path.contains(['"', '<', '>', '\\', '^', '`', '{', '|', '}']) {
        "holds a character that a URL cannot have; write it with a percent sign, such as %22 for a quote"
    } else {
        return Some(path);
    };
    item.mistake(problem);
    None
}

fn read_headers(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    let headers: Vec<Option<(String, String)>> = item
        .entries()?
        .into_iter()
        .map(|(name, item)| {
            let value = item.line(LONGEST_HEADER)?;
            let problem = if !is_token(name) {
                "no header has this name: names are letters, digits and - _ . ! # $ % & ' * + ^ ` | ~"
                    .to_owned()
            } else if let Some((name, why)) = NOT_THE_POLICYS
                .iter()
                .find(|(other, _)| other.eq_ignore_ascii_case(name))
            {
                format!("{name} {why}")
            } else if !value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
                "must be ASCII: servers read other characters as they please".to_owned()
            } else if value.trim() != value {
                "begins or ends with a space, which no server sees".to_owned()
            } else if let Some(first) = names.insert(name.to_ascii_lowercase(), name) {
                format!("is the same header as {first}: upper and lower case do not matter")
            } else {
                return Some((name.to_owned(), value.to_owned()));
            };
            item.mistake(problem);
            None
        })
        .collect();
    headers.into_iter().collect()
}

/// Whether a text is a header's name (RFC 9110, `token`).
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn read_status(item: &Item<'_>) -> Option<Vec<u16>> {
    let one = |item: &Item<'_>| {
        let status = u16::try_from(item.integer()?).ok();
        let status = status.filter(|status| (100..=599).contains(status));
        if status.is_none() {
            item.mistake("a status is a number from 100 to 599");
        }
        status
    };
    if !matches!(item.value, DeValue::Integer(_) | DeValue::Array(_)) {
        item.mistake("must be a number or a list of numbers, such as 200 or [200, 204]");
        return None;
    }
    if let DeValue::Integer(_) = item.value {
        return one(item).map(|status| vec![status]);
    }
    let items = item.list()?;
    if items.is_empty() {
        item.mistake("is empty, so that no answer is right; leave it out for 200");
        return None;
    }
    let statuses: Vec<Option<u16>> = items.iter().map(one).collect();
    statuses.into_iter().collect()
}

/// `json` with its `expect`: both or none.
fn read_json<'t>(step: &mut Section<'t>) -> (Option<Item<'t>>, Option<Option<JsonExpectation>>) {
    let (json_item, expect_item) = match (step.holds("json"), step.holds("expect")) {
        (true, _) => (
            step.optional("json"),
            step.needed(
                "expect",
                "is missing: what must the value at json be? Write for example expect = { equals = \"ok\" }",
            ),
        ),
        (false, true) => (
            step.needed(
                "json",
                "is missing: which value of the answer is judged? Write for example json = \"/status\"",
            ),
            step.optional("expect"),
        ),
        (false, false) => (step.optional("json"), step.optional("expect")),
    };
    let pointer = json_item.as_ref().and_then(read_pointer);
    let expect = expect_item.as_ref().and_then(read_expectation);
    let none = json_item.is_none() && expect_item.is_none();
    let read = match (pointer, expect) {
        _ if none => Some(None),
        (Some(pointer), Some(expect)) => Some(Some(JsonExpectation { pointer, expect })),
        _ => None,
    };
    (json_item, read)
}

/// A JSON pointer (RFC 6901): empty, or parts each behind a slash, in which `~` is written `~0` and `/` `~1`.
fn read_pointer(item: &Item<'_>) -> Option<String> {
    let pointer = item.text()?;
    let problem = if !pointer.is_empty() && !pointer.starts_with('/') {
        "must begin with \"/\", such as \"/status\" or \"/items/0/name\"; \"\" is the whole answer"
    } else if pointer
        .split('~')
        .skip(1)
        .any(|behind| !behind.starts_with(['0', '1']))
    {
        "holds a \"~\" alone: in a JSON pointer ~0 stands for ~ and ~1 for /"
    } else {
        return Some(pointer.to_owned());
    };
    item.mistake(problem);
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::policy::{CheckKind, parse};

    fn with_steps(steps: &str) -> String {
        format!(
            "version = \"1\"\n[[rules]]\nname = \"web\"\nfrequency = \"every-copy\"\n\
             match = {{ resource_type = \"EC2\" }}\n[[rules.checks]]\nname = \"site\"\nkind = \"http\"\n\
             steps = [{steps}]\n"
        )
    }

    #[test]
    fn a_policy_has_room_for_so_many_regexes() {
        let steps = |count: usize, pattern: &str| -> String {
            let step = |n| format!("{{ path = \"/{n}\", matches = '{pattern}' }}");
            with_steps(&(0..count).map(step).collect::<Vec<_>>().join(", "))
        };
        assert!(parse(&steps(20, r"\w{10}")).is_ok());
        let check = steps(20, r"\w{10}");
        let check = &check[check.find("[[rules.checks]]").unwrap()..];
        let both = format!("{}{}", steps(20, r"\w{10}"), check.replace("site", "other"));
        let mistakes = parse(&both).unwrap_err().0;
        // Each takes the most that one may take, a mebibyte.
        assert_eq!(mistakes.len(), 40 - 32);
        assert!(
            mistakes
                .iter()
                .all(|mistake| mistake.message.contains("all the room"))
        );
        let both = both.replace(r"\w{10}", "orders: [0-9]+");
        assert!(parse(&both).is_ok());
    }

    #[test]
    fn not_every_unknown_time_zone_is_compared_with_all() {
        let check = |n| {
            format!(
                "[[rules.checks]]\nname = \"{n}\"\nkind = \"sql\"\nquery = \"q\"\nexpect = {{ min = 1 }}\n\
                 time_zone = \"Europe/Berlim\"\n"
            )
        };
        let checks: String = (0..60).map(check).collect();
        let text = format!(
            "version = \"1\"\n[[rules]]\nname = \"db\"\nfrequency = \"daily\"\nmatch = {{}}\n\
             credentials = \"reset\"\n{checks}"
        );
        let mistakes = parse(&text).unwrap_err().0;
        assert_eq!(mistakes.len(), 60);
        for (n, mistake) in mistakes.iter().enumerate() {
            let meant = mistake.message.contains("did you mean \"Europe/Berlin\"?");
            assert_eq!(meant, n < 50, "{mistake}");
        }
    }

    #[test]
    fn a_step_is_not_called_by_its_query() {
        let long = "k".repeat(200);
        let text = with_steps(&format!(
            "{{ path = \"/health?key={long}\" }}, {{ name = \"b\", path = \"/health?key=b\" }}, {{ path = \"/?\" }}"
        ));
        let policy = parse(&text).unwrap();
        let CheckKind::Http(http) = &policy.rules[0].checks[0].kind else {
            panic!("{policy:?}");
        };
        let names: Vec<_> = http.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["/health", "b", "/"]);
        assert_eq!(http.steps[1].path, "/health?key=b");
    }

    #[test]
    fn steps_that_differ_in_their_query_alone_need_names() {
        let text = with_steps("{ path = \"/a?sesame=1\" }, { path = \"/a?sesame=2\" }");
        let mistakes = format!("{:?}", parse(&text).unwrap_err());
        assert!(mistakes.contains("is called so already"), "{mistakes}");
        assert!(!mistakes.contains("sesame"), "{mistakes}");
    }
}
