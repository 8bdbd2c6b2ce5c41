//! The reports that the function makes of its records: what they say, where they lie, and that people hear of each once.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use restore_proof_core::event::{self, Trigger};
use restore_proof_core::report::{Listed, Period, Reckoning, Report, Rhythm, inventory};
use restore_proof_function::report::INVENTORY_KEY;
use restore_proof_local_aws::{
    Fault, FaultKind, Machine, Message, ObjectVersion, RestoreBehaviour, RestoreOutcome, Times,
    When, WorldOptions,
};
use restore_proof_tests::{BUCKET, DAMAGED, PREFIX, Scene, UNCHECKED, function_with, topic};
use serde_json::{Value, json};

/// Machines are asked for a page; of databases nothing is asked.
const POLICY: &str = r#"
version = "test"
[[rules]]
name = "machines"
match = { resource_type = "EC2" }
frequency = "every-copy"
ec2.boot_timeout = "1s"
  [[rules.checks]]
  name = "it answers"
  kind = "http"
  port = 8080
  timeout = "5s"
  steps = [{ path = "/index.html", contains = "Welcome" }]
[[rules]]
name = "databases"
match = {}
frequency = "every-copy"
"#;

fn machine(page: &str) -> Machine {
    Machine {
        ports: vec![8080],
        files: [(page.to_owned(), "<h1>Welcome</h1>".to_owned())].into(),
        ..Machine::default()
    }
}

/// The period that is reported now.
fn period(scene: &Scene, rhythm: Rhythm) -> Period {
    let today = scene.now().to_zoned(TimeZone::UTC).date();
    rhythm.period(today).unwrap()
}

/// The report over the records that there are, the last one first.
fn reckoned(scene: &Scene, period: Period, listed: Option<Vec<Listed>>) -> Report {
    let mut reckoning = Reckoning::new(period, Some(period.looked_from()), listed);
    reckoning.of_function(PREFIX);
    let mut keys = scene.world.object_keys(BUCKET);
    keys.retain(|key| key.starts_with("records/"));
    for key in keys.iter().rev() {
        let record = scene.world.object_versions(BUCKET, key).pop().unwrap();
        reckoning.read(key, &record.body);
    }
    reckoning.finish()
}

/// The object of a report, as it is now; None if there is none.
fn stored(scene: &Scene, rhythm: Rhythm, period: Period, end: &str) -> Option<ObjectVersion> {
    let key = format!("{}report.{end}", rhythm.folder(period));
    scene.world.object_versions(BUCKET, &key).pop()
}

fn text(object: ObjectVersion) -> String {
    String::from_utf8(object.body.to_vec()).unwrap()
}

/// The report as JSON.
fn json_of(scene: &Scene, rhythm: Rhythm, period: Period) -> Value {
    let object = stored(scene, rhythm, period, "json").unwrap();
    serde_json::from_slice(&object.body).unwrap()
}

/// The report's objects are there in every form, and say what the records say.
#[track_caller]
fn assert_stored(scene: &Scene, rhythm: Rhythm, report: &Report) {
    type Form = fn(&Report) -> String;
    let forms: [(&str, &str, Form); 4] = [
        (
            "html",
            "text/html; charset=utf-8",
            restore_proof_report::page,
        ),
        (
            "md",
            "text/markdown; charset=utf-8",
            restore_proof_report::markdown,
        ),
        ("json", "application/json", restore_proof_report::json),
        ("xml", "application/xml", restore_proof_report::junit),
    ];
    for (end, content_type, form) in forms {
        let object = stored(scene, rhythm, report.period, end);
        let object = object.unwrap_or_else(|| panic!("report.{end} is missing"));
        assert_eq!(object.content_type.as_deref(), Some(content_type));
        assert!(object.lock.is_none(), "records alone are locked");
        assert_eq!(text(object), form(report), "{end}");
    }
}

/// The messages about reports.
fn told(scene: &Scene) -> Vec<Message> {
    let mut messages = scene.world.messages();
    messages.retain(|message| {
        let kind = message.attributes.get("kind");
        kind.is_some_and(|kind| kind == "report")
    });
    messages
}

fn subject(message: &Message) -> &str {
    message.subject.as_deref().unwrap()
}

/// A record of a validation that was opened on this day and passed.
fn record(resource: &str, day: Date) -> String {
    let record = json!({
        "validation_id": format!("{resource}-{day}"), "verdict": "passed", "proof": "restored", "recovery_point_arn": format!("arn:{resource}"),
        "source_resource_arn": resource, "opened_time": format!("{day} 12:00:00.000"), "verdict_time": format!("{day} 12:30:00.000"),
        "recovery_time": 7.0, "cleanup": "deleted"
    });
    format!("{record}\n")
}

/// Puts a record where the function would have written it.
fn put_record(scene: &Scene, resource: &str, day: Date) {
    let key = format!("records/dt={day}/{resource}.json");
    scene.world.put_object(BUCKET, &key, record(resource, day));
}

fn yesterday(scene: &Scene) -> Date {
    period(scene, Rhythm::Daily).to
}

fn weekly() -> Value {
    json!({ "report": "weekly" })
}

#[tokio::test]
async fn what_the_records_say_is_stored_in_every_form_and_told_once() {
    let scene = Scene::set(POLICY).await;
    let fails = |message: &str| RestoreBehaviour {
        outcome: RestoreOutcome::Fails {
            message: message.to_owned(),
        },
        ..RestoreBehaviour::bare()
    };
    let good = scene.add(scene.machine_point("600d", machine("/index.html")));
    let wrong = scene.add(scene.machine_point("bad", machine("/other.html")));
    let unchecked = scene.backup("orders", RestoreBehaviour::bare());
    let damaged = scene.backup("billing", fails(DAMAGED));
    let unknown = scene.backup("stock", fails("Something that nobody ever heard of"));
    for (point, verdict) in [
        (good, "passed"),
        (wrong, "failed"),
        (unchecked, "unchecked"),
        (damaged, "restore_failed"),
        (unknown, "inconclusive"),
    ] {
        assert_eq!(scene.prove(&point).await["verdict"], verdict);
    }
    scene.pass(SignedDuration::from_hours(24));

    let of = period(&scene, Rhythm::Weekly);
    let answer = scene.invoke(weekly()).await;
    let page = format!("s3://{BUCKET}/reports/weekly/{}/report.html", of.to);
    assert_eq!(answer["report"], page.as_str());
    assert_eq!(answer["records"], 5);
    let report = reckoned(&scene, of, None);
    assert_eq!(report.totals.recovery_points, 5);
    assert_stored(&scene, Rhythm::Weekly, &report);

    let messages = told(&scene);
    let [message] = messages.as_slice() else {
        panic!("{messages:#?}");
    };
    assert_eq!(message.topic_arn, topic());
    let said = format!(
        "REPORT: weekly, {} to {}: 1 of 5 resources proved, 2 bad, 1 inconclusive",
        of.from, of.to
    );
    assert_eq!(subject(message), said);
    let link = format!(
        "https://console.aws.amazon.com/s3/object/{BUCKET}?region=eu-central-1&prefix=reports/weekly/{}/report.html\n",
        of.to
    );
    for said in [page.as_str(), link.as_str(), "left behind     nothing"] {
        assert!(message.body.contains(said), "{said}: {}", message.body);
    }

    // Delivered again it is made again, and nobody hears of it again. The day's report is another one.
    assert_eq!(scene.invoke(weekly()).await, answer);
    assert_stored(&scene, Rhythm::Weekly, &report);
    assert_eq!(told(&scene).len(), 1);
    scene.invoke(json!({ "report": "daily" })).await;
    let of = period(&scene, Rhythm::Daily);
    assert_stored(&scene, Rhythm::Daily, &reckoned(&scene, of, None));
    assert_eq!(told(&scene).len(), 2);
    assert!(subject(&told(&scene)[1]).starts_with(&format!("REPORT: daily, {}: ", of.to)));
    scene.assert_clean();
}

#[tokio::test]
async fn of_no_records_at_all_there_is_a_report_that_says_so() {
    let scene = Scene::set(UNCHECKED).await;
    let of = period(&scene, Rhythm::Daily);
    let answer = scene.invoke(json!({ "report": "daily" })).await;
    assert_eq!(answer["records"], 0);
    assert_stored(&scene, Rhythm::Daily, &reckoned(&scene, of, None));
    let page = text(stored(&scene, Rhythm::Daily, of, "html").unwrap());
    assert!(page.contains("No record was found for this period"));
    let said = format!("REPORT: daily, {}: nothing was validated", of.to);
    assert_eq!(subject(&told(&scene)[0]), said);
}

/// What is read begins with the period before, 90 days back at least, and ends with the period's last day.
#[tokio::test]
async fn records_on_many_pages_are_read_once_each_and_no_others() {
    let options = WorldOptions {
        page_size: 7,
        ..WorldOptions::default()
    };
    let scene = Scene::with_options(UNCHECKED, options).await;
    let of = period(&scene, Rhythm::Weekly);
    let mut wanted = BTreeSet::new();
    let mut day = of.looked_from();
    while day <= of.to {
        put_record(&scene, "orders", day);
        wanted.insert(format!("records/dt={day}/orders.json"));
        day = day.tomorrow().unwrap();
    }
    assert_eq!(wanted.len(), 90);
    put_record(&scene, "old", of.looked_from().yesterday().unwrap());
    put_record(&scene, "new", of.to.tomorrow().unwrap());
    let before = scene.world.calls().len();
    assert_eq!(scene.invoke(weekly()).await["records"], 90);
    let calls = scene.world.calls();
    let read: Vec<String> = calls[before..]
        .iter()
        .filter(|call| call.operation == "GetObject")
        .flat_map(|call| call.resources.clone())
        .collect();
    let keys = read.iter().filter_map(|of| of.split_once('/'));
    let keys: BTreeSet<String> = keys.map(|(_, key)| key.to_owned()).collect();
    assert_eq!(keys, wanted);
    assert_eq!(read.len(), wanted.len(), "each once");
    let told = json_of(&scene, Rhythm::Weekly, of);
    assert_eq!(told["coverage"]["resources"], 1);
    assert_eq!(told["totals"]["proved"], 7);
    assert_eq!(told["before"]["totals"]["proved"], 7);
    assert_eq!(told["read"]["looked_from"], of.looked_from().to_string());
}

#[tokio::test]
async fn what_is_no_record_stops_nothing_and_is_told() {
    let scene = Scene::set(UNCHECKED).await;
    let day = yesterday(&scene);
    put_record(&scene, "orders", day);
    for (name, body) in [
        ("broken", "{\"validation_id\":".to_owned()),
        ("large", " ".repeat((1 << 20) + 1)),
    ] {
        let key = format!("records/dt={day}/{name}.json");
        scene.world.put_object(BUCKET, &key, body);
    }
    assert_eq!(scene.invoke(weekly()).await["records"], 1);
    let of = period(&scene, Rhythm::Weekly);
    let read = json_of(&scene, Rhythm::Weekly, of)["read"].clone();
    assert_eq!(read["unreadable"], 2);
    let places = read["unreadable_places"].to_string();
    assert!(places.contains("large.json: too large for a record"));
    assert!(places.contains("broken.json, line 1: EOF"), "{places}");
    let body = &told(&scene)[0].body;
    assert!(body.contains("unreadable      2 of the records, first records/dt="));
}

/// Under a key that the function may not use any more, for instance. A report without it would be half of one.
#[tokio::test]
async fn a_record_that_may_not_be_read_is_named_and_nothing_is_stored() {
    let scene = Scene::set(UNCHECKED).await;
    let day = yesterday(&scene);
    put_record(&scene, "orders", day);
    let denied = Fault::error("AccessDenied", 403).times(Times::OneCall);
    scene.world.faults().fail("S3.GetObject", denied);
    let error = scene.try_invoke(weekly()).await.unwrap_err().to_string();
    let said = format!("s3:GetObject: records/dt={day}/orders.json: AccessDenied");
    assert!(error.starts_with(&said), "{error}");
    let of = period(&scene, Rhythm::Weekly);
    assert!(stored(&scene, Rhythm::Weekly, of, "json").is_none());
    assert!(told(&scene).is_empty());
}

#[tokio::test]
async fn an_inventory_adds_what_never_landed() {
    const LIST: &str = "arn,owner,target\norders,Anna,30d\nghost,Ben,7d\n";
    let scene = Scene::set(UNCHECKED).await;
    put_record(&scene, "orders", yesterday(&scene));
    scene.world.put_object(BUCKET, INVENTORY_KEY, LIST);
    scene.invoke(weekly()).await;
    let of = period(&scene, Rhythm::Weekly);
    let report = reckoned(&scene, of, Some(inventory(LIST).unwrap()));
    assert_eq!(report.coverage.never_landed, 1);
    assert_stored(&scene, Rhythm::Weekly, &report);
    assert!(subject(&told(&scene)[0]).contains("1 of 2 resources proved"));
}

/// The report is made without it; report and message say why.
#[tokio::test]
async fn an_inventory_that_is_of_no_use_is_told_with_its_line() {
    let denied = Fault::error("AccessDenied", 403).times(Times::OneCall);
    for (list, fault, said) in [
        (
            b"arn,owner\norders,Anna\n,Ben\n".to_vec(),
            None,
            "s3://results/policy/inventory.csv, line 3: the ARN is missing",
        ),
        (
            b"\xff\xfe".to_vec(),
            None,
            "inventory.csv is not UTF-8 text",
        ),
        (
            vec![b' '; (1 << 20) + 1],
            None,
            "inventory.csv is larger than 1 MiB",
        ),
        (
            b"arn\norders\n".to_vec(),
            Some(denied),
            "inventory.csv may not be read: AccessDenied",
        ),
    ] {
        let scene = Scene::set(UNCHECKED).await;
        put_record(&scene, "orders", yesterday(&scene));
        scene.world.put_object(BUCKET, INVENTORY_KEY, list);
        if let Some(fault) = fault {
            scene.world.faults().fail("S3.GetObject", fault);
        }
        assert_eq!(scene.invoke(weekly()).await["records"], 1);
        let of = period(&scene, Rhythm::Weekly);
        let read = json_of(&scene, Rhythm::Weekly, of)["read"].clone();
        let error = read["inventory_error"].as_str().unwrap();
        assert!(error.contains(said), "{error}");
        let page = text(stored(&scene, Rhythm::Weekly, of, "html").unwrap());
        assert!(page.contains("The inventory could not be used: "));
        let body = &told(&scene)[0].body;
        assert!(body.contains("inventory       could not be used: ") && body.contains(said));
    }
}

/// Each call fails once, with all its retries, before its effect and after it. What is delivered again ends as if nothing had
/// been; people hear of it once, and twice only if the answer to the message, or the note of it, was lost.
#[tokio::test]
async fn a_call_that_fails_is_made_up_for_by_the_next_delivery() {
    let set = async || {
        let scene = Scene::set(UNCHECKED).await;
        put_record(&scene, "orders", yesterday(&scene));
        scene
            .world
            .put_object(BUCKET, INVENTORY_KEY, "arn\norders\n");
        scene
    };
    let scene = set().await;
    scene.invoke(weekly()).await;
    let of = period(&scene, Rhythm::Weekly);
    let report = reckoned(&scene, of, Some(inventory("arn\norders\n").unwrap()));
    let names: Vec<String> = scene.world.calls().iter().map(|call| call.name()).collect();
    assert_eq!(
        names,
        [
            "S3.ListObjectsV2",
            "S3.GetObject",
            "S3.ListObjectsV2",
            "S3.GetObject",
            "S3.PutObject",
            "S3.PutObject",
            "S3.PutObject",
            "S3.PutObject",
            "DynamoDB.GetItem",
            "SNS.Publish",
            "DynamoDB.PutItem",
        ]
    );
    for (number, name) in names.iter().enumerate() {
        for when in [When::BeforeEffect, When::AfterEffect] {
            let scene = set().await;
            let mut known = Vec::new();
            scene.world.faults().judge_by(Box::new(move |attempt| {
                let call = attempt.call.unwrap_or_default().to_owned();
                if !known.contains(&call) {
                    known.push(call.clone());
                }
                (known.get(number) == Some(&call)).then_some((FaultKind::Reset, when))
            }));
            let failed = scene.try_invoke(weekly()).await;
            assert!(failed.is_err(), "{name} {when:?}: {failed:?}");
            scene.world.faults().clear();
            scene.invoke(weekly()).await;
            assert_stored(&scene, Rhythm::Weekly, &report);
            let told = told(&scene).len();
            let lost = match (name.as_str(), when) {
                // Each try of it takes effect.
                ("SNS.Publish", When::AfterEffect) => 2..=4,
                ("DynamoDB.PutItem", When::BeforeEffect) => 2..=2,
                _ => 1..=1,
            };
            assert!(lost.contains(&told), "{name} {when:?}: told {told} times");
        }
    }
}

/// Never half a report: people are told that there is none, once, and how to make it.
#[tokio::test]
async fn a_report_that_is_too_much_is_not_made_and_that_is_told_once() {
    let scene = Scene::set(UNCHECKED).await;
    let day = yesterday(&scene);
    put_record(&scene, "orders", day);
    let of = period(&scene, Rhythm::Daily);
    for _ in 0..2 {
        let in_no_time = SignedDuration::from_mins(2);
        let answer = scene.try_invoke_within(json!({ "report": "daily" }), in_no_time);
        let answer = answer.await.unwrap();
        let why = answer["not_made"].as_str().unwrap();
        assert!(why.contains("was over after 1 record"), "{why}");
    }
    assert!(stored(&scene, Rhythm::Daily, of, "json").is_none());
    let command = format!(
        "restore-proof report --function restore-proof --from {} --to {}",
        of.from, of.to
    );
    let messages = told(&scene);
    assert_eq!(messages.len(), 1);
    assert!(messages[0].body.contains(&command), "{}", messages[0].body);

    // So many lines in two objects.
    for half in ["a", "b"] {
        let lines = (0..2501).map(|one| {
            format!(
                "{{\"validation_id\":\"\",\"verdict\":\"passed\",\"recovery_point_arn\":\"\",\"opened_time\":\"{day} 12:00:00\",\
                 \"source_resource_arn\":\"{half}{one}\"}}\n"
            )
        });
        let key = format!("records/dt={day}/{half}.json");
        let lines: String = lines.collect();
        scene.world.put_object(BUCKET, &key, lines);
    }
    let answer = scene.invoke(json!({ "report": "daily" })).await;
    let why = answer["not_made"].as_str().unwrap();
    assert!(why.contains("more than 5000 resources"), "{why}");
    assert!(stored(&scene, Rhythm::Daily, of, "json").is_none());

    // What was not made is made when it can be.
    let key = format!("records/dt={day}/b.json");
    scene.world.put_object(BUCKET, &key, "");
    scene.invoke(json!({ "report": "daily" })).await;
    assert!(stored(&scene, Rhythm::Daily, of, "html").is_some());
    assert_eq!(told(&scene).len(), 2);
}

/// What is listed and never landed takes memory as what landed does.
#[tokio::test]
async fn resources_of_the_inventory_count_among_the_most() {
    let scene = Scene::set(UNCHECKED).await;
    let day = yesterday(&scene);
    put_record(&scene, "orders", day);
    let list = |many: usize| {
        let arns = (0..many).map(|one| format!("arn:aws:rds:eu-central-1:1:db:d{one}\n"));
        format!("arn\n{}", arns.collect::<String>())
    };
    for (many, is_made) in [(5001, false), (5000, false), (4999, true)] {
        scene
            .world
            .put_object(BUCKET, "policy/inventory.csv", list(many));
        let answer = scene.invoke(json!({ "report": "daily" })).await;
        let why = answer["not_made"].as_str();
        assert_eq!(why.is_none(), is_made, "{many}: {answer}");
        assert!(
            why.is_none_or(|why| why.contains("the inventory are of more than 5000 resources")),
            "{answer}"
        );
    }
}

/// What the template's schedules say is what the function understands.
#[test]
fn every_schedule_asks_for_something() {
    let both = [("DailyReport", "true"), ("WeeklyReport", "true")];
    let schedules = function_with(&both).schedules;
    assert_eq!(schedules.len(), 4);
    let mut reports = Vec::new();
    for schedule in schedules {
        match event::read(&schedule.input) {
            Trigger::Report(rhythm) => reports.push((rhythm.as_str(), schedule.every.as_secs())),
            Trigger::Sweep(_) => {}
            other => panic!("{}: {other:?}", schedule.name),
        }
    }
    reports.sort_unstable();
    assert_eq!(reports, [("daily", 86_400), ("weekly", 7 * 86_400)]);
}
