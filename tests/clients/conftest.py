"""Fixtures of the real-client tests: a cluster of three processes of the chosen server, and the tools they need.

Options: --kill-seconds and --kill-rounds make the kill tests longer. TERNMQ_TEST_SERVER=reference runs everything
against nats-server.
A missing tool skips the tests that need it, except under `make test` (TERNMQ_REQUIRE_TOOLS=1), where it is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.servers import ROOT, Cluster, Program

TOOLS = ROOT / ".tools"


@pytest.fixture(scope="session")
def program() -> Program:
    """The server under test."""
    return Program.chosen()


@pytest.fixture
def cluster(program: Program, tmp_path: Path) -> Iterator[Cluster]:
    """Three fresh, healthy nodes; gone after the test, whatever happened. On failure pytest keeps their logs."""
    with Cluster(program, tmp_path / "cluster") as running:
        yield running


def missing(what: str) -> None:
    """A tool or library that a test needs is not here."""
    if os.environ.get("TERNMQ_REQUIRE_TOOLS"):
        pytest.fail(f"{what} is missing: `make test` installs it")
    pytest.skip(f"{what} is missing: `make test` installs it")


@pytest.fixture(scope="session")
def nats_cli() -> str:
    """The `nats` command line tool."""
    path = os.environ.get("TERNMQ_NATS_CLI") or shutil.which("nats", path=f"{TOOLS}:{os.environ.get('PATH', '')}")
    if path is None:
        missing("the nats command line tool")
    return str(path)


@pytest.fixture(scope="session")
def go_flow() -> str:
    """The program of tests/clients/go, built; Go's cache makes the second time quick."""
    if shutil.which("go") is None:
        missing("go")
    binary = TOOLS / "jetstream-flow"
    TOOLS.mkdir(exist_ok=True)
    subprocess.run(["go", "build", "-o", str(binary), "."], cwd=ROOT / "tests" / "clients" / "go", check=True)
    return str(binary)


@pytest.fixture
def kill_seconds(request: pytest.FixtureRequest) -> float:
    """Time of publishing between two events of a kill test."""
    return float(request.config.getoption("--kill-seconds"))


@pytest.fixture
def kill_rounds(request: pytest.FixtureRequest) -> int:
    """How often a kill test kills."""
    return int(request.config.getoption("--kill-rounds"))
