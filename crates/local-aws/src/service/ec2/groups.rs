//! Security groups and what they let out.

use crate::wire::xml::Xml;
use crate::wire::{Reply, Request, ServiceError};
use crate::world::seed::{EgressRule, SecurityGroup};
use crate::world::state::State;

use super::{Answer, filters, is_id, list, not_played, numbered};

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
        groups.push(group.clone());
    }
    let request_id = state.new_uuid("request");
    let account = &state.options.account;
    Ok(Reply::ec2("DescribeSecurityGroups", &request_id, |xml| {
        list(xml, "securityGroupInfo", groups, |xml, group| {
            write(xml, account, &group);
        });
    }))
}

fn write(xml: &mut Xml, account: &str, group: &SecurityGroup) {
    xml.text("ownerId", account)
        .text("groupId", &group.id)
        .text("groupName", &group.id)
        .text("groupDescription", &group.id)
        .text("vpcId", &group.vpc_id);
    // What it lets in is no part of this world.
    xml.element("ipPermissions", |_| ());
    list(xml, "ipPermissionsEgress", &group.egress, |xml, rule| {
        xml.text("ipProtocol", &rule.protocol);
        xml.optional("fromPort", rule.ports.map(|(first, _)| first));
        xml.optional("toPort", rule.ports.map(|(_, last)| last));
        list(xml, "groups", of(rule, Kind::Group), |xml, id| {
            xml.text("userId", account).text("groupId", id);
        });
        list(xml, "ipRanges", of(rule, Kind::V4), |xml, range| {
            xml.text("cidrIp", range);
        });
        list(xml, "ipv6Ranges", of(rule, Kind::V6), |xml, range| {
            xml.text("cidrIpv6", range);
        });
        list(
            xml,
            "prefixListIds",
            of(rule, Kind::PrefixList),
            |xml, id| {
                xml.text("prefixListId", id);
            },
        );
    });
    list(xml, "tagSet", [(); 0], |_, ()| ());
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
