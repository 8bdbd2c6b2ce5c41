"""checkov finds nothing in the templates but what is suppressed with a reason.

A suppression is a comment in the template: `# checkov:skip=ID:reason`. CHECKOV names the program.
"""

import json
import os
import re
import subprocess

import pytest

from conftest import ROOT, _from_environment

TEMPLATES = ("template.yaml", "infra/network.yaml", "infra/athena.yaml")
#: Shorter than this is no reason.
SHORTEST = 20

PLANTED = """\
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Good:
    # checkov:skip=CKV_AWS_27:encrypted by SQS itself (SqsManagedSseEnabled)
    Type: AWS::SQS::Queue
    Properties: { SqsManagedSseEnabled: true }
  WithoutReason:
    # checkov:skip=CKV_AWS_27
    Type: AWS::SQS::Queue
    Properties: { SqsManagedSseEnabled: true }
  WithoutMuchReason:
    # checkov:skip=CKV_AWS_27:later
    Type: AWS::SQS::Queue
    Properties: { SqsManagedSseEnabled: true }
  Open:
    Type: AWS::S3::Bucket
    Properties: { AccessControl: PublicRead }
"""


def looked_through(files, folder):
    """What checkov says of these files: its summary, what failed, and what was suppressed, each with the reason."""
    done = subprocess.run(
        [_from_environment("CHECKOV"), "-f", *files, "--framework", "cloudformation", "serverless",
         "--skip-download", "-o", "json"],
        cwd=folder, capture_output=True, text=True, timeout=240,
        env=os.environ | {"LOG_LEVEL": "ERROR"})
    assert done.returncode in (0, 1), done.stderr
    said = json.loads(done.stdout)
    # Without a finding of any kind it is a bare summary.
    reports = [r for r in (said if isinstance(said, list) else [said]) if "results" in r]
    assert reports, f"checkov has looked at nothing: {done.stdout}"
    of = lambda kind: [check for report in reports for check in report["results"][kind]]
    assert not of("parsing_errors")
    return {
        "passed": len(of("passed_checks")),
        "failed": [f"{c['check_id']} {c['resource']}: {c['check_name']}" for c in of("failed_checks")],
        "suppressed": [(c["check_id"], c["resource"], c["check_result"]["suppress_comment"])
                       for c in of("skipped_checks")],
    }


def without_reason(suppressed):
    return [f"{check} {resource}: {reason}" for check, resource, reason in suppressed
            if len(reason) < SHORTEST or reason == "No comment provided"]


@pytest.fixture(scope="module")
def found():
    return looked_through(TEMPLATES, ROOT)


def test_nothing_is_found(found, capsys):
    assert not found["failed"], "\n".join(found["failed"])
    assert found["passed"] > 50
    with capsys.disabled():
        print(f"\ncheckov: {found['passed']} checks passed, 0 failed, {len(found['suppressed'])} suppressed")


def test_every_suppression_has_a_reason_and_suppresses_something(found):
    assert not without_reason(found["suppressed"])
    written = [
        check for name in TEMPLATES
        for check in re.findall(r"checkov:skip=(\w+)", (ROOT / name).read_text())
    ]
    assert sorted(written) == sorted(check for check, _, _ in found["suppressed"])


def test_what_is_planted_is_found(tmp_path):
    (tmp_path / "t.yaml").write_text(PLANTED)
    seen = looked_through(["t.yaml"], tmp_path)
    unreasoned = without_reason(seen["suppressed"])
    assert [text.split(":")[4].split(".")[1] for text in unreasoned] == ["WithoutReason", "WithoutMuchReason"]
    assert seen["failed"] and all("AWS::S3::Bucket.Open" in text for text in seen["failed"])
