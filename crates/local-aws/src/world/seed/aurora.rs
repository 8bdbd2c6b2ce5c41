//! Aurora: DB clusters, and the clusters that recovery points were taken from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use crate::world::behaviour::ClusterBehaviour;

/// The Aurora cluster a recovery point was taken from, as it was at backup time.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceCluster {
    /// `aurora-postgresql` or `aurora-mysql`.
    pub engine: String,
    /// Engine version.
    pub engine_version: String,
    /// `provisioned`, or `serverless` for Aurora Serverless v1.
    pub engine_mode: String,
    /// Master user.
    pub master_username: String,
    /// Initial database, empty when none was named.
    pub database_name: String,
    /// Port.
    pub port: u16,
    /// Zones of the source.
    pub availability_zones: Vec<String>,
    /// Subnet group of the source: it does not exist in the backup account.
    pub subnet_group: String,
    /// Security groups of the source: they do not exist in the backup account.
    pub security_groups: Vec<String>,
    /// Cluster parameter group.
    pub parameter_group: String,
    /// Logs the source exports to CloudWatch.
    pub cloudwatch_exports: Vec<String>,
    /// Key of the source account (in the restore metadata); `None`: not encrypted there.
    pub kms_key_arn: Option<String>,
    /// VPC of the source.
    pub vpc_id: String,
}

impl Default for SourceCluster {
    fn default() -> SourceCluster {
        SourceCluster {
            engine: "aurora-postgresql".to_owned(),
            engine_version: "16.4".to_owned(),
            engine_mode: "provisioned".to_owned(),
            master_username: "postgres".to_owned(),
            database_name: String::new(),
            port: 5432,
            availability_zones: ["a", "b", "c"]
                .map(|zone| format!("eu-central-1{zone}"))
                .into(),
            subnet_group: "production-aurora".to_owned(),
            security_groups: vec!["sg-0f00d0000000000aa".to_owned()],
            parameter_group: "production-aurora-pg16".to_owned(),
            cloudwatch_exports: vec!["postgresql".to_owned()],
            kms_key_arn: Some(
                "arn:aws:kms:eu-central-1:222222222222:key/5ea50000-0000-4000-8000-000000000001"
                    .to_owned(),
            ),
            vpc_id: "vpc-0f00d0000000000aa".to_owned(),
        }
    }
}

impl SourceCluster {
    /// An Aurora MySQL cluster.
    pub fn mysql() -> SourceCluster {
        SourceCluster {
            engine: "aurora-mysql".to_owned(),
            engine_version: "8.0.mysql_aurora.3.08.0".to_owned(),
            master_username: "admin".to_owned(),
            port: 3306,
            parameter_group: "default.aurora-mysql8.0".to_owned(),
            cloudwatch_exports: vec!["error".to_owned()],
            ..SourceCluster::default()
        }
    }
}

/// A DB cluster of Aurora, both to seed and to inspect. Its instances are [`crate::DbInstance`]s that name it.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DbCluster {
    /// Identifier, lower case.
    pub identifier: String,
    /// `creating`, `available`, `modifying`, `resetting-master-credentials`, `deleting`, …
    pub status: String,
    /// `ClusterCreateTime`.
    pub created_at: Timestamp,
    /// Host of the cluster endpoint. On AWS the name stays and leads nowhere while there is no writer; here it is
    /// another one then.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Engine name.
    pub engine: String,
    /// Engine version.
    pub engine_version: String,
    /// `provisioned`, …
    pub engine_mode: String,
    /// Master user.
    pub master_username: String,
    /// Initial database, empty when none.
    pub database_name: String,
    /// Capacity range of instances of the class `db.serverless`, in Aurora capacity units.
    pub serverless_v2: Option<ServerlessV2Range>,
    /// Deletion protection.
    pub deletion_protection: bool,
    /// ARN of the storage key; `None`: not encrypted.
    pub kms_key_arn: Option<String>,
    /// Zones.
    pub availability_zones: Vec<String>,
    /// Subnet group.
    pub subnet_group: String,
    /// Security group ids.
    pub security_groups: Vec<String>,
    /// `IPV4` or `DUAL`.
    pub network_type: String,
    /// How it can be reached beside its network.
    pub ways_in: WaysIn,
    /// ARNs of the roles attached to it.
    pub associated_roles: Vec<String>,
    /// Cluster parameter group.
    pub parameter_group: String,
    /// Days automated backups are kept: at least one.
    pub backup_retention_days: u32,
    /// Copy tags to snapshots.
    pub copy_tags_to_snapshot: bool,
    /// Takes tokens of IAM as logins.
    pub iam_authentication: bool,
    /// Logs exported to CloudWatch.
    pub cloudwatch_exports: Vec<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// What the cluster does by itself.
    pub behaviour: ClusterBehaviour,
}

impl Default for DbCluster {
    fn default() -> DbCluster {
        let source = SourceCluster::default();
        DbCluster {
            identifier: String::new(),
            status: "available".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
            host: "cluster.rds.invalid".to_owned(),
            port: source.port,
            engine: source.engine,
            engine_version: source.engine_version,
            engine_mode: source.engine_mode,
            master_username: source.master_username,
            database_name: source.database_name,
            serverless_v2: None,
            deletion_protection: false,
            kms_key_arn: None,
            availability_zones: source.availability_zones,
            subnet_group: "default".to_owned(),
            security_groups: Vec::new(),
            network_type: "IPV4".to_owned(),
            ways_in: WaysIn::default(),
            associated_roles: Vec::new(),
            parameter_group: "default.aurora-postgresql16".to_owned(),
            backup_retention_days: 1,
            copy_tags_to_snapshot: false,
            iam_authentication: false,
            cloudwatch_exports: Vec::new(),
            tags: BTreeMap::new(),
            behaviour: ClusterBehaviour::default(),
        }
    }
}

/// A capacity range, Aurora capacity units.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerlessV2Range {
    /// `MinCapacity`.
    pub min: f64,
    /// `MaxCapacity`.
    pub max: f64,
}

/// The members of a DB cluster that tell how it can be reached beside its network; `None`: the answer does not have
/// the member. Express clusters of Aurora PostgreSQL may have no VPC and an internet access gateway of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WaysIn {
    /// `PubliclyAccessible`.
    pub publicly_accessible: Option<bool>,
    /// `HttpEndpointEnabled`: the Data API.
    pub http_endpoint_enabled: bool,
    /// `VPCNetworkingEnabled`.
    pub vpc_networking_enabled: Option<bool>,
    /// `InternetAccessGatewayEnabled`.
    pub internet_access_gateway_enabled: Option<bool>,
}

impl WaysIn {
    /// Those of an express cluster.
    pub fn express() -> WaysIn {
        WaysIn {
            publicly_accessible: None,
            http_endpoint_enabled: false,
            vpc_networking_enabled: Some(false),
            internet_access_gateway_enabled: Some(true),
        }
    }
}
