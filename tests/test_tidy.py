"""The house rules, enforced over the tree (the rules: tests/tidy_rules.py) and shown to bite on known-bad snippets."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import tidy_rules as rules
from tidy_rules import Module

ROOT = Path(__file__).resolve().parent.parent


def tracked(*suffixes: str) -> list[Path]:
    """Files of the project: what git tracks or would track, so that build leavings do not count."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    paths = [ROOT / name for name in listing.split("\0") if name and name.endswith(suffixes)]
    return sorted(path for path in paths if path.exists())


PYTHON = tracked(".py")
OURS = [path for path in PYTHON if path.relative_to(ROOT).parts[0] in rules.OURS]


def modules(paths: list[Path]) -> list[Module]:
    return [Module.read(path, ROOT) for path in paths]


def assert_tidy(complaints: list[str]) -> None:
    assert not complaints, "\n" + "\n".join(complaints)


def test_top_level_is_the_fixed_list() -> None:
    assert_tidy(rules.top_level_complaints([path.relative_to(ROOT).parts[0] for path in tracked("")]))


def test_layers_import_only_what_lies_below_them() -> None:
    assert_tidy([c for module in modules(OURS) for c in rules.import_complaints(module)])


def test_pure_layers_do_not_depend_on_the_moment() -> None:
    assert_tidy([c for module in modules(OURS) for c in rules.impure_calls(module)])


def test_no_import_cycles() -> None:
    assert_tidy(rules.cycles(modules(OURS)))


def test_files_and_functions_fit_in_the_head() -> None:
    assert_tidy([c for path in PYTHON for c in rules.size_complaints(str(path.relative_to(ROOT)), path.read_text())])
    others = tracked(".go", ".c", ".sh")
    assert_tidy([c for path in others for c in rules.length_complaints(str(path.relative_to(ROOT)), path.read_text())])


def test_readmes_name_files_that_exist() -> None:
    complaints = []
    known = {path.name for path in PYTHON}
    for readme in ("broker/README.md", "raft/README.md", "tests/README.md"):
        for name in rules.files_named((ROOT / readme).read_text()):
            places = [ROOT, ROOT / "broker", ROOT / "tests"]
            if name not in known and not any((p / name).exists() or (p / f"{name}.py").exists() for p in places):
                complaints.append(f"{readme}: there is no {name}")
    assert_tidy(complaints)


def test_names_say_what_is_inside() -> None:
    assert_tidy([c for path in PYTHON for c in rules.name_complaints(str(path.relative_to(ROOT)))])


def test_every_module_opens_with_what_it_is() -> None:
    assert_tidy([c for module in modules(PYTHON) for c in rules.docstring_complaints(module)])


def test_nothing_unfinished_and_no_path_of_one_machine() -> None:
    texts = tracked(".py", ".md", ".toml", "Makefile", ".ci/run", ".go", ".sh", ".conf", ".yaml", ".txt", ".c")
    assert_tidy([c for path in texts for c in rules.text_complaints(str(path.relative_to(ROOT)), path.read_text())])


# The rules themselves: each bad snippet gets exactly the complaint it deserves, each good one none.

BAD_IMPORTS = [
    ("raft.node", "import trio", "package trio"),
    ("raft.node", "from storage.wal import Wal", "imports storage.wal.Wal"),
    ("raft.node", "import os", "uses os"),
    ("raft.node", "from time import monotonic", "uses time"),
    ("raft.node", "from random import choice", "random.Random as an argument"),
    ("raft.node", "from . import log", "relative import"),
    ("storage.wal", "from raft.types import Entry", "imports raft.types.Entry"),
    ("storage.wal", "import threading", "uses threading"),
    ("broker.wire.parser", "from broker.core.subjects import matches", "imports broker.core.subjects.matches"),
    ("broker.core.router", "from broker.jetstream import stream", "imports broker.jetstream.stream"),
    ("broker.jetstream.stream", "from broker.core.router import Router", "imports broker.core.router.Router"),
    ("broker.jetstream.stream", "import storage.stream_store", "imports storage.stream_store"),
    ("broker.jetstream.stream", "def f():\n    import time", "uses time"),
    ("broker.cluster.groups.engine", "from broker.net.reactor import Reactor", "imports broker.net.reactor.Reactor"),
    ("broker.node", "import trio", "package trio"),
    ("broker.monitor.varz", "from broker.node import BrokerNode", "imports broker.node.BrokerNode"),
    ("broker.net.reactor", "import argparse", "uses argparse"),
    ("broker.server", "import requests", "package requests"),
]
GOOD_IMPORTS = [
    ("raft.node", "import random\nrng: random.Random"),
    ("raft.node", "from raft.types import Entry\nfrom mypy_extensions import i64"),
    ("storage.disk", "import os, mmap, zlib"),
    ("broker.core.session", "from broker.wire.parser import Parser\nfrom broker.config import Options"),
    ("broker.jetstream.stream", "from broker.core.subjects import matches\nimport cbor2"),
    ("broker.cluster.groups.engine", "from raft.node import RaftNode\nfrom storage.wal import Wal"),
    ("broker.server", "import trio\nimport time\nfrom broker.node import BrokerNode"),
]


@pytest.mark.parametrize(("name", "text", "complaint"), BAD_IMPORTS)
def test_rule_refuses_import(name: str, text: str, complaint: str) -> None:
    found = rules.import_complaints(Module(name, text))
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(("name", "text"), GOOD_IMPORTS)
def test_rule_allows_import(name: str, text: str) -> None:
    assert rules.import_complaints(Module(name, text)) == []


@pytest.mark.parametrize("call", ["random.choice(x)", "datetime.now()", "hash(x)", "os.urandom(8)", "print(x)"])
def test_rule_refuses_impure_call(call: str) -> None:
    assert rules.impure_calls(Module("broker.jetstream.stream", f"def f(x):\n    return {call}\n"))
    assert rules.impure_calls(Module("broker.server", f"def f(x):\n    return {call}\n")) == []
    assert rules.impure_calls(Module("raft.types", "def __hash__(self):\n    return hash(self.index)\n")) == []


def test_rule_finds_a_cycle_but_not_one_of_types_only() -> None:
    a, b = "import raft.b\n", "from raft.c import thing\n"
    c = "import raft.a\n"
    assert rules.cycles([Module("raft.a", a), Module("raft.b", b), Module("raft.c", c)]) == [
        "raft.a -> raft.b -> raft.c -> raft.a"
    ]
    c = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import raft.a\n"
    assert rules.cycles([Module("raft.a", a), Module("raft.b", b), Module("raft.c", c)]) == []


def test_rule_counts_lines() -> None:
    assert rules.size_complaints("x.py", "x = 1\n" * 400) == []
    assert len(rules.size_complaints("x.py", "x = 1\n" * 401)) == 1
    assert rules.size_complaints("x.py", "def f():\n" + "    x = 1\n" * 69) == []
    assert len(rules.size_complaints("x.py", "def f():\n" + "    x = 1\n" * 70)) == 1


def test_rule_refuses_names_that_say_nothing() -> None:
    assert len(rules.name_complaints("broker/core/session_manager.py")) == 1
    assert len(rules.name_complaints("raft/utils.py")) == 1
    assert rules.name_complaints("storage/subject_index.py") == []


def test_rule_wants_a_docstring() -> None:
    assert rules.docstring_complaints(Module("raft.x", "x = 1\n"))
    assert rules.docstring_complaints(Module("raft", "", is_package=True)) == []


def test_rule_finds_unfinished_business() -> None:
    assert len(rules.text_complaints("x.py", "# TO" "DO later\nx = '/ho" "me/x'\n")) == 2
    assert rules.text_complaints("x.py", "store_dir = '/data/nats'\n") == []


def test_rule_guards_the_top_level() -> None:
    assert rules.top_level_complaints(["README.md", "setup.py"]) == ["setup.py: not an entry of the top level"]
