//! The policy file, and what its rules name: secrets, and users of databases.

use std::collections::BTreeSet;

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use restore_proof_core::policy::{self, Credentials, Policy};
use restore_proof_function::aws::call;
use restore_proof_function::config::Config;
use serde_json::Value;

use super::Findings;
use super::grants::{is_like, list};
use super::stack::{PolicyText, Stack};

/// The most mistakes that are told here; `policy check` tells all.
const MOST_MISTAKES: usize = 5;

pub(super) async fn examine(stack: &Stack, findings: &mut Findings) {
    examine_secret(stack, findings, &stack.config.reset_key_secret, None).await;
    judge_file(
        findings,
        stack.policy().await,
        &stack.config.policy.to_string(),
    );
    let Some(policy) = stack.good_policy().await else {
        return;
    };
    judge_logins(findings, &policy, &stack.config);
    let secrets = secrets(&policy);
    for secret in &secrets {
        examine_secret(stack, findings, secret, Some(secret)).await;
    }
    if !secrets.is_empty() {
        examine_prefix(stack, findings, &secrets).await;
    }
}

/// The policy in the function's role that lets it read secrets, as `template.yaml` calls it.
const READS_SECRETS: &str = "remember";

/// Whether the function's role may read the secrets: those whose names begin with the parameter SecretNamePrefix.
async fn examine_prefix(stack: &Stack, findings: &mut Findings, secrets: &BTreeSet<&str>) {
    let role = stack.function.role().unwrap_or_default();
    // IAM knows a role by its name alone, whatever its path.
    let role = role.rsplit('/').next().unwrap_or(role);
    match stack.api.role_policy(role, READS_SECRETS).await {
        Ok(policy) => judge_prefix(findings, &policy, secrets, &stack.config),
        Err(error) => {
            let what = "whether the function's role may read the secrets";
            findings.refused("policy_secret_allowed", what, &error);
        }
    }
}

fn judge_prefix(
    findings: &mut Findings,
    policy: &Value,
    secrets: &BTreeSet<&str>,
    config: &Config,
) {
    let examined = "policy_secret_allowed";
    let of_secrets = list(&policy["Statement"]).filter(|statement| {
        let mut actions = list(&statement["Action"]);
        statement["Effect"] == "Allow"
            && actions.any(|action| action == "secretsmanager:GetSecretValue")
    });
    let resources = of_secrets.flat_map(|statement| list(&statement["Resource"]));
    let allowed: Vec<&str> = resources.filter_map(Value::as_str).collect();
    let Config {
        partition,
        region,
        account,
        ..
    } = config;
    for name in secrets {
        // AWS puts a hyphen and six characters behind the name.
        let arn = if name.starts_with("arn:") {
            (*name).to_owned()
        } else {
            format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-AbCdEf")
        };
        if allowed.iter().any(|pattern| is_like(&arn, pattern)) {
            findings.fine(
                examined,
                format!("the function's role may read secret {name}"),
            );
        } else {
            findings.broken(
                examined,
                format!("the function's role may not read secret {name}, which the policy names"),
                "give the secret a name that begins with the parameter SecretNamePrefix, or deploy with another prefix",
            );
        }
    }
}

fn judge_file(findings: &mut Findings, file: &PolicyText, uri: &str) {
    let examined = "policy_file";
    let upload = format!("aws s3 cp my-policy.toml {uri}");
    let text = match file {
        PolicyText::Text(text) => text,
        PolicyText::Missing => {
            findings.broken(
                examined,
                format!("there is no policy at {uri}: copies end inconclusive"),
                format!("restore-proof policy check my-policy.toml && {upload}"),
            );
            return;
        }
        PolicyText::Useless(why) => {
            findings.broken(
                examined,
                format!("the policy {uri} is of no use: {why}"),
                upload,
            );
            return;
        }
        PolicyText::Unseen(error) => {
            findings.refused(examined, &format!("the policy {uri}"), error);
            return;
        }
    };
    match policy::parse(text) {
        Ok(policy) => findings.fine(
            examined,
            format!(
                "the policy has no mistakes: version {:?}, {} rules",
                policy.version,
                policy.rules.len()
            ),
        ),
        Err(mistakes) => {
            let told = mistakes
                .0
                .iter()
                .take(MOST_MISTAKES)
                .map(ToString::to_string);
            let told: Vec<String> = told.collect();
            let more = match mistakes.0.len().saturating_sub(MOST_MISTAKES) {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            findings.broken(
                examined,
                format!("the policy {uri} has mistakes, and copies end inconclusive: {}{more}", told.join("; ")),
                format!("aws s3 cp {uri} my-policy.toml && restore-proof policy check my-policy.toml; mend it, then {upload}"),
            );
        }
    }
}

/// The secrets that the rules name, each once.
fn secrets(policy: &Policy) -> BTreeSet<&str> {
    let credentials = policy.rules.iter().filter_map(|rule| rule.login());
    credentials
        .filter_map(|one| match one {
            Credentials::Secret(name) => Some(name.as_str()),
            Credentials::Reset | Credentials::Iam(_) => None,
        })
        .collect()
}

/// Whether the stack allows the database users that rules log in as.
fn judge_logins(findings: &mut Findings, policy: &Policy, config: &Config) {
    for rule in &policy.rules {
        let Some(Credentials::Iam(user)) = rule.login() else {
            continue;
        };
        match config.iam_database_user(user.as_deref()) {
            Ok(user) => findings.fine(
                "policy_login",
                format!("rule {:?} logs in as {user}", rule.name),
            ),
            Err(why) => findings.broken(
                "policy_login",
                format!("rule {:?}: {why}", rule.name),
                "the parameter IamDatabaseUsers: sam deploy --guided",
            ),
        }
    }
}

async fn examine_secret(stack: &Stack, findings: &mut Findings, id: &str, named: Option<&str>) {
    let asked = stack.aws.secrets.describe_secret().secret_id(id).send();
    match call("secretsmanager:DescribeSecret", asked).await {
        Ok(secret) => judge_secret(findings, id, named, Some(&secret)),
        Err(error) if error.is(&["ResourceNotFoundException"]) => {
            judge_secret(findings, id, named, None);
        }
        Err(error) => {
            let what = format!("whether secret {id} exists");
            findings.refused("policy_secret", &what, &error);
        }
    }
}

/// `named` is what the policy calls it; none of the secret that the stack itself made.
fn judge_secret(
    findings: &mut Findings,
    id: &str,
    named: Option<&str>,
    secret: Option<&DescribeSecretOutput>,
) {
    let examined = "policy_secret";
    let restore = format!("aws secretsmanager restore-secret --secret-id {id}");
    match (secret, named) {
        (Some(secret), _) if secret.deleted_date().is_none() => {
            findings.fine(examined, format!("secret {id} exists"));
        }
        (Some(_), _) => findings.broken(
            examined,
            format!("secret {id} is being deleted: nobody can read it"),
            restore,
        ),
        (None, Some(name)) => findings.broken(
            examined,
            format!(
                "the policy names secret {name}, which does not exist in this account and Region"
            ),
            format!(
                "aws secretsmanager create-secret --name {name} --secret-string \
                 '{{\"username\":\"…\",\"password\":\"…\",\"dbname\":\"…\"}}', or correct the rule"
            ),
        ),
        (None, None) => findings.broken(
            examined,
            format!("the secret that new passwords are derived from, {id}, does not exist"),
            "deploy the stack again; what is missing: aws cloudformation detect-stack-drift",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Area, Finding, State};
    use super::*;

    const URI: &str = "s3://results/policy/policy.toml";

    fn one(judge: impl FnOnce(&mut Findings)) -> Finding {
        let mut findings = Findings::of(Area::Policy);
        judge(&mut findings);
        findings.found.remove(0)
    }

    #[test]
    fn mistakes_are_told_with_line_and_column() {
        let text =
            "version = \"1\"\n[[rules]]\nname = \"all\"\nmatch = {}\nfrequency = \"often\"\n";
        let text = PolicyText::Text(text.to_owned());
        let found = one(|findings| judge_file(findings, &text, URI));
        assert_eq!(found.state, State::Broken);
        assert!(found.words.contains("5:13"), "{found:?}");
    }

    #[test]
    fn a_policy_that_is_not_there_is_broken_and_one_not_shown_is_not() {
        let missing = one(|findings| judge_file(findings, &PolicyText::Missing, URI));
        assert_eq!(missing.state, State::Broken);
        assert!(missing.remedy.is_some_and(|remedy| remedy.contains(URI)));
        let unseen = PolicyText::Unseen(restore_proof_function::aws::AwsError {
            operation: "s3:GetObject",
            code: Some("AccessDenied".to_owned()),
            message: "Access Denied".to_owned(),
        });
        let unseen = one(|findings| judge_file(findings, &unseen, URI));
        assert_eq!(unseen.state, State::Unseen);
        assert!(unseen.words.contains("s3:GetObject"), "{unseen:?}");
    }

    #[test]
    fn a_secret_must_be_there_to_stay() {
        let name = "restore-proof/orders";
        let judged = |secret: Option<&DescribeSecretOutput>| {
            one(|findings| judge_secret(findings, name, Some(name), secret))
        };
        let secret = DescribeSecretOutput::builder();
        assert_eq!(judged(Some(&secret.clone().build())).state, State::Fine);
        let at = aws_sdk_secretsmanager::primitives::DateTime::from_secs(1);
        let going = judged(Some(&secret.deleted_date(at).build()));
        assert!(
            going
                .remedy
                .is_some_and(|remedy| remedy.contains("restore-secret"))
        );
        assert_eq!(judged(None).state, State::Broken);
    }
}
