#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::super::value::{item_json, parse_item};
use super::*;

fn apply(expression: &str) -> Result<Value, String> {
    let given = Substitutions::of(&json!({
        "ExpressionAttributeNames": {"#s": "stage"},
        "ExpressionAttributeValues": {
            ":s": {"S": "checked"}, ":one": {"N": "1"}, ":a": {"SS": ["a"]}, ":c": {"SS": ["c"]}, ":ab": {"SS": ["a", "b"]},
            ":l": {"L": [{"S": "z"}]},
        },
    }))
    .unwrap();
    let before = parse_item(&json!({
        "id": {"S": "x"}, "stage": {"S": "landed"}, "attempt": {"N": "2"}, "ids": {"SS": ["a", "b"]},
        "diary": {"L": [{"S": "y"}]}, "frozen": {"M": {"price": {"N": "5"}}},
    }))
    .unwrap();
    let update = Update::parse(expression, &given).map_err(|error| error.message)?;
    let mut after = item_json(&update.apply(&before).map_err(|error| error.message)?);
    after
        .as_object_mut()
        .unwrap()
        .retain(|name, value| item_json(&before).get(name) != Some(value));
    let gone: Vec<&String> = before
        .keys()
        .filter(|name| !update.apply(&before).unwrap().contains_key(*name))
        .collect();
    Ok(if gone.is_empty() {
        after
    } else {
        json!({"changed": after, "gone": gone})
    })
}

#[test]
fn updates_change_what_they_name() {
    for (expression, expected) in [
        ("SET #s = :s", json!({"stage": {"S": "checked"}})),
        (
            "set #s = :s, fresh = :one",
            json!({"stage": {"S": "checked"}, "fresh": {"N": "1"}}),
        ),
        (
            "SET attempt = attempt + :one",
            json!({"attempt": {"N": "3"}}),
        ),
        (
            "SET attempt = attempt - :one",
            json!({"attempt": {"N": "1"}}),
        ),
        (
            "SET fresh = if_not_exists(fresh, :one)",
            json!({"fresh": {"N": "1"}}),
        ),
        ("SET attempt = if_not_exists(attempt, :one)", json!({})),
        (
            "SET fresh = if_not_exists(fresh, :one) + :one",
            json!({"fresh": {"N": "2"}}),
        ),
        (
            "SET #s = :s, earlier = #s",
            json!({"stage": {"S": "checked"}, "earlier": {"S": "landed"}}),
        ),
        (
            "SET diary = list_append(diary, :l)",
            json!({"diary": {"L": [{"S": "y"}, {"S": "z"}]}}),
        ),
        (
            "SET frozen.price = :one",
            json!({"frozen": {"M": {"price": {"N": "1"}}}}),
        ),
        ("REMOVE #s", json!({"changed": {}, "gone": ["stage"]})),
        ("REMOVE absent", json!({})),
        (
            "REMOVE #s, attempt SET fresh = :s",
            json!({"changed": {"fresh": {"S": "checked"}}, "gone": ["attempt", "stage"]}),
        ),
        ("ADD attempt :one", json!({"attempt": {"N": "3"}})),
        ("ADD fresh :one", json!({"fresh": {"N": "1"}})),
        ("ADD ids :c", json!({"ids": {"SS": ["a", "b", "c"]}})),
        ("ADD fresh :c", json!({"fresh": {"SS": ["c"]}})),
        ("DELETE ids :a", json!({"ids": {"SS": ["b"]}})),
        ("DELETE ids :c", json!({})),
        // An empty set goes away.
        ("DELETE ids :ab", json!({"changed": {}, "gone": ["ids"]})),
        ("DELETE absent :a", json!({})),
    ] {
        assert_eq!(apply(expression), Ok(expected), "{expression}");
    }
}

#[test]
fn refuses_what_dynamodb_refuses() {
    for (expression, part) in [
        ("", "can not be empty"),
        ("SET", "Syntax error"),
        ("SET #s :s", "Syntax error"),
        ("PUT #s = :s", "Syntax error"),
        ("SET state = :s", "reserved keyword: state"),
        ("SET #s = :s SET fresh = :s", "can only be used once"),
        ("SET #s = :s REMOVE stage", "overlap"),
        ("SET frozen.price = :s, frozen = :s", "overlap"),
        ("SET fresh = absent", "does not exist in the item"),
        ("SET #s = #s + :one", "incorrect data type"),
        ("ADD #s :one", "incorrect data type"),
        ("DELETE attempt :one", "incorrect data type"),
        ("SET absent.price = :s", "invalid for update"),
        ("SET fresh = now(:s)", "Invalid function name"),
        ("SET fresh = :nope", ":nope"),
    ] {
        let message = apply(expression).unwrap_err();
        assert!(message.contains(part), "{expression}: {message}");
    }
}
