//! The ways a validation may go. A new type of resource joins by a row per case.

use std::time::Duration;

use restore_proof_core::resource_type::ResourceType;
use restore_proof_core::validation::validation_id;
use restore_proof_function::ledger::proved_key;
use restore_proof_local_aws::{
    ClusterBehaviour, CopyJob, InstanceBehaviour, Machine, PasswordReset, RecoveryPoint,
    RestoreBehaviour, RestoreOutcome, StatusPhase, WriterBehaviour,
};
use serde_json::Value;

use super::shop::Shop;
use crate::inspect::PROVED_BEFORE;
use crate::{
    ACCOUNT, BACKUP_JOB_VAULT, BUCKET, DAMAGED, LEDGER, NO_ROOM, PREFIX, REGION, SOURCE_ACCOUNT,
    Scene, VAULT,
};

/// How the function hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A copy job's event.
    Copy,
    /// The event of a copy job that failed: there is no recovery point.
    FailedCopy,
    /// A backup job's event.
    Backup,
    /// Not at all: the event is lost, and the sweep finds the recovery point.
    Unheard,
}

/// One way, in words, in settings and in what must come of it when nothing fails.
#[derive(Debug)]
pub struct Path {
    /// In words; tags recovery points, and the rule of the policy matches by it.
    pub name: &'static str,
    /// What is restored.
    pub resource_type: ResourceType,
    /// Lines of its rule, and its checks.
    pub rule: &'static str,
    /// How the function hears of it.
    pub arrival: Arrival,
    /// What differs from any other recovery point, and from any other restore.
    pub change: fn(&mut RecoveryPoint, &Shop),
    /// Verdict of an undisturbed run.
    pub verdict: &'static str,
    /// What becomes of what was restored.
    pub cleanup: &'static str,
    /// Calls that an undisturbed run makes, so that it is the way it is called.
    pub makes: &'static [&'static str],
    /// Restores that an undisturbed run starts.
    pub restores: u32,
    /// Every attempt meets every harm; otherwise the telling ones only.
    pub is_main: bool,
}

const DATABASE: Path = Path {
    name: "unchecked database",
    resource_type: ResourceType::Rds,
    rule: "",
    arrival: Arrival::Copy,
    change: |_, _| (),
    verdict: "unchecked",
    cleanup: "deleted",
    makes: &["RDS.DeleteDBInstance"],
    restores: 1,
    is_main: false,
};

const MACHINE: Path = Path {
    name: "unchecked machine",
    resource_type: ResourceType::Ec2,
    makes: &["EC2.TerminateInstances"],
    ..DATABASE
};

/// The name of the instance that a colleague adds to a cluster of ours.
pub const JOINS: &str = "annas-reader";

/// The shop's orders, counted.
macro_rules! orders {
    ($rule:literal, $query:literal) => {
        concat!(
            $rule,
            "\ncredentials = { secret = \"restore-proof/shop\" }\n",
            "  [[rules.checks]]\n  name = \"orders are there\"\n  kind = \"sql\"\n",
            "  query = \"",
            $query,
            "\"\n  expect = { min = 1 }\n"
        )
    };
}

/// The shop's front page.
macro_rules! front_page {
    () => {
        r#"
  [[rules.checks]]
  name = "the shop answers"
  kind = "http"
  port = 8080
  steps = [{ path = "/", contains = "Welcome" }]
"#
    };
}

/// Looked into by way of a writer, which goes before it.
const CLUSTER: Path = Path {
    name: "healthy cluster",
    resource_type: ResourceType::Aurora,
    rule: orders!("", "select count(*) from orders"),
    verdict: "passed",
    makes: &[
        "RDS.ModifyDBCluster",
        "RDS.CreateDBInstance",
        "RDS.DeleteDBInstance",
        "RDS.DeleteDBCluster",
    ],
    ..DATABASE
};

/// The shop's orders, counted by the master user.
const OWN_PASSWORD: &str = r#"
credentials = "reset"
  [[rules.checks]]
  name = "orders are there"
  kind = "sql"
  query = "select count(*) from orders"
  expect = { min = 1 }
"#;

/// All ways.
pub static PATHS: &[Path] = &[
    Path {
        name: "healthy database",
        rule: orders!("", "select count(*) from orders"),
        verdict: "passed",
        makes: &[
            "SecretsManager.GetSecretValue",
            "S3.GetObject",
            "RDS.DeleteDBInstance",
        ],
        is_main: true,
        ..DATABASE
    },
    Path {
        name: "damaged database",
        rule: orders!("", "select count(*) from orders where id < 0"),
        verdict: "failed",
        ..DATABASE
    },
    DATABASE,
    Path {
        name: "copy that failed",
        arrival: Arrival::FailedCopy,
        verdict: "copy_failed",
        cleanup: "nothing_to_delete",
        makes: &["S3.PutObject"],
        restores: 0,
        ..DATABASE
    },
    Path {
        name: "database that does not restore",
        change: |point, _| {
            point.behaviour.outcome = RestoreOutcome::Fails {
                message: DAMAGED.to_owned(),
            };
        },
        verdict: "restore_failed",
        cleanup: "nothing_to_delete",
        makes: &["Backup.StartRestoreJob"],
        ..DATABASE
    },
    Path {
        name: "restore that fails and leaves something",
        change: |point, _| {
            point.behaviour.outcome = RestoreOutcome::FailsLeaving {
                message: DAMAGED.to_owned(),
                named: false,
            };
        },
        verdict: "restore_failed",
        cleanup: "left_behind",
        makes: &["Backup.StartRestoreJob"],
        ..DATABASE
    },
    Path {
        name: "restore that is refused twice for want of room",
        rule: orders!("", "select count(*) from orders"),
        change: |point, _| point.behaviour.first_outcomes = vec![no_room(); 2],
        verdict: "passed",
        makes: &["Backup.StartRestoreJob", "RDS.DeleteDBInstance"],
        restores: 3,
        ..DATABASE
    },
    Path {
        name: "restore that is refused for ever for want of room",
        change: |point, _| point.behaviour.outcome = no_room(),
        verdict: "inconclusive",
        cleanup: "nothing_to_delete",
        makes: &["Backup.StartRestoreJob"],
        restores: 3,
        ..DATABASE
    },
    Path {
        name: "restore that fails for want of room and leaves something of ours",
        change: |point, _| {
            point.behaviour.first_outcomes = vec![RestoreOutcome::FailsLeaving {
                message: NO_ROOM.to_owned(),
                named: true,
            }];
        },
        makes: &["Backup.StartRestoreJob", "RDS.DeleteDBInstance"],
        restores: 2,
        ..DATABASE
    },
    Path {
        name: "damaged database that is kept",
        rule: orders!(
            "keep_failed_for = \"40m\"",
            "select count(*) from orders where id < 0"
        ),
        verdict: "failed",
        ..DATABASE
    },
    Path {
        name: "database with a password of our own",
        // Nobody sets the shop's password: the login is refused in the end.
        rule: OWN_PASSWORD,
        verdict: "inconclusive",
        makes: &["RDS.ModifyDBInstance", "RDS.DeleteDBInstance"],
        ..DATABASE
    },
    Path {
        name: "backup that is no copy",
        arrival: Arrival::Backup,
        ..DATABASE
    },
    Path {
        name: "copy that nobody told of",
        arrival: Arrival::Unheard,
        makes: &[
            "Backup.ListRecoveryPointsByBackupVault",
            "Lambda.Invoke",
            "RDS.DeleteDBInstance",
        ],
        ..DATABASE
    },
    Path {
        name: "healthy machine that leaves its volume",
        rule: front_page!(),
        change: |point, _| machine(point).volumes_stay = true,
        verdict: "passed",
        makes: &["EC2.TerminateInstances", "EC2.DeleteVolume"],
        is_main: true,
        ..MACHINE
    },
    Path {
        name: "healthy machine",
        rule: front_page!(),
        verdict: "passed",
        ..MACHINE
    },
    Path {
        name: "damaged machine",
        rule: concat!("ec2.boot_timeout = \"30s\"", front_page!()),
        change: |point, _| machine(point).files.clear(),
        verdict: "failed",
        ..MACHINE
    },
    Path {
        name: "machine that does not restore",
        change: |point, _| {
            point.behaviour.outcome = RestoreOutcome::Fails {
                message: DAMAGED.to_owned(),
            };
        },
        verdict: "restore_failed",
        cleanup: "nothing_to_delete",
        makes: &["Backup.StartRestoreJob"],
        ..MACHINE
    },
    Path {
        is_main: true,
        ..CLUSTER
    },
    Path {
        name: "cluster with a writer of a class",
        rule: orders!(
            "aurora = { instance_class = \"db.t4g.medium\" }",
            "select count(*) from orders"
        ),
        makes: &[
            "RDS.CreateDBInstance",
            "RDS.DeleteDBInstance",
            "RDS.DeleteDBCluster",
        ],
        ..CLUSTER
    },
    Path {
        name: "cluster with a password of our own",
        // Nobody sets the shop's password: the login is refused in the end.
        rule: OWN_PASSWORD,
        verdict: "inconclusive",
        ..CLUSTER
    },
    Path {
        name: "cluster that a colleague joins",
        change: |point, _| point.behaviour.cluster.joined_by = Some(JOINS.to_owned()),
        verdict: "inconclusive",
        cleanup: "left_behind",
        makes: &["RDS.CreateDBInstance"],
        ..CLUSTER
    },
    Path {
        name: "unchecked cluster",
        rule: "",
        verdict: "unchecked",
        makes: &["RDS.DeleteDBCluster"],
        ..CLUSTER
    },
    Path {
        name: "cluster that does not restore",
        change: |point, _| {
            point.behaviour.outcome = RestoreOutcome::Fails {
                message: DAMAGED.to_owned(),
            };
        },
        verdict: "restore_failed",
        cleanup: "nothing_to_delete",
        makes: &["Backup.StartRestoreJob"],
        ..CLUSTER
    },
];

fn no_room() -> RestoreOutcome {
    RestoreOutcome::Fails {
        message: NO_ROOM.to_owned(),
    }
}

fn machine(point: &mut RecoveryPoint) -> &mut Machine {
    point.machine.get_or_insert_default()
}

/// A recovery point or failed copy on one of the ways, in a scene.
#[derive(Clone, Debug)]
pub struct Case {
    /// The way.
    pub path: &'static Path,
    /// Its validation's id.
    pub id: String,
    /// What is restored.
    pub point_arn: String,
    /// What tells the function of it.
    pub event: Option<Value>,
}

impl Path {
    /// Its rule of the policy.
    pub fn rule(&self) -> String {
        let name = self.name;
        let rule = self.rule;
        format!(
            "[[rules]]\nname = \"{name}\"\nmatch = {{ tags = {{ path = \"{name}\" }} }}\nfrequency = \"every-copy\"\n{rule}\n"
        )
    }

    /// Adds the `number`th recovery point of a scene.
    pub fn begin(&'static self, scene: &Scene, shop: &Shop, number: u32) -> Case {
        let case = self.begin_taking(scene, shop, number, Duration::from_secs(90));
        let source = match self.resource_type {
            ResourceType::Aurora => scene.cluster_point(&format!("shop-{number}")),
            ResourceType::Rds => scene.point(&format!("shop-{number}")),
            ResourceType::Ec2 => {
                scene.machine_point(&format!("{:x}", 0x5400 + number), Machine::default())
            }
        };
        proved_before(scene, self.resource_type, &source.source_resource_arn);
        case
    }

    /// The same with a restore that takes so long.
    pub fn begin_taking(
        &'static self,
        scene: &Scene,
        shop: &Shop,
        number: u32,
        takes: Duration,
    ) -> Case {
        let name = format!("shop-{number}");
        let (mut point, status) = match self.resource_type {
            ResourceType::Aurora => (scene.cluster_point(&name), "modifying"),
            ResourceType::Rds => (scene.point(&name), "modifying"),
            ResourceType::Ec2 => {
                let page = ("/index.html".to_owned(), "Welcome".to_owned());
                let machine = Machine {
                    ports: vec![8080],
                    files: [page].into(),
                    boot_takes: Duration::from_secs(10),
                    ..Machine::default()
                };
                let id = format!("{:x}", 0x5400 + number);
                (scene.machine_point(&id, machine), "pending")
            }
        };
        point.tags.insert("path".to_owned(), self.name.to_owned());
        let statuses = vec![StatusPhase {
            status: status.to_owned(),
            lasts: Duration::from_secs(8),
        }];
        let master_password = PasswordReset {
            takes: Duration::from_secs(20),
            ..PasswordReset::default()
        };
        let instance = InstanceBehaviour {
            hidden_describes: 1,
            statuses: statuses.clone(),
            master_password: master_password.clone(),
            ..InstanceBehaviour::default()
        };
        let cluster = ClusterBehaviour {
            hidden_describes: 1,
            statuses,
            modifying_takes: Duration::from_secs(8),
            master_password,
            writer: WriterBehaviour {
                takes: Duration::from_secs(60),
                ..WriterBehaviour::default()
            },
            ..ClusterBehaviour::default()
        };
        point.behaviour = RestoreBehaviour {
            takes,
            server: Some(shop.address()),
            instance,
            cluster,
            ..RestoreBehaviour::default()
        };
        (self.change)(&mut point, shop);
        let of = |vault: &str, arn: &str| {
            let vault = scene.app.config.vault_arn(vault);
            validation_id(PREFIX, &vault, arn, None)
        };
        let arn = point.arn.clone();
        let (id, event) = match self.arrival {
            Arrival::Copy => {
                scene.add(point);
                let job = scene.world.copy_job_of(&arn).unwrap();
                (of(VAULT, &arn), Some(scene.world.copy_job_event(&job)))
            }
            Arrival::FailedCopy => {
                let job = CopyJob {
                    id: format!("F0000000-0000-4000-8000-{number:012}"),
                    state: "FAILED".to_owned(),
                    status_message: Some("Access denied".to_owned()),
                    source_recovery_point_arn: arn.replace(":copyjob-", ":job-"),
                    source_vault_arn: format!(
                        "arn:aws:backup:{REGION}:{SOURCE_ACCOUNT}:backup-vault:production"
                    ),
                    destination_vault_arn: scene.app.config.vault_arn(VAULT),
                    resource_arn: point.source_resource_arn,
                    created_at: scene.now(),
                    completed_at: Some(scene.now()),
                    ..CopyJob::default()
                };
                let id = of(VAULT, &format!("copy-job:{}", job.id));
                (id, Some(scene.world.copy_job_event(&job)))
            }
            Arrival::Backup => {
                point.vault = BACKUP_JOB_VAULT.to_owned();
                scene.add(point);
                let job = scene.world.backup_job_of(&arn).unwrap();
                (
                    of(BACKUP_JOB_VAULT, &arn),
                    Some(scene.world.backup_job_event(&job)),
                )
            }
            Arrival::Unheard => {
                // The sweep looks only for what has landed since it first came by.
                point.completed_at = Some(scene.now() + jiff::SignedDuration::from_hours(1));
                scene.add(point);
                (of(VAULT, &arn), None)
            }
        };
        Case {
            path: self,
            id,
            point_arn: arn,
            event,
        }
    }
}

/// An older recovery point of a resource was proved: bad news about it reads that record and writes a runbook.
fn proved_before(scene: &Scene, resource_type: ResourceType, resource_arn: &str) {
    let before = scene.now() - jiff::SignedDuration::from_hours(24);
    let arn = "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:proved-before";
    let key = format!("records/dt=2026-11-20/{PROVED_BEFORE}.json");
    let record = serde_json::json!({
        "validation_id": PROVED_BEFORE, "verdict": "passed", "proof": "restored", "recovery_point_arn": arn,
        "resource_type": resource_type.name(), "source_resource_arn": resource_arn,
        "opened_time": restore_proof_core::record::athena(before),
    });
    scene.world.put_object(BUCKET, &key, record.to_string());
    let milliseconds = before.as_millisecond().to_string();
    let item = serde_json::json!({
        "id": { "S": proved_key(resource_arn) }, "recovery_point_arn": { "S": arn },
        "created_at": { "N": milliseconds }, "proved_at": { "N": milliseconds }, "record_key": { "S": key },
    });
    scene.world.put_table_item(LEDGER, &item);
}

/// The ARN of a DB instance here.
pub fn db_arn(name: &str) -> String {
    format!("arn:aws:rds:{REGION}:{ACCOUNT}:db:{name}")
}

/// The ARN of a DB cluster here.
pub fn cluster_arn(name: &str) -> String {
    format!("arn:aws:rds:{REGION}:{ACCOUNT}:cluster:{name}")
}

/// The ARN of a machine here.
pub fn machine_arn(id: &str) -> String {
    format!("arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{id}")
}
