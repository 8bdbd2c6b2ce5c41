//! `notify = "changes"`: people hear when the verdicts on a resource change, and now and then while they stay bad.

use restore_proof_local_aws::{Call, World};
use restore_proof_tests::LEDGER;

use super::telling::events;
use super::*;

const POLICY: &str = r#"
version = "test"
[[rules]]
name = "shops"
match = {}
frequency = "every-copy"
notify = "changes"
retry = false
ec2.boot_timeout = "1s"
  [[rules.checks]]
  name = "the shop answers"
  kind = "http"
  port = 8080
  timeout = "5s"
  steps = [{ path = "/", contains = "Welcome" }]
"#;

/// What a day's backup of the shop is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Backup {
    Good,
    Bad,
    Untold,
}

use Backup::{Bad, Good, Untold};

/// Puts a recovery point of the shop into the vault, made so many hours ago. Answers its ARN.
fn made(scene: &Scene, number: usize, backup: Backup, hours: i64) -> String {
    let page = if backup == Bad { "Moved" } else { "Welcome" };
    let machine = Machine {
        ports: vec![8080],
        files: [("/index.html".to_owned(), page.to_owned())].into(),
        ..Machine::default()
    };
    let behaviour = match backup {
        Good | Bad => RestoreBehaviour::default(),
        Untold => RestoreBehaviour::fails(Duration::from_secs(4), NO_ROOM),
    };
    let point = scene.machine_point("0150a9", machine);
    scene.add(RecoveryPoint {
        arn: format!("arn:aws:ec2:{REGION}::image/ami-{number:0>17}"),
        created_at: scene.now() - SignedDuration::from_hours(hours),
        behaviour,
        ..point
    })
}

/// The verdicts that people have heard of so far.
fn told(scene: &Scene) -> Vec<String> {
    let messages = scene.world.messages().into_iter();
    messages
        .map(|message| message.attributes["verdict"].clone())
        .collect()
}

#[tokio::test]
async fn people_hear_of_changes_and_are_reminded_while_a_backup_stays_bad() {
    let scene = Scene::set(POLICY).await;
    let days = [
        (Good, Some("passed")),
        (Good, None),
        (Bad, Some("failed")),
        (Bad, None),
        (Bad, None),
        (Bad, None),
        (Bad, None),
        (Bad, None),
        (Bad, Some("failed")),
        (Bad, None),
        (Untold, Some("inconclusive")),
        (Good, Some("passed")),
        (Good, None),
    ];
    let mut heard = Vec::new();
    for (day, (backup, news)) in days.into_iter().enumerate() {
        let morning = scene.now();
        scene.prove(&made(&scene, day, backup, 1)).await;
        heard.extend(news.map(str::to_owned));
        assert_eq!(told(&scene), heard, "day {day}");
        // A little more than a day, so that the sixth is six days later whatever the runs took.
        scene.pass(SignedDuration::from_hours(25) - scene.now().duration_since(morning));
    }
    // Programs hear of every one, and what people hear of is published once.
    assert_eq!(events(&scene).len(), days.len());
    assert_eq!(calls(&scene, "SNS.Publish"), days.len());
    scene.assert_clean();
}

#[tokio::test]
async fn a_verdict_on_an_older_recovery_point_changes_nothing() {
    let scene = Scene::set(POLICY).await;
    scene.prove(&made(&scene, 2, Good, 1)).await;
    let late = scene.prove(&made(&scene, 1, Bad, 30)).await;
    assert_eq!(late["verdict"], "failed");
    scene.prove(&made(&scene, 3, Good, 1)).await;
    assert_eq!(told(&scene), ["passed"]);
    let verdicts: Vec<_> = events(&scene)
        .iter()
        .map(|event| event["verdict"].clone())
        .collect();
    assert_eq!(verdicts, ["passed", "failed", "passed"]);
    scene.prove(&made(&scene, 4, Bad, 0)).await;
    assert_eq!(told(&scene), ["passed", "failed"]);
}

/// What people hear of stands with the verdict, and not with the message: that may be lost and sent again.
#[tokio::test]
async fn a_message_that_was_lost_is_sent_again_although_the_next_is_no_change() {
    let scene = Scene::set(POLICY).await;
    let fault = scene.world.faults().fail(
        "SNS.Publish",
        Fault::error("InternalError", 500).times(Times::Forever),
    );
    let first = scene.lands(&made(&scene, 1, Bad, 3)).await;
    for _ in 0..3 {
        scene.sweep().await;
    }
    assert!(told(&scene).is_empty());
    let second = scene.lands(&made(&scene, 2, Bad, 2)).await;
    for _ in 0..3 {
        scene.sweep().await;
    }
    scene.world.faults().remove(fault);
    scene.close(&first).await;
    scene.close(&second).await;
    let messages = scene.world.messages();
    assert_eq!(told(&scene), ["failed"]);
    assert!(messages[0].body.contains(&first), "{}", messages[0].body);
    assert_eq!(events(&scene).len(), 2);
}

/// Two validations of one resource may weigh their verdicts at one time: who writes second weighs anew.
#[tokio::test]
async fn of_two_validations_at_one_time_people_hear_of_the_change_once() {
    let scene = Scene::set(POLICY).await;
    scene.prove(&made(&scene, 1, Good, 5)).await;
    // Between its reading and its writing another one writes the same.
    let (world, now) = (scene.world.clone(), scene.now());
    let mut before = String::new();
    scene.world.faults().judge_by(Box::new(move |attempt| {
        if before == "GetItem" && attempt.operation == "TransactWriteItems" {
            let mut item = standing(&world);
            let mut known: Value =
                serde_json::from_str(item["standing"]["S"].as_str().unwrap()).unwrap();
            known["verdict"] = json!("failed");
            known["told_at"] = json!(now);
            item["standing"]["S"] = json!(known.to_string());
            world.put_table_item(LEDGER, &item);
        }
        before = attempt.operation.to_owned();
        None
    }));
    let second = scene.prove(&made(&scene, 2, Bad, 3)).await;
    assert_eq!(second["verdict"], "failed");
    assert_eq!(told(&scene), ["passed"], "the other one tells");
    assert_eq!(weighed(&scene), 3, "once for each verdict, and once more");
    scene.world.faults().clear();
    scene.prove(&made(&scene, 3, Bad, 2)).await;
    scene.prove(&made(&scene, 4, Good, 1)).await;
    assert_eq!(told(&scene), ["passed", "passed"]);
}

/// Where others change each time how the resource stands, the verdict and the proof are written all the same: bad news must
/// name the newest recovery point that is known to be good.
#[tokio::test]
async fn what_was_proved_is_known_although_the_standing_never_holds_still() {
    let scene = Scene::set(POLICY).await;
    scene.prove(&made(&scene, 1, Good, 5)).await;
    let (world, now) = (scene.world.clone(), scene.now());
    let mut before = String::new();
    let mut changes = 0;
    scene.world.faults().judge_by(Box::new(move |attempt| {
        if before == "GetItem" && attempt.operation == "TransactWriteItems" {
            let mut item = standing(&world);
            let mut known: Value =
                serde_json::from_str(item["standing"]["S"].as_str().unwrap()).unwrap();
            changes += 1;
            known["told_at"] = json!(now + SignedDuration::from_secs(changes));
            item["standing"]["S"] = json!(known.to_string());
            world.put_table_item(LEDGER, &item);
        }
        before = attempt.operation.to_owned();
        None
    }));
    let point = made(&scene, 2, Good, 3);
    let second = scene.prove(&point).await;
    assert_eq!(second["verdict"], "passed");
    assert_eq!(
        weighed(&scene),
        6,
        "once for the first verdict, five times for this"
    );
    let items = scene.world.table_items(LEDGER);
    let proved = |item: &&Value| {
        let id = item["id"]["S"].as_str();
        id.is_some_and(|id| id.starts_with("proved#"))
    };
    let proved = items.iter().find(proved).unwrap();
    assert_eq!(proved["recovery_point_arn"]["S"], json!(point));
    assert_eq!(
        told(&scene),
        ["passed", "passed"],
        "once too often rather than never"
    );
}

/// How often it was read how a resource stands.
fn weighed(scene: &Scene) -> usize {
    let calls = scene.world.calls().into_iter();
    let is_read = |call: &Call| call.name() == "DynamoDB.GetItem" && call.mentions("standing#");
    calls.filter(is_read).count()
}

/// The ledger's item of how the one resource stands.
fn standing(world: &World) -> Value {
    let mut items = world.table_items(LEDGER).into_iter();
    let is_one = |item: &Value| {
        item["id"]["S"]
            .as_str()
            .is_some_and(|id| id.starts_with("standing#"))
    };
    items.find(is_one).unwrap()
}

/// What it costs to hear less: one call more of each verdict, of rules that tell of changes alone.
#[tokio::test]
async fn only_rules_that_tell_of_changes_read_how_a_resource_stands() {
    for (notify, reads) in [("changes", 2), ("problems", 0)] {
        let scene = Scene::set(&POLICY.replace("changes", notify)).await;
        scene.prove(&made(&scene, 1, Good, 5)).await;
        scene.prove(&made(&scene, 2, Bad, 4)).await;
        assert_eq!(weighed(&scene), reads, "{notify}");
    }
}

/// A text that no version of ours has written is no reason to be silent, nor to stop.
#[tokio::test]
async fn a_standing_that_cannot_be_read_is_as_good_as_none() {
    let scene = Scene::set(POLICY).await;
    scene.prove(&made(&scene, 1, Good, 5)).await;
    let mut item = standing(&scene.world);
    item["standing"]["S"] = json!("{\"verdict\":\"splendid\"}");
    scene.world.put_table_item(LEDGER, &item);
    scene.prove(&made(&scene, 2, Good, 4)).await;
    scene.prove(&made(&scene, 3, Good, 3)).await;
    assert_eq!(told(&scene), ["passed", "passed"]);
}
