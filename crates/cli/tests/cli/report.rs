//! `restore-proof report` as people run it.

use restore_proof_local_aws::{Server, World, WorldOptions, serve};
use restore_proof_tests::{BUCKET, Scene, UNCHECKED};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{self, Ran, file};

/// A record of a validation that was opened on a day of November 2026, restored and passed unless others say otherwise.
pub(crate) fn record(id: &str, resource: &str, day: u8, others: Value) -> Value {
    let mut record = json!({
        "format": 1, "validation_id": id, "verdict": "passed", "verdict_reason": "all 2 checks passed", "proof": "restored",
        "scenario": "cross_account", "recovery_point_arn": format!("arn:aws:rds:eu-central-1:111122223333:snapshot:{id}"),
        "recovery_point_created": format!("2026-11-{day:02} 03:00:00.000"), "backup_vault_name": "central", "resource_type": "RDS",
        "source_resource_arn": format!("arn:aws:rds:eu-central-1:222233334444:db:{resource}"), "source_account": "222233334444",
        "source_class": "db.t4g.micro", "restored_class": "db.t4g.micro", "opened_time": format!("2026-11-{day:02} 04:00:00.000"),
        "restore_job_id": format!("job-{id}"), "recovery_time": 12.5, "recovery_time_target": 30.0, "recovery_time_objective": "met",
        "data_age": 4.0, "cleanup": "deleted", "attempts": [], "checks": [], "findings": [],
        "usage": [{ "what": "restored_resource", "amount": 30.0, "unit": "minutes" }],
        "verdict_time": format!("2026-11-{day:02} 04:30:00.000")
    });
    for (name, value) in others.as_object().unwrap() {
        record[name] = value.clone();
    }
    record
}

fn history() -> Vec<Value> {
    vec![
        record(
            "a1",
            "orders",
            10,
            json!({ "restored_class": "db.t4g.large" }),
        ),
        record("b1", "billing", 3, json!({})),
        record(
            "b2",
            "billing",
            20,
            json!({
                "verdict": "failed", "verdict_reason": "1 of 2 checks failed; fresh: too old",
                "checks": [{ "name": "fresh", "outcome": "failed", "detail": "too old" }, { "name": "there", "outcome": "passed", "detail": "" }]
            }),
        ),
        record("c1", "crm", 21, json!({ "proof": "read" })),
    ]
}

/// A folder of records, as they lie in S3.
pub(crate) fn folder(records: &[Value]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for record in records {
        let day = record["opened_time"].as_str().unwrap().get(..10).unwrap();
        let day = folder.path().join(format!("dt={day}"));
        std::fs::create_dir_all(&day).unwrap();
        let name = format!("{}.json", record["validation_id"].as_str().unwrap());
        std::fs::write(day.join(name), format!("{record}\n")).unwrap();
    }
    folder
}

fn report(folder: &TempDir, options: &[&str]) -> Ran {
    let of = ["report", "--records", folder.path().to_str().unwrap()];
    let november = ["--from", "2026-11-01", "--to", "2026-11-30"];
    common::run(&[&of, &november[..], options].concat())
}

#[test]
fn a_terminal_shows_gaps_first_and_all_sections() {
    let shown = report(&folder(&history()), &[]);
    shown.assert(
        0,
        &[
            "Recovery tests from 2026-11-01 to 2026-11-30",
            "knows only resources whose backups ever landed",
            "Success rate 66.7 % 2 of 3 restores passed",
            "db:crm never proved never",
            "db:billing failing 2026-11-03 04:30 27 2026-11-03 03:00 12.5 min failed",
            "db:orders proved 2026-11-10 04:30 20 2026-11-10 03:00 12.5 min on another class passed",
            "fresh",
            "1 of 2 checks failed; fresh: too old",
            "An estimate: ",
        ],
    );
    let at = |words: &str| shown.out.find(words).unwrap_or_else(|| panic!("{words}"));
    let sections = [
        "Last proven restore of each resource",
        "Totals and success rate",
        "\nRecovery time\n",
        "\nData age\n",
        "\nCoverage\n",
        "\nFailing\n",
        "\nFlapping\n",
        "Inconclusive, unchecked or not tested",
        "\nTrend\n",
        "Copies that failed",
        "\nLeft behind\n",
        "\nCost\n",
    ];
    assert!(sections.map(at).is_sorted());
    assert!(at("db:crm") < at("db:billing") && at("db:billing") < at("db:orders"));
    assert!(!shown.out.contains('\u{1b}'), "no colours into a pipe");
}

#[test]
fn json_is_the_same_by_either_name() {
    let folder = folder(&history());
    let told = report(&folder, &["--form", "json"]);
    assert_eq!(told.code, 0, "{}", told.err);
    let same = report(&folder, &["--json"]);
    assert_eq!(told.out, same.out);
    let told = told.json();
    assert_eq!(told["report_format"], json!(1));
    assert_eq!(told["totals"]["proved"], json!(2));
    assert_eq!(
        told["resources"][2]["proof"]["on_another_class"],
        json!(true)
    );
    assert_eq!(
        told["resources"][2]["proof"]["verdict_time"],
        json!("2026-11-10 04:30:00.000")
    );
}

#[test]
fn a_page_needs_nothing_else_and_opens_every_record() {
    let out = tempfile::tempdir().unwrap();
    let page = out.path().join("report.html");
    let options = ["--form", "html", "--output", page.to_str().unwrap()];
    let made = report(&folder(&history()), &options);
    assert_eq!((made.code, made.out.as_str()), (0, ""), "{}", made.err);
    let page = std::fs::read_to_string(page).unwrap();
    for outside in ["http://", "https://", "src=", "url(", "@import", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
    // One for each resource, for the one that fails and for its bad verdict, and the days and what was read.
    assert_eq!(page.matches("<details").count(), 3 + 2 + 2);
    assert_eq!(page.matches("records/dt=2026-11-20/b2.json").count(), 3);
    assert_eq!(page.matches("<svg").count(), 2);
    for said in [
        "arn:aws:rds:eu-central-1:111122223333:snapshot:b1",
        "db.t4g.large (source: db.t4g.micro)",
        "fresh: too old",
        "never proved",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn what_records_say_is_text_in_every_form() {
    const SCRIPT: &str = "<script>alert(1)</script>";
    const IMAGE: &str = "\"><img src=x onerror=alert(1)>";
    let evil = |id: &str, verdict: &str| {
        record(
            id,
            &format!("{IMAGE}{id}"),
            5,
            json!({
                "verdict": verdict, "verdict_reason": format!("{SCRIPT}{IMAGE}'\u{1b}[2J"), "resource_type": SCRIPT, "source_account": IMAGE,
                "recovery_point_arn": IMAGE, "backup_vault_name": SCRIPT, "fault_class": SCRIPT, "scenario": IMAGE, "restored_class": SCRIPT,
                "policy_rule": SCRIPT, "findings": [SCRIPT, IMAGE], "copy_job_id": IMAGE, "restored_resource_arn": IMAGE, "cleanup": "left_behind",
                "cleanup_reason": SCRIPT, "restore_job_id": SCRIPT, "data_age_objective": SCRIPT,
                "checks": [{ "name": SCRIPT, "outcome": "failed", "detail": IMAGE }, { "name": IMAGE, "outcome": SCRIPT, "detail": SCRIPT }],
                "usage": [{ "what": SCRIPT, "amount": 1.0, "unit": IMAGE }]
            }),
        )
    };
    let mut records: Vec<Value> = ["passed", "failed", "copy_failed", "inconclusive"]
        .iter()
        .enumerate()
        .map(|(n, verdict)| evil(&format!("v{n}"), verdict))
        .collect();
    records.push(record("none", "orders", 6, json!({ "verdict": SCRIPT })));
    let folder = folder(&records);
    let inventory = file(
        "evil.csv",
        "arn,owner\n<script>alert(1)</script>,<img src=x>\n",
    );
    let form = |form: &str| report(&folder, &["--inventory", &inventory, "--form", form]);

    let page = form("html").out;
    // Its own one, at the end, and the words that the policy allows it by.
    assert_eq!(page.matches("<script").count(), 1);
    assert!(!page.contains("<img"));
    // Quotes among it, which could end an attribute.
    assert!(page.contains("&#34;&#62;&#60;img src=x"));
    assert!(!page.contains("\"&#62;"), "a quote is not escaped");
    assert!(page.contains("&#60;script&#62;alert(1)&#60;/script&#62;"));
    assert!(page.contains("script-src 'sha256-"));
    assert!(!page.contains('\u{1b}'));

    let markdown = form("markdown").out;
    assert!(!markdown.contains("<script") && !markdown.contains("<img"));
    let junit = form("junit").out;
    assert!(!junit.contains("<script") && !junit.contains("<img") && !junit.contains('\u{1b}'));
    let terminal = form("terminal").out;
    assert!(
        !terminal.contains('\u{1b}'),
        "an escape sequence reaches the terminal"
    );
    assert_eq!(form("json").json()["read"]["unreadable"], json!(1));
}

#[test]
fn a_build_server_gets_a_case_for_each_resource() {
    let inventory = file(
        "inventory.csv",
        "arn,owner,target\narn:aws:rds:eu-central-1:222233334444:db:orders,Anna,90d\narn:aws:dynamodb:eu-central-1:222233334444:table/ghost,Ben,7d\n",
    );
    let mut records = history();
    records.push(record(
        "d1",
        "drafts",
        22,
        json!({ "verdict": "inconclusive", "verdict_reason": "login refused", "proof": null }),
    ));
    let suite = report(
        &folder(&records),
        &["--form", "junit", "--inventory", &inventory],
    );
    assert_eq!(suite.code, 0, "{}", suite.err);
    let words = suite.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        r#"<testsuites name="restore-proof" tests="5" failures="2" errors="1" skipped="1">"#,
        r#"table/ghost"><failure type="never_landed""#,
        r#"db:orders" time="750.000"></testcase>"#,
        r#"db:billing" time="750.000"><failure type="failed" message="1 of 2 checks failed; fresh: too old"/>"#,
        r#"db:drafts"><error type="inconclusive" message="login refused"/>"#,
        r#"db:crm"><skipped message="only read"#,
    ] {
        assert!(words.contains(said), "{said} is missing in\n{}", suite.out);
    }
}

#[test]
fn a_pipeline_stops_only_when_it_is_told_to() {
    let bad = folder(&history());
    assert_eq!(report(&bad, &[]).code, 0);
    assert_eq!(report(&bad, &["--fail-on-bad"]).code, 1);
    let good = folder(&history()[..2]);
    assert_eq!(report(&good, &["--fail-on-bad"]).code, 0);
    // Nothing speaks against a backup, and nothing speaks.
    assert_eq!(report(&folder(&[]), &["--fail-on-bad"]).code, 3);
    std::fs::write(good.path().join("x.json"), "{").unwrap();
    let unreadable = report(&good, &["--fail-on-bad"]);
    unreadable.assert(3, &["1 line could not be read", "x.json, line 1: EOF"]);
}

#[test]
fn what_cannot_be_used_is_said() {
    let folder = folder(&history());
    let list = file("no-inventory.csv", "name\nx\n");
    for (options, said) in [
        (
            &["--form", "html", "--json"][..],
            "--json does not go with another --form",
        ),
        (&["--last", "7d"], "cannot be used with"),
        (&["--bucket", "b"], "cannot be used with"),
        (&["--inventory", "/nowhere.csv"], "/nowhere.csv"),
        (
            &["--inventory", &list],
            "line 1: the first line must name the columns",
        ),
        (
            &["--output", "/nowhere/report"],
            "cannot write /nowhere/report",
        ),
    ] {
        report(&folder, options).assert(2, &[said]);
    }
    common::run(&["report", "--records", "/nowhere"]).assert(2, &["cannot read /nowhere"]);
    common::run(&[
        "report",
        "--records",
        ".",
        "--from",
        "2026-11-02",
        "--to",
        "2026-11-01",
    ])
    .assert(2, &["the period ends on 2026-11-01, before it begins"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_read_from_the_deployed_functions_bucket() {
    let scene = Scene::set(UNCHECKED).await;
    // Whoever reads the bucket may list it, other than the function. A page holds two keys.
    let options = WorldOptions {
        s3_list_permission: true,
        page_size: 2,
        ..WorldOptions::default()
    };
    let bucket = World::new(options);
    let refusing = World::new(WorldOptions {
        s3_listed: Vec::new(),
        ..WorldOptions::default()
    });
    refusing.put_object(BUCKET, "x", "");
    let mut records = history();
    records.push(record("old", "archive", 1, json!({ "opened_time": "2026-09-02 04:00:00.000", "verdict_time": "2026-09-02 04:30:00.000" })));
    records.push(record("older", "attic", 1, json!({ "opened_time": "2026-01-01 04:00:00.000", "verdict_time": "2026-01-01 04:30:00.000" })));
    for record in &records {
        let day = record["opened_time"]
            .as_str()
            .unwrap()
            .get(..10)
            .unwrap()
            .to_owned();
        let key = format!(
            "records/dt={day}/{}.json",
            record["validation_id"].as_str().unwrap()
        );
        bucket.put_object(BUCKET, &key, format!("{record}\n"));
    }
    let november = [
        "--json",
        "report",
        "--from",
        "2026-11-01",
        "--to",
        "2026-11-30",
    ];
    let anywhere = ([127, 0, 0, 1], 0).into();
    let (s3, refusing) = (
        serve(bucket, anywhere).await.unwrap(),
        serve(refusing, anywhere).await.unwrap(),
    );
    let told = async |s3: &Server, options: &[&str]| {
        let mut program = common::program(&[&november[..], options].concat());
        program.env("AWS_ENDPOINT_URL_S3", s3.url());
        crate::validate::ran(&scene, program).await
    };
    let by_default = told(&s3, &[]).await;
    assert_eq!(by_default.code, 0, "{}", by_default.err);
    let told_of = by_default.json();
    assert_eq!(told_of["read"]["records"], json!(5));
    assert_eq!(told_of["read"]["looked_from"], json!("2026-09-02"));
    let since = told(&s3, &["--bucket", BUCKET, "--since", "2026-01-01"])
        .await
        .json();
    assert_eq!(since["read"]["records"], json!(6));
    assert_eq!(since["read"]["looked_from"], json!("2026-01-01"));

    told(&s3, &["--bucket", "nobodys"])
        .await
        .assert(4, &["there is no bucket nobodys"]);
    told(&s3, &["--function", "another"])
        .await
        .assert(4, &["is this the right function"]);
    told(&s3, &["--function", "missing"])
        .await
        .assert(4, &["there is no function missing"]);
    told(&s3, &["--function", "forbidden"])
        .await
        .assert(4, &["lambda:GetFunctionConfiguration"]);
    told(&refusing, &[]).await.assert(
        4,
        &["AWS refuses to read the bucket results", "s3:ListBucket"],
    );
}

/// What the function has stored, and what `report` makes of the same records in the same days.
#[tokio::test(flavor = "multi_thread")]
async fn the_functions_report_is_made_when_asked_for_and_is_that_of_the_command_line() {
    let scene = Scene::set(UNCHECKED).await;
    let today = scene.now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let yesterday = today.yesterday().unwrap();
    let week = (
        yesterday.saturating_sub(jiff::Span::new().days(6)),
        yesterday,
    );
    let days = [yesterday, week.0, week.0.yesterday().unwrap()];
    for (mut record, day) in history().into_iter().zip(days.into_iter().cycle()) {
        for (column, hour) in [
            ("recovery_point_created", 3),
            ("opened_time", 4),
            ("verdict_time", 5),
        ] {
            record[column] = json!(format!("{day} {hour:02}:00:00.000"));
        }
        let id = record["validation_id"].as_str().unwrap();
        let key = format!("records/dt={day}/{id}.json");
        scene.world.put_object(BUCKET, &key, format!("{record}\n"));
    }
    let made = crate::validate::run(&scene, &["report", "--make", "weekly"]).await;
    let page = format!("reports/weekly/{yesterday}/report");
    made.assert(
        0,
        &[
            &format!(
                "weekly report from {} to {yesterday}, over 4 records",
                week.0
            ),
            &format!("s3://{BUCKET}/{page}.html"),
        ],
    );
    let told = crate::validate::run(&scene, &["--json", "report", "--make", "weekly"]).await;
    assert_eq!(told.json()["records"], json!(4));

    let s3 = serve(scene.world.clone(), ([127, 0, 0, 1], 0).into());
    let s3 = s3.await.unwrap();
    let (from, to) = (week.0.to_string(), week.1.to_string());
    for (form, end) in [
        ("html", "html"),
        ("markdown", "md"),
        ("json", "json"),
        ("junit", "xml"),
    ] {
        let options = ["report", "--from", &from, "--to", &to, "--form", form];
        let mut program = common::program(&options);
        program.env("AWS_ENDPOINT_URL_S3", s3.url());
        let here = crate::validate::ran(&scene, program).await;
        assert_eq!(here.code, 0, "{}", here.err);
        let key = format!("{page}.{end}");
        let stored = scene.world.object_versions(BUCKET, &key).pop().unwrap();
        assert_eq!(String::from_utf8(stored.body.to_vec()).unwrap(), here.out);
    }

    // A function that knows no reports, and one whose records are too many (as many resources, here).
    let another = ["report", "--make", "daily", "--function", "another"];
    let another = crate::validate::run(&scene, &another).await;
    another.assert(4, &["is this the right function, and new enough"]);
    let lines = (0..5001).map(|one| {
        let record = json!({
            "validation_id": "", "verdict": "passed", "recovery_point_arn": "", "source_resource_arn": format!("r{one}"),
            "opened_time": format!("{yesterday} 12:00:00"),
        });
        format!("{record}\n")
    });
    let key = format!("records/dt={yesterday}/many.json");
    scene
        .world
        .put_object(BUCKET, &key, lines.collect::<String>());
    let refused = crate::validate::run(&scene, &["report", "--make", "daily"]).await;
    refused.assert(
        4,
        &[
            "restore-proof made no report: ",
            "more than 5000 resources",
            &format!(
                "restore-proof report --function restore-proof --from {yesterday} --to {yesterday}"
            ),
        ],
    );
    common::run(&["report", "--make", "daily", "--last", "7d"]).assert(2, &["cannot be used with"]);
}
