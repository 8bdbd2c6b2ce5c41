//! DynamoDB: items, conditional writes, queries on tables and indexes (awsJson1.0).

mod expression;
mod table;
mod update;
mod value;
mod write;

use serde_json::{Map, Value, json};

use crate::wire::{Reply, Request, ServiceError};
use crate::world::state::State;

use super::{Answer, json_body, text};
use expression::{Comparator, Condition, Operand, Parser, Path, Substitutions};
use table::Keys;
pub(crate) use table::TableState;
use value::{Attr, Item, item_json, parse_item};
pub(crate) use write::Transactions;

/// How many items one `BatchGetItem` may ask for.
const MOST_KEYS: usize = 100;

/// A ValidationException.
fn invalid(message: &str) -> ServiceError {
    ServiceError::new("ValidationException", 400, message)
}

pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    let body = json_body(request)?;
    let page_size = state.options.page_size;
    let known = [
        "BatchGetItem",
        "GetItem",
        "PutItem",
        "UpdateItem",
        "DeleteItem",
        "Query",
        "Scan",
        "TransactWriteItems",
    ];
    if !known.contains(&request.operation.as_str()) {
        return Err(ServiceError::not_played(request));
    }
    let legacy = [
        "Expected",
        "AttributeUpdates",
        "KeyConditions",
        "QueryFilter",
        "ScanFilter",
        "AttributesToGet",
        "ConditionalOperator",
    ];
    if let Some(legacy) = legacy.iter().find(|key| body.get(**key).is_some()) {
        let message = format!(
            "local-aws does not play dynamodb:{} with {legacy}",
            request.operation
        );
        return Err(ServiceError::new("NotImplemented", 501, &message));
    }
    if request.operation == "BatchGetItem" {
        return Ok(Reply::json(&batch_get(state, &body, page_size)?));
    }
    if request.operation == "TransactWriteItems" {
        return Ok(Reply::json(&write::several(state, &body)?));
    }
    let name = text(&body, "TableName").unwrap_or_default();
    let table = state
        .tables
        .get_mut(table_name(name))
        .ok_or_else(no_such_table)?;
    let answer = match request.operation.as_str() {
        "GetItem" => get(table, &body)?,
        "Query" | "Scan" => read_many(table, &body, request.operation == "Query", page_size)?,
        operation => write::one(table, operation, &body)?,
    };
    Ok(Reply::json(&answer))
}

/// A table's name, which may be given by its ARN.
fn table_name(given: &str) -> &str {
    given.rsplit_once(":table/").map_or(given, |(_, name)| name)
}

fn no_such_table() -> ServiceError {
    let message = "Requested resource not found";
    ServiceError::new("ResourceNotFoundException", 400, message)
}

/// Answers `most` of the keys, and names the rest as unprocessed.
fn batch_get(state: &State, body: &Value, most: usize) -> Result<Value, ServiceError> {
    let asked = body.get("RequestItems").and_then(Value::as_object);
    let asked = asked
        .filter(|tables| !tables.is_empty())
        .ok_or_else(|| invalid("The batch get request list for a table cannot be null or empty"))?;
    let keys_of = |asked: &Value| asked.get("Keys").and_then(Value::as_array).cloned();
    let many: usize = asked
        .values()
        .map(|of_one| keys_of(of_one).map_or(0, |keys| keys.len()))
        .sum();
    if many > MOST_KEYS {
        return Err(invalid(
            "Too many items requested for the BatchGetItem call",
        ));
    }
    let (mut responses, mut unprocessed) = (Map::new(), Map::new());
    let mut room = most.max(1);
    for (name, asked) in asked {
        let table = state
            .tables
            .get(table_name(name))
            .ok_or_else(no_such_table)?;
        let given = Substitutions::of(asked)?;
        let projection = projection(asked, &given)?;
        given.refuse_unused()?;
        let mut keys = keys_of(asked)
            .filter(|keys| !keys.is_empty())
            .ok_or_else(|| {
                invalid("The list of keys in RequestItems for BatchGetItem is required")
            })?;
        let mut places = Vec::with_capacity(keys.len());
        for key in &keys {
            let place = table.exact_key(&parse_item(key)?)?;
            if places.contains(&place) {
                return Err(invalid("Provided list of item keys contains duplicates"));
            }
            places.push(place);
        }
        places.truncate(room);
        room -= places.len();
        let found = places.iter().filter_map(|place| table.get(place));
        let found: Value = found
            .map(|item| item_json(&project(item, projection.as_deref())))
            .collect();
        responses.insert(name.clone(), found);
        keys.drain(..places.len());
        if !keys.is_empty() {
            let mut rest = asked.clone();
            rest["Keys"] = keys.into();
            unprocessed.insert(name.clone(), rest);
        }
    }
    // AWS's text says that an empty map is answered, AWS's model that a map has an entry.
    Ok(if unprocessed.is_empty() {
        json!({ "Responses": responses })
    } else {
        json!({ "Responses": responses, "UnprocessedKeys": unprocessed })
    })
}

fn get(table: &TableState, body: &Value) -> Result<Value, ServiceError> {
    let key = table.exact_key(&member_item(body, "Key")?)?;
    let given = Substitutions::of(body)?;
    let projection = projection(body, &given)?;
    given.refuse_unused()?;
    Ok(match table.get(&key) {
        Some(item) => json!({"Item": item_json(&project(item, projection.as_deref()))}),
        None => json!({}),
    })
}

/// Query and Scan: walk, page, filter, project.
fn read_many(
    table: &TableState,
    body: &Value,
    query: bool,
    page_size: usize,
) -> Result<Value, ServiceError> {
    let given = Substitutions::of(body)?;
    let index = match text(body, "IndexName") {
        None => None,
        Some(name) => Some(table.index(name).ok_or_else(|| {
            invalid(&format!(
                "The table does not have the specified index: {name}"
            ))
        })?),
    };
    let keys = match index {
        Some(index) => Keys::of_index(index),
        None => table.keys(),
    };
    if index.is_some() && body.get("ConsistentRead") == Some(&true.into()) {
        return Err(invalid(
            "Consistent reads are not supported on global secondary indexes",
        ));
    }
    let mut partition = None;
    let key_condition = if query {
        let text = text(body, "KeyConditionExpression").ok_or_else(|| {
            invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
        })?;
        let condition = Condition::parse("KeyConditionExpression", text, &given)?;
        partition = Some(check_key_condition(&condition, keys)?);
        Some(condition)
    } else {
        None
    };
    let filter = text(body, "FilterExpression")
        .map(|text| Condition::parse("FilterExpression", text, &given))
        .transpose()?;
    let projection = projection(body, &given)?;
    given.refuse_unused()?;

    let forward = body.get("ScanIndexForward") != Some(&false.into());
    let start = body
        .get("ExclusiveStartKey")
        .filter(|start| !start.is_null());
    let start = start
        .map(|start| {
            let place = table.place(index, &parse_item(start)?);
            place.ok_or_else(|| invalid("The provided starting key is invalid"))
        })
        .transpose()?;
    let holds = |item: &&Item| {
        let condition = key_condition.as_ref();
        condition.is_none_or(|condition| condition.holds(item))
    };
    // What meets a key condition lies side by side.
    let met = |after| {
        let walked = table.walk(index, partition.as_ref(), after);
        walked.skip_while(|item| !holds(item)).take_while(holds)
    };
    let found: Box<dyn Iterator<Item = &Item>> = if forward {
        Box::new(met(start))
    } else {
        let mut found: Vec<&Item> = met(None).collect();
        if let Some(start) = start {
            found.retain(|item| table.place(index, item).is_some_and(|place| place < start));
        }
        Box::new(found.into_iter().rev())
    };
    let limit = match body.get("Limit") {
        None | Some(Value::Null) => usize::MAX,
        Some(limit) => limit
            .as_u64()
            .and_then(|limit| usize::try_from(limit).ok())
            .filter(|limit| *limit > 0)
            .ok_or_else(|| invalid("Value at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"))?,
    };
    let limit = limit.min(page_size).max(1);
    let page: Vec<&Item> = found.take(limit).collect();
    // A page that is full may be the last one all the same: DynamoDB does not look ahead.
    let last = (page.len() == limit)
        .then(|| page.last().map(|item| table.position(keys, item)))
        .flatten();
    let scanned = page.len();
    let items: Vec<Value> = page
        .into_iter()
        .filter(|item| filter.as_ref().is_none_or(|filter| filter.holds(item)))
        .map(|item| match index {
            Some(index) if !index.all_attributes => table.position(keys, item),
            _ => item.clone(),
        })
        .map(|item| item_json(&project(&item, projection.as_deref())))
        .collect();
    let mut answer = Map::new();
    answer.insert("Count".to_owned(), items.len().into());
    answer.insert("ScannedCount".to_owned(), scanned.into());
    if text(body, "Select") != Some("COUNT") {
        answer.insert("Items".to_owned(), items.into());
    }
    if let Some(last) = last {
        answer.insert("LastEvaluatedKey".to_owned(), item_json(&last));
    }
    Ok(Value::Object(answer))
}

/// A key condition is an equality on the partition key and at most one condition on the sort key. Answers the partition.
fn check_key_condition(condition: &Condition, keys: Keys<'_>) -> Result<Attr, ServiceError> {
    let mut parts = Vec::new();
    let mut open = vec![condition];
    while let Some(next) = open.pop() {
        match next {
            Condition::And(a, b) => open.extend([&**a, &**b]),
            other => parts.push(other),
        }
    }
    let mut partition = None;
    let mut sort = false;
    for part in parts {
        let (path, equal_to, is_range) = match part {
            Condition::Compare(Operand::Path(path), Comparator::Eq, Operand::Value(value)) => {
                (path, Some(value), true)
            }
            Condition::Compare(Operand::Path(path), comparator, Operand::Value(_)) => {
                (path, None, *comparator != Comparator::Ne)
            }
            Condition::Between(Operand::Path(path), Operand::Value(_), Operand::Value(_))
            | Condition::BeginsWith(Operand::Path(path), Operand::Value(_)) => (path, None, true),
            _ => return Err(invalid("Query key condition not supported")),
        };
        let name = path.to_string();
        match equal_to {
            Some(value) if name == keys.partition.name && partition.is_none() => {
                partition = Some(value.clone());
            }
            _ if keys.sort.is_some_and(|key| key.name == name) && is_range && !sort => sort = true,
            _ => return Err(invalid("Query key condition not supported")),
        }
    }
    partition.ok_or_else(|| {
        invalid(&format!(
            "Query condition missed key schema element: {}",
            keys.partition.name
        ))
    })
}

fn member_item(body: &Value, key: &str) -> Result<Item, ServiceError> {
    let member = body.get(key).ok_or_else(|| {
        invalid(&format!("1 validation error detected: Value null at '{key}' failed to satisfy constraint: Member must not be null"))
    })?;
    parse_item(member)
}

fn condition(body: &Value, given: &Substitutions) -> Result<Option<Condition>, ServiceError> {
    text(body, "ConditionExpression")
        .map(|text| Condition::parse("ConditionExpression", text, given))
        .transpose()
}

fn projection(body: &Value, given: &Substitutions) -> Result<Option<Vec<Path>>, ServiceError> {
    let Some(text) = text(body, "ProjectionExpression") else {
        return Ok(None);
    };
    let mut parser = Parser::new("ProjectionExpression", text, given)?;
    let mut paths = vec![parser.path()?];
    while parser.take(",") {
        paths.push(parser.path()?);
    }
    parser.end()?;
    if let Some(nested) = paths.iter().find(|path| path.0.len() > 1) {
        let message = format!("local-aws does not play a projection of a nested path: {nested}");
        return Err(ServiceError::new("NotImplemented", 501, &message));
    }
    Ok(Some(paths))
}

fn project(item: &Item, paths: Option<&[Path]>) -> Item {
    match paths {
        None => item.clone(),
        Some(paths) => {
            let shown = |path: &Path| Some((path.root().to_owned(), path.get(item)?.clone()));
            paths.iter().filter_map(shown).collect()
        }
    }
}

/// The `Attributes` of a write's answer, as `ReturnValues` asks.
fn returned(
    body: &Value,
    allowed: &[&str],
    old: Option<&Item>,
    new: Option<&Item>,
    touched: &[String],
) -> Result<Value, ServiceError> {
    let wanted = text(body, "ReturnValues").unwrap_or("NONE");
    if !allowed.contains(&wanted) {
        return Err(invalid(&format!(
            "Return values set to invalid value: {wanted}"
        )));
    }
    let only_touched = |item: &Item| -> Item {
        let is_touched = |entry: &(&String, &Attr)| touched.contains(entry.0);
        item.iter()
            .filter(is_touched)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    let attributes = match wanted {
        "ALL_OLD" => old.cloned(),
        "ALL_NEW" => new.cloned(),
        "UPDATED_OLD" => old.map(only_touched),
        "UPDATED_NEW" => new.map(only_touched),
        _ => None,
    };
    Ok(match attributes {
        Some(attributes) if !attributes.is_empty() => json!({"Attributes": item_json(&attributes)}),
        _ => json!({}),
    })
}

#[cfg(test)]
mod tests;
