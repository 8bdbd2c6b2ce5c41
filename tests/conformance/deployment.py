"""The whole stack as it stands after a deployment: both templates, and every policy that a request meets."""

import functools

from conftest import ROOT
from iam import Request, Statement, as_list, refusal
from permissions import ARNS, Template
from test_policies import NAMES, STACKS

#: The parameters of the deployments that have every type: bare, and with all that may be asked for. The names of
#: people's things come with both.
SETTINGS = {name: STACKS[name] for name in ("defaults", "everything")}
PEOPLES = {name: value for name, value in NAMES.items() if name.startswith("AWS::") or name == "BackupVaultNames"}

#: Where a template keeps the policy of a resource: its type, the property that names the resource, and the policy's.
RESOURCE_POLICIES = {
    "AWS::Events::EventBusPolicy": ("EventBusName", "Statement"),
    "AWS::S3::BucketPolicy": ("Bucket", "PolicyDocument"),
    "AWS::SecretsManager::ResourcePolicy": ("SecretId", "ResourcePolicy"),
    "AWS::SNS::TopicPolicy": ("Topics", "PolicyDocument"),
    "AWS::SQS::QueuePolicy": ("Queues", "PolicyDocument"),
}


class Deployment:
    """The stack, deployed with these values for references and parameters."""

    def __init__(self, values, path=ROOT / "template.yaml"):
        self.main = Template(path, values).translated()
        self.network = self.main.nested("Network")
        self.parts = (self.main, self.network)
        self.region, self.account = (self.main.values[f"AWS::{name}"] for name in ("Region", "AccountId"))

    def only(self, *kinds):
        """The one resource of these types."""
        name, = self.main.resources(*kinds)
        return name

    @property
    def function_arn(self):
        return self.main.arn(self.only("AWS::Lambda::Function"))

    def policy_of(self, arn):
        """The statements of a resource's own policy, by the resource's ARN."""
        if arn not in self._policies and arn.startswith("arn:") and arn.split(":")[2] == "kms":
            # Somebody else's key, with what AWS gives a key by default (KMS developer guide, Default key policy).
            return [Statement.of({"Effect": "Allow", "Action": "kms:*", "Resource": "*",
                                  "Principal": {"AWS": f"arn:aws:iam::{self.account}:root"}})]
        return self._policies.get(arn, [])

    @functools.cached_property
    def _policies(self):
        found = {}
        for arn, statements in self.resource_policies():
            found[arn] = found.get(arn, []) + statements
        return found

    def resource_policies(self):
        """The ARN of each resource that has a policy of its own, and its statements; a role's is its trust policy."""
        for part in self.parts:
            for kind, (target, document) in RESOURCE_POLICIES.items():
                for properties in part.resources(kind).values():
                    for resource in as_list(properties[target]):
                        yield self._arn_of(part, resource), _statements(properties[document])
            for kind, document in (("AWS::KMS::Key", "KeyPolicy"), ("AWS::IAM::Role", "AssumeRolePolicyDocument")):
                for name, properties in part.resources(kind).items():
                    yield part.arn(name), _statements(properties[document])
        for properties in self.main.resources("AWS::Lambda::Permission").values():
            yield self.function_arn, [permission(properties, self.function_arn)]

    def _arn_of(self, part, reference):
        """The ARN of the resource that `Ref` or `GetAtt` answered this for."""
        for name, resource in part.raw["Resources"].items():
            if resource["Type"] in ARNS and reference in (part.resolve({"Ref": name}), part.arn(name)):
                return part.arn(name)
        if reference == "default":
            return f"arn:{part.values['AWS::Partition']}:events:{self.region}:{self.account}:event-bus/default"
        return reference

    def role(self, arn):
        """The statements of the template for the role with this ARN."""
        name, = (name for name in self.main.resources("AWS::IAM::Role") if self.main.arn(name) == arn)
        return self.main.statements(name)

    def refuses(self, action, resource, context, principal):
        """Why the stack refuses a request; None if it lets it pass. Roles are asked as well, services are not."""
        identity = self.role(principal) if principal.startswith("arn:") else None
        request = Request(action, resource, {"aws:SecureTransport": "true"} | context, principal)
        return refusal(request, identity, self.policy_of(resource))


@functools.cache
def deployed(setting):
    """One of the stacks, deployed."""
    return Deployment(PEOPLES | STACKS[setting])


def _statements(document):
    # The policy of an event bus stands alone, without a document around its one statement.
    return [Statement.of(raw) for raw in as_list(document.get("Statement", document))]


def permission(properties, function_arn):
    """What Lambda makes of a permission: a statement of the function's policy (Lambda API reference, AddPermission).

    The ARN is compared as ArnLike, the account as StringEquals (Lambda developer guide, Granting function access to
    AWS services).
    """
    condition = {}
    if "SourceArn" in properties:
        condition["ArnLike"] = {"AWS:SourceArn": properties["SourceArn"]}
    if "SourceAccount" in properties:
        condition["StringEquals"] = {"AWS:SourceAccount": properties["SourceAccount"]}
    if "PrincipalOrgID" in properties:
        condition.setdefault("StringEquals", {})["aws:PrincipalOrgID"] = properties["PrincipalOrgID"]
    return Statement.of({
        "Sid": "Permission", "Effect": "Allow", "Action": properties["Action"], "Resource": function_arn,
        "Principal": {"Service": properties["Principal"]}, "Condition": condition,
    })
