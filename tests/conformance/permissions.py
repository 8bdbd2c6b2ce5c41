"""What the function's role in template.yaml allows, and what a recorded AWS call needs.

The template is resolved with its parameters' defaults and with the physical names that the caller
gives; a reference that cannot be resolved is an error, so that no pattern is ever a guess.
"""

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import yaml

#: AWS::URLSuffix and AWS::Partition of the commercial Regions.
PARTITION = {"AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com"}


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, as their long forms."""


def _short_form(loader, suffix, node):
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


_Loader.add_multi_constructor("!", _short_form)


class Template:
    """template.yaml with values for its references.

    `values` maps what `Ref` answers (`"Topic"`) and what `GetAtt` answers (`"Ledger.Arn"`).
    """

    def __init__(self, path, values):
        with open(path, encoding="utf-8") as text:
            self.raw = yaml.load(text, _Loader)
        parameters = {
            name: str(parameter["Default"])
            for name, parameter in self.raw["Parameters"].items()
            if "Default" in parameter
        }
        self.values = PARTITION | parameters | values

    def resolve(self, node):
        """The node with every intrinsic function replaced by its value; NoValue as None."""
        if isinstance(node, list):
            items = [self.resolve(item) for item in node]
            return [item for item in items if item is not None]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name, argument), = node.items()
            if name == "Ref":
                return None if argument == "AWS::NoValue" else self.values[argument]
            if name == "Fn::GetAtt":
                return self.values[".".join(argument)]
            if name.startswith("Fn::"):
                return self._function(name, argument)
        return {key: self.resolve(value) for key, value in node.items()}

    def _function(self, name, argument):
        if name == "Fn::Sub":
            text, local = (argument, {}) if isinstance(argument, str) else argument
            values = self.values | {key: self.resolve(value) for key, value in local.items()}
            return re.sub(r"\$\{([^!}][^}]*)\}", lambda found: values[found.group(1)], text)
        if name == "Fn::If":
            condition, then, otherwise = argument
            return self.resolve(then if self._holds(condition) else otherwise)
        if name == "Fn::Select":
            index, items = argument
            return self.resolve(items)[int(index)]
        if name == "Fn::Split":
            separator, text = argument
            return self.resolve(text).split(separator)
        raise NotImplementedError(f"{name} in a policy")

    def _holds(self, name):
        return self._condition(self.raw["Conditions"][name])

    def _condition(self, node):
        (name, argument), = node.items()
        if name == "Fn::Not":
            return not self._condition(argument[0])
        if name == "Fn::Equals":
            left, right = (str(self.resolve(item)) for item in argument)
            return left == right
        raise NotImplementedError(f"{name} in a condition")

    def statements(self, role):
        """The statements of a role's inline policies."""
        policies = self.resolve(self.raw["Resources"][role]["Properties"]["Policies"])
        return [
            Statement.of(raw)
            for policy in policies
            for raw in policy["PolicyDocument"]["Statement"]
        ]

    def policies(self):
        """Every policy document of the template: where it stands, and the document.

        Resources whose condition does not hold are left out, as CloudFormation leaves them out.
        """
        found = []
        for name, resource in self.raw["Resources"].items():
            if "Condition" in resource and not self._holds(resource["Condition"]):
                continue
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


def _list(value):
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True)
class Statement:
    """One statement of an IAM policy."""

    sid: str
    allows: bool
    actions: tuple
    resources: tuple
    conditions: dict = field(default_factory=dict)
    #: `actions` are those it is not about (NotAction).
    other_actions: bool = False
    #: `resources` are those it is not about (NotResource).
    other_resources: bool = False

    @classmethod
    def of(cls, raw):
        """A statement of a role's policy."""
        other_actions, other_resources = "NotAction" in raw, "NotResource" in raw
        return cls(
            raw.get("Sid", "-"), raw["Effect"] == "Allow",
            tuple(_list(raw["NotAction" if other_actions else "Action"])),
            tuple(_list(raw["NotResource" if other_resources else "Resource"])),
            raw.get("Condition", {}), other_actions, other_resources,
        )

    def matches(self, action, resource, context):
        """Whether the statement is about this action on this resource. Actions have no case."""
        return (
            any(fnmatchcase(action.lower(), a.lower()) for a in self.actions) != self.other_actions
            and any(fnmatchcase(resource, _glob(r)) for r in self.resources) != self.other_resources
            and all(
                _holds(operator, key, _list(values), context)
                for operator, keys in self.conditions.items()
                for key, values in keys.items()
            )
        )


def _holds(operator, key, values, context):
    """One line of a condition. What is not known of a request is not in its context."""
    known = context.get(key)
    match operator:
        case "Null":
            return [known is None] == [value == "true" for value in values]
        case "StringEquals":
            return known in values
        case "StringNotEquals":
            return known not in values
        case "StringLike":
            return known is not None and any(fnmatchcase(known, _glob(v)) for v in values)
        case "Bool":
            return known is not None and known.lower() in [str(v).lower() for v in values]
        case "ForAllValues:StringEquals":
            return known is None or known in values
        case "ArnEquals":
            return known is not None and any(fnmatchcase(known, _glob(v)) for v in values)
    raise NotImplementedError(f"{operator} in a condition")


def _glob(pattern):
    # IAM knows * and ?; brackets are themselves.
    return pattern.replace("[", "[[]")


def is_allowed(statements, action, resource, context):
    """IAM's answer: allowed by a statement, denied by none.

    `context` holds the condition keys of the request that are known, with their values.
    """
    matching = [s for s in statements if s.matches(action, resource, context)]
    return any(s.allows for s in matching) and all(s.allows for s in matching)


#: Operations of AWS Backup that IAM knows no resource for.
JOB_OPERATIONS = {"DescribeBackupJob", "DescribeCopyJob", "DescribeRestoreJob",
                  "GetRestoreJobMetadata", "ListBackupVaults", "ListRestoreJobs"}


def needed(call, parameters, region, account):
    """The IAM actions a call needs, each with the resource it is checked against.

    Which resource an action is checked against comes from the service authorization reference.
    """
    def arn(service, rest):
        return f"arn:aws:{service}:{region}:{account}:{rest}"

    p, name = parameters, call.operation
    match call.service:
        case "backup" if name in JOB_OPERATIONS:
            return [(f"backup:{name}", "*")]
        case "backup" if name == "ListRecoveryPointsByBackupVault":
            return [(f"backup:{name}", arn("backup", f"backup-vault:{p['BackupVaultName']}"))]
        case "backup" if name == "StartRestoreJob":
            return [
                (f"backup:{name}", p["RecoveryPointArn"]),
                ("iam:PassRole", p["IamRoleArn"]),
            ]
        case "backup":
            return [(f"backup:{name}", p["RecoveryPointArn"])]
        case "rds":
            kind = "snapshot" if "Snapshot" in name else "db"
            identifier = p.get("DBSnapshotIdentifier" if kind == "snapshot" else "DBInstanceIdentifier", "*")
            full = identifier if identifier.startswith("arn:") else arn("rds", f"{kind}:{identifier}")
            return [(f"rds:{name}", full)]
        case "ec2" if name.startswith("Describe"):
            return [(f"ec2:{name}", "*")]
        case "ec2" if name == "TerminateInstances":
            return [(f"ec2:{name}", arn("ec2", f"instance/{i}")) for i in p["InstanceIds"]]
        case "ec2" if name == "DeleteVolume":
            return [(f"ec2:{name}", arn("ec2", f"volume/{p['VolumeId']}"))]
        case "dynamodb" if name == "BatchGetItem":
            return [(f"dynamodb:{name}", arn("dynamodb", f"table/{table}")) for table in p["RequestItems"]]
        case "dynamodb":
            index = f"/index/{p['IndexName']}" if "IndexName" in p else ""
            return [(f"dynamodb:{name}", arn("dynamodb", f"table/{p['TableName']}{index}"))]
        case "s3":
            return [(f"s3:{name}", f"arn:aws:s3:::{p['Bucket']}/{p['Key']}")]
        case "sns":
            return [(f"sns:{name}", p["TopicArn"])]
        case "logs":
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
