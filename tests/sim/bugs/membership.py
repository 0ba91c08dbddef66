"""Planted into the changes of who holds a stream: forgetting too early, and coming back as what one was before."""

from collections.abc import Iterator
from typing import Any

from broker.cluster.meta.assignment import Assignment
from broker.cluster.meta.meta import MetaChange, MetaMachine
from broker.cluster.streams.stream_group import StreamGroup
from sim.bugs.planting import CRASHES, PARTITIONS, planted, story
from sim.plan import SECOND_NS, Plan, StreamPlan
from sim.replacing import replaced


def rescaled() -> Plan:
    """The number of replicas changes while nodes die and part."""
    return story("rescaled", [StreamPlan("S", scalers=1)], (*CRASHES, *PARTITIONS), fault_ns=20 * SECOND_NS)


@planted(rescaled, "leaders", "recovery")
def who_leaves_forgets_at_once() -> Iterator[None]:
    """A replica is gone as soon as others are assigned, not when the group's membership has followed."""
    assign = Assignment.assign

    def hasty(assignment: Assignment, peers: list[str], index: int) -> None:
        assign(assignment, peers, index)
        assignment.left |= dict.fromkeys(assignment.leaving, index)
        assignment.leaving = []

    with replaced(Assignment, "assign", hasty):
        yield


@planted(rescaled, "leaders", "log matching")
def who_comes_back_founds_the_group_again() -> Iterator[None]:
    """A replica that had left begins as the voter that it was when the stream was created."""
    settled = MetaMachine._settled

    def forgetful(machine: MetaMachine, index: int, entry: dict[str, Any], change: MetaChange) -> None:
        founders = machine.by_group[entry["group"]].founders if entry["group"] in machine.by_group else []
        settled(machine, index, entry, change)
        for assignment in change.moved:
            assignment.founders = founders

    with replaced(MetaMachine, "_settled", forgetful):
        yield


@planted(rescaled, "liveness", "recovery")
def old_news_make_a_replica_leave() -> Iterator[None]:
    """After a restart a replica that was taken in again believes the entry that had told it to go before."""

    class Unborn:
        def __get__(self, group: Any, owner: Any) -> int:
            return 0

        def __set__(self, group: Any, value: int) -> None:
            pass

    StreamGroup.since = Unborn()  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        del StreamGroup.since
