#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use crate::service::testing::*;
use crate::{Secret, World};

fn call(world: &World, operation: &str, stream: &str, events: Option<Value>) -> Answered {
    let mut body = json!({"logGroupName": "/records", "logStreamName": stream});
    if let Some(events) = events {
        body["logEvents"] = events;
    }
    json_call(world, &format!("Logs_20140328.{operation}"), &body)
}

#[test]
fn streams_come_before_events() {
    let (world, _) = still_world(|_| ());
    let now = 1_795_225_200_000i64;
    let event = |offset: i64| json!({"timestamp": now + offset, "message": "{}"});
    assert_eq!(
        call(&world, "CreateLogStream", "s", None).json()["__type"],
        "ResourceNotFoundException"
    );
    world.add_log_group("/records");
    let missing = call(&world, "PutLogEvents", "s", Some(json!([event(0)])));
    assert_eq!(
        missing.json()["message"],
        "The specified log stream does not exist."
    );
    assert_eq!(call(&world, "CreateLogStream", "s", None).status, 200);
    assert_eq!(
        call(&world, "CreateLogStream", "s", None).json()["__type"],
        "ResourceAlreadyExistsException"
    );
    assert_eq!(
        call(
            &world,
            "PutLogEvents",
            "s",
            Some(json!([event(0), event(1)]))
        )
        .status,
        200
    );
    assert_eq!(world.log_events("/records").len(), 2);
    for (events, part) in [
        (json!([event(1), event(0)]), "chronological"),
        (json!([]), "empty"),
        (json!([event(-90_000_000), event(0)]), "24 hours"),
        (
            json!([{"timestamp": now, "message": "x".repeat(1_048_576)}]),
            "too large",
        ),
    ] {
        let refused = call(&world, "PutLogEvents", "s", Some(events)).json();
        assert!(
            refused["message"].as_str().unwrap().contains(part),
            "{refused}"
        );
    }
    let dropped = call(
        &world,
        "PutLogEvents",
        "s",
        Some(json!([event(-20 * 86_400_000)])),
    )
    .json();
    assert_eq!(
        dropped["rejectedLogEventsInfo"]["tooOldLogEventEndIndex"],
        1
    );
    assert_eq!(world.log_events("/records").len(), 2);
}

#[test]
fn secrets_are_found_by_name_and_arn() {
    let (world, _) = still_world(|_| ());
    world.add_secret(Secret {
        name: "prod/orders-db".into(),
        value: "{}".into(),
    });
    let get = |id: &str| {
        json_call(
            &world,
            "secretsmanager.GetSecretValue",
            &json!({"SecretId": id}),
        )
    };
    let found = get("prod/orders-db").json();
    let arn = found["ARN"].as_str().unwrap().to_owned();
    assert_eq!(get(&arn).json()["SecretString"], "{}");
    assert_eq!(get(&arn[..arn.len() - 7]).json()["Name"], "prod/orders-db");
    assert_eq!(
        (
            get("prod/orders").status,
            get("prod/orders").json()["__type"].as_str()
        ),
        (400, Some("ResourceNotFoundException"))
    );
}

#[test]
fn functions_are_invoked_asynchronously_only() {
    let (world, _) = still_world(|_| ());
    let invoke = |name: &str, kind: &str| {
        let path = format!("/2015-03-31/functions/{name}/invocations");
        send(
            &world,
            "POST",
            &path,
            &[("x-amz-invocation-type", kind)],
            "{\"sweep\":\"due\"}",
        )
    };
    let arn = "arn%3Aaws%3Alambda%3Aeu-central-1%3A111111111111%3Afunction%3Aproof%3Alive";
    assert_eq!(
        (invoke("proof", "Event").status, invoke(arn, "Event").status),
        (202, 202)
    );
    assert_eq!(
        world.take_invocations(),
        vec![("proof".to_owned(), json!({"sweep": "due"})); 2]
    );
    assert_eq!(invoke("proof", "RequestResponse").status, 501);
    world.add_function("other");
    assert_eq!(invoke("proof", "Event").status, 404);
}
