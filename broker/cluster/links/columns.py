"""Many small messages as one columnar block: what travels between nodes on behalf of clients.

A publish for a leader elsewhere, the acknowledgement of it, a delivery for a client of another node: each is
(first subject, second subject, reply, header length, data). A turn gathers them by column and joins once, so that
a message costs a few list appends and no encoding of its own.

Layout, little-endian: ``u32 count | u16 first[count] | u16 second[count] | u16 reply[count] | u32 header[count] |
u32 data[count] | bodies``; bodies are ``first second reply data`` of each message in order. Headers may be as large as
a message: what is too large to be stored is refused by the stream's leader, and answers add headers to stored ones.

Read next: `frames` (how blocks travel), `forward` (who fills them).
"""

from array import array
from collections.abc import Sequence
from struct import Struct
from typing import Final

from mypy_extensions import i64

SUBJECT_MAX: Final = 0xFFFF
_HEAD: Final = 4
_ROW: Final = 14  # bytes of all columns together for one message
_ONE: Final = Struct("<IHHHII")  # count and columns of a block with one message: a lone publish, its acknowledgement


class ColumnsError(ValueError):
    """The block does not add up; the peer that sent it is not to be trusted."""


class Columns:
    """A growing block of messages. Not bounded itself: whoever fills it looks at `bytes`."""

    def __init__(self) -> None:
        self.count: int = 0
        self.bytes: int = 0
        # Lists, made arrays once at the end: appending to an array costs four times as much.
        self._first: list[int] = []
        self._second: list[int] = []
        self._reply: list[int] = []
        self._header: list[int] = []
        self._data: list[int] = []
        self._parts: list[bytes] = []

    def add(self, first: bytes, second: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        """Append one message; subjects are at most `SUBJECT_MAX` bytes, which the caller sees to."""
        first_length = len(first)
        second_length = len(second)
        reply_length = len(reply)
        data_length = len(data)
        self._first.append(first_length)
        self._second.append(second_length)
        self._reply.append(reply_length)
        self._header.append(header_length)
        self._data.append(data_length)
        parts = self._parts
        parts.append(first)
        if second:
            parts.append(second)
        if reply:
            parts.append(reply)
        parts.append(data)
        self.count += 1
        self.bytes += first_length + second_length + reply_length + data_length + _ROW

    def encode(self) -> bytes:
        """The block as bytes: one join."""
        if self.count == 1:
            lengths = (self._first[0], self._second[0], self._reply[0], self._header[0], self._data[0])
            return _ONE.pack(1, *lengths) + b"".join(self._parts)
        head = [
            self.count.to_bytes(_HEAD, "little"),
            array("H", self._first).tobytes(),
            array("H", self._second).tobytes(),
            array("H", self._reply).tobytes(),
            array("I", self._header).tobytes(),
            array("I", self._data).tobytes(),
        ]
        head.extend(self._parts)
        return b"".join(head)


class ColumnsReader:
    """Walks a received block: ``while reader.next(): reader.first …``. Lengths are checked before anything is read."""

    def __init__(self, block: bytes, start: int = 0) -> None:
        if len(block) - start < _HEAD:
            raise ColumnsError("short block")
        count = int.from_bytes(block[start : start + _HEAD], "little")
        position = start + _HEAD
        if count > (len(block) - position) // _ROW:
            raise ColumnsError("more messages announced than the block can hold")
        self.count: int = count
        self._block: bytes = block
        self._first: Sequence[int]
        self._second: Sequence[int]
        self._reply: Sequence[int]
        self._header: Sequence[int]
        self._data: Sequence[int]
        if count == 1:
            _, first, second, reply, header, data = _ONE.unpack_from(block, start)
            self._first, self._second, self._reply = (first,), (second,), (reply,)
            self._header, self._data = (header,), (data,)
            total = first + second + reply + data
        else:
            self._first = _column("H", block, position, count)
            self._second = _column("H", block, position + 2 * count, count)
            self._reply = _column("H", block, position + 4 * count, count)
            self._header = _column("I", block, position + 6 * count, count)
            self._data = _column("I", block, position + 10 * count, count)
            total = sum(self._first) + sum(self._second) + sum(self._reply) + sum(self._data)
        self._position: i64 = position + _ROW * count
        if int(self._position) + total != len(block):
            raise ColumnsError("block length does not match its columns")
        self._at: i64 = 0
        self.first: bytes = b""
        self.second: bytes = b""
        self.reply: bytes = b""
        self.header_length: int = 0
        self.data: bytes = b""

    def next(self) -> bool:
        """Step to the next message and set the attributes; False at the end."""
        at = self._at
        if at >= self.count:
            return False
        block = self._block
        position = self._position
        end: i64 = position + self._first[at]
        self.first = block[position:end]
        position = end
        end = position + self._second[at]
        self.second = block[position:end]
        position = end
        end = position + self._reply[at]
        self.reply = block[position:end]
        position = end
        end = position + self._data[at]
        self.data = block[position:end]
        self.header_length = self._header[at]
        if self.header_length > len(self.data):
            raise ColumnsError("header longer than its message")
        self._position = end
        self._at = at + 1
        return True


def _column(code: str, block: bytes, position: int, count: int) -> "array[int]":
    width = 4 if code == "I" else 2
    return array(code, block[position : position + count * width])
