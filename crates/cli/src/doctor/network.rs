//! The isolated network: there, in two zones, and without a way out.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    Filter, Route, RouteTable, RouteTableAssociation, RouteTableAssociationStateCode, Subnet,
    VpcEndpoint, VpcEndpointType,
};
use aws_sdk_rds::types::DbSubnetGroup;
use restore_proof_function::aws::{AwsError, call, failed};
use restore_proof_function::resource::groups::ways_out;
use restore_proof_function::resource::routes;

use super::Findings;
use super::stack::Stack;

/// What CloudFormation would make anew, or say of a change by hand.
const DRIFT: &str = "CloudFormation shows what was changed: aws cloudformation detect-stack-drift (of the nested stack Network)";

pub(super) async fn examine(stack: &Stack, findings: &mut Findings) {
    let config = &stack.config;
    if config.calls_rds() {
        examine_subnet_group(stack, findings).await;
    }
    let wanted: BTreeSet<&str> = config
        .subnets
        .iter()
        .chain(&config.machine_subnets)
        .map(String::as_str)
        .collect();
    let mut routed = wanted.clone();
    match subnets(stack, &wanted).await {
        Ok(there) => {
            judge_subnets(findings, &wanted, &there);
            routed.retain(|id| there.iter().any(|one| one.subnet_id() == Some(id)));
        }
        Err(error) => findings.refused("subnets", "the isolated subnets", &error),
    }
    match route_tables(stack).await {
        Ok(tables) => {
            let mut used: BTreeMap<&str, (&RouteTable, Vec<&str>)> = BTreeMap::new();
            for subnet in &routed {
                if let Some(table) = table_of(&tables, subnet) {
                    let id = table.route_table_id().unwrap_or_default();
                    let (_, subnets) = used.entry(id).or_insert((table, Vec::new()));
                    subnets.push(subnet);
                } else {
                    let words = format!("subnet {subnet} has no route table in the network");
                    findings.broken("routes", words, DRIFT);
                }
            }
            for (table, subnets) in used.values() {
                judge_routes(findings, subnets, table);
            }
            if let Ok(endpoints) = stack.endpoints().await {
                judge_gateways(findings, endpoints, &used.into_keys().collect());
            }
        }
        Err(error) => findings.refused("routes", "the routes of the network", &error),
    }
    let groups: Vec<String> = config
        .network
        .db_security_groups
        .iter()
        .chain(&config.network.machine_security_groups)
        .cloned()
        .collect();
    judge_groups(findings, ways_out(&stack.aws, &groups).await);
}

async fn examine_subnet_group(stack: &Stack, findings: &mut Findings) {
    let name = &stack.config.network.db_subnet_group;
    let asked = stack.aws.rds.describe_db_subnet_groups();
    let asked = asked.db_subnet_group_name(name).send();
    match call("rds:DescribeDBSubnetGroups", asked).await {
        Ok(answer) => {
            judge_subnet_group(findings, name, answer.db_subnet_groups().first());
        }
        Err(error) if error.is(&["DBSubnetGroupNotFoundFault", "DBSubnetGroupNotFound"]) => {
            judge_subnet_group(findings, name, None);
        }
        Err(error) => findings.refused("subnet_group", "the DB subnet group", &error),
    }
}

fn judge_subnet_group(findings: &mut Findings, name: &str, group: Option<&DbSubnetGroup>) {
    let examined = "subnet_group";
    let Some(group) = group else {
        findings.broken(
            examined,
            format!("the DB subnet group {name} does not exist: no database can be restored"),
            DRIFT,
        );
        return;
    };
    let zones: BTreeSet<&str> = group
        .subnets()
        .iter()
        .filter_map(|subnet| subnet.subnet_availability_zone()?.name())
        .collect();
    match group.subnet_group_status() {
        Some("Complete") if zones.len() >= 2 => findings.fine(
            examined,
            format!("DB subnet group {name} is complete, in {} zones", zones.len()),
        ),
        Some("Complete") => findings.broken(
            examined,
            format!(
                "the DB subnet group {name} lies in {} zone, and RDS asks for two",
                zones.len()
            ),
            format!(
                "aws rds modify-db-subnet-group --db-subnet-group-name {name} --subnet-ids <all that SUBNET_IDS of the \
                 function names>"
            ),
        ),
        other => findings.broken(
            examined,
            format!(
                "the DB subnet group {name} is {}, not Complete",
                other.unwrap_or("unknown")
            ),
            DRIFT,
        ),
    }
}

async fn subnets(stack: &Stack, wanted: &BTreeSet<&str>) -> Result<Vec<Subnet>, AwsError> {
    // By a filter: of an id that is not there EC2 would answer for none.
    let ids = wanted.iter().map(|id| (*id).to_owned()).collect();
    let filter = Filter::builder().name("subnet-id").set_values(Some(ids));
    let asked = stack.aws.ec2.describe_subnets().filters(filter.build());
    let mut pages = asked.into_paginator().send();
    let mut subnets = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("ec2:DescribeSubnets"))?;
        subnets.extend(page.subnets.unwrap_or_default());
    }
    Ok(subnets)
}

fn judge_subnets(findings: &mut Findings, wanted: &BTreeSet<&str>, there: &[Subnet]) {
    for id in wanted {
        let Some(subnet) = there.iter().find(|one| one.subnet_id() == Some(id)) else {
            let words = format!("subnet {id} does not exist");
            findings.broken("subnets", words, DRIFT);
            continue;
        };
        match subnet.available_ip_address_count() {
            Some(0) => findings.broken(
                "subnets",
                format!("subnet {id} has no free address left: nothing more can be restored into it"),
                format!(
                    "see what lies in it: aws ec2 describe-network-interfaces --filters Name=subnet-id,Values={id}; lower \
                     MaxConcurrentRestores, or deploy a second stack with a larger VpcCidr"
                ),
            ),
            _ if subnet.map_public_ip_on_launch() == Some(true) => findings.broken(
                "subnets",
                format!("subnet {id} gives public addresses to what is launched in it"),
                format!("aws ec2 modify-subnet-attribute --subnet-id {id} --no-map-public-ip-on-launch"),
            ),
            _ => findings.fine("subnets", format!("subnet {id} exists")),
        }
    }
}

async fn route_tables(stack: &Stack) -> Result<Vec<RouteTable>, AwsError> {
    let vpc = stack.vpc().unwrap_or_default();
    let filter = Filter::builder().name("vpc-id").values(vpc).build();
    let asked = stack.aws.ec2.describe_route_tables().filters(filter);
    // EC2 refuses a request without a page's size in accounts with many tables.
    let mut pages = asked.into_paginator().page_size(100).send();
    let mut tables = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("ec2:DescribeRouteTables"))?;
        tables.extend(page.route_tables.unwrap_or_default());
    }
    Ok(tables)
}

/// The table that a subnet is associated with, or else the network's main one.
fn table_of<'t>(tables: &'t [RouteTable], subnet: &str) -> Option<&'t RouteTable> {
    let associated = |table: &&RouteTable| {
        let mut all = table.associations().iter();
        all.any(|one| one.subnet_id() == Some(subnet) && holds(one))
    };
    let is_main = |table: &&RouteTable| {
        let mut all = table.associations().iter();
        all.any(|one| one.main() == Some(true) && holds(one))
    };
    let mut all = tables.iter();
    all.find(associated).or_else(|| tables.iter().find(is_main))
}

/// Whether an association is neither ended nor failed.
fn holds(one: &RouteTableAssociation) -> bool {
    let state = one.association_state().and_then(|state| state.state());
    !matches!(
        state,
        Some(
            RouteTableAssociationStateCode::Disassociated | RouteTableAssociationStateCode::Failed
        )
    )
}

fn judge_routes(findings: &mut Findings, subnets: &[&str], table: &RouteTable) {
    let id = table.route_table_id().unwrap_or_default();
    let subnets = subnets.join(" and ");
    let ways_out: Vec<(String, String)> = table
        .routes()
        .iter()
        .filter_map(|route| Some((destination_of(route), way_out(route)?)))
        .collect();
    if ways_out.is_empty() {
        let words = format!("the routes of {subnets} lead nowhere but to endpoints");
        findings.fine("routes", words);
    }
    for (destination, to) in ways_out {
        let option = if destination.contains("::") {
            "--destination-ipv6-cidr-block"
        } else if destination.starts_with("pl-") {
            "--destination-prefix-list-id"
        } else {
            "--destination-cidr-block"
        };
        findings.broken(
            "routes",
            format!("there is a way out of {subnets}: the route {destination} leads to {to}"),
            format!("aws ec2 delete-route --route-table-id {id} {option} {destination}"),
        );
    }
}

fn destination_of(route: &Route) -> String {
    let destination = route
        .destination_cidr_block()
        .or(route.destination_ipv6_cidr_block())
        .or(route.destination_prefix_list_id());
    destination.unwrap_or("an unknown destination").to_owned()
}

/// Where a route leads that keeps the function from restoring.
fn way_out(route: &Route) -> Option<String> {
    let judged = routes::route(route);
    judged
        .leads_elsewhere()
        .then(|| match judged.targets.first() {
            Some(target) => target.clone(),
            None => "somewhere that is not known here".to_owned(),
        })
}

/// The gateway endpoints must stand in the tables of the subnets: the function reaches them by a route.
fn judge_gateways(findings: &mut Findings, endpoints: &[VpcEndpoint], used: &BTreeSet<&str>) {
    let is_gateway =
        |one: &&VpcEndpoint| one.vpc_endpoint_type() == Some(&VpcEndpointType::Gateway);
    for endpoint in endpoints.iter().filter(is_gateway) {
        let (id, service) = (
            endpoint.vpc_endpoint_id().unwrap_or_default(),
            endpoint.service_name().unwrap_or_default(),
        );
        let there: BTreeSet<&str> = endpoint
            .route_table_ids()
            .iter()
            .map(String::as_str)
            .collect();
        let missing: Vec<&str> = used.difference(&there).copied().collect();
        if missing.is_empty() {
            findings.fine("gateway_routes", format!("the routes lead to {service}"));
        } else {
            let missing = missing.join(" ");
            findings.broken(
                "gateway_routes",
                format!("no route of {missing} leads to the endpoint of {service}"),
                format!("aws ec2 modify-vpc-endpoint --vpc-endpoint-id {id} --add-route-table-ids {missing}"),
            );
        }
    }
}

fn judge_groups(findings: &mut Findings, ways_out: Result<Vec<String>, AwsError>) {
    let examined = "groups";
    match ways_out {
        Ok(ways) if ways.is_empty() => {
            findings.fine(examined, "the security groups of restores let nothing out");
        }
        Ok(ways) => findings.broken(
            examined,
            format!("{}: whatever is restored is not checked", ways.join("; ")),
            "take the rule out: aws ec2 revoke-security-group-egress --group-id <group> --security-group-rule-ids <rule> \
             (aws ec2 describe-security-group-rules --filters Name=group-id,Values=<group>)",
        ),
        Err(error) if error.is(&["InvalidGroup.NotFound", "InvalidGroupId.NotFound"]) => {
            findings.broken(examined, error.message, DRIFT);
        }
        Err(error) => findings.refused(examined, "the security groups of restores", &error),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::RouteTableAssociation;
    use aws_sdk_rds::types::AvailabilityZone;

    use super::super::{Area, Finding, State};
    use super::*;

    fn found(judge: impl FnOnce(&mut Findings)) -> Vec<Finding> {
        let mut findings = Findings::of(Area::Network);
        judge(&mut findings);
        findings.found
    }

    fn table(id: &str, association: RouteTableAssociation, routes: &[(&str, &str)]) -> RouteTable {
        let routes = routes.iter().map(|(destination, to)| {
            let route = if destination.starts_with("pl-") {
                Route::builder().destination_prefix_list_id(*destination)
            } else {
                Route::builder().destination_cidr_block(*destination)
            };
            if to.starts_with("nat-") {
                route.nat_gateway_id(*to).build()
            } else {
                route.gateway_id(*to).build()
            }
        });
        RouteTable::builder()
            .route_table_id(id)
            .associations(association)
            .set_routes(Some(routes.collect()))
            .build()
    }

    #[test]
    fn a_way_out_is_told_with_the_command_that_closes_it() {
        let association = RouteTableAssociation::builder()
            .subnet_id("subnet-1")
            .build();
        let closed = [("10.255.0.0/24", "local"), ("pl-1", "vpce-1")];
        let good = table("rtb-1", association.clone(), &closed);
        assert_eq!(
            found(|f| judge_routes(f, &["subnet-1"], &good))[0].state,
            State::Fine
        );
        // An endpoint of a Gateway Load Balancer leads to whatever stands behind it.
        for to in ["igw-1", "nat-1", "vpce-1"] {
            let open = table("rtb-1", association.clone(), &[("0.0.0.0/0", to)]);
            let found = found(|f| judge_routes(f, &["subnet-1"], &open));
            assert_eq!(found[0].state, State::Broken, "{to}");
            assert_eq!(
                found[0].remedy.as_deref(),
                Some(
                    "aws ec2 delete-route --route-table-id rtb-1 --destination-cidr-block 0.0.0.0/0"
                )
            );
        }
    }

    #[test]
    fn a_subnet_without_a_table_of_its_own_has_the_main_one() {
        let main = RouteTableAssociation::builder().main(true).build();
        let own = RouteTableAssociation::builder()
            .subnet_id("subnet-1")
            .build();
        let tables = [table("rtb-main", main, &[]), table("rtb-1", own, &[])];
        let of = |subnet| table_of(&tables, subnet).and_then(RouteTable::route_table_id);
        assert_eq!(of("subnet-1"), Some("rtb-1"));
        assert_eq!(of("subnet-2"), Some("rtb-main"));
    }

    #[test]
    fn a_subnet_group_needs_two_zones() {
        let group = |status: &str, zones: &[&str]| {
            let subnets = zones.iter().map(|zone| {
                let zone = AvailabilityZone::builder().name(*zone).build();
                aws_sdk_rds::types::Subnet::builder()
                    .subnet_availability_zone(zone)
                    .build()
            });
            DbSubnetGroup::builder()
                .subnet_group_status(status)
                .set_subnets(Some(subnets.collect()))
                .build()
        };
        let judged = |group: Option<&DbSubnetGroup>| {
            found(|findings| judge_subnet_group(findings, "isolated", group))[0].state
        };
        assert_eq!(judged(Some(&group("Complete", &["a", "b"]))), State::Fine);
        assert_eq!(judged(Some(&group("Complete", &["a", "a"]))), State::Broken);
        assert_eq!(judged(Some(&group("Invalid", &["a", "b"]))), State::Broken);
        assert_eq!(judged(None), State::Broken);
    }

    #[test]
    fn a_full_or_open_subnet_is_found() {
        let subnet = |free, public| {
            Subnet::builder()
                .subnet_id("subnet-1")
                .available_ip_address_count(free)
                .map_public_ip_on_launch(public)
                .build()
        };
        let judged = |there: &[Subnet]| {
            found(|findings| judge_subnets(findings, &BTreeSet::from(["subnet-1"]), there))[0].state
        };
        assert_eq!(judged(&[subnet(100, false)]), State::Fine);
        assert_eq!(judged(&[subnet(0, false)]), State::Broken);
        assert_eq!(judged(&[subnet(100, true)]), State::Broken);
        assert_eq!(judged(&[]), State::Broken);
    }
}
