//! The schema says what the reader knows: its keys, those it insists on, and its words.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use super::super::{CheckKind, Sample, parse_duration, parse_latency, parse_size, rule};
use super::*;
use crate::reader::{Notes, Seen};

/// A rule that has every table, with one check of the kind.
fn policy(kind: &str) -> String {
    let check = match kind {
        "sql" => "query = \"select 1\"\nexpect = { min = 1 }",
        "http" => {
            "scheme = \"http\"\naddress = \"private\"\nsteps = [ { path = \"/\", method = \"GET\", json = \"\", expect = { min = 1 } } ]"
        }
        "connect" => "port = 22\naddress = \"private\"",
        "row_count" => "table = \"t\"\nexpect = { min = 1 }\nwarn = { min = 2 }",
        "freshness" => {
            "table = \"t\"\ncolumn = \"c\"\nexpect = { max_age = \"2h\" }\nwarn = { max_age = \"1h\" }"
        }
        "missing" => {
            "table = \"t\"\ncolumn = \"c\"\nunit = \"rows\"\nexpect = { max = 2 }\nwarn = { max = 1 }"
        }
        "duplicate" => {
            "table = \"t\"\ncolumns = [\"c\"]\nunit = \"rows\"\nexpect = { max = 2 }\nwarn = { max = 1 }"
        }
        "failed_rows" => {
            "table = \"t\"\ncondition = \"c\"\nunit = \"rows\"\nexpect = { max = 2 }\nwarn = { max = 1 }"
        }
        "manifest" => {
            "table = \"t\"\ncolumn = \"c\"\nexpect = { max_age = \"2h\" }\nwarn = { max_age = \"1h\" }\ntables = [\"o\"]\nsubject = \"s\"\nrows = \"r\"\ntolerance = 1"
        }
        "profile" => "tables = [\"t\"]",
        "schema" => {
            "expect = { has = [\"table t\"], lacks = [\"table u\"], fingerprint = \"0123456789abcdef\" }\nwarn = { has = [\"table t\"], lacks = [\"table u\"], fingerprint = \"0123456789abcdef\" }"
        }
        "references" | "relationships" => {
            "table = \"t\"\ncolumns = [\"c\"]\nto = \"o\"\nto_columns = [\"d\"]\nunit = \"rows\"\nexpect = { max = 2 }\nwarn = { max = 1 }"
        }
        other => panic!("no example of kind {other}"),
    };
    let frequency = match kind {
        "connect" => "methods = [{ method = \"restore\", frequency = \"daily\" }]",
        _ => "frequency = \"daily\"",
    };
    format!(
        "version = \"1\"\n[limits]\nconcurrent_restores_by_type = {{ RDS = 4 }}\n[[rules]]\nname = \"r\"\nmatch = {{ tags = {{ a = \"b\" }} }}\n{frequency}\n\
         ec2 = {{ instance_profile = \"none\" }}\nrds = {{ instance_class = \"db.t4g.micro\" }}\naurora = {{ min_capacity = 0.5 }}\nobjectives = {{ recovery_time = \"1h\" }}\ncredentials = {{ secret = \"s\" }}\n\
         tls = \"verify\"\nvalues_leave = {{ record = \"none\", log = \"none\", message = \"none\" }}\nnotify = \"never\"\n[[rules.checks]]\nname = \"c\"\nkind = \"{kind}\"\n{check}\n"
    )
}

/// What stands behind a `$ref`, or itself.
fn resolved<'s>(schema: &'s Value, node: &'s Value) -> &'s Value {
    match node["$ref"].as_str() {
        Some(reference) => schema.pointer(&reference[1..]).unwrap(),
        None => node,
    }
}

/// The schema's word about a place of the reader such as `rules[].checks[].expect`, in a policy whose checks are of one
/// kind.
fn node<'s>(schema: &'s Value, place: &str, kind: &str) -> &'s Value {
    let mut node = schema;
    for part in place.split('.').filter(|part| !part.is_empty()) {
        let (key, is_item) = match part.strip_suffix("[]") {
            Some(key) => (key, true),
            None => (part, false),
        };
        node = resolved(schema, &node["properties"][key]);
        if is_item {
            node = resolved(schema, &node["items"]);
        }
        // The one of several shapes that has keys.
        if let Some(shapes) = node["oneOf"].as_array() {
            node = shapes
                .iter()
                .find(|shape| shape["properties"].is_object())
                .unwrap_or(node);
        }
        if part == "checks[]" {
            let branches = node["allOf"].as_array().unwrap();
            let branch = branches
                .iter()
                .find(|branch| branch["if"]["properties"]["kind"]["const"] == kind)
                .unwrap_or_else(|| panic!("the schema has no branch for kind {kind}"));
            node = resolved(schema, &branch["then"]);
        }
    }
    assert!(node.is_object(), "the schema does not know {place}");
    node
}

/// `rules[0].checks[1]` as `rules[].checks[]`.
fn without_numbers(place: &str) -> String {
    let index = regex::Regex::new(r"\[[0-9]+\]").unwrap();
    index.replace_all(place, "[]").into_owned()
}

fn texts(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_schema_says_what_the_reader_knows() {
    let schema = schema();
    let kinds = texts(&schema["$defs"]["check"]["properties"]["kind"]["enum"]);
    let mut visited: BTreeSet<String> = BTreeSet::new();
    let mut read_words: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for kind in &kinds {
        let text = policy(kind);
        let notes = Notes::new(&text);
        let (_, _, rules) = rule::read(&text, &notes).unwrap();
        let name: fn(&CheckKind) -> &'static str = CheckKind::name;
        // An alias is recorded under its other name.
        let recorded = match kind.as_str() {
            "relationships" => "references",
            kind => kind,
        };
        assert_eq!(name(&rules[0].checks[0].kind), recorded);
        let mut keys: BTreeMap<String, [BTreeSet<String>; 3]> = BTreeMap::new();
        for (place, seen) in notes.seen() {
            let [known, required, words] = keys.entry(without_numbers(&place)).or_default();
            match seen {
                Seen::Key(key) => known.insert(key.to_owned()),
                Seen::Required(key) => required.insert(key.to_owned()),
                Seen::Word(word) => words.insert(word.to_owned()),
            };
        }
        for (place, [known, required, words]) in keys {
            if words.is_empty() {
                let object = node(&schema, &place, kind);
                let said: BTreeSet<String> = object["properties"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .cloned()
                    .collect();
                assert_eq!(said, known, "keys of {place}, kind {kind}");
                assert_eq!(
                    texts(&object["required"]),
                    required,
                    "keys that {place} must have, kind {kind}"
                );
                assert_eq!(object["additionalProperties"], false, "{place}");
                visited.insert(object["description"].as_str().unwrap().to_owned());
            } else if place == "rules[].checks[].kind" {
                assert_eq!(words, kinds);
            } else {
                assert_eq!(
                    texts(&node(&schema, &place, kind)["enum"]),
                    words,
                    "words of {place}, kind {kind}"
                );
                read_words.insert(place, words);
            }
        }
    }
    // What the schema knows, the reader was seen to know.
    let mut all = BTreeSet::new();
    let mut enums = 0;
    walk(&schema, &mut |node| {
        if node["additionalProperties"] == false {
            all.insert(node["description"].as_str().unwrap().to_owned());
        }
        if node["enum"].is_array() && node["description"].is_string() {
            enums += 1;
        }
    });
    assert_eq!(visited, all);
    // Besides those of kind, of the resource types, the address that two kinds share, and the unit that five do.
    assert_eq!(enums, read_words.len() + 7, "{:?}", read_words.keys());
}

/// Every object within the schema.
fn walk(node: &Value, visit: &mut impl FnMut(&Value)) {
    match node {
        Value::Object(object) => {
            visit(node);
            object.values().for_each(|node| walk(node, visit));
        }
        Value::Array(list) => list.iter().for_each(|node| walk(node, visit)),
        _ => {}
    }
}

#[test]
fn every_key_is_explained() {
    walk(&schema(), &mut |node| {
        let keys = node["properties"].as_object().into_iter().flatten();
        for (key, value) in keys.filter(|_| node["additionalProperties"] == false) {
            let words = value["description"].as_str().unwrap_or_default();
            assert!(words.len() > 10 && words.ends_with('.'), "{key}: {words:?}");
        }
    });
}

#[test]
fn patterns_are_regexes_and_references_lead_somewhere() {
    let schema = schema();
    walk(&schema, &mut |node| {
        if let Some(pattern) = node["pattern"].as_str() {
            regex::Regex::new(pattern).unwrap();
        }
        assert!(resolved(&schema, node).is_object());
    });
}

#[test]
fn durations_are_those_the_reader_takes() {
    let seconds = regex::Regex::new(&duration(&["d", "h", "m", "s"])).unwrap();
    let millis = regex::Regex::new(&duration(&["d", "h", "m", "s", "ms"])).unwrap();
    for text in [
        "90s", "15m", "1h30m", "1d 12h", "1d2h3m4s", "1d  5s", "500ms", "1s 20ms", "1m1ms", "",
        "15", "m", "15 m", " 15m", "15m ", "30m1h", "1h1h", "5min", "1.5h", "1ms1s", "P1D",
    ] {
        assert_eq!(
            seconds.is_match(text),
            parse_duration(text).is_ok(),
            "{text:?}"
        );
        assert_eq!(
            millis.is_match(text),
            parse_latency(text).is_ok(),
            "{text:?}"
        );
    }
}

#[test]
fn shares_and_sizes_are_those_the_reader_takes() {
    let share = regex::Regex::new(SHARE).unwrap();
    for text in [
        "20%", "100%", "100.0%", "100.00%", "0.5%", "0.01%", "99.99%", "007%", "0100%", "00.10%",
        "0%", "0.0%", "0.00%", "00%", "100.01%", "101%", "0.001%", "20", "%", ".5%", "5.%", "20 %",
        "1e1%", "",
    ] {
        assert_eq!(
            share.is_match(text),
            text.parse::<Sample>().is_ok(),
            "{text:?}"
        );
    }
    // What is beyond a schema: that 1025 TiB are too many.
    let size = regex::Regex::new(SIZE).unwrap();
    for text in [
        "500 GiB", "500GiB", "2 TB", "0500 MB", "0 GiB", "5  GiB", "5 G", "5 gib", "1.5 TiB",
        "GiB", "5", "", "5 GiB ",
    ] {
        assert_eq!(size.is_match(text), parse_size(text).is_ok(), "{text:?}");
    }
}

#[test]
fn paths_and_pointers_are_those_the_reader_takes() {
    let schema = schema();
    let pattern = |key: &str| {
        let pattern = &schema["$defs"]["step"]["properties"][key]["pattern"];
        regex::Regex::new(pattern.as_str().unwrap()).unwrap()
    };
    let fine = |step: &str| {
        let text = policy("http").replace("path = \"/\", method = \"GET\", json = \"\"", step);
        assert!(text.contains(step));
        super::super::parse(&text).is_ok()
    };
    let path = pattern("path");
    for code in 1..128u8 {
        let text = format!("/{}", char::from(code));
        let quoted = toml::Value::String(text.clone());
        let step = format!("path = {quoted}, json = \"\"");
        assert_eq!(path.is_match(&text), fine(&step), "{text:?}");
    }
    let pointer = pattern("json");
    for text in [
        "", "/", "/a", "/a/0", "/~0~1", "a", "/~", "/~2", "/a~", "//", "/é",
    ] {
        let step = format!("path = \"/\", json = \"{text}\"");
        assert_eq!(pointer.is_match(text), fine(&step), "{text:?}");
    }
}
