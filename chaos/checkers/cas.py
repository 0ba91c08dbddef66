"""Compare-and-set as a linearizable register a key, in time linear in the history: revisions are the witness.

A value names the revision that it replaced, so the chain read back proves every write that took effect: each must have
replaced exactly the one before it. What is left is real time: nothing may be seen older than what had been answered
before the question, a write that was refused must have had a reason, and acknowledged writes are in the chain.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from chaos.history import FAILED, OK, Operation

WRONG_LAST = "wrong last sequence"


@dataclass
class CasOperation:
    """A read of a key (`operation.sequence` is the revision seen) or a set, under the condition `expected`."""

    key: str
    kind: str
    operation: Operation
    value: str = ""
    expected: int = 0


def check_cas(done: list[CasOperation], chain: list[tuple[int, str]]) -> dict[str, list[str]]:
    """Broken promises by kind. `chain`: (revision, value) of all keys, oldest first."""
    key_of = {each.value: each.key for each in done if each.kind == "set"}
    kept: dict[str, dict[int, str]] = defaultdict(dict)
    found: dict[str, list[str]] = {"never sent": [], "broken chain": []}
    for revision, value in chain:
        key = key_of.get(value)
        if key is None:
            found["never sent"].append(f"{value} at {revision}")
            continue
        before = max(kept[key], default=0)
        if value != f"{value.partition(' over ')[0]} over {before}":
            found["broken chain"].append(f"{key} {revision}: {value}, but the one before was {before}")
        kept[key][revision] = value
    found["acknowledged and lost"] = lost(done, kept)
    found["refused and stored"] = [
        each.value
        for each in done
        if each.kind == "set" and each.operation.outcome == FAILED and each.value in kept[each.key].values()
    ]
    found["stale or wrong read"] = wrong_reads(done, kept)
    found["refused without reason"] = refused_without_reason(done)
    return found


def lost(done: list[CasOperation], kept: dict[str, dict[int, str]]) -> list[str]:
    """Acknowledged writes that are not in the chain under the revision that was told."""
    return [
        f"{each.key} {each.operation.sequence}: {each.value}"
        for each in done
        if each.kind == "set" and each.operation.outcome == OK
        and kept[each.key].get(each.operation.sequence) != each.value
    ]  # fmt: skip


def wrong_reads(done: list[CasOperation], kept: dict[str, dict[int, str]]) -> list[str]:
    """Reads of what is not in the chain, and of less than had been answered before they began."""
    cases = []
    for key in sorted({each.key for each in done}):
        mine = [each for each in done if each.key == key and each.operation.outcome == OK]
        ended = sorted(mine, key=lambda each: each.operation.end_s)
        newest, at = 0, 0
        for each in sorted(mine, key=lambda each: each.operation.start_s):
            while at < len(ended) and ended[at].operation.end_s < each.operation.start_s:
                newest = max(newest, ended[at].operation.sequence)
                at += 1
            seen = each.operation.sequence
            if seen < newest:
                cases.append(f"{key}: {each.kind} by {each.operation.worker} saw {seen} after {newest} had been told")
            if each.kind == "read" and seen and kept[key].get(seen) != each.value:
                cases.append(f"{key}: read {each.value!r} at {seen}, which holds {kept[key].get(seen)!r}")
    return cases


def refused_without_reason(done: list[CasOperation]) -> list[str]:
    """Sets refused for a wrong revision though that revision was the last one before and after."""
    cases = []
    by_key: dict[str, list[CasOperation]] = defaultdict(list)
    for each in done:
        if each.operation.outcome == OK and each.kind == "read":
            by_key[each.key].append(each)
    for each in done:
        operation = each.operation
        if each.kind != "set" or operation.outcome != FAILED or WRONG_LAST not in operation.note:
            continue
        after = [read for read in by_key[each.key] if read.operation.start_s > operation.end_s]
        if any(read.operation.sequence == each.expected for read in after):
            cases.append(f"{each.key}: {each.value} was refused, and {each.expected} was still the last afterwards")
    return cases
