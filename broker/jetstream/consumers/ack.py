"""Acks as bytes: the ack subject, the payload of an ack, and the body of OP_ACKS.

An ack subject is `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time ns>.<pending>` (9
tokens), or the longer form with domain and account hash (11 tokens or more). `AckSubject` is one reused reader:
parsing an ack must not make objects.

Not here: what an ack does. Before the log: `delivery.Delivery.ack`. In the log: `consumer.Consumer.apply_acks`.

Invariants: anything malformed is told as such and never raises. One OP_ACKS carries the acks of one turn of all
consumers of a stream (`SECTIONS_MAX` of them):
`i64 time ns | u16 sections | section*`, section = `u16 name length | u32 acks | u32 others | i64 created ns | name |
u64 stream sequence[acks] | u8 kind[others] | u64 stream sequence[others] | i64 argument[others]`, little-endian.
"""

import json
import struct
import sys
from array import array
from typing import Final

from mypy_extensions import i64

from broker.jetstream.durations import DURATION_NS_MAX, parse_duration

ACK_PREFIX: Final = b"$JS.ACK."
ACK_TOKENS: Final = 9
ACK_TOKENS_LONG: Final = 11

# What a payload asks for.
ACK_PLAIN: Final = 0
ACK_NAK: Final = 1
ACK_PROGRESS: Final = 2
ACK_TERM: Final = 3
ACK_NEXT: Final = 4
ACK_UNKNOWN: Final = 5

# Kinds in the `others` columns of OP_ACKS; the argument in brackets.
ACKED_ALL: Final = 1  # everything up to this sequence (consumer sequence the client named)
NAKED: Final = 2  # (time ns from which on it may be delivered again)
PROGRESSED: Final = 3  # (time ns from which on the ack wait counts)
EXCEEDED: Final = 4  # delivered max_deliver times in vain (deliveries)

SECTIONS_MAX: Final = 0xFFFF  # of one OP_ACKS

_HEAD: Final = struct.Struct("<qH")
_SECTION: Final = struct.Struct("<HIIq")
_SWAP: Final = sys.byteorder != "little"
_DIGITS_MAX: Final = 19


class AckSubject:
    """Reads ack subjects; the last one read is in the attributes."""

    def __init__(self) -> None:
        self.prefix: bytes = b""
        self.stream: str = ""
        self.consumer: str = ""
        self.deliveries: int = 0
        self.stream_sequence: int = 0
        self.consumer_sequence: int = 0

    def read(self, subject: bytes) -> bool:
        """Whether `subject` is an ack subject with sane numbers."""
        prefix = self.prefix
        if not prefix or not subject.startswith(prefix):
            prefix = self._learn_prefix(subject)
            if not prefix:
                return False
        position: i64 = len(prefix)
        end: i64 = len(subject)
        field: i64 = 0
        value: i64 = 0
        start: i64 = position
        while position < end:
            byte: i64 = subject[position]
            if byte == 46:
                if position == start or position - start > _DIGITS_MAX:
                    return False
                if field == 0:
                    self.deliveries = value
                elif field == 1:
                    self.stream_sequence = value
                else:
                    self.consumer_sequence = value
                    return True
                field += 1
                value = 0
                start = position + 1
            elif 48 <= byte <= 57:
                if position - start >= 18:
                    return False
                value = value * 10 + (byte - 48)
            else:
                return False
            position += 1
        return False

    def _learn_prefix(self, subject: bytes) -> bytes:
        """The part up to the consumer's name; the next ack is probably of the same consumer."""
        if not subject.startswith(ACK_PREFIX):
            return b""
        tokens = subject.split(b".")
        first = 2
        if len(tokens) >= ACK_TOKENS_LONG:
            first = 4
        elif len(tokens) != ACK_TOKENS:
            return b""
        try:
            self.stream = tokens[first].decode()
            self.consumer = tokens[first + 1].decode()
        except UnicodeDecodeError:
            return b""
        prefix = b".".join(tokens[: first + 2]) + b"."
        self.prefix = prefix
        return prefix


def payload_kind(data: bytes) -> int:
    """Which of the ACK_ kinds a payload (headers cut) is."""
    if not data or data == b"+ACK" or data == b"+OK":
        return ACK_PLAIN
    if data.startswith(b"+NXT"):
        return ACK_NEXT
    if data.startswith(b"-NAK"):
        return ACK_NAK
    if data == b"+WPI":
        return ACK_PROGRESS
    if data.startswith(b"+TERM"):
        return ACK_TERM
    return ACK_UNKNOWN


def nak_delay_ns(data: bytes) -> int:
    """The delay of a `-NAK` payload; 0 without one and where it makes no sense, as nats-server does."""
    argument = data[4:].strip()
    if not argument:
        return 0
    try:
        if argument[:1] == b"{":
            delay = json.loads(argument).get("delay", 0)
            if not isinstance(delay, int) or isinstance(delay, bool):
                return 0
        else:
            parsed = parse_duration(argument.decode())
            delay = 0 if parsed is None else parsed
    except (ValueError, RecursionError):
        return 0
    return max(0, min(delay, DURATION_NS_MAX >> 2))


def term_reason(data: bytes) -> str:
    """The reason of a `+TERM` payload."""
    return data[5:].strip().decode("utf-8", "replace")


class AckSection:
    """The acks of one consumer in one turn."""

    def __init__(self, consumer: str, epoch_ns: int) -> None:
        self.consumer: Final = consumer
        self.epoch_ns: Final = epoch_ns
        self.acks: list[int] = []
        self.kinds: list[int] = []
        self.sequences: list[int] = []
        self.arguments: list[int] = []
        self.proposed: bool = False

    def add(self, kind: int, sequence: int, argument: int) -> None:
        """Anything but a plain ack of one message."""
        self.kinds.append(kind)
        self.sequences.append(sequence)
        self.arguments.append(argument)


def encode_acks(timestamp_ns: int, sections: list[AckSection]) -> bytes:
    """The body of one OP_ACKS; at most `SECTIONS_MAX` sections."""
    parts = [_HEAD.pack(timestamp_ns, len(sections))]
    for section in sections:
        name = section.consumer.encode()
        parts.append(_SECTION.pack(len(name), len(section.acks), len(section.kinds), section.epoch_ns))
        parts.append(name)
        parts.append(pack_column("Q", section.acks))
        if section.kinds:
            parts.append(bytes(section.kinds))
            parts.append(pack_column("Q", section.sequences))
            parts.append(pack_column("q", section.arguments))
    return b"".join(parts)


def decode_acks(body: bytes) -> tuple[int, list[AckSection]]:
    """Inverse of `encode_acks`: time ns and sections. Raises struct.error or ValueError on malformed input."""
    timestamp_ns, count = _HEAD.unpack_from(body)
    position = _HEAD.size
    sections: list[AckSection] = []
    for _ in range(count):
        name_length, acks, others, epoch_ns = _SECTION.unpack_from(body, position)
        position += _SECTION.size
        section = AckSection(body[position : position + name_length].decode(), epoch_ns)
        position += name_length
        section.acks = unpack_column("Q", body, position, acks)
        position += acks * 8
        if others:
            section.kinds = list(body[position : position + others])
            position += others
            section.sequences = unpack_column("Q", body, position, others)
            position += others * 8
            section.arguments = unpack_column("q", body, position, others)
            position += others * 8
        sections.append(section)
    if position != len(body):
        raise ValueError("OP_ACKS has bytes behind its sections")
    return timestamp_ns, sections


def pack_column(typecode: str, values: list[int]) -> bytes:
    """A little-endian column of `array` typecode Q, q or I."""
    column = array(typecode, values)
    if _SWAP:
        column.byteswap()
    return column.tobytes()


def unpack_column(typecode: str, body: bytes, position: int, count: int) -> list[int]:
    """`count` little-endian numbers at `position`. Raises ValueError when the body is too short."""
    column = array(typecode)
    size = column.itemsize * count
    if position + size > len(body):
        raise ValueError("column goes beyond its body")
    column.frombytes(body[position : position + size])
    if _SWAP:
        column.byteswap()
    return column.tolist()
