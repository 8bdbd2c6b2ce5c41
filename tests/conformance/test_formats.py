"""Records of every version are read as the table of any version says, and no column is renamed, retyped or removed.

`tests/formats/<version>/record-columns.json` holds the columns of that version. Run as a program, this file writes today's.
"""

import json
import re

import duckdb
import pytest

from conftest import ROOT
from test_records import COLUMNS, duckdb_type

FORMATS = ROOT / "tests/formats"
VERSIONS = sorted((path for path in FORMATS.iterdir() if path.is_dir()), key=lambda path: int(path.name))


def kept_columns(version):
    return json.loads((version / "record-columns.json").read_text())


def members(kind):
    """The fields of a struct or of an array's structs."""
    return members(kind[0]) if isinstance(kind, list) else kind if isinstance(kind, dict) else None


def lost(kept, today, place=""):
    for name, (kind, _) in kept.items():
        where = f"{place}{name}"
        if name not in today:
            yield f"{where} is gone"
            continue
        now = today[name][0]
        if type(kind) is not type(now) or (isinstance(kind, str) and kind != now):
            yield f"{where} was {kind} and is {now}"
        elif members(kind):
            yield from lost(members(kind), members(now), f"{where}.")


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_no_column_is_lost(version):
    assert list(lost(kept_columns(version), COLUMNS)) == []


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
@pytest.mark.parametrize("table", [*VERSIONS, None], ids=lambda path: path.name if path else "today")
def test_a_table_reads_records_of_any_version(version, table):
    """A table of an older version passes over what is new; one of a newer has null there."""
    columns = kept_columns(table) if table else COLUMNS
    types = "{" + ", ".join(f"'{name}': '{duckdb_type(kind)}'" for name, (kind, _) in columns.items()) + "}"
    files = [path for path in sorted(version.glob("record-*.json")) if path.name != "record-columns.json"]
    assert len(files) > 2
    for file in files:
        record = json.loads(file.read_text())
        answer = duckdb.execute(f"select * from read_json('{file}', columns = {types}, format = 'newline_delimited')")
        names = [column[0] for column in answer.description]
        (row,) = answer.fetchall()
        read = {name for name, value in zip(names, row, strict=True) if value is not None}
        assert read == {name for name in columns if record.get(name) is not None}, file.name


def test_the_newest_version_is_todays():
    source = (ROOT / "crates/core/src/record.rs").read_text()
    newest = VERSIONS[-1]
    assert newest.name == re.search(r"pub const FORMAT: u32 = (\d+);", source)[1]
    assert kept_columns(newest) == json.loads(json.dumps(COLUMNS)), "columns were added: write the kept formats again"


if __name__ == "__main__":
    (VERSIONS[-1] / "record-columns.json").write_text(json.dumps(COLUMNS, indent=2) + "\n")
