"""The judge of the step `aws-limits`: would AWS take these templates?

Two sources of constraints: botocore's service models, for the calls that CloudFormation makes (limits_calls.py), and
limits_table.py with what AWS documents and the models lack. What follows from whole templates stands below: updates,
parameters, endpoints. A finding names the rule, the place, and what to do; everything that is looked at is counted.
"""

import functools
import importlib.util
import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError

from limits_calls import CALLS, Properties
from limits_table import FUNCTION, ROLE, RULES, is_network, listed
from stacks import (
    ACCOUNT, LONGEST_STACK_NAME, NAMED, OF_A_VPC, REGIONS, Setting, Stack, Words, botocore_session, is_unbounded,
    nested_in, partition_of, roots, url_suffix,
)


@dataclass(frozen=True)
class Finding:
    """Something that AWS would refuse, or take and not do."""

    rule: str
    place: str
    message: str

    def __str__(self):
        return f"{self.rule}: {self.place}: {self.message}"


class Report:
    """What was found, and how much was looked at."""

    def __init__(self):
        self.findings, self.by_type, self.by_rule = {}, Counter(), Counter()

    def expect(self, holds, rule, place, kind, message):
        """Counts a check, and notes a finding where it does not hold."""
        if not rule.startswith("unmapped"):
            self.by_type[kind, "models" if rule.startswith("model-") else "table"] += 1
        self.by_rule[rule] += 1
        if not holds:
            # The same finding under another setting has other numbers in it: the first is enough.
            self.findings.setdefault((rule, place), Finding(rule, place, message))

    def text(self):
        return "\n".join(str(self.findings[key]) for key in sorted(self.findings))

    def counts(self):
        """How many constraints were checked, by resource type and source."""
        kinds = sorted({kind for kind, _ in self.by_type})
        lines = [f"{'constraints checked':52} {'models':>7} {'table':>7}"]
        lines += [f"{kind:52} {self.by_type[kind, 'models']:7} {self.by_type[kind, 'table']:7}" for kind in kinds]
        total = [sum(n for (_, source), n in self.by_type.items() if source == which) for which in ("models", "table")]
        return "\n".join([*lines, f"{'in all':52} {total[0]:7} {total[1]:7}"])


# --- botocore's models --------------------------------------------------------------------------------


@functools.cache
def input_shape(service, operation):
    return botocore_session().get_service_model(service).operation_model(operation).input_shape


@functools.cache
def java_pattern(pattern):
    """A pattern of a model, in Python's dialect."""
    for java, python in ((r"\p{L}", r"\w"), (r"\p{N}", r"\d"), (r"\p{Z}", r"\s"), (r"\p{M}", ""), (r"\p{S}", ""),
                         (r"\p{P}", "")):
        pattern = pattern.replace(java, python)
    # Java reads two surrogates as the one character they stand for.
    pattern = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")
    return re.compile(pattern)


class Model:
    """Values against the shapes of one API call."""

    def __init__(self, report, resource, call):
        self.report, self.resource, self.call = report, resource, call

    def expect(self, holds, rule, path, message):
        place = f"{self.resource.place} {self.call}{path}"
        self.report.expect(holds, f"model-{rule}", place, self.resource.type, message)

    def check(self, value, shape, path=""):
        kind = shape.type_name
        if kind == "structure":
            self._structure(value, shape, path)
        elif kind == "list":
            self._size(len(value), shape, path, "elements")
            for index, item in enumerate(value):
                self.check(item, shape.member, f"{path}[{index}]")
        elif kind == "map":
            self._size(len(value), shape, path, "entries")
            for key, item in value.items():
                self.check(key, shape.key, f"{path}({key})")
                self.check(item, shape.value, f"{path}.{key}")
        elif kind == "string":
            self._string(value, shape, path)
        elif kind in ("integer", "long", "float", "double"):
            self._number(value, shape, path)
        elif kind == "boolean":
            if str(value).lower() not in ("true", "false"):
                self.expect(False, "type", path, f"is {value!r} and must be true or false")

    def _structure(self, value, shape, path):
        if not isinstance(value, dict):
            self.expect(False, "type", path, f"is {value!r} and must have members: {', '.join(shape.members)}")
            return
        for name in shape.required_members:
            self.expect(name in value, "required", path, f"lacks {name}, which the service needs")
        for name, item in value.items():
            if name in shape.members:
                self.check(item, shape.members[name], f"{path}.{name}")
            else:
                self.report.expect(
                    False, "unmapped-property", f"{self.resource.place} {self.call}{path}.{name}", self.resource.type,
                    "the API has no such member: say in limits_calls.py how CloudFormation sends it")

    def _string(self, value, shape, path):
        if isinstance(value, (dict, list)):
            self.expect(False, "type", path, f"is {value!r} and must be text")
            return
        text = str(value).lower() if isinstance(value, bool) else str(value)
        meta = shape.metadata
        if meta.get("enum"):
            self.expect(text in meta["enum"], "enum", path, f"is {text!r} and must be one of {meta['enum']}")
        self._size(len(text), shape, path, "characters")
        if meta.get("pattern"):
            pattern = java_pattern(meta["pattern"])
            # Some patterns know no partition with two hyphens (Scheduler: `aws(-[a-z]+)?`), which GovCloud has.
            matches = pattern.fullmatch(text) or pattern.fullmatch(text.replace("arn:aws-us-gov:", "arn:aws:"))
            self.expect(matches, "pattern", path, f"is {text[:80]!r} and must match {meta['pattern']}")

    def _number(self, value, shape, path):
        try:
            number = float(value)
        except (TypeError, ValueError):
            self.expect(False, "type", path, f"is {value!r} and must be a number")
            return
        for bound, holds in (("min", number >= shape.metadata.get("min", number)),
                             ("max", number <= shape.metadata.get("max", number))):
            if bound in shape.metadata:
                self.expect(holds, "range", path, f"is {value} and may be {shape.metadata[bound]} at "
                            f"{'least' if bound == 'min' else 'most'}")

    def _size(self, size, shape, path, unit):
        for bound, holds in (("min", size >= shape.metadata.get("min", size)),
                             ("max", size <= shape.metadata.get("max", size))):
            if bound in shape.metadata:
                self.expect(holds, "length", path, f"has {size} {unit} and may have {shape.metadata[bound]} at "
                            f"{'least' if bound == 'min' else 'most'}")


def check_models(stack, report):
    """Every resource against the calls that CloudFormation makes of it."""
    for resource in stack.resources.values():
        if resource.type not in CALLS:
            report.expect(False, "unmapped-type", resource.place, resource.type,
                          f"say in limits_calls.py which API calls make a {resource.type}")
            continue
        properties = Properties(resource)
        for service, operation, parameters in CALLS[resource.type](properties):
            parameters = {name: value for name, value in parameters.items() if value is not None}
            Model(report, resource, operation).check(parameters, input_shape(service, operation))
        for name in properties.unused():
            report.expect(False, "unmapped-property", f"{resource.place} {name}", resource.type,
                          "no API call here carries it: say in limits_calls.py how CloudFormation sends it")


def check_table(stack, report):
    for resource in stack.resources.values():
        for name, (types, _, function) in RULES.items():
            if resource.type in types or "*" in types:
                for holds, path, message in function(resource):
                    report.expect(holds, name, f"{resource.place} {path}".strip(), resource.type, message)


# --- updates: what cannot be replaced ------------------------------------------------------------------

#: CloudFormation's own resource schemas, as cfn-lint carries them. Found and not imported, which would take longer than
#: all the rest here.
SCHEMAS = Path(importlib.util.find_spec("cfnlint").origin).parent / "data" / "schemas"


@functools.cache
def resource_types(region):
    """The resource types of a Region, each with the file of its schema."""
    return json.loads((SCHEMAS / "providers" / f"{region}.json").read_text())


@functools.cache
def create_only(kind):
    """Properties of a resource type whose change means a replacement."""
    if kind not in resource_types(REGIONS["aws"]):
        return set()
    schema = json.loads((SCHEMAS / "resources" / f"{resource_types(REGIONS['aws'])[kind]}.json").read_text())
    return {path.split("/")[2] for path in schema.get("createOnlyProperties", [])}


#: What must be unique while old and new stand side by side in a replacement.
UNIQUE = {
    "AWS::DynamoDB::Table": ["TableName"], "AWS::EC2::SecurityGroup": ["GroupName", "VpcId"],
    "AWS::EC2::Subnet": ["VpcId", "CidrBlock"], "AWS::Events::EventBus": ["Name"], "AWS::Events::Rule": ["Name"],
    "AWS::IAM::ManagedPolicy": ["ManagedPolicyName"], "AWS::IAM::Role": ["RoleName"],
    "AWS::Lambda::Function": ["FunctionName"], "AWS::Logs::LogGroup": ["LogGroupName"],
    "AWS::RDS::DBSubnetGroup": ["DBSubnetGroupName"], "AWS::S3::Bucket": ["BucketName"],
    "AWS::SNS::Topic": ["TopicName"], "AWS::SQS::Queue": ["QueueName"], "AWS::Scheduler::Schedule": ["Name"],
    "AWS::SecretsManager::Secret": ["Name"],
}


class Changes:
    """Which parameters replace a resource when an update changes them."""

    def __init__(self, stack, parent=None, logical=None):
        self.stack, self.parent, self.logical = stack, parent, logical
        self.memory = {}

    def parameters(self, node):
        """The user's parameters that a node depends on, by itself or by the replacement of what it names."""
        return set().union(*(self._of(name.partition(".")[0]) for name in references(node)))

    def _of(self, name):
        if name.startswith("AWS::"):
            return set()
        if name.startswith(CONDITION):
            return self.parameters(self.stack.raw["Conditions"][name.removeprefix(CONDITION)])
        if name not in self.stack.raw.get("Parameters", {}):
            return self.replaced_by(name)
        if self.parent is None:
            return {name}
        given = self.parent.stack.raw["Resources"][self.logical]["Properties"].get("Parameters", {})
        return self.parent.parameters(given.get(name))

    def replaced_by(self, logical):
        if logical not in self.memory:
            self.memory[logical] = set()  # a circle adds nothing
            raw = self.stack.raw["Resources"][logical]
            if raw["Type"] != "AWS::CloudFormation::Stack":
                properties = raw.get("Properties", {})
                self.memory[logical] = self.parameters(
                    [value for name, value in properties.items() if name in create_only(raw["Type"])])
        return self.memory[logical]


#: In front of the name of a condition.
CONDITION = "condition "


def references(node):
    """The names in every Ref, GetAtt, ${…} and condition of a node."""
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    elif isinstance(node, dict):
        for name, argument in node.items():
            if name == "Ref":
                yield argument
            elif name == "Fn::GetAtt":
                yield ".".join(argument) if isinstance(argument, list) else argument
            elif name == "Condition" and isinstance(argument, str):
                yield CONDITION + argument
            elif name == "Fn::Sub":
                text, local = (argument, {}) if isinstance(argument, str) else argument
                yield from (found for found in re.findall(r"\$\{([^!}][^}]*)\}", text) if found not in local)
                yield from references(local)
            elif name == "Fn::If":
                yield CONDITION + argument[0]
                yield from references(argument[1:])
            else:
                yield from references(argument)


def check_updates(stack, report, parent=None, logical=None):
    """Resources that no update can replace, since what it makes first has the name of what it removes last."""
    changes = Changes(stack, parent, logical)
    for name, raw in stack.raw["Resources"].items():
        kind, properties = raw["Type"], raw.get("Properties", {})
        unique = UNIQUE.get(kind)
        if unique and all(member in properties for member in unique):
            named_by = changes.parameters([properties[member] for member in unique])
            rest = [properties[member] for member in properties if member in create_only(kind) - set(unique)]
            conflicts = sorted(changes.parameters(rest) - named_by)
            report.expect(not conflicts, "replacement-conflict", f"{stack.file} {name}", kind,
                          f"a change of {', '.join(conflicts)} replaces it under the same {' and '.join(unique)}, "
                          "which CloudFormation cannot: it makes the new one before it removes the old")
        name_property = NAMED[kind][0] if kind in NAMED else None
        if name_property in properties:
            report.expect(any(references(properties[name_property])), "name-collides",
                          f"{stack.file} {name}", kind, f"{name_property} is the same in every stack, so a second "
                          "stack in this account fails: build it from a parameter")
            report.expect(kind not in (ROLE, "AWS::IAM::ManagedPolicy"), "named-iam", f"{stack.file} {name}", kind,
                          "its own name needs CAPABILITY_NAMED_IAM, which the deployment does not give: leave it out")
        if kind == "AWS::RDS::DBSubnetGroup":
            _subnet_group(stack, changes, name, properties, report)
    for child_name, child in stack.children.items():
        check_updates(child, report, changes, child_name)


def _subnet_group(stack, changes, name, properties, report):
    # "The new Subnets are not in the same Vpc as the existing subnet group" (ModifyDBSubnetGroup).
    moved_by = set()
    for subnet in references(properties["SubnetIds"]):
        raw = stack.raw["Resources"].get(subnet, {})
        moved_by |= changes.parameters(raw.get("Properties", {}).get("VpcId"))
    named_by = changes.parameters(properties.get("DBSubnetGroupName"))
    conflicts = sorted(moved_by - named_by) if "DBSubnetGroupName" in properties else []
    report.expect(not conflicts, "fixed-name", f"{stack.file} {name}", "AWS::RDS::DBSubnetGroup",
                  f"a change of {', '.join(conflicts)} replaces the VPC, and a DB subnet group cannot move to another "
                  "VPC under its fixed name: put the VPC's id into the name, or give none")


# --- templates and parameters --------------------------------------------------------------------------

TEMPLATE_LIMITS = {"Parameters": 200, "Resources": 500, "Outputs": 200, "Mappings": 200}

#: Rules on whole templates, each with its source; those on single resources are in limits_table.py.
TEMPLATE_RULES = {
    "template-size": "CloudFormation quotas: 51,200 bytes in a request, 1 MB from S3, counts, names and descriptions",
    "parameter-default": "CloudFormation guide, Parameters: the default satisfies the constraints",
    "parameter-pattern": "CloudFormation guide, Parameters: AllowedPattern; anchored, so that it means the whole value",
    "parameter-unbounded": "CloudFormation quotas: a value has 4,096 bytes; what it flows into takes less",
    "parameter-value": "each sample's own service: the pattern lets values pass that AWS refuses",
    "parameter-passed": "CloudFormation guide, AWS::CloudFormation::Stack: nested parameters allow what they get",
    "china-refused": "the stack is not made for the partition aws-cn and says so (Rules of the template reference)",
    "rules-allow": "Rules of the template reference: none refuses a whole Region, or all values of a parameter",
    "replacement-conflict": "CloudFormation guide, Update behaviors of stack resources: the new resource comes first; "
                            "create-only properties: CloudFormation's resource schemas",
    "fixed-name": "RDS API reference, ModifyDBSubnetGroup: subnets of the group's own VPC",
    "type-in-region": "CloudFormation's resource schemas of each Region, as cfn-lint carries them",
    "endpoint-service": "AWS PrivateLink guide, AWS services that integrate; botocore's endpoints",
    "endpoint-dns": "botocore's endpoints; Route 53 Resolver DNS Firewall resolves no name that is not listed",
    "endpoint-missing": "a service that the function calls has an endpoint and a name that resolves",
    "name-collides": "CloudFormation guide, Name type: two resources of one name cannot be in one account and Region",
    "named-iam": "CloudFormation guide, CAPABILITY_NAMED_IAM; samconfig.toml gives CAPABILITY_IAM",
    "unmapped-type": "limits_calls.py: nothing is left out by accident",
    "unmapped-property": "limits_calls.py: nothing is left out by accident",
}


def check_template(path, raw, is_root, report):
    """A template's size, its parameters' definitions."""
    def expect(holds, name, what, message):
        report.expect(holds, name, f"{path} {what}".strip(), "template", message)
    size = len(json.dumps(raw, indent=2).encode())  # a little more than YAML needs
    # SAM uploads a template that it translates, and those that this nests.
    uploaded = "Transform" in raw or not is_root or bool(nested_in(raw))
    most = 1_000_000 if uploaded else 51_200
    expect(size <= most, "template-size", "", f"has {size:,} bytes and may have {most:,} at most")
    for section, most in TEMPLATE_LIMITS.items():
        count = len(raw.get(section, {}))
        expect(count <= most, "template-size", section, f"has {count} entries and may have {most} at most")
        for name in raw.get(section, {}):
            expect(re.fullmatch("[a-zA-Z0-9]{1,255}", name), "template-size", name, "a name is 1 to 255 of a-zA-Z0-9")
    expect(len(raw.get("Description", "").encode()) <= 1024, "template-size", "Description", "1,024 bytes at most")
    for name, output in raw.get("Outputs", {}).items():
        expect(len(output.get("Description", "").encode()) <= 1024, "template-size", name,
               "its description may have 1,024 bytes at most")
    for name, parameter in raw.get("Parameters", {}).items():
        expect(len(parameter.get("Description", "")) <= 4000, "template-size", name,
                   "its description may have 4,000 characters at most")
        expect(len(parameter.get("ConstraintDescription", "")) <= 4000, "template-size", name,
                   "its ConstraintDescription may have 4,000 characters at most")
        pattern = parameter.get("AllowedPattern")
        if pattern:
            expect(pattern.startswith("^") and pattern.endswith("$"), "parameter-pattern", name,
                   f"{pattern} is not anchored by ^ and $")
        if "Default" in parameter:
            problem = refusal(parameter, str(parameter["Default"]))
            expect(problem is None, "parameter-default", name, f"the default {parameter['Default']!r} {problem}")
        if is_root:
            expect(not is_unbounded(parameter), "parameter-unbounded", name,
                   "takes values of any length, up to 4,096 bytes, and flows into what takes less: give it a "
                   f"{'MaxValue' if parameter['Type'] == 'Number' else 'MaxLength, or a pattern of finite length'}")
        if name == "VpcCidr" and is_root:
            for turn in range(8):
                word = Words(pattern, int(parameter.get("MaxLength", 64)), turn).longest()
                expect(is_network(word), "parameter-value", name,
                       f"the pattern allows {word}, which is no IPv4 range: EC2 refuses it only in the deployment")


def refusal(parameter, value):
    """Why CloudFormation would refuse a value of a parameter; None where it takes it."""
    if "AllowedValues" in parameter:
        # "Each value in the list must be one of the allowed values" (Parameters syntax reference, CommaDelimitedList).
        values = value.split(",") if parameter["Type"] == "CommaDelimitedList" else [value]
        if not set(values) <= {str(v) for v in parameter["AllowedValues"]}:
            return f"is none of {parameter['AllowedValues']}"
    if parameter["Type"] == "Number":
        if not parameter.get("MinValue", float("-inf")) <= float(value) <= parameter.get("MaxValue", float("inf")):
            return f"is not within {parameter.get('MinValue')} to {parameter.get('MaxValue')}"
        return None
    if not int(parameter.get("MinLength", 0)) <= len(value) <= int(parameter.get("MaxLength", 4096)):
        return f"has {len(value)} characters: {parameter.get('MinLength', 0)} to {parameter.get('MaxLength', 4096)}"
    if "AllowedPattern" in parameter and not re.search(parameter["AllowedPattern"], value):
        return f"does not match {parameter['AllowedPattern']}"
    return None


def check_parameters(stack, report):
    """Values against the parameters that get them, of the user and of a parent."""
    for name, value in stack.parameters.items():
        problem = refusal(stack.raw["Parameters"][name], value)
        report.expect(problem is None, "parameter-passed", f"{stack.file} {name}", "template",
                      f"gets {value[:60]!r}, which {problem}")


def check_regions(path, known, report):
    """The stack refuses itself in China, and nowhere else; in every other Region AWS has what it needs."""
    for partition in ("aws", "aws-us-gov", "aws-cn"):
        for region in botocore_session().get_available_regions("ec2", partition_name=partition):
            stack = Stack(path, known, Setting("default", region))
            refused = stack.refusals()
            if partition == "aws-cn":
                report.expect(bool(refused), "china-refused", path, "template",
                              f"no rule refuses {region}, where it does not work: add a Rules section that asserts it")
                for text in refused:
                    report.expect("China" in text and len(text) >= 20, "china-refused", f"{path} message", "template",
                                  f"the rule's words do not say that China is the reason: {text!r}")
                continue
            report.expect(not refused, "rules-allow", path, "template", f"is refused in {region}: {refused}")
            check_endpoints(stack, report)
            if not (SCHEMAS / "providers" / f"{region}.json").exists():
                continue  # cfn-lint does not know every Region that botocore knows
            for part in stack.everything():
                for kind in sorted({raw["Type"] for raw in part.raw["Resources"].values()
                                    if not left_out_here(part, raw)}):
                    report.expect(kind in resource_types(region), "type-in-region", f"{part.file} {kind}", kind,
                                  f"CloudFormation has no {kind} in {region}")


def left_out_here(part, raw):
    """Whether a resource is not made in this Region, because it is this one.

    CloudFormation takes a template with such a resource where it does not know its type: so CDK leaves out its
    AWS::CDK::Metadata ("CDKMetadataAvailable").
    """
    condition = json.dumps(part.raw.get("Conditions", {}).get(raw.get("Condition"), {}))
    return "AWS::Region" in condition and not part.exists(raw)


# --- endpoints ----------------------------------------------------------------------------------------

#: Services that the function's role allows and that nothing calls from inside the VPC.
SERVER_SIDE = {
    "iam": "PassRole is looked at by AWS Backup", "kms": "SNS and Secrets Manager decrypt on their side",
    "sqs": "Lambda and Scheduler send to the queues",
    "rds-db": "a login is signed here, and a restored database judges it",
}

#: What the function calls, whatever its role says.
#: A service that is called for some resource types alone stands in `CALLED_FOR` as well.
CALLED = {"backup", "dynamodb", "ec2", "lambda", "logs", "rds", "s3", "secretsmanager", "sns"}
CALLED_FOR = {"rds": {"Aurora", "RDS"}}


@functools.cache
def endpoint_rules(service):
    loader = botocore_session().get_component("data_loader")
    rules = loader.load_service_model(service, "endpoint-rule-set-1")
    return EndpointProvider(ruleset_data=rules, partition_data=loader.load_data("partitions")), set(rules["parameters"])


@functools.cache
def host(service, region, fips=False, dualstack=False, **more):
    """The host that an SDK calls for a service, by its endpoint rules; None where there is no such variant."""
    provider, known = endpoint_rules(service)
    given = {"Region": region, "UseFIPS": fips, "UseDualStack": dualstack} | more
    try:
        endpoint = provider.resolve_endpoint(**{name: value for name, value in given.items() if name in known})
    except EndpointProviderError:
        return None
    return endpoint.url.removeprefix("https://")


@functools.cache
def hosts(service, region):
    """Every host of a service in a Region: plain, dual-stack, FIPS."""
    return frozenset(host(service, region, fips, dualstack) for fips in (False, True) for dualstack in (False, True))


def hosts_called(service, region):
    """The hosts that an SDK without settings calls in this account."""
    yield host(service, region)
    if service == "dynamodb":
        # Where the credentials name their account ("Account-based endpoints", DynamoDB guide).
        yield host(service, region, AccountId=ACCOUNT, AccountIdEndpointMode="preferred")
    if service == "s3":
        yield host(service, region, Bucket="results-of-restore-proof")


@functools.cache
def is_offered(service, region):
    """Whether botocore knows the service in the Region."""
    return region in botocore_session().get_available_regions(service, partition_of(region))


def is_called(name, region):
    """Whether a listed name is one that is called in the Region."""
    called = [found for service in CALLED for found in (*hosts(service, region), *hosts_called(service, region))]
    # The last two: restored databases ("DB instance endpoints", RDS guide), and the list that blocks everything else.
    return any(fnmatchcase(found or "", name) for found in called) or name in (
        f"*.{region}.rds.{url_suffix(region)}", "*")


def check_endpoints(stack, report):
    """Endpoint services, listed names and principals against what botocore knows of the Region."""
    region = stack.setting.region
    served, names = set(), set()
    for part in stack.everything():
        for resource in part.resources.values():
            if resource.type == "AWS::EC2::VPCEndpoint":
                name = resource.properties["ServiceName"]
                service = name.rpartition(".")[2]
                good = name == f"com.amazonaws.{region}.{service}" and is_offered(service, region)
                report.expect(good, "endpoint-service", resource.place, resource.type,
                              f"{name} is no endpoint service of {region}")
                served.add(service)
            if resource.type == "AWS::Route53Resolver::FirewallDomainList":
                for name in resource.properties["Domains"]:
                    report.expect(is_called(name, region), "endpoint-dns", f"{resource.place} {name}", resource.type,
                                  f"no SDK calls this host in {region}: the name leads somewhere else, or nowhere")
                    names.add(name)
    if not served:
        return
    types = set(stack.parameters["Types"].split(","))
    called = {service for service in CALLED if types & CALLED_FOR.get(service, types)}
    for service in sorted(called | called_by_roles(stack)):
        place = f"{stack.file} {service}"
        report.expect(service in served, "endpoint-missing", place, "AWS::EC2::VPCEndpoint",
                      f"the function calls {service}, and the VPC has no endpoint for it: the call waits for ever")
        for called in hosts_called(service, region):
            resolved = any(fnmatchcase(called or "", name) for name in names - {"*"})
            report.expect(resolved, "endpoint-missing", f"{place} name", "AWS::Route53Resolver::FirewallDomainList",
                          f"DNS Firewall does not resolve {called}, which the SDK calls in {region}")


def called_by_roles(stack):
    """Services that the role of a function in the VPC allows to call."""
    found = set()
    for function in stack.resources.values():
        if function.type != FUNCTION or "VpcConfig" not in function.properties:
            continue
        for role in stack.resources.values():
            if role.type == ROLE and stack.values[f"{role.logical}.Arn"] == function.properties["Role"]:
                arns = role.properties.get("ManagedPolicyArns", [])
                managed = [p.properties for p in stack.resources.values() if p.type == "AWS::IAM::ManagedPolicy"
                           and (p.ref in arns or role.ref in p.properties.get("Roles", []))]
                for policy in role.properties.get("Policies", []) + managed:
                    for statement in policy["PolicyDocument"]["Statement"]:
                        if statement["Effect"] == "Allow":
                            found |= {a.partition(":")[0] for a in listed(statement["Action"])}
    return found - set(SERVER_SIDE)


# --- everything ---------------------------------------------------------------------------------------


def settings():
    """The settings that every template is looked at under."""
    found = []
    for partition, region in REGIONS.items():
        found.append(Setting(f"the defaults in {region}", region))
        for turn in range(2):
            found.append(Setting(f"the least values in {region} ({turn})", region, "a", "minimal", turn))
        # Every allowed value comes up in one of them; patterns show other characters in each.
        for turn in range(23 if partition == "aws" else 2):
            found.append(Setting(f"the greatest values in {region} ({turn})", region, LONGEST_STACK_NAME, "maximal",
                                 turn))
        found.append(Setting(f"a VPC that is there in {region}", region, LONGEST_STACK_NAME, "maximal", given=OF_A_VPC))
    return found


def allowed(path, known, setting):
    """The stack under a setting; where the template's own rules refuse it, with one more parameter filled in."""
    stack = Stack(path, known, setting)
    if not stack.refusals():
        return stack
    most = replace(setting, values="maximal")
    for name, parameter in known[path]["Parameters"].items():
        for value in parameter.get("AllowedValues", [most.value(name, parameter)]):
            filled = Stack(path, known, replace(setting, given={name: str(value)}))
            if not filled.refusals():
                return filled
    return stack


def check_stack(stack, report):
    """All that is looked at under one setting."""
    report.expect(not stack.refusals(), "rules-allow", stack.file, "template",
                  f"its own rules refuse {stack.setting.name}, and no other parameter helps: {stack.refusals()}")
    for part in stack.everything():
        check_parameters(part, report)
        check_models(part, report)
        check_table(part, report)
    check_endpoints(stack, report)


def judge(known, chosen=None, statics=True):
    """The report on all templates under the settings chosen, or under all of them."""
    report = Report()
    tops = roots(known)
    for setting in settings() if chosen is None else chosen:
        for path in tops:
            check_stack(allowed(path, known, setting), report)
    if statics:
        for path, raw in known.items():
            check_template(path, raw, path in tops, report)
        for path in tops:
            # With every optional resource.
            stack = Stack(path, known, Setting("all resources", REGIONS["aws"], values="maximal"))
            check_updates(stack, report)
            check_regions(path, known, report)
    return report
