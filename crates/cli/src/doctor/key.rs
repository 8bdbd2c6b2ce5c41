//! Keys of KMS: whether one can be used, and whom its policy lets use it.

use restore_proof_function::aws::AwsError;
use serde_json::Value;

use super::api::Api;
use super::grants::{Grant, Principal, grant};

/// A key.
#[derive(Debug)]
pub(super) struct Key {
    /// Its ARN.
    pub(super) arn: String,
    /// `Enabled`, `Disabled`, `PendingDeletion`, …
    state: String,
    /// Its policy; none of a key that AWS manages, which whoever uses its service in the account may use through it.
    policy: Option<Result<Value, AwsError>>,
}

/// What keeps a key from being used.
#[derive(Debug)]
pub(super) enum Trouble<'a> {
    /// Nothing.
    None,
    /// Nobody can use it: its state, and the command that mends it.
    Unusable(&'a str, String),
    /// Its policy does not let this principal do so, and what of it does not: in words.
    NotAllowed(String),
    /// Its policy depends on what cannot be known here: the statement's name.
    Unclear(String),
    /// Its policy could not be read.
    Unseen(&'a AwsError),
}

impl Key {
    /// Looks a key up, by its id, ARN or alias.
    ///
    /// # Errors
    /// When KMS refuses or does not know it.
    pub(super) async fn find(api: &Api, id: &str) -> Result<Key, AwsError> {
        let answer = api.key(id).await?;
        let about = &answer["KeyMetadata"];
        let text = |name: &str| about[name].as_str().unwrap_or_default().to_owned();
        let arn = text("Arn");
        let policy = if text("KeyManager") == "AWS" {
            None
        } else {
            Some(api.key_policy(&arn).await)
        };
        Ok(Key {
            arn,
            state: text("KeyState"),
            policy,
        })
    }

    /// Whether AWS manages it, so that its policy cannot be changed.
    pub(super) fn is_of_aws(&self) -> bool {
        self.policy.is_none()
    }

    /// What keeps a principal from doing these things with it.
    pub(super) fn trouble(&self, principal: Principal<'_>, actions: &[&str]) -> Trouble<'_> {
        let arn = &self.arn;
        match self.state.as_str() {
            "Enabled" => {}
            "PendingDeletion" => {
                let mended = format!(
                    "aws kms cancel-key-deletion --key-id {arn} && aws kms enable-key --key-id {arn}"
                );
                return Trouble::Unusable(&self.state, mended);
            }
            state => {
                return Trouble::Unusable(state, format!("aws kms enable-key --key-id {arn}"));
            }
        }
        let policy = match &self.policy {
            None => return Trouble::None,
            Some(Err(error)) => return Trouble::Unseen(error),
            Some(Ok(policy)) => policy,
        };
        let mut unclear = None;
        for action in actions {
            match grant(policy, principal, action) {
                Grant::Allowed | Grant::ByAccount => {}
                Grant::Denied(sid) => {
                    return Trouble::NotAllowed(format!("{action} is denied by statement {sid}"));
                }
                Grant::Silent => {
                    return Trouble::NotAllowed(format!("nothing allows {action}"));
                }
                Grant::Unclear(sid) => unclear = unclear.or(Some(sid)),
            }
        }
        unclear.map_or(Trouble::None, Trouble::Unclear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ROLE: Principal<'_> = Principal::Role("arn:aws:iam::111122223333:role/restore");

    fn key(state: &str, statement: Value) -> Key {
        Key {
            arn: "arn:aws:kms:eu-central-1:111122223333:key/1".to_owned(),
            state: state.to_owned(),
            policy: Some(Ok(json!({ "Statement": statement }))),
        }
    }

    #[test]
    fn a_key_must_be_usable_and_its_policy_open() {
        let root = json!({
            "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::111122223333:root" }, "Action": "kms:*",
        });
        let good = key("Enabled", root.clone());
        assert!(matches!(
            good.trouble(ROLE, &["kms:Decrypt"]),
            Trouble::None
        ));
        let disabled = key("Disabled", root.clone());
        assert!(matches!(
            disabled.trouble(ROLE, &[]),
            Trouble::Unusable("Disabled", mended) if mended.contains("enable-key")
        ));
        let ending = key("PendingDeletion", root);
        assert!(matches!(
            ending.trouble(ROLE, &[]),
            Trouble::Unusable(_, mended) if mended.contains("cancel-key-deletion")
        ));
        let other =
            json!({ "Effect": "Allow", "Principal": { "AWS": "999999999999" }, "Action": "kms:*" });
        assert!(matches!(
            key("Enabled", other).trouble(ROLE, &["kms:Decrypt"]),
            Trouble::NotAllowed(why) if why.contains("kms:Decrypt")
        ));
    }

    /// A service is no principal of the account: that the account may use the key does not let it.
    #[test]
    fn an_account_does_not_speak_for_services() {
        let root = json!({
            "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::111122223333:root" }, "Action": "kms:*",
        });
        let service = Principal::Service {
            name: "cloudwatch.amazonaws.com",
            account: "111122223333",
            source: None,
        };
        assert!(matches!(
            key("Enabled", root).trouble(service, &["kms:Decrypt"]),
            Trouble::NotAllowed(_)
        ));
    }
}
