"""`restore-proof doctor` on a stack that is healthy, and on the same stack broken in one way after the other.

Who answers is others' work where there is one: moto plays IAM, KMS, EC2, RDS, SNS, S3, DynamoDB, CloudWatch, EventBridge,
Secrets Manager, Service Quotas and Lambda's settings. local-aws plays AWS Backup. The function is the real one, behind a
Runtime API. CLI, BOOTSTRAP and LOCAL_AWS name the programs.
"""

import hashlib
import io
import json
import os
import subprocess
import time
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from moto.cloudwatch.models import cloudwatch_backends
from moto.servicequotas.models import ServiceQuotasBackend

from cloud import ACCOUNT, REGION, ROLE, Cloud, LocalAws
from conftest import ROOT
from front import Front
from iam import Statement, as_list, is_allowed
from judge import request_parameters
from permissions import Template
from runtime import FunctionError, Runtime
from test_moto import environment, hours_ago

FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:restore-proof"
#: As CloudFormation names them in a stack called restore-proof.
LEDGER, BUCKET = "restore-proof-Ledger-ABCDEFGHIJ12", "restore-proof-resultsbucket-abcdefghij12"
POLICY_KEY = "policy/policy.toml"
POINT = f"arn:aws:rds:{REGION}:{ACCOUNT}:snapshot:awsbackup:copyjob-%d"
SECRET = "restore-proof/orders"

POLICY = f"""
version = "1"

[[rules]]
name = "orders"
match = {{ resource_type = "RDS" }}
frequency = "daily"
credentials = {{ secret = "{SECRET}" }}
  [[rules.checks]]
  name = "orders are there"
  kind = "sql"
  query = "select count(*) from orders"
  expect = {{ min = 1 }}
"""

#: Service and quota code: what an account may have.
QUOTAS = {("rds", "L-7B6409FD"): 40.0, ("ec2", "L-1216C47A"): 64.0}

HEALTHY, BROKEN, UNSEEN = 0, 5, 6


def validation_id(vault, point):
    """As the ledger calls the validation of a recovery point (`validation_id` in crates/core/src/validation.rs)."""
    parts = ("restore-proof", f"arn:aws:backup:{REGION}:{ACCOUNT}:backup-vault:{vault}", point, "")
    return hashlib.sha256(b"".join(part.encode() + b"\0" for part in parts)).hexdigest()[:20]


class Stack:
    """A healthy stack, with what a test needs to break it."""

    def __init__(self, cloud, template_path):
        self.cloud, self.client = cloud, cloud.client
        cloud.names |= {"Ledger": LEDGER, "ResultsBucket": BUCKET, "AWS::StackName": "restore-proof"}
        self._make_store()
        self._make_network()
        self.template = Template(template_path, cloud.names | {
            "Network.Outputs.VpcId": self.vpc, "VolumeKey.Arn": self._make_key()})
        self.topic, self.urgent = cloud.names["Topic"], cloud.names["UrgentTopic"]
        self._make_topic()
        self._make_roles()
        self._make_rules()
        self._make_alarms()

    def _make_store(self):
        dynamodb = self.client("dynamodb")
        dynamodb.create_table(
            TableName=LEDGER, BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}])
        self.put_item("installed", at="2026-01-01T00:00:00Z")
        self.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.put_policy(POLICY)
        self.client("secretsmanager").create_secret(Name=SECRET, SecretString="{}")

    def put_item(self, key, **attributes):
        item = {"id": {"S": key}} | {
            name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in attributes.items()}
        self.client("dynamodb").put_item(TableName=LEDGER, Item=item)

    def put_policy(self, text):
        self.client("s3").put_object(Bucket=BUCKET, Key=POLICY_KEY, Body=text.encode())

    def _make_key(self):
        return self.client("kms").create_key()["KeyMetadata"]["Arn"]

    def _make_network(self):
        """infra/network.yaml's routes and endpoints; subnets and groups are there already."""
        ec2 = self.client("ec2")
        self.subnets = self.cloud.names["Network.Outputs.SubnetIds"].split(",")
        self.vpc = ec2.describe_subnets(SubnetIds=self.subnets)["Subnets"][0]["VpcId"]
        self.table = ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        for subnet in self.subnets:
            ec2.associate_route_table(RouteTableId=self.table, SubnetId=subnet)
        self.endpoints = {}
        network = Template(ROOT / "infra/network.yaml", {
            "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "Types": "Aurora,EC2,RDS"})
        for resource in network.raw["Resources"].values():
            if resource["Type"] == "AWS::EC2::VPCEndpoint":
                self.make_endpoint(network.resolve(resource["Properties"]["ServiceName"]),
                                   resource["Properties"]["VpcEndpointType"])

    def make_endpoint(self, service, kind):
        more = ({"SubnetIds": self.subnets[:1], "PrivateDnsEnabled": True} if kind == "Interface"
                else {"RouteTableIds": [self.table]})
        made = self.client("ec2").create_vpc_endpoint(
            VpcId=self.vpc, ServiceName=service, VpcEndpointType=kind, **more)["VpcEndpoint"]
        self.endpoints[service.rpartition(".")[2]] = made["VpcEndpointId"]

    def _make_topic(self):
        sns = self.client("sns")
        policy = self.template.resolve(self.template.raw["Resources"]["TopicKey"]["Properties"]["KeyPolicy"])
        self.topic_key = self.client("kms").create_key(Policy=json.dumps(policy))["KeyMetadata"]["Arn"]
        self.topic_policies = {}
        for topic, resource in ((self.topic, "TopicPolicy"), (self.urgent, "UrgentTopicPolicy")):
            properties = self.template.resolve(self.template.raw["Resources"][resource]["Properties"])
            self.topic_policies[topic] = properties["PolicyDocument"]
            self.set_topic(topic, "Policy", properties["PolicyDocument"])
            sns.set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue=self.topic_key)

    def set_topic(self, topic, name, value):
        self.client("sns").set_topic_attributes(TopicArn=topic, AttributeName=name, AttributeValue=json.dumps(value))

    def _make_roles(self):
        iam = self.client("iam")
        for service, name in (("backup", "AWSServiceRoleForBackup"), ("rds", "AWSServiceRoleForRDS")):
            iam.create_role(RoleName=name, Path=f"/aws-service-role/{service}.amazonaws.com/",
                            AssumeRolePolicyDocument=json.dumps(trust(f"{service}.amazonaws.com")))
        resources = self.template.raw["Resources"]
        for name, arn in (("RestoreRole", ROLE), ("FunctionRole", "role/restore-proof-function")):
            document = self.template.resolve(resources[name]["Properties"]["AssumeRolePolicyDocument"])
            iam.create_role(RoleName=arn.rpartition("/")[2], AssumeRolePolicyDocument=json.dumps(document))
        for policy in self.template.resolve(resources["FunctionRole"]["Properties"]["Policies"]):
            iam.put_role_policy(RoleName="restore-proof-function", PolicyName=policy["PolicyName"],
                                PolicyDocument=json.dumps(policy["PolicyDocument"]))

    def _make_rules(self):
        events = self.client("events")
        made = self.template.raw["Resources"]["RestoreProofFunction"]["Properties"]["Events"]
        self.rules = {}
        for name, event in made.items():
            if event["Type"] == "EventBridgeRule" and name != "ForwardedCopyJob":
                properties = self.template.resolve(
                    {key: event["Properties"][key] for key in ("Pattern", "State") if key in event["Properties"]})
                self.rules[name] = f"restore-proof-RestoreProofFunction{name}-ABCDEFGHIJ12"
                events.put_rule(Name=self.rules[name], EventPattern=json.dumps(properties["Pattern"]),
                                State=properties.get("State", "ENABLED"))
                events.put_targets(Rule=self.rules[name], Targets=[{"Id": "function", "Arn": FUNCTION}])

    def _make_alarms(self):
        resources = self.template.resources("AWS::CloudWatch::Alarm")
        assert len(resources) > 10
        for name, properties in resources.items():
            known = {key: properties[key] for key in (
                "AlarmDescription", "Namespace", "MetricName", "Period", "EvaluationPeriods", "ComparisonOperator",
                "Statistic", "AlarmActions")}
            self.client("cloudwatch").put_metric_alarm(
                AlarmName=alarm(name), Threshold=float(properties["Threshold"]), **known)

    def make_function(self, variables):
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as file:
            file.writestr("bootstrap", "")
        ours = self.template.raw["Resources"]["RestoreProofFunction"]["Properties"]["Environment"]["Variables"]
        self.client("lambda").create_function(
            FunctionName="restore-proof", Runtime="provided.al2023", Handler="bootstrap",
            Role=f"arn:aws:iam::{ACCOUNT}:role/restore-proof-function", Code={"ZipFile": code.getvalue()},
            Environment={"Variables": {name: variables[name] for name in ours if name in variables}},
            VpcConfig={"SubnetIds": self.subnets, "SecurityGroupIds": ["sg-1"]})

    def in_our_vpc(self, configuration):
        """moto tells every function's VPC alike."""
        configuration["VpcConfig"]["VpcId"] = self.vpc
        return configuration


def trust(service):
    return {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}


def alarm(name):
    return f"restore-proof-{name}-ABCDEFGHIJ12"


def backup_world(stack, key, **changes):
    """What AWS Backup holds: one vault with two copies, of which one landed just now."""
    vault = {"name": "central", "key_arn": key, "locked_days": 7} | changes.pop("vault", {})
    points = [
        {"arn": POINT % number, "vault": "central", "source_resource_arn": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:orders",
         "created_at": hours_ago(hours)}
        for number, hours in ((1, 5), (2, 0.5))
    ]
    return {"account": ACCOUNT, "region": REGION, "vaults": [vault], "recovery_points": points} | changes


class Doctor:
    """Runs the program against the stack."""

    def __init__(self, binary, stack, front, inside):
        self.binary, self.stack, self.front, self.inside = binary, stack, front, inside

    def __call__(self, *arguments):
        environment = {
            "AWS_ENDPOINT_URL": self.front.url, "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent",
        }
        return subprocess.run([self.binary, "doctor", *arguments], env=environment, capture_output=True, text=True,
                              timeout=120, check=False)

    def report(self):
        """Exit code and document."""
        ran = self("--json")
        assert ran.stdout, ran.stderr
        return ran.returncode, json.loads(ran.stdout)


@pytest.fixture(scope="module")
def doctor(cli_binary, bootstrap, local_aws, template_path, tmp_path_factory):
    """The healthy stack and the program."""
    ServiceQuotasBackend.get_service_quota = lambda _, service_code, quota_code: {
        "ServiceCode": service_code, "QuotaCode": quota_code, "Value": QUOTAS[service_code, quota_code]}
    with Cloud() as cloud:
        stack = Stack(cloud, template_path)
        stack.vault_key = stack._make_key()
        stack.put_item(validation_id("central", POINT % 1), outcome="tested")
        with LocalAws(local_aws, backup_world(stack, stack.vault_key), tmp_path_factory.mktemp("world")) as backup:
            stack.backup = backup.url
            players = {None: cloud.moto, "backup": backup.url}
            # The function asks Lambda whether it may invoke itself (DryRun), which nobody else here plays.
            with Front(players, lambda _: (204, {}, b"")) as inside:
                variables = environment(stack.template, cloud, backup) | {"EC2_VOLUME_KEY_ARN": stack._make_key()}
                stack.make_function(variables)
                variables |= {"AWS_ENDPOINT_URL": inside.url}
                for service in ("BACKUP", "LAMBDA"):
                    del variables[f"AWS_ENDPOINT_URL_{service}"]
                with Runtime(bootstrap, variables) as function, Front(players, invoke_by(function)) as front:
                    with front.changing("lambda:GetFunctionConfiguration", stack.in_our_vpc):
                        yield Doctor(cli_binary, stack, front, inside)


def invoke_by(function):
    """Lambda's synchronous Invoke."""
    def invoke(payload):
        try:
            answer = function.invoke(json.loads(payload))
            return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()
        except FunctionError as error:
            return 200, {"x-amz-function-error": "Unhandled"}, json.dumps({"errorMessage": str(error)}).encode()

    return invoke


# --- the ways to break it ----------------------------------------------------------------------------


@dataclass
class Break:
    """A broken stack: how it is broken and mended, and what must be found, in which area and with which words."""

    name: str
    broken: object
    area: str
    examined: str
    words: str
    remedy: str
    state: str = "broken"


BREAKS = []


def breaks(area, examined, words, remedy="", state="broken"):
    """Notes a way to break the stack."""
    def note(function):
        BREAKS.append(Break(function.__name__, contextmanager(function), area, examined, words, remedy, state))
        return function

    return note


def configured(doctor, **changes):
    """Meanwhile Lambda describes the function otherwise."""
    return doctor.front.changing("lambda:GetFunctionConfiguration", lambda known: known | changes)


def with_variable(doctor, **variables):
    """Meanwhile the function's environment, as Lambda tells it, is another."""
    known = doctor.stack.client("lambda").get_function_configuration(FunctionName="restore-proof")
    return configured(doctor, Environment={"Variables": known["Environment"]["Variables"] | variables})


@contextmanager
def backup_holds(doctor, folder, **changes):
    """Meanwhile AWS Backup holds something else."""
    world = backup_world(doctor.stack, doctor.stack.vault_key, **changes)
    with LocalAws(os.environ["LOCAL_AWS"], world, folder) as other:
        with doctor.front.playing("backup", other.url):
            yield


@breaks("function", "function_state", "its state is Failed: no room", "sam deploy")
def the_function_failed(doctor, _):
    with configured(doctor, State="Failed", StateReason="no room"):
        yield


@breaks("function", "function_update", "its last update is Failed", "sam deploy")
def its_last_update_failed(doctor, _):
    with configured(doctor, LastUpdateStatus="Failed"):
        yield


@breaks("function", "function_concurrency", "reserved concurrency is 0", "aws lambda delete-function-concurrency")
def it_may_never_run(doctor, _):
    # moto tells of none where there is 0.
    with doctor.front.changing("lambda:GetFunctionConcurrency", lambda _: {"ReservedConcurrentExecutions": 0}):
        yield


@breaks("function", "function_pause", "ticket 4711", "restore-proof resume")
def it_is_paused(doctor, _):
    doctor.stack.put_item("slots", paused_at=int(time.time()), paused_why="ticket 4711")
    yield
    doctor.stack.client("dynamodb").delete_item(TableName=LEDGER, Key={"id": {"S": "slots"}})


@breaks("vaults", "vault_exists", "vault mistyped does not exist", "BackupVaultNames")
def a_vault_is_not_there(doctor, _):
    with with_variable(doctor, BACKUP_VAULT_NAMES="central,mistyped"):
        # What lies in it cannot be listed either.
        yield {("events", "landed")}


@breaks("vaults", "vault_filled", "vault central holds no recovery point", "backup plan")
def a_vault_is_empty(doctor, folder):
    with backup_holds(doctor, folder, recovery_points=[]):
        yield


@breaks("vaults", "vault_policy", "denies", "put-backup-vault-access-policy")
def a_vault_refuses_the_restore_role(doctor, folder):
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{
        "Sid": "OnlyAdmins", "Effect": "Deny", "Principal": "*", "Action": "backup:StartRestoreJob", "Resource": "*",
        "Condition": {"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/admin"}}}]})
    with backup_holds(doctor, folder, vault={"access_policy": policy}):
        yield


@breaks("vaults", "vault_policy", "statement ByAddress depends", state="unseen")
def a_vault_refuses_by_what_nobody_knows(doctor, folder):
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{
        "Sid": "ByAddress", "Effect": "Deny", "Principal": "*", "Action": "backup:*", "Resource": "*",
        "Condition": {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}]})
    with backup_holds(doctor, folder, vault={"access_policy": policy}):
        yield


@breaks("vaults", "vault_key", "is Disabled", "aws kms enable-key")
def a_vaults_key_is_disabled(doctor, _):
    kms, key = doctor.stack.client("kms"), doctor.stack.vault_key.rpartition("/")[2]
    kms.disable_key(KeyId=key)
    yield
    kms.enable_key(KeyId=key)


@breaks("vaults", "vault_key", "is PendingDeletion", "aws kms cancel-key-deletion")
def a_vaults_key_is_being_deleted(doctor, _):
    kms, key = doctor.stack.client("kms"), doctor.stack.vault_key.rpartition("/")[2]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    yield
    kms.cancel_key_deletion(KeyId=key)
    kms.enable_key(KeyId=key)


@breaks("vaults", "vault_key", "nothing allows kms:Decrypt", "aws kms put-key-policy")
def a_vaults_key_does_not_know_the_restore_role(doctor, _):
    kms, key = doctor.stack.client("kms"), doctor.stack.vault_key
    before = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    only = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/admin"}, "Action": "kms:*", "Resource": "*"}]}
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(only))
    yield
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=before)


@breaks("roles", "type_opted_in", "EC2 is not opted in", "EC2=true")
def a_type_is_not_opted_in(doctor, folder):
    with backup_holds(doctor, folder, opted_out=["EC2"]):
        yield


@breaks("roles", "service_role", "AWSServiceRoleForRDS does not exist", "create-service-linked-role --aws-service-name rds")
def rds_has_no_role(doctor, _):
    iam = doctor.stack.client("iam")
    iam.delete_role(RoleName="AWSServiceRoleForRDS")
    yield
    iam.create_role(RoleName="AWSServiceRoleForRDS", Path="/aws-service-role/rds.amazonaws.com/",
                    AssumeRolePolicyDocument=json.dumps(trust("rds.amazonaws.com")))


@breaks("roles", "restore_role", "does not let AWS Backup take it", "sam deploy")
def the_restore_role_trusts_another(doctor, _):
    iam, name = doctor.stack.client("iam"), ROLE.rpartition("/")[2]
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust("ec2.amazonaws.com")))
    yield
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust("backup.amazonaws.com")))


@breaks("network", "subnet_group", "DB subnet group another does not exist", "detect-stack-drift")
def the_subnet_group_is_gone(doctor, _):
    with with_variable(doctor, DB_SUBNET_GROUP="another"):
        yield


@breaks("network", "subnet_group", "lies in 1 zone", "modify-db-subnet-group")
def the_subnet_group_has_one_zone(doctor, _):
    with doctor.front.changing("rds:DescribeDBSubnetGroups",
                               lambda text: text.replace(f"{REGION}b", f"{REGION}a")):
        yield


@breaks("network", "subnets", "subnet-0badc0de0badc0de0 does not exist", "detect-stack-drift")
def a_subnet_is_gone(doctor, _):
    with with_variable(doctor, EC2_SUBNET_IDS="subnet-0badc0de0badc0de0"):
        yield


@breaks("network", "routes", "0.0.0.0/0 leads to igw-", "aws ec2 delete-route")
def the_network_has_a_way_out(doctor, _):
    ec2, stack = doctor.stack.client("ec2"), doctor.stack
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=stack.vpc)
    ec2.create_route(RouteTableId=stack.table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    yield
    ec2.delete_route(RouteTableId=stack.table, DestinationCidrBlock="0.0.0.0/0")


@breaks("network", "groups", "lets everything out to 0.0.0.0/0", "revoke-security-group-egress")
def a_security_group_lets_something_out(doctor, _):
    ec2, group = doctor.stack.client("ec2"), doctor.stack.cloud.names["Network.Outputs.MachineSecurityGroupId"]
    open_ = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=open_)
    yield
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=open_)


@breaks("endpoints", "endpoint", "no endpoint of sns", "create-vpc-endpoint")
def an_endpoint_is_gone(doctor, _):
    ec2, stack = doctor.stack.client("ec2"), doctor.stack
    ec2.delete_vpc_endpoints(VpcEndpointIds=[stack.endpoints["sns"]])
    yield
    stack.make_endpoint(f"com.amazonaws.{REGION}.sns", "Interface")


@breaks("endpoints", "endpoint_answers", "sns refuses the function (AuthorizationError)", "sam deploy")
def an_endpoint_refuses_the_function(doctor, _):
    with doctor.inside.denying("sns:Publish"):
        yield


@breaks("endpoints", "endpoint_answers", "secretsmanager does not answer the function", "security group")
def a_service_does_not_answer_the_function(doctor, _):
    with doctor.inside.silent("secretsmanager"):
        yield


@breaks("quotas", "quota_databases", "do not fit", "request-service-quota-increase --service-code rds")
def too_few_databases_are_allowed(doctor, _):
    with quota("rds", "L-7B6409FD", 3.0):
        yield


@breaks("quotas", "quota_machines", "do not fit", "MaxConcurrentRestores")
def too_few_machines_are_allowed(doctor, _):
    with quota("ec2", "L-1216C47A", 5.0):
        yield


@contextmanager
def quota(service, code, value):
    before = QUOTAS[service, code]
    QUOTAS[service, code] = value
    yield
    QUOTAS[service, code] = before


@breaks("topic", "subscription", "nobody is subscribed", "aws sns subscribe")
def nobody_is_subscribed(doctor, _):
    sns, topic = doctor.stack.client("sns"), doctor.stack.urgent
    (one,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    sns.unsubscribe(SubscriptionArn=one["SubscriptionArn"])
    yield
    sns.subscribe(TopicArn=topic, Protocol=one["Protocol"], Endpoint=one["Endpoint"])


@breaks("topic", "subscription", "nobody is subscribed", "aws sns subscribe")
def nobody_but_the_stacks_own_queue_is_subscribed(doctor, _):
    sns, topic = doctor.stack.client("sns"), doctor.stack.urgent
    (one,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    sns.unsubscribe(SubscriptionArn=one["SubscriptionArn"])
    sqs = doctor.stack.client("sqs")
    queue = sqs.create_queue(QueueName="restore-proof-VerdictEvents-ABCDEFGHIJ12")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    own = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    yield
    sns.unsubscribe(SubscriptionArn=own)
    sns.subscribe(TopicArn=topic, Protocol=one["Protocol"], Endpoint=one["Endpoint"])


@breaks("topic", "subscription", "none is confirmed (1 waiting)", "mail")
def nobody_has_confirmed(doctor, _):
    (one,) = doctor.stack.client("sns").list_subscriptions_by_topic(TopicArn=doctor.stack.urgent)["Subscriptions"]
    with doctor.front.changing("sns:ListSubscriptionsByTopic",
                               lambda text: text.replace(one["SubscriptionArn"], "PendingConfirmation")):
        yield


@breaks("topic", "topic_policy", "does not let cloudwatch.amazonaws.com publish", "set-topic-attributes")
def alarms_may_not_publish(doctor, _):
    yield from without_statement(doctor, doctor.stack.urgent, "Alarms")


@breaks("topic", "topic_policy", "does not let backup.amazonaws.com publish", "set-topic-attributes")
def vaults_may_not_publish(doctor, _):
    yield from without_statement(doctor, doctor.stack.topic, "VaultNotifications")


def without_statement(doctor, topic, sid):
    policy = doctor.stack.topic_policies[topic]
    rest = [one for one in policy["Statement"] if one["Sid"] != sid]
    assert len(rest) < len(policy["Statement"])
    doctor.stack.set_topic(topic, "Policy", policy | {"Statement": rest})
    yield
    doctor.stack.set_topic(topic, "Policy", policy)


@breaks("topic", "topic_key", "does not let cloudwatch.amazonaws.com use it", "put-key-policy")
def alarms_may_not_use_the_topics_key(doctor, _):
    kms, key = doctor.stack.client("kms"), doctor.stack.topic_key
    before = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    policy = json.loads(before)
    policy["Statement"] = [one for one in policy["Statement"] if one["Sid"] != "Alarms"]
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    yield
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=before)


@breaks("policy", "policy_file", "there is no policy at", "aws s3 cp")
def there_is_no_policy(doctor, _):
    doctor.stack.client("s3").delete_object(Bucket=BUCKET, Key=POLICY_KEY)
    # S3 refuses what is not there to whoever may not list.
    with doctor.front.denying("s3:GetObject"):
        yield
    doctor.stack.put_policy(POLICY)


@breaks("policy", "policy_file", "7:13", "restore-proof policy check")
def the_policy_has_a_mistake(doctor, _):
    doctor.stack.put_policy(POLICY.replace('"daily"', '"often"'))
    yield
    doctor.stack.put_policy(POLICY)


@breaks("policy", "policy_secret", f"secret {SECRET}, which does not exist", "create-secret")
def a_secret_is_not_there(doctor, _):
    client = doctor.stack.client("secretsmanager")
    client.delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)
    yield
    client.create_secret(Name=SECRET, SecretString="{}")


@breaks("policy", "policy_secret_allowed", "may not read secret prod/orders", "SecretNamePrefix")
def a_secret_lies_outside_of_the_prefix(doctor, _):
    client = doctor.stack.client("secretsmanager")
    client.create_secret(Name="prod/orders", SecretString="{}")
    doctor.stack.put_policy(POLICY.replace(SECRET, "prod/orders"))
    yield
    doctor.stack.put_policy(POLICY)
    client.delete_secret(SecretId="prod/orders", ForceDeleteWithoutRecovery=True)


@breaks("policy", "policy_login", "IamDatabaseUsers", "IamDatabaseUsers")
def a_rule_logs_in_as_nobody_is_allowed(doctor, _):
    doctor.stack.put_policy(POLICY.replace(f'{{ secret = "{SECRET}" }}', '"iam"'))
    yield
    doctor.stack.put_policy(POLICY)


@breaks("events", "landed", "have no validation", "sweep-lost")
def what_landed_is_unknown(doctor, _):
    key = validation_id("central", POINT % 1)
    doctor.stack.client("dynamodb").delete_item(TableName=LEDGER, Key={"id": {"S": key}})
    yield
    doctor.stack.put_item(key, outcome="tested")


@breaks("events", "landed", "no sweep has looked", state="unseen")
def no_sweep_has_run(doctor, _):
    doctor.stack.client("dynamodb").delete_item(TableName=LEDGER, Key={"id": {"S": "installed"}})
    yield
    doctor.stack.put_item("installed", at="2026-01-01T00:00:00Z")


@breaks("events", "rule", "no event of Recovery Point State Change", "aws events enable-rule")
def a_rule_is_disabled(doctor, _):
    events, name = doctor.stack.client("events"), doctor.stack.rules["RecoveryPoint"]
    events.disable_rule(Name=name)
    yield
    events.enable_rule(Name=name)


@breaks("events", "rule", "no rule of bus restore-proof tells the function", "detect-stack-drift")
def the_bus_leads_nowhere(doctor, _):
    events = doctor.stack.client("events")
    events.create_event_bus(Name="restore-proof")
    yield
    events.delete_event_bus(Name="restore-proof")


@breaks("alarms", "alarm", f"alarm {alarm('OverdueAlarm')} rings", "records log")
def an_alarm_rings(doctor, _):
    with alarm_state(doctor, "OverdueAlarm", "ALARM"):
        yield


@breaks("alarms", "alarm", "has no data since", "schedules")
def an_alarm_has_had_no_data_for_long(doctor, _):
    with alarm_state(doctor, "FunctionSilentAlarm", "INSUFFICIENT_DATA"):
        known = cloudwatch_backends[ACCOUNT][REGION].alarms[alarm("FunctionSilentAlarm")]
        known.state_updated_timestamp = known.state_updated_timestamp.replace(year=2025)
        yield


@breaks("alarms", "alarm", "its actions are disabled", "enable-alarm-actions")
def an_alarm_tells_nobody(doctor, _):
    client, names = doctor.stack.client("cloudwatch"), [alarm("LeftBehindAlarm")]
    client.disable_alarm_actions(AlarmNames=names)
    yield
    client.enable_alarm_actions(AlarmNames=names)


@contextmanager
def alarm_state(doctor, name, state):
    client = doctor.stack.client("cloudwatch")
    client.set_alarm_state(AlarmName=alarm(name), StateValue=state, StateReason="of the test")
    yield
    client.set_alarm_state(AlarmName=alarm(name), StateValue="OK", StateReason="of the test")


# --- what is found -----------------------------------------------------------------------------------


def not_fine(document):
    return [one for one in document["findings"] if one["state"] != "fine"]


def test_a_healthy_stack_is_silent(doctor):
    code, document = doctor.report()
    assert not_fine(document) == []
    assert code == HEALTHY
    assert {"function": "restore-proof", "region": REGION, "account": ACCOUNT}.items() <= document.items()
    assert (document["broken"], document["unseen"]) == (0, 0)
    areas = {one["area"] for one in document["findings"]}
    told = doctor()
    assert told.stderr == ""
    lines = told.stdout.splitlines()
    # The head, a line for each area, a note on a lock and one on the cost, and the sum; two lines are empty.
    notes = [line for line in lines if line.startswith("  note")]
    assert len(lines) == 1 + 1 + len(areas) + len(notes) + 1 + 1, told.stdout
    assert len(notes) == 2, notes


def test_the_cost_is_that_of_the_readme(doctor):
    (words,) = [one["words"] for one in doctor.report()[1]["findings"] if one["area"] == "cost"]
    # Of the default stack: seven endpoints in one zone, two keys, a secret of the stack and one of the policy, its alarms,
    # and the metrics with one vault (`test_readme.py`).
    for part in ("7 endpoints 51.10", "2 keys 2.00", "2 secrets 0.80", "15 metrics 4.50"):
        assert part in words, words


@pytest.mark.parametrize("one", BREAKS, ids=lambda one: one.name)
def test_what_is_broken_is_found_and_named(doctor, one, tmp_path):
    with one.broken(doctor, tmp_path) as besides:
        code, document = doctor.report()
    wrong = not_fine(document)
    found = [f for f in wrong if (f["area"], f["examined"], f["state"]) == (one.area, one.examined, one.state)]
    assert any(one.words in f["words"] for f in found), wrong
    if one.remedy:
        assert any(one.remedy in (f["remedy"] or "") for f in found), found
    # And nothing else is blamed.
    assert {(f["area"], f["examined"]) for f in wrong} <= {(one.area, one.examined)} | (besides or set()), wrong
    assert code == (BROKEN if one.state == "broken" else UNSEEN)


def test_at_least_twenty_ways_were_tried():
    assert sum(one.state == "broken" for one in BREAKS) >= 20


def test_a_mended_stack_is_silent_again(doctor):
    assert not_fine(doctor.report()[1]) == []


#: Each operation, refused: where that shows.
REFUSED = {
    "backup:DescribeRegionSettings": ("roles", "type_opted_in"),
    "backup:GetBackupVaultAccessPolicy": ("vaults", "vault_policy"),
    "backup:ListBackupVaults": ("vaults", "vault_exists"),
    "backup:ListRecoveryPointsByBackupVault": ("events", "landed"),
    "cloudwatch:DescribeAlarms": ("alarms", "alarm"),
    "dynamodb:BatchGetItem": ("events", "landed"),
    "dynamodb:GetItem": ("events", "landed"),
    "ec2:DescribeInstances": ("quotas", "quota_machines"),
    "ec2:DescribeRouteTables": ("network", "routes"),
    "ec2:DescribeSecurityGroups": ("network", "groups"),
    "ec2:DescribeSubnets": ("network", "subnets"),
    "ec2:DescribeVpcEndpoints": ("endpoints", "endpoint"),
    "events:DescribeRule": ("events", "rule"),
    "events:ListRuleNamesByTarget": ("events", "rule"),
    "iam:GetRole": ("roles", "service_role"),
    "iam:GetRolePolicy": ("policy", "policy_secret_allowed"),
    "kms:DescribeKey": ("vaults", "vault_key"),
    "kms:GetKeyPolicy": ("topic", "topic_key"),
    "lambda:GetFunctionConcurrency": ("function", "function_concurrency"),
    "lambda:GetFunctionConfiguration": ("function", "function_settings"),
    "lambda:InvokeFunction": ("endpoints", "endpoint_answers"),
    "rds:DescribeDBInstances": ("quotas", "quota_databases"),
    "rds:DescribeDBSubnetGroups": ("network", "subnet_group"),
    "s3:GetObject": ("policy", "policy_file"),
    "secretsmanager:DescribeSecret": ("policy", "policy_secret"),
    "servicequotas:GetServiceQuota": ("quotas", "quota_databases"),
    "sns:GetTopicAttributes": ("topic", "topic_policy"),
    "sns:ListSubscriptionsByTopic": ("topic", "subscription"),
}

#: Operations after which others are asked for, or that are asked for after others: refused one by one.
ALONE = {
    "backup:ListBackupVaults", "dynamodb:BatchGetItem", "dynamodb:GetItem", "events:ListRuleNamesByTarget",
    "iam:GetRolePolicy", "kms:GetKeyPolicy", "lambda:GetFunctionConfiguration", "sns:GetTopicAttributes",
}

#: Operations whose permission is called otherwise.
PERMISSIONS = {"lambda:Invoke": "lambda:InvokeFunction", "s3:ListObjectsV2": "s3:ListBucket",
               "service-quotas:GetServiceQuota": "servicequotas:GetServiceQuota"}


def operation_with(permission):
    return {action: operation for operation, action in PERMISSIONS.items()}.get(permission, permission)


def test_what_may_not_be_seen_is_named_and_never_called_fine(doctor):
    """All at once: that an operation is refused keeps no other from being looked at."""
    everything = [operation_with(permission) for permission in REFUSED if permission not in ALONE]
    with doctor.front.denying(*everything):
        code, document = doctor.report()
    assert code == UNSEEN
    assert document["broken"] == 0, not_fine(document)
    for permission, (area, examined) in REFUSED.items():
        if permission not in ALONE:
            found = [f for f in document["findings"] if (f["area"], f["examined"]) == (area, examined)]
            assert any(permission in f["words"] and f["state"] == "unseen" for f in found), (permission, found)
            assert not [f for f in found if f["state"] == "fine"], found



@pytest.mark.parametrize("permission", sorted(ALONE))
def test_a_single_refusal_is_named(doctor, permission):
    with doctor.front.denying(operation_with(permission)):
        code, document = doctor.report()
    assert code == UNSEEN
    area, examined = REFUSED[permission]
    found = [f for f in not_fine(document) if (f["area"], f["examined"]) == (area, examined)]
    assert any(permission in f["words"] for f in found), not_fine(document)


def test_a_service_that_is_away_is_not_seen(doctor):
    with doctor.front.silent("kms", "events"):
        code, document = doctor.report()
    assert code == UNSEEN
    assert {(f["area"], f["examined"]) for f in not_fine(document)} == {
        ("vaults", "vault_key"), ("topic", "topic_key"), ("events", "rule")}


def test_an_older_function_does_not_know_the_question(doctor):
    older = {"ignored": "neither an event, a vault notification nor one of \"sweep\""}
    answer = (200, {"Content-Type": "application/json"}, json.dumps(older).encode())
    with doctor.front.invoking(lambda _: answer):
        code, document = doctor.report()
    assert code == UNSEEN
    assert {f["words"].partition("older than this program")[1] for f in not_fine(document)} == {"older than this program"}


def test_no_function_is_no_stack(doctor):
    ran = doctor("--function", "another")
    assert ran.returncode == 4
    assert "there is no function another" in ran.stderr


# --- what it asks for --------------------------------------------------------------------------------


def needed(call):
    """The permission that a call needs, and the resource it is asked for where the policy names one."""
    action = PERMISSIONS.get(f"{call.service}:{call.operation}", f"{call.service}:{call.operation}")
    match call.service:
        case "lambda":
            return action, FUNCTION
        case "s3":
            path = call.path.strip("/")
            return action, f"arn:aws:s3:::{path}"
        case "dynamodb":
            body = json.loads(call.request_body)
            table = body.get("TableName") or next(iter(body["RequestItems"]))
            return action, f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}"
    return action, "*"


@pytest.fixture(scope="module")
def allowed():
    document = json.loads((ROOT / "infra/doctor-policy.json").read_text())
    return [Statement.of(raw) for raw in document["Statement"]]


def test_the_policy_allows_what_the_doctor_asks_for_and_nothing_else(doctor, allowed):
    asked = {needed(call) for call in doctor.front.calls}
    # Not for a function that is not there.
    assert asked
    assert [one for one in sorted(asked) if not is_allowed(allowed, *one, {})] == []
    actions = {action for statement in allowed for action in as_list(statement.actions)}
    assert actions == {action for action, _ in asked}
    assert actions - {"lambda:InvokeFunction"} == {a for a in actions if a.split(":")[1].startswith(
        ("Describe", "Get", "List", "BatchGet"))}
    assert "secretsmanager:GetSecretValue" not in actions
    assert set(REFUSED) | {"s3:ListBucket"} == actions


def test_every_request_is_one_that_awss_models_know(doctor):
    # botocore has CloudWatch speak CBOR alone; AWS takes its JSON as well ("protocols" in the same model).
    calls = [call for call in doctor.front.calls if call.service != "cloudwatch"]
    problems = {problem for call in calls for problem in request_parameters(call)[1]}
    assert problems == set()


def test_the_function_asks_nothing_that_changes_anything(doctor):
    """Each of its questions is a read, or is refused as it stands."""
    asked = {f"{call.service}:{call.operation}" for call in doctor.inside.calls}
    assert {call.service for call in doctor.inside.calls} == {
        "backup", "dynamodb", "ec2", "lambda", "logs", "rds", "s3", "secretsmanager", "sns"}
    assert {one for one in asked if not one.split(":")[1].startswith(("Describe", "Get", "List"))} == {
        "lambda:Invoke", "logs:PutLogEvents", "sns:Publish"}


def test_it_does_not_take_long(doctor):
    began = time.monotonic()
    doctor.report()
    assert time.monotonic() - began < 20
