//! Looking into a world: what it holds and what it was asked.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use crate::wire::{Reply, Request};

use super::seed::{DbCluster, DbInstance, Ec2Instance, RestoreJob, Volume};
use super::state::State;
use super::{World, lock};

/// One request the world met, also when a fault hid the answer.
#[derive(Clone, Debug)]
pub struct Call {
    /// `Backup`, `RDS`, `EC2`, `DynamoDB`, `S3`, `SNS`, `Logs`, `SecretsManager`, `Lambda`.
    pub service: &'static str,
    /// Operation name as AWS spells it.
    pub operation: String,
    /// Whether the operation creates, changes or deletes something (or sends it out).
    pub mutating: bool,
    /// Names and ARNs of the resources it is about (for S3 `bucket/key`, for DynamoDB table and key).
    pub resources: Vec<String>,
    /// Access key id of the caller, from the signature.
    pub access_key: Option<String>,
    /// When, by the world's clock.
    pub at: Timestamp,
    /// HTTP status of the answer; `None` when the caller got none.
    pub status: Option<u16>,
    /// Error code of the answer.
    pub error: Option<String>,
    /// The answer (or its absence) was injected by a fault.
    pub injected: bool,
    /// The service itself saw the request: `false` for a fault before the effect.
    pub reached: bool,
    text: String,
}

impl Call {
    pub(crate) fn of(
        request: &Request,
        reply: Option<&Reply>,
        injected: bool,
        reached: bool,
        at: Timestamp,
    ) -> Call {
        Call {
            service: request.service.name(),
            mutating: crate::service::is_mutating(&request.operation),
            resources: crate::service::resources(request),
            access_key: request.access_key(),
            at,
            status: reply.map(|reply| reply.status),
            error: reply.and_then(|reply| reply.error_code.clone()),
            injected,
            reached,
            text: request.text(),
            operation: request.operation.clone(),
        }
    }

    /// `Service.Operation`, as faults are named.
    pub fn name(&self) -> String {
        format!("{}.{}", self.service, self.operation)
    }

    /// Whether `name` occurs anywhere in the decoded request: path, query, parameters or body.
    pub fn mentions(&self, name: &str) -> bool {
        self.text.contains(name)
            || self
                .resources
                .iter()
                .any(|resource| resource.contains(name))
    }
}

/// The end of an EC2 instance or of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// `i-…` or `vol-…`.
    pub id: String,
    /// Who did it.
    pub by: DeletedBy,
    /// When, by the world's clock.
    pub at: Timestamp,
}

/// Who deleted something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeletedBy {
    /// A caller, known by the access key id of the signature.
    Caller(Option<String>),
    /// The instance with this id, which it was attached to: it was terminated.
    Instance(String),
}

/// Something that exists in a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    /// What it is.
    pub kind: ThingKind,
    /// Name or id, as AWS calls it: not its ARN.
    pub id: String,
    /// Its state, in the words of its service: of databases the status, of buckets nothing.
    pub state: String,
    /// The id of what it is a part of: of an instance of a cluster the cluster, of an attached volume the EC2 instance.
    pub belongs_to: Option<String>,
}

/// What a [`Thing`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ThingKind {
    /// RDS's DB instance, alone or in a cluster.
    DbInstance,
    /// Aurora's DB cluster.
    DbCluster,
    /// EC2 instance.
    Ec2Instance,
    /// EBS volume.
    Volume,
    /// S3 bucket.
    Bucket,
    /// DynamoDB table.
    Table,
}

impl ThingKind {
    /// Whether a restore can make such a thing here.
    pub fn is_restored(self) -> bool {
        match self {
            ThingKind::DbInstance
            | ThingKind::DbCluster
            | ThingKind::Ec2Instance
            | ThingKind::Volume => true,
            ThingKind::Bucket | ThingKind::Table => false,
        }
    }
}

/// A message published to a topic.
#[derive(Clone, Debug)]
pub struct Message {
    /// Topic.
    pub topic_arn: String,
    /// Subject.
    pub subject: Option<String>,
    /// Body; of a message with a form for each protocol the one for all others.
    pub body: String,
    /// The forms for single protocols.
    pub forms: BTreeMap<String, String>,
    /// String attributes.
    pub attributes: BTreeMap<String, String>,
    /// When, by the world's clock.
    pub at: Timestamp,
}

impl Message {
    /// What a subscription of this protocol gets.
    pub fn seen_by(&self, protocol: &str) -> &str {
        self.forms.get(protocol).unwrap_or(&self.body)
    }
}

/// An event in a log group.
#[derive(Clone, Debug)]
pub struct LogEvent {
    /// Stream.
    pub stream: String,
    /// The event's own timestamp, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Text.
    pub message: String,
}

/// One version of an object.
#[derive(Clone, Debug)]
pub struct ObjectVersion {
    /// Content.
    pub body: Bytes,
    /// Content type.
    pub content_type: Option<String>,
    /// ETag, with its quotes.
    pub etag: String,
    /// Version id.
    pub version_id: String,
    /// When, by the world's clock.
    pub at: Timestamp,
    /// S3's word for how it is locked, and until when; none if it is not.
    pub lock: Option<(String, Timestamp)>,
}

fn things(state: &State) -> Vec<Thing> {
    let thing = |kind, id: &str, state: &str, belongs_to: Option<&String>| Thing {
        kind,
        id: id.to_owned(),
        state: state.to_owned(),
        belongs_to: belongs_to.cloned(),
    };
    let instances = state.instances.values().map(|instance| {
        let db = &instance.db;
        thing(
            ThingKind::DbInstance,
            &db.identifier,
            &db.status,
            db.cluster.as_ref(),
        )
    });
    let clusters = state.clusters.values().map(|cluster| {
        let db = &cluster.db;
        thing(ThingKind::DbCluster, &db.identifier, &db.status, None)
    });
    let machines = state.machines.values().map(|machine| &machine.instance);
    let machines = machines.filter(|instance| instance.state != "terminated");
    let machines =
        machines.map(|instance| thing(ThingKind::Ec2Instance, &instance.id, &instance.state, None));
    let volumes = state.volumes.values().map(|volume| {
        let volume = &volume.volume;
        let of = volume.attachment.as_ref().map(|at| &at.instance_id);
        thing(ThingKind::Volume, &volume.id, &volume.state, of)
    });
    let buckets = state.buckets.keys();
    let buckets = buckets.map(|name| thing(ThingKind::Bucket, name, "", None));
    let tables = state.tables.keys();
    let tables = tables.map(|name| thing(ThingKind::Table, name, "ACTIVE", None));
    let databases = instances.chain(clusters);
    let all = databases.chain(machines).chain(volumes);
    all.chain(buckets).chain(tables).collect()
}

impl World {
    /// Every request so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.0.state).calls.clone()
    }

    /// Forgets the requests so far.
    pub fn clear_calls(&self) {
        lock(&self.0.state).calls.clear();
    }

    /// The events collected since the last time (only without an event sink).
    pub fn take_events(&self) -> Vec<Value> {
        std::mem::take(&mut lock(&self.0.state).events)
    }

    /// The Lambda invocations collected since the last time (only without an invoke sink).
    pub fn take_invocations(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut lock(&self.0.state).invocations)
    }

    /// The records: the latest version of every object under `records/` of any bucket, by key.
    /// An object that is not JSON shows as JSON string.
    pub fn records(&self) -> Vec<(String, Value)> {
        self.with_state(|state| {
            let objects = state.buckets.values().flat_map(|bucket| &bucket.objects);
            objects
                .filter(|(key, _)| key.starts_with("records/"))
                .filter_map(|(key, versions)| {
                    let body = &versions.last()?.body;
                    let text = || Value::String(String::from_utf8_lossy(body).into_owned());
                    Some((
                        key.clone(),
                        serde_json::from_slice(body).unwrap_or_else(|_| text()),
                    ))
                })
                .collect()
        })
    }

    /// Keys of a bucket.
    pub fn object_keys(&self, bucket: &str) -> Vec<String> {
        self.with_state(|state| {
            state
                .buckets
                .get(bucket)
                .map(|bucket| bucket.objects.keys().cloned().collect())
                .unwrap_or_default()
        })
    }

    /// All versions of an object, oldest first.
    pub fn object_versions(&self, bucket: &str, key: &str) -> Vec<ObjectVersion> {
        self.with_state(|state| {
            state
                .buckets
                .get(bucket)
                .and_then(|bucket| bucket.objects.get(key))
                .cloned()
                .unwrap_or_default()
        })
    }

    /// The messages published so far, of all topics that people are subscribed to.
    pub fn messages(&self) -> Vec<Message> {
        let mut messages = self.with_state(|state| state.messages.clone());
        self.with_state(|state| {
            messages.retain(|message| !state.event_topics.contains(&message.topic_arn));
        });
        messages
    }

    /// What a queue has got so far that is subscribed to all topics, with raw delivery, and takes messages of these kinds
    /// (attribute `kind`).
    pub fn queued(&self, kinds: &[&str]) -> Vec<String> {
        let messages = self.with_state(|state| state.messages.clone());
        let is_one = |message: &Message| {
            let kind = message.attributes.get("kind");
            kind.is_some_and(|kind| kinds.contains(&kind.as_str()))
        };
        let taken = messages.into_iter().filter(is_one);
        taken
            .map(|message| message.seen_by("sqs").to_owned())
            .collect()
    }

    /// The events of a log group, stream by stream.
    pub fn log_events(&self, group: &str) -> Vec<LogEvent> {
        self.with_state(|state| {
            state
                .log_groups
                .get(group)
                .map(|group| group.values().flatten().cloned().collect())
                .unwrap_or_default()
        })
    }

    /// The items of a table in DynamoDB's JSON (`{"id":{"S":"…"}}`), by key.
    pub fn table_items(&self, table: &str) -> Vec<Value> {
        self.with_state(|state| {
            state
                .tables
                .get(table)
                .map(|table| table.items_json())
                .unwrap_or_default()
        })
    }

    /// The first answer to a question about the items of an index, which are asked in its order, as DynamoDB's JSON.
    pub fn find_indexed<R>(
        &self,
        table: &str,
        index: &str,
        ask: impl FnMut(Value) -> Option<R>,
    ) -> Option<R> {
        self.with_state(|state| {
            let table = state.tables.get(table)?;
            table.indexed_json(index)?.find_map(ask)
        })
    }

    /// The item of a table under a partition key that is a string, in DynamoDB's JSON.
    pub fn table_item(&self, table: &str, key: &str) -> Option<Value> {
        self.with_state(|state| state.tables.get(table)?.item_json(key))
    }

    /// How many restores there are at this moment: jobs that have not ended, and databases and machines that are there
    /// beside them.
    pub fn restores_there_are(&self) -> usize {
        self.with_state(|state| {
            let (mut jobs, mut making) = (0, BTreeSet::new());
            for job in state.jobs.open() {
                jobs += 1;
                let plan = job.source.as_ref();
                let instance = plan.and_then(|plan| plan.instance.as_ref());
                let cluster = plan.and_then(|plan| plan.cluster.as_ref());
                let machine = plan.and_then(|plan| plan.machine.as_ref());
                making.extend(instance.map(|instance| instance.identifier.as_str()));
                making.extend(cluster.map(|cluster| cluster.identifier.as_str()));
                making.extend(machine.map(|machine| machine.instance.id.as_str()));
            }
            let made = things(state).into_iter().filter(|thing| {
                let is_whole = thing.kind != ThingKind::Volume && thing.belongs_to.is_none();
                thing.kind.is_restored() && is_whole && !making.contains(thing.id.as_str())
            });
            jobs + made.count()
        })
    }

    /// Everything that exists now. An EC2 instance that is terminated does not, though EC2 describes it for a while.
    pub fn things(&self) -> Vec<Thing> {
        self.with_state(|state| things(state))
    }

    /// The DB instances that exist now.
    pub fn db_instances(&self) -> Vec<DbInstance> {
        self.with_state(|state| {
            state
                .instances
                .values()
                .map(|instance| instance.db.clone())
                .collect()
        })
    }

    /// The DB clusters that exist now.
    pub fn db_clusters(&self) -> Vec<DbCluster> {
        self.with_state(|state| {
            let clusters = state.clusters.values();
            clusters.map(|cluster| cluster.db.clone()).collect()
        })
    }

    /// The EC2 instances, also those that are terminated and still described.
    pub fn ec2_instances(&self) -> Vec<Ec2Instance> {
        self.with_state(|state| {
            state
                .machines
                .values()
                .map(|machine| machine.instance.clone())
                .collect()
        })
    }

    /// The volumes that exist now.
    pub fn volumes(&self) -> Vec<Volume> {
        self.with_state(|state| {
            state
                .volumes
                .values()
                .map(|volume| volume.volume.clone())
                .collect()
        })
    }

    /// The EC2 instances that were terminated and the volumes that were deleted so far, in order.
    pub fn deletions(&self) -> Vec<Deletion> {
        self.with_state(|state| state.deletions.clone())
    }

    /// All restore jobs, oldest first.
    pub fn restore_jobs(&self) -> Vec<RestoreJob> {
        self.with_state(|state| state.jobs.iter().map(|job| job.job.clone()).collect())
    }
}
