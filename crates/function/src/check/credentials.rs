//! Logins: from Secrets Manager, or by a token of IAM.

use std::fmt;

use restore_proof_core::check::{Target, Trouble};
use serde::Deserialize;

use crate::aws::{Aws, call};

/// A login in the JSON layout that RDS uses for secrets. Its password is shown by nothing.
#[derive(Clone, Deserialize)]
pub struct Login {
    /// User.
    pub username: String,
    /// Password.
    pub password: String,
    /// Database to connect to when a check names none.
    #[serde(default)]
    pub dbname: Option<String>,
    /// Whether the password is a token of IAM. RDS takes it over TLS only, MySQL and MariaDB in clear within that.
    #[serde(skip)]
    pub is_token: bool,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl Login {
    /// A login by a password.
    #[must_use]
    pub fn new(username: String, password: String, dbname: Option<String>) -> Login {
        Login {
            username,
            password,
            dbname,
            is_token: false,
        }
    }

    /// A token of IAM for a user of the database that listens there. It is good for opening connections within a quarter of
    /// an hour, which is the longest that one run of the function takes.
    ///
    /// # Errors
    /// Why there is none, in words that hold nothing of it.
    pub async fn by_iam(aws: &Aws, target: &Target, user: &str) -> Result<Login, String> {
        let Target::Database { host, port, .. } = target else {
            return Err("a token of IAM is for a database, not for a machine".to_owned());
        };
        let token = aws.database_token(host, *port, user).await.map_err(|why| {
            format!("no token of IAM could be made for database user {user}: {why}")
        })?;
        Ok(Login {
            username: user.to_owned(),
            password: token,
            dbname: None,
            is_token: true,
        })
    }

    /// Adds to the words about a refused login what a login by a token needs: RDS says the same whoever is to blame.
    pub(super) fn refused(&self, trouble: Trouble) -> Trouble {
        match trouble {
            Trouble::CannotTell(words) if self.is_token => Trouble::CannotTell(format!(
                "{words}; a login by a token of IAM needs both: {} logs in so in the source, too, as a member of rds_iam \
                 (PostgreSQL) or by AWSAuthenticationPlugin (MySQL, MariaDB); and the function's role may rds-db:connect, \
                 which a permissions boundary or an SCP may deny",
                self.username
            )),
            Trouble::CannotTell(_) | Trouble::Wrong(_) | Trouble::Unnamed(_) => trouble,
        }
    }

    /// Reads the login in a secret, by its name or ARN.
    ///
    /// # Errors
    /// Why there is none, in words that hold nothing of the secret.
    pub async fn read(aws: &Aws, secret: &str) -> Result<Login, String> {
        let answer = call(
            "secretsmanager:GetSecretValue",
            aws.secrets.get_secret_value().secret_id(secret).send(),
        )
        .await
        .map_err(|error| format!("the secret {secret} could not be read: {error}"))?;
        let text = answer
            .secret_string()
            .ok_or_else(|| format!("the secret {secret} holds no text"))?;
        // The parser's own words may quote the secret.
        serde_json::from_str(text).map_err(|_| {
            format!("the secret {secret} is not JSON with \"username\" and \"password\", the layout RDS uses")
        })
    }
}
