//! A world described in a JSON file.

use serde::Deserialize;

use super::behaviour::EventDelivery;
use super::seed::{
    BackupJob, Bucket, CopyJob, DbCluster, DbInstance, DbSubnetGroup, Ec2Instance, RecoveryPoint,
    RestoreJob, RouteTable, Secret, SecurityGroup, Subnet, Table, Vault, Volume,
};
use super::{World, WorldOptions};

/// All a world can be seeded with. Every member is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeedFile {
    /// Account id; default 111111111111.
    pub account: Option<String>,
    /// Region; default eu-central-1.
    pub region: Option<String>,
    /// The caller may list buckets.
    pub s3_list_permission: bool,
    /// How AWS Backup's events arrive.
    pub events: EventDelivery,
    /// Largest page of a list.
    pub page_size: Option<usize>,
    /// Resource types that the Region's settings of AWS Backup leave out.
    pub opted_out: Vec<String>,
    /// Vaults.
    pub vaults: Vec<Vault>,
    /// Recovery points.
    pub recovery_points: Vec<RecoveryPoint>,
    /// Restore jobs that were not started here.
    pub restore_jobs: Vec<RestoreJob>,
    /// Backup jobs.
    pub backup_jobs: Vec<BackupJob>,
    /// Copy jobs.
    pub copy_jobs: Vec<CopyJob>,
    /// DB clusters that were not restored here.
    pub db_clusters: Vec<DbCluster>,
    /// Instances that were not restored here.
    pub db_instances: Vec<DbInstance>,
    /// DB subnet groups.
    pub db_subnet_groups: Vec<DbSubnetGroup>,
    /// Security groups.
    pub security_groups: Vec<SecurityGroup>,
    /// Route tables.
    pub route_tables: Vec<RouteTable>,
    /// Subnets.
    pub subnets: Vec<Subnet>,
    /// EC2 key pairs, by name.
    pub key_pairs: Vec<String>,
    /// EC2 instances that were not restored here.
    pub ec2_instances: Vec<Ec2Instance>,
    /// Volumes that were not restored here.
    pub volumes: Vec<Volume>,
    /// Secrets.
    pub secrets: Vec<Secret>,
    /// Buckets.
    pub buckets: Vec<Bucket>,
    /// Objects.
    pub objects: Vec<SeedObject>,
    /// DynamoDB tables.
    pub tables: Vec<Table>,
    /// Topic ARNs.
    pub topics: Vec<String>,
    /// Log groups.
    pub log_groups: Vec<String>,
    /// Lambda functions.
    pub functions: Vec<String>,
}

/// An S3 object with text content.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedObject {
    /// Bucket.
    pub bucket: String,
    /// Key.
    pub key: String,
    /// Content.
    pub body: String,
}

impl SeedFile {
    /// Makes the world.
    pub fn into_world(self, options: WorldOptions) -> World {
        let world = World::new(WorldOptions {
            account: self.account.unwrap_or(options.account),
            region: self.region.unwrap_or(options.region),
            s3_list_permission: self.s3_list_permission || options.s3_list_permission,
            events: self.events,
            page_size: self.page_size.unwrap_or(options.page_size),
            ..options
        });
        self.opted_out.iter().for_each(|one| world.opt_out(one));
        self.vaults
            .into_iter()
            .for_each(|vault| world.add_vault(vault));
        self.recovery_points
            .into_iter()
            .for_each(|point| world.add_recovery_point(point));
        for job in self.restore_jobs {
            world.add_restore_job(job);
        }
        for job in self.backup_jobs {
            world.add_backup_job(job);
        }
        for job in self.copy_jobs {
            world.add_copy_job(job);
        }
        self.db_clusters
            .into_iter()
            .for_each(|cluster| world.add_db_cluster(cluster));
        self.db_instances
            .into_iter()
            .for_each(|instance| world.add_db_instance(instance));
        self.db_subnet_groups
            .into_iter()
            .for_each(|group| world.add_db_subnet_group(group));
        self.security_groups
            .into_iter()
            .for_each(|group| world.add_security_group(group));
        self.route_tables
            .into_iter()
            .for_each(|table| world.add_route_table(table));
        self.subnets
            .into_iter()
            .for_each(|subnet| world.add_subnet(subnet));
        self.key_pairs
            .iter()
            .for_each(|name| world.add_key_pair(name));
        self.ec2_instances
            .into_iter()
            .for_each(|instance| world.add_ec2_instance(instance));
        self.volumes
            .into_iter()
            .for_each(|volume| world.add_volume(volume));
        self.secrets
            .into_iter()
            .for_each(|secret| world.add_secret(secret));
        self.buckets
            .into_iter()
            .for_each(|bucket| world.add_bucket(bucket));
        for object in self.objects {
            world.put_object(&object.bucket, &object.key, object.body);
        }
        self.tables
            .into_iter()
            .for_each(|table| world.add_table(table));
        self.topics.iter().for_each(|topic| world.add_topic(topic));
        self.log_groups
            .iter()
            .for_each(|group| world.add_log_group(group));
        self.functions
            .iter()
            .for_each(|function| world.add_function(function));
        world
    }
}
