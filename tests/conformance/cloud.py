"""An AWS that this project did not write: moto for every service it has, and local-aws in front of
it for AWS Backup, whose restore jobs moto lacks. Lambda's asynchronous invoke is a queue.
"""

import json
import logging
import os
import queue
import subprocess
import threading
import time
import urllib.request
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from botocore.config import Config

ACCOUNT, REGION = "123456789012", "eu-central-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/restore-proof-restore"

# moto reads it when it is imported.
os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT

from moto.rds.models import rds_backends  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402


def client(service, endpoint):
    """A boto3 client for a stand-in, which tries once."""
    return boto3.client(
        service, region_name=REGION, endpoint_url=endpoint, aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}))


class Cloud:
    """Moto with what the stack would have made in it. Used as a context manager."""

    def __enter__(self):
        self._exit = ExitStack()
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line per request
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        self._exit.callback(server.stop)
        host, port = server.get_host_and_port()
        self.moto = f"http://{host}:{port}"
        # moto keeps what it holds in this process, where another test may have left its own.
        reset = urllib.request.Request(f"{self.moto}/moto-api/reset", method="POST")
        urllib.request.urlopen(reset).close()
        self.invocations = queue.Queue()
        self.lambda_endpoint = self._serve_lambda()
        self._make_stack()
        return self

    def __exit__(self, *_):
        self._exit.close()

    def client(self, service):
        """A boto3 client for moto."""
        return client(service, self.moto)

    def _serve_lambda(self):
        invocations = self.invocations

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                accepted = (self.path.startswith("/2015-03-31/functions/")
                            and self.headers.get("X-Amz-Invocation-Type") == "Event")
                if accepted:
                    invocations.put(json.loads(body))
                self.send_response(202 if accepted else 400)
                self.send_header("Content-Length", "0")
                self.end_headers()

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._exit.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_address[1]}"

    def _make_stack(self):
        """The template's resources that the function calls, made with the template's own shapes."""
        self.client("dynamodb").create_table(
            TableName="ledger", BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"},
                                  {"AttributeName": "due_partition", "AttributeType": "S"},
                                  {"AttributeName": "due_at", "AttributeType": "N"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[{
                "IndexName": "due", "Projection": {"ProjectionType": "KEYS_ONLY"},
                "KeySchema": [{"AttributeName": "due_partition", "KeyType": "HASH"},
                              {"AttributeName": "due_at", "KeyType": "RANGE"}]}])
        self.client("s3").create_bucket(
            Bucket="results", CreateBucketConfiguration={"LocationConstraint": REGION})
        self.client("logs").create_log_group(logGroupName="records")
        topic, urgent, events = (self.client("sns").create_topic(Name=name)["TopicArn"]
                                 for name in ("topic", "restore-proof-urgent", "restore-proof-events"))
        sqs = self.client("sqs")
        self._queue = sqs.create_queue(QueueName="messages")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])
        for one in (topic, urgent, events):
            self.client("sns").subscribe(TopicArn=one, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])
        # The network of infra/network.yaml, as far as moto can tell one from another.
        ec2 = self.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.255.0.0/24")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=f"{REGION}{zone}")["Subnet"]["SubnetId"]
            for cidr, zone in (("10.255.0.0/25", "a"), ("10.255.0.128/25", "b"))
        ]
        databases, machines = (
            ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
            for name in ("databases", "machines")
        )
        everywhere = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        nowhere = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "127.0.0.1/32"}]}]
        for group in (databases, machines):
            ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everywhere)
            ec2.authorize_security_group_egress(GroupId=group, IpPermissions=nowhere)
        rds = self.client("rds")
        rds.create_db_subnet_group(
            DBSubnetGroupName="isolated", DBSubnetGroupDescription="isolated", SubnetIds=subnets)
        rds.create_db_instance(
            DBInstanceIdentifier="orders-prod", Engine="postgres", EngineVersion="15.8",
            DBInstanceClass="db.t4g.medium", MasterUsername="shop", MasterUserPassword="sample-password",
            AllocatedStorage=20)
        # Somebody's machine, which is no part of the stack.
        image = ec2.describe_images()["Images"][0]
        self.machine = ec2.run_instances(
            ImageId=image["ImageId"], MinCount=1, MaxCount=1, InstanceType="t3.small",
            SubnetId=subnets[0], SecurityGroupIds=[machines])["Instances"][0]["InstanceId"]
        key = self.client("secretsmanager").create_secret(
            Name="ResetKey", SecretString="0123456789abcdefABCDEF" * 2 + "0123456789abcdefABCD")["ARN"]
        #: What the template's references stand for here.
        self.names = {
            "AWS::AccountId": ACCOUNT, "AWS::Region": REGION,
            "Ledger": "ledger", "ResultsBucket": "results", "Topic": topic, "UrgentTopic": urgent,
            "EventsTopic": events,
            "RecordsLogGroup": "records", "RestoreRole.Arn": ROLE, "ResetKey": key,
            "Network.Outputs.VpcId": vpc, "Network.Outputs.SubnetIds": ",".join(subnets),
            "Network.Outputs.DbSubnetGroupName": "isolated",
            "Network.Outputs.DatabaseSecurityGroupId": databases,
            "Network.Outputs.MachineSecurityGroupId": machines,
            "Network.Outputs.MachineSubnetIds": subnets[0],
            "BackupVaultNames": "central", "VolumeKey.Arn": "",
        }

    def add_image(self, name):
        """The image that a recovery point of somebody's machine is, and the name of its root device."""
        ec2 = self.client("ec2")
        image = ec2.create_image(InstanceId=self.machine, Name=name)["ImageId"]
        root = ec2.describe_images(ImageIds=[image])["Images"][0]["RootDeviceName"]
        return f"arn:aws:ec2:{REGION}::image/{image}", root

    def add_snapshot(self, identifier):
        """A snapshot with a name and of a type that only AWS Backup may give, so not through the API."""
        backend = rds_backends[ACCOUNT][REGION]
        backend.create_auto_snapshot("orders-prod", identifier)
        backend.database_snapshots[identifier].snapshot_type = "awsbackup"
        return f"arn:aws:rds:{REGION}:{ACCOUNT}:snapshot:{identifier}"

    def messages(self):
        """The messages published since the last call, as SNS hands them to a queue."""
        sqs = self.client("sqs")
        found = []
        while batch := sqs.receive_message(
                QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                found.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return found

    def records(self):
        """The record objects: key to text."""
        s3 = self.client("s3")
        listed = s3.list_objects_v2(Bucket="results", Prefix="records/").get("Contents", [])
        return {
            item["Key"]: s3.get_object(Bucket="results", Key=item["Key"])["Body"].read().decode()
            for item in listed
        }

    def log_events(self):
        """The events in the records' log group, decoded."""
        events = self.client("logs").filter_log_events(logGroupName="records")["events"]
        return [json.loads(event["message"]) for event in events]


class LocalAws:
    """`local-aws serve` with a world of ours. A context manager.

    With `endpoint` it plays AWS Backup only and makes restored databases and machines there. Its standard
    output is one JSON object per line: first the address, then what AWS Backup would send to
    EventBridge, which is kept in `events`. Its calls are recorded in the file `record`.
    """

    def __init__(self, binary, world, folder, endpoint=None):
        seed, self.record = folder / "world.json", folder / "calls.jsonl"
        seed.write_text(json.dumps(world))
        self._command = [binary, "serve", "--world", str(seed), "--record", str(self.record)]
        if endpoint is not None:
            self._command += ["--rds-endpoint", endpoint, "--ec2-endpoint", endpoint]
        self.events = []

    def __enter__(self):
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        first = self._process.stdout.readline()
        assert first, f"{' '.join(self._command)} ended at once"
        self.url = json.loads(first)["url"]
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def _read(self):
        for line in self._process.stdout:
            message = json.loads(line)
            if "event" in message:
                self.events.append(message["event"])

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()


def eventually(condition, seconds, what):
    """Waits until `condition()` is true and returns its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.25)
    raise AssertionError(f"{what}: not within {seconds} s")
