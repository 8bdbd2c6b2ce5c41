//! Passwords of restored copies, derived instead of kept: nobody has to copy a secret of production into this account.
//!
//! A password is the HMAC of a secret that the stack generates, over the validation and its attempt. It can be set again
//! after a death, is stored nowhere and is of no use for anything but that one copy, which is soon deleted.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::aws::{Aws, call};
use crate::check::Login;
use crate::resource::Master;

/// The least a key must hold, characters.
const SHORTEST_KEY: usize = 32;

/// The login of the master user of a restored copy under the password derived for it.
///
/// # Errors
/// Why there is none, in words that hold nothing of the key.
pub async fn login(
    aws: &Aws,
    key_secret: &str,
    master: Option<&Master>,
    validation_id: &str,
    attempt: u32,
) -> Result<Login, String> {
    let master = master.ok_or_else(|| "RDS does not name the master user".to_owned())?;
    let answer = call(
        "secretsmanager:GetSecretValue",
        aws.secrets.get_secret_value().secret_id(key_secret).send(),
    )
    .await
    .map_err(|error| {
        format!("the secret that passwords are derived from could not be read: {error}")
    })?;
    let key = answer
        .secret_string()
        .filter(|key| key.len() >= SHORTEST_KEY)
        .ok_or_else(|| {
            format!("the secret that passwords are derived from holds no text of {SHORTEST_KEY} characters")
        })?;
    Ok(Login::new(
        master.user.clone(),
        password(key.as_bytes(), validation_id, attempt),
        master.database.clone(),
    ))
}

/// 30 letters and digits, among them a capital, a small letter and a digit: within the rules of every engine of RDS
/// (RDS API reference, `ModifyDBInstance`, `MasterUserPassword`: at most 41 characters for MySQL and MariaDB, 30 for
/// Oracle, none of `/`, `"`, `@` and space). 108 bits of it are the HMAC's.
#[must_use]
pub fn password(key: &[u8], validation_id: &str, attempt: u32) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("restore-proof master password\n{validation_id}\n{attempt}").as_bytes());
    let digest: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("Rp0{}", &digest[..27])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_its_keys_validations_and_attempts() {
        let one = password(b"key", "5f2c", 1);
        assert_eq!(one, password(b"key", "5f2c", 1));
        for other in [
            password(b"other", "5f2c", 1),
            password(b"key", "5f2d", 1),
            password(b"key", "5f2c", 2),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_password_is_within_every_engines_rules() {
        for attempt in 1..200 {
            let password = password(b"key", "5f2c", attempt);
            assert_eq!(password.len(), 30);
            assert!(password.bytes().all(|b| b.is_ascii_alphanumeric()));
            assert!(password.starts_with(|c: char| c.is_ascii_uppercase()));
            assert!(password.contains(|c: char| c.is_ascii_digit()));
            assert!(password.contains(|c: char| c.is_ascii_lowercase()));
        }
    }
}
