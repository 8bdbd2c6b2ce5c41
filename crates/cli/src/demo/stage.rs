//! The scene: an AWS account as a deployment of the template would leave it, with the function in it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use restore_proof_local_aws::engine::{
    MariaDb, Postgres, READER_USER, SAMPLE_DATABASE, SampleVariant,
};
use restore_proof_local_aws::event_bus::EventBus;
use restore_proof_local_aws::runtime_api::{Lambda, LambdaOptions};
use restore_proof_local_aws::schedule::Schedules;
use restore_proof_local_aws::template::{Deployment, Function, Template};
use restore_proof_local_aws::{
    Bucket, DbSubnetGroup, Notice, RestoreJob, RouteTable, Secret, SecurityGroup, Server, Subnet,
    Table, Vault, World, WorldOptions, serve, system_clock,
};
use serde_json::Value;

use super::secrets::Secrets;
use super::story::Dumps;

/// The backup account that all happens in.
pub const ACCOUNT: &str = "111122223333";
/// The account the backups come from.
pub const SOURCE_ACCOUNT: &str = "222233334444";
/// The Region.
pub const REGION: &str = "eu-central-1";
/// The vault in which copies land.
pub const VAULT: &str = "central";
/// A vault that receives backups of this account itself, no copies.
pub const LOCAL_VAULT: &str = "local";
/// The template's `NamePrefix`: what we restore is called so.
pub const PREFIX: &str = "restore-proof";
/// The bucket of policy and records.
pub const BUCKET: &str = "restore-proof-results";
/// The table of the ledger.
pub const LEDGER: &str = "restore-proof-ledger";
/// The log group of verdicts and cleanups.
pub const RECORDS_LOG_GROUP: &str = "restore-proof-records";
/// The topic's `DisplayName` in the template: who its mails are from.
pub const TOPIC_DISPLAY_NAME: &str = "Restore Proof";
/// The isolated network.
pub const VPC: &str = "vpc-0150ca7ed0000000a";
/// Its subnets, the first of which machines are restored to.
pub const SUBNETS: [&str; 2] = ["subnet-0150ca7ed0000000a", "subnet-0150ca7ed0000000b"];
/// Security group of restored machines.
pub const MACHINE_SECURITY_GROUP: &str = "sg-0150ca7ed0000000b";
/// How many times as often as deployed the schedules run.
pub const HURRY: u32 = 240;
/// What `CONFIRM_GONE_SECONDS` is replaced by.
const CONFIRM_GONE_SECONDS: &str = "1";

const CA_BUNDLE_KEY: &str = "ca/local.pem";
const FUNCTION: &str = "RestoreProofFunction";
const SUBNET_GROUP: &str = "restore-proof-isolated";
const SECURITY_GROUP: &str = "sg-0150ca7ed0000000a";
/// As CloudFormation names a secret that a template generates.
const RESET_KEY: &str = "ResetKey-q7Zp0d4Lk2Vh";
/// Where restored machines have their addresses here: loopback, but neither 127.0.0.1 nor its neighbours.
const NETWORK_CIDR: &str = "127.77.0.0/16";

/// Everything that is there. Dropping it lets all of it go.
pub struct Stage {
    /// The AWS.
    pub world: World,
    /// The function.
    pub lambda: Lambda,
    /// What the recovery points are made of.
    pub dumps: Dumps,
    /// The function's settings as the template has them, before the demo's own change.
    pub function: Function,
    /// Where the AWS is served.
    pub url: String,
    template: Template,
    bootstrap: PathBuf,
    folder: PathBuf,
    bus: EventBus,
    schedules: Schedules,
    server: Server,
    /// What went wrong in deployments before this one.
    failures: Vec<String>,
    exhausted: Vec<Value>,
}

/// What to set the stage with.
pub struct Props<'a> {
    /// The state folder.
    pub folder: &'a Path,
    /// The function's program.
    pub bootstrap: &'a Path,
    /// The deployment template.
    pub template: &'a Path,
    /// Where every AWS call is recorded, if anywhere.
    pub record: Option<&'a Path>,
    /// When the newest data of a healthy backup was written.
    pub newest_data: jiff::Timestamp,
    /// The secrets of production and of the stack.
    pub secrets: &'a Secrets,
    /// `MaxConcurrentRestores`.
    pub limit: u32,
}

impl Stage {
    /// Sets it all up; takes some seconds, most of which the sample databases need.
    ///
    /// # Errors
    /// When something is missing on this machine or the template does not fit.
    pub async fn set(props: Props<'_>) -> Result<Stage> {
        let template = Template::read(props.template)?;
        let world = World::new(WorldOptions {
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            ..WorldOptions::default()
        });
        if let Some(file) = props.record {
            world.record_to(file)?;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = serve(world.clone(), address).await?;
        let url = server.url();
        let (function, lambda) = deploy(&Deploy {
            template: &template,
            bootstrap: props.bootstrap,
            folder: props.folder,
            url: &url,
            limit: props.limit,
        })
        .with_context(|| format!("the template {} cannot be played", props.template.display()))?;

        // What can be missing was looked at first: this takes the time.
        let postgres = Postgres::new(props.folder).await?;
        let variants = [
            SampleVariant::Fresh,
            SampleVariant::Emptied,
            SampleVariant::Stale(72),
        ];
        let mysql = async {
            let mariadb = MariaDb::new(props.folder, &postgres.authority()).await?;
            let password = &props.secrets.mysql_password;
            mariadb
                .sample(props.newest_data, password, &variants[..2])
                .await
        };
        let password = &props.secrets.postgres_password;
        let (sample, mysql) = tokio::try_join!(
            postgres.sample(props.newest_data, password, &variants),
            mysql
        )?;
        let [fresh, emptied, stale] = <[_; 3]>::try_from(sample)
            .map_err(|dumps| anyhow::anyhow!("{} dumps of three variants", dumps.len()))?;
        let [mysql, mysql_emptied] = <[_; 2]>::try_from(mysql)
            .map_err(|dumps| anyhow::anyhow!("{} dumps of two variants", dumps.len()))?;
        furnish(&world, postgres.ca_certificate_pem(), props.secrets);
        world.add_function(&function.name);
        let (bus, schedules) = connect(&world, &function, &lambda);
        let dumps = Dumps {
            fresh,
            stale,
            emptied,
            mysql,
            mysql_emptied,
        };
        Ok(Stage {
            world,
            lambda,
            dumps,
            function,
            url,
            template,
            bootstrap: props.bootstrap.to_owned(),
            folder: props.folder.to_owned(),
            bus,
            schedules,
            server,
            failures: Vec::new(),
            exhausted: Vec::new(),
        })
    }

    /// Deploys the template once more, with another `MaxConcurrentRestores`, into the same account.
    ///
    /// # Errors
    /// When the function cannot be started.
    pub async fn redeploy(&mut self, limit: u32) -> Result<()> {
        let (function, lambda) = deploy(&Deploy {
            template: &self.template,
            bootstrap: &self.bootstrap,
            folder: &self.folder,
            url: &self.url,
            limit,
        })?;
        (self.bus, self.schedules) = connect(&self.world, &function, &lambda);
        let before = std::mem::replace(&mut self.lambda, lambda);
        self.failures.extend(before.failures());
        self.exhausted.extend(before.exhausted());
        before.stop().await;
        self.function = function;
        Ok(())
    }

    /// AWS Backup notifies the vault's topic of a job.
    pub fn notify(&self, notice: &Notice) {
        let notification = self.world.vault_notification(&vault_topic_arn(), notice);
        self.bus.notify(&notification);
    }

    /// The errors of all invocations that failed.
    pub fn failures(&self) -> Vec<String> {
        [self.failures.clone(), self.lambda.failures()].concat()
    }

    /// What lies in the queue of invocations that failed for good.
    pub fn exhausted(&self) -> Vec<Value> {
        [self.exhausted.clone(), self.lambda.exhausted()].concat()
    }

    /// How the demo differs from a deployment, for people.
    pub fn hurry(&self) -> String {
        let every: Vec<_> = self
            .function
            .schedules
            .iter()
            .filter(|schedule| schedule.input.get("sweep").is_some())
            .map(|schedule| format!("{:.1} s", (schedule.every / HURRY).as_secs_f64()))
            .collect();
        format!(
            "the sweeps run every {}, {HURRY} times as often as deployed; what waits is looked at again, and a \
             deletion is confirmed, after {CONFIRM_GONE_SECONDS} s instead of {} s; restores and boots take \
             seconds",
            every.join(" and "),
            restore_proof_function::config::CONFIRM_GONE_SECONDS
        )
    }

    /// Ends schedules, function and endpoint, in this order. The world's databases go with it.
    pub async fn strike(self) {
        drop(self.schedules);
        self.lambda.stop().await;
        drop(self.server);
    }
}

/// What a deployment takes.
struct Deploy<'a> {
    template: &'a Template,
    bootstrap: &'a Path,
    folder: &'a Path,
    url: &'a str,
    limit: u32,
}

/// The function as the template has it, and the same in a hurry, ready to be invoked.
fn deploy(what: &Deploy<'_>) -> Result<(Function, Lambda)> {
    let function = what.template.function(FUNCTION, &deployment(what.limit))?;
    let mut hurried = function.clone();
    hurried.environment.insert(
        "CONFIRM_GONE_SECONDS".to_owned(),
        CONFIRM_GONE_SECONDS.to_owned(),
    );
    let lambda = Lambda::new(LambdaOptions {
        function: hurried,
        bootstrap: what.bootstrap.to_owned(),
        folder: what.folder.to_owned(),
        endpoint_url: what.url.to_owned(),
        account: ACCOUNT.to_owned(),
        region: REGION.to_owned(),
        max_processes: 16,
        retry_delay: Duration::from_secs(1),
        clock: system_clock(),
    })?;
    Ok((function, lambda))
}

/// Events and invocations go to this function from now on, and its schedules run.
fn connect(world: &World, function: &Function, lambda: &Lambda) -> (EventBus, Schedules) {
    let bus = EventBus::new(function.rules.clone(), lambda.clone())
        .with_subscriptions(function.subscriptions.clone());
    let events = bus.clone();
    world.set_event_sink(Arc::new(move |event| {
        events.put(&event);
    }));
    let itself = lambda.clone();
    world.set_invoke_sink(Arc::new(move |_, payload| itself.invoke_later(payload)));
    (bus, Schedules::start(&function.schedules, HURRY, lambda))
}

/// What the template's references stand for here.
fn deployment(limit: u32) -> Deployment {
    let map = |pairs: &[(&str, String)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    };
    let role = |name: &str| format!("arn:aws:iam::{ACCOUNT}:role/{PREFIX}-{name}");
    let queue = |name: &str| format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{PREFIX}-{name}");
    Deployment {
        parameters: map(&[
            ("NamePrefix", PREFIX.to_owned()),
            ("BackupVaultNames", VAULT.to_owned()),
            (
                "DatabaseCaBundleUri",
                format!("s3://{BUCKET}/{CA_BUNDLE_KEY}"),
            ),
            ("BackupJobVaultNames", LOCAL_VAULT.to_owned()),
            ("VaultNotificationTopicArn", vault_topic_arn()),
            ("MaxConcurrentRestores", limit.to_string()),
            ("VpcCidr", NETWORK_CIDR.to_owned()),
        ]),
        pseudo_parameters: map(&[
            ("AWS::AccountId", ACCOUNT.to_owned()),
            ("AWS::Region", REGION.to_owned()),
            ("AWS::StackName", PREFIX.to_owned()),
        ]),
        resources: map(&[
            ("Ledger", LEDGER.to_owned()),
            ("ResultsBucket", BUCKET.to_owned()),
            ("Topic", topic_arn()),
            ("UrgentTopic", urgent_topic_arn()),
            ("EventsTopic", events_topic_arn()),
            ("RecordsLogGroup", RECORDS_LOG_GROUP.to_owned()),
            ("FunctionLogGroup", format!("/aws/lambda/{PREFIX}")),
            ("RestoreRole.Arn", role("restore")),
            ("FunctionRole.Arn", role("function")),
            ("ScheduleRole.Arn", role("schedule")),
            ("UndeliveredEvents.Arn", queue("undelivered")),
            ("ExhaustedRetries.Arn", queue("exhausted")),
            (
                "ResetKey",
                format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{RESET_KEY}"),
            ),
            ("Network.Outputs.VpcId", VPC.to_owned()),
            ("Network.Outputs.SubnetIds", SUBNETS.join(",")),
            (
                "Network.Outputs.MachineSecurityGroupId",
                MACHINE_SECURITY_GROUP.to_owned(),
            ),
            ("Network.Outputs.MachineZones", format!("{REGION}a")),
            ("Network.Outputs.MachineSubnetIds", SUBNETS[0].to_owned()),
            (
                "VolumeKey.Arn",
                format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/5ea50000-0000-4000-8000-00000000000a"),
            ),
            (
                "Network.Outputs.FunctionSecurityGroupId",
                "sg-0150ca7ed0000000f".to_owned(),
            ),
            (
                "Network.Outputs.DatabaseSecurityGroupId",
                SECURITY_GROUP.to_owned(),
            ),
            ("Network.Outputs.DbSubnetGroupName", SUBNET_GROUP.to_owned()),
        ]),
    }
}

fn topic_arn() -> String {
    format!("arn:aws:sns:{REGION}:{ACCOUNT}:{PREFIX}")
}

/// The topic of what is urgent, by the name that the template gives it.
fn urgent_topic_arn() -> String {
    format!("{}-urgent", topic_arn())
}

/// The topic of events of which people do not hear.
fn events_topic_arn() -> String {
    format!("{}-events", topic_arn())
}

/// The topic that AWS Backup notifies for the vault.
fn vault_topic_arn() -> String {
    format!("arn:aws:sns:{REGION}:{ACCOUNT}:vaults")
}

/// What the deployment and its owner would have put into the account.
fn furnish(world: &World, ca_certificate: &str, secrets: &Secrets) {
    for name in [VAULT, LOCAL_VAULT] {
        world.add_vault(Vault {
            name: name.to_owned(),
            ..Vault::default()
        });
    }
    world.add_bucket(Bucket {
        name: BUCKET.to_owned(),
        versioned: true,
        object_lock: true,
    });
    world.put_object(BUCKET, "policy/policy.toml", include_str!("policy.toml"));
    world.put_object(BUCKET, CA_BUNDLE_KEY, ca_certificate.to_owned());
    world.add_table(Table::ledger(LEDGER));
    world.add_topic(&topic_arn());
    world.add_topic(&urgent_topic_arn());
    world.add_event_topic(&events_topic_arn());
    world.add_log_group(RECORDS_LOG_GROUP);
    world.add_db_subnet_group(DbSubnetGroup {
        name: SUBNET_GROUP.to_owned(),
        vpc_id: VPC.to_owned(),
    });
    world.set_subnets_of_group(SUBNET_GROUP, &SUBNETS);
    for id in SUBNETS {
        world.add_subnet(Subnet {
            id: id.to_owned(),
            vpc_id: VPC.to_owned(),
            cidr: NETWORK_CIDR.to_owned(),
        });
    }
    world.add_route_table(RouteTable::isolated(
        "rtb-0150ca7ed0000000a",
        VPC,
        NETWORK_CIDR,
        &SUBNETS,
    ));
    for id in [SECURITY_GROUP, MACHINE_SECURITY_GROUP] {
        world.add_security_group(SecurityGroup::closed(id, VPC));
    }
    // The network the colleague restores into.
    world.add_db_subnet_group(DbSubnetGroup {
        name: "default".to_owned(),
        vpc_id: "vpc-0de7a010000000000".to_owned(),
    });
    world.add_secret(Secret {
        name: RESET_KEY.to_owned(),
        value: secrets.reset_key.clone(),
    });
    // As Amazon RDS lays it out: host and port are those of production, which nothing here may use.
    let secret = serde_json::json!({
        "engine": "postgres",
        "host": "shop-main.production.invalid",
        "port": 5432,
        "username": READER_USER,
        "password": secrets.postgres_password,
        "dbname": SAMPLE_DATABASE,
    });
    world.add_secret(Secret {
        name: "restore-proof/shop".to_owned(),
        value: secret.to_string(),
    });
}

/// Whether a restore job is one of ours: nobody else uses our role.
pub fn is_ours(job: &RestoreJob) -> bool {
    job.iam_role_arn == format!("arn:aws:iam::{ACCOUNT}:role/{PREFIX}-restore")
}

/// Whether the name of a DB instance says that it is ours, or the writer of a cluster of ours.
pub fn is_our_name(identifier: &str) -> bool {
    identifier.starts_with(&format!("{PREFIX}-r-"))
}
