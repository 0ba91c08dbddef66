"""What every test of the suite shares: one guard and the command line options.

Not a home for fixtures of one room (those live in tests/<room>/). The guard: tests/ is on sys.path, so a package
tests/raft/ would be imported instead of the raft/ that is to be tested. Read next: tests/README.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PACKAGES = ("broker", "raft", "storage")


def pytest_addoption(parser: pytest.Parser) -> None:
    """For the transcripts of tests/datadriven.py, and for longer runs of tests/clients/test_clients_kill.py."""
    parser.addoption("--rewrite", action="store_true", help="rewrite transcripts with what came out")
    parser.addoption("--kill-seconds", type=float, default=3.0, help="kill tests: time of publishing between events")
    parser.addoption("--kill-rounds", type=int, default=1, help="kill tests: how often nodes are killed")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to start when a directory of tests hides a package under test."""
    for name in PACKAGES:
        if (HERE / name / "__init__.py").exists():
            raise pytest.UsageError(
                f"tests/{name}/__init__.py hides the package {name}: remove it (tests/{name}/ works without one; "
                f"its support modules are imported by their plain, unique names)"
            )
