"""The real bootstrap behind a Runtime API, against an AWS that this project did not write.

BOOTSTRAP names the bootstrap (as built for development, or as `sam build` made it), LOCAL_AWS the
binary that plays AWS Backup.
"""

import json
import os
import time
from datetime import datetime, timedelta, timezone

import jsonschema
import pytest

import insights
from cloud import ACCOUNT, REGION, ROLE, Cloud, LocalAws, client, eventually
from conftest import ROOT
from permissions import Template
from runtime import Runtime

EVENT_SCHEMA = json.loads((ROOT / "docs/verdict-event.schema.json").read_text())

VAULT = "central"
SOURCE_ACCOUNT = "111122223333"

POLICY = """
version = "conformance"

[[rules]]
name = "without checks"
match = { source_arn = "arn:aws:rds:*:*:db:orders-*" }
frequency = "every-copy"

[[rules]]
name = "machines without checks"
match = { resource_type = "EC2" }
frequency = "every-copy"

[[rules]]
name = "a database that cannot be reached"
match = { source_arn = "arn:aws:rds:*:*:db:billing-*" }
frequency = "every-copy"
credentials = { secret = "restore-proof/billing" }
tls = "verify"
  [[rules.checks]]
  name = "invoices are there"
  kind = "sql"
  database = "billing"
  query = "select count(*) from invoices"
  expect = { min = 1 }
  timeout = "2s"
"""

#: Expected verdict by the source.
DATABASES = {"orders-prod": "unchecked", "billing-prod": "inconclusive"}
MACHINES = {"web-prod": "unchecked"}
SOURCES = DATABASES | MACHINES

#: Seconds. local-aws begins a restore after a tenth of it: EC2 tells whole seconds, and a machine that is launched in
#: the very second in which its job was created looks older than the job.
RESTORE_TAKES = 11

#: A device of the restored machine that its image does not name, so that no request speaks of it: its volume
#: outlives the machine.
FORGOTTEN = {"name": "/dev/xvdz", "delete_on_termination": False, "encrypted": False}


def source_arn(name):
    """The ARN of what was backed up, in its own account."""
    kind = "rds" if name in DATABASES else "ec2"
    rest = f"db:{name}" if name in DATABASES else "instance/i-0f00d0000000000aa"
    return f"arn:aws:{kind}:{REGION}:{SOURCE_ACCOUNT}:{rest}"


@pytest.fixture(scope="module")
def stage(bootstrap, local_aws, template_path, tmp_path_factory):
    """Moto, local-aws and the function, with a recovery point per source; everything runs once."""
    with Cloud() as cloud:
        cloud.client("s3").put_object(Bucket="results", Key="policy/policy.toml", Body=POLICY.encode())
        cloud.client("secretsmanager").create_secret(
            Name="restore-proof/billing",
            SecretString=json.dumps({"engine": "postgres", "host": "db", "port": 5432,
                                     "username": "reader", "password": "sample-password"}))
        points = {
            name: cloud.add_snapshot(f"awsbackup:copyjob-{number}")
            for number, name in enumerate(DATABASES, start=1)
        }
        points["web-prod"], root = cloud.add_image("web-prod")
        machine = {"devices": [{"name": root, "encrypted": False}, FORGOTTEN], "instance_profile": None}
        world = {
            "account": ACCOUNT, "region": REGION, "vaults": [{"name": VAULT}],
            "db_subnet_groups": [{"name": "isolated", "vpc_id": "vpc-1"}],
            "security_groups": [{"id": cloud.names["Network.Outputs.DatabaseSecurityGroupId"],
                                 "vpc_id": "vpc-1"}],
            "recovery_points": [
                {"arn": arn, "vault": VAULT, "source_resource_arn": source_arn(name),
                 "created_at": hours_ago(2)}
                | ({"resource_type": "EC2", "machine": machine, "behaviour": {"takes": RESTORE_TAKES}}
                   if name in MACHINES else {})
                for name, arn in points.items()
            ],
        }
        with LocalAws(local_aws, world, tmp_path_factory.mktemp("world"), cloud.moto) as backup:
            variables = environment(Template(template_path, cloud.names), cloud, backup)
            with Runtime(bootstrap, variables) as function:
                yield Stage(cloud, backup, function, points)


def environment(template, cloud, backup):
    """The function's environment: template.yaml's variables and what Lambda itself sets."""
    function = template.raw["Resources"]["RestoreProofFunction"]["Properties"]
    variables = template.resolve(function["Environment"]["Variables"])
    # A file of Lambda's runtime. Where this machine has none there, the function looks for what the machine has.
    if not os.path.exists(variables.get("SSL_CERT_FILE", "")):
        variables.pop("SSL_CERT_FILE", None)
    return {name: str(value) for name, value in variables.items()} | {
        "CONFIRM_GONE_SECONDS": "1",
        # moto encrypts no volume of a machine it launches, whatever the block devices ask for.
        "EC2_VOLUME_KEY_ARN": "",
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_LAMBDA_FUNCTION_NAME": "restore-proof",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "function",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "_HANDLER": function["Handler"],
        "AWS_ENDPOINT_URL": cloud.moto,
        "AWS_ENDPOINT_URL_BACKUP": backup.url,
        "AWS_ENDPOINT_URL_LAMBDA": cloud.lambda_endpoint,
    }


class Stage:
    """What happens to the recovery points, in the order in which it happens in an account."""

    def __init__(self, cloud, backup, function, points):
        self.cloud, self.function, self.points = cloud, function, points
        self._server, self._backup = backup, client("backup", backup.url)
        self.validations = {}
        for name in points:
            answer = self.copy_lands(name)
            assert answer["stage"] == "restoring", answer
            self.validations[name] = answer["validation_id"]
        self.volumes = {}
        self.jobs = {name: self._restore_ends(name) for name in points}
        self.restored = {name: job["CreatedResourceArn"].rpartition(":" if name in DATABASES else "/")[2]
                         for name, job in self.jobs.items()}
        self._sweep_until_closed()

    def copy_lands(self, name):
        """The event of a copy that landed; the function's answer."""
        return self.function.invoke(event("Copy Job State Change", {
            "copyJobId": f"copy-{name}", "state": "COMPLETED",
            "resourceType": "RDS" if name in DATABASES else "EC2",
            "backupSizeInBytes": 21474836480,
            "creationDate": hours_ago(2), "completionDate": now(),
            "iamRoleArn": f"arn:aws:iam::{SOURCE_ACCOUNT}:role/backup",
            "resourceArn": source_arn(name),
            "sourceBackupVaultArn": f"arn:aws:backup:{REGION}:{SOURCE_ACCOUNT}:backup-vault:source",
            "destinationBackupVaultArn": f"arn:aws:backup:{REGION}:{ACCOUNT}:backup-vault:{VAULT}",
            "destinationRecoveryPointArn": self.points[name],
        }))

    def _restore_ends(self, name):
        def completed():
            # Lists are where things happen by themselves, as time passes for AWS Backup.
            jobs = self._backup.list_restore_jobs(ByStatus="COMPLETED")["RestoreJobs"]
            mine = [job for job in jobs if job["RecoveryPointArn"] == self.points[name]]
            assert len(mine) <= 1, f"{name} must have one restore job, has {mine}"
            return mine[0] if mine else None

        job = eventually(completed, 30, f"the restore of {name}")
        if name in MACHINES:
            # Before the function knows of it, and ends it.
            self.volumes[name] = self._volumes(job["CreatedResourceArn"].rpartition("/")[2])

        def announced():
            return [event for event in self._server.events
                    if event["detail"]["restoreJobId"] == job["RestoreJobId"]
                    and event["detail"].get("status") == "COMPLETED"]

        self.function.invoke(eventually(announced, 10, f"the event of {name}")[0])
        return job

    def _volumes(self, machine):
        """The volumes of a machine: their ids, and whether they go with it."""
        (reservation,) = self.cloud.client("ec2").describe_instances(InstanceIds=[machine])["Reservations"]
        return {mapping["Ebs"]["VolumeId"]: mapping["Ebs"]["DeleteOnTermination"]
                for mapping in reservation["Instances"][0]["BlockDeviceMappings"]}

    def _sweep_until_closed(self):
        def closed():
            self.function.invoke({"sweep": "due"})
            while not self.cloud.invocations.empty():
                self.function.invoke(self.cloud.invocations.get())
            return not self.due()

        eventually(closed, 60, "closing")

    def due(self):
        """What the ledger's index holds: the validations that are not closed."""
        return self.cloud.client("dynamodb").scan(TableName="ledger", IndexName="due")["Items"]

    def record(self, name):
        """The record object of a source's validation, by way of its id."""
        found = {key: text for key, text in self.cloud.records().items()
                 if self.validations[name] in key}
        assert len(found) == 1, f"one record for {name}, found {list(found)}"
        return json.loads(next(iter(found.values())))


def now():
    return hours_ago(0)


def hours_ago(hours):
    """A point in time as AWS writes it in events."""
    at = datetime.now(timezone.utc) - timedelta(hours=hours)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def event(kind, detail):
    return {
        "version": "0", "id": "11111111-2222-3333-4444-555555555555", "detail-type": kind,
        "source": "aws.backup", "account": ACCOUNT, "time": now(), "region": REGION,
        "resources": [], "detail": detail,
    }


@pytest.mark.parametrize("name", SOURCES)
def test_the_restore_ran_under_our_role(stage, name):
    assert stage.jobs[name]["IamRoleArn"] == ROLE
    if name in DATABASES:
        assert stage.restored[name].startswith("restore-proof-")


@pytest.mark.parametrize("name", MACHINES)
def test_the_machine_had_a_volume_that_outlives_it(stage, name):
    assert sorted(stage.volumes[name].values()) == [False, True], stage.volumes


@pytest.mark.parametrize("name", SOURCES)
def test_the_record_is_in_the_bucket(stage, name):
    record = stage.record(name)
    assert record["verdict"] == SOURCES[name], record
    assert record["cleanup"] == "deleted", record
    assert record["recovery_point_arn"] == stage.points[name]
    assert record["restored_instance_id"] == stage.restored[name]


def test_a_check_that_cannot_reach_the_database_says_so(stage):
    (check,) = stage.record("billing-prod")["checks"]
    assert check["outcome"] == "errored", check
    assert "connect" in check["detail"] or "address" in check["detail"], check


def test_a_record_is_one_line(stage):
    assert len(stage.cloud.records()) == len(SOURCES)
    for text in stage.cloud.records().values():
        assert text.strip("\n").count("\n") == 0


def test_the_verdict_and_the_cleanup_are_log_events(stage):
    events = stage.cloud.log_events()
    for name, validation in stage.validations.items():
        mine = [event for event in events if event.get("validation_id") == validation]
        verdicts = [event["verdict"] for event in mine if "_aws" in event]
        assert set(verdicts) == {SOURCES[name]}, mine
        assert any(event.get("cleanup") == "deleted" for event in mine), mine


def test_the_message_reaches_a_subscriber(stage):
    messages = stage.cloud.messages()
    for name, validation in stage.validations.items():
        mine = [message for message in messages if validation in message["Message"]]
        assert mine, f"no message about {name} in {messages}"
        assert mine[0]["MessageAttributes"]["verdict"]["Value"] == SOURCES[name]
        # The queue gets the form for programs, also where people do not hear.
        record = json.loads(mine[0]["Message"])
        jsonschema.validate({"record": record}, EVENT_SCHEMA)
        assert (record["event"], record["verdict"]) == ("verdict", SOURCES[name])
        assert len(mine[0]["Subject"]) < 100


def test_what_was_restored_is_gone_and_nothing_else(stage):
    instances = stage.cloud.client("rds").describe_db_instances()["DBInstances"]
    assert [instance["DBInstanceIdentifier"] for instance in instances] == ["orders-prod"]
    ec2 = stage.cloud.client("ec2")
    states = {
        machine["InstanceId"]: machine["State"]["Name"]
        for reservation in ec2.describe_instances()["Reservations"]
        for machine in reservation["Instances"]
    }
    assert states.pop(stage.restored["web-prod"], "terminated") == "terminated"
    assert states == {stage.cloud.machine: "running"}
    attached = {
        attachment["InstanceId"]
        for volume in ec2.describe_volumes()["Volumes"]
        for attachment in volume["Attachments"] or [{"InstanceId": volume["VolumeId"]}]
    }
    assert attached == {stage.cloud.machine}, "a volume outlived the restored machine"


def test_the_ledger_is_closed_and_forgets_later(stage):
    assert stage.due() == []
    table = stage.cloud.client("dynamodb")
    for validation in stage.validations.values():
        item = table.get_item(TableName="ledger", Key={"id": {"S": validation}})["Item"]
        assert float(item["expires_at"]["N"]) > time.time()


def test_a_repeated_event_does_nothing(stage):
    before = stage.cloud.records()
    for name in stage.points:
        answer = stage.copy_lands(name)
        assert answer["validation_id"] == stage.validations[name]
    assert stage.cloud.records() == before
    test_what_was_restored_is_gone_and_nothing_else(stage)


def test_the_logs_trouble_is_what_the_saved_query_shows(stage):
    """An event that nobody understands is told in the function's log, whose lines are tracing's."""
    stage.function.invoke({"source": "somebody", "detail-type": "Something", "detail": {}})
    eventually(lambda: any("event ignored" in line for line in stage.function.log), 10, "the log tells of it")
    saved = Template(ROOT / "template.yaml", stage.cloud.names).resources("AWS::Logs::QueryDefinition").values()
    query, = (one["QueryString"] for one in saved if "errors and warnings" in one["Name"])
    rows = insights.ask(query, list(discovered(stage.function.log)))
    assert {row["level"] for row in rows} <= {"ERROR", "WARN"}
    ignored, = (row for row in rows if "event ignored" in row["message"])
    assert ignored["@message"] in stage.function.log
    # Of what went well it shows nothing.
    assert len(rows) < len(stage.function.log)


def discovered(log):
    """The lines of a log with the fields that Logs Insights discovers in JSON, nested ones with dots in their names."""
    def flat(value, prefix=""):
        for key, inner in value.items():
            if isinstance(inner, dict):
                yield from flat(inner, f"{prefix}{key}.")
            else:
                yield prefix + key, inner
    for number, line in enumerate(log):
        if line.startswith("{"):
            yield {"@timestamp": number, "@message": line} | dict(flat(json.loads(line)))
