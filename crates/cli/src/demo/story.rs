//! What happens in the demo, and how each of it must end.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::{SignedDuration, Timestamp, ToSpan as _};
use restore_proof_local_aws::engine::Dump;
use restore_proof_local_aws::{CopyJob, Ec2Instance, Notice, RestoreJob, World, bystander};

use super::seeds::{self, Stock};
use super::stage::{self, ACCOUNT, REGION, SOURCE_ACCOUNT, Stage, VAULT};

/// The copy whose recovery point the bystander restores by hand while the demo runs.
pub const COLLEAGUES_COPY: &str = "shop-main";
/// How many restores there may be at one time while the first copies land.
pub const LIMIT: u32 = 12;
/// The same when six land together.
pub const RUSH_LIMIT: u32 = 2;

/// One copy that lands, or does not.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the copy is called here.
    pub name: &'static str,
    /// What is the matter with it, in a few words.
    pub about: &'static str,
    /// The verdict it must get.
    pub verdict: &'static str,
    /// The cleanup it must end with.
    pub cleanup: &'static str,
    /// How many restore jobs of ours it must cause.
    pub restores: usize,
    /// What it is.
    pub what: What,
    /// How the function hears of it.
    pub told: Told,
}

/// How the function hears of a copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Told {
    /// By the event of its copy job, as nearly always.
    Event,
    /// By that event, twice.
    Twice,
    /// By the event of a backup job: it is no copy, but a backup in a vault of its own account.
    BackupJob,
    /// By AWS Backup's notification to the vault's topic; the event is lost.
    Notification,
}

/// What a copy is of, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// A PostgreSQL database whose events all come twice.
    Healthy,
    /// The same with old data.
    Stale,
    /// The same without orders.
    Emptied,
    /// Its restore fails some time after it was accepted.
    RestoreFails,
    /// There is no copy.
    CopyFails,
    /// The event of its restore's end never comes.
    EventLost,
    /// Nobody asks for it.
    NoRule,
    /// The first copy of a database of which one a day is tested.
    FirstOfDay,
    /// The second one.
    SecondOfDay,
    /// A MySQL database, without a secret.
    MySql,
    /// An Aurora cluster, without a secret.
    Cluster(Cluster),
    /// A web server.
    Web(Web),
}

/// How a restored cluster is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cluster {
    /// Aurora PostgreSQL; all is well.
    Healthy,
    /// Aurora MySQL without orders.
    Emptied,
}

/// How a restored web server is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Web {
    /// It answers at once.
    Healthy,
    /// It answers after its boot.
    Booting,
    /// A file of the application is missing.
    WithoutFile,
    /// It sends whoever asks to the address of the metadata service.
    Hijacked,
}

/// The dumps the recovery points are made of.
#[derive(Clone, Debug)]
pub struct Dumps {
    /// PostgreSQL; all is well.
    pub fresh: Dump,
    /// PostgreSQL; all is well, but old.
    pub stale: Dump,
    /// PostgreSQL; the orders are gone.
    pub emptied: Dump,
    /// MySQL; all is well.
    pub mysql: Dump,
    /// MySQL; the orders are gone.
    pub mysql_emptied: Dump,
}

/// The copies that land one after the other, in this order.
pub fn cases() -> Vec<Case> {
    use What::*;
    let case = |name, about, what, verdict| match verdict {
        "restore_failed" => new(name, about, what, verdict, "nothing_to_delete", 1),
        "copy_failed" | "not_tested" => new(name, about, what, verdict, "nothing_to_delete", 0),
        _ => new(name, about, what, verdict, "deleted", 1),
    };
    vec![
        case(
            "web-main",
            "healthy; has to boot first",
            Web(self::Web::Booting),
            "passed",
        ),
        case(
            "web-broken",
            "an application file is missing",
            Web(self::Web::WithoutFile),
            "failed",
        ),
        case(
            "web-hijacked",
            "redirects to the metadata address",
            Web(self::Web::Hijacked),
            "failed",
        ),
        Case {
            told: Told::BackupJob,
            ..case(
                "web-local",
                "no copy; a backup job told of it",
                Web(self::Web::Healthy),
                "passed",
            )
        },
        Case {
            told: Told::Notification,
            ..case(
                "web-announced",
                "a vault notification told of it",
                Web(self::Web::Healthy),
                "passed",
            )
        },
        case(
            "orders-mysql",
            "healthy MySQL, without any secret",
            MySql,
            "passed",
        ),
        case(
            "stock-aurora",
            "healthy Aurora; gets a writer first",
            Cluster(self::Cluster::Healthy),
            "passed",
        ),
        case(
            "carts-aurora",
            "Aurora MySQL; a table is empty",
            Cluster(self::Cluster::Emptied),
            "failed",
        ),
        case(
            "shop-main",
            "healthy; every event comes twice",
            Healthy,
            "passed",
        ),
        case(
            "billing, noon",
            "first copy of the day",
            FirstOfDay,
            "passed",
        ),
        case(
            "shop-replica",
            "stale: newest data is 3 days old",
            Stale,
            "failed",
        ),
        case("shop-migrated", "a table is empty", Emptied, "failed"),
        case(
            "shop-archive",
            "its restore fails",
            RestoreFails,
            "restore_failed",
        ),
        case("shop-overseas", "its copy failed", CopyFails, "copy_failed"),
        case(
            "shop-quiet",
            "the restore's event is lost",
            EventLost,
            "passed",
        ),
        case("scratch", "no rule matches it", NoRule, "not_tested"),
        case(
            "billing, night",
            "second copy of the day",
            SecondOfDay,
            "not_tested",
        ),
    ]
}

/// The six copies that land together.
pub fn rush() -> Vec<Case> {
    [
        "front-1", "front-2", "front-3", "front-4", "front-5", "front-6",
    ]
    .map(|name| {
        let what = What::Web(Web::Healthy);
        new(name, "healthy", what, "passed", "deleted", 1)
    })
    .into()
}

fn new(
    name: &'static str,
    about: &'static str,
    what: What,
    verdict: &'static str,
    cleanup: &'static str,
    restores: usize,
) -> Case {
    Case {
        name,
        about,
        verdict,
        cleanup,
        restores,
        what,
        told: match what {
            What::Healthy => Told::Twice,
            _ => Told::Event,
        },
    }
}

impl Case {
    /// Name of the source: a database's own, or the id of a machine.
    pub fn source(&self) -> String {
        match self.what {
            What::Web(_) => format!("i-0{:016x}", number(self.name)),
            What::FirstOfDay | What::SecondOfDay => "billing-main".to_owned(),
            _ => self.name.to_owned(),
        }
    }

    /// ARN of the source.
    pub fn source_arn(&self) -> String {
        let (service, kind) = match self.what {
            What::Web(_) => ("ec2", "instance/"),
            What::Cluster(_) => ("rds", "cluster:"),
            _ => ("rds", "db:"),
        };
        let account = match self.told {
            Told::BackupJob => ACCOUNT,
            _ => SOURCE_ACCOUNT,
        };
        format!(
            "arn:aws:{service}:{REGION}:{account}:{kind}{}",
            self.source()
        )
    }

    /// ARN of the recovery point that landed; the failed copy has none.
    pub fn recovery_point_arn(&self) -> String {
        match self.what {
            // An image; its ARN names no account.
            What::Web(_) => format!(
                "arn:aws:ec2:{REGION}::image/ami-0{:016x}",
                number(&self.source())
            ),
            _ => format!(
                "arn:aws:rds:{REGION}:{ACCOUNT}:{}:awsbackup:copyjob-{}",
                self.snapshot(),
                self.slug()
            ),
        }
    }

    /// ARN of the recovery point it was copied from.
    fn source_recovery_point_arn(&self) -> String {
        match self.what {
            What::Web(_) => format!(
                "arn:aws:ec2:{REGION}::image/ami-0{:016x}",
                number(&format!("source of {}", self.name))
            ),
            _ => format!(
                "arn:aws:rds:{REGION}:{SOURCE_ACCOUNT}:{}:awsbackup:job-{}",
                self.snapshot(),
                self.slug()
            ),
        }
    }

    /// What RDS calls a snapshot of it.
    fn snapshot(&self) -> &'static str {
        match self.what {
            What::Cluster(_) => "cluster-snapshot",
            _ => "snapshot",
        }
    }

    fn slug(&self) -> String {
        self.name.replace(", ", "-")
    }

    /// The recovery point that its record names: of a copy that failed there is only what it was made of.
    pub fn recorded_arn(&self) -> String {
        match self.what {
            What::CopyFails => self.source_recovery_point_arn(),
            _ => self.recovery_point_arn(),
        }
    }

    /// The restore jobs of ours of its recovery point, oldest first.
    pub fn restores_of_ours(&self, world: &World) -> Vec<RestoreJob> {
        let arn = self.recovery_point_arn();
        let mut jobs = world.restore_jobs();
        jobs.retain(|job| job.recovery_point_arn == arn && stage::is_ours(job));
        jobs
    }

    /// Whether its time to land has come: that of a second copy when the first is being tested.
    pub fn may_land(&self, world: &World) -> bool {
        if self.what != What::SecondOfDay {
            return true;
        }
        cases()
            .iter()
            .filter(|case| case.what == What::FirstOfDay)
            .all(|first| !first.restores_of_ours(world).is_empty())
    }

    /// Lets the copy land: the recovery point appears in the vault, and the function is told.
    pub fn land(&self, stage: &Stage, stock: &Stock) {
        let world = &stage.world;
        let now = world.now();
        if self.what != What::CopyFails {
            world.add_recovery_point(stock.recovery_point(self, now));
        }
        if self.told == Told::BackupJob {
            let job = world
                .backup_job_of(&self.recovery_point_arn())
                .expect("the recovery point was added some lines above");
            world.add_backup_job(job.clone());
            world.emit(world.backup_job_event(&job));
            return;
        }
        let copy = self.copy_job(world, stock.backup_at, now);
        world.add_copy_job(copy.clone());
        let event = world.copy_job_event(&copy);
        match self.told {
            Told::Notification => stage.notify(&Notice::from(&copy)),
            Told::Twice => {
                world.emit(event.clone());
                world.emit(event);
            }
            Told::Event | Told::BackupJob => world.emit(event),
        }
    }

    fn copy_job(&self, world: &World, backup_at: Timestamp, now: Timestamp) -> CopyJob {
        let source_recovery_point_arn = self.source_recovery_point_arn();
        match world.copy_job_of(&self.recovery_point_arn()) {
            Some(copy) => CopyJob {
                source_recovery_point_arn,
                ..copy
            },
            None => CopyJob {
                id: "5C7A6E0D-0000-4000-8000-00000000C0F1".to_owned(),
                state: "FAILED".to_owned(),
                status_message: Some(
                    "Access denied exception while trying to list tags".to_owned(),
                ),
                source_recovery_point_arn,
                source_vault_arn: seeds::source_vault_arn(),
                destination_vault_arn: format!(
                    "arn:aws:backup:{REGION}:{ACCOUNT}:backup-vault:{VAULT}"
                ),
                resource_arn: self.source_arn(),
                created_at: backup_at,
                completed_at: Some(now),
                ..CopyJob::default()
            },
        }
    }
}

/// A number that a name always has: ids are made of it.
fn number(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// The bystander has a machine where machines are restored to.
pub fn colleague_has_a_machine(world: &World) {
    let machine = Ec2Instance {
        launched_at: world.now() - 3.hours(),
        subnet_id: stage::SUBNETS[0].to_owned(),
        vpc_id: stage::VPC.to_owned(),
        security_groups: vec![stage::MACHINE_SECURITY_GROUP.to_owned()],
        requires_imds_v2: true,
        ..Ec2Instance::default()
    };
    bystander::has(world, machine);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_copy_has_a_name_and_a_recovery_point_of_its_own() {
        let all: Vec<_> = cases().into_iter().chain(rush()).collect();
        let names: BTreeSet<_> = all.iter().map(|case| case.name).collect();
        let points: BTreeSet<_> = all.iter().map(Case::recovery_point_arn).collect();
        let recorded: BTreeSet<_> = all.iter().map(Case::recorded_arn).collect();
        assert_eq!([names.len(), points.len(), recorded.len()], [all.len(); 3]);
    }

    #[test]
    fn two_copies_of_one_day_are_of_one_source() {
        let day: Vec<_> = cases()
            .into_iter()
            .filter(|case| matches!(case.what, What::FirstOfDay | What::SecondOfDay))
            .collect();
        assert_eq!(day.len(), 2);
        assert_eq!(day[0].source_arn(), day[1].source_arn());
        assert_ne!(day[0].recovery_point_arn(), day[1].recovery_point_arn());
    }
}
