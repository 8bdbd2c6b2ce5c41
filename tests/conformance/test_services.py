"""Every service that acts for the stack under its own name reaches what it must, and for this account alone.

Who calls what is read from the templates: the targets and dead-letter queues of rules, schedules, subscriptions and
alarms. What each service carries in such a call stands in services.py.
"""

import pytest

from deployment import SETTINGS, deployed, permission
from iam import Request, Statement, as_list, refusal
from services import ACCOUNT as SOURCE_ACCOUNT
from services import ARN as SOURCE_ARN
from services import SENDS, contexts, sends
from test_policies import ACCOUNT, EVERYTHING, arn, template

FOREIGN = "444455556666"
DEPLOYED = {name: deployed(name) for name in SETTINGS}

#: What services act for that is not a resource of ours.
VAULT = arn("backup", "backup-vault:central")
SCHEDULES = arn("scheduler", "schedule-group/default")
FLOW_LOG = arn("ec2", "vpc-flow-log/fl-0a1b2c3d4e5f60718")


def pipe_arn(template):
    """The ARN of the one pipe: roles are made before it and name it."""
    pipe, = template.resources("AWS::Pipes::Pipe").values()
    return arn("pipes", f"pipe/{pipe['Name']}")


def flows(stack):
    """Every call of a service to something of ours: service, action, resource, and the ARN it acts for."""
    template = stack.main
    arns = {template.resolve({"Ref": name}): template.arn(name)
            for name in template.resources("AWS::SNS::Topic", "AWS::KMS::Key")}
    functions = {stack.function_arn}
    for name, rule in template.resources("AWS::Events::Rule").items():
        for target in rule["Targets"]:
            if target["Arn"] in functions:
                yield "events.amazonaws.com", "lambda:InvokeFunction", target["Arn"], template.arn(name)
            yield "events.amazonaws.com", "sqs:SendMessage", target["DeadLetterConfig"]["Arn"], template.arn(name)
    for subscription in template.resources("AWS::SNS::Subscription").values():
        if subscription["Protocol"] == "lambda":
            topic = subscription["TopicArn"]
            yield "sns.amazonaws.com", "lambda:InvokeFunction", subscription["Endpoint"], topic
            yield "sns.amazonaws.com", "sqs:SendMessage", subscription["RedrivePolicy"]["deadLetterTargetArn"], topic
        elif subscription["Protocol"] == "sqs":
            yield "sns.amazonaws.com", "sqs:SendMessage", subscription["Endpoint"], subscription["TopicArn"]
    for name, alarm in template.resources("AWS::CloudWatch::Alarm").items():
        for topic in alarm.get("AlarmActions", []) + alarm.get("OKActions", []):
            yield from _publishes(template, "cloudwatch.amazonaws.com", topic, arn("cloudwatch", f"alarm:{name}"), arns)
    # People may let a vault's notifications go to the stack's topic of verdicts (README).
    yield from _publishes(template, "backup.amazonaws.com", template.arn("Topic"), VAULT, arns)
    actors = {"backup.amazonaws.com": VAULT, "scheduler.amazonaws.com": SCHEDULES, "lambda.amazonaws.com": None,
              "vpc-flow-logs.amazonaws.com": FLOW_LOG, "pipes.amazonaws.com": pipe_arn(template)}
    for part in stack.parts:
        for name, role in part.resources("AWS::IAM::Role").items():
            for service in _services(role["AssumeRolePolicyDocument"]["Statement"]):
                yield service, "sts:AssumeRole", part.arn(name), actors[service]


def _publishes(template, service, topic, source, arns):
    """A message to a topic, and what its key must let the service do with it. Of people's own key nothing is known."""
    yield service, "sns:Publish", topic, source
    key = next(p["KmsMasterKeyId"] for name, p in template.resources("AWS::SNS::Topic").items()
               if template.arn(name) == topic)
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        if arns.get(key, key) in arns.values():
            yield service, action, arns.get(key, key), source


def _services(statements):
    return {name for s in statements if s["Effect"] == "Allow" for name in as_list(s["Principal"].get("Service", []))}


def refused(statements, service, action, resource, context):
    request = Request(action, resource, {"aws:SecureTransport": "true"} | context, service)
    return refusal(request, resource=statements)


FLOWS = sorted({(name, *flow) for name, stack in DEPLOYED.items() for flow in flows(stack)}, key=str)


@pytest.mark.parametrize(("setting", "service", "action", "resource", "source"), FLOWS)
def test_a_service_reaches_what_it_must_whatever_it_carries(setting, service, action, resource, source):
    statements = DEPLOYED[setting].policy_of(resource)
    row = sends(service, action)
    wrong = [f"with {context}: {why}" for context in contexts(row, source, ACCOUNT)
             if (why := refused(statements, service, action, resource, context))]
    assert not wrong, f"{service} cannot {action} on {resource}: {wrong}; what it sends: {row.source}"


@pytest.mark.parametrize(("setting", "service", "action", "resource", "source"), FLOWS)
def test_a_service_that_acts_for_another_account_does_not(setting, service, action, resource, source):
    row = sends(service, action)
    statements = DEPLOYED[setting].policy_of(resource)
    theirs = (source or "").replace(ACCOUNT, FOREIGN)
    for context in contexts(row, theirs, FOREIGN):
        # A service that names nobody cannot be told from itself. What only maybe names its account may leave it out.
        if SOURCE_ACCOUNT in context or SOURCE_ARN in row.always:
            assert refused(statements, service, action, resource, context), context


def test_every_service_that_is_let_in_has_a_flow():
    """No permission is left over for calls that nobody makes."""
    for setting, stack in DEPLOYED.items():
        used = {(service, resource) for name, service, _, resource, _ in FLOWS if name == setting}
        let_in = {
            (service, resource) for resource, statements in stack.resource_policies() for s in statements if s.allows
            for service in as_list(s.principal.get("Service", []) if isinstance(s.principal, dict) else [])
        }
        # Without a topic of vault notifications SNS has nothing to send; its permission must be gone, too.
        assert let_in <= used, (setting, let_in - used)


def test_every_row_is_used_and_has_a_source():
    used = {flow[1:3] for flow in FLOWS} | {("events.amazonaws.com", "sts:AssumeRole")}
    assert {(row.service, row.action) for row in SENDS} == used
    assert all(row.source for row in SENDS)


@pytest.mark.parametrize("setting", DEPLOYED)
def test_scheduler_starts_the_function_and_keeps_what_it_cannot_deliver(setting):
    stack = DEPLOYED[setting]
    schedules = stack.main.resources("AWS::Scheduler::Schedule")
    assert len(schedules) >= 2
    for name, schedule in schedules.items():
        target = schedule["Target"]
        for action, resource in (("lambda:InvokeFunction", target["Arn"]),
                                 ("sqs:SendMessage", target["DeadLetterConfig"]["Arn"])):
            assert stack.refuses(action, resource, {}, target["RoleArn"]) is None, (name, action)
        assert stack.refuses("lambda:InvokeFunction", arn("lambda", "function:another"), {}, target["RoleArn"])


@pytest.mark.parametrize("setting", DEPLOYED)
def test_the_pipe_takes_verdicts_and_puts_no_other_events(setting):
    stack = DEPLOYED[setting]
    pipe, = stack.main.resources("AWS::Pipes::Pipe").values()
    role, queue, bus = pipe["RoleArn"], pipe["Source"], pipe["Target"]
    # EventBridge user guide, Permissions for Amazon EventBridge Pipes: Amazon SQS execution role permissions.
    for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"):
        assert stack.refuses(action, queue, {}, role) is None, action
        assert stack.refuses(action, stack.main.arn("UndeliveredEvents"), {}, role), action
    source = pipe["TargetParameters"]["EventBridgeEventBusParameters"]["Source"]
    assert stack.refuses("events:PutEvents", bus, {"events:source": (source,)}, role) is None
    assert stack.refuses("events:PutEvents", bus, {"events:source": ("aws.backup",)}, role)
    assert stack.refuses("events:PutEvents", bus.replace("default", "another"), {"events:source": (source,)}, role)
    assert stack.refuses("sqs:SendMessage", queue, {}, role)
    # A queue that gives up on a message keeps it where an alarm looks.
    queues = stack.main.resources("AWS::SQS::Queue")
    redrive, = (q["RedrivePolicy"] for q in queues.values() if "RedrivePolicy" in q)
    assert redrive["deadLetterTargetArn"] == stack.main.arn("UndeliveredEvents")


@pytest.mark.parametrize("setting", DEPLOYED)
def test_the_pipes_events_are_not_for_our_own_rules(setting):
    main = DEPLOYED[setting].main
    pipe, = main.resources("AWS::Pipes::Pipe").values()
    source = pipe["TargetParameters"]["EventBridgeEventBusParameters"]["Source"]
    rules = main.resources("AWS::Events::Rule")
    assert rules and all(source not in rule["EventPattern"]["source"] for rule in rules.values())


@pytest.mark.parametrize("setting", DEPLOYED)
def test_lambda_keeps_what_failed_three_times(setting):
    stack = DEPLOYED[setting]
    function = stack.main.resources("AWS::Lambda::Function")[stack.only("AWS::Lambda::Function")]
    for invoke in stack.main.resources("AWS::Lambda::EventInvokeConfig").values():
        queue = invoke["DestinationConfig"]["OnFailure"]["Destination"]
        # With the function's role (Lambda developer guide, Capturing records of Lambda asynchronous invocations).
        assert stack.refuses("sqs:SendMessage", queue, {}, function["Role"]) is None


# --- forwarded events --------------------------------------------------------------------------------

ORGANIZATION, MEMBER = EVERYTHING["OrganizationId"], EVERYTHING["SourceAccountIds"].split(",")[0]
JOBS = ("Copy Job State Change", "Backup Job State Change", "Restore Job State Change")


def forwarding(account, **given):
    """infra/forward.yaml in an account, sending to the bus of the stack with everything."""
    bus = DEPLOYED["everything"].main.arn("Bus")
    return template("infra/forward.yaml", **{"AWS::AccountId": account, "BusArn": bus} | given)


def put(account, organization=None, kind=JOBS[0], source="aws.backup", action="events:PutEvents"):
    """Why the bus refuses an event that the forwarding role of an account puts; None if it takes it."""
    there = forwarding(account)
    # "The condition keys of PutEvents": source is a list, a call may put several events; detail-type is one (Service
    # Authorization Reference, Amazon EventBridge).
    context = {"events:source": (source,), "events:detail-type": kind, "aws:PrincipalOrgID": organization}
    bus = there.values["BusArn"]
    return refusal(Request(action, bus, context, there.arn("ForwardRole")), there.statements("ForwardRole"),
                   DEPLOYED["everything"].policy_of(bus))


@pytest.mark.parametrize("kind", JOBS)
def test_the_bus_takes_events_of_the_organization_and_of_accounts_given(kind):
    assert put(FOREIGN, ORGANIZATION, kind) is None
    assert put(MEMBER, None, kind) is None, "an account given need not be of the organization"


@pytest.mark.parametrize(("account", "organization", "changes"), [
    (FOREIGN, None, {}), (FOREIGN, "o-theirs00000", {}), (FOREIGN, "", {}),
    (MEMBER, None, {"source": "aws.ec2"}), (FOREIGN, ORGANIZATION, {"source": "people.own"}),
    (MEMBER, None, {"kind": "Recovery Point State Change"}), (MEMBER, None, {"kind": None}),
    (MEMBER, None, {"kind": ""}),
    (MEMBER, None, {"action": "events:PutRule"}), (MEMBER, None, {"action": "events:PutTargets"}),
])
def test_the_bus_takes_nothing_else(account, organization, changes):
    assert put(account, organization, **changes)


def test_the_forwarding_role_sends_to_the_bus_alone_and_eventbridge_alone_takes_it():
    there = forwarding(MEMBER)
    role, bus = there.arn("ForwardRole"), there.values["BusArn"]
    for name, rule in there.resources("AWS::Events::Rule").items():
        assert [(target["Arn"], target["RoleArn"]) for target in rule["Targets"]] == [(bus, role)]
        trust = [Statement.of(s) for s in
                 there.resources("AWS::IAM::Role")["ForwardRole"]["AssumeRolePolicyDocument"]["Statement"]]
        call = ("events.amazonaws.com", "sts:AssumeRole")
        for context in contexts(sends(*call), there.arn(name), MEMBER):
            assert refused(trust, *call, role, context) is None
        for context in contexts(sends(*call), there.arn(name).replace(MEMBER, FOREIGN), FOREIGN):
            assert refused(trust, *call, role, context)
    other = Request("events:PutEvents", bus.replace("event-bus/", "event-bus/other-"), {}, role)
    assert refusal(other, there.statements("ForwardRole"), [Statement.of({
        "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"})])


# --- planted faults ----------------------------------------------------------------------------------

TOPIC, FUNCTION = arn("sns", "vaults"), arn("lambda", "function:restore-proof")


def sns_permission(**changes):
    given = {"Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com", "SourceArn": TOPIC}
    return permission(given | changes, FUNCTION)


def test_a_permission_that_wants_an_account_of_sns_never_matches():
    call = ("sns.amazonaws.com", "lambda:InvokeFunction", FUNCTION)
    context, = contexts(sends(*call[:2]), TOPIC, ACCOUNT)
    assert refused([sns_permission()], *call, context) is None
    assert refused([sns_permission(SourceAccount=ACCOUNT)], *call, context)
    assert refused([sns_permission()], *call, {SOURCE_ARN: TOPIC.replace(ACCOUNT, FOREIGN)})
    rule = arn("events", "rule/r")
    event = permission({"Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com", "SourceArn": rule,
                        "SourceAccount": ACCOUNT}, FUNCTION)
    context, = contexts(sends("events.amazonaws.com", call[1]), rule, ACCOUNT)
    assert refused([event], "events.amazonaws.com", *call[1:], context) is None, "EventBridge sends both"


@pytest.mark.parametrize(("condition", "reaches"), [
    ({}, True),
    ({"StringEqualsIfExists": {SOURCE_ACCOUNT: ACCOUNT}}, True),
    ({"ArnLikeIfExists": {SOURCE_ARN: arn("backup", "backup-vault:*")}}, True),
    ({"StringEquals": {SOURCE_ACCOUNT: ACCOUNT}}, False),
    ({"ArnLike": {SOURCE_ARN: arn("backup", "backup-vault:*")}}, False),
    ({"StringEqualsIfExists": {SOURCE_ACCOUNT: FOREIGN}}, False),
    ({"Null": {SOURCE_ACCOUNT: "false"}}, False),
])
def test_a_key_that_may_be_absent_must_not_matter(condition, reaches):
    statement = Statement.of({"Effect": "Allow", "Principal": {"Service": "backup.amazonaws.com"},
                              "Action": "sns:Publish", "Resource": "*", "Condition": condition})
    call = ("backup.amazonaws.com", "sns:Publish")
    found = [refused([statement], *call, TOPIC, context) for context in contexts(sends(*call), VAULT, ACCOUNT)]
    assert len(found) == 4 and (found == [None] * 4) is reaches


def test_a_call_that_nobody_looked_up_is_an_error():
    with pytest.raises(KeyError, match="look it up"):
        sends("s3.amazonaws.com", "lambda:InvokeFunction")

