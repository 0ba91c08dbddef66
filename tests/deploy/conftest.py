"""Fixtures of the deployment tests: the tools they need.

A missing tool skips the tests that need it, except under `make test` and `make deploy-test` (TERNMQ_REQUIRE_TOOLS=1),
where it is a failure.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.helm import Helm, find_helm


def missing(what: str, remedy: str) -> None:
    """A tool that a test needs is not here."""
    if os.environ.get("TERNMQ_REQUIRE_TOOLS"):
        pytest.fail(f"{what} is missing: {remedy}")
    pytest.skip(f"{what} is missing: {remedy}")


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """The real helm, in a home of its own."""
    path = find_helm()
    if path is None:
        missing("helm", "`make deploy-tools` fetches it")
    home = tmp_path / "helm"
    home.mkdir()
    return Helm(str(path), home)
