//! A scene for scenario tests: the function and an AWS in memory, in one process, under one clock.
//!
//! The function's environment comes from `template.yaml`. Its calls go through the SDK's HTTP connector, so that
//! what is tested is what is on the wire. Tests look at what is left in the world.

#![allow(clippy::unwrap_used)]

pub mod agreement;
pub mod canary;
pub mod inspect;
pub mod torture;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region};
use jiff::{SignedDuration, Timestamp};
use restore_proof_function::aws::Aws;
use restore_proof_function::config::Config;
use restore_proof_function::failure;
use restore_proof_function::{App, handle};
use restore_proof_local_aws::alarm::{Alarm, MetricFilter};
use restore_proof_local_aws::template::{Deployment, Function, Rule, Template};
use restore_proof_local_aws::{
    Bucket, DbSubnetGroup, Machine, ObjectVersion, RecoveryPoint, RestoreBehaviour, RouteTable,
    Secret, SecurityGroup, Subnet, Table, Vault, World, WorldOptions,
};
use serde_json::{Value, json};

use crate::canary::Watch;

/// The backup account.
pub const ACCOUNT: &str = "111122223333";
/// The account that is backed up.
pub const SOURCE_ACCOUNT: &str = "222233334444";
/// The Region.
pub const REGION: &str = "eu-central-1";
/// The vault in which copies land.
pub const VAULT: &str = "central";
/// A vault that receives backups, not copies.
pub const BACKUP_JOB_VAULT: &str = "local";
/// Begins the names of what we restore.
pub const PREFIX: &str = "restore-proof";
/// The role that restores of ours run under.
pub const RESTORE_ROLE: &str = "arn:aws:iam::111122223333:role/restore-proof-restore";
/// The subnet group of the isolated network.
pub const SUBNET_GROUP: &str = "isolated";
/// The bucket of records and policy.
pub const BUCKET: &str = "results";
/// The log group of verdicts and cleanups.
pub const LOG_GROUP: &str = "records";
/// Key of the policy in the bucket.
pub const POLICY_KEY: &str = "policy/policy.toml";
/// Key of the CA bundle in the bucket.
pub const CA_KEY: &str = "ca.pem";
/// What AWS Backup says of a backup that cannot be restored.
pub const DAMAGED: &str =
    "Recovery point exceeded the number of damaged blocks that can be repaired";
/// What it says when AWS has no room for the restored instance just now.
pub const NO_ROOM: &str = "We currently do not have sufficient db.t3.micro capacity in the Availability Zone you requested (Service: AmazonRDS; Status Code: 400; Error Code: InsufficientDBInstanceCapacity; Request ID: 11111111-2222-3333-4444-555555555555; Proxy: null)";
/// The table of the ledger.
pub const LEDGER: &str = "ledger";

/// The secret of a login that rules may name.
const SHOP_SECRET: &str = "restore-proof/shop";

/// The subnet of restored machines.
pub const SUBNET: &str = "subnet-0150ca7ed0000000a";
/// All subnets of the isolated network.
pub const SUBNETS: [&str; 2] = [SUBNET, "subnet-0150ca7ed0000000b"];
/// Their route table.
pub const ROUTE_TABLE: &str = "rtb-0150ca7ed0000000a";
/// The main route table of their VPC.
pub const MAIN_ROUTE_TABLE: &str = "rtb-0150ca7ed0000000b";
/// The isolated network's addresses: where restored machines of the tests have theirs.
pub const NETWORK_CIDR: &str = "127.77.0.0/16";
/// The stack's own event bus, where it has one.
pub const BUS: &str = "restore-proof-bus";
/// The key of the volumes of restored machines.
pub const VOLUME_KEY: &str =
    "arn:aws:kms:eu-central-1:111122223333:key/5ea50000-0000-4000-8000-00000000000a";
/// The security group of restored machines.
pub const MACHINE_SECURITY_GROUP: &str = "sg-0150ca7ed0000000b";
/// What passwords of restored copies are derived from.
pub const RESET_KEY: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

/// The security group of restored databases.
pub const SECURITY_GROUP: &str = "sg-0150ca7ed0000000a";
/// The VPC of the isolated network.
pub const VPC: &str = "vpc-0150ca7ed0000000a";
const RESET_KEY_SECRET: &str = "restore-proof-reset-key";
/// How long Lambda lets an invocation run.
pub(crate) const TIMEOUT: SignedDuration = SignedDuration::from_secs(900);

/// The function in its world.
pub struct Scene {
    /// The AWS.
    pub world: World,
    /// The function.
    pub app: App,
    /// Looks for secrets in all that the function writes, when the scene ends.
    pub watch: Watch,
    offset: Arc<AtomicI64>,
    invocations: Mutex<Vec<Invocation>>,
}

/// One run of the function, as Lambda counts it.
#[derive(Clone, Copy, Debug)]
pub struct Invocation {
    /// When it began.
    pub began: Timestamp,
    /// Whether it ended with an error.
    pub failed: bool,
}

/// The repository's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// A policy of one rule for everything, without checks.
pub const UNCHECKED: &str = r#"
version = "test"
[[rules]]
name = "all"
match = {}
frequency = "every-copy"
"#;

impl Scene {
    /// A scene with this policy.
    pub async fn set(policy: &str) -> Scene {
        Scene::with_options(policy, WorldOptions::default()).await
    }

    /// A scene with this policy in a world of these options; account, Region and clock are the scene's.
    pub async fn with_options(policy: &str, options: WorldOptions) -> Scene {
        let offset = Arc::new(AtomicI64::new(0));
        let moved = Arc::clone(&offset);
        let clock: restore_proof_local_aws::Clock = Arc::new(move || {
            Timestamp::now() + SignedDuration::from_millis(moved.load(Ordering::SeqCst))
        });
        let options = WorldOptions { clock, ..options };
        let mut scene = Scene::in_world(options, policy, Watch::begin(), |world, watch, sdk| {
            sdk.region(Region::new(REGION))
                .http_client(watch.over(world.http_client()))
                .retry_config(
                    // Time is real here: what the SDK tries again it need not wait for as long as on AWS.
                    RetryConfig::standard()
                        .with_initial_backoff(Duration::from_millis(100))
                        .with_max_backoff(Duration::from_secs(1)),
                )
        })
        .await;
        scene.write_calls_down();
        scene.app.poll = Duration::from_millis(50);
        scene.offset = offset;
        scene
    }

    /// A scene in this world, whose function calls by what `sdk` configures; account and Region are the scene's.
    async fn in_world(
        options: WorldOptions,
        policy: &str,
        watch: Watch,
        sdk: impl FnOnce(&World, &Watch, ConfigLoader) -> ConfigLoader,
    ) -> Scene {
        let clock = Arc::clone(&options.clock);
        let world = World::new(WorldOptions {
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            ..options
        });
        furnish(&world, policy);
        watch.seed(&world);
        let environment = environment();
        let config = Config::read(|name| environment.get(name).cloned()).unwrap();
        let defaults = aws_config::defaults(BehaviorVersion::latest()).test_credentials();
        let sdk = sdk(&world, &watch, defaults).load().await;
        let app = App::new(config, Aws::new(&sdk), clock);
        Scene {
            world,
            app,
            watch,
            offset: Arc::default(),
            invocations: Mutex::default(),
        }
    }

    /// Writes every call from now on where the environment asks for it.
    fn write_calls_down(&self) {
        if let Some(file) = std::env::var_os("RESTORE_PROOF_RECORD") {
            self.world.record_to(Path::new(&file)).unwrap();
        }
    }

    /// Now, in this scene.
    pub fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// Lets time pass.
    pub fn pass(&self, time: SignedDuration) {
        self.offset
            .fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
        self.world.settle();
    }

    /// Puts a recovery point of a database into the vault, made ten minutes ago. Answers its ARN.
    pub fn backup(&self, database: &str, behaviour: RestoreBehaviour) -> String {
        self.add(RecoveryPoint {
            behaviour,
            ..self.point(database)
        })
    }

    /// A recovery point of a database as it would lie in the vault.
    pub fn point(&self, database: &str) -> RecoveryPoint {
        RecoveryPoint {
            arn: format!("arn:aws:rds:{REGION}:{ACCOUNT}:snapshot:awsbackup:copyjob-{database}"),
            vault: VAULT.to_owned(),
            source_resource_arn: format!("arn:aws:rds:{REGION}:{SOURCE_ACCOUNT}:db:{database}"),
            created_at: self.now() - SignedDuration::from_mins(10),
            completed_at: Some(self.now()),
            tags: [("Note".to_owned(), self.watch.canary("tag"))].into(),
            ..RecoveryPoint::default()
        }
    }

    /// A recovery point of an Aurora cluster as it would lie in the vault.
    pub fn cluster_point(&self, cluster: &str) -> RecoveryPoint {
        RecoveryPoint {
            arn: format!(
                "arn:aws:rds:{REGION}:{ACCOUNT}:cluster-snapshot:awsbackup:copyjob-{cluster}"
            ),
            source_resource_arn: format!("arn:aws:rds:{REGION}:{SOURCE_ACCOUNT}:cluster:{cluster}"),
            resource_type: "Aurora".to_owned(),
            ..self.point(cluster)
        }
    }

    /// A recovery point of a machine as it would lie in the vault: an image, whose ARN names no account. The id is
    /// hexadecimal.
    pub fn machine_point(&self, id: &str, mut machine: Machine) -> RecoveryPoint {
        for (name, page) in &mut machine.files {
            if name.ends_with(".html") {
                page.push_str(&self.watch.canary("page"));
            }
        }
        RecoveryPoint {
            arn: format!("arn:aws:ec2:{REGION}::image/ami-{id:0>17}"),
            source_resource_arn: format!(
                "arn:aws:ec2:{REGION}:{SOURCE_ACCOUNT}:instance/i-{id:0>17}"
            ),
            resource_type: "EC2".to_owned(),
            machine: Some(machine),
            ..self.point(id)
        }
    }

    /// Puts a recovery point into its vault. Answers its ARN.
    pub fn add(&self, point: RecoveryPoint) -> String {
        let arn = point.arn.clone();
        self.world.add_recovery_point(point);
        arn
    }

    /// Invokes the function.
    pub async fn try_invoke(&self, payload: Value) -> failure::Result<Value> {
        self.try_invoke_within(payload, TIMEOUT).await
    }

    /// Invokes the function, which Lambda ends after this time.
    pub async fn try_invoke_within(
        &self,
        payload: Value,
        timeout: SignedDuration,
    ) -> failure::Result<Value> {
        let began = self.now();
        let answer = handle(&self.app, &payload, began + timeout).await;
        self.watch.answered(&answer);
        let failed = answer.is_err();
        let mut invocations = self.invocations.lock().unwrap();
        invocations.push(Invocation { began, failed });
        answer
    }

    /// All invocations so far.
    pub fn invocations(&self) -> Vec<Invocation> {
        self.invocations.lock().unwrap().clone()
    }

    /// Invokes the function, which must succeed.
    pub async fn invoke(&self, payload: Value) -> Value {
        self.try_invoke(payload).await.unwrap()
    }

    /// Lets the event of a landed copy arrive. Answers the validation's id.
    pub async fn lands(&self, recovery_point_arn: &str) -> String {
        let job = self.world.copy_job_of(recovery_point_arn).unwrap();
        let answer = self.invoke(self.world.copy_job_event(&job)).await;
        answer["validation_id"].as_str().unwrap().to_owned()
    }

    /// Delivers the events and invocations that are there, and what follows of them.
    pub async fn deliver(&self) {
        self.deliver_within(TIMEOUT).await;
    }

    /// The same with a function that Lambda ends after this time.
    pub async fn deliver_within(&self, timeout: SignedDuration) {
        loop {
            let invocations = self
                .world
                .take_invocations()
                .into_iter()
                .map(|(_, payload)| payload);
            let arrived: Vec<_> = self
                .world
                .take_events()
                .into_iter()
                .chain(invocations)
                .collect();
            if arrived.is_empty() {
                return;
            }
            for payload in arrived {
                // What fails is delivered again by the sweep.
                let _ = self.try_invoke_within(payload, timeout).await;
            }
        }
    }

    /// Lets five minutes pass and the sweep come by.
    pub async fn sweep(&self) {
        self.pass(SignedDuration::from_mins(5));
        let _ = self.try_invoke(json!({ "sweep": "due" })).await;
        self.deliver().await;
    }

    /// Delivers and sweeps until the validation is closed.
    pub async fn close(&self, id: &str) -> Value {
        // Ten hours, in which a restore may be tried three times.
        for _ in 0..120 {
            self.deliver().await;
            if self.item(id)["stage"]["S"] == "closed" {
                return self.record(id);
            }
            self.sweep().await;
            // A real database comes up in real time.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("validation {id} is not closed: {:#}", self.item(id));
    }

    /// Lets a copy land and closes its validation. Answers the record.
    pub async fn prove(&self, recovery_point_arn: &str) -> Value {
        let id = self.lands(recovery_point_arn).await;
        self.close(&id).await
    }

    /// Lets an event arrive that opens a validation, and closes it. Answers the record.
    pub async fn prove_by(&self, event: &Value) -> Value {
        let answer = self.invoke(event.clone()).await;
        let id = answer["validation_id"].as_str();
        self.close(id.unwrap_or_else(|| panic!("nothing opened: {answer}")))
            .await
    }

    /// The ledger's item of this id, as DynamoDB writes it; null when there is none.
    pub fn item(&self, id: &str) -> Value {
        let items = self.world.table_items(LEDGER);
        items
            .into_iter()
            .find(|item| item["id"]["S"] == id)
            .unwrap_or_default()
    }

    /// The validation as the ledger keeps it.
    pub fn validation(&self, id: &str) -> Value {
        serde_json::from_str(self.item(id)["document"]["S"].as_str().unwrap()).unwrap()
    }

    /// What keeps the ledger from being quiet, with so many validations in it: each is to be closed, or left behind and
    /// due only after hours. None when nothing does.
    pub fn open_validations(&self, expected: usize) -> Option<String> {
        let items = self.world.table_items(LEDGER);
        let mut count = 0;
        for item in &items {
            let Some(document) = item["document"]["S"].as_str() else {
                continue;
            };
            count += 1;
            let validation: Value = serde_json::from_str(document).unwrap();
            let due: Option<Timestamp> =
                serde_json::from_value(validation["due_at"].clone()).unwrap();
            let held = !item["lease_owner"].is_null();
            let is_left = validation["cleanup"] == "left_behind"
                && due.is_some_and(|due| due > self.now() + SignedDuration::from_hours(2));
            if held || (due.is_some() && !is_left) {
                return Some(format!(
                    "{} is {}, due {due:?}",
                    item["id"], validation["stage"]
                ));
            }
        }
        (count < expected).then(|| format!("{count} of {expected} validations are in the ledger"))
    }

    /// The one record of a validation.
    pub fn record(&self, id: &str) -> Value {
        let mut found = self.records();
        found.retain(|record| record["validation_id"] == id);
        assert_eq!(found.len(), 1, "one record of {id}, found {found:#?}");
        found.remove(0)
    }

    /// Every version of the one record there is, oldest first.
    pub fn record_versions(&self) -> Vec<ObjectVersion> {
        let records = self.world.records();
        let [(key, _)] = records.as_slice() else {
            panic!("one record, found {records:#?}");
        };
        self.world.object_versions(BUCKET, key)
    }

    /// All records.
    pub fn records(&self) -> Vec<Value> {
        self.world
            .records()
            .into_iter()
            .map(|(_, record)| record)
            .filter(|record| record["validation_id"] != inspect::PROVED_BEFORE)
            .collect()
    }

    /// Names of the DB instances there are.
    pub fn instances(&self) -> Vec<String> {
        self.world
            .db_instances()
            .into_iter()
            .map(|instance| instance.identifier)
            .collect()
    }

    /// The log events of one kind (`verdict`, `cleanup`) about a validation.
    pub fn log_events(&self, kind: &str, id: &str) -> Vec<Value> {
        let events = self.world.log_events(LOG_GROUP);
        let read = events
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(&event.message).ok());
        read.filter(|event| event["event"] == kind && event["validation_id"] == id)
            .collect()
    }

    /// Names of the DB clusters there are.
    pub fn clusters(&self) -> Vec<String> {
        let clusters = self.world.db_clusters().into_iter();
        clusters.map(|cluster| cluster.identifier).collect()
    }

    /// Ids of the machines that are not terminated.
    pub fn machines(&self) -> Vec<String> {
        let machines = self.world.ec2_instances().into_iter();
        machines
            .filter(|machine| machine.state != "terminated")
            .map(|machine| machine.id)
            .collect()
    }

    /// Ids of the volumes there are.
    pub fn volumes(&self) -> Vec<String> {
        let volumes = self.world.volumes().into_iter();
        volumes.map(|volume| volume.id).collect()
    }

    /// No call that changes something names this resource.
    pub fn assert_untouched(&self, name: &str) {
        self.assert_untouched_after(0, name);
    }

    /// The same, of what was called after so many calls.
    pub fn assert_untouched_after(&self, calls: usize, name: &str) {
        let named: Vec<_> = self
            .world
            .calls()
            .into_iter()
            .skip(calls)
            .filter(|call| {
                call.mutating && matches!(call.service, "RDS" | "EC2") && call.mentions(name)
            })
            .map(|call| call.name())
            .collect();
        assert!(named.is_empty(), "{name} was named by {named:?}");
        let there = [
            self.instances(),
            self.clusters(),
            self.machines(),
            self.volumes(),
        ]
        .concat();
        assert!(there.iter().any(|one| one == name), "{name} is gone");
    }

    /// Nothing that we restored exists, and the ledger holds no slot and no lease.
    pub fn assert_clean(&self) {
        self.assert_clean_beside(&[]);
    }

    /// The same where these machines and volumes are somebody else's.
    pub fn assert_clean_beside(&self, foreign: &[&str]) {
        let databases = self.instances().into_iter().chain(self.clusters());
        let left: Vec<_> = databases
            .filter(|name| name.starts_with("restore-proof-"))
            .chain(self.machines())
            .chain(self.volumes())
            .filter(|name| !foreign.contains(&name.as_str()))
            .collect();
        assert!(left.is_empty(), "left: {left:?}");
        let held = inspect::held(&self.world.table_items(LEDGER));
        assert!(held.is_empty(), "{held:?}");
    }

    /// Replaces the policy.
    pub fn set_policy(&self, text: &str) {
        self.world.put_object(BUCKET, POLICY_KEY, text.to_owned());
    }
}

/// The function's environment, from the template.
fn environment() -> &'static BTreeMap<String, String> {
    // Read once for all scenes: some tests set a thousand.
    static READ: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    READ.get_or_init(read_environment)
}

/// How often the template has the function look for what is due.
pub fn due_sweep_every() -> SignedDuration {
    static READ: OnceLock<SignedDuration> = OnceLock::new();
    *READ.get_or_init(|| {
        let schedules = function().schedules;
        let mut schedules = schedules.iter();
        let due = schedules.find(|one| one.input == json!({ "sweep": "due" }));
        SignedDuration::try_from(due.unwrap().every).unwrap()
    })
}

/// The function as a deployment of the template would make it.
pub fn function() -> Function {
    function_with(&[])
}

/// The function as a deployment with these parameters would make it.
pub fn function_with(parameters: &[(&str, &str)]) -> Function {
    let mut deployment = deployment();
    let given = parameters.iter();
    deployment
        .parameters
        .extend(given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    template("template.yaml")
        .function("RestoreProofFunction", &deployment)
        .unwrap()
}

/// The alarms of a deployment.
pub fn alarms() -> Vec<Alarm> {
    template("template.yaml").alarms(&deployment()).unwrap()
}

/// What a deployment counts in log groups by filters.
pub fn metric_filters() -> Vec<MetricFilter> {
    template("template.yaml")
        .metric_filters(&deployment())
        .unwrap()
}

/// The rules by which a source account forwards its events to the bus of this name.
pub fn forwarding_rules(bus: &str) -> Vec<Rule> {
    let deployment = Deployment {
        parameters: [(
            "BusArn".to_owned(),
            format!("arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{bus}"),
        )]
        .into(),
        pseudo_parameters: [
            ("AWS::AccountId".to_owned(), SOURCE_ACCOUNT.to_owned()),
            ("AWS::Region".to_owned(), REGION.to_owned()),
        ]
        .into(),
        ..Deployment::default()
    };
    template("infra/forward.yaml")
        .event_rules(&deployment)
        .unwrap()
}

fn template(name: &str) -> Template {
    Template::read(&root().join(name)).unwrap()
}

fn read_environment() -> BTreeMap<String, String> {
    let mut environment = function().environment;
    environment.insert("AWS_REGION".to_owned(), REGION.to_owned());
    environment.insert("AWS_LAMBDA_FUNCTION_NAME".to_owned(), PREFIX.to_owned());
    environment
}

fn deployment() -> Deployment {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let arn = "arn:aws:test:eu-central-1:111122223333:thing";
    Deployment {
        parameters: map(&[
            ("NamePrefix", PREFIX),
            ("BackupVaultNames", VAULT),
            ("BackupJobVaultNames", BACKUP_JOB_VAULT),
            ("IamDatabaseUsers", "iam_check"),
            ("DatabaseCaBundleUri", &format!("s3://{BUCKET}/{CA_KEY}")),
            ("VpcCidr", NETWORK_CIDR),
        ]),
        pseudo_parameters: map(&[
            ("AWS::AccountId", ACCOUNT),
            ("AWS::Region", REGION),
            ("AWS::StackName", PREFIX),
        ]),
        resources: map(&[
            ("Ledger", LEDGER),
            ("ResultsBucket", BUCKET),
            ("Topic", &topic()),
            ("UrgentTopic", &urgent_topic()),
            ("EventsTopic", &events_topic()),
            ("RecordsLogGroup", LOG_GROUP),
            ("FunctionLogGroup", "function"),
            ("RestoreRole.Arn", RESTORE_ROLE),
            ("FunctionRole.Arn", arn),
            ("ScheduleRole.Arn", arn),
            ("RestoreProofFunction", PREFIX),
            ("UndeliveredEvents.Arn", &queue_arn("undelivered")),
            ("UndeliveredEvents.QueueName", "undelivered"),
            ("ExhaustedRetries.Arn", &queue_arn("exhausted")),
            ("ExhaustedRetries.QueueName", "exhausted"),
            ("ResetKey", RESET_KEY_SECRET),
            ("Network.Outputs.VpcId", VPC),
            ("Network.Outputs.SubnetIds", &SUBNETS.join(",")),
            (
                "Network.Outputs.MachineSecurityGroupId",
                MACHINE_SECURITY_GROUP,
            ),
            ("Network.Outputs.MachineZones", "eu-central-1a"),
            ("Network.Outputs.MachineSubnetIds", SUBNET),
            ("VolumeKey.Arn", VOLUME_KEY),
            ("Bus", BUS),
            (
                "Network.Outputs.FunctionSecurityGroupId",
                "sg-0150ca7ed0000000f",
            ),
            ("Network.Outputs.DatabaseSecurityGroupId", SECURITY_GROUP),
            ("Network.Outputs.DbSubnetGroupName", SUBNET_GROUP),
        ]),
    }
}

fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

/// The topic of what is urgent.
pub fn urgent_topic() -> String {
    format!("arn:aws:sns:{REGION}:{ACCOUNT}:{PREFIX}-urgent")
}

/// The topic of events of which people do not hear.
pub fn events_topic() -> String {
    format!("arn:aws:sns:{REGION}:{ACCOUNT}:{PREFIX}-events")
}

/// The topic of all that is not urgent.
pub fn topic() -> String {
    format!("arn:aws:sns:{REGION}:{ACCOUNT}:{PREFIX}")
}

/// The route table of the isolated subnets, as `infra/network.yaml` makes it.
pub fn route_table() -> RouteTable {
    RouteTable::isolated(ROUTE_TABLE, VPC, NETWORK_CIDR, &SUBNETS)
}

/// Puts into a world what the deployment and its owner would have put there, with this policy.
pub fn furnish(world: &World, policy: &str) {
    world.add_vault(Vault {
        name: VAULT.to_owned(),
        created_at: Some(world.now()),
        ..Vault::default()
    });
    world.add_bucket(Bucket {
        name: BUCKET.to_owned(),
        versioned: true,
        object_lock: true,
    });
    world.put_object(BUCKET, POLICY_KEY, policy.to_owned());
    world.add_table(Table::ledger(LEDGER));
    world.add_topic(&topic());
    world.add_topic(&urgent_topic());
    world.add_event_topic(&events_topic());
    world.add_log_group(LOG_GROUP);
    world.add_function(PREFIX);
    world.add_vault(Vault {
        name: BACKUP_JOB_VAULT.to_owned(),
        created_at: Some(world.now()),
        ..Vault::default()
    });
    world.add_db_subnet_group(DbSubnetGroup {
        name: SUBNET_GROUP.to_owned(),
        vpc_id: VPC.to_owned(),
    });
    world.add_subnet(Subnet {
        id: SUBNET.to_owned(),
        vpc_id: VPC.to_owned(),
        cidr: NETWORK_CIDR.to_owned(),
    });
    world.add_route_table(route_table());
    world.add_route_table(RouteTable::main(MAIN_ROUTE_TABLE, VPC, NETWORK_CIDR));
    for id in [SECURITY_GROUP, MACHINE_SECURITY_GROUP] {
        world.add_security_group(SecurityGroup::closed(id, VPC));
    }
    world.add_secret(Secret {
        name: RESET_KEY_SECRET.to_owned(),
        value: RESET_KEY.to_owned(),
    });

    let secret = json!({ "username": "postgres", "password": "of-the-test", "dbname": "shop" });
    world.add_secret(Secret {
        name: SHOP_SECRET.to_owned(),
        value: secret.to_string(),
    });
}
