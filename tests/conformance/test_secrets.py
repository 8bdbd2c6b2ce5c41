"""No secret is left anywhere by a whole demo: not on disk, in a log, a record, a message or the ledger.

DEMO names the restore-proof binary, which is run from the root of the clone with secrets that this test
has chosen. What it leaves (its state folder with the function's log, the engines' folders and all that the
account held; the records; the recorded calls; its output) is searched for each of them, and for the
passwords that follow from them, in the forms in which a program may write a text.
"""

import base64
import hashlib
import hmac
import html
import json
import re
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from conftest import ROOT

#: AWS Backup's answer with what it keeps of a source, which is the one call that may have a secret in it:
#: the recorder shows it as it is.
METADATA_CALL = "GetRecoveryPointRestoreMetadata"


def canary(decoration=""):
    """A text that is nowhere else."""
    return f"cnry{secrets.token_hex(12)}{decoration}"


def forms(text):
    """The byte strings of which one stands wherever the secret does, however it is written.

    Every secret here begins with many letters and digits, which JSON, URLs, SQL and markup leave as they
    are; so those are looked for: as they are, in hexadecimal digits, and in base64, in which a text begins
    at one of three places. A text in UTF-16 has a NUL behind each letter.
    """
    core = re.match(r"[A-Za-z0-9]{20,}", text).group()
    found = set()
    for data in (core.encode(), core.encode("utf-16-le")):
        found |= {data, data.hex().encode(), data.hex().upper().encode()}
        for before in range(3):
            # Six bits to a character: without those that hold bits of what stands before or behind.
            first, last = -(-before * 8 // 6), (before + len(data)) * 8 // 6
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                found.add(encode(bytes(before) + data)[first:last])
    return found


def search(files, secrets_by_name):
    """Which secrets stand in which files: (name of the secret, file)."""
    wanted = {name: forms(text) for name, text in secrets_by_name.items()}
    found = set()
    for file in files:
        data = file.read_bytes()
        for name, these in wanted.items():
            if any(form in data for form in these):
                found.add((name, file))
    return found


def files_below(*places):
    return [file for place in places for file in sorted(Path(place).rglob("*"))
            if file.is_file() and not file.is_symlink()]


def derived_password(key, validation, attempt):
    """As crates/function/src/reset.rs says it, from Python's own HMAC."""
    text = f"restore-proof master password\n{validation}\n{attempt}"
    return "Rp0" + hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[:27]


def mysql_hash(password):
    """What MySQL and MariaDB keep of a password (mysql_native_password)."""
    return "*" + hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest().upper()


class HashesOfServers(threading.Thread):
    """Collects the password hashes that the MariaDB servers of a running demo hold."""

    def __init__(self, known_folders):
        super().__init__(daemon=True)
        self.known, self.found, self.ended = known_folders, set(), threading.Event()

    def run(self):
        while not self.ended.wait(0.4):
            for folder in state_folders() - self.known:
                for pattern in ("my/*/mysql/global_priv.MAD", "my/*/aria_log.0*"):
                    for file in folder.glob(pattern):
                        try:
                            data = file.read_bytes()
                        except OSError:
                            continue  # its server has just been deleted
                        self.found |= {found.decode() for found in re.findall(rb"\*[0-9A-F]{40}", data)}

    def end(self):
        self.ended.set()
        self.join()
        return self.found


def state_folders():
    return {path for path in Path(tempfile.gettempdir()).glob("restore-proof-*") if path.is_dir()}


@dataclass
class Played:
    """A demo that was played, and what it left."""

    document: dict
    secrets: dict
    hashes: set
    state: Path
    #: The recorded calls of METADATA_CALL.
    metadata_calls: Path
    #: Everything it wrote.
    files: list


@pytest.fixture(scope="module")
def played(demo_binary, tmp_path_factory):
    hidden, open_ = tmp_path_factory.mktemp("hidden"), tmp_path_factory.mktemp("open")
    chosen = {
        # 64 letters and digits, as the template has it generated.
        "reset_key": canary() + secrets.token_hex(18),
        # What must be escaped in JSON, in URLs, in SQL and in markup.
        "postgres_password": canary(" \"q'\\/+=&<%41>"),
        "mysql_password": canary(" \"q'\\/+=&<%41>"),
        "metadata": canary("\n<&\"ü"),
    }
    (hidden / "secrets.json").write_text(json.dumps(chosen))
    hashes = HashesOfServers(state_folders())
    hashes.start()
    began = time.monotonic()
    demo = subprocess.run(
        [demo_binary, "demo", "--json", "--keep", "--secrets", hidden / "secrets.json",
         "--records", open_ / "records", "--record", open_ / "calls.jsonl"],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=240)
    hashes = hashes.end()
    (open_ / "output").write_bytes(demo.stdout + demo.stderr)
    assert demo.returncode == 0, demo.stdout.decode() + demo.stderr.decode()
    document = json.loads(demo.stdout)
    calls = (open_ / "calls.jsonl").read_text().splitlines(keepends=True)
    answers = [call for call in calls if json.loads(call)["operation"] == METADATA_CALL]
    (open_ / "calls.jsonl").write_text("".join(call for call in calls if call not in answers))
    (hidden / "answers.jsonl").write_text("".join(answers))
    print(f"the demo took {time.monotonic() - began:.1f} s")
    state = Path(document["state_folder"])
    try:
        files = files_below(state, open_)
        yield Played(document, chosen, hashes, state, hidden / "answers.jsonl", files)
    finally:
        shutil.rmtree(state)


def actual(played, copy):
    return next(entry for entry in played.document["copies"] if entry["copy"] == copy)["actual"]


def test_the_demo_used_these_secrets(played):
    # With a wrong password of either engine, or without the key, these would be inconclusive.
    assert actual(played, "shop-main")["verdict"] == "passed"
    assert actual(played, "orders-mysql")["verdict"] == "passed"
    # The source's password was the chosen one, and the copy's became the derived one: the search is
    # for what was really in use.
    assert mysql_hash(played.secrets["mysql_password"]) in played.hashes
    for copy in ("orders-mysql", "carts-aurora"):
        derived = derived_password(played.secrets["reset_key"], actual(played, copy)["validation_id"], 1)
        assert mysql_hash(derived) in played.hashes, f"the password of {copy} is not the derived one"
    assert actual(played, "stock-aurora")["verdict"] == "passed"
    # AWS Backup told the function the secret of the metadata, and nothing else in the answers.
    found = search([played.metadata_calls], played.secrets)
    assert found == {("metadata", played.metadata_calls)}


def test_the_search_reaches_everything_that_was_written(played):
    """An id that is no secret is found where it must stand, base64 among it."""
    names = {file.name for file in played.files}
    assert {"function.log", "ledger.jsonl", "messages.jsonl", "records-log.jsonl", "calls.jsonl",
            "output", "policy.toml.version-1"} <= names
    assert any(file.match("pg/*.dump") for file in played.files), "the dumps of PostgreSQL"
    assert any("my" in file.parts and file.name == "global_priv.MAD" for file in played.files)
    validation = actual(played, "orders-mysql")["validation_id"]
    where = {file.name for _, file in search(played.files, {"id": validation})}
    assert {"function.log", "ledger.jsonl", "messages.jsonl", "records-log.jsonl", "calls.jsonl",
            "output", f"{validation}.json"} <= where
    # What is in the account is in the files: each copy has its item in the ledger.
    ledger = (played.state / "account/ledger.jsonl").read_text()
    for entry in played.document["copies"]:
        assert f'"{entry["actual"]["validation_id"]}"' in ledger, entry["copy"]


def test_the_search_finds_a_secret_in_each_of_its_forms(played, tmp_path):
    for name, text in played.secrets.items():
        in_json = json.dumps({"password": text})
        planted = [
            text, in_json, json.dumps({"body": in_json}), json.dumps(text, ensure_ascii=False),
            f"https://x/?p={quote(text, safe='')}&q=1", quote(quote(text)), f"p={quote_plus(text)}",
            html.escape(text), repr(text), "'" + text.replace("'", "''") + "'",
        ]
        wide = [f"before {one} behind".encode("utf-16-le") for one in planted]
        planted += [
            form for data in [some.encode() for some in planted]
            for form in [data.hex(), data.hex().upper(), base64.urlsafe_b64encode(data).decode(),
                         *(base64.b64encode(b"{" * before + data).decode() for before in range(3))]
        ]
        for number, data in enumerate(wide + [f"before {one} behind".encode() for one in planted]):
            file = tmp_path / f"{name}-{number}"
            file.write_bytes(data)
            assert search([file], played.secrets) == {(name, file)}, data
    file = tmp_path / "nothing"
    file.write_text(json.dumps({"password": canary()}))
    assert search([file], played.secrets) == set()


def test_no_secret_is_anywhere(played):
    found = search(played.files, played.secrets)
    assert not found, "\n".join(f"{name} stands in {file}" for name, file in sorted(found))


def test_no_derived_password_is_anywhere(played):
    # Of every database, although only where the policy says so one was set.
    derived = {
        f"password of {entry['copy']}": derived_password(
            played.secrets["reset_key"], entry["actual"]["validation_id"], 1)
        for entry in played.document["copies"] if ":rds:" in entry["source_resource_arn"]
    }
    assert {"password of orders-mysql", "password of stock-aurora", "password of carts-aurora"} <= set(derived)
    assert len(derived) > 7
    found = search(played.files, derived)
    assert not found, "\n".join(f"{name} stands in {file}" for name, file in sorted(found))
