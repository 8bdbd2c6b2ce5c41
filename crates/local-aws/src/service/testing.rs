//! Raw requests for the services' tests.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use serde_json::Value;

use crate::World;

/// An answer, read.
pub(crate) struct Answered {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    /// The text of the first element of that name.
    pub fn element(&self, name: &str) -> Option<String> {
        let text = self.text();
        let start = text.find(&format!("<{name}>"))? + name.len() + 2;
        let end = text[start..].find(&format!("</{name}>"))? + start;
        Some(text[start..end].to_owned())
    }
}

pub(crate) fn send(
    world: &World,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answered {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = world.answer(request.body(body.into()).unwrap()).unwrap();
    let (parts, body) = response.into_parts();
    Answered {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    }
}

fn signature(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIDTEST/20261121/eu-central-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
}

pub(crate) fn json_call(world: &World, target: &str, body: &Value) -> Answered {
    send(
        world,
        "POST",
        "/",
        &[("x-amz-target", target)],
        body.to_string(),
    )
}

pub(crate) fn rest_call(
    world: &World,
    service: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Answered {
    send(
        world,
        method,
        path,
        &[("authorization", &signature(service))],
        body.to_owned(),
    )
}

pub(crate) fn query_call(world: &World, service: &str, parameters: &[(&str, &str)]) -> Answered {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    let headers = [
        ("authorization", signature(service)),
        (
            "content-type",
            "application/x-www-form-urlencoded".to_owned(),
        ),
    ];
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    send(world, "POST", "/", &headers, body)
}

/// A clock that tests move by hand, in seconds.
#[derive(Clone)]
pub(crate) struct HandClock(std::sync::Arc<std::sync::atomic::AtomicI64>);

impl HandClock {
    pub fn ahead(&self, seconds: i64) {
        self.0
            .fetch_add(seconds, std::sync::atomic::Ordering::SeqCst);
    }
}

/// A world at 2026-11-21T01:40:00Z whose clock stands still, with a network and a recovery point.
pub(crate) fn still_world(change: impl FnOnce(&mut crate::RecoveryPoint)) -> (World, HandClock) {
    let clock = HandClock(std::sync::Arc::new(1_795_225_200.into()));
    let hand = clock.clone();
    let read = move || {
        jiff::Timestamp::from_second(hand.0.load(std::sync::atomic::Ordering::SeqCst)).unwrap()
    };
    let world = World::new(crate::WorldOptions {
        clock: std::sync::Arc::new(read),
        ..crate::WorldOptions::default()
    });
    world.add_db_subnet_group(crate::DbSubnetGroup {
        name: "isolated".into(),
        vpc_id: "vpc-1".into(),
    });
    world.add_security_group(crate::SecurityGroup::closed("sg-1", "vpc-1"));
    world.add_security_group(crate::SecurityGroup::closed("sg-other", "vpc-2"));
    let mut point = crate::RecoveryPoint {
        arn: POINT.to_owned(),
        source_resource_arn: "arn:aws:rds:eu-central-1:222222222222:db:orders-main".to_owned(),
        created_at: "2026-11-21T00:00:00Z".parse().unwrap(),
        completed_at: Some("2026-11-21T01:00:00Z".parse().unwrap()),
        kms_key_arn: Some("arn:aws:kms:eu-central-1:111111111111:key/k".to_owned()),
        behaviour: crate::RestoreBehaviour::bare().taking(std::time::Duration::from_secs(60)),
        tags: [
            ("env".to_owned(), "prod".to_owned()),
            ("aws:backup:x".to_owned(), "y".to_owned()),
        ]
        .into(),
        ..crate::RecoveryPoint::default()
    };
    change(&mut point);
    world.add_recovery_point(point);
    (world, clock)
}

pub(crate) const POINT: &str = "arn:aws:rds:eu-central-1:111111111111:snapshot:awsbackup:copyjob-1";
pub(crate) const ROLE: &str = "arn:aws:iam::111111111111:role/restore-proof-restore";

/// Metadata a good restore is started with.
pub(crate) fn good_metadata() -> Value {
    serde_json::json!({
        "DBInstanceIdentifier": "restore-proof-abc-1", "DBSubnetGroupName": "isolated", "VpcSecurityGroupIds": "[\"sg-1\"]",
        "PubliclyAccessible": "false", "MultiAZ": "false", "DeletionProtection": "false",
    })
}

/// StartRestoreJob on the wire.
pub(crate) fn start_restore(world: &World, metadata: Value, token: Option<&str>) -> Answered {
    let mut body =
        serde_json::json!({"RecoveryPointArn": POINT, "IamRoleArn": ROLE, "Metadata": metadata});
    if let Some(token) = token {
        body["IdempotencyToken"] = token.into();
    }
    rest_call(world, "backup", "PUT", "/restore-jobs", &body.to_string())
}

pub(crate) const IMAGE: &str = "ami-0123456789abcdef0";
pub(crate) const MACHINE_POINT: &str = "arn:aws:ec2:eu-central-1::image/ami-0123456789abcdef0";
/// The key of the recovery point, and one of our own.
pub(crate) const POINT_KEY: &str = "arn:aws:kms:eu-central-1:111111111111:key/k";
pub(crate) const OWN_KEY: &str = "arn:aws:kms:eu-central-1:111111111111:key/own";

/// [`still_world`], with a subnet and the recovery point of a machine with two volumes.
pub(crate) fn machine_world(change: impl FnOnce(&mut crate::RecoveryPoint)) -> (World, HandClock) {
    let (world, clock) = still_world(|_| ());
    world.add_subnet(crate::Subnet {
        id: "subnet-1".into(),
        vpc_id: "vpc-1".into(),
        cidr: "127.77.0.0/16".into(),
    });
    let data = crate::ImageDevice {
        name: "/dev/xvdb".into(),
        delete_on_termination: false,
        encrypted: false,
        size_gib: 100,
        ..crate::ImageDevice::default()
    };
    let mut point = crate::RecoveryPoint {
        arn: MACHINE_POINT.to_owned(),
        source_resource_arn: "arn:aws:ec2:eu-central-1:222222222222:instance/i-0aaaaaaaaaaaaaaaa"
            .to_owned(),
        resource_type: "EC2".to_owned(),
        created_at: "2026-11-21T00:00:00Z".parse().unwrap(),
        completed_at: Some("2026-11-21T01:00:00Z".parse().unwrap()),
        kms_key_arn: Some(POINT_KEY.to_owned()),
        behaviour: crate::RestoreBehaviour::bare().taking(std::time::Duration::from_secs(60)),
        tags: [("env".to_owned(), "prod".to_owned())].into(),
        machine: Some(crate::Machine {
            devices: vec![crate::ImageDevice::default(), data],
            ..crate::Machine::default()
        }),
        ..crate::RecoveryPoint::default()
    };
    change(&mut point);
    world.add_recovery_point(point);
    (world, clock)
}

/// Metadata a good restore of a machine is started with.
pub(crate) fn machine_metadata() -> Value {
    serde_json::json!({
        "SubnetId": "subnet-1", "SecurityGroupIds": "[\"sg-1\"]", "InstanceType": "t3.small",
        "RequireIMDSv2": "true", "DisableApiTermination": "false", "EbsOptimized": "true",
        "InstanceInitiatedShutdownBehavior": "stop", "Monitoring": "{\"State\":\"disabled\"}",
        "BlockDeviceMappings": serde_json::json!([
            {"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": true, "DeleteOnTermination": true, "KmsKeyId": OWN_KEY}},
        ]).to_string(),
    })
}

/// StartRestoreJob of the machine on the wire.
pub(crate) fn start_machine(world: &World, metadata: &Value) -> Answered {
    let body = serde_json::json!({"RecoveryPointArn": MACHINE_POINT, "IamRoleArn": ROLE, "Metadata": metadata});
    rest_call(world, "backup", "PUT", "/restore-jobs", &body.to_string())
}

/// A call of EC2.
pub(crate) fn ec2(world: &World, operation: &str, parameters: &[(&str, &str)]) -> Answered {
    let mut all = vec![("Action", operation), ("Version", "2016-11-15")];
    all.extend_from_slice(parameters);
    query_call(world, "ec2", &all)
}

pub(crate) const CLUSTER_POINT: &str =
    "arn:aws:rds:eu-central-1:111111111111:cluster-snapshot:awsbackup:copyjob-1";

/// [`still_world`], with the recovery point of an Aurora cluster.
pub(crate) fn aurora_world(change: impl FnOnce(&mut crate::RecoveryPoint)) -> (World, HandClock) {
    let (world, clock) = still_world(|_| ());
    let mut point = crate::RecoveryPoint {
        arn: CLUSTER_POINT.to_owned(),
        source_resource_arn: "arn:aws:rds:eu-central-1:222222222222:cluster:shop-main".to_owned(),
        resource_type: "Aurora".to_owned(),
        created_at: "2026-11-21T00:00:00Z".parse().unwrap(),
        completed_at: Some("2026-11-21T01:00:00Z".parse().unwrap()),
        kms_key_arn: Some(POINT_KEY.to_owned()),
        behaviour: crate::RestoreBehaviour::bare().taking(std::time::Duration::from_secs(60)),
        tags: [
            ("env".to_owned(), "prod".to_owned()),
            ("aws:backup:x".to_owned(), "y".to_owned()),
        ]
        .into(),
        ..crate::RecoveryPoint::default()
    };
    change(&mut point);
    world.add_recovery_point(point);
    (world, clock)
}

/// Metadata a good restore of an Aurora cluster is started with.
pub(crate) fn cluster_metadata() -> Value {
    serde_json::json!({
        "DBClusterIdentifier": "restore-proof-abc-1", "Engine": "aurora-postgresql", "DBSubnetGroupName": "isolated",
        "VpcSecurityGroupIds": "[\"sg-1\"]", "ScalingConfiguration": "null", "EngineMode": "provisioned",
    })
}

/// StartRestoreJob of the cluster on the wire; answers the job's id.
pub(crate) fn start_cluster(world: &World, metadata: &Value) -> String {
    let body = serde_json::json!({"RecoveryPointArn": CLUSTER_POINT, "IamRoleArn": ROLE, "Metadata": metadata});
    let started = rest_call(world, "backup", "PUT", "/restore-jobs", &body.to_string());
    started.json()["RestoreJobId"].as_str().unwrap().to_owned()
}

/// DescribeRestoreJob on the wire.
pub(crate) fn restore_job(world: &World, id: &str) -> Value {
    rest_call(world, "backup", "GET", &format!("/restore-jobs/{id}"), "").json()
}

/// A call of RDS.
pub(crate) fn rds(world: &World, operation: &str, parameters: &[(&str, &str)]) -> Answered {
    let mut all = vec![("Action", operation), ("Version", "2014-10-31")];
    all.extend_from_slice(parameters);
    query_call(world, "rds", &all)
}
