"""What people watch is fed: each metric that an alarm or the dashboard reads is published by the function in some scenario,
with its dimensions, or by AWS itself; what the dashboard's charts would show of the demo is what its records say; and what is
published and read by nothing is known.

That each alarm rings where it must is seen by the scenarios `alarms`; the tables and the saved queries of Logs Insights are
asked in test_records.py. CALLS names the recorded calls of scenarios and demo, RECORDS the demo's records.
"""

import json
import math
from pathlib import Path

import pytest

from catalog import database
from conftest import ROOT
from permissions import Template
from test_records import STACK, dashboard, expanded, widgets

TEMPLATE = Template(ROOT / "template.yaml", STACK)

NAMESPACE = "RestoreProof/restore-proof"

#: Metrics that AWS publishes, with their dimensions: "Types of metrics for Lambda functions" (Lambda Developer Guide), "Available
#: CloudWatch metrics for Amazon SQS" (SQS Developer Guide).
OF_AWS = {("AWS/Lambda", name, ("FunctionName",)) for name in ("Invocations", "Errors", "Throttles", "ConcurrentExecutions")}
OF_AWS |= {("AWS/SQS", "ApproximateNumberOfMessagesVisible", ("QueueName",))}

#: Published and read by no alarm and no chart, for whoever wants more.
READ_BY_NOTHING = {
    ("LongestWait", ()): "how long the first of those who wait for a slot has waited; the chart has how many wait",
    ("Validations", ()): "all verdicts; the chart has them by verdict",
    ("NewestPointHours", ("vault",)): "the age of each vault's newest point; alarm and chart have the stalest",
    ("UnnamedVaults", ()): "vaults that no parameter names; a message tells of each",
}


def embedded(calls):
    """The metrics that log events embed: name, dimensions with their values, time and value."""
    for call in calls:
        if (call.service, call.operation, call.status) != ("logs", "PutLogEvents", 200):
            continue
        for logged in json.loads(call.request_body)["logEvents"]:
            event = json.loads(logged["message"])
            for directive in event.get("_aws", {}).get("CloudWatchMetrics", []):
                # One scenario has a second stack.
                if directive["Namespace"] != NAMESPACE:
                    continue
                for metric in directive["Metrics"]:
                    for names in directive["Dimensions"]:
                        dimensions = {name: event[name] for name in names}
                        yield metric["Name"], dimensions, logged["timestamp"], event[metric["Name"]]


@pytest.fixture(scope="module")
def published(calls):
    """Namespace, name and dimensions of all metrics that the function has published, and those that filters make of its
    events."""
    found = {(NAMESPACE, name, tuple(dimensions)) for name, dimensions, _, _ in embedded(calls)}
    return found | {(made["MetricNamespace"], made["MetricName"], ())
                    for resource in TEMPLATE.resources("AWS::Logs::MetricFilter").values()
                    for made in resource["MetricTransformations"]}


def of_alarms():
    for name, alarm in TEMPLATE.resources("AWS::CloudWatch::Alarm").items():
        names = tuple(one["Name"] for one in alarm.get("Dimensions", []))
        yield name, (alarm["Namespace"], alarm["MetricName"], names)


def of_charts():
    for widget in dashboard()["widgets"]:
        if widget["type"] == "metric":
            for namespace, name, dimensions in expanded(widget["properties"]["metrics"]):
                yield widget["properties"]["title"], (namespace, name, tuple(dimensions))


@pytest.mark.parametrize(("reader", "metric"), [pytest.param(*pair, id=f"{pair[0]}: {pair[1][1]}") for pair in
                                                [*of_alarms(), *of_charts()]])
def test_each_metric_that_is_read_is_published(reader, metric, published):
    assert metric in published | OF_AWS, f"{reader} reads what nobody publishes"


def test_what_is_published_is_read_or_known_not_to_be(published):
    read = {metric for _, metric in [*of_alarms(), *of_charts()]}
    unread = {(name, dimensions) for namespace, name, dimensions in published if (namespace, name, dimensions) not in read}
    assert unread == set(READ_BY_NOTHING)


def test_every_widget_is_of_a_kind_that_is_looked_at():
    """Alarms: test_records.py and the scenarios. Tables: test_records.py. Charts: below. Text says nothing of metrics."""
    kinds = {}
    for widget in dashboard()["widgets"]:
        kinds.setdefault(widget["type"], []).append(widget["properties"].get("title"))
    assert set(kinds) == {"text", "alarm", "metric", "log"}
    assert set(kinds["metric"]) == set(SHOWN)


# --- What the charts would show -------------------------------------------------------------------------------


def statistic(name, values):
    """A statistic of CloudWatch's over values; None without any."""
    if not values:
        return None
    if name.startswith("p"):
        return sorted(values)[math.ceil(float(name[1:]) / 100 * len(values)) - 1]
    return {"Sum": sum, "Maximum": max, "Average": lambda all_of: sum(all_of) / len(all_of)}[name](values)


def most_at_once(rows):
    """How many of the intervals overlap at most."""
    changes = sorted((at, step) for began, ended in rows if began for at, step in ((began, 1), (ended, -1)) if at)
    most = now = 0
    for _, step in changes:
        now += step
        most = max(most, now)
    return most


def sql(question):
    """What SQL answers over the records: one value, exactly."""
    return lambda records: pytest.approx(records.execute(question).fetchone()[0], rel=1e-6)


def overlap(begin, end):
    """The most records between two times at once, give or take a few: a sweep comes by a moment before or after the most, and
    on a busy machine some are still to be closed whose cleanup is over."""
    def around(records):
        most = most_at_once(records.execute(f"select {begin}, {end} from records").fetchall())
        return pytest.approx(most + 1, abs=3)
    return around


def count_of(verdict):
    def count(records):
        return records.execute(f"select count(*) from records where verdict = '{verdict}'").fetchone()[0] or None
    return verdict, count


#: Of each chart what its lines must show of the whole demo, from its records: by metric, dimensions' values and statistic.
SHOWN = {
    "Verdicts a day": {("Validations", (verdict,), "Sum"): count for verdict, count in map(count_of, (
        "passed", "failed", "restore_failed", "copy_failed", "inconclusive", "unchecked", "not_tested"))},
    # Minutes in the record, seconds in the metric.
    "Recovery time": {
        ("RecoveryTime", (), "p50"): sql("select quantile_disc(recovery_time, 0.5) * 60 from records"),
        ("RecoveryTime", (), "p95"): sql("select quantile_disc(recovery_time, 0.95) * 60 from records"),
        ("RecoveryTime", (), "Maximum"): sql("select max(recovery_time) * 60 from records"),
    },
    "Age of the newest data in backups": {
        ("DataAge", (), "Average"): sql("select avg(data_age) * 60 from records"),
        ("DataAge", (), "Maximum"): sql("select max(data_age) * 60 from records"),
    },
    "Work in progress": {
        ("OpenValidations", (), "Maximum"): overlap("opened_time", "cleanup_time"),
        # Six land together, and two may be restored at a time.
        ("WaitingValidations", (), "Maximum"): lambda records: 6 - 2,
        ("RunningRestores", (), "Maximum"): overlap("restore_start_time", "cleanup_time"),
        ("OverdueValidations", (), "Maximum"): lambda records: 0,
    },
    "Coverage": {
        # The demo's one sweep over the vaults: every point had its verdict, and both vaults had received one minutes ago.
        ("OldestWithoutVerdictHours", (), "Maximum"): lambda records: 0,
        ("StalestVaultHours", (), "Maximum"): lambda records: pytest.approx(0.1, abs=0.1),
        # There are no days before; the scenario `a_growing_share_of_untested_copies_rings` has 0 and then 100.
        ("UntestedShare", (), "Average"): lambda records: None,
    },
    # Lambda's own: the scenarios `alarms` count invocations and errors.
    "The function": {
        (name, ("RestoreProofFunction",), stat): None for name, stat in (
            ("Invocations", "Sum"), ("Errors", "Sum"), ("Throttles", "Sum"), ("ConcurrentExecutions", "Maximum"))},
}


@pytest.mark.parametrize("widget", widgets("metric"))
def test_a_chart_shows_what_the_records_say(widget, demo_calls, records_folder):
    records = database(Path(records_folder))
    points = list(embedded(demo_calls))
    properties, lines = widget["properties"], {}
    for (namespace, name, dimensions), row in zip(expanded(properties["metrics"]), properties["metrics"]):
        stat = row[-1]["stat"]
        if namespace == "AWS/Lambda":
            assert dimensions == {"FunctionName": TEMPLATE.resolve({"Ref": "RestoreProofFunction"})}
            lines[name, ("RestoreProofFunction",), stat] = None
            continue
        assert namespace == NAMESPACE
        values = [value for known, have, _, value in points if (known, have) == (name, dimensions)]
        lines[name, tuple(dimensions.values()), stat] = statistic(stat, values)
    expected = SHOWN[properties["title"]]
    assert set(lines) == set(expected), "each line is looked at"
    for line, shown in lines.items():
        if expected[line]:
            assert shown == expected[line](records), line


def test_the_untested_share_is_that_of_the_scenario(calls):
    values = {value for name, _, _, value in embedded(calls) if name == "UntestedShare"}
    assert {0, 100} <= values and all(0 <= value <= 100 for value in values)
