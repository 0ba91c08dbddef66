"""What the leader knows about one peer, and how fast it may talk to it.

Not here: the messages themselves (`leader.py`).

States (etcd's): PROBE: one message at a time until an answer shows where the logs meet. REPLICATE: messages follow each
other without waiting, at most a window of them. SNAPSHOT: the peer is being given a snapshot; no entries until then.

Invariants: match < next_index; match is durable at the peer and never moves back while this leader leads
(but where the peer says that it lost it, `doubt.py`).
"""

from __future__ import annotations

from typing import Final

from raft.types import PeerId

PROBE: Final = 0
REPLICATE: Final = 1
SNAPSHOT: Final = 2

STATE_NAMES: Final[list[str]] = ["probe", "replicate", "snapshot"]


class InflightWindow:
    """The last index of every append that is on its way, oldest first."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.marks: list[int] = []
        self.head = 0

    def count(self) -> int:
        return len(self.marks) - self.head

    def is_full(self) -> bool:
        return len(self.marks) - self.head >= self.size

    def add(self, index: int) -> None:
        self.marks.append(index)

    def free_to(self, index: int) -> None:
        """Answers are cumulative: one frees every message up to its index."""
        marks = self.marks
        head = self.head
        while head < len(marks) and marks[head] <= index:
            head += 1
        self._set_head(head)

    def free_first(self) -> None:
        """Let one more message go although nothing was answered: the answers may be lost."""
        if self.head < len(self.marks):
            self._set_head(self.head + 1)

    def clear(self) -> None:
        self.marks = []
        self.head = 0

    def _set_head(self, head: int) -> None:
        if head == len(self.marks):
            self.marks.clear()
            head = 0
        elif head >= self.size:
            del self.marks[:head]
            head = 0
        self.head = head


class Progress:
    """One peer. `paused`: in PROBE, a probe is on its way. `active`: it answered since the last quorum check.
    `gone`: the caller said that there is no way to it, and nothing came from it since."""

    def __init__(self, peer: PeerId, next_index: int, inflight_max: int, is_voter: bool) -> None:
        self.peer = peer
        self.is_voter = is_voter
        self.match = 0
        self.next_index = next_index
        self.state: int = PROBE
        self.paused = False
        # True at first: a new leader, or a new peer, is given one whole round to prove itself.
        self.active = True
        self.gone = False
        self.pending_snapshot = 0
        self.snapshot_ticks = 0
        self.commit_sent = 0
        self.read_round = 0
        self.window = InflightWindow(inflight_max)

    def become_probe(self) -> None:
        if self.state == SNAPSHOT and self.pending_snapshot > self.match:
            self.next_index = self.pending_snapshot + 1
        else:
            self.next_index = self.match + 1
        self._enter(PROBE)

    def become_replicate(self) -> None:
        self._enter(REPLICATE)
        self.next_index = self.match + 1

    def become_snapshot(self, index: int) -> None:
        self._enter(SNAPSHOT)
        self.pending_snapshot = index

    def _enter(self, state: int) -> None:
        self.state = state
        self.paused = False
        self.pending_snapshot = 0
        self.snapshot_ticks = 0
        self.window.clear()

    def acknowledge(self, index: int) -> bool:
        """The peer has everything up to `index` durable. True when that is news."""
        if self.next_index <= index:
            self.next_index = index + 1
        if index <= self.match:
            return False
        self.match = index
        self.paused = False
        return True

    def refuse(self, index: int, hint: int) -> bool:
        """The peer's log does not contain the entry at `index`, try after `hint`. False: an old refusal, ignore it."""
        if self.state == REPLICATE:
            if index <= self.match:
                return False
            self.become_probe()
            return True
        if self.state == SNAPSHOT or self.next_index - 1 != index:
            return False
        following = hint + 1 if hint + 1 < index else index
        self.next_index = following if following > self.match else self.match + 1
        self.paused = False
        return True

    def __repr__(self) -> str:
        return f"{self.peer}: {STATE_NAMES[self.state]} match={self.match} next={self.next_index}"
