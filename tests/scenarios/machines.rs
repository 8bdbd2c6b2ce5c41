//! EC2: restored machines are real web servers, looked into while they boot and ended with their volumes.

use std::time::Duration;

use jiff::SignedDuration;
use restore_proof_local_aws::{
    Ec2Instance, Fault, InstanceBehaviour, Machine, NetworkInterface, RecoveryPoint,
    RestoreBehaviour, SecurityGroup, StatusPhase, Subnet, Times, WebBehaviour,
};
use restore_proof_tests::{MACHINE_SECURITY_GROUP, SUBNET, Scene, UNCHECKED, VPC};
use serde_json::{Value, json};

/// A rule that asks the shop of a restored machine, in the lab's way: does the application answer?
fn policy(rule: &str) -> String {
    format!(
        r#"
version = "test"
[[rules]]
name = "shops"
match = {{ resource_type = "EC2" }}
frequency = "every-copy"
{rule}
  [[rules.checks]]
  name = "the shop answers"
  kind = "http"
  port = 8080
  timeout = "5s"
  steps = [
    {{ name = "front page", path = "/", contains = "Welcome to the shop" }},
    {{ name = "product data", path = "/data/products.csv", matches = '(?m)^\d+,\w+,\d+\.\d\d$' }},
    {{ name = "health", path = "/health.json", json = "/status", expect = {{ equals = "ok" }} }},
  ]
  [[rules.checks]]
  name = "it listens"
  kind = "connect"
  port = 8080
  timeout = "5s"
"#
    )
}

/// Boots at once, as far as the policy is concerned.
const AT_ONCE: &str = "ec2.boot_timeout = \"1s\"";

fn shop() -> Machine {
    let files = [
        ("/index.html", "<h1>Welcome to the shop</h1>"),
        (
            "/data/products.csv",
            "id,name,price\n1,pear,0.40\n2,plum,0.30\n",
        ),
        ("/health.json", "{\"status\":\"ok\"}"),
    ];
    Machine {
        ports: vec![8080],
        files: files
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .into(),
        ..Machine::default()
    }
}

/// The shop without one of its files.
fn shop_without(path: &str) -> Machine {
    let mut machine = shop();
    machine.files.remove(path).unwrap();
    machine
}

fn check<'r>(record: &'r Value, name: &str) -> &'r Value {
    let checks = record["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap()
}

/// How often an operation was called.
fn calls(scene: &Scene, operation: &str) -> usize {
    let calls = scene.world.calls().into_iter();
    calls.filter(|call| call.operation == operation).count()
}

#[tokio::test]
async fn a_healthy_machine_passes_and_is_ended_with_its_volumes() {
    let scene = Scene::set(&policy("")).await;
    let point = scene.add(scene.machine_point("0150a9", shop()));
    let record = scene.prove(&point).await;
    assert_eq!(record["verdict"], "passed", "{record:#}");
    assert_eq!(record["cleanup"], "deleted");
    assert_eq!(record["source_account"], "222233334444");
    assert!(
        record["restored_instance_id"]
            .as_str()
            .unwrap()
            .starts_with("i-")
    );
    assert_eq!(calls(&scene, "TerminateInstances"), 1);
    scene.assert_clean();
}

#[tokio::test]
async fn the_request_is_isolated_encrypted_and_without_permissions() {
    let scene = Scene::set(&policy("ec2.instance_type = \"t3.micro\"")).await;
    let point = scene.add(scene.machine_point("0150a9", shop()));
    scene.prove(&point).await;
    let job = scene.world.restore_jobs().remove(0);
    let value = |key: &str| job.metadata.get(key).map(String::as_str);
    assert_eq!(value("SubnetId"), Some(SUBNET));
    assert_eq!(value("InstanceType"), Some("t3.micro"));
    assert_eq!(value("RequireIMDSv2"), Some("true"));
    for key in [
        "NetworkInterfaces",
        "CpuOptions",
        "IamInstanceProfileName",
        "KeyName",
        "Placement",
    ] {
        assert_eq!(value(key), None, "{key}");
    }
    let devices: Value = serde_json::from_str(value("BlockDeviceMappings").unwrap()).unwrap();
    assert_eq!(devices[0]["Ebs"]["Encrypted"], true);
    assert_eq!(devices[0]["Ebs"]["DeleteOnTermination"], true);
}

/// The lab's case.
#[tokio::test]
async fn a_missing_file_of_the_application_fails_and_the_step_is_named() {
    let scene = Scene::set(&policy(AT_ONCE)).await;
    let machine = shop_without("/data/products.csv");
    let point = scene.add(scene.machine_point("0150a9", machine));
    let record = scene.prove(&point).await;
    assert_eq!(record["verdict"], "failed", "{record:#}");
    let detail = check(&record, "the shop answers")["detail"]
        .as_str()
        .unwrap();
    assert!(
        detail.contains("product data") && detail.contains("404"),
        "{detail}"
    );
    assert_eq!(check(&record, "it listens")["outcome"], "passed");
    let message = scene.world.messages().remove(0);
    assert!(message.body.contains("product data"), "{}", message.body);
    assert_eq!(record["cleanup"], "deleted");
    scene.assert_clean();
}

#[tokio::test]
async fn a_booting_machine_is_never_failed() {
    let scene = Scene::set(&policy("")).await;
    let machine = Machine {
        boot_takes: Duration::from_secs(8),
        ..shop()
    };
    let point = scene.add(scene.machine_point("0150a9", machine));
    let id = scene.lands(&point).await;
    // Its end is heard of before a sweep lets minutes pass, in which the machine would boot unseen.
    while scene.world.restore_jobs()[0].status != "COMPLETED" {
        tokio::time::sleep(Duration::from_millis(5)).await;
        scene.world.settle();
    }
    let record = scene.close(&id).await;
    assert_eq!(record["verdict"], "passed", "{record:#}");
    let prepared = record["preparation_duration"].as_f64().unwrap() * 60.0;
    assert!(
        prepared > 1.0,
        "booting is part of the recovery: {prepared} s"
    );
    scene.assert_clean();
}

/// Longer than one run of the function: the sweep comes back to it.
#[tokio::test]
async fn a_boot_may_outlast_the_function() {
    let scene = Scene::set(&policy("ec2.boot_timeout = \"30m\"")).await;
    let machine = Machine {
        boot_takes: Duration::from_secs(18 * 60),
        ..shop()
    };
    let point = scene.add(scene.machine_point("0150a9", machine));
    let id = scene.lands(&point).await;
    // Time for the checks alone: nothing is left to wait in.
    let short = SignedDuration::from_secs(97);
    for sweep in 1..=6 {
        scene.pass(SignedDuration::from_mins(5));
        let due = json!({ "sweep": "due" });
        scene.try_invoke_within(due, short).await.unwrap();
        scene.deliver_within(short).await;
        let verdict = scene.validation(&id)["verdict"].clone();
        assert!(
            sweep > 3 || verdict.is_null(),
            "nothing is said while it boots: {verdict}"
        );
    }
    let record = scene.close(&id).await;
    assert_eq!(record["verdict"], "passed", "{record:#}");
    scene.assert_clean();
}

#[tokio::test]
async fn a_machine_that_never_answers_is_inconclusive() {
    let scene = Scene::set(&policy(AT_ONCE)).await;
    let machine = Machine {
        boot_takes: Duration::from_secs(24 * 60 * 60),
        ..shop()
    };
    let point = scene.add(scene.machine_point("0150a9", machine));
    let record = scene.prove(&point).await;
    assert_eq!(record["verdict"], "inconclusive", "{record:#}");
    scene.assert_clean();
}

#[tokio::test]
async fn a_redirect_to_the_metadata_service_is_not_followed() {
    for redirects in ["", "redirects = 5"] {
        let text = policy(AT_ONCE).replace(
            "port = 8080\n  timeout = \"5s\"\n  steps",
            &format!("port = 8080\n  {redirects}\n  timeout = \"5s\"\n  steps"),
        );
        let scene = Scene::set(&text).await;
        let machine = Machine {
            web: WebBehaviour::RedirectTo("http://169.254.169.254/latest/meta-data/".to_owned()),
            ..shop()
        };
        let point = scene.add(scene.machine_point("0150a9", machine));
        let record = scene.prove(&point).await;
        assert_eq!(record["verdict"], "failed", "{record:#}");
        let detail = check(&record, "the shop answers")["detail"]
            .as_str()
            .unwrap();
        assert!(detail.contains("front page"), "{detail}");
        scene.assert_clean();
    }
}

/// What a plan cannot promise: the image of a backup keeps volumes when its machine ends.
#[tokio::test]
async fn volumes_that_a_termination_leaves_are_deleted() {
    let scene = Scene::set(&policy("")).await;
    let point = scene.add(scene.machine_point("0150a9", shop()));
    let id = scene.lands(&point).await;
    scene.pass(SignedDuration::from_mins(2));
    assert_eq!(
        scene.volumes().len(),
        1,
        "it is restored, and nobody has looked yet"
    );
    // Somebody's tool clears the flag of every volume it sees.
    for mut volume in scene.world.volumes() {
        volume.attachment.as_mut().unwrap().delete_on_termination = false;
        scene.world.add_volume(volume);
    }
    let record = scene.close(&id).await;
    assert_eq!(record["cleanup"], "deleted", "{record:#}");
    assert_eq!(calls(&scene, "DeleteVolume"), 1);
    scene.assert_clean();
}

#[tokio::test]
async fn a_public_address_is_found_and_nothing_is_checked() {
    let scene = Scene::set(&policy("")).await;
    let machine = Machine {
        public_address: Some("203.0.113.7".parse().unwrap()),
        ..shop()
    };
    let point = scene.add(scene.machine_point("0150a9", machine));
    let record = scene.prove(&point).await;
    assert_eq!(record["verdict"], "inconclusive", "{record:#}");
    assert!(
        record["findings"].to_string().contains("public address"),
        "{record:#}"
    );
    assert_eq!(record["checks"], json!([]));
    scene.assert_clean();
}

/// What somebody changed of the restored machine while it booted is found before the next try. Answers the record.
async fn spoiled(change: impl Fn(&mut Ec2Instance)) -> Value {
    let scene = Scene::set(&policy("")).await;
    let machine = Machine {
        boot_takes: Duration::from_secs(24 * 60 * 60),
        ..shop()
    };
    let point = scene.add(scene.machine_point("0150a9", machine));
    let id = scene.lands(&point).await;
    scene.pass(SignedDuration::from_mins(2));
    scene.deliver_within(SignedDuration::from_secs(97)).await;
    assert_eq!(scene.validation(&id)["stage"], "restored", "it boots");
    let mut machine = scene.world.ec2_instances().remove(0);
    change(&mut machine);
    scene.world.add_ec2_instance(machine);
    let record = scene.close(&id).await;
    assert_eq!(record["verdict"], "inconclusive", "{record:#}");
    assert_eq!(record["cleanup"], "deleted", "{record:#}");
    assert_eq!(record["checks"], json!([]), "none was begun");
    scene.assert_clean();
    record
}

#[tokio::test]
async fn nothing_is_checked_in_a_machine_that_is_not_isolated() {
    type Spoil = fn(&mut Ec2Instance);
    let spoil: [(&str, Spoil); 9] = [
        ("public address, 203.0.113.7", |machine| {
            machine.public_address = Some("203.0.113.7".parse().unwrap());
        }),
        ("public address, 203.0.113.8", |machine| {
            machine.secondary_public_address = Some("203.0.113.8".parse().unwrap());
        }),
        ("IPv6 address, 2001:db8::7", |machine| {
            machine.ipv6_addresses.push("2001:db8::7".parse().unwrap());
        }),
        ("sent to others", |machine| {
            machine.source_dest_check = false
        }),
        ("behind security group sg-0f00d000", |machine| {
            machine
                .security_groups
                .push("sg-0f00d0000000000bb".to_owned());
        }),
        ("behind security group sg-0f00d000", |machine| {
            machine.further_interfaces.push(NetworkInterface {
                id: "eni-0f00d0000000000bb".to_owned(),
                subnet_id: machine.subnet_id.clone(),
                private_address: "127.77.200.1".parse().unwrap(),
                security_groups: vec!["sg-0f00d0000000000bb".to_owned()],
            });
        }),
        ("interface in subnet subnet-0f00d000", |machine| {
            machine.further_interfaces.push(NetworkInterface {
                id: "eni-0f00d0000000000bb".to_owned(),
                subnet_id: "subnet-0f00d0000000000bb".to_owned(),
                private_address: "127.77.200.1".parse().unwrap(),
                security_groups: machine.security_groups.clone(),
            });
        }),
        ("has instance profile", |machine| {
            machine.instance_profile = Some("admin".to_owned());
        }),
        ("answers without a token", |machine| {
            machine.requires_imds_v2 = false
        }),
    ];
    for (words, change) in spoil {
        let record = spoiled(change).await;
        let findings = record["findings"].to_string();
        assert!(findings.contains(words), "{findings} lacks {words:?}");
    }
}

/// The key of a volume is another, or none.
#[tokio::test]
async fn nothing_is_checked_in_a_machine_with_a_volume_under_no_key() {
    let scene = Scene::set(&policy("")).await;
    let machine = Machine {
        boot_takes: Duration::from_secs(24 * 60 * 60),
        ..shop()
    };
    let key = "arn:aws:kms:eu-central-1:111122223333:key/ce27a100-0000-4000-8000-000000000001";
    let point = scene.add(RecoveryPoint {
        kms_key_arn: Some(key.to_owned()),
        ..scene.machine_point("0150a9", machine)
    });
    let id = scene.lands(&point).await;
    scene.pass(SignedDuration::from_mins(2));
    scene.deliver_within(SignedDuration::from_secs(97)).await;
    let mut volume = scene.world.volumes().remove(0);
    assert!(volume.kms_key_arn.is_some());
    volume.kms_key_arn = None;
    scene.world.add_volume(volume);
    let record = scene.close(&id).await;
    assert_eq!(record["verdict"], "inconclusive", "{record:#}");
    let findings = record["findings"].to_string();
    assert!(findings.contains("is not"), "{findings}");
    scene.assert_clean();
}

#[tokio::test]
async fn nothing_is_checked_in_a_machine_behind_an_open_security_group() {
    let scene = Scene::set(&policy("")).await;
    let closed = SecurityGroup::closed(MACHINE_SECURITY_GROUP, VPC);
    scene
        .world
        .add_security_group(closed.letting_out("tcp", "0.0.0.0/0"));
    let point = scene.add(scene.machine_point("0150a9", shop()));
    let record = scene.prove(&point).await;
    assert_eq!(record["verdict"], "inconclusive", "{record:#}");
    let findings = record["findings"].to_string();
    assert!(
        findings.contains("lets tcp 443 out to 0.0.0.0/0"),
        "{findings}"
    );
    assert_eq!(record["checks"], json!([]));
    scene.assert_clean();
}

#[tokio::test]
async fn a_machine_that_a_colleague_has_terminated_is_inconclusive() {
    let scene = Scene::set(&policy("")).await;
    let machine = Machine {
        boot_takes: Duration::from_secs(24 * 60 * 60),
        ..shop()
    };
    let point = scene.add(scene.machine_point("0150a9", machine));
    let id = scene.lands(&point).await;
    scene.pass(SignedDuration::from_mins(2));
    scene.deliver_within(SignedDuration::from_secs(97)).await;
    assert_eq!(
        scene.validation(&id)["stage"],
        "restored",
        "it waits for the boot"
    );
    let machine = scene.machines().remove(0);
    let colleague = scene.app.aws.ec2.terminate_instances();
    colleague.instance_ids(machine).send().await.unwrap();
    let record = scene.close(&id).await;
    assert_eq!(record["verdict"], "inconclusive", "{record:#}");
    assert_eq!(record["cleanup"], "already_gone");
    assert_eq!(calls(&scene, "TerminateInstances"), 1, "the colleague's");
    scene.assert_clean();
}

#[tokio::test]
async fn a_machine_that_may_not_be_terminated_is_told_of_and_tried_again() {
    let scene = Scene::set(&policy("")).await;
    let point = scene.add(scene.machine_point("0150a9", shop()));
    let never = Fault::error("OperationNotPermitted", 400).times(Times::Forever);
    let fault = scene.world.faults().fail("EC2.TerminateInstances", never);
    let id = scene.lands(&point).await;
    for _ in 0..6 {
        scene.deliver().await;
        scene.sweep().await;
    }
    let record = scene.record(&id);
    assert_eq!(
        (&record["verdict"], &record["cleanup"]),
        (&json!("passed"), &json!("left_behind"))
    );
    let told = scene.world.messages();
    assert!(
        told.iter()
            .any(|message| message.subject.as_deref().unwrap().contains("LEFT BEHIND")),
        "{told:#?}"
    );
    scene.world.faults().remove(fault);
    scene.pass(SignedDuration::from_hours(24));
    let record = scene.close(&id).await;
    assert_eq!(record["cleanup"], "deleted");
    scene.assert_clean();
}

/// A quirk of the restored machine itself.
fn shop_that(scene: &Scene, machine: Machine, instance: InstanceBehaviour) -> String {
    let point = scene.machine_point("0150a9", machine);
    scene.add(RecoveryPoint {
        behaviour: RestoreBehaviour {
            instance,
            ..RestoreBehaviour::bare()
        },
        ..point
    })
}

/// Errors of AWS while a machine boots are no deaths of the function: the checks go on being begun.
#[tokio::test]
async fn errors_while_a_machine_boots_do_not_end_its_checks() {
    let scene = Scene::set(&policy("ec2.boot_timeout = \"50m\"")).await;
    let machine = Machine {
        boot_takes: Duration::from_secs(17 * 60),
        ..shop()
    };
    let point = scene.add(scene.machine_point("0150a9", machine));
    let id = scene.lands(&point).await;
    // Time for a second look.
    let short = SignedDuration::from_secs(106);
    for sweep in 1..=4 {
        scene.pass(SignedDuration::from_mins(5));
        if sweep < 4 {
            // The second look of a run: the checks were begun before it.
            let denied = Fault::error("UnauthorizedOperation", 403)
                .times(Times::Once)
                .skip(1);
            scene.world.faults().fail("EC2.DescribeInstances", denied);
        }
        let due = json!({ "sweep": "due" });
        scene.try_invoke_within(due, short).await.unwrap();
        scene.deliver_within(short).await;
    }
    assert_eq!(scene.world.faults().hits(), 3);
    let record = scene.close(&id).await;
    assert_eq!(record["verdict"], "passed", "{record:#}");
    scene.assert_clean();
}

/// Our waiting for the sweep is not the backup's recovery time.
#[tokio::test]
async fn waiting_between_two_runs_is_not_charged_to_the_backup() {
    let scene = Scene::set(&policy("ec2.boot_timeout = \"50m\"")).await;
    let machine = Machine {
        boot_takes: Duration::from_secs(6 * 60),
        ..shop()
    };
    let point = scene.add(scene.machine_point("0150a9", machine));
    let id = scene.lands(&point).await;
    let short = SignedDuration::from_secs(97);
    scene.pass(SignedDuration::from_mins(5));
    for minutes in [0, 40] {
        scene.pass(SignedDuration::from_mins(minutes));
        let due = json!({ "sweep": "due" });
        scene.try_invoke_within(due, short).await.unwrap();
        scene.deliver_within(short).await;
    }
    let record = scene.close(&id).await;
    assert_eq!(record["verdict"], "passed", "{record:#}");
    let prepared = record["preparation_duration"].as_f64().unwrap();
    assert!(prepared < 1.0, "{prepared} min of waiting for ourselves");
}

#[tokio::test]
async fn a_machine_that_does_not_end_is_told_of_after_hours() {
    let scene = Scene::set(&policy("")).await;
    let days = Duration::from_secs(30 * 60 * 60);
    let quirk = InstanceBehaviour {
        deletion_takes: Some(days),
        ..InstanceBehaviour::default()
    };
    let point = shop_that(&scene, shop(), quirk);
    let id = scene.lands(&point).await;
    scene.pass(SignedDuration::from_mins(2));
    scene.sweep().await;
    for _ in 0..5 {
        scene.pass(SignedDuration::from_hours(1));
        scene.sweep().await;
    }
    let record = scene.record(&id);
    assert_eq!(record["cleanup"], "left_behind", "{record:#}");
    assert_eq!(calls(&scene, "TerminateInstances"), 1);
    scene.pass(SignedDuration::from_hours(30));
    let record = scene.close(&id).await;
    assert_eq!(record["cleanup"], "deleted");
    scene.assert_clean();
}

#[tokio::test]
async fn a_machine_that_is_never_ready_is_inconclusive_after_hours() {
    let scene = Scene::set(&policy("")).await;
    let quirk = InstanceBehaviour {
        statuses: vec![StatusPhase {
            status: "pending".to_owned(),
            lasts: Duration::from_secs(7 * 24 * 60 * 60),
        }],
        ..InstanceBehaviour::default()
    };
    let point = shop_that(&scene, shop(), quirk);
    let id = scene.lands(&point).await;
    let short = SignedDuration::from_secs(97);
    for _ in 0..8 {
        scene.pass(SignedDuration::from_hours(1));
        let due = json!({ "sweep": "due" });
        scene.try_invoke_within(due, short).await.unwrap();
        scene.deliver_within(short).await;
    }
    let record = scene.close(&id).await;
    assert_eq!(record["verdict"], "inconclusive", "{record:#}");
    assert!(
        record["verdict_reason"]
            .as_str()
            .unwrap()
            .contains("6 hours"),
        "{record:#}"
    );
    scene.assert_clean();
}

/// With `MachineZones=2` attempts go to both subnets, and in each a machine is ours.
#[tokio::test]
async fn machines_are_restored_into_both_zones_when_there_are_two() {
    let mut scene = Scene::set(UNCHECKED).await;
    let second = "subnet-0150ca7ed0000000b";
    scene.world.add_subnet(Subnet {
        id: second.to_owned(),
        vpc_id: VPC.to_owned(),
        cidr: "127.77.200.0/24".to_owned(),
    });
    scene.app.config.machine_subnets = vec![SUBNET.to_owned(), second.to_owned()];
    let mut used = std::collections::BTreeSet::new();
    for number in 0..6 {
        let id = format!("0150a{number}");
        let point = scene.add(scene.machine_point(&id, Machine::default()));
        let id = scene.lands(&point).await;
        let mark = scene.validation(&id)["intent"]["mark"].to_string();
        used.extend(
            [SUBNET, second]
                .into_iter()
                .filter(|subnet| mark.contains(subnet)),
        );
        let record = scene.close(&id).await;
        assert_eq!(record["verdict"], "unchecked", "{record:#}");
        assert_eq!(record["cleanup"], "deleted");
    }
    assert_eq!(used.len(), 2, "{used:?}");
    scene.assert_clean();
}
