//! The scene: an AWS account as a deployment of the template would leave it, with the function in it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use restore_proof_local_aws::engine::{Postgres, READER_USER, SAMPLE_DATABASE, SampleVariant};
use restore_proof_local_aws::event_bus::EventBus;
use restore_proof_local_aws::runtime_api::{Lambda, LambdaOptions};
use restore_proof_local_aws::schedule::Schedules;
use restore_proof_local_aws::template::{Deployment, Function, Template};
use restore_proof_local_aws::{
    Bucket, DbSubnetGroup, Secret, SecurityGroup, Server, Table, Vault, World, WorldOptions, serve,
};

use super::story::Dumps;

/// The backup account that all happens in.
pub const ACCOUNT: &str = "111122223333";
/// The account the backups come from.
pub const SOURCE_ACCOUNT: &str = "222233334444";
/// The Region.
pub const REGION: &str = "eu-central-1";
/// The vault in which copies land.
pub const VAULT: &str = "central";
/// The template's `NamePrefix`: what we restore is called so.
pub const PREFIX: &str = "restore-proof";
/// The bucket of policy and records.
pub const BUCKET: &str = "restore-proof-results-111122223333";
/// How many times as often as deployed the schedules run.
pub const HURRY: u32 = 240;
/// What `CONFIRM_GONE_SECONDS` is replaced by.
const CONFIRM_GONE_SECONDS: &str = "1";

const LEDGER: &str = "restore-proof-ledger";
const RECORDS_LOG_GROUP: &str = "restore-proof-records";
const CA_BUNDLE_KEY: &str = "ca/local.pem";
const FUNCTION: &str = "RestoreProofFunction";
const SUBNET_GROUP: &str = "restore-proof-isolated";
const SECURITY_GROUP: &str = "sg-0150ca7ed0000000a";
/// Of the made-up production database, its copies and nobody else.
const PASSWORD: &str = "correct horse battery staple";

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
    schedules: Schedules,
    server: Server,
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
}

impl Stage {
    /// Sets it all up; takes some seconds, most of which the sample database needs.
    ///
    /// # Errors
    /// When something is missing on this machine or the template does not fit.
    pub async fn set(props: Props<'_>) -> Result<Stage> {
        let template = Template::read(props.template)?;
        let deployed = template
            .function(FUNCTION, &deployment())
            .with_context(|| {
                format!("the template {} cannot be played", props.template.display())
            })?;
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

        let mut hurried = deployed.clone();
        let setting = "CONFIRM_GONE_SECONDS";
        let known = hurried
            .environment
            .insert(setting.to_owned(), CONFIRM_GONE_SECONDS.to_owned());
        known.with_context(|| format!("the template gives the function no {setting}"))?;
        let lambda = Lambda::new(LambdaOptions {
            function: hurried,
            bootstrap: props.bootstrap.to_owned(),
            folder: props.folder.to_owned(),
            endpoint_url: url.clone(),
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            max_processes: 8,
            retry_delay: Duration::from_secs(1),
        })?;
        // What can be missing was looked at first: this takes the time.
        let postgres = Postgres::new(props.folder).await?;
        let variants = [
            SampleVariant::Fresh,
            SampleVariant::Emptied,
            SampleVariant::Stale(72),
        ];
        let sample = postgres
            .sample(props.newest_data, PASSWORD, &variants)
            .await?;
        let [fresh, emptied, stale] = <[_; 3]>::try_from(sample)
            .map_err(|dumps| anyhow::anyhow!("{} dumps of three variants", dumps.len()))?;
        furnish(&world, postgres.ca_certificate_pem());
        world.add_function(&deployed.name);

        let bus = EventBus::new(deployed.rules.clone(), lambda.clone());
        world.set_event_sink(Arc::new(move |event| {
            bus.put(&event);
        }));
        let itself = lambda.clone();
        world.set_invoke_sink(Arc::new(move |_, payload| itself.invoke_later(payload)));
        let schedules = Schedules::start(&deployed.schedules, HURRY, &lambda);
        let dumps = Dumps {
            fresh,
            stale,
            emptied,
        };
        Ok(Stage {
            world,
            lambda,
            dumps,
            function: deployed,
            url,
            schedules,
            server,
        })
    }

    /// How the demo differs from a deployment, for people.
    pub fn hurry(&self) -> String {
        let every: Vec<_> = self
            .function
            .schedules
            .iter()
            .map(|schedule| format!("{:.1} s", (schedule.every / HURRY).as_secs_f64()))
            .collect();
        let confirm = self
            .function
            .environment
            .get("CONFIRM_GONE_SECONDS")
            .map_or("?", String::as_str);
        format!(
            "the sweeps run every {}, {HURRY} times as often as deployed; what waits is looked at again, and a \
             deletion is confirmed, after {CONFIRM_GONE_SECONDS} s instead of {confirm} s; restores take seconds",
            every.join(" and ")
        )
    }

    /// Ends schedules, function and endpoint, in this order. The world's databases go with it.
    pub async fn strike(self) {
        drop(self.schedules);
        self.lambda.stop().await;
        drop(self.server);
    }
}

/// What the template's references stand for here.
fn deployment() -> Deployment {
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
            ("RecordsLogGroup", RECORDS_LOG_GROUP.to_owned()),
            ("FunctionLogGroup", format!("/aws/lambda/{PREFIX}")),
            ("RestoreRole.Arn", role("restore")),
            ("FunctionRole.Arn", role("function")),
            ("ScheduleRole.Arn", role("schedule")),
            ("UndeliveredEvents.Arn", queue("undelivered")),
            ("ExhaustedRetries.Arn", queue("exhausted")),
            (
                "Network.Outputs.SubnetIds",
                "subnet-0150ca7ed0000000a,subnet-0150ca7ed0000000b".to_owned(),
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

/// What the deployment and its owner would have put into the account.
fn furnish(world: &World, ca_certificate: &str) {
    world.add_vault(Vault {
        name: VAULT.to_owned(),
    });
    world.add_bucket(Bucket {
        name: BUCKET.to_owned(),
        versioned: true,
    });
    world.put_object(BUCKET, "policy/policy.toml", include_str!("policy.toml"));
    world.put_object(BUCKET, CA_BUNDLE_KEY, ca_certificate.to_owned());
    world.add_table(Table::ledger(LEDGER));
    world.add_topic(&topic_arn());
    world.add_log_group(RECORDS_LOG_GROUP);
    let isolated = "vpc-0150ca7ed0000000a".to_owned();
    world.add_db_subnet_group(DbSubnetGroup {
        name: SUBNET_GROUP.to_owned(),
        vpc_id: isolated.clone(),
    });
    world.add_security_group(SecurityGroup {
        id: SECURITY_GROUP.to_owned(),
        vpc_id: isolated,
    });
    // The network the colleague restores into.
    world.add_db_subnet_group(DbSubnetGroup {
        name: "default".to_owned(),
        vpc_id: "vpc-0de7a010000000000".to_owned(),
    });
    // As Amazon RDS lays it out: host and port are those of production, which nothing here may use.
    let secret = serde_json::json!({
        "engine": "postgres",
        "host": "shop-main.production.invalid",
        "port": 5432,
        "username": READER_USER,
        "password": PASSWORD,
        "dbname": SAMPLE_DATABASE,
    });
    world.add_secret(Secret {
        name: "restore-proof/shop".to_owned(),
        value: secret.to_string(),
    });
}

/// Whether a DB instance's name says that we restored it.
pub fn is_ours(identifier: &str) -> bool {
    identifier
        .strip_prefix(PREFIX)
        .is_some_and(|rest| rest.starts_with('-'))
}
