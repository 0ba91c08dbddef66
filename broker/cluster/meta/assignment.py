"""One stream as the meta group knows it: its configuration, its group, and who holds it.

What a node must know of it to start without the meta group travels in the group's snapshots (`encode`). Not here: what
changes an assignment (`meta`), what a node does about it (`assignments`).
"""

import json
from typing import Any, Final

import cbor2

from broker.jetstream.config.stream_config import StreamConfig


class Assignment:
    """One stream: its configuration, its group, and the peers that hold it. `peers[0]` campaigns first.

    `founders` began the group together; a peer that was assigned later waits to be taken in. `is_refounded`: the only
    replica's store was lost, and the stream began again, empty. `leaving` held the stream before `peers` were assigned
    and go on until the group's membership has followed; then they are in `left`, with the index of the entry that tells
    them to forget what they hold of the group since before. `moved_index`: of the last entry that changed `peers`.
    `before`: peers and configuration before a change of peers that is under way, `moving`: of the stream's place.
    `excluded`: peers that an operator took it off. `voices`: peers that forgot, how much of the group's log they must
    know before they may vote again, and the term in which they begin at the least.
    """

    def __init__(
        self,
        config: StreamConfig,
        group: int,
        peers: list[str],
        created_ns: int,
        revision: int,
        founders: list[str] | None = None,
        is_refounded: bool = False,
    ) -> None:
        self.config = config
        self.founding_config: StreamConfig = config  # every replica begins with it, whenever it begins
        self.group: Final = group
        self.peers = peers
        self.founders = peers if founders is None else founders
        self.is_refounded = is_refounded
        self.leaving: list[str] = []
        self.left: dict[str, int] = {}
        self.before: list[Any] | None = None
        self.moving: bool = False
        self.excluded: list[str] = []
        self.answer_kind: str = ""  # the type of the answer that `reply` waits for, where it is no plain one
        self.moved_index: int = revision
        self.voices: dict[str, list[int]] = {}
        self.created_ns: Final = created_ns
        self.revision = revision
        self.created_revision: int = revision
        self.restoring: bool = False  # a backup is on its way into it: nobody sees it yet
        self.host: int = 0  # of a dead-letter stream: the group it lives in; 0 = a group of its own
        self.reply: bytes = b""  # who waits for the last change; answered by the stream's leader
        self.origin: str = ""
        self.teller: str = ""  # of a deletion: the peer that answers it

    def assign(self, peers: list[str], index: int) -> None:
        """Other peers are to hold the stream, by the meta group's entry `index`."""
        before = self.peers + self.leaving
        self.peers = peers
        self.leaving = [peer for peer in before if peer not in peers]
        self.left = {peer: since for peer, since in self.left.items() if peer not in peers}
        self.moved_index = index

    def refound(self) -> None:
        """Nobody has the stream any more: whoever is assigned begins it again, empty."""
        self.founders = self.peers
        self.is_refounded = True
        self.founding_config = self.config
        self.leaving = []
        self.before = None

    def is_changing(self) -> bool:
        """Whether the group's membership has still to follow a change of peers, as far as the meta group knows."""
        return bool(self.leaving) or self.before is not None

    def exclude(self, peer: str, replicas: int) -> None:
        """An operator took the stream off a peer: it does not come back by itself while replicas are missing."""
        self.excluded = [*self.excluded, peer] if peer and len(self.peers) < replicas else []

    def config_bytes(self) -> bytes:
        """The configuration as JSON."""
        return json.dumps(self.config.to_json(), separators=(",", ":")).encode()

    def origin_for(self, peer: str) -> str:
        """The node to answer through, as `peer` sees it."""
        return "" if self.origin == peer else self.origin

    def founding(self) -> "Assignment":
        """The assignment as it was when the stream was created: the log of its group says what changed since."""
        return Assignment(
            self.founding_config,
            self.group,
            self.peers,
            self.created_ns,
            self.created_revision,
            self.founders,
            self.is_refounded,
        )

    def encode(self, since: int) -> bytes:
        """What a group must know of its assignment to start without the meta group. `since`: it did not begin on this
        node before that entry of the meta group."""
        state = {
            "config": self.config.to_json(),
            "group": self.group,
            "peers": self.peers,
            "created": self.created_ns,
            "revision": self.revision,
            "founders": self.founders,
            "refounded": self.is_refounded,
            "since": since,
        }
        return bytes(cbor2.dumps(state))


def decode_assignment(data: bytes) -> Assignment:
    """The inverse of `Assignment.encode`."""
    state = cbor2.loads(data)
    assignment = Assignment(
        config_of(state["config"]),
        state["group"],
        state["peers"],
        state["created"],
        state["revision"],
        state.get("founders"),
        state.get("refounded", False),
    )
    assignment.moved_index = state.get("since", 0)
    return assignment


def config_of(value: object) -> StreamConfig:
    """A configuration that this cluster accepted before; it cannot be wrong now."""
    assert isinstance(value, dict)
    config = StreamConfig.from_json(value)
    assert isinstance(config, StreamConfig), config
    return config
