"""AWS would take the templates: every value against the services' own constraints, in both partitions.

limits.py judges. Each fault below is planted into the templates and must be found by the rule that is meant for it;
every rule has one, so that none is there for show.
"""

import copy
import os
import re
import tomllib
from pathlib import Path

import pytest

from conftest import ROOT
from limits import TEMPLATE_RULES, judge, settings
from limits_calls import CALLS
from limits_table import RULES, SENDS
from stacks import LONGEST_STACK_NAME, REGIONS, Setting, Words, templates

ACCEPTED = tomllib.loads(Path(__file__).with_name("limits_accepted.toml").read_text())["accepted"]

#: Another folder with templates, to judge those of another commit.
TEMPLATES = Path(os.environ.get("TEMPLATES", ROOT))


@pytest.fixture(scope="module")
def known():
    return templates(TEMPLATES)


@pytest.fixture(scope="module")
def report(known):
    return judge(known)


def is_accepted(finding):
    return any((entry["rule"], entry["place"]) == (finding.rule, finding.place) for entry in ACCEPTED)


def test_aws_would_take_the_templates(report):
    unexpected = [str(finding) for finding in report.findings.values() if not is_accepted(finding)]
    assert not unexpected, "\n".join(sorted(unexpected))


def test_what_is_accepted_is_found_and_explained(report):
    unused = [entry for entry in ACCEPTED if (entry["rule"], entry["place"]) not in report.findings]
    assert not unused
    readme = (TEMPLATES / "README.md").read_text()
    section = re.search(r"^## Changing and upgrading\n(.*?)(?=^## |\Z)", readme, re.M | re.S)
    assert section, "README.md lacks the section Changing and upgrading"
    for entry in ACCEPTED:
        assert entry["reason"].strip()
        assert entry["readme"] in section[1], f"README, Changing and upgrading, must say {entry['readme']!r}"


def test_every_resource_type_is_looked_at(known, report, capsys):
    with capsys.disabled():
        print("\n" + report.counts())
    kinds = {resource["Type"] for raw in known.values() for resource in raw["Resources"].values()}
    nothing = {kind for kind in kinds if not report.by_type[kind, "models"] + report.by_type[kind, "table"]}
    assert not nothing, f"not one constraint was checked of {nothing}"
    assert kinds <= set(CALLS)


def test_every_rule_has_a_source():
    sources = [source for _, source, _ in RULES.values()] + list(TEMPLATE_RULES.values())
    sources += [source for _, source in SENDS.values()]
    assert all(len(source) > 10 for source in sources)


def test_every_allowed_value_and_both_partitions_come_up(known):
    chosen = settings()
    assert {setting.region for setting in chosen} == set(REGIONS.values())
    for raw in known.values():
        for name, parameter in raw.get("Parameters", {}).items():
            if "AllowedValues" in parameter:
                seen = {setting.value(name, parameter) for setting in chosen}
                allowed = {str(value) for value in parameter["AllowedValues"]}
                if parameter["Type"] == "CommaDelimitedList":
                    assert ",".join(parameter["AllowedValues"]) in seen
                    seen = {value for values in seen for value in values.split(",")}
                assert seen == allowed, name


@pytest.mark.parametrize(("pattern", "limit", "longest"), [
    ("^$|^[a-z]{2,5}$", 99, 5), ("^[a-z]{2,3}(,[a-z]{2,3})*$", 10, 10), ("^[a-z]([a-z0-9]|-[a-z0-9]){0,29}$", 30, 30),
    (r"^(\d{1,3}\.){3}\d{1,3}/(1[6-9]|2[0-4])$", 99, 18), ("^s3://[a-z]{3}/[^/]{1,4}$", 99, 13), ("^(ab|c){3}$", 5, 5),
])
@pytest.mark.parametrize("turn", range(4))
def test_the_longest_value_of_a_pattern_is_found(pattern, limit, longest, turn):
    word = Words(pattern, limit, turn, greedy=turn % 2 == 0).longest()
    assert len(word) == longest and re.fullmatch(pattern, word)


# --- planted faults -----------------------------------------------------------------------------------


def find(known, kind, **properties):
    """The first resource of a type that has these properties; its properties."""
    for raw in known.values():
        for resource in raw["Resources"].values():
            given = resource.get("Properties", {})
            if resource["Type"] == kind and all(
                    name in given and (value is ... or given[name] == value) for name, value in properties.items()):
                return resource
    raise LookupError(f"the templates have no {kind} with {properties}")


def of(known, kind, **having):
    return find(known, kind, **having)["Properties"]


def change(kind, **changes):
    """A fault: other values for properties of the first resource of a type."""
    def plant(known):
        of(known, kind).update(changes)
    return plant


def add(kind, attributes=None, **properties):
    """A fault: one more resource."""
    def plant(known):
        known["template.yaml"]["Resources"]["Planted"] = {"Type": kind, "Properties": properties} | (attributes or {})
    return plant


def within(kind, member, edit, **having):
    """A fault: something else inside a property."""
    def plant(known):
        properties = of(known, kind, **{member: ...}, **having)
        changed = edit(properties[member])
        if changed is not None:
            properties[member] = changed
    return plant


def parameter(name, **changes):
    """A fault: another definition of a parameter."""
    def plant(known):
        definition = known["template.yaml"]["Parameters"][name]
        definition.update(changes)
        for gone in [key for key, value in changes.items() if value is None]:
            del definition[gone]
    return plant


def top(section, name, value):
    """A fault: an entry in a section of the template."""
    def plant(known):
        known["template.yaml"].setdefault(section, {})[name] = value
    return plant


def policy(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


def statement(**changes):
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"} | changes


def inline(**changes):
    """A fault: an inline policy of one statement in a role."""
    return within("AWS::IAM::Role", "Policies", lambda policies: policies.append(
        {"PolicyName": "planted", "PolicyDocument": policy(statement(**changes))}))


def trust(service, condition):
    return change("AWS::IAM::Role", AssumeRolePolicyDocument=policy(
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": service}, "Condition": condition}))


def without_names_of(service):
    def plant(known):
        domains = of(known, "AWS::Route53Resolver::FirewallDomainList")["Domains"]
        domains[:] = [name for name in domains if not str(name).count(f"'{service}.")]
    return plant


def without_endpoint(service):
    def plant(known):
        for raw in known.values():
            for name, resource in list(raw["Resources"].items()):
                if resource["Type"] == "AWS::EC2::VPCEndpoint" and str(
                        resource["Properties"]["ServiceName"]).endswith(f".{service}'}}"):
                    del raw["Resources"][name]
    return plant


def flow_logs_without(action):
    def plant(known):
        role = next(r for raw in known.values() for r in raw["Resources"].values()
                    if r["Type"] == "AWS::IAM::Role" and "vpc-flow-logs" in str(r["Properties"]))
        for planted in role["Properties"]["Policies"]:
            for s in planted["PolicyDocument"]["Statement"]:
                if isinstance(s["Action"], list) and action in s["Action"]:
                    s["Action"].remove(action)
                elif s["Action"] == action:
                    s["Action"] = "logs:GetLogEvents"
    return plant


def attribute(kind, **attributes):
    def plant(known):
        find(known, kind).update(attributes)
    return plant


def no_rules(known):
    known["template.yaml"].pop("Rules", None)


def curt_rules(known):
    known["template.yaml"]["Rules"] = {"R": {"Assertions": [{
        "Assert": {"Fn::Not": [{"Fn::Contains": [["cn-north-1", "cn-northwest-1"], {"Ref": "AWS::Region"}]}]},
        "AssertDescription": "Not supported in this Region."}]}}


def one_zone(known):
    group = of(known, "AWS::RDS::DBSubnetGroup")
    group["SubnetIds"] = group["SubnetIds"][:1]


def big_environment(known):
    of(known, "AWS::Lambda::Function")["Environment"]["Variables"]["NOTES"] = "x" * 4000


def fixed_group_name(known):
    of(known, "AWS::RDS::DBSubnetGroup")["DBSubnetGroupName"] = {"Fn::Sub": "${NamePrefix}-fixed"}


def fixed_security_group(known):
    of(known, "AWS::EC2::SecurityGroup").update(
        GroupName={"Fn::Sub": "${NamePrefix}-group"}, GroupDescription={"Fn::Sub": "for ${EndpointZones} zones"})


def fixed_security_group_by_condition(known):
    of(known, "AWS::EC2::SecurityGroup").update(GroupName={"Fn::Sub": "${NamePrefix}-group"}, GroupDescription={
        "Fn::If": ["HasTwoEndpointZones", "two zones", "one zone"]})


def overlapping(known):
    first = of(known, "AWS::EC2::Subnet")
    second = next(r["Properties"] for r in known["infra/network.yaml"]["Resources"].values()
                  if r["Type"] == "AWS::EC2::Subnet" and r["Properties"] is not first)
    second["CidrBlock"] = first["CidrBlock"]


def long_names(known):
    for name in ("SecretNamePrefix", "PolicyKey"):
        known["template.yaml"]["Parameters"][name]["AllowedPattern"] = "^[a-z./_-]{1,4000}$"


def no_private_names(known):
    of(known, "AWS::EC2::VPC")["EnableDnsHostnames"] = False


def narrow_child(known):
    known["infra/network.yaml"]["Parameters"]["NamePrefix"]["AllowedPattern"] = "^[a-z]{1,9}$"


def rings_through_a_composite(known):
    resources = known["template.yaml"]["Resources"]
    resources["Quiet"] = copy.deepcopy(find(known, "AWS::CloudWatch::Alarm", MetricName=...))
    resources["Quiet"]["Properties"].update(TreatMissingData="breaching", AlarmActions=[], OKActions=[])
    resources["Loud"] = {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {
        "AlarmRule": {"Fn::Sub": "ALARM(${Quiet}) AND NOT OK(${Quiet})"}, "AlarmActions": [{"Ref": "Topic"}]}}


ALARM = "AWS::CloudWatch::Alarm"
BUS_POLICY = {"EventBusName": "default", "StatementId": "planted"}
DOMAINS = "AWS::Route53Resolver::FirewallDomainList"
INGRESS = "AWS::EC2::SecurityGroupIngress"
SUB = "AWS::SNS::Subscription"

#: The rule that must find it, and the fault. One for each kind of mistake.
FAULTS = [
    # Against botocore's models.
    ("model-enum", change("AWS::Lambda::Function", Runtime="provided.al2099")),
    ("model-enum", change("AWS::EC2::FlowLog", TrafficType="DENY")),
    ("model-length", change("AWS::Lambda::Function", Description="x" * 257)),
    ("model-length", change(ALARM, AlarmActions=[{"Ref": "Topic"}] * 6)),
    ("model-length", change(ALARM, AlarmDescription="x" * 1025)),
    ("model-pattern", change("AWS::Route53Resolver::FirewallRuleGroup", Name="rules: ours")),
    ("model-pattern", change("AWS::Lambda::Permission", Action="invoke it")),
    ("model-range", change("AWS::Lambda::EventInvokeConfig", MaximumRetryAttempts=3)),
    ("model-required", within("AWS::EC2::FlowLog", "ResourceType", lambda _: {"Ref": "AWS::NoValue"})),
    ("model-type", change("AWS::Scheduler::Schedule", FlexibleTimeWindow="OFF")),
    ("unmapped-property", change("AWS::SQS::Queue", Colour="green")),
    ("unmapped-property", within("AWS::Scheduler::Schedule", "Target", lambda target: target.update(Retries=3))),
    ("unmapped-type", add("AWS::SSM::Parameter", Name="x", Type="String", Value="x")),
    # EC2.
    ("ec2-rule-description", change(INGRESS, Description="The function's checks")),
    ("ec2-rule-description", change(INGRESS, Description="x" * 256)),
    ("ec2-group-text", change("AWS::EC2::SecurityGroup", GroupDescription="in | out")),
    ("ec2-rule-ports", change(INGRESS, FromPort=9000, ToPort=8000)),
    ("vpc-ranges", overlapping),
    ("vpc-endpoint-policy", change("AWS::EC2::VPCEndpoint", PolicyDocument=policy(
        *[statement(Sid=f"S{n}", Principal="*", Resource="arn:*:s3:::" + 900 * "x") for n in range(22)]))),
    ("vpc-endpoint-shape", change("AWS::EC2::VPCEndpoint", VpcEndpointType="Gateway", PrivateDnsEnabled=True)),
    ("vpc-endpoint-shape", no_private_names),
    ("flow-logs-role", flow_logs_without("logs:DescribeLogGroups")),
    # IAM, and who calls.
    ("role-inline-policies", inline(Resource=["arn:*:s3:::" + 900 * "x" + str(n) for n in range(12)])),
    ("role-trust-policy", trust("lambda.amazonaws.com", {"StringEquals": {"aws:PrincipalArn": "x" * 2000}})),
    ("managed-policy-size", add("AWS::IAM::ManagedPolicy", PolicyDocument=policy(statement(Resource=[
        "arn:*:s3:::" + 900 * "x" + str(n) for n in range(7)])))),
    ("managed-policies", change("AWS::IAM::Role", ManagedPolicyArns=[
        {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSBackupForRestores"}])),
    ("policy-grammar", inline(Sid="Not a Sid")),
    ("policy-grammar", inline(Resource=[])),
    ("service-principal-sends", change("AWS::Lambda::Permission", Principal="sns.amazonaws.com",
                                       SourceAccount={"Ref": "AWS::AccountId"})),
    ("service-principal-sends", trust("lambda.amazonaws.com", {"StringEquals": {"aws:SourceAccount": "222222222222"}})),
    ("service-principal-sends", change("AWS::Lambda::Permission", Principal="iot.amazonaws.com")),
    ("lambda-permission-source", within("AWS::Lambda::Permission", "SourceArn", lambda _: {"Ref": "AWS::NoValue"})),
    ("service-name", trust("backup.amazonaws.com.cn", {})),
    ("via-service", inline(Condition={"StringEquals": {"kms:ViaService": "secretmanager.eu-central-1.amazonaws.com"}})),
    ("arn-partition", inline(Resource="arn:aws:s3:::results/*")),
    ("named-iam", change("AWS::IAM::Role", RoleName={"Fn::Sub": "${AWS::StackName}-role"})),
    # Events, Lambda, Scheduler.
    ("event-pattern", within("AWS::Events::Rule", "EventPattern", lambda pattern: pattern.update(account=[
        f"{n:012}" for n in range(150)]))),
    ("event-pattern", within("AWS::Events::Rule", "EventPattern", lambda pattern: pattern.update(source="aws.backup"))),
    ("rule-targets", within("AWS::Events::Rule", "Targets", lambda targets: [
        targets[0] | {"Id": f"t{n}"} for n in range(6)])),
    ("event-bus", add("AWS::Events::EventBus", Name="default")),
    ("event-bus", add("AWS::Events::EventBusPolicy", **BUS_POLICY, Statement={
        "Effect": "Allow", "Principal": {"AWS": [f"arn:aws:iam::{n:012}:root" for n in range(350)]},
        "Action": "events:PutEvents", "Resource": "*"})),
    ("lambda-environment", big_environment),
    ("lambda-environment", within("AWS::Lambda::Function", "Environment", lambda environment: environment[
        "Variables"].update(AWS_REGION="x"))),
    ("lambda-function", change("AWS::Lambda::Function", FunctionName={"Fn::Sub": "${NamePrefix}-" + 40 * "x"})),
    ("lambda-function", change("AWS::Lambda::Function", Timeout=901)),
    ("schedule", change("AWS::Scheduler::Schedule", ScheduleExpression="rate(1 hours)")),
    # CloudWatch.
    ("alarm-period", change(ALARM, Period=3600, EvaluationPeriods=169)),
    ("alarm-period", change(ALARM, Period=300, EvaluationPeriods=289)),
    ("alarm-period", change(ALARM, Period=90)),
    ("alarm-metrics", change(ALARM, ExtendedStatistic="p99")),
    ("alarm-metrics", add(ALARM, EvaluationPeriods=1, Threshold=0, ComparisonOperator="GreaterThanThreshold", Metrics=[
        {"Id": "Rate", "Expression": "copies / verdicts"}])),
    ("alarm-at-deployment", change(ALARM, TreatMissingData="breaching")),
    ("alarm-at-deployment", rings_through_a_composite),
    ("composite-alarm", add("AWS::CloudWatch::CompositeAlarm", AlarmRule="ALARM(nobody)")),
    ("metric-namespace", within("AWS::Logs::MetricFilter", "MetricTransformations", lambda transformations: [
        transformations[0] | {"MetricNamespace": "AWS/Mine"}])),
    ("log-group", change("AWS::Logs::LogGroup", RetentionInDays=42)),
    ("log-group", parameter("RecordsLogRetentionDays", AllowedValues=[400, 401])),
    # Queues, topics, keys, secrets, buckets, tables.
    ("sqs-queue", change("AWS::SQS::Queue", MessageRetentionPeriod=1209601)),
    ("sqs-policy", within("AWS::SQS::QueuePolicy", "PolicyDocument", lambda document: document["Statement"].append(
        statement(Principal="*", Action=[f"sqs:A{n}" for n in range(8)])))),
    ("sns-topic", change("AWS::SNS::Topic", DisplayName="x" * 101)),
    ("sns-policy", within("AWS::SNS::TopicPolicy", "PolicyDocument", lambda document: document["Statement"][0].update(
        Action="sns:*"))),
    ("sns-subscription", add(SUB, TopicArn={"Ref": "Topic"}, Protocol="lambda", Endpoint="arn:aws:lambda:x",
                             FilterPolicy={f"k{n}": ["x"] for n in range(6)})),
    ("sns-subscription", parameter("NotificationEmail", MaxLength=321)),
    ("kms-key-policy", within("AWS::KMS::Key", "KeyPolicy", lambda document: document["Statement"].pop(0) and None)),
    ("secret", within("AWS::SecretsManager::Secret", "GenerateSecretString", lambda generate: generate.update(
        PasswordLength=5000))),
    ("s3-bucket", change("AWS::S3::Bucket", BucketName={"Fn::Sub": "Results-${NamePrefix}"})),
    ("s3-policy", within("AWS::S3::BucketPolicy", "PolicyDocument", lambda document: document["Statement"].append(
        statement(Principal="*", Resource=["arn:*:s3:::" + 900 * "x" + str(n) for n in range(23)])))),
    ("dynamodb-table", within("AWS::DynamoDB::Table", "AttributeDefinitions", lambda attributes: attributes.append(
        {"AttributeName": "owner", "AttributeType": "S"}))),
    ("db-subnet-group", one_zone),
    ("dns-firewall", change("AWS::Route53Resolver::FirewallRuleGroupAssociation", Priority=100)),
    ("dns-firewall", within(DOMAINS, "Domains", lambda domains: domains.append("backup.*.amazonaws.com"))),
    ("tags", change("AWS::EC2::VPC", Tags=[{"Key": "aws:name", "Value": "x"}])),
    # A stack's life: failed creation, update, a second stack.
    ("retain-on-create", attribute("AWS::DynamoDB::Table", DeletionPolicy="Retain")),
    ("rollback-blocked", change("AWS::DynamoDB::Table", DeletionProtectionEnabled=True)),
    ("replacement-conflict", fixed_security_group),
    ("replacement-conflict", fixed_security_group_by_condition),
    ("fixed-name", fixed_group_name),
    ("name-collides", change("AWS::SQS::Queue", QueueName="undelivered")),
    # Templates, parameters, partitions.
    ("template-size", top("Outputs", "Long", {"Value": "x", "Description": "x" * 1025})),
    ("template-size", lambda known: known["template.yaml"]["Parameters"].update(
        {f"P{n}": {"Type": "String", "Default": "", "MaxLength": 1} for n in range(200)})),
    ("parameter-default", parameter("NamePrefix", Default="Restore-Proof")),
    ("parameter-pattern", parameter("PolicyKey", AllowedPattern="[a-z]{1,9}")),
    ("parameter-unbounded", parameter("SecretNamePrefix", AllowedPattern="^[a-zA-Z0-9/]+$")),
    ("parameter-unbounded", parameter("MaxConcurrentRestores", MaxValue=None)),
    ("parameter-value", parameter("VpcCidr", AllowedPattern=r"^(\d{1,3}\.){3}\d{1,3}/(1[6-9]|2[0-4])$")),
    ("parameter-passed", narrow_child),
    ("event-pattern", parameter("BackupJobVaultNames", MaxLength=2000)),
    ("role-inline-policies", long_names),
    ("china-refused", no_rules),
    ("china-refused", curt_rules),
    ("rules-allow", top("Rules", "Odd", {"Assertions": [{"Assert": {"Fn::Equals": [
        {"Ref": "AWS::Region"}, "us-east-1"]}, "AssertDescription": "Not in China, and not elsewhere either."}]})),
    ("type-in-region", add("AWS::Lightsail::Bucket", BucketName="x", BundleId="small_1_0")),
    ("endpoint-service", change("AWS::EC2::VPCEndpoint", ServiceName={"Fn::Sub": "com.amazonaws.${AWS::Region}.s33"})),
    ("endpoint-service", change("AWS::EC2::VPCEndpoint", ServiceName="com.amazonaws.eu-central-1.s3")),
    ("endpoint-dns", within(DOMAINS, "Domains", lambda domains: domains.append("backups.eu-central-1.amazonaws.com"))),
    ("endpoint-missing", without_names_of("secretsmanager")),
    ("endpoint-missing", without_names_of("*.s3")),
    ("endpoint-missing", without_names_of("${AWS::AccountId}.ddb")),
    ("endpoint-missing", without_endpoint("backup")),
]

#: Enough to find any of the faults: defaults in both partitions, and the greatest values of both kinds.
CHOSEN = [Setting("defaults", REGIONS["aws"]), Setting("defaults", REGIONS["aws-us-gov"]),
          *(Setting(f"greatest ({turn})", REGIONS["aws"], LONGEST_STACK_NAME, "maximal", turn) for turn in (0, 1))]


@pytest.fixture(scope="module")
def before(known):
    return set(judge(known, CHOSEN).findings)


def new_findings(planted, before, rule):
    """What is found of a planted fault; no setting is looked at after one that shows it."""
    found = {}
    parts = [([setting], False) for setting in CHOSEN]
    if rule in TEMPLATE_RULES:
        parts.insert(1, ([], True))
    for chosen, statics in parts:
        found |= judge(planted, chosen, statics).findings
        if any(name == rule and (name, place) not in before for name, place in found):
            break
    return [finding for key, finding in found.items() if key not in before]


@pytest.mark.parametrize(("rule", "plant"), FAULTS, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(FAULTS)])
def test_a_planted_fault_is_found(known, before, rule, plant):
    planted = copy.deepcopy(known)
    plant(planted)
    assert planted != known, "nothing was planted"
    found = new_findings(planted, before, rule)
    assert rule in {finding.rule for finding in found}, "\n".join(str(finding) for finding in found) or "nothing found"
    assert all(len(finding.message) > 20 for finding in found if finding.rule == rule)


def just_full(known):
    """Texts and numbers that are as long and as great as AWS takes them."""
    of(known, INGRESS)["Description"] = "a-z 0-9. _-:/()#,@[]+=&;{}!$*".ljust(255, "x")
    of(known, "AWS::EC2::SecurityGroup")["GroupDescription"] = "x" * 255
    of(known, "AWS::Lambda::Function").update(Description="x" * 256, Timeout=900)
    of(known, "AWS::SNS::Topic")["DisplayName"] = "x" * 100
    of(known, "AWS::SQS::Queue")["MessageRetentionPeriod"] = 1209600
    of(known, ALARM).update(Period=3600, EvaluationPeriods=168, AlarmDescription="x" * 1024)
    of(known, "AWS::Lambda::EventInvokeConfig")["MaximumRetryAttempts"] = 2
    of(known, "AWS::Route53Resolver::FirewallRuleGroupAssociation")["Priority"] = 101


def quiet_until_it_ran(known):
    """An alarm that would ring at the deployment, behind one that asks whether anything ran."""
    rings_through_a_composite(known)
    resources = known["template.yaml"]["Resources"]
    resources["Ran"] = copy.deepcopy(resources["Quiet"])
    resources["Ran"]["Properties"]["TreatMissingData"] = "notBreaching"
    resources["Loud"]["Properties"]["AlarmRule"] = {"Fn::Sub": "ALARM(${Quiet}) AND ALARM(${Ran})"}


@pytest.mark.parametrize("plant", [
    just_full, quiet_until_it_ran,
    change("AWS::Lambda::Permission", Principal="sns.amazonaws.com"),
    trust("lambda.amazonaws.com", {"StringEqualsIfExists": {"aws:SourceAccount": "222222222222"}}),
    trust("backup.amazonaws.com", {"StringEquals": {"aws:SourceAccount": "222222222222"}}),
    add("AWS::Events::EventBus", Name={"Fn::Sub": "${NamePrefix}-bus"}),
    add("AWS::IAM::ManagedPolicy", PolicyDocument=policy(statement())),
    add("AWS::Logs::LogGroup", {"DeletionPolicy": "RetainExceptOnCreate"}, RetentionInDays=7),
    parameter("SecretNamePrefix", AllowedPattern="^[a-z/-]+$", MaxLength=100),
])
def test_what_aws_takes_is_no_finding(known, before, plant):
    planted = copy.deepcopy(known)
    plant(planted)
    found = [str(finding) for key, finding in judge(planted, CHOSEN).findings.items() if key not in before]
    assert not found, "\n".join(found)


def test_every_rule_has_a_planted_fault():
    models = {f"model-{name}" for name in ("enum", "length", "pattern", "range", "required", "type")}
    assert set(RULES) | set(TEMPLATE_RULES) | models == {rule for rule, _ in FAULTS}
