"""The templates as CloudFormation makes stacks of them: translated, nested, with every value known.

SAM's own transform translates template.yaml. A `Setting` says in which Region and with which parameter values;
a `Stack` resolves a template under it. What AWS only answers when a resource exists (an id, an ARN) is made up
in AWS's form and as long as AWS makes it, so that lengths and patterns mean something.
"""

import functools
import hashlib
import re
import re._parser as regex
from dataclasses import dataclass, field

from botocore.session import Session

from cloudformation import Resolver, load, parameter_value, translate

ACCOUNT = "222222222222"

#: One Region of each partition that the stack is made for.
REGIONS = {"aws": "eu-central-1", "aws-us-gov": "us-gov-west-1"}

#: A stack's name has 128 characters at most ("CreateStack"); AWS puts it in front of the names it generates.
LONGEST_STACK_NAME = "A" + 126 * "s" + "9"

#: A parameter's value has 4,096 bytes at most ("CloudFormation quotas").
LONGEST_VALUE = 4096


# --- templates ----------------------------------------------------------------------------------------


@functools.cache
def templates(root):
    """Every template of the project, translated, by its path from the project's root."""
    files = [root / "template.yaml", *sorted((root / "infra").glob("*.yaml"))]
    return {str(file.relative_to(root)): translate(load(file), REGIONS["aws"]) for file in files}


def nested_in(raw):
    """The nested stacks of a template: their logical ids, each with its template's path."""
    return {
        name: resource["Properties"]["TemplateURL"]
        for name, resource in raw["Resources"].items()
        if resource["Type"] == "AWS::CloudFormation::Stack"
    }


def roots(known):
    """Templates that a user deploys: those that no other nests."""
    nested = {path for raw in known.values() for path in nested_in(raw).values()}
    return [path for path in known if path not in nested]


# --- parameters ---------------------------------------------------------------------------------------

#: Parameters whose values mean something that no pattern can say. The values in use, shortest and longest.
SAMPLES = {
    "VpcCidr": lambda region: ["10.0.0.0/16", "192.168.255.0/24"],
    "Zones": lambda region: [f"{region}a,{region}b"],
}

#: Parameters of a deployment into a VPC that is there: all that fit together, or none.
OF_A_VPC = {
    "VpcId": "vpc-" + 17 * "0", "SubnetIds": ",".join(f"subnet-{n}" + 16 * "0" for n in (1, 2)),
    "RouteTableIds": ",".join(f"rtb-{n}" + 16 * "0" for n in (1, 2)), "EndpointSecurityGroupId": "",
}


def longest_by_pattern(parameter):
    """The length of the longest value that a parameter's pattern allows; None without an end."""
    if "AllowedPattern" not in parameter:
        return None
    _, longest = regex.parse(parameter["AllowedPattern"]).getwidth()
    return None if longest >= LONGEST_VALUE * 16 else longest


def is_unbounded(parameter):
    """Whether nothing but CloudFormation's own limit bounds a parameter's value."""
    if "AllowedValues" in parameter:
        return False
    if parameter["Type"] == "Number":
        return "MaxValue" not in parameter
    if parameter["Type"] == "CommaDelimitedList" or parameter["Type"].startswith("List<"):
        return True  # each value is bounded, at best, and never their number
    if parameter["Type"] != "String":
        return False  # a type of AWS's own: AWS looks whether the value exists
    return "MaxLength" not in parameter and longest_by_pattern(parameter) is None


class Words:
    """Strings that a regular expression matches, of a given length up to `limit`.

    `turn` chooses which characters of a class come first; `greedy` whether the parts of a string are long and
    few, or short and many.
    """

    def __init__(self, pattern, limit, turn=0, greedy=True):
        self.pattern, self.limit, self.turn, self.greedy = pattern, limit, turn, greedy
        self.tree, self.memory = regex.parse(pattern), {}

    def longest(self):
        """The longest string."""
        return self._of_length(self._lengths(self.tree).bit_length() - 1)

    def shortest(self, least=0):
        """The shortest string of at least `least` characters."""
        lengths = self._lengths(self.tree) >> least
        return self._of_length(least + (lengths & -lengths).bit_length() - 1 if lengths else -1)

    def _of_length(self, length):
        text = self._sequence(self.tree, length) if length >= 0 else None
        if text is None or not re.fullmatch(self.pattern, text):
            raise ValueError(f"no string of up to {self.limit} characters for {self.pattern}: say a value in SAMPLES")
        return text

    # Lengths are a set, kept as the bits of a number.

    def _lengths(self, items):
        return self._suffixes(items)[0]

    def _suffixes(self, items):
        """The lengths of a sequence from each of its items on."""
        if id(items) not in self.memory:
            found = [1]
            for item in reversed(list(items)):
                found.append(_sums(found[-1], self._item_lengths(item), self.limit))
            self.memory[id(items)] = found[::-1]
        return self.memory[id(items)]

    def _item_lengths(self, item):
        operation, argument = item
        match operation:
            case regex.LITERAL | regex.NOT_LITERAL | regex.IN | regex.ANY:
                return 2
            case regex.AT | regex.ASSERT | regex.ASSERT_NOT:
                return 1  # what they ask for is seen when the string is matched
            case regex.BRANCH:
                return functools.reduce(int.__or__, (self._lengths(branch) for branch in argument[1]))
            case regex.SUBPATTERN:
                return self._lengths(argument[3])
            case regex.MAX_REPEAT | regex.MIN_REPEAT:
                low, _, items = argument
                sums = self._repeats(argument)
                return functools.reduce(int.__or__, sums if self._lengths(items) & 1 else sums[low:], 0)
        raise NotImplementedError(f"{operation} in a pattern")

    def _repeats(self, argument):
        """The lengths of zero, one, two … repetitions, none of them empty."""
        _, high, items = argument
        key = (id(items), int(high))
        if key not in self.memory:
            one, sums = self._lengths(items) & ~1, [1]
            while len(sums) <= min(high, self.limit) and (more := _sums(sums[-1], one, self.limit)):
                sums.append(more)
            self.memory[key] = sums
        return self.memory[key]

    def _order(self, lengths):
        found = [length for length in range(lengths.bit_length()) if lengths >> length & 1]
        return found[::-1] if self.greedy else found

    def _sequence(self, items, length):
        text, suffixes = "", self._suffixes(items)
        for item, rest in zip(list(items), suffixes[1:]):
            mine = next(m for m in self._order(self._item_lengths(item))
                        if m <= length and rest >> (length - m) & 1)
            text += self._item(item, mine)
            length -= mine
        return text

    def _item(self, item, length):
        operation, argument = item
        match operation:
            case regex.LITERAL:
                return chr(argument)
            case regex.IN | regex.ANY | regex.NOT_LITERAL:
                self.turn += 1
                characters = _characters(operation, argument)
                return characters[self.turn % len(characters)]
            case regex.BRANCH:
                fitting = [branch for branch in argument[1] if self._lengths(branch) >> length & 1]
                self.turn += 1
                return self._sequence(fitting[self.turn % len(fitting)], length)
            case regex.SUBPATTERN:
                return self._sequence(argument[3], length)
            case regex.MAX_REPEAT | regex.MIN_REPEAT:
                return self._repetition(argument, length)
        return ""

    def _repetition(self, argument, length):
        sums, one, text = self._repeats(argument), self._order(self._lengths(argument[2]) & ~1), ""
        possible = [count for count, lengths in enumerate(sums) if lengths >> length & 1]
        possible = [count for count in possible if count >= argument[0]] or possible
        for left in range((possible[0] if self.greedy else possible[-1]) - 1, -1, -1):
            mine = next(m for m in one if m <= length and sums[left] >> (length - m) & 1)
            text += self._sequence(argument[2], mine)
            length -= mine
        return text


def _sums(left, right, limit):
    """The lengths of what consists of two parts."""
    total = 0
    if left.bit_count() > right.bit_count():
        left, right = right, left
    while left:
        base = (left & -left).bit_length() - 1
        total |= right << base
        left &= left - 1
    return total & ((1 << (limit + 1)) - 1)


PRINTABLE = [chr(code) for code in range(33, 127)]


@functools.cache
def _class(argument):
    negated, found = False, []
    for kind, value in argument:
        match kind:
            case regex.NEGATE:
                negated = True
            case regex.LITERAL:
                found.append(chr(value))
            case regex.RANGE:
                found += [chr(code) for code in range(value[0], value[1] + 1)]
            case regex.CATEGORY:
                letter = {regex.CATEGORY_DIGIT: r"\d", regex.CATEGORY_WORD: r"\w", regex.CATEGORY_SPACE: r"\s"}[value]
                found += [c for c in [*PRINTABLE, " "] if re.match(letter, c)]
    return [c for c in PRINTABLE if c not in found] if negated else found


def _characters(operation, argument):
    if operation is regex.ANY:
        return PRINTABLE
    if operation is regex.NOT_LITERAL:
        return [c for c in PRINTABLE if c != chr(argument)]
    return _class(tuple((kind, tuple(v) if isinstance(v, (list, tuple)) else v) for kind, v in argument))


@dataclass
class Setting:
    """In which Region a template is deployed, under which stack name, and with which values."""

    name: str
    region: str
    stack: str = "restore-proof"
    #: `default`, `minimal` or `maximal`.
    values: str = "default"
    #: Goes round the allowed values and the characters of patterns.
    turn: int = 0
    given: dict = field(default_factory=dict)

    def value(self, name, parameter):
        """The value of a parameter of a template that a user deploys."""
        if name in self.given:
            return self.given[name]
        if name in OF_A_VPC:
            return str(parameter["Default"])
        if self.values == "default" and "Default" in parameter:
            return str(parameter["Default"])
        if "AllowedValues" in parameter:
            allowed = parameter["AllowedValues"]
            if parameter["Type"] == "CommaDelimitedList" and self.values == "maximal":
                return ",".join(allowed)
            return str(allowed[self.turn % len(allowed)])
        if parameter["Type"] == "Number":
            least, most = parameter.get("MinValue", 0), parameter.get("MaxValue", 1)
            return str(most if self.values == "maximal" else least)
        if parameter["Type"] not in ("String", "CommaDelimitedList"):
            raise NotImplementedError(f"{name} has the type {parameter['Type']}: say here what its values look like")
        if name in SAMPLES and (self.values == "maximal" or not _allows_empty(parameter)):
            return SAMPLES[name](self.region)[-1 if self.values == "maximal" else 0]
        return self._word(name, parameter)

    def _word(self, name, parameter):
        pattern = parameter.get("AllowedPattern", "[a-z]*")
        # ARNs of the Region and account at hand, whatever letters the pattern allows there.
        partition = partition_of(self.region)
        pattern = re.sub(r"arn:[^:]*:", f"arn:{partition}:", pattern)
        pattern = re.sub(r"(arn:[^:]*:[a-z0-9]+):[^:]*\[[^:]*:", rf"\1:{self.region}:", pattern)
        pattern = re.sub(r":(?:\[0-9\]|\\d)\{12\}:", f":{ACCOUNT}:", pattern)
        # What has no bound is a finding of its own, and would fail every other limit as well.
        most = 300 if is_unbounded(parameter) else min(int(parameter.get("MaxLength", LONGEST_VALUE)), LONGEST_VALUE)
        return word_of(pattern, most, self.turn, int(parameter.get("MinLength", 0)), self.values == "minimal")


@functools.cache
def word_of(pattern, most, turn, least, shortest):
    words = Words(pattern, most, turn, greedy=turn % 2 == 0)
    return words.shortest(least) if shortest else words.longest()


def _allows_empty(parameter):
    return not parameter.get("MinLength") and bool(re.fullmatch(parameter.get("AllowedPattern", ".*"), ""))


def partition_of(region):
    return botocore_session().get_partition_for_region(region)


@functools.cache
def botocore_session():
    return Session()


@functools.cache
def url_suffix(region):
    data = botocore_session().get_data("partitions")["partitions"]
    return next(p["outputs"]["dnsSuffix"] for p in data if p["id"] == partition_of(region))


# --- stacks -------------------------------------------------------------------------------------------

#: Resources with a name: its property, its longest, and what AWS answers for Ref and GetAtt of Arn. `~` is the
#: name. Sources: "Return values" of each resource type in the CloudFormation template reference.
NAMED = {
    "AWS::CloudWatch::Alarm": ("AlarmName", 255, "~", "arn:@:cloudwatch:R:A:alarm:~"),
    "AWS::CloudWatch::CompositeAlarm": ("AlarmName", 255, "~", "arn:@:cloudwatch:R:A:alarm:~"),
    "AWS::DynamoDB::Table": ("TableName", 255, "~", "arn:@:dynamodb:R:A:table/~"),
    "AWS::Athena::WorkGroup": ("Name", 128, "~", "arn:@:athena:R:A:workgroup/~"),
    "AWS::Events::EventBus": ("Name", 256, "~", "arn:@:events:R:A:event-bus/~"),
    "AWS::Events::Rule": ("Name", 64, "~", "arn:@:events:R:A:rule/~"),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", 128, "arn:@:iam::A:policy/~", None),
    "AWS::IAM::Role": ("RoleName", 64, "~", "arn:@:iam::A:role/~"),
    "AWS::Lambda::Function": ("FunctionName", 64, "~", "arn:@:lambda:R:A:function:~"),
    "AWS::Logs::LogGroup": ("LogGroupName", 512, "~", "arn:@:logs:R:A:log-group:~:*"),
    "AWS::Logs::MetricFilter": ("FilterName", 512, "~", None),
    "AWS::Pipes::Pipe": ("Name", 64, "~", "arn:@:pipes:R:A:pipe/~"),
    "AWS::RDS::DBSubnetGroup": ("DBSubnetGroupName", 255, "~", "arn:@:rds:R:A:subgrp:~"),
    "AWS::S3::Bucket": ("BucketName", 63, "~", "arn:@:s3:::~"),
    "AWS::SNS::Topic": ("TopicName", 256, "arn:@:sns:R:A:~", None),
    "AWS::SQS::Queue": ("QueueName", 80, "https://sqs.R.S/A/~", "arn:@:sqs:R:A:~"),
    "AWS::Scheduler::Schedule": ("Name", 64, "~", "arn:@:scheduler:R:A:schedule/default/~"),
    "AWS::SecretsManager::Secret": ("Name", 512, "arn:@:secretsmanager:R:A:secret:~-AbCdEf", None),
}

#: Resources that AWS names by an id: its prefix, and GetAtt's answers (`~` is the id).
BY_ID = {
    "AWS::EC2::FlowLog": ("fl-", {}),
    "AWS::EC2::RouteTable": ("rtb-", {}),
    "AWS::EC2::SecurityGroup": ("sg-", {"GroupId": "~"}),
    "AWS::EC2::SecurityGroupEgress": ("sgr-", {}),
    "AWS::EC2::SecurityGroupIngress": ("sgr-", {}),
    "AWS::EC2::Subnet": ("subnet-", {"SubnetId": "~"}),
    "AWS::EC2::SubnetRouteTableAssociation": ("rtbassoc-", {}),
    "AWS::EC2::VPC": ("vpc-", {"VpcId": "~"}),
    "AWS::EC2::VPCEndpoint": ("vpce-", {"Id": "~"}),
    "AWS::KMS::Key": ("key", {"Arn": "arn:@:kms:R:A:key/~", "KeyId": "~"}),
    "AWS::Route53Resolver::FirewallDomainList": ("rslvr-fdl-", {"Id": "~"}),
    "AWS::Route53Resolver::FirewallRuleGroup": ("rslvr-frg-", {"Id": "~"}),
    "AWS::Route53Resolver::FirewallRuleGroupAssociation": ("rslvr-frgassoc-", {"Id": "~"}),
}


@dataclass
class Resource:
    """One resource of a stack, everything about it known."""

    stack: "Stack"
    logical: str
    type: str
    properties: dict
    #: The resource as the template has it.
    raw: dict

    @property
    def place(self):
        return f"{self.stack.file} {self.logical}"

    @property
    def name(self):
        """Its own name, given or as CloudFormation generates it."""
        return self.stack.name_of(self.logical)

    @property
    def ref(self):
        return self.stack.values[self.logical]

    @functools.cached_property
    def policies(self):
        """Every policy document in it: its path and the document."""
        if self.type == "AWS::Events::EventBusPolicy" and isinstance(self.properties.get("Statement"), dict):
            return [("Statement", {"Version": "2012-10-17", "Statement": [self.properties["Statement"]]})]
        return list(_policies(self.properties, ""))


def _policies(node, path):
    if isinstance(node, dict):
        if "Statement" in node and "Version" in node:
            yield path, node
            return
        for key, value in node.items():
            yield from _policies(value, f"{path}.{key}".lstrip("."))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _policies(value, f"{path}[{index}]")


class _Values(dict):
    """What Ref and GetAtt answer: parameters and pseudo parameters, and resources when they are asked for."""

    def __init__(self, stack, known):
        super().__init__(known)
        self.stack = stack

    def __missing__(self, key):
        self[key] = value = self.stack.made_up(key)
        return value


class Stack(Resolver):
    """A template under a setting; the nested stacks are its `children`."""

    def __init__(self, file, known, setting, given=None, stack_name=None):
        super().__init__(known[file], file)
        self.file, self.setting = file, setting
        self.name = stack_name or setting.stack
        self.is_nested = given is not None
        pseudo = {
            "AWS::AccountId": ACCOUNT, "AWS::Region": setting.region, "AWS::StackName": self.name,
            "AWS::Partition": partition_of(setting.region), "AWS::URLSuffix": url_suffix(setting.region),
            "AWS::StackId": f"arn:{partition_of(setting.region)}:cloudformation:{setting.region}:{ACCOUNT}:stack/"
                            f"{self.name}/5ea50000-0000-4000-8000-000000000001",
        }
        parameters = {}
        for name, parameter in self.raw.get("Parameters", {}).items():
            if self.is_nested and name not in given and "Default" not in parameter:
                raise ValueError(f"{file}: the parameter {name} has no value: the nested stack must give one")
            nested = given.get(name, str(parameter.get("Default"))) if self.is_nested else None
            parameters[name] = nested if self.is_nested else setting.value(name, parameter)
        self.parameters = parameters
        self.values = _Values(self, pseudo | {
            name: parameter_value(self.raw["Parameters"][name], value) for name, value in parameters.items()
        })
        self.known, self.children = known, {}
        for logical, path in nested_in(self.raw).items():
            if self.exists(self.raw["Resources"][logical]):
                passed = self.raw["Resources"][logical]["Properties"].get("Parameters", {})
                child_name = f"{self.name}-{logical}"[:115] + "-0123456789AB"
                child = Stack.__new__(Stack)
                self.children[logical] = child
                child.__init__(path, known, setting, {k: str(self.resolve(v)) for k, v in passed.items()}, child_name)

    def everything(self):
        """This stack and those below it."""
        yield self
        for child in self.children.values():
            yield from child.everything()

    @functools.cached_property
    def resources(self):
        """The resources that this setting makes, resolved."""
        return {
            logical: Resource(self, logical, raw["Type"], self.resolve(raw.get("Properties", {})) or {}, raw)
            for logical, raw in self.raw["Resources"].items() if self.exists(raw)
        }

    # --- what AWS answers

    def name_of(self, logical):
        raw = self.raw["Resources"][logical]
        property_name, longest, *_ = NAMED[raw["Type"]]
        if property_name in raw.get("Properties", {}):
            given = self.resolve(raw["Properties"][property_name])
            if given is not None:
                return given
        if raw["Type"] == "AWS::SecretsManager::Secret":
            return f"{logical}-abcdefghij12"  # no stack's name here: "AWS::SecretsManager::Secret", Name
        # Under the longest name of a stack two resources differ by this alone.
        suffix = hashlib.sha256(logical.encode()).hexdigest()[:12].upper()
        generated = f"{self.name}-{logical}"[:longest - 13] + f"-{suffix}"
        return generated.lower() if raw["Type"] == "AWS::S3::Bucket" else generated

    def answer(self, reference):
        return self.values[reference]

    def made_up(self, key):
        """What Ref (`Topic`) or GetAtt (`Topic.TopicArn`) answers, of a resource that does not exist yet."""
        logical, _, attribute = key.partition(".")
        if logical not in self.raw["Resources"]:
            raise KeyError(f"{self.file}: {key} is neither a parameter nor a resource")
        raw = self.raw["Resources"][logical]
        kind = raw["Type"]
        if kind == "AWS::CloudFormation::Stack" and attribute.startswith("Outputs."):
            child = self.children[logical]
            return child.resolve(child.raw["Outputs"][attribute.removeprefix("Outputs.")]["Value"])
        if kind in BY_ID:
            prefix, attributes = BY_ID[kind]
            digest = hashlib.sha256(f"{self.name}/{logical}".encode()).hexdigest()
            identity = f"{digest[:8]}-0000-4000-8000-{digest[:12]}" if prefix == "key" else prefix + digest[:17]
            form = "~" if not attribute else attributes.get(attribute)
            if kind == "AWS::EC2::Subnet" and attribute == "AvailabilityZone":
                return self.resolve(raw["Properties"]["AvailabilityZone"])
        elif kind in NAMED:
            identity = self.name_of(logical)
            _, _, ref, arn = NAMED[kind]
            form = {"": ref, "Arn": arn, NAMED[kind][0]: "~", "TopicArn": ref, "Id": ref}.get(attribute)
            if kind == "AWS::IAM::Role":
                path = self.resolve(raw["Properties"].get("Path", "/")) or "/"
                form = form and form.replace("role/", f"role{path}")
            if kind == "AWS::Events::Rule" and raw["Properties"].get("EventBusName"):
                bus = self.resolve(raw["Properties"]["EventBusName"]) or "default"
                bus = bus.rpartition("/")[2]
                form = form and form.replace("~", "~" if bus == "default" else f"{bus}/~")
        elif not attribute:
            return f"{self.name}-{logical}-ABCDEFGHIJ12"
        else:
            form = None
        if form is None:
            raise NotImplementedError(f"{self.file}: say here what GetAtt answers for {kind} {attribute}")
        values = {"@": self.values["AWS::Partition"], "R": self.setting.region, "A": ACCOUNT,
                  "S": self.values["AWS::URLSuffix"], "~": identity}
        return re.sub(r"@|~|(?<![A-Za-z0-9])[RAS](?![A-Za-z0-9])", lambda found: values[found.group()], form)
