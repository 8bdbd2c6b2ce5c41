"""No secret shows in anything that the function wrote in any scenario.

CANARIES names the report of the scenarios (tests/src/canary.rs): a line for each, with what was searched for, how much
was searched, and what was found. The scenarios fail by themselves, too; here is judged that all have been searched, for
everything and in every channel.
"""

import collections
import json

import pytest

from conftest import _from_environment

#: What a scenario's answers, requests and logs are called; each must have been written to by some.
CHANNELS = {
    "answer", "error", "log and panics",
    "PUT",  # records in S3
    "PutItem", "TransactWriteItems", "UpdateItem", "GetItem", "Query",  # the ledger
    "PutLogEvents", "CreateLogStream", "Publish", "Invoke",
    "StartRestoreJob", "ModifyDBInstance", "DeleteDBInstance", "TerminateInstances", "DeleteVolume",
    "DescribeDBInstances", "DescribeInstances", "GetSecretValue",
}

#: Canaries that the function has been told.
CANARIES = {
    "metadata TdeCredentialPassword", "metadata UserData", "metadata InformationalOnly:Note",
    "metadata LicenseModel", "metadata DBName", "metadata InformationalOnly:MasterUsername",
    "metadata NetworkInterfaces", "metadata KeyName", "secret note", "user", "password", "tag", "page",
}

#: Secrets of the scenarios' own choice.
SECRETS = {"the password of a secret", "a secret", "the master password that was set", "the key of passwords", "a row"}


@pytest.fixture(scope="module")
def report():
    with open(_from_environment("CANARIES"), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def planted(scene):
    """Scenes of tests/scenarios/canaries.rs, which must be found out."""
    return scene["scenario"].startswith("canaries::planted")


def test_no_secret_shows(report, capsys):
    found = [f"{scene['scenario']}: {text}" for scene in report if not planted(scene) for text in scene["found"]]
    assert not found, "\n".join(found)
    bytes_ = collections.Counter()
    for scene in report:
        bytes_.update(scene["bytes"])
    canaries = sum(len(scene["canaries"]) for scene in report)
    secrets = sum(len(scene["secrets"]) for scene in report)
    with capsys.disabled():
        print(f"\n{len(report)} scenes of {len({s['scenario'] for s in report})} scenarios, {canaries:,} canaries and "
              f"{secrets:,} secrets, {sum(bytes_.values()):,} bytes of {len(bytes_)} channels searched, 0 found")


def test_what_was_planted_was_found(report):
    scenes = [scene for scene in report if planted(scene)]
    assert len({scene["scenario"] for scene in scenes}) >= 7
    assert all(scene["found"] for scene in scenes)


def test_everything_was_searched_for_everything(report):
    scenes = [scene for scene in report if not planted(scene)]
    assert CHANNELS <= {channel for scene in scenes for channel in scene["bytes"]}
    assert CANARIES <= {name for scene in scenes for name in scene["canaries"]}
    assert SECRETS <= {name for scene in scenes for name in scene["secrets"]}
    # Whose function writes, answers. Where kept items are read, the ledger is asked and not the function.
    silent = "formats::the_ledger_reads_what_was_kept_of_it"
    assert all("answer" in scene["bytes"] or "error" in scene["bytes"] or len(scene["bytes"]) == 1
               for scene in scenes if scene["scenario"] != silent)
    targets = {scene["scenario"].partition("::")[0] for scene in scenes}
    assert {"engine", "events", "machines", "ownership", "promises", "reset", "triggers",
            "verdicts"} <= targets
