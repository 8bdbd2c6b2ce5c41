//! The secrets of the made-up production, and the key that the stack would generate: random in every run.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Secrets of one run. Nothing prints or writes them.
#[derive(Clone)]
pub struct Secrets {
    /// What passwords of restored copies are derived from.
    pub reset_key: String,
    /// Password of all users of the PostgreSQL databases; in Secrets Manager.
    pub postgres_password: String,
    /// Password of all users of the MySQL databases; in production alone, nowhere in the backup account.
    pub mysql_password: String,
    /// A value that AWS Backup keeps among the restore metadata of a database and a machine.
    pub metadata: String,
}

impl Secrets {
    /// New ones.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn random() -> Result<Secrets> {
        Ok(Secrets {
            // As the template asks for: 64 characters without punctuation.
            reset_key: text(64)?,
            postgres_password: text(24)?,
            mysql_password: text(24)?,
            metadata: text(24)?,
        })
    }

    /// Those of a JSON file: an object of the four names, each with a text.
    ///
    /// # Errors
    /// When the file cannot be read, or has not exactly these names. The message has no value of it.
    pub fn read(file: &Path) -> Result<Secrets> {
        let place = || format!("the secrets of {}", file.display());
        let text = fs::read_to_string(file).with_context(place)?;
        let Ok(Value::Object(mut given)) = serde_json::from_str(&text) else {
            bail!("{} are no JSON object", place());
        };
        let mut take = |name: &str| match given.remove(name) {
            Some(Value::String(value)) if !value.is_empty() => Ok(value),
            _ => bail!("{} have no text `{name}`", place()),
        };
        let secrets = Secrets {
            reset_key: take("reset_key")?,
            postgres_password: take("postgres_password")?,
            mysql_password: take("mysql_password")?,
            metadata: take("metadata")?,
        };
        if let Some(name) = given.keys().next() {
            bail!("{}: `{name}` is not known", place());
        }
        Ok(secrets)
    }
}

/// So many random letters and digits.
fn text(length: usize) -> Result<String> {
    const CHARACTERS: &[u8; 64] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789xy";
    let mut bytes = vec![0; length];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("cannot read random numbers")?;
    Ok(bytes
        .into_iter()
        .map(|byte| char::from(CHARACTERS[usize::from(byte) % CHARACTERS.len()]))
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn secrets_are_new_in_every_run() {
        let (one, other) = (Secrets::random().unwrap(), Secrets::random().unwrap());
        assert_eq!(one.reset_key.len(), 64);
        assert_ne!(one.reset_key, other.reset_key);
        assert_ne!(one.postgres_password, one.mysql_password);
    }

    #[test]
    fn a_file_must_have_all_of_them_and_its_values_are_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets.json");
        let full =
            r#"{"reset_key":"k","postgres_password":"p\"1","mysql_password":"m","metadata":"d"}"#;
        fs::write(&file, full).unwrap();
        assert_eq!(Secrets::read(&file).unwrap().postgres_password, "p\"1");

        for wrong in [
            r#"{"reset_key":"hush"}"#.to_owned(),
            full.replace("}", r#","more":"hush"}"#),
            "[\"hush\"]".to_owned(),
        ] {
            fs::write(&file, wrong).unwrap();
            let error = format!("{:#}", Secrets::read(&file).err().unwrap());
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
