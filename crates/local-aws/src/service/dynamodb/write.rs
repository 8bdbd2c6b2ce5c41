//! Writes: read, then weighed against the item that is there, then done. One by itself, or up to a
//! hundred as one transaction.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::expression::{Condition, Substitutions};
use super::table::{Place, TableState, check_size};
use super::update::Update;
use super::value::{Item, item_bytes, item_json};
use super::{condition, invalid, member_item, no_such_table, returned, table_name};
use crate::service::text;
use crate::wire::ServiceError;
use crate::world::state::State;

/// How many actions one transaction may have (API reference, TransactWriteItems).
const MOST_ACTIONS: usize = 100;
/// How large the items of one transaction may be together, bytes (the same page).
const LARGEST_TRANSACTION: usize = 4 * 1024 * 1024;
/// How long a `ClientRequestToken` is remembered (the same page).
const TOKEN_VALID: SignedDuration = SignedDuration::from_mins(10);

/// A write as it was asked for. Reading it needs no table: AWS refuses a wrong expression before it looks for one.
pub(super) struct Write {
    /// The item of a put, the key of all others.
    target: Item,
    change: Change,
    condition: Option<Condition>,
    /// Whether a failed condition shows the item.
    shows_item: bool,
}

enum Change {
    Put,
    Update(Update),
    Delete,
    /// Nothing: a `ConditionCheck`.
    Check,
}

impl Write {
    /// Reads the parameters of `PutItem`, `UpdateItem` or `DeleteItem`, or of a transaction's action of that name.
    pub fn read(operation: &str, body: &Value) -> Result<Write, ServiceError> {
        let change = match operation {
            "PutItem" => Change::Put,
            "UpdateItem" => Change::Update(Update::default()),
            "DeleteItem" => Change::Delete,
            _ => Change::Check,
        };
        let member = if matches!(change, Change::Put) {
            "Item"
        } else {
            "Key"
        };
        let target = member_item(body, member)?;
        let given = Substitutions::of(body)?;
        let condition = condition(body, &given)?;
        let change = match (change, text(body, "UpdateExpression")) {
            (Change::Update(_), Some(text)) => Change::Update(Update::parse(text, &given)?),
            (change, _) => change,
        };
        given.refuse_unused()?;
        if matches!(change, Change::Put) {
            check_size(&target, "Item size")?;
        }
        Ok(Write {
            target,
            change,
            condition,
            shows_item: text(body, "ReturnValuesOnConditionCheckFailure") == Some("ALL_OLD"),
        })
    }

    fn place(&self, table: &TableState) -> Result<Place, ServiceError> {
        match self.change {
            Change::Put => table.key_of(&self.target),
            Change::Update(_) | Change::Delete | Change::Check => table.exact_key(&self.target),
        }
    }

    /// The item as it will be. None if there will be none.
    fn outcome(
        &self,
        table: &TableState,
        old: Option<&Item>,
    ) -> Result<Option<Item>, ServiceError> {
        if let Change::Update(update) = &self.change
            && let Some(name) = update.roots().find(|name| table.is_key(name))
        {
            return Err(invalid(&format!(
                "One or more parameter values were invalid: Cannot update attribute {name}. This attribute is part of the key"
            )));
        }
        self.require(old)?;
        let after = match &self.change {
            Change::Put => self.target.clone(),
            Change::Update(update) => {
                let after = update.apply(old.unwrap_or(&self.target))?;
                check_size(&after, "Item size to update")?;
                after
            }
            Change::Delete => return Ok(None),
            Change::Check => return Ok(old.cloned()),
        };
        table.check_keys(&after)?;
        Ok(Some(after))
    }

    /// Refuses the write if the condition does not hold, with the item if that was asked for.
    fn require(&self, old: Option<&Item>) -> Result<(), ServiceError> {
        let empty = Item::new();
        let holds = |condition: &Condition| condition.holds(old.unwrap_or(&empty));
        if self.condition.as_ref().is_none_or(holds) {
            return Ok(());
        }
        let mut error = ServiceError::new(
            "ConditionalCheckFailedException",
            400,
            "The conditional request failed",
        );
        if let (Some(item), true) = (old, self.shows_item) {
            error.extra.insert("Item".to_owned(), item_json(item));
        }
        Err(error)
    }
}

/// `PutItem`, `UpdateItem`, `DeleteItem`.
pub(super) fn one(
    table: &mut TableState,
    operation: &str,
    body: &Value,
) -> Result<Value, ServiceError> {
    let write = Write::read(operation, body)?;
    let place = write.place(table)?;
    let old = table.get(&place).cloned();
    let after = write.outcome(table, old.as_ref())?;
    let answer = match &write.change {
        Change::Update(update) => {
            let roots: Vec<String> = update.roots().map(str::to_owned).collect();
            let allowed = ["NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"];
            returned(body, &allowed, old.as_ref(), after.as_ref(), &roots)?
        }
        Change::Put | Change::Delete | Change::Check => {
            returned(body, &["NONE", "ALL_OLD"], old.as_ref(), None, &[])?
        }
    };
    table.set(place, after);
    Ok(answer)
}

/// `TransactWriteItems`. What is refused as a whole and what cancels the transaction with a reason for each action was
/// observed on AWS by the tests of github.com/paritysuite/dynamodb-conformance (`error-messages/transactWriteItems`).
pub(super) fn several(state: &mut State, body: &Value) -> Result<Value, ServiceError> {
    let actions = body.get("TransactItems").and_then(Value::as_array);
    let actions = actions.map(Vec::as_slice).unwrap_or_default();
    let wrong_length = |bound: &str, value: &str| {
        Err(invalid(&format!(
            "1 validation error detected: Value{value} at 'transactItems' failed to satisfy constraint: Member must have length {bound}"
        )))
    };
    if actions.is_empty() {
        return wrong_length("greater than or equal to 1", " '[]'");
    }
    if actions.len() > MOST_ACTIONS {
        return wrong_length("less than or equal to 100", "");
    }
    let token = text(body, "ClientRequestToken");
    if token.is_some_and(|token| token.is_empty() || token.len() > 36) {
        return Err(invalid(
            "1 validation error detected: Value at 'ClientRequestToken' failed to satisfy constraint: Member must have length less than or equal to 36",
        ));
    }
    let writes: Vec<(&str, Write)> = actions.iter().map(action).collect::<Result<_, _>>()?;
    if let Some(token) = token
        && state.transactions.has_done(token, actions, state.now)?
    {
        return Ok(json!({}));
    }
    let mut targets = Vec::with_capacity(writes.len());
    for (table, write) in &writes {
        let table = state.tables.get(*table).ok_or_else(no_such_table)?;
        table.refuse_empty_keys(&write.target)?;
        targets.push(write.place(table));
    }
    let mut seen = Vec::with_capacity(writes.len());
    for ((table, _), target) in writes.iter().zip(&targets) {
        if let Ok(place) = target {
            if seen.contains(&(*table, place)) {
                return Err(invalid(
                    "Transaction request cannot include multiple operations on one item",
                ));
            }
            seen.push((*table, place));
        }
    }
    let weighed = writes.iter().zip(targets).map(|((name, write), target)| {
        let table = state.tables.get(*name).ok_or_else(no_such_table)?;
        let place = target?;
        let after = write.outcome(table, table.get(&place))?;
        Ok((*name, place, after))
    });
    let weighed: Vec<Result<_, ServiceError>> = weighed.collect();
    if weighed.iter().any(Result::is_err) {
        return Err(cancelled(weighed.into_iter().map(Result::err)));
    }
    let done: Vec<_> = weighed.into_iter().flatten().collect();
    let size: usize = done
        .iter()
        .filter_map(|(.., after)| after.as_ref())
        .map(item_bytes)
        .sum();
    if size > LARGEST_TRANSACTION {
        // The limit is documented; how AWS words its refusal is not.
        return Err(invalid(
            "The aggregate size of the items in the transaction cannot exceed 4 MB",
        ));
    }
    for (name, place, after) in done {
        let table = state.tables.get_mut(name).ok_or_else(no_such_table)?;
        table.set(place, after);
    }
    if let Some(token) = token {
        state.transactions.note(token, actions, state.now);
    }
    Ok(json!({}))
}

/// A transaction's action: the table's name and the write.
fn action(action: &Value) -> Result<(&str, Write), ServiceError> {
    let kinds = [
        ("Put", "PutItem"),
        ("Update", "UpdateItem"),
        ("Delete", "DeleteItem"),
        ("ConditionCheck", "ConditionCheck"),
    ];
    let mut given = kinds.iter().filter_map(|(member, operation)| {
        Some((
            *member,
            *operation,
            action.get(*member).filter(|body| !body.is_null())?,
        ))
    });
    let (Some((member, operation, body)), None) = (given.next(), given.next()) else {
        return Err(invalid(
            "TransactItems can only contain one of Check, Put, Update or Delete",
        ));
    };
    let must_have = match operation {
        "UpdateItem" => Some("UpdateExpression"),
        "ConditionCheck" => Some("ConditionExpression"),
        _ => None,
    };
    for name in ["TableName"].into_iter().chain(must_have) {
        if text(body, name).is_none() {
            return Err(invalid(&format!(
                "1 validation error detected: Value null at 'transactItems.1.member.{member}.{name}' failed to satisfy constraint: Member must not be null"
            )));
        }
    }
    let table = table_name(text(body, "TableName").unwrap_or_default());
    Ok((table, Write::read(operation, body)?))
}

/// The cancellation of a transaction, with a reason for each of its actions in their order.
fn cancelled(errors: impl Iterator<Item = Option<ServiceError>>) -> ServiceError {
    let mut codes = Vec::new();
    let reasons = errors.map(|error| {
        let Some(error) = error else {
            codes.push("None");
            return json!({"Code": "None"});
        };
        let code = match error.code.as_str() {
            "ConditionalCheckFailedException" => "ConditionalCheckFailed",
            _ => "ValidationError",
        };
        codes.push(code);
        let mut reason = Map::from_iter([
            ("Code".to_owned(), code.into()),
            ("Message".to_owned(), error.message.into()),
        ]);
        reason.extend(error.extra);
        reason.into()
    });
    let reasons: Value = reasons.collect();
    let message = format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
        codes.join(", ")
    );
    let mut error = ServiceError::new("TransactionCanceledException", 400, &message);
    error
        .extra
        .insert("CancellationReasons".to_owned(), reasons);
    error
}

/// The transactions of the last ten minutes that had a token, by it.
#[derive(Default)]
pub(crate) struct Transactions {
    by_token: BTreeMap<String, [u8; 32]>,
    /// When each was done, oldest first.
    by_age: VecDeque<(Timestamp, String)>,
}

impl Transactions {
    /// Whether this transaction was done already. Refuses a token that another one was done with.
    fn has_done(
        &mut self,
        token: &str,
        actions: &[Value],
        now: Timestamp,
    ) -> Result<bool, ServiceError> {
        while let Some((at, _)) = self.by_age.front()
            && now.duration_since(*at) >= TOKEN_VALID
        {
            let oldest = self.by_age.pop_front();
            oldest.and_then(|(_, token)| self.by_token.remove(&token));
        }
        match self.by_token.get(token) {
            None => Ok(false),
            Some(known) if *known == digest(actions) => Ok(true),
            Some(_) => Err(ServiceError::new(
                "IdempotentParameterMismatchException",
                400,
                "DynamoDB rejected the request because you retried a request with a different payload but with an idempotent token that was already used.",
            )),
        }
    }

    fn note(&mut self, token: &str, actions: &[Value], now: Timestamp) {
        self.by_token.insert(token.to_owned(), digest(actions));
        self.by_age.push_back((now, token.to_owned()));
    }
}

fn digest(actions: &[Value]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for action in actions {
        digest.update(action.to_string());
    }
    digest.finalize().into()
}
