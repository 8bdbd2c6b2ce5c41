"""No more than is needed: the function's role, the restore role, and what lies around them.

`test_permissions.py` compares the role with what was called; here stands what the templates must say
whoever calls. Every resource type of both templates has a judge or a reason why it needs none.
"""

import itertools
import re
from dataclasses import replace

import pytest
import yaml
from parliament.statement import get_privilege_info

from cloudformation import Loader
from conftest import ROOT
from deployment import deployed
from iam import Request, Statement, is_allowed, refusal
from restores import Place, bystanders
from services import ACCOUNT as ACCOUNT_KEY
from services import sends
from test_policies import ACCOUNT, EVERYTHING, NAMES, REGION, STACKS, TEMPLATES, arn, template
from test_restores import ROLES as RESTORE_ROLES

FOREIGN = "444455556666"
PREFIX = "restore-proof"
RESTORE_ROLE, FUNCTION_ROLE = NAMES["RestoreRole.Arn"], NAMES["FunctionRole.Arn"]

def role(name, **given):
    return template(**given).statements(name)


# --- The function's role ------------------------------------------------------------------------------


def test_the_restore_role_alone_is_passed_and_to_aws_backup_alone():
    statements = role("FunctionRole")
    passing = [s for s in statements if s.matches("iam:PassRole", RESTORE_ROLE,
                                                  {"iam:PassedToService": "backup.amazonaws.com"})]
    assert [(s.actions, s.resources, s.conditions) for s in passing] == [(
        ("iam:PassRole",), (RESTORE_ROLE,),
        {"StringEquals": {"iam:PassedToService": "backup.amazonaws.com"}})]

    def passes(to_pass, service):
        context = {} if service is None else {"iam:PassedToService": service}
        return is_allowed(statements, "iam:PassRole", to_pass, context)

    assert passes(RESTORE_ROLE, "backup.amazonaws.com")
    assert not passes(RESTORE_ROLE, "ec2.amazonaws.com")
    assert not passes(RESTORE_ROLE, None)
    assert not passes(FUNCTION_ROLE, "backup.amazonaws.com")
    assert not passes(f"arn:aws:iam::{ACCOUNT}:role/Admin", "backup.amazonaws.com")


RESTORED = f"{PREFIX}-r-0123456789abcdef0123-1"

#: What the function does to a database or a cluster, by the kind of its ARN.
BY_NAME = (("rds:DeleteDBInstance", "db"), ("rds:ModifyDBInstance", "db"), ("rds:DeleteDBCluster", "cluster"),
           ("rds:ModifyDBCluster", "cluster"))


@pytest.mark.parametrize(("action", "kind"), BY_NAME)
def test_databases_are_changed_and_deleted_in_the_namespace_of_restores_alone(action, kind):
    known = role("FunctionRole", **EVERYTHING)
    assert is_allowed(known, action, arn("rds", f"{kind}:{RESTORED}"), {})
    for name in bystanders(PREFIX):
        assert not is_allowed(known, action, arn("rds", f"{kind}:{name}"), {}), name
    assert not is_allowed(known, action, arn("rds", f"snapshot:{RESTORED}"), {})
    assert not is_allowed(known, action, f"arn:aws:rds:{REGION}:{FOREIGN}:{kind}:{RESTORED}", {})


@pytest.mark.parametrize("kind", ["db", "cluster"])
def test_what_was_restored_is_tagged_with_its_validation_and_nothing_else(kind):
    def tags(name, *keys):
        return is_allowed(role("FunctionRole", **EVERYTHING), "rds:AddTagsToResource", arn("rds", f"{kind}:{name}"),
                          {"aws:TagKeys": keys})

    assert tags(RESTORED, "restore-proof:validation")
    assert not tags(RESTORED) and not tags(RESTORED, "owner")
    assert not tags(RESTORED, "restore-proof:validation", "owner")
    assert not any(tags(name, "restore-proof:validation") for name in bystanders(PREFIX))


@pytest.mark.parametrize("kind", ["instance", "volume"])
def test_a_machine_and_its_volumes_are_tagged_in_our_zone_with_their_validation(kind):
    zone = template().nested("Network").resolve({"Fn::GetAtt": ["SubnetA", "AvailabilityZone"]})

    def tags(*keys, zone=zone, kind=kind):
        return is_allowed(role("FunctionRole"), "ec2:CreateTags", arn("ec2", f"{kind}/x-1"),
                          {"aws:TagKeys": keys, "ec2:AvailabilityZone": zone})

    assert tags("restore-proof:validation")
    assert not tags() and not tags("owner") and not tags("restore-proof:validation", "owner")
    assert not tags("restore-proof:validation", zone=f"{REGION}z")
    assert not tags("restore-proof:validation", zone=None)
    assert not tags("restore-proof:validation", kind="subnet")


def test_a_writer_is_made_in_a_restored_cluster_in_our_subnets_alone():
    known, group = role("FunctionRole", **EVERYTHING), Place(deployed("everything")).subnet_group

    def made(instance=RESTORED, cluster=RESTORED, group=group):
        names = (f"db:{instance}", f"cluster:{cluster}", f"subgrp:{group}", "pg:default.aurora-postgresql16")
        return all(is_allowed(known, "rds:CreateDBInstance", arn("rds", name), {}) for name in names)

    assert made() and not made(group="production")
    assert not any(made(instance=name) or made(cluster=name) for name in bystanders(PREFIX))
    key = {"kms:ViaService": f"rds.{REGION}.amazonaws.com", "kms:GrantIsForAWSResource": "true"}
    assert is_allowed(known, "kms:CreateGrant", arn("kms", "key/1"), key)
    for wrong in ({"kms:ViaService": f"s3.{REGION}.amazonaws.com"}, {"kms:GrantIsForAWSResource": "false"},
                  {"kms:GrantIsForAWSResource": None}):
        assert not is_allowed(known, "kms:CreateGrant", arn("kms", "key/1"), key | wrong)


# --- The fence: what both roles can delete, whatever else they are allowed ------------------------------

#: What deletes, empties or changes something that has a name, by what its ARN is.
ENDS = {
    "dynamodb:DeleteTable": "arn:aws:dynamodb:{at}:table/{name}", "dynamodb:UpdateTable": "arn:aws:dynamodb:{at}:table/{name}",
    "rds:DeleteDBInstance": "arn:aws:rds:{at}:db:{name}", "rds:ModifyDBInstance": "arn:aws:rds:{at}:db:{name}",
    "rds:DeleteDBCluster": "arn:aws:rds:{at}:cluster:{name}", "rds:ModifyDBCluster": "arn:aws:rds:{at}:cluster:{name}",
    "s3:DeleteBucket": "arn:aws:s3:::{name}", "s3:DeleteObject": "arn:aws:s3:::{name}/records/x.json",
    "s3:DeleteObjectVersion": "arn:aws:s3:::{name}/records/x.json",
}

#: What would end or open the ledger and the records, whatever they are called.
OWN_ENDS = ("dynamodb:DeleteTable", "dynamodb:UpdateTable", "dynamodb:UpdateTimeToLive", "dynamodb:PutResourcePolicy",
            "s3:BypassGovernanceRetention", "s3:DeleteBucket", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutBucketPolicy",
            "s3:PutLifecycleConfiguration", "s3:PutBucketVersioning")

#: A stack whose own name lies in the namespace of its restores, and so do those of its table and bucket.
INSIDE = {"Ledger": f"{PREFIX}-r-x-Ledger-ABC", "Ledger.Arn": arn("dynamodb", f"table/{PREFIX}-r-x-Ledger-ABC"),
          "ResultsBucket": f"{PREFIX}-r-x-resultsbucket-abc",
          "ResultsBucket.Arn": f"arn:aws:s3:::{PREFIX}-r-x-resultsbucket-abc"}


def forbidden(ledger, bucket):
    """Each action, and the ARN of what it must not be done to."""
    found = {(action, form.format(at=f"{REGION}:{ACCOUNT}", name=name))
             for action, form in ENDS.items() for name in bystanders(PREFIX)}
    for action in OWN_ENDS:
        arns = [ledger, f"{ledger}/index/due"] if action.startswith("dynamodb:") else [bucket, f"{bucket}/records/x"]
        found |= {(action, one) for one in arns}
    return sorted(found)


def passing(statements, ledger=NAMES["Ledger.Arn"], bucket=NAMES["ResultsBucket.Arn"]):
    """What of that these statements allow."""
    # What could be asked of a request is there as it is wished for.
    context = {"aws:TagKeys": ("restore-proof:validation",), "ec2:AvailabilityZone": f"{REGION}a",
               "ec2:MetadataHttpTokens": "required"}
    return [(action, one) for action, one in forbidden(ledger, bucket)
            if refusal(Request(action, one, context), statements) is None]


def roles(setting, **given):
    """Both roles of a stack, AWS's own policy included."""
    aws = [s for s in RESTORE_ROLES[setting] if s not in deployed(setting).main.statements("RestoreRole")]
    return {"FunctionRole": role("FunctionRole", **STACKS[setting], **given),
            "RestoreRole": aws + role("RestoreRole", **STACKS[setting], **given)}


ROLES = [(setting, name) for setting in STACKS for name in ("FunctionRole", "RestoreRole")]
ALLOW_ALL = Statement.of({"Sid": "Planted", "Effect": "Allow", "Action": "*", "Resource": "*"})


def widened(statements):
    """As if somebody had attached AdministratorAccess and taken away the first wall."""
    return [ALLOW_ALL] + [s for s in statements if s.sid != "NothingButRestoring"]


@pytest.mark.parametrize(("setting", "name"), ROLES)
def test_nothing_of_others_and_neither_ledger_nor_records_can_be_deleted(setting, name):
    assert not passing(roles(setting)[name])
    inside = roles(setting, **INSIDE)[name]
    assert not passing(inside, INSIDE["Ledger.Arn"], INSIDE["ResultsBucket.Arn"])


@pytest.mark.parametrize(("setting", "name"), ROLES)
def test_it_is_denied_whatever_else_is_allowed(setting, name):
    assert not passing(widened(roles(setting)[name]))
    inside = widened(roles(setting, **INSIDE)[name])
    assert not passing(inside, INSIDE["Ledger.Arn"], INSIDE["ResultsBucket.Arn"])


@pytest.mark.parametrize("name", ["FunctionRole", "RestoreRole"])
@pytest.mark.parametrize("sid", ["NothingOutsideOfTheFence", "LedgerAndRecordsAreKept"])
def test_a_fence_with_a_statement_taken_out_is_found(name, sid):
    rest = [s for s in widened(roles("everything", **INSIDE)[name]) if s.sid != sid]
    assert passing(rest, INSIDE["Ledger.Arn"], INSIDE["ResultsBucket.Arn"])


@pytest.mark.parametrize("name", ["FunctionRole", "RestoreRole"])
@pytest.mark.parametrize("action", ENDS)
def test_a_fence_that_forgets_an_action_is_found(name, action):
    less = [replace(s, actions=tuple(a for a in s.actions if a != action)) if s.sid == "NothingOutsideOfTheFence" else s
            for s in widened(roles("everything")[name])]
    assert {found for found, _ in passing(less)} == {action}


@pytest.mark.parametrize("name", ["FunctionRole", "RestoreRole"])
@pytest.mark.parametrize("wider", [f"{PREFIX}-*", f"{PREFIX}*", f"{PREFIX[:-1]}*", "*"])
def test_a_fence_that_is_wider_is_found(name, wider):
    """The one that was there before: every name that begins with the prefix."""
    wide = [replace(s, resources=tuple(r.replace(f"{PREFIX}-r-*", wider) for r in s.resources))
            for s in roles("everything")[name]]
    assert passing(widened(wide))
    assert name == "RestoreRole" or passing(wide), "the fence is where the function's own right ends, too"


def test_whatever_the_function_may_delete_or_change_by_name_is_in_the_fence():
    fenced, = (s for s in role("FunctionRole", **EVERYTHING) if s.sid == "NothingOutsideOfTheFence")
    ends = {action for s in role("FunctionRole", **EVERYTHING) if s.allows for action in s.actions
            if re.match("[a-z0-9]+:(Delete|Modify|Terminate|Update)", action)}
    # Items of the ledger, interfaces of Lambda's, and what has no name.
    assert ends - set(fenced.actions) == {
        "dynamodb:DeleteItem", "dynamodb:UpdateItem", "ec2:DeleteNetworkInterface", "ec2:DeleteVolume",
        "ec2:TerminateInstances"}
    assert set(fenced.actions) == set(ENDS) | {"rds:AddTagsToResource"}


def prefixes():
    """Prefixes as like one another as can be, as far as the template allows them."""
    parts = ("rp", "r", "rr", "2", "r2")
    names = {"-".join(chosen) for count in (1, 2, 3, 4) for chosen in itertools.product(parts, repeat=count)}
    allowed = re.compile(template().raw["Parameters"]["NamePrefix"]["AllowedPattern"])
    return sorted(name for name in names if allowed.match(name))


def test_no_stacks_restores_lie_in_the_namespace_of_anothers():
    known = prefixes()
    assert len(known) > 100 and not [name for name in known if "-r-" in name or name.endswith("-r")]
    names = {prefix: f"{prefix}-r-" for prefix in known}
    for ours, theirs in itertools.permutations(known, 2):
        # Restores, and what a stack itself is called: its function, its schedules, its network.
        for theirs_too in (names[theirs], theirs, f"{theirs}-sweep-due", f"{theirs}-isolated"):
            assert not theirs_too.startswith(names[ours]), (ours, theirs_too)


@pytest.mark.parametrize("prefix", ["rp-r", "rp-r-2", "a-r-b", "rp-", "rp--2", "-rp", "2rp", "Rp", "rp_2", ""])
def test_a_prefix_in_anothers_namespace_is_refused(prefix):
    assert not re.match(template().raw["Parameters"]["NamePrefix"]["AllowedPattern"], prefix)


def levels(action):
    service, name = action.split(":")
    return get_privilege_info(service, name)["access_level"]


#: All that the function's role may change, by the condition or the fence that limits each; whoever adds
#: an action says here what limits it.
CHANGES = {
    "backup:StartRestoreJob": "recovery points of the types that are validated; the restore role decides what becomes of them",
    "dynamodb:DeleteItem": "the ledger", "dynamodb:PutItem": "the ledger", "dynamodb:UpdateItem": "the ledger",
    "ec2:AssignPrivateIpAddresses": "denied to the function's code", "ec2:CreateNetworkInterface": "as above",
    "ec2:DeleteNetworkInterface": "as above", "ec2:UnassignPrivateIpAddresses": "as above",
    "ec2:CreateTags": "the zone, one key", "ec2:DeleteVolume": "the zone; the README says what IAM cannot fence",
    "ec2:TerminateInstances": "the zone, IMDSv2, no profile; the README says what IAM cannot fence",
    "iam:PassRole": "the restore role, to AWS Backup",
    "kms:Encrypt": "a key of the user's, through DynamoDB and S3", "kms:ReEncryptFrom": "as above",
    "kms:ReEncryptTo": "as above",
    "kms:CreateGrant": "for Aurora, through RDS", "kms:Decrypt": "through Secrets Manager and SNS", "kms:GenerateDataKey": "through SNS",
    "lambda:InvokeFunction": "itself",
    "logs:CreateLogStream": "two log groups", "logs:PutLogEvents": "two log groups",
    "rds-db:connect": "as the named database users alone, in what the isolated network has",
    "rds:AddTagsToResource": "the namespace of restores, one key",
    "rds:CreateDBInstance": "the namespace of restores, our subnet group",
    "rds:DeleteDBCluster": "the namespace of restores", "rds:DeleteDBInstance": "the namespace of restores",
    "rds:ModifyDBCluster": "the namespace of restores", "rds:ModifyDBInstance": "the namespace of restores",
    "s3:PutObject": "records/, reports/ and runbooks/ of its bucket", "s3:PutObjectRetention": "records/, where they are locked",
    "sns:Publish": "its topic",
    "sqs:SendMessage": "its queue",
}


def test_whatever_the_function_may_change_is_limited():
    allowed = [s for s in role("FunctionRole", **EVERYTHING) if s.allows]
    assert not any(s.other_actions or s.other_resources for s in allowed)
    changing = {action for s in allowed for action in s.actions if levels(action) not in ("List", "Read")}
    # IAM counts passing a role, decrypting and invoking among what changes.
    assert changing == set(CHANGES)
    for statement in allowed:
        unlimited = "*" in statement.resources and not statement.conditions
        if unlimited and changing & set(statement.actions):
            assert statement.sid == "LambdaMakesInterfaces"


def test_the_functions_code_makes_no_network_interface():
    code = {"lambda:SourceFunctionArn": arn("lambda", f"function:{PREFIX}")}
    for action in ("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeSubnets"):
        assert is_allowed(role("FunctionRole"), action, "*", {}), "Lambda itself"
        assert not is_allowed(role("FunctionRole"), action, "*", code)


# --- The restore role ---------------------------------------------------------------------------------

MANAGED = "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForRestores"


def properties(name, **given):
    known = template(**given)
    return known.resolve(known.raw["Resources"][name]["Properties"])


def test_the_restore_role_is_awss_own_policy_and_denials():
    assert [arn for arn in properties("RestoreRole")["ManagedPolicyArns"] if ":iam::aws:" in arn] == [MANAGED]
    assert not [s.sid for s in role("RestoreRole") if s.allows]
    machine_roles = EVERYTHING["MachineRoleArns"].split(",")
    more = [s for s in role("RestoreRole", **EVERYTHING) if s.allows]
    assert [(s.actions, s.resources, s.conditions) for s in more] == [(
        ("iam:PassRole",), tuple(machine_roles),
        {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}})]


def test_aws_backup_alone_takes_the_restore_role_and_for_this_account():
    trust, = properties("RestoreRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {
        "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "backup.amazonaws.com"},
        "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
    }


# --- Encrypted, and closed to the public and to other accounts ----------------------------------------


def bucket(p):
    rule, = p["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in ("AES256", "aws:kms")
    assert set(p["PublicAccessBlockConfiguration"].items()) == {
        ("BlockPublicAcls", True), ("BlockPublicPolicy", True),
        ("IgnorePublicAcls", True), ("RestrictPublicBuckets", True)}
    assert p["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert p["VersioningConfiguration"]["Status"] == "Enabled"
    assert "AccessControl" not in p and "ReplicationConfiguration" not in p and "WebsiteConfiguration" not in p


def table(p):
    assert p["SSESpecification"]["SSEEnabled"] is True
    assert p["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert p["DeletionProtectionEnabled"] == "true"  # the parameter ProtectLedger, with everything
    assert "ResourcePolicy" not in p, "without one a table is closed to other accounts"


def queue(p):
    assert p["SqsManagedSseEnabled"] is True or p.get("KmsMasterKeyId")


def topic(p):
    # A key of people's own, or the stack's; CloudWatch cannot use that which AWS manages.
    assert p["KmsMasterKeyId"] == EVERYTHING["KmsKeyArn"]
    key_of_the_stack = template().resources("AWS::SNS::Topic")["Topic"]["KmsMasterKeyId"]
    assert key_of_the_stack == template().resolve({"Ref": "TopicKey"})


def log_group(p):
    # CloudWatch Logs encrypts every group; open to others it would be by an AWS::Logs::ResourcePolicy, which
    # has no judge here. Whoever reads the account's logs reads no secret (test_secrets.py).
    assert p["RetentionInDays"]
    assert set(p) <= {"RetentionInDays", "KmsKeyId", "LogGroupName"}


def key(p):
    assert p["EnableKeyRotation"] is True


def secret(p):
    assert p["GenerateSecretString"]["PasswordLength"] >= 32 and "SecretString" not in p


def secret_policy(p):
    assert p["BlockPublicPolicy"] is True
    denial, = p["ResourcePolicy"]["Statement"]
    assert denial["Effect"] == "Deny" and denial["Action"] == "secretsmanager:GetSecretValue"
    assert denial["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": FUNCTION_ROLE}}


def function(p):
    assert "FunctionUrlConfig" not in p and p["VpcConfig"]
    for name, value in p["Environment"]["Variables"].items():
        assert "PASSWORD" not in name and "{{resolve:" not in str(value), "no secret in the environment"


def permission(p):
    # The account as well where the ARN has none in it, and nowhere where the service does not send it.
    assert p["Principal"].endswith(".amazonaws.com") and p["SourceArn"]
    assert p.get("SourceAccount", ACCOUNT) == ACCOUNT
    assert of_this_account(p["SourceArn"]) or "SourceAccount" in p, "the ARN says not whose it is"
    sent = sends(p["Principal"], p["Action"])
    assert "SourceAccount" not in p or ACCOUNT_KEY in sent.always, f"never matches: {sent.source}"


def rule(p):
    # Another account's bus, by the forwarding role alone.
    assert [target["Arn"] for target in p["Targets"]] == [NAMES["BusArn"]]
    assert p["EventPattern"]["source"] == ["aws.backup"] and p["EventPattern"]["account"] == [ACCOUNT]


def subnet(p):
    assert p.get("MapPublicIpOnLaunch", False) is False


def endpoint(p):
    if p["VpcEndpointType"] == "Interface":
        assert p["PrivateDnsEnabled"] is True and p["SecurityGroupIds"]
    assert p["PolicyDocument"]["Statement"], "without a policy everything passes"


def workgroup(p):
    # Answers hold what records hold: encrypted, in the bucket of the records, whatever a client asks for.
    asked = p["WorkGroupConfiguration"]
    assert asked["EnforceWorkGroupConfiguration"] is True and asked["BytesScannedCutoffPerQuery"] <= 10 ** 11
    results = asked["ResultConfiguration"]
    assert results["OutputLocation"].endswith("/athena/")
    assert results["EncryptionConfiguration"] == {"EncryptionOption": "SSE_KMS", "KmsKey": EVERYTHING["KmsKeyArn"]}


#: A judge for each type that keeps or lets through anything.
JUDGES = {
    "AWS::Athena::WorkGroup": workgroup,
    "AWS::DynamoDB::Table": table, "AWS::EC2::Subnet": subnet, "AWS::EC2::VPCEndpoint": endpoint,
    "AWS::Events::Rule": rule, "AWS::KMS::Key": key, "AWS::Lambda::Permission": permission,
    "AWS::Logs::LogGroup": log_group,
    "AWS::S3::Bucket": bucket, "AWS::SNS::Topic": topic, "AWS::SQS::Queue": queue,
    "AWS::SecretsManager::ResourcePolicy": secret_policy, "AWS::SecretsManager::Secret": secret,
    "AWS::Serverless::Function": function,
}

#: Types without a judge, and why they need none.
NO_JUDGE = {
    "AWS::Athena::NamedQuery": "a question", "AWS::Glue::Database": "names tables", "AWS::Glue::Table": "names columns",
    "AWS::CloudFormation::Stack": "its template is judged itself",
    "AWS::CloudWatch::Alarm": "holds numbers", "AWS::CloudWatch::Dashboard": "shows what whoever looks at it may see",
    "AWS::Logs::QueryDefinition": "a question",
    "AWS::EC2::FlowLog": "says where rejected packets are noted",
    "AWS::EC2::RouteTable": "without routes of its own (AWS::EC2::Route has no judge)",
    "AWS::EC2::SecurityGroup": "the network's own tests", "AWS::EC2::SecurityGroupIngress": "as above",
    "AWS::EC2::SubnetRouteTableAssociation": "joins two of the above",
    "AWS::EC2::VPC": "connected to nothing: a gateway or a peering has no judge",
    "AWS::Events::EventBus": "closed but for its policy", "AWS::Events::EventBusPolicy": "judged below",
    "AWS::IAM::ManagedPolicy": "judged as a part of the roles that have it",
    "AWS::IAM::Role": "its policies are judged above and by parliament",
    "AWS::Logs::MetricFilter": "counts",
    "AWS::Pipes::Pipe": "can do what its role can (test_services.py)",
    "AWS::RDS::DBSubnetGroup": "names subnets",
    "AWS::Route53Resolver::FirewallDomainList": "names", "AWS::Route53Resolver::FirewallRuleGroup": "as above",
    "AWS::Route53Resolver::FirewallRuleGroupAssociation": "as above",
    "AWS::S3::BucketPolicy": "its policy is judged below", "AWS::SNS::TopicPolicy": "as above",
    "AWS::SQS::QueuePolicy": "as above",
    "AWS::SNS::Subscription": "lets nobody in",
}


def raw_resources():
    for name in TEMPLATES:
        with open(ROOT / name, encoding="utf-8") as text:
            for resource, body in yaml.load(text, Loader)["Resources"].items():
                yield name, resource, body


RESOURCES = [(name, resource, body["Type"]) for name, resource, body in raw_resources()]


def test_every_type_has_a_judge_or_needs_none():
    types = {kind for _, _, kind in RESOURCES}
    assert types == set(JUDGES) | set(NO_JUDGE)
    assert not set(JUDGES) & set(NO_JUDGE) and all(NO_JUDGE.values())


@pytest.mark.parametrize(("name", "resource", "kind"), [r for r in RESOURCES if r[2] in JUDGES])
def test_it_is_encrypted_and_closed(name, resource, kind):
    given = template(name, **EVERYTHING)
    JUDGES[kind](given.resolve(given.raw["Resources"][resource].get("Properties", {})))


def test_whoever_can_have_a_policy_denies_what_is_not_tls():
    bodies = {resource: body for _, resource, body in raw_resources()}
    policies = {"AWS::S3::Bucket": ("AWS::S3::BucketPolicy", "Bucket"),
                "AWS::SNS::Topic": ("AWS::SNS::TopicPolicy", "Topics"),
                "AWS::SQS::Queue": ("AWS::SQS::QueuePolicy", "Queues")}
    for resource, body in bodies.items():
        if body["Type"] not in policies:
            continue
        kind, property_ = policies[body["Type"]]
        documents = [
            other["Properties"]["PolicyDocument"] for other in bodies.values()
            if other["Type"] == kind and {"Ref": resource} in (
                lambda named: named if isinstance(named, list) else [named])(other["Properties"][property_])
        ]
        statements = [s for document in documents for s in document["Statement"] if "Sid" in s]
        assert [s["Sid"] for s in statements if s["Effect"] == "Deny" and s["Principal"] == "*" and
                s.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}] == ["OnlyTls"], resource


#: Conditions by which a service acts for this account alone.
OWN = ("aws:SourceAccount", "aws:SourceArn")

#: Statements that let a service in without saying for whom, each with its reason.
UNSAID = {
    "FunctionRole.AssumeRolePolicyDocument":
        "Lambda gives a role to functions of its own account alone, and names no source",
    "TopicPolicy.PolicyDocument VaultNotifications":
        "AWS does not document whether AWS Backup names the account it acts for; where it does, it must be ours",
    "TopicKey.KeyPolicy VaultNotifications": "as above",
}


def resource_policies():
    """Every statement that lets somebody in: place, and statement. Policies of roles name nobody."""
    for name in TEMPLATES:
        for place, document in template(name).policies() + template(name, **EVERYTHING).policies():
            for statement in document["Statement"]:
                if "Principal" in statement and statement["Effect"] == "Allow":
                    yield place, statement


def of_this_account(value):
    return value == ACCOUNT or f":{ACCOUNT}:" in value


def lets_in(place, statement):
    """What is wrong with an Allow of a resource's policy; none when it is closed to others."""
    where = f"{place} {statement['Sid']}" if "Sid" in statement else place
    principal, condition = statement["Principal"], statement.get("Condition", {})
    if "Endpoint" in place:
        # A rule of what passes, not a right; and for the function's role alone.
        return None if condition == {"ArnEquals": {"aws:PrincipalArn": FUNCTION_ROLE}} else f"{where}: others pass"
    if statement["Action"] == "events:PutEvents":
        return None if forwards(principal, condition) else f"{where}: {principal} under {condition}"
    if not isinstance(principal, dict) or set(principal) - {"AWS", "Service"}:
        return f"{where}: {principal}"
    if "AWS" in principal:
        known = principal["AWS"] if isinstance(principal["AWS"], list) else [principal["AWS"]]
        return None if all(of_this_account(one) for one in known) else f"{where}: {principal}"
    said = [
        value for operator in ("StringEquals", "ArnEquals", "ArnLike") for key_ in OWN
        for value in _values(condition.get(operator, {}).get(key_, []))
    ]
    if said and all(of_this_account(value) for value in said) or where in UNSAID:
        return None
    return f"{where}: any account's {principal['Service']}"


def forwards(principal, condition):
    """Whether a statement of a bus takes events of AWS Backup alone, of the organization or of accounts given."""
    by_organization = condition.get("StringEquals", {}).get("aws:PrincipalOrgID") == EVERYTHING["OrganizationId"]
    by_account = principal == {"AWS": [ACCOUNT, *EVERYTHING["SourceAccountIds"].split(",")]}
    return (
        (by_organization and principal == "*" or by_account)
        and condition.get("ForAllValues:StringEquals") == {"events:source": "aws.backup"}
        and all(kind.endswith(" Job State Change") for kind in condition["StringEquals"]["events:detail-type"])
    )


def _values(value):
    return value if isinstance(value, list) else [value]


def test_no_policy_lets_others_in():
    open_ = [wrong for place, statement in resource_policies() if (wrong := lets_in(place, statement))]
    assert not open_, "\n".join(open_)
    places = {f"{place} {s.get('Sid', '')}".strip() for place, s in resource_policies()}
    assert set(UNSAID) <= places, "listed in UNSAID and not there any more"
    for kind in ("ResultsBucket", "TopicPolicy", "UndeliveredEventsPolicy", "TopicKey", "RestoreRole"):
        assert kind == "ResultsBucket" or any(place.startswith(kind) for place in places), kind


@pytest.mark.parametrize("statement", [
    {"Principal": "*"},
    {"Principal": {"AWS": "*"}},
    {"Principal": {"AWS": f"arn:aws:iam::{FOREIGN}:root"}},
    {"Principal": {"AWS": [f"arn:aws:iam::{ACCOUNT}:root", FOREIGN]}},
    {"Principal": {"Federated": "cognito-identity.amazonaws.com"}},
    {"Principal": {"Service": "cloudwatch.amazonaws.com"}},
    {"Principal": {"Service": "cloudwatch.amazonaws.com"},
     "Condition": {"StringEquals": {"aws:SourceAccount": FOREIGN}}},
    {"Principal": {"Service": "cloudwatch.amazonaws.com"},
     "Condition": {"StringEqualsIfExists": {"aws:SourceAccount": ACCOUNT}}},
    {"Action": "events:PutEvents", "Principal": "*", "Condition": {}},
    {"Action": "events:PutEvents", "Principal": "*", "Condition": {
        "ForAllValues:StringEquals": {"events:source": "aws.backup"},
        "StringEquals": {"events:detail-type": ["Copy Job State Change"]}}},
    {"Action": "events:PutEvents", "Principal": "*", "Condition": {
        "StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5", "events:detail-type": ["Copy Job State Change"]}}},
])
def test_a_policy_that_lets_others_in_is_found(statement):
    planted = {"Sid": "Planted", "Effect": "Allow", "Action": "sns:Publish"} | statement
    assert lets_in("TopicPolicy.PolicyDocument", planted)
    allowed = {"Principal": {"Service": "cloudwatch.amazonaws.com"},
               "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}}}
    good = {"Sid": "Good", "Effect": "Allow", "Action": "sns:Publish"} | allowed
    assert not lets_in("TopicPolicy.PolicyDocument", good)


@pytest.mark.parametrize(("kind", "change"), [
    ("AWS::S3::Bucket", {"BucketEncryption": {"ServerSideEncryptionConfiguration": []}}),
    ("AWS::S3::Bucket", {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True}}),
    ("AWS::S3::Bucket", {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}}),
    ("AWS::Athena::WorkGroup", {"WorkGroupConfiguration": {"EnforceWorkGroupConfiguration": False}}),
    ("AWS::DynamoDB::Table", {"SSESpecification": {"SSEEnabled": False}}),
    ("AWS::DynamoDB::Table", {"ResourcePolicy": {"PolicyDocument": {}}}),
    ("AWS::SQS::Queue", {"SqsManagedSseEnabled": False}),
    ("AWS::SNS::Topic", {"KmsMasterKeyId": "alias/aws/sns"}),
    ("AWS::KMS::Key", {"EnableKeyRotation": False}),
    ("AWS::SecretsManager::ResourcePolicy", {"BlockPublicPolicy": False}),
    ("AWS::Serverless::Function", {"FunctionUrlConfig": {"AuthType": "NONE"}}),
    ("AWS::EC2::Subnet", {"MapPublicIpOnLaunch": True}),
    ("AWS::Lambda::Permission", {"SourceAccount": ACCOUNT}),
    ("AWS::Lambda::Permission", {"SourceArn": arn("sns", "vaults").replace(ACCOUNT, FOREIGN)}),
    ("AWS::Lambda::Permission", {"Principal": "s3.amazonaws.com"}),
])
def test_what_is_open_or_not_encrypted_is_found(kind, change):
    name, resource, _ = next(r for r in RESOURCES if r[2] == kind)
    given = template(name, **EVERYTHING)
    good = given.resolve(given.raw["Resources"][resource]["Properties"])
    JUDGES[kind](good)
    with pytest.raises((AssertionError, ValueError, KeyError)):
        JUDGES[kind](good | change)
