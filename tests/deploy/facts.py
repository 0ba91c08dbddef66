"""What a rendered chart says, as lines to compare and review: `Service/my-nats spec.ports[nats].port = 4222`.

Lists whose entries have names are addressed by name, so that an entry more moves no other. Some things may differ
between the NATS chart and ours and are left out here, each for a reason given beside it; everything else has to be
equal, and what ours has in addition stands in ADDITIONS of test_chart_facts.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

Object = dict[str, Any]

LEFT_OUT = (
    re.compile(r"labels\[(helm\.sh/chart|app\.kubernetes\.io/version)\]"),  # which chart made it
    re.compile(r"annotations\[checksum/config\]"),  # a digest of a text that differs in white space
    re.compile(r"containers\[nats\]\.image"),  # the point of another chart
    re.compile(r"^(Deployment|Pod)/\S+ \S*containers\[nats-box\]\.(command|args)"),  # scripts, written anew
)


def objects(rendered: str) -> list[Object]:
    """The objects of a rendering, in order."""
    return [document for document in yaml.safe_load_all(rendered) if document]


def facts(rendered: str) -> list[str]:
    """Sorted lines. Empty maps, empty lists and nulls are no facts: Kubernetes sees no difference either."""
    lines: set[str] = set()
    for document in objects(rendered):
        title = f"{document['kind']}/{document['metadata']['name']}"
        lines.add(f"{title} apiVersion = {document['apiVersion']}")
        for path, value in _walk("", {key: document[key] for key in document if key not in ("apiVersion", "kind")}):
            line = f"{title} {path} = {value}"
            if not any(rule.search(f"{title} {path}") for rule in LEFT_OUT):
                lines.add(line)
    return sorted(lines)


def _name(item: Any) -> str:
    """What distinguishes an entry of a list in Kubernetes' own merging; "" where nothing does."""
    keys = ("name", "topologyKey") if isinstance(item, dict) else ()
    return next((str(item[key]) for key in keys if key in item), "")


def _walk(path: str, node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, child in node.items():
            step = f"[{key}]" if re.search(r"[./]", key) else f".{key}"
            yield from _walk(f"{path}{step}".removeprefix("."), child)
    elif isinstance(node, list) and all(_name(item) for item in node):
        for item in node:
            rest = {key: item[key] for key in item if item[key] != _name(item)}
            yield from _walk(f"{path}[{_name(item)}]", rest or "present")
    elif isinstance(node, list):
        for number, item in enumerate(node):
            yield from _walk(f"{path}[{number}]", item)
    elif isinstance(node, str) and "\n" in node:
        for number, line in enumerate(node.strip().splitlines()):
            # A comma before a closing brace is optional in nats.conf: a chart may leave it after an include.
            yield f"{path} line {number:03}", line.strip().rstrip(",")
    elif node is not None:
        yield path, json.dumps(node)
