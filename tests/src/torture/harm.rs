//! What is done to a run: attempts at AWS calls fail, and the function dies.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;
use restore_proof_local_aws::{Attempt, FaultKind, Judge, When};

use super::time::Time;

/// What an attempt at a call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// An error of the service.
    Error,
    /// A throttle.
    Throttle,
    /// No answer.
    Timeout,
    /// The connection breaks.
    Reset,
    /// "Not found", for a moment, of something that is there.
    NotFound,
    /// The function dies at this attempt.
    Death,
}

impl Harm {
    /// All of them.
    pub const ALL: [Harm; 6] = [
        Harm::Error,
        Harm::Throttle,
        Harm::Timeout,
        Harm::Reset,
        Harm::NotFound,
        Harm::Death,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Harm::Error => "error",
            Harm::Throttle => "throttle",
            Harm::Timeout => "time-out",
            Harm::Reset => "reset",
            Harm::NotFound => "not found",
            Harm::Death => "death",
        }
    }

    /// As a fault of this operation; none when it cannot meet this harm.
    fn fault(self, operation: &str) -> Option<FaultKind> {
        let error = |code: &str, status| FaultKind::Error {
            code: code.to_owned(),
            status,
        };
        Some(match self {
            Harm::Error => error("InternalFailure", 500),
            Harm::Throttle => FaultKind::Throttle,
            Harm::Timeout => FaultKind::Timeout,
            Harm::Reset => FaultKind::Reset,
            Harm::NotFound => error(not_found(operation)?, 400),
            Harm::Death => FaultKind::Hang,
        })
    }
}

/// How a service says that it does not know what it is asked for, where it may say so of what is there: right after it was
/// made, or from a part of the service that does not know yet.
pub fn not_found(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "DescribeDBInstances" => "DBInstanceNotFound",
        "DescribeDBClusters" => "DBClusterNotFoundFault",
        "DescribeDBClusterSnapshots" => "DBClusterSnapshotNotFoundFault",
        "DescribeDBSnapshots" => "DBSnapshotNotFound",
        "DescribeInstances" => "InvalidInstanceID.NotFound",
        "DescribeVolumes" => "InvalidVolume.NotFound",
        "DescribeRecoveryPoint" | "DescribeRestoreJob" => "ResourceNotFoundException",
        _ => return None,
    })
}

/// One harm at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// So many attempts of the run pass first.
    pub nth: usize,
    /// What is done.
    pub harm: Harm,
    /// The call has taken effect.
    pub after_effect: bool,
    /// Every retry of the call meets the same.
    pub all_retries: bool,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.after_effect { "after" } else { "before" };
        let times = if self.all_retries { "all" } else { "once" };
        write!(f, "{}:{}:{when}:{times}", self.nth, self.harm.name())
    }
}

/// Something that is done to a run.
#[derive(Clone, Debug)]
pub enum Harms {
    /// A single strike.
    Strike(Strike),
    /// An operation does not work for a time.
    Outage {
        /// As faults are named.
        operation: String,
        /// So long after the run began.
        after: SignedDuration,
        /// So long.
        lasts: SignedDuration,
    },
    /// Each attempt may meet anything, for a time.
    Chance {
        /// Of a thousand attempts so many meet something.
        per_mille: u32,
        /// So long.
        lasts: SignedDuration,
        /// Where the choices come from.
        seed: u64,
    },
}

impl fmt::Display for Harms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Harms::Strike(strike) => write!(f, "{strike}"),
            Harms::Outage {
                operation,
                after,
                lasts,
            } => write!(f, "{operation} out after {after:#} for {lasts:#}"),
            Harms::Chance { per_mille, .. } => write!(f, "{per_mille} of a thousand"),
        }
    }
}

/// What a run has met.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Attempts at AWS calls.
    pub attempts: usize,
    /// How many met each harm.
    pub harms: BTreeMap<Harm, usize>,
}

/// A tally that judge and driver share.
pub type SharedTally = Arc<Mutex<Tally>>;

/// Locks a mutex whose data is plain.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does these harms to a world's calls; the first that meets an attempt decides. Sets `dies` when the function dies at an
/// attempt.
pub fn judge(harms: &[Harms], time: Time, tally: SharedTally, dies: Arc<AtomicBool>) -> Judge {
    let began = time.now();
    let mut doers: Vec<Doer> = harms.iter().map(Doer::new).collect();
    Box::new(move |attempt: Attempt| {
        let nth = {
            let mut tally = lock(&tally);
            tally.attempts += 1;
            tally.attempts - 1
        };
        let passed = time.now().duration_since(began);
        let (harm, after_effect) = doers
            .iter_mut()
            .find_map(|doer| doer.meet(&attempt, nth, passed))?;
        let fault = harm.fault(attempt.operation)?;
        *lock(&tally).harms.entry(harm).or_default() += 1;
        if harm == Harm::Death {
            dies.store(true, Ordering::SeqCst);
        }
        let when = if after_effect {
            When::AfterEffect
        } else {
            When::BeforeEffect
        };
        Some((fault, when))
    })
}

/// One of the harms, and what it remembers.
struct Doer {
    harms: Harms,
    chance: fastrand::Rng,
    /// The call that it goes on with, and how.
    call: Option<(String, Harm, bool)>,
    /// The operations that have answered "not found" for a moment.
    denied: BTreeSet<String>,
}

impl Doer {
    fn new(harms: &Harms) -> Doer {
        let seed = match harms {
            Harms::Chance { seed, .. } => *seed,
            Harms::Strike(_) | Harms::Outage { .. } => 0,
        };
        Doer {
            harms: harms.clone(),
            chance: fastrand::Rng::with_seed(seed),
            call: None,
            denied: BTreeSet::new(),
        }
    }

    /// What this attempt, the `nth`, meets, and whether after its effect.
    fn meet(
        &mut self,
        attempt: &Attempt,
        nth: usize,
        passed: SignedDuration,
    ) -> Option<(Harm, bool)> {
        if let Some((call, harm, after)) = &self.call
            && attempt.call == Some(call.as_str())
        {
            return Some((*harm, *after));
        }
        let (harm, after, goes_on) = match &self.harms {
            Harms::Strike(strike) => {
                if strike.nth != nth {
                    return None;
                }
                (strike.harm, strike.after_effect, strike.all_retries)
            }
            Harms::Outage {
                operation,
                after,
                lasts,
            } => {
                let (service, name) = operation.split_once('.').unwrap_or_default();
                let is_it = (attempt.service, attempt.operation) == (service, name);
                if !is_it || passed < *after || passed >= *after + *lasts {
                    return None;
                }
                (Harm::Error, false, false)
            }
            Harms::Chance {
                per_mille, lasts, ..
            } => {
                let chance = &mut self.chance;
                if passed >= *lasts || chance.u32(0..1000) >= *per_mille {
                    return None;
                }
                let harm = Harm::ALL[chance.usize(0..Harm::ALL.len())];
                // It is a moment's, and the function believes what it is told twice: once for each operation.
                if harm == Harm::NotFound && !self.denied.insert(attempt.operation.to_owned()) {
                    return None;
                }
                let is_answer = matches!(harm, Harm::Throttle | Harm::NotFound);
                let once = matches!(harm, Harm::Death | Harm::NotFound);
                (harm, !is_answer && chance.bool(), !once && chance.bool())
            }
        };
        self.call = attempt
            .call
            .filter(|_| goes_on)
            .map(|call| (call.to_owned(), harm, after));
        Some((harm, after))
    }
}
