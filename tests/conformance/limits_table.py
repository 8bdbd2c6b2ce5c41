"""What AWS documents of resources and botocore's models lack, as a table: each rule with its source.

A rule's function gets a resource whose values are all known, and yields (holds, path, message) for everything that it
looks at; limits.py counts that and says where it was.
"""

import functools
import ipaddress
import json
import re

from moto.iam.aws_managed_policies import aws_managed_policies_data

from limits_calls import document
from permissions import Statement
from stacks import ACCOUNT

#: Rules on single resources, by name: (resource types, source, function). `*` is every type.
RULES = {}


def rule(name, *types, source):
    """Registers a rule. Its function yields (holds, path, message) for all that it looks at."""
    def register(function):
        RULES[name] = (types, source, function)
        return function
    return register


def at_most(size, limit, path, unit, what="has"):
    return size <= limit, path, f"{what} {size:,} {unit}; the service takes {limit:,} at most"


def without_spaces(policy):
    return len(re.sub(r"\s", "", document(policy)))


# EC2

EC2_TEXT = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]*")


def group_rules(resource):
    """The rules that a security group resource holds, or is."""
    if resource.type != "AWS::EC2::SecurityGroup":
        return [("", resource.properties)]
    return [(f"{member}[{index}]", item) for member in ("SecurityGroupIngress", "SecurityGroupEgress")
            for index, item in enumerate(resource.properties.get(member, []))]


@rule("ec2-rule-description", "AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupEgress",
      "AWS::EC2::SecurityGroupIngress",
      source="EC2 API reference, IpRange.Description; cfn-lint issue 173; terraform-provider-aws issue 18874")
def _(r):
    for path, item in group_rules(r):
        text = item.get("Description", "")
        bad = sorted(set(EC2_TEXT.sub("", text)))
        yield not bad, f"{path}.Description", (
            f"{text!r} holds {bad}; EC2 takes a-z A-Z 0-9 space ._-:/()#,@[]+=&;{{}}!$* only: write it without")
        yield at_most(len(text), 255, f"{path}.Description", "characters")


@rule("ec2-group-text", "AWS::EC2::SecurityGroup", source="EC2 API reference, CreateSecurityGroup")
def _(r):
    for name in ("GroupDescription", "GroupName"):
        text = r.properties.get(name)
        if text is None:
            continue
        bad = sorted(set(EC2_TEXT.sub("", text)))
        yield not bad, name, f"{text!r} holds {bad}; EC2 takes a-z A-Z 0-9 space ._-:/()#,@[]+=&;{{}}!$* only"
        yield 0 < len(text) <= 255, name, f"has {len(text)} characters; EC2 takes 1 to 255"
        yield name != "GroupName" or not text.startswith("sg-"), name, f"{text!r} begins with sg-, which is reserved"


@rule("ec2-rule-ports", "AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupEgress", "AWS::EC2::SecurityGroupIngress",
      source="EC2 API reference, IpPermission; Amazon VPC quotas (60 rules a group and direction)")
def _(r):
    for path, item in group_rules(r):
        if str(item.get("IpProtocol")) in ("tcp", "udp"):
            low, high = int(item.get("FromPort", -1)), int(item.get("ToPort", -1))
            yield 0 <= low <= high <= 65535, path, f"ports {low} to {high} are no range within 0 to 65535"
        given = [n for n in item if n in ("CidrIp", "CidrIpv6", "DestinationPrefixListId", "SourcePrefixListId",
                                          "DestinationSecurityGroupId", "SourceSecurityGroupId")]
        yield len(given) == 1, path, f"names {given or 'no source or destination'}; exactly one is needed"
        if "CidrIp" in item:
            yield is_network(item["CidrIp"]), path, f"{item['CidrIp']} is no IPv4 range"
    for member in ("SecurityGroupIngress", "SecurityGroupEgress"):
        yield at_most(len(r.properties.get(member, [])), 60, member, "rules")


def is_network(text):
    try:
        return bool(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return False


@rule("vpc-ranges", "AWS::EC2::VPC", "AWS::EC2::Subnet",
      source="Amazon VPC user guide, VPC CIDR blocks and Subnet sizing: /16 to /28")
def _(r):
    block = r.properties["CidrBlock"]
    yield is_network(block), "CidrBlock", f"{block} is no IPv4 range"
    if is_network(block):
        yield 16 <= ipaddress.ip_network(block, strict=False).prefixlen <= 28, "CidrBlock", f"{block}: /16 to /28 only"
    if r.type == "AWS::EC2::Subnet" and is_network(block):
        others = [o for o in r.stack.resources.values() if o.logical != r.logical
                  and o.type == r.type and o.properties["VpcId"] == r.properties["VpcId"]]
        mine = ipaddress.ip_network(block, strict=False)
        for other in others:
            yield not mine.overlaps(ipaddress.ip_network(other.properties["CidrBlock"])), "CidrBlock", (
                f"{block} overlaps {other.logical}'s {other.properties['CidrBlock']}")
        for vpc in r.stack.resources.values():
            if vpc.type == "AWS::EC2::VPC" and vpc.ref == r.properties["VpcId"]:
                whole = ipaddress.ip_network(vpc.properties["CidrBlock"], strict=False)
                yield mine.subnet_of(whole), "CidrBlock", f"{block} lies outside the VPC's {whole}"


@rule("vpc-endpoint-policy", "AWS::EC2::VPCEndpoint",
      source="AWS PrivateLink guide, Control access using endpoint policies: 20,480 characters, whitespace included")
def _(r):
    if "PolicyDocument" in r.properties:
        yield at_most(len(document(r.properties["PolicyDocument"])), 20480, "PolicyDocument", "characters")


@rule("vpc-endpoint-shape", "AWS::EC2::VPCEndpoint",
      source="EC2 API reference, CreateVpcEndpoint; AWS PrivateLink guide: one subnet per zone, private DNS names")
def _(r):
    gateway = r.properties.get("VpcEndpointType", "Gateway") == "Gateway"
    misplaced = {"SubnetIds", "SecurityGroupIds", "PrivateDnsEnabled"} if gateway else {"RouteTableIds"}
    found = sorted(misplaced & set(r.properties))
    yield not found, "", f"{found} belong to the other kind of endpoint"
    subnets = r.properties.get("SubnetIds", [])
    yield gateway or subnets, "SubnetIds", "an interface endpoint needs a subnet"
    zones = [s.properties["AvailabilityZone"] for s in r.stack.resources.values()
             if s.type == "AWS::EC2::Subnet" and s.ref in subnets]
    yield len(zones) == len(set(zones)), "SubnetIds", f"two subnets in one zone: {zones}"
    if r.properties.get("PrivateDnsEnabled"):
        for vpc in r.stack.resources.values():
            if vpc.type == "AWS::EC2::VPC" and vpc.ref == r.properties["VpcId"]:
                yield (vpc.properties.get("EnableDnsSupport", True) and vpc.properties.get("EnableDnsHostnames", False),
                       "PrivateDnsEnabled", f"{vpc.logical} needs EnableDnsSupport and EnableDnsHostnames for that")


FLOW_LOG_ACTIONS = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogGroups",
                    "logs:DescribeLogStreams")


@rule("flow-logs-role", "AWS::EC2::FlowLog",
      source="Amazon VPC user guide, IAM role for publishing flow logs to CloudWatch Logs: `at least` these actions")
def _(r):
    if r.properties.get("LogDestinationType", "cloud-watch-logs") != "cloud-watch-logs":
        return
    role = next((o for o in r.stack.resources.values() if o.type == "AWS::IAM::Role"
                 and r.stack.values[f"{o.logical}.Arn"] == r.properties.get("DeliverLogsPermissionArn")), None)
    yield role is not None, "DeliverLogsPermissionArn", "names no role of this stack"
    if role is None:
        return
    allowed = [Statement.of(s) for p in role.properties["Policies"] for s in p["PolicyDocument"]["Statement"]]
    account = f"arn:{r.stack.values['AWS::Partition']}:logs:{r.stack.setting.region}:{ACCOUNT}:log-group:"
    name = r.properties.get("LogGroupName", "-")
    for action in FLOW_LOG_ACTIONS:
        # DescribeLogGroups is asked for all groups at once (service authorization reference, CloudWatch Logs).
        resource = f"{account}*" if action == "logs:DescribeLogGroups" else f"{account}{name}:log-stream:x"
        yield any(s.allows and s.matches(action, resource, {}) for s in allowed), f"{role.logical} {action}", (
            f"the role may not call {action} on {resource}: without it no flow log arrives")


# IAM

ROLE = "AWS::IAM::Role"


@rule("role-inline-policies", ROLE,
      source="IAM quotas: the inline policies of a role, 10,240 characters together, whitespace not counted")
def _(r):
    total = sum(without_spaces(p["PolicyDocument"]) for p in r.properties.get("Policies", []))
    yield at_most(total, 10240, "Policies", "characters in all inline policies")
    names = [p["PolicyName"] for p in r.properties.get("Policies", [])]
    yield len(names) == len(set(names)), "Policies", f"two inline policies of one name: {names}"


@rule("role-trust-policy", ROLE, source="IAM quotas: role trust policy length 2,048 characters")
def _(r):
    size = without_spaces(r.properties["AssumeRolePolicyDocument"])
    yield at_most(size, 2048, "AssumeRolePolicyDocument", "characters")


@rule("managed-policy-size", "AWS::IAM::ManagedPolicy",
      source="IAM quotas: managed policy 6,144 characters, whitespace not counted")
def _(r):
    yield at_most(without_spaces(r.properties["PolicyDocument"]), 6144, "PolicyDocument", "characters")


@functools.cache
def aws_policies():
    """AWS's own managed policies by path and name, as moto has them."""
    return {policy["Path"].lstrip("/") + name for name, policy in json.loads(aws_managed_policies_data).items()}


@rule("managed-policies", ROLE, source="IAM quotas: 10 managed policies a role; AWS managed policy reference guide")
def _(r):
    arns = r.properties.get("ManagedPolicyArns", [])
    from_outside = [o.ref for o in r.stack.resources.values() if o.type == "AWS::IAM::ManagedPolicy"
                    and r.ref in o.properties.get("Roles", [])]
    yield at_most(len({*arns, *from_outside}), 10, "ManagedPolicyArns", "managed policies")
    for arn in arns:
        partition, _, name = arn.partition(":iam::aws:policy/")
        if name:
            yield partition == f"arn:{r.stack.values['AWS::Partition']}", "ManagedPolicyArns", (
                f"{arn} is of another partition than {r.stack.values['AWS::Partition']}")
            yield name in aws_policies(), "ManagedPolicyArns", f"AWS has no managed policy {name}"


def listed(value):
    return value if isinstance(value, list) else [value]


@rule("policy-grammar", "*", source="IAM user guide, Grammar of the IAM JSON policy language; IAM JSON policy Sid")
def _(r):
    for path, policy in r.policies:
        sids = [s["Sid"] for s in policy["Statement"] if "Sid" in s]
        yield len(sids) == len(set(sids)), path, f"a Sid stands twice in {sids}"
        for statement in policy["Statement"]:
            sid = statement.get("Sid", "-")
            identity = r.type in (ROLE, "AWS::IAM::ManagedPolicy") and "AssumeRole" not in path
            yield not identity or re.fullmatch("[a-zA-Z0-9]*", statement.get("Sid", "")), f"{path} {sid}", (
                "a Sid of IAM has letters and digits only")
            for member in ("Action", "NotAction", "Resource", "NotResource"):
                if member in statement:
                    values = listed(statement[member])
                    yield values and all(isinstance(v, str) and v for v in values), f"{path} {sid}", (
                        f"{member} is {statement[member]!r}: it needs at least one value, and none that is empty")


# Who calls, and what it says of itself

SOURCE_KEYS = {"aws:sourceaccount", "aws:sourcearn", "aws:sourceorgid"}
NOTHING, ARN, ACCOUNT_ONLY = frozenset(), frozenset({"aws:sourcearn"}), frozenset({"aws:sourceaccount"})
ARN_AND_ACCOUNT = ARN | ACCOUNT_ONLY

#: Which of the source keys a service principal is known to send, by the service it calls. A condition on another
#: one never matches, and the call is refused without a word.
SENDS = {
    ("backup.amazonaws.com", "kms"): (NOTHING, "AWS Backup guide documents none"),
    ("backup.amazonaws.com", "sns"): (ARN_AND_ACCOUNT, "AWS Backup guide, Cross-service confused deputy prevention: "
                                      "aws:SourceArn is the vault's when it publishes to a topic"),
    ("backup.amazonaws.com", "sts"): (ACCOUNT_ONLY, "nationalarchives/terraform-aws-immutable-aws-backup, "
                                      "iam-service-role.tf, in production"),
    ("cloudwatch.amazonaws.com", "kms"): (ARN_AND_ACCOUNT, "SNS guide, Managing Amazon SNS encryption keys"),
    ("cloudwatch.amazonaws.com", "sns"): (ARN_AND_ACCOUNT, "CloudWatch guide, Notifying users on alarm changes"),
    ("events.amazonaws.com", "kms"): (NOTHING, "SNS guide, Managing Amazon SNS encryption keys: source keys are not "
                                      "supported for EventBridge to encrypted topics"),
    ("events.amazonaws.com", "lambda"): (ARN_AND_ACCOUNT, "EventBridge guide, Using resource-based policies"),
    ("events.amazonaws.com", "sqs"): (ARN, "EventBridge guide, Considerations for a dead-letter queue"),
    ("events.amazonaws.com", "sts"): (ARN_AND_ACCOUNT, "EventBridge guide, Cross-service confused deputy prevention"),
    ("lambda.amazonaws.com", "sts"): (NOTHING, "Lambda guide, Execution role: documents none; prowler issue 2810"),
    ("pipes.amazonaws.com", "sts"): (ARN_AND_ACCOUNT, "EventBridge guide, the template of its tutorial on pipes: "
                                     "PipeTutorialPipeRole asks for both"),
    ("s3.amazonaws.com", "lambda"): (ARN_AND_ACCOUNT, "Lambda guide, Process Amazon S3 event notifications"),
    ("scheduler.amazonaws.com", "sts"): (ARN_AND_ACCOUNT, "EventBridge Scheduler guide, Confused deputy prevention"),
    ("sns.amazonaws.com", "lambda"): (ARN, "aws-cli issue 1996: SNS sends no source account to Lambda"),
    ("sns.amazonaws.com", "sqs"): (ARN, "SNS guide, Subscribing an Amazon SQS queue: aws:SourceArn"),
    ("vpc-flow-logs.amazonaws.com", "sts"): (ARN_AND_ACCOUNT, "VPC guide, IAM role for publishing flow logs"),
}

def source_conditions(statement):
    """The source keys that must be there for a statement to match; `IfExists` and null conditions need none."""
    return {
        key.lower(): values
        for operator, keys in statement.get("Condition", {}).items()
        if not operator.endswith("IfExists") and operator != "Null" and not operator.startswith("ForAllValues")
        for key, values in keys.items() if key.lower() in SOURCE_KEYS
    }


def check_sender(principal, called, keys):
    """(holds, message) for a principal that calls a service with conditions on these keys."""
    known = SENDS.get((principal, called))
    if known is None:
        yield False, (f"nobody looked up which source keys {principal} sends to {called}: add it to SENDS in "
                      "limits_table.py with its source")
        return
    sends, source = known
    missing = sorted(set(keys) - sends)
    yield not missing, (f"{principal} does not send {', '.join(missing)} to {called}, so the statement never matches "
                        f"({source}): take the condition out, or use the IfExists form")


@rule("service-principal-sends", "*", source="the table SENDS, each row with its own source")
def _(r):
    if r.type == "AWS::Lambda::Permission" and "." in r.properties["Principal"]:
        keys = {f"aws:{name.lower()}" for name in ("SourceArn", "SourceAccount") if name in r.properties}
        for holds, message in check_sender(r.properties["Principal"], "lambda", keys):
            yield holds, "", message
    for path, policy in r.policies:
        for statement in policy["Statement"]:
            principal = statement.get("Principal")
            if statement["Effect"] != "Allow" or not isinstance(principal, dict):
                continue
            called = {action.split(":")[0] for action in listed(statement["Action"])}
            for name in listed(principal.get("Service", [])):
                for service in called:
                    for holds, message in check_sender(name, service, source_conditions(statement)):
                        yield holds, f"{path} {statement.get('Sid', name)}", message


@rule("lambda-permission-source", "AWS::Lambda::Permission",
      source="Lambda guide, Granting function access to services: name the source, or every account's may invoke")
def _(r):
    if r.properties["Principal"].endswith(".amazonaws.com"):
        yield "SourceArn" in r.properties, "", "without SourceArn any resource of the service may invoke the function"
    yield r.properties["Principal"] != "s3.amazonaws.com" or "SourceAccount" in r.properties, "SourceAccount", (
        "the ARN of a bucket names no account, and a deleted bucket's name can be taken by another")


# EventBridge

EVENT_OPERATORS = {"prefix", "suffix", "anything-but", "numeric", "exists", "cidr", "equals-ignore-case", "wildcard"}


@rule("event-pattern", "AWS::Events::Rule",
      source="EventBridge quotas: event pattern 2,048 characters; EventBridge guide, Creating event patterns")
def _(r):
    pattern = r.properties.get("EventPattern")
    if pattern is None:
        return
    yield at_most(len(document(pattern)), 2048, "EventPattern", "characters")

    def walk(node, path):
        for key, value in node.items():
            here = f"{path}.{key}"
            if isinstance(value, dict):
                yield from walk(value, here)
                continue
            if key == "$or":
                for item in value:
                    yield from walk(item, here)
                continue
            yield isinstance(value, list) and bool(value), here, f"is {value!r} and must be a list that is not empty"
            for item in value if isinstance(value, list) else []:
                if isinstance(item, dict):
                    yield set(item) <= EVENT_OPERATORS, here, f"{sorted(item)}: EventBridge knows {EVENT_OPERATORS}"
    yield from walk(pattern, "EventPattern")


@rule("rule-targets", "AWS::Events::Rule",
      source="EventBridge quotas: 5 targets a rule; PutTargets: an event bus of another account needs a role")
def _(r):
    targets = r.properties.get("Targets", [])
    yield at_most(len(targets), 5, "Targets", "targets")
    ids = [t["Id"] for t in targets]
    yield len(ids) == len(set(ids)), "Targets", f"two targets of one Id: {ids}"
    for index, target in enumerate(targets):
        if ":event-bus/" in target["Arn"]:
            yield "RoleArn" in target, f"Targets[{index}]", "an event bus as target needs a RoleArn that may PutEvents"


@rule("event-bus", "AWS::Events::EventBus", "AWS::Events::EventBusPolicy",
      source="EventBridge API reference, CreateEventBus (no slash, not `default`); quotas: policy 10,240 characters")
def _(r):
    if r.type == "AWS::Events::EventBus":
        name = r.properties["Name"]
        yield name != "default", "Name", "every account has the bus `default` already"
        yield "/" not in name, "Name", f"{name!r}: a custom bus has no slash in its name"
    for path, policy in r.policies:
        yield at_most(len(document(policy)), 10240, path, "characters")


# Lambda

RESERVED_VARIABLES = {
    "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}
FUNCTION = "AWS::Lambda::Function"


@rule("lambda-environment", FUNCTION, source="Lambda quotas: environment variables 4 KB in all; Working with Lambda "
      "environment variables: reserved names")
def _(r):
    variables = r.properties.get("Environment", {}).get("Variables", {})
    size = len(json.dumps(variables, separators=(",", ":"), ensure_ascii=False).encode())
    yield at_most(size, 4096, "Environment", "bytes in all variables")
    for name in variables:
        yield name not in RESERVED_VARIABLES, f"Environment.{name}", "is a name that Lambda keeps to itself"


@rule("lambda-function", FUNCTION, source="Lambda API reference, CreateFunction: name 64 characters, Timeout 900; "
      "Lambda quotas: 100 executions stay unreserved of 1,000")
def _(r):
    yield re.fullmatch("[a-zA-Z0-9-_]{1,64}", r.name), "FunctionName", f"{r.name!r} must be 1 to 64 of a-zA-Z0-9-_"
    yield int(r.properties.get("Timeout", 3)) <= 900, "Timeout", "a function runs for 900 seconds at most"
    reserved = int(r.properties.get("ReservedConcurrentExecutions", 0))
    # An account's concurrency starts at 1,000 or less; more is the user's to ask for.
    yield reserved <= 1000, "ReservedConcurrentExecutions", f"reserves {reserved} of an account's 1,000"


# CloudWatch

ALARM, COMPOSITE = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"


def periods_of(alarm):
    found = [alarm["Period"]] if "Period" in alarm else []
    for query in alarm.get("Metrics", []):
        found += [p for p in (query.get("Period"), query.get("MetricStat", {}).get("Period")) if p is not None]
    return [int(period) for period in found]


@rule("alarm-period", ALARM, source="CloudWatch API reference, PutMetricAlarm: 10, 20, 30 or a multiple of 60; "
      "Period times EvaluationPeriods a day at most, seven days from a period of an hour")
def _(r):
    periods, count = periods_of(r.properties), int(r.properties["EvaluationPeriods"])
    yield bool(periods), "Period", "has no period"
    for period in periods:
        yield period % 60 == 0 or period in (10, 20, 30), "Period", f"{period} seconds: 10, 20, 30 or a multiple of 60"
        limit = 604800 if period >= 3600 else 86400
        yield period * count <= limit, "EvaluationPeriods", (
            f"looks back {count} times {period} seconds; with this period {limit:,} seconds at most")
        yield period not in (10, 20, 30) or not r.properties.get("Namespace", "").startswith("AWS/"), "Period", (
            "metrics of AWS have no resolution below a minute")
    needed = int(r.properties.get("DatapointsToAlarm", count))
    yield needed <= count, "DatapointsToAlarm", f"{needed} of {count} evaluation periods"


@rule("alarm-metrics", ALARM, source="CloudWatch API reference, PutMetricAlarm, MetricDataQuery: 10 metrics, 20 "
      "entries, one of them returned; ids begin with a-z")
def _(r):
    p = r.properties
    yield ("MetricName" in p) != ("Metrics" in p), "", "needs MetricName or Metrics, and not both"
    yield p.get("TreatMissingData", "missing") in ("breaching", "notBreaching", "ignore", "missing"), (
        "TreatMissingData"), f"{p.get('TreatMissingData')!r}: breaching, notBreaching, ignore or missing"
    if "MetricName" in p:
        yield ("Statistic" in p) != ("ExtendedStatistic" in p), "", "needs Statistic or ExtendedStatistic"
        return
    queries = p.get("Metrics", [])
    yield at_most(sum("MetricStat" in q for q in queries), 10, "Metrics", "metrics")
    yield at_most(len(queries), 20, "Metrics", "entries")
    returned = [q for q in queries if str(q.get("ReturnData", True)).lower() == "true"]
    yield len(returned) == 1, "Metrics", f"{len(returned)} entries return data; an alarm watches exactly one"
    ids = [q["Id"] for q in queries]
    yield len(ids) == len(set(ids)), "Metrics", f"two entries of one Id: {ids}"
    for query in queries:
        yield re.fullmatch("[a-z][a-zA-Z0-9_]*", query["Id"]), "Metrics", f"Id {query['Id']!r}: begins with a-z"
        yield ("MetricStat" in query) != ("Expression" in query), f"Metrics {query['Id']}", (
            "needs MetricStat or Expression, and not both")
        expression = re.sub(r"'[^']*'|\"[^\"]*\"", "", query.get("Expression", ""))
        for word in re.findall(r"\b[a-z][a-zA-Z0-9_]*\b", expression):
            yield word in ids, f"Metrics {query['Id']}", f"the expression names {word}, which is no Id here"
        yield "SEARCH(" not in expression, f"Metrics {query['Id']}", "no alarm rests on SEARCH"


@rule("composite-alarm", COMPOSITE, source="CloudWatch API reference, PutCompositeAlarm: 100 children, 500 elements")
def _(r):
    names = alarm_names(r.properties["AlarmRule"])
    yield at_most(len(set(names)), 100, "AlarmRule", "alarms")
    known = {name for a in r.stack.resources.values() if a.type in (ALARM, COMPOSITE)
             for name in (a.name, r.stack.values[f"{a.logical}.Arn"])}
    for name in names:
        yield name in known, "AlarmRule", f"{name} is no alarm of this stack"


def alarm_names(text):
    return [quoted or bare for quoted, bare in re.findall(
        r"(?:ALARM|OK|INSUFFICIENT_DATA)\(\s*(?:[\"']([^\"']+)[\"']|([^\"')\s]+))\s*\)", text)]


#: The state that an alarm takes when there is not one data point (same page as the rule below).
WITHOUT_DATA = {"breaching": "ALARM", "notBreaching": "OK", "missing": "INSUFFICIENT_DATA",
                "ignore": "INSUFFICIENT_DATA"}


def state_without_data(stack, name, depth=0):
    """The state of an alarm on the day of the deployment, before there is any data."""
    alarm = next((a for a in stack.resources.values() if a.type in (ALARM, COMPOSITE)
                  and name in (a.name, stack.values[f"{a.logical}.Arn"])), None)
    if alarm is None or depth > 9:
        return "INSUFFICIENT_DATA"
    if alarm.type == ALARM:
        return WITHOUT_DATA.get(alarm.properties.get("TreatMissingData", "missing"))

    def one(found):
        state = state_without_data(stack, found[2] or found[3], depth + 1)
        return str(state == found[1])
    text = re.sub(r"\b(ALARM|OK|INSUFFICIENT_DATA)\(\s*(?:[\"']([^\"']+)[\"']|([^\"')\s]+))\s*\)", one,
                  alarm.properties["AlarmRule"])
    for word, python in (("AND", "and"), ("OR", "or"), ("NOT", "not"), ("TRUE", "True"), ("FALSE", "False")):
        text = re.sub(rf"\b{word}\b", python, text)
    if not re.fullmatch(r"(?:True|False|and|or|not|[()\s])*", text):
        raise NotImplementedError(f"{alarm.place}: cannot read the rule {alarm.properties['AlarmRule']}")
    return "ALARM" if eval(text, {"__builtins__": {}}) else "OK"  # only the words matched above


@rule("alarm-at-deployment", ALARM, COMPOSITE,
      source="CloudWatch guide, Configuring how CloudWatch alarms treat missing data")
def _(r):
    # A new alarm is in INSUFFICIENT_DATA, and actions follow a change of the state: InsufficientDataActions stay quiet.
    rings = r.properties.get("AlarmActions") and str(r.properties.get("ActionsEnabled", True)).lower() == "true"
    # An alarm that the suppressor holds back while it is young is looked at by hand.
    state = state_without_data(r.stack, r.name)
    yield not rings or state != "ALARM" or "ActionsSuppressor" in r.properties, "", (
        "rings on the day of the deployment, before any data exists: let missing data not breach until the first run, "
        "for instance by a composite alarm that asks for a first run as well")


@rule("metric-namespace", ALARM, "AWS::Logs::MetricFilter",
      source="CloudWatch API reference, PutMetricData: 1 to 255 of a-zA-Z0-9 .-_/#:, not AWS/ for metrics of one's own")
def _(r):
    spaces = [r.properties.get("Namespace")]
    spaces += [t["MetricNamespace"] for t in r.properties.get("MetricTransformations", [])]
    for space in filter(None, spaces):
        yield re.fullmatch(r"[a-zA-Z0-9 .\-_/#]{1,255}", space), "Namespace", (
            f"{space!r} must be 1 to 255 of a-zA-Z0-9 .-_/#")
        yield r.type == ALARM or not space.startswith("AWS/"), "Namespace", (
            f"{space!r}: AWS/ is kept for metrics of AWS")


# Logs

RETENTION = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}


@rule("log-group", "AWS::Logs::LogGroup", source="CloudWatch Logs API reference, PutRetentionPolicy, CreateLogGroup")
def _(r):
    days = int(r.properties.get("RetentionInDays", 1))
    yield days in RETENTION, "RetentionInDays", f"{days} days: CloudWatch Logs knows {sorted(RETENTION)}"
    yield not r.name.startswith("aws/"), "LogGroupName", "a name must not begin with aws/"


# SQS, SNS, KMS, Secrets Manager, S3

QUEUE_RANGES = {"DelaySeconds": (0, 900), "KmsDataKeyReusePeriodSeconds": (60, 86400),
                "MaximumMessageSize": (1024, 1048576), "MessageRetentionPeriod": (60, 1209600),
                "ReceiveMessageWaitTimeSeconds": (0, 20), "VisibilityTimeout": (0, 43200)}


@rule("sqs-queue", "AWS::SQS::Queue", source="SQS API reference, SetQueueAttributes; name 80 of a-zA-Z0-9-_")
def _(r):
    for name, (least, most) in QUEUE_RANGES.items():
        if name in r.properties:
            yield least <= int(r.properties[name]) <= most, name, (
                f"is {r.properties[name]} and must be {least} to {most}")
    yield re.fullmatch(r"[a-zA-Z0-9_-]{1,80}(\.fifo)?", r.name), "QueueName", (
        f"{r.name!r} must be 1 to 80 of a-zA-Z0-9_-")
    yield not (r.properties.get("SqsManagedSseEnabled") and "KmsMasterKeyId" in r.properties), "KmsMasterKeyId", (
        "SQS encrypts with its own key or with this one, not with both")


@rule("sqs-policy", "AWS::SQS::QueuePolicy", source="SQS guide, Amazon SQS policy quotas: 8,192 bytes, 20 statements, "
      "50 principals, 10 conditions, 7 actions a statement")
def _(r):
    policy = r.properties["PolicyDocument"]
    statements = policy["Statement"]
    yield at_most(len(document(policy).encode()), 8192, "PolicyDocument", "bytes")
    yield at_most(len(statements), 20, "PolicyDocument", "statements")
    for statement in statements:
        path = f"PolicyDocument {statement.get('Sid', '-')}"
        yield at_most(len(listed(statement["Action"])), 7, path, "actions")
        yield at_most(sum(len(keys) for keys in statement.get("Condition", {}).values()), 10, path, "conditions")


@rule("sns-topic", "AWS::SNS::Topic", source="SNS API reference, CreateTopic: name 256 of a-zA-Z0-9-_; "
      "SetTopicAttributes: DisplayName 100 characters")
def _(r):
    yield at_most(len(r.properties.get("DisplayName", "")), 100, "DisplayName", "characters")
    yield re.fullmatch(r"[a-zA-Z0-9_-]{1,256}(\.fifo)?", r.name), "TopicName", (
        f"{r.name!r} must be 1 to 256 of a-zA-Z0-9_-")


@rule("sns-policy", "AWS::SNS::TopicPolicy",
      source="SNS quotas: topic policy 30,720 bytes; SNS refuses other actions, and sns:*, as out of service scope")
def _(r):
    policy = r.properties["PolicyDocument"]
    yield at_most(len(document(policy).encode()), 30720, "PolicyDocument", "bytes")
    for statement in policy["Statement"]:
        for action in listed(statement["Action"]):
            # "Invalid parameter: Policy statement action out of service scope!"
            yield action.lower().startswith("sns:") and action.lower() != "sns:*", (
                f"PolicyDocument {statement.get('Sid', '-')}"), f"{action} is refused as out of service scope"


@rule("sns-subscription", "AWS::SNS::Subscription", source="SNS guide, Subscription filter policies: 5 keys, 150 "
      "combinations; SNS API reference, Subscribe; an address has 320 characters at most")
def _(r):
    protocol, endpoint = r.properties["Protocol"], r.properties.get("Endpoint", "")
    known = ("http", "https", "email", "email-json", "sms", "sqs", "application", "lambda", "firehose")
    yield protocol in known, "Protocol", f"{protocol!r}: SNS knows {known}"
    policy = r.properties.get("FilterPolicy", {})
    yield at_most(len(policy), 5, "FilterPolicy", "keys")
    combinations = 1
    for values in policy.values():
        yield isinstance(values, list), "FilterPolicy", f"{values!r} must be a list"
        combinations *= max(1, len(values))
    yield at_most(combinations, 150, "FilterPolicy", "combinations")
    if protocol == "email":
        yield at_most(len(endpoint), 320, "Endpoint", "characters")
        yield "@" in endpoint, "Endpoint", f"{endpoint!r} is no address"
    elif protocol in ("lambda", "sqs"):
        yield endpoint.startswith("arn:"), "Endpoint", f"{endpoint!r} is no ARN"


@rule("kms-key-policy", "AWS::KMS::Key", source="KMS quotas: key policy document 32 KB (32,768 bytes); KMS guide, "
      "Default key policy: without the account nobody can manage the key")
def _(r):
    policy = r.properties["KeyPolicy"]
    yield at_most(len(document(policy).encode()), 32768, "KeyPolicy", "bytes")
    root = f"arn:{r.stack.values['AWS::Partition']}:iam::{ACCOUNT}:root"
    managed = [s for s in policy["Statement"] if s["Effect"] == "Allow" and isinstance(s["Principal"], dict)
               and root in listed(s["Principal"].get("AWS", [])) and "kms:*" in listed(s["Action"])]
    yield bool(managed), "KeyPolicy", f"no statement lets {root} manage the key: KMS refuses that"
    days = int(r.properties.get("PendingWindowInDays", 30))
    yield 7 <= days <= 30, "PendingWindowInDays", f"{days} days: 7 to 30"


@rule("secret", "AWS::SecretsManager::Secret", source="Secrets Manager API reference, GetRandomPassword, CreateSecret")
def _(r):
    length = int(r.properties.get("GenerateSecretString", {}).get("PasswordLength", 32))
    yield 1 <= length <= 4096, "GenerateSecretString", f"a password of {length} characters"
    yield re.fullmatch(r"[a-zA-Z0-9/_+=.@\-]{1,512}", r.name), "Name", (
        f"{r.name!r} must be 1 to 512 of a-zA-Z0-9/_+=.@-")


@rule("s3-bucket", "AWS::S3::Bucket", source="S3 guide, Bucket naming rules; Lifecycle configuration elements")
def _(r):
    yield re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", r.name), "BucketName", (
        f"{r.name!r} must be 3 to 63 of a-z0-9.-")
    yield not r.name.startswith(("xn--", "sthree-", "amzn-s3-demo-")), "BucketName", f"{r.name!r}: a reserved prefix"
    yield not r.name.endswith(("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")), "BucketName", (
        f"{r.name!r}: a reserved suffix")
    for lifecycle in r.properties.get("LifecycleConfiguration", {}).get("Rules", []):
        yield at_most(len(lifecycle.get("Id", "")), 255, "LifecycleConfiguration", "characters in an Id")
        days = lifecycle.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays", 1)
        yield int(days) > 0, "LifecycleConfiguration", f"NoncurrentDays is {days} and must be above 0"


@rule("s3-policy", "AWS::S3::BucketPolicy", source="S3 quotas: bucket policy 20 KB")
def _(r):
    yield at_most(len(document(r.properties["PolicyDocument"]).encode()), 20480, "PolicyDocument", "bytes")


# DynamoDB, RDS, Scheduler, Route 53 Resolver


@rule("dynamodb-table", "AWS::DynamoDB::Table", source="DynamoDB guide, Naming rules; CreateTable: `Number of "
      "attributes in KeySchema does not exactly match number of attributes defined`; 20 indexes")
def _(r):
    p = r.properties
    indexes = p.get("GlobalSecondaryIndexes", []) + p.get("LocalSecondaryIndexes", [])
    for name in [r.name] + [index["IndexName"] for index in indexes]:
        yield re.fullmatch(r"[a-zA-Z0-9_.-]{3,255}", name), "TableName", f"{name!r}: 3 to 255 of a-zA-Z0-9_.-"
    yield at_most(len(p.get("GlobalSecondaryIndexes", [])), 20, "GlobalSecondaryIndexes", "indexes")
    schemas = [p["KeySchema"]] + [index["KeySchema"] for index in indexes]
    used = {key["AttributeName"] for schema in schemas for key in schema}
    defined = {a["AttributeName"] for a in p["AttributeDefinitions"]}
    yield used == defined, "AttributeDefinitions", f"defines {sorted(defined)}, the keys use {sorted(used)}"
    yield (p.get("BillingMode") == "PAY_PER_REQUEST") != ("ProvisionedThroughput" in p), "BillingMode", (
        "on demand and provisioned throughput exclude each other")


@rule("db-subnet-group", "AWS::RDS::DBSubnetGroup", source="RDS API reference, CreateDBSubnetGroup: 255 of letters, "
      "digits, periods, underscores, spaces, hyphens, not `default`; two zones at least")
def _(r):
    name = r.name
    yield re.fullmatch(r"[a-z0-9._ -]{1,255}", name) and name != "default", "DBSubnetGroupName", (
        f"{name!r} must be 1 to 255 of a-z0-9._ - and not `default`")
    zones = {s.properties["AvailabilityZone"] for s in r.stack.resources.values()
             if s.type == "AWS::EC2::Subnet" and s.ref in r.properties["SubnetIds"]}
    yield len(zones) >= 2, "SubnetIds", f"covers the zones {sorted(zones)}; RDS asks for two"


@rule("schedule", "AWS::Scheduler::Schedule", source="EventBridge Scheduler guide, Schedule types: rate, cron "
      "or at; one is singular")
def _(r):
    text = r.properties["ScheduleExpression"]
    rate = re.fullmatch(r"rate\((\d+) (minute|minutes|hour|hours|day|days)\)", text)
    yield bool(rate or re.fullmatch(r"cron\(\S+ \S+ \S+ \S+ \S+ \S+\)|at\([0-9T:-]+\)", text)), (
        "ScheduleExpression"), f"{text!r} is no rate, cron or at expression"
    if rate:
        yield rate[1] != "0" and (rate[1] == "1") == (not rate[2].endswith("s")), "ScheduleExpression", (
            f"{text!r}: 1 goes with the singular, more with the plural")


@rule("dns-firewall", "AWS::Route53Resolver::FirewallDomainList", "AWS::Route53Resolver::FirewallRuleGroup",
      "AWS::Route53Resolver::FirewallRuleGroupAssociation",
      source="Route 53 Resolver API reference: * only in front, names of 255 characters; CreateFirewallRule: "
      "unique priorities, BlockResponse with BLOCK; AssociateFirewallRuleGroup: priority 101 to 9,899")
def _(r):
    p = r.properties
    for name in p.get("Domains", []):
        yield re.fullmatch(r"\*|(\*\.)?[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*\.?", name) and len(name) <= 255, "Domains", (
            f"{name!r} is no domain that the firewall takes")
    rules = p.get("FirewallRules", [])
    priorities = [int(item["Priority"]) for item in rules]
    yield len(priorities) == len(set(priorities)), "FirewallRules", f"priorities {priorities} are not unique"
    yield at_most(len(rules), 100, "FirewallRules", "rules")
    for item in rules:
        yield (item["Action"] == "BLOCK") == ("BlockResponse" in item), "FirewallRules", (
            f"{item['Action']} {'needs a' if item['Action'] == 'BLOCK' else 'takes no'} BlockResponse")
    if r.type.endswith("Association"):
        yield 100 < int(p["Priority"]) < 9900, "Priority", f"{p['Priority']}: above 100 and below 9,900"


# Tags and text of every resource


@rule("tags", "*", source="AWS Tagging guide, Tag naming limits: key 128, value 256, 50 tags, no aws: in front")
def _(r):
    tags = r.properties.get("Tags", [])
    tags = [(t["Key"], t["Value"]) for t in tags] if isinstance(tags, list) else list(tags.items())
    if not tags:
        return
    yield at_most(len(tags), 50, "Tags", "tags")
    for key, value in tags:
        yield 0 < len(key) <= 128 and len(value) <= 256, f"Tags {key}", (
            "a key has 1 to 128 characters, a value up to 256")
        # SAM's own tag is `lambda:createdBy`.
        yield not key.lower().startswith("aws:"), f"Tags {key}", "a key that begins with aws: is kept for AWS"
        yield re.fullmatch(r"[\w\s.:/=+\-@]*", key + value), f"Tags {key}", f"{value!r} has a character no tag takes"


@rule("arn-partition", "*",
      source="AWS General Reference, Amazon Resource Names: partition and Region are the stack's own")
def _(r):
    partition, region = r.stack.values["AWS::Partition"], r.stack.setting.region
    for path, text in texts(r.properties):
        for found in re.finditer(r"arn:(aws[a-z-]*):([a-z0-9-]*):([a-z0-9-]*):", text):
            yield found[1] == partition, path, f"{found[0]} names the partition {found[1]} in {partition}"
            yield found[3] in ("", region), path, f"{found[0]} names the Region {found[3]} in {region}"


def texts(node, path=""):
    """Every text in a resource, with its path."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from texts(value, f"{path}.{key}".lstrip("."))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from texts(value, f"{path}[{index}]")
    elif isinstance(node, str):
        yield path, node


# --- what happens to a stack: rollback, update, deletion -----------------------------------------------


@rule("retain-on-create", "*",
      source="CloudFormation guide, DeletionPolicy attribute: Retain also holds when a creation is rolled back")
def _(r):
    if "DeletionPolicy" in r.raw:
        yield r.raw["DeletionPolicy"] != "Retain", "DeletionPolicy", (
            "Retain leaves the resource behind when the first deployment fails: use RetainExceptOnCreate")


@rule("rollback-blocked", "AWS::DynamoDB::Table", "AWS::Logs::LogGroup", "AWS::RDS::DBInstance",
      source="DynamoDB guide, Using deletion protection: the rollback of a failed creation cannot delete the table")
def _(r):
    if r.stack.setting.values != "default":
        return  # whoever turns it on later has a stack already
    protected = [name for name in ("DeletionProtectionEnabled", "DeletionProtection")
                 if str(r.properties.get(name, False)).lower() == "true"]
    yield not protected, "DeletionProtection", (
        "a failed first deployment cannot be rolled back, since the resource refuses its deletion: protect it by a "
        "parameter that is off by default")


#: Services that KMS knows as callers, of those in use (KMS guide, "kms:ViaService").
VIA_SERVICES = {"backup", "dynamodb", "ec2", "lambda", "logs", "rds", "s3", "secretsmanager", "sns", "sqs"}


@rule("via-service", "*", source="KMS guide, kms:ViaService: <service>.<region>.amazonaws.com")
def _(r):
    region, suffix = r.stack.setting.region, r.stack.values["AWS::URLSuffix"]
    for path, policy in r.policies:
        for statement in policy["Statement"]:
            for keys in statement.get("Condition", {}).values():
                for key, values in keys.items():
                    if key.lower() != "kms:viaservice":
                        continue
                    for value in listed(values):
                        service = value.partition(".")[0]
                        yield service in VIA_SERVICES and value == f"{service}.{region}.{suffix}", (
                            f"{path} {statement.get('Sid', '-')}"), f"kms:ViaService is never {value} in {region}"


@rule("service-name", "*", source="IAM guide, AWS service principals: <service>.amazonaws.com in both "
      "partitions")
def _(r):
    known = {principal for principal, _ in SENDS} | {"ec2.amazonaws.com"}
    for path, policy in r.policies:
        for statement in policy["Statement"]:
            principal = statement.get("Principal", {})
            values = listed(principal.get("Service", [])) if isinstance(principal, dict) else []
            for keys in statement.get("Condition", {}).values():
                values = values + listed(keys.get("iam:PassedToService", []))
            for value in values:
                yield value in known, f"{path} {statement.get('Sid', '-')}", (
                    f"{value} is no service principal of {r.stack.values['AWS::Partition']}, or nobody looked it up")
