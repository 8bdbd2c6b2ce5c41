"""What `make package` makes, as those take it who install it.

PACKAGE names the folder, BOOTSTRAP the file that was taken out of the zip, BUILT_BY_SAM what `sam build` made.
"""

import hashlib
import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from moto.server import ThreadedMotoServer

from cloud import REGION, client
from cloudformation import Loader
from conftest import ROOT, _from_environment

#: What Lambda's runtime provided.al2023 has.
LATEST_GLIBC = (2, 34)

#: Bytes of the zip file: Lambda loads it at each cold start.
LARGEST = 15_000_000

#: A template may be this long when it is sent with the request and not by way of a bucket (CloudFormation quotas).
LONGEST_BODY = 51_200


@pytest.fixture(scope="module")
def package():
    return Path(_from_environment("PACKAGE"))


@pytest.fixture(scope="module")
def archive(package):
    found, = package.glob("restore-proof-*.zip")
    return found


@pytest.fixture(scope="module")
def content(bootstrap):
    return Path(bootstrap).read_bytes()


@pytest.fixture(scope="module")
def bill(package):
    return json.loads((package / "sbom.cdx.json").read_text())


def test_the_zip_holds_the_bootstrap_as_lambda_wants_it(archive, content):
    with zipfile.ZipFile(archive) as opened:
        entry, = opened.infolist()
        assert (entry.filename, entry.external_attr >> 16, entry.create_system) == ("bootstrap", 0o100755, 3)
        assert opened.read(entry) == content


def test_the_zip_is_small(archive):
    assert archive.stat().st_size <= LARGEST


def test_it_is_what_sam_build_makes(content):
    assert content == Path(_from_environment("BUILT_BY_SAM")).read_bytes()


def test_it_runs_with_the_glibc_of_lambda(bootstrap):
    symbols = subprocess.run(["objdump", "-T", bootstrap], check=True, capture_output=True, text=True).stdout
    versions = {tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_(\d+(?:\.\d+)+)", symbols)}
    assert len(versions) > 3, "not linked with glibc at all?"
    assert max(versions) <= LATEST_GLIBC, versions


def test_nothing_of_the_machine_that_built_it_is_in_it(content):
    """Paths of another machine would be other bytes."""
    paths = [str(ROOT), str(Path.home()), os.environ["CARGO_TARGET_DIR"], ".cargo/registry", ".rustup/toolchains",
             "site-packages"]
    assert [path for path in paths if path.encode() in content] == []
    assert b"/crates/tokio-" in content, "the paths of crates are looked for in vain below"


def test_the_checksums_are_those_of_all_files(package):
    lines = [line.split("  ") for line in (package / "SHA256SUMS").read_text().splitlines()]
    files = {path.name: path for path in package.iterdir() if path.name != "SHA256SUMS"}
    assert {"template.yaml", "sbom.cdx.json"} < files.keys()
    assert ("forward.yaml" in files) == (ROOT / "infra/forward.yaml").exists()
    assert {name: digest for digest, name in lines} == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def test_the_template_takes_this_very_zip(package, archive, content):
    template = yaml.load((package / "template.yaml").read_text(), Loader)
    key = template["Resources"]["RestoreProofFunction"]["Properties"]["Code"]["S3Key"]
    assert key == {"Fn::Sub": "${CodePrefix}" + archive.name}
    # Another bootstrap, another name: else CloudFormation would see nothing to update.
    assert hashlib.sha256(content).hexdigest()[:16] in archive.name


def test_the_bill_of_materials_is_valid(package):
    problems = JsonStrictValidator(SchemaVersion.V1_5).validate_str(
        (package / "sbom.cdx.json").read_text(), all_errors=True)
    assert not [str(problem) for problem in problems or ()]


def test_the_bill_is_of_this_zip(bill, archive):
    component = bill["metadata"]["component"]
    assert component["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(archive.read_bytes()).hexdigest()}]


def test_the_bill_lists_every_crate_whose_code_is_in_the_bootstrap(bill, content):
    """Wherever code can panic, its file is named in the program: /crates/NAME-VERSION/src/…"""
    inside = {(name.decode(), version.decode()) for name, version in re.findall(
        rb"/crates/([a-zA-Z0-9_-]+?)-(\d+\.\d+\.\d+[a-zA-Z0-9.+-]*)/", content)}
    assert len(inside) > 50, inside
    listed = {(component["name"], component["version"]) for component in bill["components"]
              if component["scope"] == "required"}
    assert inside - listed == set()
    # What is only there for the tests and the command line is not.
    assert not {"clap", "rcgen", "indicatif", "tempfile"} & {component["name"] for component in bill["components"]}


def test_every_crate_of_the_bill_has_checksum_and_license(bill):
    for component in bill["components"]:
        assert component["licenses"], component
        if component["purl"].startswith("pkg:cargo/") and not component["name"].startswith("restore-proof"):
            assert component["hashes"], component


def test_aws_cli_takes_the_template_in_the_documented_way(package, archive):
    """One upload and one deploy, up to the change set; moto lacks what comes after it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        # moto reads a template from a bucket only where the URL says localhost.
        endpoint = f"http://localhost:{server.get_host_and_port()[1]}"

        def aws(*arguments):
            return subprocess.run(
                ["aws", *arguments], capture_output=True, text=True,
                env=os.environ | {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "test",
                                  "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION})

        deploy = ("cloudformation", "deploy", "--template-file", package / "template.yaml", "--no-execute-changeset",
                  "--stack-name", "restore-proof", "--capabilities", "CAPABILITY_IAM",
                  "--parameter-overrides", "CodeBucket=code", "BackupVaultNames=central")
        assert aws("s3", "mb", "s3://code").returncode == 0
        assert aws("s3", "cp", archive, "s3://code/").returncode == 0
        if (package / "template.yaml").stat().st_size > LONGEST_BODY:
            assert "--s3-bucket" in aws(*deploy).stderr
        made = aws(*deploy, "--s3-bucket", "code")
        assert made.returncode == 0, made.stderr
        changes = client("cloudformation", endpoint).list_change_sets(StackName="restore-proof")["Summaries"]
        assert [change["Status"] for change in changes] == ["CREATE_COMPLETE"]
    finally:
        server.stop()
