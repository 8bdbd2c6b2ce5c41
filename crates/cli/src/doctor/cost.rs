//! What the stack costs while nothing is restored: an estimate.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{VpcEndpoint, VpcEndpointType};
use restore_proof_core::policy::Credentials;
use restore_proof_function::aws::call;

use super::Findings;
use super::alarms;
use super::stack::Stack;
use crate::output::count;

/// When these prices were looked up, and where: aws.amazon.com, privatelink, kms, secrets-manager and cloudwatch pricing,
/// USD a month. `tests/conformance/test_readme.py` holds the README to the same.
const PRICES_OF: &str = "us-east-1, November 2026";
const ENDPOINT_IN_A_ZONE: f64 = 7.30;
const KEY: f64 = 1.00;
const SECRET: f64 = 0.40;
const ALARM: f64 = 0.10;
const METRIC: f64 = 0.30;
/// The metrics that are there all the time, beside one for each vault.
const METRICS: usize = 14;

pub(super) async fn examine(stack: &Stack, findings: &mut Findings) {
    let examined = "cost";
    let endpoints = match stack.endpoints().await {
        Ok(endpoints) => endpoints,
        Err(error) => {
            findings.refused(examined, "what it costs: the network's endpoints", error);
            return;
        }
    };
    let alarms = match alarms::find(stack).await {
        Ok(alarms) => alarms.len(),
        Err(error) => {
            findings.refused(examined, "what it costs: the stack's alarms", &error);
            return;
        }
    };
    let topic = &stack.config.topic_arn;
    let asked = stack.aws.sns.get_topic_attributes().topic_arn(topic).send();
    let attributes = match call("sns:GetTopicAttributes", asked).await {
        Ok(answer) => answer.attributes.unwrap_or_default(),
        Err(error) => {
            findings.refused(examined, "what it costs: the topic's key", &error);
            return;
        }
    };
    let of_topic = attributes.get("KmsMasterKeyId");
    let of_volumes = stack.config.network.volume_key_arn.as_ref();
    let keys: BTreeSet<&String> = of_topic.into_iter().chain(of_volumes).collect();
    let named: BTreeSet<String> = stack
        .good_policy()
        .await
        .into_iter()
        .flat_map(|policy| policy.rules)
        .filter_map(|rule| match rule.credentials {
            Some(Credentials::Secret(name)) => Some(name),
            Some(Credentials::Reset | Credentials::Iam(_)) | None => None,
        })
        .collect();
    let vaults = stack.config.watched_vaults().len();
    let items = [
        Item::new("endpoint", zones(endpoints), ENDPOINT_IN_A_ZONE),
        Item::new("key", keys.len(), KEY),
        Item::new("secret", named.len() + 1, SECRET),
        Item::new("alarm", alarms, ALARM),
        Item::new("metric", METRICS + vaults, METRIC),
    ];
    findings.note(examined, told(&items));
}

/// What there is some of, in the singular, and what each costs a month.
struct Item {
    what: &'static str,
    number: usize,
    each: f64,
}

impl Item {
    fn new(what: &'static str, number: usize, each: f64) -> Item {
        Item { what, number, each }
    }

    fn usd(&self) -> f64 {
        self.number as f64 * self.each
    }
}

/// A network interface in each zone is what an interface endpoint is billed for; gateways are free.
fn zones(endpoints: &[VpcEndpoint]) -> usize {
    let interfaces = endpoints
        .iter()
        .filter(|one| one.vpc_endpoint_type() == Some(&VpcEndpointType::Interface));
    interfaces.map(|one| one.subnet_ids().len()).sum()
}

fn told(items: &[Item]) -> String {
    let all: f64 = items.iter().map(Item::usd).sum();
    let parts = items
        .iter()
        .map(|item| format!("{} {:.2}", count(item.number, item.what), item.usd()));
    let parts: Vec<String> = parts.collect();
    format!(
        "about {all:.0} USD a month while nothing is restored: {} (an estimate by prices of {PRICES_OF}; an endpoint counts in each \
         of its zones)",
        parts.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_billed_by_the_zone() {
        let endpoint = |kind, subnets: &[&str]| {
            let subnets = subnets.iter().map(|id| (*id).to_owned()).collect();
            VpcEndpoint::builder()
                .vpc_endpoint_type(kind)
                .set_subnet_ids(Some(subnets))
                .build()
        };
        let there = [
            endpoint(VpcEndpointType::Interface, &["a", "b"]),
            endpoint(VpcEndpointType::Interface, &["a"]),
            endpoint(VpcEndpointType::Gateway, &[]),
        ];
        assert_eq!(zones(&there), 3);
        let told = told(&[Item::new("endpoint", zones(&there), 7.30)]);
        assert!(told.starts_with("about 22 USD"), "{told}");
    }
}
