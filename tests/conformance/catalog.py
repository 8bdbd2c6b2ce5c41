"""infra/athena.yaml over a folder of records, in DuckDB: table, views and saved queries are read from the template, as Athena
gets them, and sqlglot says in DuckDB's words what they say in Athena's."""

import base64
import json
import re

import duckdb
import sqlglot
from sqlglot import exp

from cloudformation import Resolver, load
from conftest import ROOT


class Catalog(Resolver):
    """The template as a deployment with the defaults makes it."""

    VALUES = {"NamePrefix": "restore-proof", "ResultsBucketName": "results", "KmsKeyArn": "", "WorkGroup": "restore-proof",
              "AWS::AccountId": "111122223333"}

    def answer(self, reference):
        if reference == "Database":
            return self.resolve(self.raw["Resources"][reference]["Properties"]["DatabaseInput"]["Name"])
        return self.VALUES[reference]


_CATALOG = Catalog(load(ROOT / "infra/athena.yaml"), "infra/athena.yaml")


def of_type(kind):
    return {name: _CATALOG.resolve(resource["Properties"])
            for name, resource in _CATALOG.raw["Resources"].items() if resource["Type"] == kind}


TABLES = {table["TableInput"]["Name"]: table["TableInput"] for table in of_type("AWS::Glue::Table").values()}
QUERIES = {query["Name"]: query["QueryString"] for query in of_type("AWS::Athena::NamedQuery").values()}


def view(table):
    """What Athena keeps of a view, decoded."""
    encoded = re.fullmatch(r"/\* Presto View: (\S+) \*/", table["ViewOriginalText"])[1]
    return json.loads(base64.b64decode(encoded))


VIEWS = {name: view(table) for name, table in TABLES.items() if table["TableType"] == "VIRTUAL_VIEW"}


def duckdb_type(hive):
    """A type of Hive in DuckDB's words, by the first of the names it has there."""
    words = exp.DataType.build(hive, dialect="hive").sql("duckdb")
    return re.sub(r"\b(TEXT|INT)\b", lambda word: {"TEXT": "VARCHAR", "INT": "INTEGER"}[word[0]], words)


def in_duckdb(statement, today=None):
    """A statement of Athena's in DuckDB's words; `today` is its current date."""
    tree = sqlglot.parse_one(statement, read="athena")
    if today is not None:
        tree = tree.transform(lambda node: exp.cast(exp.Literal.string(str(today)), "date")
                              if isinstance(node, exp.CurrentDate) else node)
    return tree.sql("duckdb")


def database(folder):
    """The table and the views over records in dt=*/*.json below `folder`."""
    known = duckdb.connect()
    records = TABLES["records"]
    columns = {column["Name"]: duckdb_type(column["Type"]) for column in records["StorageDescriptor"]["Columns"]}
    stated = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items()) + "}"
    known.execute(f"create table records as select * from read_json('{folder}/*/*.json', columns = {stated}, "
                  "format = 'newline_delimited', hive_partitioning = true, hive_types = {'dt': 'DATE'}, "
                  "maximum_object_size = 67108864)")
    for name, kept in VIEWS.items():
        known.execute(f"create view {name} as {in_duckdb(kept['originalSql'])}")
    return known


def ask(known, title, today):
    """The rows that a saved query answers on that day, each a dict."""
    answer = known.execute(in_duckdb(QUERIES[title], today))
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row)) for row in answer.fetchall()]
