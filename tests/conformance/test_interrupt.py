"""Nothing of the demo is left running or lying about, however it ends.

DEMO names the restore-proof binary, which is run from the root of the clone.
"""

import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from cloud import eventually
from conftest import ROOT


def parents():
    """Each living process and its parent; zombies have nothing left to run."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue  # it has just ended
            if state != "Z":
                found[int(entry.name)] = int(parent)
    return found


def descendants(pid):
    """All processes that were started by `pid`, by those it started, and so on."""
    tree, found, queue = parents(), set(), [pid]
    while queue:
        children = {child for child, parent in tree.items() if parent == queue[0]} - found
        found |= children
        queue = queue[1:] + list(children)
    return found


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def state_folders():
    return {path for path in Path(tempfile.gettempdir()).glob("restore-proof-*") if path.is_dir()}


@pytest.fixture
def running_demo(demo_binary, tmp_path):
    """The demo, at a moment when the function and database servers run."""
    before = state_folders()
    log = (tmp_path / "log").open("w+b")
    demo = subprocess.Popen(
        [demo_binary, "demo", "--records", str(tmp_path / "records")], cwd=ROOT,
        stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def in_the_middle():
        assert demo.poll() is None, (tmp_path / "log").read_text()
        commands = [command(pid) for pid in descendants(demo.pid)]
        return any("bootstrap" in c for c in commands) and any("postgres" in c for c in commands)

    try:
        eventually(in_the_middle, 60, "the middle of the demo")
        yield demo, before
    finally:
        demo.kill()
        demo.wait()


def gone(children):
    left = {pid: command(pid) for pid in children & set(parents())}
    return not {pid: text for pid, text in left.items() if text}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_told_to_stop_leaves_nothing(running_demo, how):
    demo, before = running_demo
    children = descendants(demo.pid)
    os.kill(demo.pid, how)
    assert demo.wait(timeout=20) == 130
    assert gone(children), {pid: command(pid) for pid in children}
    assert state_folders() - before == set()


def test_a_demo_that_crashes_leaves_nothing_running(running_demo, demo_binary):
    demo, before = running_demo
    children = descendants(demo.pid)
    demo.kill()
    demo.wait()
    eventually(lambda: gone(children), 10, f"the end of {[command(pid) for pid in children]}")
    # Its folder is removed by the next start.
    assert state_folders() - before
    subprocess.run([demo_binary, "demo", "--template", "/dev/null"], cwd=ROOT, timeout=60,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert state_folders() - before == set()
