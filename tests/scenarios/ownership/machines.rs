//! The legs of the proof for machines, which take no name: what the job names, the isolated subnet, and the order of
//! things.

use restore_proof_core::validation::RestoreJob as KnownJob;
use restore_proof_function::ledger::Taken;
use restore_proof_local_aws::{Ec2Instance, Machine, bystander};
use restore_proof_tests::{MACHINE_SECURITY_GROUP, SUBNET, VAULT};

use super::*;

/// A machine that somebody else made.
pub const ANNAS: &str = bystander::MACHINE;

pub fn machine_arn(id: &str) -> String {
    format!("arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{id}")
}

/// A backup of a machine that exists in the API only.
pub fn machine_backup(scene: &Scene, behaviour: RestoreBehaviour) -> String {
    scene.add(RecoveryPoint {
        behaviour,
        ..scene.machine_point("0150a9", Machine::default())
    })
}

/// A machine in our own subnet, behind our own security group.
pub fn foreign_machine(scene: &Scene, id: &str, launched_after: SignedDuration) -> Ec2Instance {
    let machine = Ec2Instance {
        id: id.to_owned(),
        launched_at: scene.now() + launched_after,
        subnet_id: SUBNET.to_owned(),
        security_groups: vec![MACHINE_SECURITY_GROUP.to_owned()],
        requires_imds_v2: true,
        ..Ec2Instance::default()
    };
    scene.world.add_ec2_instance(machine.clone());
    machine
}

/// What a restore job of ours is recognised by.
pub fn into_our_network() -> BTreeMap<String, String> {
    let groups = json!([MACHINE_SECURITY_GROUP]).to_string();
    [("SubnetId", SUBNET), ("SecurityGroupIds", &groups)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// A job under our role of this recovery point into our subnet that ended now, and the machine it made. To be changed
/// where it is to differ from one of ours.
pub fn like_ours(scene: &Scene, point: &str) -> RestoreJob {
    let created_at = scene.now();
    foreign_machine(scene, ANNAS, SignedDuration::from_secs(1));
    RestoreJob {
        recovery_point_arn: point.to_owned(),
        iam_role_arn: RESTORE_ROLE.to_owned(),
        metadata: into_our_network(),
        created_at,
        completed_at: Some(created_at + SignedDuration::from_secs(2)),
        created_resource_arn: Some(machine_arn(ANNAS)),
        resource_type: "EC2".to_owned(),
        ..RestoreJob::default()
    }
}

fn job_event(job: &str, point: &str, status: &str) -> serde_json::Value {
    json!({
        "version": "0", "id": "1", "detail-type": "Restore Job State Change", "source": "aws.backup",
        "account": ACCOUNT, "time": "2026-11-21T00:00:00Z", "region": REGION, "resources": [point],
        "detail": { "restoreJobId": job, "status": status, "recoveryPointArn": point,
                    "createdResourceArn": machine_arn(ANNAS), "iamRoleArn": RESTORE_ROLE, "resourceType": "EC2" },
    })
}

/// The machine is there, and the record says so and why.
pub fn assert_left(scene: &Scene, id: &str, machine: &str, why: &str) {
    scene.assert_untouched(machine);
    let record = scene.record(id);
    assert_eq!(
        (&record["verdict"], &record["cleanup"]),
        (&json!("inconclusive"), &json!("left_behind")),
        "{record:#}"
    );
    let reason = record["cleanup_reason"].as_str().unwrap();
    assert!(reason.contains(why), "{reason:?} lacks {why:?}");
    assert!(scene.item("slots")["held"].is_null(), "a slot is held");
    let told = scene.world.messages();
    assert_eq!(
        told.len(),
        2,
        "of the verdict and of what is left, once each: {told:#?}"
    );
}

/// Leg 1: role, recovery point, subnet and order of time all hold, but the ledger's intent is for another job.
#[tokio::test]
async fn the_machine_of_a_job_that_the_ledger_does_not_intend_is_left_alone() {
    let scene = Scene::set(UNCHECKED).await;
    let takes = Duration::from_secs(60);
    let point = machine_backup(&scene, RestoreBehaviour::bare().taking(takes));
    let id = scene.lands(&point).await;
    let job = scene.world.add_restore_job(like_ours(&scene, &point));
    scene.pass(SignedDuration::from_secs(30));
    let answer = scene.invoke(job_event(&job, &point, "COMPLETED")).await;
    assert!(answer["ignored"].is_string(), "{answer}");
    let record = scene.close(&id).await;
    assert_eq!(record["cleanup"], "deleted", "ours is, {record:#}");
    scene.pass(SignedDuration::from_hours(2));
    scene.invoke(json!({ "sweep": "lost" })).await;
    scene.sweep().await;
    scene.assert_untouched(ANNAS);
    assert_eq!(scene.machines(), [ANNAS], "it alone is left");
}

/// Leg 1, what the ledger itself holds: a validation that was given the job of somebody else does not make that job ours.
#[tokio::test]
async fn a_job_that_was_put_in_the_place_of_the_intended_one_proves_nothing() {
    let scene = Scene::set(UNCHECKED).await;
    let point = machine_backup(&scene, RestoreBehaviour::bare());
    let out = Fault::error("InternalError", 500).times(Times::Forever);
    let fault = scene.world.faults().fail("S3.PutObject", out);
    let id = scene.lands(&point).await;
    scene.pass(SignedDuration::from_secs(5));
    scene.deliver().await;
    assert_eq!(scene.validation(&id)["stage"], "checked");

    scene.pass(SignedDuration::from_mins(1));
    let job = like_ours(&scene, &point);
    let ledger = &scene.app.ledger;
    let until = scene.now() + SignedDuration::from_mins(1);
    let taken = ledger.take(&id, "somebody", scene.now(), until).await;
    let Taken::Lease(mut lease) = taken.unwrap() else {
        panic!("nobody works on it");
    };
    lease.validation.restore = Some(KnownJob {
        id: scene.world.add_restore_job(job.clone()),
        recovery_point_arn: Some(job.recovery_point_arn),
        role_arn: Some(job.iam_role_arn),
        created_at: Some(job.created_at),
        completed_at: job.completed_at,
        status: job.status,
        status_message: None,
        created_resource_arn: job.created_resource_arn,
        size_bytes: None,
    });
    ledger.release(*lease).await.unwrap();
    scene.world.faults().remove(fault);
    for _ in 0..4 {
        scene.sweep().await;
    }
    scene.assert_untouched(ANNAS);
    let record = scene.record(&id);
    assert_eq!(record["cleanup"], "left_behind", "{record:#}");
    let reason = record["cleanup_reason"].as_str().unwrap();
    assert!(reason.contains("no intent"), "{reason}");
}

/// Leg 3, where it lies: our own job names a machine outside of our subnet, launched after it.
#[tokio::test]
async fn a_machine_outside_of_our_subnet_is_left_alone_whatever_the_job_says() {
    let scene = Scene::set(UNCHECKED).await;
    let takes = Duration::from_secs(60);
    let behaviour = RestoreBehaviour::names_existing(ANNAS).taking(takes);
    let point = machine_backup(&scene, behaviour);
    let id = scene.lands(&point).await;
    let annas = foreign_machine(&scene, ANNAS, SignedDuration::from_secs(30));
    scene.world.add_ec2_instance(Ec2Instance {
        subnet_id: "subnet-0f00d0000000000bb".to_owned(),
        ..annas
    });
    for _ in 0..4 {
        scene.sweep().await;
    }
    assert_left(&scene, &id, ANNAS, "subnet-0f00d0000000000bb");
}

/// Leg 3, what the job names: a job that fits is taken for ours and names nothing, and a new machine lies in our subnet.
#[tokio::test]
async fn a_job_that_names_nothing_proves_nothing() {
    let scene = Scene::set(UNCHECKED).await;
    let point = machine_backup(&scene, RestoreBehaviour::bare());
    let id = with_forgotten_token(&scene, &point).await;
    let job = like_ours(&scene, &point);
    launched_from(&scene, &point);
    scene.world.add_restore_job(RestoreJob {
        created_resource_arn: None,
        ..job
    });
    for _ in 0..4 {
        scene.sweep().await;
    }
    assert_left(&scene, &id, ANNAS, "does not name");
}

/// Leg 3, what the job names: the account in its ARN is not that of the machine with this id.
#[tokio::test]
async fn a_machine_of_another_account_than_the_job_names_is_left_alone() {
    let scene = Scene::set(UNCHECKED).await;
    let point = machine_backup(&scene, RestoreBehaviour::bare());
    let id = with_forgotten_token(&scene, &point).await;
    let mut job = like_ours(&scene, &point);
    job.created_resource_arn = Some(machine_arn(ANNAS).replace(ACCOUNT, "222233334444"));
    scene.world.add_restore_job(job);
    for _ in 0..4 {
        scene.sweep().await;
    }
    assert_left(&scene, &id, ANNAS, "does not name");
}

/// Anna's machine comes from the image of this recovery point.
fn launched_from(scene: &Scene, point: &str) {
    let machine = scene.world.ec2_instances().remove(0);
    let (_, image_id) = point.rsplit_once('/').unwrap();
    scene.world.add_ec2_instance(Ec2Instance {
        image_id: image_id.to_owned(),
        ..machine
    });
}

/// A job that failed after it had launched a machine, and does not name it.
#[tokio::test]
async fn what_a_failed_restore_may_have_launched_is_told_of() {
    let scene = Scene::set(UNCHECKED).await;
    let fails = RestoreBehaviour::fails(Duration::from_secs(60), DAMAGED);
    let point = machine_backup(&scene, fails);
    let id = scene.lands(&point).await;
    foreign_machine(&scene, ANNAS, SignedDuration::from_secs(30));
    launched_from(&scene, &point);
    for _ in 0..4 {
        scene.sweep().await;
    }
    scene.assert_untouched(ANNAS);
    let record = scene.record(&id);
    assert_eq!(
        (&record["verdict"], &record["cleanup"]),
        (&json!("restore_failed"), &json!("left_behind")),
        "{record:#}"
    );
    let anna = scene.app.aws.ec2.terminate_instances();
    anna.instance_ids(ANNAS).send().await.unwrap();
    scene.pass(SignedDuration::from_hours(24));
    assert_eq!(scene.close(&id).await["cleanup"], "already_gone");
}

/// A machine that comes from elsewhere.
#[tokio::test]
async fn a_machine_beside_a_restore_that_failed_is_left_alone() {
    let scene = Scene::set(UNCHECKED).await;
    let fails = RestoreBehaviour::fails(Duration::from_secs(60), DAMAGED);
    let point = machine_backup(&scene, fails);
    let id = scene.lands(&point).await;
    foreign_machine(&scene, ANNAS, SignedDuration::from_secs(30));
    let record = scene.close(&id).await;
    assert_eq!(
        (&record["verdict"], &record["cleanup"]),
        (&json!("restore_failed"), &json!("nothing_to_delete"))
    );
    scene.assert_untouched(ANNAS);
    let named = scene.world.calls().iter().any(|call| call.mentions(ANNAS));
    assert!(!named, "no call of any kind names it");
}

/// Leg 4: the ledger, role, recovery point, job and subnet all fit, but the machine was launched before the job began.
#[tokio::test]
async fn a_machine_older_than_the_job_is_left_alone() {
    let scene = Scene::set(UNCHECKED).await;
    let takes = Duration::from_secs(60);
    let behaviour = RestoreBehaviour::names_existing(ANNAS).taking(takes);
    let point = machine_backup(&scene, behaviour);
    foreign_machine(&scene, ANNAS, SignedDuration::from_secs(-1));
    let id = scene.lands(&point).await;
    for _ in 0..4 {
        scene.sweep().await;
    }
    assert_left(&scene, &id, ANNAS, "older");
}

/// A colleague's restore, by hand, of a recovery point that is validated too, into our subnet.
#[tokio::test]
async fn a_colleagues_machine_is_never_looked_at() {
    let scene = Scene::set(UNCHECKED).await;
    let point = machine_backup(&scene, RestoreBehaviour::bare());
    let job = like_ours(&scene, &point);
    let job = scene.world.add_restore_job(RestoreJob {
        iam_role_arn: COLLEAGUES_ROLE.to_owned(),
        ..job
    });
    let answer = scene.invoke(job_event(&job, &point, "COMPLETED")).await;
    assert!(answer["ignored"].is_string(), "{answer}");
    let record = scene.prove(&point).await;
    assert_eq!(record["cleanup"], "deleted");
    scene.assert_untouched(ANNAS);
    let named = scene.world.calls().iter().any(|call| call.mentions(ANNAS));
    assert!(!named, "no call of any kind names it");
    let vault = scene.app.config.vault_arn(VAULT);
    let id = validation_id(restore_proof_tests::PREFIX, &vault, &point, None);
    assert_eq!(scene.record(&id)["attempt"], 1);
}
