"""DuckDB reads the demo's records as Athena would: partitions from folders, a type for every column.

RECORDS names the folder of records. The column types are those that crates/core/src/record.rs states
in the comment of each column, where people and Athena tables take them from.
"""

import datetime
import json
import re
from pathlib import Path

import duckdb
import pytest

import catalog
import insights
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
}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")


def stated(struct):
    """The columns of a struct in record.rs: name to stated type and whether it may be null.

    The type of a struct is its columns, that of an array of structs a list of that."""
    source = (ROOT / "crates/core/src/record.rs").read_text()
    body = re.search(rf"pub struct {struct} \{{(.*?)\n\}}", source, re.S).group(1) + "\n"
    columns = {}
    for kind, name, rust in re.findall(
            r"/// ([a-z ]+)[.,].*?\n(?:\s*///.*\n)*\s*pub (\w+): (.+),\n", body):
        if kind.endswith(("struct", "of structs")):
            columns_of_its_own = stated(re.search(r"(\w+)>*$", rust)[1])
            kind = columns_of_its_own if kind == "struct" else [columns_of_its_own]
        columns[name] = (kind, rust.startswith("Option<"))
    assert len(columns) == body.count("pub "), "every column states its type in its comment"
    return columns


COLUMNS = stated("Record")


def duckdb_type(kind):
    if isinstance(kind, list):
        return duckdb_type(kind[0]) + "[]"
    if isinstance(kind, dict):
        return "STRUCT(" + ", ".join(f'"{name}" {duckdb_type(k)}' for name, (k, _) in kind.items()) + ")"
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
            if isinstance(kind, dict):
                check(value, kind, f"{where}.{name}")
                continue
            if isinstance(kind, list):
                assert isinstance(value, list), f"{where}.{name} is {value!r}"
                for index, item in enumerate(value):
                    check(item, kind[0], f"{where}.{name}[{index}]")
                continue
            # A bool is an int to Python.
            assert isinstance(value, TYPES[kind][1]) and not isinstance(value, bool), \
                f"{where}.{name} is {value!r}, stated is {kind}"
            if kind == "timestamp":
                assert TIMESTAMP.fullmatch(value), f"{where}.{name} is {value!r}"
            if kind == "array of strings":
                assert all(isinstance(item, str) for item in value), f"{where}.{name}"

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
        # DuckDB quotes names where it must.
        assert seen[name].replace('"', "") == duckdb_type(kind).replace('"', ""), name


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


def test_every_saved_query_is_answered(records_folder, files):
    """As in test_athena.py, on what the function itself has written."""
    rows = [json.loads(file.read_text()) for file in files]
    known = catalog.database(records_folder)
    today = datetime.date.fromisoformat(max(row["opened_time"] for row in rows)[:10])
    answers = {title: catalog.ask(known, title, today) for title in catalog.QUERIES}
    proved = {row["source_resource_arn"] for row in rows if row["verdict"] == "passed" and row["proof"] == "restored"}
    assert {row["source_resource_arn"] for row in answers["What do I restore from?"]} == proved
    bad = ("failed", "restore_failed", "copy_failed")
    assert {row["validation_id"] for row in answers["All that failed, and why"]} == {
        row["validation_id"] for row in rows if row["verdict"] in bad}
    assert sum(row["recovery_points"] for row in answers["The auditor's month"]) == len(rows)
    # In the demo nothing is left behind, and what is quick enough never misses.
    assert [title for title, answer in answers.items() if not answer] == ["Left behind"]


def test_what_was_restored_is_told(table):
    """Of every restore: where it lay, how large it was, its job, how long it existed. Of nothing restored: nothing."""
    rows = table.execute(
        "select restore_job_id, proof, scenario, restored_resource_arn, restore_account, restore_region, network, "
        "source_class, restored_class, attempts, usage, cleanup, fault_class, verdict, source_account, resource_type "
        "from records").fetchall()
    proofs, scenarios, clusters = set(), set(), 0
    for (job, proof, scenario, arn, account, region, network, source_class, restored_class, attempts, usage, cleanup,
         fault, verdict, source_account, resource_type) in rows:
        proofs.add(proof)
        assert (fault is not None) == (verdict == "restore_failed"), verdict
        assert [attempt["job"] for attempt in attempts] == ([job] if job else [])
        assert (account is None) == (region is None) == (job is None)
        if proof is None:
            assert network is None and restored_class is None
            continue
        scenarios.add(scenario)
        assert scenario == ("same_account" if source_account == account else "cross_account")
        assert arn.split(":")[3:5] == [region, account]
        assert network["vpc"].startswith("vpc-") and network["subnets"] and network["groups"]
        # The backup of a cluster names no class: its instances are no part of it.
        assert restored_class and (source_class is None) == (resource_type == "Aurora")
        clusters += resource_type == "Aurora"
        (attempt,), (used,) = attempts, usage
        assert attempt["start"] < attempt["end"] and attempt["cleanup"] == cleanup == "deleted"
        assert (used["what"], used["unit"]) == ("restored_resource", "minutes")
        assert used["amount"] > (attempt["end"] - attempt["start"]).total_seconds() / 60
    assert clusters == 2
    assert proofs == {"restored", None} and scenarios == {"same_account", "cross_account"}
    unknown = "select * from records where policy_version is not null and policy_version_id is null"
    assert table.execute(unknown).fetchall() == []
    steps = table.execute(
        "select m.name, m.number, m.text from records, unnest(checks) as t(c), unnest(c.measured) as u(m) "
        "where c.kind = 'http'").fetchall()
    assert steps and all(name.endswith(", ms") and ms > 0 and text == "status 200" for name, ms, text in steps)


def test_the_readme_has_every_column():
    readme = (ROOT / "README.md").read_text()
    section = re.search(r"^## The record\n(.*?)^## ", readme, re.M | re.S)[1]
    tables = [re.findall(r"^\| `(\w+)` \| ([\w()]+)", table, re.M) for table in section.split("|---|---|---|")[1:]]

    def in_words(kind):
        if isinstance(kind, list):
            return "array(row)"
        return "row" if isinstance(kind, dict) else {"array of strings": "array(string)"}.get(kind, kind)

    def with_fields(columns):
        """A table, and those of its columns that have a table of their own."""
        yield [(name, in_words(kind)) for name, (kind, _) in columns.items()]
        for name, (kind, _) in columns.items():
            if name != "measured" and not isinstance(kind, str):
                yield from with_fields(kind[0] if isinstance(kind, list) else kind)
    assert tables == list(with_fields(COLUMNS))


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
    assert {"Validations", "FailedVerdicts", "UnusableKeys", "MissedObjectives", "PolicyErrors"} <= kinds["verdict"]
    assert {"OverdueValidations", "OpenValidations", "RunningRestores"} <= kinds["sweep"]
    assert kinds["cleanup"] == set()
    emitted = {(directive["Namespace"], metric["Name"]) for message in messages
               for directive in message.get("_aws", {}).get("CloudWatchMetrics", [])
               for metric in directive["Metrics"]}
    asked_for = set(ours_in(Template(template_path, {})))
    assert len(asked_for) == 12
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


# --- Dashboard and saved queries of Logs Insights ------------------------------------------------------


@pytest.fixture(scope="module")
def log_events(demo_calls):
    """What the log group of the records holds after the demo, as Logs Insights sees it."""
    events = []
    for call in demo_calls:
        if (call.service, call.operation) == ("logs", "PutLogEvents"):
            for event in json.loads(call.request_body)["logEvents"]:
                events.append(json.loads(event["message"]) | {"@timestamp": event["timestamp"], "@message": event["message"]})
    assert events
    return events


#: Where it is deployed.
STACK = {"NamePrefix": "restore-proof", "AWS::AccountId": "111122223333", "AWS::Region": "eu-central-1", "AWS::StackName": "stack"}


def dashboard():
    template = Template(ROOT / "template.yaml", STACK)
    board, = template.resources("AWS::CloudWatch::Dashboard").values()
    return json.loads(board["DashboardBody"])


def widgets(kind):
    return [pytest.param(widget, id=widget["properties"]["title"]) for widget in dashboard()["widgets"] if widget["type"] == kind]


def expanded(metrics):
    """The metrics of a widget: namespace, name and dimensions. A dot stands for what the row above has there."""
    for row in metrics:
        names = [part for part in row if not isinstance(part, dict)]
        assert "." not in names and "..." not in names
        yield names[0], names[1], dict(zip(names[2::2], names[3::2]))


#: What each table of the dashboard and each saved query must show of the demo. What is not made there is asked in another way.
SHOWN = {
    "Latest results": lambda rows, events: len(rows) == sum(e["event"] == "verdict" and bool(e["source_account"]) for e in events),
    "Recovery time against target, minutes": lambda rows, events: rows and all(r["longest"] >= r["average"] > 0 for r in rows),
    "Last proved, longest ago first": lambda rows, events: {r["source_resource_arn"] for r in rows} == {
        e["source_resource_arn"] for e in events if e["event"] == "verdict" and e["verdict"] == "passed"},
    "Left behind or kept": lambda rows, events: rows == [],
    "latest verdicts": lambda rows, events: len(rows) == sum(e["event"] == "verdict" for e in events),
    "what failed and why": lambda rows, events: {r["verdict"] for r in rows} >= {"failed", "restore_failed", "copy_failed"},
    "slowest recoveries": lambda rows, events: rows and rows == sorted(rows, key=lambda r: -r["longest"]),
    "verdicts by day": lambda rows, events: sum(r["validations"] for r in rows) == sum(e["event"] == "verdict" for e in events),
}


def insights_queries():
    template = Template(ROOT / "template.yaml", STACK)
    for widget in dashboard()["widgets"]:
        if widget["type"] == "log":
            query = widget["properties"]["query"].replace("SOURCE_ACCOUNT", ".").replace("SOURCE_RESOURCE", ".")
            yield widget["properties"]["title"], query
    for saved in template.resources("AWS::Logs::QueryDefinition").values():
        yield saved["Name"].partition("/")[2], saved["QueryString"]


@pytest.mark.parametrize(("title", "query"), [pytest.param(*pair, id=pair[0]) for pair in insights_queries()])
def test_each_insights_query_shows_what_it_promises(title, query, log_events):
    if title.startswith("errors and warnings"):
        pytest.skip("of the function's own log: in test_moto.py")
    if title.startswith("one validation"):
        # Its id is put in.
        for one in {event["validation_id"] for event in log_events if "validation_id" in event}:
            rows = insights.ask(query.replace("0123456789abcdef0123", one), log_events)
            assert [row["@message"] for row in rows] == [event["@message"] for event in sorted(
                log_events, key=lambda event: event["@timestamp"]) if one in event["@message"]] and len(rows) >= 2
        return
    rows = insights.ask(query, log_events)
    assert SHOWN[title](rows, log_events), rows


def test_the_tables_of_the_dashboard_follow_its_fields(log_events):
    """A field's pattern stands in the body, and what people type takes its place."""
    body = dashboard()
    for variable in body["variables"]:
        assert variable["type"] == "pattern" and variable["pattern"] in json.dumps(body["widgets"])
    table = next(w for w in body["widgets"] if w["properties"].get("title") == "Latest results")["properties"]["query"]
    some = next(e for e in log_events if e["event"] == "verdict" and e["source_resource_arn"])
    query = table.replace("SOURCE_ACCOUNT", ".").replace("SOURCE_RESOURCE", re.escape(some["source_resource_arn"]).replace("/", r"\/"))
    assert {row["source_resource_arn"] for row in insights.ask(query, log_events)} == {some["source_resource_arn"]}


def test_what_was_deleted_at_last_is_not_left_behind():
    query = dict(insights_queries())["Left behind or kept"]

    def told(arn, *states):
        return [{"event": "cleanup", "restored_resource_arn": arn, "cleanup": state, "cleanup_reason": f"why {state}",
                 "source_account": "1", "source_resource_arn": "arn", "@timestamp": at} for at, state in enumerate(states)]
    rows = insights.ask(query, told("arn:gone", "left_behind", "deleted") + told("arn:there", "kept_until", "left_behind"))
    assert rows == [{"restored_resource_arn": "arn:there", "state": "left_behind", "reason": "why left_behind"}]


def test_every_table_of_the_dashboard_follows_its_fields():
    for widget in dashboard()["widgets"]:
        if widget["type"] == "log":
            assert {"SOURCE_ACCOUNT", "SOURCE_RESOURCE"} <= set(re.findall(r"[A-Z_]{9,}", widget["properties"]["query"]))


def test_every_alarm_is_on_the_dashboard():
    template = Template(ROOT / "template.yaml", STACK)
    alarms = next(widget for widget in dashboard()["widgets"] if widget["type"] == "alarm")["properties"]["alarms"]
    assert set(alarms) == {template.arn(name) for name in template.resources("AWS::CloudWatch::Alarm")}
