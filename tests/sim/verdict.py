"""The verdict at the end of a story: every checker's word on every stream (`checkers`).

Of a stream that lost the end of its log with the power of a majority, which it said, only this is asked: that its
replicas are equal. Read next: `account`, `invariants` (what is checked on the way).
"""

from collections.abc import Callable
from typing import Any

from sim.account import Account
from sim.checkers import (
    atomic_batches,
    conditions,
    dead_letters,
    deliveries,
    fast_batches,
    ordered,
    origins,
    publishes,
    reads,
    redeliveries,
    replicas,
    schedules,
    sums,
)
from sim.complaint import Complaint
from sim.history import History
from sim.plan import Plan
from sim.replay import Entries, machine_digest

CHECKERS: dict[str, Callable[[Account], list[str]]] = {
    "replicas": replicas.judge,
    "publishes": publishes.judge,
    "deliveries": deliveries.judge,
    "conditions": conditions.judge,
    "redeliveries": redeliveries.judge,
    "dead letters": dead_letters.judge,
    "schedules": schedules.judge,
    "origins": origins.judge,
    "sums": sums.judge,
    "atomic batches": atomic_batches.judge,
    "fast batches": fast_batches.judge,
    "reads": reads.judge,
    "ordered": ordered.judge,
}

Groups = Callable[[str], dict[str, Any]]


def judge(plan: Plan, history: History, entries: Entries, groups: Groups, cut_short: set[int]) -> list[Complaint]:
    """What does not hold; `groups`: the replicas of a stream, by node."""
    found = list(history.conflicts)
    accounts: dict[str, Account] = {}
    for stream in plan.streams:
        replicas = groups(stream.name)
        if cut_short.isdisjoint(group.id for group in replicas.values()):
            account = accounts[stream.name] = Account(stream, history, entries, replicas)
            account.others = accounts
            account.has_wrong_clocks = "clock" in plan.faults
        elif len({machine_digest(group.machine) for group in replicas.values()}) > 1:
            found.append(Complaint("replicas", f"{stream.name}: replicas differ"))
        else:
            found = [conflict for conflict in found if not conflict.startswith(stream.name + ":")]
    for account in accounts.values():
        for name, check in CHECKERS.items():
            found += [Complaint(name, fault) for fault in check(account)]
    return found
