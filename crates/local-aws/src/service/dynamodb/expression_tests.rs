#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::super::value::parse_item;
use super::*;

fn given(names: Value, values: Value) -> Substitutions {
    let mut body = json!({});
    if names != json!(null) {
        body["ExpressionAttributeNames"] = names;
    }
    if values != json!(null) {
        body["ExpressionAttributeValues"] = values;
    }
    Substitutions::of(&body).unwrap()
}

fn item() -> Item {
    parse_item(&json!({
        "id": {"S": "abc"},
        "stage": {"S": "restoring"},
        "attempt": {"N": "2"},
        "leased_until": {"N": "1795225200.5"},
        "ids": {"SS": ["a", "b"]},
        "marks": {"NS": ["1", "2.0"]},
        "opened": {"BOOL": true},
        "nothing": {"NULL": true},
        "frozen": {"M": {"name": {"S": "x"}, "steps": {"L": [{"N": "7"}, {"S": "end"}]}}},
    }))
    .unwrap()
}

/// Whether a condition holds, with a fixed set of values.
fn holds(condition: &str) -> bool {
    let given = given(
        json!({"#state": "stage", "#steps": "steps"}),
        json!({
            ":restoring": {"S": "restoring"}, ":rest": {"S": "rest"}, ":one": {"N": "1"}, ":two": {"N": "2.00"},
            ":three": {"N": "3"}, ":now": {"N": "1795225200"}, ":a": {"S": "a"}, ":z": {"S": "z"}, ":true": {"BOOL": true},
            ":null": {"NULL": true}, ":ss": {"S": "SS"}, ":seven": {"N": "7"}, ":both": {"SS": ["b", "a"]},
        }),
    );
    Condition::parse("ConditionExpression", condition, &given)
        .unwrap()
        .holds(&item())
}

#[test]
fn conditions_hold_or_do_not() {
    let table = [
        ("attribute_exists(id)", true),
        ("attribute_not_exists(id)", false),
        ("attribute_not_exists(absent)", true),
        ("#state = :restoring", true),
        ("#state <> :restoring", false),
        ("stage = :rest", false),
        ("attempt = :two", true),
        ("attempt < :three", true),
        ("attempt <= :two", true),
        ("attempt > :two", false),
        ("attempt >= :two", true),
        ("leased_until > :now", true),
        ("leased_until < :now", false),
        // Another type is neither less nor equal.
        ("stage < :one", false),
        ("stage = :one", false),
        ("stage <> :one", true),
        // What is absent differs from everything and compares with nothing.
        ("absent = :one", false),
        ("absent <> :one", true),
        ("absent < :one", false),
        ("absent <= :one", false),
        ("NOT absent < :one", true),
        ("attempt BETWEEN :one AND :three", true),
        ("attempt BETWEEN :three AND :three", false),
        ("attempt IN (:one, :two)", true),
        ("attempt IN (:one, :three)", false),
        ("opened = :true", true),
        ("nothing = :null", true),
        ("ids = :both", true),
        ("contains(ids, :a)", true),
        ("contains(ids, :z)", false),
        ("contains(marks, :two)", true),
        ("contains(stage, :rest)", true),
        ("contains(frozen.#steps, :seven)", true),
        ("begins_with(stage, :rest)", true),
        ("begins_with(stage, :z)", false),
        ("attribute_type(ids, :ss)", true),
        ("attribute_type(stage, :ss)", false),
        ("size(ids) = :two", true),
        ("size(ids) < :two", false),
        ("size(absent) < :two", false),
        ("size(stage) > :three", true),
        ("frozen.#steps[0] = :seven", true),
        ("frozen.#steps[5] = :seven", false),
        // NOT binds closer than AND, AND closer than OR.
        (
            "attribute_exists(id) OR attribute_exists(absent) AND attribute_exists(absent)",
            true,
        ),
        (
            "(attribute_exists(id) OR attribute_exists(absent)) AND attribute_exists(absent)",
            false,
        ),
        ("NOT attribute_exists(id) OR attribute_exists(id)", true),
        ("NOT (attribute_exists(id) OR attribute_exists(id))", false),
        (
            "attribute_not_exists(absent) or (leased_until < :now AND NOT attempt = :one)",
            true,
        ),
        ("NOT NOT attribute_exists(id)", true),
        (":two = attempt", true),
    ];
    for (condition, expected) in table {
        assert_eq!(holds(condition), expected, "{condition}");
    }
}

fn refusal(condition: &str) -> String {
    let given = given(
        json!({"#n": "stage"}),
        json!({":v": {"S": "x"}, ":b": {"BOOL": true}}),
    );
    Condition::parse("ConditionExpression", condition, &given)
        .unwrap_err()
        .message
}

#[test]
fn refuses_what_dynamodb_refuses() {
    for (condition, part) in [
        ("", "can not be empty"),
        ("   ", "can not be empty"),
        ("status = :v", "reserved keyword: status"),
        ("attribute_exists(Name)", "reserved keyword: Name"),
        ("id = :missing", "attribute value: :missing"),
        ("#missing = :v", "attribute name: #missing"),
        ("id = ", "Syntax error"),
        ("id", "Syntax error"),
        ("id == :v", "Syntax error"),
        ("id = :v AND", "Syntax error"),
        ("(id = :v", "Syntax error"),
        ("id = :v)", "Syntax error"),
        ("id = 'x'", "Syntax error"),
        ("exists(id)", "Invalid function name; function: exists"),
        ("Attribute_Exists(id)", "Invalid function name"),
        ("id < :b", "Incorrect operand type"),
        ("id = id", "must be distinct"),
        ("id ! :v", "Syntax error"),
        ("id = :", "Syntax error"),
    ] {
        let message = refusal(condition);
        assert!(message.contains(part), "{condition}: {message}");
    }
}

#[test]
fn names_and_values_must_be_used() {
    let given = given(
        json!({"#n": "stage"}),
        json!({":v": {"S": "x"}, ":w": {"S": "x"}}),
    );
    Condition::parse("ConditionExpression", "id = :v", &given).unwrap();
    assert!(
        given
            .refuse_unused()
            .unwrap_err()
            .message
            .contains("keys: {#n}")
    );
    Condition::parse("ConditionExpression", "#n = :v", &given).unwrap();
    assert!(
        given
            .refuse_unused()
            .unwrap_err()
            .message
            .contains("keys: {:w}")
    );
    Condition::parse("ConditionExpression", "#n = :w", &given).unwrap();
    given.refuse_unused().unwrap();
}
