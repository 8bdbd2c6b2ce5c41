#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use crate::service::testing::{Answered, json_call};
use crate::world::seed::Table;
use crate::{World, WorldOptions};

fn world() -> World {
    let world = World::new(WorldOptions::default());
    world.add_table(Table::ledger("ledger"));
    world
}

fn call(world: &World, operation: &str, mut body: Value) -> Answered {
    body["TableName"] = json!("ledger");
    json_call(world, &format!("DynamoDB_20120810.{operation}"), &body)
}

fn put(world: &World, id: &str, due: Option<u64>) {
    let mut item = json!({"id": {"S": id}, "stage": {"S": "landed"}});
    if let Some(due) = due {
        item["due_partition"] = json!({"S": "due"});
        item["due_at"] = json!({"N": due.to_string()});
    }
    assert_eq!(call(world, "PutItem", json!({"Item": item})).status, 200);
}

#[test]
fn a_failed_condition_shows_the_item_when_asked() {
    let world = world();
    put(&world, "a", None);
    let mut body = json!({
        "Item": {"id": {"S": "a"}, "nonce": {"S": "2"}},
        "ConditionExpression": "attribute_not_exists(id)",
    });
    let refused = call(&world, "PutItem", body.clone());
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.json()["__type"],
        "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"
    );
    assert_eq!(refused.json().get("Item"), None);
    body["ReturnValuesOnConditionCheckFailure"] = json!("ALL_OLD");
    let refused = call(&world, "PutItem", body);
    assert_eq!(refused.json()["Item"]["stage"]["S"], "landed");
    // A missing item fails a condition without an item to show.
    let refused = call(
        &world,
        "DeleteItem",
        json!({"Key": {"id": {"S": "nope"}}, "ConditionExpression": "attribute_exists(id)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}),
    );
    assert_eq!(
        (refused.status, refused.json().get("Item").cloned()),
        (400, None)
    );
}

#[test]
fn update_creates_returns_and_keeps_the_key() {
    let world = world();
    let answer = call(
        &world,
        "UpdateItem",
        json!({
            "Key": {"id": {"S": "slots"}},
            "UpdateExpression": "ADD holders :me",
            "ConditionExpression": "attribute_not_exists(holders) OR size(holders) < :limit OR contains(holders, :one)",
            "ExpressionAttributeValues": {":me": {"SS": ["v1"]}, ":one": {"S": "v1"}, ":limit": {"N": "2"}},
            "ReturnValues": "ALL_NEW",
        }),
    );
    assert_eq!(
        answer.json()["Attributes"],
        json!({"id": {"S": "slots"}, "holders": {"SS": ["v1"]}})
    );
    let answer = call(
        &world,
        "UpdateItem",
        json!({
            "Key": {"id": {"S": "slots"}},
            "UpdateExpression": "SET id = :x",
            "ExpressionAttributeValues": {":x": {"S": "other"}},
        }),
    );
    assert!(
        answer.json()["message"]
            .as_str()
            .unwrap()
            .contains("part of the key")
    );
}

#[test]
fn index_is_sparse_ordered_and_paged() {
    let world = world();
    put(&world, "late", Some(300));
    put(&world, "early", Some(100));
    put(&world, "none", None);
    put(&world, "middle", Some(200));
    let query = |extra: Value| {
        let mut body = json!({
            "IndexName": "due",
            "KeyConditionExpression": "due_partition = :p AND due_at <= :now",
            "ExpressionAttributeValues": {":p": {"S": "due"}, ":now": {"N": "250"}},
        });
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        call(&world, "Query", body)
    };
    let all = query(json!({})).json();
    assert_eq!(all["Count"], 2);
    // KEYS_ONLY: index keys and table key, nothing else.
    assert_eq!(
        all["Items"][0],
        json!({"id": {"S": "early"}, "due_partition": {"S": "due"}, "due_at": {"N": "100"}})
    );
    let first = query(json!({"Limit": 1})).json();
    assert_eq!(first["Items"][0]["id"]["S"], "early");
    let second = query(json!({"Limit": 1, "ExclusiveStartKey": first["LastEvaluatedKey"]})).json();
    assert_eq!(second["Items"][0]["id"]["S"], "middle");
    let third = query(json!({"Limit": 1, "ExclusiveStartKey": second["LastEvaluatedKey"]})).json();
    assert_eq!(
        (third["Count"].clone(), third.get("LastEvaluatedKey")),
        (json!(0), None)
    );
    assert_eq!(
        query(json!({"ScanIndexForward": false})).json()["Items"][0]["id"]["S"],
        "middle"
    );
    assert_eq!(query(json!({"ConsistentRead": true})).status, 400);
}

#[test]
fn an_index_follows_what_becomes_of_an_item() {
    let world = world();
    let due = |partition: &str| {
        let body = json!({
            "IndexName": "due",
            "KeyConditionExpression": "due_partition = :p",
            "ExpressionAttributeValues": {":p": {"S": partition}},
        });
        let answer = call(&world, "Query", body).json();
        let items = answer["Items"].as_array().unwrap().iter();
        items
            .map(|item| item["id"]["S"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    put(&world, "a", Some(100));
    put(&world, "b", Some(200));
    assert_eq!(due("due"), ["a", "b"]);
    put(&world, "a", Some(300));
    assert_eq!(due("due"), ["b", "a"]);
    let update = json!({
        "Key": {"id": {"S": "a"}},
        "UpdateExpression": "SET due_partition = :other",
        "ExpressionAttributeValues": {":other": {"S": "other"}},
    });
    assert_eq!(call(&world, "UpdateItem", update).status, 200);
    assert_eq!(
        (due("due"), due("other")),
        (vec!["b".into()], vec!["a".into()])
    );
    put(&world, "a", None);
    call(&world, "DeleteItem", json!({"Key": {"id": {"S": "b"}}}));
    assert_eq!((due("due"), due("other")), (vec![], vec![]));
    assert_eq!(world.table_items("ledger").len(), 1);
}

#[test]
fn a_page_begins_where_its_key_stood_although_it_is_gone() {
    let world = world();
    for (id, at) in [("a", 100), ("b", 200), ("c", 300)] {
        put(&world, id, Some(at));
    }
    let query = |forward: bool, start: Value| {
        let body = json!({
            "IndexName": "due",
            "KeyConditionExpression": "due_partition = :p AND due_at > :at",
            "ExpressionAttributeValues": {":p": {"S": "due"}, ":at": {"N": "100"}},
            "ScanIndexForward": forward,
            "ExclusiveStartKey": start,
            "Limit": 1,
        });
        call(&world, "Query", body)
    };
    let first = query(true, Value::Null).json();
    assert_eq!(first["Items"][0]["id"]["S"], "b");
    call(&world, "DeleteItem", json!({"Key": {"id": {"S": "b"}}}));
    let key = first["LastEvaluatedKey"].clone();
    assert_eq!(query(true, key.clone()).json()["Items"][0]["id"]["S"], "c");
    assert_eq!(query(false, key).json()["Count"], 0);
    let last = query(false, Value::Null).json();
    assert_eq!(last["Items"][0]["id"]["S"], "c");
    let partial = query(true, json!({"id": {"S": "b"}}));
    assert!(
        partial.status == 400
            && partial.json()["message"]
                .as_str()
                .unwrap()
                .contains("starting key")
    );
}

#[test]
fn many_are_got_at_once_and_what_is_not_is_named() {
    let world = World::new(WorldOptions {
        page_size: 2,
        ..WorldOptions::default()
    });
    world.add_table(Table::ledger("ledger"));
    for id in ["a", "b", "c"] {
        put(&world, id, Some(1));
    }
    let get = |ids: &[&str]| {
        let keys: Vec<_> = ids.iter().map(|id| json!({"id": {"S": id}})).collect();
        let asked = json!({
            "Keys": keys, "ProjectionExpression": "#id", "ExpressionAttributeNames": {"#id": "id"},
        });
        let body = json!({"RequestItems": {"ledger": asked}});
        json_call(&world, "DynamoDB_20120810.BatchGetItem", &body)
    };
    let answer = get(&["c", "nope", "a"]).json();
    assert_eq!(answer["Responses"], json!({"ledger": [{"id": {"S": "c"}}]}));
    let rest = &answer["UnprocessedKeys"]["ledger"];
    assert_eq!(rest["Keys"], json!([{"id": {"S": "a"}}]));
    assert_eq!(rest["ProjectionExpression"], "#id");
    let body = json!({"RequestItems": answer["UnprocessedKeys"]});
    let answer = json_call(&world, "DynamoDB_20120810.BatchGetItem", &body).json();
    assert_eq!(
        answer,
        json!({"Responses": {"ledger": [{"id": {"S": "a"}}]}})
    );
    let many: Vec<_> = (0..101).map(|number| number.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    for (ids, part) in [
        (&["a", "a"][..], "contains duplicates"),
        (&[], "is required"),
        (&many, "Too many items"),
    ] {
        let refused = get(ids);
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(refused.status == 400 && message.contains(part), "{message}");
    }
}

#[test]
fn refuses_malformed_requests() {
    let world = world();
    for (operation, body, part) in [
        (
            "GetItem",
            json!({"Key": {"id": {"N": "1"}}}),
            "does not match the schema",
        ),
        (
            "GetItem",
            json!({"Key": {"id": {"S": "a"}, "other": {"S": "b"}}}),
            "does not match the schema",
        ),
        (
            "PutItem",
            json!({"Item": {"stage": {"S": "x"}}}),
            "Missing the key id",
        ),
        (
            "PutItem",
            json!({"Item": {"id": {"S": ""}}}),
            "empty string value",
        ),
        (
            "PutItem",
            json!({"Item": {"id": {"S": "a"}, "due_at": {"S": "soon"}}}),
            "Type mismatch for Index Key due_at",
        ),
        (
            "PutItem",
            json!({"Item": {"id": {"S": "a"}, "set": {"SS": []}}}),
            "may not be empty",
        ),
        (
            "PutItem",
            json!({"Item": {"id": {"S": "a"}, "big": {"S": "x".repeat(500_000)}}}),
            "maximum allowed size",
        ),
        (
            "Query",
            json!({"KeyConditionExpression": "stage = :s", "ExpressionAttributeValues": {":s": {"S": "x"}}}),
            "not supported",
        ),
        (
            "Query",
            json!({"IndexName": "nope", "KeyConditionExpression": "id = :s", "ExpressionAttributeValues": {":s": {"S": "x"}}}),
            "specified index",
        ),
        (
            "GetItem",
            json!({"Key": {"id": {"S": ""}}}),
            "empty string value. Key: id",
        ),
        (
            "BatchWriteItem",
            json!({}),
            "local-aws does not play dynamodb:BatchWriteItem",
        ),
        (
            "PutItem",
            json!({"Item": {"id": {"S": "a"}}, "Expected": {}}),
            "does not play dynamodb:PutItem with Expected",
        ),
    ] {
        let refused = call(&world, operation, body);
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(
            refused.status >= 400 && message.contains(part),
            "{operation}: {message}"
        );
    }
    assert_eq!(world.table_items("ledger").len(), 0);
}

fn transact(world: &World, actions: Value, token: &str) -> Answered {
    let body = json!({"TransactItems": actions, "ClientRequestToken": token});
    json_call(world, "DynamoDB_20120810.TransactWriteItems", &body)
}

/// An action on the ledger.
fn act(kind: &str, mut body: Value) -> Value {
    body["TableName"] = json!("ledger");
    json!({kind: body})
}

fn put_of(id: &str) -> Value {
    act("Put", json!({"Item": {"id": {"S": id}}}))
}

fn check_of(id: &str, condition: &str) -> Value {
    let key = json!({"id": {"S": id}});
    act(
        "ConditionCheck",
        json!({"Key": key, "ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}),
    )
}

fn update_of(id: &str, expression: &str, value: Value) -> Value {
    act(
        "Update",
        json!({"Key": {"id": {"S": id}}, "UpdateExpression": expression, "ExpressionAttributeValues": {":v": value}}),
    )
}

#[test]
fn a_transaction_does_all_or_nothing_and_says_why() {
    let world = world();
    put(&world, "old", None);
    put(&world, "gone", None);
    let actions = json!([
        put_of("new"),
        update_of("old", "SET attempt = :v", json!({"N": "1"})),
        act("Delete", json!({"Key": {"id": {"S": "gone"}}})),
        check_of("absent", "attribute_not_exists(id)"),
    ]);
    let done = transact(&world, actions, "one");
    assert_eq!((done.status, done.json()), (200, json!({})));
    let before = world.table_items("ledger");
    let ids: Vec<_> = before.iter().map(|item| item["id"]["S"].clone()).collect();
    assert_eq!(ids, ["new", "old"]);
    assert_eq!(before[1]["attempt"], json!({"N": "1"}));
    let resources = world.calls().pop().unwrap().resources;
    assert_eq!(
        resources,
        [
            "ledger", "new", "ledger", "old", "ledger", "gone", "ledger", "absent"
        ]
    );

    let actions = json!([
        put_of("newer"),
        check_of("old", "attribute_not_exists(id)"),
        update_of("new", "SET id2 = absent, x = :v", json!({"N": "1"})),
        check_of("nobody", "attribute_exists(id)"),
        act("Put", json!({"Item": {"id": {"N": "5"}}})),
        act("Delete", json!({"Key": {"id": {"N": "5"}}})),
        update_of("big", "SET x = :v", json!({"S": "x".repeat(410_000)})),
    ]);
    let refused = transact(&world, actions, "two");
    assert_eq!(refused.status, 400);
    let error = refused.json();
    assert_eq!(
        error["__type"],
        "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"
    );
    assert_eq!(
        error["Message"],
        "Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed, \
         ValidationError, ConditionalCheckFailed, ValidationError, ValidationError, ValidationError]"
    );
    let failed = "The conditional request failed";
    let invalid = |message: &str| json!({"Code": "ValidationError", "Message": message});
    assert_eq!(
        error["CancellationReasons"],
        json!([
            {"Code": "None"},
            {"Code": "ConditionalCheckFailed", "Message": failed, "Item": before[1]},
            invalid("The provided expression refers to an attribute that does not exist in the item"),
            {"Code": "ConditionalCheckFailed", "Message": failed},
            invalid("One or more parameter values were invalid: Type mismatch for key id expected: S actual: N"),
            invalid("The provided key element does not match the schema"),
            invalid("Item size to update has exceeded the maximum allowed size"),
        ])
    );
    assert_eq!(world.table_items("ledger"), before);
}

#[test]
fn a_transaction_is_done_once_for_its_token_within_ten_minutes() {
    let (world, clock) = crate::service::testing::still_world(|_| ());
    world.add_table(Table::ledger("ledger"));
    let add = |token: &str| {
        let action = update_of("a", "ADD attempt :v", json!({"N": "1"}));
        transact(&world, json!([action]), token).status
    };
    let attempt = || world.table_items("ledger")[0]["attempt"]["N"].clone();
    assert_eq!((add("t"), add("t"), attempt()), (200, 200, json!("1")));
    let other = transact(&world, json!([put_of("b")]), "t");
    assert_eq!(other.status, 400);
    assert!(
        other
            .text()
            .contains("IdempotentParameterMismatchException")
    );
    assert_eq!((add("u"), attempt()), (200, json!("2")));
    clock.ahead(599);
    assert_eq!((add("t"), attempt()), (200, json!("2")));
    clock.ahead(1);
    assert_eq!((add("t"), attempt()), (200, json!("3")));
    // A token of what was cancelled may be used again.
    let cancelled = transact(&world, json!([check_of("b", "attribute_exists(id)")]), "v");
    assert_eq!((cancelled.status, add("v")), (400, 200));
}

#[test]
fn a_fault_after_the_effect_leaves_a_transaction_that_its_token_knows() {
    use crate::{Fault, FaultKind};
    let world = world();
    let fault = Fault::once(FaultKind::Throttle).after_effect();
    world.faults().fail("DynamoDB.TransactWriteItems", fault);
    let add = || {
        let action = update_of("a", "ADD attempt :v", json!({"N": "1"}));
        transact(&world, json!([action]), "t").status
    };
    assert_eq!((add(), add()), (400, 200));
    assert_eq!(world.table_items("ledger")[0]["attempt"]["N"], "1");
}

#[test]
fn a_transaction_that_aws_cannot_read_is_refused_as_a_whole() {
    let world = world();
    let many: Vec<Value> = (0..101).map(|id| put_of(&id.to_string())).collect();
    let large = |id: u32| {
        act(
            "Put",
            json!({"Item": {"id": {"S": id.to_string()}, "x": {"S": "x".repeat(400_000)}}}),
        )
    };
    let mut nowhere = put_of("a");
    nowhere["Put"]["TableName"] = json!("nowhere");
    for (actions, token, part) in [
        (json!([]), "t", "greater than or equal to 1"),
        (json!(many), "t", "less than or equal to 100"),
        (
            json!([put_of("a"), put_of("a")]),
            "t",
            "multiple operations on one item",
        ),
        (
            json!([put_of("a"), check_of("a", "attribute_exists(id)")]),
            "t",
            "multiple operations",
        ),
        (json!([{}]), "t", "only contain one of"),
        (
            json!([{"Put": put_of("a")["Put"], "Delete": {"TableName": "ledger", "Key": {"id": {"S": "b"}}}}]),
            "t",
            "only contain one of",
        ),
        (json!([nowhere]), "t", "Requested resource not found"),
        (
            json!([nowhere, check_of("a", "attribute_exists(")]),
            "t",
            "Syntax error",
        ),
        (
            json!([act("ConditionCheck", json!({"Key": {"id": {"S": "a"}}}))]),
            "t",
            "ConditionExpression",
        ),
        (
            json!([act("Update", json!({"Key": {"id": {"S": "a"}}}))]),
            "t",
            "UpdateExpression",
        ),
        (json!([put_of("")]), "t", "empty string value"),
        (
            json!([check_of("", "attribute_exists(id)")]),
            "t",
            "empty string value",
        ),
        (
            json!([act(
                "Put",
                json!({"Item": {"id": {"S": "a"}, "x": {"S": "x".repeat(410_000)}}})
            )]),
            "t",
            "Item size has exceeded",
        ),
        (
            json!((0..11).map(large).collect::<Vec<_>>()),
            "t",
            "cannot exceed 4 MB",
        ),
        (
            json!([put_of("a")]),
            "x".repeat(37).as_str(),
            "less than or equal to 36",
        ),
    ] {
        let refused = transact(&world, actions, token);
        let (status, text) = (refused.status, refused.text());
        assert!(status == 400 && text.contains(part), "{part}: {text}");
        assert!(!text.contains("Canceled"), "{text}");
    }
    assert_eq!(world.table_items("ledger").len(), 0);
}
