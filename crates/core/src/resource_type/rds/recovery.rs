//! A recovery by hand of an RDS DB instance.
//!
//! Sources, beside those of the type: RDS API reference,
//! `RestoreDBInstanceFromDBSnapshot` ("including the default security group and DB parameter group", "as a Single-AZ
//! deployment"); RDS user guide, "Restoring from a DB snapshot" (a new instance, which loads its data lazily; groups).

use crate::resource_type::{Afterwards, Recovery, RecoveryFacts};

use super::{IAM_KEY, NAME_KEY};

/// A setting of the source's that the copy did not get.
const AS_SOURCE: &str = "the source's setting; the copy's is that of a short test";

pub(super) const RECOVERY: RecoveryFacts = RecoveryFacts {
    keys: &[
        (
            NAME_KEY,
            Recovery::Yours("<name of the restored database>"),
            "no restore replaces a database that is there: it takes a new name. Names as Restore Proof gives them are deleted",
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
        (
            "DBInstanceClass",
            Recovery::AsPlanned,
            "as large as the source was",
        ),
        ("Engine", Recovery::AsPlanned, "the backup's engine"),
        (
            "LicenseModel",
            Recovery::AsPlanned,
            "licensed as the source was",
        ),
        (
            "Port",
            Recovery::AsPlanned,
            "clients find it where the source listened",
        ),
        (
            "StorageType",
            Recovery::AsPlanned,
            "stored as the source was",
        ),
        ("Iops", Recovery::AsPlanned, "as fast as the source was"),
        (
            "AllocatedStorage",
            Recovery::AsPlanned,
            "as large as the source was",
        ),
        ("MultiAZ", Recovery::AsSource("<true or false>"), AS_SOURCE),
        (
            "DeletionProtection",
            Recovery::AsSource("<true or false>"),
            AS_SOURCE,
        ),
        (
            "PubliclyAccessible",
            Recovery::AsSource("<true or false>"),
            AS_SOURCE,
        ),
        (
            "CopyTagsToSnapshot",
            Recovery::AsSource("<true or false>"),
            AS_SOURCE,
        ),
        (
            "AutoMinorVersionUpgrade",
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
            "DBParameterGroupName",
            Recovery::LikeSources("<DB parameter group with the settings of the source>"),
            "a group belongs to its account; the engine's default is used where the key is left out",
        ),
        (
            "OptionGroupName",
            Recovery::LikeSources("<option group with the options of the source>"),
            "a group belongs to its account and VPC; the engine's default is used where the key is left out",
        ),
        (
            "Domain",
            Recovery::LikeSources("<directory>"),
            "a directory belongs to its account; the copy joined none",
        ),
        (
            "DomainIAMRoleName",
            Recovery::LikeSources("<role for the directory>"),
            "a role belongs to its account; the copy joined no directory",
        ),
        (
            "BackupRetentionPeriod",
            Recovery::Afterwards,
            "AWS Backup documents no such key: set it after the restore",
        ),
        (
            "StorageThroughput",
            Recovery::Afterwards,
            "AWS Backup documents no such key: set it after the restore, where the storage takes it",
        ),
        (
            "NetworkType",
            Recovery::LeftOut,
            "the subnets decide it, and AWS Backup documents no such key",
        ),
        (
            "VpcId",
            Recovery::LeftOut,
            "the DB subnet group decides the VPC",
        ),
        (
            "AvailabilityZone",
            Recovery::LeftOut,
            "the subnets decide the zone",
        ),
        (
            "KmsKeyId",
            Recovery::LeftOut,
            "the key follows the recovery point; a restore cannot choose it",
        ),
        (
            "DBSnapshotIdentifier",
            Recovery::LeftOut,
            "AWS Backup sets it and fails the job when it is given",
        ),
        (
            "EngineVersion",
            Recovery::LeftOut,
            "the version is the backup's",
        ),
    ],
    afterwards: &[
        Afterwards {
            what: "Wait until RDS has made it available.",
            command: "aws rds wait db-instance-available --db-instance-identifier \"$CREATED\"",
            rights: &["rds:DescribeDBInstances"],
            is_needed: true,
        },
        Afterwards {
            what: "Backups: set the retention of automated backups, in days, and the window.",
            command: "aws rds modify-db-instance --db-instance-identifier \"$CREATED\" --backup-retention-period '<days>' --apply-immediately",
            rights: &["rds:ModifyDBInstance"],
            is_needed: false,
        },
        Afterwards {
            what: "Parameter and option group: if the request left them out, attach those with the source's settings; a static \
                   parameter takes a reboot.",
            command: "aws rds modify-db-instance --db-instance-identifier \"$CREATED\" --db-parameter-group-name '<DB parameter group with the settings of the source>' --option-group-name '<option group with the options of the source>' --apply-immediately",
            rights: &["rds:ModifyDBInstance"],
            is_needed: false,
        },
        Afterwards {
            what: "Password: the master user has the one of the time of the backup. If nobody has it, let RDS make one.",
            command: "aws rds modify-db-instance --db-instance-identifier \"$CREATED\" --manage-master-user-password --apply-immediately",
            rights: &[
                "rds:ModifyDBInstance",
                "secretsmanager:CreateSecret",
                "secretsmanager:TagResource",
                "kms:DescribeKey",
            ],
            is_needed: false,
        },
        Afterwards {
            what: "Protection: if the request left it off, protect the database from deletion and add a standby.",
            command: "aws rds modify-db-instance --db-instance-identifier \"$CREATED\" --deletion-protection --multi-az --apply-immediately",
            rights: &["rds:ModifyDBInstance"],
            is_needed: false,
        },
    ],
    not_restored: &[
        (
            "The address",
            "The restored database has an endpoint of its own: change DNS records and connection settings, or rename the database.",
        ),
        ("Read replicas", "Create them again."),
        (
            "Parameter and option groups",
            "The engine's defaults are attached unless the request names others; their contents are not in the backup.",
        ),
        (
            "Security groups and their rules",
            "They are not in the backup; the request names groups that must be there.",
        ),
        (
            "Alarms and event subscriptions",
            "Those of CloudWatch and RDS name the old database: make them for the new one.",
        ),
        (
            "Streams",
            "Activity streams, zero-ETL integrations and replication tasks read from the old database: set them up again.",
        ),
        (
            "Roles of the database and its secret",
            "IAM roles for features, and rotation by Secrets Manager, belong to the old database: attach them again.",
        ),
        (
            "What was written after the backup",
            "The data is as old as the recovery point.",
        ),
    ],
};
