#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::service::testing::*;
use crate::{
    Attachment, DeletedBy, Ec2Instance, Fault, FaultKind, InstanceBehaviour, StatusPhase, Volume,
    World,
};

fn code(answer: &Answered) -> (u16, String) {
    (answer.status, answer.element("Code").unwrap())
}

fn describe(world: &World, id: &str) -> Answered {
    ec2(world, "DescribeInstances", &[("InstanceId.1", id)])
}

fn state(answer: &Answered) -> String {
    let state = answer.element("instanceState").unwrap();
    let name = state.split_once("<name>").unwrap().1;
    name.split_once('<').unwrap().0.to_owned()
}

/// The one machine, after its restore.
fn restored(world: &World, clock: &HandClock) -> String {
    assert_eq!(start_machine(world, &machine_metadata()).status, 200);
    clock.ahead(30);
    world.settle();
    clock.ahead(30);
    let job = world.restore_jobs().pop().unwrap();
    assert_eq!(
        (job.status.as_str(), job.status_message),
        ("COMPLETED", None)
    );
    let arn = job.created_resource_arn.unwrap();
    let id = arn.strip_prefix("arn:aws:ec2:eu-central-1:111111111111:instance/");
    id.unwrap().to_owned()
}

#[test]
fn a_restored_machine_starts_ends_and_is_forgotten() {
    let (world, clock) = machine_world(|point| {
        point.behaviour.instance = InstanceBehaviour {
            hidden_describes: 1,
            statuses: vec![StatusPhase {
                status: "pending".into(),
                lasts: Duration::from_secs(5),
            }],
            deletion_takes: Some(Duration::from_secs(20)),
            ..InstanceBehaviour::default()
        };
    });
    let id = restored(&world, &clock);
    assert_eq!(
        code(&describe(&world, &id)),
        (400, "InvalidInstanceID.NotFound".to_owned())
    );
    let there = describe(&world, &id);
    assert_eq!(state(&there), "pending");
    for (element, wanted) in [
        ("instanceId", id.as_str()),
        ("imageId", IMAGE),
        ("ownerId", "111111111111"),
        ("instanceType", "t3.small"),
        ("launchTime", "2026-11-21T01:40:01.000Z"),
        ("subnetId", "subnet-1"),
        ("vpcId", "vpc-1"),
        ("privateIpAddress", "127.77.0.4"),
        ("httpTokens", "required"),
        ("ebsOptimized", "true"),
        ("rootDeviceName", "/dev/xvda"),
    ] {
        assert_eq!(there.element(element).as_deref(), Some(wanted), "{element}");
    }
    assert!(!there.text().contains("iamInstanceProfile"));
    assert_eq!(there.text().matches("<networkInterfaceId>eni-").count(), 1);
    clock.ahead(5);
    assert_eq!(state(&describe(&world, &id)), "running");

    let ended = ec2(&world, "TerminateInstances", &[("InstanceId.1", &id)]);
    assert!(
        ended
            .text()
            .contains("<code>32</code><name>shutting-down</name>")
    );
    assert!(ended.text().contains("<code>16</code><name>running</name>"));
    let ending = describe(&world, &id);
    assert_eq!(
        (state(&ending), ending.element("subnetId").as_deref()),
        ("shutting-down".to_owned(), Some("subnet-1"))
    );
    clock.ahead(20);
    let ended = describe(&world, &id);
    assert_eq!(state(&ended), "terminated");
    for gone in [
        "subnetId",
        "vpcId",
        "privateIpAddress",
        "groupId",
        "volumeId",
    ] {
        assert_eq!(ended.element(gone), None, "{gone}");
    }
    // A second time is no error.
    let again = ec2(&world, "TerminateInstances", &[("InstanceId.1", &id)]);
    assert_eq!(again.status, 200);
    clock.ahead(3599);
    assert_eq!(describe(&world, &id).status, 200);
    clock.ahead(1);
    assert_eq!(
        code(&describe(&world, &id)),
        (400, "InvalidInstanceID.NotFound".to_owned())
    );
}

#[test]
fn volumes_go_with_the_machine_or_stay() {
    let (world, clock) = machine_world(|_| ());
    let foreign = Volume {
        id: "vol-0ffffffffffffffff".into(),
        attachment: Some(Attachment {
            attached_at: None,
            instance_id: "i-0ffffffffffffffff".into(),
            device: "/dev/xvda".into(),
            delete_on_termination: true,
        }),
        state: "in-use".into(),
        ..Volume::default()
    };
    world.add_volume(foreign.clone());
    world.add_ec2_instance(Ec2Instance {
        id: "i-0ffffffffffffffff".into(),
        ..Ec2Instance::default()
    });
    let id = restored(&world, &clock);
    let filter = [
        ("Filter.1.Name", "attachment.instance-id"),
        ("Filter.1.Value.1", id.as_str()),
    ];
    let listed = ec2(&world, "DescribeVolumes", &filter);
    assert_eq!(listed.text().matches("<createTime>").count(), 2);
    assert!(!listed.text().contains(&foreign.id));
    let volumes: BTreeMap<String, Volume> = world
        .volumes()
        .into_iter()
        .filter(|volume| volume.id != foreign.id)
        .map(|volume| (volume.attachment.clone().unwrap().device, volume))
        .collect();
    let (root, data) = (&volumes["/dev/xvda"], &volumes["/dev/xvdb"]);
    // As asked, and as in the image.
    assert_eq!(root.kms_key_arn.as_deref(), Some(OWN_KEY));
    assert_eq!((root.size_gib, data.size_gib), (8, 100));
    assert_eq!(data.kms_key_arn, None);
    let stays = !data.attachment.as_ref().unwrap().delete_on_termination;
    assert!(stays && root.attachment.as_ref().unwrap().delete_on_termination);
    let delete = |id: &str| ec2(&world, "DeleteVolume", &[("VolumeId", id)]);
    assert_eq!(code(&delete(&data.id)), (400, "VolumeInUse".to_owned()));

    ec2(&world, "TerminateInstances", &[("InstanceId.1", &id)]);
    assert_eq!(code(&delete(&data.id)), (400, "VolumeInUse".to_owned()));
    clock.ahead(1);
    assert_eq!(
        code(&ec2(&world, "DescribeVolumes", &[("VolumeId.1", &root.id)])),
        (400, "InvalidVolume.NotFound".to_owned())
    );
    let left = ec2(&world, "DescribeVolumes", &[("VolumeId.1", &data.id)]);
    assert_eq!(left.element("status").as_deref(), Some("available"));
    assert_eq!(left.element("instanceId"), None);
    assert_eq!(delete(&data.id).element("return").as_deref(), Some("true"));
    assert_eq!(code(&delete(&data.id)), (400, "IncorrectState".to_owned()));
    clock.ahead(1);
    assert_eq!(
        code(&delete(&data.id)),
        (400, "InvalidVolume.NotFound".to_owned())
    );
    let ours = DeletedBy::Caller(Some("AKIDTEST".into()));
    let deletions: Vec<_> = world
        .deletions()
        .into_iter()
        .map(|deletion| (deletion.id, deletion.by))
        .collect();
    assert_eq!(
        deletions,
        [
            (id.clone(), ours.clone()),
            (root.id.clone(), DeletedBy::Instance(id)),
            (data.id.clone(), ours),
        ]
    );
    let ids: Vec<String> = world.volumes().into_iter().map(|left| left.id).collect();
    assert_eq!(ids, [foreign.id]);
}

#[test]
fn what_may_not_be_ended_is_not() {
    let (world, clock) = machine_world(|point| {
        point.behaviour.instance.protects_itself = true;
        point.machine.as_mut().unwrap().volumes_stay = true;
    });
    let id = restored(&world, &clock);
    let mut volumes = world.volumes().into_iter();
    assert!(volumes.all(|volume| !volume.attachment.unwrap().delete_on_termination));
    world.add_ec2_instance(Ec2Instance {
        id: "i-0ffffffffffffffff".into(),
        ..Ec2Instance::default()
    });
    // One that is protected keeps the other.
    let both = [
        ("InstanceId.1", "i-0ffffffffffffffff"),
        ("InstanceId.2", &id),
    ];
    assert_eq!(
        code(&ec2(&world, "TerminateInstances", &both)),
        (400, "OperationNotPermitted".to_owned())
    );
    assert!(
        world
            .ec2_instances()
            .iter()
            .all(|left| left.state == "running")
    );
    assert!(world.deletions().is_empty());
}

#[test]
fn errors_are_ec2s() {
    let (world, _) = machine_world(|_| ());
    let missing = "i-0123456789abcdef0";
    for (operation, parameter, value, wanted) in [
        (
            "DescribeInstances",
            "InstanceId.1",
            missing,
            "InvalidInstanceID.NotFound",
        ),
        (
            "DescribeInstances",
            "InstanceId.1",
            "orders",
            "InvalidInstanceID.Malformed",
        ),
        (
            "TerminateInstances",
            "InstanceId.1",
            missing,
            "InvalidInstanceID.NotFound",
        ),
        (
            "TerminateInstances",
            "InstanceIds",
            missing,
            "MissingParameter",
        ),
        (
            "DescribeVolumes",
            "VolumeId.1",
            "vol-0123456789abcdef0",
            "InvalidVolume.NotFound",
        ),
        (
            "DeleteVolume",
            "VolumeId",
            "i-0123456789abcdef0",
            "InvalidVolumeID.Malformed",
        ),
        (
            "DescribeImages",
            "ImageId.1",
            "ami-00000000000000000",
            "InvalidAMIID.NotFound",
        ),
        (
            "DescribeImages",
            "ImageId.1",
            "ami-x",
            "InvalidAMIID.Malformed",
        ),
    ] {
        let answer = ec2(&world, operation, &[(parameter, value)]);
        assert_eq!(code(&answer), (400, wanted.to_owned()), "{operation}");
        assert!(answer.text().contains("<Response><Errors><Error><Code>"));
        assert!(answer.element("RequestID").is_some());
    }
    for (operation, parameters, wanted) in [
        ("RunInstances", &[][..], "ec2:RunInstances"),
        (
            "DescribeInstances",
            &[("Filter.1.Name", "vpc-id")][..],
            "ec2:DescribeInstances with filter vpc-id",
        ),
        (
            "DescribeVolumes",
            &[("Filter.1.Name", "status")][..],
            "ec2:DescribeVolumes with filter status",
        ),
        (
            "DescribeImages",
            &[][..],
            "ec2:DescribeImages without image ids",
        ),
        (
            "DeleteVolume",
            &[("DryRun", "true")][..],
            "ec2:DeleteVolume with DryRun",
        ),
    ] {
        let answer = ec2(&world, operation, parameters);
        assert_eq!(code(&answer), (501, "NotImplemented".to_owned()));
        assert_eq!(
            answer.element("Message").unwrap(),
            format!("local-aws does not play {wanted}")
        );
    }
}

#[test]
fn an_image_tells_its_devices_and_tags() {
    let (world, _) = machine_world(|_| ());
    let image = ec2(&world, "DescribeImages", &[("ImageId.1", IMAGE)]);
    let text = image.text();
    assert_eq!(
        image.element("creationDate").as_deref(),
        Some("2026-11-21T01:00:00.000Z")
    );
    assert!(text.contains("<item><key>env</key><value>prod</value></item>"));
    assert!(text.contains("<deviceName>/dev/xvdb</deviceName><ebs>"));
    assert_eq!(text.matches("<snapshotId>snap-").count(), 2);
    assert_eq!(text.matches("<deviceName>").count(), 2);
    // Recovery points of other types are no images.
    assert!(!text.contains("rds"));
}

/// The message a restore with this metadata fails with.
fn failure(world: &World, clock: &HandClock, metadata: &Value) -> Option<String> {
    assert_eq!(start_machine(world, metadata).status, 200, "{metadata}");
    clock.ahead(1);
    world.settle();
    clock.ahead(60);
    let job = world.restore_jobs().pop().unwrap();
    assert_eq!(
        job.status == "COMPLETED",
        job.status_message.is_none(),
        "{metadata}"
    );
    job.status_message
}

#[test]
fn metadata_that_ec2_would_not_take_fails_the_job() {
    let (world, clock) = machine_world(|_| ());
    world.add_key_pair("known");
    let text = str::to_owned;
    let device = |ebs: Value| json!([{"DeviceName": "/dev/xvda", "Ebs": ebs}]).to_string();
    let cases = [
        (
            "SubnetId",
            text("subnet-prod"),
            Some("InvalidSubnetID.NotFound"),
        ),
        ("SubnetId", text(""), Some("No default VPC")),
        (
            "SecurityGroupIds",
            text("[\"sg-prod\"]"),
            Some("InvalidGroup.NotFound"),
        ),
        (
            "SecurityGroupIds",
            text("[\"sg-other\"]"),
            Some("belong to different networks"),
        ),
        (
            "KeyName",
            text("operations"),
            Some("InvalidKeyPair.NotFound"),
        ),
        ("KeyName", text("known"), None),
        (
            "IamInstanceProfileName",
            text("admin"),
            Some("does not permit attaching a new instance profile"),
        ),
        ("IamInstanceProfileName", text("shop-production"), None),
        (
            "CpuOptions",
            text("{\"CoreCount\":1,\"ThreadsPerCore\":2}"),
            Some("CpuOptions"),
        ),
        ("CpuOptions", text("{}"), None),
        (
            "NetworkInterfaces",
            text("[{\"NetworkInterfaceId\":\"eni-1\"}]"),
            Some("InvalidNetworkInterfaceID.NotFound"),
        ),
        ("NetworkInterfaces", text("[]"), None),
        (
            "Placement",
            text("{\"AvailabilityZone\":\"eu-central-1b\"}"),
            Some("Invalid availability zone"),
        ),
        (
            "InstanceType",
            text("t4g.small"),
            Some("architecture 'arm64'"),
        ),
        ("InstanceType", text("small"), Some("InstanceType")),
        (
            "InstanceInitiatedShutdownBehavior",
            text("hibernate"),
            Some("InvalidParameterValue"),
        ),
        (
            "RequireIMDSv2",
            text("yes"),
            Some("RequireIMDSv2 must be true or false"),
        ),
        (
            "Monitoring",
            text("disabled"),
            Some("Monitoring must be JSON"),
        ),
        (
            "DBInstanceIdentifier",
            text("x"),
            Some("Unsupported metadata key"),
        ),
        (
            "BlockDeviceMappings",
            device(json!({"SnapshotId": "snap-1"})),
            Some("SnapshotId is not supported"),
        ),
        (
            "BlockDeviceMappings",
            device(json!({"Encrypted": false})),
            Some("encrypted snapshot"),
        ),
        (
            "BlockDeviceMappings",
            device(json!({"VolumeSize": 4})),
            Some("expect size >= 8GB"),
        ),
        (
            "BlockDeviceMappings",
            device(json!({"Size": 40})),
            Some("cannot be read"),
        ),
        (
            "BlockDeviceMappings",
            json!([{"DeviceName": "/dev/xvdz", "Ebs": {"Encrypted": true}}]).to_string(),
            Some("MissingParameter"),
        ),
    ];
    for (key, value, wanted) in cases {
        let mut metadata = machine_metadata();
        metadata[key] = value.clone().into();
        let message = failure(&world, &clock, &metadata);
        match (wanted, &message) {
            (None, None) => {}
            (Some(wanted), Some(message)) if message.contains(wanted) => {}
            _ => panic!("{key}={value}: {message:?}, not {wanted:?}"),
        }
    }
    // What is stored cannot be sent back as it is.
    let arn = MACHINE_POINT.replace(':', "%3A").replace('/', "%2F");
    let path = format!("/backup-vaults/central/recovery-points/{arn}/restore-metadata");
    let stored = rest_call(&world, "backup", "GET", &path, "").json()["RestoreMetadata"].clone();
    for key in [
        "NetworkInterfaces",
        "CpuOptions",
        "Placement",
        "aws:backup:request-id",
        "KeyName",
    ] {
        assert!(stored[key].is_string(), "{key}");
    }
    assert!(failure(&world, &clock, &stored).is_some());
    // Four of the cases were good.
    assert_eq!(world.ec2_instances().len(), 4);
}

#[test]
fn volumes_are_as_asked_else_as_in_the_image() {
    let (world, clock) = machine_world(|_| ());
    let mut metadata = machine_metadata();
    metadata["BlockDeviceMappings"] = json!([
        {"DeviceName": "/dev/xvdb", "Ebs": {"Encrypted": true, "DeleteOnTermination": true, "VolumeSize": 200, "VolumeType": "io1", "Iops": 3000}},
        {"DeviceName": "/dev/xvdc", "Ebs": {"VolumeSize": 5}},
    ])
    .to_string()
    .into();
    assert_eq!(failure(&world, &clock, &metadata), None);
    let volumes: BTreeMap<String, Volume> = world
        .volumes()
        .into_iter()
        .map(|volume| (volume.attachment.clone().unwrap().device, volume))
        .collect();
    let shape = |device: &str| {
        let volume = &volumes[device];
        let key = volume.kms_key_arn.clone().unwrap_or_default();
        let goes = volume.attachment.as_ref().unwrap().delete_on_termination;
        (volume.size_gib, volume.iops, key, goes)
    };
    assert_eq!(shape("/dev/xvda"), (8, None, POINT_KEY.to_owned(), true));
    let (size, iops, key, goes) = shape("/dev/xvdb");
    assert_eq!((size, iops, goes), (200, Some(3000), true));
    // Encryption without a key is by the account's own default key.
    assert!(key.starts_with("arn:aws:kms:eu-central-1:111111111111:key/eb5"));
    assert_eq!(shape("/dev/xvdc"), (5, None, String::new(), true));
    assert_eq!(volumes["/dev/xvdc"].snapshot_id, "");
}

#[test]
fn machines_in_a_subnet_have_addresses_of_their_own() {
    let (world, clock) = machine_world(|_| ());
    start_machine(&world, &machine_metadata());
    start_machine(&world, &machine_metadata());
    clock.ahead(60);
    world.settle();
    clock.ahead(60);
    let addresses: Vec<Ipv4Addr> = world
        .ec2_instances()
        .into_iter()
        .map(|instance| instance.private_address)
        .collect();
    assert_eq!(addresses.len(), 2);
    assert_ne!(addresses[0], addresses[1]);
}

#[test]
fn faults_strike_ec2_too() {
    let (world, clock) = machine_world(|_| ());
    let id = restored(&world, &clock);
    let faults = world.faults();
    faults.fail("EC2.DescribeInstances", Fault::once(FaultKind::Throttle));
    assert_eq!(
        code(&describe(&world, &id)),
        (503, "RequestLimitExceeded".to_owned())
    );
    faults.fail(
        "ec2.TerminateInstances",
        Fault::error("UnauthorizedOperation", 403),
    );
    faults.fail(
        "ec2.TerminateInstances",
        Fault::error("InternalError", 500).after_effect(),
    );
    let end = || ec2(&world, "TerminateInstances", &[("InstanceId.1", &id)]);
    assert_eq!(code(&end()), (403, "UnauthorizedOperation".to_owned()));
    assert_eq!(state(&describe(&world, &id)), "running");
    assert_eq!(code(&end()), (500, "InternalError".to_owned()));
    assert_eq!(state(&describe(&world, &id)), "shutting-down");
    let calls = world.calls();
    let call = calls.iter().rfind(|call| call.mutating).unwrap();
    assert_eq!(call.name(), "EC2.TerminateInstances");
    assert_eq!(call.resources, [id]);
}

#[test]
fn instances_and_volumes_are_tagged_all_or_none() {
    let (world, clock) = machine_world(|_| ());
    start_machine(&world, &machine_metadata());
    clock.ahead(2);
    world.settle();
    clock.ahead(58);
    let instance = world.ec2_instances().remove(0).id;
    let volume = world.volumes().remove(0).id;
    let tag = |ids: &[&str], key: &str| {
        let names = ["ResourceId.1", "ResourceId.2"];
        let mut parameters: Vec<_> = names.into_iter().zip(ids.iter().copied()).collect();
        parameters.extend([("Tag.1.Key", key), ("Tag.1.Value", "v1")]);
        let answer = ec2(&world, "CreateTags", &parameters);
        answer.element("return").or(answer.element("Code")).unwrap()
    };
    let nobody = "vol-0aaaaaaaaaaaaaaaa";
    assert_eq!(
        tag(&[&instance, nobody], "validation"),
        "InvalidVolume.NotFound"
    );
    assert_eq!(
        tag(&["i-0aaaaaaaaaaaaaaaa"], "validation"),
        "InvalidInstanceID.NotFound"
    );
    assert_eq!(tag(&[&instance], "aws:x"), "InvalidParameterValue");
    assert_eq!(tag(&[], "validation"), "MissingParameter");
    let tags = || {
        let instance = world.ec2_instances().remove(0);
        (instance.tags, world.volumes().remove(0).tags)
    };
    assert!(!tags().0.contains_key("validation"));
    assert_eq!(tag(&[&instance, &volume], "validation"), "true");
    assert_eq!(tags().0["validation"], "v1");
    assert_eq!(tags().1["validation"], "v1");
}

/// The message that the restore of a machine fails with.
fn refusal(change: impl FnOnce(&mut crate::Machine), instance_type: &str) -> String {
    let (world, clock) = machine_world(|point| change(point.machine.as_mut().unwrap()));
    let mut metadata = machine_metadata();
    metadata["InstanceType"] = instance_type.into();
    assert_eq!(
        start_machine(&world, &metadata).status,
        200,
        "it is accepted"
    );
    clock.ahead(90);
    world.settle();
    clock.ahead(90);
    let job = world.restore_jobs().pop().unwrap();
    assert_eq!(job.status, "FAILED");
    job.status_message.unwrap()
}

#[test]
fn a_type_that_cannot_start_the_image_fails_the_job() {
    let arm = |machine: &mut crate::Machine| machine.architecture = "arm64".to_owned();
    let told = refusal(arm, "t3.small");
    assert!(
        told.contains("does not match the architecture 'arm64'"),
        "{told}"
    );
    let uefi = |machine: &mut crate::Machine| machine.boot_mode = Some("uefi".to_owned());
    let told = refusal(uefi, "t2.micro");
    assert!(
        told.contains("does not support an AMI with a boot mode of UEFI"),
        "{told}"
    );
    let product = |machine: &mut crate::Machine| machine.product_codes = vec!["code".to_owned()];
    let told = refusal(product, "t3.small");
    assert!(told.contains("Error Code: OptInRequired"), "{told}");
}

#[test]
fn an_image_tells_how_it_boots_and_a_type_what_it_takes() {
    let (world, _) = machine_world(|point| {
        let machine = point.machine.as_mut().unwrap();
        machine.boot_mode = Some("uefi-preferred".to_owned());
        machine.product_codes = vec!["code".to_owned()];
    });
    let id = MACHINE_POINT.split_once("image/").unwrap().1;
    let image = ec2(&world, "DescribeImages", &[("ImageId.1", id)]);
    assert_eq!(image.element("bootMode").unwrap(), "uefi-preferred");
    assert_eq!(image.element("productCode").unwrap(), "code");
    let describe = |name: &str| ec2(&world, "DescribeInstanceTypes", &[("InstanceType.1", name)]);
    for (name, architecture, boot_modes) in [
        (
            "t3.small",
            "x86_64",
            "<item>legacy-bios</item><item>uefi</item>",
        ),
        ("t2.micro", "x86_64", "<item>legacy-bios</item>"),
        ("c7gn.metal", "arm64", "<item>uefi</item>"),
    ] {
        let told = describe(name);
        let has = told.element("supportedArchitectures").unwrap();
        assert_eq!(has, format!("<item>{architecture}</item>"), "{name}");
        assert_eq!(
            told.element("supportedBootModes").unwrap(),
            boot_modes,
            "{name}"
        );
    }
    for name in ["t3.tiny", "small", "t.small"] {
        assert_eq!(
            code(&describe(name)),
            (400, "InvalidInstanceType".to_owned()),
            "{name}"
        );
    }
}
