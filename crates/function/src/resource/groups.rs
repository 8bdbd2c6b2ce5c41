//! Security groups: what those that a restored resource is behind let out.

use aws_sdk_ec2::types::IpPermission;

use crate::aws::{Aws, AwsError, call};

/// The one range that rules may name: always the host itself. `infra/network.yaml` closes its groups by it, since a group
/// without rules would be made by CloudFormation with one that lets everything out.
const ONESELF: &str = "127.0.0.1/32";

/// What these security groups let out, each in words; nothing when they let nothing out.
///
/// # Errors
/// When EC2 refuses or does not answer; an answer without all the groups is an error too, never "closed".
pub async fn ways_out(aws: &Aws, ids: &[String]) -> Result<Vec<String>, AwsError> {
    const OPERATION: &str = "ec2:DescribeSecurityGroups";
    let answer = call(
        OPERATION,
        aws.ec2
            .describe_security_groups()
            .set_group_ids(Some(ids.to_vec()))
            .send(),
    )
    .await?;
    let groups = answer.security_groups();
    let mut ways = Vec::new();
    for id in ids {
        let Some(group) = groups.iter().find(|group| group.group_id() == Some(id)) else {
            return Err(AwsError {
                operation: OPERATION,
                code: None,
                message: format!("the answer does not hold security group {id}"),
            });
        };
        let rules = group.ip_permissions_egress().iter();
        ways.extend(rules.flat_map(|rule| {
            let what = protocol_of(rule);
            destinations(rule)
                .into_iter()
                .map(move |to| format!("security group {id} lets {what} out to {to}"))
        }));
    }
    Ok(ways)
}

fn protocol_of(rule: &IpPermission) -> String {
    match (rule.ip_protocol(), rule.from_port(), rule.to_port()) {
        (None | Some("-1"), _, _) => "everything".to_owned(),
        (Some(name), Some(from), Some(to)) if from != to => format!("{name} {from}-{to}"),
        (Some(name), Some(port), _) => format!("{name} {port}"),
        (Some(name), _, _) => name.to_owned(),
    }
}

/// Where a rule leads, but to oneself.
fn destinations(rule: &IpPermission) -> Vec<String> {
    let v4 = rule.ip_ranges().iter().filter_map(|range| range.cidr_ip());
    let v6 = rule
        .ipv6_ranges()
        .iter()
        .filter_map(|range| range.cidr_ipv6());
    let lists = rule.prefix_list_ids().iter();
    let lists = lists.filter_map(|list| list.prefix_list_id());
    let groups = rule.user_id_group_pairs().iter();
    let groups = groups.filter_map(|pair| pair.group_id());
    v4.filter(|range| *range != ONESELF)
        .chain(v6)
        .chain(lists)
        .chain(groups)
        .map(str::to_owned)
        .collect()
}
