"""The templates with values for their references, and what a recorded AWS call needs of IAM.

A template is resolved with its parameters' defaults, with the physical names that the caller gives, and with one name
per resource that nobody named. A reference to nothing that is there is an error, so that no pattern is ever a guess.
"""

import functools
from hashlib import sha256
from pathlib import Path

from parliament.statement import get_privilege_info

from cloudformation import Resolver, load, parameter_value, translate
from iam import Statement

#: AWS::URLSuffix and AWS::Partition of the commercial Regions.
PARTITION = {"AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com"}

#: What `GetAtt …Arn` answers by type; what `Ref` answers where it is no plain name, under `REFS`.
ARNS = {
    "AWS::CloudWatch::Alarm": "arn:{partition}:cloudwatch:{region}:{account}:alarm:{name}",
    "AWS::DynamoDB::Table": "arn:{partition}:dynamodb:{region}:{account}:table/{name}",
    "AWS::Events::EventBus": "arn:{partition}:events:{region}:{account}:event-bus/{name}",
    "AWS::Events::Rule": "arn:{partition}:events:{region}:{account}:rule/{name}",
    "AWS::IAM::ManagedPolicy": "arn:{partition}:iam::{account}:policy{path}{name}",
    "AWS::IAM::Role": "arn:{partition}:iam::{account}:role{path}{name}",
    "AWS::KMS::Key": "arn:{partition}:kms:{region}:{account}:key/{id}",
    "AWS::Lambda::Function": "arn:{partition}:lambda:{region}:{account}:function:{name}",
    "AWS::Logs::LogGroup": "arn:{partition}:logs:{region}:{account}:log-group:{name}:*",
    "AWS::Pipes::Pipe": "arn:{partition}:pipes:{region}:{account}:pipe/{name}",
    "AWS::S3::Bucket": "arn:{partition}:s3:::{name}",
    "AWS::SecretsManager::Secret": "arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-AbCdEf",
    "AWS::Serverless::Function": "arn:{partition}:lambda:{region}:{account}:function:{name}",
    "AWS::SNS::Topic": "arn:{partition}:sns:{region}:{account}:{name}",
    "AWS::SQS::Queue": "arn:{partition}:sqs:{region}:{account}:{name}",
}
REFS = {
    "AWS::EC2::RouteTable": "rtb-{id17}", "AWS::EC2::SecurityGroup": "sg-{id17}",
    "AWS::EC2::Subnet": "subnet-{id17}", "AWS::EC2::VPC": "vpc-{id17}", "AWS::EC2::VPCEndpoint": "vpce-{id17}",
    "AWS::IAM::ManagedPolicy": ARNS["AWS::IAM::ManagedPolicy"],
    "AWS::KMS::Key": "{id}", "AWS::Route53Resolver::FirewallDomainList": "rslvr-fdl-{id17}",
    "AWS::Route53Resolver::FirewallRuleGroup": "rslvr-frg-{id17}",
    "AWS::SecretsManager::Secret": ARNS["AWS::SecretsManager::Secret"],
    "AWS::SNS::Topic": ARNS["AWS::SNS::Topic"],
    "AWS::SQS::Queue": "https://sqs.{region}.{suffix}/{account}/{name}",
}
#: Properties by which a template names a resource itself.
NAME_PROPERTIES = ("Name", "FunctionName", "RoleName", "TableName", "BucketName", "TopicName", "QueueName",
                   "LogGroupName", "DBSubnetGroupName")


_read = functools.cache(load)


class Template(Resolver):
    """A template with values for its references.

    `values` maps what `Ref` answers (`"Topic"`) and what `GetAtt` answers (`"Ledger.Arn"`); whatever is not there is
    made up from the resource itself.
    """

    def __init__(self, path, values, raw=None):
        self.path = Path(path)
        super().__init__(raw or _read(path), self.path.name)
        parameters = {
            name: str(parameter["Default"])
            for name, parameter in self.raw["Parameters"].items()
            if "Default" in parameter
        }
        self.values = PARTITION | parameters | values
        for name, parameter in self.raw["Parameters"].items():
            if name in self.values:
                self.values[name] = parameter_value(parameter, self.values[name])
        self._nested = {}

    def nested(self, name):
        """The template of a nested stack, with the parameters that this one gives it."""
        if name not in self._nested:
            properties = self.raw["Resources"][name]["Properties"]
            pseudo = {key: value for key, value in self.values.items() if key.startswith("AWS::")}
            self._nested[name] = Template(
                self.path.parent / properties["TemplateURL"], pseudo | self.resolve(properties["Parameters"]))
        return self._nested[name]

    def resources(self, *kinds):
        """The resources of these types that the conditions let be, by name, with their properties resolved."""
        return {
            name: self.resolve(resource.get("Properties", {}))
            for name, resource in self.raw["Resources"].items()
            if resource["Type"] in kinds and self.exists(resource)
        }

    def translated(self):
        """The same template as CloudFormation sees it, without SAM's own types."""
        given = {name: self.values[name] for name in self.raw["Parameters"] if name in self.values}
        return Template(self.path, self.values, translate(self.raw, self.answer("AWS::Region"), given))

    def conditions(self):
        """Every condition, and whether it holds."""
        return {name: self.holds(name) for name in self.raw.get("Conditions", {})}

    def arn(self, name):
        """The ARN of one of the resources."""
        kind = self.raw["Resources"][name]["Type"]
        return self.answer(name if REFS.get(kind) == ARNS.get(kind) else f"{name}.Arn")

    def answer(self, reference):
        if reference in self.values:
            return self.values[reference]
        name, _, attribute = reference.partition(".")
        kind = self._type(name)
        if kind == "AWS::CloudFormation::Stack" and attribute.startswith("Outputs."):
            nested = self.nested(name)
            return nested.resolve(nested.raw["Outputs"][attribute.removeprefix("Outputs.")]["Value"])
        properties = self.raw["Resources"].get(name, {}).get("Properties", {})
        if kind == "AWS::EC2::Subnet" and attribute == "AvailabilityZone":
            return self.resolve(properties["AvailabilityZone"])
        form = {"": REFS.get(kind, "{name}"), "Arn": ARNS.get(kind), "GroupId": REFS.get(kind)}.get(attribute)
        if attribute.endswith("Name"):
            form = "{name}"
        if form is None:
            raise KeyError(f"{self.path.name}: what {reference} answers, which is of {kind}, is not known here")
        named = next((properties[key] for key in NAME_PROPERTIES if key in properties), name.lower())
        digits = sha256(name.encode()).hexdigest()
        return form.format(
            partition=self.values["AWS::Partition"], suffix=self.values["AWS::URLSuffix"],
            region=self.answer("AWS::Region"), account=self.answer("AWS::AccountId"), name=self.resolve(named),
            path=self.resolve(properties.get("Path", "/")), id17=digits[:17],
            id="-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32])),
        )

    def _type(self, name):
        """The type of a resource, those included that SAM makes: the rule of a function's event."""
        if name in self.raw["Resources"]:
            return self.raw["Resources"][name]["Type"]
        for function, resource in self.raw["Resources"].items():
            for event, body in resource.get("Properties", {}).get("Events", {}).items():
                if function + event == name and body["Type"] == "EventBridgeRule":
                    return "AWS::Events::Rule"
        raise KeyError(f"{self.path.name}: there is no {name}, and no value was given for it")

    def statements(self, role):
        """The statements of a role's inline policies, and of those of the template that are attached to it."""
        properties = self.resolve(self.raw["Resources"][role]["Properties"])
        managed = self.resources("AWS::IAM::ManagedPolicy")
        attached = [managed[name] for name in self.attached(role)]
        return [
            Statement.of(raw)
            for policy in properties["Policies"] + attached
            for raw in policy["PolicyDocument"]["Statement"]
        ]

    def attached(self, role):
        """The template's managed policies of a role, by name: those that the role names, and those that name the role."""
        named = self.resolve(self.raw["Resources"][role]["Properties"]).get("ManagedPolicyArns", [])
        own = self.resolve({"Ref": role})
        return [name for name, policy in self.resources("AWS::IAM::ManagedPolicy").items()
                if self.arn(name) in named or own in policy.get("Roles", [])]

    def policies(self):
        """Every policy document of the template: where it stands, and the document.

        Resources whose condition does not hold are left out, as CloudFormation leaves them out.
        """
        found = []
        for name, resource in self.raw["Resources"].items():
            if not self.exists(resource):
                continue
            if resource["Type"] == "AWS::Events::EventBusPolicy":
                # Its one statement stands alone.
                statement = self.resolve(resource["Properties"]["Statement"])
                found.append((f"{name}.Statement", {"Version": "2012-10-17", "Statement": [statement]}))
            _collect(self._documents(resource.get("Properties", {})), name, found)
        return found

    def _documents(self, node):
        """The node with nothing in it but what leads to policy documents, and those resolved."""
        if isinstance(node, list):
            return [self._documents(item) for item in node]
        if not isinstance(node, dict):
            return None
        return {
            key: self.resolve(value) if key in DOCUMENTS else self._documents(value)
            for key, value in node.items()
        }


#: Properties that hold a policy document.
DOCUMENTS = {"PolicyDocument", "AssumeRolePolicyDocument", "KeyPolicy", "ResourcePolicy"}


def _collect(node, place, found):
    entries = enumerate(node) if isinstance(node, list) else (node or {}).items()
    for key, value in entries:
        here = f"{place}.{key}"
        if key in DOCUMENTS:
            found.append((here, value))
        elif isinstance(value, (dict, list)):
            _collect(value, here, found)


@functools.cache
def _has_no_resource(action):
    """Whether IAM knows no resource for an action, by the Service Authorization Reference."""
    return all(not kind["resource_type"] for kind in get_privilege_info(*action.split(":"))["resource_types"])


#: What an operation of RDS has in its name, the kind in the ARN it is checked against, and the parameter that names it.
RDS_KINDS = (
    ("DBClusterSnapshot", "cluster-snapshot", "DBClusterSnapshotIdentifier"),
    ("DBCluster", "cluster", "DBClusterIdentifier"),
    ("DBSnapshot", "snapshot", "DBSnapshotIdentifier"),
    ("DBInstance", "db", "DBInstanceIdentifier"),
)


def needed(call, parameters, region, account):
    """The IAM actions a call needs, each with the resource it is checked against.

    Which resource an action is checked against comes from the service authorization reference.
    """
    def arn(service, rest):
        return f"arn:aws:{service}:{region}:{account}:{rest}"

    p, name = parameters, call.operation
    match call.service:
        case "backup" if _has_no_resource(f"backup:{name}"):
            return [(f"backup:{name}", "*")]
        case "backup" if "BackupVaultName" in p and "RecoveryPointArn" not in p:
            return [(f"backup:{name}", arn("backup", f"backup-vault:{p['BackupVaultName']}"))]
        case "backup" if name == "StartRestoreJob":
            return [
                (f"backup:{name}", p["RecoveryPointArn"]),
                ("iam:PassRole", p["IamRoleArn"]),
            ]
        case "backup":
            return [(f"backup:{name}", p["RecoveryPointArn"])]
        case "rds" if name == "AddTagsToResource":
            return [(f"rds:{name}", p["ResourceName"])]
        case "rds" if name == "CreateDBInstance":
            # Every resource that the request names, and the groups that it does not name as the engine's defaults.
            kinds = {"DBInstanceIdentifier": "db", "DBClusterIdentifier": "cluster", "DBSubnetGroupName": "subgrp",
                     "OptionGroupName": "og", "DBParameterGroupName": "pg"}
            return [(f"rds:{name}", arn("rds", f"{kinds[key]}:{p[key]}")) for key in kinds if key in p]
        case "rds":
            kind, key = next(row for row in RDS_KINDS if row[0] in name)[1:]
            identifier = p.get(key, "*")
            full = identifier if identifier.startswith("arn:") else arn("rds", f"{kind}:{identifier}")
            return [(f"rds:{name}", full)]
        case "ec2" if name.startswith("Describe"):
            return [(f"ec2:{name}", "*")]
        case "ec2" if name == "TerminateInstances":
            return [(f"ec2:{name}", arn("ec2", f"instance/{i}")) for i in p["InstanceIds"]]
        case "ec2" if name == "CreateTags":
            kinds = {"i": "instance", "vol": "volume"}
            return [(f"ec2:{name}", arn("ec2", f"{kinds[one.split('-')[0]]}/{one}")) for one in p["Resources"]]
        case "ec2" if name == "DeleteVolume":
            return [(f"ec2:{name}", arn("ec2", f"volume/{p['VolumeId']}"))]
        case "dynamodb" if name == "BatchGetItem":
            return [(f"dynamodb:{name}", arn("dynamodb", f"table/{table}")) for table in p["RequestItems"]]
        case "dynamodb" if name == "TransactWriteItems":
            # Each action needs the right of the operation that it is (DynamoDB developer guide, "Using IAM with DynamoDB
            # transactions"); TransactWriteItems has none of its own.
            rights = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}
            return [(f"dynamodb:{rights[kind]}", arn("dynamodb", f"table/{action['TableName']}"))
                    for item in p["TransactItems"] for kind, action in item.items()]
        case "dynamodb":
            index = f"/index/{p['IndexName']}" if "IndexName" in p else ""
            return [(f"dynamodb:{name}", arn("dynamodb", f"table/{p['TableName']}{index}"))]
        case "s3" if name == "ListObjectsV2":
            # "To use this operation, you must have READ access to the bucket … the s3:ListBucket action" (S3 API reference).
            return [("s3:ListBucket", f"arn:aws:s3:::{p['Bucket']}")]
        case "s3":
            # HeadObject has no permission of its own (S3 API reference, HeadObject).
            action = "s3:GetObject" if name == "HeadObject" else f"s3:{name}"
            return [(action, f"arn:aws:s3:::{p['Bucket']}/{p['Key']}")]
        case "sns":
            return [(f"sns:{name}", p["TopicArn"])]
        case "logs":
            # "Use the second version, with the trailing :*", of a log group's ARN in policies (CloudWatch Logs user
            # guide, Log groups and log streams as resources): a stream is what they are compared with.
            stream = f"log-group:{p['logGroupName']}:log-stream:{p['logStreamName']}"
            return [(f"logs:{name}", arn("logs", stream))]
        case "secretsmanager":
            # AWS puts six characters behind a secret's name in its ARN.
            secret = p["SecretId"]
            full = secret if secret.startswith("arn:") else arn("secretsmanager", f"secret:{secret}-AbCdEf")
            return [(f"secretsmanager:{name}", full)]
        case "lambda" if name == "Invoke":
            function = p["FunctionName"]
            full = function if function.startswith("arn:") else arn("lambda", f"function:{function}")
            return [("lambda:InvokeFunction", full)]
    raise NotImplementedError(f"{call.service}:{name} is new: say here what it needs of IAM")
