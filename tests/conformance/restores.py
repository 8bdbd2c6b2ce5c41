"""What AWS Backup sends under the restore role: every action, every resource it is checked against, and the keys.

Which resources and keys an action has: Service Authorization Reference, pages of Amazon EC2, Amazon RDS, AWS KMS and
IAM. What AWS Backup does with a recovery point: AWS Backup developer guide, "Restoring an Amazon EC2 instance" and
"Restoring an Amazon RDS database", and AWS's own policy AWSBackupServiceRolePolicyForRestores, which allows no more.
What does not exist yet has no id: decoded authorization messages have `arn:aws:ec2:…:instance/*` as the resource.

A key in `always` is there. One in `maybe` may be there, absent or empty, and a restore must be allowed in each case;
one of which the value is None may only be absent or empty. What must be refused is refused in each case as well.
"""

import functools
import itertools
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Asks:
    """One action on one resource."""

    action: str
    resource: str
    always: dict = field(default_factory=dict)
    maybe: dict = field(default_factory=dict)

    def contexts(self):
        """Every context that AWS may ask with."""
        cases = [[{}, {key: ""}] + ([{key: value}] if value is not None else []) for key, value in self.maybe.items()]
        for chosen in itertools.product(*cases):
            context = dict(self.always)
            for case in chosen:
                context |= case
            yield context


class Place:
    """Where the stack restores to, as its function is told by its environment."""

    def __init__(self, stack):
        function, = stack.main.resources("AWS::Lambda::Function").values()
        told = function["Environment"]["Variables"]
        self.region, self.account = stack.region, stack.account
        self.prefix, self.subnet_group = told["NAME_PREFIX"], told["DB_SUBNET_GROUP"]
        self.types, self.target = told["TYPES"].split(","), f"{self.prefix}-r-0123456789abcdef0123-1"
        subnet_ids = next(value for name, value in sorted(told.items()) if name.startswith("EC2_SUBNET_ID"))
        self.subnets, self.groups = subnet_ids.split(","), told["EC2_SECURITY_GROUP_IDS"].split(",")
        self.zones = {stack.network.resolve({"Ref": name}): subnet["AvailabilityZone"]
                      for name, subnet in stack.network.resources("AWS::EC2::Subnet").items()}
        if not self.zones:
            # Subnets that were there: whoever deploys says in which zones.
            self.zones = dict(zip(told["SUBNET_IDS"].split(","), stack.main.values["Zones"].split(",")))

    def arn(self, service, rest, account=None):
        account = self.account if account is None else account
        return f"arn:aws:{service}:{self.region}:{account}:{rest}"

    # --- EC2 -------------------------------------------------------------------------------------

    def run_instances(self, subnet=None, group=None, instance=(), interface=(), place=(), more=(), key_pair=True):
        """A machine, and all that the request names. `instance`, `interface` and `place` (the subnet's) are keys that
        replace ours."""
        subnet, group = subnet or self.subnets[0], group or self.groups[0]
        zone = {"ec2:AvailabilityZone": self.zones.get(subnet, f"{self.region}a")}
        region = {"ec2:Region": self.region}
        run = "ec2:RunInstances"
        asks = [
            Asks(run, self.arn("ec2", "image/ami-1", ""), region, {"ec2:Owner": self.account, "ec2:Public": "false"}),
            # AWS's policy has no ModifyInstanceMetadataOptions: what RequireIMDSv2 asks for can only be in the request.
            Asks(run, self.arn("ec2", "instance/*"), region | {"ec2:MetadataHttpTokens": "required"},
                 zone | {"ec2:InstanceProfile": None, "ec2:MetadataHttpEndpoint": "enabled"}),
            # A request that names a subnet, not an interface, need not say whether the address is public.
            Asks(run, self.arn("ec2", "network-interface/*"), region,
                 zone | {"ec2:AssociatePublicIpAddress": "false", "ec2:Subnet": self.arn("ec2", f"subnet/{subnet}")}),
            Asks(run, self.arn("ec2", f"security-group/{group}"), region, {"ec2:SecurityGroupID": group}),
            Asks(run, self.arn("ec2", f"subnet/{subnet}"), region, zone | {"ec2:SubnetID": subnet}),
            Asks(run, self.arn("ec2", "volume/*"), region, zone | {"ec2:Encrypted": "true", "ec2:VolumeType": "gp3"}),
            # Devices that name a snapshot.
            Asks(run, self.arn("ec2", "snapshot/snap-1", ""), region, {"ec2:Owner": self.account}),
            *more,
        ]
        if key_pair:
            asks.append(Asks(run, self.arn("ec2", "key-pair/operators"), region, {"ec2:KeyPairName": "operators"}))
        for resource, keys in (("network-interface/*", interface), (f"subnet/{subnet}", place), ("instance/*", instance)):
            asks = [_changed(ask, resource, dict(keys)) for ask in asks]
        return asks

    def tags(self, *kinds, action="RunInstances"):
        """Tags of what a request makes: checked on each, with the action that makes it (`ec2:CreateAction`)."""
        return [Asks("ec2:CreateTags", self.arn("ec2", f"{kind}/*"), {"ec2:CreateAction": action},
                     {"aws:TagKeys": ("aws:backup:source-resource", "Name")}) for kind in kinds]

    def existing(self, action, kind, **keys):
        """An action on a machine or volume that is there: its zone is known, and its metadata options."""
        always = {"ec2:AvailabilityZone": self.zones[self.subnets[0]]}
        maybe = {}
        if kind == "instance":
            always["ec2:MetadataHttpTokens"] = "required"
            maybe["ec2:InstanceProfile"] = None
        ask = Asks(action, self.arn("ec2", f"{kind}/{kind[0]}-1"), always, maybe)
        return [_changed(ask, kind, {f"ec2:{key}": value for key, value in keys.items()})]

    def key(self, service, **keys):
        """What a service asks of a key to encrypt a copy (EBS user guide, Requirements for EBS encryption)."""
        via = {"kms:ViaService": f"{service}.{self.region}.amazonaws.com"}
        key = self.arn("kms", "key/1")
        return [
            *(Asks(f"kms:{name}", key, via, {}) for name in (
                "Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo")),
            Asks("kms:CreateGrant", key, via | {"kms:GrantIsForAWSResource": "true"}, {}),
            Asks("kms:DescribeKey", key, {}, {"kms:ViaService": via["kms:ViaService"]}),
        ]

    # --- RDS -------------------------------------------------------------------------------------

    def restore_database(self, name=None, subnet_group=None, action="rds:RestoreDBInstanceFromDBSnapshot",
                         snapshot="snapshot:awsbackup:copyjob-1", more=()):
        """A database, and all that the request names: its groups, too, which are the engine's defaults."""
        names = (f"db:{name or self.target}", snapshot, f"subgrp:{subnet_group or self.subnet_group}",
                 "og:default:postgres-16", "pg:default.postgres16")
        keys = {"aws:TagKeys": ("Name",), "rds:BackupTarget": "region"}
        return [Asks(action, self.arn("rds", name), {}, keys) for name in names] + list(more)

    def restore_cluster(self, name=None, subnet_group=None, action="rds:RestoreDBClusterFromSnapshot",
                        snapshot="cluster-snapshot:awsbackup:copyjob-1", more=()):
        """An Aurora cluster, and all that the request names."""
        names = (f"cluster:{name or self.target}", snapshot, f"subgrp:{subnet_group or self.subnet_group}",
                 "og:default:aurora-postgresql-16", "cluster-pg:default.aurora-postgresql16")
        keys = {"aws:TagKeys": ("Name",), "rds:DatabaseClass": ""}
        return [Asks(action, self.arn("rds", name), {}, keys) for name in names] + list(more)

    def database(self, action, name=None, kind="db"):
        return [Asks(action, self.arn("rds", f"{kind}:{name or self.target}"), {},
                     {"aws:ResourceTag/Name": "x", "aws:TagKeys": ("Name",)})]

    def cluster(self, action, name=None):
        return self.database(action, name, "cluster")


def _changed(ask, ending, keys):
    """The same with other keys of a resource; a key whose value is None is then absent, and not a case of its own."""
    if ending not in ask.resource:
        return ask
    kept = {key: value for key, value in ask.always.items() if key not in keys}
    return replace(ask, always=kept | {key: value for key, value in keys.items() if value is not None},
                   maybe={key: value for key, value in ask.maybe.items() if key not in keys})


DESCRIBES = ("ec2:DescribeImages", "ec2:DescribeInstances", "ec2:DescribeSnapshots", "ec2:DescribeVolumes",
             "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups", "ec2:DescribeVpcs", "ec2:DescribeAvailabilityZones",
             "ec2:DescribeAccountAttributes", "ec2:DescribeInternetGateways")
DESCRIBES_OF_DATABASES = ("rds:DescribeDBInstances", "rds:DescribeDBSnapshots", "rds:DescribeDBClusters",
                          "rds:DescribeDBClusterSnapshots")


def legitimate(here):
    """What a restore of ours asks for, by what it is: every line must be allowed in every case."""
    return {name: asks for kind in here.types for name, asks in of_type(here)[kind].items()} | {
        "what is there": [Asks(action, "*", {}, {"ec2:Region": here.region}) for action in DESCRIBES],
    }


def of_type(here):
    """What a restore asks for, by its resource type and by what it is."""
    databases = {
        "a database under a key": here.key("rds"),
        "databases that are there": [Asks(action, "*", {}, {}) for action in DESCRIBES_OF_DATABASES],
    }
    return {"EC2": {
        "a machine": here.run_instances() + here.tags("instance", "volume"),
        "a machine without a key pair": here.run_instances(key_pair=False),
        "a machine in each of our subnets": [ask for subnet in here.subnets for ask in here.run_instances(subnet)],
        "a machine behind each of our groups": [
            ask for group in here.groups for ask in here.run_instances(group=group)],
        "a machine whose interface is tagged": here.run_instances() + here.tags("network-interface"),
        "volumes under a key": here.key("ec2"),
        "a machine that a failed restore left": here.existing("ec2:TerminateInstances", "instance"),
        "a volume that a failed restore left": here.existing("ec2:DeleteVolume", "volume"),
        "a volume from a snapshot": here.existing("ec2:CreateVolume", "volume") + [
            Asks("ec2:CreateVolume", here.arn("ec2", "snapshot/snap-1", ""), {}, {"ec2:Owner": here.account})],
    }, "RDS": databases | {
        "a database": here.restore_database(),
        "a database with tags": here.restore_database(more=here.database("rds:AddTagsToResource")),
        # rds:CreateTenantDatabase is a dependent action of the restore (Service Authorization Reference).
        "a multi-tenant Oracle database": here.restore_database(more=[
            *here.database("rds:CreateTenantDatabase"),
            *here.database("rds:CreateTenantDatabase", "*", "tenant-database")]),
        "a database from a backup that is no copy": here.restore_database(snapshot="snapshot:awsbackup:job-1"),
        "the tags of a snapshot": here.database("rds:ListTagsForResource", "awsbackup:copyjob-1", "snapshot"),
        "a database that a failed restore left": here.database("rds:DeleteDBInstance"),
    }, "Aurora": databases | {
        "a cluster": here.restore_cluster(),
        "a cluster with tags": here.restore_cluster(more=here.cluster("rds:AddTagsToResource")),
        "the tags of a cluster's snapshot": here.database(
            "rds:ListTagsForResource", "awsbackup:copyjob-1", "cluster-snapshot"),
        "a cluster that a failed restore left": here.cluster("rds:DeleteDBCluster"),
    }}


def refused(here):
    """What no restore of ours asks for, by what is wrong with it: one line at least is refused in every case."""
    run, terminate = here.run_instances, functools.partial(here.existing, "ec2:TerminateInstances", "instance")
    existing = here.existing
    other_zone = f"{here.region}z"
    profile = here.arn("iam", "instance-profile/web").replace(f":{here.region}:", "::")
    others = bystanders(here.prefix)
    other = [Asks("ec2:RunInstances", here.arn("ec2", rest)) for rest in (
        "launch-template/lt-1", "capacity-reservation/cr-1", "placement-group/production")]
    return {
        "a public address": run(interface={"ec2:AssociatePublicIpAddress": "true"}),
        "a public address in other letters": run(interface={"ec2:AssociatePublicIpAddress": "True"}),
        "another subnet": run("subnet-0a0production0000"),
        "a subnet of ours in a zone that is not": run(place={"ec2:AvailabilityZone": other_zone}),
        "another group": run(group="sg-0a0production0000"),
        "IMDSv1": run(instance={"ec2:MetadataHttpTokens": "optional"}),
        # Then the image or the account decides, whatever they say today (EC2 user guide, Order of precedence for
        # instance metadata options); and the function may end no machine that does not ask for IMDSv2.
        "nothing said of IMDS": run(instance={"ec2:MetadataHttpTokens": None}),
        "nothing in what is said of IMDS": run(instance={"ec2:MetadataHttpTokens": ""}),
        "a profile": run(instance={"ec2:InstanceProfile": profile}),
        **{f"a {ask.resource.split(':')[5].split('/')[0]}": run(more=[ask]) for ask in other},
        "the end of a machine in another zone": terminate(AvailabilityZone=other_zone),
        "the end of a machine of no zone": terminate(AvailabilityZone=None),
        "the end of a machine of an empty zone": terminate(AvailabilityZone=""),
        "the end of a machine with a profile": terminate(InstanceProfile=profile),
        "a volume in another zone": existing("ec2:CreateVolume", "volume", AvailabilityZone=other_zone),
        "the end of a volume in another zone": existing("ec2:DeleteVolume", "volume", AvailabilityZone=other_zone),
        "the end of a volume of no zone": existing("ec2:DeleteVolume", "volume", AvailabilityZone=None),
        "the end of a snapshot": [Asks("ec2:DeleteSnapshot", here.arn("ec2", "snapshot/snap-1", ""),
                                       {"aws:ResourceTag/aws:backup:source-resource": "x"})],
        "other metadata options afterwards": existing("ec2:ModifyInstanceMetadataOptions", "instance"),
        "tags of somebody's route table": [Asks("ec2:CreateTags", here.arn("ec2", "route-table/rtb-1"))],
        **{f"a database called {name}": here.restore_database(name) for name in others},
        **{f"a cluster called {name}": here.restore_cluster(name) for name in others},
        **{f"the end of {name}": here.database("rds:DeleteDBInstance", name) for name in others},
        **{f"the end of the cluster {name}": here.cluster("rds:DeleteDBCluster", name) for name in others},
        "a cluster in another subnet group": here.restore_cluster(subnet_group="production"),
        "a cluster at a point in time": here.restore_cluster(action="rds:RestoreDBClusterToPointInTime"),
        # The function makes it.
        "a writer": here.database("rds:CreateDBInstance"),
        "another password": here.cluster("rds:ModifyDBCluster"),
        "tags of another cluster": here.cluster("rds:AddTagsToResource", "orders"),
        "another subnet group": here.restore_database(subnet_group="production"),
        "a database at a point in time": here.restore_database(action="rds:RestoreDBInstanceToPointInTime"),
        "a tenant in another database": here.database("rds:CreateTenantDatabase", "orders"),
        "tags of another database": here.database("rds:AddTagsToResource", "orders"),
        "a key without a service": [Asks("kms:Decrypt", here.arn("kms", "key/1"))],
        "a grant for people": [Asks("kms:CreateGrant", here.arn("kms", "key/1"), {
            "kms:ViaService": f"rds.{here.region}.amazonaws.com"}, {"kms:GrantIsForAWSResource": "false"})],
        "a table": [Asks("dynamodb:RestoreTableFromBackup", here.arn("dynamodb", "table/t/backup/b"))],
        "an item of the ledger": [Asks("dynamodb:DeleteItem", here.arn("dynamodb", "table/ledger"))],
        "a record": [Asks("s3:PutObject", "arn:aws:s3:::results/records/x")],
        "a file system": [Asks("elasticfilesystem:Restore", here.arn("elasticfilesystem", "file-system/fs-1"))],
        "a restore of its own": [Asks("backup:StartRestoreJob", here.arn("rds", "snapshot:awsbackup:copyjob-1"))],
        "a role for a function": pass_role(here, here.arn("iam", "role/web"), "lambda.amazonaws.com"),
        "another role for a machine": pass_role(here, here.arn("iam", "role/Admin"), "ec2.amazonaws.com"),
    }


def bystanders(prefix):
    """Names of what belongs to others: among them a stack's whose prefix begins with ours, and one's with whose ours begins."""
    restored = "r-0123456789abcdef0123-1"
    return ("orders", prefix, f"{prefix}-r", f"{prefix}-orders", f"{prefix}-2", f"{prefix}-2-{restored}",
            f"{prefix}s-{restored}", f"{prefix}-{restored[2:]}", f"{prefix[:-1]}-{restored}", f"a-{prefix}-{restored}")


def pass_role(here, role, service):
    role = role.replace(f":{here.region}:", "::")
    return [Asks("iam:PassRole", role, {} if service is None else {"iam:PassedToService": service}, {
        "iam:AssociatedResourceArn": here.arn("ec2", "instance/*")})]
