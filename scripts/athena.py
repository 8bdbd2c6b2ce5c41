"""Writes infra/athena.yaml: the records as tables of Athena, and the questions people ask of them.

    python3 scripts/athena.py           writes it anew
    python3 scripts/athena.py --check   says whether it is what the sources say

What there is to know stands elsewhere: the columns in crates/core/src/record.rs, the questions in infra/queries/*.sql. A
file of a question begins with its title and what it answers, as comments.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "infra/athena.yaml"

#: The types that record.rs states, in the words of Hive (the Glue Data Catalog) and of Trino (views of Athena).
TYPES = {
    "string": ("string", "varchar"),
    "int": ("int", "integer"),
    "bigint": ("bigint", "bigint"),
    "double": ("double", "double"),
    "timestamp": ("timestamp", "timestamp"),
    "date": ("date", "date"),
    "array of strings": ("array<string>", "array(varchar)"),
}

#: What every row of a view over an array says of its validation.
CONTEXT = ("validation_id", "attempt", "verdict", "resource_type", "source_resource_arn", "source_account",
           "recovery_point_arn", "policy_rule", "opened_time", "verdict_time")


#: Names of an array's fields that the validation has, too, or that SQL keeps to itself.
AMBIGUOUS = ("class", "cleanup", "end", "group", "start")


class Column:
    """A column: its name, type and meaning, and what its type holds."""

    def __init__(self, name, kind, words, fields=None, many=False):
        self.name, self.kind, self.words, self.fields, self.many = name, kind, words, fields, many

    def hive(self):
        if self.fields is None:
            return TYPES[self.kind][0]
        row = "struct<" + ",".join(f"{field.name}:{field.hive()}" for field in self.fields) + ">"
        return f"array<{row}>" if self.many else row

    def trino(self):
        if self.fields is None:
            return TYPES[self.kind][1]
        row = "row(" + ", ".join(f'"{field.name}" {field.trino()}' for field in self.fields) + ")"
        return f"array({row})" if self.many else row


def columns_of(struct="Record"):
    """The columns of a struct in record.rs, in order."""
    source = (ROOT / "crates/core/src/record.rs").read_text()
    body = re.search(rf"pub struct {struct} \{{(.*?)\n\}}", source, re.S)[1] + "\n"
    found = []
    for comment, name, rust in re.findall(r"((?:^\s*///.*\n)+)\s*pub (\w+): (.+),\n", body, re.M):
        words = " ".join(line.strip().removeprefix("///").strip() for line in comment.strip().splitlines())
        kind, _, words = words.partition(". ")
        kind, _, unit = kind.partition(", ")
        words = f"{words} ({unit})" if unit else words
        words = words.removesuffix(".").replace("`", "")
        if kind in ("struct", "array of structs"):
            fields = columns_of(re.search(r"(\w+)>*$", rust)[1])
            found.append(Column(name, kind, words, fields, many=kind != "struct"))
        else:
            assert kind in TYPES, f"{struct}.{name}: no type {kind!r} is known here"
            found.append(Column(name, kind, words))
    assert len(found) == len(re.findall(r"^\s*pub ", body, re.M)), f"a column of {struct} does not state its type"
    return found


def day():
    return Column("dt", "date", "the day that the validation was opened on, UTC")


class View:
    """A view: what it is about, and each column with the expression it comes from."""

    def __init__(self, name, words, source):
        self.name, self.words, self.source, self.columns = name, words, source, []

    def add(self, column, expression):
        self.columns.append((column, expression))

    def sql(self):
        chosen = ",\n".join(f'  {expression} AS "{column.name}"' for column, expression in self.columns)
        return f"SELECT\n{chosen}\nFROM {self.source}"


def numbered(array, alias):
    """The numbers of an array's elements as rows, none for an empty one.

    Engines differ in whether UNNEST takes the rows of an array apart; of numbers all make the same."""
    return f"CROSS JOIN UNNEST(slice(sequence(1, cardinality({array}) + 1), 1, cardinality({array}))) AS {alias}(n)"


def views():
    """The views over the table of records."""
    all_columns = {column.name: column for column in columns_of()}
    flat = View("validations", "One row for each validation, without its lists", "records r")
    flat.add(day(), "r.dt")
    for column in all_columns.values():
        if column.fields is None and column.kind != "array of strings":
            flat.add(column, f'r."{column.name}"')
        elif not column.many and column.fields is not None:
            for field in column.fields:
                flat.add(Column(f"{column.name}_{field.name}", field.kind, field.words), f'r."{column.name}"."{field.name}"')
    flat.add(Column("findings", "string", "what was noticed besides, with semicolons between"),
             "array_join(r.findings, '; ')")
    for outcome in ("passed", "failed", "errored"):
        flat.add(Column(f"checks_{outcome}", "bigint", f"how many checks {outcome}"),
                 f"CAST(cardinality(filter(r.checks, c -> c.outcome = '{outcome}')) AS bigint)")
    flat.add(Column("restores", "bigint", "how many restore jobs there were"),
             "CAST(cardinality(r.attempts) AS bigint)")
    yield flat

    for array, words in (("checks", "One row for each check of each validation"),
                         ("attempts", "One row for each restore job of each validation"),
                         ("usage", "One row for each thing that a validation used and that is billed")):
        view = View(array, words, f"records r\n{numbered(f'r.{array}', 't')}")
        view.add(day(), "r.dt")
        for name in CONTEXT:
            view.add(all_columns[name], f'r."{name}"')
        prefix = {"checks": "check", "attempts": "job", "usage": "used"}[array]
        view.add(Column(f"{prefix}_number", "bigint", "which one of its validation, from 1"), "t.n")
        for field in all_columns[array].fields:
            name = f"{prefix}_{field.name}" if field.name in AMBIGUOUS else field.name
            path = f'r."{array}"[t.n]."{field.name}"'
            if field.fields is None:
                view.add(Column(name, field.kind, field.words), path)
            elif not field.many:
                for inner in field.fields:
                    inner_name = inner.name if inner.name in field.name else f"{field.name.removeprefix('value_')}_{inner.name}"
                    view.add(Column(inner_name, inner.kind, inner.words), f'{path}."{inner.name}"')
        yield view

    measured = next(field for field in all_columns["checks"].fields if field.name == "measured")
    view = View("measurements", "One row for each measurement of each check",
                f"records r\n{numbered('r.checks', 't')}\n{numbered('r.checks[t.n].measured', 'm')}")
    view.add(day(), "r.dt")
    for name in CONTEXT:
        view.add(all_columns[name], f'r."{name}"')
    view.add(Column("check_name", "string", "the check's name in the policy"), "r.checks[t.n].name")
    view.add(Column("check_kind", "string", "its kind"), "r.checks[t.n].kind")
    for field in measured.fields:
        view.add(Column(field.name, field.kind, field.words), f'r.checks[t.n].measured[m.n]."{field.name}"')
    yield view


def questions():
    """Name, title, words and text of each file of infra/queries, in order."""
    for file in sorted((ROOT / "infra/queries").glob("*.sql")):
        lines = file.read_text().splitlines()
        comments = [line.removeprefix("--").strip() for line in lines if line.startswith("--")]
        assert lines[: len(comments)] == [line for line in lines if line.startswith("--")], f"{file}: comments come first"
        name = file.stem.partition("-")[2]
        yield name, comments[0], " ".join(comments[1:]), "\n".join(lines[len(comments):]).strip()


def text_of(words):
    return json.dumps(words, ensure_ascii=False)


def indented(text, by):
    return "\n".join(" " * by + line if line else "" for line in text.splitlines())


HEAD = """\
# The records as tables of Athena, and the questions people ask of them. Written by scripts/athena.py: what there is to know
# stands in crates/core/src/record.rs and infra/queries.
AWSTemplateFormatVersion: "2010-09-09"
Description: The records of Restore Proof in Athena - database, table, views, workgroup and saved queries.

Parameters:
  NamePrefix:
    Type: String
    Description: As in template.yaml.
  ResultsBucketName:
    Type: String
    Description: The bucket that the function writes records into.
  KmsKeyArn:
    Type: String
    Default: ""
    Description: As in template.yaml.

Conditions:
  HasKmsKey: !Not [!Equals [!Ref KmsKeyArn, ""]]

Resources:
  # Names of databases have no hyphens.
  Database:
    Type: AWS::Glue::Database
    Properties:
      CatalogId: !Ref AWS::AccountId
      DatabaseInput:
        Name: !Join ["_", !Split ["-", !Ref NamePrefix]]
        Description: What Restore Proof has found out about backups.

  # Queries are paid by what they read. Results are kept in the bucket of the records for a week.
  WorkGroup:
    Type: AWS::Athena::WorkGroup
    Properties:
      Name: !Ref NamePrefix
      Description: For the records of Restore Proof. A query reads 10 GB at most.
      State: ENABLED
      RecursiveDeleteOption: true
      WorkGroupConfiguration:
        EnforceWorkGroupConfiguration: true
        PublishCloudWatchMetricsEnabled: true
        BytesScannedCutoffPerQuery: 10000000000
        EngineVersion: { SelectedEngineVersion: Athena engine version 3 }
        ResultConfiguration:
          OutputLocation: !Sub s3://${ResultsBucketName}/athena/
          EncryptionConfiguration: !If
            - HasKmsKey
            - { EncryptionOption: SSE_KMS, KmsKey: !Ref KmsKeyArn }
            - { EncryptionOption: SSE_S3 }

  # Partitions are computed from the folders' names ("Use partition projection", Athena user guide): no crawler, no repair.
  Records:
    Type: AWS::Glue::Table
    Properties:
      CatalogId: !Ref AWS::AccountId
      DatabaseName: !Ref Database
      TableInput:
        Name: records
        Description: One row for each validation, with its lists, as the function writes it.
        TableType: EXTERNAL_TABLE
        Parameters:
          EXTERNAL: "TRUE"
          classification: json
          projection.enabled: "true"
          projection.dt.type: date
          projection.dt.format: yyyy-MM-dd
          projection.dt.range: 2026-01-01,NOW
          projection.dt.interval: "1"
          projection.dt.interval.unit: DAYS
          storage.location.template: !Sub s3://${ResultsBucketName}/records/dt=${!dt}/
        PartitionKeys:
          - { Name: dt, Type: date, Comment: "the day that the validation was opened on, UTC" }
        StorageDescriptor:
          Location: !Sub s3://${ResultsBucketName}/records/
          InputFormat: org.apache.hadoop.mapred.TextInputFormat
          OutputFormat: org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat
          SerdeInfo:
            SerializationLibrary: org.openx.data.jsonserde.JsonSerDe
          Columns:
"""

TAIL = """
Outputs:
  DatabaseName:
    Value: !Ref Database
  WorkGroupName:
    Value: !Ref WorkGroup
"""


def logical(name):
    return "".join(part.capitalize() for part in name.split("-"))


def column_lines(columns, by):
    def line(column):
        # Glue: a comment has 255 characters at most.
        comment = text_of(column.words if len(column.words) <= 255 else column.words[:254] + "…")
        return f"- {{ Name: {column.name}, Type: {text_of(column.hive())}, Comment: {comment} }}"
    return indented("\n".join(map(line, columns)), by) + "\n"


def view_resource(view):
    """Athena keeps a view in the catalog as JSON in base64, behind a word of Presto's."""
    kept = {
        "originalSql": view.sql(),
        "catalog": "awsdatacatalog",
        "schema": "${Database}",
        "columns": [{"name": column.name, "type": column.trino()} for column, _ in view.columns],
    }
    return f"""
  {logical(view.name)}:
    Type: AWS::Glue::Table
    DependsOn: Records
    Properties:
      CatalogId: !Ref AWS::AccountId
      DatabaseName: !Ref Database
      TableInput:
        Name: {view.name}
        Description: {text_of(view.words + ".")}
        TableType: VIRTUAL_VIEW
        Parameters: {{ presto_view: "true", comment: Presto View }}
        PartitionKeys: []
        StorageDescriptor:
          Location: ""
          SerdeInfo: {{}}
          Columns:
{column_lines([column for column, _ in view.columns], 12)}\
        ViewExpandedText: "/* Presto View */"
        ViewOriginalText: !Sub
          - "/* Presto View: ${{Encoded}} */"
          - Encoded:
              Fn::Base64: !Sub |-
{indented(json.dumps(kept, ensure_ascii=False), 16)}
"""


def query_resource(name, title, words, sql):
    return f"""
  {logical(name)}Query:
    Type: AWS::Athena::NamedQuery
    Properties:
      Name: {text_of(title)}
      Description: {text_of(words)}
      Database: !Ref Database
      WorkGroup: !Ref WorkGroup
      QueryString: |-
{indented(sql, 8)}
"""


def template():
    """The text of infra/athena.yaml."""
    return (HEAD + column_lines(columns_of(), 12) + "".join(view_resource(view) for view in views())
            + "".join(query_resource(*question) for question in questions()) + TAIL)


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        if TARGET.read_text() != template():
            sys.exit(f"{TARGET.relative_to(ROOT)} is not what record.rs and infra/queries say: run python3 scripts/athena.py")
    else:
        TARGET.write_text(template())
