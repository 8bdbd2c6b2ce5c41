"""What the tests are given: files and binaries named by the environment, none of them optional."""

import os
from pathlib import Path

import pytest

from judge import read_calls

ROOT = Path(__file__).resolve().parents[2]


def _from_environment(name):
    value = os.environ.get(name)
    if not value:
        pytest.fail(f"{name} must be set; `make test` and scripts/test.sh do it")
    return value


def recorded(paths):
    """All calls of recorder files, a failure when there are none."""
    found = [call for path in paths for call in read_calls(path)]
    if not found:
        pytest.fail(f"no calls in {paths}")
    return found


@pytest.fixture(scope="session")
def call_files():
    return _from_environment("CALLS").split(":")


@pytest.fixture(scope="session")
def calls(call_files):
    return recorded(call_files)


@pytest.fixture(scope="session")
def demo_calls(call_files):
    """The calls of the demo alone: it runs with the names and parameters of template.yaml."""
    return recorded([path for path in call_files if Path(path).name.startswith("demo")])


@pytest.fixture(scope="session")
def records_folder():
    return _from_environment("RECORDS")


@pytest.fixture(scope="session")
def bootstrap():
    return _from_environment("BOOTSTRAP")


@pytest.fixture(scope="session")
def local_aws():
    return _from_environment("LOCAL_AWS")


@pytest.fixture(scope="session")
def cli_binary():
    return _from_environment("CLI")


@pytest.fixture(scope="session")
def demo_binary():
    return _from_environment("DEMO")


@pytest.fixture(scope="session")
def template_path():
    return ROOT / "template.yaml"
