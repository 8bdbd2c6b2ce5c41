//! What a world does when a recovery point is restored, and how it tells.

use std::time::Duration;

use serde::Deserialize;

use crate::engine::Dump;

use super::seed::WaysIn;

/// What happens when a recovery point is restored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestoreBehaviour {
    /// From job creation to its end, by the world's clock. In JSON: seconds.
    #[serde(deserialize_with = "seconds")]
    pub takes: Duration,
    /// How the job ends.
    pub outcome: RestoreOutcome,
    /// How the first jobs end instead, one after the other.
    pub first_outcomes: Vec<RestoreOutcome>,
    /// StartRestoreJob refuses with these words, and starts nothing. It uses the idempotency token up (seen with
    /// DSQL in 2026): for this token the answer stays, whatever is asked with it.
    pub refused: Option<String>,
    /// The job names the database it makes while it is still RUNNING, as jobs of AWS Backup may.
    pub names_early: bool,
    /// The data: with it the restored instance is a running database server (of Aurora: once the cluster has a
    /// writer); without it the instance exists in the API only.
    #[serde(skip)]
    pub database: Option<Dump>,
    /// Host and port of a database server that somebody else runs: they become the restored instance's, and none is
    /// started.
    #[serde(skip)]
    pub server: Option<(String, u16)>,
    /// What the restored instance does after the job has completed. Of Aurora: what instances do that are made in the
    /// restored cluster.
    pub instance: InstanceBehaviour,
    /// What the restored cluster does.
    pub cluster: ClusterBehaviour,
    /// How this job's events arrive; `None`: as the world's options say.
    pub events: Option<EventDelivery>,
}

/// How a restore job ends.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreOutcome {
    /// `COMPLETED`, with a new instance.
    #[default]
    Completes,
    /// `COMPLETED`, with a new instance and a status message (suspect: not all was restored).
    CompletesWithMessage {
        /// `StatusMessage`.
        message: String,
    },
    /// `COMPLETED`, but the job names an instance that existed before and creates none.
    NamesExisting {
        /// Identifier (EC2: id) of that instance.
        instance: String,
    },
    /// `FAILED`, without an instance.
    Fails {
        /// `StatusMessage`.
        message: String,
    },
    /// `FAILED`, with an instance that it has made all the same.
    FailsLeaving {
        /// `StatusMessage`.
        message: String,
        /// Whether the job names the instance.
        #[serde(default)]
        named: bool,
    },
    /// `ABORTED`, without an instance.
    Aborts {
        /// `StatusMessage`.
        message: String,
    },
    /// Stays `RUNNING`.
    NeverEnds,
}

impl RestoreBehaviour {
    /// Completes at once with an instance that exists in the API only.
    pub fn bare() -> RestoreBehaviour {
        RestoreBehaviour::default()
    }

    /// Completes with a running server that holds `dump`.
    pub fn database(dump: Dump) -> RestoreBehaviour {
        RestoreBehaviour {
            database: Some(dump),
            ..RestoreBehaviour::default()
        }
    }

    /// Is accepted and fails `after` that time with `message`.
    pub fn fails(after: Duration, message: &str) -> RestoreBehaviour {
        RestoreBehaviour {
            takes: after,
            outcome: RestoreOutcome::Fails {
                message: message.to_owned(),
            },
            ..RestoreBehaviour::default()
        }
    }

    /// Completes, naming an instance that existed before.
    pub fn names_existing(instance: &str) -> RestoreBehaviour {
        RestoreBehaviour {
            outcome: RestoreOutcome::NamesExisting {
                instance: instance.to_owned(),
            },
            ..RestoreBehaviour::default()
        }
    }

    /// Completes with a status message.
    pub fn completes_with_message(message: &str) -> RestoreBehaviour {
        RestoreBehaviour {
            outcome: RestoreOutcome::CompletesWithMessage {
                message: message.to_owned(),
            },
            ..RestoreBehaviour::default()
        }
    }

    /// Never ends.
    pub fn never_ends() -> RestoreBehaviour {
        RestoreBehaviour {
            outcome: RestoreOutcome::NeverEnds,
            ..RestoreBehaviour::default()
        }
    }

    /// The same, taking `takes` from the job's creation to its end.
    #[must_use]
    pub fn taking(mut self, takes: Duration) -> RestoreBehaviour {
        self.takes = takes;
        self
    }

    /// The same, its events delivered so.
    #[must_use]
    pub fn with_events(mut self, events: EventDelivery) -> RestoreBehaviour {
        self.events = Some(events);
        self
    }
}

/// What a restored instance does after its job has completed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceBehaviour {
    /// So many describes by identifier after completion still answer "not found".
    pub hidden_describes: u32,
    /// Statuses it goes through before `available`, each for a time (in JSON: seconds), e.g.
    /// `backing-up` and `modifying`. For a machine: before `running`, e.g. `pending`.
    pub statuses: Vec<StatusPhase>,
    /// From DeleteDBInstance to gone, or from TerminateInstances to `terminated`; `None`: as the world's options say. In JSON: seconds.
    #[serde(deserialize_with = "optional_seconds")]
    pub deletion_takes: Option<Duration>,
    /// The instance comes up with deletion protection (a machine: termination protection) whatever the restore
    /// asked for.
    pub protects_itself: bool,
    /// How long a new password of the master user takes.
    pub master_password: PasswordReset,
}

/// What a DB cluster does, and what becomes of the first instance that is made in it. In JSON, times are seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterBehaviour {
    /// So many describes by identifier after completion still answer "not found".
    pub hidden_describes: u32,
    /// Statuses it goes through before `available`.
    pub statuses: Vec<StatusPhase>,
    /// How long it is `modifying` after ModifyDBCluster.
    #[serde(deserialize_with = "seconds")]
    pub modifying_takes: Duration,
    /// How long a new password of the master user takes.
    pub master_password: PasswordReset,
    /// What becomes of CreateDBInstance in it.
    pub writer: WriterBehaviour,
    /// As soon as its first instance is available, a colleague adds an instance with this name.
    pub joined_by: Option<String>,
    /// How the restored cluster can be reached beside its network.
    pub ways_in: WaysIn,
    /// The cluster comes up with deletion protection.
    pub protects_itself: bool,
    /// DeleteDBCluster answers this error so many times more.
    pub deletion_refused: Option<Refusal>,
    /// From DeleteDBCluster to gone; `None`: as the world's options say.
    #[serde(deserialize_with = "optional_seconds")]
    pub deletion_takes: Option<Duration>,
}

impl Default for ClusterBehaviour {
    fn default() -> ClusterBehaviour {
        ClusterBehaviour {
            hidden_describes: 0,
            statuses: Vec::new(),
            modifying_takes: Duration::from_millis(200),
            master_password: PasswordReset::default(),
            writer: WriterBehaviour::default(),
            joined_by: None,
            ways_in: WaysIn::default(),
            protects_itself: false,
            deletion_refused: None,
            deletion_takes: None,
        }
    }
}

/// What becomes of instances that are made in a cluster.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WriterBehaviour {
    /// From CreateDBInstance to `available`, at least. In JSON: seconds.
    #[serde(deserialize_with = "seconds")]
    pub takes: Duration,
    /// CreateDBInstance answers this error so many times more.
    pub refused: Option<Refusal>,
    /// It ends in this status and never becomes available: `creating`, `failed`, `incompatible-network`, …
    pub ends_in: Option<String>,
}

impl Default for WriterBehaviour {
    fn default() -> WriterBehaviour {
        WriterBehaviour {
            takes: Duration::from_millis(500),
            refused: None,
            ends_in: None,
        }
    }
}

/// An error that an operation answers so many times more.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Error code.
    pub code: String,
    /// Message.
    pub message: String,
    /// How many times more.
    #[serde(default = "for_ever")]
    pub times: u32,
}

fn for_ever() -> u32 {
    u32::MAX
}

impl Refusal {
    /// An error with a code and a message, for ever.
    pub fn new(code: &str, message: &str) -> Refusal {
        Refusal {
            code: code.to_owned(),
            message: message.to_owned(),
            times: for_ever(),
        }
    }

    /// RDS has no room for an instance of the class in the zones of the subnet group (RDS API reference,
    /// CreateDBInstance, `InsufficientDBInstanceCapacity`).
    pub fn no_capacity() -> Refusal {
        Refusal::new(
            "InsufficientDBInstanceCapacity",
            "The specified DB instance class isn't available in the specified Availability Zone.",
        )
    }

    /// The same, so many times only.
    #[must_use]
    pub fn times(mut self, times: u32) -> Refusal {
        self.times = times;
        self
    }

    /// Whether it still strikes; counts it.
    pub(crate) fn strikes(&mut self) -> bool {
        let strikes = self.times > 0;
        if self.times < u32::MAX {
            self.times = self.times.saturating_sub(1);
        }
        strikes
    }
}

/// How an instance gets a new password of its master user, by the world's clock. In JSON: seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordReset {
    /// From ModifyDBInstance until a describe shows that anything was asked of it.
    #[serde(deserialize_with = "seconds")]
    pub unseen_for: Duration,
    /// How long the password is pending then.
    #[serde(deserialize_with = "seconds")]
    pub pending_for: Duration,
    /// How long the instance is `resetting-master-credentials` then, at least.
    #[serde(deserialize_with = "seconds")]
    pub takes: Duration,
    /// It is available again in the end, and the old password still the one that works.
    pub fails: bool,
}

impl Default for PasswordReset {
    fn default() -> PasswordReset {
        PasswordReset {
            unseen_for: Duration::from_millis(200),
            pending_for: Duration::from_millis(200),
            takes: Duration::from_millis(400),
            fails: false,
        }
    }
}

/// A status an instance holds for a while.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusPhase {
    /// `DBInstanceStatus`.
    pub status: String,
    /// How long, by the world's clock. In JSON: seconds.
    #[serde(rename = "for", deserialize_with = "seconds")]
    pub lasts: Duration,
}

/// How AWS Backup's best-effort events arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventDelivery {
    /// They never arrive.
    pub lost: bool,
    /// Each arrives twice, with the same event id.
    pub doubled: bool,
    /// They arrive so much later, by the world's clock. In JSON: seconds.
    #[serde(deserialize_with = "seconds")]
    pub late: Duration,
}

pub(super) fn seconds<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}

fn optional_seconds<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    match Option::<f64>::deserialize(deserializer)? {
        None => Ok(None),
        Some(seconds) => Duration::try_from_secs_f64(seconds)
            .map(Some)
            .map_err(serde::de::Error::custom),
    }
}
