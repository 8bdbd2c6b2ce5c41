#![allow(clippy::unwrap_used)]
use crate::service::testing::*;
use crate::{Bucket, World, WorldOptions};

fn call(world: &World, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answered {
    send(world, method, path, headers, body.to_owned())
}

fn world(list: bool) -> World {
    let world = World::new(WorldOptions {
        s3_list_permission: list,
        s3_listed: vec!["records/*".to_owned(), "policy/inventory.csv".to_owned()],
        page_size: 2,
        ..WorldOptions::default()
    });
    world.add_bucket(Bucket {
        name: "results".into(),
        versioned: true,
        object_lock: true,
    });
    world
}

#[test]
fn objects_are_written_read_and_kept_in_every_version() {
    let world = world(false);
    let path = "/results/records/dt=2026-11-21/v.json";
    let first = call(
        &world,
        "PUT",
        path,
        &[("content-type", "application/json")],
        "{\"a\":1}",
    );
    assert_eq!(first.status, 200);
    let chunked = [
        ("content-encoding", "aws-chunked"),
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
    ];
    let second = call(
        &world,
        "PUT",
        path,
        &chunked,
        "7\r\n{\"a\":2}\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
    );
    assert_ne!(first.headers["etag"], second.headers["etag"]);
    assert_ne!(
        first.headers["x-amz-version-id"],
        second.headers["x-amz-version-id"]
    );
    assert_eq!(call(&world, "GET", path, &[], "").text(), "{\"a\":2}");
    assert_eq!(
        world
            .object_versions("results", "records/dt=2026-11-21/v.json")
            .len(),
        2
    );
    assert_eq!(world.records()[0].1["a"], 2);
    let version = first.headers["x-amz-version-id"].to_str().unwrap();
    assert_eq!(
        call(
            &world,
            "GET",
            &format!("{path}?versionId={version}"),
            &[],
            ""
        )
        .text(),
        "{\"a\":1}"
    );
    assert_eq!(
        call(&world, "PUT", path, &[("if-none-match", "*")], "x").status,
        412
    );
    assert_eq!(
        call(&world, "PUT", path, &[("if-match", "\"nope\"")], "x").status,
        412
    );
    let etag = second.headers["etag"].to_str().unwrap();
    assert_eq!(
        call(&world, "GET", path, &[("if-none-match", etag)], "").status,
        304
    );
    let part = call(&world, "GET", path, &[("range", "bytes=1-3")], "");
    assert_eq!((part.status, part.text().as_str()), (206, "\"a\""));
    let head = call(&world, "HEAD", path, &[], "");
    assert_eq!(
        (
            head.headers["content-length"].to_str().unwrap(),
            head.body.len()
        ),
        ("7", 0)
    );
}

#[test]
fn a_missing_key_shows_only_to_who_may_list() {
    let answer = call(&world(false), "GET", "/results/nope", &[], "");
    assert_eq!(
        (answer.status, answer.element("Code").as_deref()),
        (403, Some("AccessDenied"))
    );
    let answer = call(&world(true), "GET", "/results/nope", &[], "");
    assert_eq!(
        (answer.status, answer.element("Key").as_deref()),
        (404, Some("nope"))
    );
    let answer = call(&world(true), "GET", "/nowhere/nope", &[], "");
    assert_eq!(answer.element("Code").as_deref(), Some("NoSuchBucket"));
    let answer = call(&world(true), "DELETE", "/results/nope", &[], "");
    assert_eq!(
        answer.element("Message").as_deref(),
        Some("local-aws does not play s3:DeleteObject")
    );
}

#[test]
fn lists_page_and_fold() {
    let world = world(true);
    for key in ["a/1", "a/2", "b/1", "c", "d"] {
        world.put_object("results", key, key);
    }
    let list = |query: &str| {
        call(
            &world,
            "GET",
            &format!("/results?list-type=2{query}"),
            &[],
            "",
        )
    };
    let first = list("");
    assert_eq!(
        (
            first.element("KeyCount").as_deref(),
            first.element("IsTruncated").as_deref()
        ),
        (Some("2"), Some("true"))
    );
    let token = first.element("NextContinuationToken").unwrap();
    assert_eq!(
        list(&format!("&continuation-token={token}"))
            .element("Key")
            .as_deref(),
        Some("b/1")
    );
    let folded = list("&delimiter=/");
    assert!(folded.text().contains(
        "<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>b/</Prefix>"
    ));
    let token = folded.element("NextContinuationToken").unwrap();
    assert_eq!(
        list(&format!("&delimiter=/&continuation-token={token}"))
            .element("Key")
            .as_deref(),
        Some("c")
    );
    assert_eq!(
        list("&prefix=a/&start-after=a/1").element("Key").as_deref(),
        Some("a/2")
    );
}

/// As a condition on `s3:prefix` has it.
#[test]
fn who_may_list_prefixes_lists_those_alone() {
    let world = world(false);
    world.put_object("results", "records/dt=2026-11-21/v.json", "{}");
    let list = |prefix: &str| {
        let path = format!("/results?list-type=2&prefix={prefix}");
        let answer = call(&world, "GET", &path, &[], "");
        (answer.status, answer.element("KeyCount"))
    };
    let listed = |count: &str| (200, Some(count.to_owned()));
    assert_eq!(list("records/dt=2026-11-21"), listed("1"));
    assert_eq!(list("policy/inventory.csv"), listed("0"));
    for refused in [
        "",
        "records",
        "policy/",
        "policy/inventory.csv2",
        "reports/",
    ] {
        assert_eq!(list(refused).0, 403, "{refused}");
    }
    let missing = call(&world, "GET", "/results/records/none", &[], "");
    assert_eq!(missing.element("Code").as_deref(), Some("AccessDenied"));
}

#[test]
fn a_page_is_of_a_thousand_keys_and_the_next_is_asked_for_by_its_token() {
    let world = World::new(WorldOptions {
        s3_list_permission: true,
        ..WorldOptions::default()
    });
    world.add_bucket(Bucket {
        name: "results".into(),
        versioned: false,
        object_lock: false,
    });
    for number in 0..1001 {
        world.put_object("results", &format!("a b/{number:04}"), "");
    }
    let list = |query: &str| {
        let path = format!("/results?list-type=2{query}");
        call(&world, "GET", &path, &[], "")
    };
    let page = list("&max-keys=5000&start-after=a%20b/0000&encoding-type=url");
    for (name, value) in [
        ("MaxKeys", "1000"),
        ("KeyCount", "1000"),
        ("IsTruncated", "false"),
        ("StartAfter", "a%20b/0000"),
        ("Key", "a%20b/0001"),
    ] {
        assert_eq!(page.element(name).as_deref(), Some(value), "{name}");
    }
    let first = list("");
    assert_eq!(first.element("KeyCount").as_deref(), Some("1000"));
    let token = first.element("NextContinuationToken").unwrap();
    // Where it begins anew no longer counts.
    let last = list(&format!("&continuation-token={token}&start-after=z"));
    assert_eq!(last.element("Key").as_deref(), Some("a b/1000"));
    assert_eq!(last.element("ContinuationToken"), Some(token));
    assert_eq!(last.element("IsTruncated").as_deref(), Some("false"));
    for wrong in [
        "&continuation-token=a%20b/0001",
        "&continuation-token=1-zz",
        "&max-keys=many",
        "&max-keys=-1",
        "&encoding-type=xml",
    ] {
        let answer = list(wrong);
        assert_eq!(answer.status, 400, "{wrong}");
        assert_eq!(answer.element("Code").as_deref(), Some("InvalidArgument"));
    }
}

/// What Object Lock asks of a put (Amazon S3 API reference, PutObject).
#[test]
fn a_locked_object_needs_a_checksum_a_mode_and_a_time_to_come() {
    let world = world(false);
    let path = "/results/records/dt=2026-11-21/v.json";
    let mode = ("x-amz-object-lock-mode", "GOVERNANCE");
    let until = (
        "x-amz-object-lock-retain-until-date",
        "2126-11-21T00:00:00Z",
    );
    let checksum = (
        "x-amz-checksum-sha256",
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    );
    let past = (
        "x-amz-object-lock-retain-until-date",
        "2006-03-01T00:00:00Z",
    );
    for (headers, code, words) in [
        (
            &[mode, until][..],
            "InvalidRequest",
            "checksum- HTTP header is required",
        ),
        (
            &[mode, checksum],
            "InvalidArgument",
            "must both be supplied",
        ),
        (
            &[until, checksum],
            "InvalidArgument",
            "must both be supplied",
        ),
        (&[mode, past, checksum], "InvalidArgument", "in the future"),
        (
            &[("x-amz-object-lock-mode", "FOREVER"), until, checksum],
            "InvalidArgument",
            "wormMode",
        ),
    ] {
        let refused = call(&world, "PUT", path, headers, "");
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(refused.text().contains(code), "{}", refused.text());
        assert!(refused.text().contains(words), "{}", refused.text());
    }
    assert_eq!(
        call(&world, "PUT", path, &[mode, until, checksum], "").status,
        200
    );
    let versions = world.object_versions("results", "records/dt=2026-11-21/v.json");
    let (kept, at) = versions[0].lock.clone().unwrap();
    assert_eq!(
        (kept.as_str(), at.to_string().as_str()),
        ("GOVERNANCE", "2126-11-21T00:00:00Z")
    );
    let read = call(&world, "HEAD", path, &[], "");
    assert_eq!(read.headers["x-amz-object-lock-mode"], "GOVERNANCE");

    world.add_bucket(Bucket {
        name: "unlocked".into(),
        versioned: true,
        object_lock: false,
    });
    let refused = call(&world, "PUT", "/unlocked/a", &[mode, until, checksum], "");
    assert!(
        refused.text().contains("missing Object Lock Configuration"),
        "{}",
        refused.text()
    );
}
