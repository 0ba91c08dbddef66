"""The nouns of Raft: entries, hard state, snapshots, memberships, messages, and the log behind the log.

Not here: behaviour. Message kinds and what each kind's fields mean are in `messages.py`.

Invariants: everything here is treated as immutable once it was handed over, so that one `Entry` (and its bytes) is
shared by the log, the messages, the write-ahead log and the machine without a copy.
"""

from __future__ import annotations

from typing import Final, Protocol

PeerId = str
"""8 ASCII characters, the hash of a server name. Peers are always visited in sorted order."""

NO_PEER: Final = ""

ENTRY_NORMAL: Final = 0
ENTRY_LAZY: Final = 1
"""A normal entry whose durability nobody waits for: it may ride with the next sync."""
ENTRY_CONFIG: Final = 2
"""`data` is the complete new membership (`codec.encode_membership`), in force as soon as it is appended."""
ENTRY_NOOP: Final = 3
"""The first entry of every leader's term; empty."""

ENTRY_KIND_MAX: Final = 3

ENTRY_OVERHEAD_BYTES: Final = 64
"""What one entry costs in memory beside its data; counted so that many empty entries are bounded too."""


class Entry:
    """One slot of the replicated log. (index, term) names it: Raft never puts two contents under one name."""

    def __init__(self, index: int, term: int, kind: int, data: bytes) -> None:
        self.index = index
        self.term = term
        self.kind = kind
        self.data = data

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Entry):
            return NotImplemented
        return (
            self.index == other.index
            and self.term == other.term
            and self.kind == other.kind
            and self.data == other.data
        )

    def __hash__(self) -> int:
        return hash((self.index, self.term))

    def __repr__(self) -> str:
        return f"Entry(index={self.index}, term={self.term}, kind={self.kind}, data={self.data!r})"


class HardState:
    """What must be durable before anyone is answered: the term, and whom this peer voted for in it ("" = nobody)."""

    def __init__(self, term: int, vote: PeerId) -> None:
        self.term = term
        self.vote = vote

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HardState):
            return NotImplemented
        return self.term == other.term and self.vote == other.vote

    def __hash__(self) -> int:
        return hash((self.term, self.vote))

    def __repr__(self) -> str:
        return f"HardState(term={self.term}, vote={self.vote!r})"


class Membership:
    """Who votes and who only listens. Both tuples are sorted and share no peer."""

    def __init__(self, voters: tuple[PeerId, ...], learners: tuple[PeerId, ...] = ()) -> None:
        self.voters = tuple(sorted(voters))
        self.learners = tuple(sorted(learners))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Membership):
            return NotImplemented
        return self.voters == other.voters and self.learners == other.learners

    def __hash__(self) -> int:
        return hash((self.voters, self.learners))

    def __repr__(self) -> str:
        return f"Membership(voters={self.voters!r}, learners={self.learners!r})"

    def is_empty(self) -> bool:
        return not self.voters and not self.learners

    def peers(self) -> list[PeerId]:
        """Voters and learners, sorted."""
        return sorted(self.voters + self.learners)

    def contains(self, peer: PeerId) -> bool:
        return peer in self.voters or peer in self.learners


class Snapshot:
    """The state after `index` in place of the log up to it. `data` is the machine's manifest, opaque here."""

    def __init__(self, index: int, term: int, membership: Membership, data: bytes) -> None:
        self.index = index
        self.term = term
        self.membership = membership
        self.data = data

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Snapshot):
            return NotImplemented
        return (
            self.index == other.index
            and self.term == other.term
            and self.membership == other.membership
            and self.data == other.data
        )

    def __hash__(self) -> int:
        return hash((self.index, self.term))

    def __repr__(self) -> str:
        return f"Snapshot(index={self.index}, term={self.term}, membership={self.membership!r}, data={self.data!r})"


NO_ENTRIES: Final[list[Entry]] = []
"""Shared by all messages without entries. Never changed by anyone."""


class Message:
    """What peers of one group say to each other. Which fields a kind uses is stated in `messages.py`; the rest is 0."""

    def __init__(
        self,
        kind: int,
        group: int,
        sender: PeerId,
        receiver: PeerId,
        term: int,
        index: int = 0,
        log_term: int = 0,
        commit: int = 0,
        entries: list[Entry] = NO_ENTRIES,
        reject: bool = False,
        hint: int = 0,
        snapshot: Snapshot | None = None,
        context: int = 0,
    ) -> None:
        self.kind = kind
        self.group = group
        self.sender = sender
        self.receiver = receiver
        self.term = term
        self.index = index
        self.log_term = log_term
        self.commit = commit
        self.entries = entries
        self.reject = reject
        self.hint = hint
        self.snapshot = snapshot
        self.context = context

    def data_bytes(self) -> int:
        """What its entries and its snapshot weigh: about its size where that matters."""
        size = len(self.snapshot.data) if self.snapshot is not None else 0
        for entry in self.entries:
            size += len(entry.data)
        return size

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return (
            self.kind == other.kind
            and self.group == other.group
            and self.sender == other.sender
            and self.receiver == other.receiver
            and self.term == other.term
            and self.index == other.index
            and self.log_term == other.log_term
            and self.commit == other.commit
            and self.entries == other.entries
            and self.reject == other.reject
            and self.hint == other.hint
            and self.snapshot == other.snapshot
            and self.context == other.context
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.group, self.sender, self.receiver, self.term, self.index))


class LogReader(Protocol):
    """The part of the log that is no longer in memory. Raft asks only for entries that it was told are persisted."""

    def first_index(self) -> int:
        """Index of the first entry still readable: snapshot index + 1 (1 when there never was a snapshot)."""

    def entries(self, low: int, high: int, bytes_max: int) -> list[Entry]:
        """Entries [low, high), cut after about `bytes_max` bytes of data, but never empty when low < high."""

    def term(self, index: int) -> int:
        """Term of the entry at `index`; also answered for first_index() - 1 (the snapshot's term)."""

    def snapshot(self) -> Snapshot | None:
        """The newest complete snapshot, for a peer that needs entries before first_index()."""


class RandomSource(Protocol):
    """The one thing Raft needs of `random.Random`: election timeouts that differ between peers."""

    def randrange(self, start: int, stop: int, /) -> int: ...
