//! A real database whose answers are too large.

use restore_proof_core::ceiling::Ceiling;
use restore_proof_function::check::Login;
use restore_proof_local_aws::engine::{Postgres, Server as Engine};
use restore_proof_local_aws::process::StateFolder;

use super::*;

/// The user that checks log in as.
const USER: &str = "reader";
const PASSWORD: &str = "correct horse battery staple";

/// A database of PostgreSQL's own, in which somebody may read.
struct Database {
    engine: Engine,
    access: Access,
    // Dropped last: the server is in it.
    _folder: StateFolder,
}

impl Database {
    async fn start(tls: Tls) -> Database {
        let folder = StateFolder::create().unwrap();
        let postgres = Postgres::new(folder.path()).await.unwrap();
        let server = postgres.start_server("large").await.unwrap();
        let role = format!("create role {USER} login password '{PASSWORD}'");
        server.execute("postgres", &role).await.unwrap();
        let login = Login::new(
            USER.to_owned(),
            PASSWORD.to_owned(),
            Some("postgres".to_owned()),
        );
        let authority = postgres.ca_certificate_pem().as_bytes().to_vec();
        Database {
            engine: Engine::Postgres(server),
            access: Access::given(Some(login), tls, Certificates::Pem(authority)).unwrap(),
            _folder: folder,
        }
    }

    /// What becomes of a query, how long it took, and the most memory that was in use meanwhile, KiB.
    async fn ask(&self, query: &str, timeout: &str) -> (CheckResult, Duration, u64) {
        let text = format!(
            "version = \"1\"\n[[rules]]\nname = \"shop\"\nmatch = {{}}\nfrequency = \"every-copy\"\n\
             credentials = {{ secret = \"s\" }}\n[[rules.checks]]\nname = \"v\"\nkind = \"sql\"\n\
             timeout = \"{timeout}\"\nquery = \"{query}\"\nexpect = {{ not_empty = true }}\n"
        );
        let policy = policy::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{text}"));
        let target = Target::Database {
            host: self.engine.host().to_owned(),
            port: self.engine.port(),
            engine: "postgres".to_owned(),
            database: None,
            settings_differ: false,
        };
        let now = Timestamp::now();
        let clocks = Clocks {
            recovery_point_created: now,
            now,
        };
        memory::forget_peak();
        let began = Instant::now();
        let left = Duration::from_secs(60);
        let mut ran = check::run(&policy.rules[0], &target, &self.access, clocks, left).await;
        let took = began.elapsed();
        let memory = memory::peak();
        println!(
            "{query}: {} in {took:?}, {memory} KiB",
            ran.results[0].detail.at(Ceiling::Text)
        );
        (ran.results.remove(0), took, memory)
    }

    /// How many sessions the user has.
    async fn sessions(&self) -> String {
        let count = format!("select count(*) from pg_stat_activity where usename = '{USER}'");
        self.engine
            .admin()
            .execute("postgres", &count)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_value_too_large_for_memory_costs_no_more_than_the_limit() {
    let _alone = ALONE.lock().await;
    let database = Database::start(Tls::Verify).await;
    let (small, ..) = database.ask("select repeat('x', 5)", "20s").await;
    assert_eq!(small.outcome, CheckOutcome::Passed, "{small:#?}");
    assert_eq!(small.value.as_deref(), Some("xxxxx"));

    // What is allocated once is not the values'.
    let before = memory::now();
    for query in [
        "select repeat('x', 200000000)",
        "select repeat('x', 10000000) from generate_series(1, 2)",
        "select repeat('x', 100000) from generate_series(1, 100000)",
    ] {
        let (result, took, memory) = database.ask(query, "20s").await;
        assert_eq!(result.outcome, CheckOutcome::Errored, "{result:#?}");
        let words = ["the answer is larger than 16 MiB", "several rows"];
        assert!(
            words
                .iter()
                .any(|words| result.detail.at(Ceiling::Text).contains(words)),
            "{}",
            result.detail.at(Ceiling::Text)
        );
        assert!(took < Duration::from_secs(20), "{took:?}");
        let memory = memory.saturating_sub(before);
        assert!(memory <= MOST_MEMORY, "{query}: {memory} KiB");
    }

    // The largest that is read.
    let (large, _, memory) = database.ask("select repeat('x', 16000000)", "20s").await;
    assert_eq!(large.outcome, CheckOutcome::Passed, "{large:#?}");
    let memory = memory.saturating_sub(before);
    assert!(memory <= MOST_MEMORY, "{memory} KiB");
}

#[tokio::test]
async fn a_check_that_timed_out_leaves_nothing_running() {
    let _alone = ALONE.lock().await;
    let database = Database::start(Tls::EncryptOnly).await;
    let (result, took, _) = database.ask("select pg_sleep(60)::text", "1s").await;
    assert_eq!(result.outcome, CheckOutcome::Errored, "{result:#?}");
    assert!(took < Duration::from_secs(1) + MARGIN, "{took:?}");
    for _ in 0..50 {
        if database.sessions().await == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{} sessions are left", database.sessions().await);
}
