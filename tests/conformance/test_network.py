"""The isolated network lets the function reach what it calls and checks, and lets out nothing else.

The calls themselves go through it in test_permissions.py; here stand its walls, whoever calls.
"""

import copy

import pytest

from deployment import PEOPLES, SETTINGS, Deployment
from network import HTTPS, Network, hosts
from iam import Request, Statement, refusal
from test_policies import ACCOUNT, EXISTING, REGION

#: GovCloud as well, as far as names go; and a VPC that was there.
PLACES = SETTINGS | {"gov": {"AWS::Region": "us-gov-west-1", "AWS::Partition": "aws-us-gov"},
                     "existing VPC": EXISTING["existing VPC"]}


def network(setting="defaults", change=lambda raw: None):
    """The network of a deployment; `change` plants a fault into its template."""
    nested = copy.copy(Deployment(PEOPLES | PLACES[setting]).network)
    nested.raw = copy.deepcopy(nested.raw)
    change(nested.raw["Resources"])
    return Network(nested)


def function(net):
    return net.group("FunctionSecurityGroup"), net.subnets


def no_way(net, service):
    """Why a service cannot be reached by one of the hosts that an SDK may ask."""
    bucket = "results" if service == "s3" else None
    found = [net.no_way(service, host, *function(net)) for host in hosts(service, net.region, ACCOUNT, bucket)]
    return next((why for why in found if why), None)


SERVICES = sorted(network().endpoints)


@pytest.mark.parametrize("setting", PLACES)
@pytest.mark.parametrize("service", SERVICES)
def test_the_function_reaches_every_endpoint(service, setting):
    assert no_way(network(setting), service) is None


def test_dynamodb_is_asked_with_the_account_and_s3_with_the_bucket():
    assert hosts("dynamodb", REGION, ACCOUNT) == sorted(
        [f"{ACCOUNT}.ddb.{REGION}.amazonaws.com", f"dynamodb.{REGION}.amazonaws.com"])
    assert hosts("s3", REGION, ACCOUNT, "results") == sorted(
        [f"results.s3.{REGION}.amazonaws.com", f"s3.{REGION}.amazonaws.com"])
    assert hosts("s3", REGION, ACCOUNT, "my.results") == [f"s3.{REGION}.amazonaws.com"], "no certificate has dots"


@pytest.mark.parametrize("setting", PLACES)
def test_names_of_restored_databases_resolve_and_no_others(setting):
    net = network(setting)
    assert net.resolves(f"restore-proof-1.c1abcdefghij.{net.region}.rds.{net.suffix}")
    for host in ("data.attacker.example", f"sts.{net.region}.{net.suffix}", "example.com",
                 f"kms.{net.region}.{net.suffix}", f"s3.ca-west-1.{net.suffix}",
                 f"backup.{net.region}.{net.suffix}.attacker.example",
                 f"attackers3.{net.region}.{net.suffix}", f"444455556666.ddb.{net.region}.{net.suffix}"):
        assert not net.resolves(host), host


# --- what is restored --------------------------------------------------------------------------------

RESTORED = {"DatabaseSecurityGroup": (1150, 65535), "MachineSecurityGroup": (1, 65535)}
PORTS = (1, 22, 80, 443, 1149, 1150, 1433, 3306, 5432, 8080, 65535)


@pytest.mark.parametrize("setting", PLACES)
@pytest.mark.parametrize("name", RESTORED)
def test_checks_reach_what_is_restored_on_the_ports_it_may_have(name, setting):
    net = network(setting)
    group, _ = function(net)
    first, last = RESTORED[name]
    for port in PORTS:
        # "Valid values: 1150-65535" (RDS API reference, CreateDBInstance, Port).
        assert net.reaches(group, net.group(name), port) is (first <= port <= last), port


@pytest.mark.parametrize("setting", PLACES)
def test_what_is_restored_has_no_way_out_and_nobody_else_a_way_in(setting):
    net = network(setting)
    group, _ = function(net)
    groups = {name: net.group(name) for name in net.template.resources("AWS::EC2::SecurityGroup")}
    for name in groups.keys() - {"FunctionSecurityGroup"}:
        for port in PORTS:
            for other in groups.values():
                assert not net.lets_out(groups[name], port, to_group=other), (name, port)
                assert net.lets_in(groups[name], port, from_group=other) <= (other == group), (name, port)
            for address in ("10.255.0.5", "169.254.169.254", "8.8.8.8", "52.95.110.1"):
                assert not net.lets_out(groups[name], port, address=address), (name, port, address)
                assert not net.lets_in(groups[name], port, address=address), (name, port, address)
    for port in PORTS:
        assert not any(net.lets_in(group, port, from_group=other) for other in groups.values()), "into the function"


@pytest.mark.parametrize("setting", PLACES)
def test_the_function_goes_out_to_addresses_only_for_gateway_endpoints(setting):
    net = network(setting)
    group, subnets = function(net)
    for port in PORTS:
        public = net.lets_out(group, port, address="52.95.110.1")
        # Without the Region's prefix lists any address may be named on 443: routes lead to the gateways alone.
        assert public is (port == HTTPS and setting != "everything")
    # No route but the local one and those of the gateway endpoints.
    kinds = {resource["Type"] for resource in net.template.raw["Resources"].values()}
    assert not kinds & {"AWS::EC2::Route", "AWS::EC2::InternetGateway", "AWS::EC2::NatGateway",
                        "AWS::EC2::VPCPeeringConnection", "AWS::EC2::TransitGatewayAttachment", "AWS::EC2::VPNGateway",
                        "AWS::EC2::EgressOnlyInternetGateway", "AWS::EC2::VPCGatewayAttachment"}


# --- whom the endpoints serve ------------------------------------------------------------------------

ANYTHING = [Statement.of({"Effect": "Allow", "Action": "*", "Resource": "*"})]


def served(net, service, principal):
    """What an endpoint lets pass of all that its policy names, for somebody who may do everything."""
    policy = net.policy(service)
    asked = {(action, resource.replace("*", "x")) for s in policy for action in s.actions for resource in s.resources}
    assert asked
    context = {"aws:PrincipalArn": principal, "aws:PrincipalAccount": principal.split(":")[4]}
    return {ask for ask in asked if refusal(Request(*ask, context, principal), ANYTHING, endpoint=policy) is None}


@pytest.mark.parametrize("setting", PLACES)
@pytest.mark.parametrize("service", SERVICES)
def test_an_endpoint_serves_the_functions_role_and_nobody_else(service, setting):
    stack = Deployment(PEOPLES | PLACES[setting])
    net, ours = Network(stack.network), stack.main.arn("FunctionRole")
    assert served(net, service, ours)
    for other in (stack.main.arn("RestoreRole"), f"{ours}-2", ours.replace(":role/", ":role/path/"),
                  ours.replace(":role/", ":user/"), ours.replace(stack.account, "444455556666"),
                  *(f"{ours.split(':role/')[0]}:{name}" for name in ("root", "role/administrator"))):
        assert not served(net, service, other), other


@pytest.mark.parametrize("service", SERVICES)
def test_an_endpoint_that_serves_the_whole_account_is_found(service):
    net = network()
    for statement in net.endpoints[service]["PolicyDocument"]["Statement"]:
        statement["Condition"] = {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}
    assert served(net, service, f"arn:aws:iam::{ACCOUNT}:role/administrator")


# --- a VPC that was there ----------------------------------------------------------------------------

MADE_IN_IT = ("AWS::EC2::SecurityGroup", "AWS::EC2::VPCEndpoint", "AWS::Route53Resolver::FirewallRuleGroupAssociation")
OF_A_VPC = ("AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::RouteTable", "AWS::EC2::SubnetRouteTableAssociation")


@pytest.mark.parametrize("setting", EXISTING)
def test_all_is_made_in_the_vpc_that_is_there(setting):
    given = EXISTING[setting]
    stack = Deployment(PEOPLES | given)
    net = Network(stack.network)
    subnets, zones = given["SubnetIds"].split(","), given["Zones"].split(",")
    assert not net.template.resources(*OF_A_VPC)
    made = net.template.resources(*MADE_IN_IT)
    assert made and all(body["VpcId"] == given["VpcId"] for body in made.values())
    group, = net.template.resources("AWS::RDS::DBSubnetGroup").values()
    assert group["SubnetIds"] == subnets and given["VpcId"] in group["DBSubnetGroupName"]
    function, = stack.main.resources("AWS::Lambda::Function").values()
    assert function["VpcConfig"]["SubnetIds"] == subnets
    told = function["Environment"]["Variables"]
    many = int(given["MachineZones"])
    assert told["VPC"] == given["VpcId"] and told["NETWORK_CIDR"] == given["VpcCidr"]
    assert told["SUBNET_IDS"].split(",") == subnets and told["EC2_SUBNET_IDS"].split(",") == subnets[:many]
    ends, = (s for s in stack.main.statements("FunctionRole") if s.sid == "TerminateMachines")
    assert ends.conditions["StringEquals"]["ec2:AvailabilityZone"] == zones[:many]
    for endpoint in net.endpoints.values():
        if endpoint["VpcEndpointType"] == "Gateway":
            assert endpoint["RouteTableIds"] == given["RouteTableIds"].split(",")
        else:
            assert endpoint["SubnetIds"] == subnets[:1]


def test_endpoints_that_are_there_are_reached_and_none_is_made():
    net, given = Network(Deployment(PEOPLES | EXISTING["existing endpoints"]).network), EXISTING["existing endpoints"]
    assert not net.endpoints and "EndpointSecurityGroup" not in net.template.resources("AWS::EC2::SecurityGroup")
    group, _ = function(net)
    theirs = given["EndpointSecurityGroupId"]
    assert net.lets_out(group, HTTPS, to_group=theirs)
    let_in = [rule for rule in net.template.resources("AWS::EC2::SecurityGroupIngress").values()
              if rule["GroupId"] == theirs]
    assert [(rule["FromPort"], rule["ToPort"], rule["SourceSecurityGroupId"]) for rule in let_in] == [
        (HTTPS, HTTPS, group)]
    for name in RESTORED:
        assert not net.lets_out(net.group(name), HTTPS, to_group=theirs)


ALL_OF_IT = EXISTING["existing VPC"] | EXISTING["existing endpoints"]


@pytest.mark.parametrize(("given", "words"), [
    *[({key: value for key, value in EXISTING[setting].items() if key not in missing}, words)
      for setting in EXISTING
      for missing, words in [({"SubnetIds"}, "two of its subnets"), ({"Zones"}, "the zones that they lie in"),
                             ({"VpcId"}, "give VpcId as well"),
                             ({"RouteTableIds", "EndpointSecurityGroupId"}, "give either RouteTableIds")]],
    (ALL_OF_IT, "give either RouteTableIds"),
    *[({name: ALL_OF_IT[name]}, "give VpcId as well")
      for name in ("SubnetIds", "RouteTableIds", "EndpointSecurityGroupId")],
])
def test_half_a_vpc_is_refused(given, words):
    found = Deployment(PEOPLES | given).main.refusals()
    assert len(found) == 1 and words in found[0], found


@pytest.mark.parametrize("given", [{}, *EXISTING.values()])
def test_a_whole_vpc_is_not_refused(given):
    assert Deployment(PEOPLES | given).main.refusals() == []


# --- planted faults ----------------------------------------------------------------------------------


def without_name(text):
    def change(resources):
        domains = resources["AllowedNames"]["Properties"]["Domains"]
        kept = [name for name in domains if text not in str(name)]
        assert len(kept) < len(domains), text
        resources["AllowedNames"]["Properties"]["Domains"] = kept
    return change


@pytest.mark.parametrize("service", SERVICES)
def test_a_name_that_is_missing_is_found(service):
    names = {"s3": "*.s3.", "dynamodb": "AWS::AccountId}.ddb."}
    assert "DNS Firewall" in no_way(network(change=without_name(names.get(service, f"{service}."))), service)


@pytest.mark.parametrize("service", SERVICES)
def test_an_endpoint_that_is_missing_is_found(service):
    def change(resources):
        name, = (n for n, r in resources.items() if r["Type"] == "AWS::EC2::VPCEndpoint"
                 and str(r["Properties"]["ServiceName"]).endswith(f".{service}'}}"))
        del resources[name]
    assert "no way out" in no_way(network(change=change), service)


def closes(resources):
    resources["FunctionSecurityGroup"]["Properties"]["SecurityGroupEgress"][0].update(FromPort=444, ToPort=444)


def shuts(resources):
    resources["EndpointsInFromFunction"]["Properties"].update(FromPort=80, ToPort=80)


def goes_public(resources):
    resources["BackupEndpoint"]["Properties"]["PrivateDnsEnabled"] = False


def forgets_the_route(resources):
    del resources["RoutesOfSubnetB"]


def inspects_aliases(resources):
    del resources["NameRules"]["Properties"]["FirewallRules"][0]["FirewallDomainRedirectionAction"]


def blocks_first(resources):
    resources["NameRules"]["Properties"]["FirewallRules"][1]["Priority"] = 50


def lets_nothing_out(resources):
    rules = resources["FunctionSecurityGroup"]["Properties"]["SecurityGroupEgress"]
    resources["FunctionSecurityGroup"]["Properties"]["SecurityGroupEgress"] = rules[:3]


@pytest.mark.parametrize(("change", "service", "finds"), [
    (closes, "backup", "let nothing through"), (shuts, "ec2", "let nothing through"),
    (goes_public, "backup", "public"), (forgets_the_route, "s3", "no route"),
    (forgets_the_route, "dynamodb", "no route"), (inspects_aliases, "s3", "alias"),
    (blocks_first, "rds", "DNS Firewall"), (lets_nothing_out, "s3", "lets nothing out"),
])
def test_a_way_that_is_closed_is_found(change, service, finds):
    assert finds in no_way(network(change=change), service)


def test_a_database_port_that_is_closed_is_found():
    def change(resources):
        resources["DatabaseInFromFunction"]["Properties"]["FromPort"] = 3307
    net = network(change=change)
    assert not net.reaches(function(net)[0], net.group("DatabaseSecurityGroup"), 3306)


def test_a_group_without_rules_lets_everything_out():
    def change(resources):
        del resources["MachineSecurityGroup"]["Properties"]["SecurityGroupEgress"]
    net = network(change=change)
    assert net.lets_out(net.group("MachineSecurityGroup"), 443, address="8.8.8.8")


def test_a_firewall_without_its_association_lets_every_name_through():
    def change(resources):
        del resources["NameRulesOfVpc"]
    assert network(change=change).resolves("data.attacker.example")
