"""CloudFormation's language: short forms, SAM's transform, intrinsic functions, conditions and rules."""

import base64
import copy
import ipaddress
import logging
import re
from pathlib import Path

import boto3
import yaml
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

# SAM warns that its usage figures were not sent.
logging.getLogger("samtranslator").setLevel(logging.ERROR)


class Loader(yaml.SafeLoader):
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


Loader.add_multi_constructor("!", _short_form)


def load(path):
    """A template as it is in its file, short forms as long forms."""
    return yaml.load(Path(path).read_text(encoding="utf-8"), Loader)


def translate(raw, region, parameters=()):
    """The template as CloudFormation gets it from SAM's transform; one without the transform as it is."""
    if "AWS::Serverless-2016-10-31" not in str(raw.get("Transform", "")):
        return raw
    raw = copy.deepcopy(raw)
    for resource in raw["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # `sam package` writes the uploaded object here.
            resource["Properties"]["CodeUri"] = "s3://artifacts-of-sam/function.zip"
    # SAM asks boto3 for the partition of a Region.
    session = boto3.session.Session(region_name=region)
    translator = Translator(managed_policy_map={}, sam_parser=Parser(), boto_session=session)
    return translator.translate(raw, dict(parameters))


def parameter_value(parameter, value):
    """What `Ref` of a parameter answers: a list for one of several values, which CloudFormation frees of spaces."""
    if parameter["Type"] == "CommaDelimitedList" and isinstance(value, str):
        return [item.strip() for item in value.split(",")]
    return value


class Resolver:
    """A template whose intrinsic functions can be answered; `answer` knows what its references stand for."""

    def __init__(self, raw, place):
        self.raw, self.place = raw, place

    def answer(self, reference):
        """What `Ref` (`Topic`) or `GetAtt` (`Ledger.Arn`) answers."""
        raise NotImplementedError

    def resolve(self, node):
        """The node with every intrinsic function replaced by its value, and without what is AWS::NoValue."""
        if isinstance(node, list):
            return [item for item in map(self.resolve, node) if item is not None]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name, argument), = node.items()
            if name == "Ref":
                return None if argument == "AWS::NoValue" else self.answer(argument)
            if name.startswith("Fn::"):
                return self._function(name, argument)
        found = {key: self.resolve(value) for key, value in node.items()}
        return {key: value for key, value in found.items() if value is not None}

    def exists(self, resource):
        """Whether a resource's condition, if it has one, lets it be."""
        return "Condition" not in resource or self.holds(resource["Condition"])

    def holds(self, condition):
        """Whether a condition holds, by its name."""
        return self._condition(self.raw["Conditions"][condition])

    def refusals(self):
        """What the template's own rules say against its parameters ("Rules" of the template reference)."""
        found = []
        for rule in self.raw.get("Rules", {}).values():
            if "RuleCondition" in rule and not self._condition(rule["RuleCondition"]):
                continue
            found += [a.get("AssertDescription", "") for a in rule["Assertions"] if not self._condition(a["Assert"])]
        return found

    def _function(self, name, argument):
        match name:
            case "Fn::GetAtt":
                return self.answer(argument if isinstance(argument, str) else ".".join(argument))
            case "Fn::If":
                condition, then, otherwise = argument
                return self.resolve(then if self.holds(condition) else otherwise)
            case "Fn::Select":
                return self.resolve(argument[1])[int(self.resolve(argument[0]))]
            case "Fn::Split":
                return self.resolve(argument[1]).split(argument[0])
            case "Fn::Join":
                return argument[0].join(str(item) for item in self.resolve(argument[1]))
            case "Fn::Sub":
                return self._sub(*((argument, {}) if isinstance(argument, str) else argument))
            case "Fn::Base64":
                return base64.b64encode(self.resolve(argument).encode()).decode()
            case "Fn::GetAZs":
                region = self.resolve(argument) or self.answer("AWS::Region")
                return [region + letter for letter in "abc"]
            case "Fn::Cidr":
                block, count, bits = (self.resolve(item) for item in argument)
                subnets = ipaddress.ip_network(block, strict=False).subnets(new_prefix=32 - int(bits))
                return [str(subnet) for subnet, _ in zip(subnets, range(int(count)))]
            case "Fn::FindInMap":
                mapping, first, second = (self.resolve(item) for item in argument)
                return self.raw["Mappings"][mapping][first][second]
        raise NotImplementedError(f"{self.place}: say here what {name} answers")

    def _sub(self, text, local):
        local = {key: self.resolve(value) for key, value in local.items()}

        def value(found):
            key = found.group(1)
            # ${!Name} is the text ${Name}.
            return f"${{{key[1:]}}}" if key[0] == "!" else str(local[key] if key in local else self.answer(key))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    def _condition(self, node):
        (name, argument), = node.items()
        match name:
            case "Condition":
                return self.holds(argument)
            case "Fn::Not":
                return not self._condition(argument[0])
            case "Fn::And":
                return all([self._condition(item) for item in argument])
            case "Fn::Or":
                return any([self._condition(item) for item in argument])
            case "Fn::Equals":
                left, right = (str(self.resolve(item)) for item in argument)
                return left == right
            case "Fn::Contains":
                return self.resolve(argument[1]) in self.resolve(argument[0])
        raise NotImplementedError(f"{self.place}: say here when {name} holds")
