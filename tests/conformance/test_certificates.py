"""The certificates that are built in: which Regions' databases they vouch for, and that none of them has expired.

Which Regions there are is botocore's list, not ours.
"""

import datetime
import importlib.util
import re
import subprocess

import boto3
import pytest

from conftest import ROOT

SPEC = importlib.util.spec_from_file_location("certificates", ROOT / "scripts/certificates.py")
certificates = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(certificates)

BUILT_IN = certificates.CERTIFICATE.findall(certificates.FILE.read_text())
# What README says.
MISSING = re.search(r"The built-in certificates lack (.*?):", (ROOT / "README.md").read_text().replace("\n", " ")).group(1)


def asked(certificate, *options):
    read = ["openssl", "x509", "-noout", "-nameopt", "oneline", *options]
    return subprocess.run(read, input=certificate, text=True, capture_output=True, check=True).stdout


KNOWN = {
    region
    for certificate in BUILT_IN
    for region in re.findall(r"CN = Amazon RDS ([a-z0-9-]+) Root CA", asked(certificate, "-subject"))
}


@pytest.mark.parametrize("partition", ["aws", "aws-us-gov", "aws-cn"])
def test_each_region_is_known_or_named_as_missing(partition):
    for region in boto3.Session().get_available_regions("rds", partition):
        named = f"`{region}`" in MISSING
        assert (region in KNOWN) != named, f"{region}: known {region in KNOWN}, named in README as missing {named}"


def test_none_has_expired():
    expired = [asked(one, "-subject") for one in BUILT_IN if not certificates.is_valid(one)]
    assert not expired
    assert len(set(BUILT_IN)) == len(BUILT_IN)


def made(folder, days):
    """A self-signed certificate that was made `days` ago for a day."""
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
    end = start + datetime.timedelta(days=1)
    key, out = folder / "key.pem", folder / f"{days}.pem"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], capture_output=True, check=True)
    request = ["openssl", "req", "-new", "-key", key, "-subj", f"/CN=made {days} days ago", "-out", folder / "request"]
    subprocess.run(request, capture_output=True, check=True)
    (folder / "index").write_text("")
    (folder / "serial").write_text("01\n")
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca = a\n[a]\nnew_certs_dir = {folder}\ndatabase = {folder}/index\nserial = {folder}/serial\n"
        f"default_md = sha256\npolicy = p\nprivate_key = {key}\n[p]\ncommonName = supplied\n"
    )
    sign = ["openssl", "ca", "-batch", "-selfsign", "-config", folder / "ca.cnf", "-in", folder / "request", "-out", out,
            "-startdate", f"{start:%Y%m%d%H%M%SZ}", "-enddate", f"{end:%Y%m%d%H%M%SZ}", "-notext"]
    subprocess.run(sign, capture_output=True, check=True)
    return out.read_text().strip()


def test_a_renewed_file_holds_each_valid_certificate_once(tmp_path):
    valid, expired = made(tmp_path, 0), made(tmp_path, 3)
    text = certificates.written([f"junk\n{expired}\n{valid}\n", f"{valid}\r\n"], "2026-11-28")
    assert certificates.CERTIFICATE.findall(text) == [valid]
    assert text.startswith("# As of 2026-11-28\n")
    with pytest.raises(SystemExit):
        certificates.written(["an answer without certificates"], "2026-11-28")
