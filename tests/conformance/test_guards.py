"""Who may write, overwrite and delete records and the policy file; and that the function's credentials are of no use elsewhere.

IAM's rules are those of iam.py. The account's administrator may everything by the role's own policies; what keeps it from a
record is the bucket's policy, and S3's lock where it is asked for.
"""

import pytest

from iam import Request, Statement, refusal
from test_policies import ACCOUNT, NAMES, template

BUCKET = NAMES["ResultsBucket.Arn"]
RECORD = f"{BUCKET}/records/dt=2026-11-28/v-1.json"
RUNBOOK = f"{BUCKET}/runbooks/orders-0123456789.md"
POLICY = f"{BUCKET}/policy/policy.toml"
INVENTORY = f"{BUCKET}/policy/inventory.csv"
REPORT = f"{BUCKET}/reports/weekly/2026-11-28/report.html"
FUNCTION = NAMES["FunctionRole.Arn"]
ADMINISTRATOR = f"arn:aws:iam::{ACCOUNT}:role/Administrator"
DEPLOYER, ANN = f"arn:aws:iam::{ACCOUNT}:role/deployer", f"arn:aws:iam::{ACCOUNT}:user/ann"
EVERYTHING_ALLOWED = [Statement.of({"Effect": "Allow", "Action": "*", "Resource": "*"})]


def bucket_policy(stack):
    [document] = [document for place, document in stack.policies() if place.startswith("ResultsBucketPolicy")]
    return [Statement.of(raw) for raw in document["Statement"]]


def refused(stack, principal, action, resource, identity=None, **context):
    own = stack.statements("FunctionRole") if principal == FUNCTION else EVERYTHING_ALLOWED
    carried = {"aws:SecureTransport": "true", "aws:PrincipalArn": principal} | {
        key.replace("__", ":").replace("_", "-"): value for key, value in context.items()}
    return refusal(Request(action, resource, carried, principal), identity or own, bucket_policy(stack))


LOCKED = {"s3__object_lock_mode": "GOVERNANCE"}


@pytest.mark.parametrize("days", ["0", "365"])
def test_only_the_function_writes_records(days):
    stack = template(RecordsLockDays=days)
    assert refused(stack, FUNCTION, "s3:PutObject", RECORD, **LOCKED) is None
    for somebody in (ADMINISTRATOR, DEPLOYER, NAMES["RestoreRole.Arn"], FUNCTION + "-2"):
        assert "OnlyTheFunctionWritesRecords" in refused(stack, somebody, "s3:PutObject", RECORD, **LOCKED)
    # The rest of the bucket is people's.
    assert refused(stack, ADMINISTRATOR, "s3:PutObject", POLICY) is None
    assert refused(stack, ADMINISTRATOR, "s3:GetObject", RECORD) is None


@pytest.mark.parametrize("days", ["0", "365"])
@pytest.mark.parametrize("who", [ADMINISTRATOR, FUNCTION])
@pytest.mark.parametrize("action", ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention",
                                    "s3:ReplicateObject", "s3:ReplicateDelete"])
def test_nobody_deletes_a_record_or_takes_its_lock_away(days, who, action):
    assert "NobodyDeletesRecords" in refused(template(RecordsLockDays=days), who, action, RECORD, EVERYTHING_ALLOWED)


@pytest.mark.parametrize("days", ["0", "365"])
def test_runbooks_are_the_functions_alone(days):
    """People paste commands from them. They are rewritten, so that no lock is asked of them."""
    stack = template(RecordsLockDays=days)
    assert refused(stack, FUNCTION, "s3:PutObject", RUNBOOK) is None
    assert "OnlyTheFunctionWritesRecords" in refused(stack, ADMINISTRATOR, "s3:PutObject", RUNBOOK)
    assert "NobodyDeletesRecords" in refused(stack, ADMINISTRATOR, "s3:DeleteObject", RUNBOOK, EVERYTHING_ALLOWED)
    assert refused(stack, ADMINISTRATOR, "s3:GetObject", RUNBOOK) is None
    # The function reads what they are made of, and writes no lock, no other folder.
    assert refused(stack, FUNCTION, "s3:GetObject", RECORD) is None
    for action, what in [("s3:GetObject", RUNBOOK), ("s3:PutObjectRetention", RUNBOOK), ("s3:PutObject", f"{BUCKET}/x.md")]:
        assert refused(stack, FUNCTION, action, what)


@pytest.mark.parametrize("action", ["s3:PutObjectRetention", "s3:PutObjectLegalHold"])
def test_nobody_else_shortens_a_lock(action):
    assert refused(template(RecordsLockDays="365"), ADMINISTRATOR, action, RECORD)


def test_records_are_locked_where_it_is_asked_for():
    locked, free = template(RecordsLockDays="365"), template()
    assert "RecordsAreLocked" in refused(locked, FUNCTION, "s3:PutObject", RECORD)
    # "When you put an object with a retention period you need s3:PutObjectRetention" (Amazon S3 user guide, Object Lock).
    assert refused(locked, FUNCTION, "s3:PutObjectRetention", RECORD) is None
    assert refused(free, FUNCTION, "s3:PutObject", RECORD) is None
    assert refused(free, FUNCTION, "s3:PutObjectRetention", RECORD)


@pytest.mark.parametrize("days", ["0", "7", "365"])
def test_older_versions_stay_for_three_months_whatever_the_lock(days):
    """What is locked longer S3 keeps longer: a lifecycle rule deletes no locked version (Amazon S3 user guide, Object Lock)."""
    stack = template(RecordsLockDays=days)
    bucket = stack.resolve(stack.raw["Resources"]["ResultsBucket"]["Properties"])
    assert bucket["ObjectLockEnabled"] is True and bucket["VersioningConfiguration"]["Status"] == "Enabled"
    kept = {rule["Prefix"]: int(rule["NoncurrentVersionExpiration"]["NoncurrentDays"])
            for rule in bucket["LifecycleConfiguration"]["Rules"]}
    # The answers of queries are no records.
    assert kept.pop("athena/") == 1
    assert set(kept) == {"records/", "reports/", "runbooks/", "policy/policy.toml", "policy/inventory.csv"}
    assert set(kept.values()) == {90}


def test_the_policy_file_is_written_by_those_who_are_named():
    named, anybody = template(PolicyWriterArns=f"{DEPLOYER},{ANN}"), template()
    for file in (POLICY, INVENTORY):
        for action in ("s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"):
            for writer in (DEPLOYER, ANN):
                assert refused(named, writer, action, file) is None
            assert "OnlyTheseWriteThePolicy" in refused(named, ADMINISTRATOR, action, file)
            assert refused(anybody, ADMINISTRATOR, action, file) is None
        assert refused(named, FUNCTION, "s3:PutObject", file)
        assert refused(named, FUNCTION, "s3:GetObject", file) is None
    # Another key than the default.
    elsewhere = template(PolicyWriterArns=DEPLOYER, PolicyKey="rules.toml")
    assert refused(elsewhere, ADMINISTRATOR, "s3:PutObject", f"{BUCKET}/rules.toml")


def test_only_the_function_writes_reports():
    stack = template(RecordsLockDays="365")
    # Records alone are locked.
    assert refused(stack, FUNCTION, "s3:PutObject", REPORT) is None
    for somebody in (ADMINISTRATOR, DEPLOYER, NAMES["RestoreRole.Arn"], FUNCTION + "-2"):
        for action in ("s3:PutObject", "s3:ReplicateObject"):
            assert "OnlyTheFunctionWritesReports" in refused(stack, somebody, action, REPORT, EVERYTHING_ALLOWED)
    assert refused(stack, ADMINISTRATOR, "s3:GetObject", REPORT) is None
    assert refused(stack, ADMINISTRATOR, "s3:DeleteObject", REPORT) is None
    assert refused(stack, FUNCTION, "s3:DeleteObject", REPORT)
    assert refused(stack, FUNCTION, "s3:GetObject", REPORT), "it reads none"


def test_the_function_lists_and_reads_what_a_report_is_made_of_alone():
    stack = template()
    for prefix in ("records/dt=", "records/dt=2026-11-28/", "policy/inventory.csv"):
        assert refused(stack, FUNCTION, "s3:ListBucket", BUCKET, s3__prefix=prefix) is None
    for prefix in ("", "records", "policy/", "policy/inventory.csv2", "reports/", "athena/"):
        assert refused(stack, FUNCTION, "s3:ListBucket", BUCKET, s3__prefix=prefix), prefix
    assert refused(stack, FUNCTION, "s3:ListBucket", BUCKET), "the whole bucket"
    assert refused(stack, FUNCTION, "s3:GetObject", RECORD) is None
    assert refused(stack, FUNCTION, "s3:GetObject", f"{BUCKET}/athena/answer.csv")


VPC = template().resolve({"Fn::GetAtt": ["Network", "Outputs.VpcId"]})

#: What the function does through the isolated network, one action of each service, and on what.
THROUGH_THE_NETWORK = {
    "backup:DescribeRestoreJob": "*", "dynamodb:GetItem": NAMES["Ledger.Arn"], "ec2:DescribeSecurityGroups": "*",
    "lambda:InvokeFunction": f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:restore-proof",
    "rds:DescribeDBInstances": f"arn:aws:rds:eu-central-1:{ACCOUNT}:db:x",
    "s3:GetObject": POLICY, "secretsmanager:GetSecretValue": NAMES.get("ResetKey", "*"), "sns:Publish": NAMES["Topic"],
}


@pytest.mark.parametrize("action", THROUGH_THE_NETWORK)
def test_the_functions_credentials_are_of_no_use_outside_of_the_network(action):
    stack, open_to_all = template(DenyOutsideVpc="true", NamePrefix="restore-proof"), template(NamePrefix="restore-proof")
    resource = THROUGH_THE_NETWORK[action]
    if resource == "*" and action.startswith("secretsmanager"):
        resource = stack.resolve({"Ref": "ResetKey"})

    def answer(of, **context):
        carried = {"aws:SecureTransport": "true"} | {key.replace("__", ":"): value for key, value in context.items()}
        return refusal(Request(action, resource, carried, FUNCTION), of.statements("FunctionRole"))

    inside = {"aws__SourceVpc": stack.resolve({"Fn::GetAtt": ["Network", "Outputs.VpcId"]})}
    assert answer(stack, **inside) is None and answer(open_to_all) is None
    for outside in ({}, {"aws__SourceVpc": "vpc-0bad"}, {"aws__ViaAWSService": "false"}):
        assert "NothingFromOutsideOfTheNetwork" in answer(stack, **outside)
    # What another service does for the function, it does from its own network.
    assert answer(stack, aws__ViaAWSService="true") is None


@pytest.mark.parametrize("action", ["iam:PassRole", "logs:PutLogEvents", "sqs:SendMessage", "kms:Decrypt",
                                    "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces",
                                    "ec2:DescribeSubnets", "ec2:AssignPrivateIpAddresses"])
def test_what_lambda_and_other_services_do_themselves_is_not_denied(action):
    denied = [s for s in template(DenyOutsideVpc="true").statements("FunctionRole") if s.sid == "NothingFromOutsideOfTheNetwork"]
    assert len(denied) == 1
    assert not any(s.is_about(Request(action, "*", {}, FUNCTION)) for s in denied)


def test_verdicts_are_logged_from_inside_alone_and_lambda_logs_the_function():
    stack = template(DenyOutsideVpc="true")
    verdicts = stack.resolve({"Fn::GetAtt": ["RecordsLogGroup", "Arn"]})
    own = stack.resolve({"Fn::GetAtt": ["FunctionLogGroup", "Arn"]})
    inside = {"aws:SourceVpc": stack.resolve({"Fn::GetAtt": ["Network", "Outputs.VpcId"]})}
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        def answer(group, context):
            return refusal(Request(action, group, context, FUNCTION), stack.statements("FunctionRole"))
        assert answer(verdicts, inside) is None and answer(own, {}) is None
        assert "NoVerdictsFromOutsideOfTheNetwork" in answer(verdicts, {})


def test_every_call_through_the_network_is_denied_outside():
    """What the function's role may do is denied, but for what Lambda and other services do themselves."""
    stack = template(DenyOutsideVpc="true")
    statements = stack.statements("FunctionRole")
    allowed = {action for s in statements if s.allows for action in s.actions}
    denied = [s for s in statements if s.sid == "NothingFromOutsideOfTheNetwork"]
    left = {action for action in allowed if not any(s.is_about(Request(action, "*", {}, FUNCTION)) for s in denied)}
    assert {action.partition(":")[0] for action in left} <= {"ec2", "iam", "kms", "logs", "rds-db", "sqs"}
    assert {action for action in left if action.startswith("ec2:")} == {
        "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
        "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"}
