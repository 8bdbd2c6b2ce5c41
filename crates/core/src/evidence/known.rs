//! What AWS is known to say of a restore that was not made, each with where it says so.

use super::{Evidence, Passes, Row};
use crate::verdict::FaultClass;

use Evidence::{Backup, Key};
use FaultClass::{Account, Capacity, Licence, Network, Permission, Quota, Request, Unknown};

const BACKUP_GUIDE: &str = "AWS Backup developer guide, \"Troubleshooting AWS Backup\", \"Restore testing\" and \"Quotas\"";
const BACKUP_ERRORS: &str = "AWS Backup API reference, \"StartRestoreJob\"";
const EC2_ERRORS: &str = "EC2 API reference, \"Error codes for the Amazon EC2 API\"";
const EC2_STATES: &str =
    "EC2 user guide, \"Troubleshoot launch issues\" and \"instance termination issues\"";
const EBS_ERRORS: &str = "EBS direct APIs reference, \"StartSnapshot\"";
const EBS_EVENTS: &str = "EBS user guide, \"EventBridge for Amazon EBS\"";
const RDS_ERRORS: &str =
    "RDS API reference, \"RestoreDBInstanceFromDBSnapshot\" and \"RestoreDBClusterFromSnapshot\"";
const RDS_STATES: &str = "RDS user guide, \"Viewing Amazon RDS DB instance status\"";
const RDS_EVENTS: &str = "RDS user guide, \"Amazon RDS event categories and event messages\"";
const KMS_ERRORS: &str = "KMS API reference, \"Decrypt\" and \"CreateGrant\"";
const KMS_STATES: &str = "KMS developer guide, \"Key states of AWS KMS keys\"";
const DYNAMODB_ERRORS: &str = "DynamoDB API reference, \"RestoreTableFromBackup\"";
const EFS_ERRORS: &str = "EFS user guide, \"CreateFileSystem\" and \"CreateMountTarget\"";
const FSX_ERRORS: &str = "FSx API reference, \"CreateFileSystemFromBackup\"";
const REDSHIFT_ERRORS: &str = "Redshift API reference, \"RestoreFromClusterSnapshot\"";
const S3_ERRORS: &str = "S3 API reference, \"Error responses\"";
const IAM_WORDS: &str = "IAM user guide, \"Troubleshoot access denied error messages\"";
const COMMON_ERRORS: &str = "AWS API references, \"Common Error Types\"";

/// Somebody must do something first.
const fn ours(class: FaultClass) -> Evidence {
    Evidence::Ours(class, Passes::No)
}

const FULL: Evidence = Evidence::Ours(Capacity, Passes::InHours);
const LOOKED_INTO: Evidence = Evidence::Ours(Account, Passes::InHours);
const DOWN: Evidence = Evidence::Ours(Capacity, Passes::Soon);
const BUSY: Evidence = Evidence::Ours(Quota, Passes::Soon);
const NOT_YET: Evidence = Evidence::Ours(Request, Passes::Soon);
const KEY_NOT_YET: Evidence = Evidence::Ours(Permission, Passes::Soon);
const TROUBLE: Evidence = Evidence::Ours(Unknown, Passes::Soon);

/// These words, somewhere in a sentence.
const fn words(words: &'static str, means: Evidence, source: &'static str) -> Row {
    row("", words, false, means, source)
}

/// This sentence, and no word more. Whatever speaks against a backup is one, so that words in another order never do.
const fn sentence(words: &'static str, means: Evidence, source: &'static str) -> Row {
    row("", words, true, means, source)
}

/// This sentence together with an error code: too short to be believed alone.
const fn sentence_with(
    code: &'static str,
    words: &'static str,
    means: Evidence,
    source: &'static str,
) -> Row {
    row(code, words, true, means, source)
}

const fn row(
    code: &'static str,
    words: &'static str,
    whole: bool,
    means: Evidence,
    source: &'static str,
) -> Row {
    Row {
        code,
        words,
        whole,
        means,
        source,
    }
}

/// In lower case. `*` stands for one word, whatever it is, and `KEY` for the ARN of a key. What could be said of either side
/// stands first. The first that fits decides.
#[rustfmt::skip]
pub(super) static SENTENCES: &[Row] = &[
    // Gone, broken or not to be seen by us: no evidence against the backup.
    words("or you do not have permissions to access it", ours(Permission), BACKUP_GUIDE),
    words("or you are not allowed to access", ours(Permission), KMS_ERRORS),
    words("or access permissions were revoked", ours(Permission), EBS_EVENTS),
    words("or access to kms key is denied", ours(Permission), BACKUP_GUIDE),
    words("if the ami doesn't meet your allowed amis criteria", ours(Permission), EC2_ERRORS),
    // The backup.
    sentence("dbsnapshotidentifier doesn't refer to an existing db snapshot", Backup, RDS_ERRORS),
    sentence("dbclustersnapshotidentifier doesn't refer to an existing db cluster snapshot", Backup, RDS_ERRORS),
    sentence("dbclustersnapshotidentifier doesn't refer to an existing cluster snapshot", Backup, RDS_ERRORS),
    sentence_with("DBSnapshotNotFound", "dbsnapshot not found", Backup, "awslabs/rds-snapshot-tool, and RDS API reference, DBSnapshotNotFound"),
    sentence_with("DBClusterSnapshotNotFound", "dbclustersnapshot not found", Backup, "awslabs/aurora-snapshot-tool, and RDS API reference, DBClusterSnapshotNotFoundFault"),
    sentence("no automated backup for this db instance was found", Backup, RDS_ERRORS),
    sentence("the image id * does not exist", Backup, EC2_ERRORS),
    sentence("the image id * is no longer available", Backup, EC2_ERRORS),
    sentence("the specified ami doesn't exist", Backup, EC2_ERRORS),
    sentence("the specified ami has been deregistered and is no longer available or is not in a state from which you can launch an instance or modify attributes", Backup, EC2_ERRORS),
    sentence("the snapshot * does not exist", Backup, EC2_ERRORS),
    sentence("the specified snapshot does not exist", Backup, EC2_ERRORS),
    sentence("the specified snapshot was not found", Backup, EC2_STATES),
    sentence_with("InvalidSnapshot.NotFound", "snapshot does not exist", Backup, EC2_ERRORS),
    sentence("an ebs snapshot is corrupted", Backup, EC2_STATES),
    sentence("the instance store-backed ami that you used to launch the instance is missing a required part", Backup, EC2_STATES),
    sentence("snapshot * is in status error", Backup, EBS_EVENTS),
    sentence("the requested snapshot transitioned to an invalid state", Backup, EBS_EVENTS),
    sentence("backup not found for the given backuparn", Backup, DYNAMODB_ERRORS),
    sentence("no amazon fsx backups were found based upon the supplied parameters", Backup, FSX_ERRORS),
    sentence("the request was rejected because the lifecycle status of the source backup isn't available", Backup, FSX_ERRORS),
    sentence("the snapshot identifier does not refer to an existing cluster snapshot", Backup, REDSHIFT_ERRORS),
    sentence("allocated storage has been exhausted", Backup, RDS_EVENTS),
    sentence("database instance could not be restored because there has been incompatible database activity for restore functionality", Backup, RDS_EVENTS),
    sentence("recovery point exceeded the number of damaged blocks that can be repaired", Backup, BACKUP_GUIDE),
    // The key of the copy.
    sentence("the request was rejected because the specified kms key is not enabled", Key, KMS_ERRORS),
    sentence("KEY is disabled", Key, KMS_STATES),
    sentence("KEY is pending deletion", Key, KMS_STATES),
    sentence("KEY is pending import", Key, KMS_STATES),
    sentence("KEY does not exist", Key, KMS_ERRORS),
    sentence_with("InvalidSourceKmsKey", "key of the source backup is not valid", Key, FSX_ERRORS),
    sentence("the snapshot is encrypted with a key that no longer exists so that it cannot be restored", Key, KMS_STATES),
    words("KEY is creating", KEY_NOT_YET, KMS_STATES),
    words("KEY is updating", KEY_NOT_YET, KMS_STATES),
    // Permission.
    words("is not authorized to perform", ours(Permission), IAM_WORDS),
    words("encoded authorization failure message", ours(Permission), BACKUP_GUIDE),
    words("insufficient privileges to perform this action", ours(Permission), "boto3 issue 2269, aws-sdk-js issue 2625"),
    words("cannot be assumed by aws backup", ours(Permission), BACKUP_GUIDE),
    words("access denied to kms key", ours(Permission), BACKUP_GUIDE),
    words("access denied performing", ours(Permission), BACKUP_GUIDE),
    words("access denied trying to call aws backup service", ours(Permission), BACKUP_GUIDE),
    words("you do not have permissions to access the kms key", ours(Permission), EC2_STATES),
    words("client error on launch", ours(Permission), EC2_STATES),
    words("a client error caused the instance to terminate during launch", ours(Permission), EC2_STATES),
    words("given key id is not accessible", ours(Permission), EBS_EVENTS),
    words("given key id does not exist", ours(Permission), BACKUP_GUIDE),
    words("you do not have permission to access the storage of this ami", ours(Permission), EC2_ERRORS),
    words("kms key used to encrypt or decrypt the db instance can't be accessed", ours(Permission), RDS_STATES),
    words("unable to access the kms encryption key for database instance", ours(Permission), RDS_EVENTS),
    words("unable to create credentials for enhanced monitoring", ours(Permission), RDS_EVENTS),
    words("verify that you have permission to create service linked role", ours(Permission), RDS_EVENTS),
    words("encrypted with an inaccessible aws kms key", ours(Permission), EC2_STATES),
    words("the kms key provided is in an incorrect state", ours(Permission), "hashicorp/packer issue 12683"),
    words("missing necessary credentials", ours(Permission), "AWS re:Post and hashicorp/terraform-provider-aws, RDS with enhanced monitoring or a domain"),
    words("only supported by accounts that match the resource", ours(Permission), DYNAMODB_ERRORS),
    // Network.
    words("no default vpc for this user", ours(Network), BACKUP_GUIDE),
    words("no subnets found for the default vpc", ours(Network), BACKUP_GUIDE),
    words("no default subnet detected in vpc", ours(Network), BACKUP_GUIDE),
    words("for the specified hypervisor because it is not online", ours(Network), BACKUP_GUIDE),
    words("the db subnet group doesn't meet availability zone", ours(Network), RDS_ERRORS),
    words("subnets in the same availability zone", ours(Network), RDS_ERRORS),
    words("there is not a subnet in", ours(Network), RDS_ERRORS),
    words("are in different vpcs", ours(Network), RDS_ERRORS),
    words("no default subnet for availability zone", ours(Network), EC2_ERRORS),
    words("cannot restore from vpc backup to non-vpc db instance", ours(Network), RDS_ERRORS),
    words("incompatible-network", ours(Network), RDS_STATES),
    // Account.
    words("account is currently blocked", ours(Account), EC2_ERRORS),
    words("needs a subscription for the service", ours(Account), EC2_ERRORS),
    words("since the region is disabled", ours(Account), DYNAMODB_ERRORS),
    // Licence.
    words("images from aws marketplace cannot be copied", ours(Licence), BACKUP_GUIDE),
    words("you need to accept terms and subscribe", ours(Licence), EC2_ERRORS),
    // Quota.
    words("unable to start within the specified start window", BUSY, BACKUP_GUIDE),
    words("subscriber limit exceeded", BUSY, BACKUP_GUIDE),
    words("you have reached your quota", ours(Quota), EC2_ERRORS),
    words("because of insufficient resource limits", ours(Quota), RDS_STATES),
    words("storage quota for this customer account has exceeded the limit", ours(Quota), RDS_EVENTS),
    words("you have requested more vcpu capacity than your current", ours(Quota), EC2_ERRORS),
    words("than your current instance limit", ours(Quota), EC2_ERRORS),
    // Capacity.
    words("storage type that's currently unavailable in the availability zone", FULL, RDS_EVENTS),
    words("insufficient instance capacity for instance type", FULL, RDS_EVENTS),
    words("the server is overloaded and can't handle the request", DOWN, EC2_ERRORS),
    // Request.
    words("the target db instance was deleted", ours(Request), BACKUP_GUIDE),
    words("incompatible-parameters", ours(Request), RDS_STATES),
    words("incompatible-option-group", ours(Request), RDS_STATES),
    words("the specified request is unsupported", ours(Request), EC2_ERRORS),
    words("invalid device name", ours(Request), EC2_STATES),
    words("the requested configuration is currently not supported", ours(Request), EC2_STATES),
    words("source snapshot id is not valid", ours(Request), EBS_EVENTS),
    words("the specified volume was not found", ours(Request), BACKUP_GUIDE),
    words("table not found", ours(Request), BACKUP_GUIDE),
    words("unsupported resource type", ours(Request), BACKUP_GUIDE),
    words("feature is not supported for provided resource type", ours(Request), BACKUP_GUIDE),
    words("dbinstanceidentifier must be specified", ours(Request), BACKUP_GUIDE),
    words("must specify a dbinstanceidentifier", ours(Request), BACKUP_GUIDE),
    words("failed to join a host to a domain", ours(Request), RDS_EVENTS),
    words("unable to associate the option group", ours(Request), RDS_EVENTS),
    words("is associated with a different vpc than the request", ours(Request), RDS_ERRORS),
    words("is earlier than the engine version of the db cluster snapshot", ours(Request), RDS_ERRORS),
    words("is not supported in your requested availability zone", ours(Request), EC2_ERRORS),
    words("the requested availability zone is currently constrained", ours(Request), EC2_ERRORS),
    words("of the specified instance type does not match the architecture", ours(Request), EC2_ERRORS),
    words("invalid iam instance profile arn", ours(Request), EC2_ERRORS),
    words("are inconsistent with parameters used in previous", ours(Request), EC2_ERRORS),
    words("is supported only when creating a grant", ours(Request), KMS_ERRORS),
    words("alias * is not found", ours(Request), KMS_ERRORS),
    words("invalid backup arn", ours(Request), DYNAMODB_ERRORS),
    words("invalid request", ours(Request), DYNAMODB_ERRORS),
    words("is currently pending and may not be used", NOT_YET, EC2_ERRORS),
    // What tells nothing of either side.
    words("incompatible-restore", ours(Unknown), RDS_STATES),
    words("db instance has failed and amazon rds can't recover it", ours(Unknown), RDS_STATES),
    words("db instance put into failed state", ours(Unknown), RDS_EVENTS),
    words("copy job encountered a fatal error", ours(Unknown), BACKUP_GUIDE),
    words("backup job expired before completion", ours(Unknown), BACKUP_GUIDE),
    words("the underlying hardware related to your ebs volume has failed", TROUBLE, EBS_EVENTS),
    words("cannot find recovery point", TROUBLE, BACKUP_GUIDE),
    words("token expired", TROUBLE, BACKUP_GUIDE),
    words("an internal error occurred", TROUBLE, BACKUP_GUIDE),
];

/// Error codes, without what differs between services ([`super::plain_code`]). They decide where no sentence does, and never
/// speak against a backup: with a code AWS always sends a sentence.
#[rustfmt::skip]
pub(super) static CODES: &[(Evidence, &str, &[&str])] = &[
    (ours(Account), EC2_ERRORS, &["AccountDisabled", "OptInRequired"]),
    (LOOKED_INTO, EC2_ERRORS, &["PendingVerification"]),
    (DOWN, BACKUP_ERRORS, &["ServiceUnavailable"]),
    (FULL, EC2_ERRORS, &["InsufficientCapacity", "InsufficientCapacityOnHost", "InsufficientInstanceCapacity", "InsufficientVolumeCapacity", "ReservationCapacityExceeded"]),
    (FULL, EFS_ERRORS, &["InsufficientThroughputCapacity"]),
    (FULL, RDS_ERRORS, &["InsufficientDBClusterCapacity", "InsufficientDBInstanceCapacity", "InsufficientStorageClusterCapacity"]),
    (FULL, REDSHIFT_ERRORS, &["DependentServiceUnavailable", "InsufficientClusterCapacity"]),
    (ours(Licence), EC2_ERRORS, &["InvalidProductInfo"]),
    (ours(Network), EC2_ERRORS, &["DefaultVpcDoesNotExist", "InsufficientFreeAddressesInSubnet", "InvalidGroup.NotFound", "InvalidIPAddress.InUse", "InvalidNetworkInterface.InUse", "InvalidSubnetID.NotFound", "InvalidVpcID.NotFound", "VPCIdNotSpecified", "VPCResourceNotSpecified"]),
    (ours(Network), EFS_ERRORS, &["NoFreeAddressesInSubnet"]),
    (ours(Network), FSX_ERRORS, &["InvalidNetworkSettings"]),
    (ours(Network), RDS_ERRORS, &["DBSecurityGroupNotFound", "DBSubnetGroupDoesNotCoverEnoughAZs", "DBSubnetGroupNotFound", "InvalidSubnet", "InvalidVPCNetworkState", "NetworkTypeNotSupported", "VpcEncryptionControlViolation"]),
    (ours(Permission), COMMON_ERRORS, &["AccessDenied"]),
    (ours(Permission), EC2_ERRORS, &["AuthFailure", "CustomerKeyHasBeenRevoked", "InvalidManifest", "TagPolicyViolation", "UnauthorizedOperation"]),
    (ours(Permission), KMS_ERRORS, &["InvalidCiphertext", "KMSInvalidState"]),
    (ours(Permission), RDS_ERRORS, &["AuthorizationNotFound", "KMSKeyNotAccessible"]),
    (ours(Permission), REDSHIFT_ERRORS, &["AccessToSnapshotDenied"]),
    (KEY_NOT_YET, KMS_ERRORS, &["KeyUnavailable"]),
    (ours(Quota), EBS_ERRORS, &["ServiceQuotaExceeded"]),
    (ours(Quota), EC2_ERRORS, &["InstanceLimitExceeded", "MaxIOPSLimitExceeded", "NetworkInterfaceLimitExceeded", "SecurityGroupLimitExceeded", "VcpuLimitExceeded", "VolumeLimitExceeded"]),
    (ours(Quota), EFS_ERRORS, &["FileSystemLimitExceeded", "ThroughputLimitExceeded"]),
    (ours(Quota), FSX_ERRORS, &["ServiceLimitExceeded"]),
    (ours(Quota), KMS_ERRORS, &["LimitExceeded"]),
    (ours(Quota), RDS_ERRORS, &["DBClusterQuotaExceeded", "DBClusterRoleQuotaExceeded", "InstanceQuotaExceeded", "StorageQuotaExceeded", "TenantDatabaseQuotaExceeded"]),
    (ours(Quota), S3_ERRORS, &["TooManyBuckets"]),
    (BUSY, COMMON_ERRORS, &["Throttling"]),
    (BUSY, EBS_ERRORS, &["RequestThrottled"]),
    (BUSY, EC2_ERRORS, &["PendingSnapshotLimitExceeded", "RequestLimitExceeded", "ResourceLimitExceeded"]),
    (BUSY, REDSHIFT_ERRORS, &["DependentServiceRequestThrottling"]),
    (ours(Request), BACKUP_ERRORS, &["InvalidParameterValue", "InvalidRequest", "MissingParameterValue", "ResourceNotFound"]),
    (ours(Request), DYNAMODB_ERRORS, &["InvalidRestoreTime", "PointInTimeRecoveryUnavailable", "ResourceInUse", "TableAlreadyExists", "TableNotFound"]),
    (ours(Request), EC2_ERRORS, &["AttachmentLimitExceeded", "BootForVolumeTypeUnsupported", "EncryptedVolumesNotSupported", "IdempotentParameterMismatch", "IncompatibleHostRequirements", "InvalidAMIID.Malformed", "InvalidAvailabilityZone", "InvalidBlockDeviceMapping", "InvalidKeyPair.NotFound", "InvalidParameterCombination", "InvalidSnapshot.InUse", "InvalidSnapshotID.Malformed", "InvalidTenancy", "InvalidZone.NotFound", "UnknownVolumeType", "UnsupportedOperation", "VolumeTypeNotAvailableInZone"]),
    (ours(Request), EFS_ERRORS, &["FileSystemAlreadyExists", "FileSystemNotFound", "UnsupportedAvailabilityZone"]),
    (ours(Request), FSX_ERRORS, &["ActiveDirectoryError", "InvalidDestinationKmsKey", "InvalidPerUnitStorageThroughput", "StorageVirtualMachineNotFound"]),
    (ours(Request), KMS_ERRORS, &["IncorrectKey", "InvalidArn", "InvalidKeyUsage"]),
    (ours(Request), RDS_ERRORS, &["CertificateNotFound", "DBCapacityReservationNotFound", "DBClusterAlreadyExists", "DBClusterParameterGroupNotFound", "DBClusterRoleAlreadyExists", "DBInstanceAlreadyExists", "DBInstanceNotFound", "DBParameterGroupNotFound", "DomainNotFound", "InvalidDBClusterSnapshotState", "InvalidDBSnapshotState", "OptionGroupNotFound", "PointInTimeRestoreNotEnabled", "ProvisionedIopsNotAvailableInAZ", "StorageTypeNotSupported"]),
    (ours(Request), REDSHIFT_ERRORS, &["HsmConfigurationNotFound", "InvalidClusterSnapshotState"]),
    (ours(Request), S3_ERRORS, &["AccessControlListNotSupported", "BucketAlreadyExists", "InvalidObjectState"]),
    (NOT_YET, DYNAMODB_ERRORS, &["BackupInUse", "TableInUse"]),
    (NOT_YET, EC2_ERRORS, &["IncorrectState"]),
    (NOT_YET, EFS_ERRORS, &["IncorrectFileSystemLifeCycleState"]),
    (NOT_YET, RDS_ERRORS, &["InvalidDBClusterState", "InvalidDBInstanceState"]),
    (ours(Unknown), EC2_ERRORS, &["InstanceTerminated", "InvalidVolume.NotFound"]),
    (ours(Unknown), RDS_ERRORS, &["InvalidRestore"]),
    (TROUBLE, COMMON_ERRORS, &["InternalFailure", "InternalServer"]),
    (TROUBLE, DYNAMODB_ERRORS, &["InternalServerError"]),
    (TROUBLE, EC2_ERRORS, &["InternalError", "RetryableError"]),
    (TROUBLE, KMS_ERRORS, &["DependencyTimeout", "KMSInternal"]),
];
