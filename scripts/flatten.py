"""Makes of template.yaml one template that CloudFormation deploys by itself: SAM's transform is applied, nested stacks
are dissolved, and the function's code is a file in a bucket of the user's.

    python scripts/flatten.py template.yaml CODE.zip ARCHITECTURE >flat.yaml

A nested stack's resources and conditions get its logical id in front of their own. Its parameters are replaced by what
the outer template gives them, what the outer template reads of its outputs by what the outputs say. Whatever cannot be
dissolved without a change of meaning is an error. A condition of the nested stack becomes one of each of its resources.
"""

import copy
import os
import re
import sys
from pathlib import Path

import yaml
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

#: What a user gives instead of a folder with code.
CODE_PARAMETERS = {
    "CodeBucket": {
        "Type": "String",
        "AllowedPattern": r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        "ConstraintDescription": "the name of a bucket",
        "Description": "The bucket of this Region into which the function's zip file was uploaded.",
    },
    "CodePrefix": {
        "Type": "String",
        "Default": "",
        "AllowedPattern": r"^$|^[a-zA-Z0-9_./-]{1,200}/$",
        "ConstraintDescription": "empty, or a folder that ends with a slash",
        "Description": "The folder in CodeBucket that holds the zip file, with a slash at its end. Empty means none.",
    },
}

#: Constraints of a parameter, which are gone when its place is taken by a parameter of the outer template.
CONSTRAINTS = ("AllowedPattern", "AllowedValues", "MinLength", "MaxLength", "MinValue", "MaxValue")


class NotFlat(Exception):
    """Something that cannot be dissolved. The text says what and where."""


class _NoManagedPolicies:
    """SAM asks AWS for the ARNs of managed policies that a function names; ours have roles of their own."""

    def load(self):
        return {}


def flat(path, code, architecture):
    """The template at `path` with its nested stacks, as one template for CloudFormation, around the zip file `code`."""
    template = translated(path, code)
    nested = {name: resource for name, resource in template["Resources"].items()
              if resource["Type"] == "AWS::CloudFormation::Stack"}
    for name, resource in nested.items():
        _dissolve(template, name, resource, Path(path).parent)
    _only(template["Parameters"]["Architecture"], architecture)
    template["Parameters"] |= CODE_PARAMETERS
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    groups.insert(0, {"Label": {"default": "The function's code"}, "Parameters": list(CODE_PARAMETERS)})
    return template


def translated(path, code):
    """The template at `path` after SAM's transform, with the function's code in the file `code` of the bucket."""
    template = yaml_parse(Path(path).read_text(encoding="utf-8"))
    template["Parameters"] |= copy.deepcopy(CODE_PARAMETERS)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # The name is part of the template and no parameter: `aws cloudformation deploy` keeps the values that
            # parameters had, and an update would go on with the old code.
            resource["Properties"]["CodeUri"] = {
                "Bucket": {"Ref": "CodeBucket"}, "Key": {"Fn::Sub": "${CodePrefix}" + code}}
            resource.pop("Metadata", None)  # how `sam build` builds it
    # SAM looks up the partition's name by the Region, and puts it nowhere that we use.
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    template = transform(template, {}, _NoManagedPolicies())
    for name in CODE_PARAMETERS:
        del template["Parameters"][name]
    return template


def _only(parameter, architecture):
    """The zip file holds a program of one architecture."""
    if architecture not in parameter["AllowedValues"]:
        raise NotFlat(f"parameter Architecture does not allow {architecture}")
    parameter |= {"Default": architecture, "AllowedValues": [architecture]}


def _dissolve(outer, name, stack, folder):
    """Puts what the nested stack `name` holds in its place."""
    unknown = set(stack) - {"Type", "Properties", "Condition", "DependsOn", "Metadata"}
    unknown |= set(stack["Properties"]) - {"TemplateURL", "Parameters"}
    if unknown:
        raise NotFlat(f"nested stack {name}: {', '.join(sorted(unknown))} cannot be carried over to its resources")
    inner = yaml_parse((folder / stack["Properties"]["TemplateURL"]).read_text(encoding="utf-8"))
    unknown = set(inner) - {"AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Mappings",
                            "Conditions", "Resources", "Outputs"}
    if unknown:
        raise NotFlat(f"the template of nested stack {name} has {', '.join(sorted(unknown))}")
    scope = _Scope(name, inner, _arguments(outer, name, inner, stack["Properties"].get("Parameters", {})),
                   "Condition" in stack)

    for section in ("Mappings", "Conditions", "Resources"):
        for key, value in inner.get(section, {}).items():
            target = outer.setdefault(section, {})
            if name + key in target:
                raise NotFlat(f"{section} of the outer template has {name + key} already")
            target[name + key] = scope.inside(value)
            if section == "Conditions":
                _check_condition(outer, name + key, target[name + key])
    added = [name + key for key in inner["Resources"]]
    for key, resource in inner["Resources"].items():
        if "Condition" in stack:
            if "Condition" in resource:
                raise NotFlat(f"nested stack {name} and its resource {key} have a condition each")
            outer["Resources"][name + key]["Condition"] = stack["Condition"]
        waits_for = [name + other for other in _list(resource.get("DependsOn"))] + _list(stack.get("DependsOn"))
        if waits_for:
            outer["Resources"][name + key]["DependsOn"] = waits_for

    del outer["Resources"][name]
    for key, resource in outer["Resources"].items():
        if key not in added and name in _list(resource.get("DependsOn")):
            resource["DependsOn"] = [other for other in _list(resource["DependsOn"]) if other != name] + added
    for section in ("Conditions", "Resources", "Outputs"):
        for key, value in outer.get(section, {}).items():
            outer[section][key] = scope.outside(value)


def _arguments(outer, name, inner, given):
    """What each parameter of the nested template stands for, in terms of the outer one."""
    parameters = inner.get("Parameters", {})
    if unknown := set(given) - set(parameters):
        raise NotFlat(f"nested stack {name} has no parameter {', '.join(sorted(unknown))}")
    values = {}
    for key, parameter in parameters.items():
        if key not in given and "Default" not in parameter:
            raise NotFlat(f"nested stack {name}: parameter {key} has no value")
        values[key] = value = given.get(key, parameter.get("Default"))
        source = outer["Parameters"].get(value["Ref"]) if isinstance(value, dict) and "Ref" in value else None
        for constraint in CONSTRAINTS if source else ():
            if constraint in parameter and parameter[constraint] != source.get(constraint):
                raise NotFlat(f"nested stack {name}: {constraint} of parameter {key} is not that of parameter "
                              f"{value['Ref']}, which takes its place")
    return values


def _check_condition(outer, name, node):
    """Conditions are decided before there is any resource."""
    if isinstance(node, list):
        for item in node:
            _check_condition(outer, name, item)
    elif isinstance(node, dict):
        ref = node.get("Ref", "AWS::")
        if "Fn::GetAtt" in node or not (ref in outer["Parameters"] or ref.startswith("AWS::")):
            raise NotFlat(f"condition {name} would depend on a resource: {node}")
        for item in node.values():
            _check_condition(outer, name, item)


def _list(value):
    return value if isinstance(value, list) else [] if value is None else [value]


class _Scope:
    """A nested template's names, and what they become in the outer one."""

    def __init__(self, name, inner, arguments, conditional):
        self._name, self._inner, self._arguments, self._conditional = name, inner, arguments, conditional
        self._outputs = inner.get("Outputs", {})

    def inside(self, node):
        """A part of the nested template, for the outer one."""
        return self._walk(node, self._inner_reference, inner=True)

    def outside(self, node):
        """A part of the outer template that may read the nested stack's outputs."""
        return self._walk(node, self._outer_reference, inner=False)

    def _walk(self, node, reference, inner):
        if isinstance(node, list):
            return [self._walk(item, reference, inner) for item in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (key, value), = node.items()
            if key == "Ref":
                return reference(value)
            if key == "Fn::GetAtt":
                return reference(value if isinstance(value, str) else ".".join(value))
            if key == "Fn::Sub":
                return self._sub(value, reference, inner)
            if key in ("Fn::If", "Fn::FindInMap") and inner:
                if not isinstance(value[0], str):
                    raise NotFlat(f"nested stack {self._name}: {key} with a computed name")
                return {key: [self._name + value[0], *(self._walk(item, reference, inner) for item in value[1:])]}
            if key == "Fn::Transform":
                raise NotFlat(f"nested stack {self._name}: a transform")
        return {
            # A condition by its name; in a policy `Condition` is a map.
            key: self._name + value if inner and key == "Condition" and isinstance(value, str)
            else self._walk(value, reference, inner)
            for key, value in node.items()
        }

    def _inner_reference(self, path):
        """What `Ref` or `GetAtt` of the nested template is in the outer one."""
        name, _, attribute = path.partition(".")
        if name.startswith("AWS::"):
            return {"Ref": path}
        if name in self._arguments:
            return copy.deepcopy(self._arguments[name])
        if name not in self._inner["Resources"]:
            raise NotFlat(f"nested stack {self._name}: {path} is neither a parameter nor a resource")
        return {"Fn::GetAtt": [self._name + name, attribute]} if attribute else {"Ref": self._name + name}

    def _outer_reference(self, path):
        """What `Ref` or `GetAtt` of the outer template is without the stack."""
        name, _, attribute = path.partition(".")
        if name != self._name:
            return {"Fn::GetAtt": [name, attribute]} if attribute else {"Ref": name}
        output = self._outputs.get(attribute.removeprefix("Outputs."))
        if not attribute.startswith("Outputs.") or output is None or "Condition" in output or self._conditional:
            raise NotFlat(f"{path} is not an output that nested stack {self._name} always has")
        return self.inside(output["Value"])

    def _sub(self, value, reference, inner):
        """`Fn::Sub` with the names in its text replaced: by other names where they stand for one, by text where they
        stand for text, and by variables where they stand for more."""
        text, given = (value, {}) if isinstance(value, str) else value
        variables = {key: self._walk(item, reference, inner) for key, item in given.items()}

        def replaced(found):
            path = found.group(1)
            if path in given:
                return found.group(0)
            new = reference(path)
            match new:
                case str():
                    return new.replace("${", "${!")
                case {"Ref": name}:
                    return f"${{{name}}}"
                case {"Fn::GetAtt": [name, attribute]} if isinstance(attribute, str):
                    return f"${{{name}.{attribute}}}"
            variable = self._name + re.sub(r"\W", "", path)
            variables[variable] = new
            return f"${{{variable}}}"

        text = re.sub(r"\$\{([^!}][^}]*)\}", replaced, text)
        if "${" not in text:
            return text
        return {"Fn::Sub": [text, variables] if variables else text}


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice: CloudFormation knows no aliases."""

    def ignore_aliases(self, data):
        return True


def written(template, source):
    """The template as text."""
    return (f"# Made by `make package` from {source} and what it nests. Change that, not this.\n"
            + yaml.dump(template, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def main():
    path, code, architecture = sys.argv[1:]
    try:
        sys.stdout.write(written(flat(path, code, architecture), Path(path).name))
    except NotFlat as error:
        sys.exit(f"error: {path} cannot be made one template: {error}")


if __name__ == "__main__":
    main()
