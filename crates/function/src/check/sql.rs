//! `sql` checks: one query, one value, read-only. One file for each family of engines.
//!
//! The checks of one database share a connection, one after the other: each begins with a clean session. A connection
//! whose check erred, or was given up, is never used again.

mod bounded;
mod mysql;
mod postgres;

use std::time::Duration;

use futures_util::FutureExt;
use jiff::tz::TimeZone;
use restore_proof_core::check::estimate::Estimate;
use restore_proof_core::check::{Target, Trouble};
use restore_proof_core::expectation::{CheckOutcome, Clocks, Judgement, Value};
use restore_proof_core::policy::{SqlCheck, time_zone};

use super::apart::Thread;
use super::tls::Connector;
use super::{Access, Login};

/// The most connections that are kept: a small instance allows few, and people look at it too.
const MOST_KEPT: usize = 4;
/// A connection that has read more than this is not kept, bytes: a client may keep what a server says unasked.
const MOST_READ_BEFORE: usize = 1 << 20;

/// A database server and how to get in.
#[derive(Clone)]
struct Server {
    host: String,
    port: u16,
    engine: Engine,
    /// Where the query is asked, if anything says so.
    database: Option<String>,
    login: Login,
    connector: Connector,
}

impl Server {
    /// The names that a login sends, which the server's messages may repeat.
    fn names(&self) -> String {
        let database = self.database.as_deref().unwrap_or_default();
        format!("{} {} {database}", self.login.username, self.host)
    }
}

/// Engines by the protocol that they speak.
#[derive(Clone, Copy)]
enum Engine {
    Postgres,
    MySql,
}

impl Engine {
    /// By RDS's name of the engine.
    fn named(name: &str) -> Option<Engine> {
        match name {
            "postgres" | "aurora-postgresql" => Some(Engine::Postgres),
            "mysql" | "mariadb" | "aurora-mysql" => Some(Engine::MySql),
            _ => None,
        }
    }
}

/// The connections of the checks of one rule, which all have one server and one login. Each has a thread of its own.
#[derive(Default)]
pub(super) struct Sessions(Vec<Session>);

struct Session {
    database: Option<String>,
    thread: Thread<Option<Connection>>,
}

impl Sessions {
    /// The connection to this database, or a thread for a new one. It is given back with [`Sessions::keep`].
    fn take(&mut self, database: Option<&str>) -> Result<Session, Trouble> {
        let known = self
            .0
            .iter()
            .position(|session| session.database.as_deref() == database);
        match known {
            Some(index) => Ok(self.0.remove(index)),
            None => Ok(Session {
                database: database.map(str::to_owned),
                thread: Thread::begin()?,
            }),
        }
    }

    /// Keeps a connection for the next check, and lets go of the one that was longest unused when there are too many.
    fn keep(&mut self, session: Session) {
        if self.0.len() >= MOST_KEPT {
            self.0.remove(0);
        }
        self.0.push(session);
    }
}

/// Why a query has no value.
enum Unanswered {
    /// The session could not be made clean, and the query was not asked.
    Unclean(Trouble),
    /// The server has said all.
    Ended(Trouble),
    /// The server would say more, and may be at work on it.
    GoesOn(Trouble),
}

impl Unanswered {
    fn trouble(self) -> Trouble {
        match self {
            Unanswered::Unclean(trouble)
            | Unanswered::Ended(trouble)
            | Unanswered::GoesOn(trouble) => trouble,
        }
    }
}

/// A connection that is logged in.
enum Connection {
    Postgres(Box<postgres::Connection>),
    MySql(Box<mysql::Connection>),
}

impl Connection {
    async fn open(server: &Server, limit: Duration) -> Result<Connection, Trouble> {
        Ok(match server.engine {
            Engine::Postgres => {
                let postgres = postgres::Connection::open(server, limit).await?;
                Connection::Postgres(Box::new(postgres))
            }
            Engine::MySql => {
                let mysql = mysql::Connection::open(server, limit).await?;
                Connection::MySql(Box::new(mysql))
            }
        })
    }

    /// The one value that the check's query answers.
    async fn value(
        &mut self,
        check: &SqlCheck,
        zone: &TimeZone,
        limit: Duration,
    ) -> Result<Value, Unanswered> {
        match self {
            Connection::Postgres(postgres) => postgres.value(&check.query, zone, limit).await,
            Connection::MySql(mysql) => mysql
                .value(&check.query, zone, limit)
                .await?
                .for_expectation(&check.expect)
                .map_err(Unanswered::Ended),
        }
    }

    fn read_so_far(&self) -> usize {
        match self {
            Connection::Postgres(postgres) => postgres.read_so_far(),
            Connection::MySql(mysql) => mysql.read_so_far(),
        }
    }
}

/// What becomes of the check.
pub(super) async fn run(
    check: &SqlCheck,
    target: &Target,
    access: &Access,
    clocks: Clocks,
    sessions: &mut Sessions,
    limit: Duration,
) -> Result<Judgement, Trouble> {
    let server = server(check, target, access)?;
    let zone = time_zone(&check.time_zone)
        .ok_or_else(|| Trouble::CannotTell(format!("unknown time zone {}", check.time_zone)))?;
    let session = sessions.take(server.database.as_deref())?;
    let check = check.clone();
    // The clients read the rest of an answer that nobody waits for any more, in tasks of their own; and a regular expression
    // may look at megabytes for seconds without a pause. All that ends with the thread.
    let judging = session.thread.work(limit, move |kept| {
        async move {
            // One that is closed by now, as servers do with what is idle, says nothing of this check.
            let again = match kept.take() {
                Some(mut connection) => match connection.value(&check, &zone, limit).await {
                    Err(Unanswered::Unclean(_)) => None,
                    answered => Some((connection, answered)),
                },
                None => None,
            };
            let (connection, answered) = match again {
                Some(answered) => answered,
                None => {
                    let mut connection = Connection::open(&server, limit).await?;
                    let answered = connection.value(&check, &zone, limit).await;
                    (connection, answered)
                }
            };
            let value = answered.map_err(Unanswered::trouble)?;
            if connection.read_so_far() <= MOST_READ_BEFORE {
                *kept = Some(connection);
            }
            let mut judgement = check.expect.judge(&value, &clocks);
            if judgement.outcome == CheckOutcome::Failed
                && let Some(estimate) = Estimate::of(&check.query)
            {
                judgement.detail = format!("{}; {estimate}", judgement.detail);
            }
            Ok(judgement)
        }
        .boxed_local()
    });
    let judgement = judging.await?;
    match judgement.outcome {
        CheckOutcome::Passed | CheckOutcome::Failed => sessions.keep(session),
        CheckOutcome::Errored => {}
    }
    Ok(judgement)
}

/// The server that the check asks.
fn server(check: &SqlCheck, target: &Target, access: &Access) -> Result<Server, Trouble> {
    let cannot = |why: &str| Trouble::CannotTell(why.to_owned());
    let Target::Database {
        host,
        port,
        engine,
        database,
        settings_differ: _,
    } = target
    else {
        return Err(cannot("sql checks need a database, not a machine"));
    };
    let login = access.login.as_ref().map_err(|why| cannot(why))?;
    let connector = access.databases.clone().map_err(Trouble::CannotTell)?;
    if login.is_token && matches!(connector, Connector::Plain) {
        return Err(cannot("a token of IAM is sent over TLS only"));
    }
    let names = [&check.database, &login.dbname, database];
    Ok(Server {
        host: host.clone(),
        port: *port,
        engine: Engine::named(engine)
            .ok_or_else(|| cannot(&format!("sql checks on engine {engine} are not supported")))?,
        database: names.into_iter().flatten().next().cloned(),
        login: login.clone(),
        connector,
    })
}
