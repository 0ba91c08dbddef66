"""mypy --strict over the packages and ruff over everything, as tests. The rules themselves stand in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.timeout(300)


def assert_clean(*command: str) -> None:
    result = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, "\n" + (result.stdout + result.stderr)[-8000:]


def test_types_hold_strictly() -> None:
    assert_clean("mypy", "--no-error-summary")


def test_types_of_the_build_hook_hold() -> None:
    assert_clean("mypy", "--strict", "--config-file=", "--no-error-summary", "deploy/build_mypyc.py")


def test_lint_is_clean() -> None:
    assert_clean("ruff", "check", "--quiet", ".")
