//! The explanation, for people and for programs.

use std::fmt::Write as _;

use restore_proof_core::admission::{Admission, Asked, Condition, Decision, Fact, Size};
use restore_proof_core::policy::{Credentials, Limits, Policy, Rule};
use restore_proof_core::resource_type::{InstanceProfile, ResourceType};
use restore_proof_core::validation::vault_name;
use serde_json::{Value, json};

use super::super::words;
use super::point::Point;
use super::{About, Explanation, Restore};
use crate::output::{
    BLUE, BOLD, Cell, DIM, GREEN, PLAIN, RED, YELLOW, cell, paint, printable, table,
};

/// What stands for a fact that nobody told.
const UNKNOWN: &str = "not told";

/// For people.
pub(super) fn text(explanation: &Explanation<'_>) -> String {
    let mut out = format!("{}\n", printable(explanation.about.text()));
    match &explanation.about {
        About::Nothing(_) => return out,
        About::FailedCopy(_) => {
            out += &point(&explanation.point, false);
            out += "\nNo rule is asked: nothing is restored, and the record says `copy_failed`.\n";
            return out;
        }
        About::RecoveryPoint(_) => out += &point(&explanation.point, true),
    }
    let Some(admission) = &explanation.admission else {
        return out;
    };
    out += &rules(explanation.policy, admission);
    if let Decision::NotTested(reason) = &admission.decision {
        let _ = writeln!(
            out,
            "\n{YELLOW}Left out:{YELLOW:#} {}. Nothing is restored, and the record says `not_tested`.",
            printable(&reason.to_string())
        );
    }
    let (Some(restore), Some(rule)) = (&explanation.restore, explanation.rule()) else {
        return out;
    };
    out += &restored(&explanation.point, rule, restore);
    out += &checks(rule, restore);
    out += &limits(&explanation.policy.limits);
    out
}

/// What it may have to wait for.
fn limits(limits: &Limits) -> String {
    let facts = words::limits(limits);
    if facts.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = facts
        .into_iter()
        .map(|(name, words)| vec![Cell(BLUE, name.to_owned()), cell(words)])
        .collect();
    format!("\n{BOLD}Limits{BOLD:#}\n{}", table(2, &rows))
}

/// What is known of the recovery point, and how to tell what is not when `open` questions are to be answered.
fn point(point: &Point, open: bool) -> String {
    let account = point.candidate(None).account();
    let tags = point.tags.as_ref().map(|tags| {
        let pairs: Vec<_> = tags
            .iter()
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        if pairs.is_empty() {
            "none".to_owned()
        } else {
            pairs.join(", ")
        }
    });
    let facts = [
        ("recovery point", &point.recovery_point_arn, ""),
        ("vault", &point.vault_name, "give --vault"),
        ("type", &point.resource_type, "give --resource-type"),
        ("source", &point.source_arn, "give --source-arn"),
        ("account", &account, "it stands in the source's ARN"),
        (
            "tags",
            &tags,
            "the function looks them up; give --tag KEY=VALUE or --no-tags",
        ),
    ];
    let rows: Vec<Vec<Cell>> = facts
        .into_iter()
        .filter(|(_, value, _)| open || value.is_some())
        .map(|(name, value, help)| {
            let value = match value {
                Some(value) => cell(value.clone()),
                None if help.is_empty() => Cell(YELLOW, UNKNOWN.to_owned()),
                None => Cell(YELLOW, format!("{UNKNOWN}: {help}")),
            };
            vec![Cell(BLUE, name.to_owned()), value]
        })
        .collect();
    let mut out = table(2, &rows);
    if let Some(arn) = point
        .vault_arn
        .as_deref()
        .and_then(|arn| arn.parse::<restore_proof_core::arn::Arn>().ok())
    {
        let _ = writeln!(
            out,
            "  Only the function of account {} in {} restores it; any other records it as `not_tested`.",
            printable(&arn.account),
            printable(&arn.region)
        );
    }
    out
}

/// Every rule that was asked, and what came of it.
fn rules(policy: &Policy, admission: &Admission<'_>) -> String {
    let mut out = String::new();
    if !admission.asked.is_empty() {
        out += &format!("\n{BOLD}Rules{BOLD:#}\n");
    }
    for one in &admission.asked {
        out += &asked(one);
    }
    let rest = policy.rules.len() - admission.asked.len();
    let words = match (admission.asked.len(), rest) {
        (_, 0) => String::new(),
        (0, _) => "\nNo rule is asked.\n".to_owned(),
        (_, 1) => "  The rule below it is not asked.\n".to_owned(),
        (_, _) => format!("  The {rest} rules below it are not asked.\n"),
    };
    out += &words;
    if let Some((index, rule)) = admission.rule {
        let _ = writeln!(
            out,
            "\n{GREEN}Rule {} decides:{GREEN:#} {}, {}.",
            index + 1,
            printable(&rule.name),
            words::frequency(rule)
        );
    }
    if let Decision::Undecided(open) = &admission.decision {
        let what = match admission.rule {
            Some(_) => "It cannot be told whether it is restored:",
            None => "It cannot be told which rule decides:",
        };
        let names: Vec<String> = open.iter().map(Fact::name).collect();
        let _ = writeln!(
            out,
            "\n{YELLOW}{what}{YELLOW:#} it depends on {}.\n{}",
            printable(&names.join(", ")),
            options(open)
        );
    }
    out
}

/// A rule, and how each of its conditions is met.
fn asked(one: &Asked<'_>) -> String {
    let (style, word) = match one.matches() {
        Some(true) => (GREEN, "matches"),
        Some(false) => (PLAIN, "does not match"),
        None => (YELLOW, "may match"),
    };
    let mut out = format!(
        "  {}. {}: {}\n",
        one.index + 1,
        printable(&one.rule.name),
        paint(style, word)
    );
    if one.conditions.is_empty() {
        out += &table(5, &[vec![Cell(DIM, "it asks for nothing".to_owned())]]);
    }
    out + &table(5, &one.conditions.iter().map(row).collect::<Vec<_>>())
}

/// The options that would tell what is open.
fn options(open: &[Fact]) -> String {
    let mut options: Vec<String> = Vec::new();
    for fact in open {
        let option = match fact {
            Fact::ResourceType => {
                format!(
                    "--resource-type TYPE, for example {}",
                    ResourceType::names().join(" or ")
                )
            }
            Fact::SourceArn | Fact::Account => "--source-arn ARN".to_owned(),
            Fact::Vault => "--vault NAME".to_owned(),
            Fact::Tag(_) => "--tag KEY=VALUE (or --no-tags)".to_owned(),
            Fact::Size => "--size SIZE".to_owned(),
            Fact::ValidationId => "--account ID of the stack".to_owned(),
            Fact::Arn => "an event that names the recovery point".to_owned(),
        };
        if !options.contains(&option) {
            options.push(option);
        }
    }
    format!(
        "The function looks it up. Here, give {}.",
        options.join(", ")
    )
}

/// A condition as a row of a table.
fn row(condition: &Condition) -> Vec<Cell> {
    let (style, mark) = match condition.holds {
        Some(true) => (GREEN, "✓"),
        Some(false) => (RED, "✗"),
        None => (YELLOW, "?"),
    };
    let key = match &condition.fact {
        Fact::Tag(tag) => format!("tag {tag}"),
        other => other.name(),
    };
    let words = match (&condition.is, condition.holds) {
        (Some(is), Some(true)) if *is == condition.wanted => is.clone(),
        (Some(is), Some(true)) => format!("{is} is like {}", condition.wanted),
        (Some(is), _) if condition.wanted.contains(['*', '?']) => {
            format!("{is} is not like {}", condition.wanted)
        }
        (Some(is), _) => format!("{is} is not {}", condition.wanted),
        (None, Some(_)) => format!("is not there; wanted: {}", condition.wanted),
        (None, None) => format!("{UNKNOWN}; wanted: {}", condition.wanted),
    };
    vec![Cell(style, mark.to_owned()), Cell(BLUE, key), cell(words)]
}

/// The restore request and where it leads.
fn restored(point: &Point, rule: &Rule, restore: &Restore) -> String {
    let mut out = format!(
        "\n{BOLD}Restore{BOLD:#}\n  {}\n\n",
        printable(&place(rule, restore))
    );
    let keys = &restore.plan.keys;
    let (sent, left): (Vec<_>, Vec<_>) = keys.iter().partition(|(_, key)| key.value.is_some());
    let mut rows = vec![
        ["sent to AWS Backup", "value", "because"]
            .map(heading)
            .into(),
    ];
    rows.extend(sent.into_iter().map(|(name, key)| {
        let value = key.value.clone().unwrap_or_default();
        vec![
            cell(name.clone()),
            cell(value),
            Cell(DIM, key.reason.to_owned()),
        ]
    }));
    out += &table(2, &rows);
    if !left.is_empty() {
        let mut rows = vec![["left out", "because"].map(heading).into()];
        rows.extend(
            left.into_iter()
                .map(|(name, key)| vec![cell(name.clone()), Cell(DIM, key.reason.to_owned())]),
        );
        out.push('\n');
        out += &table(2, &rows);
    }
    for why in restore.plan.left_out.iter().chain(&restore.plan.problem) {
        out.push('\n');
        let row = [Cell(YELLOW, "Not restored:".to_owned()), cell(why.clone())];
        out += &table(2, &[row.into()]);
    }
    for finding in &restore.plan.findings {
        out.push('\n');
        let row = [Cell(YELLOW, "To know:".to_owned()), cell(finding.clone())];
        out += &table(2, &[row.into()]);
    }
    for note in notes(point, restore) {
        out.push('\n');
        out += &table(
            2,
            &[vec![Cell(YELLOW, "Not all:".to_owned()), cell(note.words)]],
        );
        if let Some(command) = note.command {
            // On a line of its own, whole: to be copied.
            let _ = writeln!(out, "    {}", printable(&command));
        }
    }
    out
}

fn heading(text: &str) -> Cell {
    Cell(BLUE, text.to_owned())
}

/// Where it would be restored, as a sentence.
fn place(rule: &Rule, restore: &Restore) -> String {
    match restore.resource_type {
        ResourceType::Rds => format!(
            "A new DB instance {}, in the DB subnet group {}, not public.",
            restore.target_name, restore.db_subnet_group
        ),
        ResourceType::Aurora => format!(
            "A new cluster {} in the DB subnet group {}, with a writer of class {}, not public.",
            restore.target_name, restore.db_subnet_group, rule.types.aurora.instance_class
        ),
        ResourceType::Ec2 => {
            let profile = match rule.types.ec2.instance_profile {
                InstanceProfile::None => "without an instance profile",
                InstanceProfile::Original => "with the backup's instance profile",
            };
            format!(
                "A new EC2 instance in the subnet {}, {profile}.",
                restore.subnet
            )
        }
    }
}

/// Something that is missing to tell the whole request.
struct Note {
    words: &'static str,
    /// What to run for it.
    command: Option<String>,
}

fn notes(point: &Point, restore: &Restore) -> Vec<Note> {
    let mut notes = Vec::new();
    if !restore.metadata_given {
        let vault = point.vault_name.as_deref().unwrap_or("VAULT");
        let arn = point.recovery_point_arn.as_deref().unwrap_or("ARN");
        notes.push(Note {
            words: "keys of the backup itself are missing, for no event holds them. Add --metadata metadata.json, made by:",
            command: Some(format!(
                "aws backup get-recovery-point-restore-metadata --backup-vault-name {vault} --recovery-point-arn {arn} > metadata.json"
            )),
        });
    }
    if restore.asks_for_type {
        notes.push(Note {
            words: "the function asks EC2 whether the instance type fits the architecture and boot mode of the image, which is not known here",
            command: None,
        });
    }
    if restore.devices_unknown {
        notes.push(Note {
            words: "the function looks up the devices of the image, so that every volume is encrypted and deleted. Add --device /dev/xvda",
            command: None,
        });
    }
    notes
}

/// Login, checks, objectives and what follows.
fn checks(rule: &Rule, restore: &Restore) -> String {
    let mut out = format!("\n{BOLD}Checks{BOLD:#}\n");
    if rule.checks.is_empty() {
        let _ = writeln!(
            out,
            "  {YELLOW}None:{YELLOW:#} the verdict is `unchecked`, never `passed`."
        );
    }
    let mut rows = Vec::new();
    for check in &rule.checks {
        let mut name = Cell(PLAIN, check.name.clone());
        let mut kind = Cell(BLUE, check.kind.name().to_owned());
        for line in words::details(check) {
            rows.push(vec![name, kind, cell(line)]);
            (name, kind) = (cell(""), cell(""));
        }
    }
    out += &table(2, &rows);
    let mut rows = Vec::new();
    let mut fact = |name: &str, words: String| {
        rows.push(vec![Cell(BLUE, name.to_owned()), cell(words)]);
    };
    if rule.checks.iter().any(|check| check.logs_in()) {
        fact("login", login(rule));
    }
    if let Some(boot) = rule.types.boot_timeout(restore.resource_type) {
        let boot = crate::output::readable(boot);
        fact(
            "may boot for",
            format!("{boot}; until then checks are tried again"),
        );
    }
    let objectives = words::objectives(rule);
    fact(
        "objectives",
        objectives.unwrap_or_else(|| "none".to_owned()),
    );
    let kept = rule.keep_failed_for.map(crate::output::readable);
    let kept = kept.map_or_else(String::new, |kept| {
        format!(", {kept} later if its data is wrong")
    });
    fact("afterwards", format!("it is deleted{kept}"));
    out.push('\n');
    out + &table(2, &rows)
}

/// How checks log in.
fn login(rule: &Rule) -> String {
    match &rule.credentials {
        Some(Credentials::Secret(secret)) => {
            format!("secret {secret} of Secrets Manager, in the function's account and Region")
        }
        Some(Credentials::Reset) => {
            "the master user, under a new password that is set on the restored copy".to_owned()
        }
        Some(Credentials::Iam(Some(user))) => format!(
            "database user {user}, by a token of IAM; the stack's parameter IamDatabaseUsers must name it"
        ),
        Some(Credentials::Iam(None)) => {
            "the one database user of the stack's parameter IamDatabaseUsers, by a token of IAM"
                .to_owned()
        }
        None => "none".to_owned(),
    }
}

/// For programs.
pub(super) fn document(explanation: &Explanation<'_>) -> anyhow::Result<Value> {
    let point = &explanation.point;
    let admission = explanation.admission.as_ref();
    let outcome = match (&explanation.about, admission.map(|one| &one.decision)) {
        (About::Nothing(_), _) | (About::RecoveryPoint(_), None) => "nothing",
        (About::FailedCopy(_), _) => "copy_failed",
        (_, Some(Decision::NotTested(_))) => "not_tested",
        (_, Some(Decision::Undecided(_))) => "undecided",
        (_, Some(Decision::Restored(_))) => {
            let plan = explanation.restore.as_ref().map(|restore| &restore.plan);
            match plan.map(|plan| (&plan.left_out, &plan.problem)) {
                Some((Some(_), _)) => "not_tested",
                Some((None, Some(_))) => "inconclusive",
                Some((None, None)) | None => "restored",
            }
        }
    };
    let missing: Vec<String> = match admission.map(|one| &one.decision) {
        Some(Decision::Undecided(open)) => open.iter().map(Fact::name).collect(),
        Some(Decision::Restored(_) | Decision::NotTested(_)) | None => Vec::new(),
    };
    let asked = admission.map_or(&[][..], |one| &one.asked);
    let rules: Vec<_> = asked.iter().map(rule_document).collect();
    let size = match point.size {
        Size::Bytes(bytes) => Some(bytes),
        Size::NotTold | Size::Unknown => None,
    };
    let restore = explanation.restore.as_ref().map(|restore| {
        let keys: Vec<_> = restore
            .plan
            .keys
            .iter()
            .map(|(name, key)| json!({ "key": name, "value": key.value, "reason": key.reason }))
            .collect();
        json!({
            "resource_type": restore.resource_type.name(),
            "target_name": restore.target_name,
            "keys": keys,
            "problem": restore.plan.problem,
            "left_out": restore.plan.left_out,
            "findings": restore.plan.findings,
            "missing": notes(point, restore).iter().map(|note| note.words).collect::<Vec<_>>(),
        })
    });
    Ok(json!({
        "event": explanation.about.text(),
        "recovery_point": {
            "arn": point.recovery_point_arn,
            "vault_arn": point.vault_arn,
            "vault": point.vault_name.clone().or(point.vault_arn.as_deref().map(vault_name)),
            "resource_type": point.resource_type,
            "source_arn": point.source_arn,
            "account": point.candidate(None).account(),
            "size_bytes": size,
            "tags": point.tags,
        },
        "policy": {
            "version": explanation.policy.version,
            "sha256": explanation.policy.fingerprint,
            "limits": explanation.policy.limits,
        },
        "rules": rules,
        "outcome": outcome,
        "missing": missing,
        "left_out": explanation.left_out().map(ToString::to_string),
        "rule": explanation.rule().map(serde_json::to_value).transpose()?,
        "restore": restore,
    }))
}

fn rule_document(asked: &Asked<'_>) -> Value {
    let conditions: Vec<_> = asked
        .conditions
        .iter()
        .map(|condition| {
            json!({
                "key": condition.fact.name(),
                "wanted": condition.wanted,
                "is": condition.is,
                "holds": condition.holds,
            })
        })
        .collect();
    json!({ "name": asked.rule.name, "matches": asked.matches(), "conditions": conditions })
}
