//! Route tables.

use serde::Deserialize;

/// A route table of a VPC.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTable {
    /// `rtb-…`.
    pub id: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Whether it is the main one of its VPC.
    #[serde(default)]
    pub is_main: bool,
    /// Ids of the subnets whose own table it is.
    #[serde(default)]
    pub subnets: Vec<String>,
    /// Its routes.
    pub routes: Vec<Route>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// A range of IPv4 or IPv6, or a prefix list (`pl-…`).
    pub destination: String,
    /// What it leads through: `local`, or an id such as `igw-…` or the ARN of a core network, by which its kind is known.
    pub target: String,
    /// What it leads through is not available.
    #[serde(default)]
    pub is_blackhole: bool,
}

impl Route {
    /// A route whose target is available.
    pub fn new(destination: &str, target: &str) -> Route {
        Route {
            destination: destination.to_owned(),
            target: target.to_owned(),
            is_blackhole: false,
        }
    }
}

impl RouteTable {
    /// The table that `infra/network.yaml` makes for these subnets: nothing leads out of the VPC but to the gateway
    /// endpoints of S3 and DynamoDB.
    pub fn isolated(id: &str, vpc_id: &str, cidr: &str, subnets: &[&str]) -> RouteTable {
        RouteTable {
            id: id.to_owned(),
            vpc_id: vpc_id.to_owned(),
            is_main: false,
            subnets: subnets.iter().map(|id| (*id).to_owned()).collect(),
            routes: vec![
                Route::new(cidr, "local"),
                Route::new("pl-6ea54007", "vpce-0150ca7ed00000053"),
                Route::new("pl-66a5400f", "vpce-0150ca7ed000000db"),
            ],
        }
    }

    /// The main table of a VPC, as EC2 makes it.
    pub fn main(id: &str, vpc_id: &str, cidr: &str) -> RouteTable {
        RouteTable {
            is_main: true,
            routes: vec![Route::new(cidr, "local")],
            ..RouteTable::isolated(id, vpc_id, cidr, &[])
        }
    }

    /// The same, with another route.
    #[must_use]
    pub fn leading(mut self, destination: &str, target: &str) -> RouteTable {
        self.routes.push(Route::new(destination, target));
        self
    }
}
