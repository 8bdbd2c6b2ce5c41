//! The function itself: whether it can run, and whether it may begin restores.

use restore_proof_function::aws::call;
use serde_json::Value;

use super::Findings;
use super::stack::{Inside, Stack};

pub(super) async fn examine(stack: &Stack, findings: &mut Findings) {
    let name = &stack.config.function_name;
    let function = &stack.function;
    let told = |text: Option<&str>| text.map_or_else(String::new, |text| format!(": {text}"));

    let state = function.state().map_or("unknown", |state| state.as_str());
    let why = told(function.state_reason());
    judge_state(findings, name, state, &why);
    let update = function
        .last_update_status()
        .map_or("unknown", |one| one.as_str());
    let why = told(function.last_update_status_reason());
    judge_update(findings, update, &why);

    let operation = "lambda:GetFunctionConcurrency";
    let asked = stack.aws.lambda.get_function_concurrency();
    match call(operation, asked.function_name(name).send()).await {
        Ok(answer) => {
            let reserved = answer.reserved_concurrent_executions();
            judge_concurrency(
                findings,
                name,
                reserved,
                stack.config.max_concurrent_restores,
            );
        }
        Err(error) => {
            findings.refused("function_concurrency", "its reserved concurrency", &error);
        }
    }

    match stack.inside().await {
        Inside::Told(told) => {
            judge_pause(findings, &told["paused"]);
            judge_version(findings, told["version"].as_str());
        }
        Inside::Older => findings.unseen(
            "function_pause",
            "whether restores are paused: the deployed function is older than this program and does not know the question",
            "deploy this version (sam build && sam deploy), or ask `restore-proof status`",
        ),
        Inside::Failed(why) => findings.broken(
            "function_runs",
            format!("the function fails: {why}"),
            format!("its log says more: aws logs tail --since 1h /aws/lambda/{name}, or the group that its LoggingConfig names"),
        ),
        Inside::Unseen(error) => {
            findings.refused("function_pause", "whether restores are paused", error);
        }
    }
}

fn judge_state(findings: &mut Findings, name: &str, state: &str, why: &str) {
    let examined = "function_state";
    match state {
        "Active" => findings.fine(examined, "it is active"),
        // Lambda takes its network interfaces away when it has not run for weeks; an invocation brings them back.
        "Inactive" => findings.broken(
            examined,
            format!("it has not run for so long that Lambda put it aside{why}"),
            format!(
                "aws lambda invoke --function-name {name} --cli-binary-format raw-in-base64-out \
                 --payload '{{\"sweep\":\"due\"}}' /dev/stdout; then look at its schedules"
            ),
        ),
        "Pending" => findings.unseen(
            examined,
            format!("it is being made{why}"),
            "ask again in a minute",
        ),
        state => findings.broken(
            examined,
            format!("its state is {state}{why}"),
            "deploy the stack again: sam deploy",
        ),
    }
}

fn judge_update(findings: &mut Findings, update: &str, why: &str) {
    let examined = "function_update";
    match update {
        "Successful" => findings.fine(examined, "its last update succeeded"),
        "InProgress" => findings.unseen(
            examined,
            format!("it is being updated{why}"),
            "ask again in a minute",
        ),
        update => findings.broken(
            examined,
            format!("its last update is {update}{why}"),
            "deploy the stack again: sam deploy",
        ),
    }
}

fn judge_concurrency(findings: &mut Findings, name: &str, reserved: Option<i32>, restores: u32) {
    let examined = "function_concurrency";
    match reserved {
        None => findings.fine(examined, "no concurrency is reserved, and none is denied"),
        Some(0) => findings.broken(
            examined,
            "its reserved concurrency is 0: Lambda starts it for nothing",
            format!("aws lambda delete-function-concurrency --function-name {name}"),
        ),
        // A validation each, a sweep, and somebody who asks.
        Some(few) if i64::from(few) < i64::from(restores) + 2 => findings.broken(
            examined,
            format!("its reserved concurrency is {few}, which is too little for {restores} restores, sweeps and events"),
            format!("the parameter ReservedConcurrency: at least {}, or 0 for no limit", i64::from(restores) + 2),
        ),
        Some(enough) => findings.fine(examined, format!("{enough} are reserved for it")),
    }
}

fn judge_pause(findings: &mut Findings, paused: &Value) {
    if paused.is_null() {
        findings.fine("function_pause", "restores are begun as copies land");
        return;
    }
    let since = paused["since"].as_str().unwrap_or("an unknown time");
    let why = paused["reason"].as_str();
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    findings.broken(
        "function_pause",
        format!("restores are paused since {since}{why}"),
        "when it is not wanted any more: restore-proof resume",
    );
}

fn judge_version(findings: &mut Findings, version: Option<&str>) {
    let ours = env!("CARGO_PKG_VERSION");
    match version {
        Some(version) if version == ours => {
            findings.fine("function_version", format!("its version is {version}"));
        }
        other => findings.note(
            "function_version",
            format!(
                "its version is {}, that of this program {ours}",
                other.unwrap_or("unknown")
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Area, State};
    use super::*;
    use serde_json::json;

    fn one(judge: impl FnOnce(&mut Findings)) -> (State, String) {
        let mut findings = Findings::of(Area::Function);
        judge(&mut findings);
        let found = findings.found.remove(0);
        (found.state, found.remedy.unwrap_or_default())
    }

    #[test]
    fn a_function_must_be_able_to_run() {
        for (state, wanted) in [
            ("Active", State::Fine),
            ("Inactive", State::Broken),
            ("Failed", State::Broken),
            ("Pending", State::Unseen),
            ("something new", State::Broken),
        ] {
            assert_eq!(one(|f| judge_state(f, "f", state, "")).0, wanted, "{state}");
        }
        assert_eq!(one(|f| judge_update(f, "Successful", "")).0, State::Fine);
        assert_eq!(one(|f| judge_update(f, "Failed", "")).0, State::Broken);
        assert_eq!(one(|f| judge_update(f, "InProgress", "")).0, State::Unseen);
    }

    #[test]
    fn concurrency_must_suffice_for_the_restores() {
        let of = |reserved| one(|f| judge_concurrency(f, "f", reserved, 4));
        assert_eq!(of(None).0, State::Fine);
        assert_eq!(of(Some(6)).0, State::Fine);
        let (state, remedy) = of(Some(0));
        assert_eq!(state, State::Broken);
        assert!(remedy.contains("delete-function-concurrency"), "{remedy}");
        let (state, remedy) = of(Some(5));
        assert_eq!(state, State::Broken);
        assert!(remedy.contains("ReservedConcurrency"), "{remedy}");
    }

    #[test]
    fn a_pause_is_told_with_what_ends_it() {
        assert_eq!(one(|f| judge_pause(f, &Value::Null)).0, State::Fine);
        let (state, remedy) = one(|f| judge_pause(f, &json!({ "since": "2026-11-29T00:00:00Z" })));
        assert_eq!(state, State::Broken);
        assert!(remedy.contains("resume"), "{remedy}");
    }
}
