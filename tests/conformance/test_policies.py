"""Every IAM policy of the templates, as parliament sees it: actions, resources and condition keys exist.

What parliament knows is AWS's Service Authorization Reference. A finding that is meant to be is listed in
policy_findings.toml with its reason; one that is listed and not found any more fails, too.
"""

import copy
import json
import re
import tomllib
from pathlib import Path

import parliament
import pytest
from parliament.statement import get_global_key_type, get_privilege_info, is_condition_key_match

from conftest import ROOT
from iam import as_list
from permissions import Template

LISTED = tomllib.loads(Path(__file__).with_name("policy_findings.toml").read_text())["finding"]

ACCOUNT, REGION = "222222222222", "eu-central-1"


def arn(service, rest):
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}"


#: What the templates' references stand for, where a test names it; the rest has a name of its own.
NAMES = {
    "AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::StackName": "restore-proof",
    "BackupVaultNames": "central", "BusArn": arn("events", "event-bus/restore-proof"),
    "FunctionRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/function",
    "Ledger.Arn": arn("dynamodb", "table/ledger"),
    "RecordsLogGroup.Arn": arn("logs", "log-group:records:*"),
    "RestoreRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/restore",
    "ResultsBucket": "results", "ResultsBucket.Arn": "arn:aws:s3:::results",
    "Topic": arn("sns", "topic"), "UrgentTopic": arn("sns", "restore-proof-urgent"),
    "EventsTopic": arn("sns", "restore-proof-events"),
}

#: With every optional parameter, so that both branches of each condition are looked at.
EVERYTHING = {
    "BackupJobVaultNames": "native",
    "DatabaseCaBundleUri": "s3://certificates/ca.pem", "IamDatabaseUsers": "restore_check,iam_check",
    "MachineRoleArns": f"arn:aws:iam::{ACCOUNT}:role/web,arn:aws:iam::{ACCOUNT}:role/worker",
    "DynamoDbPrefixListId": "pl-0d0", "S3PrefixListId": "pl-0a0", "EndpointZones": "2", "FlowLogs": "true",
    "NotificationEmail": "backup@example.com", "UrgentEmail": "duty@example.org", "ReservedConcurrency": "6", "HoursWithoutPoint": "0",
    "DailyReport": "true", "WeeklyReport": "false",
    "VaultNotificationTopicArn": arn("sns", "vaults"), "Zones": f"{REGION}a,{REGION}b",
    "ForwardingBus": "own", "OrganizationId": "o-a1b2c3d4e5", "SourceAccountIds": "333344445555,666677778888",
    "KmsKeyArn": arn("kms", "key/5ea50000-0000-4000-8000-000000000003"), "MachineZones": "2",
    "PermissionsBoundaryArn": f"arn:aws:iam::{ACCOUNT}:policy/boundary", "RolePath": "/restore-proof/",
    "ProtectLedger": "true", "RecordsLockDays": "365",
    "PolicyWriterArns": f"arn:aws:iam::{ACCOUNT}:role/deployer,arn:aws:iam::{ACCOUNT}:user/ann",
    "VolumeKeyArn": arn("kms", "key/5ea50000-0000-4000-8000-000000000002"),
}


#: The types that have policies of their own; the parameter `Types` allows those that the function knows.
TYPES = ("Aurora", "EC2", "RDS")
EVERYTHING["Types"] = ",".join(TYPES)

#: Stacks for one type alone.
ALONE = {f"{name} alone": {"Types": name} for name in TYPES}

#: Every stack that is looked at.
#: Stacks in a VPC that is there: one that gets its endpoints, one that has them.
EXISTING = {"VpcId": "vpc-0a1b2c3d4e5f60719", "SubnetIds": "subnet-0a1b2c3d4e5f60711,subnet-0a1b2c3d4e5f60712",
            "Zones": f"{REGION}b,{REGION}a", "VpcCidr": "10.20.0.0/22", "MachineZones": "2"}
EXISTING = {
    "existing VPC": EXISTING | {"RouteTableIds": "rtb-0a1b2c3d4e5f60711,rtb-0a1b2c3d4e5f60712"},
    "existing endpoints": EXISTING | {"EndpointSecurityGroupId": "sg-0a1b2c3d4e5f60719", "MachineZones": "1"},
}

STACKS = {"defaults": {}, "everything": EVERYTHING, "denied outside": {"DenyOutsideVpc": "true", "AthenaTables": "false"}} | ALONE | EXISTING

TEMPLATES = ("template.yaml", "infra/network.yaml", "infra/athena.yaml", "infra/forward.yaml")


def template(name="template.yaml", **given):
    """A template; a nested one with what the other gives it."""
    nested = {"infra/network.yaml": "Network", "infra/athena.yaml": "Athena"}
    if name in nested:
        return template(**given).nested(nested[name])
    return Template(ROOT / name, NAMES | given)


def policies():
    """Every policy document of the templates, in each stack: its place, and the document."""
    return {
        f"{name} {place} ({setting})": document
        for setting, given in STACKS.items()
        for name in TEMPLATES for place, document in template(name, **given).policies()
    }


POLICIES = policies()


def findings(document):
    """What parliament finds: the issue, the statement's Sid and the detail, as one sentence each."""
    document = copy.deepcopy(document)
    trust = [s for s in document["Statement"] if "Resource" not in s and "NotResource" not in s]
    for statement in trust:
        assert statement["Action"] == "sts:AssumeRole", "only a trust policy names no resource"
        statement["Resource"] = f"arn:aws:iam::{ACCOUNT}:role/itself"
    policy = parliament.analyze_policy_string(json.dumps(document))
    found = []
    for statement in policy.statements:
        sid = statement.stmt["Sid"].value if "Sid" in statement.stmt else "-"
        found += [f"{sid}: {f.issue} {_detail(f.detail)}" for f in statement.findings]
    found += [f"-: {f.issue} {_detail(f.detail)}" for f in policy._findings]
    return sorted(set(found + [text for s in document["Statement"] for text in _null_keys(s)]))


def _detail(detail):
    return detail if isinstance(detail, str) else json.dumps(detail, default=str)


def _null_keys(statement):
    """Keys that only a `Null` asks for, which parliament does not look at."""
    keys = statement.get("Condition", {}).get("Null", {})
    actions = statement.get("Action", [])
    for key in keys:
        for action in [actions] if isinstance(actions, str) else actions:
            service, name = action.split(":")
            known = [
                condition
                for resource in get_privilege_info(service, name)["resource_types"]
                for condition in resource["condition_keys"]
            ]
            if get_global_key_type(key) is None and not any(
                    is_condition_key_match(condition, key) for condition in known):
                yield (f"{statement.get('Sid', '-')}: UNKNOWN_CONDITION_FOR_ACTION "
                       f"Unknown condition {key} for action {action}")


def is_listed(place, finding):
    """The entries of policy_findings.toml that speak of a finding."""
    return [index for index, entry in enumerate(LISTED)
            if place.startswith(entry["policy"]) and finding.startswith(entry["finds"])]


@pytest.mark.parametrize("name", TEMPLATES)
def test_both_branches_of_each_condition_are_looked_at(name):
    """A condition that is the same in every stack needs a value in EVERYTHING."""
    known = [template(name, **given).conditions() for given in STACKS.values()]
    same = {condition for condition in known[0] if len({conditions[condition] for conditions in known}) == 1}
    # These follow from the Region, and test_limits.py looks at all Regions.
    assert same == {"infra/forward.yaml": {"IsElsewhere"}, "template.yaml": {"HasPipes"}}.get(name, set())


def test_every_type_has_policies_of_its_own_and_they_are_attached_with_it_alone():
    raw = template().raw
    managed = {name for name, body in raw["Resources"].items() if body["Type"] == "AWS::IAM::ManagedPolicy"}
    own = {name: {f"Function{name.capitalize()}", f"Restore{name.capitalize()}"} for name in TYPES}
    logins, inside, restores = "FunctionIamDatabaseUsers", "OnlyFromInside", "FunctionRestores"
    assert managed == {"Fence", logins, inside, restores}.union(*own.values())
    assert set(raw["Parameters"]["Types"]["AllowedValues"]) <= set(TYPES)
    for given in STACKS.values():
        stack = template(**given)
        of_types = set().union(*(own[name] for name in stack.values["Types"]))
        if stack.conditions()["HasIamDatabaseUsers"]:
            of_types.add(logins)
        if stack.conditions()["HasDenyOutsideVpc"]:
            of_types.add(inside)
        assert set(stack.resources("AWS::IAM::ManagedPolicy")) == {"Fence", restores} | of_types
        attached = {role: set(stack.attached(role)) for role in ("FunctionRole", "RestoreRole")}
        restore = {name for name in of_types if name.startswith("Restore")}
        assert attached["RestoreRole"] == {"Fence"} | restore
        assert attached["FunctionRole"] == {"Fence", restores} | (of_types - restore)


@pytest.mark.parametrize(("types", "has"), [
    ("EC2,RDS", {"HasEc2", "HasRds"}), ("RDS", {"HasRds"}), ("RDS,EC2", {"HasEc2", "HasRds"}), ("EC2,EC2", {"HasEc2"}),
    ("RDS,Aurora", {"HasRds", "HasAurora"}), ("EC21,ARDS", set()),
])
@pytest.mark.parametrize("name", ["template.yaml", "infra/network.yaml"])
def test_a_type_is_found_in_the_list_by_its_whole_name(name, types, has):
    known = template(name, Types=types).conditions()
    assert {condition for condition in ("HasAurora", "HasEc2", "HasRds") if known[condition]} == has


@pytest.mark.parametrize("users", ["", "iam_check", "a,b", "a,b,c"])
@pytest.mark.parametrize("types", ["RDS", "Aurora", "EC2"])
def test_the_function_logs_in_to_databases_as_the_named_users_alone(users, types):
    """What is granted is what IAM calls a database user (Service Authorization Reference, `rds-db`), whatever the database."""
    stack = template(IamDatabaseUsers=users, Types=types)
    resources = {resource for place, document in stack.policies() for statement in document["Statement"]
                 if "rds-db:connect" in as_list(statement.get("Action")) for resource in as_list(statement.get("Resource"))}
    prefix = arn("rds-db", "dbuser:*/")
    assert all(resource.startswith(prefix) for resource in resources)
    granted = {resource.removeprefix(prefix) for resource in resources}
    named = set(users.split(",")) - {""} if types != "EC2" else set()
    # "-" fills the places that are left: no user may be called so.
    assert granted - {"-"} == named
    pattern = re.compile(stack.raw["Parameters"]["IamDatabaseUsers"]["AllowedPattern"])
    assert pattern.search(users)
    assert not any(pattern.search(bad) for bad in ("-", "*", "a?", "a,", ",a", "a,-", "a, b", "a,b,c,d", "a" * 33))


def test_nothing_is_forwarded_from_a_bus_to_itself():
    ours = template("infra/forward.yaml", BusArn=f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default")
    rules = [body for body in ours.raw["Resources"].values() if body["Type"] == "AWS::Events::Rule"]
    assert rules and not any(ours.holds(body["Condition"]) for body in rules)


def test_there_are_policies_of_every_kind():
    text = "\n".join(POLICIES)
    for kind in ("FunctionRole.Policies", "RestoreRole.Policies", "Fence.Policy", "FunctionAurora.Policy", "ScheduleRole.Assume", "TopicKey.KeyPolicy",
                 "ResultsBucketPolicy", "ResetKeyPolicy.ResourcePolicy", "Ec2Endpoint", "FlowLogRole", "ForwardRole",
                 "ForwardingOfOrganization", "ForwardingOfAccounts"):
        assert kind in text, kind
    sids = [s.get("Sid") for document in POLICIES.values() for s in document["Statement"]]
    for conditional in ("NoMachineWithAProfile", "RolesForMachines", "NoOtherRoleForMachines"):
        assert conditional in sids


@pytest.mark.parametrize("place", POLICIES)
def test_nothing_is_found_without_a_reason(place):
    unexpected = [text for text in findings(POLICIES[place]) if not is_listed(place, text)]
    assert not unexpected, "\n".join(unexpected)


def test_every_listed_finding_is_still_found():
    used = {index for place, document in POLICIES.items() for text in findings(document)
            for index in is_listed(place, text)}
    unused = [entry for index, entry in enumerate(LISTED) if index not in used]
    assert not unused
    assert all(entry["reason"].strip() for entry in LISTED)


def terminate(**changes):
    statement = {"Sid": "S", "Effect": "Allow", "Action": "ec2:TerminateInstances",
                 "Resource": arn("ec2", "instance/*"),
                 "Condition": {"StringEquals": {"ec2:MetadataHttpTokens": "required"}}}
    return {"Version": "2012-10-17", "Statement": [statement | changes]}


def test_a_good_policy_is_accepted():
    assert findings(terminate()) == []
    assert findings(terminate(Condition={"Null": {"ec2:InstanceProfile": "false"}})) == []


@pytest.mark.parametrize(("change", "expected"), [
    ({"Condition": {"StringEquals": {"ec2:Subnet": "subnet-1"}}}, "UNKNOWN_CONDITION_FOR_ACTION"),
    ({"Condition": {"StringEquals": {"ec2:MetadataTokens": "required"}}}, "UNKNOWN_CONDITION_FOR_ACTION"),
    ({"Condition": {"StringEquals": {"aws:ResourceAccounts": ACCOUNT}}}, "UNKNOWN_CONDITION_FOR_ACTION"),
    ({"Condition": {"Null": {"ec2:IamInstanceProfile": "false"}}}, "UNKNOWN_CONDITION_FOR_ACTION"),
    ({"Condition": {"StringEqual": {"ec2:MetadataHttpTokens": "required"}}}, "UNKNOWN_OPERATOR"),
    ({"Action": "ec2:TerminateInstance"}, "UNKNOWN_ACTION"),
    ({"Action": "ec3:TerminateInstances"}, "UNKNOWN_PREFIX"),
    ({"Resource": arn("ec2", "volume/*")}, "RESOURCE_MISMATCH"),
    ({"Resource": "*"}, "RESOURCE_STAR"),
    ({"Sid": "not a Sid"}, "INVALID_SID"),
    ({"Effect": "Permit"}, "MALFORMED"),
])
def test_a_planted_mistake_is_found(change, expected):
    found = findings(terminate(**change))
    assert any(expected in text for text in found), found
    assert not any(is_listed(place, text) for place in POLICIES for text in found if text.startswith("S:"))
