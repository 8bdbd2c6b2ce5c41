//! The copies that land in a round, what must become of them, and what a colleague has in the same account.

use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::validation::validation_id;
use restore_proof_local_aws::{
    CopyJob, DbInstance, DbSubnetGroup, Ec2Instance, EventDelivery, Machine, RecoveryPoint,
    RestoreBehaviour, RestoreOutcome, World, bystander,
};
use restore_proof_tests::inspect::Expected;
use restore_proof_tests::{
    ACCOUNT, DAMAGED, MACHINE_SECURITY_GROUP, PREFIX, REGION, SOURCE_ACCOUNT, SUBNET, SUBNET_GROUP,
    VAULT,
};
use serde_json::Value;

/// What is a colleague's: a database beside what any bystander has.
pub const COLLEAGUES: [&str; 4] = [
    "anna-has-a-database",
    bystander::DATABASE,
    bystander::MACHINE,
    bystander::VOLUME,
];

/// What a copy is of, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Database,
    /// A colleague restores it, too.
    DatabaseOfInterest,
    DatabaseThatFails,
    /// A machine that serves what it must.
    Machine,
    /// One that does not.
    DamagedMachine,
    /// One that nobody looks into, whose volume outlives it.
    MachineThatLeaves,
    /// A copy that failed: there is nothing to restore.
    FailedCopy,
}

/// One copy.
pub struct Copy {
    name: &'static str,
    kind: Kind,
    /// When it lands.
    pub lands_at: Timestamp,
    /// Its event never comes.
    told: bool,
    takes: Duration,
    events: EventDelivery,
}

/// The copies of a round.
pub fn copies(chance: &mut Rng, begin: Timestamp) -> Vec<Copy> {
    let kinds = [
        ("orders", Kind::Database),
        ("customers", Kind::DatabaseOfInterest),
        ("archive", Kind::DatabaseThatFails),
        ("0150a9", Kind::Machine),
        ("0da3a9", Kind::DamagedMachine),
        ("1eaf", Kind::MachineThatLeaves),
        ("overseas", Kind::FailedCopy),
    ];
    kinds
        .map(|(name, kind)| {
            let minutes = chance.i64(0..20);
            let takes = Duration::from_secs(60 + chance.u64(..300));
            let events = EventDelivery {
                lost: chance.u8(..4) == 0,
                doubled: chance.u8(..4) == 0,
                late: Duration::from_secs(chance.u64(..60)),
            };
            Copy {
                name,
                kind,
                lands_at: begin + SignedDuration::from_mins(minutes),
                // Nothing but its event tells of a copy that failed.
                told: kind == Kind::FailedCopy || chance.u8(..6) != 0,
                takes,
                events: match kind {
                    // Its boot time is over when it is looked at.
                    Kind::DamagedMachine => EventDelivery {
                        late: Duration::from_secs(30),
                        ..events
                    },
                    _ => events,
                },
            }
        })
        .into()
}

impl Copy {
    fn is_machine(&self) -> bool {
        matches!(
            self.kind,
            Kind::Machine | Kind::DamagedMachine | Kind::MachineThatLeaves
        )
    }

    fn arn(&self) -> String {
        match self.kind {
            Kind::FailedCopy => String::new(),
            _ if self.is_machine() => format!("arn:aws:ec2:{REGION}::image/ami-{:0>17}", self.name),
            _ => format!(
                "arn:aws:rds:{REGION}:{ACCOUNT}:snapshot:awsbackup:copyjob-{}",
                self.name
            ),
        }
    }

    fn source_arn(&self) -> String {
        let what = if self.is_machine() {
            format!(
                "ec2:{REGION}:{SOURCE_ACCOUNT}:instance/i-{:0>17}",
                self.name
            )
        } else {
            format!("rds:{REGION}:{SOURCE_ACCOUNT}:db:{}", self.name)
        };
        format!("arn:aws:{what}")
    }

    fn copy_job_id(&self) -> String {
        format!("copy-of-{}", self.name)
    }

    fn point(&self) -> RecoveryPoint {
        let behaviour = RestoreBehaviour {
            outcome: match self.kind {
                Kind::DatabaseThatFails => RestoreOutcome::Fails {
                    message: DAMAGED.to_owned(),
                },
                _ => RestoreOutcome::Completes,
            },
            ..RestoreBehaviour::bare()
        };
        let page = match self.kind {
            Kind::DamagedMachine => "Index of /",
            _ => "Welcome",
        };
        let served = Machine {
            ports: vec![8080],
            files: [("/index.html".to_owned(), page.to_owned())].into(),
            ..Machine::default()
        };
        let machine = match self.kind {
            Kind::Machine | Kind::DamagedMachine => Some(served),
            Kind::MachineThatLeaves => Some(Machine {
                volumes_stay: true,
                ..Machine::default()
            }),
            _ => None,
        };
        RecoveryPoint {
            arn: self.arn(),
            vault: VAULT.to_owned(),
            source_resource_arn: self.source_arn(),
            resource_type: if self.is_machine() { "EC2" } else { "RDS" }.to_owned(),
            created_at: self.lands_at - SignedDuration::from_mins(10),
            completed_at: Some(self.lands_at),
            machine,
            behaviour: behaviour.taking(self.takes).with_events(self.events),
            ..RecoveryPoint::default()
        }
    }

    /// Lets it land. Answers its event, if that comes.
    pub fn land(&self, world: &World) -> Result<Option<Value>> {
        let vault =
            |account, name| format!("arn:aws:backup:{REGION}:{account}:backup-vault:{name}");
        let job = CopyJob {
            id: self.copy_job_id(),
            source_vault_arn: vault(SOURCE_ACCOUNT, "source"),
            destination_vault_arn: vault(ACCOUNT, VAULT),
            resource_arn: self.source_arn(),
            created_at: self.lands_at - SignedDuration::from_mins(5),
            completed_at: Some(self.lands_at),
            ..CopyJob::default()
        };
        let job = if self.kind == Kind::FailedCopy {
            CopyJob {
                state: "FAILED".to_owned(),
                status_message: Some(
                    "Access denied exception while trying to list tags".to_owned(),
                ),
                ..job
            }
        } else {
            world.add_recovery_point(self.point());
            CopyJob {
                destination_recovery_point_arn: Some(self.arn()),
                ..job
            }
        };
        if self.kind == Kind::DatabaseOfInterest {
            let restored = bystander::restores(world, self.arn());
            restored.map_err(|refusal| anyhow::anyhow!("the colleague's restore: {refusal}"))?;
        }
        Ok(self.told.then(|| world.copy_job_event(&job)))
    }

    /// What must become of it, however often the function dies.
    pub fn expected(&self) -> Expected {
        let vault = format!("arn:aws:backup:{REGION}:{ACCOUNT}:backup-vault:{VAULT}");
        let known_by = match self.kind {
            Kind::FailedCopy => format!("copy-job:{}", self.copy_job_id()),
            _ => self.arn(),
        };
        let (verdict, cleanup, restores) = match self.kind {
            Kind::Database | Kind::DatabaseOfInterest | Kind::MachineThatLeaves => {
                ("unchecked", "deleted", 1..=1)
            }
            Kind::DatabaseThatFails => ("restore_failed", "nothing_to_delete", 1..=1),
            Kind::Machine => ("passed", "deleted", 1..=1),
            Kind::DamagedMachine => ("failed", "deleted", 1..=1),
            Kind::FailedCopy => ("copy_failed", "nothing_to_delete", 0..=0),
        };
        Expected {
            name: format!("{:?}", self.kind),
            id: validation_id(PREFIX, &vault, &known_by, None),
            recovery_point_arn: self.arn(),
            verdicts: vec![verdict],
            cleanups: vec![cleanup],
            restores,
        }
    }
}

/// What a colleague has in the very network that we restore into; it looks as young as what we restore.
pub fn colleague_works(world: &World) {
    let since = world.now() + SignedDuration::from_mins(10);
    world.add_db_instance(DbInstance {
        identifier: COLLEAGUES[0].to_owned(),
        created_at: Some(since),
        subnet_group: SUBNET_GROUP.to_owned(),
        ..DbInstance::default()
    });
    let machine = Ec2Instance {
        launched_at: since,
        subnet_id: SUBNET.to_owned(),
        security_groups: vec![MACHINE_SECURITY_GROUP.to_owned()],
        ..Ec2Instance::default()
    };
    bystander::has(world, machine);
    world.add_db_subnet_group(DbSubnetGroup {
        name: "default".to_owned(),
        vpc_id: "vpc-0de7a010000000000".to_owned(),
    });
}
