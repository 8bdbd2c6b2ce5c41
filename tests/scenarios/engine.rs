//! The verdicts that rest on data: real servers of PostgreSQL and MariaDB, restored from dumps, looked at over TLS.

mod checks;
mod clusters;
mod damage;
mod data;
mod iam;
mod leaving;
mod login;
mod mysql;
mod mysql_hostile;
mod mysql_login;
mod reset;
mod rows;
mod sessions;
mod settings;

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use restore_proof_local_aws::engine::{
    Authority, Dump, MASTER_USER, MariaDb, Postgres, READER_USER, SAMPLE_DATABASE, SampleVariant,
};
use restore_proof_local_aws::process::StateFolder;
use restore_proof_local_aws::{
    Fault, RecoveryPoint, RestoreBehaviour, Secret, SourceCluster, SourceDatabase, Times,
};
use restore_proof_tests::{BUCKET, CA_KEY, Scene};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

/// Of all roles of the sample database.
const PASSWORD: &str = "correct horse battery staple";
/// The secret that the rules name.
const SECRET: &str = "restore-proof/shop";
/// Stands in rows of the sample database that no check reads as its value: nothing may show it.
const ROW: &str = "@mail.example";
/// How old the newest data of a healthy backup is, minutes.
const DATA_AGE: i64 = 4;

/// The engines that are restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Postgres,
    /// Played by MariaDB, as the world does.
    MySql,
    MariaDb,
    /// Played by PostgreSQL.
    AuroraPostgres,
    /// Played by MariaDB.
    AuroraMySql,
}

impl Kind {
    /// A recovery point of such a source with the sample database.
    fn point(self, scene: &Scene, name: &str) -> RecoveryPoint {
        let instance = |source| RecoveryPoint {
            database: SourceDatabase {
                master_username: MASTER_USER.to_owned(),
                database_name: SAMPLE_DATABASE.to_owned(),
                ..source
            },
            ..scene.point(name)
        };
        let cluster = |source| RecoveryPoint {
            cluster: SourceCluster {
                master_username: MASTER_USER.to_owned(),
                database_name: SAMPLE_DATABASE.to_owned(),
                ..source
            },
            ..scene.cluster_point(name)
        };
        match self {
            Kind::Postgres => instance(SourceDatabase::default()),
            Kind::MySql => instance(SourceDatabase::mysql()),
            Kind::MariaDb => instance(SourceDatabase::mariadb()),
            Kind::AuroraPostgres => cluster(SourceCluster::default()),
            Kind::AuroraMySql => cluster(SourceCluster::mysql()),
        }
    }

    fn is_cluster(self) -> bool {
        match self {
            Kind::Postgres | Kind::MySql | Kind::MariaDb => false,
            Kind::AuroraPostgres | Kind::AuroraMySql => true,
        }
    }
}

/// What all scenarios restore: made once, each engine when the first scenario asks for it, and removed with the last.
struct Engines {
    postgres: OnceCell<Engine>,
    mariadb: OnceCell<Engine>,
    folder: StateFolder,
}

/// The dumps of one engine.
#[derive(Clone)]
struct Engine {
    /// The certificate of who signed its servers', PEM.
    authority: String,
    fresh: Dump,
    stale: Dump,
    emptied: Dump,
    /// When all the backups were made.
    backup_at: Timestamp,
}

static ENGINES: Mutex<Weak<Engines>> = Mutex::const_new(Weak::new());

async fn engines() -> Arc<Engines> {
    let mut shared = ENGINES.lock().await;
    if let Some(engines) = shared.upgrade() {
        return engines;
    }
    let engines = Arc::new(Engines {
        postgres: OnceCell::new(),
        mariadb: OnceCell::new(),
        folder: StateFolder::create().unwrap(),
    });
    *shared = Arc::downgrade(&engines);
    engines
}

impl Engines {
    async fn of(&self, kind: Kind) -> Engine {
        let folder = self.folder.path();
        let backup_at = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let newest = backup_at - SignedDuration::from_mins(DATA_AGE);
        let variants = [
            SampleVariant::Fresh,
            SampleVariant::Emptied,
            SampleVariant::Stale(72),
        ];
        let engine = |authority: &str, dumps: Vec<Dump>| {
            let [fresh, emptied, stale] = <[Dump; 3]>::try_from(dumps).unwrap();
            Engine {
                authority: authority.to_owned(),
                fresh,
                stale,
                emptied,
                backup_at,
            }
        };
        let made = match kind {
            Kind::Postgres | Kind::AuroraPostgres => {
                let make = async || {
                    let postgres = Postgres::new(folder).await.unwrap();
                    let dumps = postgres.sample(newest, PASSWORD, &variants).await.unwrap();
                    engine(postgres.ca_certificate_pem(), dumps)
                };
                self.postgres.get_or_init(make).await
            }
            Kind::MySql | Kind::MariaDb | Kind::AuroraMySql => {
                let make = async || {
                    let authority = Authority::create().unwrap();
                    let mariadb = MariaDb::new(folder, &authority).await.unwrap();
                    let dumps = mariadb.sample(newest, PASSWORD, &variants).await.unwrap();
                    engine(authority.certificate_pem(), dumps)
                };
                self.mariadb.get_or_init(make).await
            }
        };
        made.clone()
    }
}

/// A scene whose restores are real databases. Fields are dropped in this order: servers before their folder.
struct Shop {
    scene: Scene,
    kind: Kind,
    engine: Engine,
    _engines: Arc<Engines>,
}

impl Shop {
    /// A scene with this policy, the right CA and a secret that may read; its databases are PostgreSQL's.
    async fn open(policy: &str) -> Shop {
        Shop::of(Kind::Postgres, policy).await
    }

    /// The same with databases of this engine.
    async fn of(kind: Kind, policy: &str) -> Shop {
        let engines = engines().await;
        let engine = Box::pin(engines.of(kind)).await;
        let scene = Box::pin(Scene::set(policy)).await;
        scene.watch.secret("a row", ROW);
        scene
            .world
            .put_object(BUCKET, CA_KEY, engine.authority.clone());
        let shop = Shop {
            scene,
            kind,
            engine,
            _engines: engines,
        };
        shop.log_in_as(READER_USER, PASSWORD);
        shop
    }

    /// Gives the secret another login. Host and port are those of production, which nothing here may use.
    fn log_in_as(&self, user: &str, password: &str) {
        let login = json!({
            "engine": "postgres", "host": "shop-main.production.invalid", "port": 5432,
            "username": user, "password": password, "dbname": SAMPLE_DATABASE,
        });
        self.set_secret(&login.to_string());
    }

    fn set_secret(&self, value: &str) {
        self.scene.world.add_secret(Secret {
            name: SECRET.to_owned(),
            value: value.to_owned(),
        });
    }

    /// A backup of a database; names are used once in this binary, for servers are called by them.
    fn backup(&self, database: &str, dump: &Dump) -> String {
        self.backup_that(database, RestoreBehaviour::database(dump.clone()))
    }

    /// The same of a database that behaves so when it is restored.
    fn backup_that(&self, database: &str, behaviour: RestoreBehaviour) -> String {
        self.scene.add(RecoveryPoint {
            created_at: self.engine.backup_at,
            behaviour,
            ..self.kind.point(&self.scene, database)
        })
    }

    /// Lets a copy land and waits, in real time, for the end of its restore. Answers the validation's id.
    async fn restores(&self, point: &str) -> String {
        // Boxed here and below: the whole function in one future is much for a test's stack.
        let id = Box::pin(self.scene.lands(point)).await;
        self.comes_up(point).await;
        id
    }

    /// Waits for the end of a restore of this recovery point.
    async fn comes_up(&self, point: &str) {
        for _ in 0..3000 {
            self.scene.world.settle();
            let jobs = self.scene.world.restore_jobs();
            let ended = jobs
                .iter()
                .find(|job| job.recovery_point_arn == point && job.completed_at.is_some());
            if let Some(job) = ended {
                assert_eq!(job.status, "COMPLETED", "{:?}", job.status_message);
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the restore of {point} takes more than a minute");
    }

    /// Lets a copy land and closes its validation. Answers the record.
    async fn prove(&self, point: &str) -> Value {
        let id = self.restores(point).await;
        Box::pin(self.scene.close(&id)).await
    }
}

/// A policy of one rule with these settings and checks, each given as a name and the rest of its TOML.
fn policy(settings: &str, checks: &[(&str, &str)]) -> String {
    policy_with(&format!("{{ secret = \"{SECRET}\" }}"), settings, checks)
}

/// The same with these credentials.
fn policy_with(credentials: &str, settings: &str, checks: &[(&str, &str)]) -> String {
    let mut text = format!(
        "version = \"test\"\n[[rules]]\nname = \"shop\"\nmatch = {{}}\nfrequency = \"every-copy\"\n\
         credentials = {credentials}\n{settings}\n"
    );
    for (name, rest) in checks {
        text += &format!("[[rules.checks]]\nname = \"{name}\"\nkind = \"sql\"\n{rest}\n");
    }
    text
}

const THERE: (&str, &str) = (
    "orders are there",
    "query = \"select count(*) from orders\"\nexpect = { min = 10000 }",
);
const RECENT: (&str, &str) = (
    "orders are recent",
    "query = \"select max(created_at) from orders\"\nexpect = { max_age = \"15m\" }",
);
const OBJECTIVES: &str = "objectives = { recovery_time = \"10m\", data_age = \"15m\" }";

fn outcome(record: &Value) -> (&str, &str) {
    (
        record["verdict"].as_str().unwrap(),
        record["cleanup"].as_str().unwrap(),
    )
}

fn assert_about(value: &Value, wanted: i64) {
    let minutes = value.as_f64().unwrap();
    assert!(
        (minutes - wanted as f64).abs() < 0.1,
        "{minutes}, not {wanted} minutes"
    );
}

#[tokio::test]
async fn passed_when_the_data_is_there_and_recent() {
    let shop = Shop::open(&policy(OBJECTIVES, &[THERE, RECENT])).await;
    let point = shop.backup("healthy", &shop.engine.fresh);
    let record = shop.prove(&point).await;
    assert_eq!(outcome(&record), ("passed", "deleted"));
    assert_eq!(record["checks"][0]["value"], "12000");
    assert_eq!(record["checks"][0]["value_number"], 12000.0);
    assert_eq!(record["checks"][1]["outcome"], "passed");
    assert_about(&record["data_age"], DATA_AGE);
    assert!(record["age_latest_db_tx"].as_f64().unwrap() >= record["data_age"].as_f64().unwrap());
    assert_eq!(record["data_age_objective"], "met");
    assert_eq!(record["recovery_time_objective"], "met");
    let parts = [
        "restore_duration",
        "preparation_duration",
        "first_check_duration",
    ];
    let sum: f64 = parts
        .iter()
        .map(|part| record[part].as_f64().unwrap())
        .sum();
    assert!((record["recovery_time"].as_f64().unwrap() - sum).abs() < 1e-9);

    let id = record["validation_id"].as_str().unwrap();
    let logged = shop.scene.log_events("verdict", id).remove(0);
    assert!((logged["DataAge"].as_f64().unwrap() / 60.0 - DATA_AGE as f64).abs() < 0.1);
    assert!(logged["RecoveryTime"].is_f64());
    let message = shop.scene.world.messages().remove(0);
    assert!(message.subject.unwrap().starts_with("PASSED: "));
    assert_eq!(message.attributes["data_age_objective"], "met");
    shop.scene.assert_clean();
}

#[tokio::test]
async fn failed_when_the_data_is_stale() {
    let shop = Shop::open(&policy(OBJECTIVES, &[THERE, RECENT])).await;
    let point = shop.backup("stale", &shop.engine.stale);
    let record = shop.prove(&point).await;
    assert_eq!(outcome(&record), ("failed", "deleted"));
    assert_eq!(record["checks"][0]["outcome"], "passed");
    assert_eq!(record["checks"][1]["outcome"], "failed");
    assert_about(&record["data_age"], 72 * 60 + DATA_AGE);
    assert_eq!(record["data_age_objective"], "missed");
    shop.scene.assert_clean();
}

#[tokio::test]
async fn failed_when_a_table_is_empty() {
    let shop = Shop::open(&policy(OBJECTIVES, &[THERE, RECENT])).await;
    let point = shop.backup("emptied", &shop.engine.emptied);
    let record = shop.prove(&point).await;
    assert_eq!(outcome(&record), ("failed", "deleted"));
    assert_eq!(record["checks"][0]["value_number"], 0.0);
    let empty = &record["checks"][1];
    assert_eq!(
        (&empty["outcome"], &empty["value"]),
        (&json!("failed"), &Value::Null)
    );
    assert!(empty["detail"].as_str().unwrap().contains("NULL"));
    assert_eq!(record["data_age"], Value::Null, "there is no newest data");
    assert_eq!(record["data_age_objective"], Value::Null);
    assert_eq!(
        record["recovery_time"],
        Value::Null,
        "no check passed, so nothing was recovered"
    );
    shop.scene.assert_clean();
}

/// Missing an objective is told beside the verdict.
#[tokio::test]
async fn passed_with_a_missed_objective_is_told_as_such() {
    let settings = "objectives = { data_age = \"1m\" }\nnotify = \"problems\"";
    let shop = Shop::open(&policy(settings, &[THERE, RECENT])).await;
    let point = shop.backup("missed", &shop.engine.fresh);
    let record = shop.prove(&point).await;
    assert_eq!(outcome(&record), ("passed", "deleted"));
    assert_eq!(record["data_age_objective"], "missed");
    assert_eq!(record["recovery_time_objective"], "not_set");
    let messages = shop.scene.world.messages();
    assert_eq!(messages.len(), 1);
    assert!(
        messages[0]
            .subject
            .as_deref()
            .unwrap()
            .contains("objective missed")
    );
}

#[tokio::test]
async fn a_rule_that_asks_for_problems_only_is_silent_about_a_good_backup() {
    let shop = Shop::open(&policy("notify = \"problems\"", &[THERE])).await;
    let point = shop.backup("silent", &shop.engine.fresh);
    let record = shop.prove(&point).await;
    assert_eq!(outcome(&record), ("passed", "deleted"));
    assert!(shop.scene.world.messages().is_empty());
    let id = record["validation_id"].as_str().unwrap();
    assert_eq!(shop.scene.log_events("verdict", id).len(), 1);
}

#[tokio::test]
async fn a_failed_restore_is_kept_as_long_as_the_rule_asks_and_then_deleted() {
    let shop = Shop::open(&policy("keep_failed_for = \"4h\"", &[THERE])).await;
    let scene = &shop.scene;
    let point = shop.backup("kept", &shop.engine.emptied);
    let id = shop.restores(&point).await;
    scene.deliver().await;
    for _ in 0..6 {
        scene.sweep().await;
    }
    let record = scene.record(&id);
    assert_eq!(outcome(&record), ("failed", "kept_until"));
    let until = record["kept_until"].as_str().unwrap().to_owned();
    assert_eq!(scene.instances().len(), 1, "people look at it");
    assert_eq!(scene.item("slots")["held"], Value::Null, "others may go on");
    let message = scene.world.messages().remove(0);
    assert!(message.body.contains(&until), "{}", message.body);

    scene.pass(SignedDuration::from_hours(4));
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("failed", "deleted"));
    assert_eq!(record["kept_until"], until.as_str());
    assert_eq!(scene.world.messages().len(), 1);
    scene.assert_clean();
}

#[tokio::test]
async fn a_good_restore_is_not_kept() {
    let shop = Shop::open(&policy("keep_failed_for = \"4h\"", &[THERE])).await;
    let point = shop.backup("not-kept", &shop.engine.fresh);
    let record = shop.prove(&point).await;
    assert_eq!(outcome(&record), ("passed", "deleted"));
    assert_eq!(record["kept_until"], Value::Null);
}

#[tokio::test]
async fn a_policy_that_is_mended_has_its_copies_planned_again() {
    let shop = Shop::open("version = \"broken\"\nrules = 7").await;
    let scene = &shop.scene;
    let point = shop.backup("mended", &shop.engine.fresh);
    let id = scene.lands(&point).await;
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("inconclusive", "nothing_to_delete"));
    assert_eq!(scene.log_events("verdict", &id)[0]["PolicyErrors"], 1);

    scene.set_policy(&policy(OBJECTIVES, &[THERE, RECENT]));
    scene.sweep().await;
    shop.comes_up(&point).await;
    let record = scene.close(&id).await;
    assert_eq!(outcome(&record), ("passed", "deleted"));
    assert_eq!(record["attempt"], 2);
    assert_eq!(scene.records().len(), 1, "one record all the same");
    assert_eq!(scene.world.restore_jobs().len(), 1);
    scene.assert_clean();
}

/// People look for the last good backup when one is bad: it is looked up for bad news alone, and never goes back.
#[tokio::test]
async fn bad_news_names_the_newest_recovery_point_that_was_restored_and_passed() {
    let shop = Shop::open(&policy("", &[THERE])).await;
    let scene = &shop.scene;
    let made = |name: &str, dump: &Dump, hours: i64| {
        let created_at = shop.engine.backup_at - SignedDuration::from_hours(hours);
        scene.add(RecoveryPoint {
            created_at,
            source_resource_arn: "arn:aws:rds:eu-central-1:222233334444:db:shop".to_owned(),
            behaviour: RestoreBehaviour::database(dump.clone()),
            ..shop.kind.point(scene, name)
        })
    };
    let last_proved = || {
        let message = scene.world.messages().pop().unwrap();
        let mut lines = message.body.lines();
        assert!(
            lines
                .next()
                .unwrap()
                .starts_with("BACKUP: The backup is bad")
        );
        let line = lines.next().unwrap().to_owned();
        assert!(lines.next().unwrap().starts_with("DO NOW: Do not rely on"));
        line
    };
    let (fresh, emptied) = (&shop.engine.fresh, &shop.engine.emptied);
    shop.prove(&made("proved-0", emptied, 5)).await;
    assert!(last_proved().starts_with("LAST PROVED: none is known"));

    let newer = made("proved-1", fresh, 3);
    let older = made("proved-2", fresh, 4);
    for point in [&newer, &older] {
        let record = shop.prove(point).await;
        assert_eq!(outcome(&record), ("passed", "deleted"), "{record:#}");
        let message = scene.world.messages().pop().unwrap();
        assert!(message.body.starts_with("PASSED: "), "{}", message.body);
    }
    shop.prove(&made("proved-3", emptied, 1)).await;
    let line = last_proved();
    assert!(
        line.ends_with(&newer),
        "not the older one, though it passed later: {line}"
    );
    let created = shop.engine.backup_at - SignedDuration::from_hours(3);
    let created = created
        .strftime("of %Y-%m-%d %H:%M UTC, restored")
        .to_string();
    assert!(line.contains(&created), "{line}");
    let body = scene.world.messages().pop().unwrap().body;
    assert!(
        body.contains("\nRUNBOOK: how that restore is done by hand: s3://"),
        "{body}"
    );

    // Without the ledger's answer people hear of it all the same.
    let point = made("proved-4", emptied, 0);
    let id = shop.restores(&point).await;
    // Behind the read of the rule.
    let silent = Fault::error("InternalServerError", 500)
        .skip(1)
        .times(Times::OneCall);
    scene.world.faults().fail("DynamoDB.GetItem", silent);
    scene.close(&id).await;
    let line = last_proved();
    assert!(
        line.starts_with("LAST PROVED: it could not be looked up"),
        "{line}"
    );
}
