//! The checks of one rule against one real database: what they share, what they do not, and how a statement runs.

mod mysql;
mod postgres;

use restore_proof_core::ceiling::Ceiling;
use restore_proof_core::expectation::{CheckOutcome, Clocks};
use restore_proof_core::policy::{self, Tls};
use restore_proof_core::validation::CheckResult;
use restore_proof_function::check::{self, Access, Certificates, Login, Target};
use restore_proof_local_aws::engine::Server;

use super::*;

/// A database of one's own, beside the sample's.
const DATABASE: &str = "sessions";

/// A server with an empty database that [`READER_USER`] may log in to.
struct Database {
    server: Server,
    /// RDS's name of the engine.
    engine: &'static str,
    database: &'static str,
    authority: String,
    // Dropped last: the server is below its folder.
    _engines: Arc<Engines>,
}

/// A query, what is expected, and the outcome.
type Case = (&'static str, &'static str, CheckOutcome);

impl Database {
    /// Starts a server, whose name is used once in this binary.
    async fn start(kind: Kind, name: &str, setup: &str) -> Database {
        let engines = engines().await;
        let engine = Box::pin(engines.of(kind)).await;
        let server = engine.fresh.restore(name, MASTER_USER, None).await.unwrap();
        let mut database = Database {
            server,
            engine: match kind {
                Kind::Postgres | Kind::AuroraPostgres => "postgres",
                Kind::MySql | Kind::MariaDb | Kind::AuroraMySql => "mariadb",
            },
            database: SAMPLE_DATABASE,
            authority: engine.authority,
            _engines: engines,
        };
        let create = format!("create database {DATABASE}");
        database.execute(&create).await;
        database.database = DATABASE;
        if !setup.is_empty() {
            database.execute(setup).await;
        }
        database
    }

    /// Runs SQL as the superuser.
    async fn execute(&self, sql: &str) -> String {
        self.server
            .admin()
            .execute(self.database, sql)
            .await
            .unwrap()
    }

    /// Runs these as checks of one rule; each is a query and an expectation, with what other keys it has.
    async fn ask_all(&self, checks: &[(&str, &str)]) -> Vec<CheckResult> {
        let mut text =
            "version = \"1\"\n[[rules]]\nname = \"shop\"\nmatch = {}\nfrequency = \"every-copy\"\n\
             credentials = { secret = \"s\" }\n"
                .to_owned();
        for (number, (query, rest)) in checks.iter().enumerate() {
            text += &format!(
                "[[rules.checks]]\nname = \"{number}\"\nkind = \"sql\"\ntimeout = \"20s\"\n\
                 query = '''{query}'''\nexpect = {{ {rest} }}\n"
            );
        }
        let policy = policy::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{text}"));
        let target = Target::Database {
            settings_differ: false,
            host: self.server.host().to_owned(),
            port: self.server.port(),
            engine: self.engine.to_owned(),
            database: Some(self.database.to_owned()),
        };
        let login = Login::new(READER_USER.to_owned(), PASSWORD.to_owned(), None);
        let certificates = Certificates::Pem(self.authority.clone().into_bytes());
        let access = Access::given(Some(login), Tls::Verify, certificates).unwrap();
        let now = Timestamp::now();
        let clocks = Clocks {
            recovery_point_created: now,
            now,
        };
        let left = Duration::from_secs(120);
        check::run(&policy.rules[0], &target, &access, clocks, left)
            .await
            .results
    }

    /// The values of these queries, or why there is none.
    async fn values(&self, queries: &[&str]) -> Vec<String> {
        let checks: Vec<_> = queries
            .iter()
            .map(|query| (*query, "not_empty = true"))
            .collect();
        let results = self.ask_all(&checks).await;
        results
            .into_iter()
            .map(|result| result.value.unwrap_or(result.detail.at(Ceiling::Text)))
            .collect()
    }

    /// Runs cases as checks of one rule. Answers the details.
    async fn assert_all(&self, cases: &[Case]) -> Vec<String> {
        let checks: Vec<_> = cases
            .iter()
            .map(|(query, expect, _)| (*query, *expect))
            .collect();
        let results = self.ask_all(&checks).await;
        let mut wrong = Vec::new();
        for ((query, expect, outcome), result) in cases.iter().zip(&results) {
            if result.outcome != *outcome {
                wrong.push(format!(
                    "{query} ({expect}): {}: {}",
                    result.outcome,
                    result.detail.at(Ceiling::Text)
                ));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        results
            .into_iter()
            .map(|result| result.detail.at(Ceiling::Text))
            .collect()
    }
}
