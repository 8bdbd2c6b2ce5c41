"""The runbook's commands, pasted into a shell with AWS's own CLI, restore what the demo has proved.

RECORDS names a folder of records as the demo writes them (`restore-proof demo --records`). Of a database, an Aurora cluster
and an EC2 instance among them the command line tool makes the runbook; an operator fills its placeholders with names of
their own; the shell runs its commands against local-aws. Then the function, BOOTSTRAP, sweeps three times in the same account.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from cloud import LocalAws, client
from judge import judge, read_calls
from permissions import Template
from runtime import Runtime
from test_clients import TOOLS

ACCOUNT, REGION = "111122223333", "eu-central-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/operators-restore"
NAME = "orders-again"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:restore-proof"
POLICY = 'version = "1"\nrules = [{ name = "all", match = {}, frequency = "every-copy" }]\n'

#: What would change or end what an operator has.
CHANGES = {"AddTagsToResource", "CreateDBInstance", "CreateTags", "DeleteDBCluster", "DeleteDBInstance", "DeleteVolume",
           "ModifyDBCluster", "ModifyDBInstance", "TerminateInstances"}

#: What an operator puts in the place of what only they know.
MINE = {
    "ARN of a restore role of yours": ROLE,
    "name of the restored database": NAME, "name of the restored cluster": NAME, "name of the restored instance": NAME,
    "DB subnet group": "production", "security group of the database": "sg-0f00dfeed",
    "subnet of the instance": "subnet-0f00dfeed", "security group of the instance": "sg-0f00dfeed",
    "ARN of the KMS key of its volumes": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/5ea50000-0000-4000-8000-0000000000aa",
    "DB instance class of the writer": "db.r6g.large", "key pair": "operators", "true or false": "false",
    "stop or terminate": "stop", "enabled or disabled": "disabled",
    # One of the operator's own would do as well; this one is there.
    "DB cluster parameter group with the settings of the source": "default.aurora-postgresql16",
}


def proved(records_folder):
    """For each type the record of a restore that passed: with its source's own settings where the demo gives any."""
    found = {}
    for file in sorted(Path(records_folder).rglob("*.json")):
        record = json.loads(file.read_text())
        if (record["verdict"], record["proof"]) == ("passed", "restored") and record["restore_request"]:
            found.setdefault(record["resource_type"], []).append((file, record))
    return {kind: max(all_, key=lambda pair: len(pair[1]["restore_request"])) for kind, all_ in found.items()}


def world_of(record):
    """An AWS with the recovery point, an operator's network, and nothing of Restore Proof's."""
    sent = {row["key"]: row["proved_with"] for row in record["restore_request"]}
    point = {
        "arn": record["recovery_point_arn"], "resource_type": record["resource_type"], "created_at": "2026-11-20T00:00:00Z",
        "source_resource_arn": record["source_resource_arn"], "kms_key_arn": MINE["ARN of the KMS key of its volumes"],
    }
    if record["resource_type"] == "RDS":
        point["database"] = {"engine": sent["Engine"]}
    if record["resource_type"] == "Aurora":
        point["cluster"] = {"engine": sent["Engine"], "engine_version": sent["EngineVersion"]}
    if record["resource_type"] == "EC2":
        devices = json.loads(sent["BlockDeviceMappings"])
        point["machine"] = {"devices": [{"name": device["DeviceName"]} for device in devices]}
    return {
        "account": ACCOUNT, "region": REGION, "vaults": [{"name": record["backup_vault_name"]}],
        "db_subnet_groups": [{"name": "production", "vpc_id": "vpc-0f00dfeed"}],
        "subnets": [{"id": "subnet-0f00dfeed", "vpc_id": "vpc-0f00dfeed", "cidr": "10.20.0.0/24"}],
        "security_groups": [{"id": "sg-0f00dfeed", "vpc_id": "vpc-0f00dfeed"}],
        "key_pairs": ["operators"], "recovery_points": [point],
        # What the stack has there.
        "buckets": [{"name": "results"}], "topics": [TOPIC, f"{TOPIC}-urgent"], "log_groups": ["records"],
        "objects": [{"bucket": "results", "key": "policy/policy.toml", "body": POLICY}], "functions": ["restore-proof"],
        "tables": [{"name": "ledger", "partition_key": {"name": "id", "type": "S"},
                    "indexes": [{"name": "due", "partition_key": {"name": "due_partition", "type": "S"},
                                 "sort_key": {"name": "due_at", "type": "N"}}]}],
    }


def function(template_path, vault, url):
    """The environment of the function in that account."""
    names = {
        "AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "Ledger": "ledger", "ResultsBucket": "results", "Topic": TOPIC,
        "UrgentTopic": f"{TOPIC}-urgent", "RecordsLogGroup": "records", "ResetKey": "ResetKey", "VolumeKey.Arn": "",
        "RestoreRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/restore-proof-restore", "BackupVaultNames": vault,
        "Network.Outputs.VpcId": "vpc-0150ca7ed", "Network.Outputs.SubnetIds": "subnet-0150ca7ea,subnet-0150ca7eb",
        "Network.Outputs.DbSubnetGroupName": "isolated", "Network.Outputs.DatabaseSecurityGroupId": "sg-0150ca7ea",
        "Network.Outputs.MachineSecurityGroupId": "sg-0150ca7eb", "Network.Outputs.MachineSubnetIds": "subnet-0150ca7ea",
    }
    template = Template(template_path, names)
    variables = template.resolve(template.raw["Resources"]["RestoreProofFunction"]["Properties"]["Environment"]["Variables"])
    if not Path(variables.get("SSL_CERT_FILE", "")).exists():
        variables.pop("SSL_CERT_FILE", None)
    return {name: str(value) for name, value in variables.items()} | {
        "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": url,
        "AWS_LAMBDA_FUNCTION_NAME": "restore-proof", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_LOG_GROUP_NAME": "function",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream", "_HANDLER": "bootstrap",
    }


def filled(text):
    """The text with an operator's own words in the place of its placeholders."""
    return re.sub(r"<([^<>\n]+)>", lambda found: MINE[found[1]], text)


def commands(runbook):
    """What is to be run: the restore, and what is always to be done after it."""
    restore, rest = runbook.split("\n## Restore\n")[1].split("\n## After it\n")
    always = rest.split("\n### Always\n")[1].split("\n### As you need it\n")[0]
    return re.findall(r"^```sh\n(.*?)^```$", restore + always, re.M | re.S)


@pytest.mark.parametrize("kind", ["RDS", "Aurora", "EC2"])
def test_the_commands_restore_what_was_proved(
        kind, records_folder, cli_binary, local_aws, bootstrap, template_path, tmp_path):
    file, record = proved(records_folder)[kind]
    made = subprocess.run([cli_binary, "runbook", "--records", str(file), record["source_resource_arn"]],
                          capture_output=True, text=True, check=True)
    blocks = commands(made.stdout)
    assert len(blocks) >= 2, made.stdout
    script = "set -eu\n" + filled("".join(blocks)).replace("sleep 15", "sleep 1")
    # Nothing of ours is used: the names of restores, the role, the network.
    for ours in ("restore-proof", "isolated", *(record["network"] or {}).get("subnets", []),
                 *(record["network"] or {}).get("groups", [])):
        assert ours not in script, ours
    with LocalAws(local_aws, world_of(record), tmp_path) as served:
        ran = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL, cwd=tmp_path,
            env={"PATH": f"{TOOLS}:/usr/bin:/bin", "HOME": str(tmp_path), "AWS_ACCESS_KEY_ID": "test",
                 "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": served.url, "AWS_MAX_ATTEMPTS": "1"})
        assert ran.returncode == 0, f"{script}\n{ran.stdout}\n{ran.stderr}"
        assert "COMPLETED" in ran.stdout, ran.stdout
        there = restored(kind, served.url)
        before = len(read_calls(served.record))
        with Runtime(bootstrap, function(template_path, record["backup_vault_name"], served.url)) as swept:
            for sweep in ("due", "lost") * 3:
                swept.invoke({"sweep": sweep})
        calls = read_calls(served.record)
        asked = {call.operation for call in calls[before:]}
        assert "ListRestoreJobs" in asked and not asked & CHANGES, asked
        assert restored(kind, served.url) == there
        for call in calls:
            assert judge(call) == [], str(call)
    wanted = {row["key"]: filled(row["recovery"]) for row in record["restore_request"] if row["recovery"]}
    for key, value in there.items():
        assert value == wanted[key], key


def restored(kind, url):
    """What an operator sees of the restored resource, by the keys of the request."""
    said = {True: "true", False: "false"}
    if kind == "RDS":
        rds = client("rds", url)
        one, = rds.describe_db_instances(DBInstanceIdentifier=NAME)["DBInstances"]
        return {
            "DBInstanceIdentifier": one["DBInstanceIdentifier"], "DBInstanceClass": one["DBInstanceClass"],
            "MultiAZ": said[one["MultiAZ"]], "DeletionProtection": said[one["DeletionProtection"]],
            "DBSubnetGroupName": one["DBSubnetGroup"]["DBSubnetGroupName"],
        }
    if kind == "Aurora":
        rds = client("rds", url)
        one, = rds.describe_db_clusters(DBClusterIdentifier=NAME)["DBClusters"]
        (member,) = one["DBClusterMembers"]
        assert (member["DBInstanceIdentifier"], member["IsClusterWriter"]) == (f"{NAME}-1", True)
        return {"DBClusterIdentifier": one["DBClusterIdentifier"], "EngineVersion": one["EngineVersion"],
                "DBSubnetGroupName": one["DBSubnetGroup"]}
    ec2 = client("ec2", url)
    (one,), = (reservation["Instances"] for reservation in ec2.describe_instances()["Reservations"])
    assert one["State"]["Name"] == "running"
    assert {"Key": "Name", "Value": NAME} in one["Tags"]
    return {"SubnetId": one["SubnetId"], "InstanceType": one["InstanceType"]}
