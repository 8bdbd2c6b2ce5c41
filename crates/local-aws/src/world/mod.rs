//! The world: its options, its clock, the one lock around its state, and the way of a request
//! through faults, services and the recorder.

pub(crate) mod aurora;
pub mod behaviour;
pub(crate) mod ec2;
pub(crate) mod events;
pub mod inspect;
pub(crate) mod listed;
pub(crate) mod metadata;
pub(crate) mod restore;
pub mod seed;
pub mod seed_file;
pub(crate) mod state;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use crate::ObjectVersion;
use crate::fault::{Faults, When};
use crate::recorder::Recorder;
use crate::service::rds::modify::{self, NewPassword};
use crate::wire::{self, Reply};
use behaviour::{EventDelivery, RestoreBehaviour};
use inspect::Call;
use seed::{
    BackupJob, Bucket, CopyJob, DbCluster, DbInstance, DbSubnetGroup, Ec2Instance, RecoveryPoint,
    RestoreJob, RouteTable, Secret, SecurityGroup, Subnet, Table, Vault, Volume,
};
use state::{Effect, Instance, Job, Started, State};

/// The clock that world and function share.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Takes the events the world emits, as EventBridge JSON.
pub type EventSink = Arc<dyn Fn(Value) + Send + Sync>;
/// Takes asynchronous Lambda invocations: function name (without account or qualifier) and payload.
pub type InvokeSink = Arc<dyn Fn(String, Value) + Send + Sync>;

/// The machine's clock.
pub fn system_clock() -> Clock {
    Arc::new(Timestamp::now)
}

/// What a world is like.
#[derive(Clone)]
pub struct WorldOptions {
    /// Account id, 12 digits.
    pub account: String,
    /// Region.
    pub region: String,
    /// The clock.
    pub clock: Clock,
    /// The caller may list buckets: a missing key is then `NoSuchKey` 404. Off: `AccessDenied` 403.
    pub s3_list_permission: bool,
    /// What the caller may list of any bucket without that permission, as a condition of IAM on `s3:prefix` allows it: prefixes,
    /// with a star where anything may follow. A missing key stays `AccessDenied` 403, for a `GetObject` names no prefix.
    pub s3_listed: Vec<String>,
    /// How AWS Backup's events arrive, unless a recovery point's behaviour says otherwise.
    pub events: EventDelivery,
    /// A job with metadata AWS rejects fails so long after it was accepted.
    pub restore_rejected_after: Duration,
    /// From DeleteDBInstance or DeleteVolume to gone, and from TerminateInstances to `terminated`, unless an instance's behaviour says otherwise.
    pub deletion_takes: Duration,
    /// Largest page of a list.
    pub page_size: usize,
    /// Plays AWS Backup only, and creates restored instances at this RDS endpoint
    /// (`http://127.0.0.1:PORT`) by CreateDBInstance instead of in the world.
    pub rds_endpoint: Option<String>,
    /// Plays AWS Backup only, and creates restored machines at this EC2 endpoint by RunInstances instead of in the
    /// world.
    pub ec2_endpoint: Option<String>,
}

impl Default for WorldOptions {
    fn default() -> WorldOptions {
        WorldOptions {
            account: "111111111111".to_owned(),
            region: "eu-central-1".to_owned(),
            clock: system_clock(),
            s3_list_permission: false,
            s3_listed: ["records/*", "policy/inventory.csv"]
                .map(str::to_owned)
                .into(),
            events: EventDelivery::default(),
            restore_rejected_after: Duration::from_secs(2),
            deletion_takes: Duration::from_secs(1),
            page_size: 1000,
            rds_endpoint: None,
            ec2_endpoint: None,
        }
    }
}

/// A restore somebody starts without the wire: a colleague's, for instance.
#[derive(Clone, Debug, Default)]
pub struct StartRestore {
    /// Recovery point.
    pub recovery_point_arn: String,
    /// Role it runs under.
    pub iam_role_arn: String,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// `IdempotencyToken`.
    pub idempotency_token: Option<String>,
}

/// An AWS in memory. Cheap to clone; all clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    options: Arc<WorldOptions>,
    state: Mutex<State>,
    faults: Faults,
    recorder: Mutex<Option<Arc<Recorder>>>,
    event_sink: Mutex<Option<EventSink>>,
    invoke_sink: Mutex<Option<InvokeSink>>,
}

/// Why a caller gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    Timeout,
    Reset,
    Hang,
}

impl std::fmt::Debug for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("World")
            .field("account", &self.0.options.account)
            .finish_non_exhaustive()
    }
}

impl World {
    /// An empty world.
    pub fn new(options: WorldOptions) -> World {
        let options = Arc::new(options);
        World(Arc::new(Inner {
            state: Mutex::new(State::new(Arc::clone(&options))),
            options,
            faults: Faults::default(),
            recorder: Mutex::new(None),
            event_sink: Mutex::new(None),
            invoke_sink: Mutex::new(None),
        }))
    }

    /// The world's options.
    pub fn options(&self) -> &WorldOptions {
        &self.0.options
    }

    /// The world's time.
    pub fn now(&self) -> Timestamp {
        (self.0.options.clock)()
    }

    /// The faults of this world.
    pub fn faults(&self) -> Faults {
        self.0.faults.clone()
    }

    /// Where events go from now on. Without a sink they are collected for [`World::take_events`].
    pub fn set_event_sink(&self, sink: EventSink) {
        *lock(&self.0.event_sink) = Some(sink);
    }

    /// Where Lambda invocations go from now on. Without a sink they are collected for
    /// [`World::take_invocations`].
    pub fn set_invoke_sink(&self, sink: InvokeSink) {
        *lock(&self.0.invoke_sink) = Some(sink);
    }

    /// Appends every request and answer from now on to `file`, one JSON object per line.
    ///
    /// # Errors
    /// When the file cannot be opened for appending.
    pub fn record_to(&self, file: &Path) -> anyhow::Result<()> {
        *lock(&self.0.recorder) = Some(Arc::new(Recorder::open(file)?));
        Ok(())
    }

    /// Adds a backup vault, or replaces the one with the same name.
    pub fn add_vault(&self, vault: Vault) {
        self.with_state(|state| state.put_vault(vault));
    }

    /// Leaves a resource type out of the Region's settings of AWS Backup.
    pub fn opt_out(&self, resource_type: &str) {
        self.with_state(|state| state.opted_out.insert(resource_type.to_owned()));
    }

    /// Adds a recovery point, or replaces the one with the same ARN; its vault is added when missing.
    pub fn add_recovery_point(&self, point: RecoveryPoint) {
        self.with_state(|state| {
            if !state.vaults.contains_key(&point.vault) {
                state.put_vault(Vault {
                    name: point.vault.clone(),
                    ..Vault::default()
                });
            }
            state.recovery_points.put(point);
        });
    }

    /// Changes what later restores of a recovery point do.
    pub fn set_restore_behaviour(&self, recovery_point_arn: &str, behaviour: RestoreBehaviour) {
        self.with_state(|state| {
            if let Some(point) = state.recovery_points.get_mut(recovery_point_arn) {
                point.behaviour = behaviour;
            }
        });
    }

    /// Adds an instance that no restore of this world made, or replaces one.
    pub fn add_db_instance(&self, instance: DbInstance) {
        self.with_state(|state| {
            let cluster = instance.cluster.as_ref();
            if let Some(cluster) = cluster.and_then(|name| state.clusters.get_mut(name)) {
                let first = || instance.identifier.clone();
                cluster.writer.get_or_insert_with(first);
            }
            state
                .instances
                .insert(instance.identifier.clone(), Instance::seeded(instance));
        });
    }

    /// Adds a DB cluster that no restore of this world made, or replaces one.
    pub fn add_db_cluster(&self, cluster: DbCluster) {
        self.with_state(|state| {
            let identifier = cluster.identifier.clone();
            let cluster = aurora::ClusterState::new(cluster);
            state.clusters.insert(identifier, cluster);
        });
    }

    /// Somebody takes a DB instance away, without our API.
    pub fn remove_db_instance(&self, identifier: &str) {
        self.with_state(|state| {
            state.instances.remove(identifier);
        });
    }

    /// Adds a restore job that was not started here, as it stands, and answers its id.
    pub fn add_restore_job(&self, mut job: RestoreJob) -> String {
        self.with_state(|state| {
            if job.id.is_empty() {
                job.id = state.new_uuid("restore-job").to_uppercase();
            }
            let id = job.id.clone();
            state.jobs.push(Job::seeded(job));
            id
        })
    }

    /// Adds a backup job, or replaces the one with the same id, so that it can be described. Answers
    /// its id; the world makes one for a job without.
    pub fn add_backup_job(&self, mut job: BackupJob) -> String {
        self.with_state(|state| {
            if job.id.is_empty() {
                job.id = state.new_uuid("backup-job").to_uppercase();
            }
            let id = job.id.clone();
            state.backup_jobs.put(job);
            id
        })
    }

    /// Adds a copy job, or replaces the one with the same id, so that it can be described. Answers
    /// its id; the world makes one for a job without.
    pub fn add_copy_job(&self, mut job: CopyJob) -> String {
        self.with_state(|state| {
            if job.id.is_empty() {
                job.id = state.new_uuid("copy-job").to_uppercase();
            }
            let id = job.id.clone();
            state.copy_jobs.put(job);
            id
        })
    }

    /// Starts a restore without the wire, as a colleague would by the console.
    ///
    /// # Errors
    /// The error code and message that StartRestoreJob would answer.
    pub fn start_restore(&self, request: StartRestore) -> Result<String, String> {
        self.with_state(|state| {
            restore::start(state, &request)
                .map_err(|error| format!("{}: {}", error.code, error.message))
        })
    }

    /// Adds a DB subnet group; the one named `default` is used when a restore names none.
    pub fn add_db_subnet_group(&self, group: DbSubnetGroup) {
        self.with_state(|state| state.subnet_groups.insert(group.name, group.vpc_id));
    }

    /// Tells which subnets a DB subnet group is made of.
    pub fn set_subnets_of_group(&self, group: &str, subnets: &[&str]) {
        let subnets = subnets.iter().map(|id| (*id).to_owned()).collect();
        self.with_state(|state| state.subnets_of_group.insert(group.to_owned(), subnets));
    }

    /// Adds a security group, or replaces one.
    pub fn add_security_group(&self, group: SecurityGroup) {
        self.with_state(|state| state.security_groups.insert(group.id.clone(), group));
    }

    /// Adds a route table, or replaces one.
    pub fn add_route_table(&self, table: RouteTable) {
        self.with_state(|state| state.route_tables.insert(table.id.clone(), table));
    }

    /// Adds a subnet, which restored machines can lie in.
    pub fn add_subnet(&self, subnet: Subnet) {
        self.with_state(|state| state.subnets.insert(subnet.id.clone(), subnet));
    }

    /// Adds an EC2 key pair.
    pub fn add_key_pair(&self, name: &str) {
        self.with_state(|state| state.key_pairs.insert(name.to_owned()));
    }

    /// Adds an EC2 instance that no restore of this world made, or replaces one. Nothing listens at its address.
    pub fn add_ec2_instance(&self, instance: Ec2Instance) {
        self.with_state(|state| {
            state
                .machines
                .insert(instance.id.clone(), ec2::MachineState::seeded(instance));
        });
    }

    /// Adds a volume that no restore of this world made, or replaces one.
    pub fn add_volume(&self, volume: Volume) {
        self.with_state(|state| {
            let gone_at = None;
            state
                .volumes
                .insert(volume.id.clone(), ec2::VolumeState { volume, gone_at });
        });
    }

    /// Adds a DB parameter group of this account (`default.*` need not be added).
    pub fn add_parameter_group(&self, name: &str) {
        self.with_state(|state| state.parameter_groups.insert(name.to_owned()));
    }

    /// Adds a DB cluster parameter group of this account (`default.*` need not be added).
    pub fn add_cluster_parameter_group(&self, name: &str) {
        self.with_state(|state| state.cluster_parameter_groups.insert(name.to_owned()));
    }

    /// Adds an option group of this account (`default:*` need not be added).
    pub fn add_option_group(&self, name: &str) {
        self.with_state(|state| state.option_groups.insert(name.to_owned(), None));
    }

    /// Adds an option group of this account that is bound to a VPC, as one with options for the network is.
    pub fn add_option_group_of_vpc(&self, name: &str, vpc_id: &str) {
        let bound_to = Some(vpc_id.to_owned());
        self.with_state(|state| state.option_groups.insert(name.to_owned(), bound_to));
    }

    /// Adds a secret, or gives it a new value.
    pub fn add_secret(&self, secret: Secret) {
        self.with_state(|state| state.put_secret(secret));
    }

    /// Adds a bucket.
    pub fn add_bucket(&self, bucket: Bucket) {
        self.with_state(|state| {
            let state = state.buckets.entry(bucket.name).or_default();
            (state.versioned, state.object_lock) = (bucket.versioned, bucket.object_lock);
        });
    }

    /// Puts an object; the bucket is added when missing.
    pub fn put_object(&self, bucket: &str, key: &str, body: impl Into<Bytes>) {
        let body = body.into();
        self.with_state(|state| {
            let version = ObjectVersion {
                body,
                content_type: None,
                etag: String::new(),
                version_id: state.new_uuid("version").replace('-', ""),
                at: state.now,
                lock: None,
            };
            let bucket = state.buckets.entry(bucket.to_owned()).or_default();
            bucket.put(key, version);
        });
    }

    /// Adds a DynamoDB table.
    pub fn add_table(&self, table: Table) {
        self.with_state(|state| {
            state.tables.insert(
                table.name.clone(),
                crate::service::dynamodb::TableState::new(table),
            );
        });
    }

    /// Puts an item (DynamoDB's JSON) into a table, whatever was there.
    ///
    /// # Panics
    /// When there is no such table or the item does not fit it.
    pub fn put_table_item(&self, table: &str, item: &serde_json::Value) {
        self.with_state(|state| {
            let table = state.tables.get_mut(table);
            let put = table.map(|table| table.put_json(item));
            assert!(matches!(put, Some(Ok(()))), "{item} cannot be put");
        });
    }

    /// Adds a topic by its ARN.
    pub fn add_topic(&self, arn: &str) {
        self.with_state(|state| state.topics.insert(arn.to_owned()));
    }

    /// Adds a topic by its ARN that programs alone are subscribed to.
    pub fn add_event_topic(&self, arn: &str) {
        self.add_topic(arn);
        self.with_state(|state| state.event_topics.insert(arn.to_owned()));
    }

    /// Adds a log group.
    pub fn add_log_group(&self, name: &str) {
        self.with_state(|state| {
            state.log_groups.entry(name.to_owned()).or_default();
        });
    }

    /// Adds a Lambda function. Until the first is added, Invoke accepts any name.
    pub fn add_function(&self, name: &str) {
        self.with_state(|state| state.functions.insert(name.to_owned()));
    }

    /// Emits an event as given, at once.
    pub fn emit(&self, event: Value) {
        self.with_state(|state| state.outbox.push(Effect::Event(event)));
    }

    /// Lets everything happen that is due by the clock. Every request does so too, and while
    /// something is pending a background task does it every 20 ms.
    pub fn settle(&self) {
        self.with_state(|_| ());
    }

    /// Answers a request on the wire of whatever service it is for. Faults without an answer
    /// (timeout, reset) show as 504 here; the connector and the server do them properly.
    pub async fn handle(&self, request: http::Request<Bytes>) -> http::Response<Bytes> {
        match self.answer(request) {
            Ok(response) => response,
            Err(_) => {
                let mut response = http::Response::new(Bytes::new());
                *response.status_mut() = http::StatusCode::GATEWAY_TIMEOUT;
                response
            }
        }
    }

    /// Answers a request, or tells why there is none.
    pub(crate) fn answer(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, NoAnswer> {
        let recorder = lock(&self.0.recorder).clone();
        let recorded = recorder.map(|recorder| (recorder, request.clone()));
        let request = wire::Request::parse(request);
        let fault = self.0.faults.strike(
            request.service.name(),
            &request.operation,
            request.header("amz-sdk-invocation-id"),
        );
        let before = matches!(&fault, Some((_, When::BeforeEffect)));
        let reply = match &fault {
            Some((kind, When::BeforeEffect)) => wire::fault_reply(&request, kind),
            Some((kind, When::AfterEffect)) => {
                self.with_state(|state| crate::service::dispatch(state, &request));
                wire::fault_reply(&request, kind)
            }
            None => Ok(self.with_state(|state| crate::service::dispatch(state, &request))),
        };
        self.note_call(&request, &reply, fault.is_some(), !before);
        let mut reply = reply?;
        let answered = reply.answered.take();
        let request_id = lock(&self.0.state).new_uuid("request");
        let response = reply.into_http(request.service, &request_id);
        if let Some((recorder, original)) = recorded {
            recorder.record(&request, &original, &response, answered, fault.is_some());
        }
        Ok(response)
    }

    fn note_call(
        &self,
        request: &wire::Request,
        reply: &Result<Reply, NoAnswer>,
        injected: bool,
        reached: bool,
    ) {
        let call = Call::of(request, reply.as_ref().ok(), injected, reached, self.now());
        lock(&self.0.state).calls.push(call);
    }

    /// Runs `act` on the settled state under the lock, then lets out what it caused.
    pub(crate) fn with_state<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let (result, effects, start_ticker) = {
            let mut state = lock(&self.0.state);
            state.now = (self.0.options.clock)();
            restore::settle(&mut state);
            let result = act(&mut state);
            let effects = std::mem::take(&mut state.outbox);
            let start_ticker = !state.ticking
                && state.is_pending()
                && tokio::runtime::Handle::try_current().is_ok();
            state.ticking |= start_ticker;
            (result, effects, start_ticker)
        };
        for effect in effects {
            self.perform(effect);
        }
        if start_ticker {
            tokio::spawn(tick(Arc::downgrade(&self.0)));
        }
        result
    }

    fn perform(&self, effect: Effect) {
        match effect {
            Effect::Event(event) => {
                let sink = lock(&self.0.event_sink).clone();
                match sink {
                    Some(sink) => sink(event),
                    None => lock(&self.0.state).events.push(event),
                }
            }
            Effect::Invoke(function, payload) => {
                let sink = lock(&self.0.invoke_sink).clone();
                match sink {
                    Some(sink) => sink(function, payload),
                    None => lock(&self.0.state).invocations.push((function, payload)),
                }
            }
            Effect::Launch(launch) => self.launch(launch),
            Effect::Stop(server) => match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(server.stop())),
                Err(_) => drop(server),
            },
            Effect::SetPassword(new) => self.set_password(new),
        }
    }

    fn set_password(&self, new: NewPassword) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::error!(?new.of, "a new password needs a tokio runtime");
            return;
        };
        let world = self.clone();
        runtime.spawn(async move {
            // On RDS such an instance becomes available again with its old password.
            if let Err(error) = new.admin.set_password(&new.user, &new.password).await {
                tracing::error!(?new.of, "no new password: {error:#}");
            }
            world.with_state(|state| modify::applied(state, &new.of));
        });
    }

    fn launch(&self, launch: state::Launch) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::error!(
                of = ?launch.of,
                "a restore with a database needs a tokio runtime"
            );
            return;
        };
        let world = self.clone();
        let region = self.with_state(|state| state.options.region.clone());
        runtime.spawn(async move {
            let started = match &launch.what {
                state::LaunchWhat::Database {
                    dump,
                    master_user,
                    takes_tokens,
                } => dump
                    .restore(&launch.name, master_user, takes_tokens.then_some(&region))
                    .await
                    .map(|server| Started::Database(Box::new(server))),
                state::LaunchWhat::Remote { endpoint, form } => {
                    restore::create_remote("rds", endpoint, form)
                        .await
                        .map(|_| Started::Nothing)
                }
                state::LaunchWhat::RemoteMachine { endpoint, form } => {
                    restore::create_remote("ec2", endpoint, form)
                        .await
                        .and_then(|answer| restore::remote_instance_id(&answer))
                        .map(Started::RemoteMachine)
                }
            };
            world.with_state(|state| restore::launched(state, &launch.of, started));
        });
    }
}

/// Settles the world while something is pending in it.
async fn tick(world: Weak<Inner>) {
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let Some(inner) = world.upgrade() else { return };
        let world = World(inner);
        let pending = world.with_state(|state| {
            state.ticking = state.is_pending();
            state.ticking
        });
        if !pending {
            return;
        }
    }
}

/// Locks, also after a panic of another holder: the state is plain data.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
