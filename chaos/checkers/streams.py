"""Streams that were made and deleted, against what was answered later and what the nodes hold in the end.

One worker a name, one operation after the other: after an answer the name exists or not; after silence it is unsure.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaos.history import OK, UNKNOWN, Operation

EXISTS, ABSENT, UNSURE = "exists", "absent", "unsure"


@dataclass
class StreamOperation:
    """`not_found`: it was refused because there is no such stream; `in_use`: because there is one of another shape."""

    name: str
    kind: str
    operation: Operation
    not_found: bool = False
    in_use: bool = False


def check_streams(done: list[StreamOperation], held: dict[str, list[str]]) -> dict[str, list[str]]:
    """Broken promises by kind. `held`: the streams that each node has in the end."""
    state: dict[str, str] = {}
    vanished: list[str] = []
    came_back: list[str] = []
    for each in done:
        before = state.get(each.name, ABSENT)
        when = f"{each.name}: {each.kind} at {each.operation.start_s:.2f} s"
        if each.not_found:
            if before == EXISTS:
                vanished.append(when)
            state[each.name] = ABSENT
        elif each.in_use or each.operation.outcome == OK:
            if before == ABSENT and (each.in_use or each.kind != "create"):
                came_back.append(when)
            state[each.name] = ABSENT if each.kind == "delete" else EXISTS
        elif each.operation.outcome == UNKNOWN and each.kind in ("create", "delete"):
            state[each.name] = UNSURE
    found = {"vanished": vanished, "came back": came_back, "nodes hold other streams": []}
    for node, names in held.items():
        for name, is_now in sorted(state.items()):
            if (is_now == EXISTS and name not in names) or (is_now == ABSENT and name in names):
                found["nodes hold other streams"].append(
                    f"{node}: {name} {is_now}, and the node has {', '.join(names)}"
                )
    sets = {tuple(names) for names in held.values()}
    if len(sets) > 1:
        found["nodes hold other streams"].append(f"nodes differ: {held}")
    return found
