"""The function's role allows what the function calls, and nothing else without a reason."""

import tomllib
from pathlib import Path

import pytest

from judge import request_parameters
from permissions import Statement, Template, is_allowed, needed

REASONS = Path(__file__).with_name("allowed_but_not_called.toml")

#: Nothing is called on these by the function itself; any name does.
UNCALLED = {
    "FunctionLogGroup.Arn": "arn:aws:logs:eu-central-1:222222222222:log-group:function:*",
    "TopicKey.Arn": "arn:aws:kms:eu-central-1:222222222222:key/topic",
    "ExhaustedRetries.Arn": "arn:aws:sqs:eu-central-1:222222222222:exhausted",
}


@pytest.fixture(scope="module")
def demo(demo_calls, template_path):
    """The demo's calls with their parameters, and the role's statements for the demo's names.

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
    table = only("dynamodb", "*", "TableName")
    group = only("logs", "PutLogEvents", "logGroupName")
    read = {parameters["Key"] for call, parameters in known if call.operation == "GetObject"}
    bundles = [key for key in read if key.endswith(".pem")]
    assert len(bundles) <= 1, f"one CA bundle, are {bundles}"
    template = Template(template_path, UNCALLED | {
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
    return known, template.statements("FunctionRole"), region, account


def test_every_call_of_the_demo_is_allowed_by_the_role(demo):
    known, statements, region, account = demo
    refused = {
        f"{action} on {resource}"
        for call, parameters in known
        for action, resource in needed(call, parameters, region, account)
        if not is_allowed(statements, action, resource)
    }
    assert not refused, "the role in template.yaml does not allow:\n" + "\n".join(sorted(refused))


def test_every_operation_of_the_scenarios_is_allowed_by_the_role(calls, demo):
    # Scenarios choose names of their own, so only the actions are compared.
    _, statements, region, account = demo
    allowed = {action for statement in statements if statement.allows for action in statement.actions}
    called = {
        action
        for call in calls
        for action, _ in needed(call, request_parameters(call)[0], region, account)
    }
    assert called <= allowed, f"the role in template.yaml does not allow {called - allowed}"


def test_every_allowed_action_is_called_or_has_a_reason(calls, demo):
    _, statements, region, account = demo
    reasons = tomllib.loads(REASONS.read_text())
    allowed = {action for statement in statements if statement.allows for action in statement.actions}
    called = {
        action
        for call in calls
        for action, _ in needed(call, request_parameters(call)[0], region, account)
    }
    assert not [action for action in allowed if "*" in action], "no wildcard in an action"
    assert allowed - called - set(reasons) == set(), "allowed, never called and without a reason"
    assert set(reasons) & called == set(), f"called, so no reason is needed in {REASONS.name}"
    assert set(reasons) <= allowed, f"not allowed any more, so no reason is needed in {REASONS.name}"


def test_the_matching_follows_iam():
    allow = Statement("A", True, ("rds:DeleteDBInstance",), ("arn:aws:rds:r:a:db:restore-proof-*",))
    deny = Statement("D", False, ("rds:*",), ("arn:aws:rds:r:a:db:restore-proof-kept",))
    ours, foreign = "arn:aws:rds:r:a:db:restore-proof-1", "arn:aws:rds:r:a:db:orders"
    assert is_allowed([allow, deny], "rds:DeleteDBInstance", ours)
    assert not is_allowed([allow, deny], "rds:DeleteDBInstance", foreign)
    assert not is_allowed([allow, deny], "rds:StopDBInstance", ours)
    assert not is_allowed([allow, deny], "rds:DeleteDBInstance", "arn:aws:rds:r:a:db:restore-proof-kept")
