"""The judge itself: it accepts what AWS's own client writes and finds every planted mistake."""

import base64
import json

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from judge import Call, judge, request_parameters

RDS = "http://rds.amazonaws.com/doc/2014-10-31/"
EC2 = "http://ec2.amazonaws.com/doc/2016-11-15/"
POINT = "arn:aws:rds:eu-west-1:111122223333:snapshot:awsbackup:copyjob-1"


def call(service, operation, method="POST", path="/", query="", headers=None, body=b"",
         status=200, response_headers=None, response=b""):
    """A recorded call, by way of the recorder's own line format."""
    def encode(value):
        value = json.dumps(value).encode() if isinstance(value, (dict, list)) else value
        return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()

    return Call.from_line(json.dumps({
        "service": service, "operation": operation, "method": method, "path": path,
        "query": query, "request_headers": headers or {}, "request_body": encode(body),
        "status": status, "response_headers": response_headers or {},
        "response_body": encode(response),
    }), "test")


def start_restore(body=None, response=None, **changes):
    good = {"RecoveryPointArn": POINT, "Metadata": {"DBInstanceIdentifier": "restore-proof-1"},
            "IamRoleArn": "arn:aws:iam::111122223333:role/r", "IdempotencyToken": "t",
            "ResourceType": "RDS"}
    return call("backup", "StartRestoreJob", "PUT", "/restore-jobs",
                body=good if body is None else good | body,
                response={"RestoreJobId": "job-1"} if response is None else response, **changes)


def restore_job(**changes):
    good = {"RestoreJobId": "job-1", "Status": "COMPLETED", "CreationDate": 1763676000.25,
            "PercentDone": "100.00%", "BackupSizeInBytes": 5, "IamRoleArn": "arn:x",
            "CreatedResourceArn": "arn:aws:rds:eu-west-1:111122223333:db:restore-proof-1"}
    good |= changes
    return call("backup", "DescribeRestoreJob", "GET", "/restore-jobs/job-1",
                response={k: v for k, v in good.items() if v is not ...})


def form(service, operation, body, response, **changes):
    return call(service, operation, headers={"content-type": "application/x-www-form-urlencoded"},
                body=body, response=response, **changes)


def describe_instances(inner=None, body=None, **changes):
    inner = inner or ("<DBInstances><DBInstance><DBInstanceIdentifier>restore-proof-1"
                      "</DBInstanceIdentifier><DBInstanceStatus>available</DBInstanceStatus>"
                      "<InstanceCreateTime>2026-11-21T01:00:00.000Z</InstanceCreateTime>"
                      "<Endpoint><Address>localhost</Address><Port>5432</Port></Endpoint>"
                      "<StorageEncrypted>true</StorageEncrypted></DBInstance></DBInstances>")
    return form("rds", "DescribeDBInstances",
                body or "Action=DescribeDBInstances&Version=2014-10-31"
                        "&DBInstanceIdentifier=restore-proof-1",
                changes.pop("response", None)
                or f'<DescribeDBInstancesResponse xmlns="{RDS}"><DescribeDBInstancesResult>{inner}'
                   "</DescribeDBInstancesResult><ResponseMetadata><RequestId>r</RequestId>"
                   "</ResponseMetadata></DescribeDBInstancesResponse>", **changes)


def ec2(operation, parameters, inner, **changes):
    body = f"Action={operation}&Version=2016-11-15{parameters}"
    return form("ec2", operation, changes.pop("body", body), changes.pop(
        "response", f'<{operation}Response xmlns="{EC2}"><requestId>r</requestId>{inner}'
                    f"</{operation}Response>"), **changes)


def describe_machines(inner=None, **changes):
    inner = inner or ("<instancesSet><item><instanceId>i-1</instanceId><instanceState><code>16</code>"
                      "<name>running</name></instanceState><launchTime>2026-11-21T01:00:00.000Z"
                      "</launchTime><groupSet><item><groupId>sg-1</groupId></item></groupSet></item>"
                      "</instancesSet>")
    return ec2("DescribeInstances", "&InstanceId.1=i-1",
               f"<reservationSet><item>{inner}</item></reservationSet>", **changes)


def machine_refused(code="InvalidInstanceID.NotFound", status=400, changes=lambda text: text):
    return describe_machines(status=status, response=changes(
        f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors>"
        "<RequestID>r</RequestID></Response>"))


def dynamodb(operation, body, response, version="1.0", **changes):
    content_type = f"application/x-amz-json-{version}"
    return call("dynamodb", operation,
                headers={"content-type": content_type,
                         "x-amz-target": f"DynamoDB_20120810.{operation}"},
                body=body, response=response,
                response_headers={"content-type": content_type}, **changes)


def get_item(body=None, response=None, **changes):
    return dynamodb("GetItem", body or {"TableName": "ledger", "Key": {"id": {"S": "v"}}},
                    response or {"Item": {"id": {"S": "v"}, "due_at": {"N": "1"}}}, **changes)


def refused(code="DBInstanceNotFound", status=404):
    return describe_instances(
        status=status,
        response=f'<ErrorResponse xmlns="{RDS}"><Error><Type>Sender</Type><Code>{code}</Code>'
                 "<Message>no</Message></Error><RequestId>r</RequestId></ErrorResponse>")


def put_object(**changes):
    arguments = {"method": "PUT", "path": "/bucket/records/dt%3D2026-11-21/v.json",
                 "query": "x-id=PutObject",
                 "headers": {"content-type": "application/json", "x-amz-date": "d",
                             "x-amz-checksum-crc32": "AAAAAA=="},
                 "body": b"{}\n", "response_headers": {"etag": '"e"'}}
    return call("s3", "PutObject", **(arguments | changes))


GOOD = {
    "rest-json": start_restore(),
    "rest-json output": restore_job(),
    "query": describe_instances(),
    "query error": refused(),
    "ec2": describe_machines(),
    "ec2 filters": ec2(
        "DescribeVolumes", "&Filter.1.Name=attachment.instance-id&Filter.1.Value.1=i-1",
        "<volumeSet><item><volumeId>vol-1</volumeId><size>8</size><encrypted>true</encrypted></item>"
        "</volumeSet>"),
    "ec2 without an output": ec2("DeleteVolume", "&VolumeId=vol-1", "<return>true</return>"),
    "ec2 error": machine_refused(),
    "ec2 refusal": machine_refused("UnauthorizedOperation", 403),
    "json": get_item(),
    "json error": dynamodb(
        "PutItem", {"TableName": "ledger", "Item": {"id": {"S": "v"}}}, status=400,
        response={"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                  "message": "The conditional request failed", "Item": {"id": {"S": "v"}}}),
    "rest-xml": put_object(),
    "rest-xml error": call(
        "s3", "GetObject", "GET", "/bucket/policy.toml", query="x-id=GetObject", status=404,
        response="<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"),
    "statusCode member": call(
        "lambda", "Invoke", path="/2015-03-31/functions/f/invocations", status=202,
        headers={"x-amz-invocation-type": "Event"}, body={"sweep": "due"}),
    "sns": form(
        "sns", "Publish",
        "Action=Publish&Version=2010-03-31&TopicArn=arn:t&Subject=s&Message=m"
        "&MessageAttributes.entry.1.Name=verdict&MessageAttributes.entry.1.Value.DataType=String"
        "&MessageAttributes.entry.1.Value.StringValue=passed",
        '<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>'
        "<MessageId>m</MessageId></PublishResult><ResponseMetadata><RequestId>r</RequestId>"
        "</ResponseMetadata></PublishResponse>"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_conversation_as_aws_has_it_is_accepted(name):
    assert judge(GOOD[name]) == []


BROKEN = {
    "a request member renamed": (start_restore({"RecoveryPointARN": POINT}), "no such member"),
    "a request member of the wrong type": (start_restore({"Metadata": "x"}), "must be an object"),
    "a required member missing": (
        call("backup", "StartRestoreJob", "PUT", "/restore-jobs", body={"RecoveryPointArn": POINT},
             response={"RestoreJobId": "j"}), "Missing required parameter"),
    "a wrong method": (
        call("backup", "StartRestoreJob", "POST", "/restore-jobs",
             body={"RecoveryPointArn": POINT, "Metadata": {}}, response={}), "must be PUT"),
    "a wrong path": (
        call("backup", "DescribeRestoreJob", "GET", "/restore-job/x",
             response={"RestoreJobId": "x"}), "path"),
    "an unknown query parameter": (
        call("backup", "ListRestoreJobs", "GET", "/restore-jobs/", query="createdSince=x",
             response={"RestoreJobs": []}), "no parameter"),
    "a timestamp in another format": (
        call("backup", "ListRestoreJobs", "GET", "/restore-jobs/", query="createdAfter=1763676000",
             response={"RestoreJobs": []}), "no iso8601 timestamp"),
    "an unknown header": (
        put_object(headers={"x-amz-storage-clas": "STANDARD"}), "no header of this operation"),
    "a response member renamed": (restore_job(State="COMPLETED"), "no such member"),
    "a number as a string": (restore_job(BackupSizeInBytes="5"), "is no long"),
    "a date as a string": (restore_job(CreationDate="2026-11-21T01:00:00Z"), "must be a number"),
    "a null": (restore_job(CompletionDate=None), "is null"),
    "a value outside the enum": (restore_job(Status="DONE"), "is none of"),
    "a value outside the pattern": (start_restore({"ResourceType": "R D S"}), "does not match"),
    "a body that is no JSON": (start_restore(response=b"{"), "no JSON"),
    "an unknown form parameter": (
        describe_instances(body="Action=DescribeDBInstances&Version=2014-10-31&DbInstance=x"),
        "no parameter"),
    "a wrong API version": (
        describe_instances(body="Action=DescribeDBInstances&Version=2012-01-01"), "Version"),
    "an unknown XML element": (
        describe_instances("<DBInstances><DBInstance><Identifier>x</Identifier></DBInstance>"
                           "</DBInstances>"), "no such member"),
    "a list of wrong elements": (
        describe_instances("<DBInstances><member/></DBInstances>"), "must be <DBInstance>"),
    "a boolean in capitals": (
        describe_instances("<DBInstances><DBInstance><MultiAZ>True</MultiAZ></DBInstance>"
                           "</DBInstances>"), "is no boolean"),
    "a result without its wrapper": (
        describe_instances(response=f'<DescribeDBInstancesResponse xmlns="{RDS}">'
                                    "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>"
                                    "</DescribeDBInstancesResponse>"), "is missing"),
    "no namespace": (
        describe_instances(response="<DescribeDBInstancesResponse><DescribeDBInstancesResult/>"
                                    "</DescribeDBInstancesResponse>"), "root must be"),
    "an error code that is not the operation's": (refused("DBSnapshotNotFound"), "answers no"),
    "an error with another status": (refused(status=400), "comes with 404"),
    "an EC2 form with the query protocol's lists": (
        describe_machines(body="Action=DescribeInstances&Version=2016-11-15&InstanceId.member.1=i-1"),
        "no parameter"),
    "an EC2 form with the name of the answer": (
        ec2("DescribeVolumes", "", "<volumeSet/>",
            body="Action=DescribeVolumes&Version=2016-11-15&filter.1.Name=status"), "no parameter"),
    "an unknown EC2 element": (
        describe_machines("<instancesSet><item><InstanceId>i-1</InstanceId></item></instancesSet>"),
        "no such member"),
    "an EC2 list of wrong elements": (
        describe_machines("<instancesSet><member/></instancesSet>"), "must be <item>"),
    "an EC2 state outside the enum": (
        describe_machines("<instancesSet><item><instanceState><name>gone</name></instanceState></item>"
                          "</instancesSet>"), "is none of"),
    "an EC2 answer without its request's id": (
        describe_machines(response=f'<DescribeInstancesResponse xmlns="{EC2}"/>'), "is missing"),
    "an EC2 answer in a result": (
        describe_machines(response=f'<DescribeInstancesResponse xmlns="{EC2}"><requestId>r</requestId>'
                                   "<DescribeInstancesResult/></DescribeInstancesResponse>"),
        "no such member"),
    "an EC2 error of another operation": (machine_refused("InvalidVolume.NotFound"), "answers no"),
    "an EC2 error with another status": (machine_refused(status=404), "comes with 400"),
    "an EC2 error in the query protocol's form": (
        machine_refused(changes=lambda text: text.replace("Response>", "ErrorResponse>")),
        "must be a Response"),
    "a wrong JSON version": (get_item(version="1.1"), "content-type"),
    "an attribute value of an unknown kind": (
        get_item({"TableName": "t", "Key": {"id": {"Str": "v"}}}), "no such member"),
    "an attribute number as a number": (
        get_item(response={"Item": {"due_at": {"N": 1}}}), "is no string"),
    "an operation nobody has": (call("backup", "RestoreEverything"), "botocore knows no"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_planted_mistake_is_found(name):
    broken, expected = BROKEN[name]
    assert any(expected in problem for problem in judge(broken)), judge(broken)


@pytest.mark.parametrize(("service", "method", "arguments"), [
    ("backup", "start_restore_job", {"RecoveryPointArn": POINT, "Metadata": {"a": "b"}}),
    ("backup", "list_recovery_points_by_backup_vault",
     {"BackupVaultName": "central", "ByCreatedAfter": 1763676000}),
    ("backup", "get_recovery_point_restore_metadata",
     {"BackupVaultName": "central", "RecoveryPointArn": POINT}),
    ("rds", "delete_db_instance",
     {"DBInstanceIdentifier": "x", "SkipFinalSnapshot": True, "DeleteAutomatedBackups": True}),
    ("rds", "modify_db_instance",
     {"DBInstanceIdentifier": "x", "MasterUserPassword": "sample-password", "ApplyImmediately": True}),
    ("ec2", "describe_instances", {"InstanceIds": ["i-1", "i-2"]}),
    ("ec2", "describe_volumes",
     {"Filters": [{"Name": "attachment.instance-id", "Values": ["i-1", "i-2"]}], "MaxResults": 100}),
    ("ec2", "describe_images", {"ImageIds": ["ami-1"]}),
    ("ec2", "terminate_instances", {"InstanceIds": ["i-1"]}),
    ("ec2", "delete_volume", {"VolumeId": "vol-1"}),
    ("dynamodb", "update_item",
     {"TableName": "t", "Key": {"id": {"S": "a"}}, "UpdateExpression": "ADD slots :s",
      "ExpressionAttributeValues": {":s": {"SS": ["v"]}}}),
    ("s3", "put_object", {"Bucket": "bucket", "Key": "records/a.json", "Body": b"{}"}),
    ("sns", "publish",
     {"TopicArn": "arn:t", "Message": "m",
      "MessageAttributes": {"verdict": {"DataType": "String", "StringValue": "passed"}}}),
    ("logs", "put_log_events",
     {"logGroupName": "g", "logStreamName": "s", "logEvents": [{"timestamp": 1, "message": "m"}]}),
    ("secretsmanager", "get_secret_value", {"SecretId": "prod/orders"}),
    ("lambda", "invoke", {"FunctionName": "f", "InvocationType": "Event", "Payload": b"{}"}),
])
def test_what_boto3_writes_is_accepted_and_read_back(service, method, arguments):
    client = boto3.client(service, region_name="eu-west-1", aws_access_key_id="a",
                          aws_secret_access_key="s", endpoint_url="http://127.0.0.1:9")
    sent = []

    def answer(request, **_):
        sent.append(request)
        return AWSResponse(request.url, 500, {}, None)

    client.meta.events.register("before-send", answer)
    client.meta.config.retries = {"max_attempts": 0}
    try:
        getattr(client, method)(**arguments)
    except Exception:
        pass  # the answer is of no interest here
    request = sent[0]
    location = request.url.removeprefix("http://127.0.0.1:9")
    body = request.body or b""
    body = body.read() if hasattr(body, "read") else body
    headers = {k: v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()}
    if "aws-chunked" in headers.get("Content-Encoding", ""):
        headers.pop("Content-Encoding"), headers.pop("X-Amz-Trailer", None)
    recorded = call(service, client.meta.method_to_api_mapping[method], request.method,
                    location.partition("?")[0], location.partition("?")[2], headers, body)
    parameters, problems = request_parameters(recorded)
    assert problems == []
    assert set(arguments) - {"Body"} <= set(parameters)
