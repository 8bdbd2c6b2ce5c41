"""A whole validation of a database, of an Aurora cluster and of a machine, driven by hand with AWS's own clients.

The AWS CLI and boto3 do at local-aws what the function does: start the restore, wait for the job, describe what it
made, connect to it, put the record, delete it and see that it is gone. All that is said is judged against botocore's
service models.
"""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from cloud import ACCOUNT, REGION, ROLE, LocalAws, client, eventually
from judge import judge, read_calls

DATABASE = f"arn:aws:rds:{REGION}:{ACCOUNT}:snapshot:awsbackup:copyjob-1"
CLUSTER = f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster-snapshot:awsbackup:copyjob-1"
MACHINE = f"arn:aws:ec2:{REGION}::image/ami-0123456789abcdef0"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/5ea50000-0000-4000-8000-000000000001"

#: The CLI of this very set of tools, and no other.
TOOLS = str(Path(sys.executable).parent)

WORLD = {
    "account": ACCOUNT, "region": REGION, "vaults": [{"name": "central"}],
    "db_subnet_groups": [{"name": "isolated", "vpc_id": "vpc-1"}],
    "subnets": [{"id": "subnet-1", "vpc_id": "vpc-1", "cidr": "10.255.0.0/25"}],
    "security_groups": [{"id": "sg-1", "vpc_id": "vpc-1"}],
    "route_tables": [
        {"id": "rtb-0150ca7ed0000000a", "vpc_id": "vpc-1", "subnets": ["subnet-1"],
         "routes": [{"destination": "10.255.0.0/24", "target": "local"},
                    {"destination": "pl-6ea54007", "target": "vpce-0150ca7ed0000000a"},
                    {"destination": "::/0", "target": "eigw-0150ca7ed0000000a", "is_blackhole": True}]},
        {"id": "rtb-0150ca7ed0000000b", "vpc_id": "vpc-1", "is_main": True,
         "routes": [{"destination": "10.255.0.0/24", "target": "local"},
                    {"destination": "10.0.0.0/8", "target": "tgw-0150ca7ed0000000a"}]},
    ],
    "recovery_points": [
        {"arn": DATABASE, "created_at": "2026-11-20T00:00:00Z",
         "source_resource_arn": f"arn:aws:rds:{REGION}:111122223333:db:orders"},
        {"arn": CLUSTER, "resource_type": "Aurora", "created_at": "2026-11-20T00:00:00Z", "tags": {"env": "prod"},
         "source_resource_arn": f"arn:aws:rds:{REGION}:111122223333:cluster:shop"},
        {"arn": MACHINE, "resource_type": "EC2", "created_at": "2026-11-20T00:00:00Z", "kms_key_arn": KEY,
         "source_resource_arn": f"arn:aws:ec2:{REGION}:111122223333:instance/i-0f00d0000000000aa",
         "machine": {"ports": [8080], "files": {"/health": "all is well\n"},
                     "devices": [{"name": "/dev/xvda"},
                                 {"name": "/dev/xvdb", "delete_on_termination": False}]}},
    ],
    "buckets": [{"name": "results"}],
}


class Refused(Exception):
    """An AWS error, by its code."""


class Boto3:
    """Says it with boto3."""

    def __init__(self, url, _folder):
        self._clients = {name: client(name, url) for name in ("backup", "rds", "ec2", "s3")}

    def __call__(self, service, operation, **parameters):
        try:
            return getattr(self._clients[service], operation)(**parameters)
        except ClientError as error:
            raise Refused(error.response["Error"]["Code"]) from error

    def put_record(self, key, text):
        self("s3", "put_object", Bucket="results", Key=key, Body=text.encode())

    def record(self, key):
        return self("s3", "get_object", Bucket="results", Key=key)["Body"].read().decode()


class AwsCli:
    """Says it with the AWS CLI."""

    def __init__(self, url, folder):
        self._url, self._folder = url, folder

    def _run(self, *arguments):
        ran = subprocess.run(
            [f"{TOOLS}/aws", "--endpoint-url", self._url, "--region", REGION, "--output", "json", *arguments],
            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
            env={"PATH": TOOLS, "HOME": str(self._folder), "AWS_ACCESS_KEY_ID": "test",
                 "AWS_SECRET_ACCESS_KEY": "test", "AWS_MAX_ATTEMPTS": "1"})
        if ran.returncode != 0:
            code = ran.stderr.partition("An error occurred (")[2].partition(")")[0]
            assert code, f"{arguments}: {ran.stderr}"
            raise Refused(code)
        return json.loads(ran.stdout or "{}")

    def __call__(self, service, operation, **parameters):
        return self._run(service, operation.replace("_", "-"), "--cli-input-json", json.dumps(parameters))

    def put_record(self, key, text):
        file = self._folder / "record.json"
        file.write_text(text)
        self._run("s3api", "put-object", "--bucket", "results", "--key", key, "--body", str(file))

    def record(self, key):
        file = self._folder / "read.json"
        self._run("s3api", "get-object", "--bucket", "results", "--key", key, str(file))
        return file.read_text()


@pytest.fixture
def aws(request, local_aws, tmp_path):
    """The client that a test names, boto3 unless it does."""
    with LocalAws(local_aws, WORLD, tmp_path) as served:
        yield getattr(request, "param", Boto3)(served.url, tmp_path)
        calls = read_calls(served.record)
        assert calls
        for call in calls:
            assert judge(call) == [], str(call)


with_both = pytest.mark.parametrize("aws", [Boto3, AwsCli], indirect=True)


def restore(aws, point, kind, metadata):
    """Starts a restore and waits for its end; the job."""
    point_now = aws("backup", "describe_recovery_point", BackupVaultName="central", RecoveryPointArn=point)
    assert (point_now["ResourceType"], point_now["Status"]) == (kind, "COMPLETED")
    job = aws("backup", "start_restore_job", RecoveryPointArn=point, IamRoleArn=ROLE, IdempotencyToken="token",
              ResourceType=kind, Metadata=metadata)["RestoreJobId"]

    def ended():
        found = aws("backup", "describe_restore_job", RestoreJobId=job)
        assert found["Status"] in ("PENDING", "RUNNING", "COMPLETED"), found
        return found if found["Status"] == "COMPLETED" else None

    ended = eventually(ended, 40, "the restore")
    assert ended["IamRoleArn"] == ROLE and ended["RecoveryPointArn"] == point
    assert aws("backup", "get_restore_job_metadata", RestoreJobId=job)["Metadata"] == metadata
    return ended


def code_of(aws, service, operation, **parameters):
    """The code of the error that is answered; none when there is an answer."""
    try:
        aws(service, operation, **parameters)
    except Refused as refused:
        return str(refused)
    return None


def put_record(aws, job):
    key = f"records/dt=2026-11-21/{job['RestoreJobId']}.json"
    text = json.dumps({"verdict": "passed", "restore_job_id": job["RestoreJobId"]}) + "\n"
    aws.put_record(key, text)
    assert aws.record(key) == text


@with_both
def test_a_database(aws):
    job = restore(aws, DATABASE, "RDS", {
        "DBInstanceIdentifier": "restore-proof-1", "DBSubnetGroupName": "isolated", "Engine": "postgres",
        "VpcSecurityGroupIds": '["sg-1"]', "DBInstanceClass": "db.t4g.medium", "PubliclyAccessible": "false"})
    assert job["CreatedResourceArn"] == f"arn:aws:rds:{REGION}:{ACCOUNT}:db:restore-proof-1"
    (instance,) = aws("rds", "describe_db_instances", DBInstanceIdentifier="restore-proof-1")["DBInstances"]
    assert instance["DBInstanceStatus"] == "available"
    assert instance["DBSubnetGroup"]["DBSubnetGroupName"] == "isolated"
    assert not instance["PubliclyAccessible"]
    assert instance["Endpoint"]["Address"] and instance["Endpoint"]["Port"] == 5432

    changed = aws("rds", "modify_db_instance", DBInstanceIdentifier="restore-proof-1", ApplyImmediately=True,
                  MasterUserPassword="a-sample-password")["DBInstance"]
    assert "MasterUserPassword" in changed["PendingModifiedValues"]
    assert "a-sample-password" not in json.dumps(changed, default=str), "a password is never told"

    def changed_password():
        (instance,) = aws("rds", "describe_db_instances", DBInstanceIdentifier="restore-proof-1")["DBInstances"]
        return instance["DBInstanceStatus"] == "available" and not instance.get("PendingModifiedValues")

    eventually(changed_password, 40, "the new password")

    put_record(aws, job)
    deletion = {"DBInstanceIdentifier": "restore-proof-1", "SkipFinalSnapshot": True, "DeleteAutomatedBackups": True}
    assert aws("rds", "delete_db_instance", **deletion)["DBInstance"]["DBInstanceStatus"] == "deleting"
    eventually(lambda: code_of(aws, "rds", "describe_db_instances", DBInstanceIdentifier="restore-proof-1")
               == "DBInstanceNotFound", 40, "the deletion")


@with_both
def test_a_cluster(aws):
    job = restore(aws, CLUSTER, "Aurora", {
        "DBClusterIdentifier": "restore-proof-1", "Engine": "aurora-postgresql", "DBSubnetGroupName": "isolated",
        "VpcSecurityGroupIds": '["sg-1"]'})
    arn = f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:restore-proof-1"
    assert job["CreatedResourceArn"] == arn
    named = {"DBClusterIdentifier": "restore-proof-1"}

    def cluster():
        (cluster,) = aws("rds", "describe_db_clusters", **named)["DBClusters"]
        return cluster

    there = cluster()
    assert (there["Status"], there["DBClusterMembers"], there["DBSubnetGroup"]) == ("available", [], "isolated")
    assert [group["VpcSecurityGroupId"] for group in there["VpcSecurityGroups"]] == ["sg-1"]
    (snapshot,) = aws("rds", "describe_db_cluster_snapshots", SnapshotType="awsbackup")["DBClusterSnapshots"]
    assert (snapshot["DBClusterSnapshotArn"], snapshot["TagList"]) == (CLUSTER, [{"Key": "env", "Value": "prod"}])

    writer = {"DBInstanceIdentifier": "restore-proof-1-w", "DBInstanceClass": "db.serverless",
              "Engine": "aurora-postgresql", "PubliclyAccessible": False,
              "Tags": [{"Key": "validation", "Value": "v1"}]} | named
    assert code_of(aws, "rds", "create_db_instance", **writer) == "InvalidDBClusterStateFault"
    ranged = aws("rds", "modify_db_cluster", ApplyImmediately=True, MasterUserPassword="a-sample-password",
                 ServerlessV2ScalingConfiguration={"MinCapacity": 0.5, "MaxCapacity": 1}, **named)["DBCluster"]
    assert ranged["ServerlessV2ScalingConfiguration"] == {"MinCapacity": 0.5, "MaxCapacity": 1.0}
    assert "a-sample-password" not in json.dumps(ranged, default=str), "a password is never told"

    def has_password():
        now = cluster()
        return now["Status"] == "available" and not now.get("PendingModifiedValues")

    eventually(has_password, 40, "range and password")
    made = aws("rds", "create_db_instance", **writer)["DBInstance"]
    assert made["DBClusterIdentifier"] == "restore-proof-1" and "Endpoint" not in made
    assert code_of(aws, "rds", "create_db_instance", **writer) == "DBInstanceAlreadyExists"

    def ready():
        (instance,) = aws("rds", "describe_db_instances", DBInstanceIdentifier="restore-proof-1-w")["DBInstances"]
        return instance if instance["DBInstanceStatus"] == "available" else None

    instance = eventually(ready, 40, "the writer")
    assert not instance["PubliclyAccessible"] and instance["DBInstanceClass"] == "db.serverless"
    now = cluster()
    (member,) = now["DBClusterMembers"]
    assert (member["DBInstanceIdentifier"], member["IsClusterWriter"]) == ("restore-proof-1-w", True)
    assert (now["Endpoint"], now["Port"]) == (instance["Endpoint"]["Address"], instance["Endpoint"]["Port"])
    aws("rds", "add_tags_to_resource", ResourceName=arn, Tags=[{"Key": "validation", "Value": "v1"}])
    for name in (arn, instance["DBInstanceArn"]):
        tags = aws("rds", "list_tags_for_resource", ResourceName=name)["TagList"]
        assert {"Key": "validation", "Value": "v1"} in tags

    put_record(aws, job)
    deletion = {"SkipFinalSnapshot": True} | named
    assert code_of(aws, "rds", "delete_db_cluster", **deletion) == "InvalidDBClusterStateFault"
    aws("rds", "delete_db_instance", DBInstanceIdentifier="restore-proof-1-w", SkipFinalSnapshot=True)
    eventually(lambda: code_of(aws, "rds", "describe_db_instances", DBInstanceIdentifier="restore-proof-1-w")
               == "DBInstanceNotFound", 40, "the writer's deletion")
    assert aws("rds", "delete_db_cluster", **deletion)["DBCluster"]["Status"] == "deleting"
    eventually(lambda: code_of(aws, "rds", "describe_db_clusters", **named) == "DBClusterNotFoundFault",
               40, "the deletion")


@with_both
def test_routes_of_a_vpc(aws):
    filters = [{"Name": "vpc-id", "Values": ["vpc-1"]}]
    own, main = aws("ec2", "describe_route_tables", Filters=filters, MaxResults=100)["RouteTables"]
    assert [association["SubnetId"] for association in own["Associations"]] == ["subnet-1"]
    assert [association["Main"] for association in own["Associations"] + main["Associations"]] == [False, True]
    assert "SubnetId" not in main["Associations"][0]
    assert main["Associations"][0]["AssociationState"]["State"] == "associated"
    local, gateway, out = own["Routes"]
    assert (local["DestinationCidrBlock"], local["GatewayId"], local["Origin"]) == (
        "10.255.0.0/24", "local", "CreateRouteTable")
    assert (gateway["DestinationPrefixListId"], gateway["GatewayId"]) == ("pl-6ea54007", "vpce-0150ca7ed0000000a")
    assert (out["DestinationIpv6CidrBlock"], out["EgressOnlyInternetGatewayId"], out["State"]) == (
        "::/0", "eigw-0150ca7ed0000000a", "blackhole")
    assert main["Routes"][1]["TransitGatewayId"] == "tgw-0150ca7ed0000000a"
    assert code_of(aws, "ec2", "describe_route_tables", RouteTableIds=["rtb-0150ca7ed0000000c"]) == (
        "InvalidRouteTableID.NotFound")


@with_both
def test_a_machine(aws):
    (image,) = aws("ec2", "describe_images", ImageIds=[MACHINE.rpartition("/")[2]])["Images"]
    assert [mapping["DeviceName"] for mapping in image["BlockDeviceMappings"]] == ["/dev/xvda", "/dev/xvdb"]
    job = restore(aws, MACHINE, "EC2", {
        "InstanceType": "t3.small", "SubnetId": "subnet-1", "SecurityGroupIds": '["sg-1"]',
        "RequireIMDSv2": "true", "DisableApiTermination": "false"})
    name = job["CreatedResourceArn"].removeprefix(f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/")

    def machine():
        (reservation,) = aws("ec2", "describe_instances", InstanceIds=[name])["Reservations"]
        (machine,) = reservation["Instances"]
        return machine

    running = eventually(lambda: (m := machine())["State"]["Name"] == "running" and m, 40, "the machine")
    assert running["SubnetId"] == "subnet-1"
    assert [group["GroupId"] for group in running["SecurityGroups"]] == ["sg-1"]
    assert running["MetadataOptions"]["HttpTokens"] == "required"
    assert "IamInstanceProfile" not in running and "PublicIpAddress" not in running
    (group,) = aws("ec2", "describe_security_groups", GroupIds=["sg-1"])["SecurityGroups"]
    (rule,) = group["IpPermissionsEgress"]
    assert [to["CidrIp"] for to in rule["IpRanges"]] == ["127.0.0.1/32"]
    volumes = aws("ec2", "describe_volumes", Filters=[{"Name": "attachment.instance-id", "Values": [name]}])["Volumes"]
    outlives = {volume["VolumeId"]: not volume["Attachments"][0]["DeleteOnTermination"] for volume in volumes}
    assert sorted(outlives.values()) == [False, True]
    assert all(volume["Encrypted"] for volume in volumes)
    aws("ec2", "create_tags", Resources=[name, *outlives], Tags=[{"Key": "validation", "Value": "v1"}])
    assert {"Key": "validation", "Value": "v1"} in machine()["Tags"]

    def body():
        # Its own address, and no proxy that the machine's owner may have set.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{running['PrivateIpAddress']}:8080/health", timeout=5) as response:
                return response.read()
        except (urllib.error.URLError, ConnectionError):
            return None  # it boots

    assert eventually(body, 40, "the web server") == b"all is well\n"

    put_record(aws, job)
    (kept,) = [volume for volume, stays in outlives.items() if stays]
    assert code_of(aws, "ec2", "delete_volume", VolumeId=kept) == "VolumeInUse"
    (change,) = aws("ec2", "terminate_instances", InstanceIds=[name])["TerminatingInstances"]
    assert change["PreviousState"]["Name"] == "running"
    eventually(lambda: machine()["State"]["Name"] == "terminated", 40, "the termination")
    assert body() is None, "the web server went with its machine"
    (left,) = aws("ec2", "describe_volumes")["Volumes"]
    assert (left["VolumeId"], left["State"]) == (kept, "available")
    aws("ec2", "delete_volume", VolumeId=kept)
    eventually(lambda: code_of(aws, "ec2", "describe_volumes", VolumeIds=[kept]) == "InvalidVolume.NotFound",
               40, "the volume's deletion")


def test_what_there_is_not(aws):
    for operation, parameters, code in (
            ("describe_instances", {"InstanceIds": ["i-0123456789abcdef0"]}, "InvalidInstanceID.NotFound"),
            ("terminate_instances", {"InstanceIds": ["i-0123456789abcdef0"]}, "InvalidInstanceID.NotFound"),
            ("describe_volumes", {"VolumeIds": ["vol-0123456789abcdef0"]}, "InvalidVolume.NotFound"),
            ("delete_volume", {"VolumeId": "vol-0123456789abcdef0"}, "InvalidVolume.NotFound"),
            ("create_tags", {"Resources": ["i-0123456789abcdef0"], "Tags": [{"Key": "a"}]}, "InvalidInstanceID.NotFound"),
            ("describe_images", {"ImageIds": ["ami-0123456789abcdef1"]}, "InvalidAMIID.NotFound")):
        assert code_of(aws, "ec2", operation, **parameters) == code, operation
    assert code_of(aws, "rds", "modify_db_instance", DBInstanceIdentifier="nobody",
                   MasterUserPassword="a-sample-password") == "DBInstanceNotFound"
