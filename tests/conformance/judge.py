"""Judges one recorded AWS call against botocore's service model.

A call is a line of the recorder's file:

    {"service": "backup", "operation": "StartRestoreJob", "method": "PUT",
     "path": "/restore-jobs", "query": "", "request_headers": {}, "request_body": "<base64>",
     "status": 200, "response_headers": {}, "response_body": "<base64>", "injected": false,
     "answered": {}}

`answered` is there when the answer was written from a value in the API's member names: that value.

`judge` returns every problem of the request and of the response, none when AWS itself could have
had this conversation as far as the models tell.
"""

import base64
import datetime
import functools
import json
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

import botocore.parsers
import botocore.session
from botocore.awsrequest import HeadersDict
from botocore.validate import ParamValidator

import wire
from wire import UNREADABLE, Problems

#: Errors any operation may answer, which the models do not list per operation: the "Common
#: Errors" page of each service's API reference, and S3's list of error codes.
COMMON_ERRORS = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "InvalidClientTokenId",
    "InvalidParameterCombination",
    "InvalidParameterValue",
    "MissingParameter",
    "RequestExpired",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ValidationError",
    "ValidationException",
}

#: S3 codes that belong to an operation but are missing from its model.
S3_ERRORS = {
    "InvalidArgument",
    "NoSuchBucket",
    "NoSuchKey",
    "NotModified",
    "PreconditionFailed",
    "ConditionalRequestConflict",
}

#: EC2's model lists no errors at all. From "Error codes for the Amazon EC2 API": the client errors of
#: the operations that are judged here, besides the common ones.
EC2_ERRORS = {
    "CreateTags": {"InvalidInstanceID.NotFound", "InvalidParameterValue", "InvalidVolume.NotFound", "TagLimitExceeded"},
    "DescribeImages": {"InvalidAMIID.Malformed", "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"},
    "DescribeInstanceTypes": {"InvalidInstanceType"},
    "DescribeInstances": {"InvalidInstanceID.Malformed", "InvalidInstanceID.NotFound"},
    "DescribeRouteTables": {"InvalidPaginationToken", "InvalidParameterValue", "InvalidRouteTableID.NotFound",
                            "InvalidRouteTableId.Malformed", "OperationNotPermitted"},
    "DescribeSecurityGroups": {"InvalidGroup.NotFound", "InvalidGroupId.Malformed"},
    "DescribeVolumes": {"InvalidParameterValue", "InvalidVolume.NotFound", "InvalidVolumeID.Malformed"},
    "DeleteVolume": {"IncorrectState", "InvalidParameterValue", "InvalidVolume.NotFound",
                     "InvalidVolumeID.Malformed", "VolumeInUse"},
    "TerminateInstances": {"IncorrectInstanceState", "InvalidInstanceID.Malformed",
                           "InvalidInstanceID.NotFound", "OperationNotPermitted"},
}

#: Likewise, with the status each comes with: any client error that is not here comes with 400.
EC2_COMMON_ERRORS = {
    "AuthFailure": 401, "UnauthorizedOperation": 403, "InternalError": 500, "InternalFailure": 500,
    "RequestLimitExceeded": 503, "ServiceUnavailable": 503, "Unavailable": 503,
}

#: Headers of signature, checksum and SDK bookkeeping, which no operation models.
TRANSPORT_HEADERS = {
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-id-2",
    "x-amz-request-id",
    "x-amz-security-token",
    "x-amz-target",
    "x-amz-user-agent",
    "x-amzn-errortype",
    "x-amzn-requestid",
    "x-amzn-trace-id",
}

#: Query string entries that carry no parameter: the SDKs name the S3 operation in `x-id`.
TRANSPORT_QUERY = {"x-id"}


@dataclass(frozen=True)
class Call:
    """One recorded request with its response."""

    service: str
    operation: str
    method: str
    path: str
    query: str
    request_headers: dict
    request_body: bytes
    status: int
    response_headers: dict
    response_body: bytes
    #: The answer is a fault that a test injected, so it need not be one AWS would give.
    injected: bool = False
    #: What the answer was written from, in the API's member names.
    answered: dict | None = None
    origin: str = ""

    @classmethod
    def from_line(cls, line, origin=""):
        """Reads a line of the recorder's file; all keys but `injected` and `answered` must be there."""
        raw = json.loads(line)
        for side in ("request", "response"):
            raw[f"{side}_body"] = base64.b64decode(raw[f"{side}_body"], validate=True)
            raw[f"{side}_headers"] = {k.lower(): v for k, v in raw[f"{side}_headers"].items()}
        return cls(**raw, origin=origin)

    def __str__(self):
        return f"{self.service}:{self.operation} ({self.origin}, status {self.status})"


def read_calls(path):
    """All calls of a recorder file."""
    with open(path, encoding="utf-8") as lines:
        return [
            Call.from_line(line, f"{path}:{number}")
            for number, line in enumerate(lines, start=1)
            if line.strip()
        ]


@functools.cache
def service_model(service):
    """botocore's model of a service, by its endpoint prefix as the recorder names it."""
    return botocore.session.get_session().get_service_model(service)


def request_parameters(call):
    """The request's parameters and its problems."""
    problems = Problems()
    try:
        model = service_model(call.service).operation_model(call.operation)
    except Exception as error:  # botocore raises several kinds for unknown names
        problems.add("", f"botocore knows no {call.service}:{call.operation} ({error})")
        return {}, problems
    reader = _request_rest if model.service_model.protocol.startswith("rest-") else _request_rpc
    parameters = reader(call, model, problems)
    if model.input_shape is not None:
        _validate(parameters, model.input_shape, problems)
    _check_headers(call.request_headers, model.input_shape, problems)
    return parameters, problems


def answer(call):
    """What an SDK reads from a call's answer; nothing when it cannot read it."""
    model = service_model(call.service).operation_model(call.operation)
    return _botocore_parse(call, model.output_shape, model, Problems()) or {}


def judge(call):
    """Every problem of a recorded call, as sentences."""
    _, problems = request_parameters(call)
    problems = [f"request: {problem}" for problem in problems]
    try:
        model = service_model(call.service).operation_model(call.operation)
    except Exception:
        return problems
    found = Problems()
    if call.injected:
        return problems
    if call.status < 300:
        _response(call, model, found)
    else:
        _error(call, model, found)
    return problems + [f"response: {problem}" for problem in found]


# --- requests --------------------------------------------------------------------------------


def _request_rpc(call, model, problems):
    metadata = model.service_model.metadata
    if (call.method, call.path or "/") != ("POST", "/"):
        problems.add("path", f"must be POST /, is {call.method} {call.path}")
    content_type = call.request_headers.get("content-type", "")
    if model.service_model.protocol == "json":
        target = f"{metadata['targetPrefix']}.{model.name}"
        if call.request_headers.get("x-amz-target") != target:
            problems.add("x-amz-target", f"must be {target}")
        wanted = f"application/x-amz-json-{metadata['jsonVersion']}"
        if content_type != wanted:
            problems.add("content-type", f"must be {wanted}, is {content_type!r}")
        raw = wire.parse_json(call.request_body or b"{}", "body", problems)
        if raw is UNREADABLE or model.input_shape is None:
            return {}
        value = wire.from_json(model.input_shape, raw, "", problems)
        return {} if value is UNREADABLE else value
    if not content_type.startswith("application/x-www-form-urlencoded"):
        problems.add("content-type", f"must be a form, is {content_type!r}")
    parameters, head = wire.from_form(
        model.input_shape, call.request_body.decode("utf-8"), problems, model.service_model.protocol
    )
    if head != {"Action": model.name, "Version": metadata["apiVersion"]}:
        problems.add("Action, Version", f"are {head}")
    return parameters


def _request_rest(call, model, problems):
    shape = model.input_shape
    if call.method != model.http["method"]:
        problems.add("method", f"must be {model.http['method']}, is {call.method}")
    labels = wire.match_uri(model.http["requestUri"], call.path, problems) or {}
    query = dict(parse_qsl(call.query, keep_blank_values=True))
    known = {
        member.serialization.get("name", name)
        for name, member in (shape.members.items() if shape else ())
        if member.serialization.get("location") == "querystring"
    }
    # Some operations are told from others of the same path by what stands there: `?list-type=2`.
    fixed = dict(parse_qsl(model.http["requestUri"].partition("?")[2], keep_blank_values=True))
    for key in query:
        if key not in known | TRANSPORT_QUERY | fixed.keys():
            problems.add(f"query.{key}", "no parameter of this operation")
    parameters = wire.located(shape, "uri", labels, "path", problems)
    parameters |= wire.located(shape, "querystring", query, "query", problems)
    parameters |= wire.located(shape, "header", call.request_headers, "header", problems)
    parameters |= wire.prefixed_headers(shape, call.request_headers)
    parameters |= _body(call.request_body, model, shape, problems)
    return parameters


def _body(body, model, shape, problems):
    """The members of a REST message that travel in its body."""
    if shape is None:
        return {}
    protocol = model.service_model.protocol
    payload = shape.serialization.get("payload")
    if payload is not None:
        member = shape.members[payload]
        if member.type_name in ("blob", "string"):
            return {payload: body} if body else {}
        if not body:
            return {}
        if protocol == "rest-json":
            raw = wire.parse_json(body, "body", problems)
            value = raw
            if raw is not UNREADABLE:
                value = wire.from_json(member, raw, payload, problems, skip_located=True)
        else:
            root = wire.parse_xml(body, "body", problems)
            value = root
            if root is not UNREADABLE:
                value = wire.from_xml(member, root, payload, problems, protocol)
        return {} if value is UNREADABLE else {payload: value}
    in_body = [m for m in shape.members.values() if "location" not in m.serialization]
    if not body:
        return {}
    if not in_body and body not in (b"{}",):
        problems.add("body", f"must be empty, is {body[:60]!r}")
        return {}
    if protocol == "rest-json":
        raw = wire.parse_json(body, "body", problems)
        if raw is UNREADABLE:
            return {}
        value = wire.from_json(shape, raw, "", problems, skip_located=True)
        return {} if value is UNREADABLE else value
    root = wire.parse_xml(body, "body", problems)
    return {} if root is UNREADABLE else wire.xml_structure(shape, root, "", problems, protocol)


def _check_headers(headers, shape, problems):
    """Every x-amz header must be a modelled member or transport."""
    known, prefixes = set(TRANSPORT_HEADERS), ["x-amz-checksum-", "x-amz-sdk-"]
    for name, member in shape.members.items() if shape else ():
        location = member.serialization.get("location")
        if location == "header":
            known.add(member.serialization.get("name", name).lower())
        elif location == "headers":
            prefixes.append(member.serialization.get("name", "").lower())
    for header in headers:
        if header.startswith(("x-amz", "amz-")) and header not in known:
            if not header.startswith(tuple(prefixes)):
                problems.add(f"header.{header}", "no header of this operation")


# --- responses -------------------------------------------------------------------------------


def _response(call, model, problems):
    expected = model.http.get("responseCode", 200)
    shape = model.output_shape
    has_status_member = shape is not None and any(
        member.serialization.get("location") == "statusCode" for member in shape.members.values()
    )
    if call.status != expected and not has_status_member:
        problems.add("status", f"must be {expected}, is {call.status}")
    _check_headers(call.response_headers, shape, problems)
    value = _read_response(call, model, shape, problems)
    if shape is None:
        return
    if not shape.serialization.get("payload"):
        _validate(value, shape, problems)
    _compare_with_botocore(call, shape, model, value, problems)
    if call.answered is not None:
        _compare_with_answered(call.answered, answer(call), "", problems)


def _compare_with_answered(answered, read, path, problems):
    """Whoever reads an answer reads what it was written from: every member, under its name."""
    if isinstance(answered, dict) and isinstance(read, dict):
        answered = {name: value for name, value in answered.items() if value is not None}
        read = {name: value for name, value in read.items() if name != "ResponseMetadata"}
        for name in sorted(answered.keys() | read.keys()):
            _compare_with_answered(answered.get(name), read.get(name), f"{path}.{name}", problems)
    elif isinstance(answered, list) and isinstance(read, list) and len(answered) == len(read):
        for number, (one, other) in enumerate(zip(answered, read)):
            _compare_with_answered(one, other, f"{path}[{number}]", problems)
    else:
        if isinstance(read, datetime.datetime):
            read = read.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        if answered != read:
            problems.add(path, f"was answered as {answered!r} and is read as {read!r}")


def _read_response(call, model, shape, problems):
    protocol = model.service_model.protocol
    if protocol == "json":
        wanted = f"application/x-amz-json-{model.service_model.metadata['jsonVersion']}"
        if call.response_body and call.response_headers.get("content-type") != wanted:
            problems.add("content-type", f"must be {wanted}")
        raw = wire.parse_json(call.response_body or b"{}", "body", problems)
        if raw is UNREADABLE or shape is None:
            return {}
        value = wire.from_json(shape, raw, "", problems)
        return {} if value is UNREADABLE else value
    if protocol == "query":
        return _query_response(call, model, shape, problems)
    if protocol == "ec2":
        return _ec2_response(call, model, shape, problems)
    value = wire.located(shape, "header", call.response_headers, "header", problems)
    value |= wire.prefixed_headers(shape, call.response_headers)
    return value | _body(call.response_body, model, shape, problems)


def _query_response(call, model, shape, problems):
    root = wire.parse_xml(call.response_body, "body", problems)
    if root is UNREADABLE:
        return {}
    namespace = model.service_model.metadata.get("xmlNamespace")
    wanted = f"{{{namespace}}}{model.name}Response"
    if root.tag != wanted:
        problems.add("body", f"root must be {wanted}, is {root.tag}")
    children = {child.tag.rpartition("}")[2]: child for child in root}
    if "RequestId" not in [c.tag.rpartition("}")[2] for c in children.get("ResponseMetadata", ())]:
        problems.add("ResponseMetadata", "RequestId is missing")
    if shape is None:
        return {}
    wrapper = shape.serialization.get("resultWrapper")
    for name in children:
        if name not in ("ResponseMetadata", wrapper):
            problems.add(name, "does not belong beside the result")
    if wrapper not in children:
        problems.add(wrapper, "is missing")
        return {}
    return wire.xml_structure(shape, children[wrapper], "", problems, "query")


def _ec2_response(call, model, shape, problems):
    """As the query protocol, with the members right below the root, beside the request's id."""
    root = wire.parse_xml(call.response_body, "body", problems)
    if root is UNREADABLE:
        return {}
    namespace = f"http://ec2.amazonaws.com/doc/{model.service_model.metadata['apiVersion']}/"
    wanted = f"{{{namespace}}}{model.name}Response"
    if root.tag != wanted:
        problems.add("body", f"root must be {wanted}, is {root.tag}")
    if "requestId" not in [child.tag.rpartition("}")[2] for child in root]:
        problems.add("requestId", "is missing")
    if shape is None:
        # `<return>true</return>`, which tells nothing that the status does not.
        return {}
    return wire.xml_structure(shape, root, "", problems, "ec2", beside=("requestId",))


def _compare_with_botocore(call, shape, model, value, problems):
    """botocore's own parser must read the same values as the strict reader."""
    parsed = _botocore_parse(call, shape, model, problems)
    if parsed is None:
        return
    parsed.pop("ResponseMetadata", None)
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        if location == "statusCode" or name == shape.serialization.get("payload"):
            continue
        ours, theirs = value.get(name), parsed.get(name)
        if _plain(ours) != _plain(theirs) and not (ours is None and theirs in ([], {})):
            problems.add(name, f"botocore reads {theirs!r}, the strict reader {ours!r}")


def _plain(value):
    """Values in a form in which equal ones compare equal (time zones, bytes)."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime.datetime):
        return round(value.timestamp(), 3)
    return value


def _botocore_parse(call, shape, model, problems):
    parser = botocore.parsers.create_parser(model.service_model.protocol)
    body = call.response_body
    payload = shape.serialization.get("payload") if shape is not None else None
    streams = payload is not None and shape.members[payload].serialization.get("streaming")
    if streams and call.status < 300:
        body = b""  # botocore would want a stream to hand on; there is nothing to parse in it
    try:
        return parser.parse(
            {
                "status_code": call.status,
                "headers": HeadersDict(call.response_headers),
                "body": body,
            },
            shape,
        )
    except Exception as error:  # whatever it raises, botocore could not read the response
        problems.add("body", f"botocore cannot read it ({type(error).__name__}: {error})")
        return None


def _error(call, model, problems):
    """An error response: its code must be one this operation can answer."""
    if call.status == 304 and call.service == "s3":
        return
    parsed = _botocore_parse(call, model.output_shape, model, problems)
    if parsed is None:
        return
    code = parsed.get("Error", {}).get("Code")
    if model.service_model.protocol == "ec2":
        _ec2_error(call, model, parsed, problems)
        return
    modelled = {str(shape.error_code): shape for shape in model.error_shapes}
    modelled |= {shape.name: shape for shape in model.error_shapes}
    allowed = set(modelled) | COMMON_ERRORS | (S3_ERRORS if call.service == "s3" else set())
    if code not in allowed:
        problems.add("error", f"{model.name} answers no {code!r}")
        return
    if not parsed["Error"].get("Message"):
        problems.add("error", f"{code} has no message")
    shape = modelled.get(code)
    if shape is not None:
        wanted = shape.metadata.get("error", {}).get("httpStatusCode")
        if wanted is not None and wanted != call.status:
            problems.add("status", f"{code} comes with {wanted}, not {call.status}")
        if model.service_model.protocol in ("json", "rest-json"):
            _error_members(call, shape, problems)
    if model.service_model.protocol == "json" and call.status not in (400, 500, 503):
        problems.add("status", "the JSON protocol answers errors with 400, 500 or 503")


def _ec2_error(call, model, parsed, problems):
    root = wire.parse_xml(call.response_body, "body", problems)
    if root is UNREADABLE:
        return
    children = [child.tag for child in root]
    if root.tag != "Response" or children != ["Errors", "RequestID"]:
        problems.add("error", f"must be a Response of Errors and RequestID, is {root.tag} of {children}")
    code = parsed.get("Error", {}).get("Code")
    if code not in EC2_ERRORS.get(model.name, set()) | COMMON_ERRORS | set(EC2_COMMON_ERRORS):
        problems.add("error", f"{model.name} answers no {code!r}")
        return
    if not parsed["Error"].get("Message"):
        problems.add("error", f"{code} has no message")
    wanted = EC2_COMMON_ERRORS.get(code, 400)
    if call.status != wanted:
        problems.add("status", f"{code} comes with {wanted}, not {call.status}")


def _error_members(call, shape, problems):
    raw = wire.parse_json(call.response_body or b"{}", "body", problems)
    if raw is UNREADABLE:
        return
    lowered = {name.lower(): name for name in shape.members}
    # AWS writes `message` and `Message` as it pleases, and the SDKs read both.
    known = {lowered.get(k.lower(), k) if k.lower() in ("message", "code") else k: v
             for k, v in raw.items() if k.lower() not in ("code",)}
    if "message" not in lowered:
        known = {k: v for k, v in known.items() if k.lower() != "message"}
    wire.from_json(shape, known, "error", problems, skip_located=True)


# --- values against shapes -------------------------------------------------------------------


def _validate(value, shape, problems):
    """botocore's own validation, and what it leaves to the service: enums, patterns, lengths."""
    report = ParamValidator().validate(value, shape)
    if report.has_errors():
        problems.extend(report.generate_report().split("\n"))
    _constraints(value, shape, "", problems)


def _constraints(value, shape, path, problems):
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        for name, item in value.items():
            if name in shape.members:
                _constraints(item, shape.members[name], f"{path}.{name}", problems)
    elif kind == "list" and isinstance(value, list):
        for index, item in enumerate(value):
            _constraints(item, shape.member, f"{path}[{index}]", problems)
        _length(len(value), shape, path, problems)
    elif kind == "map" and isinstance(value, dict):
        for key, item in value.items():
            _constraints(key, shape.key, f"{path} key", problems)
            _constraints(item, shape.value, f"{path}.{key}", problems)
        _length(len(value), shape, path, problems)
    elif kind == "string" and isinstance(value, str):
        _string(value, shape, path, problems)


def _length(size, shape, path, problems):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        problems.add(path, f"has {size} elements, fewer than {low}")
    if high is not None and size > high:
        problems.add(path, f"has {size} elements, more than {high}")


def _string(value, shape, path, problems):
    if shape.metadata.get("enum") and value not in shape.metadata["enum"]:
        problems.add(path, f"{value!r} is none of {shape.metadata['enum']}")
    high = shape.metadata.get("max")
    if high is not None and len(value) > high:
        problems.add(path, f"has {len(value)} characters, more than {high}")
    pattern = shape.metadata.get("pattern")
    if pattern:
        try:
            matched = re.search(pattern if pattern.startswith("^") else f"^(?:{pattern})$", value)
        except re.error:  # a pattern in Java's dialect, which Python's cannot read
            return
        if not matched:
            problems.add(path, f"{value!r} does not match {pattern}")
