"""Replicas of one stream against each other: the same messages under the same sequences."""

from __future__ import annotations

from itertools import combinations

from clients.history import Stored

NODES = 3


def check_replicas(by_node: dict[str, dict[int, Stored]], nodes: int = NODES) -> list[str]:
    """Every difference, one line each; a replica that could not be read is one too."""
    cases = [] if len(by_node) == nodes else [f"only {', '.join(by_node) or 'none'} of {nodes} could be read"]
    for (one, ours), (other, theirs) in combinations(by_node.items(), 2):
        for sequence in sorted(ours.keys() | theirs.keys()):
            left, right = ours.get(sequence), theirs.get(sequence)
            if left is None or right is None:
                cases.append(f"{sequence}: {one if left is None else other} lacks it")
            elif left.payload != right.payload:
                cases.append(f"{sequence}: {one} and {other} hold different messages")
    return cases
