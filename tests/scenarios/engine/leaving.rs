//! What of the restored data leaves, whatever a policy asks for.

use restore_proof_core::ceiling::Ceilings;
use restore_proof_local_aws::{Machine, WebBehaviour};

use super::*;

/// The text of the customers' addresses in other forms; [`ROW`] itself is searched for in every scene of a shop.
const OTHER_FORMS: [(&str, &str); 3] = [
    ("a row in hex", "406d61696c2e6578616d706c65"),
    ("a row in base64", "bWFpbC5leGFtcGxl"),
    ("a row backwards", "elpmaxe.liam"),
];
/// The name of the brand 1, which may be shown where text may leave.
const BRAND: &str = "select name from brands where id = 1";

/// What three ways out have of one validation.
struct Out {
    record: Value,
    log: String,
    message: String,
}

impl Out {
    async fn of(shop: &Shop, database: &str, leave: &str) -> Out {
        let point = shop.backup(database, &shop.engine.fresh);
        let record = shop.prove(&point).await;
        Out::told(&shop.scene, record, leave)
    }

    fn told(scene: &Scene, record: Value, leave: &str) -> Out {
        assert_eq!(scene.app.config.values_leave, ceilings(leave));
        let id = record["validation_id"].as_str().unwrap();
        let log = json!(scene.log_events("verdict", id)).to_string();
        let message = scene.world.messages().pop().unwrap().body;
        Out {
            record,
            log,
            message,
        }
    }

    fn check(&self, name: &str) -> &Value {
        let checks = self.record["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap()
    }
}

fn ceilings(words: &str) -> Ceilings {
    words.parse().unwrap()
}

/// A query with what it expects.
fn asks(query: &str, expect: &str) -> String {
    format!("query = '''{query}'''\nexpect = {{ {expect} }}")
}

/// Each way out, in any letters or digits that a query can turn text into. A machine that reads the record finds none of it.
async fn carries_nothing(kind: Kind, database: &str, ways: &[(&str, &str, &str)]) {
    let asked: Vec<(&str, String)> = ways
        .iter()
        .map(|(name, query, expect)| (*name, asks(query, expect)))
        .collect();
    let checks: Vec<(&str, &str)> = asked
        .iter()
        .map(|(name, rest)| (*name, rest.as_str()))
        .collect();
    let shop = Shop::of(kind, &policy("", &checks)).await;
    for (name, form) in OTHER_FORMS {
        shop.scene.watch.secret(name, form);
    }
    let out = Out::of(&shop, database, "numbers").await;
    // Each was asked, and not refused for want of the table.
    for (name, ..) in ways {
        let check = out.check(name);
        let detail = check["detail"].as_str().unwrap();
        for missing in [
            "42P01", "42703", "42883", "42601", "(1146)", "(1054)", "(1064)", "(1305)",
        ] {
            assert!(
                !detail.contains(missing) || ["as a name", "a query"].contains(name),
                "{name}: {detail}"
            );
        }
        for value in [&check["value"], &check["value_number"]] {
            assert!(value.to_string().len() <= 40, "{name}: {value}");
        }
        if check["value"].is_null() && check["outcome"] == "passed" {
            assert_eq!(check["value_withheld"]["withheld"], "text", "{name}");
        }
    }
    // What the scene's watch searches when it ends.
    assert!(!out.log.contains(ROW) && !out.message.contains(ROW));
}

#[tokio::test]
async fn a_policy_carries_no_text_out_of_postgresql() {
    carries_nothing(
        Kind::Postgres,
        "carried",
        &[
            ("value", "select email from customers order by id limit 1", "not_empty = true"),
            ("aggregate", "select string_agg(email, ',') from customers", "matches = '@'"),
            ("regex group", "select email from customers where id = 1", "matches = '^(.*)(@.*)$'"),
            ("json", "select json_agg(email) from customers where id < 9", "not_empty = true"),
            ("array", "select array_agg(email) from customers where id < 9", "not_empty = true"),
            ("xml", "select query_to_xml('select email from customers where id = 1', true, true, '')", "not_empty = true"),
            ("padded", "select email::char(60) from customers where id = 1", "not_empty = true"),
            ("hex", "select encode(email::bytea, 'hex') from customers where id = 1", "not_empty = true"),
            ("base64", "select encode('mail.example'::bytea, 'base64') || left(email, 0) from customers where id = 1", "not_empty = true"),
            ("backwards", "select reverse(email) from customers where id = 1", "not_empty = true"),
            ("digits", "select ('1' || string_agg(lpad(ascii(letter)::text, 3, '0'), ''))::numeric from customers, regexp_split_to_table(email, '') letter where id = 1", "min = 0"),
            ("fraction", "select ('0.' || string_agg(lpad(ascii(letter)::text, 3, '0'), ''))::numeric from customers, regexp_split_to_table(email, '') letter where id = 1", "max = 0"),
            (
                "behind an equal number",
                "select 1.5 + ('0.' || repeat('0', 30) || string_agg(lpad(ascii(letter)::text, 3, '0'), ''))::numeric from customers, regexp_split_to_table(email, '') letter where id = 1",
                "equals = 1.5",
            ),
            ("wrong type", "select email from customers where id = 1", "min = 5"),
            ("wrong text", "select email from customers where id = 1", "equals = 'x'"),
            ("no time", "select email from customers where id = 1", "max_age = '1h'"),
            ("cast", "select email::int from customers where id = 1", "min = 0"),
            ("cast to a time", "select email::timestamptz from customers where id = 1", "max_age = '1h'"),
            ("as a name", "select email::regclass::text from customers where id = 1", "not_empty = true"),
            ("as a name of a setting", "select set_config(email, 'x', true) from customers where id = 1", "not_empty = true"),
            ("a setting", "select set_config('work_mem', email, true) from customers where id = 1", "not_empty = true"),
            ("a zone", "select max(now() at time zone email) from customers where id = 1", "max_age = '1h'"),
            ("a file", "select pg_stat_file(email)::text from customers where id = 1", "not_empty = true"),
            ("a regex", "select 'x' ~ ('(' || email) from customers where id = 1", "equals = true"),
            ("a query", "select query_to_xml('selec ' || email, true, true, '')::text from customers where id = 1", "not_empty = true"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_policy_carries_no_text_out_of_mariadb() {
    carries_nothing(
        Kind::MariaDb,
        "carried-2",
        &[
            ("value", "select email from customers order by id limit 1", "not_empty = true"),
            ("aggregate", "select group_concat(email) from customers", "matches = '@'"),
            ("json", "select json_arrayagg(email) from customers where id < 9", "not_empty = true"),
            ("hex", "select lower(hex(email)) from customers where id = 1", "not_empty = true"),
            ("base64", "select concat(to_base64('mail.example'), left(email, 0)) from customers where id = 1", "not_empty = true"),
            ("backwards", "select reverse(email) from customers where id = 1", "not_empty = true"),
            ("bytes", "select cast(email as binary) from customers where id = 1", "not_empty = true"),
            ("digits", "select cast(concat('1', conv(hex(left(email, 7)), 16, 10)) as decimal(65)) from customers where id = 1", "min = 0"),
            ("wrong type", "select email from customers where id = 1", "min = 5"),
            ("no time", "select email from customers where id = 1", "max_age = '1h'"),
            ("xpath", "select extractvalue('<a/>', concat('~', email)) from customers where id = 1", "not_empty = true"),
            ("json path", "select json_extract('{}', email) from customers where id = 1", "not_empty = true"),
            ("a regex", "select 'x' regexp concat('(', email) from customers where id = 1", "equals = 1"),
            ("a zone", "select convert_tz(now(), 'UTC', email) from customers where id = 1", "not_empty = true"),
            ("a lock", "select get_lock(repeat(email, 9), 0) from customers where id = 1", "not_empty = true"),
        ],
    )
    .await;
}

#[tokio::test]
async fn each_way_out_has_its_own_ceiling_and_a_rule_may_lower_it() {
    let checks = [
        ("brand", asks(BRAND, "not_empty = true")),
        ("orders", asks("select count(*) from orders", "min = 10000")),
        (
            "stale",
            asks(
                "select timestamptz '2001-02-03 04:05:06+00'",
                "max_age = '1h'",
            ),
        ),
        (
            "expected",
            asks("select min(currency) from prices", "equals = 'EUR'"),
        ),
    ];
    let checks = checks.each_ref().map(|(name, rest)| (*name, rest.as_str()));
    let name = {
        let mut shop = Shop::open(&policy("", &checks)).await;
        shop.scene.app.config.values_leave = ceilings("text numbers none");
        let out = Out::of(&shop, "ceilings", "text numbers none").await;
        let name = out.check("brand")["value"].as_str().unwrap().to_owned();
        assert!(name.len() > 2);
        assert_eq!(out.check("brand")["value_withheld"], Value::Null);
        assert_eq!(out.check("orders")["value"], "12000");
        assert!(!out.log.contains(&name) && !out.message.contains(&name));
        assert!(
            out.log.contains("12000") && out.log.contains("2001-02-03"),
            "{}",
            out.log
        );
        assert!(out.log.contains("\"withheld\":\"text\""), "{}", out.log);
        assert!(!out.message.contains("12000"), "{}", out.message);
        assert!(out.message.contains("[time withheld]"), "{}", out.message);
        name
    };
    let settings = "values_leave = \"none\"";
    let mut shop = Shop::open(&policy(settings, &checks)).await;
    shop.scene.app.config.values_leave = ceilings("text");
    let out = Out::of(&shop, "lowered", "text").await;
    for (check, kind) in [("brand", "text"), ("orders", "number"), ("stale", "time")] {
        let check = out.check(check);
        assert_eq!(check["value"], Value::Null);
        assert_eq!(check["value_number"], Value::Null);
        assert_eq!(check["value_withheld"]["withheld"], kind);
        let reason = check["value_withheld"]["reason"].as_str().unwrap();
        assert!(reason.contains("values_leave"), "{reason}");
    }
    // What the policy itself says is no news.
    assert_eq!(out.check("expected")["value"], "EUR");
    assert_eq!(out.check("expected")["value_withheld"], Value::Null);
    let id = out.record["validation_id"].as_str().unwrap();
    let kept = shop.scene.item(id).to_string();
    for out in [out.record.to_string(), out.log, out.message, kept] {
        for value in [name.as_str(), "12000", "2001-02-03"] {
            assert!(!out.contains(value), "{value} in {out}");
        }
    }
}

/// The age that a check measures is a time; that the objective is met may be known.
#[tokio::test]
async fn without_a_ceiling_for_times_the_objective_alone_is_told() {
    let settings = format!("{OBJECTIVES}\nvalues_leave = \"none\"");
    let shop = Shop::open(&policy(&settings, &[RECENT])).await;
    let out = Out::of(&shop, "ageless", "numbers").await;
    assert_eq!(out.record["data_age_objective"], "met");
    assert_eq!(out.record["data_age"], Value::Null);
    assert_eq!(out.record["age_latest_db_tx"], Value::Null);
    assert!(out.record["recovery_time"].is_f64());
    assert!(!out.log.contains("\"DataAge\""), "{}", out.log);
    assert!(
        out.message.contains("withheld, target 15m: met"),
        "{}",
        out.message
    );
}

#[tokio::test]
async fn what_looks_like_a_credential_leaves_nowhere() {
    // Put together by the server: the policy does not hold them.
    let key = format!("AKIA{}", "B".repeat(16));
    let checks = [
        (
            "access key",
            asks("select 'AKIA' || repeat('B', 16)", "not_empty = true"),
        ),
        (
            "within text",
            asks(
                "select 'use AKIA' || repeat('B', 16) || ' for it'",
                "matches = 'use'",
            ),
        ),
        (
            "hash",
            asks(
                "select '$2b$12$' || repeat('hunter', 9)",
                "not_empty = true",
            ),
        ),
        (
            "expected",
            asks(
                "select 'AKIA' || repeat('B', 16)",
                &format!("equals = '{key}'"),
            ),
        ),
    ];
    let checks = checks.each_ref().map(|(name, rest)| (*name, rest.as_str()));
    let mut shop = Shop::open(&policy("", &checks)).await;
    shop.scene.app.config.values_leave = ceilings("text");
    let out = Out::of(&shop, "credentials", "text").await;
    for (name, _) in checks {
        let check = out.check(name);
        assert_eq!(check["outcome"], "passed", "{check}");
        assert_eq!(check["value"], Value::Null);
        assert_eq!(check["value_withheld"]["withheld"], "credential");
    }
    for out in [out.record.to_string(), out.log, out.message] {
        for secret in [key.as_str(), "hunterhunter"] {
            assert!(!out.contains(secret), "{secret} in {out}");
        }
    }
}

/// A machine tells as little: bodies, places in JSON, the places it redirects to.
#[tokio::test]
async fn a_machine_carries_no_text_out() {
    const PLANTED: &str = "erika.mustermann";
    let rule = |steps: &str| {
        format!(
            "version = \"test\"\n[[rules]]\nname = \"shops\"\nmatch = {{}}\nfrequency = \"every-copy\"\n\
             ec2.boot_timeout = \"1s\"\n[[rules.checks]]\nname = \"c\"\nkind = \"http\"\nport = 8080\ntimeout = \"5s\"\n\
             steps = [{steps}]\n"
        )
    };
    let body = format!("{{\"customer\": {{\"mail\": \"{PLANTED}\"}}, \"orders\": 12000}}");
    let machine = |web| Machine {
        ports: vec![8080],
        files: [("/data.json".to_owned(), body.clone())].into(),
        web,
        ..Machine::default()
    };
    let away = WebBehaviour::RedirectTo(format!("http://{PLANTED}.example/"));
    for (index, (web, step, outcome, withheld, value)) in [
        (
            WebBehaviour::Files,
            "{ path = \"/data.json\", json = \"/customer/mail\", expect = { not_empty = true } }",
            "passed",
            "text",
            Value::Null,
        ),
        (
            WebBehaviour::Files,
            "{ path = \"/data.json\", json = \"/customer\", expect = { matches = \"(mail.*)\" } }",
            "passed",
            "text",
            Value::Null,
        ),
        (
            WebBehaviour::Files,
            "{ path = \"/data.json\", json = \"/customer/mail\", expect = { min = 7 } }",
            "errored",
            "text",
            Value::Null,
        ),
        (
            WebBehaviour::Files,
            "{ path = \"/data.json\", json = \"/orders\", expect = { min = 7 } }",
            "passed",
            "",
            json!("12000"),
        ),
        (
            WebBehaviour::Files,
            "{ path = \"/data.json\", matches = \"(erika.)\" }",
            "passed",
            "",
            Value::Null,
        ),
        (
            WebBehaviour::Files,
            "{ path = \"/data.json\", contains = \"Max\" }",
            "failed",
            "",
            Value::Null,
        ),
        (away, "{ path = \"/\" }", "failed", "", Value::Null),
    ]
    .into_iter()
    .enumerate()
    {
        let scene = Scene::set(&rule(step)).await;
        scene.watch.secret("planted", PLANTED);
        let point = scene.add(scene.machine_point(&format!("1ea{index:03}"), machine(web)));
        let record = Box::pin(scene.prove(&point)).await;
        let out = Out::told(&scene, record, "numbers");
        let check = out.check("c");
        assert_eq!(check["outcome"], outcome, "{step}: {check}");
        assert_eq!(check["value"], value, "{step}");
        assert_eq!(
            check["value_withheld"]["withheld"]
                .as_str()
                .unwrap_or_default(),
            withheld,
            "{step}"
        );
    }
}
