//! A runbook as Markdown: how the last proven restore of a resource is done by hand, rendered from its record.

use std::collections::BTreeSet;

use restore_proof_core::report::Moment;
use restore_proof_core::resource_type::{Afterwards, RequestedKey, ResourceType};
use restore_proof_core::runbook::{ProvedRecord, shell};

use crate::markdown::escaped;
use crate::outline::span;

/// In place of the role that a recovery runs under.
const ROLE: &str = "ARN of a restore role of yours";

/// The permissions for the commands of every runbook, beside those of its type.
const RIGHTS: [&str; 4] = [
    "backup:DescribeRecoveryPoint",
    "backup:StartRestoreJob",
    "backup:DescribeRestoreJob",
    "iam:PassRole",
];
/// The permission for the command of a record that does not hold the request.
const RIGHT_TO_METADATA: &str = "backup:GetRecoveryPointRestoreMetadata";

/// The runbook of a restore that passed.
pub(super) fn shown(record: &ProvedRecord) -> String {
    // A record of a type that is not known is not read.
    let Some(resource_type) = record.resource_type() else {
        return String::new();
    };
    let mut out = head(record, resource_type);
    out += &before(record, resource_type);
    out += &restore(record, resource_type);
    out += &afterwards(resource_type);
    out += &checks(record);
    out += &keys(record);
    out += &phases(record);
    out += &not_restored(record, resource_type);
    out
}

fn head(record: &ProvedRecord, resource_type: ResourceType) -> String {
    let noun = resource_type.facts().noun;
    let moment = |at: Option<Moment>| at.map_or("not known".to_owned(), |at| format!("{at} UTC"));
    let maybe = |text: &Option<String>| text.clone().unwrap_or("not known".to_owned());
    let mut out = format!(
        "# Runbook: restore {}\n\n\
         This restore was done and checked by Restore Proof on {}. Everything here comes from its record; nothing was made up \
         for it. It restores the {noun} beside what is there, and changes nothing else.\n\n",
        escaped(record.about()),
        moment(record.verdict_time),
    );
    let facts = [
        ("resource", maybe(&record.source_resource_arn)),
        ("recovery point", record.recovery_point_arn.clone()),
        ("vault", record.backup_vault_name.clone()),
        ("backed up", moment(record.recovery_point_created)),
        ("proved", moment(record.verdict_time)),
        (
            "proved by",
            format!(
                "validation {}, attempt {}",
                record.validation_id, record.attempt
            ),
        ),
        ("record", record.record_key()),
        ("policy rule", maybe(&record.policy_rule)),
        ("account", maybe(&record.restore_account)),
        ("Region", maybe(&record.restore_region)),
        ("class of the source", maybe(&record.source_class)),
        ("class that was proved", maybe(&record.restored_class)),
        (
            "size of the backup",
            record
                .backup_size_bytes
                .map_or("not known".to_owned(), |bytes| format!("{bytes} bytes")),
        ),
    ];
    out += &table(
        &["", ""],
        facts.map(|(name, value)| vec![name.to_owned(), value]),
    );
    out
}

fn before(record: &ProvedRecord, resource_type: ResourceType) -> String {
    let account = record.restore_account.as_deref().unwrap_or("of the vault");
    let request = record.restore_request.as_deref().unwrap_or_default();
    let asked = request.iter().filter_map(|key| key.recovery.as_deref());
    let mut asked: BTreeSet<&str> = asked.flat_map(placeholders).collect();
    asked.insert(ROLE);
    let (needed, others) = rights(record, resource_type);
    let mut out = format!(
        "\n## Before you begin\n\n\
         - Use credentials of the account {}, with {}; `iam:PassRole` is for the restore role.\n\
         - What you take of *As you need it* wants besides: {}.\n\
         - Take a restore role of yours, with the managed policy `AWSBackupServiceRolePolicyForRestores`. The role of Restore Proof \
         restores into its isolated network alone.\n\
         - The recovery point must still be there: `aws backup describe-recovery-point --backup-vault-name {} --recovery-point-arn {}`.\n\
         - Replace every placeholder in angle brackets, here and below:\n",
        escaped(account),
        listed(&needed),
        listed(&others),
        code(&shell(&record.backup_vault_name)),
        code(&shell(&record.recovery_point_arn)),
    );
    for placeholder in asked {
        out += &format!("  - `<{}>`\n", code(placeholder));
    }
    out
}

/// The permissions that the recovery takes, and what is for who needs it besides.
fn rights(
    record: &ProvedRecord,
    resource_type: ResourceType,
) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut needed = RIGHTS.to_vec();
    if record.restore_request.is_none() {
        needed.push(RIGHT_TO_METADATA);
    }
    let all = resource_type.facts().recovery.afterwards;
    let of = |is_needed: bool| {
        let all = all.iter().filter(move |one| one.is_needed == is_needed);
        all.flat_map(|one| one.rights)
    };
    for right in of(true) {
        if !needed.contains(right) {
            needed.push(right);
        }
    }
    let others: BTreeSet<&str> = of(false)
        .copied()
        .filter(|right| !needed.contains(right))
        .collect();
    (needed, others.into_iter().collect())
}

/// The permissions, one after the other.
fn listed(rights: &[&str]) -> String {
    let each = rights.iter().map(|right| format!("`{right}`"));
    each.collect::<Vec<_>>().join(", ")
}

fn restore(record: &ProvedRecord, resource_type: ResourceType) -> String {
    let mut out = "\n## Restore\n\n".to_owned();
    let region = record.restore_region.as_deref().unwrap_or("<Region>");
    let (region, point) = (shell(region), shell(&record.recovery_point_arn));
    let mut script = format!("export AWS_REGION={region} AWS_DEFAULT_REGION={region}\n");
    match &record.restore_request {
        Some(request) => {
            script += &format!("cat > restore.json <<'END'\n{}\nEND\n", metadata(request));
        }
        None => {
            out += "The record does not say with which keys this restore was proved: an older version of Restore Proof wrote it. \
                    The first command gets those that AWS Backup keeps of the backup. They cannot be sent back as they are: keep those \
                    that AWS Backup documents for the type, and give it a name, a network and groups of yours.\n\n";
            script += &format!(
                "aws backup get-recovery-point-restore-metadata --backup-vault-name {} \\\n    \
                 --recovery-point-arn {point} --query RestoreMetadata > restore.json\n",
                shell(&record.backup_vault_name)
            );
        }
    }
    script += &format!(
        "JOB=$(aws backup start-restore-job --resource-type {} \\\n    \
         --recovery-point-arn {point} \\\n    \
         --iam-role-arn '<{ROLE}>' \\\n    \
         --metadata file://restore.json --query RestoreJobId --output text)\n\
         while STATUS=$(aws backup describe-restore-job --restore-job-id \"$JOB\" --query Status --output text); do\n    \
             echo \"$STATUS\"\n    \
             case \"$STATUS\" in COMPLETED | FAILED | ABORTED) break ;; esac\n    \
             sleep 15\n\
         done\n\
         aws backup describe-restore-job --restore-job-id \"$JOB\" --query '[Status, StatusMessage, CreatedResourceArn]' --output text\n\
         CREATED=$(aws backup describe-restore-job --restore-job-id \"$JOB\" --query CreatedResourceArn --output text)\n\
         CREATED=${{CREATED##*[:/]}}\n",
        shell(resource_type.name()),
    );
    out += &block(&script);
    out
}

/// The metadata of a recovery, as the AWS CLI takes it.
fn metadata(request: &[RequestedKey]) -> String {
    let keys = request.iter().filter_map(|key| {
        let value = key.recovery.as_deref()?;
        Some(format!("  {}: {}", json(&key.key), json(value)))
    });
    format!("{{\n{}\n}}", keys.collect::<Vec<_>>().join(",\n"))
}

/// A text as JSON has it.
fn json(text: &str) -> String {
    let mut out = "\"".to_owned();
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            control if control.is_control() => {
                out += &format!("\\u{:04x}", u32::from(control));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

fn afterwards(resource_type: ResourceType) -> String {
    let all = resource_type.facts().recovery.afterwards;
    let mut out = "\n## After it\n\n### Always\n".to_owned();
    let of =
        |one: &Afterwards| format!("\n{}\n\n{}", one.what, block(&format!("{}\n", one.command)));
    out.extend(all.iter().filter(|one| one.is_needed).map(of));
    out += "\n### As you need it\n";
    out.extend(all.iter().filter(|one| !one.is_needed).map(of));
    out
}

fn checks(record: &ProvedRecord) -> String {
    let mut out = "\n## Which checks to run\n\n\
         These passed on the restored copy. `restore-proof check --help` says how the same rule's checks are run against what you \
         restored.\n\n"
        .to_owned();
    let rows = record.checks.iter().map(|check| {
        vec![
            check.name.clone(),
            check.kind.clone(),
            check.expectation.clone(),
            check.duration.map_or("not known".to_owned(), span),
        ]
    });
    out += &table(&["check", "kind", "expected", "took"], rows);
    out
}

fn keys(record: &ProvedRecord) -> String {
    let mut out = "\n## What was proved, and what to use\n\n".to_owned();
    let Some(request) = &record.restore_request else {
        return out + "The record does not say: an older version of Restore Proof wrote it.\n";
    };
    let role = [
        "role of the restore job".to_owned(),
        "the restore role of Restore Proof".to_owned(),
        format!("<{ROLE}>"),
        "ours restores into the isolated network alone".to_owned(),
    ];
    let of = |key: &RequestedKey| {
        let value = |value: &Option<String>| value.clone().unwrap_or("left out".to_owned());
        vec![
            key.key.clone(),
            value(&key.proved_with),
            value(&key.recovery),
            key.why.clone(),
        ]
    };
    let rows = request.iter().map(of);
    out += &table(
        &["key", "proved with", "use for recovery", "why"],
        [role.to_vec()].into_iter().chain(rows),
    );
    out
}

fn phases(record: &ProvedRecord) -> String {
    let took = |minutes: Option<f64>| minutes.map_or("not measured".to_owned(), span);
    let rows = [
        ("restore job", took(record.restore_duration)),
        (
            "preparation: until it could be checked",
            took(record.preparation_duration),
        ),
        ("first check that passed", took(record.first_check_duration)),
        ("recovery time: all three", took(record.recovery_time)),
        (
            "target of the recovery time",
            record
                .recovery_time_target
                .map_or("not set".to_owned(), span),
        ),
    ];
    let mut out = "\n## How long it took\n\n".to_owned();
    out += &table(
        &["phase", "took"],
        rows.map(|(phase, took)| vec![phase.to_owned(), took]),
    );
    if let (Some(restored), Some(source)) = (&record.restored_class, &record.source_class)
        && restored != source
    {
        out += &format!(
            "\nIt was proved on the class {}, and the source had {}: the same on that class takes another time.\n",
            escaped(restored),
            escaped(source)
        );
    }
    out
}

fn not_restored(record: &ProvedRecord, resource_type: ResourceType) -> String {
    let mut out = "\n## What the restore does not bring back\n\n".to_owned();
    for (what, to_do) in resource_type.facts().recovery.not_restored {
        out += &format!("- **{what}.** {to_do}\n");
    }
    if !record.findings.is_empty() {
        out += "\n## What was noticed when it was proved\n\n";
        for finding in &record.findings {
            out += &format!("- {}\n", escaped(finding));
        }
    }
    out
}

fn table(titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut out = line(titles.iter().map(|title| (*title).to_owned()).collect());
    out += &format!("|{}\n", "---|".repeat(titles.len()));
    for row in rows {
        out += &line(row.iter().map(|cell| escaped(cell)).collect());
    }
    out
}

/// Commands to be pasted. No line of theirs can end the block: what comes from a record never begins a line.
fn block(script: &str) -> String {
    format!("```sh\n{script}```\n")
}

/// A text within backticks.
fn code(text: &str) -> String {
    text.replace(|c: char| c.is_control() || c == '`', " ")
}

/// The placeholders in a value, without their brackets.
fn placeholders(value: &str) -> impl Iterator<Item = &str> {
    let after = value.split('<').skip(1);
    after.filter_map(|rest| Some(rest.split_once('>')?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command of a text as the permission that IAM wants for it.
    fn rights_of(text: &str) -> Vec<String> {
        let all = text.split("aws ").skip(1).map(|rest| {
            let mut words = rest.split([' ', '`', '\n']);
            let mut word = || words.next().unwrap_or_default();
            let (service, command) = (word(), word());
            match (service, command) {
                (service, "wait") => {
                    let waits = match word() {
                        "db-instance-available" => "DescribeDBInstances",
                        "db-cluster-available" => "DescribeDBClusters",
                        "instance-running" => "DescribeInstances",
                        other => panic!("what does the waiter {other} ask?"),
                    };
                    format!("{service}:{waits}")
                }
                (service, command) => {
                    let prefix = match service {
                        "elbv2" => "elasticloadbalancing",
                        service => service,
                    };
                    let words = command.split('-').map(|word| match word {
                        "db" => "DB".to_owned(),
                        word => word[..1].to_uppercase() + &word[1..],
                    });
                    format!("{prefix}:{}", words.collect::<String>())
                }
            }
        });
        all.collect()
    }

    /// Nobody is to find out in the middle of a recovery that they may not go on.
    #[test]
    fn each_command_has_its_right_in_the_list() {
        for resource_type in ResourceType::ALL {
            for request in [serde_json::Value::Null, serde_json::json!([])] {
                let record = serde_json::json!({
                    "validation_id": "v", "verdict": "passed", "proof": "restored", "recovery_point_arn": "arn",
                    "resource_type": resource_type.name(), "opened_time": "2026-11-28 01:02:03.000",
                    "restore_request": request,
                });
                let record = ProvedRecord::read(record.to_string().as_bytes()).expect("a record");
                let page = shown(&record);
                let begins = |words: &str| {
                    let line = page.lines().find(|line| line.starts_with(words));
                    line.expect("a line of permissions")
                };
                let needed = begins("- Use credentials");
                let others = begins("- What you take of *As you need it*");
                let (recovery, rest) = page.split_once("### As you need it").expect("both");
                let commands = rights_of(recovery);
                assert!(commands.len() >= 6, "{commands:?}");
                for right in commands {
                    assert!(needed.contains(&format!("`{right}`")), "{right}: {needed}");
                }
                let commands = rights_of(rest);
                assert!(commands.len() >= 3, "{commands:?}");
                for right in commands {
                    let right = format!("`{right}`");
                    let is_told = needed.contains(&right) != others.contains(&right);
                    assert!(is_told, "{right}: {needed} {others}");
                }
                assert_eq!(needed.contains(RIGHT_TO_METADATA), request.is_null());
            }
        }
    }
}
