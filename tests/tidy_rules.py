"""The house rules that a program can check: the table of layers, sizes, names, and what must not stand in a file.

Not the tests (tests/test_tidy.py runs these rules over the tree and over known-bad snippets) and not style: ruff and
mypy have that (tests/test_types.py). Each rule takes text or a parsed file and returns complaints, one a line; no
complaint means tidy. To allow an import, change LAYERS, and say why in the same commit.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

LINES_MAX = 400
FUNCTION_LINES_MAX = 70
BANNED_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"})
OURS = ("broker", "raft", "storage")
TOP_LEVEL = frozenset(
    ["pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", ".ci", ".gitignore"]
    + ["broker", "raft", "storage", "deploy", "tests", "chaos"]
)
# Split here so that this file passes its own rule.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|home|root|Users)/\w")

CLOCKS = frozenset({"time", "datetime.datetime.now", "datetime.datetime.utcnow"})
NO_IO = frozenset({"socket", "ssl", "selectors", "select", "threading", "subprocess", "asyncio", "trio", "logging",
                   "structlog", "signal", "multiprocessing", "concurrent.futures", "secrets", "uuid"})  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """What the modules whose dotted name starts with one of `names` may import; the first layer that fits counts."""

    names: tuple[str, ...]
    ours: tuple[str, ...]  # prefixes of our own modules, besides the layer's own
    packages: tuple[str, ...] = ()  # third-party packages
    banned: frozenset[str] = field(default=frozenset())  # modules of the standard library
    random_module: bool = True  # False: only the class random.Random may be named


PURE = NO_IO | CLOCKS
LAYERS = (
    Layer(("raft",), (), ("mypy_extensions",), PURE | {"os", "mmap"}, random_module=False),
    Layer(("storage",), (), ("mypy_extensions",), PURE, random_module=False),
    Layer(("broker.wire",), (), ("mypy_extensions",), PURE | {"os"}, random_module=False),
    Layer(("broker.core",), ("broker.wire", "broker.config"), ("mypy_extensions", "bcrypt"), PURE | {"os"},
          random_module=False),
    Layer(("broker.jetstream",),
          ("broker.wire", "broker.core.subjects", "broker.core.subject_owners", "broker.core.transform"),
          ("mypy_extensions", "cbor2", "cramjam", "crc32c"), PURE | {"os"}, random_module=False),
    Layer(("broker.cluster",), ("broker.wire", "broker.core", "broker.jetstream", "broker.config", "raft", "storage"),
          ("mypy_extensions", "cbor2", "crc32c"), PURE | {"os"}, random_module=False),
    Layer(("broker.node", "broker.node_statistics"),
          ("broker.wire", "broker.core", "broker.jetstream", "broker.cluster", "broker.config",
           "broker.monitor.statistics", "broker.node", "broker.node_statistics", "raft", "storage"),
          ("mypy_extensions", "cbor2"), PURE | {"os"}, random_module=False),
    # /subsz says which subscriptions a subject would reach.
    Layer(("broker.monitor",), ("broker.config", "broker.core.subjects"), ("prometheus_client",), NO_IO | CLOCKS),
    # A file that cannot be read is told in Go's words.
    Layer(("broker.config", "broker.flags"), ("broker.config", "broker.flags", "broker.os_errors"), (), NO_IO | CLOCKS),
    Layer(("broker",), OURS, ("trio", "cbor2", "structlog", "prometheus_client", "h11", "bcrypt", "mypy_extensions")),
)  # fmt: skip
# Only the command line touches these: everything else gets what it needs passed in.
ONLY_IN: dict[str, tuple[str, ...]] = {
    "signal": ("broker.cli", "broker.signals", "broker.dev", "broker.dev_cluster", "broker.server"),
    "argparse": ("broker.cli",),
}


class Module:
    """One parsed file of ours: its dotted name, its text, its syntax tree."""

    def __init__(self, name: str, text: str, *, is_package: bool = False) -> None:
        self.name = name
        self.text = text
        self.tree = ast.parse(text)
        self.is_package = is_package

    @staticmethod
    def read(path: Path, root: Path) -> Module:
        """The module at `path`; tests and deploy files get dotted names too, though nobody imports them so."""
        parts = list(path.relative_to(root).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        return Module(".".join(parts[:-1] if is_package else parts), path.read_text("utf-8"), is_package=is_package)


def layer_of(name: str) -> Layer | None:
    """The layer a module belongs to, None outside our packages."""
    for layer in LAYERS:
        for prefix in layer.names:
            if name == prefix or name.startswith(prefix + "."):
                return layer
            if prefix in ("broker.config", "broker.flags") and name.startswith(prefix + "_"):
                return layer
    return None


def imports(module: Module, *, at_run_time: bool = False) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that is imported; `from a import b` gives a.b. At run time: without TYPE_CHECKING."""
    skipped: set[ast.AST] = set()
    if at_run_time:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                skipped.update(inner for child in node.body for inner in ast.walk(child))
    for node in ast.walk(module.tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "." * node.level + (node.module or "")
            else:
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def starts_with(name: str, prefixes: tuple[str, ...] | frozenset[str]) -> bool:
    """True when dotted `name` is one of the prefixes or lies below one."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def import_complaints(module: Module) -> list[str]:
    """Imports that the module's layer may not have."""
    layer = layer_of(module.name)
    if layer is None:
        return []
    return [
        f"{module.name}:{line}: {complaint}"
        for line, name in imports(module)
        if (complaint := import_complaint(layer, module.name, name))
    ]


def import_complaint(layer: Layer, importer: str, name: str) -> str:
    """Why `importer` may not import `name`; empty when it may."""
    top = name.lstrip(".").split(".")[0]
    if name.startswith("."):
        return "relative import: name the module in full"
    if top in OURS:
        own = any(starts_with(name, (prefix,)) for prefix in layer.names)
        allowed = own or starts_with(name, layer.ours) or name in (*OURS, *(o.rsplit(".", 1)[0] for o in layer.ours))
        named_like_config = "broker.config" in layer.ours and name.startswith("broker.config_")
        return "" if allowed or named_like_config else f"imports {name}, which this layer may not"
    if top in sys.stdlib_module_names:
        if starts_with(name, layer.banned):
            return f"uses {top}, banned in this layer"
        if not layer.random_module and top == "random" and name not in ("random", "random.Random"):
            return f"uses {name}: take a random.Random as an argument"
        if top in ONLY_IN and importer not in ONLY_IN[top]:
            return f"uses {top}, which only {', '.join(ONLY_IN[top])} may"
        return ""
    return "" if starts_with(name, layer.packages) else f"imports the package {top}, which this layer may not"


def impure_calls(module: Module) -> list[str]:
    """Names that make a pure layer depend on the moment: random.choice, datetime.now, hash(), os.urandom, id()."""
    layer = layer_of(module.name)
    if layer is None or layer.random_module:
        return []
    found = []
    in_hash_method = {
        inner
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef) and node.name == "__hash__"
        for inner in ast.walk(node)
    }
    for node in ast.walk(module.tree):
        if node in in_hash_method:
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            dotted = f"{node.value.id}.{node.attr}"
            if node.value.id == "random" and node.attr != "Random":
                found.append(f"{module.name}:{node.lineno}: {dotted}: take a random.Random as an argument")
            elif dotted in ("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "os.urandom"):
                found.append(f"{module.name}:{node.lineno}: {dotted} is not the same on every replica")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("hash", "print"):
            found.append(f"{module.name}:{node.lineno}: {node.func.id}() has no place in a pure layer")
    return found


def length_complaints(name: str, text: str) -> list[str]:
    """Files of any language that no longer fit in the head."""
    lines = text.count("\n") + (not text.endswith("\n"))
    return [f"{name}: {lines} lines, more than {LINES_MAX}"] if lines > LINES_MAX else []


def size_complaints(name: str, text: str) -> list[str]:
    """Files and functions that no longer fit in the head; decorators, docstrings, blanks and comments count."""
    found = length_complaints(name, text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            length = (node.end_lineno or first) - first + 1
            if length > FUNCTION_LINES_MAX:
                found.append(f"{name}:{first}: {node.name} has {length} lines, more than {FUNCTION_LINES_MAX}")
    return found


def name_complaints(path: str) -> list[str]:
    """Names that say nothing about what is inside."""
    words = [word for part in Path(path).with_suffix("").parts for word in part.split("_")]
    return [f"{path}: '{word}' says nothing about what is inside" for word in words if word in BANNED_NAMES]


def docstring_complaints(module: Module) -> list[str]:
    """Each module opens by saying what it is. An __init__.py that only marks a package may stay empty."""
    if ast.get_docstring(module.tree) or (module.is_package and not module.text.strip()):
        return []
    return [f"{module.name}: opens without a docstring that says what it is"]


def text_complaints(name: str, text: str) -> list[str]:
    """Unfinished business and paths of one machine."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if UNFINISHED.search(line):
            found.append(f"{name}:{number}: unfinished: {line.strip()[:60]}")
        if MACHINE_PATH.search(line) and not line.startswith("#!"):
            found.append(f"{name}:{number}: a path of one machine: {line.strip()[:60]}")
    return found


def files_named(text: str) -> list[str]:
    """What a README names as a file of ours: `room/module`, or `module.py`."""
    rooms = r"(?:core|wire|jetstream|cluster|net|monitor|raft|storage|tests|sim|clients|deploy)"
    return sorted(set(re.findall(rf"`({rooms}/[a-z_/]+|[a-z_]+\.py)\b", text)))


def top_level_complaints(names: list[str]) -> list[str]:
    """The top level is fixed: a newcomer sees the whole house at once."""
    return [f"{name}: not an entry of the top level" for name in sorted(set(names) - TOP_LEVEL)]


def cycles(modules: list[Module]) -> list[str]:
    """Import cycles at run time, each once, as `a -> b -> a`."""
    known = {module.name for module in modules}
    edges: dict[str, list[str]] = {}
    for module in modules:
        targets = {target for _, name in imports(module, at_run_time=True) if (target := resolve(name, known))}
        # A package that imports its own parts, and parts that name their package, is how Python packages work.
        edges[module.name] = sorted(t for t in targets if not module.name.startswith(t + ".") and t != module.name)
    found: list[str] = []
    state: dict[str, int] = {}
    trail: list[str] = []

    def visit(name: str) -> None:
        state[name] = 1
        trail.append(name)
        for target in edges.get(name, []):
            if state.get(target) == 1:
                found.append(" -> ".join([*trail[trail.index(target) :], target]))
            elif target not in state:
                visit(target)
        trail.pop()
        state[name] = 2

    for name in sorted(edges):
        if name not in state:
            visit(name)
    return found


def resolve(name: str, known: set[str]) -> str:
    """The module of ours that an imported dotted name leads to: itself, or the module that holds the imported thing."""
    if name in known:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in known else ""
