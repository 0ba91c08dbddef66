"""What peers send, taken apart: to whom on this node each kind of frame goes.

A frame that makes no sense ends its link and nothing else: its sender is of another version, or broken.

Not here: the bytes around a frame (`frames`, `link`), and what the parts do with it (`engine`, `answers`, `forward`,
`catch_up`, `bootstrap`, `repair`, `removal`).
"""

from typing import Final

import cbor2

from broker.cluster.groups.engine import Engine
from broker.cluster.links.answers import Answers
from broker.cluster.links.columns import ColumnsError, ColumnsReader
from broker.cluster.links.forward import ACK, PUBLISH, REQUEST, Forwarder
from broker.cluster.links.frames import (
    FRAME_ACK,
    FRAME_ANSWER,
    FRAME_BLOCK,
    FRAME_BLOCK_REQUEST,
    FRAME_DAMAGED,
    FRAME_META,
    FRAME_PUBLISH,
    FRAME_RAFT,
    FRAME_REMOVED,
    FRAME_REQUEST,
    FRAME_ROOM,
    FRAME_USAGE,
    FRAME_VIEW,
)
from broker.cluster.links.link import PeerLink
from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.bootstrap import Bootstrap
from broker.cluster.repair.catch_up import CatchUps
from broker.cluster.repair.removal import Removals
from broker.cluster.repair.repair import Repairs
from broker.cluster.room import Room
from broker.cluster.streams.account_usage import AccountUsage
from broker.cluster.turn_clock import TurnClock
from raft.codec import decode_messages
from raft.errors import CodecError

NONSENSE: Final = (
    ColumnsError,
    CodecError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    cbor2.CBORDecodeError,
)
"""What reading bytes that no peer of ours writes may raise."""


class PeerFrames:
    """See the module's text."""

    def __init__(
        self,
        links: LinkTable,
        engine: Engine,
        answers: Answers,
        forwarder: Forwarder,
        catch_ups: CatchUps,
        bootstrap: Bootstrap,
        repairs: Repairs,
        removals: Removals,
        room: Room,
        usage: AccountUsage,
        clock: TurnClock,
    ) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self._links: Final = links
        self._engine: Final = engine
        self._answers: Final = answers
        self._forwarder: Final = forwarder
        self._catch_ups: Final = catch_ups
        self._bootstrap: Final = bootstrap
        self._repairs: Final = repairs
        self._removals: Final = removals
        self._room: Final = room
        self._usage: Final = usage
        self._clock: Final = clock

    def received(self, link: PeerLink, body: bytes) -> None:
        """One frame. Raises nothing; sets the link's `close_reason` where the frame makes no sense."""
        kind = body[0]
        try:
            if kind == FRAME_RAFT:
                for message in decode_messages(body, 1):
                    if message.receiver == self._links.peer and message.sender == link.peer:
                        self._engine.step(message)
            elif kind == FRAME_ANSWER:
                self._answers_from(link, ColumnsReader(body, 1))
            elif kind == FRAME_PUBLISH:
                self._work_from(link, PUBLISH, body)
            elif kind == FRAME_ACK:
                self._work_from(link, ACK, body)
            elif kind == FRAME_REQUEST:
                self._work_from(link, REQUEST, body)
            elif kind == FRAME_BLOCK_REQUEST:
                request = cbor2.loads(body[1:])
                self._catch_ups.serve(link, request, self._engine.groups.get(request["group"]))
            elif kind == FRAME_BLOCK:
                self._catch_ups.piece(link, body[1:], self._clock.now_ns)
            elif kind == FRAME_VIEW:
                self._view_from(link, cbor2.loads(body[1:]))
            elif kind == FRAME_META:
                self._bootstrap.peer_has_meta(link.peer)
            elif kind == FRAME_ROOM:
                self._room.heard(link.peer, body[1:] == b"\1")
            elif kind == FRAME_USAGE:
                self._usage.heard(link, cbor2.loads(body[1:]))
            elif kind == FRAME_DAMAGED:
                self._damaged_at(link, cbor2.loads(body[1:]))
            elif kind == FRAME_REMOVED:
                said = cbor2.loads(body[1:])
                self._repairs.removed(said["group"], said["nonce"], said["index"], said["term"])
        except NONSENSE as error:
            link.close_reason = f"bad frame: {error}"
            self.events.append(("error", "peer_protocol_error", {"peer": link.name, "error": str(error)}))

    def _answers_from(self, link: PeerLink, reader: ColumnsReader) -> None:
        while reader.next():
            self._answers.received(
                link.peer, reader.first, reader.second, reader.reply, reader.header_length, reader.data
            )

    def _work_from(self, link: PeerLink, kind: int, body: bytes) -> None:
        group = int.from_bytes(body[1:9], "little")
        reader = ColumnsReader(body, 9)
        peer = link.peer
        while reader.next():
            origin = reader.second.decode("ascii") if reader.second else peer
            self._forwarder.submit(
                group, kind, reader.first, reader.reply, reader.header_length, reader.data, origin, peer
            )

    def _view_from(self, link: PeerLink, seen: object) -> None:
        """A peer without a meta group says whom it sees; one that missed the founding would ask for ever."""
        if self._links.has_meta:
            link.write_frame(FRAME_META, [])
            link.dirty = True
        elif isinstance(seen, dict):
            self._bootstrap.peer_view(link.peer, {str(peer): str(name) for peer, name in seen.items()})

    def _damaged_at(self, link: PeerLink, reported: dict[int, int]) -> None:
        """Replicas of the peer are damaged; that concerns those that are led here."""
        for group_id, nonce in reported.items():
            group = self._engine.groups.get(group_id)
            if group is not None:
                self._removals.reported(group, link.peer, nonce, self._clock.now_ns)
