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
