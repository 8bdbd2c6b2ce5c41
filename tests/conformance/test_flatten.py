"""The flattened template says what template.yaml and what it nests say, resource by resource.

Both forms are brought into one normal form and compared: references are names, what can be computed is computed, and
conditions are the expressions that they stand for. So no values of parameters are needed, and no case is left out.
"""

import copy
import re
import sys

import pytest
import yaml

from cloudformation import Loader
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import flatten  # noqa: E402

CODE = "restore-proof-0.1.0-x86_64-0123456789abcdef.zip"

TEMPLATE = ROOT / "template.yaml"


class Normal:
    """A template's resources in normal form, by their names in the flattened template."""

    def __init__(self, template, folder=None, prefix="", arguments=None):
        self.template, self.prefix, self.arguments = template, prefix, arguments or {}
        self.nested = {}
        for name, resource in template["Resources"].items():
            if resource["Type"] == "AWS::CloudFormation::Stack":
                inner = yaml.load((folder / resource["Properties"]["TemplateURL"]).read_text(), Loader)
                given = {key: value["Default"] for key, value in inner["Parameters"].items() if "Default" in value}
                given |= {key: self.of(value) for key, value in resource["Properties"]["Parameters"].items()}
                self.nested[name] = Normal(inner, prefix=name, arguments=given)

    def resources(self):
        found = {}
        for name, resource in self.template["Resources"].items():
            if name in self.nested:
                inner = self.nested[name].resources()
                if "Condition" in resource:
                    inner = {key: entry | {"Condition": self.condition(resource["Condition"])} for key, entry in inner.items()}
                found |= inner
                continue
            entry = {key: self.of(value) for key, value in resource.items() if key not in ("Condition", "DependsOn")}
            if "Condition" in resource:
                entry["Condition"] = self.condition(resource["Condition"])
            if waits_for := resource.get("DependsOn"):
                entry["DependsOn"] = sorted(self.prefix + other for other in (
                    [waits_for] if isinstance(waits_for, str) else waits_for))
            found[self.prefix + name] = entry
        return found

    def outputs(self):
        return self.of(self.template["Outputs"])

    def condition(self, name):
        return self.of(self.template["Conditions"][name])

    def reference(self, path):
        name, _, attribute = path.partition(".")
        if name in self.arguments:
            return self.arguments[name]
        if name in self.nested:
            output = self.nested[name].template["Outputs"][attribute.removeprefix("Outputs.")]
            return self.nested[name].of(output["Value"])
        return f"<{self.prefix if name in self.template['Resources'] else ''}{path}>"

    def of(self, node):
        if isinstance(node, list):
            return [self.of(item) for item in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (key, value), = node.items()
            if key == "Ref":
                return self.reference(value)
            if key == "Fn::GetAtt":
                return self.reference(".".join(value))
            if key == "Condition" and isinstance(value, str):
                return self.condition(value)
            if key == "Fn::If":
                return {"If": [self.condition(value[0]), *map(self.of, value[1:])]}
            if key == "Fn::Sub":
                return self.text(value)
            if key == "Fn::Join":
                items = self.of(value[1])
                return value[0].join(items) if all(isinstance(item, str) for item in items) else {
                    "Join": [value[0], items]}
        return {key: self.of(value) for key, value in node.items()}

    def text(self, value):
        text, given = (value, {}) if isinstance(value, str) else value
        given = {key: self.of(item) for key, item in given.items()}

        def replaced(found):
            name = found.group(1)
            return str(given[name] if name in given else self.reference(name))

        return re.sub(r"\$\{([^!}][^}]*)\}", replaced, text).replace("${!", "${")


@pytest.fixture(scope="module")
def source():
    return Normal(flatten.translated(TEMPLATE, CODE), TEMPLATE.parent)


@pytest.fixture(scope="module")
def flat():
    """The flattened template as it is written, read again."""
    return yaml.load(flatten.written(flatten.flat(TEMPLATE, CODE, "x86_64"), TEMPLATE.name), Loader)


def differences(one, other):
    """The resources that the two do not have in common."""
    return sorted({key for key in one.keys() | other.keys() if one.get(key) != other.get(key)})


def test_every_resource_is_the_same(source, flat):
    resources = source.resources()
    types = {resource["Type"] for resource in resources.values()}
    assert {"AWS::Lambda::Function", "AWS::EC2::VPCEndpoint", "AWS::Events::Rule"} <= types
    assert len(resources) > len(source.template["Resources"]), "the nested ones are among them"
    assert differences(resources, Normal(flat).resources()) == []


def test_what_the_stack_says_of_itself_is_the_same(source, flat):
    assert source.outputs() == Normal(flat).outputs()
    for section in ("Description", "Rules", "Mappings"):
        assert source.template.get(section) == flat.get(section)


def test_parameters_are_the_same_but_for_the_code_and_its_architecture(source, flat):
    parameters = copy.deepcopy(flat["Parameters"])
    assert {name: parameters.pop(name) for name in flatten.CODE_PARAMETERS} == flatten.CODE_PARAMETERS
    expected = copy.deepcopy(source.template["Parameters"])
    expected["Architecture"] |= {"Default": "x86_64", "AllowedValues": ["x86_64"]}
    assert parameters == expected


def test_nothing_is_left_to_transform_to_nest_or_to_upload(flat):
    assert "Transform" not in flat
    for name, resource in flat["Resources"].items():
        assert not resource["Type"].startswith(("AWS::Serverless::", "AWS::CloudFormation::Stack")), name
    assert flat["Resources"]["RestoreProofFunction"]["Properties"]["Code"] == {
        "S3Bucket": {"Ref": "CodeBucket"}, "S3Key": {"Fn::Sub": "${CodePrefix}" + CODE}}


def test_each_parameter_stands_in_a_group(flat):
    groups = flat["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(flat["Parameters"])


def _walk(node, found):
    """Every dict in a node."""
    if isinstance(node, dict):
        found.append(node)
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _walk(item, found)
    return found


def _first(template, matches):
    return next(node for node in _walk(template["Resources"], []) if matches(node))


def _drop_a_resource(template):
    del template["Resources"]["NetworkRoutesOfSubnetB"]


def _widen_a_statement(template):
    statement = _first(template, lambda node: node.get("Sid") == "OurLedger")
    statement["Action"].append("dynamodb:Scan")


def _swap_a_reference(template):
    _first(template, lambda node: node.get("Ref") == "NetworkSubnetB")["Ref"] = "NetworkSubnetA"


def _swap_an_attribute(template):
    node = _first(template, lambda node: node.get("Fn::GetAtt") == ["NetworkMachineSecurityGroup", "GroupId"])
    node["Fn::GetAtt"] = ["NetworkDatabaseSecurityGroup", "GroupId"]


def _change_a_condition(template):
    template["Conditions"]["NetworkHasFlowLogs"] = {"Fn::Equals": [{"Ref": "FlowLogs"}, "false"]}


def _lose_a_condition(template):
    del template["Resources"]["NetworkFlowLog"]["Condition"]


def _lose_a_policy(template):
    del template["Resources"]["Ledger"]["DeletionPolicy"]


def _change_a_text(template):
    node = _first(template, lambda node: node.get("Fn::Sub") == "${ResultsBucket.Arn}/records/*")
    node["Fn::Sub"] = "${ResultsBucket.Arn}/*"


def _swap_the_arms_of_an_if(template):
    arms = _first(template, lambda node: node.get("Fn::If", [""])[0] == "NetworkHasTwoEndpointZones")["Fn::If"]
    arms[1:] = reversed(arms[1:])


@pytest.mark.parametrize("change", [
    _drop_a_resource, _widen_a_statement, _swap_a_reference, _swap_an_attribute, _change_a_condition,
    _lose_a_condition, _lose_a_policy, _change_a_text, _swap_the_arms_of_an_if])
def test_a_planted_difference_is_found(source, flat, change):
    changed = copy.deepcopy(flat)
    change(changed)
    assert differences(source.resources(), Normal(changed).resources())


OUTER = """
Transform: AWS::Serverless-2016-10-31
Metadata: {AWS::CloudFormation::Interface: {ParameterGroups: []}}
Parameters:
  Architecture: {Type: String, AllowedValues: [x86_64, arm64]}
  Name: {Type: String, AllowedPattern: ^a$}
Conditions:
  IsA: !Equals [!Ref Name, a]
Resources:
  Topic: {Type: AWS::SNS::Topic}
  Inner:
    Type: AWS::CloudFormation::Stack
    DependsOn: Topic
    Properties:
      TemplateURL: inner.yaml
      Parameters: {Label: !Ref Name, Topic: !Ref Topic, Joined: !Join [".", [!Ref Name, b]]}
  Last: {Type: AWS::SQS::Queue, DependsOn: [Inner, Topic]}
Outputs:
  Arn: {Value: !Sub "${Inner.Outputs.Arn}/${!Name}"}
"""

INNER = """
Parameters:
  Label: {Type: String, AllowedPattern: ^a$}
  Topic: {Type: String}
  Joined: {Type: String}
  Fixed: {Type: String, Default: "50%${x"}
Conditions:
  IsA: !Not [!Equals [!Ref Label, a]]
  IsNotB: !And [{Condition: IsA}, !Equals [!Ref Label, b]]
Resources:
  First:
    Type: AWS::SQS::Queue
    Condition: IsNotB
    Properties:
      QueueName: !Sub ["${Label}-${Topic}-${Joined}-${Fixed}-${Own}-${!Label}", {Own: !Ref Topic}]
      Tags: !If [IsA, [], []]
  Second: {Type: AWS::SQS::Queue, DependsOn: First, Properties: {QueueName: !GetAtt First.QueueName}}
Outputs:
  Arn: {Value: !GetAtt Second.Arn}
  Sometimes: {Value: x, Condition: IsA}
"""


def flattened(folder, outer=OUTER, inner=INNER):
    (folder / "outer.yaml").write_text(outer)
    (folder / "inner.yaml").write_text(inner)
    return flatten.flat(folder / "outer.yaml", CODE, "x86_64")


def test_names_do_not_meet_and_text_stays_text(tmp_path):
    made = flattened(tmp_path)
    assert made["Conditions"] == {
        "IsA": {"Fn::Equals": [{"Ref": "Name"}, "a"]},
        "InnerIsA": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Name"}, "a"]}]},
        "InnerIsNotB": {"Fn::And": [{"Condition": "InnerIsA"}, {"Fn::Equals": [{"Ref": "Name"}, "b"]}]},
    }
    assert made["Resources"] == {
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Last": {"Type": "AWS::SQS::Queue", "DependsOn": ["Topic", "InnerFirst", "InnerSecond"]},
        "InnerFirst": {
            "Type": "AWS::SQS::Queue", "Condition": "InnerIsNotB", "DependsOn": ["Topic"],
            "Properties": {
                "QueueName": {"Fn::Sub": [
                    "${Name}-${Topic}-${InnerJoined}-50%${!x-${Own}-${!Label}",
                    {"Own": {"Ref": "Topic"}, "InnerJoined": {"Fn::Join": [".", [{"Ref": "Name"}, "b"]]}}]},
                "Tags": {"Fn::If": ["InnerIsA", [], []]}}},
        "InnerSecond": {
            "Type": "AWS::SQS::Queue", "DependsOn": ["InnerFirst", "Topic"],
            "Properties": {"QueueName": {"Fn::GetAtt": ["InnerFirst", "QueueName"]}}},
    }
    assert made["Outputs"] == {"Arn": {"Value": {"Fn::Sub": "${InnerSecond.Arn}/${!Name}"}}}


def test_a_condition_of_the_stack_is_one_of_each_of_its_resources(tmp_path):
    outer = OUTER.replace("DependsOn: Topic\n", "Condition: IsA\n", 1)
    inner = INNER.replace("    Condition: IsNotB\n", "", 1)
    with pytest.raises(flatten.NotFlat, match="Inner.Outputs.Arn is not an output that nested stack Inner always has"):
        flattened(tmp_path, outer=outer, inner=inner)
    made = flattened(tmp_path, outer=outer[: outer.index("Outputs:")], inner=inner)
    conditions = {name: resource.get("Condition") for name, resource in made["Resources"].items()}
    assert conditions == {"Topic": None, "Last": None, "InnerFirst": "IsA", "InnerSecond": "IsA"}


@pytest.mark.parametrize(("file", "old", "new", "says"), [
    ("outer", "DependsOn: Topic\n", "Condition: IsA\n", "nested stack Inner and its resource First have a condition each"),
    ("outer", "DependsOn: Topic\n", "DeletionPolicy: Retain\n", "nested stack Inner: DeletionPolicy"),
    ("outer", "inner.yaml\n", "inner.yaml\n      TimeoutInMinutes: 5\n", "nested stack Inner: TimeoutInMinutes"),
    ("outer", "Label: !Ref Name, ", "", "parameter Label has no value"),
    ("outer", "Label: !Ref Name, ", "Label: !Ref Name, Lable: x, ", "no parameter Lable"),
    ("outer", "^a$", "^b$", "AllowedPattern of parameter Label"),
    ("outer", "Label: !Ref Name, ", "Label: !Ref Topic, ", "condition InnerIsA would depend on a resource"),
    ("outer", "Label: !Ref Name, ", "Label: !GetAtt Topic.TopicName, ", "condition InnerIsA would depend"),
    ("outer", "Inner.Outputs.Arn", "Inner.Outputs.Sometimes", "Inner.Outputs.Sometimes is not an output"),
    ("outer", "Inner.Outputs.Arn", "Inner.Outputs.None", "Inner.Outputs.None is not an output"),
    ("outer", "  Topic: {", "  InnerFirst: {Type: AWS::SNS::Topic}\n  Topic: {", "has InnerFirst already"),
    ("inner", "\nOutputs:", "\nRules: {}\nOutputs:", "has Rules"),
    ("inner", "!Ref Topic}", "!Ref Topik}", "Topik is neither a parameter nor a resource"),
    ("outer", "[x86_64, arm64]", "[arm64]", "does not allow x86_64"),
])
def test_what_cannot_be_dissolved_is_an_error(tmp_path, file, old, new, says):
    texts = {"outer": OUTER, "inner": INNER}
    assert old in texts[file]
    texts[file] = texts[file].replace(old, new, 1)
    with pytest.raises(flatten.NotFlat, match=re.escape(says)):
        flattened(tmp_path, **texts)
