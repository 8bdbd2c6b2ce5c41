//! `sql` checks, which are one query, one value, read-only; and data checks, whose statements core writes. One file for each
//! family of engines.
//!
//! The checks of one database share a connection, one after the other: each begins with a clean session. A connection
//! whose check erred, or was given up, is never used again.

mod bounded;
mod mysql;
mod postgres;

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jiff::tz::TimeZone;
use restore_proof_core::check::data::{self, Rows};
use restore_proof_core::check::estimate::Estimate;
use restore_proof_core::check::mysql::Answer;
use restore_proof_core::check::{Engine, Target, Trouble, profile, schema};
use restore_proof_core::expectation::{CheckOutcome, Clocks, Judgement, Value};
use restore_proof_core::policy::{DataCheck, ProfileCheck, SchemaCheck, SqlCheck, time_zone};

use super::apart::Thread;
use super::tls::Connector;
use super::{Access, Login};

/// The most connections that are kept: a small instance allows few, and people look at it too.
const MOST_KEPT: usize = 4;
/// A connection that has read more than this is not kept, bytes: a client may keep what a server says unasked.
const MOST_READ_BEFORE: usize = 1 << 20;
/// The most rows that a statement of ours may answer.
const MOST_ROWS: usize = 20_000;
/// The most columns that a statement of ours may answer.
const MOST_COLUMNS: usize = 16;

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

/// How much a statement may answer.
#[derive(Clone, Copy)]
enum Wanted {
    /// One value.
    Value,
    /// Rows, as many as a statement of ours ever answers.
    Rows,
}

impl Wanted {
    fn most_rows(self) -> usize {
        match self {
            Wanted::Value => 1,
            Wanted::Rows => MOST_ROWS,
        }
    }

    /// Refuses an answer of more columns than are wanted.
    fn columns(self, columns: usize) -> Result<(), Trouble> {
        match (self, columns) {
            (Wanted::Value, 1) | (Wanted::Rows, 1..=MOST_COLUMNS) => Ok(()),
            (Wanted::Value, _) => Err(Trouble::CannotTell(format!(
                "the query answers {columns} columns; it must answer one value"
            ))),
            (Wanted::Rows, _) => Err(Trouble::CannotTell(format!(
                "the server answers {columns} columns"
            ))),
        }
    }

    /// Refuses a row behind so many.
    fn one_more(self, rows: usize) -> Result<(), Trouble> {
        if rows < self.most_rows() {
            return Ok(());
        }
        Err(Trouble::CannotTell(match self {
            Wanted::Value => "the query answers several rows; it must answer one value".to_owned(),
            Wanted::Rows => format!("the server answers more than {MOST_ROWS} rows"),
        }))
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
            Connection::Postgres(postgres) => {
                let rows = postgres.rows(&check.query, Wanted::Value, zone, limit);
                let value = rows.await?.into_iter().flatten().next();
                Ok(value.unwrap_or(Value::NoRow))
            }
            Connection::MySql(mysql) => {
                let rows = mysql.rows(&check.query, Wanted::Value, zone, limit);
                let answer = rows.await?.into_iter().flatten().next();
                answer
                    .unwrap_or_else(|| Answer::of(Value::NoRow))
                    .for_expectation(&check.expect)
                    .map_err(Unanswered::Ended)
            }
        }
    }

    /// What a statement of ours answers.
    async fn rows(
        &mut self,
        statement: &str,
        zone: &TimeZone,
        limit: Duration,
    ) -> Result<Rows, Unanswered> {
        match self {
            Connection::Postgres(postgres) => {
                postgres.rows(statement, Wanted::Rows, zone, limit).await
            }
            Connection::MySql(mysql) => {
                let rows = mysql.rows(statement, Wanted::Rows, zone, limit).await?;
                let value = |answer: Answer| answer.value;
                let values = |row: Vec<Answer>| row.into_iter().map(value).collect();
                Ok(rows.into_iter().map(values).collect())
            }
        }
    }

    fn read_so_far(&self) -> usize {
        match self {
            Connection::Postgres(postgres) => postgres.read_so_far(),
            Connection::MySql(mysql) => mysql.read_so_far(),
        }
    }
}

/// What becomes of an `sql` check.
pub(super) async fn run(
    check: &SqlCheck,
    target: &Target,
    access: &Access,
    clocks: Clocks,
    sessions: &mut Sessions,
    limit: Duration,
) -> Result<Judgement, Trouble> {
    let server = server(check.database.as_ref(), target, access)?;
    let zone = zone(&check.time_zone)?;
    let check = check.clone();
    in_session(server, sessions, limit, move |mut asking| {
        async move {
            let value = asking
                .ask(async |connection: &mut Connection| {
                    connection.value(&check, &zone, limit).await
                })
                .await?;
            let mut judgement = check.expect.judge(&value, &clocks);
            if judgement.outcome == CheckOutcome::Failed
                && let Some(estimate) = Estimate::of(&check.query)
            {
                judgement.detail = format!("{}; {estimate}", judgement.detail);
            }
            Ok(judgement)
        }
        .boxed_local()
    })
    .await
}

/// What becomes of a data check: its statements are asked one after the other.
pub(super) async fn run_data(
    check: &DataCheck,
    target: &Target,
    access: &Access,
    clocks: Clocks,
    sessions: &mut Sessions,
    limit: Duration,
) -> Result<Judgement, Trouble> {
    let server = server(check.database.as_ref(), target, access)?;
    let engine = server.engine;
    let zone = zone(check.time_zone())?;
    let check = check.clone();
    in_session(server, sessions, limit, move |mut asking| {
        async move {
            let ask = async |statement: String| asking.rows(&statement, &zone).await;
            data::look(&check, engine, &clocks, ask).await
        }
        .boxed_local()
    })
    .await
}

/// What becomes of a check of a schema.
pub(super) async fn run_schema(
    check: &SchemaCheck,
    target: &Target,
    access: &Access,
    sessions: &mut Sessions,
    limit: Duration,
) -> Result<Judgement, Trouble> {
    let server = server(check.database.as_ref(), target, access)?;
    let engine = server.engine;
    let check = check.clone();
    in_session(server, sessions, limit, move |mut asking| {
        async move {
            let ask = async |statement: String| asking.rows(&statement, &TimeZone::UTC).await;
            schema::look(&check, engine, ask).await
        }
        .boxed_local()
    })
    .await
}

/// What becomes of a profile.
pub(super) async fn run_profile(
    check: &ProfileCheck,
    target: &Target,
    access: &Access,
    sessions: &mut Sessions,
    limit: Duration,
) -> Result<Judgement, Trouble> {
    let server = server(check.database.as_ref(), target, access)?;
    let engine = server.engine;
    let check = check.clone();
    in_session(server, sessions, limit, move |mut asking| {
        async move {
            let ask = async |statement: String| asking.rows(&statement, &TimeZone::UTC).await;
            profile::look(&check, engine, ask).await
        }
        .boxed_local()
    })
    .await
}

fn zone(name: &str) -> Result<TimeZone, Trouble> {
    time_zone(name).ok_or_else(|| Trouble::CannotTell(format!("unknown time zone {name}")))
}

/// Looks at a database on the thread of its connection, which is kept for the next check unless this one erred.
async fn in_session<L>(
    server: Server,
    sessions: &mut Sessions,
    limit: Duration,
    look: L,
) -> Result<Judgement, Trouble>
where
    L: for<'s> FnOnce(Asking<'s>) -> LocalBoxFuture<'s, Result<Judgement, Trouble>>
        + Send
        + 'static,
{
    let session = sessions.take(server.database.as_deref())?;
    // The clients read the rest of an answer that nobody waits for any more, in tasks of their own; and a regular expression
    // may look at megabytes for seconds without a pause. All that ends with the thread.
    let judging = session.thread.work(limit, move |kept| {
        look(Asking {
            kept,
            server,
            limit,
        })
    });
    let judgement = judging.await?;
    match judgement.outcome {
        CheckOutcome::Passed | CheckOutcome::Failed => sessions.keep(session),
        CheckOutcome::Errored => {}
    }
    Ok(judgement)
}

/// One check's way to ask a server, by the connection that was kept or by one that it opens.
struct Asking<'s> {
    kept: &'s mut Option<Connection>,
    server: Server,
    limit: Duration,
}

impl Asking<'_> {
    /// What a statement of ours answers.
    async fn rows(&mut self, statement: &str, zone: &TimeZone) -> Result<Rows, Trouble> {
        let limit = self.limit;
        self.ask(async |connection: &mut Connection| connection.rows(statement, zone, limit).await)
            .await
    }

    /// Asks something of the connection. One that answers too much, or with an error, is not kept.
    async fn ask<T>(
        &mut self,
        mut asked: impl AsyncFnMut(&mut Connection) -> Result<T, Unanswered>,
    ) -> Result<T, Trouble> {
        // One that is closed by now, as servers do with what is idle, says nothing of this check.
        let again = match self.kept.take() {
            Some(mut connection) => match asked(&mut connection).await {
                Err(Unanswered::Unclean(_)) => None,
                answered => Some((connection, answered)),
            },
            None => None,
        };
        let (connection, answered) = match again {
            Some(answered) => answered,
            None => {
                let mut connection = Connection::open(&self.server, self.limit).await?;
                let answered = asked(&mut connection).await;
                (connection, answered)
            }
        };
        let answer = answered.map_err(Unanswered::trouble)?;
        if connection.read_so_far() <= MOST_READ_BEFORE {
            *self.kept = Some(connection);
        }
        Ok(answer)
    }
}

/// The server that the check asks.
fn server(named: Option<&String>, target: &Target, access: &Access) -> Result<Server, Trouble> {
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
    let names = [named, login.dbname.as_ref(), database.as_ref()];
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
