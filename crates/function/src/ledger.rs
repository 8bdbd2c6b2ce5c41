//! The ledger: validations in DynamoDB, with leases, due times, slots and claims.
//!
//! Every write is conditional on the revision that was read and leaves its writer's nonce behind. The SDK repeats a
//! write whose answer was lost, and then meets its own work: the nonce tells.

mod slots;
mod watch;

use futures_util::FutureExt;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue as Value, CancellationReason, KeysAndAttributes, Put, ReturnValue,
    ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use futures_util::future;
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::message::{ProvedPoint, Standing};
use restore_proof_core::policy::{Frequency, Rule};
use restore_proof_core::validation::{Heard, Stage, Validation};
use restore_proof_core::verdict::Verdict;
use sha2::{Digest, Sha256};

use crate::aws::{AwsError, failed};
use crate::failure::{self, Failure};
pub use slots::{Listed, Page, PageStart, Slots};

/// How long closed validations are remembered; longer than the sweep looks back by far.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(400 * 24);
/// How long the claim of a day or week is remembered.
const CLAIM_REMEMBERED: SignedDuration = SignedDuration::from_hours(60 * 24);
/// How long it is remembered what an event told of a validation; longer than one takes.
const HEARD_REMEMBERED: SignedDuration = SignedDuration::from_hours(60 * 24);
/// The index holds open validations only: under this key those that are due at some time, under keys of their own those
/// that wait for a slot.
const OPEN: &str = "open";
/// The index of due validations.
const DUE_INDEX: &str = "due";
/// The item that says since when this stack works.
const INSTALLED: &str = "installed";
/// Before the id of a restore job that a validation has taken.
const JOB: &str = "job#";
/// The attribute that holds a validation as JSON.
const DOCUMENT: &str = "document";
/// The attribute that says beside the document how far a validation has come.
const STAGE: &str = "stage";
/// The attribute that says beside the document how a validation stands.
const OUTCOME: &str = "outcome";
/// The attribute that holds a rule as JSON.
const RULE: &str = "rule";
/// The attribute that says that the rule of a validation has an item of its own, and that its checks are there alone.
const RULE_BESIDE: &str = "rule_beside";
/// The attribute that counts the writes of a validation.
const REVISION: &str = "revision";
/// The attribute that says who wrote an item last, and with which write.
const WRITER: &str = "writer";
/// The attribute with the nonce of whoever has the lease.
const OWNER: &str = "lease_owner";
/// The attribute with the nonce of whoever had the lease when it was taken, [`NOBODY`] if it had been given back.
const OWNER_BEFORE: &str = "lease_owner_before";
/// In place of a nonce.
const NOBODY: &str = "nobody";
/// The attribute that says when the lease ends, milliseconds.
const LEASED_UNTIL: &str = "lease_until";
/// The attributes of the index: the list in which a validation stands, and when it is due, seconds.
const DUE_PARTITION: &str = "due_partition";
const DUE_AT: &str = "due_at";
/// The attributes of the item that says which recovery point of a resource was proved last: its ARN, when it was created
/// and when it had passed, milliseconds, and the key of its record.
const PROVED_ARN: &str = "recovery_point_arn";
const PROVED_CREATED: &str = "created_at";
const PROVED_AT: &str = "proved_at";
const PROVED_RECORD: &str = "record_key";
/// The attribute of the item that says how a resource stands by the verdict that counts: a JSON document.
const STANDING: &str = "standing";
/// The most keys of one `BatchGetItem` (API reference of DynamoDB).
const LOOKED_UP_AT_ONCE: usize = 100;

/// Access to the table.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

/// A validation that this invocation alone may move, until the lease ends.
#[derive(Debug)]
pub struct Lease {
    /// The validation, to be changed and then written.
    pub validation: Validation,
    /// As it stands in the table.
    written: Validation,
    revision: u64,
    owner: String,
    until: Timestamp,
    writes: u32,
    rule: FrozenRule,
}

/// Where the rule is that was frozen into a validation. Its checks may be large, and are in none of the writes that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FrozenRule {
    /// In the validation's document, if there is one.
    InDocument,
    /// In an item of its own, and its checks are not in this lease's validation.
    Beside,
    /// In an item of its own; its checks were read.
    Read,
}

impl Lease {
    fn new(validation: Validation, revision: u64, owner: &str, until: Timestamp) -> Lease {
        Lease {
            written: validation.clone(),
            validation,
            revision,
            owner: owner.to_owned(),
            until,
            writes: 0,
            rule: FrozenRule::InDocument,
        }
    }

    /// Whether the rule that was frozen is there with its checks.
    pub fn has_checks(&self) -> bool {
        self.rule != FrozenRule::Beside
    }

    /// The validation as JSON, without checks that are in an item of their own.
    fn document(&self) -> failure::Result<String> {
        match (self.rule, &self.validation.rule) {
            (FrozenRule::Beside | FrozenRule::Read, Some(rule)) => {
                let mut shorter = self.validation.clone();
                shorter.rule = Some(Rule {
                    checks: Vec::new(),
                    ..rule.clone()
                });
                document(&shorter)
            }
            (FrozenRule::InDocument, _) | (_, None) => document(&self.validation),
        }
    }

    /// How often the validation has been written.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

/// What became of the wish to move a validation.
#[derive(Debug)]
pub enum Taken {
    /// It is ours to move.
    Lease(Box<Lease>),
    /// Nothing is left to do.
    Closed(Box<Validation>),
    /// Another invocation is moving it.
    Busy(Box<Validation>),
    /// The ledger does not know it.
    Unknown,
}

type Item = HashMap<String, Value>;

/// How a validation stands, as far as can be told without its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No verdict of it is recorded.
    Open,
    /// It has a verdict about the backup, or has tried to find one.
    Tested,
    /// It was not tested, because nothing here could or a limit kept it from being.
    Untested,
    /// It was not tested because the rule asks for a share and this is not of it.
    LeftOut,
}

impl Outcome {
    fn of(validation: &Validation) -> Outcome {
        match validation.verdict {
            None => Outcome::Open,
            // Nobody can read a verdict that is in no record yet.
            Some(_) if validation.stage == Stage::Checked => Outcome::Open,
            Some(Verdict::NotTested) if validation.left_out_by_rule => Outcome::LeftOut,
            Some(Verdict::NotTested) => Outcome::Untested,
            Some(
                Verdict::Passed
                | Verdict::Failed
                | Verdict::Inconclusive
                | Verdict::Unchecked
                | Verdict::RestoreFailed
                | Verdict::CopyFailed,
            ) => Outcome::Tested,
        }
    }

    const ALL: [Outcome; 4] = [
        Outcome::Open,
        Outcome::Tested,
        Outcome::Untested,
        Outcome::LeftOut,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Outcome::Open => "open",
            Outcome::Tested => "tested",
            Outcome::Untested => "untested",
            Outcome::LeftOut => "left_out",
        }
    }

    /// What is not known counts as without a verdict: somebody is to look.
    fn read(word: Option<&str>) -> Outcome {
        let known = Outcome::ALL.into_iter();
        let mut known = known.filter(|outcome| Some(outcome.as_str()) == word);
        known.next().unwrap_or(Outcome::Open)
    }
}

impl Ledger {
    /// The ledger in `table`.
    pub fn new(client: aws_sdk_dynamodb::Client, table: &str) -> Ledger {
        Ledger {
            client,
            table: table.to_owned(),
        }
    }

    /// Adds a validation unless there is one of its id. Returns whether it is new.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn open(&self, validation: &Validation, nonce: &str) -> failure::Result<bool> {
        let document = document(validation)?;
        let opened = item(validation, document, 0, &writer_of(nonce, "open"), None);
        self.add(opened).await
    }

    /// The same, with its lease until `until`. None if there is one of its id.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn open_and_take(
        &self,
        validation: Validation,
        nonce: &str,
        until: Timestamp,
    ) -> failure::Result<Option<Lease>> {
        let held = Some((nonce, until));
        let document = document(&validation)?;
        let opened = item(&validation, document, 0, &writer_of(nonce, "open"), held);
        let is_new = self.add(opened).await?;
        Ok(is_new.then(|| Lease::new(validation, 0, nonce, until)))
    }

    /// Adds an item that says who writes it, unless there is one of its id. Returns whether it is this one that is there.
    async fn add(&self, item: Item) -> failure::Result<bool> {
        let writer = text(&item, WRITER).unwrap_or_default();
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#id)")
            .expression_attribute_names("#id", "id")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .boxed()
            .await;
        Ok(match written_by_us(result.map(drop), &writer)? {
            Written::Yes => true,
            Written::No(_) => false,
        })
    }

    /// Takes the lease of a validation until `until`, unless another invocation has it at `now`: the one update looks and
    /// takes.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item cannot be read.
    pub async fn take(
        &self,
        id: &str,
        nonce: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> failure::Result<Taken> {
        let writer = writer_of(nonce, "take");
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", s(id))
            .update_expression(
                "SET #before = if_not_exists(#owner, :nobody), #owner = :me, #until = :until, \
                 #partition = :open, #due = :due, #writer = :writer, #revision = #revision + :one",
            )
            .condition_expression(
                "attribute_exists(#document) AND (#stage <> :closed OR attribute_exists(#partition)) AND \
                 (attribute_not_exists(#until) OR #until <= :now)",
            )
            .expression_attribute_names("#before", OWNER_BEFORE)
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_names("#until", LEASED_UNTIL)
            .expression_attribute_names("#partition", DUE_PARTITION)
            .expression_attribute_names("#due", DUE_AT)
            .expression_attribute_names("#writer", WRITER)
            .expression_attribute_names("#revision", REVISION)
            .expression_attribute_names("#document", DOCUMENT)
            .expression_attribute_names("#stage", STAGE)
            .expression_attribute_values(":nobody", s(NOBODY))
            .expression_attribute_values(":me", s(nonce))
            .expression_attribute_values(":until", n(until.as_millisecond()))
            .expression_attribute_values(":open", s(OPEN))
            .expression_attribute_values(":due", n(until.as_second()))
            .expression_attribute_values(":writer", s(&writer))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":closed", s(Stage::Closed.as_str()))
            .expression_attribute_values(":now", n(now.as_millisecond()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
.boxed()
.await;
        let taken = match answer {
            Ok(answer) => answer.attributes.unwrap_or_default(),
            Err(error) => {
                let found = refused(error)?;
                if found.is_empty() {
                    return Ok(Taken::Unknown);
                }
                // The SDK repeats an update whose answer was lost, and then meets its own work.
                if text(&found, WRITER).as_deref() != Some(&writer) {
                    let validation = Box::new(read(id, &found)?);
                    let leased = number(&found, LEASED_UNTIL).is_some();
                    return Ok(match leased {
                        true => Taken::Busy(validation),
                        false => Taken::Closed(validation),
                    });
                }
                found
            }
        };
        let revision = number(&taken, REVISION).unwrap_or_default();
        let validation = read(id, &taken)?;
        let mut lease = Lease::new(validation, revision.unsigned_abs(), nonce, until);
        if taken.contains_key(RULE_BESIDE) {
            lease.rule = FrozenRule::Beside;
        }
        if text(&taken, OWNER_BEFORE).is_some_and(|owner| owner != NOBODY) {
            // Whoever had the lease died with it. Written at once: should this run die too, it is known since when they do.
            let words = "the function ended in the middle of a run";
            lease.validation.meet_trouble(words, now);
            match self.write(&mut lease).await {
                Err(Failure::LeaseLost(_)) => {
                    return Ok(Taken::Busy(Box::new(lease.validation)));
                }
                written => written?,
            }
        }
        Ok(Taken::Lease(Box::new(lease)))
    }

    /// The same beside the rule that was frozen into the validation, for who will need its checks.
    ///
    /// # Errors
    /// As [`Ledger::take`].
    pub async fn take_with_rule(
        &self,
        id: &str,
        nonce: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> failure::Result<Taken> {
        let key = rule_key(id);
        let (taken, rule) = future::join(self.take(id, nonce, now, until), self.get(&key)).await;
        let mut taken = taken?;
        // Who cannot read it now reads it when it is needed.
        if let (Taken::Lease(lease), Ok(Some(item))) = (&mut taken, rule) {
            add_checks(lease, &item)?;
        }
        Ok(taken)
    }

    /// Reads the checks of the rule that was frozen, unless they are there.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the rule cannot be read.
    pub async fn read_checks(&self, lease: &mut Lease) -> failure::Result<()> {
        if lease.has_checks() {
            return Ok(());
        }
        let key = rule_key(&lease.validation.id);
        let item = self.get(&key).await?;
        let missing = || Failure::Unreadable(key, "it does not exist".to_owned());
        add_checks(lease, &item.ok_or_else(missing)?)
    }

    /// Writes the validation and keeps the lease.
    ///
    /// # Errors
    /// [`Failure::LeaseLost`] when another invocation wrote in between; when DynamoDB does not answer.
    pub async fn write(&self, lease: &mut Lease) -> failure::Result<()> {
        self.put(lease, true, Vec::new()).await.map(drop)
    }

    /// Writes the validation and keeps the lease; its rule is written into an item of its own, and is in no write that
    /// follows. The first time, the restore that is to be started is counted in `month`, and nothing is written if that
    /// is full. Returns whether it was written.
    ///
    /// # Errors
    /// As [`Ledger::write`].
    pub async fn write_with_rule(
        &self,
        lease: &mut Lease,
        month: Option<Month>,
    ) -> failure::Result<bool> {
        let id = &lease.validation.id;
        let key = rule_key(id);
        let unreadable = |why: String| Failure::Unreadable(key.clone(), why);
        let rule = lease.validation.rule.as_ref();
        let rule = rule.ok_or_else(|| unreadable("the validation has none".to_owned()))?;
        let rule = serde_json::to_string(rule).map_err(|error| unreadable(error.to_string()))?;
        let expires = lease.validation.opened_at + REMEMBERED;
        let rule = Put::builder()
            .table_name(&self.table)
            .item("id", s(&key))
            .item(RULE, s(&rule))
            .item("expires_at", n(expires.as_second()))
            .build()
            .expect("table and item are set");
        let mut beside = vec![TransactWriteItem::builder().put(rule).build()];
        if let (Some(month), FrozenRule::InDocument) = (month, lease.rule) {
            beside.push(self.count_in(&month));
        }
        let before = std::mem::replace(&mut lease.rule, FrozenRule::Read);
        let written = self.put(lease, true, beside).await;
        if !matches!(written, Ok(true)) {
            lease.rule = before;
        }
        written
    }

    /// Counts a restore in a month, unless that is full.
    fn count_in(&self, month: &Month) -> TransactWriteItem {
        let expires = month.now + REMEMBERED;
        let count = Update::builder()
            .table_name(&self.table)
            .key("id", s(&month.key()))
            .update_expression("ADD #restores :one SET #expires = :expires")
            .condition_expression("attribute_not_exists(#restores) OR #restores < :most")
            .expression_attribute_names("#restores", "restores")
            .expression_attribute_names("#expires", "expires_at")
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":most", n(month.most))
            .expression_attribute_values(":expires", n(expires.as_second()))
            .build()
            .expect("table, key and expression are set");
        TransactWriteItem::builder().update(count).build()
    }

    /// Takes a restore job for the validation, by which the job's event finds it, and writes the validation, which names
    /// the job: both or nothing. Gives the lease back unless `keeps`. Returns whether it was done: a job belongs to
    /// the first validation that takes it.
    ///
    /// # Errors
    /// As [`Ledger::write`].
    pub async fn write_with_job(
        &self,
        lease: &mut Lease,
        job_id: &str,
        keeps: bool,
        now: Timestamp,
    ) -> failure::Result<bool> {
        let id = &lease.validation.id;
        let beside = Put::builder()
            .table_name(&self.table)
            .item("id", s(&job_key(job_id)))
            .item("validation_id", s(id))
            .item("expires_at", n((now + REMEMBERED).as_second()))
            .condition_expression("attribute_not_exists(#id) OR #by = :id")
            .expression_attribute_names("#id", "id")
            .expression_attribute_names("#by", "validation_id")
            .expression_attribute_values(":id", s(id))
            .build()
            .expect("table and item are set");
        let beside = TransactWriteItem::builder().put(beside).build();
        self.put(lease, keeps, vec![beside]).await
    }

    /// Writes the validation with its verdict, and keeps the lease. With it that this recovery point of a resource was
    /// restored and passed, unless a newer one has, and how the resource stands by the verdict. Returns whether it was done:
    /// it was not if somebody else has changed meanwhile how the resource stands.
    ///
    /// # Errors
    /// As [`Ledger::write`].
    pub async fn write_verdict(
        &self,
        lease: &mut Lease,
        resource_arn: &str,
        proved: Option<&ProvedPoint>,
        standing: Option<&StandingChange>,
    ) -> failure::Result<bool> {
        let standing = standing.map(|change| self.put_standing(resource_arn, change));
        let standing: Vec<_> = standing.transpose()?.into_iter().collect();
        let proved = proved.map(|point| self.put_proved(resource_arn, point));
        let was_proved = proved.is_some();
        let all = standing.iter().cloned().chain(proved);
        let written = self.put(lease, true, all.collect()).await?;
        if written || !was_proved {
            return Ok(written);
        }
        // Either a newer recovery point was proved, or the standing is another.
        self.put(lease, true, standing).await
    }

    fn put_proved(&self, resource_arn: &str, point: &ProvedPoint) -> TransactWriteItem {
        let expires = point.proved_at + REMEMBERED;
        let record_key = point.record_key.as_deref().unwrap_or_default();
        let proved = Put::builder()
            .table_name(&self.table)
            .item("id", s(&proved_key(resource_arn)))
            .item(PROVED_ARN, s(&point.arn))
            .item(PROVED_CREATED, n(point.created_at.as_millisecond()))
            .item(PROVED_AT, n(point.proved_at.as_millisecond()))
            .item(PROVED_RECORD, s(record_key))
            .item("expires_at", n(expires.as_second()))
            .condition_expression("attribute_not_exists(#id) OR #created <= :created")
            .expression_attribute_names("#id", "id")
            .expression_attribute_names("#created", PROVED_CREATED)
            .expression_attribute_values(":created", n(point.created_at.as_millisecond()))
            .build()
            .expect("table and item are set");
        TransactWriteItem::builder().put(proved).build()
    }

    fn put_standing(
        &self,
        resource_arn: &str,
        change: &StandingChange,
    ) -> failure::Result<TransactWriteItem> {
        let key = standing_key(resource_arn);
        let document = serde_json::to_string(&change.to)
            .map_err(|error| Failure::Unreadable(key.clone(), error.to_string()))?;
        let put = Put::builder()
            .table_name(&self.table)
            .item("id", s(&key))
            .item(STANDING, s(&document))
            .item("expires_at", n((change.now + REMEMBERED).as_second()));
        // It is as it was when the verdict was weighed.
        let put = match &change.from {
            Some(read) => put
                .condition_expression("#standing = :read")
                .expression_attribute_names("#standing", STANDING)
                .expression_attribute_values(":read", s(read)),
            None => put
                .condition_expression("attribute_not_exists(#id)")
                .expression_attribute_names("#id", "id"),
        };
        let put = put.build().expect("table and item are set");
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// How a resource stands by the verdict that counts, as the text in the ledger; none if nothing is known.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn standing(&self, resource_arn: &str) -> failure::Result<Option<String>> {
        let item = self.get(&standing_key(resource_arn)).await?;
        Ok(item.and_then(|item| text(&item, STANDING)))
    }

    /// The newest recovery point of a resource that was restored and passed.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item cannot be read.
    pub async fn proved(&self, resource_arn: &str) -> failure::Result<Option<ProvedPoint>> {
        let key = proved_key(resource_arn);
        let Some(item) = self.get(&key).await? else {
            return Ok(None);
        };
        let time = |name| Timestamp::from_millisecond(number(&item, name)?).ok();
        let point = || {
            Some(ProvedPoint {
                arn: text(&item, PROVED_ARN)?,
                created_at: time(PROVED_CREATED)?,
                proved_at: time(PROVED_AT)?,
                // Older versions did not write it.
                record_key: text(&item, PROVED_RECORD).filter(|key| !key.is_empty()),
            })
        };
        let unreadable = || Failure::Unreadable(key, "it lacks an attribute".to_owned());
        point().map(Some).ok_or_else(unreadable)
    }

    /// Writes the validation and gives the lease back.
    ///
    /// # Errors
    /// As [`Ledger::write`].
    pub async fn release(&self, mut lease: Lease) -> failure::Result<Validation> {
        self.put(&mut lease, false, Vec::new()).await?;
        Ok(lease.validation)
    }

    /// Gives the lease back with what was written last, and with what is to be noted on it. Answers the validation as
    /// it then stands.
    ///
    /// # Errors
    /// As [`Ledger::write`].
    pub async fn abandon(
        &self,
        mut lease: Lease,
        note: impl FnOnce(&mut Validation),
    ) -> failure::Result<Validation> {
        lease.validation = lease.written.clone();
        note(&mut lease.validation);
        self.put(&mut lease, false, Vec::new()).await?;
        Ok(lease.validation)
    }

    /// Writes the validation, and what is beside it, both or nothing. Returns whether the condition of what is beside it
    /// held; if not, nothing was written.
    async fn put(
        &self,
        lease: &mut Lease,
        keeps: bool,
        beside: Vec<TransactWriteItem>,
    ) -> failure::Result<bool> {
        lease.writes += 1;
        let writer = writer_of(&lease.owner, &lease.writes.to_string());
        let held = keeps.then_some((lease.owner.as_str(), lease.until));
        let (validation, revision) = (&lease.validation, lease.revision + 1);
        let mut item = item(validation, lease.document()?, revision, &writer, held);
        if lease.rule != FrozenRule::InDocument {
            item.insert(RULE_BESIDE.to_owned(), Value::Bool(true));
        }
        let written = if beside.is_empty() {
            self.put_item(item, lease.revision, &writer).await?
        } else {
            self.put_items(item, lease.revision, &writer, beside)
                .await?
        };
        match written {
            Done::Yes => {}
            Done::Lost => return Err(Failure::LeaseLost(lease.validation.id.clone())),
            Done::Refused => return Ok(false),
        }
        lease.revision += 1;
        lease.written = lease.validation.clone();
        Ok(true)
    }

    async fn put_item(&self, item: Item, revision: u64, writer: &str) -> failure::Result<Done> {
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("#revision = :revision")
            .expression_attribute_names("#revision", REVISION)
            .expression_attribute_values(":revision", n(revision))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .boxed()
            .await;
        Ok(match written_by_us(result.map(drop), writer)? {
            Written::Yes => Done::Yes,
            Written::No(_) => Done::Lost,
        })
    }

    async fn put_items(
        &self,
        item: Item,
        revision: u64,
        writer: &str,
        beside: Vec<TransactWriteItem>,
    ) -> failure::Result<Done> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("#revision = :revision")
            .expression_attribute_names("#revision", REVISION)
            .expression_attribute_values(":revision", n(revision))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table and item are set");
        let put = TransactWriteItem::builder().put(put).build();
        let result = self
            .client
            .transact_write_items()
            .set_transact_items(Some([vec![put], beside].concat()))
            .send()
            .boxed()
            .await;
        let error = match result {
            Ok(_) => return Ok(Done::Yes),
            Err(error) => error,
        };
        let mut aws_error = None;
        // One reason for each item, in their order ("TransactWriteItems", API reference of DynamoDB).
        if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
            error.as_service_error()
        {
            let reasons = cancelled.cancellation_reasons();
            let is = |reason: &CancellationReason, code: &str| reason.code.as_deref() == Some(code);
            let refused = |reason: &&CancellationReason| is(reason, "ConditionalCheckFailed");
            if let Some(validation) = reasons.first().filter(refused) {
                let found = validation.item.clone().unwrap_or_default();
                let ours = text(&found, WRITER).as_deref() == Some(writer);
                return Ok(if ours { Done::Yes } else { Done::Lost });
            }
            if reasons.iter().any(|reason| refused(&reason)) {
                return Ok(Done::Refused);
            }
            // It is the reason that says whether the same call may succeed a little later.
            let cause = reasons.iter().find(|reason| !is(reason, "None"));
            aws_error = cause.and_then(|cause| cause.code.clone());
        }
        let mut failed = failed("dynamodb:TransactWriteItems")(error);
        failed.code = aws_error.or(failed.code);
        Err(failed.into())
    }

    /// The validation of an id.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item cannot be read.
    pub async fn find(&self, id: &str) -> failure::Result<Option<Validation>> {
        self.get(id).await?.map(|item| read(id, &item)).transpose()
    }

    /// How the validations of these ids stand; of an id that no validation has there is no entry.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn outcomes(
        &self,
        ids: BTreeSet<String>,
    ) -> failure::Result<BTreeMap<String, Outcome>> {
        self.look_up(ids).await
    }

    /// Those of these restore jobs' ids that no validation has taken.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn jobs_of_nobody(&self, ids: BTreeSet<&str>) -> failure::Result<BTreeSet<String>> {
        let known = self
            .look_up(ids.iter().map(|id| job_key(id)).collect())
            .await?;
        let unknown = ids.iter().filter(|id| !known.contains_key(&job_key(id)));
        Ok(unknown.map(|id| (*id).to_owned()).collect())
    }

    /// Keeps what an event told of a validation that is known, and that another invocation may be moving: it is added
    /// before the record is written.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn note_heard(&self, id: &str, heard: &Heard, now: Timestamp) -> failure::Result<()> {
        let key = heard_key(id);
        let document = serde_json::to_string(heard)
            .map_err(|error| Failure::Unreadable(key.clone(), error.to_string()))?;
        self.client
            .put_item()
            .table_name(&self.table)
            .item("id", s(&key))
            .item("heard", s(&document))
            .item("expires_at", n((now + HEARD_REMEMBERED).as_second()))
            .send()
            .boxed()
            .await
            .map_err(failed("dynamodb:PutItem"))?;
        Ok(())
    }

    /// What events told of a validation after it was known.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item cannot be read.
    pub async fn heard(&self, id: &str) -> failure::Result<Option<Heard>> {
        let key = heard_key(id);
        let item = self.get(&key).await?;
        let document = item.and_then(|item| text(&item, "heard"));
        document
            .map(|document| serde_json::from_str(&document))
            .transpose()
            .map_err(|error| Failure::Unreadable(key, error.to_string()))
    }

    /// Claims the day or week of a resource for one validation. Answers the id of the validation that has it.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn claim(&self, claim: &Claim, id: &str, now: Timestamp) -> failure::Result<String> {
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("id", s(&claim.0))
            .item("claimed_by", s(id))
            .item("expires_at", n((now + CLAIM_REMEMBERED).as_second()))
            .condition_expression("attribute_not_exists(#id) OR #by = :id")
            .expression_attribute_names("#id", "id")
            .expression_attribute_names("#by", "claimed_by")
            .expression_attribute_values(":id", s(id))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .boxed()
            .await;
        Ok(match written_by_us(result.map(drop), "")? {
            Written::Yes => id.to_owned(),
            Written::No(item) => text(&item, "claimed_by").unwrap_or_default(),
        })
    }

    /// Gives a claim back, when the validation that has it could not tell, so that the next copy is tested.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn give_back(&self, claim: &Claim, id: &str) -> failure::Result<()> {
        let result = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("id", s(&claim.0))
            .condition_expression("#by = :id")
            .expression_attribute_names("#by", "claimed_by")
            .expression_attribute_values(":id", s(id))
            .send()
            .boxed()
            .await
            .map_err(failed("dynamodb:DeleteItem"));
        match result {
            Err(error) if !error.is(&["ConditionalCheckFailedException"]) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The id of the validation that a restore job belongs to; none for everybody else's.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn validation_of_job(&self, job_id: &str) -> failure::Result<Option<String>> {
        Ok(self
            .get(&job_key(job_id))
            .await?
            .and_then(|item| text(&item, "validation_id")))
    }

    /// Since when this stack works: what landed before is not ours to test unasked.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn installed_at(&self, now: Timestamp) -> failure::Result<Timestamp> {
        if let Some(at) = self.installed().await? {
            return Ok(at);
        }
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("id", s(INSTALLED))
            .item("at", s(&now.to_string()))
            .condition_expression("attribute_not_exists(#id)")
            .expression_attribute_names("#id", "id")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .boxed()
            .await;
        Ok(match written_by_us(result.map(drop), "")? {
            Written::Yes => now,
            Written::No(item) => installed_of(&item).unwrap_or(now),
        })
    }

    /// The same without noting anything; none while nothing has run yet.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item cannot be read.
    pub async fn installed(&self) -> failure::Result<Option<Timestamp>> {
        let Some(item) = self.get(INSTALLED).await? else {
            return Ok(None);
        };
        let unreadable = || Failure::Unreadable(INSTALLED.to_owned(), "at is no time".to_owned());
        installed_of(&item).map(Some).ok_or_else(unreadable)
    }

    /// Those of these keys that the table has an item of, a hundred looked up with each call.
    async fn look_up(&self, keys: BTreeSet<String>) -> failure::Result<BTreeMap<String, Outcome>> {
        let mut open: Vec<String> = keys.into_iter().collect();
        let mut known = BTreeMap::new();
        while !open.is_empty() {
            let asked = open.split_off(open.len().saturating_sub(LOOKED_UP_AT_ONCE));
            let many = asked.len();
            let key = |id: String| HashMap::from([("id".to_owned(), s(&id))]);
            let request = KeysAndAttributes::builder()
                .set_keys(Some(asked.into_iter().map(key).collect()))
                .projection_expression("#id, #outcome")
                .expression_attribute_names("#id", "id")
                .expression_attribute_names("#outcome", OUTCOME)
                .consistent_read(true)
                .build();
            let answer = self
                .client
                .batch_get_item()
                .request_items(&self.table, request.expect("the keys are set"))
                .send()
                .boxed()
                .await
                .map_err(failed("dynamodb:BatchGetItem"))?;
            for item in answer
                .responses
                .into_iter()
                .flatten()
                .flat_map(|(_, items)| items)
            {
                if let Some(id) = text(&item, "id") {
                    let outcome = text(&item, OUTCOME);
                    known.insert(id, Outcome::read(outcome.as_deref()));
                }
            }
            // What DynamoDB had no capacity or no room for is asked for again.
            let left = answer.unprocessed_keys.into_iter().flatten();
            let left = left.flat_map(|(_, left)| left.keys);
            let before = open.len();
            open.extend(left.filter_map(|key| text(&key, "id")));
            if open.len() - before == many {
                let error = AwsError {
                    operation: "dynamodb:BatchGetItem",
                    code: None,
                    message: format!("none of {many} items was looked up"),
                };
                return Err(error.into());
            }
        }
        Ok(known)
    }

    async fn get(&self, id: &str) -> failure::Result<Option<Item>> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("id", s(id))
            .consistent_read(true)
            .send()
            .boxed()
            .await
            .map_err(failed("dynamodb:GetItem"))?;
        Ok(answer.item)
    }
}

/// A calendar month of UTC, in which so many restores may be started.
#[derive(Clone, Copy, Debug)]
pub struct Month {
    now: Timestamp,
    most: u32,
}

impl Month {
    /// The month of `now`, in which there may be `most` restores.
    pub fn of(now: Timestamp, most: u32) -> Month {
        Month { now, most }
    }

    /// Why a recovery point is not tested when it is full.
    pub fn full(&self) -> String {
        let (month, most) = (self.now.strftime("%Y-%m"), self.most);
        format!("the policy's restores_per_month is {most}, and so many were started in {month}")
    }

    fn key(&self) -> String {
        format!("month#{}", self.now.strftime("%Y-%m"))
    }
}

/// The day or the week in which one copy of a resource is tested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim(String);

impl Claim {
    /// The claim a validation needs; none when every copy is tested. Days and weeks are those of UTC.
    pub fn of(frequency: Frequency, resource_arn: &str, opened_at: Timestamp) -> Option<Claim> {
        let date = opened_at.to_zoned(jiff::tz::TimeZone::UTC).date();
        let period = match frequency {
            Frequency::EveryCopy => return None,
            Frequency::Daily => date.to_string(),
            Frequency::Weekly => {
                let week = date.iso_week_date();
                format!("{}-W{:02}", week.year(), week.week())
            }
        };
        Some(Claim(format!("tested#{}#{period}", hash_of(resource_arn))))
    }
}

/// How a resource stands by a verdict, to be written with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingChange {
    /// The text in the ledger that the verdict was weighed against; none if there was none.
    pub from: Option<String>,
    /// How the resource stands now.
    pub to: Standing,
    /// When.
    pub now: Timestamp,
}

/// The key of the item that says how a resource stands by the verdict that counts.
fn standing_key(resource_arn: &str) -> String {
    format!("standing#{}", hash_of(resource_arn))
}

/// The key of the item that says which recovery point of a resource was proved last.
pub fn proved_key(resource_arn: &str) -> String {
    format!("proved#{}", hash_of(resource_arn))
}

/// A resource in a key: an ARN may be longer than is handy, and says more than a key should.
fn hash_of(resource_arn: &str) -> String {
    let hash = Sha256::digest(resource_arn.as_bytes());
    let bytes = hash.iter().take(12);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// What became of a write of a validation.
enum Done {
    Yes,
    /// Another invocation wrote in between.
    Lost,
    /// The condition of what was to be written beside it did not hold.
    Refused,
}

enum Written {
    Yes,
    No(Item),
}

/// Sorts out a conditional put: done, done earlier by the same writer, or refused because of another's item.
fn written_by_us<R: std::fmt::Debug>(
    result: Result<(), SdkError<PutItemError, R>>,
    writer: &str,
) -> Result<Written, AwsError> {
    let error = match result {
        Ok(()) => return Ok(Written::Yes),
        Err(error) => error,
    };
    if let Some(PutItemError::ConditionalCheckFailedException(refused)) = error.as_service_error() {
        let item = refused.item().cloned().unwrap_or_default();
        let ours = !writer.is_empty() && text(&item, WRITER).as_deref() == Some(writer);
        return Ok(if ours {
            Written::Yes
        } else {
            Written::No(item)
        });
    }
    Err(failed("dynamodb:PutItem")(error))
}

/// The item of which the condition of an update did not hold; empty if there is none.
fn refused<R: std::fmt::Debug>(error: SdkError<UpdateItemError, R>) -> Result<Item, AwsError> {
    if let Some(UpdateItemError::ConditionalCheckFailedException(refused)) =
        error.as_service_error()
    {
        return Ok(refused.item().cloned().unwrap_or_default());
    }
    Err(failed("dynamodb:UpdateItem")(error))
}

fn document(validation: &Validation) -> failure::Result<String> {
    serde_json::to_string(validation)
        .map_err(|error| Failure::Unreadable(validation.id.clone(), error.to_string()))
}

/// Adds the checks of the rule in this item to the validation.
fn add_checks(lease: &mut Lease, item: &Item) -> failure::Result<()> {
    if lease.has_checks() {
        return Ok(());
    }
    let unreadable = |why: String| Failure::Unreadable(rule_key(&lease.validation.id), why);
    let rule = text(item, RULE).ok_or_else(|| unreadable("it has no rule".to_owned()))?;
    let rule: Rule = serde_json::from_str(&rule).map_err(|error| unreadable(error.to_string()))?;
    lease.validation.rule = Some(rule.clone());
    lease.written.rule = Some(rule);
    lease.rule = FrozenRule::Read;
    Ok(())
}

fn item(
    validation: &Validation,
    document: String,
    revision: u64,
    writer: &str,
    held: Option<(&str, Timestamp)>,
) -> Item {
    let mut item = HashMap::from([
        ("id".to_owned(), s(&validation.id)),
        (STAGE.to_owned(), s(validation.stage.as_str())),
        (OUTCOME.to_owned(), s(Outcome::of(validation).as_str())),
        (DOCUMENT.to_owned(), s(&document)),
        (REVISION.to_owned(), n(revision)),
        (WRITER.to_owned(), s(writer)),
    ]);
    // While somebody works on it, it is due when the lease ends: should they die, the sweep finds it.
    let due = match held {
        Some((owner, until)) => {
            item.insert(OWNER.to_owned(), s(owner));
            item.insert(LEASED_UNTIL.to_owned(), n(until.as_millisecond()));
            Some((OPEN.to_owned(), until))
        }
        None => validation
            .due_at
            .map(|due| (OPEN.to_owned(), due))
            .or_else(|| in_line(validation)),
    };
    match due {
        Some((partition, due)) => {
            item.insert(DUE_PARTITION.to_owned(), s(&partition));
            item.insert(DUE_AT.to_owned(), n(due.as_second()));
        }
        None => {
            let closed = validation.cleanup_at.unwrap_or(validation.opened_at);
            item.insert(
                "expires_at".to_owned(),
                n((closed + REMEMBERED).as_second()),
            );
        }
    }
    item
}

/// The line in which a validation waits for a slot, and since when; none when it does not.
fn in_line(validation: &Validation) -> Option<(String, Timestamp)> {
    let since = validation
        .queued_since
        .filter(|_| validation.stage == Stage::Landed)?;
    let resource_type = validation.recovery_point.resource_type.as_deref()?;
    Some((slots::waiting_partition(resource_type), since))
}

fn read(id: &str, item: &Item) -> failure::Result<Validation> {
    let unreadable = |why: String| Failure::Unreadable(id.to_owned(), why);
    let document =
        text(item, DOCUMENT).ok_or_else(|| unreadable("it has no document".to_owned()))?;
    serde_json::from_str(&document).map_err(|error| unreadable(error.to_string()))
}

fn writer_of(nonce: &str, write: &str) -> String {
    format!("{nonce}/{write}")
}

fn heard_key(id: &str) -> String {
    format!("heard#{id}")
}

fn rule_key(id: &str) -> String {
    format!("rule#{id}")
}

fn job_key(job_id: &str) -> String {
    format!("{JOB}{job_id}")
}

fn s(text: &str) -> Value {
    Value::S(text.to_owned())
}

fn n(number: impl ToString) -> Value {
    Value::N(number.to_string())
}

fn text(item: &Item, name: &str) -> Option<String> {
    item.get(name)?.as_s().ok().cloned()
}

fn number(item: &Item, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn installed_of(item: &Item) -> Option<Timestamp> {
    text(item, "at").and_then(|at| at.parse().ok())
}
