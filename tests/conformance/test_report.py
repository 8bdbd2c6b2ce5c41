"""`restore-proof report` against the saved queries: over the same records both give the same figures.

CLI names the restore-proof binary.
"""

import calendar
import datetime
import functools
import json
import math
import subprocess

import pytest

from catalog import ask
from page import Page, minutes, percent
from test_athena import LONG, SHORT, TODAY, proved, stamp, written

KEY = ("source_account", "resource_type", "source_resource_arn")


class History:
    """Records in a folder, for both to read."""

    def __init__(self, records, folder, binary):
        self.records, self.folder, self.binary = records, folder, binary
        self.known = written(records, folder)

    @functools.cache
    def report(self, *options):
        ran = subprocess.run([self.binary, "report", "--records", self.folder, "--form", "json", *options],
                             capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stderr
        report = json.loads(ran.stdout)
        assert report["report_format"] == 1 and report["read"]["unreadable"] == 0
        return report

    @functools.cache
    def page(self, days):
        """The page of these days up to TODAY."""
        ran = subprocess.run([self.binary, "report", "--records", self.folder, "--form", "html", "--last", f"{days}d",
                              "--to", str(TODAY)], capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stderr
        return Page(ran.stdout)

    def sql(self, question):
        """The rows that a question answers about the records of the last 30 days, `period`, or all of them, `records`."""
        period = f"with period as (from records where opened_time >= date '{TODAY}' - 29 and opened_time < date '{TODAY}' + 1)"
        return self.known.execute(f"{period} {question}").fetchall()

    def last(self, days):
        return self.report("--last", f"{days}d", "--to", str(TODAY))

    def months(self):
        """The report of each month that has records."""
        for month in sorted({one["opened_time"][:7] for one in self.records}):
            year, number = map(int, month.split("-"))
            last = calendar.monthrange(year, number)[1]
            yield month, self.report("--from", f"{month}-01", "--to", f"{month}-{last}")

    @functools.cache
    def ask(self, title):
        return ask(self.known, title, TODAY)

    def in_month(self, title, month):
        return [row for row in self.ask(title) if row["month"].strftime("%Y-%m") == month]

    def at(self, whose, **moment):
        """The validations of a resource with this value: a query may name any of several of one moment."""
        ((name, value),) = moment.items()
        return [one for one in self.records if key(one) == whose and one[name] == value]


@pytest.fixture(scope="module", params=["short", "long"])
def history(request, tmp_path_factory, cli_binary):
    records = {"short": SHORT, "long": LONG[:800]}[request.param]
    return History(records, tmp_path_factory.mktemp(request.param), cli_binary)


def key(row):
    return tuple(row[name] for name in KEY)


def close(value):
    return None if value is None else pytest.approx(value, rel=1e-9)


def test_what_to_restore_from(history):
    rows = {key(row): row for row in history.ask("What do I restore from?")}
    proofs = {key(one): one["proof"] for one in history.last(30)["resources"] if one["proof"]}
    assert set(proofs) == set(rows)
    for whose, row in rows.items():
        created = stamp(row["recovery_point_created"])
        assert proofs[whose]["recovery_point_created"] == created
        best = [one for one in history.at(whose, recovery_point_created=created) if proved(one)]
        columns = ("validation_id", "recovery_point_arn", "recovery_time", "restored_class", "backup_vault_name")
        assert tuple(proofs[whose][name] for name in columns) in [tuple(one[name] for name in columns) for one in best]


def test_coverage_in_order(history):
    rows = history.ask("Coverage: what was not proved lately")
    resources = history.last(30)["resources"]
    assert [(key(one), one["days"]) for one in resources] == [(key(row), row["days"]) for row in rows]
    for row, one in zip(rows, resources):
        assert one["last_proved"] == (row["last_proved"] and stamp(row["last_proved"]))
        latest = one["latest"]
        assert latest["opened_time"] == stamp(row["latest"])
        same = {other["verdict"] for other in history.at(key(one), opened_time=latest["opened_time"])}
        assert latest["verdict"] in same and row["latest_verdict"] in same


def test_totals_of_each_month(history):
    for month, report in history.months():
        rows = history.in_month("The auditor's month", month)
        types = {one["resource_type"]: one for one in report["by_type"]}
        assert set(types) == {row["resource_type"] for row in rows}
        for row in rows:
            one = types[row["resource_type"]]
            columns = set(row) - {"month", "resource_type"}
            assert columns <= set(one), "the report has every column of the query"
            for name in columns:
                # count_if of nothing but nulls is 0 in Athena, null in DuckDB.
                if row[name] is None and name not in ("success_rate", "average_recovery_time"):
                    row[name] = 0
                assert one[name] == (close(row[name]) if isinstance(row[name], float) else row[name]), (month, name)
        for name in ("recovery_points", "restored", "proved", "failed", "not_tested", "left_behind"):
            assert report["totals"][name] == sum(row[name] for row in rows)


def test_recovery_times_by_type(history):
    rows = {(row["resource_type"], row["scenario"]): row for row in history.ask("Recovery time by type")}
    report = history.last(90)
    times = {(one["resource_type"], one["scenario"]): one for one in report["recovery_time_by_type"]}
    assert set(times) == set(rows)
    for kind, row in rows.items():
        one = times[kind]
        assert (one["restores"], one["average"], one["longest"]) == (row["restores"], close(row["average"]), row["longest"])
        # The query's percentiles are approximate.
        exact = sorted(other["recovery_time"] for other in history.records if proved(other)
                       and other["recovery_time"] is not None and (other["resource_type"], other["scenario"]) == kind)
        for name, share in (("median", 50), ("p95", 95)):
            assert one[name] == exact[math.ceil(len(exact) * share / 100) - 1], (kind, name)
    assert report["recovery_time"]["restores"] == sum(row["restores"] for row in rows.values())


def test_recovery_times_of_each_resource_and_month(history):
    for month, report in history.months():
        rows = history.in_month("Recovery time by month", month)
        # All of a resource have one scenario here.
        rows = {(row["resource_type"], row["source_resource_arn"]): row for row in rows}
        times = {}
        for one in report["resources"]:
            if one["recovery_time"]:
                times.setdefault((one["resource_type"], one["source_resource_arn"]), []).append(one["recovery_time"])
        assert set(times) == set(rows)
        for whose, row in rows.items():
            # The query does not tell accounts apart.
            ones = times[whose]
            for name in ("restores", "missed", "other_class"):
                assert sum(one[name] for one in ones) == row[name], (whose, name)
            assert max(one["longest"] for one in ones) == row["longest"]
            assert sum(one["average"] * one["restores"] for one in ones) == close(row["average"] * row["restores"])
            assert max((one["target"] for one in ones if one["target"] is not None), default=None) == row["target"]


def test_data_age(history):
    rows = {key(row): row for row in history.ask("Data age")}
    ages = {key(one): one["data_age"] for one in history.last(30)["resources"] if one["data_age"]}
    assert set(ages) == set(rows)
    for whose, row in rows.items():
        for name in ("measured", "oldest", "target", "missed"):
            assert ages[whose][name] == row[name], (whose, name)
        assert ages[whose]["average"] == close(row["average"])


def test_what_failed(history):
    rows = history.ask("All that failed, and why")
    failed = history.last(90)["failed"]
    assert failed["count"] == len(rows) == len(failed["listed"])
    told = {one["validation_id"]: one for one in failed["listed"]}
    for row in rows:
        one = told[row["validation_id"]]
        assert one["opened_time"] == stamp(row["opened_time"])
        assert ", ".join(one["failed_checks"]) == (row["failed_checks"] or "")
        for name in ("verdict", "resource_type", "source_resource_arn", "recovery_point_arn", "fault_class"):
            assert one[name] == row[name], name
    days = [one["opened_time"] for one in failed["listed"]]
    assert days == sorted(days, reverse=True)


def test_what_could_not_be_told(history):
    rows = history.ask("What could not be told, by kind of fault")
    told = history.last(30)["untold"]
    columns = ("verdict", "fault_class", "resource_type", "validations", "resources")
    assert {tuple(one[name] for name in columns) for one in told} == {tuple(row[name] for name in columns) for row in rows}
    assert [one["validations"] for one in told] == [row["validations"] for row in rows]


def test_what_is_left(history):
    rows = history.ask("Left behind")
    left = history.last(7)["left_behind"]
    assert [one["validation_id"] for one in left["listed"]] == [row["validation_id"] for row in rows]
    for row, one in zip(rows, left["listed"]):
        for name in ("cleanup", "restored_resource_arn", "restore_job_id", "cleanup_reason"):
            assert one[name] == row[name], name


def test_usage_of_each_month(history):
    columns = ("what", "resource_type", "restored_class", "unit")
    for month, report in history.months():
        rows = {tuple(row[name] for name in columns): row for row in history.in_month("Usage by month", month)}
        usage = {tuple(one[name] for name in columns): one for one in report["usage"]}
        assert set(usage) == set(rows)
        for kind, row in rows.items():
            assert (usage[kind]["times"], usage[kind]["amount"]) == (row["times"], close(row["amount"]))


def test_days_and_the_period_before(history):
    """No query asks for these."""
    report = history.last(30)
    first = TODAY - datetime.timedelta(days=29)
    counts = {}
    for one in history.records:
        counts.setdefault(one["opened_time"][:10], []).append(one)
    assert [day["day"] for day in report["days"]] == sorted(day for day in counts if day >= str(first))
    for day in report["days"]:
        assert sum(day["verdicts"].values()) == len(counts[day["day"]])
    before = [one for day, ones in counts.items() for one in ones
              if str(first - datetime.timedelta(days=30)) <= day < str(first)]
    assert (report["before"]["totals"]["recovery_points"] if report["before"] else 0) == len(before)


# --- The page: its figures are those of SQL over the records ---------------------------------------------------


PROVED = "verdict = 'passed' and proof = 'restored'"
BAD = "verdict in ('failed', 'restore_failed', 'copy_failed')"
JUDGED = "verdict in ('passed', 'failed', 'restore_failed') and coalesce(proof, 'restored') = 'restored'"


def test_the_first_figures_of_the_page(history):
    figures = dict(history.page(30).figures)
    first = TODAY - datetime.timedelta(days=29)
    ((known, never, lately),) = history.sql(
        "select count(*), count_if(proved_at is null), count_if(proved_at >= ?) from (select max(verdict_time) filter "
        f"({PROVED}) as proved_at from records where source_resource_arn is not null group by {', '.join(KEY)})".replace(
            "?", f"timestamp '{first}'"))
    assert figures.pop("Without a proven restore") == (str(never), f"of {known} resources")
    assert figures.pop("Proved in this period") == (percent(100 * lately / known), f"{lately} of {known} resources")
    ((points, proved, judged, bad, average, longest, missed),) = history.sql(
        f"select count(*), count_if({PROVED}), count_if({JUDGED}), count_if({BAD}), avg(recovery_time) filter ({PROVED}), "
        f"max(recovery_time) filter ({PROVED}), count_if({PROVED} and recovery_time_objective = 'missed') from period")
    assert figures.pop("Success rate") == (percent(100 * proved / judged), f"{proved} of {judged} restores passed")
    assert figures.pop("Average recovery time") == (
        minutes(average), f"worst {minutes(longest)}; {missed} missed the target")
    assert figures.pop("Verdicts against a backup") == (str(bad), f"of {points} recovery points")
    ((left,),) = history.sql("select count(*) from records where restore_job_id is not null and "
                             "cleanup in ('left_behind', 'kept_until', 'pending')")
    assert figures.pop("Not deleted")[0] == str(left)
    assert not figures, "every figure is compared"


def test_the_totals_of_the_page(history):
    columns = {
        "recovery points": "count(*)", "resources": "count(distinct source_resource_arn)",
        "restored": "count_if(proof = 'restored')", "restored and passed": f"count_if({PROVED})",
        "only read": "count_if(proof = 'read')", "tried again": "count_if(len(attempts) > 1)",
        "success rate": f"100 * count_if({PROVED}) / nullif(count_if({JUDGED}), 0)",
        "average recovery time": f"avg(recovery_time) filter ({PROVED})",
    } | {verdict.replace("_", " "): f"count_if(verdict = '{verdict}')" for verdict in (
        "failed", "restore_failed", "copy_failed", "inconclusive", "unchecked", "not_tested")}
    asked = ", ".join(columns.values())
    (total,) = history.sql(f"select {asked} from period")
    by_type = {row[0] or "–": row[1:] for row in history.sql(f"select resource_type, {asked} from period group by 1")}
    rows = {row["type"]: row for row in history.page(30).tables["totals"]}
    assert set(rows) == {"all", *by_type}
    words = {"success rate": percent, "average recovery time": minutes}
    for name, values in {"all": total, **by_type}.items():
        for column, value in zip(columns, values):
            shown = words.get(column, lambda count: str(int(count or 0)))(value)
            # What is 0 everywhere may have no column.
            assert rows[name].fields.get(column, "0") == shown, (name, column)


def test_the_recovery_times_of_the_page(history):
    rows = {(row["type"], row["scenario"]): row for row in history.page(30).tables["recovery-time"]}
    asked = ("count(*), avg(recovery_time), quantile_disc(recovery_time, 0.5), max(recovery_time), max(recovery_time_target), "
             "count_if(recovery_time_objective = 'missed'), count_if(restored_class <> source_class) from period "
             f"where {PROVED} and recovery_time is not null")
    expected = {("all", "–"): history.sql(f"select {asked}")[0]}
    expected |= {row[:2]: row[2:] for row in history.sql(f"select resource_type, scenario, {asked} group by all")}
    assert set(rows) == set(expected)
    for kind, (count, average, median, longest, target, missed, other) in expected.items():
        row = rows[kind]
        assert (row["restores"], row["missed"], row["on another class"]) == (str(count), str(missed), str(other))
        assert (row["average"], row["median"], row["worst"], row["target"]) == tuple(
            map(minutes, (average, median, longest, target))), kind


def test_the_proofs_of_the_page(history):
    known = history.sql(
        f"select source_account, resource_type, source_resource_arn, max(verdict_time) filter ({PROVED}), "
        f"max(recovery_point_created) filter ({PROVED}) from records where source_resource_arn is not null group by 1, 2, 3")
    rows = {(row.opened("account"), row.opened("type"), row["resource"]): row for row in history.page(30).tables["proofs"]}
    assert set(rows) == {row[:3] for row in known}
    for *whose, proved_at, created in known:
        row = rows[tuple(whose)]
        if proved_at is None:
            assert (row["standing"], row["last proved"], row["days ago"]) == ("never proved", "never", "–")
            continue
        assert row["last proved"] == proved_at.strftime("%Y-%m-%d %H:%M")
        assert row["backup of"] == created.strftime("%Y-%m-%d %H:%M")
        assert row["days ago"] == str((TODAY - proved_at.date()).days)


def test_the_data_ages_of_the_page(history):
    rows = history.page(30).tables["data-age"]
    expected = sorted((arn, str(measured), minutes(average), minutes(oldest), minutes(target), str(missed)) for
                      arn, measured, average, oldest, target, missed in history.sql(
        "select source_resource_arn, count(*), avg(data_age), max(data_age), max(data_age_target), "
        "count_if(data_age_objective = 'missed') from period where data_age is not null "
        f"group by {', '.join(KEY)}"))
    names = ("resource", "measured", "average", "oldest", "target", "missed")
    assert sorted(tuple(row[name] for name in names) for row in rows if row["resource"] != "all") == expected
    (total,) = (row for row in rows if row["resource"] == "all")
    assert total["measured"] == str(sum(int(row[1]) for row in expected))


def test_the_coverage_of_the_page(history):
    rows = {row["resources"]: row for row in history.page(30).tables["coverage"]}
    first = TODAY - datetime.timedelta(days=29)
    counted = dict(history.sql(
        f"select case when proved_at is null then 'never' when proved_at >= timestamp '{first}' then 'now' else 'before' end, count(*) from "
        f"(select max(verdict_time) filter ({PROVED}) as proved_at from records where source_resource_arn is not null "
        f"group by {', '.join(KEY)}) group by 1"))
    known = sum(counted.values())
    for name, count in (("known", known), ("restored and passed in this period", counted.get("now", 0)),
                        ("restored and passed only before", counted.get("before", 0)),
                        ("landed, never restored and passed", counted.get("never", 0))):
        assert (rows[name]["number"], rows[name]["share"]) == (str(count), percent(100 * count / known)), name


def test_the_verdicts_of_the_page(history):
    page = history.page(30)
    rows = {row["validation"]: row for row in page.tables["failed"]}
    expected = {row[0]: row[1:] for row in history.sql(
        "select validation_id, verdict, opened_time, coalesce(source_resource_arn, recovery_point_arn), verdict_reason, "
        f"list_aggregate([c.name for c in checks if c.outcome = 'failed'], 'string_agg', ', ') from period where {BAD}")}
    assert set(rows) == set(expected)
    for validation, (verdict, opened, what, reason, checks) in expected.items():
        row = rows[validation]
        assert (row["verdict"], row["opened"]) == (verdict, opened.strftime("%Y-%m-%d %H:%M"))
        assert (row["resource"], row["reason"], row["failed checks"]) == (what, reason, checks or "–")
    copies = [row.opened("validation") for row in page.tables["copies"]]
    assert sorted(copies) == sorted(one for one, (verdict, *_) in expected.items() if verdict == "copy_failed")
    untold = sorted((row["verdict"], row["kind of fault"], row["type"], row["validations"], row["resources"])
                    for row in page.tables["untold"])
    assert untold == sorted((verdict, fault or "–", kind or "–", str(count), str(resources)) for
                            verdict, fault, kind, count, resources in history.sql(
        "select verdict, fault_class, resource_type, count(*), count(distinct source_resource_arn) from period "
        "where verdict in ('inconclusive', 'unchecked', 'not_tested') group by 1, 2, 3"))
    left = [(row["opened"], row["cleanup"], row["restore job"]) for row in page.tables["left-behind"]]
    assert sorted(left) == sorted((at.strftime("%Y-%m-%d %H:%M"), cleanup, job) for at, cleanup, job in history.sql(
        "select opened_time, cleanup, restore_job_id from records where restore_job_id is not null and "
        "cleanup in ('left_behind', 'kept_until', 'pending')"))


def test_the_days_and_the_chart_of_the_page(history):
    page = history.page(30)
    counted = {(str(day), verdict): count for day, verdict, count in history.sql(
        "select cast(opened_time as date), verdict, count(*) from period group by all")}
    rows = {row["day"]: row for row in page.tables["days"]}
    assert set(rows) == {day for day, _ in counted}
    for day, row in rows.items():
        for verdict in ("passed", "failed", "restore_failed", "copy_failed", "inconclusive", "unchecked", "not_tested"):
            assert row[verdict.replace("_", " ")] == str(counted.get((day, verdict), 0)), (day, verdict)
    assert sorted(page.bars["totals"]) == sorted(f"{day}: {count} {verdict}" for (day, verdict), count in counted.items())
    times = history.sql("select cast(opened_time as date), quantile_disc(recovery_time, 0.5), max(recovery_time) from period "
                        f"where {PROVED} and recovery_time is not null group by 1")
    shown = [f"{day}: {what} {minutes(value)}" for day, median, longest in times
             for what, value in (("worst", longest), ("median", median))]
    assert sorted(bar for bar in page.bars["recovery-time"] if "target" not in bar) == sorted(shown)


def test_each_row_of_the_page_opens_its_record(history):
    """Where it says that the record lies, it lies, and it is the one."""
    opened, page = set(), history.page(30)
    for section, rows in page.tables.items():
        for row in rows:
            validation = None
            for name, value in row.record:
                if name in ("validation", "newest validation", "proved by validation"):
                    validation = value
                elif name == "its record":
                    folder, day, file = value.split("/")
                    assert folder == "records"
                    record = json.loads((history.folder / day / file).read_text())
                    assert record["validation_id"] == validation
                    opened.add(section)
            # What follows the last key is that record's.
            if section in ("proofs", "failing", "failed", "copies", "left-behind"):
                facts = dict(row.record)
                assert facts["opened at"] == record["opened_time"] and facts["recovery point"] == record["recovery_point_arn"]
                assert facts["verdict"] == f"{record['verdict']}: {record['verdict_reason']}"
                assert facts["in vault"] == record["backup_vault_name"]
                assert facts["cleanup"] == record["cleanup"]
                assert facts.get("restore job") == record["restore_job_id"]
                assert facts["checks passed"] == str(sum(check["outcome"] == "passed" for check in record["checks"]))
    assert opened == {name for name in ("proofs", "failing", "failed", "copies", "untold", "left-behind") if page.tables[name]}
    assert "proofs" in opened and "failed" in opened


def test_the_cost_of_the_page(history):
    rows = history.page(30).tables["cost"]
    assert sorted((row["what"], row["type"], row["class"], row["times"], row["amount"]) for row in rows) == sorted(
        (what.replace("_", " "), kind or "–", on or "–", str(times), minutes(amount)) for what, kind, on, times, amount in
        history.sql("select u.what, resource_type, restored_class, count(*), sum(u.amount) from period, unnest(usage) as t(u) "
                    "where u.unit = 'minutes' group by 1, 2, 3"))
