"""What recorded calls delete or change, and whether it was a restore of ours that they named.

A name must lie in the namespace of restores, and never be that of a ledger or of a bucket with records. An id of EC2 says
nothing: a machine must have been named by a restore job under a role that restores were started with, and been described
in a subnet of the isolated network; a volume must have been described as such a machine's.
"""

import re

from judge import answer

#: What changes only what the stack keeps or asks for, by service; IAM says on what (test_permissions.py).
OWN = {
    "backup": {"StartRestoreJob"}, "dynamodb": {"DeleteItem", "PutItem", "TransactWriteItems", "UpdateItem"},
    "lambda": {"Invoke"}, "logs": {"CreateLogStream", "PutLogEvents"}, "s3": {"PutObject"}, "sns": {"Publish"},
}
READS = re.compile("(BatchGet|Describe|Get|Head|List|Query)")
#: Parameters that name what is deleted or changed, or where it is made.
NAMES = {
    "dynamodb": ("TableName", "TargetTableName"), "s3": ("Bucket",),
    "rds": ("DBClusterIdentifier", "DBInstanceIdentifier", "ResourceName"),
}


class Seen:
    """Calls with their parameters, in the order in which they were made, and what they have shown.

    `foreign` is every one that ended or changed what was not ours, in words.
    """

    def __init__(self, pairs):
        def values(operation, *names):
            return {parameters[name] for call, parameters in pairs if call.operation == operation
                    for name in names if name in parameters}

        self.roles = values("StartRestoreJob", "IamRoleArn")
        # The hourly sweep lists what lies in them. (The metadata of restores is not recorded.)
        self.subnets = {subnet for call, parameters in pairs if call.operation == "DescribeInstances"
                        for wanted in parameters.get("Filters", [])
                        if wanted["Name"] == "network-interface.subnet-id" for subnet in wanted["Values"]}
        self.kept = values("PutItem", "TableName") | values("PutObject", "Bucket")
        # The function's name is the stack's prefix.
        prefixes = "|".join(re.escape(name.split(":")[-1]) for name in values("Invoke", "FunctionName"))
        # With a writer of ours, `-w`, in a cluster of ours.
        self.ours = re.compile(f"({prefixes})-r-[0-9a-f]{{20}}-[0-9]+(-w)?")
        self.made, self.isolated, self.volumes = set(), set(), {}
        self.foreign = [wrong for call, parameters in pairs for wrong in self.judge(call, parameters)]

    def judge(self, call, parameters):
        """What is wrong with one more call, in words; and remembers what its answer shows."""
        if READS.match(call.operation):
            if call.status == 200 and call.service in ("backup", "ec2"):
                self._learn(call)
            return []
        if call.operation in OWN.get(call.service, ()):
            return []
        if call.service == "ec2":
            named = parameters.get("InstanceIds") or parameters.get("Resources") or [parameters.get("VolumeId")]
            wrong = [one for one in named if not self._is_proved(one)]
        else:
            named = [parameters[name].split(":")[-1] for name in NAMES.get(call.service, ()) if name in parameters]
            wrong = [one for one in named if one in self.kept or not self.ours.fullmatch(one)]
        keys = {tag["Key"] for tag in parameters.get("Tags", [])}
        if call.operation in ("AddTagsToResource", "CreateTags") and keys != {"restore-proof:validation"}:
            return [f"{call} sets the tags {sorted(keys)}"]
        return [f"{call} names {one}" for one in wrong] or ([] if named else [f"{call} names nothing that is known here"])

    def _learn(self, call):
        if call.operation not in ("DescribeRestoreJob", "ListRestoreJobs", "DescribeInstances", "DescribeVolumes"):
            return
        told = answer(call)
        for job in told.get("RestoreJobs", [told]):
            if job.get("IamRoleArn") in self.roles and ":instance/" in job.get("CreatedResourceArn", ""):
                self.made.add(job["CreatedResourceArn"].rpartition("/")[2])
        for reservation in told.get("Reservations", []):
            for machine in reservation["Instances"]:
                if machine.get("SubnetId") in self.subnets:
                    self.isolated.add(machine["InstanceId"])
                for device in machine.get("BlockDeviceMappings", []):
                    self.volumes.setdefault(device["Ebs"]["VolumeId"], set()).add(machine["InstanceId"])
        for volume in told.get("Volumes", []):
            for attachment in volume.get("Attachments", []):
                self.volumes.setdefault(volume["VolumeId"], set()).add(attachment.get("InstanceId"))

    def _is_proved(self, one):
        machines = self.volumes.get(one, {one})
        return any(machine in self.made and machine in self.isolated for machine in machines)
