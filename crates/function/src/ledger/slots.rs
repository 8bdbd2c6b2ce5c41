//! Slots for running restores, and the lines of those who wait for one.
//!
//! Slots are sets of validation ids, one over all and one for each resource type, in one item: taking and giving back
//! twice is taking and giving back once, whoever died in between. Who waits lies in the index of due validations under
//! a partition of its resource type, the longest waiting first, where no sweep for due ones looks.
//!
//! In which lines somebody may be waiting stands beside the slots: for each type when somebody last came to wait. Who
//! gives a slot back reads it in the answer of that same update, and asks those lines alone. It is written before a
//! validation lies down in its line, and struck off only when nobody has come for longer than an invocation lasts: who
//! came before lies in the line by then, or died. So nobody who waits is ever in a line that is not named.
//!
//! A pause stands here, too: while there is one nobody gets a slot, whoever asks, in the one update that would give it.

use futures_util::FutureExt;
use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue as Value, ReturnValue, ReturnValuesOnConditionCheckFailure,
};
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::resource_type::ResourceType;

use super::{DUE_AT, DUE_INDEX, DUE_PARTITION, Item, Ledger, OPEN, n, number, refused, s, text};
use crate::aws::failed;
use crate::failure;

/// The item that lists the validations with a running restore.
const SLOTS: &str = "slots";
/// The attribute of all of them.
const HELD: &str = "held";
/// Before the name of a type: the attribute of those of the type.
const HELD_BY: &str = "held_";
/// Before the name of a type: the attribute that says when somebody last came to wait in its line.
const CAME: &str = "came_";
/// The attribute that says since when nobody gets a slot.
const PAUSED_AT: &str = "paused_at";
/// And why, if somebody said so.
const PAUSED_WHY: &str = "paused_why";
/// The attribute that says when the last pause ended.
const RESUMED_AT: &str = "resumed_at";
/// Who comes to wait need not say so again when somebody has within this time.
const SAID_AGAIN: SignedDuration = SignedDuration::from_mins(5);
/// A line to which nobody has come for so long, and in which nobody lies, is named no more. Longer than an invocation lasts
/// (15 minutes at most) and [`SAID_AGAIN`] together, with room for clocks that differ and an index that lags.
const STRUCK_OFF: SignedDuration = SignedDuration::from_mins(30);

/// Who has a slot, and in which lines somebody may be waiting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Ids of the validations that have one.
    held: BTreeSet<String>,
    /// The same by AWS Backup's name of the resource type.
    by_type: BTreeMap<String, BTreeSet<String>>,
    /// When somebody last came to wait, by AWS Backup's name of the resource type.
    came: BTreeMap<String, Timestamp>,
    /// Why and since when nobody gets one; none if there is no pause.
    paused: Option<Pause>,
    /// When the last pause ended; none if there was none.
    resumed_at: Option<Timestamp>,
}

/// While it lasts no restore is begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Since when; whole seconds.
    pub since: Timestamp,
    /// Why, if somebody said so.
    pub reason: Option<String>,
}

impl Slots {
    fn read(item: &Item) -> Slots {
        let second = |name| Timestamp::from_second(number(item, name)?).ok();
        let mut slots = Slots {
            paused: second(PAUSED_AT).map(|since| Pause {
                since,
                reason: text(item, PAUSED_WHY),
            }),
            resumed_at: second(RESUMED_AT),
            ..Slots::default()
        };
        for (name, value) in item {
            let ids = || value.as_ss().into_iter().flatten().cloned().collect();
            if name == HELD {
                slots.held = ids();
            } else if let Some(resource_type) = name.strip_prefix(HELD_BY) {
                slots.by_type.insert(resource_type.to_owned(), ids());
            } else if let Some(resource_type) = name.strip_prefix(CAME)
                && let Some(at) = number(item, name)
                && let Ok(at) = Timestamp::from_second(at)
            {
                slots.came.insert(resource_type.to_owned(), at);
            }
        }
        slots
    }

    /// Why and since when no restore is begun; none if there is no pause.
    pub fn paused(&self) -> Option<&Pause> {
        self.paused.as_ref()
    }

    /// When the last pause ended; none if there was none.
    pub fn resumed_at(&self) -> Option<Timestamp> {
        self.resumed_at
    }

    /// Before when who came has waited too long, if `longest` is the longest to wait: a pause counts for nobody's waiting,
    /// so that all may wait so long again when it has ended.
    pub fn waits_too_long_since(&self, longest: SignedDuration, now: Timestamp) -> Timestamp {
        let before = now.checked_sub(longest).unwrap_or(Timestamp::MIN);
        let has_just_ended = self.resumed_at.is_some_and(|ended| ended > before);
        if self.paused.is_some() || has_just_ended {
            Timestamp::MIN
        } else {
            before
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

    /// AWS Backup's names of the types in whose lines somebody may be waiting.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.came.keys().map(String::as_str)
    }

    /// Of these types the ones to whose lines nobody has come for so long that an empty one is named no more.
    pub fn long_since_anybody_came(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let long_since = move |at: &Timestamp| now.duration_since(*at) > STRUCK_OFF;
        let lines = self.came.iter().filter(move |(_, at)| long_since(at));
        lines.map(|(resource_type, _)| resource_type.as_str())
    }

    fn without(mut self, id: &str) -> Slots {
        self.held.remove(id);
        for held in self.by_type.values_mut() {
            held.remove(id);
        }
        self
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
    /// Takes one of `limit` slots, and within them one of `of_type` slots of the type (by AWS Backup's name); taking it
    /// twice is taking it once. If there is none, it is noted that somebody waits in the line of the type. Returns
    /// whether it was taken.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn take_slot(
        &self,
        id: &str,
        resource_type: &str,
        limit: u32,
        of_type: u32,
        now: Timestamp,
    ) -> failure::Result<bool> {
        let result = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", s(SLOTS))
            .update_expression("ADD #held :me, #type :me")
            .condition_expression(
                "attribute_not_exists(#paused) AND (contains(#held, :id) OR \
                 ((attribute_not_exists(#held) OR size(#held) < :limit) AND \
                 (attribute_not_exists(#type) OR size(#type) < :oftype)))",
            )
            .expression_attribute_names("#paused", PAUSED_AT)
            .expression_attribute_names("#held", HELD)
            .expression_attribute_names("#type", held_by(resource_type))
            .expression_attribute_values(":me", Value::Ss(vec![id.to_owned()]))
            .expression_attribute_values(":id", s(id))
            .expression_attribute_values(":limit", n(limit))
            .expression_attribute_values(":oftype", n(of_type))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .boxed()
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(error) => {
                let slots = Slots::read(&refused(error)?);
                // Who has one and is refused for a pause waits like all others, and not for itself.
                if slots.paused().is_some() && slots.holders().contains(id) {
                    self.free_slot(id).await?;
                }
                let came = slots.came.get(resource_type);
                if came.is_none_or(|at| now.duration_since(*at) > SAID_AGAIN) {
                    self.note_waiting(resource_type, now).await?;
                }
                Ok(false)
            }
        }
    }

    /// Notes that somebody comes to wait in the line of a type (by AWS Backup's name).
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn note_waiting(&self, resource_type: &str, now: Timestamp) -> failure::Result<()> {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("id", s(SLOTS))
            .update_expression("SET #came = :now")
            .expression_attribute_names("#came", came_to(resource_type))
            .expression_attribute_values(":now", n(now.as_second()))
            .send()
            .boxed()
            .await
            .map_err(failed("dynamodb:UpdateItem"))?;
        Ok(())
    }

    /// Names a line no more that was found empty, unless somebody has come to it lately.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn strike_off(&self, resource_type: &str, now: Timestamp) -> failure::Result<()> {
        let result = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", s(SLOTS))
            .update_expression("REMOVE #came")
            .condition_expression("#came < :long")
            .expression_attribute_names("#came", came_to(resource_type))
            .expression_attribute_values(":long", n((now - STRUCK_OFF).as_second()))
            .send()
            .boxed()
            .await;
        match result {
            Ok(_) => Ok(()),
            Err(error) => Ok(refused(error).map(drop)?),
        }
    }

    /// Gives the slot back; giving it back twice is giving it back once. Returns who has a slot now, and where somebody
    /// may be waiting for this one; none if there was none to give back.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn free_slot(&self, id: &str) -> failure::Result<Option<Slots>> {
        let mut expression = "DELETE #held :me".to_owned();
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", s(SLOTS))
            .expression_attribute_names("#held", HELD)
            .expression_attribute_values(":me", Value::Ss(vec![id.to_owned()]))
            .return_values(ReturnValue::AllOld);
        for (resource_type, number) in ResourceType::ALL.iter().zip(0..) {
            let name = format!("#t{number}");
            expression += &format!(", {name} :me");
            request = request.expression_attribute_names(name, held_by(resource_type.name()));
        }
        let answer = request
            .update_expression(expression)
            .send()
            .boxed()
            .await
            .map_err(failed("dynamodb:UpdateItem"))?;
        let before = answer.attributes().map(Slots::read).unwrap_or_default();
        Ok(if before.holders().contains(id) {
            Some(before.without(id))
        } else {
            None
        })
    }

    /// From now on nobody gets a slot. A pause that there is goes on as it is. Returns whether it is a new one.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pause(&self, reason: Option<&str>, now: Timestamp) -> failure::Result<bool> {
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", s(SLOTS))
            .condition_expression("attribute_not_exists(#paused)")
            .expression_attribute_names("#paused", PAUSED_AT)
            .expression_attribute_values(":now", n(now.as_second()));
        let mut expression = "SET #paused = :now".to_owned();
        if let Some(reason) = reason {
            expression += ", #why = :why";
            request = request
                .expression_attribute_names("#why", PAUSED_WHY)
                .expression_attribute_values(":why", s(reason));
        }
        let result = request.update_expression(expression).send().boxed().await;
        changed(result)
    }

    /// Slots are given again. Returns whether there was a pause.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn resume(&self, now: Timestamp) -> failure::Result<bool> {
        let result = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", s(SLOTS))
            .update_expression("SET #resumed = :now REMOVE #paused, #why")
            .condition_expression("attribute_exists(#paused)")
            .expression_attribute_names("#paused", PAUSED_AT)
            .expression_attribute_names("#why", PAUSED_WHY)
            .expression_attribute_names("#resumed", RESUMED_AT)
            .expression_attribute_values(":now", n(now.as_second()))
            .send()
            .boxed()
            .await;
        changed(result)
    }

    /// Who has a slot.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn slots(&self) -> failure::Result<Slots> {
        Ok(self
            .get(SLOTS)
            .await?
            .map_or_else(Slots::default, |item| Slots::read(&item)))
    }

    /// Open validations that do not wait for a slot, the longest due first and those that are not due yet at the end; a
    /// page from `start` on.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn open_page(&self, start: Option<PageStart>) -> failure::Result<Page> {
        self.page(OPEN, None, start).await
    }

    /// Validations of a type (by AWS Backup's name) that wait for a slot, the longest waiting first; a page of at
    /// most `most` from `start` on. DynamoDB reads 1 MB at once, some ten thousand.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn waiting(
        &self,
        resource_type: &str,
        most: Option<i32>,
        start: Option<PageStart>,
    ) -> failure::Result<Page> {
        self.page(&waiting_partition(resource_type), most, start)
            .await
    }

    async fn page(
        &self,
        partition: &str,
        most: Option<i32>,
        start: Option<PageStart>,
    ) -> failure::Result<Page> {
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(DUE_INDEX)
            .key_condition_expression("#partition = :partition")
            .expression_attribute_names("#partition", DUE_PARTITION)
            .expression_attribute_values(":partition", s(partition))
            .set_limit(most)
            .set_exclusive_start_key(start.map(|start| start.0));
        let answer = request
            .send()
            .boxed()
            .await
            .map_err(failed("dynamodb:Query"))?;
        let listed = answer.items().iter().filter_map(|item| {
            Some(Listed {
                id: text(item, "id")?,
                at: Timestamp::from_second(number(item, DUE_AT)?).ok()?,
            })
        });
        Ok(Page {
            listed: listed.collect(),
            next: answer.last_evaluated_key.clone().map(PageStart),
        })
    }
}

/// Whether an update was made, or its condition did not hold.
fn changed<T, R: std::fmt::Debug>(
    result: Result<T, SdkError<UpdateItemError, R>>,
) -> failure::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) => {
            refused(error)?;
            Ok(false)
        }
    }
}

/// The attribute of the slots of one type.
fn held_by(resource_type: &str) -> String {
    format!("{HELD_BY}{resource_type}")
}

fn came_to(resource_type: &str) -> String {
    format!("{CAME}{resource_type}")
}

/// The partition of those who wait for a slot of one type.
pub(super) fn waiting_partition(resource_type: &str) -> String {
    format!("waiting#{resource_type}")
}
