//! Where the route tables of the isolated network lead. What is restored may reach its own VPC and the gateway endpoints of
//! AWS, and nothing else.

/// A route table, as EC2 describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// Its id: `rtb-…`.
    pub id: String,
    /// What it is the table of.
    pub associations: Vec<Association>,
    /// Its routes, whatever their state.
    pub routes: Vec<Route>,
}

/// What a route table is the table of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    /// The subnet; none if it is that of the VPC, or of a gateway, where what comes in is routed.
    pub subnet: Option<String>,
    /// Whether it is the VPC's main table, which is that of each subnet without one of its own.
    pub is_main: bool,
    /// How the association is.
    pub state: AssociationState,
}

/// How an association is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssociationState {
    /// It holds.
    Associated,
    /// It is being made or ended: whether it holds is not certain.
    Changing,
    /// It holds no more, or never did.
    Ended,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it is the way to.
    pub destination: Destination,
    /// The ids of what it leads through: that of a network interface has its EC2 instance beside it. None where EC2 names
    /// nothing that this version knows.
    pub targets: Vec<String>,
    /// Whether what it leads through is not available now.
    pub is_blackhole: bool,
}

/// What a route is the way to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A range of IPv4 or IPv6.
    Range(String),
    /// A list of ranges: `pl-…`.
    PrefixList(String),
    /// EC2 names nothing that this version knows.
    Unknown,
}

/// What the ids of a route's targets begin with, and what that is (Amazon VPC user guide, "Example routing options"; EC2
/// API reference, "Route").
const TARGETS: [(&str, &str); 12] = [
    ("igw-", "internet gateway"),
    ("eigw-", "egress-only internet gateway"),
    ("nat-", "NAT gateway"),
    ("tgw-", "transit gateway"),
    ("pcx-", "VPC peering connection"),
    ("vgw-", "virtual private gateway"),
    ("eni-", "network interface"),
    ("i-", "EC2 instance"),
    ("lgw-", "local gateway"),
    ("cagw-", "carrier gateway"),
    ("vpce-", "Gateway Load Balancer endpoint"),
    ("arn:", "network"),
];

impl Route {
    /// Whether it leads out of the VPC, or through somebody in it.
    ///
    /// A gateway endpoint is reached by a prefix list of AWS. An endpoint's id with any other destination is that of a
    /// Gateway Load Balancer, behind which may be anything; EC2 takes none for a prefix list ("Cannot create or replace a
    /// prefix list route targeting a VPC Endpoint").
    ///
    /// A blackhole counts as what it leads to: it carries packets again as soon as that is attached again, and the table
    /// does not change by it.
    pub fn leads_elsewhere(&self) -> bool {
        let is_prefix_list = matches!(self.destination, Destination::PrefixList(_));
        let stays =
            |target: &String| target == "local" || is_prefix_list && target.starts_with("vpce-");
        self.targets.is_empty() || !self.targets.iter().all(stays)
    }

    /// `0.0.0.0/0 to internet gateway igw-…`.
    fn words(&self) -> String {
        let destination = match &self.destination {
            Destination::Range(range) => range,
            Destination::PrefixList(id) => id,
            Destination::Unknown => "an unknown destination",
        };
        let named = |target: &String| {
            let mut known = TARGETS.iter();
            let known = known.find(|(prefix, _)| target.starts_with(prefix));
            let kind = known.map_or("target", |(_, kind)| kind);
            format!("{kind} {target}")
        };
        let targets: Vec<String> = self.targets.iter().map(named).collect();
        let targets = match targets.as_slice() {
            [] => "a target of an unknown kind".to_owned(),
            _ => targets.join(", "),
        };
        let state = match self.is_blackhole {
            true => " (a blackhole now)",
            false => "",
        };
        format!("{destination} to {targets}{state}")
    }
}

/// A subnet for which the tables hold none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no route table of subnet {0} is told, and no main one of its VPC")]
pub struct NoTable(pub String);

/// The routes by which these subnets lead elsewhere, each once and in words; nothing if they lead nowhere but to their VPC
/// and to gateway endpoints. `tables` are all those of the VPC.
///
/// # Errors
/// When a subnet's table is not among them: that is never "isolated".
pub fn ways_out(tables: &[RouteTable], subnets: &[String]) -> Result<Vec<String>, NoTable> {
    let mut ways = Vec::new();
    for subnet in subnets {
        for table in tables_of(tables, subnet)? {
            let open = table.routes.iter().filter(|route| route.leads_elsewhere());
            for route in open {
                let way = format!("route table {} leads {}", table.id, route.words());
                if !ways.contains(&way) {
                    ways.push(way);
                }
            }
        }
    }
    Ok(ways)
}

/// The tables that may route what leaves a subnet: its own, and the main one unless its own is certain.
fn tables_of<'t>(tables: &'t [RouteTable], subnet: &str) -> Result<Vec<&'t RouteTable>, NoTable> {
    let is_own = |one: &Association| one.subnet.as_deref() == Some(subnet);
    let with = |fits: &dyn Fn(&Association) -> bool| -> Vec<&'t RouteTable> {
        let held = |table: &&RouteTable| {
            let mut associations = table.associations.iter();
            associations.any(|one| one.state != AssociationState::Ended && fits(one))
        };
        tables.iter().filter(held).collect()
    };
    let mut found = with(&is_own);
    let certain = with(&|one| is_own(one) && one.state == AssociationState::Associated);
    if certain.is_empty() {
        let main = with(&|one| one.is_main);
        if main.is_empty() {
            return Err(NoTable(subnet.to_owned()));
        }
        found.extend(main);
    }
    Ok(found)
}

/// What is said of ways out, and what is to be done about them.
pub fn refusal(ways: &[String]) -> String {
    format!(
        "nothing is restored into a network that leads out: {}. Delete such routes, or associate the subnets with a route \
         table that holds none but local ones and those of gateway endpoints",
        ways.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(to: &str, target: &str) -> Route {
        Route {
            destination: Destination::Range(to.to_owned()),
            targets: vec![target.to_owned()],
            is_blackhole: false,
        }
    }

    fn listed(list: &str, target: &str) -> Route {
        Route {
            destination: Destination::PrefixList(list.to_owned()),
            ..range("", target)
        }
    }

    /// Routes as the stack's own network has them, and this one.
    fn routes(more: Option<Route>) -> Vec<Route> {
        let own = [
            range("10.255.0.0/24", "local"),
            listed("pl-6ea54007", "vpce-0150ca7ed0000000a"),
        ];
        own.into_iter().chain(more).collect()
    }

    fn own(subnet: &str, state: AssociationState) -> Association {
        Association {
            subnet: Some(subnet.to_owned()),
            is_main: false,
            state,
        }
    }

    fn main() -> Association {
        Association {
            subnet: None,
            is_main: true,
            state: AssociationState::Associated,
        }
    }

    fn table(id: &str, associations: Vec<Association>, more: Option<Route>) -> RouteTable {
        RouteTable {
            id: id.to_owned(),
            associations,
            routes: routes(more),
        }
    }

    fn ways(tables: &[RouteTable]) -> Vec<String> {
        let subnets = ["subnet-a".to_owned(), "subnet-b".to_owned()];
        ways_out(tables, &subnets).expect("tables of both")
    }

    use AssociationState::{Associated, Changing, Ended};

    #[test]
    fn the_vpc_and_gateway_endpoints_are_no_way_out() {
        let both = vec![own("subnet-a", Associated), own("subnet-b", Associated)];
        for stays in [
            None,
            Some(range("2001:db8:1::/56", "local")),
            Some(listed("pl-6da54004", "vpce-0150ca7ed0000000b")),
        ] {
            let clean = table("rtb-1", both.clone(), stays);
            assert_eq!(ways(&[clean]), Vec::<String>::new());
        }
    }

    #[test]
    fn every_other_target_is_a_way_out_and_named() {
        for (to, target, words) in [
            ("0.0.0.0/0", "igw-1", "0.0.0.0/0 to internet gateway igw-1"),
            (
                "::/0",
                "eigw-1",
                "::/0 to egress-only internet gateway eigw-1",
            ),
            ("::/0", "igw-1", "::/0 to internet gateway igw-1"),
            ("0.0.0.0/0", "nat-1", "to NAT gateway nat-1"),
            ("10.0.0.0/8", "tgw-1", "10.0.0.0/8 to transit gateway tgw-1"),
            ("10.1.0.0/16", "pcx-1", "to VPC peering connection pcx-1"),
            ("10.2.0.0/16", "vgw-1", "to virtual private gateway vgw-1"),
            ("10.255.0.0/25", "eni-1", "to network interface eni-1"),
            ("0.0.0.0/0", "i-1", "to EC2 instance i-1"),
            ("10.3.0.0/16", "lgw-1", "to local gateway lgw-1"),
            ("0.0.0.0/0", "cagw-1", "to carrier gateway cagw-1"),
            (
                "10.4.0.0/16",
                "arn:aws:networkmanager::1:core-network/core-network-1",
                "to network arn:aws:networkmanager::1:core-network/core-network-1",
            ),
            (
                "0.0.0.0/0",
                "vpce-1",
                "to Gateway Load Balancer endpoint vpce-1",
            ),
            ("0.0.0.0/0", "something-new", "to target something-new"),
        ] {
            let bad = table("rtb-1", vec![main()], Some(range(to, target)));
            let [way] = <[String; 1]>::try_from(ways(&[bad])).expect("one way out");
            assert!(way.starts_with("route table rtb-1 leads "), "{way}");
            assert!(way.ends_with(words), "{way:?} lacks {words:?}");
        }
        // A list of ranges leads out as well as a range does.
        let bad = table("rtb-1", vec![main()], Some(listed("pl-1", "tgw-1")));
        assert_eq!(
            ways(&[bad]),
            ["route table rtb-1 leads pl-1 to transit gateway tgw-1"]
        );
    }

    #[test]
    fn what_is_not_known_is_a_way_out() {
        let unknown = Route {
            destination: Destination::Unknown,
            targets: vec![],
            is_blackhole: false,
        };
        let words = "route table rtb-1 leads an unknown destination to a target of an unknown kind";
        assert_eq!(
            ways(&[table("rtb-1", vec![main()], Some(unknown))]),
            [words]
        );
    }

    #[test]
    fn one_of_several_targets_is_enough() {
        let mut route = range("0.0.0.0/0", "local");
        route.targets.push("eni-1".to_owned());
        assert_eq!(ways(&[table("rtb-1", vec![main()], Some(route))]).len(), 1);
    }

    #[test]
    fn a_blackhole_is_the_way_to_where_it_leads() {
        let mut route = range("0.0.0.0/0", "nat-1");
        route.is_blackhole = true;
        assert_eq!(
            ways(&[table("rtb-1", vec![main()], Some(route))]),
            ["route table rtb-1 leads 0.0.0.0/0 to NAT gateway nat-1 (a blackhole now)"]
        );
    }

    #[test]
    fn the_main_table_counts_where_a_subnet_has_none_of_its_own() {
        let bad = || Some(range("0.0.0.0/0", "igw-1"));
        let of = |subnets: &[&str]| subnets.iter().map(|id| own(id, Associated)).collect();
        let main_open = table("rtb-main", vec![main()], bad());
        // Subnet B has none.
        let first = table("rtb-1", of(&["subnet-a"]), None);
        assert_eq!(
            ways(&[first, main_open.clone()]),
            ["route table rtb-main leads 0.0.0.0/0 to internet gateway igw-1"]
        );
        let both = table("rtb-1", of(&["subnet-a", "subnet-b"]), None);
        assert_eq!(ways(&[both, main_open]), Vec::<String>::new());
        // Each has its own; only one of them is open, and a third is of nobody here.
        let clean_main = table("rtb-main", vec![main()], None);
        let other = table("rtb-3", of(&["subnet-c"]), bad());
        let tables = [
            clean_main,
            other,
            table("rtb-1", of(&["subnet-a"]), None),
            table("rtb-2", of(&["subnet-b"]), bad()),
        ];
        assert_eq!(
            ways(&tables),
            ["route table rtb-2 leads 0.0.0.0/0 to internet gateway igw-1"]
        );
    }

    #[test]
    fn an_association_that_changes_makes_both_tables_count() {
        let bad = || Some(range("0.0.0.0/0", "igw-1"));
        let of = |state| vec![own("subnet-a", state), own("subnet-b", state)];
        let open_main = table("rtb-main", vec![main()], bad());
        for state in [Changing, Ended] {
            let clean = table("rtb-1", of(state), None);
            assert_eq!(ways(&[clean, open_main.clone()]).len(), 1, "{state:?}");
        }
        let clean_main = table("rtb-main", vec![main()], None);
        let open = |state| table("rtb-1", of(state), bad());
        assert_eq!(ways(&[open(Changing), clean_main.clone()]).len(), 1);
        assert_eq!(ways(&[open(Ended), clean_main]), Vec::<String>::new());
    }

    #[test]
    fn a_table_of_a_gateway_is_nobodys_way_out() {
        let of_gateway = Association {
            subnet: None,
            is_main: false,
            state: Associated,
        };
        let open = table("rtb-1", vec![of_gateway], Some(range("0.0.0.0/0", "eni-1")));
        let tables = [open, table("rtb-main", vec![main()], None)];
        assert_eq!(ways(&tables), Vec::<String>::new());
    }

    #[test]
    fn a_subnet_without_a_table_is_never_isolated() {
        let first = table("rtb-1", vec![own("subnet-a", Associated)], None);
        let subnets = ["subnet-a".to_owned(), "subnet-b".to_owned()];
        let missing = Err(NoTable("subnet-b".to_owned()));
        assert_eq!(ways_out(&[first], &subnets), missing);
        assert!(ways_out(&[], &subnets).is_err());
    }

    #[test]
    fn a_refusal_names_every_way_and_what_to_do() {
        let told = refusal(&["route table rtb-1 leads a to b".to_owned(), "c".to_owned()]);
        assert!(
            told.contains("route table rtb-1 leads a to b; c. Delete such routes"),
            "{told}"
        );
    }
}
