"""How many streams each peer holds, how many it was chosen to lead, what they reserve there: what placement weighs.

Is: counts that follow the assignments, so that a new stream does not cost a look at all others.
Invariants: they say what counting all assignments would say. Streams that begin and end are followed; whatever else
changes who holds a stream, or what it reserves, calls `forget`, and the next question counts anew. Dead letters are
where their host is and are not counted, but for what they reserve.
Read next: `placement.py`, `meta.py`.
"""

from typing import Final

from broker.cluster.meta.assignment import Assignment


class Shares:
    """Counts by peer."""

    def __init__(self, streams: dict[str, Assignment]) -> None:
        self._streams: Final = streams
        self._held: dict[str, int] = {}
        self._led: dict[str, int] = {}
        self._replicated: dict[str, int] = {}
        self._reserved: dict[str, dict[str, int]] = {}
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

    def replicated(self) -> dict[str, int]:
        """How many of the streams that each peer holds have more than one replica; likewise."""
        self._learn()
        return self._replicated

    def reserved(self, storage: str) -> dict[str, int]:
        """How many bytes the streams of that storage may take on each peer; likewise."""
        self._learn()
        return self._reserved.get(storage, {})

    def _learn(self) -> None:
        if not self._known:
            self._known = True
            self._held = {}
            self._led = {}
            self._replicated = {}
            self._reserved = {}
            for assignment in self._streams.values():
                self._count(assignment, 1)

    def _count(self, assignment: Assignment, by: int) -> None:
        config = assignment.config
        if config.max_bytes > 0:
            reserved = self._reserved.setdefault(config.storage, {})
            for peer in assignment.peers:
                _add(reserved, peer, by * config.max_bytes)
        if assignment.host:
            return
        for peer in assignment.peers:
            _add(self._held, peer, by)
            if config.num_replicas > 1:
                _add(self._replicated, peer, by)
        _add(self._led, assignment.peers[0], by)


def _add(counts: dict[str, int], peer: str, by: int) -> None:
    count = counts.get(peer, 0) + by
    if count:
        counts[peer] = count
    else:
        del counts[peer]
