//! What a sweep costs, however much there is to do, however many wait and however many are known.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use restore_proof_local_aws::{RestoreBehaviour, WorldOptions};
use serde_json::{Value, json};

use super::burst::BUDGET;
use crate::canary::Watch;
use crate::{LEDGER, REGION, Scene, UNCHECKED};

/// The most items of the ledger that one call looks up (API reference of DynamoDB, `BatchGetItem`).
const LOOKED_UP_AT_ONCE: usize = 100;
/// So many recovery points AWS Backup lists at once, at most (AWS Backup API reference, ListRecoveryPointsByBackupVault).
const LISTED_AT_ONCE: usize = 1000;

/// What a sweep finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// Validations that are due.
    Due,
    /// Validations that wait for a slot, and all slots are free.
    WaitingForFreeSlots,
    /// Validations that wait for a slot, and all slots are held.
    WaitingForHeldSlots,
    /// Recovery points in the vault, all of which have their validation; the hourly sweep looks through them.
    Known,
}

impl Backlog {
    /// All of them.
    pub const ALL: [Backlog; 4] = [
        Backlog::Due,
        Backlog::WaitingForFreeSlots,
        Backlog::WaitingForHeldSlots,
        Backlog::Known,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Backlog::Due => "due",
            Backlog::WaitingForFreeSlots => "waiting, all slots free",
            Backlog::WaitingForHeldSlots => "waiting, all slots held",
            Backlog::Known => "hourly, all known",
        }
    }
}

/// What one sweep did and asked for.
#[derive(Debug)]
pub struct Cost {
    /// What it found.
    pub backlog: Backlog,
    /// So many of them.
    pub size: usize,
    /// How many of them it called.
    pub called: usize,
    /// Its calls, by `Service.Operation`.
    pub calls: BTreeMap<String, usize>,
}

impl Cost {
    /// Calls of this operation.
    pub fn of(&self, operation: &str) -> usize {
        self.calls.get(operation).copied().unwrap_or_default()
    }

    /// All its calls.
    pub fn all(&self) -> usize {
        self.calls.values().sum()
    }

    /// Its calls beside those that there must be more of the more there is to do, with pages of `page` entries: one
    /// invocation of each that is called, and a page or so many that are looked up at once.
    pub fn beside(&self, page: usize) -> usize {
        let more = match self.backlog {
            Backlog::Due => self.size / page,
            Backlog::WaitingForFreeSlots | Backlog::WaitingForHeldSlots => 0,
            Backlog::Known => {
                let listed = page.min(LISTED_AT_ONCE);
                self.size.div_ceil(listed) + self.size.div_ceil(LOOKED_UP_AT_ONCE)
            }
        };
        self.all() - self.of("Lambda.Invoke") - more
    }
}

/// Lets one sweep come by in a stack with this backlog, in a ledger that shows `page` entries of an index at a time.
pub fn cost(backlog: Backlog, size: usize, page: usize) -> Cost {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(sweep(backlog, size, page))
}

async fn sweep(backlog: Backlog, size: usize, page: usize) -> Cost {
    let now: Timestamp = "2026-03-01T09:00:00Z".parse().unwrap();
    let options = WorldOptions {
        clock: Arc::new(move || now),
        page_size: page,
        ..WorldOptions::default()
    };
    let mut scene = Scene::in_world(options, UNCHECKED, Watch::blind(), |world, _, sdk| {
        sdk.http_client(world.http_client())
            .region(aws_config::Region::new(REGION))
    })
    .await;
    scene.app.config.max_concurrent_restores = u32::try_from(BUDGET).unwrap();
    let since = now - SignedDuration::from_mins(10);
    let partition = |number: usize| match (backlog, number % 4) {
        (Backlog::Due, _) => "open",
        (_, 0) => "waiting#EC2",
        (_, _) => "waiting#RDS",
    };
    let validations = if backlog == Backlog::Known { 0 } else { size };
    for number in 0..validations {
        // A sweep reads the index, which has these attributes alone.
        let item = json!({
            "id": { "S": format!("{number:032x}") },
            "due_partition": { "S": partition(number) },
            "due_at": { "N": since.as_second().to_string() },
        });
        scene.world.put_table_item(LEDGER, &item);
    }
    let came = json!({ "N": since.as_second().to_string() });
    let mut slots = json!({ "id": { "S": "slots" }, "came_EC2": came, "came_RDS": came });
    if backlog == Backlog::WaitingForHeldSlots {
        let holders: Vec<Value> = (0..BUDGET)
            .map(|one| json!(format!("holder-{one}")))
            .collect();
        slots["held"] = json!({ "SS": holders });
    }
    if matches!(
        backlog,
        Backlog::WaitingForFreeSlots | Backlog::WaitingForHeldSlots
    ) {
        scene.world.put_table_item(LEDGER, &slots);
    }
    let mut which = "due";
    if backlog == Backlog::Known {
        which = "lost";
        for number in 0..size {
            scene.backup(&format!("shop-{number}"), RestoreBehaviour::default());
        }
        // The sweep before this one has found them all.
        let answer = scene.invoke(json!({ "sweep": which })).await;
        assert_eq!(
            (&answer["opened"], scene.world.take_invocations().len()),
            (&json!(size), size)
        );
    }
    scene.world.clear_calls();
    let answer = scene.invoke(json!({ "sweep": which })).await;
    let mut calls = BTreeMap::new();
    for call in scene.world.calls() {
        *calls.entry(call.name()).or_default() += 1;
    }
    let called = scene.world.take_invocations().len();
    let told = if which == "due" { "invoked" } else { "opened" };
    assert_eq!(answer[told], called);
    Cost {
        backlog,
        size,
        called,
        calls,
    }
}
