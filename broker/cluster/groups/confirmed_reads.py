"""Questions to a stream's leader that are answered once a majority has said that it still leads.

A leader that was cut off does not know at once that another one was elected; what it holds may be older than what was
acknowledged elsewhere. So a question waits for one round of heartbeats (`raft.read_index`: questions of a turn share
it) and for everything that was committed when it came. A stream with one replica asks nobody.

Invariants: a question is answered once, or told once that it was not; how many wait is bounded by Raft's configuration.
Not here: what is asked (`stream_api`), how Raft knows (`raft.read_index`).
"""

from typing import Final

from mypy_extensions import mypyc_attr

from broker.cluster.contained import bug_text
from raft.errors import NotLeader, ProposalDropped
from raft.node import RaftNode
from raft.ready import ReadState
from storage.errors import StorageError


@mypyc_attr(allow_interpreted_subclasses=True)
class ReadWaiter:
    """Somebody who waits to be answered."""

    def confirmed(self) -> None:
        """This node led when it was asked, and has applied all that was committed then."""

    def refused(self) -> None:
        """It does not lead any more, or too many wait."""


class ConfirmedReads:
    """Who waits at one group."""

    def __init__(self, raft: RaftNode) -> None:
        self._raft: Final = raft
        self._waiting: dict[int, ReadWaiter] = {}
        self._confirmed: list[ReadState] = []
        self._last_context: int = 0

    def ask(self, waiter: ReadWaiter) -> None:
        """Answer it when that is safe; at once where nobody else could lead."""
        raft = self._raft
        if raft.membership.voters == (raft.peer_id,):
            waiter.confirmed()
            return
        self._last_context += 1
        try:
            raft.read_index(self._last_context)
        except (NotLeader, ProposalDropped):
            waiter.refused()
            return
        self._waiting[self._last_context] = waiter

    def heard(self, states: list[ReadState]) -> None:
        """What Raft found out."""
        self._confirmed.extend(states)

    def answer(self) -> list[str]:
        """Answer those for whom enough was applied; returns bugs of ours that cost only a question (`contained`)."""
        bugs: list[str] = []
        if not self._confirmed:
            return bugs
        states, self._confirmed = self._confirmed, []
        for state in states:
            if state.index > self._raft.applied:
                self._confirmed.append(state)
                continue
            waiter = self._waiting.pop(state.context, None)
            if waiter is None:
                continue  # told already that this node leads no more
            if not state.index:
                waiter.refused()
                continue
            try:
                waiter.confirmed()
            except StorageError:  # the group cannot go on here
                waiter.refused()
                raise
            except Exception as bug:
                bugs.append(bug_text(bug))
                waiter.refused()
        return bugs

    def drop(self) -> None:
        """This node leads no more."""
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            waiter.refused()
