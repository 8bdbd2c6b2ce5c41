//! The explanation, for people and for programs.

use std::fmt::Write as _;

use restore_proof_core::policy::{Credentials, Limits, Rule};
use restore_proof_core::resource_type::{InstanceProfile, ResourceType};
use restore_proof_core::validation::vault_name;
use serde_json::{Value, json};

use super::super::words;
use super::point::Point;
use super::rules::{Answer, Asked, Condition};
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
    out += &rules(explanation);
    let Answer::Rule(_, rule) = &explanation.answer else {
        return out;
    };
    if let Some(reason) = &explanation.left_out {
        let _ = writeln!(
            out,
            "\n{YELLOW}Left out:{YELLOW:#} {}. Nothing is restored, and the record says `not_tested`.",
            printable(reason)
        );
        return out;
    }
    let Some(restore) = &explanation.restore else {
        let _ = writeln!(
            out,
            "\nThe restore depends on the type of the resource, which the event does not tell: give --resource-type {}.",
            ResourceType::names().join(" or ")
        );
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
    let account = point.account();
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
fn rules(explanation: &Explanation<'_>) -> String {
    let mut out = format!("\n{BOLD}Rules{BOLD:#}\n");
    for one in &explanation.asked {
        let (style, word) = match one.matches() {
            Some(true) => (GREEN, "matches"),
            Some(false) => (PLAIN, "does not match"),
            None => (YELLOW, "may match"),
        };
        let _ = writeln!(
            out,
            "  {}. {}: {}",
            one.index + 1,
            printable(&one.rule.name),
            paint(style, word)
        );
        if one.conditions.is_empty() {
            out += &table(5, &[vec![Cell(DIM, "it asks for nothing".to_owned())]]);
        }
        out += &table(5, &one.conditions.iter().map(row).collect::<Vec<_>>());
    }
    let rest = explanation.policy.rules.len() - explanation.asked.len();
    if rest > 0 {
        let words = match rest {
            1 => "  The rule below it is not asked.\n".to_owned(),
            _ => format!("  The {rest} rules below it are not asked.\n"),
        };
        out += &words;
    }
    out += "\n";
    out += &match &explanation.answer {
        Answer::Rule(index, rule) => format!(
            "{GREEN}Rule {} decides:{GREEN:#} {}, {}.\n",
            index + 1,
            printable(&rule.name),
            words::frequency(rule)
        ),
        Answer::NoRule => format!(
            "{YELLOW}No rule matches:{YELLOW:#} nothing is restored, and the record says `not_tested`.\n"
        ),
        Answer::Undecided(open) => format!(
            "{YELLOW}It cannot be told which rule decides:{YELLOW:#} it depends on {}.\n{}",
            printable(&open.join(", ")),
            options(open)
        ),
    };
    out
}

/// The options that would tell what is open.
fn options(open: &[String]) -> String {
    let mut options: Vec<&str> = Vec::new();
    for key in open {
        let option = match key.as_str() {
            "resource_type" => "--resource-type TYPE",
            "source_arn" | "account" => "--source-arn ARN",
            "vault" => "--vault NAME",
            _ => "--tag KEY=VALUE (or --no-tags)",
        };
        if !options.contains(&option) {
            options.push(option);
        }
    }
    format!(
        "The function looks it up. Here, give {}.\n",
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
    let key = match condition.key.strip_prefix("tags.") {
        Some(tag) => format!("tag {tag}"),
        None => condition.key.clone(),
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
        None => "none".to_owned(),
    }
}

/// For programs.
pub(super) fn document(explanation: &Explanation<'_>) -> anyhow::Result<Value> {
    let point = &explanation.point;
    let (outcome, rule) = match (&explanation.about, &explanation.answer) {
        (About::Nothing(_), _) => ("nothing", None),
        (About::FailedCopy(_), _) => ("copy_failed", None),
        (_, Answer::NoRule) => ("not_tested", None),
        (_, Answer::Undecided(_)) => ("undecided", None),
        (_, Answer::Rule(_, rule)) if explanation.left_out.is_some() => ("not_tested", Some(*rule)),
        (_, Answer::Rule(_, rule)) => match (&explanation.restore, &point.resource_type) {
            (Some(restore), _) if restore.plan.left_out.is_some() => ("not_tested", Some(*rule)),
            (Some(restore), _) if restore.plan.problem.is_some() => ("inconclusive", Some(*rule)),
            (Some(_), _) => ("restored", Some(*rule)),
            (None, Some(_)) => ("not_tested", Some(*rule)),
            (None, None) => ("undecided", Some(*rule)),
        },
    };
    let missing = match &explanation.answer {
        Answer::Undecided(open) => open.clone(),
        _ => Vec::new(),
    };
    let rules: Vec<_> = explanation.asked.iter().map(rule_document).collect();
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
            "account": point.account(),
            "size_bytes": point.size_bytes,
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
        "left_out": explanation.left_out,
        "rule": rule.map(serde_json::to_value).transpose()?,
        "restore": restore,
    }))
}

fn rule_document(asked: &Asked<'_>) -> Value {
    let conditions: Vec<_> = asked
        .conditions
        .iter()
        .map(|condition| {
            json!({
                "key": condition.key,
                "wanted": condition.wanted,
                "is": condition.is,
                "holds": condition.holds,
            })
        })
        .collect();
    json!({ "name": asked.rule.name, "matches": asked.matches(), "conditions": conditions })
}
