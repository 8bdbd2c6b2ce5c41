//! Whether the function hears of recovery points: what landed in the vaults has a validation, and the rules that tell of it
//! are enabled.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use restore_proof_core::validation::validation_id;
use restore_proof_function::aws::AwsError;
use restore_proof_function::backup::{is_refused_by_vault, recovery_points_since};
use restore_proof_function::failure::Failure;
use restore_proof_function::sweep::landed_at;
use serde_json::Value;

use super::Findings;
use super::grants::list;
use super::stack::Stack;

/// How far back the vaults are looked through.
const LOOKED_BACK: SignedDuration = SignedDuration::from_hours(3 * 24);
/// Until then the hourly sweep opens the validation of what no event told of, and one sweep may fail.
const SWEPT: SignedDuration = SignedDuration::from_hours(2);
/// The most recovery points that are named.
const MOST_NAMED: usize = 3;

pub(super) async fn examine(stack: &Stack, findings: &mut Findings) {
    examine_landed(stack, findings).await;
    examine_rules(stack, findings).await;
}

async fn examine_landed(stack: &Stack, findings: &mut Findings) {
    let examined = "landed";
    let config = &stack.config;
    let ledger = restore_proof_function::ledger::Ledger::new(
        stack.aws.dynamodb.clone(),
        &config.ledger_table,
    );
    let installed = match ledger.installed().await {
        Ok(Some(at)) => at,
        Ok(None) => {
            findings.unseen(
                examined,
                "whether what lands is validated: no sweep has looked through the vaults yet",
                "ask again an hour after the deployment; then look at the schedules of the function",
            );
            return;
        }
        Err(failure) => {
            of_ledger(findings, config, &failure);
            return;
        }
    };
    let since = stack.now - LOOKED_BACK;
    let (mut landed, mut is_all) = (BTreeMap::new(), true);
    for vault in config.watched_vaults() {
        match recovery_points_since(&stack.aws, vault, since).await {
            Ok(points) => {
                for point in points {
                    let at = landed_at(&point);
                    if at.is_some_and(|at| at >= installed && at <= stack.now - SWEPT) {
                        let arn = config.vault_arn(vault);
                        let id = validation_id(&config.name_prefix, &arn, &point.arn, None);
                        landed.insert(id, point.arn);
                    }
                }
            }
            Err(error) => {
                is_all = false;
                let what = format!("what landed in vault {vault}");
                if is_refused_by_vault(&error) {
                    let words = format!("{what}: it does not exist, or its access policy refuses");
                    findings.unseen(examined, words, "see the area vaults");
                } else {
                    findings.refused(examined, &what, &error);
                }
            }
        }
    }
    match ledger.outcomes(landed.keys().cloned().collect()).await {
        Ok(known) => {
            landed.retain(|id, _| !known.contains_key(id));
            let unknown: Vec<&str> = landed.values().map(String::as_str).collect();
            // Of what is seen in part nothing good is said.
            if is_all || !unknown.is_empty() {
                judge_landed(findings, known.len(), &unknown, &config.name_prefix);
            }
        }
        Err(failure) => of_ledger(findings, config, &failure),
    }
}

fn of_ledger(
    findings: &mut Findings,
    config: &restore_proof_function::config::Config,
    failure: &Failure,
) {
    let examined = "landed";
    match failure.aws() {
        Some(error) if error.is(&["ResourceNotFoundException"]) => findings.broken(
            examined,
            format!(
                "the ledger, table {}, does not exist: nothing can be validated",
                config.ledger_table
            ),
            "restore the table from its point-in-time recovery, or deploy a new stack",
        ),
        Some(error) => findings.refused(examined, "the ledger", error),
        None => findings.unseen(
            examined,
            format!("the ledger: {failure}"),
            "restore-proof status",
        ),
    }
}

fn judge_landed(findings: &mut Findings, known: usize, unknown: &[&str], prefix: &str) {
    let examined = "landed";
    if unknown.is_empty() {
        let words =
            format!("{known} recovery points landed in three days, and each has a validation");
        findings.fine(examined, words);
        return;
    }
    let named = unknown.iter().take(MOST_NAMED).copied();
    let named: Vec<&str> = named.collect();
    let more = match unknown.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    findings.broken(
        examined,
        format!(
            "{} recovery points of the last three days landed more than two hours ago and have no validation: {}{more}",
            unknown.len(),
            named.join(", ")
        ),
        format!(
            "the hourly sweep should have found them: aws scheduler get-schedule --name {prefix}-sweep-lost; then: aws lambda \
             invoke --function-name {prefix} --cli-binary-format raw-in-base64-out --payload '{{\"sweep\":\"lost\"}}' \
             /dev/stdout"
        ),
    );
}

/// A rule that tells the function something.
#[derive(Debug)]
struct Rule {
    name: String,
    is_enabled: bool,
    /// What it tells of, as EventBridge calls it.
    kinds: BTreeSet<String>,
}

async fn examine_rules(stack: &Stack, findings: &mut Findings) {
    let (config, examined) = (&stack.config, "rule");
    match rules(stack, "default").await {
        Ok(rules) => {
            let mut kinds = vec![
                "Copy Job State Change",
                "Recovery Point State Change",
                "Restore Job State Change",
            ];
            if !config.backup_job_vaults.is_empty() {
                kinds.push("Backup Job State Change");
            }
            for kind in kinds {
                judge_rule(findings, kind, &rules, "default");
            }
        }
        Err(error) => findings.refused(examined, "the rules that tell the function", &error),
    }
    // A bus of the stack's own is called as the stack is; most have none.
    let own = &config.name_prefix;
    match rules(stack, own).await {
        Ok(rules) => judge_rule(findings, "Copy Job State Change", &rules, own),
        Err(error) if error.is(&["ResourceNotFoundException"]) => {}
        Err(error) => findings.refused(examined, &format!("the rules of bus {own}"), &error),
    }
}

async fn rules(stack: &Stack, bus: &str) -> Result<Vec<Rule>, AwsError> {
    let names = stack.api.rules_of(stack.function_arn(), bus).await?;
    let mut rules = Vec::new();
    for name in list(&names["RuleNames"]).filter_map(Value::as_str) {
        rules.push(read(name, &stack.api.rule(name, bus).await?));
    }
    Ok(rules)
}

fn read(name: &str, rule: &Value) -> Rule {
    let pattern = rule["EventPattern"].as_str().unwrap_or_default();
    let pattern: Value = serde_json::from_str(pattern).unwrap_or_default();
    let kinds = list(&pattern["detail-type"]).filter_map(Value::as_str);
    Rule {
        name: name.to_owned(),
        is_enabled: rule["State"]
            .as_str()
            .is_some_and(|state| state.starts_with("ENABLED")),
        kinds: kinds.map(str::to_owned).collect(),
    }
}

fn judge_rule(findings: &mut Findings, kind: &str, rules: &[Rule], bus: &str) {
    let examined = "rule";
    let of_kind = || rules.iter().filter(|rule| rule.kinds.contains(kind));
    if let Some(rule) = of_kind().find(|rule| rule.is_enabled) {
        findings.fine(examined, format!("rule {} tells of {kind}", rule.name));
    } else if let Some(rule) = of_kind().next() {
        let name = &rule.name;
        findings.broken(
            examined,
            format!(
                "rule {name} of bus {bus} is disabled: no event of {kind} reaches the function"
            ),
            format!("aws events enable-rule --event-bus-name {bus} --name {name}"),
        );
    } else {
        findings.broken(
            examined,
            format!("no rule of bus {bus} tells the function of {kind}"),
            "deploy the stack again; what is missing: aws cloudformation detect-stack-drift",
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Area, Finding, State};
    use super::*;

    fn one(judge: impl FnOnce(&mut Findings)) -> Finding {
        let mut findings = Findings::of(Area::Events);
        judge(&mut findings);
        findings.found.remove(0)
    }

    #[test]
    fn what_landed_long_ago_must_be_known() {
        let fine = one(|findings| judge_landed(findings, 7, &[], "restore-proof"));
        assert_eq!(fine.state, State::Fine);
        let arns = ["a", "b", "c", "d"];
        let broken = one(|findings| judge_landed(findings, 7, &arns, "restore-proof"));
        assert_eq!(broken.state, State::Broken);
        assert!(broken.words.contains("a, b, c and 1 more"), "{broken:?}");
    }

    #[test]
    fn one_enabled_rule_of_a_kind_suffices() {
        let rule = |state: &str| {
            let pattern = json!({ "detail-type": ["Copy Job State Change"] }).to_string();
            read(
                "copies",
                &json!({ "State": state, "EventPattern": pattern }),
            )
        };
        let judged = |rules: &[Rule], kind: &str| one(|f| judge_rule(f, kind, rules, "default"));
        let copies = "Copy Job State Change";
        let both = [rule("DISABLED"), rule("ENABLED")];
        assert_eq!(judged(&both, copies).state, State::Fine);
        let disabled = judged(&[rule("DISABLED")], copies);
        assert_eq!(disabled.state, State::Broken);
        assert!(
            disabled
                .remedy
                .is_some_and(|remedy| remedy.contains("enable-rule"))
        );
        let other = judged(&both, "Restore Job State Change");
        assert_eq!(other.state, State::Broken);
    }
}
