"""No more than is needed: the function's role, the restore role, and what lies around them.

`test_permissions.py` compares the role with what was called; here stands what the templates must say
whoever calls. Every resource type of both templates has a judge or a reason why it needs none.
"""

import pytest
import yaml
from parliament.statement import get_privilege_info

from conftest import ROOT
from iam import is_allowed
from permissions import _Loader
from services import ACCOUNT as ACCOUNT_KEY
from services import sends
from test_policies import ACCOUNT, EVERYTHING, NAMES, REGION, TEMPLATES, arn, template

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


#: What changes a database ends at the name prefix.
BY_NAME = ("rds:DeleteDBInstance", "rds:ModifyDBInstance")


@pytest.mark.parametrize("action", BY_NAME)
@pytest.mark.parametrize(("name", "allowed"), [
    (f"db:{PREFIX}-0123456789abcdef-1", True), ("db:orders", False), (f"db:{PREFIX}", False),
    (f"db:{PREFIX}s-orders", False), (f"db:orders-{PREFIX}-1", False),
    (f"snapshot:{PREFIX}-1", False), (f"cluster:{PREFIX}-1", False),
])
def test_databases_are_changed_and_deleted_under_the_prefix_alone(action, name, allowed):
    assert is_allowed(role("FunctionRole"), action, arn("rds", name), {}) is allowed
    assert not is_allowed(role("FunctionRole"), action,
                          f"arn:aws:rds:{REGION}:{FOREIGN}:db:{PREFIX}-1", {})


def levels(action):
    service, name = action.split(":")
    return get_privilege_info(service, name)["access_level"]


#: All that the function's role may change, by the condition or the fence that limits each; whoever adds
#: an action says here what limits it.
CHANGES = {
    "backup:StartRestoreJob": "recovery points of RDS and EC2; the restore role decides what becomes of them",
    "dynamodb:DeleteItem": "the ledger", "dynamodb:PutItem": "the ledger", "dynamodb:UpdateItem": "the ledger",
    "ec2:AssignPrivateIpAddresses": "denied to the function's code", "ec2:CreateNetworkInterface": "as above",
    "ec2:DeleteNetworkInterface": "as above", "ec2:UnassignPrivateIpAddresses": "as above",
    "ec2:DeleteVolume": "the zone; the README says what IAM cannot fence",
    "ec2:TerminateInstances": "the zone, IMDSv2, no profile; the README says what IAM cannot fence",
    "iam:PassRole": "the restore role, to AWS Backup",
    "kms:Encrypt": "a key of the user's, through DynamoDB and S3", "kms:ReEncryptFrom": "as above",
    "kms:ReEncryptTo": "as above",
    "kms:Decrypt": "through Secrets Manager and SNS", "kms:GenerateDataKey": "through SNS",
    "lambda:InvokeFunction": "itself",
    "logs:CreateLogStream": "two log groups", "logs:PutLogEvents": "two log groups",
    "rds:DeleteDBInstance": "the name prefix", "rds:ModifyDBInstance": "the name prefix",
    "s3:PutObject": "records/ of its bucket", "sns:Publish": "its topic",
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
    assert properties("RestoreRole")["ManagedPolicyArns"] == [MANAGED]
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


#: A judge for each type that keeps or lets through anything.
JUDGES = {
    "AWS::DynamoDB::Table": table, "AWS::EC2::Subnet": subnet, "AWS::EC2::VPCEndpoint": endpoint,
    "AWS::Events::Rule": rule, "AWS::KMS::Key": key, "AWS::Lambda::Permission": permission,
    "AWS::Logs::LogGroup": log_group,
    "AWS::S3::Bucket": bucket, "AWS::SNS::Topic": topic, "AWS::SQS::Queue": queue,
    "AWS::SecretsManager::ResourcePolicy": secret_policy, "AWS::SecretsManager::Secret": secret,
    "AWS::Serverless::Function": function,
}

#: Types without a judge, and why they need none.
NO_JUDGE = {
    "AWS::CloudFormation::Stack": "its template is judged itself",
    "AWS::CloudWatch::Alarm": "holds numbers",
    "AWS::EC2::FlowLog": "says where rejected packets are noted",
    "AWS::EC2::RouteTable": "without routes of its own (AWS::EC2::Route has no judge)",
    "AWS::EC2::SecurityGroup": "the network's own tests", "AWS::EC2::SecurityGroupIngress": "as above",
    "AWS::EC2::SubnetRouteTableAssociation": "joins two of the above",
    "AWS::EC2::VPC": "connected to nothing: a gateway or a peering has no judge",
    "AWS::Events::EventBus": "closed but for its policy", "AWS::Events::EventBusPolicy": "judged below",
    "AWS::IAM::Role": "its policies are judged above and by parliament",
    "AWS::Logs::MetricFilter": "counts",
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
            for resource, body in yaml.load(text, _Loader)["Resources"].items():
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
                s["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}] == ["OnlyTls"], resource


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
        # A rule of what passes, not a right; and for this account's principals alone.
        return None if condition == {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}} else f"{where}: everybody passes"
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
