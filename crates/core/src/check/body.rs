//! The body of an answer: how much of it is read, and what is expected of it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Trouble;
use crate::ceiling::number;
use crate::expectation::{Clocks, Judgement, compile_regex};
use crate::policy::{HttpStep, JsonExpectation};

/// The largest body that is read, bytes.
pub const LARGEST: usize = 4 << 20;

/// The largest list or object that is judged, bytes: as a tree it takes a hundred times as much.
const LARGEST_TREE: usize = 64 << 10;

/// A body as it comes in, not too large.
#[derive(Debug, Default)]
pub struct Body(Vec<u8>);

impl Body {
    /// The body of an answer that announces so many bytes, if it does.
    ///
    /// # Errors
    /// When that is too large.
    pub fn announced(length: Option<u64>) -> Result<Body, Trouble> {
        if length.is_some_and(|length| length > LARGEST as u64) {
            return Err(too_large());
        }
        Ok(Body::default())
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When it becomes too large.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        if self.0.len() + bytes.len() > LARGEST {
            return Err(too_large());
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// All of it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

fn too_large() -> Trouble {
    Trouble::CannotTell(format!("the body is larger than {} MiB", LARGEST >> 20))
}

/// Refuses a body that is packed while something is expected of it: packed, it would not hold what it holds. Takes the
/// values of the answer's `Content-Encoding` headers.
///
/// # Errors
/// How it is packed, in words.
pub fn readable<'v>(
    step: &HttpStep,
    content_encodings: impl Iterator<Item = &'v [u8]>,
) -> Result<(), Trouble> {
    if step.contains.is_none() && step.matches.is_none() && step.json.is_none() {
        return Ok(());
    }
    let codings = content_encodings
        .flat_map(|value| value.split(|byte| *byte == b','))
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

/// Judges a whole body; none when nothing is expected of it. Bytes that are not UTF-8 are read as U+FFFD.
///
/// # Errors
/// What speaks against the backup, or why the body cannot be judged.
pub fn judge(
    step: &HttpStep,
    body: Vec<u8>,
    clocks: &Clocks,
) -> Result<Option<Judgement>, Trouble> {
    let length = body.len();
    let text = String::from_utf8(body)
        .unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned());
    if let Some(wanted) = &step.contains
        && !text.contains(wanted.as_str())
    {
        return Err(Trouble::Wrong(format!(
            "the body of {} bytes does not hold the text {wanted:?}",
            number(length)
        )));
    }
    if let Some(pattern) = &step.matches
        && !compile_regex(pattern)
            .map_err(Trouble::CannotTell)?
            .is_match(&text)
    {
        return Err(Trouble::Wrong(format!(
            "the body of {} bytes does not match /{pattern}/",
            number(length)
        )));
    }
    match &step.json {
        None => Ok(None),
        Some(json) => judge_json(json, &text, clocks).map(Some),
    }
}

fn judge_json(json: &JsonExpectation, body: &str, clocks: &Clocks) -> Result<Judgement, Trouble> {
    let JsonExpectation { pointer, expect } = json;
    let wrong = |what: &str| Err(Trouble::Wrong(format!("{what}; expected: {expect}")));
    let found = match find(pointer, body) {
        Ok(found) => found,
        Err(_) => {
            let length = body.len();
            return wrong(&format!("the body of {} bytes is not JSON", number(length)));
        }
    };
    let Some(found) = found else {
        return wrong(&format!("the JSON body has nothing at {pointer:?}"));
    };
    let is_tree = found.get().starts_with(['{', '[']);
    let tree = if is_tree && found.get().len() > LARGEST_TREE {
        None
    } else {
        // What is too deep is an error of the reader.
        serde_json::from_str(found.get()).ok()
    };
    let Some(value) = tree else {
        return Err(Trouble::CannotTell(format!(
            "what the JSON body has at {pointer:?} is too large or too deep to be judged"
        )));
    };
    let judgement = expect.judge_json(&value, clocks);
    Ok(Judgement {
        detail: format!("at {pointer:?} {}", judgement.detail),
        ..judgement
    })
}

/// The value at a JSON pointer (RFC 6901), as it stands in the body. Nothing else of the body is kept: as a tree it would
/// take a hundred times its size.
fn find<'b>(pointer: &str, body: &'b str) -> serde_json::Result<Option<&'b RawValue>> {
    let keys: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|key| key.replace("~1", "/").replace("~0", "~"))
        .collect();
    let mut reader = serde_json::Deserializer::from_str(body);
    let found = At(&keys).deserialize(&mut reader)?;
    reader.end()?;
    Ok(found)
}

/// Goes down to the value under these keys.
struct At<'k>(&'k [String]);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            <&RawValue>::deserialize(from).map(Some)
        } else {
            from.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match self.0.split_first() {
                // Of several, the last counts, as in most readers.
                Some((wanted, rest)) if *wanted == key => found = map.next_value_seed(At(rest))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let wanted = self.0.split_first().and_then(|(key, rest)| {
            let plain = key == "0" || !key.starts_with(['0', '+']);
            Some((key.parse::<usize>().ok().filter(|_| plain)?, rest))
        });
        let mut found = None;
        for index in 0.. {
            let more = match wanted {
                Some((wanted, rest)) if wanted == index => match seq.next_element_seed(At(rest))? {
                    Some(value) => {
                        found = value;
                        true
                    }
                    None => false,
                },
                _ => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(found)
    }

    // There is nothing below anything else.
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ceiling::seen;
    use crate::expectation::{CheckOutcome, Constant, Expectation};
    use std::time::Duration;

    fn at<'b>(pointer: &str, body: &'b str) -> Option<&'b str> {
        find(pointer, body).unwrap().map(RawValue::get)
    }

    #[test]
    fn a_pointer_finds_its_value() {
        let body = r#" {"a": {"b/c": [1, {"~": "x"}, [ ]], "": true}, "n": null, "a2": 5, "twice": 1, "twice": 2} "#;
        assert_eq!(at("/a/b~1c/0", body), Some("1"));
        assert_eq!(at("/a/b~1c/1/~0", body), Some("\"x\""));
        assert_eq!(at("/a/b~1c/2", body), Some("[ ]"));
        assert_eq!(at("/a/", body), Some("true"));
        assert_eq!(at("/n", body), Some("null"));
        assert_eq!(at("/twice", body), Some("2"));
        assert_eq!(at("", "17"), Some("17"));
        for nothing in [
            "/b",
            "/a/b~1c/3",
            "/a/b~1c/01",
            "/a/b~1c/-",
            "/a/b~1c/+1",
            "/a2/x",
            "/n/x",
        ] {
            assert_eq!(at(nothing, body), None, "{nothing}");
        }
    }

    #[test]
    fn what_is_not_json_has_no_value() {
        for body in ["", "<html>", "{\"a\": 1", "{\"a\": 1} x", "{\"a\": 01}"] {
            assert!(find("/a", body).is_err(), "{body}");
        }
        let deep = "[".repeat(1 << 20);
        assert!(find("/a", &deep).is_err());
        let deep = format!("{{\"x\": {deep}{}, \"a\": 1}}", "]".repeat(1 << 20));
        assert_eq!(at("/a", &deep), Some("1"));
    }

    fn judged(body: &str, expect: Expectation) -> Result<Judgement, Trouble> {
        let clocks = Clocks {
            recovery_point_created: "2026-11-21T00:00:00Z".parse().unwrap(),
            now: "2026-11-21T01:00:00Z".parse().unwrap(),
        };
        let json = JsonExpectation {
            pointer: "/v".to_owned(),
            expect,
        };
        judge_json(&json, body, &clocks)
    }

    #[test]
    fn values_are_judged_as_those_of_queries_are() {
        use CheckOutcome::{Errored, Failed, Passed};
        let text = |text: &str| Expectation::Equals(Constant::Text(text.to_owned()));
        let hour = || Expectation::MaxAge(Duration::from_secs(3600));
        for (body, expect, outcome) in [
            (r#"{"v": "ok"}"#, text("ok"), Passed),
            (r#"{"v": "down"}"#, text("ok"), Failed),
            (r#"{"v": 12000}"#, Expectation::Min(12000.0), Passed),
            (r#"{"v": 11999.5}"#, Expectation::Min(12000.0), Failed),
            (r#"{"v": "12000"}"#, Expectation::Min(1.0), Errored),
            (
                r#"{"v": true}"#,
                Expectation::Equals(Constant::Boolean(true)),
                Passed,
            ),
            (r#"{"v": []}"#, Expectation::NotEmpty, Failed),
            (r#"{"v": { }}"#, Expectation::NotEmpty, Failed),
            (r#"{"v": [0]}"#, Expectation::NotEmpty, Passed),
            (
                r#"{"v": {"a": "b"}}"#,
                Expectation::Matches("\"b\"".to_owned()),
                Passed,
            ),
            (r#"{"v": "2026-11-20T23:30:00Z"}"#, hour(), Passed),
            (r#"{"v": "2026-11-21T00:30:00+01:00"}"#, hour(), Passed),
            (r#"{"v": "2026-11-20T22:30:00Z"}"#, hour(), Failed),
            (r#"{"v": null}"#, Expectation::NotEmpty, Failed),
            (r#"{"v": "yesterday"}"#, hour(), Errored),
        ] {
            let judgement = judged(body, expect).unwrap();
            assert_eq!(judgement.outcome, outcome, "{body}: {}", judgement.detail);
            assert!(!judgement.detail.contains("query"), "{}", judgement.detail);
            assert!(
                judgement.detail.starts_with("at \"/v\" "),
                "{}",
                judgement.detail
            );
        }
    }

    #[test]
    fn a_value_that_is_not_there_speaks_against_the_backup() {
        for body in ["{}", "<html>", "[]", "\0", ""] {
            match judged(body, Expectation::NotEmpty) {
                Err(Trouble::Wrong(detail)) => assert!(!detail.contains("html"), "{detail}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_would_take_much_memory_is_not_judged() {
        let large = format!(r#"{{"v": [{}0]}}"#, r#"{"":0},"#.repeat(100_000));
        let deep = format!(r#"{{"v": {}{}}}"#, "[".repeat(1000), "]".repeat(1000));
        for body in [large, deep] {
            match judged(&body, Expectation::NotEmpty) {
                Err(Trouble::CannotTell(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        let list = |bytes: usize| format!(r#"{{"v": [{}0]}}"#, " ".repeat(bytes - 3));
        assert!(judged(&list(64 << 10), Expectation::NotEmpty).is_ok());
        assert!(judged(&list((64 << 10) + 1), Expectation::NotEmpty).is_err());
        let text = format!(r#"{{"v": "{}"}}"#, "x".repeat(1 << 20));
        let judgement = judged(&text, Expectation::NotEmpty).unwrap();
        assert_eq!(judgement.value.map(|value| value.len()), Some(1024));
    }

    #[test]
    fn a_body_is_read_up_to_four_mebibytes() {
        let most = 4 << 20;
        assert!(Body::announced(None).is_ok());
        assert!(Body::announced(Some(most)).is_ok());
        let told = Body::announced(Some(most + 1)).unwrap_err().told().1;
        assert_eq!(told, "the body is larger than 4 MiB");

        let mut body = Body::default();
        body.push(&vec![b'a'; most as usize - 2]).unwrap();
        body.push(b"yz").unwrap();
        assert!(body.push(b"!").is_err());
        let bytes = body.into_bytes();
        assert_eq!(bytes.len(), most as usize);
        assert!(bytes.ends_with(b"ayz"));
    }

    fn step(keys: &str) -> HttpStep {
        let text = format!(
            "version = \"1\"\n[[rules]]\nname = \"r\"\nfrequency = \"daily\"\n\
             match = {{ resource_type = \"EC2\" }}\n\
             [[rules.checks]]\nname = \"web\"\nkind = \"http\"\nport = 80\n\
             steps = [{{ name = \"s\", path = \"/\"{keys} }}]\n"
        );
        match crate::policy::parse(&text).unwrap().rules[0].checks[0].kind {
            crate::policy::CheckKind::Http(ref http) => http.steps[0].clone(),
            _ => panic!("not an http check"),
        }
    }

    #[test]
    fn a_packed_body_is_refused_where_something_is_expected_of_it() {
        let refused = |keys: &str, codings: &[&str]| {
            let codings = codings.iter().map(|coding| coding.as_bytes());
            readable(&step(keys), codings).err().map(|why| why.told().1)
        };
        let expected = [
            ", contains = \"Welcome\"",
            ", matches = \"^W\"",
            ", json = \"/v\", expect = { min = 1 }",
        ];
        for keys in expected {
            let told = refused(keys, &["gzip"]);
            let gzip = "the answer is compressed (gzip), which was not asked for";
            assert_eq!(told.as_deref(), Some(gzip), "{keys}");
        }
        assert_eq!(refused("", &["gzip"]), None);
        for plain in [&[][..], &[""], &["identity"], &[" Identity ,, "]] {
            assert_eq!(refused(expected[0], plain), None, "{plain:?}");
        }
        for (packed, name) in [
            (&["identity, BR"][..], "(br)"),
            (&["identity", "zstd"], "(zstd)"),
            (&["secret"], "(in a way unknown)"),
        ] {
            let told = refused(expected[0], packed).unwrap_or_default();
            assert!(told.contains(name), "{packed:?}: {told}");
        }
    }

    #[test]
    fn each_expectation_of_a_body_is_looked_at() {
        let clocks = Clocks {
            recovery_point_created: "2026-11-21T00:00:00Z".parse().unwrap(),
            now: "2026-11-21T01:00:00Z".parse().unwrap(),
        };
        let judged = |keys: &str, body: &[u8]| judge(&step(keys), body.to_vec(), &clocks);
        for (keys, body) in [
            ("", &b""[..]),
            (", contains = \"come\"", b"Welcome"),
            (", contains = \"come\"", b"Wel\xffcome"),
            (", matches = \"^W.*e$\"", b"Welcome"),
        ] {
            assert_eq!(judged(keys, body).unwrap(), None, "{keys}");
        }
        for (keys, words) in [
            (
                ", contains = \"Come\"",
                "the body of 7 bytes does not hold the text \"Come\"",
            ),
            (
                ", matches = \"^w\"",
                "the body of 7 bytes does not match /^w/",
            ),
        ] {
            match judged(keys, b"Welcome") {
                Err(Trouble::Wrong(told)) => assert_eq!(seen(&told), words),
                other => panic!("{other:?}"),
            }
        }
        let judgement = judged(", json = \"/v\", expect = { min = 2 }", b"{\"v\": 1}");
        let outcome = judgement.unwrap().map(|judgement| judgement.outcome);
        assert_eq!(outcome, Some(CheckOutcome::Failed));
    }
}
