//! A bystander: what a colleague, Anna, has and does by hand in the account in which restores are proved. Nothing of hers
//! may be touched, whatever the function does.

use crate::{Attachment, DbCluster, DbInstance, Ec2Instance, StartRestore, Volume, World};

/// The database that she restores from a recovery point under test.
pub const DATABASE: &str = "anna-looks-for-lost-orders";
/// Her EC2 instance.
pub const MACHINE: &str = "i-0a22a000000000001";
/// The volume of [`MACHINE`].
pub const VOLUME: &str = "vol-0a22a000000000001";
/// Her Aurora cluster, whose name begins as those of our restores do.
pub const CLUSTER: &str = "restore-proof-r-annas-cluster";
/// The instance of [`CLUSTER`], named as we name a writer.
pub const CLUSTER_INSTANCE: &str = "restore-proof-r-annas-cluster-w";
/// The role that she restores with.
pub const ROLE: &str = "arn:aws:iam::111122223333:role/Administrator";
/// All that is hers, but for what [`has_cluster`] gives her.
pub const THINGS: [&str; 3] = [DATABASE, MACHINE, VOLUME];

/// Gives her [`MACHINE`], which is otherwise like this one, with its volume.
pub fn has(world: &World, machine: Ec2Instance) {
    world.add_volume(Volume {
        id: VOLUME.to_owned(),
        state: "in-use".to_owned(),
        created_at: machine.launched_at,
        attachment: Some(Attachment {
            attached_at: None,
            instance_id: MACHINE.to_owned(),
            device: "/dev/xvda".to_owned(),
            delete_on_termination: true,
        }),
        ..Volume::default()
    });
    world.add_ec2_instance(Ec2Instance {
        id: MACHINE.to_owned(),
        ..machine
    });
}

/// Gives her [`CLUSTER`], which is otherwise like this one, with its instance.
pub fn has_cluster(world: &World, cluster: DbCluster) {
    world.add_db_instance(DbInstance {
        identifier: CLUSTER_INSTANCE.to_owned(),
        cluster: Some(CLUSTER.to_owned()),
        created_at: Some(cluster.created_at),
        subnet_group: cluster.subnet_group.clone(),
        engine: cluster.engine.clone(),
        ..DbInstance::default()
    });
    world.add_db_cluster(DbCluster {
        identifier: CLUSTER.to_owned(),
        ..cluster
    });
}

/// Restores [`DATABASE`] from a recovery point, as the console does it.
///
/// # Errors
/// AWS's words when AWS Backup would refuse it.
pub fn restores(world: &World, recovery_point_arn: String) -> Result<String, String> {
    let metadata = [
        ("DBInstanceIdentifier", DATABASE),
        ("DBInstanceClass", "db.t4g.large"),
        ("DBSubnetGroupName", "default"),
        ("MultiAZ", "false"),
        ("PubliclyAccessible", "false"),
    ];
    world.start_restore(StartRestore {
        recovery_point_arn,
        iam_role_arn: ROLE.to_owned(),
        metadata: metadata
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        idempotency_token: None,
    })
}
