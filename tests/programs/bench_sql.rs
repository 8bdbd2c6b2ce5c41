//! `scripts/bench-sql.sh`: SQL checks against what the engine's own client takes for the same statements, on real servers, in
//! turns. Ends with 1 when a target is missed.
//!
//! - `ROUNDS`: so many turns; 7 when it says nothing. What is compared are medians.
//! - `ROWS`: so many rows are counted; 10 million when it says nothing.

use restore_proof_core::ceiling::Ceiling;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use restore_proof_core::expectation::{CheckOutcome, Clocks};
use restore_proof_core::policy::{self, Policy, Tls};
use restore_proof_function::check::{self, Access, Certificates, Login, Target};
use restore_proof_local_aws::engine::{Authority, MariaDb, Postgres, Server};
use restore_proof_local_aws::process::StateFolder;

/// How many checks one rule has.
const CHECKS: usize = 200;
/// What many checks may take, as a multiple of the client's time for the same statements.
const MOST_FOR_CHECKS: f64 = 1.5;
/// What one check of a long statement may take.
const MOST_FOR_A_COUNT: f64 = 1.1;
/// Rows of the table that the many checks ask.
const ORDERS: u64 = 12_000;
const USER: &str = "reader";
const PASSWORD: &str = "correct horse battery staple";

/// What the many checks ask, in turns.
const STATEMENTS: [&str; 4] = [
    "select count(*) from orders",
    "select count(*) from orders where state = 'paid'",
    "select max(id) from orders",
    "select count(distinct customer) from orders",
];

/// A server, and its engine's own client.
struct Bench {
    server: Server,
    /// RDS's name of the engine.
    engine: &'static str,
    /// The client's name.
    client: &'static str,
    database: &'static str,
    authority: String,
}

impl Bench {
    async fn postgres(folder: &Path, rows: u64) -> Result<Bench> {
        let postgres = Postgres::new(folder).await?;
        let server = postgres.start_server("bench").await?;
        let setup = format!(
            "create role {USER} login password '{PASSWORD}'; \
             create table orders as select n as id, n % 900 as customer, \
             case when n % 3 = 0 then 'open' else 'paid' end as state from generate_series(1, {ORDERS}) n; \
             create table numbers as select n from generate_series(1, {rows}) n; \
             grant select on orders, numbers to {USER};"
        );
        server.execute("postgres", &setup).await?;
        server
            .execute("postgres", "vacuum (analyze) orders")
            .await?;
        server
            .execute("postgres", "vacuum (analyze) numbers")
            .await?;
        let plan = server
            .execute("postgres", "explain select count(*) from numbers")
            .await?;
        ensure!(plan.contains("Gather"), "the plan is not parallel:\n{plan}");
        Ok(Bench {
            server: Server::Postgres(server),
            engine: "postgres",
            client: "psql",
            database: "postgres",
            authority: postgres.ca_certificate_pem().to_owned(),
        })
    }

    async fn mariadb(folder: &Path, rows: u64) -> Result<Bench> {
        let authority = Authority::create()?;
        let mariadb = MariaDb::new(folder, &authority).await?;
        let server = mariadb.start_server("bench").await?;
        let setup = format!(
            "create database shop; create user {USER}@'%' identified by '{PASSWORD}'; grant select on shop.* to {USER}@'%'; \
             use shop; create table orders (id int primary key) select seq as id, seq % 900 as customer, \
             if(seq % 3 = 0, 'open', 'paid') as state from seq_1_to_{ORDERS}; \
             create table numbers (n int primary key) select seq as n from seq_1_to_{rows}; \
             analyze table orders, numbers;"
        );
        server.execute("mysql", &setup).await?;
        Ok(Bench {
            server: Server::MariaDb(server),
            engine: "mariadb",
            client: "mariadb",
            database: "shop",
            authority: authority.certificate_pem().to_owned(),
        })
    }

    /// How long the client takes for these statements over one connection, from its start to its end.
    fn client_takes(&self, authority: &Path, statements: &[&str]) -> Result<Duration> {
        let mut command = Command::new(self.client);
        let (host, port) = (self.server.host(), self.server.port().to_string());
        match self.server {
            Server::Postgres(_) => {
                let place = format!(
                    "host={host} port={port} user={USER} dbname={} sslmode=verify-full sslrootcert={}",
                    self.database,
                    authority.display()
                );
                command.args(["--no-psqlrc", "--quiet", "--tuples-only", &place]);
                command.env("PGPASSWORD", PASSWORD);
            }
            Server::MariaDb(_) => {
                command.args([
                    "--no-defaults",
                    "--batch",
                    "--skip-column-names",
                    "--protocol=TCP",
                ]);
                command.args(["--host", host, "--port", &port, "--user", USER]);
                command.arg("--ssl-verify-server-cert");
                command.arg(format!("--ssl-ca={}", authority.display()));
                command.arg(self.database);
                command.env("MYSQL_PWD", PASSWORD);
            }
        }
        let script: String = statements
            .iter()
            .map(|statement| format!("{statement};\n"))
            .collect();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let began = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.client))?;
        let mut input = child.stdin.take().context("no way in")?;
        // A pipe holds 64 KiB: all of it.
        input.write_all(script.as_bytes())?;
        drop(input);
        let output = child.wait_with_output()?;
        let took = began.elapsed();
        let answers = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter(|line| line.trim().parse::<u64>().is_ok())
            .count();
        ensure!(
            output.status.success() && answers == statements.len(),
            "{} has {answers} answers to {} statements",
            self.client,
            statements.len()
        );
        Ok(took)
    }

    /// How long the checks of a rule take, from the first connection on.
    async fn checks_take(&self, policy: &Policy) -> Result<Duration> {
        let target = Target::Database {
            settings_differ: false,
            host: self.server.host().to_owned(),
            port: self.server.port(),
            engine: self.engine.to_owned(),
            database: Some(self.database.to_owned()),
        };
        let login = Login::new(USER.to_owned(), PASSWORD.to_owned(), None);
        let certificates = Certificates::Pem(self.authority.clone().into_bytes());
        let access = Access::given(Some(login), Tls::Verify, certificates)
            .map_err(|why| anyhow::anyhow!(why))?;
        let now = Timestamp::now();
        let clocks = Clocks {
            recovery_point_created: now,
            now,
        };
        let left = Duration::from_secs(3600);
        let began = Instant::now();
        let ran = check::run(&policy.rules[0], &target, &access, clocks, left).await;
        let took = began.elapsed();
        for result in ran.results {
            if result.outcome != CheckOutcome::Passed {
                bail!("check {}: {}", result.name, result.detail.at(Ceiling::Text));
            }
        }
        Ok(took)
    }

    /// Compares both in turns and says so. Answers whether the target is met; without a target it is.
    async fn compare(
        &self,
        what: &str,
        statements: &[&str],
        rounds: usize,
        most: Option<f64>,
    ) -> Result<bool> {
        let mut authority = tempfile::NamedTempFile::new()?;
        authority.write_all(self.authority.as_bytes())?;
        let policy = policy_of(statements)?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        // The first turn warms up.
        for round in 0..=rounds {
            let checks = self.checks_take(&policy).await?;
            let client = self.client_takes(authority.path(), statements)?;
            if round > 0 {
                ours.push(checks);
                theirs.push(client);
            }
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        let is_met = most.is_none_or(|most| ratio <= most);
        let target = match most {
            None => "no target".to_owned(),
            Some(most) if is_met => format!("at most {most}"),
            Some(most) => format!("MISSED: at most {most}"),
        };
        println!(
            "{:<10} {what:<34} {:>9.1} ms {:>9.1} ms {ratio:>7.2}   {target}",
            self.client,
            ours.as_secs_f64() * 1e3,
            theirs.as_secs_f64() * 1e3,
        );
        Ok(is_met)
    }

    /// All comparisons. Answers whether all targets are met.
    async fn run(&self, rounds: usize) -> Result<bool> {
        let many: Vec<&str> = STATEMENTS.into_iter().cycle().take(CHECKS).collect();
        let trivial = vec!["select 1"; CHECKS];
        let large = ["select count(*) from numbers"];
        let mut all = true;
        let target = Some(MOST_FOR_CHECKS);
        all &= self.compare("200 checks", &many, rounds, target).await?;
        all &= self
            .compare("200 checks that cost nothing", &trivial, rounds, None)
            .await?;
        let target = Some(MOST_FOR_A_COUNT);
        all &= self.compare("count(*)", &large, rounds, target).await?;
        Ok(all)
    }
}

/// A policy with one rule of these checks.
fn policy_of(statements: &[&str]) -> Result<Policy> {
    let mut text = "version = \"bench\"\n[[rules]]\nname = \"bench\"\nmatch = {}\nfrequency = \"every-copy\"\n\
         credentials = { secret = \"s\" }\n"
        .to_owned();
    for (number, statement) in statements.iter().enumerate() {
        text += &format!(
            "[[rules.checks]]\nname = \"{number}\"\nkind = \"sql\"\ntimeout = \"10m\"\n\
             query = \"{statement}\"\nexpect = {{ min = 1 }}\n"
        );
    }
    policy::parse(&text).map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A number in the environment, or this one.
fn number(name: &str, otherwise: u64) -> Result<u64> {
    match std::env::var(name).ok().filter(|text| !text.is_empty()) {
        None => Ok(otherwise),
        Some(text) => match text.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => bail!("{name} is a number from 1 on"),
        },
    }
}

async fn all() -> Result<bool> {
    let rounds = usize::try_from(number("ROUNDS", 7)?)?;
    let rows = number("ROWS", 10_000_000)?;
    let folder = StateFolder::create()?;
    println!(
        "{:<10} {:<34} {:>12} {:>12} {:>7}   target",
        "client",
        format!("{rows} rows, {rounds} rounds"),
        "ours",
        "client's",
        "ratio"
    );
    // One server at a time: they would take each other's processors.
    let postgres = Bench::postgres(folder.path(), rows).await?;
    let mut all = postgres.run(rounds).await?;
    postgres.server.stop().await;
    let mariadb = Bench::mariadb(folder.path(), rows).await?;
    all &= mariadb.run(rounds).await?;
    mariadb.server.stop().await;
    Ok(all)
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(all()));
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
