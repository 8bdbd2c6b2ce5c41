"""Every call of the demo and of the scenarios, through all that lies between the function and AWS.

A call passes if the function's role lets it, with the policy of what is called; if the name of its host resolves in the
isolated network; if routes and security groups let it through to a VPC endpoint; and if that endpoint's policy lets it
pass. Each of these alone can stop the function in a real account, and local-aws knows none of them.
"""

import copy
import functools
import json
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import ends
from deployment import PEOPLES, SETTINGS, Deployment
from iam import Request, Statement, refusal, without
from judge import answer, request_parameters, service_model
from network import Network, hosts
from permissions import ARNS, needed
from restores import bystanders
from test_policies import ACCOUNT, REGION

#: A statement of an endpoint that serves everybody.
ANYBODY = Statement.of({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"})
REASONS = Path(__file__).with_name("allowed_but_not_called.toml")


#: What a request that tags carries of it. That no call has another key is seen in ends.py.
TAGGED = {"aws:TagKeys": ("restore-proof:validation",)}


def parameters_of(call):
    """What a call asks for. A JSON body has the names at its top; reading it strictly is the judge's work."""
    if service_model(call.service).protocol == "json":
        return json.loads(call.request_body or b"{}")
    return request_parameters(call)[0]


class World:
    """One stack in which recorded calls were made: the templates with the names that the calls use."""

    def __init__(self, names, known, setting):
        self.region, self.account = names["AWS::Region"], names["AWS::AccountId"]
        given = {name: value.replace(ACCOUNT, self.account).replace(REGION, self.region)
                 for name, value in SETTINGS[setting].items()}
        self.stack = Deployment(PEOPLES | given | names)
        self.network = Network(self.stack.network)
        function, = self.stack.main.resources("AWS::Lambda::Function").values()
        self.role, self.groups = function["Role"], function["VpcConfig"]["SecurityGroupIds"]
        self.subnets = function["VpcConfig"]["SubnetIds"]
        self.statements = self.stack.role(self.role)
        #: The endpoints' policies, by service; a planted fault changes them.
        self.endpoints = {service: self.network.policy(service) for service in self.network.endpoints}
        #: How EC2 described each machine; ids are the same in worlds that know nothing of each other.
        self.machines = {}
        for call, _ in known:
            if (call.operation, call.status) == ("DescribeInstances", 200):
                for reservation in answer(call).get("Reservations", []):
                    for machine in reservation["Instances"]:
                        seen = self.machines.setdefault(machine["InstanceId"], [])
                        if machine_keys(machine) not in seen:
                            seen.append(machine_keys(machine))
        #: The key that each bucket, table and topic is encrypted under, if it has one, by ARN.
        self.keys = dict(keys_of(self.stack.main))
        self._remember()

    def _remember(self):
        self.refusals = functools.cache(self._refusals)
        self.ways = functools.cache(self._ways)

    def but(self, **changes):
        """The same world with a planted fault."""
        other = copy.copy(self)
        other.network = copy.copy(self.network)
        for name, value in changes.items():
            setattr(other, name, value)
        other._remember()
        return other

    def contexts(self, action, resource, service=None, own=()):
        """The condition keys of a request: one set, or for a machine those of each description of it.

        `own` are those that the call itself brings, in pairs.
        """
        # Lambda puts the first into every call of a function's code; the others are in every call through an endpoint
        # (AWS global condition context keys).
        context = {"lambda:SourceFunctionArn": self.stack.function_arn, "aws:PrincipalArn": self.role,
                   "aws:PrincipalAccount": self.account, "aws:SecureTransport": "true",
                   "aws:SourceVpc": "vpc-0a1b2c3d4e5f60718", "aws:SourceVpce": "vpce-0a1b2c3d4e5f60718"} | dict(own)
        if action == "iam:PassRole":
            return [context | {"iam:PassedToService": "backup.amazonaws.com"}]
        if action == "ec2:TerminateInstances":
            return [context | keys for keys in self.machines[resource.rpartition("/")[2]]]
        if action == "rds:AddTagsToResource":
            return [context | TAGGED]
        if action == "ec2:CreateTags":
            zones = {keys["ec2:AvailabilityZone"] for seen in self.machines.values() for keys in seen}
            return [context | TAGGED | {"ec2:AvailabilityZone": zone} for zone in sorted(zones)]
        if action == "ec2:DeleteVolume":
            # What a restore leaves lies in the zone of its machine.
            zones = {keys["ec2:AvailabilityZone"] for seen in self.machines.values() for keys in seen}
            return [context | {"ec2:AvailabilityZone": zone} for zone in sorted(zones)]
        if action.startswith("kms:"):
            return [context | {"kms:ViaService": f"{service}.{self.region}.{self.network.suffix}"}]
        return [context]

    def _refusals(self, service, action, resource, own=()):
        """Why each policy on the way refuses an action; none if all let it pass."""
        # Passing a role and decrypting happen on AWS's side of the endpoint.
        endpoint = self.endpoints.get(service) if action.split(":")[0] == service else None
        found = [
            refusal(Request(action, resource, context, self.role), self.statements, self.stack.policy_of(resource),
                    endpoint)
            for context in self.contexts(action, resource, service, own)
        ]
        return [] if None in found else sorted(set(found))

    def _ways(self, service, bucket):
        """Why the hosts of a service cannot be reached."""
        return [
            why for host in hosts(service, self.region, self.account, bucket)
            for group in self.groups if (why := self.network.no_way(service, host, group, self.subnets))
        ]

    def refused(self, call, parameters):
        """All that stops a call, in words."""
        needs = needed(call, parameters, self.region, self.account) + self.on_behalf(call, parameters)
        # "Filter access by key name prefix" (Service Authorization Reference, Amazon S3); no other call has such a parameter.
        own = (("s3:prefix", parameters["Prefix"]),) if "Prefix" in parameters else ()
        found = [f"{action} on {resource}: {why}" for action, resource in needs
                 for why in self.refusals(call.service, action, resource, own)]
        return found + [f"{call.service}: {why}" for why in self.ways(call.service, parameters.get("Bucket"))]

    def on_behalf(self, call, parameters):
        """What a service asks of KMS in the caller's name."""
        read, write = ["kms:Decrypt"], ["kms:GenerateDataKey"]
        match call.service:
            case "sns":
                # "The publisher must have kms:GenerateDataKey* and kms:Decrypt" (SNS developer guide, Key management).
                of, asks = parameters["TopicArn"], read + write
            case "s3":
                # S3 user guide, Using server-side encryption with AWS KMS keys: Permissions.
                of, asks = f"arn:aws:s3:::{parameters['Bucket']}", write if call.operation == "PutObject" else read
            case "dynamodb" if "TableName" in parameters:
                # The caller's own right (DynamoDB developer guide, Monitoring DynamoDB interaction with AWS KMS).
                of, asks = f"arn:aws:dynamodb:{self.region}:{self.account}:table/{parameters['TableName']}", read
            case "secretsmanager":
                # Any key of the account may encrypt people's secrets.
                return [("kms:Decrypt", f"arn:aws:kms:{self.region}:{self.account}:key/of-a-secret")]
            case _:
                return []
        return [(action, self.keys[of]) for action in asks if of in self.keys]


KEY_PROPERTIES = {"KmsMasterKeyId", "KMSMasterKeyId", "KMSMasterKeyID"}


def keys_of(template):
    """The ARN of each resource that is encrypted under a key of ours or of people's own, and the key's ARN."""
    keys = {template.resolve({"Ref": name}): template.arn(name) for name in template.resources("AWS::KMS::Key")}

    def found(node):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            if name in KEY_PROPERTIES:
                yield keys.get(value, value)
            elif isinstance(value, (dict, list)):
                yield from found(value)

    for name, properties in template.resources("AWS::SNS::Topic", "AWS::S3::Bucket", "AWS::DynamoDB::Table").items():
        for key in found(properties):
            yield template.arn(name), key


def machine_keys(machine):
    """The condition keys that EC2 has for a machine; a machine without a profile has no key of that name."""
    keys = {"ec2:AvailabilityZone": machine["Placement"]["AvailabilityZone"],
            "ec2:MetadataHttpTokens": machine.get("MetadataOptions", {}).get("HttpTokens")}
    if "IamInstanceProfile" in machine:
        keys["ec2:InstanceProfile"] = machine["IamInstanceProfile"]["Arn"]
    return {key: value for key, value in keys.items() if value is not None}


def names_of(known):
    """What the calls call the stack's resources, for each stack that they speak of, the commonest first.

    A call names one resource at most, so it does not matter which table goes with which bucket.
    """
    def by_frequency(service, operation, parameter):
        found = Counter(parameters[parameter] for call, parameters in known
                        if (call.service, call.operation) == (service, operation))
        assert found, f"no {service}:{operation} among the calls"
        return [name for name, _ in found.most_common()]

    columns = {
        "RestoreRole.Arn": by_frequency("backup", "StartRestoreJob", "IamRoleArn"),
        "ResultsBucket": by_frequency("s3", "PutObject", "Bucket"),
        "Ledger": by_frequency("dynamodb", "PutItem", "TableName"),
        "Topic": list(dict.fromkeys(
            topic.removesuffix("-urgent").removesuffix("-events") for topic in by_frequency("sns", "Publish", "TopicArn"))),
        "RecordsLogGroup": by_frequency("logs", "PutLogEvents", "logGroupName"),
        "NamePrefix": by_frequency("lambda", "Invoke", "FunctionName"),
    }
    secrets = {p["SecretId"] for call, p in known if call.operation == "GetSecretValue"}
    reset = sorted(name for name in secrets if "reset" in name.lower()) or ["reset-key"]
    bundles = sorted({f"s3://{p['Bucket']}/{p['Key']}" for call, p in known
                      if call.operation == "GetObject" and p["Key"].endswith(".pem")})
    for index in range(max(len(column) for column in columns.values())):
        names = {name: column[min(index, len(column) - 1)] for name, column in columns.items()}
        account, region = names["RestoreRole.Arn"].split(":")[4], names["Topic"].split(":")[3]
        key = reset[min(index, len(reset) - 1)]
        yield names | {
            "AWS::AccountId": account, "AWS::Region": region, "AWS::StackName": names["NamePrefix"],
            "NamePrefix": names["NamePrefix"].split(":")[-1],
            # The names that the function knows them by.
            "UrgentTopic": f"arn:aws:sns:{region}:{account}:{names['NamePrefix'].split(':')[-1]}-urgent",
            "EventsTopic": f"arn:aws:sns:{region}:{account}:{names['NamePrefix'].split(':')[-1]}-events",
            "ResultsBucket.Arn": f"arn:aws:s3:::{names['ResultsBucket']}",
            "Ledger.Arn": f"arn:aws:dynamodb:{region}:{account}:table/{names['Ledger']}",
            "RecordsLogGroup.Arn": f"arn:aws:logs:{region}:{account}:log-group:{names['RecordsLogGroup']}:*",
            "ResetKey": key if key.startswith("arn:")
            else f"arn:aws:secretsmanager:{region}:{account}:secret:{key}-AbCdEf",
        } | ({"DatabaseCaBundleUri": bundles[0]} if bundles else {})


@pytest.fixture(scope="module")
def known(calls):
    return [(call, parameters_of(call)) for call in calls]


@pytest.fixture(scope="module")
def demo_known(demo_calls):
    return [(call, parameters_of(call)) for call in demo_calls]


@pytest.fixture(scope="module")
def demo(demo_known):
    """The demo's one stack: it runs with the names and parameters of template.yaml."""
    names, = names_of(demo_known)
    return World(names, demo_known, "defaults")


@pytest.fixture(scope="module")
def scenarios(calls, known, demo_calls):
    """The calls of the scenarios alone."""
    of_demo = {call.origin for call in demo_calls}
    return [pair for pair in known if pair[0].origin not in of_demo]


def stopped(worlds, pairs):
    """All that stops calls in each of the worlds, with how often; nothing for calls that one world lets pass."""
    found = Counter()
    for call, parameters in pairs:
        refused = [world.refused(call, parameters) for world in worlds]
        if all(refused):
            found.update(f"{call.operation}: {why}" for why in refused[0])
    return found


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_call_of_the_demo_passes(demo_known, setting):
    found = stopped([World(names, demo_known, setting) for names in names_of(demo_known)], demo_known)
    assert not found, "\n".join(f"{count} times: {why}" for why, count in found.items())


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_call_of_the_scenarios_passes(scenarios, setting):
    assert scenarios, "no calls of scenarios"
    found = stopped([World(names, scenarios, setting) for names in names_of(scenarios)], scenarios)
    assert not found, "\n".join(f"{count} times: {why}" for why, count in found.items())


# --- nothing of others is ever named -----------------------------------------------------------------


def test_nothing_is_ended_or_changed_but_what_we_restored(known):
    found = Counter(ends.Seen(known).foreign)
    assert not found, "\n".join(f"{count} times: {why}" for why, count in found.items())
    ended = {call.operation for call, _ in known}
    assert {"DeleteDBInstance", "ModifyDBInstance", "TerminateInstances", "DeleteVolume"} <= ended


@pytest.fixture(scope="module")
def seen(demo_known):
    return ends.Seen(demo_known)


@pytest.fixture(scope="module")
def planted(demo_known, seen):
    """What is found of one more call, after all others."""
    assert not seen.foreign

    def found(operation, service=None, after=seen, **parameters):
        call = next((call for call, _ in demo_known if call.operation == operation), demo_known[0][0])
        return after.judge(replace(call, operation=operation, service=service or call.service), parameters)
    return found


def test_a_call_that_names_what_is_not_ours_is_found(demo_known, planted):
    prefix = next(names_of(demo_known))["NamePrefix"]
    ours = f"{prefix}-r-0123456789abcdef0123-1"
    assert not planted("DeleteDBInstance", DBInstanceIdentifier=ours)
    for name in (*bystanders(prefix), f"{prefix}-r-", f"{prefix}-r-orders", f"{ours}-2"):
        assert planted("DeleteDBInstance", DBInstanceIdentifier=name), name
        assert planted("ModifyDBInstance", DBInstanceIdentifier=name), name
        assert planted("DeleteDBCluster", "rds", DBClusterIdentifier=name), name
        assert planted("AddTagsToResource", "rds", ResourceName=f"arn:aws:rds:x:1:db:{name}",
                       Tags=[{"Key": "restore-proof:validation", "Value": "x"}]), name
        assert planted("DeleteTable", "dynamodb", TableName=name), name
        assert planted("DeleteObject", "s3", Bucket=name, Key="records/x"), name
    # A writer of ours in somebody's cluster.
    assert planted("CreateDBInstance", "rds", DBInstanceIdentifier=ours, DBClusterIdentifier="orders")


def test_a_call_that_ends_the_ledger_or_the_records_is_found(demo_known, planted):
    names = next(names_of(demo_known))
    ours = f"{names['NamePrefix']}-r-0123456789abcdef0123-1"
    for service, operation, parameter, name in (("dynamodb", "DeleteTable", "TableName", names["Ledger"]),
                                                ("s3", "DeleteBucket", "Bucket", names["ResultsBucket"])):
        assert planted(operation, service, **{parameter: name})
        assert not planted(operation, service, **{parameter: ours})
        # Called as restores are.
        own = [(call, parameters | {parameter: ours} if parameters.get(parameter) == name else parameters)
               for call, parameters in demo_known]
        assert planted(operation, service, ends.Seen(own), **{parameter: ours})
    assert planted("PurgeEverything", "sqs", QueueUrl="x")


def test_a_machine_or_volume_that_no_proof_shows_as_ours_is_found(demo_known, planted):
    ended = next(p["InstanceIds"][0] for call, p in demo_known if call.operation == "TerminateInstances")
    assert not planted("TerminateInstances", InstanceIds=[ended])
    tag, other = ({"Key": key, "Value": "x"} for key in ("restore-proof:validation", "owner"))
    assert not planted("CreateTags", "ec2", Resources=[ended], Tags=[tag])
    assert planted("CreateTags", "ec2", Resources=[ended], Tags=[tag, other])
    for operation, parameters in (("TerminateInstances", {"InstanceIds": [ended, "i-0a22a000000000001"]}),
                                  ("CreateTags", {"Resources": ["i-0a22a000000000001"], "Tags": [tag]}),
                                  ("DeleteVolume", {"VolumeId": "vol-0a22a000000000001"})):
        assert planted(operation, "ec2", **parameters)
    # Ended before anything was known of it; made by a job under another role, or in another subnet.
    assert ends.Seen(sorted(demo_known, key=lambda pair: pair[0].operation != "TerminateInstances")).foreign
    for operation, name, value in (("StartRestoreJob", "IamRoleArn", "arn:aws:iam::1:role/anna"),
                                   ("DescribeInstances", "Filters", [])):
        others = [(call, p | {name: value} if call.operation == operation else p) for call, p in demo_known]
        assert ends.Seen(others).foreign, name


# --- nothing more than is called ---------------------------------------------------------------------


def called_actions(known, demo):
    return {action for call, parameters in known
            for action, _ in needed(call, parameters, demo.region, demo.account)}


def test_every_allowed_action_is_called_or_has_a_reason(known, demo):
    reasons = tomllib.loads(REASONS.read_text())["actions"]
    allowed = {action for statement in demo.statements if statement.allows
               for action in statement.actions}
    called = called_actions(known, demo)
    assert not [action for action in allowed if "*" in action], "no wildcard in an action"
    assert allowed - called - set(reasons) == set(), "allowed, never called and without a reason"
    assert set(reasons) & called == set(), f"called, so no reason is needed in {REASONS.name}"
    assert set(reasons) <= allowed, f"not allowed any more, so no reason is needed in {REASONS.name}"


def test_every_action_that_an_endpoint_lets_pass_is_called(known, demo):
    reasons = tomllib.loads(REASONS.read_text())["actions"]
    passes = {action for statements in demo.endpoints.values() for s in statements for action in s.actions}
    idle = passes - called_actions(known, demo) - set(reasons)
    assert not idle, "let pass by an endpoint's policy, never called and without a reason"


def test_every_endpoint_is_called(known, demo):
    assert set(demo.endpoints) == {call.service for call, _ in known}


def test_every_allowed_resource_is_called_or_has_a_reason(demo, demo_known):
    reasons = tomllib.loads(REASONS.read_text())["resources"]
    called = {needs for call, parameters in demo_known
              for needs in needed(call, parameters, demo.region, demo.account)}
    # Each resource of the template by its name there.
    names = {demo.stack.main.arn(name): name for name in demo.stack.main.raw["Resources"]
             if demo.stack.main.raw["Resources"][name]["Type"] in ARNS}
    idle = set()
    for statement in (s for s in demo.statements if s.allows):
        for pattern in statement.resources:
            # Under its conditions, too.
            alone = replace(statement, resources=(pattern,))
            if not any(alone.matches(*needs, context) for needs in called for context in demo.contexts(*needs)):
                idle.add(f"{statement.sid} {names.get(pattern) or ':'.join(pattern.split(':')[5:]) or pattern}")
    assert idle - set(reasons) == set(), "allowed, never called and without a reason"
    assert set(reasons) - idle == set(), f"called, or not there, so no reason is needed in {REASONS.name}"


# --- planted faults: what would stop the function in a real account turns the replay red -----------------


@pytest.fixture(scope="module")
def one_of_each(demo_known):
    """One call of the demo of each operation."""
    found = {}
    for call, parameters in demo_known:
        found.setdefault((call.service, call.operation), (call, parameters))
    return list(found.values())


def test_without_a_fault_nothing_is_stopped(demo, one_of_each):
    assert len(one_of_each) > 20
    assert not stopped([demo], one_of_each)


def test_an_action_that_an_endpoint_does_not_let_pass_is_found(demo, one_of_each):
    for call, parameters in one_of_each:
        action, _ = needed(call, parameters, demo.region, demo.account)[0]
        endpoints = demo.endpoints | {call.service: without(demo.endpoints[call.service], action)}
        found = demo.but(endpoints=endpoints).refused(call, parameters)
        assert found and all("the endpoint's policy does not allow it" in why for why in found), (action, found)


def test_another_role_with_the_same_rights_gets_nothing_through_the_endpoints(demo, one_of_each):
    other = demo.but(role=f"arn:aws:iam::{demo.account}:role/administrator")
    for call, parameters in one_of_each:
        action, resource = needed(call, parameters, demo.region, demo.account)[0]
        found = other.refusals(call.service, action, resource)
        assert found and all("endpoint" in why or "TheFunctionAlone" in why or "OnlyTheFunction" in why for why in found), (
            action, found)
        passed = other.but(endpoints=demo.endpoints | {call.service: [ANYBODY]})
        assert all("endpoint" not in why for why in passed.refusals(call.service, action, resource))


def test_an_action_that_the_role_does_not_allow_is_found(demo, one_of_each):
    for call, parameters in one_of_each:
        for action, _ in needed(call, parameters, demo.region, demo.account):
            found = demo.but(statements=without(demo.statements, action)).refused(call, parameters)
            assert found and all("the role's policies do not allow it" in why for why in found), (action, found)


def test_an_endpoint_that_is_missing_is_found(demo, one_of_each):
    for call, parameters in one_of_each:
        world = demo.but()
        world.network.endpoints = {name: e for name, e in demo.network.endpoints.items() if name != call.service}
        assert any("no way out" in why for why in world.refused(call, parameters)), call


@pytest.mark.parametrize(("wall", "finds"), [
    ("resolves", "DNS Firewall resolves no"), ("lets_out", "nothing"),
])
def test_a_name_or_a_port_that_is_closed_is_found(demo, one_of_each, wall, finds):
    world = demo.but()
    setattr(world.network, wall, lambda *_, **__: False)
    for call, parameters in one_of_each:
        assert any(finds in why for why in world.refused(call, parameters)), call


def test_a_key_that_the_request_does_not_carry_is_found(demo, one_of_each):
    world = demo.but(contexts=lambda *needs: [
        {key: value for key, value in context.items() if key != "aws:PrincipalArn"}
        for context in demo.contexts(*needs)])
    for call, parameters in one_of_each:
        # Secrets and records deny others by the same key, and denials come first.
        walls = ("the endpoint's policy does not allow it", "denied by the resource's policy")
        assert any(wall in why for why in world.refused(call, parameters) for wall in walls), call


@pytest.mark.parametrize("operation", ["PutObject", "GetObject", "Publish", "PutItem", "UpdateItem", "Query"])
def test_a_key_of_peoples_own_that_the_role_may_not_use_is_found(demo_known, one_of_each, operation):
    names, = names_of(demo_known)
    world = World(names, demo_known, "everything")
    call, parameters = next(pair for pair in one_of_each if pair[0].operation == operation)
    assert not world.refused(call, parameters)
    keyless = [s for s in world.statements if not any(action.startswith("kms:") for action in s.actions)]
    assert any("kms:" in why for why in world.but(statements=keyless).refused(call, parameters))


def test_a_secret_under_a_key_that_its_policy_keeps_from_the_function_is_found(demo, one_of_each):
    call, parameters = next(pair for pair in one_of_each if pair[0].operation == "GetSecretValue")
    world = demo.but(statements=without(demo.statements, "kms:Decrypt"))
    assert any("kms:Decrypt" in why for why in world.refused(call, parameters))


@pytest.mark.parametrize("change", [
    {"ec2:AvailabilityZone": "eu-central-1z"}, {"ec2:MetadataHttpTokens": "optional"}, {"ec2:MetadataHttpTokens": ""},
    {"ec2:MetadataHttpTokens": None}, {"ec2:AvailabilityZone": None},
    {"ec2:InstanceProfile": "arn:aws:iam::222222222222:instance-profile/production"},
])
def test_a_machine_that_is_not_as_we_restore_them_cannot_be_terminated(demo, change):
    name, (keys, *_) = next(iter(demo.machines.items()))
    resource = f"arn:aws:ec2:{demo.region}:{demo.account}:instance/{name}"
    for as_it_is, allowed in ((keys, True), (keys | change, False)):
        world = demo.but(machines={name: [as_it_is]})
        assert (world.refusals("ec2", "ec2:TerminateInstances", resource) == []) is allowed, as_it_is
