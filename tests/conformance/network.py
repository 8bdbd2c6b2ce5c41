"""The isolated network as a packet meets it: names that resolve, routes, security groups, VPC endpoints.

What is not said here is refused: the function has no other way out, and what is restored has none at all.
"""

import functools
import ipaddress

import botocore.session
from botocore.endpoint_provider import EndpointProvider

from iam import Statement

#: Ports of AWS's own endpoints.
HTTPS = 443
#: The alias behind a name that was asked for, as public DNS has it: bucket.s3.eu-central-1.amazonaws.com is an alias of
#: s3-r-w.eu-central-1.amazonaws.com.
ALIASES = {"s3": "s3-r-w.{region}.{suffix}"}


@functools.cache
def _rules(service):
    """botocore's endpoint rules of a service: the very rules the Rust SDK is generated from."""
    loader = botocore.session.get_session().get_component("data_loader")
    return EndpointProvider(loader.load_service_model(service, "endpoint-rule-set-1"), loader.load_data("partitions"))


@functools.cache
def hosts(service, region, account, bucket=None):
    """The hosts an SDK may ask for a service: DynamoDB's with the account, too, S3's with the bucket in front."""
    common = {"Region": region, "UseDualStack": False, "UseFIPS": False}
    variants = [{}]
    if service == "dynamodb":
        variants = [{"AccountIdEndpointMode": "disabled"}, {"AccountIdEndpointMode": "preferred", "AccountId": account}]
    if bucket is not None:
        variants = [{"Bucket": bucket, "ForcePathStyle": style, "Accelerate": False, "UseGlobalEndpoint": False,
                     "DisableMultiRegionAccessPoints": False} for style in (False, True)]
    urls = [_rules(service).resolve_endpoint(**common, **variant).url for variant in variants]
    return sorted({url.removeprefix("https://").split("/")[0] for url in urls})


def _name_matches(host, pattern):
    """A name of a domain list: itself, or with * in front all names below it (Route 53 developer guide, DNS Firewall
    domain lists)."""
    host, pattern = host.lower().rstrip("."), pattern.lower().rstrip(".")
    return pattern == "*" or host == pattern or pattern.startswith("*.") and host.endswith(pattern[1:])


class Network:
    """The network of a resolved template."""

    def __init__(self, template):
        self.template = template
        self.region, self.suffix = (template.values[f"AWS::{name}"] for name in ("Region", "URLSuffix"))
        self.endpoints = {
            endpoint["ServiceName"].rsplit(".", 1)[1]: endpoint
            for endpoint in template.resources("AWS::EC2::VPCEndpoint").values()
        }

    # --- names -----------------------------------------------------------------------------------

    def resolves(self, host, alias=None):
        """Whether the resolver of the VPC answers for a name; `alias` is what its answer leads to.

        Rules are evaluated by their priority, the lowest first, and an alias in the answer is inspected as well unless
        the rule trusts it (Route 53 developer guide, Rule settings in DNS Firewall).
        """
        lists = {self.template.resolve({"Ref": name}): rules["Domains"]
                 for name, rules in self.template.resources("AWS::Route53Resolver::FirewallDomainList").items()}
        groups = {self.template.resolve({"Ref": name}): group["FirewallRules"]
                  for name, group in self.template.resources("AWS::Route53Resolver::FirewallRuleGroup").items()}
        joined = sorted(self.template.resources("AWS::Route53Resolver::FirewallRuleGroupAssociation").values(),
                        key=lambda association: int(association["Priority"]))
        for association in joined:
            for rule in sorted(groups[association["FirewallRuleGroupId"]], key=lambda rule: int(rule["Priority"])):
                if any(_name_matches(host, name) for name in lists[rule["FirewallDomainListId"]]):
                    if rule["Action"] != "ALLOW":
                        return False
                    trusts = rule.get("FirewallDomainRedirectionAction") == "TRUST_REDIRECTION_DOMAIN"
                    return alias is None or trusts or self.resolves(alias)
        return True  # nothing said: "the query is allowed"

    # --- security groups -------------------------------------------------------------------------

    @property
    def subnets(self):
        """The isolated subnets, the stack's own or those that were there."""
        return self.template.resolve(self.template.raw["Outputs"]["SubnetIds"]["Value"]).split(",")

    def group(self, name):
        """The id of a security group of the template."""
        return self.template.resolve({"Ref": name})

    def _rules(self, group, direction):
        """The rules of a group, those that stand as resources of their own included."""
        name, = (n for n in self.template.resources("AWS::EC2::SecurityGroup") if self.group(n) == group)
        found = self.template.resources("AWS::EC2::SecurityGroup")[name].get(f"SecurityGroup{direction}", [])
        alone = self.template.resources(f"AWS::EC2::SecurityGroup{direction}").values()
        found = found + [rule for rule in alone if rule["GroupId"] == group]
        if direction == "Egress" and not found:
            # "If you don't specify an egress rule, CloudFormation lets everything out" (AWS::EC2::SecurityGroup).
            return [{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}]
        return found

    @staticmethod
    def _covers(rule, port):
        protocol = str(rule["IpProtocol"])
        return protocol == "-1" or protocol == "tcp" and int(rule["FromPort"]) <= port <= int(rule["ToPort"])

    def lets_out(self, group, port, to_group=None, prefix_list=None, address=None):
        """Whether a group lets a packet out to another group, a service's prefix list or an address."""
        return any(
            self._covers(rule, port) and (
                to_group is not None and rule.get("DestinationSecurityGroupId") == to_group
                or prefix_list is not None and rule.get("DestinationPrefixListId") == prefix_list
                or _inside(address, rule)
                # The addresses behind a prefix list are public ones, that any-address rules cover.
                or prefix_list is not None and rule.get("CidrIp") == "0.0.0.0/0"
            )
            for rule in self._rules(group, "Egress")
        )

    def lets_in(self, group, port, from_group=None, address=None):
        """Whether a group lets a packet in from another group or an address."""
        return any(
            self._covers(rule, port)
            and (from_group is not None and rule.get("SourceSecurityGroupId") == from_group or _inside(address, rule))
            for rule in self._rules(group, "Ingress")
        )

    def reaches(self, group, other, port):
        """Whether what is behind one group reaches what is behind another."""
        return self.lets_out(group, port, to_group=other) and self.lets_in(other, port, from_group=group)

    # --- endpoints -------------------------------------------------------------------------------

    def policy(self, service):
        """The statements of the endpoint's policy that a service's calls go through."""
        # Without a document "the default endpoint policy allows full access".
        document = self.endpoints[service].get("PolicyDocument", {"Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]})
        return [Statement.of(raw) for raw in document["Statement"]]

    def no_way(self, service, host, group, subnets):
        """Why a call to a host of a service gets nowhere from behind a group; None if it arrives at the endpoint."""
        alias = ALIASES[service].format(region=self.region, suffix=self.suffix) if service in ALIASES else None
        if not self.resolves(host, alias):
            return f"DNS Firewall resolves no {host}" + (f" (or its alias {alias})" if alias else "")
        if service not in self.endpoints:
            return f"no way out: no endpoint of {service}"
        endpoint = self.endpoints[service]
        if endpoint["VpcEndpointType"] == "Gateway":
            tables = {a["SubnetId"]: a["RouteTableId"] for a in
                      self.template.resources("AWS::EC2::SubnetRouteTableAssociation").values()}
            # Of a VPC that was there, whoever deploys says which tables are those of the subnets.
            told = [table for table in self.template.values["RouteTableIds"].split(",") if table]
            if not all(tables.get(subnet) in endpoint["RouteTableIds"] for subnet in subnets) and not (
                    told and set(told) <= set(endpoint["RouteTableIds"])):
                return f"no route to {service} from each of {subnets}"
            lists = {"s3": "S3PrefixListId", "dynamodb": "DynamoDbPrefixListId"}
            if not self.lets_out(group, HTTPS, prefix_list=self.template.values[lists[service]]):
                return f"the security group lets nothing out to {service}"
            return None
        # "The private DNS name is the service's Regional name" (AWS PrivateLink guide, DNS names of endpoints).
        private = f"{service}.{self.region}.{self.suffix}"
        if endpoint.get("PrivateDnsEnabled") is not True or host != private:
            return f"{host} is a public address: the endpoint's private name is {private}, if it has one"
        if not any(self.reaches(group, behind, HTTPS) for behind in endpoint["SecurityGroupIds"]):
            return f"the security groups let nothing through to the endpoint of {service}"
        return None


def _inside(address, rule):
    return address is not None and "CidrIp" in rule and ipaddress.ip_address(address) in ipaddress.ip_network(
        rule["CidrIp"])
