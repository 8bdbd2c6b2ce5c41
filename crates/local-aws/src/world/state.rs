//! All state of a world: plain maps behind the one lock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::engine::{Dump, Server};
use crate::service::dynamodb::{TableState, Transactions};
use crate::service::rds::modify::{NewPassword, Reset};
use crate::wire::ServiceError;

use super::WorldOptions;
use super::aurora::ClusterState;
use super::behaviour::{EventDelivery, RestoreBehaviour};
use super::ec2::{MachineState, PlannedMachine, VolumeState};
use super::inspect::{Call, Deletion, LogEvent, Message, ObjectVersion};
use super::listed::{Jobs, Listed};
use super::seed::{
    BackupJob, CopyJob, DbCluster, DbInstance, RecoveryPoint, RestoreJob, RouteTable, Secret,
    SecurityGroup, Subnet, Vault,
};

pub(crate) struct State {
    pub options: Arc<WorldOptions>,
    /// The world's time, read once per entry.
    pub now: Timestamp,
    /// A ticker is running.
    pub ticking: bool,
    ids: u64,
    /// By name.
    pub vaults: BTreeMap<String, Vault>,
    /// Resource types that the Region's settings of AWS Backup leave out.
    pub opted_out: BTreeSet<String>,
    /// By ARN.
    pub recovery_points: Listed<RecoveryPoint>,
    pub jobs: Jobs,
    /// By id, in capitals.
    pub backup_jobs: Listed<BackupJob>,
    /// By id, in capitals.
    pub copy_jobs: Listed<CopyJob>,
    /// Idempotency tokens of refused StartRestoreJobs, with when and what was answered.
    pub spent_tokens: BTreeMap<String, (Timestamp, ServiceError)>,
    pub instances: BTreeMap<String, Instance>,
    /// By identifier.
    pub clusters: BTreeMap<String, ClusterState>,
    /// Name → VPC.
    pub subnet_groups: BTreeMap<String, String>,
    /// Name of a subnet group → ids of its subnets, as far as they were told.
    pub subnets_of_group: BTreeMap<String, Vec<String>>,
    /// By id.
    pub security_groups: BTreeMap<String, SecurityGroup>,
    /// By id.
    pub route_tables: BTreeMap<String, RouteTable>,
    /// By id.
    pub subnets: BTreeMap<String, Subnet>,
    pub key_pairs: BTreeSet<String>,
    /// By id; terminated ones too, as long as EC2 describes them.
    pub machines: BTreeMap<String, MachineState>,
    /// By id.
    pub volumes: BTreeMap<String, VolumeState>,
    /// Terminations of instances and deletions of volumes, in order.
    pub deletions: Vec<Deletion>,
    pub parameter_groups: BTreeSet<String>,
    pub cluster_parameter_groups: BTreeSet<String>,
    /// Name → the VPC it is bound to, if it is.
    pub option_groups: BTreeMap<String, Option<String>>,
    pub secrets: BTreeMap<String, SecretState>,
    pub buckets: BTreeMap<String, BucketState>,
    pub tables: BTreeMap<String, TableState>,
    pub transactions: Transactions,
    pub topics: BTreeSet<String>,
    /// Those of them that no people are subscribed to.
    pub event_topics: BTreeSet<String>,
    pub messages: Vec<Message>,
    /// Group → stream → events.
    pub log_groups: BTreeMap<String, BTreeMap<String, Vec<LogEvent>>>,
    pub functions: BTreeSet<String>,
    pub calls: Vec<Call>,
    pub events: Vec<Value>,
    pub invocations: Vec<(String, Value)>,
    /// Events that arrive later.
    pub late_events: Vec<(Timestamp, Value)>,
    /// What is to be done once the lock is released.
    pub outbox: Vec<Effect>,
}

/// Something that leaves the world, done after the lock is released.
pub(crate) enum Effect {
    Event(Value),
    Invoke(String, Value),
    Launch(Launch),
    Stop(Box<Server>),
    SetPassword(NewPassword),
}

/// The making of a restored database.
pub(crate) struct Launch {
    pub of: LaunchOf,
    /// The name of the server's folder.
    pub name: String,
    pub what: LaunchWhat,
}

/// What waits for a launch.
#[derive(Debug)]
pub(crate) enum LaunchOf {
    /// A restore job, by its id.
    Job(String),
    /// A cluster that has got its first instance, by its identifier.
    Cluster(String),
}

pub(crate) enum LaunchWhat {
    Database {
        dump: Dump,
        master_user: String,
        takes_tokens: bool,
    },
    Remote {
        endpoint: String,
        form: Vec<(String, String)>,
    },
    RemoteMachine {
        endpoint: String,
        form: Vec<(String, String)>,
    },
}

/// What a launch has started.
pub(crate) enum Started {
    /// Nothing that the world holds.
    Nothing,
    Database(Box<Server>),
    /// An instance at another AWS stand-in, by its id.
    RemoteMachine(String),
}

/// A restore job and what will become of it.
pub(crate) struct Job {
    pub job: RestoreJob,
    pub source: Option<Plan>,
}

/// How a job that was started here goes on.
pub(crate) struct Plan {
    pub behaviour: RestoreBehaviour,
    pub events: EventDelivery,
    pub size_bytes: u64,
    pub point_created_at: Timestamp,
    /// Running from then.
    pub runs_at: Timestamp,
    /// Ends then at the earliest.
    pub ends_at: Timestamp,
    /// Why AWS will refuse the metadata.
    pub doom: Option<String>,
    /// The instance it makes.
    pub instance: Option<DbInstance>,
    /// The cluster it makes.
    pub cluster: Option<DbCluster>,
    /// The machine it makes.
    pub machine: Option<PlannedMachine>,
    pub launch: LaunchState,
}

pub(crate) enum LaunchState {
    NotNeeded,
    Wanted(LaunchWhat),
    Running,
    Done(Option<Box<Server>>),
    Failed(String),
}

/// An instance and what will become of it.
pub(crate) struct Instance {
    pub db: DbInstance,
    pub server: Option<Box<Server>>,
    /// Statuses still to hold, each until then.
    pub phases: VecDeque<(String, Timestamp)>,
    pub hidden_describes: u32,
    /// A new password of the master user, on its way.
    pub reset: Option<Reset>,
    /// An instance of a cluster is available from then at the earliest.
    pub ready_at: Option<Timestamp>,
    pub gone_at: Option<Timestamp>,
}

pub(crate) struct SecretState {
    pub arn: String,
    pub value: String,
    pub version: String,
    pub created_at: Timestamp,
}

#[derive(Default)]
pub(crate) struct BucketState {
    pub versioned: bool,
    pub object_lock: bool,
    /// Key → versions, oldest first.
    pub objects: BTreeMap<String, Vec<ObjectVersion>>,
}

impl State {
    pub fn new(options: Arc<WorldOptions>) -> State {
        State {
            now: (options.clock)(),
            options,
            ticking: false,
            ids: 0,
            vaults: BTreeMap::new(),
            opted_out: BTreeSet::new(),
            recovery_points: Listed::new(|point| point.arn.clone()),
            jobs: Jobs::default(),
            backup_jobs: Listed::new(|job| job.id.to_ascii_uppercase()),
            copy_jobs: Listed::new(|job| job.id.to_ascii_uppercase()),
            spent_tokens: BTreeMap::new(),
            instances: BTreeMap::new(),
            clusters: BTreeMap::new(),
            subnet_groups: BTreeMap::new(),
            subnets_of_group: BTreeMap::new(),
            security_groups: BTreeMap::new(),
            route_tables: BTreeMap::new(),
            subnets: BTreeMap::new(),
            key_pairs: BTreeSet::new(),
            machines: BTreeMap::new(),
            volumes: BTreeMap::new(),
            deletions: Vec::new(),
            parameter_groups: BTreeSet::new(),
            cluster_parameter_groups: BTreeSet::new(),
            option_groups: BTreeMap::new(),
            secrets: BTreeMap::new(),
            buckets: BTreeMap::new(),
            tables: BTreeMap::new(),
            transactions: Transactions::default(),
            topics: BTreeSet::new(),
            event_topics: BTreeSet::new(),
            messages: Vec::new(),
            log_groups: BTreeMap::new(),
            functions: BTreeSet::new(),
            calls: Vec::new(),
            events: Vec::new(),
            invocations: Vec::new(),
            late_events: Vec::new(),
            outbox: Vec::new(),
        }
    }

    /// A UUID-shaped id, new in this world. The same world makes the same ids in the same order,
    /// so that a failing test can be repeated.
    pub fn new_uuid(&mut self, kind: &str) -> String {
        self.ids += 1;
        let hex = hex(&Sha256::digest(format!(
            "{kind}/{}/{}",
            self.options.account, self.ids
        )));
        format!(
            "{}-{}-4{}-a{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[13..16],
            &hex[17..20],
            &hex[20..32]
        )
    }

    /// Whether anything will change by time alone.
    pub fn is_pending(&self) -> bool {
        !self.late_events.is_empty()
            || self.jobs.open().next().is_some()
            || self.instances.values().any(|instance| {
                instance.gone_at.is_some()
                    || !instance.phases.is_empty()
                    || instance.reset.is_some()
                    || instance.ready_at.is_some()
            })
            || self.clusters.values().any(ClusterState::is_pending)
            || self.machines.values().any(MachineState::is_pending)
            || self.volumes.values().any(|volume| volume.gone_at.is_some())
    }

    pub fn put_vault(&mut self, mut vault: Vault) {
        let year_ago = self.now.checked_sub(SignedDuration::from_hours(365 * 24));
        vault.created_at = vault.created_at.or(year_ago.ok());
        self.vaults.insert(vault.name.clone(), vault);
    }

    pub fn vault_arn(&self, vault: &str) -> String {
        format!(
            "arn:aws:backup:{}:{}:backup-vault:{vault}",
            self.options.region, self.options.account
        )
    }

    pub fn instance_arn(&self, identifier: &str) -> String {
        format!(
            "arn:aws:rds:{}:{}:db:{identifier}",
            self.options.region, self.options.account
        )
    }

    pub fn cluster_arn(&self, identifier: &str) -> String {
        format!(
            "arn:aws:rds:{}:{}:cluster:{identifier}",
            self.options.region, self.options.account
        )
    }

    pub fn machine_arn(&self, id: &str) -> String {
        format!(
            "arn:aws:ec2:{}:{}:instance/{id}",
            self.options.region, self.options.account
        )
    }

    pub fn put_secret(&mut self, secret: Secret) {
        let suffix = &hex(&Sha256::digest(&secret.name))[..6];
        let version = self.new_uuid("secret-version");
        let arn = format!(
            "arn:aws:secretsmanager:{}:{}:secret:{}-{suffix}",
            self.options.region, self.options.account, secret.name
        );
        let state = SecretState {
            arn,
            value: secret.value,
            version,
            created_at: self.now,
        };
        self.secrets.insert(secret.name, state);
    }
}

impl Job {
    pub fn seeded(job: RestoreJob) -> Job {
        Job { job, source: None }
    }

    /// Whether time alone will change it.
    pub fn is_open(&self) -> bool {
        self.source.is_some() && !self.has_ended()
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.job.status.as_str(), "COMPLETED" | "FAILED" | "ABORTED")
    }
}

impl Instance {
    pub fn seeded(db: DbInstance) -> Instance {
        Instance {
            hidden_describes: db.behaviour.hidden_describes,
            db,
            server: None,
            phases: VecDeque::new(),
            reset: None,
            ready_at: None,
            gone_at: None,
        }
    }

    /// It is there, with an address: its statuses begin.
    pub fn come_up(&mut self, now: Timestamp, host: String, port: u16) {
        (self.db.host, self.db.port) = (Some(host), port);
        let mut until = now;
        self.phases.clear();
        for phase in &self.db.behaviour.statuses {
            until = later(until, phase.lasts);
            self.phases.push_back((phase.status.clone(), until));
        }
        self.db.status = "available".to_owned();
    }
}

impl BucketState {
    /// Keeps a new version of an object, whose ETag follows from its body. Answers the ETag.
    pub fn put(&mut self, key: &str, mut version: ObjectVersion) -> String {
        let etag = format!("\"{}\"", &hex(&Sha256::digest(&version.body))[..32]);
        version.etag.clone_from(&etag);
        let versions = self.objects.entry(key.to_owned()).or_default();
        versions.push(version);
        etag
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `at` plus a duration that may be absurdly long.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}
