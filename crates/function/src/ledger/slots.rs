//! Slots for running restores, and the lines of those who wait for one.
//!
//! Slots are sets of validation ids, one over all and one for each resource type, in one item: taking and giving back
//! twice is taking and giving back once, whoever died in between. Who waits lies in the index of due validations under
//! a partition of its resource type, the longest waiting first, where no sweep for due ones looks.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use restore_proof_core::resource_type::ResourceType;

use super::{DUE_INDEX, Item, Ledger, LedgerError, OPEN, n, number, s, text};
use crate::aws::failed;
use aws_sdk_dynamodb::types::{AttributeValue as Value, ReturnValue};

/// The item that lists the validations with a running restore.
const SLOTS: &str = "slots";
/// The attribute of all of them.
const HELD: &str = "held";

/// Who has a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Ids of the validations that have one.
    held: BTreeSet<String>,
    /// The same by AWS Backup's name of the resource type.
    by_type: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Slots {
    fn read(item: &Item) -> Slots {
        let set = |name: &str| -> BTreeSet<String> {
            let ids = item.get(name).and_then(|value| value.as_ss().ok());
            ids.into_iter().flatten().cloned().collect()
        };
        Slots {
            held: set(HELD),
            by_type: ResourceType::names()
                .into_iter()
                .map(|name| (name, set(&held_by(name))))
                .collect(),
        }
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.held.len()
    }

    /// How many are taken by validations of this type.
    pub fn taken_by(&self, resource_type: &str) -> usize {
        self.by_type.get(resource_type).map_or(0, BTreeSet::len)
    }

    /// The ids of all who have one, in whatever set.
    pub fn holders(&self) -> BTreeSet<&str> {
        let all = self.by_type.values().flatten().chain(&self.held);
        all.map(String::as_str).collect()
    }
}

/// A validation in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// When it is due, or since when it waits; whole seconds.
    pub at: Timestamp,
}

/// Part of a list, and where the rest begins.
#[derive(Debug)]
pub struct Page {
    /// The longest due or waiting first.
    pub listed: Vec<Listed>,
    /// Where the next page begins; none after the last.
    pub next: Option<PageStart>,
}

/// Where a page begins.
#[derive(Clone, Debug)]
pub struct PageStart(Item);

impl Ledger {
    /// Takes one of `limit` slots, and within them one of `of_type` slots of the type (by
    /// AWS Backup's name); taking it twice is taking it once.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn take_slot(
        &self,
        id: &str,
        resource_type: &str,
        limit: u32,
        of_type: u32,
    ) -> Result<bool, LedgerError> {
        let result = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", s(SLOTS))
            .update_expression("ADD #held :me, #type :me")
            .condition_expression(
                "contains(#held, :id) OR ((attribute_not_exists(#held) OR size(#held) < :limit) AND \
                 (attribute_not_exists(#type) OR size(#type) < :oftype))",
            )
            .expression_attribute_names("#held", HELD)
            .expression_attribute_names("#type", held_by(resource_type))
            .expression_attribute_values(":me", Value::Ss(vec![id.to_owned()]))
            .expression_attribute_values(":id", s(id))
            .expression_attribute_values(":limit", n(limit))
            .expression_attribute_values(":oftype", n(of_type))
            .send()
            .await
            .map_err(failed("dynamodb:UpdateItem"));
        match result {
            Ok(_) => Ok(true),
            Err(error) if error.is(&["ConditionalCheckFailedException"]) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the slot back; giving it back twice is giving it back once. Answers whether there was one to give back.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn free_slot(&self, id: &str) -> Result<bool, LedgerError> {
        let names: Vec<(String, String)> = ResourceType::names()
            .iter()
            .zip(0..)
            .map(|(name, number)| (format!("#t{number}"), held_by(name)))
            .collect();
        let mut expression = "DELETE #held :me".to_owned();
        for (name, _) in &names {
            expression += &format!(", {name} :me");
        }
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", s(SLOTS))
            .update_expression(expression)
            .expression_attribute_names("#held", HELD)
            .expression_attribute_values(":me", Value::Ss(vec![id.to_owned()]))
            .return_values(ReturnValue::AllOld);
        for (name, attribute) in names {
            request = request.expression_attribute_names(name, attribute);
        }
        let answer = request
            .send()
            .await
            .map_err(failed("dynamodb:UpdateItem"))?;
        let before = answer.attributes().map(Slots::read).unwrap_or_default();
        Ok(before.holders().contains(id))
    }

    /// Who has a slot.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn slots(&self) -> Result<Slots, LedgerError> {
        Ok(self
            .get(SLOTS)
            .await?
            .map_or_else(Slots::default, |item| Slots::read(&item)))
    }

    /// Validations that are due at `now`, the longest due first; a page from `start` on.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn due(&self, now: Timestamp, start: Option<PageStart>) -> Result<Page, LedgerError> {
        self.page(OPEN, Some(now), None, start).await
    }

    /// Validations of a type (by AWS Backup's name) that wait for a slot, the longest waiting first; a page of at
    /// most `most` from `start` on.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn waiting(
        &self,
        resource_type: &str,
        most: i32,
        start: Option<PageStart>,
    ) -> Result<Page, LedgerError> {
        self.page(&waiting_partition(resource_type), None, Some(most), start)
            .await
    }

    async fn page(
        &self,
        partition: &str,
        until: Option<Timestamp>,
        most: Option<i32>,
        start: Option<PageStart>,
    ) -> Result<Page, LedgerError> {
        let mut request = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(DUE_INDEX)
            .expression_attribute_names("#partition", "due_partition")
            .expression_attribute_values(":partition", s(partition))
            .set_limit(most)
            .set_exclusive_start_key(start.map(|start| start.0));
        request = match until {
            None => request.key_condition_expression("#partition = :partition"),
            Some(until) => request
                .key_condition_expression("#partition = :partition AND #due <= :until")
                .expression_attribute_names("#due", "due_at")
                .expression_attribute_values(":until", n(until.as_second())),
        };
        let answer = request.send().await.map_err(failed("dynamodb:Query"))?;
        let listed = answer.items().iter().filter_map(|item| {
            Some(Listed {
                id: text(item, "id")?,
                at: Timestamp::from_second(number(item, "due_at")?).ok()?,
            })
        });
        Ok(Page {
            listed: listed.collect(),
            next: answer.last_evaluated_key.clone().map(PageStart),
        })
    }
}

/// The attribute of the slots of one type.
fn held_by(resource_type: &str) -> String {
    format!("{HELD}_{resource_type}")
}

/// The partition of those who wait for a slot of one type.
pub(super) fn waiting_partition(resource_type: &str) -> String {
    format!("waiting#{resource_type}")
}
