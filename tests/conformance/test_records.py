"""DuckDB reads the demo's records as Athena would: partitions from folders, a type for every column.

RECORDS names the folder of records. The column types are those that crates/core/src/record.rs states
in the comment of each column, where people and Athena tables take them from.
"""

import json
import re
from pathlib import Path

import duckdb
import pytest

from conftest import ROOT
from permissions import Template

#: The stated types in DuckDB's words, and what each may be in JSON.
TYPES = {
    "string": ("VARCHAR", (str,)),
    "int": ("INTEGER", (int,)),
    "bigint": ("BIGINT", (int,)),
    "double": ("DOUBLE", (float, int)),
    "timestamp": ("TIMESTAMP", (str,)),
    "array of strings": ("VARCHAR[]", (list,)),
    "array of structs": (None, (list,)),
}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")


def stated(struct):
    """The columns of a struct in record.rs: name to stated type and whether it may be null."""
    source = (ROOT / "crates/core/src/record.rs").read_text()
    body = re.search(rf"pub struct {struct} \{{(.*?)\n\}}", source, re.S).group(1) + "\n"
    columns = {}
    for kind, name, rust in re.findall(
            r"/// ([a-z ]+)[.,].*?\n(?:\s*///.*\n)*\s*pub (\w+): (.+),\n", body):
        columns[name] = (kind, rust.startswith("Option<"))
    assert len(columns) == body.count("pub "), "every column states its type in its comment"
    return columns


COLUMNS, CHECK_COLUMNS = stated("Record"), stated("CheckColumns")


def duckdb_type(kind):
    if kind == "array of structs":
        members = ", ".join(f"{name} {duckdb_type(k)}" for name, (k, _) in CHECK_COLUMNS.items())
        return f"STRUCT({members})[]"
    return TYPES[kind][0]


@pytest.fixture(scope="module")
def files(records_folder):
    found = sorted(Path(records_folder).rglob("*.json"))
    assert found, f"no records in {records_folder}"
    return found


@pytest.fixture(scope="module")
def table(records_folder):
    database = duckdb.connect()
    types = "{" + ", ".join(f"'{n}': '{duckdb_type(k)}'" for n, (k, _) in COLUMNS.items()) + "}"
    database.execute(
        f"create table records as select * from read_json('{records_folder}/*/*.json', "
        f"columns = {types}, format = 'newline_delimited', hive_partitioning = true, "
        "hive_types = {'dt': 'DATE'}, filename = true)")
    return database


def test_each_file_is_one_line(files):
    for file in files:
        text = file.read_bytes()
        assert text.endswith(b"\n") and text.count(b"\n") == 1, file


def test_the_values_are_of_the_stated_types(files):
    def check(values, columns, where):
        assert list(values) == list(columns), f"{where}: the columns in their order, no other"
        for name, (kind, optional) in columns.items():
            value = values[name]
            if value is None:
                assert optional, f"{where}.{name} is null"
                continue
            # A bool is an int to Python.
            assert isinstance(value, TYPES[kind][1]) and not isinstance(value, bool), \
                f"{where}.{name} is {value!r}, stated is {kind}"
            if kind == "timestamp":
                assert TIMESTAMP.fullmatch(value), f"{where}.{name} is {value!r}"
            if kind == "array of strings":
                assert all(isinstance(item, str) for item in value), f"{where}.{name}"
            if kind == "array of structs":
                for index, item in enumerate(value):
                    check(item, CHECK_COLUMNS, f"{where}.{name}[{index}]")

    for file in files:
        check(json.loads(file.read_text()), COLUMNS, file.name)


def test_there_is_one_row_per_validation(table, files, demo_calls):
    rows, validations = table.execute(
        "select count(*), count(distinct validation_id) from records").fetchone()
    assert rows == validations == len(files)
    written = {call.path.rpartition("/")[2] for call in demo_calls
               if (call.service, call.operation) == ("s3", "PutObject")}
    assert {file.name for file in files} == written, "what was put into the bucket and nothing else"


def test_duckdb_sees_the_stated_types(table):
    seen = dict(table.execute(
        "select column_name, data_type from information_schema.columns "
        "where table_name = 'records'").fetchall())
    assert seen.pop("dt") == "DATE"
    seen.pop("filename")
    assert list(seen) == list(COLUMNS)
    for name, (kind, _) in COLUMNS.items():
        if kind != "array of structs":
            assert seen[name] == duckdb_type(kind), name
        else:
            assert seen[name].startswith("STRUCT("), name


def test_partition_and_file_name_say_what_the_row_says(table):
    wrong = table.execute(
        "select filename, dt, opened_time from records "
        "where dt <> cast(opened_time as date) or not contains(filename, validation_id)").fetchall()
    assert wrong == []


def test_what_people_ask_is_answered(table):
    verdicts = dict(table.execute("select verdict, count(*) from records group by all").fetchall())
    assert {"passed", "failed", "restore_failed", "copy_failed", "not_tested"} <= set(verdicts)
    # What passed was measured, and its duration is that of its timestamps.
    measured = table.execute(
        "select recovery_time, data_age, restore_duration, "
        "date_diff('millisecond', restore_start_time, restore_end_time) / 60000, data_age_objective "
        "from records where verdict = 'passed'").fetchall()
    for recovery_time, data_age, duration, computed, objective in measured:
        assert recovery_time >= duration > 0
        # A rule that asks for no data age need not measure it: not every site tells one.
        assert data_age is not None or objective == "not_set"
        assert duration == pytest.approx(computed, abs=0.001)
    assert any(data_age is not None for _, data_age, *_ in measured)
    # The checks, one row each, as Athena's UNNEST gives them.
    failed = table.execute(
        "select validation_id, c.name, c.value, c.value_number from records, unnest(checks) as t(c) "
        "where c.outcome = 'failed'").fetchall()
    assert {row[0] for row in failed} == {row[0] for row in table.execute(
        "select validation_id from records where verdict = 'failed'").fetchall()}


def test_log_events_carry_embedded_metrics(demo_calls, template_path):
    """As "Specification: embedded metric format" of the CloudWatch user guide has it; what alarms look at is among them."""
    messages = [json.loads(event["message"]) for call in demo_calls
                if (call.service, call.operation) == ("logs", "PutLogEvents")
                for event in json.loads(call.request_body)["logEvents"]]
    kinds = {}
    for message in messages:
        embedded = message.get("_aws")
        names = set()
        for directive in embedded["CloudWatchMetrics"] if embedded else []:
            assert isinstance(embedded["Timestamp"], int)
            assert directive["Namespace"] == "RestoreProof/restore-proof" and 1 <= len(directive["Metrics"]) <= 100
            for dimensions in directive["Dimensions"]:
                assert all(isinstance(message[name], str) and message[name] for name in dimensions)
            for metric in directive["Metrics"]:
                value = message[metric["Name"]]
                assert isinstance(value, (int, float)) and not isinstance(value, bool), metric
                assert metric["Unit"] in ("Count", "Seconds", "Percent", "None"), metric
                names.add(metric["Name"])
        kinds.setdefault(message["event"], set()).update(names)
    assert {"Validations", "FailedVerdicts", "MissedObjectives", "PolicyErrors"} <= kinds["verdict"]
    assert {"OverdueValidations", "OpenValidations", "RunningRestores"} <= kinds["sweep"]
    assert kinds["cleanup"] == set()
    emitted = {(directive["Namespace"], metric["Name"]) for message in messages
               for directive in message.get("_aws", {}).get("CloudWatchMetrics", [])
               for metric in directive["Metrics"]}
    asked_for = set(ours_in(Template(template_path, {})))
    assert len(asked_for) == 10
    # What is left behind is counted by a filter of the log; in the demo nothing is. And there are no days before, with
    # which the share of what is not tested could be compared.
    assert {name for _, name in asked_for - emitted} == {"LeftBehind", "UntestedGrowth"}


def ours_in(template):
    """Namespace and name of each metric of the function's own that the template's alarms and filters name."""
    def metrics(node):
        if isinstance(node, list):
            for item in node:
                yield from metrics(item)
        elif isinstance(node, dict):
            namespace = node.get("Namespace", node.get("MetricNamespace"))
            if namespace is not None:
                yield template.resolve(namespace), node["MetricName"]
            for item in node.values():
                yield from metrics(item)
    return [metric for metric in metrics(template.raw["Resources"]) if not metric[0].startswith("AWS/")]


def test_nothing_is_left_in_the_demo(table):
    assert table.execute("select * from records where cleanup in ('pending', 'left_behind')").fetchall() == []
