//! The vaults: there, filled, and open to the roles that restore from them.

use aws_sdk_backup::types::BackupVaultListMember;
use restore_proof_function::aws::{AwsError, call, failed};
use serde_json::Value;

use super::Findings;
use super::grants::{Grant, Principal, grant};
use super::key::{Key, Trouble};
use super::stack::Stack;

/// What the function asks of a vault and of what lies in it.
const OF_FUNCTION: [&str; 4] = [
    "backup:ListRecoveryPointsByBackupVault",
    "backup:DescribeRecoveryPoint",
    "backup:GetRecoveryPointRestoreMetadata",
    "backup:StartRestoreJob",
];
/// What a restore asks of the key of a recovery point ("Encryption for backups in AWS Backup", AWS Backup developer guide).
const OF_KEY: [&str; 3] = ["kms:Decrypt", "kms:DescribeKey", "kms:CreateGrant"];

pub(super) async fn examine(stack: &Stack, findings: &mut Findings) {
    let listed = match list(stack).await {
        Ok(listed) => listed,
        Err(error) => {
            findings.refused("vault_exists", "the vaults", &error);
            return;
        }
    };
    for name in stack.config.watched_vaults() {
        let found = listed
            .iter()
            .find(|one| one.backup_vault_name() == Some(name));
        judge_vault(findings, name, found);
        if let Some(vault) = found {
            examine_policy(stack, findings, name).await;
            examine_key(stack, findings, name, vault.encryption_key_arn()).await;
        }
    }
}

async fn list(stack: &Stack) -> Result<Vec<BackupVaultListMember>, AwsError> {
    let asked = stack.aws.backup.list_backup_vaults();
    let mut pages = asked.into_paginator().send();
    let mut vaults = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("backup:ListBackupVaults"))?;
        vaults.extend(page.backup_vault_list.unwrap_or_default());
    }
    Ok(vaults)
}

fn judge_vault(findings: &mut Findings, name: &str, found: Option<&BackupVaultListMember>) {
    let Some(vault) = found else {
        findings.broken(
            "vault_exists",
            format!("vault {name} does not exist in this account and Region"),
            format!(
                "correct the parameter BackupVaultNames or BackupJobVaultNames, or: aws backup create-backup-vault \
                 --backup-vault-name {name}"
            ),
        );
        return;
    };
    findings.fine("vault_exists", format!("vault {name} exists"));
    match vault.number_of_recovery_points() {
        0 => findings.broken(
            "vault_filled",
            format!("vault {name} holds no recovery point: there is nothing to validate"),
            format!(
                "let a backup plan copy into it (CopyActions, destination {}), or name another vault in BackupVaultNames",
                vault.backup_vault_arn().unwrap_or(name)
            ),
        ),
        some => findings.fine("vault_filled", format!("vault {name} holds {some} recovery points")),
    }
    if vault.locked() == Some(true) {
        let least = vault.min_retention_days();
        let least = least.map_or_else(
            || "a lock without a minimum retention".to_owned(),
            |days| {
                format!(
                    "a lock: what lands in it stays for {days} days at least, a test copy too that a backup plan takes for \
                     a source (it carries the source's tags)"
                )
            },
        );
        findings.note("vault_lock", format!("vault {name} has {least}"));
    }
}

async fn examine_policy(stack: &Stack, findings: &mut Findings, name: &str) {
    let asked = stack.aws.backup.get_backup_vault_access_policy();
    let asked = asked.backup_vault_name(name).send();
    let policy = match call("backup:GetBackupVaultAccessPolicy", asked).await {
        Ok(answer) => answer.policy,
        // A vault without one: then the policies of roles alone decide.
        Err(error) if error.is(&["ResourceNotFoundException"]) => None,
        Err(error) => {
            let what = format!("the access policy of vault {name}");
            findings.refused("vault_policy", &what, &error);
            return;
        }
    };
    let policy = policy.map(|text| serde_json::from_str(&text).unwrap_or_default());
    let roles = [
        stack.function.role().unwrap_or_default(),
        &stack.config.restore_role_arn,
    ];
    judge_policy(findings, name, policy.as_ref(), roles);
}

/// Within an account a role's own policies suffice, unless the vault's denies.
fn judge_policy(findings: &mut Findings, name: &str, policy: Option<&Value>, roles: [&str; 2]) {
    let examined = "vault_policy";
    let (mut unclear, command) = (None, "aws backup put-backup-vault-access-policy");
    for role in roles {
        for action in OF_FUNCTION {
            match policy.map(|policy| grant(policy, Principal::Role(role), action)) {
                Some(Grant::Denied(sid)) => {
                    findings.broken(
                        examined,
                        format!("the access policy of vault {name} denies {role} {action} (statement {sid})"),
                        format!(
                            "except the role from that statement (ArnNotEquals aws:PrincipalArn): {command} \
                             --backup-vault-name {name} --policy file://policy.json"
                        ),
                    );
                    return;
                }
                Some(Grant::Unclear(sid)) => unclear = unclear.or(Some((role, action, sid))),
                Some(Grant::Allowed | Grant::ByAccount | Grant::Silent) | None => {}
            }
        }
    }
    match unclear {
        None => findings.fine(
            examined,
            format!("vault {name} does not refuse the stack's roles"),
        ),
        Some((role, action, sid)) => findings.unseen(
            examined,
            format!(
                "whether the access policy of vault {name} denies {role} {action}: statement {sid} depends on what cannot be \
                 known here"
            ),
            "read that statement; a validation that is refused says so",
        ),
    }
}

async fn examine_key(stack: &Stack, findings: &mut Findings, name: &str, key: Option<&str>) {
    let Some(arn) = key else {
        return;
    };
    match Key::find(&stack.api, arn).await {
        Ok(key) => judge_key(findings, name, &key, &stack.config.restore_role_arn),
        Err(error) if error.is(&["NotFoundException"]) => findings.broken(
            "vault_key",
            format!("the key of vault {name}, {arn}, is gone: nobody can restore what it encrypts"),
            "copy into a vault with another key, and find out who deleted this one and why",
        ),
        Err(error) => findings.refused("vault_key", &format!("the key of vault {name}"), &error),
    }
}

fn judge_key(findings: &mut Findings, vault: &str, key: &Key, restore_role: &str) {
    let (examined, arn) = ("vault_key", &key.arn);
    match key.trouble(Principal::Role(restore_role), &OF_KEY) {
        Trouble::None => findings.fine(examined, format!("the key of vault {vault} can be used")),
        Trouble::Unusable(state, mended) => findings.broken(
            examined,
            format!(
                "the key of vault {vault}, {arn}, is {state}: nobody can restore what it encrypts"
            ),
            mended,
        ),
        Trouble::NotAllowed(why) => findings.broken(
            examined,
            format!(
                "the policy of the key of vault {vault} does not let the restore role use it: {why}"
            ),
            format!(
                "allow {restore_role} kms:Decrypt, kms:DescribeKey and kms:CreateGrant: aws kms put-key-policy --key-id {arn} \
                 --policy file://policy.json"
            ),
        ),
        Trouble::Unclear(sid) => findings.unseen(
            examined,
            format!(
                "whether the restore role may use the key of vault {vault}: statement {sid} of its policy depends on what \
                 cannot be known here"
            ),
            "read that statement; a restore job that is refused says `Access denied to KMS key`",
        ),
        Trouble::Unseen(error) => {
            findings.refused(
                examined,
                &format!("the policy of the key of vault {vault}"),
                error,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Area, State};
    use super::*;
    use serde_json::json;

    const ROLES: [&str; 2] = [
        "arn:aws:iam::111122223333:role/function",
        "arn:aws:iam::111122223333:role/restore",
    ];

    fn states(judge: impl FnOnce(&mut Findings)) -> Vec<(&'static str, State)> {
        let mut findings = Findings::of(Area::Vaults);
        judge(&mut findings);
        let found = findings.found.iter();
        found.map(|one| (one.examined, one.state)).collect()
    }

    #[test]
    fn a_vault_must_be_there_and_hold_something() {
        let vault = |points| {
            BackupVaultListMember::builder()
                .backup_vault_name("central")
                .number_of_recovery_points(points)
                .locked(true)
                .min_retention_days(30)
                .build()
        };
        let missing = states(|findings| judge_vault(findings, "central", None));
        assert_eq!(missing, [("vault_exists", State::Broken)]);
        let empty = states(|findings| judge_vault(findings, "central", Some(&vault(0))));
        assert_eq!(empty[1], ("vault_filled", State::Broken));
        let mut findings = Findings::of(Area::Vaults);
        judge_vault(&mut findings, "central", Some(&vault(3)));
        assert!(findings.found.iter().all(|one| one.state == State::Fine));
        let lock = &findings.found[2];
        assert!(lock.is_told && lock.words.contains("30 days"), "{lock:?}");
    }

    #[test]
    fn a_vault_refuses_by_a_denial_alone() {
        let judged = |statement: Value| {
            let policy = json!({ "Statement": [statement] });
            states(|findings| judge_policy(findings, "central", Some(&policy), ROLES))[0].1
        };
        assert_eq!(
            states(|findings| judge_policy(findings, "central", None, ROLES))[0].1,
            State::Fine
        );
        let copies =
            json!({ "Effect": "Allow", "Principal": "*", "Action": "backup:CopyIntoBackupVault" });
        assert_eq!(judged(copies), State::Fine);
        let all = json!({ "Effect": "Deny", "Principal": "*", "Action": "backup:StartRestoreJob" });
        assert_eq!(judged(all), State::Broken);
        let but_restores = json!({
            "Effect": "Deny", "Principal": "*", "Action": "backup:*",
            "Condition": { "ArnNotEquals": { "aws:PrincipalArn": ROLES[1] } },
        });
        assert_eq!(
            judged(but_restores),
            State::Broken,
            "the function is refused"
        );
        let by_address = json!({
            "Effect": "Deny", "Principal": "*", "Action": "backup:*",
            "Condition": { "NotIpAddress": { "aws:SourceIp": "192.0.2.0/24" } },
        });
        assert_eq!(judged(by_address), State::Unseen);
    }
}
