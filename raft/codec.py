"""Messages to bytes and back: all messages for one peer are one frame body, heartbeats of all groups in columns.

Not here: the frame around it (length, checksum) and the connection; those are the transport's.

Little-endian. Body = u8 version | peer sender | peer receiver | u32 beats | columns kind u8[], group u64[], term u64[],
commit u64[], context u64[] | u32 messages | message*. Peer = u8 length | ASCII.
Message = fixed header (`_HEADER`) | snapshot if flagged | entries. Entry = u64 term | u8 kind | u32 length | data; its
index follows from the header's. Snapshot = u64 index | u64 term | membership | u32 length | data.
Membership (also the data of an ENTRY_CONFIG) = u8 voters | peer* | u8 learners | peer*, both sorted, disjoint.

Invariants: encode copies no entry data (the parts are joined once, by whoever writes them); decode accepts exactly what
encode makes and raises CodecError for everything else, before it allocates what a lying count asks for.
"""

from __future__ import annotations

import sys
from array import array
from functools import lru_cache
from struct import Struct
from typing import Final

from raft.errors import CodecError
from raft.messages import COMMIT, HEARTBEAT, HEARTBEAT_RESPONSE, KIND_MAX, QUIET, SNAPSHOT
from raft.types import (
    ENTRY_CONFIG,
    ENTRY_KIND_MAX,
    NO_ENTRIES,
    Entry,
    Membership,
    Message,
    PeerId,
    Snapshot,
)

VERSION: Final = 1
FLAG_REJECT: Final = 1
FLAG_SNAPSHOT: Final = 2
INT_MAX: Final = 2**63 - 1
HEADS_MAX: Final = 256  # so many pairs of peers are remembered by their bytes

# The u64s are read as if signed, so that what is too large shows as negative.
_HEADER: Final = Struct("<BBqqqqqqqI")  # kind flags group term index log_term commit hint context entries
_Header = tuple[int, int, int, int, int, int, int, int, int, int]
_ENTRY: Final = Struct("<qBI")
HEADER_LENGTH: Final = 62  # literals, as `size` is looked up every time
ENTRY_LENGTH: Final = 13
_U32: Final = Struct("<I")
_POINT: Final = Struct("<QQ")
_BEAT_BYTES: Final = 33
_IS_BIG_ENDIAN: Final = sys.byteorder == "big"


def is_beat(kind: int) -> bool:
    """Kinds that every group sends all the time and that travel in columns."""
    return kind in (HEARTBEAT, HEARTBEAT_RESPONSE, COMMIT, QUIET)


# --- encoding -----------------------------------------------------------------------------------------------------


def encode_messages(messages: list[Message]) -> list[bytes]:
    """The parts of one frame body; all messages must have one sender and one receiver. Beats come out first."""
    assert messages
    sender = messages[0].sender
    receiver = messages[0].receiver
    beats: list[Message] = []
    others: list[Message] = []
    for message in messages:
        assert message.sender == sender and message.receiver == receiver
        if is_beat(message.kind):
            beats.append(message)
        else:
            others.append(message)
    parts = [_head(sender, receiver), _U32.pack(len(beats))]
    if beats:
        parts.append(bytes([beat.kind for beat in beats]))
        parts.append(_column([beat.group for beat in beats]))
        parts.append(_column([beat.term for beat in beats]))
        parts.append(_column([beat.commit for beat in beats]))
        parts.append(_column([beat.context for beat in beats]))
    parts.append(_U32.pack(len(others)))
    for message in others:
        _encode_message(message, parts)
    return parts


@lru_cache(HEADS_MAX)
def _head(sender: PeerId, receiver: PeerId) -> bytes:
    """How every body from one peer to another begins."""
    return bytes((VERSION,)) + _encode_peer(sender) + _encode_peer(receiver)


def _encode_message(message: Message, parts: list[bytes]) -> None:
    flags = FLAG_REJECT if message.reject else 0
    snapshot = message.snapshot
    if snapshot is not None:
        flags |= FLAG_SNAPSHOT
    parts.append(
        _HEADER.pack(
            message.kind,
            flags,
            message.group,
            message.term,
            message.index,
            message.log_term,
            message.commit,
            message.hint,
            message.context,
            len(message.entries),
        )
    )
    if snapshot is not None:
        parts.append(encode_snapshot(snapshot))
    for entry in message.entries:
        parts.append(_ENTRY.pack(entry.term, entry.kind, len(entry.data)))
        parts.append(entry.data)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    head = _POINT.pack(snapshot.index, snapshot.term) + encode_membership(snapshot.membership)
    return head + _U32.pack(len(snapshot.data)) + snapshot.data


def encode_membership(membership: Membership) -> bytes:
    parts = [bytes((len(membership.voters),))]
    for peer in membership.voters:
        parts.append(_encode_peer(peer))
    parts.append(bytes((len(membership.learners),)))
    for peer in membership.learners:
        parts.append(_encode_peer(peer))
    return b"".join(parts)


def _encode_peer(peer: PeerId) -> bytes:
    name = peer.encode("ascii")
    assert 0 < len(name) < 256
    return bytes((len(name),)) + name


def _column(values: list[int]) -> bytes:
    column = array("Q", values)
    if _IS_BIG_ENDIAN:
        column.byteswap()
    return column.tobytes()


# --- decoding -----------------------------------------------------------------------------------------------------


class Decoder:
    """A position in a body. Every read checks that the bytes are there."""

    def __init__(self, body: bytes, position: int = 0) -> None:
        self.body = body
        self.position = position

    def skip(self, count: int) -> int:
        """Where the next `count` bytes start."""
        start = self.position
        if count > len(self.body) - start:
            raise CodecError("the message ends too early")
        self.position = start + count
        return start

    def u8(self) -> int:
        return self.body[self.skip(1)]

    def u32(self) -> int:
        start = self.skip(4)
        body = self.body
        return body[start] | body[start + 1] << 8 | body[start + 2] << 16 | body[start + 3] << 24

    def take(self, count: int) -> bytes:
        start = self.skip(count)
        return self.body[start : start + count]

    def column(self, count: int) -> array[int]:
        values = array("Q")
        values.frombytes(self.take(8 * count))
        if _IS_BIG_ENDIAN:
            values.byteswap()
        for value in values:
            _check(value)
        return values

    def peer(self) -> PeerId:
        name = self.take(self.u8())
        if not name or not name.isascii():
            raise CodecError("a peer id is not ASCII")
        return name.decode("ascii")

    def peers(self) -> tuple[PeerId, ...]:
        found: list[PeerId] = []
        for _ in range(self.u8()):
            peer = self.peer()
            if found and peer <= found[len(found) - 1]:
                raise CodecError("peers are not sorted")
            found.append(peer)
        return tuple(found)

    def membership(self) -> Membership:
        voters = self.peers()
        learners = self.peers()
        for peer in learners:
            if peer in voters:
                raise CodecError("a peer is voter and learner")
        return Membership(voters, learners)

    def at_end(self) -> bool:
        return self.position == len(self.body)


def _check(value: int) -> int:
    if value > INT_MAX:
        raise CodecError("a number is too large")
    return value


def decode_messages(body: bytes, start: int = 0) -> list[Message]:
    """The messages of the body that begins at `start`, beats first. Raises CodecError, and nothing else, on any other
    input."""
    decoder = Decoder(body, start)
    decoder.skip(1)
    decoder.skip(decoder.u8())
    decoder.skip(decoder.u8())
    sender, receiver = _peers(body[start : decoder.position])
    messages: list[Message] = []
    _decode_beats(decoder, sender, receiver, messages)
    count = decoder.u32()
    for _ in range(count):
        messages.append(_decode_message(decoder, sender, receiver))
    if not decoder.at_end():
        raise CodecError("bytes after the last message")
    if not messages:
        raise CodecError("a body without messages")
    return messages


@lru_cache(HEADS_MAX)
def _peers(head: bytes) -> tuple[PeerId, PeerId]:
    """Who says something to whom: the inverse of `_head`. Raises CodecError."""
    decoder = Decoder(head)
    if decoder.u8() != VERSION:
        raise CodecError("unknown version of the peer protocol")
    return decoder.peer(), decoder.peer()


def _decode_beats(decoder: Decoder, sender: PeerId, receiver: PeerId, messages: list[Message]) -> None:
    count = decoder.u32()
    if count == 0:
        return
    if count * _BEAT_BYTES > len(decoder.body):
        raise CodecError("more heartbeats than bytes")
    kinds = decoder.take(count)
    groups = decoder.column(count)
    terms = decoder.column(count)
    commits = decoder.column(count)
    contexts = decoder.column(count)
    for i in range(count):
        kind = kinds[i]
        if not is_beat(kind):
            raise CodecError("not a heartbeat")
        message = Message(kind, groups[i], sender, receiver, terms[i])
        message.commit = commits[i]
        message.context = contexts[i]
        messages.append(message)


def _decode_message(decoder: Decoder, sender: PeerId, receiver: PeerId) -> Message:
    start = decoder.skip(HEADER_LENGTH)
    header: _Header = _HEADER.unpack_from(decoder.body, start)
    kind, flags, group, term, index, log_term, commit, hint, context, count = header
    if kind == 0 or kind > KIND_MAX or is_beat(kind) or flags > FLAG_REJECT | FLAG_SNAPSHOT:
        raise CodecError("unknown kind of message")
    if group < 0 or term < 0 or index < 0 or log_term < 0 or commit < 0 or hint < 0 or context < 0:
        raise CodecError("a number is too large")
    message = Message(kind, group, sender, receiver, term)
    message.index = index
    message.log_term = log_term
    message.commit = commit
    message.hint = hint
    message.context = context
    message.reject = flags & FLAG_REJECT != 0
    if (flags & FLAG_SNAPSHOT != 0) != (kind == SNAPSHOT):
        raise CodecError("a snapshot where none belongs, or none where one does")
    if kind == SNAPSHOT:
        message.snapshot = _decode_snapshot(decoder)
    message.entries = _decode_entries(decoder, message.index, count)
    return message


def _decode_entries(decoder: Decoder, index: int, count: int) -> list[Entry]:
    if count == 0:
        return NO_ENTRIES
    if count * ENTRY_LENGTH > len(decoder.body) - decoder.position:
        raise CodecError("more entries than bytes")
    entries: list[Entry] = []
    for _ in range(count):
        start = decoder.skip(ENTRY_LENGTH)
        term, kind, length = _ENTRY.unpack_from(decoder.body, start)
        if kind > ENTRY_KIND_MAX or term < 0:
            raise CodecError("unknown kind of entry, or a term that is too large")
        data = decoder.take(length)
        if kind == ENTRY_CONFIG:
            decode_membership(data)
        index += 1
        entries.append(Entry(index, term, kind, data))
    return entries


def _decode_snapshot(decoder: Decoder) -> Snapshot:
    start = decoder.skip(_POINT.size)
    index, term = _POINT.unpack_from(decoder.body, start)
    membership = decoder.membership()
    return Snapshot(_check(index), _check(term), membership, decoder.take(decoder.u32()))


def decode_membership(data: bytes) -> Membership:
    """Raises CodecError."""
    decoder = Decoder(data)
    membership = decoder.membership()
    if not decoder.at_end():
        raise CodecError("bytes after a membership")
    return membership


def decode_snapshot(data: bytes) -> Snapshot:
    """Raises CodecError."""
    decoder = Decoder(data)
    snapshot = _decode_snapshot(decoder)
    if not decoder.at_end():
        raise CodecError("bytes after a snapshot")
    return snapshot
