"""How many streams each peer holds, and how many it was chosen to lead: what placement weighs.

Is: two counts that follow the assignments, so that a new stream does not cost a look at all others.
Invariants: they say what counting all assignments would say. Streams that begin and end are followed; whatever else
changes who holds a stream calls `forget`, and the next question counts anew. Dead letters are where their host is and
are not counted.
Read next: `placement.py`, `meta.py`.
"""

from typing import Final

from broker.cluster.assignment import Assignment


class Shares:
    """Counts by peer."""

    def __init__(self, streams: dict[str, Assignment]) -> None:
        self._streams: Final = streams
        self._held: dict[str, int] = {}
        self._led: dict[str, int] = {}
        self._known: bool = False

    def forget(self) -> None:
        """Peers changed."""
        self._known = False

    def began(self, assignment: Assignment) -> None:
        """There is another stream."""
        if self._known:
            self._count(assignment, 1)

    def ended(self, assignment: Assignment) -> None:
        """A stream is gone."""
        if self._known:
            self._count(assignment, -1)

    def held(self) -> dict[str, int]:
        """How many streams each peer holds; those that hold none may be missing. Not to be changed."""
        self._learn()
        return self._held

    def led(self) -> dict[str, int]:
        """How many streams each peer was chosen to lead; likewise."""
        self._learn()
        return self._led

    def _learn(self) -> None:
        if not self._known:
            self._known = True
            self._held = {}
            self._led = {}
            for assignment in self._streams.values():
                self._count(assignment, 1)

    def _count(self, assignment: Assignment, by: int) -> None:
        if assignment.host:
            return
        for peer in assignment.peers:
            _add(self._held, peer, by)
        _add(self._led, assignment.peers[0], by)


def _add(counts: dict[str, int], peer: str, by: int) -> None:
    count = counts.get(peer, 0) + by
    if count:
        counts[peer] = count
    else:
        del counts[peer]
