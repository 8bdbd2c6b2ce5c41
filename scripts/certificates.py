"""Writes Amazon RDS's root certificates, as AWS publishes them, into the file that is built into the function.

    make certificates                     fetches them from AWS
    scripts/certificates.py FILE…         takes them from files that were fetched elsewhere
    scripts/certificates.py --check       says how old the file is; nothing is written

Expired certificates are left out. Sources: "Using SSL/TLS to encrypt a connection to a DB instance or cluster", Amazon RDS
user guide, of the commercial Regions, of AWS GovCloud (US) and of China.
"""

import datetime
import pathlib
import re
import subprocess
import sys
import urllib.request

BUNDLES = [
    "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem",
    "https://truststore.pki.us-gov-west-1.rds.amazonaws.com/global/global-bundle.pem",
    "https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/global/global-bundle.pem",
]
FILE = pathlib.Path(__file__).parent.parent / "crates/function/rds-root-certificates.pem"
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?\n-----END CERTIFICATE-----", re.DOTALL)
HEADER = """# As of {day}
# Amazon RDS's root certificates that have not expired, as AWS publishes them. `make certificates` writes this file.
"""


def fetched(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode("ascii")


def is_valid(certificate):
    """Whether it has not expired; an unreadable one ends the program."""
    read = ["openssl", "x509", "-noout"]
    subprocess.run(read, input=certificate, text=True, check=True)
    check = subprocess.run([*read, "-checkend", "0"], input=certificate, text=True, stdout=subprocess.DEVNULL, check=False)
    return check.returncode == 0


def written(texts, day):
    """The file's text: each certificate once, in the order of the bundles."""
    certificates = [found for text in texts for found in CERTIFICATE.findall(text.replace("\r", ""))]
    if not certificates:
        sys.exit("no certificate was found; the file is left as it is")
    valid = [one for one in dict.fromkeys(certificates) if is_valid(one)]
    return HEADER.format(day=day) + "".join(f"{one}\n" for one in valid)


def age():
    """Days since the file was renewed."""
    day = re.match(r"# As of (\d{4}-\d\d-\d\d)\n", FILE.read_text()).group(1)
    return (datetime.date.today() - datetime.date.fromisoformat(day)).days


def main(arguments):
    if arguments == ["--check"]:
        if age() > 365:
            print(f"warning: {FILE.name} is {age()} days old; `make certificates` renews it", file=sys.stderr)
        return
    texts = [pathlib.Path(name).read_text() for name in arguments] or [fetched(url) for url in BUNDLES]
    FILE.write_text(written(texts, datetime.date.today()))


if __name__ == "__main__":
    main(sys.argv[1:])
