#!/usr/bin/env python3
"""How long `restore-proof report` takes over many records, and how much memory: no test, for it depends on the machine.

    python3 scripts/bench-report.py PROGRAM [NUMBER]

PROGRAM is an optimised restore-proof; NUMBER is 100,000 unless given. The records are written to a temporary folder as they lie in
S3, a file each; each form is then made of them once.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def records(number):
    """Records of 90 days, of a thousand resources."""
    chance = random.Random(7)
    verdicts = ["passed"] * 12 + ["failed", "inconclusive", "unchecked", "restore_failed", "copy_failed", "not_tested", "not_tested"]
    for one in range(number):
        verdict, day = chance.choice(verdicts), f"2026-{chance.randint(9, 11):02}-{chance.randint(1, 30):02}"
        restored = verdict in ("passed", "failed", "unchecked")
        checks = [{"name": f"check {n}", "kind": "sql", "outcome": "passed", "value": None, "value_number": 1.0, "detail": "as expected " * 8,
                   "expectation": "at least 1", "duration": 0.1, "group": None, "measured": []} for n in range(chance.randint(0, 5))]
        yield day, {
            "format": 1, "validation_id": f"v{one:08}", "attempt": 1, "verdict": verdict, "verdict_reason": "why " * 20,
            "proof": "restored" if restored else None, "scenario": "cross_account", "resource_type": chance.choice(["RDS", "Aurora", "EC2"]),
            "recovery_point_arn": f"arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-{one:08}",
            "recovery_point_created": f"{day} 03:00:00.000", "backup_vault_name": "central", "source_account": "222233334444",
            "source_resource_arn": f"arn:aws:rds:eu-central-1:222233334444:db:{chance.randint(0, 1000)}",
            "source_class": "db.t4g.micro", "restored_class": "db.t4g.micro", "opened_time": f"{day} 04:00:00.000",
            "restore_job_id": "job", "recovery_time": chance.lognormvariate(3, 1) if verdict == "passed" else None,
            "recovery_time_target": 60.0, "data_age": chance.random() * 60, "cleanup": "deleted", "checks": checks,
            "attempts": [{"job": "job"}], "findings": [], "verdict_time": f"{day} 05:00:00.000",
            "usage": [{"what": "restored_resource", "amount": 40.0, "unit": "minutes"}] if restored else [],
        }


def main():
    program, number = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        for day, record in records(number):
            file = Path(folder, f"dt={day}", f"{record['validation_id']}.json")
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(record) + "\n")
        for form in ("json", "html", "terminal", "markdown", "junit"):
            began = time.monotonic()
            subprocess.run([program, "report", "--records", folder, "--from", "2026-09-01", "--to", "2026-11-30", "--form", form],
                           stdout=subprocess.DEVNULL, check=True)
            print(f"{form:10} {time.monotonic() - began:6.2f} s")
        print(f"at most {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
