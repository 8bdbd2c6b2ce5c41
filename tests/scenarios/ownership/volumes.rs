//! Volumes: those that came with a restored machine are ours, and no others.

use std::time::Duration;

use restore_proof_local_aws::{Attachment, ImageDevice, Machine, Volume, bystander};

use super::machines::{ANNAS, foreign_machine};
use super::*;

/// A backup of a machine with two volumes, which are not ended with it.
fn leaves_volumes(scene: &Scene) -> String {
    let device = |name: &str| ImageDevice {
        name: name.to_owned(),
        ..ImageDevice::default()
    };
    scene.add(scene.machine_point(
        "0150a9",
        Machine {
            devices: vec![device("/dev/xvda"), device("/dev/xvdb")],
            volumes_stay: true,
            ..Machine::default()
        },
    ))
}

/// Somebody attaches a volume of their own to our restored machine, before anybody has looked at it.
async fn annas_volume_at_ours(made_at: impl FnOnce(&Scene) -> Timestamp) {
    let scene = Scene::set(UNCHECKED).await;
    let point = leaves_volumes(&scene);
    let id = scene.lands(&point).await;
    // The world restores beside us, in real time.
    while scene.world.restore_jobs()[0].completed_at.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        scene.world.settle();
    }
    scene.pass(SignedDuration::from_mins(2));
    let created_at = made_at(&scene);
    scene.world.add_volume(Volume {
        id: bystander::VOLUME.to_owned(),
        state: "in-use".to_owned(),
        created_at,
        attachment: Some(Attachment {
            attached_at: Some(scene.now()),
            instance_id: scene.machines().remove(0),
            device: "/dev/sdf".to_owned(),
            delete_on_termination: false,
        }),
        ..Volume::default()
    });
    let record = scene.close(&id).await;
    assert_eq!(record["cleanup"], "deleted", "{record:#}");
    scene.assert_untouched(bystander::VOLUME);
    assert_eq!(scene.machines(), [""; 0], "ours is terminated");
    assert_eq!(
        scene.volumes(),
        [bystander::VOLUME],
        "and its volumes are gone"
    );
    let annas = scene.world.volumes().remove(0);
    assert_eq!(
        (annas.state.as_str(), annas.attachment),
        ("available", None),
        "it is detached"
    );
}

#[tokio::test]
async fn a_volume_that_was_attached_after_the_restore_is_left_alone() {
    annas_volume_at_ours(Scene::now).await;
}

/// Made in the minutes of our restore, by somebody else, and attached later.
#[tokio::test]
async fn a_volume_that_was_made_while_the_job_ran_and_attached_later_is_left_alone() {
    annas_volume_at_ours(|scene| {
        let job = scene.world.restore_jobs().remove(0);
        job.completed_at.unwrap() - SignedDuration::from_millis(1)
    })
    .await;
}

#[tokio::test]
async fn a_volume_older_than_the_job_is_left_alone() {
    annas_volume_at_ours(|scene| {
        let job = scene.world.restore_jobs().remove(0);
        job.created_at - SignedDuration::from_millis(1)
    })
    .await;
}

/// Ours, and somebody attached it to a machine of theirs before we could delete it.
#[tokio::test]
async fn a_volume_that_somebody_uses_is_left_behind_and_the_others_are_deleted() {
    for lent in [0, 1] {
        let scene = Scene::set(UNCHECKED).await;
        let point = leaves_volumes(&scene);
        let id = scene.lands(&point).await;
        scene.pass(SignedDuration::from_mins(2));
        scene.deliver().await;
        assert_eq!(scene.validation(&id)["stage"], "deleting");
        scene.pass(SignedDuration::from_secs(30));
        let mut volume = scene.world.volumes().remove(lent);
        assert_eq!(volume.state, "available", "the machine is terminated");
        foreign_machine(&scene, ANNAS, SignedDuration::ZERO);
        volume.state = "in-use".to_owned();
        volume.attachment = Some(Attachment {
            attached_at: None,
            instance_id: ANNAS.to_owned(),
            device: "/dev/sdf".to_owned(),
            delete_on_termination: false,
        });
        let used = volume.id.clone();
        scene.world.add_volume(volume.clone());
        for _ in 0..4 {
            scene.sweep().await;
        }
        scene.assert_untouched(&used);
        scene.assert_untouched(ANNAS);
        let record = scene.record(&id);
        assert_eq!(record["cleanup"], "left_behind", "{record:#}");
        let reason = record["cleanup_reason"].as_str().unwrap();
        assert!(reason.contains(&used) && reason.contains(ANNAS), "{reason}");
        assert_eq!(scene.volumes(), [used.as_str()], "the other is gone");

        // Given back, it is as ours as it was.
        volume.state = "available".to_owned();
        volume.attachment = None;
        scene.world.add_volume(volume);
        scene.pass(SignedDuration::from_hours(24));
        let record = scene.close(&id).await;
        assert_eq!(record["cleanup"], "deleted");
        assert_eq!(scene.volumes(), [""; 0]);
        scene.assert_untouched(ANNAS);
    }
}
