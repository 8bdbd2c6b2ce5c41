//! Route tables: where the isolated network leads.

use aws_sdk_ec2::types::{self, Filter, RouteTableAssociationStateCode as StateCode};
use restore_proof_core::routes::{
    self, Association, AssociationState, Destination, Route, RouteTable,
};

use crate::aws::{Aws, AwsError, call};

/// How many tables a page may hold (EC2 API reference, "DescribeRouteTables"). Pages are asked for, since EC2 refuses a
/// request without in accounts with many tables, whatever its filters say (hashicorp/terraform-provider-aws #31344).
const PAGE: i32 = 100;

/// The routes of these subnets of a VPC that lead elsewhere, each in words; nothing if they lead nowhere but to the VPC
/// itself and to gateway endpoints. All tables of the VPC are asked for, since EC2 names no subnet at the main table.
///
/// # Errors
/// When EC2 refuses or does not answer; an answer without the table of a subnet is an error too, never "isolated".
pub(super) async fn ways_out(
    aws: &Aws,
    vpc: &str,
    subnets: &[String],
) -> Result<Vec<String>, AwsError> {
    const OPERATION: &str = "ec2:DescribeRouteTables";
    let of_vpc = Filter::builder().name("vpc-id").values(vpc).build();
    let (mut tables, mut token) = (Vec::new(), None);
    loop {
        let asked = aws.ec2.describe_route_tables();
        let asked = asked.filters(of_vpc.clone()).max_results(PAGE);
        let page = call(OPERATION, asked.set_next_token(token).send()).await?;
        tables.extend(page.route_tables().iter().map(table));
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    routes::ways_out(&tables, subnets).map_err(|missing| AwsError {
        operation: OPERATION,
        code: None,
        message: format!("of VPC {vpc} {missing}"),
    })
}

fn table(table: &types::RouteTable) -> RouteTable {
    RouteTable {
        id: table.route_table_id().unwrap_or_default().to_owned(),
        associations: table.associations().iter().map(association).collect(),
        routes: table.routes().iter().map(route).collect(),
    }
}

fn association(one: &types::RouteTableAssociation) -> Association {
    let state = one.association_state().and_then(|state| state.state());
    Association {
        subnet: one.subnet_id().map(str::to_owned),
        is_main: one.main() == Some(true),
        state: match state {
            None | Some(StateCode::Associated) => AssociationState::Associated,
            Some(StateCode::Disassociated | StateCode::Failed) => AssociationState::Ended,
            // Being changed, or in a state of which nothing is known.
            Some(_) => AssociationState::Changing,
        },
    }
}

/// A route as it is judged.
pub fn route(route: &types::Route) -> Route {
    let range = route.destination_cidr_block();
    let range = range.or(route.destination_ipv6_cidr_block());
    let destination = match (route.destination_prefix_list_id(), range) {
        (Some(list), _) => Destination::PrefixList(list.to_owned()),
        (None, Some(range)) => Destination::Range(range.to_owned()),
        (None, None) => Destination::Unknown,
    };
    let targets = [
        route.gateway_id(),
        route.nat_gateway_id(),
        route.transit_gateway_id(),
        route.vpc_peering_connection_id(),
        route.egress_only_internet_gateway_id(),
        route.network_interface_id(),
        route.instance_id(),
        route.local_gateway_id(),
        route.carrier_gateway_id(),
        route.core_network_arn(),
        route.odb_network_arn(),
        route.ip_address(),
    ];
    Route {
        destination,
        targets: targets.into_iter().flatten().map(str::to_owned).collect(),
        is_blackhole: route.state() == Some(&types::RouteState::Blackhole),
    }
}
