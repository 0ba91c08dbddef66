"""Messages that come from another stream: where each source stands, and the operation that brings them.

OP_SOURCED carries messages of one origin and, in the same step, moves the position in that origin: no crash can come
between the two, so nothing is stored twice and nothing left out. A mirror keeps the sequences and times of its origin;
its position is its last sequence. Others store the messages as their own, behind what they have; their positions are
kept by index name (`source_config`), also while an entry is not configured.

Not here: who reads the origin (`source_read`), storing (`sourced_apply`). Invariant: a position only changes with an
operation of the log.
"""

import struct
from typing import Final

from broker.jetstream.ops import MalformedOp, PublishOp
from broker.jetstream.snapshot_columns import unpack_column

POSITIONS_MAX: Final = 1024  # of entries that are no longer configured, the oldest are forgotten beyond this

_HEAD: Final = struct.Struct("<qQIHH")


class Position:
    """The last message that came from an origin; `identity` tells a stream from an earlier one of that name."""

    def __init__(self, sequence: int, identity: str) -> None:
        self.sequence: int = sequence
        self.identity: str = identity


class Positions:
    """Of all sources of one stream, by key."""

    def __init__(self) -> None:
        self._known: dict[bytes, Position] = {}

    def of(self, key: bytes) -> Position:
        """Where a source stands; 0 and "" when nothing came from it yet."""
        return self._known.get(key) or Position(0, "")

    def move(self, key: bytes, sequence: int, identity: str) -> None:
        """Everything up to `sequence` is done with."""
        self._known[key] = Position(sequence, identity)

    def restored(self, mark: bytes) -> None:
        """A message was restored from a backup; its `Nats-Stream-Source` says where it came from, and how far its
        source was read. Of which stream of that name is not asked: that was another one, or was restored as well."""
        fields = mark.split(b" ")
        if len(fields) < 4 or not fields[1].isdigit() or len(fields[1]) > 19:
            return
        key = b" ".join([fields[0], fields[2], fields[3]])
        if key in self._known or len(self._known) < POSITIONS_MAX:
            self.move(key, int(fields[1]), "")

    def keep(self, keys: list[bytes]) -> None:
        """Only these are configured now."""
        excess = len(self._known) - len(keys) - POSITIONS_MAX
        for key in [known for known in self._known if known not in keys][: max(excess, 0)]:
            del self._known[key]

    def snapshot(self) -> list[list[object]]:
        """Plain values for CBOR, in the order in which they came."""
        return [[key, position.sequence, position.identity] for key, position in self._known.items()]

    def restore(self, rows: list[list[object]]) -> None:
        """Inverse of `snapshot`."""
        self._known = {}
        for key, sequence, identity in rows:
            assert isinstance(key, bytes) and isinstance(sequence, int) and isinstance(identity, str)
            self.move(key, sequence, identity)


# OP_SOURCED: i64 time | u64 after | u32 count | u16 key length | u16 identity length | key | identity |
# u64 sequence[count] | i64 time[count] | body of an OP_PUBLISH, whose time means nothing.


def encode_sourced(
    timestamp_ns: int, key: bytes, identity: str, after: int, count: int, sequences: bytes, times: bytes, batch: bytes
) -> bytes:
    """The operation's body. `after` is the position that the messages follow; columns as `pack_column` makes them."""
    name = identity.encode()
    head = _HEAD.pack(timestamp_ns, after, count, len(key), len(name))
    return b"".join([head, key, name, sequences, times, batch])


class SourcedOp:
    """A decoded OP_SOURCED; message i of `batch` is the origin's `sequences[i]` of time `times[i]`."""

    def __init__(self, body: bytes) -> None:
        """Raises MalformedOp."""
        if len(body) < _HEAD.size:
            raise MalformedOp("sourced messages without a head")
        timestamp_ns, after, count, key_length, identity_length = _HEAD.unpack_from(body)
        start = _HEAD.size
        self.timestamp_ns: int = timestamp_ns
        self.after: int = after
        self.key: bytes = body[start : start + key_length]
        start += key_length
        self.identity: str = body[start : start + identity_length].decode()
        start += identity_length
        self.sequences: list[int] = unpack_column("Q", body[start : start + 8 * count])
        self.times: list[int] = unpack_column("q", body[start + 8 * count : start + 16 * count])
        self.batch: PublishOp = PublishOp(body[start + 16 * count :])
        if not self.batch.count == count == len(self.times):
            raise MalformedOp("sourced messages whose columns differ in length")
