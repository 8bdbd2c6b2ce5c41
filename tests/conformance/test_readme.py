"""What the README says of the templates is so: fixed monthly costs, parameters, commands, alarms."""

import re

import pytest

from conftest import ROOT
from permissions import Template

#: Prices of us-east-1, USD a month (aws.amazon.com: privatelink, kms, secrets-manager and cloudwatch pricing, 2026).
ENDPOINT, KEY, SECRET, ALARM, METRIC = 7.30, 1.00, 0.40, 0.10, 0.30

#: The doctor's own, in the one place where it keeps them.
DOCTOR = (ROOT / "crates/cli/src/doctor/cost.rs").read_text()

NUMBERS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
           "seventeen eighteen nineteen twenty").split()

README = (ROOT / "README.md").read_text()


def rows():
    """The rows of the README's table of fixed costs: what, and USD."""
    section = re.search(r"^### What it costs\n(.*?)^Per validation", README, re.M | re.S)[1]
    return re.findall(r"^\| (.+?) \| (?:\+ |up to |under )?([\d.]+) \|$", section, re.M)


def row(words):
    """The one row about something, and its USD."""
    found = [(text, float(usd)) for text, usd in rows() if words in text]
    assert len(found) == 1, f"{words}: {found}"
    return found[0]


def said(text, thing):
    """The number that a row says before a thing."""
    match = re.search(rf"\b({'|'.join(NUMBERS)}) (?:\w+ )?{thing}", text)
    assert match, f"no number of {thing} in: {text}"
    return NUMBERS.index(match[1])


#: Where a deployment is looked at, for what follows from it.
PLACE = {"AWS::Region": "us-east-1", "AWS::AccountId": "222222222222", "AWS::StackName": "restore-proof"}


def of_type(name, kind, **properties):
    """The resources of a type in a template, as a deployment with defaults makes them."""
    template = Template(ROOT / "template.yaml", {"BackupVaultNames": "central"} | PLACE)
    if name != "template.yaml":
        template = template.nested("Network")
    return [
        resource for resource in template.raw["Resources"].values()
        if resource["Type"] == kind
        and ("Condition" not in resource or template.holds(resource["Condition"]))
        and all(resource.get("Properties", {}).get(key) == value for key, value in properties.items())
    ]


def metrics():
    """The names of the metrics that the function publishes, but for those of durations."""
    source = "\n".join(path.read_text() for path in sorted((ROOT / "crates/function/src").rglob("*.rs")))
    return set(re.findall(r'Metric::\w+\(\s*"(\w+)"', source))


def test_interface_endpoints():
    endpoints = len(of_type("infra/network.yaml", "AWS::EC2::VPCEndpoint", VpcEndpointType="Interface"))
    text, usd = row("interface endpoints (")
    assert said(text, "interface endpoints") == endpoints
    assert len(re.search(r"\((.*?)\)", text)[1].split(", ")) == endpoints
    assert usd == pytest.approx(endpoints * ENDPOINT)
    assert row("in a second zone")[1] == usd


@pytest.mark.parametrize(("words", "thing", "kind", "price"), [
    ("keys, of the topic", "keys", "AWS::KMS::Key", KEY),
    ("alarms", "alarms", "AWS::CloudWatch::Alarm", ALARM),
])
def test_keys_and_alarms(words, thing, kind, price):
    there = len(of_type("template.yaml", kind)) + len(of_type("infra/network.yaml", kind))
    text, usd = row(words)
    assert said(text, thing) == there
    assert usd == pytest.approx(there * price)


def test_secrets():
    secrets = len(of_type("template.yaml", "AWS::SecretsManager::Secret"))
    assert row("secret that new passwords")[1] == pytest.approx(secrets * SECRET)


#: Metrics that an event of a validation's end counts; the sweeps count all others.
AT_AN_END = {"PolicyErrors", "FailedVerdicts", "UnusableKeys", "MissedObjectives", "RecoveryTime", "DataAge"}
#: And those by verdict, and the metric filter's.
BY_VERDICT, BY_FILTER = 7, 1


def test_metrics():
    counted = metrics() - {"NewestPointHours"} | {"RecoveryTime", "DataAge"}
    always = counted - AT_AN_END
    text, usd = row("all the time")
    match = re.search(rf"metrics: ({'|'.join(NUMBERS)}) and one for each vault", text)
    assert NUMBERS.index(match[1]) == len(always), sorted(always)
    assert usd == pytest.approx((len(always) + 1) * METRIC)
    text, usd = row("in hours in which something ends")
    more = len(AT_AN_END) + BY_VERDICT + BY_FILTER
    assert said(text, "metrics more") == more
    assert usd == pytest.approx(more * METRIC)
    for name in counted | {"NewestPointHours"}:
        assert f"`{name}`" in README, f"the README does not name the metric {name}"


def test_the_doctor_reckons_with_the_same_prices():
    told = {name: float(usd) for name, usd in re.findall(r"^const (\w+): f64 = ([\d.]+);$", DOCTOR, re.M)}
    assert told == {"ENDPOINT_IN_A_ZONE": ENDPOINT, "KEY": KEY, "SECRET": SECRET, "ALARM": ALARM, "METRIC": METRIC}
    always = metrics() - {"NewestPointHours"} | {"RecoveryTime", "DataAge"}
    assert int(re.search(r"^const METRICS: usize = (\d+);$", DOCTOR, re.M)[1]) == len(always - AT_AN_END)


MAIN = Template(ROOT / "template.yaml", {}).raw


def test_every_parameter_is_explained():
    table = re.search(r"^\| parameter \| default \|.*?\n\n", README, re.M | re.S)[0]
    explained = {name for line in table.strip().splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert explained == set(MAIN["Parameters"])


def test_every_alarm_is_explained():
    section = re.search(r"^### Alarms\n(.*?)^## ", README, re.M | re.S)[1]
    explained = {name for line in section.splitlines() if line.startswith("| `") for name in
                 re.findall(r"`(\w+Alarm)`", line.split("|")[1])}
    alarms = {name for name, resource in MAIN["Resources"].items() if resource["Type"] == "AWS::CloudWatch::Alarm"}
    assert explained == alarms


def test_the_zones_are_asked_of_every_interface_endpoint():
    with_endpoint = {
        resource["Properties"]["ServiceName"]["Fn::Sub"].rpartition(".")[2]
        for resource in of_type("infra/network.yaml", "AWS::EC2::VPCEndpoint", VpcEndpointType="Interface")}
    command = re.search(r"describe-vpc-endpoint-services.*?printf \"com\.amazonaws\.\$AWS_REGION\.%s \" ([\w ]+)\)", README, re.S)
    assert set(command[1].split()) == with_endpoint


def test_each_threat_has_a_test_that_is_there():
    """A name of a test function, a file of tests, or a step of scripts/test.sh."""
    section = re.search(r"^### Threat model\n(.*?)^###? ", README, re.M | re.S)[1]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    sources = "".join(file.read_text() for folder in ("tests", "crates", "scripts") for file in (ROOT / folder).rglob("*")
                      if file.suffix in (".rs", ".py", ".sh"))
    functions = set(re.findall(r"^\s*(?:async )?(?:fn|def) (?:step_)?(\w+)\(|^step_(\w+)\(\)", sources, re.M))
    functions = {name for pair in functions for name in pair} | {
        file.stem for file in (ROOT / "tests/conformance").glob("test_*.py")}
    assert len(rows) >= 8
    for row in rows:
        named = re.findall(r"`(\w+)`", row.rsplit("|", 2)[1])
        assert named, f"no test: {row}"
        assert set(named) <= functions, set(named) - functions


def test_final_parameters_are_told():
    """What a parameter's own description calls final, the README lists under what may be changed."""
    section = re.search(r"^## Changing and upgrading\n(.*?)^###? ", README, re.M | re.S)[1]
    final = {name for name, parameter in MAIN["Parameters"].items() if re.search(r"\bFinal\b", parameter["Description"])}
    assert final and {name for name in final if f"`{name}`" not in section} == set()


def test_what_aws_itself_keeps_is_told():
    """Lambda's network interfaces outlive a stack's deletion ("Giving Lambda functions access to resources in a VPC")."""
    assert "45 minutes" in README
    for kept in re.findall(r"`(\w+Name)`", re.search(r"^### Remove it\n(.*?)^## ", README, re.M | re.S)[1]):
        assert kept in MAIN["Outputs"], kept
