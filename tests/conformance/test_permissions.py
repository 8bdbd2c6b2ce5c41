"""The function's role allows what the function calls, and nothing else without a reason."""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from judge import answer, request_parameters
from permissions import Statement, Template, is_allowed, needed

REASONS = Path(__file__).with_name("allowed_but_not_called.toml")

#: Nothing is called on these by the function itself; any name does.
UNCALLED = {
    "FunctionLogGroup.Arn": "arn:aws:logs:eu-central-1:222222222222:log-group:function:*",
    "TopicKey.Arn": "arn:aws:kms:eu-central-1:222222222222:key/topic",
    "ExhaustedRetries.Arn": "arn:aws:sqs:eu-central-1:222222222222:exhausted",
}


@dataclass
class Demo:
    """The demo's calls with their parameters, and the role's statements for the demo's names."""

    known: list
    statements: list
    region: str
    account: str
    #: The machines of the demo as EC2 described them last, by id.
    machines: dict
    function_arn: str

    def context(self, action, resource):
        """The condition keys of a request that are known of it."""
        # Lambda puts it into every call of a function's code.
        context = {"lambda:SourceFunctionArn": self.function_arn}
        if action == "iam:PassRole":
            context["iam:PassedToService"] = "backup.amazonaws.com"
        if action == "ec2:TerminateInstances":
            machine = self.machines[resource.rpartition("/")[2]]
            context["ec2:AvailabilityZone"] = machine["Placement"]["AvailabilityZone"]
            context["ec2:MetadataHttpTokens"] = machine.get("MetadataOptions", {}).get("HttpTokens")
            if "IamInstanceProfile" in machine:
                context["ec2:InstanceProfile"] = machine["IamInstanceProfile"]["Arn"]
        if action == "ec2:DeleteVolume":
            # What a restore leaves lies in the zone of its machine.
            context["ec2:AvailabilityZone"] = zone_of(self.machines)
        return context

    def refused(self, call, parameters):
        """The actions that a call needs and the role does not allow, in words."""
        return [
            f"{action} on {resource}"
            for action, resource in needed(call, parameters, self.region, self.account)
            if not is_allowed(self.statements, action, resource, self.context(action, resource))
        ]


def zone_of(machines):
    """The one zone that restored machines lie in."""
    zones = {machine["Placement"]["AvailabilityZone"] for machine in machines.values()}
    assert len(zones) == 1, f"the machines of the demo must lie in one zone, lie in {zones}"
    return zones.pop()


@pytest.fixture(scope="module")
def demo(demo_calls, template_path):
    """The demo's calls, judged by the role as a deployment with the demo's names would have it.

    The demo gives each resource of the template one name. Those names are taken from the calls and
    put into the template: one table, one bucket that is written, one topic, one role, one log group.
    """
    known = [(call, request_parameters(call)[0]) for call in demo_calls]

    def only(service, operation, parameter):
        names = {
            parameters[parameter]
            for call, parameters in known
            if call.service == service and operation in (call.operation, "*")
        }
        assert len(names) == 1, f"{service}:{operation} {parameter} must be one name, are {names}"
        return names.pop()

    role = only("backup", "StartRestoreJob", "IamRoleArn")
    account = role.split(":")[4]
    region = only("sns", "Publish", "TopicArn").split(":")[3]
    bucket = only("s3", "PutObject", "Bucket")
    table = only("dynamodb", "PutItem", "TableName")
    group = only("logs", "PutLogEvents", "logGroupName")
    read = {parameters["Key"] for call, parameters in known if call.operation == "GetObject"}
    bundles = [key for key in read if key.endswith(".pem")]
    assert len(bundles) <= 1, f"one CA bundle, are {bundles}"
    machines = {
        machine["InstanceId"]: machine
        for call, _ in known
        if (call.operation, call.status) == ("DescribeInstances", 200)
        for reservation in answer(call).get("Reservations", [])
        for machine in reservation["Instances"]
    }
    keys = {parameters["SecretId"] for call, parameters in known
            if call.operation == "GetSecretValue" and "reset" in parameters["SecretId"].lower()}
    assert len(keys) == 1, f"one key that passwords are derived from, are {keys}"
    template = Template(template_path, UNCALLED | {
        "ResetKey": keys.pop(),
        "Network.Outputs.MachineZone": zone_of(machines),
        "DatabaseCaBundleUri": f"s3://{bucket}/{bundles[0]}" if bundles else "",
        "AWS::AccountId": account,
        "AWS::Region": region,
        "RestoreRole.Arn": role,
        "ResultsBucket": bucket,
        "ResultsBucket.Arn": f"arn:aws:s3:::{bucket}",
        "Ledger.Arn": f"arn:aws:dynamodb:{region}:{account}:table/{table}",
        "Topic": only("sns", "Publish", "TopicArn"),
        "RecordsLogGroup.Arn": f"arn:aws:logs:{region}:{account}:log-group:{group}:*",
    })
    function_arn = f"arn:aws:lambda:{region}:{account}:function:{template.values['NamePrefix']}"
    statements = template.statements("FunctionRole")
    return Demo(known, statements, region, account, machines, function_arn)


def test_every_call_of_the_demo_is_allowed_by_the_role(demo):
    refused = {text for call, parameters in demo.known for text in demo.refused(call, parameters)}
    assert not refused, "the role in template.yaml does not allow:\n" + "\n".join(sorted(refused))


def called_actions(calls, demo):
    return {
        action
        for call in calls
        for action, _ in needed(call, request_parameters(call)[0], demo.region, demo.account)
    }


def test_every_operation_of_the_scenarios_is_allowed_by_the_role(calls, demo):
    # Scenarios choose names of their own, so only the actions are compared.
    allowed = {action for statement in demo.statements if statement.allows
               for action in statement.actions}
    called = called_actions(calls, demo)
    assert called <= allowed, f"the role in template.yaml does not allow {called - allowed}"


def test_every_allowed_action_is_called_or_has_a_reason(calls, demo):
    reasons = tomllib.loads(REASONS.read_text())["actions"]
    allowed = {action for statement in demo.statements if statement.allows
               for action in statement.actions}
    called = called_actions(calls, demo)
    assert not [action for action in allowed if "*" in action], "no wildcard in an action"
    assert allowed - called - set(reasons) == set(), "allowed, never called and without a reason"
    assert set(reasons) & called == set(), f"called, so no reason is needed in {REASONS.name}"
    assert set(reasons) <= allowed, f"not allowed any more, so no reason is needed in {REASONS.name}"


def test_every_allowed_resource_is_called_or_has_a_reason(demo):
    reasons = tomllib.loads(REASONS.read_text())["resources"]
    called = [
        needs for call, parameters in demo.known
        for needs in needed(call, parameters, demo.region, demo.account)
    ]
    idle = set()
    for statement in (s for s in demo.statements if s.allows):
        for pattern in statement.resources:
            # Under its conditions, too.
            alone = replace(statement, resources=(pattern,))
            if not any(alone.matches(*needs, demo.context(*needs)) for needs in called):
                idle.add(f"{statement.sid} {':'.join(pattern.split(':')[5:]) or pattern}")
    assert idle - set(reasons) == set(), "allowed, never called and without a reason"
    assert set(reasons) - idle == set(), f"called, or not there, so no reason is needed in {REASONS.name}"


@pytest.mark.parametrize("change", [
    {"Placement": {"AvailabilityZone": "eu-central-1z"}},
    {"MetadataOptions": {"HttpTokens": "optional"}},
    {"IamInstanceProfile": {"Arn": "arn:aws:iam::222222222222:instance-profile/production"}},
])
def test_a_machine_that_is_not_as_we_restore_them_cannot_be_terminated(demo, change):
    name, machine = next(iter(demo.machines.items()))
    resource = f"arn:aws:ec2:{demo.region}:{demo.account}:instance/{name}"
    for as_it_is, allowed in ((machine, True), (machine | change, False)):
        known = replace(demo, machines={name: as_it_is})
        context = known.context("ec2:TerminateInstances", resource)
        assert is_allowed(
            demo.statements, "ec2:TerminateInstances", resource, context) is allowed, as_it_is


def test_the_matching_follows_iam():
    allow = Statement("A", True, ("rds:DeleteDBInstance",), ("arn:aws:rds:r:a:db:restore-proof-*",))
    deny = Statement("D", False, ("rds:*",), ("arn:aws:rds:r:a:db:restore-proof-kept",))
    ours, foreign = "arn:aws:rds:r:a:db:restore-proof-1", "arn:aws:rds:r:a:db:orders"
    assert is_allowed([allow, deny], "rds:DeleteDBInstance", ours, {})
    assert not is_allowed([allow, deny], "rds:DeleteDBInstance", foreign, {})
    assert not is_allowed([allow, deny], "rds:StopDBInstance", ours, {})
    assert not is_allowed(
        [allow, deny], "rds:DeleteDBInstance", "arn:aws:rds:r:a:db:restore-proof-kept", {})


def test_conditions_follow_iam():
    def allowed(condition, context):
        statement = Statement("A", True, ("a:B",), ("*",), condition)
        return is_allowed([statement], "a:B", "arn:x", context)

    equals = {"StringEquals": {"k": ["x", "y"]}}
    assert allowed(equals, {"k": "y"})
    assert not allowed(equals, {"k": "z"})
    assert not allowed(equals, {}), "a key that a request has not got equals nothing"
    assert allowed({"Null": {"k": "true"}}, {}) and not allowed({"Null": {"k": "true"}}, {"k": "x"})
    assert allowed({"Null": {"k": "false"}}, {"k": "x"}) and not allowed({"Null": {"k": "false"}}, {})
    assert not allowed(equals | {"Null": {"l": "false"}}, {"k": "x"}), "all lines must hold"
    assert allowed({"ArnEquals": {"k": "arn:*:f"}}, {"k": "arn:a:f"})
    with pytest.raises(NotImplementedError):
        allowed({"NumericLessThan": {"k": "1"}}, {"k": "0"})
