//! Logins from Secrets Manager.

use std::fmt;

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
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl Login {
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
