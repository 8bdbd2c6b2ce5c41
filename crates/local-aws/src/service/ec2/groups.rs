//! Security groups and what they let out.

use serde_json::{Value, json};

use crate::wire::{Request, ServiceError};
use crate::world::seed::{EgressRule, SecurityGroup};
use crate::world::state::State;

use super::{Answer, filters, is_id, not_played, numbered, reply};

pub(super) fn describe(state: &mut State, request: &Request) -> Answer {
    if !filters(request).is_empty() || request.param("GroupName.1").is_some() {
        return Err(not_played(request, "with filters or names"));
    }
    let asked = numbered(request, "GroupId");
    if asked.is_empty() {
        return Err(not_played(request, "without group ids"));
    }
    let mut groups = Vec::new();
    for id in &asked {
        let group = state.security_groups.get(id).ok_or_else(|| {
            if is_id(id, "sg") {
                let message = format!("The security group '{id}' does not exist");
                ServiceError::new("InvalidGroup.NotFound", 400, &message)
            } else {
                let message = format!("Invalid id: \"{id}\"");
                ServiceError::new("InvalidGroupId.Malformed", 400, &message)
            }
        })?;
        groups.push(group_json(&state.options.account, group));
    }
    let result = json!({ "SecurityGroups": groups });
    Ok(reply(state, "DescribeSecurityGroups", &result))
}

fn group_json(account: &str, group: &SecurityGroup) -> Value {
    let egress: Value = (group.egress.iter())
        .map(|rule| {
            let list = |kind, json: &dyn Fn(&String) -> Value| of(rule, kind).map(json).collect::<Value>();
            json!({
                "IpProtocol": rule.protocol,
                "FromPort": rule.ports.map(|(first, _)| first),
                "ToPort": rule.ports.map(|(_, last)| last),
                "UserIdGroupPairs": list(Kind::Group, &|id| json!({"UserId": account, "GroupId": id})),
                "IpRanges": list(Kind::V4, &|range| json!({"CidrIp": range})),
                "Ipv6Ranges": list(Kind::V6, &|range| json!({"CidrIpv6": range})),
                "PrefixListIds": list(Kind::PrefixList, &|id| json!({"PrefixListId": id})),
            })
        })
        .collect();
    json!({
        "OwnerId": account,
        "GroupId": group.id,
        "GroupName": group.id,
        "Description": group.id,
        "VpcId": group.vpc_id,
        // What it lets in is no part of this world.
        "IpPermissions": [],
        "IpPermissionsEgress": egress,
        "Tags": [],
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Group,
    PrefixList,
    V4,
    V6,
}

fn of(rule: &EgressRule, kind: Kind) -> impl Iterator<Item = &String> {
    rule.to.iter().filter(move |to| {
        let is = if to.starts_with("sg-") {
            Kind::Group
        } else if to.starts_with("pl-") {
            Kind::PrefixList
        } else if to.contains(':') {
            Kind::V6
        } else {
            Kind::V4
        };
        is == kind
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::SecurityGroup;
    use crate::service::testing::*;

    #[test]
    fn a_group_tells_what_it_lets_out() {
        let (world, _) = still_world(|_| {});
        let id = "sg-0150ca7ed0000000a";
        let group = SecurityGroup::closed(id, "vpc-1").letting_out("tcp", "::/0");
        world.add_security_group(group);
        let answer = ec2(&world, "DescribeSecurityGroups", &[("GroupId.1", id)]);
        let told = answer.element("ipPermissionsEgress").unwrap();
        assert!(told.contains("<cidrIp>127.0.0.1/32</cidrIp>"), "{told}");
        assert!(told.contains("<fromPort>443</fromPort>"), "{told}");
        assert!(told.contains("<cidrIpv6>::/0</cidrIpv6>"), "{told}");
        for (id, code) in [
            ("sg-0150ca7ed0000000b", "InvalidGroup.NotFound"),
            ("databases", "InvalidGroupId.Malformed"),
        ] {
            let answer = ec2(&world, "DescribeSecurityGroups", &[("GroupId.1", id)]);
            assert_eq!(
                (answer.status, answer.element("Code").unwrap()),
                (400, code.to_owned())
            );
        }
    }
}
