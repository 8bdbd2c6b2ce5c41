//! Who waits for a slot, and who is called next.
//!
//! Waiting costs nothing: a validation that finds no slot lies in the ledger's line of its resource type, and nobody
//! looks at it until it is called. It is called by whoever gives a slot back, in the same invocation, and by the sweep,
//! which fills what stays empty otherwise. A call is a hint like any other: who finds no slot after all goes back to
//! its place in the line, which is that of the time when it first found none.

use std::collections::BTreeSet;

use futures_util::future;
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::policy::Limits;
use restore_proof_core::resource_type::ResourceType;
use restore_proof_core::validation::Stage;
use tracing::warn;

use crate::App;
use crate::failure;
use crate::ledger::{Listed, Page, Slots};
use crate::policy_file::{self, PolicyFile};

/// How many of a line are looked at: more than there can be slots.
const LOOKED_AT: i32 = 100;
/// The most validations of a type that have waited too long and are called by one sweep; the next one goes on.
const MOST_OVERDUE: usize = 1000;

/// The line of one type, or its beginning.
#[derive(Debug)]
pub struct Line {
    resource_type: String,
    page: Page,
}

impl Line {
    /// AWS Backup's name of the type.
    pub fn resource_type(&self) -> &str {
        &self.resource_type
    }

    /// Who waits in it, the longest waiting first.
    pub fn waiting(&self) -> &[Listed] {
        &self.page.listed
    }
}

/// The ids of those to be called now: the longest waiting for whom there are free slots, and those who have waited too
/// long. When nobody waits nothing else is asked for, and it costs the same whether fifty wait or ten thousand.
///
/// # Errors
/// When the ledger or S3 does not answer.
pub async fn callable(
    app: &App,
    slots: &Slots,
    mut lines: Vec<Line>,
) -> failure::Result<Vec<String>> {
    if slots.paused().is_some() || lines.iter().all(|line| line.waiting().is_empty()) {
        return Ok(Vec::new());
    }
    let limits = limits(app).await?;
    let oldest = overdue_before(app.now(), &limits, slots);
    let mut called = Vec::new();
    for line in &mut lines {
        let mut most = MOST_OVERDUE;
        loop {
            let late = line.waiting().iter().filter(|one| one.at <= oldest);
            let late: Vec<String> = late.take(most).map(|one| one.id.clone()).collect();
            let whole = late.len() == line.waiting().len();
            most -= late.len();
            called.extend(late);
            // In time are those behind them.
            let Some(start) = line.page.next.clone().filter(|_| whole && most > 0) else {
                break;
            };
            let next = app.ledger.waiting(&line.resource_type, None, Some(start));
            line.page = next.await?;
        }
    }
    called.extend(for_free_slots(app, slots, &limits, &lines, oldest));
    Ok(called)
}

/// The ids of the longest waiting validations for which there are slots, beside those that were tried.
///
/// # Errors
/// When the ledger or S3 does not answer.
pub async fn next(
    app: &App,
    slots: &Slots,
    tried: &BTreeSet<String>,
) -> failure::Result<Vec<String>> {
    if slots.paused().is_some() {
        return Ok(Vec::new());
    }
    let lines = lines(app, slots.lines(), Some(LOOKED_AT)).await?;
    if lines.iter().all(|line| line.waiting().is_empty()) {
        return Ok(Vec::new());
    }
    let limits = limits(app).await?;
    let oldest = overdue_before(app.now(), &limits, slots);
    let mut called = for_free_slots(app, slots, &limits, &lines, oldest);
    called.retain(|id| !tried.contains(id));
    Ok(called)
}

/// The longest waiting, so many as there are free slots over all and of their type.
fn for_free_slots(
    app: &App,
    slots: &Slots,
    limits: &Limits,
    lines: &[Line],
    oldest: Timestamp,
) -> Vec<String> {
    let allowed = app.config.max_concurrent_restores;
    let free = |limit: u32, taken: usize| (limit as usize).saturating_sub(taken);
    let mut first: Vec<&Listed> = Vec::new();
    for Line {
        resource_type,
        page,
    } in lines
    {
        let free = free(
            limits.slots_of(resource_type, allowed),
            slots.taken_by(resource_type),
        );
        let in_time = page.listed.iter().filter(|one| one.at > oldest);
        first.extend(in_time.take(free));
    }
    first.sort_by_key(|one| one.at);
    first.truncate(free(limits.slots(allowed), slots.taken()));
    first.into_iter().map(|one| one.id.clone()).collect()
}

/// Who has waited since then or longer has waited too long.
fn overdue_before(now: Timestamp, limits: &Limits, slots: &Slots) -> Timestamp {
    let longest = SignedDuration::try_from(limits.longest_wait).unwrap_or(SignedDuration::MAX);
    slots.waits_too_long_since(longest, now)
}

/// The lines of these types, each up to `most`.
///
/// # Errors
/// When the ledger does not answer.
pub async fn lines(
    app: &App,
    types: impl Iterator<Item = &str>,
    most: Option<i32>,
) -> failure::Result<Vec<Line>> {
    let lines = types.map(|resource_type| async move {
        let page = app.ledger.waiting(resource_type, most, None).await?;
        failure::Result::Ok(Line {
            resource_type: resource_type.to_owned(),
            page,
        })
    });
    future::try_join_all(lines).await
}

/// Names those lines no more that are empty, and to which nobody has come for long.
///
/// # Errors
/// When the ledger does not answer.
pub async fn strike_off_empty(app: &App, slots: &Slots, lines: &[Line]) -> failure::Result<()> {
    let now = app.now();
    for resource_type in slots.long_since_anybody_came(now) {
        let mut lines = lines.iter();
        if lines.any(|line| line.resource_type == resource_type && line.waiting().is_empty()) {
            app.ledger.strike_off(resource_type, now).await?;
        }
    }
    Ok(())
}

/// Looks at the lines of all types, whichever are named, and names those again in which somebody waits unnamed. Returns
/// since when the longest waiting one waits.
///
/// # Errors
/// When the ledger does not answer.
pub async fn longest_waiting(app: &App) -> failure::Result<Option<Timestamp>> {
    let all = ResourceType::ALL.iter().map(|one| one.name());
    let slots = async { app.ledger.slots().await };
    let (slots, lines) = future::try_join(slots, lines(app, all, Some(1))).await?;
    let named: BTreeSet<&str> = slots.lines().collect();
    for line in lines.iter().filter(|line| !line.waiting().is_empty()) {
        if !named.contains(line.resource_type.as_str()) {
            warn!("{} waits in a line that was not named", line.resource_type);
            app.ledger
                .note_waiting(&line.resource_type, app.now())
                .await?;
        }
    }
    let first = lines.iter().filter_map(|line| line.waiting().first());
    Ok(first.map(|one| one.at).min())
}

/// The limits as the policy says now. Under a broken one who has a slot learns that it is broken, and says so.
async fn limits(app: &App) -> failure::Result<Limits> {
    Ok(match policy_file::read(app).await? {
        PolicyFile::Good(policy) => policy.limits.clone(),
        PolicyFile::Broken { .. } => Limits::default(),
    })
}

/// Gives back the slots of validations that are closed or that nobody knows: whoever held them died at the wrong
/// moment, or an item was deleted by hand. Answers how many.
///
/// # Errors
/// When the ledger does not answer.
pub async fn give_back_lost(app: &App) -> failure::Result<usize> {
    let slots = app.ledger.slots().await?;
    let mut given_back = 0;
    for id in slots.holders() {
        let holder = app.ledger.find(id).await?;
        if holder.is_none_or(|holder| holder.stage == Stage::Closed) {
            warn!(validation.id = %id, "validation {id} held a slot and is closed or unknown; the slot is given back");
            app.ledger.free_slot(id).await?;
            given_back += 1;
        }
    }
    Ok(given_back)
}
