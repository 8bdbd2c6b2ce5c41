//! A recovery by hand of an EC2 instance.
//!
//! Sources: AWS Backup developer guide, "Restoring an Amazon EC2 instance" ("does not backup and restore user-data"; the
//! settings that a restore takes); EC2 user guide, "Elastic IP addresses" (an address belongs to the account, and is
//! associated with an instance or a network interface), "Grant permissions to attach an IAM role to an instance" (who attaches
//! an instance profile passes its role); EC2 API reference, `EbsBlockDevice` (`DeleteOnTermination`).

use crate::resource_type::{Afterwards, Recovery, RecoveryFacts};

/// A setting of the source's that the copy did not get.
const AS_SOURCE: &str = "the source's setting; the copy's is that of a short test";

pub(super) const RECOVERY: RecoveryFacts = RecoveryFacts {
    keys: &[
        (
            "SubnetId",
            Recovery::Yours("<subnet of the instance>"),
            "it decides VPC and zone; the copy lay in a network without a way in or out",
        ),
        (
            "SecurityGroupIds",
            Recovery::Yours("[\"<security group of the instance>\"]"),
            "a group of that VPC which lets the clients in; the copy's lets nothing out",
        ),
        (
            "InstanceType",
            Recovery::AsPlanned,
            "as large as the source was",
        ),
        (
            "EbsOptimized",
            Recovery::AsPlanned,
            "its volumes are as fast as the source's were",
        ),
        (
            "CreditSpecification",
            Recovery::AsPlanned,
            "its processors are as fast as the source's were",
        ),
        (
            "HibernationOptions",
            Recovery::AsPlanned,
            "AWS Backup wants it as the source had it",
        ),
        (
            "BlockDeviceMappings",
            Recovery::AsPlanned,
            "its volumes are encrypted, with a key of yours; DeleteOnTermination says which end with the instance, as the source's did (the copy's all end with it)",
        ),
        (
            "RequireIMDSv2",
            Recovery::AsSource("<true or false>"),
            AS_SOURCE,
        ),
        (
            "DisableApiTermination",
            Recovery::AsSource("<true or false>"),
            AS_SOURCE,
        ),
        (
            "InstanceInitiatedShutdownBehavior",
            Recovery::AsSource("<stop or terminate>"),
            AS_SOURCE,
        ),
        (
            "Monitoring",
            Recovery::AsSource("{\"State\":\"<enabled or disabled>\"}"),
            AS_SOURCE,
        ),
        (
            "KeyName",
            Recovery::LikeSources("<key pair>"),
            "a key pair belongs to its account and Region; nobody logged in to the copy",
        ),
        (
            "IamInstanceProfileName",
            Recovery::Afterwards,
            "AWS Backup attaches no other than the backup's own, which may not exist in this account: attach one after the restore",
        ),
        (
            "UserData",
            Recovery::Withheld,
            "it may hold secrets, so it is in no record; AWS Backup does not keep it, and the restored instance has run it before",
        ),
        (
            "NetworkInterfaces",
            Recovery::LeftOut,
            "it carries the id and the address of the source's network interface",
        ),
        ("VpcId", Recovery::LeftOut, "the subnet decides the VPC"),
        (
            "CpuOptions",
            Recovery::LeftOut,
            "AWS Backup refuses what it stored itself; the instance type has its own",
        ),
        (
            "Placement",
            Recovery::LeftOut,
            "the subnet decides the zone; a placement group or host is the source's",
        ),
        (
            "CapacityReservationSpecification",
            Recovery::LeftOut,
            "a reservation that is open takes the instance by itself; any other is the source's",
        ),
        (
            "InstanceMarketOptions",
            Recovery::LeftOut,
            "what is recovered must not be interrupted",
        ),
        (
            "aws:backup:request-id",
            Recovery::LeftOut,
            "it belongs to the backup job",
        ),
    ],
    afterwards: &[
        Afterwards {
            what: "Wait until the instance runs.",
            command: "aws ec2 wait instance-running --instance-ids \"$CREATED\"",
            rights: &["ec2:DescribeInstances"],
            is_needed: true,
        },
        Afterwards {
            what: "Name and tags: a restore takes no name.",
            command: "aws ec2 create-tags --resources \"$CREATED\" --tags 'Key=Name,Value=<name of the restored instance>'",
            rights: &["ec2:CreateTags"],
            is_needed: true,
        },
        Afterwards {
            what: "Instance profile: without one the instance has no permissions in AWS. It takes `iam:PassRole` on its role, too.",
            command: "aws ec2 associate-iam-instance-profile --instance-id \"$CREATED\" --iam-instance-profile 'Name=<instance profile>'",
            rights: &["ec2:AssociateIamInstanceProfile", "iam:PassRole"],
            is_needed: false,
        },
        Afterwards {
            what: "Elastic IP address: move it, if clients know the instance by it.",
            command: "aws ec2 associate-address --instance-id \"$CREATED\" --allocation-id '<allocation of the Elastic IP address>' --allow-reassociation",
            rights: &["ec2:AssociateAddress"],
            is_needed: false,
        },
        Afterwards {
            what: "Load balancer: register the instance with its target groups.",
            command: "aws elbv2 register-targets --target-group-arn '<ARN of the target group>' --targets \"Id=$CREATED\"",
            rights: &["elasticloadbalancing:RegisterTargets"],
            is_needed: false,
        },
    ],
    not_restored: &[
        (
            "The addresses",
            "The instance has a new private address, and a public one only if its subnet gives it: change DNS records, load balancers and allow lists.",
        ),
        (
            "Elastic IP addresses and further network interfaces",
            "They are not in the backup: associate and attach them again.",
        ),
        ("User data", "AWS Backup does not keep it."),
        (
            "The instance profile",
            "The copy had none, so that it had no permissions in AWS: attach one.",
        ),
        (
            "Security groups and their rules",
            "They are not in the backup; the request names groups that must be there.",
        ),
        (
            "Data on instance store volumes, and in memory",
            "An image holds EBS volumes alone.",
        ),
        (
            "Alarms, target groups and Auto Scaling groups",
            "They name the old instance: make or change them for the new one.",
        ),
        (
            "What was written after the backup",
            "The data is as old as the recovery point.",
        ),
    ],
};
