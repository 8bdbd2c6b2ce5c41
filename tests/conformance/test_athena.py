"""The saved queries of infra/athena.yaml on histories: a short one whose answers are written here by hand, and one of
thousands of validations with what is hard in it, whose answers are computed in another way."""

import datetime
import importlib.util
import json
import math
import random
import statistics

import pytest

import catalog
from catalog import QUERIES, TABLES, VIEWS, ask, database, duckdb_type
from conftest import ROOT

TODAY = datetime.date(2026, 11, 29)


def script():
    spec = importlib.util.spec_from_file_location("athena_script", ROOT / "scripts/athena.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = script()
COLUMNS = SCRIPT.columns_of()


def test_the_template_is_what_the_sources_say():
    assert SCRIPT.TARGET.read_text() == SCRIPT.template(), "run python3 scripts/athena.py"


def test_the_table_has_the_columns_of_the_record():
    """In order and type, one more or less turns it red: record.rs and the table are read in different ways."""
    from test_records import COLUMNS as stated
    from test_records import duckdb_type as of_record
    table = TABLES["records"]["StorageDescriptor"]["Columns"]
    assert [column["Name"] for column in table] == list(stated)
    for column in table:
        assert duckdb_type(column["Type"]).replace('"', "") == of_record(stated[column["Name"]][0]).replace('"', "")


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_answers_what_the_catalog_says_of_it(name, short):
    """Athena refuses a view as stale whose columns are not those that are kept of it."""
    hive = {column["Name"]: column["Type"] for column in TABLES[name]["StorageDescriptor"]["Columns"]}
    kept = {column["name"]: column["type"] for column in VIEWS[name]["columns"]}
    answered = {row[0]: row[1] for row in short.execute(f"describe {name}").fetchall()}
    assert list(hive) == list(kept) == list(answered)
    for column, kind in answered.items():
        assert kind == duckdb_type(hive[column]), column
        trino = {"varchar": "VARCHAR", "array(varchar)": "VARCHAR[]"}.get(kept[column], kept[column].upper())
        assert kind == trino, column
    assert (VIEWS[name]["catalog"], VIEWS[name]["schema"]) == ("awsdatacatalog", "restore_proof")


def test_glue_takes_the_names():
    """Glue and Athena fold names to lower case; a comment has 255 characters (API_Column), a description 2,048."""
    for name, table in TABLES.items():
        columns = table["StorageDescriptor"]["Columns"] + table.get("PartitionKeys", [])
        for column in columns:
            assert column["Name"] == column["Name"].lower() and len(column["Comment"]) <= 255, (name, column)
            assert len(column["Type"]) < 131_072
        assert len({column["Name"] for column in columns}) == len(columns)
    for query in catalog.of_type("AWS::Athena::NamedQuery").values():
        assert len(query["Name"]) <= 128 and len(query["Description"]) <= 1024 and len(query["QueryString"]) <= 262_144


def test_the_readme_names_every_question_and_table():
    readme = (ROOT / "README.md").read_text()
    for title in QUERIES:
        assert f"| {title} | " in readme, title
    for table in TABLES:
        assert f"| `{table}` | " in readme, table


def record(validation, day, verdict="passed", resource="orders", **columns):
    """A record of a validation that was opened at noon of a day of November 2026, restored unless it says otherwise."""
    opened = datetime.datetime(2026, 11, 1, 12) + datetime.timedelta(days=day - 1)
    written = {column.name: [] if column.many or column.kind == "array of strings" else None for column in COLUMNS}
    written |= {
        "format": 1, "validation_id": validation, "attempt": 1, "verdict": verdict, "verdict_reason": f"why {validation}",
        "recovery_point_arn": f"arn:point:{validation}", "recovery_point_created": stamp(opened - datetime.timedelta(hours=1)),
        "backup_vault_arn": "arn:vault", "backup_vault_name": "central", "opened_time": stamp(opened), "cleanup": "deleted",
        "source_resource_arn": f"arn:rds:{resource}", "source_account": "222233334444", "resource_type": "RDS",
        "verdict_time": stamp(opened + datetime.timedelta(minutes=30)), "function_version": "0.1.0",
        "recovery_time_objective": "not_set", "data_age_objective": "not_set",
    }
    if verdict in ("passed", "failed", "unchecked", "inconclusive") and "proof" not in columns:
        written |= {"proof": "restored", "scenario": "cross_account", "restore_job_id": f"job-{validation}",
                    "restored_class": "db.t4g.micro", "source_class": "db.t4g.micro"}
    unknown = set(columns) - set(written)
    assert not unknown, unknown
    return written | columns


def stamp(time):
    return time.strftime("%Y-%m-%d %H:%M:%S.") + f"{time.microsecond // 1000:03}"


def check(name, outcome, **fields):
    return {"name": name, "kind": "sql", "outcome": outcome, "value": None, "value_number": None, "value_withheld": None,
            "expectation": "", "detail": "", "duration": 0.1, "group": None, "measured": []} | fields


def attempt(job, **fields):
    return {"job": job, "start": "2026-11-01 12:00:00.000", "end": None, "class": None, "message": None,
            "cleanup": "deleted"} | fields


def written(records, folder):
    for one in records:
        file = folder / f"dt={one['opened_time'][:10]}" / f"{one['validation_id']}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(one, ensure_ascii=False) + "\n")
    return database(folder)


#: Few enough to see what each query must answer.
SHORT = [
    record("a1", 1, recovery_time=10.0, recovery_time_target=30.0, recovery_time_objective="met", data_age=5.0,
           data_age_objective="met", checks=[check("there", "passed", measured=[
               {"name": "front, ms", "number": 12.5, "text": "status 200"}, {"name": "back, ms", "number": 7.0, "text": None}])],
           usage=[{"what": "restored_resource", "amount": 40.0, "unit": "minutes"}]),
    record("a2", 20, recovery_time=20.0, recovery_time_target=30.0, recovery_time_objective="met", data_age=9.0,
           data_age_target=8.0, data_age_objective="missed", restored_class="db.t4g.small",
           usage=[{"what": "restored_resource", "amount": 60.0, "unit": "minutes"}]),
    record("a3", 28, "failed", checks=[check("there", "failed", value_withheld={"withheld": "text", "reason": "r"}),
                                       check("fresh", "failed", group="integrity"), check("other", "passed")]),
    record("b1", 10, "restore_failed", "billing", fault_class="capacity", attempts=[
        attempt("j1", **{"class": "capacity"}), attempt("j2", **{"class": "capacity"}), attempt("j3", end="2026-11-01 13:00:00.000")]),
    # What was only read is no restore.
    record("b2", 27, "passed", "billing", proof="read", resource_type="S3"),
    record("c1", 5, "passed", "crm ü 🦀", source_account="999900001111", recovery_time=60.0, recovery_time_target=30.0,
           recovery_time_objective="missed"),
    record("c2", 29, "inconclusive", "crm ü 🦀", source_account="999900001111", cleanup="left_behind",
           cleanup_reason="it cannot be deleted", restored_resource_arn="arn:left", fault_class="permission"),
    record("d1", 15, "not_tested", "drafts", resource_type="EFS"),
    record("d2", 16, "not_tested", "drafts", resource_type="EFS"),
    # A copy that failed may name no source.
    record("e1", 29, "copy_failed", source_resource_arn=None, source_account=None, resource_type=None),
]


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return written(SHORT, tmp_path_factory.mktemp("short"))


def some(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


def test_latest_verdicts(short):
    rows = ask(short, "Latest verdict of each resource", TODAY)
    assert some(rows, "source_resource_arn", "resource_type", "verdict", "validation_id") == [
        ("arn:rds:drafts", "EFS", "not_tested", "d2"), ("arn:rds:billing", "RDS", "restore_failed", "b1"),
        ("arn:rds:orders", "RDS", "failed", "a3"), ("arn:rds:billing", "S3", "passed", "b2"),
        ("arn:rds:crm ü 🦀", "RDS", "inconclusive", "c2")]


def test_what_to_restore_from(short):
    rows = ask(short, "What do I restore from?", TODAY)
    assert some(rows, "source_resource_arn", "recovery_point_arn", "recovery_time", "restored_class") == [
        ("arn:rds:orders", "arn:point:a2", 20.0, "db.t4g.small"), ("arn:rds:crm ü 🦀", "arn:point:c1", 60.0, "db.t4g.micro")]
    assert rows[0]["recovery_point_created"] == datetime.datetime(2026, 11, 20, 11)


def test_what_failed(short):
    rows = ask(short, "All that failed, and why", TODAY)
    assert some(rows, "validation_id", "verdict", "failed_checks", "fault_class") == [
        ("e1", "copy_failed", None, None), ("a3", "failed", "there, fresh", None), ("b1", "restore_failed", None, "capacity")]
    # Only of 90 days.
    later = ask(short, "All that failed, and why", datetime.date(2027, 2, 20))
    assert some(later, "validation_id") == [("e1",), ("a3",)]


def test_recovery_times(short):
    rows = ask(short, "Recovery time by month", TODAY)
    assert some(rows, "source_resource_arn", "scenario", "restores", "average", "longest", "target", "missed", "other_class") == [
        ("arn:rds:crm ü 🦀", "cross_account", 1, 60.0, 60.0, 30.0, 1, 0),
        ("arn:rds:orders", "cross_account", 2, 15.0, 20.0, 30.0, 0, 1)]
    assert {stamp(row["month"])[:10] for row in rows} == {"2026-11-01"}
    (row,) = ask(short, "Recovery time by type", TODAY)
    assert (row["resource_type"], row["restores"], row["average"], row["longest"]) == ("RDS", 3, 30.0, 60.0)


def test_data_age(short):
    (row,) = ask(short, "Data age", TODAY)
    assert some([row], "measured", "average", "oldest", "target", "missed", "latest") == [(2, 7.0, 9.0, 8.0, 1, 9.0)]


def test_coverage(short):
    rows = ask(short, "Coverage: what was not proved lately", TODAY)
    assert some(rows, "source_resource_arn", "resource_type", "days", "latest_verdict") == [
        ("arn:rds:drafts", "EFS", None, "not_tested"), ("arn:rds:billing", "RDS", None, "restore_failed"),
        ("arn:rds:billing", "S3", None, "passed"), ("arn:rds:crm ü 🦀", "RDS", 24, "inconclusive"),
        ("arn:rds:orders", "RDS", 9, "failed")]


def test_what_could_not_be_told(short):
    rows = ask(short, "What could not be told, by kind of fault", TODAY)
    assert some(rows, "verdict", "fault_class", "resource_type", "validations", "resources", "newest_reason") == [
        ("not_tested", None, "EFS", 2, 1, "why d2"), ("inconclusive", "permission", "RDS", 1, 1, "why c2")]


def test_left_behind(short):
    rows = ask(short, "Left behind", TODAY)
    assert some(rows, "validation_id", "restored_resource_arn", "cleanup_reason") == [("c2", "arn:left", "it cannot be deleted")]


def test_usage(short):
    rows = ask(short, "Usage by month", TODAY)
    assert some(rows, "what", "resource_type", "restored_class", "unit", "times", "amount") == [
        ("restored_resource", "RDS", "db.t4g.micro", "minutes", 1, 40.0),
        ("restored_resource", "RDS", "db.t4g.small", "minutes", 1, 60.0)]


def test_the_auditors_month(short):
    rows = ask(short, "The auditor's month", TODAY)
    by_type = {row["resource_type"]: row for row in rows}
    assert list(by_type) == ["EFS", "RDS", "S3", None]
    rds = by_type["RDS"]
    assert some([rds], "recovery_points", "resources", "restored", "proved", "failed", "restore_failed", "inconclusive",
                "average_recovery_time", "recovery_time_missed", "data_age_missed", "left_behind") == [
                    (6, 3, 5, 3, 1, 1, 1, 30.0, 1, 1, 1)]
    assert rds["success_rate"] == 60.0
    # Read and not restored: neither proved nor part of any rate.
    s3 = by_type["S3"]
    assert some([s3], "recovery_points", "restored", "proved", "read_without_restore", "success_rate") == [(1, 0, 0, 1, None)]
    assert by_type[None]["copy_failed"] == 1


def test_views_take_lists_apart(short):
    rows = short.execute("select validation_id, check_number, name, outcome, check_group, withheld from checks "
                         "order by all").fetchall()
    assert rows == [("a1", 1, "there", "passed", None, None), ("a3", 1, "there", "failed", None, "text"),
                    ("a3", 2, "fresh", "failed", "integrity", None), ("a3", 3, "other", "passed", None, None)]
    rows = short.execute("select validation_id, job_number, job, job_class, job_end from attempts order by all").fetchall()
    assert rows == [("b1", 1, "j1", "capacity", None), ("b1", 2, "j2", "capacity", None),
                    ("b1", 3, "j3", None, datetime.datetime(2026, 11, 1, 13))]
    rows = short.execute("select validation_id, check_name, name, number, text from measurements order by all").fetchall()
    assert rows == [("a1", "there", "back, ms", 7.0, None), ("a1", "there", "front, ms", 12.5, "status 200")]
    assert short.execute("select sum(checks_failed), sum(checks_passed), max(restores) from validations").fetchone() == (2, 2, 3)


#: What names may end with.
ODD = ["", "ü", "🛒", 'a"b']


def history(count, seed=7):
    """Validations of the last 90 days, with all that is hard: nulls, retries, read-only proofs, unicode, huge values."""
    chance = random.Random(seed)
    verdicts = ["passed"] * 12 + ["failed", "inconclusive", "unchecked", "restore_failed", "copy_failed", "not_tested", "not_tested"]
    for number in range(count):
        day = chance.randint(1, 90) - 61
        verdict = chance.choice(verdicts)
        kind = chance.choice(["RDS", "Aurora", "EC2", "S3"])
        resource = f"{kind}-{chance.randint(0, 80)} {chance.choice(ODD)}"
        columns = {"resource_type": kind, "source_account": f"{chance.randint(0, 3):012}"}
        if kind == "S3" and verdict == "passed" and chance.random() < 0.5:
            columns["proof"] = "read"
        elif verdict == "passed":
            columns["recovery_time"] = round(chance.lognormvariate(3, 1), 6)
            columns["recovery_time_target"] = chance.choice([None, 30.0])
            if chance.random() < 0.7:
                columns["data_age"] = chance.choice([0.0, 3.5, 1e300, round(chance.random() * 100, 3)])
        columns["attempts"] = [attempt(f"j{number}-{n}") for n in range(chance.choice([0, 1, 1, 1, 3]))]
        columns["checks"] = [check(f"check {n}", chance.choice(["passed", "failed", "errored"]), value=chance.choice(
            [None, "x" * 1024, "🦀" * 300, "1", "{\"a\": [1]}"]), value_number=chance.choice([None, 1e308, -5.5]))
            for n in range(chance.randint(0, 5))]
        columns["usage"] = [{"what": "restored_resource", "amount": chance.random() * 90, "unit": "minutes"}] * (verdict == "passed")
        columns["findings"] = chance.choice([[], ["one; two", "ü\n"], ["'quoted' \"words\""]])
        columns["cleanup"] = chance.choice(["deleted"] * 9 + ["left_behind", "nothing_to_delete"])
        yield record(f"v{number:05}", day, verdict, resource, **columns)


LONG = list(history(2400))


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    return written(LONG, tmp_path_factory.mktemp("long"))


@pytest.mark.parametrize("title", QUERIES)
def test_every_query_answers_on_a_long_history(title, long):
    assert ask(long, title, TODAY), title


def proved(one):
    return one["verdict"] == "passed" and one["proof"] == "restored"


def test_a_long_history_is_answered_as_computed_by_hand(long):
    key = ("source_account", "resource_type", "source_resource_arn")
    best, seen = {}, {}
    for one in LONG:
        whose = tuple(one[name] for name in key)
        seen.setdefault(whose, []).append(one)
        if proved(one) and one["recovery_point_created"] > best.get(whose, {"recovery_point_created": ""})["recovery_point_created"]:
            best[whose] = one
    rows = ask(long, "What do I restore from?", TODAY)
    assert {tuple(row[name] for name in key): stamp(row["recovery_point_created"]) for row in rows} == {
        whose: one["recovery_point_created"] for whose, one in best.items()}
    coverage = ask(long, "Coverage: what was not proved lately", TODAY)
    assert {tuple(row[name] for name in key) for row in coverage} == set(seen)
    days = [row["days"] for row in coverage]
    gaps = days.count(None)
    assert gaps == len(seen) - len(best) > 0 and days[:gaps] == [None] * gaps
    assert days[gaps:] == sorted(days[gaps:], reverse=True)

    months = {}
    for one in LONG:
        months.setdefault((one["opened_time"][:7], one["resource_type"]), []).append(one)
    rows = ask(long, "The auditor's month", TODAY)
    assert len(rows) == len(months)
    for row in rows:
        ones = months[row["month"].strftime("%Y-%m"), row["resource_type"]]
        judged = [one for one in ones if one["verdict"] in ("passed", "failed", "restore_failed") and one["proof"] != "read"]
        times = [one["recovery_time"] for one in ones if proved(one)]
        assert row["recovery_points"] == len(ones) and row["proved"] == len(times)
        assert row["read_without_restore"] == sum(one["proof"] == "read" for one in ones)
        assert row["success_rate"] == pytest.approx(100 * sum(map(proved, ones)) / len(judged))
        assert row["average_recovery_time"] == pytest.approx(statistics.fmean(times))

    for row in ask(long, "Recovery time by type", TODAY):
        times = sorted(one["recovery_time"] for one in LONG if proved(one) and one["resource_type"] == row["resource_type"]
                       and one["opened_time"] > "2026-08-31")
        assert row["restores"] == len(times) and row["longest"] == times[-1]
        # It is approximate, in Athena as here.
        for name, share in (("median", 0.5), ("p95", 0.95)):
            around = [times[max(0, math.floor((share + off) * len(times)) - 1)] for off in (-0.04, 0.04)]
            assert around[0] <= row[name] <= around[1], (row, around)


def test_lists_and_their_counts_agree_on_a_long_history(long):
    counted = long.execute("select sum(checks_passed + checks_failed + checks_errored), sum(restores) from validations").fetchone()
    rows = long.execute("select (select count(*) from checks), (select count(*) from attempts)").fetchone()
    assert rows == counted == (sum(len(one["checks"]) for one in LONG), sum(len(one["attempts"]) for one in LONG))
