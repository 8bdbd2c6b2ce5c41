//! A recovery by hand of an Aurora cluster.
//!
//! Sources, beside those of the type: RDS API reference,
//! `RestoreDBClusterFromSnapshot` ("This operation only restores the DB cluster, not the DB instances"); Aurora user guide,
//! "Restoring from a DB cluster snapshot" (a new cluster; default parameter groups).

use crate::resource_type::rds::IAM_KEY;
use crate::resource_type::{Afterwards, Recovery, RecoveryFacts};

use super::NAME_KEY;

/// A setting of the source's that the copy did not get.
const AS_SOURCE: &str = "the source's setting; the copy's is that of a short test";

pub(super) const RECOVERY: RecoveryFacts = RecoveryFacts {
    keys: &[
        (
            NAME_KEY,
            Recovery::Yours("<name of the restored cluster>"),
            "no restore replaces a cluster that is there: it takes a new name. Names as Restore Proof gives them are deleted",
        ),
        (
            "DBSubnetGroupName",
            Recovery::Yours("<DB subnet group>"),
            "it decides the VPC; the copy lay in a network without a way in or out",
        ),
        (
            "VpcSecurityGroupIds",
            Recovery::Yours("[\"<security group of the database>\"]"),
            "a group of that VPC which lets the clients in; the copy's lets nothing out",
        ),
        ("Engine", Recovery::AsPlanned, "the backup's engine"),
        (
            "EngineVersion",
            Recovery::AsPlanned,
            "the backup's version, not the Region's default",
        ),
        (
            "EngineMode",
            Recovery::AsPlanned,
            "instances are the cluster's own",
        ),
        (
            "Port",
            Recovery::AsPlanned,
            "clients find it where the source listened",
        ),
        (
            "CopyTagsToSnapshot",
            Recovery::AsSource("<true or false>"),
            AS_SOURCE,
        ),
        (
            IAM_KEY,
            Recovery::AsSource("<true or false>"),
            "the source's setting; the copy's follows how its checks log in",
        ),
        (
            "EnableCloudwatchLogsExports",
            Recovery::AsSource("[\"<log>\"]"),
            "the source's setting; a copy's logs would carry production data out of it",
        ),
        (
            "BacktrackWindow",
            Recovery::AsSource("<seconds>"),
            "the source's setting; nobody goes back in time in a copy",
        ),
        (
            "DBClusterParameterGroupName",
            Recovery::LikeSources("<DB cluster parameter group with the settings of the source>"),
            "a group belongs to its account; the engine's default is used where the key is left out",
        ),
        (
            "BackupRetentionPeriod",
            Recovery::Afterwards,
            "AWS Backup documents no such key: set it after the restore",
        ),
        (
            "DeletionProtection",
            Recovery::Afterwards,
            "AWS Backup documents no such key: set it after the restore",
        ),
        (
            "AvailabilityZones",
            Recovery::LeftOut,
            "the subnets decide the zones",
        ),
        (
            "KmsKeyId",
            Recovery::LeftOut,
            "the key follows the recovery point; a restore cannot choose it",
        ),
        (
            "OptionGroupName",
            Recovery::LeftOut,
            "clusters have their engine's default, which cannot be changed",
        ),
        (
            "ScalingConfiguration",
            Recovery::LeftOut,
            "it is Aurora Serverless v1's",
        ),
        (
            "PubliclyAccessible",
            Recovery::LeftOut,
            "an instance says it, not the cluster",
        ),
        (
            "DBSnapshotIdentifier",
            Recovery::LeftOut,
            "AWS Backup sets it and fails the job when it is given",
        ),
    ],
    afterwards: &[
        Afterwards {
            what: "Wait until RDS has made the cluster available.",
            command: "aws rds wait db-cluster-available --db-cluster-identifier \"$CREATED\"",
            rights: &["rds:DescribeDBClusters"],
            is_needed: true,
        },
        Afterwards {
            what: "Make the writer: a cluster is restored without an instance, and nobody can connect to it before. A writer of \
                   class db.serverless needs a range of capacity first (`aws rds modify-db-cluster \
                   --serverless-v2-scaling-configuration`).",
            command: "ENGINE=$(aws rds describe-db-clusters --db-cluster-identifier \"$CREATED\" --query 'DBClusters[0].Engine' --output text)\n\
                      aws rds create-db-instance --db-instance-identifier \"$CREATED-1\" --db-cluster-identifier \"$CREATED\" \\\n    \
                      --db-instance-class '<DB instance class of the writer>' --engine \"$ENGINE\" --no-publicly-accessible\n\
                      aws rds wait db-instance-available --db-instance-identifier \"$CREATED-1\"",
            rights: &[
                "rds:ModifyDBCluster",
                "rds:DescribeDBClusters",
                "rds:CreateDBInstance",
                "rds:DescribeDBInstances",
            ],
            is_needed: true,
        },
        Afterwards {
            what: "Backups and protection: set the retention of automated backups, in days, and protect the cluster from deletion.",
            command: "aws rds modify-db-cluster --db-cluster-identifier \"$CREATED\" --backup-retention-period '<days>' --deletion-protection --apply-immediately",
            rights: &["rds:ModifyDBCluster"],
            is_needed: false,
        },
        Afterwards {
            what: "Readers: a second instance in another zone takes over when the writer fails, as Multi-AZ does for a DB instance.",
            command: "aws rds create-db-instance --db-instance-identifier \"$CREATED-2\" --db-cluster-identifier \"$CREATED\" --db-instance-class '<DB instance class of the writer>' --engine \"$ENGINE\" --no-publicly-accessible",
            rights: &["rds:CreateDBInstance"],
            is_needed: false,
        },
        Afterwards {
            what: "Password: the master user has the one of the time of the backup. If nobody has it, let RDS make one.",
            command: "aws rds modify-db-cluster --db-cluster-identifier \"$CREATED\" --manage-master-user-password --apply-immediately",
            rights: &[
                "rds:ModifyDBCluster",
                "secretsmanager:CreateSecret",
                "secretsmanager:TagResource",
                "kms:DescribeKey",
            ],
            is_needed: false,
        },
    ],
    not_restored: &[
        (
            "Instances",
            "The cluster comes back without a writer and without readers: create them.",
        ),
        (
            "The address",
            "Cluster and instances have endpoints of their own: change DNS records and connection settings; custom endpoints are created again.",
        ),
        (
            "Parameter groups",
            "The engine's defaults are attached unless the request names others; their contents are not in the backup.",
        ),
        (
            "Security groups and their rules",
            "They are not in the backup; the request names groups that must be there.",
        ),
        (
            "Global database and auto scaling",
            "The restored cluster is in no global database, and no policy adds readers to it.",
        ),
        (
            "Alarms and event subscriptions",
            "Those of CloudWatch and RDS name the old cluster: make them for the new one.",
        ),
        (
            "Streams",
            "Activity streams, zero-ETL integrations and replication tasks read from the old cluster: set them up again.",
        ),
        (
            "Roles of the cluster and its secret",
            "IAM roles for features, and rotation by Secrets Manager, belong to the old cluster: attach them again.",
        ),
        (
            "What was written after the backup",
            "The data is as old as the recovery point.",
        ),
    ],
};
