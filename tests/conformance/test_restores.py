"""The restore role allows every restore of ours, however AWS asks, and no other.

What AWS Backup sends stands in restores.py: a key that AWS may leave out is tried there, absent and empty.
"""

import json
import re

import pytest
from moto.iam.aws_managed_policies import aws_managed_policies_data

import restores
from deployment import deployed
from iam import Request, Statement, refusal
from restores import Place, pass_role
from test_policies import ACCOUNT, REGION, STACKS, TYPES, template

DEPLOYED = {name: deployed(name) for name in STACKS}
PLACES = {name: Place(stack) for name, stack in DEPLOYED.items()}
MANAGED = json.loads(aws_managed_policies_data)


def restore_role(stack):
    """The role that the function passes to AWS Backup, by the function's environment."""
    function, = stack.main.resources("AWS::Lambda::Function").values()
    return function["Environment"]["Variables"]["RESTORE_ROLE_ARN"]


def statements(stack):
    """AWS's policy, as moto has a copy of it, and our own."""
    role, = (p for name, p in stack.main.resources("AWS::IAM::Role").items()
             if stack.main.arn(name) == restore_role(stack))
    managed = [MANAGED[arn.rsplit("/", 1)[1]]["Document"] for arn in role["ManagedPolicyArns"] if ":iam::aws:" in arn]
    assert managed, "AWS's own policy says what a restore needs"
    aws = [Statement.of(raw) for document in managed for raw in document["Statement"]]
    return aws + stack.role(restore_role(stack))


ROLES = {name: statements(stack) for name, stack in DEPLOYED.items()}


def stopped(role, asks):
    """For each line of a request, the cases in which it is refused, with the reason, and those in which it is not."""
    found = []
    for ask in asks:
        cases = [(context, refusal(Request(ask.action, ask.resource, context), role)) for context in ask.contexts()]
        found.append((ask, [(c, why) for c, why in cases if why], [c for c, why in cases if not why]))
    return found


#: Roles for machines are allowed with them; the role passed is what limits a profile.
ALLOWED_WITH_ROLES = {"a profile", "the end of a machine with a profile"}


def wrong(setting):
    """What must be refused in a setting, by what is wrong with it."""
    return {name: asks for name, asks in restores.refused(PLACES[setting]).items()
            if setting != "everything" or name not in ALLOWED_WITH_ROLES}


LEGITIMATE = [(setting, name) for setting, here in PLACES.items() for name in restores.legitimate(here)]
REFUSED = [(setting, name) for setting in PLACES for name in wrong(setting)]


@pytest.mark.parametrize(("setting", "name"), LEGITIMATE)
def test_a_restore_of_ours_is_allowed_however_aws_asks(setting, name):
    asks = restores.legitimate(PLACES[setting])[name]
    failed = [f"{ask.action} on {ask.resource} with {context}: {why}"
              for ask, refused, _ in stopped(ROLES[setting], asks) for context, why in refused]
    assert not failed, "\n".join(failed[:5] + [f"{len(failed)} cases in all"])


@pytest.mark.parametrize(("setting", "name"), REFUSED)
def test_what_no_restore_of_ours_asks_for_is_refused_however_aws_asks(setting, name):
    lines = stopped(ROLES[setting], wrong(setting)[name])
    # One line that is refused in every case stops the request.
    assert any(refused and not passed for _, refused, passed in lines), [
        f"{ask.action} on {ask.resource} passes with {passed[:3]}" for ask, _, passed in lines if passed]


def changes(asks):
    """Whether a request does more than to read and to use keys, which is the same for other types."""
    return any(not ask.action.startswith("kms:") and not re.match("[a-z0-9]+:(Describe|List)", ask.action)
               for ask in asks)


@pytest.mark.parametrize(("setting", "kind", "name"), [
    (setting, kind, name) for setting, here in PLACES.items() for kind in sorted(set(TYPES) - set(here.types))
    for name, asks in restores.of_type(here)[kind].items() if changes(asks)])
def test_what_is_no_type_of_the_stack_is_not_restored(setting, kind, name):
    asks = restores.of_type(PLACES[setting])[kind][name]
    assert any(refused and not passed for _, refused, passed in stopped(ROLES[setting], asks))


#: The fence stands behind the other walls; test_privilege.py takes those away.
FENCE = {s["Sid"] for s in template().resources("AWS::IAM::ManagedPolicy")["Fence"]["PolicyDocument"]["Statement"]}


def test_each_denial_of_the_restore_role_denies_something_here():
    """Taken away, each lets something pass that must not: none is there for show."""
    for setting, role in ROLES.items():
        idle = []
        for denial in [s for s in role if not s.allows and s.sid not in FENCE]:
            rest = [s for s in role if s is not denial]
            if not any(all(passed for _, _, passed in stopped(rest, asks)) for asks in wrong(setting).values()):
                idle.append(denial.sid)
        assert not idle, (setting, idle)


@pytest.mark.parametrize(("role", "service", "allowed"), [
    ("web", "ec2.amazonaws.com", True), ("web", "lambda.amazonaws.com", False), ("web", None, False),
    ("web", "", False), ("Admin", "ec2.amazonaws.com", False),
])
def test_with_roles_for_machines_those_are_passed_and_no_others(role, service, allowed):
    # EC2 says whom a role is passed to (EC2 user guide, Grant permissions to pass an IAM role to an instance).
    here = PLACES["everything"]
    for setting in STACKS:
        for _, refused, passed in stopped(ROLES[setting], pass_role(here, here.arn("iam", f"role/{role}"), service)):
            assert bool(passed) is (allowed and setting == "everything") and bool(refused) is not bool(passed)


def test_the_function_restores_to_where_the_role_lets_it():
    for here in PLACES.values():
        assert here.subnets and here.groups and here.prefix and here.subnet_group
        assert set(here.subnets) <= set(here.zones), "the machines' subnets are those of the isolated network"


# --- planted faults ----------------------------------------------------------------------------------


INTERFACES = f"arn:aws:ec2:{REGION}:{ACCOUNT}:network-interface/*"


def changed(sid, **changes):
    """The default role with one statement changed, or one more."""
    raw = {"Sid": sid, "Effect": "Deny", "Resource": "*"} | changes
    return [s for s in ROLES["defaults"] if s.sid != sid] + [Statement.of(raw)]


@pytest.mark.parametrize(("role", "breaks"), [
    # A denial that asks for a key which AWS may leave out, or which only other resources of the request have.
    (changed("NoPublicAddress", Action="ec2:RunInstances", Resource=INTERFACES,
             Condition={"StringNotEquals": {"ec2:AssociatePublicIpAddress": "false"}}), "a machine"),
    (changed("OnlyMachinesWithSafeMetadata", Action="ec2:RunInstances",
             Condition={"StringNotEquals": {"ec2:MetadataHttpTokens": "required"}}), "a machine"),
    (changed("NothingInAnotherZone", Action="ec2:RunInstances",
             Condition={"StringNotEquals": {"ec2:AvailabilityZone": f"{REGION}a"}}), "a machine"),
    (changed("NothingInAnotherZone", Action="ec2:CreateVolume",
             Condition={"StringNotEquals": {"ec2:AvailabilityZone": f"{REGION}a"}}), "a volume from a snapshot"),
    (changed("NoMachineWithAProfile", Action="ec2:TerminateInstances",
             Condition={"StringNotEquals": {"ec2:InstanceProfile": ""}}), "a machine that a failed restore left"),
    (changed("Encrypted", Action="ec2:RunInstances", Resource=f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/*",
             Condition={"Bool": {"ec2:Encrypted": "true"}}), "a machine"),
    (changed("Tags", Action="ec2:CreateTags", Condition={"Null": {"aws:TagKeys": "true"}}), "a machine"),
    (changed("OnlyUnderOurPrefixInOurSubnets", Action="rds:RestoreDBInstanceFromDBSnapshot", Resource=[
        f"arn:aws:rds:{REGION}:{ACCOUNT}:og:*"]), "a database"),
])
def test_a_denial_that_breaks_a_restore_is_found(role, breaks):
    assert any(refused for _, refused, _ in stopped(role, restores.legitimate(PLACES["defaults"])[breaks]))


@pytest.mark.parametrize(("role", "lets"), [
    # A denial that is silent where the key is absent or empty.
    (changed("OnlyMachinesWithSafeMetadata", Action="ec2:RunInstances",
             Condition={"StringEquals": {"ec2:MetadataHttpTokens": "optional"}}), "nothing said of IMDS"),
    (changed("OnlyMachinesWithSafeMetadata", Action="ec2:RunInstances", Condition={
        "StringNotEquals": {"ec2:MetadataHttpTokens": "required"}, "Null": {"ec2:MetadataHttpTokens": "false"}}),
     "nothing in what is said of IMDS"),
    (changed("NothingInAnotherZone", Action="ec2:TerminateInstances", Condition={
        "ForAnyValue:StringNotEquals": {"ec2:AvailabilityZone": f"{REGION}a"}}), "the end of a machine of no zone"),
    (changed("NoPublicAddress", Action="ec2:RunInstances", Resource=INTERFACES,
             Condition={"StringEquals": {"ec2:AssociatePublicIpAddress": "true"}}),
     "a public address in other letters"),
    (changed("NothingInAnotherZone", Action="ec2:DeleteVolume", Condition={
        "ForAllValues:StringNotEquals": {"ec2:AvailabilityZone": f"{REGION}z"}}),
     "the end of a volume in another zone"),
])
def test_a_denial_that_a_key_slips_through_is_found(role, lets):
    assert all(passed for _, _, passed in stopped(role, restores.refused(PLACES["defaults"])[lets]))
