//! Route tables: what they are the tables of, and where they lead.

use serde_json::{Map, Value, json};

use crate::wire::{Request, ServiceError};
use crate::world::seed::{Route, RouteTable};
use crate::world::state::State;

use super::{Answer, filters, is_id, not_played, numbered, reply};

/// How many tables a page may be asked to hold (EC2 API reference, "DescribeRouteTables").
const PAGE: std::ops::RangeInclusive<usize> = 5..=100;

/// By what member a route names what it leads through, and what the ids of that begin with.
const TARGETS: [(&str, &str); 10] = [
    ("nat-", "NatGatewayId"),
    ("tgw-", "TransitGatewayId"),
    ("pcx-", "VpcPeeringConnectionId"),
    ("eigw-", "EgressOnlyInternetGatewayId"),
    ("eni-", "NetworkInterfaceId"),
    ("lgw-", "LocalGatewayId"),
    ("cagw-", "CarrierGatewayId"),
    ("arn:", "CoreNetworkArn"),
    // Whatever an interface belongs to is named beside it; an instance alone was, before there were interfaces.
    ("i-", "InstanceId"),
    // `local`, internet gateways, virtual private gateways, and endpoints of both kinds that routes lead to.
    ("", "GatewayId"),
];

pub(super) fn describe(state: &mut State, request: &Request) -> Answer {
    let asked = numbered(request, "RouteTableId");
    for id in &asked {
        if !is_id(id, "rtb") {
            // Code and words: terraform-linters/tflint #90.
            let message = format!("Invalid id: \"{id}\"");
            return Err(ServiceError::new(
                "InvalidRouteTableId.Malformed",
                400,
                &message,
            ));
        }
        if !state.route_tables.contains_key(id) {
            // Code and words: C2Devel/terraform-examples #8, which quotes AWS.
            let message = format!("The routeTable ID '{id}' does not exist");
            return Err(ServiceError::new(
                "InvalidRouteTableID.NotFound",
                400,
                &message,
            ));
        }
    }
    let filters = filters(request);
    for (name, values) in &filters {
        if !FILTERS.contains(&name.as_str()) {
            // Words: aws/aws-cli #4013. Those that EC2 has and this world has not are refused as well.
            let message = format!("The filter '{name}' is invalid");
            return Err(ServiceError::new("InvalidParameterValue", 400, &message));
        }
        if values.iter().any(|value| value.contains(['*', '?'])) {
            return Err(not_played(request, "with wildcards in filters"));
        }
    }
    let start: usize = match request.param("NextToken") {
        None => 0,
        Some(token) => {
            let at = token.strip_prefix("page-").and_then(|at| at.parse().ok());
            // Source: EC2 API reference, "Error codes".
            at.ok_or_else(|| {
                let message = "The specified pagination token is not valid.";
                ServiceError::new("InvalidPaginationToken", 400, message)
            })?
        }
    };
    let size = match request.param("MaxResults") {
        Some(text) => {
            let size = text.parse().ok().filter(|size| PAGE.contains(size));
            // Code and the words of too few: aws/aws-sdk-ruby #2575.
            size.ok_or_else(|| {
                let message = format!(
                    "Value ( {text} ) for parameter maxResults is invalid. Expecting a value greater than 5."
                );
                ServiceError::new("InvalidParameterValue", 400, &message)
            })?
        }
        None if !asked.is_empty() => usize::MAX,
        // In accounts with many tables, whatever filters say (hashicorp/terraform-provider-aws #31344). Here always, since
        // nobody knows how many are many.
        None => {
            let message = "Unpaginated and unqualified requests are not permitted.";
            return Err(ServiceError::new("OperationNotPermitted", 400, message));
        }
    };
    // A page is cut before it is filtered, and may be empty though others follow (aws/aws-sdk-ruby #689).
    let size = size.min(state.options.page_size);
    let end = start.saturating_add(size);
    let account = &state.options.account;
    let page = state.route_tables.values().skip(start).take(size);
    let tables: Value = page
        .filter(|table| asked.is_empty() || asked.contains(&table.id))
        .filter(|table| {
            filters
                .iter()
                .all(|(name, values)| passes(table, name, values))
        })
        .map(|table| table_json(account, table))
        .collect();
    let more = state.route_tables.len() > end;
    let result = json!({
        "RouteTables": tables,
        "NextToken": more.then(|| format!("page-{end}")),
    });
    Ok(reply(state, "DescribeRouteTables", &result))
}

const FILTERS: [&str; 4] = [
    "association.main",
    "association.subnet-id",
    "route-table-id",
    "vpc-id",
];

/// Whether a table has one of a filter's values. Those of associations look for any of the table's; a table without one has
/// none (aws/aws-cli #1810).
fn passes(table: &RouteTable, name: &str, values: &[String]) -> bool {
    let is = |value: &str| values.iter().any(|one| one == value);
    match name {
        "association.main" => {
            table.is_main && is("true") || !table.subnets.is_empty() && is("false")
        }
        "association.subnet-id" => table.subnets.iter().any(|subnet| is(subnet)),
        "route-table-id" => is(&table.id),
        _ => is(&table.vpc_id),
    }
}

/// All of a table, whatever part of it a filter looked at (aws/aws-cli #1762).
fn table_json(account: &str, table: &RouteTable) -> Value {
    let association = |subnet: Option<&String>| {
        // A subnet is named by its own association only: "A subnet ID is not returned for an implicit association" (EC2 API
        // reference, "RouteTableAssociation").
        let of = subnet.unwrap_or(&table.id);
        let number = of.split_once('-').map_or("", |(_, number)| number);
        json!({
            "Main": subnet.is_none(),
            "RouteTableAssociationId": format!("rtbassoc-{number}"),
            "RouteTableId": table.id,
            "SubnetId": subnet,
            "AssociationState": { "State": "associated" },
        })
    };
    let main = table.is_main.then(|| association(None));
    let own = table.subnets.iter().map(|subnet| association(Some(subnet)));
    json!({
        "Associations": main.into_iter().chain(own).collect::<Value>(),
        "PropagatingVgws": [],
        "RouteTableId": table.id,
        "Routes": table.routes.iter().map(route_json).collect::<Value>(),
        "Tags": [],
        "VpcId": table.vpc_id,
        "OwnerId": account,
    })
}

fn route_json(route: &Route) -> Value {
    let destination = match route.destination.as_str() {
        list if list.starts_with("pl-") => "DestinationPrefixListId",
        range if range.contains(':') => "DestinationIpv6CidrBlock",
        _ => "DestinationCidrBlock",
    };
    let mut named = TARGETS.iter();
    let target = named.find(|(prefix, _)| route.target.starts_with(prefix));
    let is_local = route.target == "local";
    let mut members = Map::new();
    members.insert(destination.to_owned(), json!(route.destination));
    if let Some((_, member)) = target {
        members.insert((*member).to_owned(), json!(route.target));
    }
    let state = if route.is_blackhole {
        "blackhole"
    } else {
        "active"
    };
    members.insert("State".to_owned(), json!(state));
    let origin = if is_local {
        "CreateRouteTable"
    } else {
        "CreateRoute"
    };
    members.insert("Origin".to_owned(), json!(origin));
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::service::testing::*;
    use crate::{RouteTable, World};

    const OWN: &str = "rtb-0150ca7ed0000000a";
    const MAIN: &str = "rtb-0150ca7ed0000000b";
    const OTHER: &str = "rtb-0150ca7ed0000000c";
    const SUBNET: &str = "subnet-0150ca7ed0000000a";

    /// Two tables of `vpc-1`, one of `vpc-2`.
    fn world() -> World {
        let (world, _) = still_world(|_| {});
        let cidr = "10.255.0.0/24";
        let own = RouteTable::isolated(OWN, "vpc-1", cidr, &[SUBNET]);
        world.add_route_table(own.leading("::/0", "eigw-0150ca7ed0000000e"));
        world.add_route_table(RouteTable::main(MAIN, "vpc-1", cidr));
        world.add_route_table(RouteTable::main(OTHER, "vpc-2", cidr));
        world
    }

    /// The ids of the tables that a request answers.
    fn ids(world: &World, parameters: &[(&str, &str)]) -> Vec<String> {
        let answer = ec2(world, "DescribeRouteTables", parameters);
        assert_eq!(answer.status, 200, "{}", answer.text());
        // The id of a table stands beside its propagations, that of an association elsewhere.
        let text = answer.text();
        let after = text.split("<propagatingVgwSet").skip(1);
        let id = |text: &str| {
            let (_, text) = text.split_once("<routeTableId>").unwrap();
            text.split_once('<').unwrap().0.to_owned()
        };
        after.map(id).collect()
    }

    #[test]
    fn a_table_tells_where_it_leads_and_whose_it_is() {
        let world = world();
        let answer = ec2(&world, "DescribeRouteTables", &[("RouteTableId.1", OWN)]);
        let told = answer.text();
        for part in [
            "<destinationCidrBlock>10.255.0.0/24</destinationCidrBlock>",
            "<gatewayId>local</gatewayId>",
            "<destinationPrefixListId>pl-6ea54007</destinationPrefixListId>",
            "<destinationIpv6CidrBlock>::/0</destinationIpv6CidrBlock>",
            "<egressOnlyInternetGatewayId>eigw-0150ca7ed0000000e</egressOnlyInternetGatewayId>",
            "<subnetId>subnet-0150ca7ed0000000a</subnetId>",
            "<associationState><state>associated</state></associationState>",
            "<main>false</main>",
        ] {
            assert!(told.contains(part), "{told} lacks {part}");
        }
        let answer = ec2(&world, "DescribeRouteTables", &[("RouteTableId.1", MAIN)]);
        let told = answer.text();
        assert!(told.contains("<main>true</main>"), "{told}");
        assert!(
            !told.contains("subnetId"),
            "an implicit association: {told}"
        );
    }

    #[test]
    fn filters_narrow_what_is_told() {
        let world = world();
        let filtered = |pairs: &[(&str, &str)]| {
            let mut parameters = vec![("MaxResults".to_owned(), "100".to_owned())];
            for (number, (name, value)) in (1..).zip(pairs) {
                parameters.push((format!("Filter.{number}.Name"), (*name).to_owned()));
                parameters.push((format!("Filter.{number}.Value.1"), (*value).to_owned()));
            }
            let parameters: Vec<_> = parameters
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            ids(&world, &parameters)
        };
        assert_eq!(filtered(&[("vpc-id", "vpc-1")]), [OWN, MAIN]);
        assert_eq!(filtered(&[("association.subnet-id", SUBNET)]), [OWN]);
        assert_eq!(filtered(&[("association.main", "false")]), [OWN]);
        let of_both = [("association.main", "true"), ("vpc-id", "vpc-2")];
        assert_eq!(filtered(&of_both), [OTHER]);
        assert!(filtered(&[("vpc-id", "vpc-3")]).is_empty());
    }

    #[test]
    fn pages_are_asked_for_and_followed() {
        let world = world();
        let token = |name, value| [("MaxResults", "100"), (name, value)];
        assert_eq!(ids(&world, &token("NextToken", "page-1")), [MAIN, OTHER]);
        for (parameters, code) in [
            (&[][..], "OperationNotPermitted"),
            (
                &[("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", "vpc-1")],
                "OperationNotPermitted",
            ),
            (&[("MaxResults", "4")], "InvalidParameterValue"),
            (&[("MaxResults", "101")], "InvalidParameterValue"),
            (&token("NextToken", "mine"), "InvalidPaginationToken"),
            (
                &[("RouteTableId.1", "rtb-0150ca7ed0000000d")],
                "InvalidRouteTableID.NotFound",
            ),
            (
                &[("RouteTableId.1", "routes")],
                "InvalidRouteTableId.Malformed",
            ),
            (
                &token("Filter.1.Name", "subnet-id"),
                "InvalidParameterValue",
            ),
        ] {
            let answer = ec2(&world, "DescribeRouteTables", parameters);
            assert_eq!(answer.element("Code").unwrap(), code, "{parameters:?}");
        }
    }
}
