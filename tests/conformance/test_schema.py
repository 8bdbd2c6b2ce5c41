"""The JSON Schema of policy files, for editors: it takes what the program takes, and refuses nonsense.

CLI names the restore-proof binary.
"""

import json
import subprocess
import tomllib

import jsonschema
import pytest

from conftest import ROOT

EXAMPLE = ROOT / "examples/policy.toml"
MISTAKES = ROOT / "tests/policy/twenty-mistakes.toml"


@pytest.fixture(scope="module")
def validator(cli_binary):
    printed = subprocess.run(
        [cli_binary, "policy", "schema"], capture_output=True, text=True, timeout=60, check=True)
    schema = json.loads(printed.stdout)
    kind = jsonschema.validators.validator_for(schema, default=None)
    assert kind is not None, f"the schema says which draft it is written in, says {schema.get('$schema')}"
    kind.check_schema(schema)
    return kind(schema)


def problems(validator, policy):
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(policy)]


def example():
    return tomllib.loads(EXAMPLE.read_text())


def test_the_example_is_accepted(validator):
    assert problems(validator, example()) == []


def test_the_twenty_mistakes_are_refused(validator):
    found = problems(validator, tomllib.loads(MISTAKES.read_text()))
    # Some of the twenty are beyond a schema (a name used twice, a regular expression that does not compile).
    assert len(found) >= 12, found


def test_the_readmes_policy_is_accepted(validator):
    text = (ROOT / "README.md").read_text()
    blocks = [block.partition("```")[0] for block in text.split("```toml")[1:]]
    assert blocks, "README.md shows a policy"
    for block in blocks:
        if "version" in (policy := tomllib.loads(block)):
            assert problems(validator, policy) == [], block


def rule(**changes):
    rule = {"name": "r", "match": {}, "frequency": "daily"} | changes
    return {"version": "1", "rules": [{key: value for key, value in rule.items() if value is not ...}]}


def check(**changes):
    check = {"name": "c", "kind": "sql", "query": "select 1", "expect": {"equals": 1}} | changes
    check = {key: value for key, value in check.items() if value is not ...}
    return rule(match={"resource_type": "RDS"}, credentials={"secret": "s"}, checks=[check])


def web(*steps, **changes):
    check = {"name": "c", "kind": "http", "steps": list(steps)} | changes
    return rule(match={"resource_type": "EC2"}, checks=[check])


def limited(**limits):
    return {"version": "1", "limits": limits, "rules": rule()["rules"]}


GOOD = {
    "all limits": limited(concurrent_restores=10, concurrent_restores_by_type={"RDS": 4, "EC2": 6},
                          largest_size="500 GiB", longest_wait="24h"),
    "no limits": limited(),
    "the most restores": limited(concurrent_restores=100),
    "a size without a space": limited(largest_size="2TB"),
    "a sample": rule(sample="20%"),
    "a small sample": rule(sample="0.01%"),
    "a whole sample": rule(sample="100%"),
    "a rule without checks": rule(),
    "a reset password": rule(match={"resource_type": "RDS"}, credentials="reset"),
    "a token of IAM": rule(match={"resource_type": "RDS"}, credentials="iam"),
    "a token for a user": rule(credentials={"iam": "restore_check"}, tls="encrypt-only"),
    "a check": check(),
    "two steps": web({"path": "/", "status": 200}, {"path": "/health", "status": [200, 204],
                                                    "json": "/ok", "expect": {"equals": True}}),
    "a port": rule(match={"resource_type": "EC2"},
                   checks=[{"name": "c", "kind": "connect", "port": 22, "greeting": "^SSH-"}]),
    "a machine": rule(match={"resource_type": "EC2"}, ec2={
        "instance_type": "t3.small", "instance_profile": "original", "boot_timeout": "5m"}),
    "a database": rule(match={"resource_type": "RDS"}, rds={"instance_class": "db.t4g.medium"}),
    "a cluster": rule(match={"resource_type": "Aurora"},
                      aurora={"instance_class": "db.serverless", "min_capacity": 0.5, "max_capacity": 2}),
    "keys of every type": rule(rds={"instance_class": "db.t4g.medium"}, ec2={"instance_type": "t3.small"}),
    "methods": rule(frequency=..., methods=[{"method": "restore", "frequency": "daily"}]),
    "a group": check(group="integrity"),
    "restores of a month": limited(restores_per_month=2000),
    "allowed classes": limited(classes_allowed=["db.t4g.*", "t3.*"]),
}

BAD = {
    "a token of IAM in clear": rule(credentials="iam", tls="off"),
    "a token for a user in clear": rule(credentials={"iam": "restore_check"}, tls="off"),
    "a token for everybody": rule(credentials={"iam": "*"}),
    "a token and a secret": rule(credentials={"iam": "a", "secret": "b"}),
    "no restores": limited(concurrent_restores=0),
    "more restores than a stack may allow": limited(concurrent_restores=101),
    "half a restore": limited(concurrent_restores=1.5),
    "an unknown limit": limited(concurrent_restore=4),
    "a limit of an unknown type": limited(concurrent_restores_by_type={"RSD": 4}),
    "a limit of a type that is not restored": limited(concurrent_restores_by_type={"EFS": 4}),
    "no restores of a type": limited(concurrent_restores_by_type={"RDS": 0}),
    "a size without a unit": limited(largest_size="500"),
    "a size that is a number": limited(largest_size=500),
    "no size": limited(largest_size="0 GiB"),
    "an unknown unit": limited(largest_size="5 G"),
    "a wait without a unit": limited(longest_wait="24"),
    "a sample without a sign": rule(sample="20"),
    "a sample that is a number": rule(sample=20),
    "an empty sample": rule(sample="0%"),
    "a sample of more than all": rule(sample="101%"),
    "a sample too fine": rule(sample="0.001%"),
    "no rules": {"version": "1"},
    "no frequency": rule(frequency=...),
    "an unknown frequency": rule(frequency="monthly"),
    "an unknown key": rule(frequnecy="daily"),
    "an unknown word for credentials": rule(credentials="resett"),
    "an unknown kind": check(kind="sqll"),
    "a check without a query": check(query=...),
    "no expectation": check(expect={}),
    "two expectations": check(expect={"min": 1, "max": 2}),
    "a duration without a unit": check(timeout="30"),
    "no steps": web(),
    "a step without a path": web({"status": 200}),
    "a path without a slash": web({"path": "health"}),
    "an unknown method": web({"path": "/", "method": "DELETE"}),
    "six redirects": web({"path": "/"}, redirects=6),
    "a port of five digits too many": rule(checks=[{"name": "c", "kind": "connect", "port": 70000}]),
    "an unknown instance profile": rule(ec2={"instance_profile": "admin"}),
    "a quarter of a capacity unit": rule(aurora={"min_capacity": 0.25}),
    "more capacity than there is": rule(aurora={"max_capacity": 257}),
    "a key of a type outside of its table": rule(instance_class="db.t4g.medium"),
    "a machine's keys for a database": rule(match={"resource_type": "RDS"}, ec2={"instance_type": "t3.small"}),
    "frequency and methods": rule(methods=[{"method": "restore", "frequency": "daily"}]),
    "no methods": rule(frequency=..., methods=[]),
    "an unknown method of testing": rule(frequency=..., methods=[{"method": "guess", "frequency": "daily"}]),
    "no restores in a month": limited(restores_per_month=0),
    "no classes": limited(classes_allowed=[]),
    "an empty group": check(group=""),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_policies_are_accepted(validator, name):
    assert problems(validator, GOOD[name]) == []


@pytest.mark.parametrize("name", BAD)
def test_bad_policies_are_refused(validator, name):
    assert problems(validator, BAD[name]) != []


@pytest.mark.parametrize("name", list(GOOD) + list(BAD))
def test_the_program_says_what_the_schema_says(cli_binary, tmp_path, name):
    file = tmp_path / "policy.toml"
    file.write_text(toml((GOOD | BAD)[name]))
    checked = subprocess.run([cli_binary, "policy", "check", str(file)], capture_output=True, text=True, timeout=60)
    assert (checked.returncode == 0) is (name in GOOD), checked.stdout + checked.stderr


def toml(policy):
    """A policy as TOML: JSON's strings, numbers and lists are TOML's, and its objects become inline tables."""
    def value(item):
        if isinstance(item, dict):
            return "{ " + ", ".join(f"{key} = {value(member)}" for key, member in item.items()) + " }"
        if isinstance(item, list):
            return "[" + ", ".join(value(member) for member in item) + "]"
        return json.dumps(item)

    return "\n".join(f"{key} = {value(item)}" for key, item in policy.items()) + "\n"
