//! The runbook of a resource: how its last proven restore is done by hand. Here is what it is made of, a record read back, and
//! where it lies; its form is `restore_proof_report::runbook`.

use jiff::civil::Date;
use serde::Deserialize;

use crate::arn::Arn;
use crate::record::record_key;
use crate::report::Moment;
use crate::resource_type::{RequestedKey, ResourceType};
use crate::validation::hash_of;
use crate::verdict::Verdict;

/// The folder of the results bucket that runbooks lie in.
pub const FOLDER: &str = "runbooks/";

/// The columns of a record that a runbook is made of. Columns of later versions may be missing, and others are ignored.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ProvedRecord {
    /// The validation.
    pub validation_id: String,
    /// Which attempt at it.
    #[serde(default)]
    pub attempt: u32,
    /// Its verdict.
    verdict: Verdict,
    /// How the backup was proved.
    proof: Option<String>,
    /// What was restored.
    pub recovery_point_arn: String,
    /// When the data was backed up.
    pub recovery_point_created: Option<Moment>,
    /// The vault it lies in.
    #[serde(default)]
    pub backup_vault_name: String,
    /// AWS Backup's name of the type.
    resource_type: Option<String>,
    /// The backed-up resource.
    pub source_resource_arn: Option<String>,
    /// Class or type of the source.
    pub source_class: Option<String>,
    /// When the validation was opened: its record lies under that day.
    pub opened_time: Moment,
    /// Account that it was restored in.
    pub restore_account: Option<String>,
    /// Region that it was restored in.
    pub restore_region: Option<String>,
    /// Class or type that it was restored on.
    pub restored_class: Option<String>,
    /// Size of the recovery point, bytes.
    pub backup_size_bytes: Option<u64>,
    /// How long the restore job took, minutes.
    pub restore_duration: Option<f64>,
    /// How long it took to be ready after it, minutes.
    pub preparation_duration: Option<f64>,
    /// How long the checks took up to the first that passed, minutes.
    pub first_check_duration: Option<f64>,
    /// All three, minutes.
    pub recovery_time: Option<f64>,
    /// The rule's target, minutes.
    pub recovery_time_target: Option<f64>,
    /// The keys of the request; none in records of versions that did not write them.
    pub restore_request: Option<Vec<RequestedKey>>,
    /// The checks that passed.
    #[serde(default)]
    pub checks: Vec<ProvedCheck>,
    /// What was noticed besides.
    #[serde(default)]
    pub findings: Vec<String>,
    /// Rule of the policy.
    pub policy_rule: Option<String>,
    /// When it was proved.
    pub verdict_time: Option<Moment>,
}

/// A check of a restore that was proved.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ProvedCheck {
    /// Its name in the policy.
    pub name: String,
    /// Its kind.
    #[serde(default)]
    pub kind: String,
    /// What was expected, in words.
    #[serde(default)]
    pub expectation: String,
    /// How long it took, minutes.
    pub duration: Option<f64>,
}

/// Why there is no runbook of a record, as the end of a sentence about it.
#[derive(Debug, thiserror::Error)]
pub enum NoRunbook {
    /// It cannot be read.
    #[error("is no record: {0}")]
    Unreadable(serde_json::Error),
    /// It is about no restore that passed.
    #[error("is of no restore that passed: its verdict is {0}")]
    NotProved(&'static str),
    /// It is about a type that this version does not know.
    #[error("is about the type {0:?}, which this version does not know")]
    UnknownType(String),
}

impl ProvedRecord {
    /// Reads a record back.
    ///
    /// # Errors
    /// Why there is no runbook of it.
    pub fn read(record: &[u8]) -> Result<ProvedRecord, NoRunbook> {
        let read: ProvedRecord = serde_json::from_slice(record).map_err(NoRunbook::Unreadable)?;
        if read.verdict != Verdict::Passed || read.proof.as_deref() != Some("restored") {
            return Err(NoRunbook::NotProved(read.verdict.as_str()));
        }
        match read.resource_type() {
            Some(_) => Ok(read),
            None => Err(NoRunbook::UnknownType(
                read.resource_type.unwrap_or_default(),
            )),
        }
    }

    /// The type. None for one that this version does not know.
    pub fn resource_type(&self) -> Option<ResourceType> {
        ResourceType::from_name(self.resource_type.as_deref()?)
    }

    /// The resource, or its recovery point where the record names none.
    pub fn about(&self) -> &str {
        let source = self.source_resource_arn.as_deref();
        source.unwrap_or(&self.recovery_point_arn)
    }

    /// The key of the record in the results bucket.
    pub fn record_key(&self) -> String {
        record_key(self.opened_time.day(), &self.validation_id)
    }

    /// What tells of two proofs of a resource which is the newer: when the data was backed up, then when it was proved.
    pub fn rank(&self) -> (Option<Moment>, Option<Moment>, &str) {
        (
            self.recovery_point_created,
            self.verdict_time,
            &self.validation_id,
        )
    }
}

/// The file name of a resource's runbook: always the same.
pub fn file_name(resource_arn: &str) -> String {
    let name = resource_arn.parse().map_or_else(
        |_| "resource".to_owned(),
        |arn: Arn| arn.name().to_ascii_lowercase(),
    );
    let readable: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(60)
        .collect();
    format!("{readable}-{}.md", hash_of([resource_arn].into_iter(), 5))
}

/// The key of a resource's runbook in the results bucket.
pub fn key(resource_arn: &str) -> String {
    format!("{FOLDER}{}", file_name(resource_arn))
}

/// The command that makes a resource's runbook: of the stack whose function is called so, from a record of this day (UTC) or a
/// later one. Without them it asks the stack with the default name, and looks back as far as it does by itself.
pub fn command(function: Option<&str>, since: Option<Date>, resource_arn: &str) -> String {
    let function = function.map_or_else(String::new, |name| format!("--function {} ", shell(name)));
    let since = since.map_or_else(String::new, |day| format!("--since {day} "));
    format!(
        "restore-proof runbook {function}{since}{}",
        shell(resource_arn)
    )
}

/// The command that makes the runbooks of all resources, of the stack whose function is called so.
pub fn command_for_all(function: &str) -> String {
    format!(
        "restore-proof runbook --function {} --output FOLDER",
        shell(function)
    )
}

/// A word as a POSIX shell reads it: one word, whatever is in it.
pub fn shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/=,+@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let one_line = word.replace(|c: char| c.is_control(), " ");
    format!("'{}'", one_line.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_has_one_runbook() {
        let name = file_name("arn:aws:rds:eu-central-1:111122223333:db:Orders.prod");
        assert!(
            name.starts_with("orders-prod-") && name.ends_with(".md"),
            "{name}"
        );
        assert_eq!(name.len(), "orders-prod-".len() + 10 + 3, "{name}");
        assert_ne!(
            name,
            file_name("arn:aws:rds:eu-west-1:111122223333:db:Orders.prod")
        );
        let odd = file_name("../../records/dt=2026-11-28/x");
        assert!(
            !odd.contains(['/', '.']) || odd.matches('.').count() == 1,
            "{odd}"
        );
        assert!(key("x").starts_with("runbooks/"));
    }

    #[test]
    fn what_comes_from_outside_is_one_word_of_the_shell() {
        assert_eq!(
            shell("arn:aws:rds:x:1:db:orders"),
            "arn:aws:rds:x:1:db:orders"
        );
        assert_eq!(shell("a b"), "'a b'");
        assert_eq!(shell("$(rm -rf ~)"), "'$(rm -rf ~)'");
        assert_eq!(shell("it's\n; rm"), "'it'\\''s ; rm'");
        assert_eq!(shell(""), "''");
        let arn = "arn:aws:rds:x:1:db:orders";
        let day = crate::record::day_of_key(&record_key(jiff::civil::date(2026, 3, 9), "v"));
        for (told, wanted) in [
            (command(None, None, arn), ""),
            (
                command(Some("rp"), day, arn),
                "--function rp --since 2026-03-09 ",
            ),
            (command(None, day, arn), "--since 2026-03-09 "),
        ] {
            assert_eq!(told, format!("restore-proof runbook {wanted}{arn}"));
        }
        assert_eq!(
            command_for_all("rp two"),
            "restore-proof runbook --function 'rp two' --output FOLDER"
        );
        assert_eq!(crate::record::day_of_key("runbooks/orders.md"), None);
    }

    #[test]
    fn only_a_restore_that_passed_has_a_runbook() {
        let read = |verdict: &str, proof: &str, kind: &str| {
            let record = serde_json::json!({
                "validation_id": "v", "verdict": verdict, "proof": proof, "recovery_point_arn": "arn", "resource_type": kind,
                "opened_time": "2026-11-28 01:02:03.000",
            });
            ProvedRecord::read(record.to_string().as_bytes())
        };
        let old = read("passed", "restored", "RDS").expect("a record of an older version");
        assert_eq!(old.restore_request, None);
        assert_eq!(old.record_key(), "records/dt=2026-11-28/v.json");
        for (verdict, proof, kind, why) in [
            ("failed", "restored", "RDS", "its verdict is failed"),
            ("passed", "read", "RDS", "no restore that passed"),
            ("passed", "restored", "Toaster", "the type \"Toaster\""),
        ] {
            let told = read(verdict, proof, kind)
                .expect_err("no runbook")
                .to_string();
            assert!(told.contains(why), "{told}");
        }
        let told = ProvedRecord::read(b"{").expect_err("no record").to_string();
        assert!(told.starts_with("is no record: "), "{told}");
    }
}
