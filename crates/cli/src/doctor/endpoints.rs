//! The way from the isolated network to AWS: one endpoint for each service, and whether it answers the function.

use aws_sdk_ec2::types::{VpcEndpoint, VpcEndpointType};
use serde_json::Value;

use super::Findings;
use super::stack::{Inside, Stack};

/// The services that the function calls through interface endpoints, and through gateways (`infra/network.yaml`).
const INTERFACES: [&str; 6] = ["backup", "ec2", "lambda", "logs", "secretsmanager", "sns"];
const GATEWAYS: [&str; 2] = ["dynamodb", "s3"];

/// The services that the function of this stack calls, and whether through an interface endpoint.
fn services(calls_rds: bool) -> Vec<(&'static str, bool)> {
    let rds = calls_rds.then_some(("rds", true));
    let interfaces = INTERFACES.into_iter().map(|service| (service, true));
    let gateways = GATEWAYS.into_iter().map(|service| (service, false));
    interfaces.chain(rds).chain(gateways).collect()
}

pub(super) async fn examine(stack: &Stack, findings: &mut Findings) {
    let services = services(stack.config.calls_rds());
    match (stack.vpc(), stack.endpoints().await) {
        (None, _) => findings.broken(
            "endpoint",
            "the function lies in no VPC: it cannot reach what it restores",
            "deploy the stack again: sam deploy",
        ),
        (Some(_), Err(error)) => findings.refused("endpoint", "the network's endpoints", error),
        (Some(vpc), Ok(there)) => {
            for (service, is_interface) in &services {
                let region = &stack.config.region;
                judge_endpoint(findings, there, service, *is_interface, vpc, region);
            }
        }
    }
    match stack.inside().await {
        Inside::Told(told) => {
            for (service, _) in &services {
                judge_answer(findings, service, &told["services"][*service]);
            }
        }
        Inside::Older => findings.unseen(
            "endpoint_answers",
            "whether the services answer the function: the deployed function is older than this program and does not know \
             the question",
            "deploy this version: sam build && sam deploy",
        ),
        Inside::Failed(why) => findings.unseen(
            "endpoint_answers",
            format!("whether the services answer the function: it fails: {why}"),
            "see the area function",
        ),
        Inside::Unseen(error) => {
            let what = "whether the services answer the function";
            findings.refused("endpoint_answers", what, error);
        }
    }
}

fn judge_endpoint(
    findings: &mut Findings,
    there: &[VpcEndpoint],
    service: &str,
    is_interface: bool,
    vpc: &str,
    region: &str,
) {
    let examined = "endpoint";
    let kind = if is_interface {
        VpcEndpointType::Interface
    } else {
        VpcEndpointType::Gateway
    };
    let full = format!("com.amazonaws.{region}.{service}");
    let found = there.iter().find(|one| {
        one.service_name() == Some(full.as_str()) && one.vpc_endpoint_type() == Some(&kind)
    });
    let Some(endpoint) = found else {
        findings.broken(
            examined,
            format!("there is no endpoint of {service} in the isolated network: the function cannot call it"),
            format!(
                "somebody has removed it: delete what is left of it in the nested stack Network (aws cloudformation \
                 detect-stack-drift shows it), and deploy again; until then: aws ec2 create-vpc-endpoint --vpc-id {vpc} \
                 --vpc-endpoint-type {} --service-name {full} {}",
                kind.as_str(),
                if is_interface {
                    "--subnet-ids <one of SUBNET_IDS> --security-group-ids <the group of the other endpoints>"
                } else {
                    "--route-table-ids <the table of SUBNET_IDS>"
                }
            ),
        );
        return;
    };
    let id = endpoint.vpc_endpoint_id().unwrap_or_default();
    let state = endpoint.state().map_or("unknown", |state| state.as_str());
    // EC2 writes it in both ways.
    if !state.eq_ignore_ascii_case("available") {
        findings.broken(
            examined,
            format!("the endpoint of {service}, {id}, is {state}"),
            format!(
                "aws ec2 describe-vpc-endpoints --vpc-endpoint-ids {id} --query 'VpcEndpoints[].[State,LastError,FailureReason]'"
            ),
        );
    } else if is_interface && endpoint.private_dns_enabled() != Some(true) {
        findings.broken(
            examined,
            format!("the endpoint of {service}, {id}, has no private DNS: its name leads nowhere from inside"),
            format!("aws ec2 modify-vpc-endpoint --vpc-endpoint-id {id} --private-dns-enabled"),
        );
    } else {
        findings.fine(examined, format!("the endpoint of {service} is available"));
    }
}

fn judge_answer(findings: &mut Findings, service: &str, told: &Value) {
    let examined = "endpoint_answers";
    let code = told["code"].as_str().unwrap_or("without a code");
    match told["state"].as_str() {
        Some("answered") => findings.fine(examined, format!("{service} answers the function")),
        Some("refused") => findings.broken(
            examined,
            format!("{service} refuses the function ({code}): its role, the endpoint's policy or the resource's does"),
            "deploy the stack again: sam deploy; what was changed by hand: aws cloudformation detect-stack-drift",
        ),
        Some("no_answer") => findings.broken(
            examined,
            format!(
                "{service} does not answer the function: {}",
                told["why"].as_str().unwrap_or("no reason is told")
            ),
            "look at the endpoint's security group (443 from the function's), its private DNS, and the DNS Firewall of the \
             network: aws cloudformation detect-stack-drift",
        ),
        Some(_) | None => findings.unseen(
            examined,
            format!("whether {service} answers the function: it does not say"),
            "deploy this version: sam build && sam deploy",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Area, State};
    use super::*;

    fn one(judge: impl FnOnce(&mut Findings)) -> (State, String) {
        let mut findings = Findings::of(Area::Endpoints);
        judge(&mut findings);
        let found = findings.found.remove(0);
        (found.state, found.remedy.unwrap_or_default())
    }

    #[test]
    fn rds_is_asked_where_there_are_databases() {
        assert_eq!(services(true).len(), 9);
        assert!(!services(false).contains(&("rds", true)));
    }

    #[test]
    fn an_endpoint_must_be_there_available_and_named() {
        let endpoint = |state: &str, dns| {
            VpcEndpoint::builder()
                .vpc_endpoint_id("vpce-1")
                .vpc_endpoint_type(VpcEndpointType::Interface)
                .service_name("com.amazonaws.eu-central-1.sns")
                .state(state.into())
                .private_dns_enabled(dns)
                .build()
        };
        let judged = |there: &[VpcEndpoint]| {
            one(|findings| judge_endpoint(findings, there, "sns", true, "vpc-1", "eu-central-1"))
        };
        assert_eq!(judged(&[endpoint("available", true)]).0, State::Fine);
        assert_eq!(judged(&[endpoint("Available", true)]).0, State::Fine);
        assert_eq!(judged(&[endpoint("failed", true)]).0, State::Broken);
        let (state, remedy) = judged(&[endpoint("available", false)]);
        assert_eq!(state, State::Broken);
        assert!(remedy.contains("--private-dns-enabled"), "{remedy}");
        let (state, remedy) = judged(&[]);
        assert_eq!(state, State::Broken);
        assert!(
            remedy.contains("com.amazonaws.eu-central-1.sns"),
            "{remedy}"
        );
    }

    #[test]
    fn what_the_function_hears_decides() {
        let judged = |told: Value| one(|findings| judge_answer(findings, "sns", &told)).0;
        assert_eq!(judged(json!({ "state": "answered" })), State::Fine);
        assert_eq!(
            judged(json!({ "state": "refused", "code": "AccessDenied" })),
            State::Broken
        );
        assert_eq!(judged(json!({ "state": "no_answer" })), State::Broken);
        assert_eq!(judged(Value::Null), State::Unseen);
    }
}
