//! The stack's alarms: those that ring, and those that have been without data for long.

use jiff::{SignedDuration, Timestamp};
use restore_proof_function::aws::AwsError;
use serde_json::Value;

use super::Findings;
use super::grants::list;
use super::stack::Stack;

/// Every alarm of the stack has data within two hours of the deployment.
const WITHOUT_DATA: SignedDuration = SignedDuration::from_hours(3);

pub(super) async fn examine(stack: &Stack, findings: &mut Findings) {
    match find(stack).await {
        Ok(alarms) => judge(findings, &alarms, stack.now),
        Err(error) => findings.refused("alarm", "the stack's alarms", &error),
    }
}

/// The alarms that tell the stack's topic of what is urgent: their names the function does not know.
pub(super) async fn find(stack: &Stack) -> Result<Vec<Value>, AwsError> {
    let mut alarms = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let topic = &stack.config.urgent_topic_arn;
        let page = stack.api.alarms(topic, next.as_deref()).await?;
        alarms.extend(list(&page["MetricAlarms"]).cloned());
        next = page["NextToken"].as_str().map(str::to_owned);
        if next.is_none() {
            return Ok(alarms);
        }
    }
}

fn judge(findings: &mut Findings, alarms: &[Value], now: Timestamp) {
    let examined = "alarm";
    if alarms.is_empty() {
        findings.broken(
            examined,
            "no alarm tells the urgent topic: nobody hears when nothing is validated any more",
            "deploy the stack again; what is missing: aws cloudformation detect-stack-drift",
        );
    }
    for alarm in alarms {
        let text = |key: &str| alarm[key].as_str().unwrap_or_default();
        let name = text("AlarmName");
        let since = alarm["StateUpdatedTimestamp"].as_f64();
        let since = since.and_then(|at| Timestamp::from_millisecond((at * 1000.0) as i64).ok());
        let told = since.map_or_else(String::new, |at| {
            format!(" since {}", at.strftime("%Y-%m-%d %H:%M UTC"))
        });
        let is_old = since.is_none_or(|at| now.duration_since(at) > WITHOUT_DATA);
        match text("StateValue") {
            _ if alarm["ActionsEnabled"] == false => findings.broken(
                examined,
                format!("alarm {name} tells nobody: its actions are disabled"),
                format!("aws cloudwatch enable-alarm-actions --alarm-names {name}"),
            ),
            // What to do, each alarm's description says.
            "ALARM" => findings.broken(
                examined,
                format!("alarm {name} rings{told}: {}", text("StateReason")),
                text("AlarmDescription"),
            ),
            "INSUFFICIENT_DATA" if is_old => findings.broken(
                examined,
                format!("alarm {name} has no data{told}: nothing measures what it watches"),
                text("AlarmDescription"),
            ),
            "INSUFFICIENT_DATA" => findings.unseen(
                examined,
                format!("alarm {name} has no data yet{told}"),
                "ask again two hours after the deployment",
            ),
            "OK" => findings.fine(examined, format!("alarm {name} is OK")),
            other => findings.unseen(
                examined,
                format!("the state of alarm {name}: {other:?}"),
                "aws cloudwatch describe-alarms",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Area, State};
    use super::*;

    #[test]
    fn alarms_are_judged_by_state_and_age() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap_or_default();
        let judged = |state: &str, hours: i64, enabled: bool| {
            let at = now - SignedDuration::from_hours(hours);
            let alarm = json!({
                "AlarmName": "a", "StateValue": state, "ActionsEnabled": enabled,
                "StateUpdatedTimestamp": at.as_second(), "AlarmDescription": "Look at the log.",
            });
            let mut findings = Findings::of(Area::Alarms);
            judge(&mut findings, &[alarm], now);
            findings.found.remove(0)
        };
        assert_eq!(judged("OK", 100, true).state, State::Fine);
        assert_eq!(judged("OK", 100, false).state, State::Broken);
        assert_eq!(judged("INSUFFICIENT_DATA", 1, true).state, State::Unseen);
        assert_eq!(judged("INSUFFICIENT_DATA", 4, true).state, State::Broken);
        let rings = judged("ALARM", 0, true);
        assert_eq!(rings.state, State::Broken);
        assert_eq!(rings.remedy.as_deref(), Some("Look at the log."));
        let mut findings = Findings::of(Area::Alarms);
        judge(&mut findings, &[], now);
        assert_eq!(findings.found[0].state, State::Broken);
    }
}
