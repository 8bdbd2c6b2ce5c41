//! What a world is filled with: plain structs with public fields. All of them
//! deserialize, so that a world can also be described in a JSON file.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::behaviour::{InstanceBehaviour, RestoreBehaviour};

mod aurora;
mod ec2;
mod routes;

pub use aurora::{DbCluster, ServerlessV2Range, SourceCluster, WaysIn};
pub use ec2::{
    Attachment, Ec2Instance, ImageDevice, Machine, NetworkInterface, Subnet, Volume, WebBehaviour,
};
pub use routes::{Route, RouteTable};

/// A backup vault of the world's account and Region.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// Name, unique in account and Region.
    pub name: String,
    /// When it was made; `None`: a year before it was added to the world.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// Its access policy denies every call about it and about what lies in it. Lists of vaults show it all the same.
    #[serde(default)]
    pub refuses: bool,
    /// Its access policy as it is shown, JSON; none if it has none. What it denies, `refuses` does.
    #[serde(default)]
    pub access_policy: Option<String>,
    /// ARN of the key of what lands in it; `None`: one of the account's.
    #[serde(default)]
    pub key_arn: Option<String>,
    /// The least days for which a lock keeps what lands in it; `None`: no lock.
    #[serde(default)]
    pub locked_days: Option<u32>,
}

/// A recovery point in one of the world's vaults, with all that AWS knows about the resource it
/// was taken from, and with what the world does when somebody restores it.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecoveryPoint {
    /// ARN; for RDS this is the ARN of the snapshot (`arn:aws:rds:R:A:snapshot:awsbackup:copyjob-…`), for Aurora
    /// that of the cluster snapshot (`arn:aws:rds:R:A:cluster-snapshot:awsbackup:copyjob-…`), for EC2 that
    /// of the image, without an account (`arn:aws:ec2:R::image/ami-…`).
    pub arn: String,
    /// Name of the vault it lies in.
    pub vault: String,
    /// ARN of the resource that was backed up, in the source account.
    pub source_resource_arn: String,
    /// AWS Backup's name of the resource type. Only `RDS`, `Aurora` and `EC2` can be restored here.
    pub resource_type: String,
    /// `COMPLETED`, `PARTIAL`, `EXPIRED`, …
    pub status: String,
    /// `CreationDate`: for a copy, when the source recovery point was created.
    pub created_at: Timestamp,
    /// `CompletionDate`; for a copy, when the copy was complete. `None`: same as `created_at`.
    pub completed_at: Option<Timestamp>,
    /// When AWS Backup deletes it (`CalculatedLifecycle`); `None`: it does not say.
    pub expires_at: Option<Timestamp>,
    /// RDS's `OriginalSnapshotCreateTime`. `None`: same as `created_at`.
    pub original_created_at: Option<Timestamp>,
    /// Size in bytes; 0: AWS Backup does not tell it.
    pub size_bytes: u64,
    /// ARN of the key that encrypts this recovery point; `None`: not encrypted.
    pub kms_key_arn: Option<String>,
    /// ARN of the key that AWS Backup names for it, where that is not the snapshot's own; `None`: `kms_key_arn`.
    pub named_key_arn: Option<String>,
    /// Tags of the recovery point, which RDS shows on the snapshot too.
    pub tags: BTreeMap<String, String>,
    /// Vault the copy came from; `None`: not a copy.
    pub source_vault_arn: Option<String>,
    /// Role that made the backup or copy.
    pub iam_role_arn: String,
    /// A composite recovery point with children (`IsParent`).
    pub is_parent: bool,
    /// `WARM` or `COLD`.
    pub storage_class: String,
    /// The database it was taken from.
    pub database: SourceDatabase,
    /// The cluster it was taken from, when `resource_type` is `Aurora`.
    pub cluster: SourceCluster,
    /// The machine it was taken from, when `resource_type` is `EC2`; `None` there: one that exists in the API only.
    pub machine: Option<Machine>,
    /// What `GetRecoveryPointRestoreMetadata` answers; `None`: as AWS gives it for `database`
    /// or `machine`, with the keys that `StartRestoreJob` then rejects.
    pub restore_metadata: Option<BTreeMap<String, String>>,
    /// What happens when it is restored.
    pub behaviour: RestoreBehaviour,
}

impl Default for RecoveryPoint {
    fn default() -> RecoveryPoint {
        RecoveryPoint {
            arn: String::new(),
            vault: "central".to_owned(),
            source_resource_arn: String::new(),
            resource_type: "RDS".to_owned(),
            status: "COMPLETED".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
            completed_at: None,
            expires_at: None,
            original_created_at: None,
            size_bytes: 20 << 30,
            kms_key_arn: None,
            named_key_arn: None,
            tags: BTreeMap::new(),
            source_vault_arn: None,
            iam_role_arn: "arn:aws:iam::222222222222:role/service-role/AWSBackupDefaultServiceRole"
                .to_owned(),
            is_parent: false,
            storage_class: "WARM".to_owned(),
            database: SourceDatabase::default(),
            cluster: SourceCluster::default(),
            machine: None,
            restore_metadata: None,
            behaviour: RestoreBehaviour::default(),
        }
    }
}

/// The RDS instance a recovery point was taken from, as it was at backup time.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceDatabase {
    /// RDS engine name.
    pub engine: String,
    /// Engine version.
    pub engine_version: String,
    /// Instance class.
    pub instance_class: String,
    /// Master user.
    pub master_username: String,
    /// Initial database (`DBName`), empty when none was named.
    pub database_name: String,
    /// Port; 0 where the restore metadata of AWS Backup says so.
    pub port: u16,
    /// Storage in GiB.
    pub allocated_storage: u32,
    /// `gp2`, `gp3`, `io1`, …
    pub storage_type: String,
    /// Provisioned IOPS; `None`: what the storage has by itself.
    pub iops: Option<u32>,
    /// Reachable from the internet; a restore inherits it unless told otherwise.
    pub publicly_accessible: bool,
    /// Multi-AZ; a restore inherits it unless told otherwise.
    pub multi_az: bool,
    /// Deletion protection; a restore inherits it unless told otherwise.
    pub deletion_protection: bool,
    /// Zone of the source.
    pub availability_zone: String,
    /// Subnet group of the source: it does not exist in the backup account.
    pub subnet_group: String,
    /// Security groups of the source: they do not exist in the backup account.
    pub security_groups: Vec<String>,
    /// Option group.
    pub option_group: String,
    /// Parameter group.
    pub parameter_group: String,
    /// Logs the source exports to CloudWatch.
    pub cloudwatch_exports: Vec<String>,
    /// Key of the source account (in the restore metadata); `None`: not encrypted there.
    pub kms_key_arn: Option<String>,
    /// VPC of the source.
    pub vpc_id: String,
}

impl Default for SourceDatabase {
    fn default() -> SourceDatabase {
        SourceDatabase {
            engine: "postgres".to_owned(),
            engine_version: "15.8".to_owned(),
            instance_class: "db.t4g.large".to_owned(),
            master_username: "postgres".to_owned(),
            database_name: String::new(),
            port: 5432,
            allocated_storage: 20,
            storage_type: "gp3".to_owned(),
            iops: None,
            publicly_accessible: false,
            multi_az: false,
            deletion_protection: false,
            availability_zone: "eu-central-1a".to_owned(),
            subnet_group: "production-private".to_owned(),
            security_groups: vec!["sg-0f00d0000000000aa".to_owned()],
            option_group: "default:postgres-15".to_owned(),
            parameter_group: "default.postgres15".to_owned(),
            cloudwatch_exports: vec!["postgresql".to_owned()],
            kms_key_arn: Some(
                "arn:aws:kms:eu-central-1:222222222222:key/5ea50000-0000-4000-8000-000000000001"
                    .to_owned(),
            ),
            vpc_id: "vpc-0f00d0000000000aa".to_owned(),
        }
    }
}

impl SourceDatabase {
    /// A MySQL instance; its default groups are as RDS calls them for this engine.
    pub fn mysql() -> SourceDatabase {
        SourceDatabase {
            engine: "mysql".to_owned(),
            engine_version: "8.4.3".to_owned(),
            master_username: "admin".to_owned(),
            port: 3306,
            option_group: "default:mysql-8-4".to_owned(),
            parameter_group: "default.mysql8.4".to_owned(),
            cloudwatch_exports: vec!["error".to_owned()],
            ..SourceDatabase::default()
        }
    }

    /// A MariaDB instance.
    pub fn mariadb() -> SourceDatabase {
        SourceDatabase {
            engine: "mariadb".to_owned(),
            engine_version: "10.11.9".to_owned(),
            option_group: "default:mariadb-10-11".to_owned(),
            parameter_group: "default.mariadb10.11".to_owned(),
            ..SourceDatabase::mysql()
        }
    }
}

/// An RDS instance, both to seed and to inspect.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DbInstance {
    /// Identifier, lower case.
    pub identifier: String,
    /// The cluster it is a member of.
    pub cluster: Option<String>,
    /// `creating`, `backing-up`, `available`, `deleting`, …
    pub status: String,
    /// `InstanceCreateTime`; absent while `creating`.
    pub created_at: Option<Timestamp>,
    /// Endpoint host; absent until available.
    pub host: Option<String>,
    /// Port.
    pub port: u16,
    /// Engine name.
    pub engine: String,
    /// Engine version.
    pub engine_version: String,
    /// Instance class.
    pub instance_class: String,
    /// Master user.
    pub master_username: String,
    /// Initial database, empty when none.
    pub database_name: String,
    /// Storage in GiB.
    pub allocated_storage: u32,
    /// Storage type.
    pub storage_type: String,
    /// IOPS that were asked for.
    pub iops: Option<u32>,
    /// Reachable from the internet.
    pub publicly_accessible: bool,
    /// Multi-AZ.
    pub multi_az: bool,
    /// Deletion protection.
    pub deletion_protection: bool,
    /// ARN of the storage key; `None`: not encrypted.
    pub kms_key_arn: Option<String>,
    /// Zone.
    pub availability_zone: String,
    /// Subnet group.
    pub subnet_group: String,
    /// Security group ids.
    pub security_groups: Vec<String>,
    /// `IPV4` or `DUAL`.
    pub network_type: String,
    /// ARNs of the roles attached to it.
    pub associated_roles: Vec<String>,
    /// Parameter group.
    pub parameter_group: String,
    /// Option group.
    pub option_group: String,
    /// Days automated backups are kept.
    pub backup_retention_days: u32,
    /// Copy tags to snapshots.
    pub copy_tags_to_snapshot: bool,
    /// Takes tokens of IAM as logins.
    pub iam_authentication: bool,
    /// Logs exported to CloudWatch.
    pub cloudwatch_exports: Vec<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// What deletion and describes do.
    pub behaviour: InstanceBehaviour,
}

impl Default for DbInstance {
    fn default() -> DbInstance {
        let source = SourceDatabase::default();
        DbInstance {
            identifier: String::new(),
            cluster: None,
            status: "available".to_owned(),
            created_at: Some(Timestamp::UNIX_EPOCH),
            host: Some("instance.rds.invalid".to_owned()),
            port: source.port,
            engine: source.engine,
            engine_version: source.engine_version,
            instance_class: source.instance_class,
            master_username: source.master_username,
            database_name: source.database_name,
            allocated_storage: source.allocated_storage,
            storage_type: source.storage_type,
            iops: source.iops,
            publicly_accessible: false,
            multi_az: false,
            deletion_protection: false,
            kms_key_arn: None,
            availability_zone: source.availability_zone,
            subnet_group: "default".to_owned(),
            security_groups: Vec::new(),
            network_type: "IPV4".to_owned(),
            associated_roles: Vec::new(),
            parameter_group: source.parameter_group,
            option_group: source.option_group,
            backup_retention_days: 0,
            copy_tags_to_snapshot: false,
            iam_authentication: false,
            cloudwatch_exports: Vec::new(),
            tags: BTreeMap::new(),
            behaviour: InstanceBehaviour::default(),
        }
    }
}

/// A restore job, both to seed (somebody else's) and to inspect.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestoreJob {
    /// `RestoreJobId`; left empty when seeding: the world makes one.
    pub id: String,
    /// Recovery point.
    pub recovery_point_arn: String,
    /// Vault name.
    pub vault: String,
    /// Role the job runs under.
    pub iam_role_arn: String,
    /// Metadata it was started with.
    pub metadata: BTreeMap<String, String>,
    /// `PENDING`, `RUNNING`, `COMPLETED`, `ABORTED`, `FAILED`.
    pub status: String,
    /// `StatusMessage`.
    pub status_message: Option<String>,
    /// `CreationDate`.
    pub created_at: Timestamp,
    /// `CompletionDate`.
    pub completed_at: Option<Timestamp>,
    /// `CreatedResourceArn`.
    pub created_resource_arn: Option<String>,
    /// `ResourceType`.
    pub resource_type: String,
    /// `SourceResourceArn`.
    pub source_resource_arn: Option<String>,
    /// Token it was started with.
    pub idempotency_token: Option<String>,
    /// `RestoreTestingPlanArn`, for a job AWS's own restore testing started.
    pub restore_testing_plan_arn: Option<String>,
}

impl Default for RestoreJob {
    fn default() -> RestoreJob {
        RestoreJob {
            id: String::new(),
            recovery_point_arn: String::new(),
            vault: "central".to_owned(),
            iam_role_arn: String::new(),
            metadata: BTreeMap::new(),
            status: "COMPLETED".to_owned(),
            status_message: None,
            created_at: Timestamp::UNIX_EPOCH,
            completed_at: None,
            created_resource_arn: None,
            resource_type: "RDS".to_owned(),
            source_resource_arn: None,
            idempotency_token: None,
            restore_testing_plan_arn: None,
        }
    }
}

/// A copy job, from which [`crate::World::copy_job_event`] builds the documented event.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CopyJob {
    /// `copyJobId`.
    pub id: String,
    /// `CREATED`, `RUNNING`, `COMPLETED`, `FAILED`, `PARTIAL`.
    pub state: String,
    /// `statusMessage`.
    pub status_message: Option<String>,
    /// The account that it belongs to and that its event comes from; `None`: the world's own.
    pub account: Option<String>,
    /// The Region that it belongs to and that its event comes from; `None`: the world's own.
    pub region: Option<String>,
    /// Recovery point the copy was made of.
    pub source_recovery_point_arn: String,
    /// Vault it was copied from.
    pub source_vault_arn: String,
    /// Vault it was copied to.
    pub destination_vault_arn: String,
    /// The copy; `None` gives the empty object that AWS sends.
    pub destination_recovery_point_arn: Option<String>,
    /// ARN of the resource backed up.
    pub resource_arn: String,
    /// AWS Backup's name of the resource type.
    pub resource_type: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// `creationDate`.
    pub created_at: Timestamp,
    /// `completionDate`; absent until the job has ended.
    pub completed_at: Option<Timestamp>,
    /// Role of the copy.
    pub iam_role_arn: String,
}

impl Default for CopyJob {
    fn default() -> CopyJob {
        CopyJob {
            id: String::new(),
            state: "COMPLETED".to_owned(),
            status_message: None,
            account: None,
            region: None,
            source_recovery_point_arn: String::new(),
            source_vault_arn: String::new(),
            destination_vault_arn: String::new(),
            destination_recovery_point_arn: None,
            resource_arn: String::new(),
            resource_type: "RDS".to_owned(),
            size_bytes: 20 << 30,
            created_at: Timestamp::UNIX_EPOCH,
            completed_at: None,
            iam_role_arn: "arn:aws:iam::222222222222:role/service-role/AWSBackupDefaultServiceRole"
                .to_owned(),
        }
    }
}

impl CopyJob {
    /// The same job, started where it copies from: it belongs to the account and Region of the source vault, and so
    /// does its event. sqlxpert/backup-events matches such events in the source account; the National Archives'
    /// module forwards them from there to the central account.
    #[must_use]
    pub fn started_at_the_source(mut self) -> CopyJob {
        let mut parts = self.source_vault_arn.splitn(6, ':').skip(3);
        self.region = parts.next().map(str::to_owned);
        self.account = parts.next().map(str::to_owned);
        self
    }
}

/// A backup job, from which [`crate::World::backup_job_event`] builds the documented event.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackupJob {
    /// `backupJobId`.
    pub id: String,
    /// `CREATED`, `PENDING`, `RUNNING`, `ABORTING`, `ABORTED`, `COMPLETED`, `FAILED`, `EXPIRED`, `PARTIAL`.
    pub state: String,
    /// `statusMessage`; `COMPLETED` with one is what the console calls "Completed with issues".
    pub status_message: Option<String>,
    /// Vault name.
    pub vault: String,
    /// The backup it made; absent until there is one.
    pub recovery_point_arn: Option<String>,
    /// ARN of the resource backed up.
    pub resource_arn: String,
    /// AWS Backup's name of the resource type.
    pub resource_type: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// `creationDate`.
    pub created_at: Timestamp,
    /// `completionDate`; absent until the job has ended.
    pub completed_at: Option<Timestamp>,
    /// Role of the backup.
    pub iam_role_arn: String,
}

impl Default for BackupJob {
    fn default() -> BackupJob {
        BackupJob {
            id: String::new(),
            state: "COMPLETED".to_owned(),
            status_message: None,
            vault: "central".to_owned(),
            recovery_point_arn: None,
            resource_arn: String::new(),
            resource_type: "RDS".to_owned(),
            size_bytes: 20 << 30,
            created_at: Timestamp::UNIX_EPOCH,
            completed_at: None,
            iam_role_arn: "arn:aws:iam::111111111111:role/service-role/AWSBackupDefaultServiceRole"
                .to_owned(),
        }
    }
}

/// A Secrets Manager secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Name; it is found by name, full ARN, or ARN without the random suffix.
    pub name: String,
    /// `SecretString`.
    pub value: String,
}

/// An S3 bucket.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Name.
    pub name: String,
    /// Versioned: answers carry version ids. The world keeps every version in any case.
    #[serde(default)]
    pub versioned: bool,
    /// Takes locked objects (S3 Object Lock).
    #[serde(default)]
    pub object_lock: bool,
}

/// A DynamoDB table, active at once.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Name.
    pub name: String,
    /// Partition key.
    pub partition_key: KeyAttribute,
    /// Sort key.
    #[serde(default)]
    pub sort_key: Option<KeyAttribute>,
    /// Global secondary indexes.
    #[serde(default)]
    pub indexes: Vec<Index>,
}

/// A global secondary index; an item without its keys is not in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Name.
    pub name: String,
    /// Partition key.
    pub partition_key: KeyAttribute,
    /// Sort key.
    #[serde(default)]
    pub sort_key: Option<KeyAttribute>,
    /// `true`: projection ALL; `false`: KEYS_ONLY.
    #[serde(default)]
    pub all_attributes: bool,
}

/// A key attribute: name and type (`S`, `N` or `B`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyAttribute {
    /// Attribute name.
    pub name: String,
    /// `S`, `N` or `B`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl KeyAttribute {
    /// A key attribute of the given name and type.
    pub fn new(name: &str, kind: &str) -> KeyAttribute {
        KeyAttribute {
            name: name.to_owned(),
            kind: kind.to_owned(),
        }
    }
}

impl Table {
    /// The ledger's shape: key `id` (S), sparse index `due` (`due_partition` S, `due_at` N,
    /// KEYS_ONLY).
    pub fn ledger(name: &str) -> Table {
        Table {
            name: name.to_owned(),
            partition_key: KeyAttribute::new("id", "S"),
            sort_key: None,
            indexes: vec![Index {
                name: "due".to_owned(),
                partition_key: KeyAttribute::new("due_partition", "S"),
                sort_key: Some(KeyAttribute::new("due_at", "N")),
                all_attributes: false,
            }],
        }
    }
}

/// The part of a VPC that RDS looks at.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DbSubnetGroup {
    /// Name. A group called `default` is used when a restore names none.
    pub name: String,
    /// Its VPC.
    pub vpc_id: String,
}

/// A security group.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityGroup {
    /// `sg-…`.
    pub id: String,
    /// Its VPC.
    pub vpc_id: String,
    /// What it lets out; in JSON, when not given, nothing.
    #[serde(default = "nothing_out")]
    pub egress: Vec<EgressRule>,
}

/// A rule of what a security group lets out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressRule {
    /// `tcp`, `udp`, `icmp`, a number, or `-1` for all.
    pub protocol: String,
    /// First and last port, where the protocol has ports.
    #[serde(default)]
    pub ports: Option<(u16, u16)>,
    /// Where to: ranges of IPv4 or IPv6, security groups (`sg-…`), prefix lists (`pl-…`).
    pub to: Vec<String>,
}

impl SecurityGroup {
    /// A group that lets nothing out, as `infra/network.yaml` makes them.
    pub fn closed(id: &str, vpc_id: &str) -> SecurityGroup {
        SecurityGroup {
            id: id.to_owned(),
            vpc_id: vpc_id.to_owned(),
            egress: nothing_out(),
        }
    }

    /// The same, with another rule of what it lets out.
    #[must_use]
    pub fn letting_out(mut self, protocol: &str, to: &str) -> SecurityGroup {
        self.egress.push(EgressRule {
            protocol: protocol.to_owned(),
            ports: (protocol != "-1").then_some((443, 443)),
            to: vec![to.to_owned()],
        });
        self
    }
}

/// All to a host that is always oneself.
fn nothing_out() -> Vec<EgressRule> {
    vec![EgressRule {
        protocol: "-1".to_owned(),
        ports: None,
        to: vec!["127.0.0.1/32".to_owned()],
    }]
}
