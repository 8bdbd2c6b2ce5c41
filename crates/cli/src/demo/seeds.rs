//! What the copies hold: databases, machines with their files, and what restoring them is like.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use restore_proof_local_aws::engine::{Dump, MASTER_USER, SAMPLE_DATABASE};
use restore_proof_local_aws::{
    ClusterBehaviour, EventDelivery, InstanceBehaviour, Machine, PasswordReset, RecoveryPoint,
    RestoreBehaviour, SourceCluster, SourceDatabase, WebBehaviour, WriterBehaviour,
};

use super::stage::{ACCOUNT, LOCAL_VAULT, REGION, SOURCE_ACCOUNT, VAULT};
use super::story::{Case, Cluster, Dumps, Told, Web, What};

/// What recovery points are made of.
#[derive(Clone)]
pub struct Stock {
    /// Databases.
    pub dumps: Dumps,
    /// When all the backups were made.
    pub backup_at: Timestamp,
    /// A secret that AWS Backup keeps with a recovery point: it keeps whatever a restore could want.
    pub metadata_secret: String,
}

/// Where the web servers of the demo listen.
const PORT: u16 = 8080;
/// From running to the first good answer of the machine that boots.
const BOOT: Duration = Duration::from_secs(3);
/// How long RDS takes to make an instance in a cluster.
const NEW_WRITER: Duration = Duration::from_secs(3);
/// How long RDS takes to set a password: it is pending, then being set.
const NEW_PASSWORD: PasswordReset = PasswordReset {
    unseen_for: Duration::ZERO,
    pending_for: Duration::from_secs(2),
    takes: Duration::from_secs(1),
    fails: false,
};
/// The metadata service of EC2: what it answers on the function's side are the function's credentials.
const METADATA_ADDRESS: &str = "http://169.254.169.254/latest/meta-data/iam/security-credentials/";

impl Stock {
    /// A case's recovery point, copied at `now`.
    pub fn recovery_point(&self, case: &Case, now: Timestamp) -> RecoveryPoint {
        let point = RecoveryPoint {
            arn: case.recovery_point_arn(),
            vault: match case.told {
                Told::BackupJob => LOCAL_VAULT.to_owned(),
                _ => VAULT.to_owned(),
            },
            source_resource_arn: case.source_arn(),
            created_at: self.backup_at,
            completed_at: Some(now),
            kms_key_arn: Some(format!(
                "arn:aws:kms:{REGION}:{ACCOUNT}:key/ce27a100-0000-4000-8000-000000000001"
            )),
            tags: [("env".to_owned(), "prod".to_owned())].into(),
            source_vault_arn: (case.told != Told::BackupJob).then(source_vault_arn),
            behaviour: self.behaviour(case.what),
            restore_metadata: self.metadata(case),
            ..RecoveryPoint::default()
        };
        match case.what {
            What::Web(web) => RecoveryPoint {
                resource_type: "EC2".to_owned(),
                size_bytes: 8 << 30,
                machine: Some(machine(web)),
                ..point
            },
            What::Cluster(cluster) => RecoveryPoint {
                resource_type: "Aurora".to_owned(),
                cluster: SourceCluster {
                    master_username: MASTER_USER.to_owned(),
                    database_name: SAMPLE_DATABASE.to_owned(),
                    ..match cluster {
                        Cluster::Healthy => SourceCluster::default(),
                        Cluster::Emptied => SourceCluster::mysql(),
                    }
                },
                ..point
            },
            What::MySql => RecoveryPoint {
                database: as_in_production(SourceDatabase::mysql()),
                ..point
            },
            _ => RecoveryPoint {
                database: as_in_production(SourceDatabase::default()),
                ..point
            },
        }
    }

    fn behaviour(&self, what: What) -> RestoreBehaviour {
        let seconds = Duration::from_secs;
        let dumps = &self.dumps;
        let database = |dump: &Dump| RestoreBehaviour::database(dump.clone()).taking(seconds(3));
        let events = |lost, doubled| EventDelivery {
            lost,
            doubled,
            ..EventDelivery::default()
        };
        match what {
            What::Healthy => database(&dumps.fresh).with_events(events(false, true)),
            What::FirstOfDay => database(&dumps.fresh),
            What::Stale => database(&dumps.stale),
            What::Emptied => database(&dumps.emptied),
            What::EventLost => database(&dumps.fresh).with_events(events(true, false)),
            What::MySql => RestoreBehaviour {
                instance: InstanceBehaviour {
                    master_password: NEW_PASSWORD,
                    ..InstanceBehaviour::default()
                },
                ..database(&dumps.mysql)
            },
            What::Cluster(cluster) => RestoreBehaviour {
                cluster: ClusterBehaviour {
                    master_password: NEW_PASSWORD,
                    writer: WriterBehaviour {
                        takes: NEW_WRITER,
                        ..WriterBehaviour::default()
                    },
                    ..ClusterBehaviour::default()
                },
                ..database(match cluster {
                    Cluster::Healthy => &dumps.fresh,
                    Cluster::Emptied => &dumps.mysql_emptied,
                })
            },
            What::RestoreFails => RestoreBehaviour::fails(
                seconds(4),
                "Recovery point exceeded the number of damaged blocks that can be repaired.",
            ),
            What::Web(Web::Healthy) => RestoreBehaviour::bare().taking(seconds(1)),
            What::Web(_) => RestoreBehaviour::bare().taking(seconds(2)),
            What::SecondOfDay | What::NoRule | What::CopyFails => RestoreBehaviour::bare(),
        }
    }

    /// Restore metadata with a secret in it: of a database and of a machine. All others have what AWS Backup
    /// gives of them.
    fn metadata(&self, case: &Case) -> Option<BTreeMap<String, String>> {
        let secret = self.metadata_secret.as_str();
        let values = match case.what {
            What::Healthy => vec![
                ("DBInstanceIdentifier", case.name),
                ("DBInstanceClass", "db.t4g.large"),
                ("Engine", "postgres"),
                ("DBName", SAMPLE_DATABASE),
                ("Port", "5432"),
                ("MultiAZ", "true"),
                ("PubliclyAccessible", "true"),
                ("DeletionProtection", "true"),
                ("DBSubnetGroupName", "production-private"),
                ("TdeCredentialPassword", secret),
            ],
            What::Web(Web::Booting) => vec![
                ("InstanceType", "m5.large"),
                ("IamInstanceProfileName", "shop-production"),
                ("KeyName", "operations"),
                ("SubnetId", "subnet-0f00d0000000000aa"),
                ("UserData", secret),
            ],
            _ => return None,
        };
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Some(values.into_iter().map(owned).collect())
    }
}

/// The vault the copies come from.
pub fn source_vault_arn() -> String {
    format!("arn:aws:backup:{REGION}:{SOURCE_ACCOUNT}:backup-vault:production")
}

fn as_in_production(source: SourceDatabase) -> SourceDatabase {
    SourceDatabase {
        master_username: MASTER_USER.to_owned(),
        database_name: SAMPLE_DATABASE.to_owned(),
        // What a restore must not inherit.
        publicly_accessible: true,
        multi_az: true,
        deletion_protection: true,
        ..source
    }
}

fn machine(web: Web) -> Machine {
    let mut files: BTreeMap<String, String> = [
        (
            "/index.html",
            "<!doctype html><title>Shop</title><h1>Welcome to the shop</h1>\n",
        ),
        (
            "/data/prices.csv",
            "id,name,price\n1,pear,0.40\n2,plum,0.30\n3,quince,1.20\n",
        ),
        ("/health.json", "{\"status\":\"ok\",\"database\":\"ok\"}\n"),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .into();
    if web == Web::WithoutFile {
        files.remove("/data/prices.csv");
    }
    Machine {
        ports: vec![PORT],
        files,
        boot_takes: if web == Web::Booting {
            BOOT
        } else {
            Duration::ZERO
        },
        web: if web == Web::Hijacked {
            WebBehaviour::RedirectTo(METADATA_ADDRESS.to_owned())
        } else {
            WebBehaviour::Files
        },
        ..Machine::default()
    }
}
