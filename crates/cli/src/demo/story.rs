//! What happens in the demo, and how each of it must end.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, ToSpan as _};
use restore_proof_local_aws::engine::{Dump, MASTER_USER, SAMPLE_DATABASE};
use restore_proof_local_aws::{
    CopyJob, EventDelivery, RecoveryPoint, RestoreBehaviour, SourceDatabase, StartRestore, World,
};

use super::stage::{ACCOUNT, REGION, SOURCE_ACCOUNT, VAULT};

/// The instance that a colleague restores by hand while the demo runs.
pub const COLLEAGUES_INSTANCE: &str = "anna-looks-for-lost-orders";
/// The role she restores with.
const COLLEAGUES_ROLE: &str = "arn:aws:iam::111122223333:role/Administrator";
/// The source whose recovery point she restores.
pub const COLLEAGUES_SOURCE: &str = "shop-main";

/// One source database whose copy lands, or does not.
#[derive(Clone, Debug)]
pub struct Case {
    /// The source's name.
    pub source: &'static str,
    /// What is the matter with it, in a few words.
    pub about: &'static str,
    /// The verdict it must get.
    pub verdict: &'static str,
    /// The cleanup it must end with.
    pub cleanup: &'static str,
    /// How many restore jobs of ours it must cause.
    pub restores: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// A copy whose events all come twice.
    Healthy,
    Stale,
    Emptied,
    /// The restore fails so long after it was accepted.
    RestoreFails,
    CopyFails,
    /// The event of its restore's end never comes.
    EventLost,
    NoRule,
}

/// The dumps the recovery points are made of.
#[derive(Clone, Debug)]
pub struct Dumps {
    /// All is well.
    pub fresh: Dump,
    /// All is well, but old.
    pub stale: Dump,
    /// The orders are gone.
    pub emptied: Dump,
}

/// The demo's cases, in the order in which their copies land.
pub fn cases() -> Vec<Case> {
    let case = |source, about, what, verdict, cleanup, restores| Case {
        source,
        about,
        verdict,
        cleanup,
        restores,
        what,
    };
    vec![
        case(
            "shop-main",
            "healthy; every event comes twice",
            What::Healthy,
            "passed",
            "deleted",
            1,
        ),
        case(
            "shop-replica",
            "stale: its newest data is 3 days old",
            What::Stale,
            "failed",
            "deleted",
            1,
        ),
        case(
            "shop-migrated",
            "a table is empty",
            What::Emptied,
            "failed",
            "deleted",
            1,
        ),
        case(
            "shop-archive",
            "its restore fails",
            What::RestoreFails,
            "restore_failed",
            "nothing_to_delete",
            1,
        ),
        case(
            "shop-overseas",
            "its copy failed",
            What::CopyFails,
            "copy_failed",
            "nothing_to_delete",
            0,
        ),
        case(
            "shop-quiet",
            "the restore's event is lost",
            What::EventLost,
            "passed",
            "deleted",
            1,
        ),
        case(
            "scratch",
            "no rule matches it",
            What::NoRule,
            "not_tested",
            "nothing_to_delete",
            0,
        ),
    ]
}

impl Case {
    /// ARN of the source.
    pub fn source_arn(&self) -> String {
        format!("arn:aws:rds:{REGION}:{SOURCE_ACCOUNT}:db:{}", self.source)
    }

    /// ARN of the recovery point that landed; the failed copy has none.
    pub fn recovery_point_arn(&self) -> String {
        format!(
            "arn:aws:rds:{REGION}:{ACCOUNT}:snapshot:awsbackup:copyjob-{}",
            self.source
        )
    }

    /// Lets the copy land: the recovery point appears in the vault, and the event comes.
    pub fn land(&self, world: &World, dumps: &Dumps, backup_at: Timestamp) {
        let now = world.now();
        let copy = if self.what == What::CopyFails {
            CopyJob {
                id: "5C7A6E0D-0000-4000-8000-00000000C0F1".to_owned(),
                state: "FAILED".to_owned(),
                status_message: Some(
                    "Access denied exception while trying to list tags".to_owned(),
                ),
                source_recovery_point_arn: self.source_recovery_point_arn(),
                source_vault_arn: source_vault_arn(),
                destination_vault_arn: format!(
                    "arn:aws:backup:{REGION}:{ACCOUNT}:backup-vault:{VAULT}"
                ),
                resource_arn: self.source_arn(),
                created_at: backup_at,
                completed_at: Some(now),
                ..CopyJob::default()
            }
        } else {
            world.add_recovery_point(self.recovery_point(dumps, backup_at, now));
            let mut copy = world
                .copy_job_of(&self.recovery_point_arn())
                .expect("the recovery point was added a line above");
            copy.source_recovery_point_arn = self.source_recovery_point_arn();
            copy
        };
        let event = world.copy_job_event(&copy);
        if self.what == What::Healthy {
            world.emit(event.clone());
        }
        world.emit(event);
    }

    fn source_recovery_point_arn(&self) -> String {
        format!(
            "arn:aws:rds:{REGION}:{SOURCE_ACCOUNT}:snapshot:awsbackup:job-{}",
            self.source
        )
    }

    fn recovery_point(&self, dumps: &Dumps, backup_at: Timestamp, now: Timestamp) -> RecoveryPoint {
        let seconds = Duration::from_secs;
        let behaviour = match self.what {
            What::Healthy => RestoreBehaviour::database(dumps.fresh.clone())
                .taking(seconds(3))
                .with_events(EventDelivery {
                    doubled: true,
                    ..EventDelivery::default()
                }),
            What::Stale => RestoreBehaviour::database(dumps.stale.clone()).taking(seconds(4)),
            What::Emptied => RestoreBehaviour::database(dumps.emptied.clone()).taking(seconds(3)),
            What::EventLost => RestoreBehaviour::database(dumps.fresh.clone())
                .taking(seconds(3))
                .with_events(EventDelivery {
                    lost: true,
                    ..EventDelivery::default()
                }),
            What::RestoreFails => RestoreBehaviour::fails(
                seconds(4),
                "The DB snapshot's storage volume is damaged and cannot be restored.",
            ),
            What::NoRule | What::CopyFails => RestoreBehaviour::bare(),
        };
        RecoveryPoint {
            arn: self.recovery_point_arn(),
            vault: VAULT.to_owned(),
            source_resource_arn: self.source_arn(),
            created_at: backup_at,
            completed_at: Some(now),
            kms_key_arn: Some(format!(
                "arn:aws:kms:{REGION}:{ACCOUNT}:key/ce27a100-0000-4000-8000-000000000001"
            )),
            tags: [("env".to_owned(), "prod".to_owned())].into(),
            source_vault_arn: Some(source_vault_arn()),
            database: SourceDatabase {
                master_username: MASTER_USER.to_owned(),
                database_name: SAMPLE_DATABASE.to_owned(),
                // What a restore must not inherit.
                publicly_accessible: true,
                multi_az: true,
                deletion_protection: true,
                ..SourceDatabase::default()
            },
            behaviour,
            ..RecoveryPoint::default()
        }
    }
}

fn source_vault_arn() -> String {
    format!("arn:aws:backup:{REGION}:{SOURCE_ACCOUNT}:backup-vault:production")
}

/// A colleague restores a recovery point of ours by hand, as the console does it.
///
/// # Errors
/// When AWS Backup would refuse it.
pub fn colleague_restores(world: &World) -> anyhow::Result<String> {
    let point = cases()
        .into_iter()
        .find(|case| case.source == COLLEAGUES_SOURCE);
    let recovery_point_arn = point
        .map(|case| case.recovery_point_arn())
        .unwrap_or_default();
    let metadata = [
        ("DBInstanceIdentifier", COLLEAGUES_INSTANCE),
        ("DBInstanceClass", "db.t4g.large"),
        ("DBSubnetGroupName", "default"),
        ("MultiAZ", "false"),
        ("PubliclyAccessible", "false"),
    ];
    world
        .start_restore(StartRestore {
            recovery_point_arn,
            iam_role_arn: COLLEAGUES_ROLE.to_owned(),
            metadata: metadata
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            idempotency_token: None,
        })
        .map_err(|refusal| anyhow::anyhow!("the colleague's restore was refused: {refusal}"))
}

/// The age the newest data has at backup time.
pub const DATA_AGE: SignedDuration = SignedDuration::from_mins(4);

/// When all the backups were made, and when the newest order of a healthy one was placed.
pub fn times(now: Timestamp) -> (Timestamp, Timestamp) {
    // Whole seconds, as in AWS's answers. The arithmetic stays far from the ends of time.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let backup_at = now - 35.minutes();
    (backup_at, backup_at - DATA_AGE)
}
