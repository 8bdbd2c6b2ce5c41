//! Who kills the function, and when: at a call, or at any moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use restore_proof_local_aws::runtime_api::Lambda;
use restore_proof_local_aws::{Call, Fault, FaultKind, World};
use restore_proof_tests::LEDGER;
use serde_json::Value;

/// When a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// Its call has arrived and does nothing any more.
    BeforeEffect,
    /// Its call has done what it does, and is not answered.
    AfterEffect,
    /// Whenever it is, this long after it was seen at work.
    AnyMoment,
}

/// A process that was killed.
#[derive(Clone, Debug)]
pub struct Death {
    /// When it was killed.
    pub when: When,
    /// The call it waited for, or the last one it had made; none: it had made none.
    pub call: Option<String>,
    /// The validation whose checks it had begun and not ended.
    pub checking: Option<String>,
}

/// The deaths of a round so far.
pub type Deaths = Arc<Mutex<Vec<Death>>>;

/// The calls that make, delete or tell something: few among many, and those where a death matters most.
const EFFECTS: [&str; 8] = [
    "Backup.StartRestoreJob",
    "S3.PutObject",
    "Logs.PutLogEvents",
    "SNS.Publish",
    "RDS.DeleteDBInstance",
    "EC2.TerminateInstances",
    "EC2.DeleteVolume",
    "Lambda.Invoke",
];
/// What is waited for may never come in a round: then another death takes its turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// Kills one process after the other, some in all. Ends when they are dead.
pub async fn kill(world: World, lambda: Lambda, chance: Rng, deaths: Deaths) {
    let mut killer = Killer {
        world,
        lambda,
        chance,
        deaths,
    };
    let kills = 4 + killer.chance.u64(..10);
    // In some rounds a process does not get far, in others it nearly ends its work.
    let calls_apart = [4, 15, 40, 80][killer.chance.usize(..4)];
    let checks_matter = killer.chance.u8(..3) == 0;
    for _ in 0..kills {
        let kind = killer.chance.u8(..if checks_matter { 7 } else { 5 });
        let after_effect = killer.chance.u8(..2) == 0;
        let patience = tokio::time::timeout(PATIENCE, async {
            match kind {
                0 => killer.at_any_moment().await,
                1 | 2 => {
                    let skip = killer.chance.u32(..calls_apart);
                    killer.at_call("*", skip, after_effect).await;
                }
                3 | 4 => {
                    let operation = EFFECTS[killer.chance.usize(..EFFECTS.len())];
                    let skip = killer.chance.u32(..3);
                    killer.at_call(operation, skip, after_effect).await;
                }
                _ => killer.while_checking().await,
            }
        });
        // A death that does not come is none.
        let _ = patience.await;
        killer.world.faults().clear();
    }
}

struct Killer {
    world: World,
    lambda: Lambda,
    chance: Rng,
    deaths: Deaths,
}

impl Killer {
    async fn at_call(&self, operation: &str, skip: u32, after_effect: bool) {
        let faults = self.world.faults();
        let fault = Fault::once(FaultKind::Hang).skip(skip);
        let (fault, when) = if after_effect {
            (fault.after_effect(), When::AfterEffect)
        } else {
            (fault, When::BeforeEffect)
        };
        faults.fail(operation, fault);
        faults.hung().await;
        let calls = self.world.calls();
        let hung = calls.iter().rfind(|call| call.injected).cloned();
        if let Some(key) = hung.and_then(|call| call.access_key) {
            self.kill(&key, when);
        }
    }

    async fn at_any_moment(&mut self) {
        loop {
            while self.lambda.busy().is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let moment = Duration::from_millis(self.chance.u64(..300));
            tokio::time::sleep(moment).await;
            let busy = self.lambda.busy();
            if busy.is_empty() {
                continue;
            }
            let key = &busy[self.chance.usize(..busy.len())];
            if self.kill(key, When::AnyMoment) {
                return;
            }
        }
    }

    async fn while_checking(&self) {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if checks_begun(&self.world).is_empty() {
                continue;
            }
            for key in self.lambda.busy() {
                let at_work = checking(&self.world, &calls_of(&self.world, &key)).is_some();
                if at_work && self.kill(&key, When::AnyMoment) {
                    return;
                }
            }
        }
    }

    /// Kills a process and notes what that interrupted.
    fn kill(&self, key: &str, when: When) -> bool {
        if !self.lambda.kill(key) {
            return false;
        }
        let calls = calls_of(&self.world, key);
        let death = Death {
            when,
            call: calls.last().map(Call::name),
            checking: checking(&self.world, &calls),
        };
        let mut deaths = self.deaths.lock().unwrap_or_else(PoisonError::into_inner);
        deaths.push(death);
        true
    }
}

fn calls_of(world: &World, key: &str) -> Vec<Call> {
    let mut calls = world.calls();
    calls.retain(|call| call.access_key.as_deref() == Some(key));
    calls
}

/// The validations whose checks have begun and not ended.
fn checks_begun(world: &World) -> Vec<String> {
    let items = world.table_items(LEDGER).into_iter();
    let begun = items.filter(|item| {
        let document = item["document"]["S"].as_str().unwrap_or_default();
        let document: Value = serde_json::from_str(document).unwrap_or_default();
        document["check_runs"].as_u64() > Some(0) && document["verdict"].is_null()
    });
    begun
        .filter_map(|item| item["id"]["S"].as_str().map(str::to_owned))
        .collect()
}

/// The one of them that the caller of these calls was at work on.
fn checking(world: &World, calls: &[Call]) -> Option<String> {
    let last = calls
        .iter()
        .rfind(|call| call.service == "DynamoDB" && call.mutating)?;
    let mut begun = checks_begun(world).into_iter();
    begun.find(|id| last.mentions(id))
}
