"""Tells whether the pure layers run compiled by mypyc or interpreted.

Not a switch: which one runs was decided when the wheel was built (deploy/build_mypyc.py). The rim says it once at
start-up; tests use it to name the pass they belong to.
"""

from __future__ import annotations

import importlib.util


def is_compiled() -> bool:
    """True when the pure layers were compiled. Looks at where they would come from, without importing them."""
    spec = importlib.util.find_spec("raft.node")
    return spec is not None and spec.origin is not None and not spec.origin.endswith((".py", ".pyc"))
