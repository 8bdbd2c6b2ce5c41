"""local-aws, driven by AWS's own Python client: it answers as AWS does, as far as others can tell.

Everything that is said is recorded by local-aws and judged against botocore's service models. What
moto plays too, the ledger's conditional writes above all, is said to both, and both must answer
the same.
"""

import json

import pytest
from botocore.exceptions import ClientError

from cloud import ACCOUNT, REGION, ROLE, Cloud, LocalAws, client, eventually
from judge import judge, read_calls

POINT = f"arn:aws:rds:{REGION}:{ACCOUNT}:snapshot:awsbackup:copyjob-1"
BAD_POINT = f"arn:aws:rds:{REGION}:{ACCOUNT}:snapshot:awsbackup:copyjob-2"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:topic"

WORLD = {
    "account": ACCOUNT, "region": REGION, "page_size": 1,
    "vaults": [{"name": "central"}, {"name": "closed", "refuses": True},
               {"name": "locked", "locked_days": 30, "access_policy": '{"Version": "2012-10-17", "Statement": []}'}],
    "opted_out": ["EFS"],
    "db_subnet_groups": [{"name": "isolated", "vpc_id": "vpc-1"}],
    "security_groups": [{"id": "sg-1", "vpc_id": "vpc-1"}],
    "recovery_points": [
        {"arn": POINT, "source_resource_arn": f"arn:aws:rds:{REGION}:111122223333:db:orders",
         "created_at": "2026-11-20T00:00:00Z", "tags": {"env": "prod"},
         "kms_key_arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1",
         "source_vault_arn": f"arn:aws:backup:{REGION}:111122223333:backup-vault:source"},
        {"arn": BAD_POINT, "source_resource_arn": f"arn:aws:rds:{REGION}:111122223333:db:billing",
         "created_at": "2026-11-20T01:00:00Z",
         "behaviour": {"outcome": {"fails": {"message": "Access denied to KMS key"}}}},
    ],
    "db_clusters": [{"identifier": "annas", "created_at": "2026-11-20T00:00:00Z"},
                    {"identifier": "kept", "deletion_protection": True}],
    "db_instances": [{"identifier": "annas-1", "cluster": "annas", "engine": "aurora-postgresql"},
                     {"identifier": "foreign", "created_at": "2026-11-20T00:00:00Z"}],
    "secrets": [{"name": "restore-proof/orders", "value": "{}"}],
    "buckets": [{"name": "results"}],
    "objects": [{"bucket": "results", "key": "policy/policy.toml", "body": "version = '1'"}],
    "tables": [{"name": "ledger", "partition_key": {"name": "id", "type": "S"},
                "indexes": [{"name": "due", "partition_key": {"name": "due_partition", "type": "S"},
                             "sort_key": {"name": "due_at", "type": "N"}}]}],
    "topics": [TOPIC], "log_groups": ["records"], "functions": ["restore-proof"],
}


@pytest.fixture(scope="module")
def world(local_aws, tmp_path_factory):
    with LocalAws(local_aws, WORLD, tmp_path_factory.mktemp("world")) as served:
        yield served


@pytest.fixture(scope="module")
def moto():
    with Cloud() as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def everything_conforms(request):
    """After each test that uses local-aws, what was said is judged."""
    if "world" not in request.fixturenames:
        yield
        return
    served = request.getfixturevalue("world")
    yield
    for call in read_calls(served.record):
        assert judge(call) == [], str(call)


def refused(operation, **arguments):
    """The error code of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        operation(**arguments)
    return caught.value.response["Error"]["Code"]


def test_recovery_points_and_their_restore_metadata(world):
    backup = client("backup", world.url)
    point = backup.describe_recovery_point(BackupVaultName="central", RecoveryPointArn=POINT)
    assert (point["ResourceType"], point["Status"]) == ("RDS", "COMPLETED")
    metadata = backup.get_recovery_point_restore_metadata(
        BackupVaultName="central", RecoveryPointArn=POINT)["RestoreMetadata"]
    assert metadata["DBInstanceIdentifier"] == "orders"
    assert "DBSnapshotIdentifier" in metadata, "AWS returns keys that StartRestoreJob then rejects"
    pages = backup.get_paginator("list_recovery_points_by_backup_vault").paginate(
        BackupVaultName="central")
    assert [len(page["RecoveryPoints"]) for page in pages] == [1, 1]
    assert refused(backup.describe_recovery_point, BackupVaultName="central",
                   RecoveryPointArn=POINT + "x") == "ResourceNotFoundException"


def test_a_restore_from_its_start_to_the_deletion(world):
    backup, rds = client("backup", world.url), client("rds", world.url)
    start = {
        "RecoveryPointArn": POINT, "IamRoleArn": ROLE, "IdempotencyToken": "token",
        "Metadata": {"DBInstanceIdentifier": "restore-proof-1", "DBSubnetGroupName": "isolated",
                     "VpcSecurityGroupIds": '["sg-1"]', "DBInstanceClass": "db.t4g.medium",
                     "Engine": "postgres"},
    }
    job = backup.start_restore_job(**start)["RestoreJobId"]
    assert backup.start_restore_job(**start)["RestoreJobId"] == job, "the same token, the same job"

    def described():
        return backup.describe_restore_job(RestoreJobId=job)

    eventually(lambda: described()["Status"] == "COMPLETED", 20, "the restore")
    assert described()["CreatedResourceArn"].endswith(":db:restore-proof-1")
    assert backup.get_restore_job_metadata(RestoreJobId=job)["Metadata"] == start["Metadata"]
    assert refused(backup.describe_restore_job, RestoreJobId="nobody") == "ResourceNotFoundException"
    jobs = backup.list_restore_jobs(ByCreatedAfter="2026-01-01T00:00:00Z")["RestoreJobs"]
    assert job in [found["RestoreJobId"] for found in jobs]
    eventually(lambda: any(event["detail"].get("status") == "COMPLETED" for event in world.events),
               10, "the event")
    instance = rds.describe_db_instances(DBInstanceIdentifier="restore-proof-1")["DBInstances"][0]
    assert instance["DBSubnetGroup"]["DBSubnetGroupName"] == "isolated"
    assert instance["VpcSecurityGroups"][0]["VpcSecurityGroupId"] == "sg-1"
    deletion = {"DBInstanceIdentifier": "restore-proof-1", "SkipFinalSnapshot": True,
                "DeleteAutomatedBackups": True}
    assert rds.delete_db_instance(**deletion)["DBInstance"]["DBInstanceStatus"] == "deleting"
    assert refused(rds.delete_db_instance, **deletion) in ("InvalidDBInstanceState",
                                                           "DBInstanceNotFound")

    def gone():
        try:
            rds.describe_db_instances(DBInstanceIdentifier="restore-proof-1")
        except ClientError as error:
            return error.response["Error"]["Code"] == "DBInstanceNotFound"
        return False

    eventually(gone, 20, "the deletion")


def test_vaults(world):
    backup = client("backup", world.url)
    pages = list(backup.get_paginator("list_backup_vaults").paginate())
    found = [vault for page in pages for vault in page["BackupVaultList"]]
    assert len(pages) == 3, "a page holds one"
    points = [(v["BackupVaultName"], v["NumberOfRecoveryPoints"]) for v in found]
    assert points == [("central", 2), ("closed", 0), ("locked", 0)]
    assert all(v["VaultType"] == "BACKUP_VAULT" and v["CreationDate"] for v in found)
    # A vault that is not there is denied as one whose policy refuses.
    for vault in ("closed", "mistyped"):
        for operation, arguments in (
                (backup.list_recovery_points_by_backup_vault, {}),
                (backup.describe_recovery_point, {"RecoveryPointArn": POINT}),
                (backup.get_recovery_point_restore_metadata, {"RecoveryPointArn": POINT})):
            assert refused(operation, BackupVaultName=vault, **arguments) == "AccessDeniedException"


def test_what_a_vault_and_a_region_are_set_to(world):
    backup = client("backup", world.url)
    pages = backup.get_paginator("list_backup_vaults").paginate().build_full_result()
    (locked,) = [vault for vault in pages["BackupVaultList"] if vault["BackupVaultName"] == "locked"]
    assert (locked["Locked"], locked["MinRetentionDays"]) == (True, 30)
    policy = backup.get_backup_vault_access_policy(BackupVaultName="locked")["Policy"]
    assert json.loads(policy)["Statement"] == []
    get = backup.get_backup_vault_access_policy
    assert refused(get, BackupVaultName="central") == "ResourceNotFoundException"
    assert refused(get, BackupVaultName="closed") == "AccessDeniedException"
    opted_in = backup.describe_region_settings()["ResourceTypeOptInPreference"]
    assert (opted_in["RDS"], opted_in["EFS"]) == (True, False)


def test_vaults_are_listed_as_moto_lists_them(world, moto):
    theirs = moto.client("backup")
    for name in ("central", "closed", "locked"):
        theirs.create_backup_vault(BackupVaultName=name)
    asked = theirs.list_backup_vaults()["BackupVaultList"]
    answered = client("backup", world.url).get_paginator("list_backup_vaults").paginate().build_full_result()
    kept = ("BackupVaultName", "BackupVaultArn")
    shown = [[{key: vault[key] for key in kept} for vault in vaults]
             for vaults in (asked, answered["BackupVaultList"])]
    assert shown[0] == shown[1]
    # moto has no VaultType.
    assert set(asked[0]) - set(answered["BackupVaultList"][0]) <= {"CreatorRequestId"}


def test_a_restore_that_is_accepted_and_fails(world):
    backup = client("backup", world.url)
    job = backup.start_restore_job(
        RecoveryPointArn=BAD_POINT, IamRoleArn=ROLE, IdempotencyToken="bad",
        Metadata={"DBInstanceIdentifier": "restore-proof-2"})["RestoreJobId"]

    def failed():
        found = backup.describe_restore_job(RestoreJobId=job)
        return found if found["Status"] == "FAILED" else None

    ended = eventually(failed, 20, "the failure")
    assert ended["StatusMessage"]
    assert "CreatedResourceArn" not in ended


def test_snapshots(world):
    rds = client("rds", world.url)
    for name in ("awsbackup:copyjob-1", POINT):
        snapshot = rds.describe_db_snapshots(DBSnapshotIdentifier=name, SnapshotType="awsbackup")["DBSnapshots"][0]
        assert snapshot["DBSnapshotArn"] == POINT
        assert {"Key": "env", "Value": "prod"} in snapshot["TagList"]
        assert refused(rds.describe_db_snapshots, DBSnapshotIdentifier=name) == "DBSnapshotNotFound"
    assert refused(rds.describe_db_snapshots, DBSnapshotIdentifier="awsbackup:none",
                   SnapshotType="awsbackup") == "DBSnapshotNotFound"


def test_clusters_answer_as_motos_do(world, moto):
    """A colleague's clusters, seeded here and made there."""
    ours, theirs = client("rds", world.url), moto.client("rds")
    for name, protected in (("annas", False), ("kept", True)):
        theirs.create_db_cluster(DBClusterIdentifier=name, Engine="aurora-postgresql", EngineVersion="16.4",
                                 MasterUsername="postgres", MasterUserPassword="a-sample-password",
                                 DeletionProtection=protected)
    instance = {"DBInstanceClass": "db.r6g.large", "Engine": "aurora-postgresql"}
    theirs.create_db_instance(DBInstanceIdentifier="annas-1", DBClusterIdentifier="annas", **instance)

    def say(rds, operation, **arguments):
        try:
            return getattr(rds, operation)(**arguments)
        except ClientError as error:
            return {"error": error.response["Error"]["Code"], "message": error.response["Error"]["Message"]}

    for operation, arguments in (
            ("describe_db_clusters", {"DBClusterIdentifier": "nobody"}),
            ("delete_db_cluster", {"DBClusterIdentifier": "nobody", "SkipFinalSnapshot": True}),
            ("delete_db_cluster", {"DBClusterIdentifier": "annas", "SkipFinalSnapshot": True}),
            ("delete_db_cluster", {"DBClusterIdentifier": "kept", "SkipFinalSnapshot": True}),
            ("create_db_instance", {"DBInstanceIdentifier": "annas-1", "DBClusterIdentifier": "annas"} | instance),
            ("create_db_instance", {"DBInstanceIdentifier": "annas-2", "DBClusterIdentifier": "annas",
                                    "DBInstanceClass": "db.r6g.large", "Engine": "aurora-mysql"}),
            ("create_db_instance", {"DBInstanceIdentifier": "a--b", "DBClusterIdentifier": "annas"} | instance),
            ("delete_db_instance", {"DBInstanceIdentifier": "nobody", "SkipFinalSnapshot": True}),
            ("describe_db_cluster_snapshots", {"DBClusterSnapshotIdentifier": "nobody"})):
        said = say(ours, operation, **arguments)
        assert "error" in said and said == say(theirs, operation, **arguments), operation
    pages = list(ours.get_paginator("describe_db_clusters").paginate())
    assert [cluster["DBClusterIdentifier"] for page in pages for cluster in page["DBClusters"]] == ["annas", "kept"]
    assert len(pages) == 2, "a page holds one"
    (answered,), (asked,) = (rds.describe_db_clusters(DBClusterIdentifier="annas")["DBClusters"]
                             for rds in (ours, theirs))
    for key in ("DBClusterArn", "Status", "Engine", "EngineVersion", "EngineMode", "MasterUsername", "Port",
                "DeletionProtection", "HttpEndpointEnabled", "StorageEncrypted", "NetworkType"):
        assert answered[key] == asked[key], key
    (member,), (theirs_member,) = (cluster["DBClusterMembers"] for cluster in (answered, asked))
    assert member == theirs_member


def test_objects(world):
    s3 = client("s3", world.url)
    policy = s3.get_object(Bucket="results", Key="policy/policy.toml")
    assert policy["Body"].read() == b"version = '1'"
    key = "records/dt=2026-11-21/0123456789abcdef.json"
    s3.put_object(Bucket="results", Key=key, Body=b"{}\n", ContentType="application/json")
    record = s3.get_object(Bucket="results", Key=key)
    assert (record["Body"].read(), record["ContentType"]) == (b"{}\n", "application/json")
    assert refused(s3.get_object, Bucket="results", Key="none") == "AccessDenied", \
        "a missing key is forbidden to those who may not list"
    assert refused(s3.get_object, Bucket="no-such-bucket", Key="none") == "NoSuchBucket"


def test_objects_are_listed_page_by_page_as_by_moto(world, moto):
    """Where the caller may list, as a condition on the prefix has it."""
    ours, theirs = client("s3", world.url), moto.client("s3")
    for s3 in (ours, theirs):
        for name in ("a", "b (1)", "c", "d+e"):
            s3.put_object(Bucket="results", Key=f"records/dt=2026-12-01/{name}.json", Body=b"{}")

    def keys(s3, **arguments):
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket="results", Prefix="records/dt=2026-12", PaginationConfig={"PageSize": 1}, **arguments)
        found = [page.get("Contents", []) for page in pages]
        assert all(len(page) <= 1 for page in found)
        return [(item["Key"], item["Size"]) for page in found for item in page]

    for arguments in ({}, {"StartAfter": "records/dt=2026-12-01/b"}, {"StartAfter": "records/dt=2026-12-02"}):
        assert keys(ours, **arguments) == keys(theirs, **arguments), arguments
    page = ours.list_objects_v2(Bucket="results", Prefix="records/dt=2026-12", MaxKeys=5000)
    assert (page["MaxKeys"], page["KeyCount"], page["IsTruncated"]) == (1000, 1, True), "a page of this world holds one"
    last = ours.list_objects_v2(Bucket="results", Prefix="records/", StartAfter="records/dt=2026-12-01/c",
                                ContinuationToken=page["NextContinuationToken"])
    assert last["Contents"][0]["Key"].endswith("b (1).json"), "with a token StartAfter counts no more"
    # moto breaks at this one.
    assert refused(ours.list_objects_v2, Bucket="results", Prefix="records/", ContinuationToken="records/a") == "InvalidArgument"
    for prefix in ("", "records", "policy/"):
        assert refused(ours.list_objects_v2, Bucket="results", Prefix=prefix) == "AccessDenied"
    assert ours.list_objects_v2(Bucket="results", Prefix="policy/inventory.csv", MaxKeys=1)["KeyCount"] == 0


def test_messages_logs_secrets_and_invocations(world):
    sns, logs = client("sns", world.url), client("logs", world.url)
    assert sns.publish(TopicArn=TOPIC, Subject="s", Message="m", MessageAttributes={
        "verdict": {"DataType": "String", "StringValue": "passed"}})["MessageId"]
    assert refused(sns.publish, TopicArn=TOPIC + "x", Message="m") == "NotFound"
    logs.create_log_stream(logGroupName="records", logStreamName="stream")
    assert refused(logs.create_log_stream, logGroupName="records",
                   logStreamName="stream") == "ResourceAlreadyExistsException"
    logs.put_log_events(logGroupName="records", logStreamName="stream",
                        logEvents=[{"timestamp": 1790000000000, "message": "m"}])
    assert refused(logs.put_log_events, logGroupName="records", logStreamName="none",
                   logEvents=[{"timestamp": 1, "message": "m"}]) == "ResourceNotFoundException"
    secrets = client("secretsmanager", world.url)
    secret = secrets.get_secret_value(SecretId="restore-proof/orders")
    assert secrets.get_secret_value(SecretId=secret["ARN"])["SecretString"] == "{}"
    assert refused(secrets.get_secret_value, SecretId="none") == "ResourceNotFoundException"
    invoke = client("lambda", world.url).invoke
    answer = invoke(FunctionName="restore-proof", InvocationType="Event", Payload=b"{}")
    assert answer["StatusCode"] == 202
    assert refused(invoke, FunctionName="none", InvocationType="Event") == "ResourceNotFoundException"
    assert invoke(FunctionName="restore-proof", InvocationType="DryRun")["StatusCode"] == 204


def test_an_operation_nobody_plays_is_named(world):
    with pytest.raises(ClientError, match="DescribeTable"):
        client("dynamodb", world.url).describe_table(TableName="ledger")
    # Nothing to judge in it: the answer is not one of AWS's.
    lines = world.record.read_text().splitlines(keepends=True)
    world.record.write_text("".join(line for line in lines if "DescribeTable" not in line))


ID = {"id": {"S": "v"}}
LEDGER = "ledger"

#: What is said to both, in this order: a call of the DynamoDB client.
CONVERSATION = [
    ("put_item", {"Item": ID | {"stage": {"S": "landed"}, "due_partition": {"S": "open"},
                                "due_at": {"N": "100"}},
                  "ConditionExpression": "attribute_not_exists(id)"}),
    ("put_item", {"Item": ID, "ConditionExpression": "attribute_not_exists(id)",
                  "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}),
    ("get_item", {"Key": ID, "ConsistentRead": True}),
    ("get_item", {"Key": {"id": {"S": "nobody"}}}),
    ("update_item", {"Key": ID, "UpdateExpression": "SET #l = :l, lease_until = :u",
                     "ConditionExpression": "attribute_not_exists(#l) OR lease_until < :now",
                     "ExpressionAttributeNames": {"#l": "lease"},
                     "ExpressionAttributeValues": {":l": {"S": "a"}, ":u": {"N": "50"},
                                                   ":now": {"N": "10"}},
                     "ReturnValues": "ALL_NEW"}),
    ("update_item", {"Key": ID, "UpdateExpression": "SET #l = :l",
                     "ConditionExpression": "attribute_not_exists(#l) OR lease_until < :now",
                     "ExpressionAttributeNames": {"#l": "lease"},
                     "ExpressionAttributeValues": {":l": {"S": "b"}, ":now": {"N": "50"}}}),
    ("update_item", {"Key": ID, "UpdateExpression": "SET #l = :l",
                     "ConditionExpression": "lease_until <= :now AND NOT #l = :l",
                     "ExpressionAttributeNames": {"#l": "lease"},
                     "ExpressionAttributeValues": {":l": {"S": "b"}, ":now": {"N": "50"}},
                     "ReturnValues": "ALL_NEW"}),
    ("update_item", {"Key": {"id": {"S": "slots"}}, "UpdateExpression": "ADD taken :v",
                     "ConditionExpression": "attribute_not_exists(taken) OR size(taken) < :max "
                                            "OR contains(taken, :one)",
                     "ExpressionAttributeValues": {":v": {"SS": ["v1"]}, ":one": {"S": "v1"},
                                                   ":max": {"N": "1"}},
                     "ReturnValues": "ALL_NEW"}),
    ("update_item", {"Key": {"id": {"S": "slots"}}, "UpdateExpression": "ADD taken :v",
                     "ConditionExpression": "attribute_not_exists(taken) OR size(taken) < :max "
                                            "OR contains(taken, :one)",
                     "ExpressionAttributeValues": {":v": {"SS": ["v2"]}, ":one": {"S": "v2"},
                                                   ":max": {"N": "1"}}}),
    ("update_item", {"Key": {"id": {"S": "slots"}}, "UpdateExpression": "DELETE taken :v",
                     "ExpressionAttributeValues": {":v": {"SS": ["v1"]}}, "ReturnValues": "ALL_NEW"}),
    ("update_item", {"Key": ID, "UpdateExpression": "SET attempt = if_not_exists(attempt, :one), "
                                                    "due_at = :later",
                     "ExpressionAttributeValues": {":one": {"N": "1"}, ":later": {"N": "200"}},
                     "ReturnValues": "ALL_NEW"}),
    ("query", {"IndexName": "due", "KeyConditionExpression": "due_partition = :p AND due_at <= :now",
               "ExpressionAttributeValues": {":p": {"S": "open"}, ":now": {"N": "199"}}}),
    ("query", {"IndexName": "due", "KeyConditionExpression": "due_partition = :p AND due_at <= :now",
               "ExpressionAttributeValues": {":p": {"S": "open"}, ":now": {"N": "200"}}}),
    ("update_item", {"Key": ID, "UpdateExpression": "REMOVE due_partition, due_at SET expires_at = :e",
                     "ExpressionAttributeValues": {":e": {"N": "1900000000"}},
                     "ReturnValues": "ALL_NEW"}),
    ("query", {"IndexName": "due", "KeyConditionExpression": "due_partition = :p AND due_at <= :now",
               "ExpressionAttributeValues": {":p": {"S": "open"}, ":now": {"N": "999"}}}),
    ("update_item", {"Key": ID, "UpdateExpression": "SET unused = :a",
                     "ExpressionAttributeValues": {":a": {"S": "x"}, ":b": {"S": "y"}}}),
    ("delete_item", {"Key": ID, "ConditionExpression": "stage = :s",
                     "ExpressionAttributeValues": {":s": {"S": "closed"}}}),
    ("delete_item", {"Key": ID, "ConditionExpression": "stage = :s",
                     "ExpressionAttributeValues": {":s": {"S": "landed"}}}),
    ("get_item", {"Key": ID}),
]


def test_the_ledger_answers_as_moto_does(world, moto):
    def say(dynamodb, operation, arguments):
        try:
            answer = getattr(dynamodb, operation)(TableName=LEDGER, **arguments)
        except ClientError as error:
            return {"error": error.response["Error"]["Code"], "item": error.response.get("Item")}
        keep = ("Item", "Items", "Count", "Attributes")
        return {key: answer[key] for key in keep if key in answer}

    ours, theirs = client("dynamodb", world.url), moto.client("dynamodb")
    for number, (operation, arguments) in enumerate(CONVERSATION):
        assert say(ours, operation, arguments) == say(theirs, operation, arguments), \
            f"{number}: {operation} {arguments}"


def test_many_items_are_got_at_once_as_of_moto(world, moto):
    def several(dynamodb, *ids):
        asked, found = {LEDGER: {
            "Keys": [{"id": {"S": name}} for name in ids],
            "ProjectionExpression": "#id", "ExpressionAttributeNames": {"#id": "id"}, "ConsistentRead": True}}, []
        while asked:
            try:
                answer = dynamodb.batch_get_item(RequestItems=asked)
            except ClientError as error:
                return error.response["Error"]["Code"]
            found += answer["Responses"][LEDGER]
            asked = answer.get("UnprocessedKeys")
        return sorted(found, key=str)

    ours, theirs = client("dynamodb", world.url), moto.client("dynamodb")
    for dynamodb in (ours, theirs):
        dynamodb.put_item(TableName=LEDGER, Item={"id": {"S": "one"}, "stage": {"S": "landed"}})
        dynamodb.put_item(TableName=LEDGER, Item={"id": {"S": "two"}, "stage": {"S": "landed"}})
    assert several(ours, "one", "none", "two") == several(theirs, "one", "none", "two") == [
        {"id": {"S": "one"}}, {"id": {"S": "two"}}]
    assert several(ours, "one", "one") == several(theirs, "one", "one") == "ValidationException"


def test_a_transaction_is_done_or_cancelled_as_by_moto(world, moto):
    def item(name, **attributes):
        return {"id": {"S": name}} | {key: {"S": value} for key, value in attributes.items()}

    def say(dynamodb, *actions, **arguments):
        actions = [{kind: {"TableName": LEDGER} | action} for kind, action in actions]
        try:
            dynamodb.transact_write_items(TransactItems=actions, **arguments)
        except ClientError as error:
            return {"error": error.response["Error"]["Code"],
                    "reasons": error.response.get("CancellationReasons")}
        found = [dynamodb.get_item(TableName=LEDGER, Key=item(name)).get("Item") for name in ("x", "y", "z")]
        return {"items": found}

    exists, absent = {"ConditionExpression": "attribute_exists(id)"}, {"ConditionExpression": "attribute_not_exists(id)"}
    shown = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    update = {"Key": item("y"), "UpdateExpression": "SET stage = :s",
              "ExpressionAttributeValues": {":s": {"S": "checked"}}}
    ours, theirs = client("dynamodb", world.url), moto.client("dynamodb")
    for actions in [
        [("Put", {"Item": item("x", stage="landed")} | absent), ("Update", update),
         ("ConditionCheck", {"Key": item("z")} | absent)],
        [("Put", {"Item": item("z")}), ("ConditionCheck", {"Key": item("x")} | absent | shown)],
        [("Put", {"Item": item("z")}), ("Delete", {"Key": item("x")} | absent), ("Update", update | exists)],
        [("Put", {"Item": item("z")} | absent), ("Delete", {"Key": item("x")} | exists), ("Update", update | exists)],
        [("Put", {"Item": item("z")}), ("Delete", {"Key": item("z")})],
    ]:
        said = say(ours, *actions)
        assert said == say(theirs, *actions), actions
    assert said["error"] == "ValidationException"
    # moto knows no tokens.
    count = update | {"UpdateExpression": "ADD attempt :s", "ExpressionAttributeValues": {":s": {"N": "1"}}}
    for _ in range(2):
        assert say(ours, ("Update", count), ClientRequestToken="t")["items"][1]["attempt"] == {"N": "1"}
    assert say(ours, ("Update", update), ClientRequestToken="t")["error"] == "IdempotentParameterMismatchException"
