//! What of a database its login is shown.

use super::data::{Rows, numbers};
use super::{Engine, Trouble};
use crate::expectation::{CheckOutcome, Value};

/// Whether a login is shown all of a database. MySQL's catalog leaves out what a login has no right on (MySQL's manual,
/// "INFORMATION_SCHEMA Usage Notes"), PostgreSQL's does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// What is not shown is not there.
    All,
    /// What is not shown may be there.
    Part,
}

impl Sight {
    /// Asks.
    ///
    /// # Errors
    /// When the connection is to no database, of which nothing is shown either.
    pub(super) async fn of<A>(engine: Engine, ask: &mut A) -> Result<Sight, Trouble>
    where
        A: AsyncFnMut(String) -> Result<Rows, Trouble>,
    {
        match engine {
            Engine::Postgres => return Ok(Sight::All),
            Engine::MySql => {}
        }
        let database = ask("select database()".to_owned()).await?;
        if let None | Some(Value::Null | Value::NoRow) =
            database.first().and_then(|row| row.first())
        {
            return Err(Trouble::CannotTell(
                "the connection is to no database: name it in the check's `database`".to_owned(),
            ));
        }
        let [rights] = numbers(&ask(RIGHTS.to_owned()).await?)?;
        Ok(if rights > 0.0 {
            Sight::All
        } else {
            Sight::Part
        })
    }

    /// What follows where something is missing.
    pub(super) fn without(self, words: String) -> (CheckOutcome, String) {
        match self {
            Sight::All => (CheckOutcome::Failed, words),
            Sight::Part => (
                CheckOutcome::Errored,
                format!(
                    "{words}; but the login may not select from the whole database, and the server shows it nothing else"
                ),
            ),
        }
    }
}

/// How many grants there are to select from the whole database or from all. A database's name in a grant is a pattern.
const RIGHTS: &str = "select (select count(*) from information_schema.user_privileges where privilege_type = 'SELECT') + \
     (select count(*) from information_schema.schema_privileges where privilege_type = 'SELECT' and database() like table_schema)";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn asked(engine: Engine, answers: Vec<Value>) -> Result<Sight, Trouble> {
        let mut answers = answers.into_iter();
        let mut ask = async |_| Ok(vec![vec![answers.next().expect("another answer")]]);
        let sight = pin!(Sight::of(engine, &mut ask));
        match sight.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(sight) => sight,
            Poll::Pending => panic!("nothing is waited for"),
        }
    }

    #[test]
    fn what_mysql_does_not_show_may_be_there() {
        let shop = Value::Text("shop".to_owned());
        let rights = |number: &str| vec![shop.clone(), Value::from_number_text(number)];
        assert_eq!(asked(Engine::Postgres, vec![]).unwrap(), Sight::All);
        assert_eq!(asked(Engine::MySql, rights("1")).unwrap(), Sight::All);
        assert_eq!(asked(Engine::MySql, rights("0")).unwrap(), Sight::Part);
        let no_database = asked(Engine::MySql, vec![Value::Null]);
        assert!(
            matches!(no_database, Err(Trouble::CannotTell(words)) if words.contains("no database"))
        );
        let (outcome, words) = Sight::Part.without("table t is not there".to_owned());
        assert_eq!(outcome, CheckOutcome::Errored);
        assert!(
            words.starts_with("table t is not there; but the login"),
            "{words}"
        );
        assert_eq!(Sight::All.without(String::new()).0, CheckOutcome::Failed);
    }
}
