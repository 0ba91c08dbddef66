"""Who has room on its disk: told between nodes, so that a leader refuses what too few of them could store.

A node without room can neither store an entry nor give a vote, but it can go on leading, and reading. So a leader whose
own disk is full stays for a moment, to hear whether others have room: if so many do that they are a majority without it
one of them should lead; if not, nobody could be elected, and it goes on reading for clients and refuses publishes. So
does a leader with room of its own whose group cannot commit.

Not here: how the log meets a full disk (`log_batches`), what a refused publisher is told (`stream_group`).
"""

from typing import Final

from broker.cluster.groups.engine import Engine
from broker.cluster.groups.group import RaftGroup
from broker.cluster.links.frames import FRAME_ROOM
from broker.cluster.links.link import PeerLink
from broker.cluster.links.transport import LinkTable
from raft.node import LEADER
from raft.quorum import majority

PATIENCE_NS: Final = 300_000_000


class Room:
    """See the module's text."""

    def __init__(self, engine: Engine, links: LinkTable) -> None:
        self._engine: Final = engine
        self._links: Final = links
        self._full: dict[str, bool] = {}  # peers without room
        self._told: bool = False
        self._resign_at_ns: int = 0
        self._limits: bool = False  # some group may be refusing publishes for want of room

    def heard(self, peer: str, has_room: bool) -> None:
        """A peer says whether it has room."""
        if has_room:
            self._full.pop(peer, None)
        else:
            self._full[peer] = True

    def arrived(self, peer: str) -> None:
        """A new link: the peer says so if it has no room, and so do we."""
        self._full.pop(peer, None)
        link = self._links.links.get(peer)
        if link is not None and self._told:
            self._tell(link, False)

    def lost(self, peer: str) -> None:
        """Nobody knows any more."""
        self._full.pop(peer, None)

    def tick(self, now_ns: int) -> None:
        """50 ms passed."""
        full = self._engine.batches.disk_full
        if full != self._told:
            self._told = full
            self._resign_at_ns = now_ns + PATIENCE_NS
            for link in self._links.links.values():
                self._tell(link, not full)
        if full or self._full or self._limits:
            self._limits = False
            for group in self._engine.groups.values():
                self._look_at(group, full, full and now_ns >= self._resign_at_ns)
                self._limits = self._limits or group.disk_full

    def _tell(self, link: PeerLink, has_room: bool) -> None:
        link.write_frame(FRAME_ROOM, [b"\1" if has_room else b"\0"])
        link.dirty = True

    def _look_at(self, group: RaftGroup, full: bool, resigns: bool) -> None:
        voters = group.membership().voters
        others = [peer for peer in voters if peer != self._links.peer and peer not in self._full]
        room = len(others) + (not full and self._links.peer in voters)
        group.disk_full = full or (len(voters) > 0 and room < majority(len(voters)))
        if resigns and group.raft.role == LEADER and len(others) >= majority(len(voters)):
            group.raft.resign()
            group.touch()
