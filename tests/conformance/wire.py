"""Strict readers of the AWS wire protocols.

Everything an AWS SDK reads leniently is read strictly here: a member that the service model does
not know, a number written as a string, a timestamp in another format, a null. The shapes are
botocore's service models, which neither the function nor local-aws has seen.

Each reader returns Python values as botocore's validators want them and appends what is wrong to
a list of problems, each with the path of the member it is about.
"""

import base64
import binascii
import json
import math
import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, unquote
from xml.etree import ElementTree

#: Returned for a value that could not be read; a problem says why.
UNREADABLE = object()

_ISO_8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_LIST_SERIALIZATION = {"query": "member", "rest-xml": "member", "ec2": "item"}


class Problems(list):
    """What is wrong with a message, each entry a sentence that starts with the member's path."""

    def add(self, path, text):
        self.append(f"{path or 'message'}: {text}")


def timestamp(text, form, path, problems):
    """A timestamp in the given wire format, as an aware datetime."""
    if form == "unixtimestamp":
        if isinstance(text, bool) or not isinstance(text, (int, float)) or not math.isfinite(text):
            problems.add(path, f"timestamp must be a number of seconds, is {text!r}")
            return UNREADABLE
        return datetime.fromtimestamp(text, timezone.utc)
    if not isinstance(text, str):
        problems.add(path, f"timestamp must be a string, is {text!r}")
        return UNREADABLE
    try:
        if form == "iso8601":
            if not _ISO_8601.fullmatch(text):
                raise ValueError("not ISO 8601")
            return datetime.fromisoformat(re.sub(r"\.(\d{1,6})\d*", _six_digits, text))
        if not text.endswith(" GMT"):
            raise ValueError("not an HTTP date")
        return parsedate_to_datetime(text)
    except (ValueError, TypeError) as error:
        problems.add(path, f"{text!r} is no {form} timestamp ({error})")
        return UNREADABLE


def _six_digits(match):
    return "." + match.group(1).ljust(6, "0")


def from_text(shape, text, path, problems, timestamp_format):
    """A scalar of the given shape from text, as in headers, query strings and XML."""
    kind = shape.type_name
    if kind in ("string", "character"):
        return text
    if kind in ("integer", "long", "short", "byte"):
        if re.fullmatch(r"-?\d+", text):
            return int(text)
    elif kind in ("float", "double"):
        try:
            return float(text)
        except ValueError:
            pass
    elif kind == "boolean":
        if text in ("true", "false"):
            return text == "true"
    elif kind == "timestamp":
        form = shape.serialization.get("timestampFormat", timestamp_format)
        if form == "unixtimestamp":
            try:
                text = float(text)
            except ValueError:
                pass
        return timestamp(text, form, path, problems)
    elif kind == "blob":
        return _unbase64(text, path, problems)
    problems.add(path, f"{text!r} is no {kind}")
    return UNREADABLE


def _unbase64(text, path, problems):
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        problems.add(path, f"{text[:40]!r} is not base64")
        return UNREADABLE


# --- JSON ------------------------------------------------------------------------------------


def from_json(shape, raw, path, problems, skip_located=False):
    """A value of the given shape from decoded JSON.

    With `skip_located` the members that travel in headers, query string or path are not members
    of the body (the REST protocols).
    """
    kind = shape.type_name
    if raw is None:
        problems.add(path, "is null; AWS leaves a missing member out")
        return UNREADABLE
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return raw
        if not isinstance(raw, dict):
            problems.add(path, f"must be an object, is {raw!r}")
            return UNREADABLE
        return _json_structure(shape, raw, path, problems, skip_located)
    if kind == "list":
        if not isinstance(raw, list):
            problems.add(path, f"must be a list, is {raw!r}")
            return UNREADABLE
        items = (
            from_json(shape.member, item, f"{path}[{index}]", problems)
            for index, item in enumerate(raw)
        )
        return [item for item in items if item is not UNREADABLE]
    if kind == "map":
        if not isinstance(raw, dict):
            problems.add(path, f"must be an object, is {raw!r}")
            return UNREADABLE
        values = {
            key: from_json(shape.value, value, f"{path}.{key}", problems)
            for key, value in raw.items()
        }
        return {key: value for key, value in values.items() if value is not UNREADABLE}
    return _json_scalar(shape, raw, path, problems)


def _json_structure(shape, raw, path, problems, skip_located):
    by_wire_name = {
        member.serialization.get("name", name): (name, member)
        for name, member in shape.members.items()
        if not (skip_located and "location" in member.serialization)
    }
    result = {}
    for wire_name, value in raw.items():
        if wire_name == "__type":
            continue
        known = by_wire_name.get(wire_name)
        if known is None:
            problems.add(f"{path}.{wire_name}", f"{shape.name} has no such member")
            continue
        name, member = known
        value = from_json(member, value, f"{path}.{wire_name}", problems)
        if value is not UNREADABLE:
            result[name] = value
    return result


def _json_scalar(shape, raw, path, problems):
    kind = shape.type_name
    is_number = isinstance(raw, (int, float)) and not isinstance(raw, bool)
    if kind in ("string", "character") and isinstance(raw, str):
        return raw
    if kind in ("integer", "long", "short", "byte") and is_number and isinstance(raw, int):
        return raw
    if kind in ("float", "double") and is_number:
        return float(raw)
    if kind == "boolean" and isinstance(raw, bool):
        return raw
    if kind == "timestamp":
        form = shape.serialization.get("timestampFormat", "unixtimestamp")
        return timestamp(raw, form, path, problems)
    if kind == "blob" and isinstance(raw, str):
        return _unbase64(raw, path, problems)
    problems.add(path, f"{raw!r} is no {kind}")
    return UNREADABLE


# --- XML -------------------------------------------------------------------------------------


def _tag(element):
    return element.tag.rpartition("}")[2]


def parse_xml(body, path, problems):
    """The root element of an XML body, or UNREADABLE."""
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        problems.add(path, f"is no XML ({error})")
        return UNREADABLE


def from_xml(shape, element, path, problems, protocol):
    """A value of the given shape from an XML element."""
    kind = shape.type_name
    if kind == "structure":
        return xml_structure(shape, element, path, problems, protocol)
    if kind == "list":
        name = shape.member.serialization.get("name", _LIST_SERIALIZATION[protocol])
        items = []
        for index, child in enumerate(element):
            if _tag(child) != name:
                problems.add(f"{path}[{index}]", f"element <{_tag(child)}> must be <{name}>")
                continue
            items.append(from_xml(shape.member, child, f"{path}[{index}]", problems, protocol))
        return [item for item in items if item is not UNREADABLE]
    if kind == "map":
        return _xml_map(shape, element, path, problems, protocol)
    if len(element):
        problems.add(path, f"must hold text, holds <{_tag(element[0])}>")
        return UNREADABLE
    return from_text(shape, element.text or "", path, problems, "iso8601")


def xml_structure(shape, element, path, problems, protocol, beside=()):
    """A structure from an XML element; `beside` names wire elements that are no members of it."""
    by_wire_name = {}
    for name, member in shape.members.items():
        if "location" in member.serialization:
            continue
        wire_name = member.serialization.get("name", name)
        if member.type_name == "list" and member.serialization.get("flattened"):
            wire_name = member.member.serialization.get("name", wire_name)
        by_wire_name[wire_name] = (name, member)
    result = {}
    for child in element:
        if _tag(child) in beside:
            continue
        known = by_wire_name.get(_tag(child))
        if known is None:
            problems.add(f"{path}.{_tag(child)}", f"{shape.name} has no such member")
            continue
        name, member = known
        where = f"{path}.{name}"
        if member.serialization.get("flattened") and member.type_name == "list":
            value = from_xml(member.member, child, where, problems, protocol)
            if value is not UNREADABLE:
                result.setdefault(name, []).append(value)
            continue
        if name in result:
            problems.add(where, "is there twice")
        value = from_xml(member, child, where, problems, protocol)
        if value is not UNREADABLE:
            result[name] = value
    return result


def _xml_map(shape, element, path, problems, protocol):
    key_name = shape.key.serialization.get("name", "key")
    value_name = shape.value.serialization.get("name", "value")
    result = {}
    for entry in element:
        parts = {_tag(child): child for child in entry}
        if _tag(entry) != "entry" or set(parts) != {key_name, value_name}:
            problems.add(path, f"entry must hold <{key_name}> and <{value_name}>")
            continue
        key = parts[key_name].text or ""
        value = from_xml(shape.value, parts[value_name], f"{path}.{key}", problems, protocol)
        if value is not UNREADABLE:
            result[key] = value
    return result


# --- the form bodies of the query protocol and of EC2's dialect of it -------------------------


def from_form(shape, body, problems, protocol):
    """The parameters in a form request, with every pair accounted for.

    Returns the parameters and the pairs `Action` and `Version`.
    """
    form = _Form(body, problems, protocol == "ec2")
    parameters = form.structure(shape, "") if shape is not None else {}
    for key in form.pairs:
        if key not in form.used:
            problems.add(key, "no parameter of this operation")
    return parameters, form.head


class _Form:
    """The pairs of a form body while they are read."""

    def __init__(self, body, problems, is_ec2):
        self.problems, self.is_ec2 = problems, is_ec2
        self.used, self.pairs = set(), {}
        for key, value in parse_qsl(body, keep_blank_values=True, strict_parsing=bool(body)):
            if key in self.pairs:
                problems.add(key, "is there twice")
            self.pairs[key] = value
        self.head = {key: self.pairs.pop(key, None) for key in ("Action", "Version")}

    def present(self, prefix):
        return prefix in self.pairs or any(key.startswith(prefix + ".") for key in self.pairs)

    def value(self, shape, prefix):
        match shape.type_name:
            case "structure":
                return self.structure(shape, prefix)
            case "list":
                return self.list(shape, prefix)
            case "map":
                return self.map(shape, prefix)
        self.used.add(prefix)
        return from_text(shape, self.pairs[prefix], prefix, self.problems, "iso8601")

    def wire_name(self, name, member):
        """EC2 has names for requests alone, and else those of answers with a capital first."""
        serialization = member.serialization
        if self.is_ec2 and "queryName" in serialization:
            return serialization["queryName"]
        name = serialization.get("name", name)
        return name[0].upper() + name[1:] if self.is_ec2 else name

    def structure(self, shape, prefix):
        result = {}
        for name, member in shape.members.items():
            wire_name = self.wire_name(name, member)
            where = f"{prefix}.{wire_name}" if prefix else wire_name
            if not self.present(where):
                continue
            value = self.value(member, where)
            if value is not UNREADABLE:
                result[name] = value
        return result

    def list(self, shape, prefix):
        if self.pairs.get(prefix) == "":
            self.used.add(prefix)
            return []
        stem = prefix
        if not self.is_ec2 and not shape.serialization.get("flattened"):
            stem = f"{prefix}.{shape.member.serialization.get('name', 'member')}"
        result, index = [], 1
        while self.present(f"{stem}.{index}"):
            value = self.value(shape.member, f"{stem}.{index}")
            if value is not UNREADABLE:
                result.append(value)
            index += 1
        return result

    def map(self, shape, prefix):
        stem = prefix if shape.serialization.get("flattened") else f"{prefix}.entry"
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        result, index = {}, 1
        while self.present(f"{stem}.{index}"):
            key = f"{stem}.{index}.{key_name}"
            value = f"{stem}.{index}.{value_name}"
            if key not in self.pairs or not self.present(value):
                self.problems.add(f"{stem}.{index}", f"must hold {key_name} and {value_name}")
                return result
            self.used.add(key)
            found = self.value(shape.value, value)
            if found is not UNREADABLE:
                result[self.pairs[key]] = found
            index += 1
        return result


# --- the parts of a REST message that are not its body ---------------------------------------


def match_uri(template, path, problems):
    """The labels of a REST request path, or None when the path is not the template's.

    A slash at the template's end may be missing: Smithy's newer SDKs leave it out, and AWS Backup
    answers both.
    """
    pattern = ""
    for part in re.split(r"(\{[^}]+\})", template.partition("?")[0].rstrip("/")):
        if part.startswith("{"):
            label = part.strip("{}")
            greedy = label.endswith("+")
            pattern += f"(?P<{label.rstrip('+')}>{'.+' if greedy else '[^/]+'})"
        else:
            pattern += re.escape(part)
    found = re.fullmatch(pattern + "/?", path)
    if found is None:
        problems.add("path", f"{path!r} is not {template!r}")
        return None
    return {label: unquote(value) for label, value in found.groupdict().items()}


def located(shape, location, values, path, problems):
    """The members of a structure that travel in a header, the query string or the path."""
    result = {}
    if shape is None:
        return result
    default_format = "rfc822" if location == "header" else "iso8601"
    for name, member in shape.members.items():
        if member.serialization.get("location") != location:
            continue
        wire_name = member.serialization.get("name", name)
        key = wire_name.lower() if location == "header" else wire_name
        if key not in values:
            continue
        value = from_text(member, values[key], f"{path}.{wire_name}", problems, default_format)
        if value is not UNREADABLE:
            result[name] = value
    return result


def prefixed_headers(shape, headers):
    """Members that are maps of all headers with a prefix (S3 user metadata)."""
    result = {}
    if shape is None:
        return result
    for name, member in shape.members.items():
        if member.serialization.get("location") == "headers":
            prefix = member.serialization.get("name", "").lower()
            found = {
                key[len(prefix):]: value for key, value in headers.items() if key.startswith(prefix)
            }
            if found:
                result[name] = found
    return result


def parse_json(body, path, problems):
    """Decoded JSON, or UNREADABLE."""
    try:
        return json.loads(body)
    except ValueError as error:
        problems.add(path, f"is no JSON ({error})")
        return UNREADABLE
