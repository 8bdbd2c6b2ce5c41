//! Roles that AWS Backup and RDS work with, and the resource types that AWS Backup is allowed in this Region.

use std::collections::HashMap;

use restore_proof_core::resource_type::ResourceType;
use restore_proof_function::aws::call;
use serde_json::Value;

use super::Findings;
use super::grants::list;
use super::stack::Stack;

pub(super) async fn examine(stack: &Stack, findings: &mut Findings) {
    let asked = stack.aws.backup.describe_region_settings().send();
    match call("backup:DescribeRegionSettings", asked).await {
        Ok(answer) => {
            let opted_in = answer.resource_type_opt_in_preference.unwrap_or_default();
            for one in &stack.config.types {
                judge_type(findings, *one, &opted_in);
            }
        }
        Err(error) => {
            findings.refused("type_opted_in", "the resource types opted in", &error);
        }
    }

    let mut linked = vec![("AWSServiceRoleForBackup", "backup.amazonaws.com")];
    if stack.config.calls_rds() {
        linked.push(("AWSServiceRoleForRDS", "rds.amazonaws.com"));
    }
    for (name, service) in linked {
        match stack.api.trust(name).await {
            Ok(_) => findings.fine("service_role", format!("role {name} exists")),
            Err(error) if error.is(&["NoSuchEntity"]) => findings.broken(
                "service_role",
                format!("the service-linked role {name} does not exist in this account"),
                format!("aws iam create-service-linked-role --aws-service-name {service}"),
            ),
            Err(error) => findings.refused("service_role", &format!("role {name}"), &error),
        }
    }

    let arn = &stack.config.restore_role_arn;
    // IAM knows a role by its name alone, whatever its path.
    let name = arn.rsplit('/').next().unwrap_or(arn);
    match stack.api.trust(name).await {
        Ok(trust) => judge_restore_role(findings, name, &trust),
        Err(error) if error.is(&["NoSuchEntity"]) => findings.broken(
            "restore_role",
            format!("the restore role {name} does not exist"),
            "deploy the stack again: sam deploy",
        ),
        Err(error) => findings.refused("restore_role", "the restore role", &error),
    }
}

fn judge_type(findings: &mut Findings, one: ResourceType, opted_in: &HashMap<String, bool>) {
    let (examined, name) = ("type_opted_in", one.name());
    let command =
        format!("aws backup update-region-settings --resource-type-opt-in-preference {name}=true");
    match opted_in.get(name) {
        Some(true) => findings.fine(examined, format!("{name} is opted in")),
        Some(false) => findings.broken(
            examined,
            format!("{name} is not opted in to AWS Backup in this Region: it restores none, and says nothing"),
            command,
        ),
        None => findings.unseen(
            examined,
            format!("whether {name} is opted in: AWS Backup does not list it in this Region"),
            command,
        ),
    }
}

fn judge_restore_role(findings: &mut Findings, name: &str, trust: &Value) {
    let is_trusted = list(&trust["Statement"]).any(|statement| {
        let mut services = list(&statement["Principal"]["Service"]);
        let mut actions = list(&statement["Action"]);
        statement["Effect"] == "Allow"
            && services.any(|service| service == "backup.amazonaws.com")
            && actions.any(|action| action == "sts:AssumeRole")
    });
    if is_trusted {
        findings.fine("restore_role", "AWS Backup may take the restore role");
    } else {
        findings.broken(
            "restore_role",
            format!("the trust policy of the restore role {name} does not let AWS Backup take it"),
            "deploy the stack again: sam deploy; CloudFormation shows what was changed: aws cloudformation \
             detect-stack-drift",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Area, State};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_type_must_be_opted_in() {
        let judged = |opted_in: &[(&str, bool)]| {
            let mut findings = Findings::of(Area::Roles);
            let opted_in = opted_in.iter().map(|(name, is)| ((*name).to_owned(), *is));
            judge_type(&mut findings, ResourceType::Rds, &opted_in.collect());
            findings.found.remove(0)
        };
        assert_eq!(judged(&[("RDS", true)]).state, State::Fine);
        assert_eq!(judged(&[("Aurora", true)]).state, State::Unseen);
        let off = judged(&[("RDS", false)]);
        assert_eq!(off.state, State::Broken);
        assert!(
            off.remedy
                .is_some_and(|remedy| remedy.ends_with("RDS=true"))
        );
    }

    #[test]
    fn aws_backup_must_be_trusted() {
        let judged = |statement| {
            let mut findings = Findings::of(Area::Roles);
            let trust = json!({ "Statement": statement });
            judge_restore_role(&mut findings, "restore", &trust);
            findings.found[0].state
        };
        let trust = |effect: &str, service: &str| json!([{ "Effect": effect, "Principal": { "Service": service }, "Action": "sts:AssumeRole" }]);
        assert_eq!(judged(trust("Allow", "backup.amazonaws.com")), State::Fine);
        assert_eq!(judged(trust("Allow", "ec2.amazonaws.com")), State::Broken);
        assert_eq!(judged(trust("Deny", "backup.amazonaws.com")), State::Broken);
    }
}
