#![allow(clippy::unwrap_used)]
use crate::service::testing::*;
use crate::{World, WorldOptions};

const TOPIC: &str = "arn:aws:sns:eu-central-1:111111111111:results";

fn publish(world: &World, subject: &str, message: &str) -> Answered {
    query_call(
        world,
        "sns",
        &[
            ("Action", "Publish"),
            ("Version", "2010-03-31"),
            ("TopicArn", TOPIC),
            ("Subject", subject),
            ("Message", message),
            ("MessageAttributes.entry.1.Name", "verdict"),
            ("MessageAttributes.entry.1.Value.DataType", "String"),
            ("MessageAttributes.entry.1.Value.StringValue", "passed"),
        ],
    )
}

fn publish_by_protocol(world: &World, structure: &str, message: &str) -> Answered {
    query_call(
        world,
        "sns",
        &[
            ("Action", "Publish"),
            ("Version", "2010-03-31"),
            ("TopicArn", TOPIC),
            ("MessageStructure", structure),
            ("Message", message),
            ("MessageAttributes.entry.1.Name", "kind"),
            ("MessageAttributes.entry.1.Value.DataType", "String"),
            ("MessageAttributes.entry.1.Value.StringValue", "verdict"),
        ],
    )
}

#[test]
fn each_protocol_gets_its_form() {
    let world = World::new(WorldOptions::default());
    world.add_topic(TOPIC);
    let message =
        r#"{"default": "text", "https": "chat", "sqs": "", "email": 3, "carrier-pigeon": "coo"}"#;
    assert_eq!(publish_by_protocol(&world, "json", message).status, 200);
    let message = &world.messages()[0];
    let seen =
        ["https", "sqs", "email", "lambda", "carrier-pigeon"].map(|one| message.seen_by(one));
    assert_eq!(seen, ["chat", "", "text", "text", "text"]);
    assert_eq!(world.queued(&["verdict"]), [""]);
    assert!(world.queued(&["vault"]).is_empty());
    for (structure, message, words) in [
        (
            "json",
            "no JSON",
            "Message Structure - JSON message body failed to parse",
        ),
        (
            "json",
            "[\"default\"]",
            "Message Structure - JSON message body failed to parse",
        ),
        (
            "json",
            "null",
            "Message Structure - JSON message body failed to parse",
        ),
        (
            "json",
            "{\"sqs\": \"a\"}",
            "Message Structure - No default entry in JSON message body",
        ),
        (
            "json",
            "{\"default\": {}}",
            "Message Structure - No default entry in JSON message body",
        ),
        ("xml", "{\"default\": \"a\"}", "MessageStructure"),
        (
            "json",
            &format!("{{\"default\": \"{}\"}}", "m".repeat(262_130)),
            "Message too long",
        ),
    ] {
        let refused = publish_by_protocol(&world, structure, message);
        assert_eq!(
            (refused.status, refused.element("Code").as_deref()),
            (400, Some("InvalidParameter"))
        );
        let said = refused.element("Message");
        assert_eq!(said, Some(format!("Invalid parameter: {words}")));
    }
    assert_eq!(world.messages().len(), 1);
}

#[test]
fn publishes_within_the_limits() {
    let world = World::new(WorldOptions::default());
    assert_eq!(
        publish(&world, "hello", "body").element("Code").as_deref(),
        Some("NotFound")
    );
    world.add_topic(TOPIC);
    let answer = publish(&world, "passed: orders", "body & more");
    assert!(answer.element("MessageId").is_some(), "{}", answer.text());
    let message = &world.messages()[0];
    assert_eq!(message.subject.as_deref(), Some("passed: orders"));
    assert_eq!(
        (
            message.body.as_str(),
            message.attributes["verdict"].as_str()
        ),
        ("body & more", "passed")
    );
    assert_eq!(publish(&world, &"x".repeat(99), "m").status, 200);
    for (subject, message) in [
        ("x".repeat(100), "m".to_owned()),
        ("two\nlines".to_owned(), "m".to_owned()),
        ("größe".to_owned(), "m".to_owned()),
        ("".to_owned(), "m".to_owned()),
        ("long".to_owned(), "m".repeat(262_145)),
        ("empty".to_owned(), String::new()),
    ] {
        let refused = publish(&world, &subject, &message);
        assert_eq!(
            (refused.status, refused.element("Code").as_deref()),
            (400, Some("InvalidParameter")),
            "{subject}"
        );
    }
    assert_eq!(world.messages().len(), 2);
}
