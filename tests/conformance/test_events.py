"""What becomes of a published message: each subscription gets its form, and the pipe puts verdicts on the event bus.

The calls that the demo has made are delivered as SNS delivers them, to the subscriptions of template.yaml, and what the
queue gets goes through the pipe as EventBridge documents it.
"""

import json
import re

import jsonschema
import pytest
from botocore.validate import ParamValidator

from conftest import ROOT
from deployment import SETTINGS, deployed
from judge import service_model
from test_permissions import parameters_of

SCHEMA = json.loads((ROOT / "docs/verdict-event.schema.json").read_text())
MAIN = {name: deployed(name).main for name in SETTINGS}["defaults"]
SUBSCRIPTIONS = [s for s in MAIN.resources("AWS::SNS::Subscription").values() if s["Protocol"] == "sqs"]
PIPE, = MAIN.resources("AWS::Pipes::Pipe").values()

#: "Amazon EventBridge quotas" and "Calculating PutEvents event entry size", EventBridge user guide.
LARGEST_ENTRY = 262_144
#: "Amazon SNS message attributes", SNS developer guide: with raw delivery SQS takes ten at most, and SNS discards others.
MOST_ATTRIBUTES = 10


# --- SNS -------------------------------------------------------------------------------------------------


def attributes_of(parameters):
    return {name: value["StringValue"] for name, value in parameters.get("MessageAttributes", {}).items()}


def passes(policy, attributes):
    """Whether a message passes a filter policy that names values (SNS developer guide, Amazon SNS subscription filter
    policies): each key must be there, with one of its values."""
    return all(attributes.get(name) in values for name, values in policy.items())


def form_for(protocol, parameters):
    """What a subscription of this protocol gets (SNS API reference, Publish, MessageStructure)."""
    if parameters.get("MessageStructure") != "json":
        return parameters["Message"]
    forms = json.loads(parameters["Message"])
    return forms.get(protocol, forms["default"])


def delivered(parameters, subscriptions=None):
    """The texts that the queue gets of a published message. A subscription hears of its own topic alone."""
    attributes = attributes_of(parameters)
    for subscription in SUBSCRIPTIONS if subscriptions is None else subscriptions:
        assert subscription["RawMessageDelivery"] is True, "else the body is SNS's envelope, and the form a text in it"
        is_its = subscription["TopicArn"].rpartition(":")[2] == topic_of(parameters)
        if is_its and passes(subscription["FilterPolicy"], attributes):
            assert len(attributes) <= MOST_ATTRIBUTES
            yield form_for("sqs", parameters)


def topic_of(parameters):
    """The name that the template's topic has here: the demo calls the topic of verdicts by the name of the stack."""
    name = parameters["TopicArn"].rpartition(":")[2]
    known = {arn_name(topic): topic for topic in ("Topic", "UrgentTopic", "EventsTopic")}
    for suffix in ("-urgent", "-events"):
        if name.endswith(suffix):
            return next(found for found in known if found.endswith(suffix))
    return arn_name("Topic")


def arn_name(topic):
    return MAIN.resolve({"Ref": topic}).rpartition(":")[2]


# --- EventBridge Pipes -----------------------------------------------------------------------------------


def transformed(template, body):
    """What a pipe makes of a message of SQS ("Amazon EventBridge Pipes input transformation", EventBridge user guide).

    A body that is JSON is parsed. A variable that is an object keeps its quotes as the value of a key, and loses them
    where it stands alone or within a text.
    """
    def value(match):
        found = json.loads(body)
        for step in match[1].split(".")[2:]:
            found = found[step]
        text = json.dumps(found)
        before = template[:match.start()].rstrip()
        return text if before.endswith(":") else text.replace('"', "")
    return re.sub(r"<(\$\.body[^>]*)>", value, template)


def put(body, pipe=PIPE):
    """The entry of PutEvents that a message of the queue becomes."""
    target = pipe["TargetParameters"]
    bus = target["EventBridgeEventBusParameters"]
    return {"Source": bus["Source"], "DetailType": bus["DetailType"], "Detail": transformed(target["InputTemplate"], body)}


def check(entry):
    """Checks an entry as EventBridge would, and its detail by the schema. Returns the detail."""
    shape = service_model("events").shape_for("PutEventsRequestEntry")
    assert not ParamValidator().validate(entry, shape).has_errors()
    assert sum(len(entry[part].encode()) for part in ("Source", "DetailType", "Detail")) <= LARGEST_ENTRY
    detail = json.loads(entry["Detail"])
    assert isinstance(detail, dict), "EventBridge takes no other detail"
    validator = jsonschema.validators.validator_for(SCHEMA)
    validator.check_schema(SCHEMA)
    validator(SCHEMA).validate(detail)
    return detail


# --- what was published ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(demo_calls):
    found = [parameters_of(call) for call in demo_calls
             if (call.service, call.operation, call.status) == ("sns", "Publish", 200)]
    assert found, "the demo publishes"
    return found


@pytest.fixture(scope="module")
def details(published):
    return [check(put(body)) for parameters in published for body in delivered(parameters)]


def test_every_verdict_is_one_event(published, details):
    about = [p for p in published if attributes_of(p).get("kind") in ("verdict", "left_behind")]
    assert len(details) == len(about)
    for parameters, detail in zip(about, details):
        record, attributes = detail["record"], attributes_of(parameters)
        assert record["event"] == {"verdict": "verdict", "left_behind": "cleanup"}[attributes["kind"]]
        for name in ("verdict", "cleanup", "resource_type"):
            assert record[name] == attributes.get(name), name
    assert {detail["record"]["verdict"] for detail in details} >= {"passed", "failed"}


def test_what_people_do_not_hear_of_is_an_event_too(published, details):
    quiet = [p for p in published if p["TopicArn"].endswith("-events")]
    assert {attributes_of(p)["verdict"] for p in quiet} >= {"not_tested"}
    assert all("MessageStructure" not in p for p in quiet), "nobody but programs is subscribed"
    untested = [d for d in details if d["record"]["verdict"] == "not_tested"]
    assert untested and all(d["record"]["policy_rule"] is None or d["record"]["verdict_reason"] for d in untested)


def test_mail_gets_the_text_and_amazon_q_its_notification(published):
    for parameters in published:
        if "MessageStructure" not in parameters:
            continue
        assert not form_for("email", parameters).startswith("{")
        chat = json.loads(form_for("https", parameters))
        # "Custom notifications using Amazon Q Developer in chat applications", Event schema.
        assert set(chat) <= {"version", "source", "id", "content", "metadata"}
        assert (chat["version"], chat["source"]) == ("1.0", "custom")
        content, metadata = chat["content"], chat["metadata"]
        assert set(content) <= {"textType", "title", "description", "nextSteps", "keywords"}
        assert set(metadata) <= {"threadId", "summary", "eventType", "relatedResources", "additionalContext"}
        assert content["textType"] == "client-markdown" and content["title"] and content["description"]
        texts = [content["title"], content["description"], metadata["summary"], *content.get("nextSteps", [])]
        assert all(isinstance(text, str) and not set(text) & set("<>&@") for text in texts)
        for found in content["keywords"], metadata["relatedResources"]:
            assert all(isinstance(text, str) and text for text in found)


def test_a_resource_has_one_thread(published):
    threads = {}
    for parameters in published:
        if "MessageStructure" in parameters and attributes_of(parameters).get("kind") == "verdict":
            metadata = json.loads(form_for("https", parameters))["metadata"]
            source = json.loads(form_for("sqs", parameters))["source_resource_arn"]
            threads.setdefault(source, set()).add(metadata["threadId"])
    assert threads and all(len(found) == 1 for found in threads.values())
    assert len({found for threads_of_one in threads.values() for found in threads_of_one}) == len(threads)


# --- planted faults --------------------------------------------------------------------------------------


def verdict(**changes):
    record = {name: _example(column) for name, column in
              SCHEMA["properties"]["record"]["properties"].items()} | changes
    attributes = {"kind": "verdict", "verdict": record["verdict"]}
    return {"TopicArn": "arn:aws:sns:eu-central-1:111122223333:restore-proof-urgent", "MessageStructure": "json",
            "Message": json.dumps({"default": "FAILED: orders", "sqs": json.dumps(record)}),
            "MessageAttributes": {name: {"DataType": "String", "StringValue": value}
                                  for name, value in attributes.items()}}


def _example(column):
    column = column.get("anyOf", [column])[0]
    if "const" in column or "enum" in column:
        return column.get("const", column.get("enum", [None])[0])
    return {"string": "a \"quoted\" <text>", "number": 1.5, "integer": 1}[column["type"]]


def test_an_example_goes_all_the_way():
    body, = delivered(verdict())
    assert check(put(body))["record"]["verdict_reason"] == "a \"quoted\" <text>"


def test_the_queues_text_alone_would_be_no_event():
    body, = delivered(verdict())
    bare = PIPE | {"TargetParameters": PIPE["TargetParameters"] | {"InputTemplate": "<$.body>"}}
    with pytest.raises(json.JSONDecodeError):
        check(put(body, bare))


def test_alarms_and_vaults_are_no_events():
    alarm = {"TopicArn": "arn:aws:sns:eu-central-1:111122223333:restore-proof-urgent",
             "Message": json.dumps({"AlarmName": "a"})}
    vault = verdict() | {"MessageAttributes": {"kind": {"DataType": "String", "StringValue": "vault"}}}
    assert not list(delivered(alarm)) and not list(delivered(vault))
    unfiltered = [subscription | {"FilterPolicy": {}} for subscription in SUBSCRIPTIONS]
    body, = delivered(alarm, unfiltered)
    with pytest.raises(jsonschema.ValidationError):
        check(put(body))


@pytest.mark.parametrize("changes", [
    {"verdict": "splendid"}, {"validation_id": None}, {"recovery_time": "3 minutes"}, {"attempt": 0},
])
def test_the_schema_refuses_what_is_wrong(changes):
    body, = delivered(verdict() | {"Message": verdict(**changes)["Message"]})
    with pytest.raises(jsonschema.ValidationError):
        check(put(body))
