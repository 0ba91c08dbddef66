"""Dead letters: which messages become one, what stands on it, and the operation that says so.

A message of a consumer that would be delivered once too often (or was terminated, where the consumer wants that) is
moved by one entry of its stream's log: a copy goes to `DLQ_<stream>`, which lives in the same group, and the consumer
is done with it. `ternmq.dead_letter` in a consumer's metadata is the switch.

Not here: the move (`dead_letter_apply`), when the leader gives a message up (`ack_intake`), how the stream comes into
being (`broker/cluster`). Body of OP_DEAD_LETTERS: `i64 time ns | CBOR [[consumer, created ns, [[sequence, terminated,
error, client] …]] …]`.
"""

import struct
from typing import Final

import cbor2

from broker.jetstream.config.stream_config import DISCARD_NEW, RETENTION_LIMITS, StreamConfig
from broker.jetstream.go_time import format_time
from broker.jetstream.ops import HEADERS_MAX
from broker.jetstream.publishing.publish_headers import PREAMBLE

STREAM_PREFIX: Final = "DLQ_"
SUBJECT_PREFIX: Final = "$DLQ."
SWITCH: Final = "ternmq.dead_letter"
SOURCE_KEY: Final = "ternmq.dead_letters_of"  # in the metadata of a dead-letter stream

MODE_OFF: Final = "off"
MODE_MAX_DELIVER: Final = "max_deliver"
MODE_TERMINATED: Final = "terminated"
MODE_BOTH: Final = "both"
MODES: Final = (MODE_OFF, MODE_MAX_DELIVER, MODE_TERMINATED, MODE_BOTH)

ERROR_MAX: Final = 1024
CLIENT_MAX: Final = 128
_TIME: Final = struct.Struct("<q")


def mode_of(metadata: dict[str, str]) -> str:
    """What a consumer wants; by default messages delivered too often."""
    return metadata.get(SWITCH, MODE_MAX_DELIVER)


class DeadLetter:
    """Why a message was given up, when it was delivered (Unix ns), and the name of who got it last ("": not known)."""

    def __init__(
        self, deliveries: int, terminated: bool, error: str, first_ns: int, last_ns: int, client: str
    ) -> None:
        self.deliveries: Final = deliveries
        self.terminated: Final = terminated
        self.error: Final = error
        self.first_ns: Final = first_ns
        self.last_ns: Final = last_ns
        self.client: Final = client

    def to_list(self) -> list[object]:
        """Plain values for CBOR."""
        return [self.deliveries, self.terminated, self.error, self.first_ns, self.last_ns, self.client]


def letter_from_list(values: list[object]) -> DeadLetter:
    """Inverse of `DeadLetter.to_list`."""
    deliveries, terminated, error, first_ns, last_ns, client = values
    assert isinstance(deliveries, int) and isinstance(first_ns, int) and isinstance(last_ns, int)
    return DeadLetter(deliveries, bool(terminated), str(error), first_ns, last_ns, str(client))


class DeadSection:
    """What one consumer gives up in one turn."""

    def __init__(self, consumer: str, epoch_ns: int) -> None:
        self.consumer: Final = consumer
        self.epoch_ns: Final = epoch_ns
        # Sequence, whether a client terminated it, its words, the name of who got the message last.
        self.rows: list[tuple[int, bool, str, str]] = []
        self.proposed: bool = False


def encode_dead_letters(timestamp_ns: int, sections: list[DeadSection]) -> bytes:
    """The body of OP_DEAD_LETTERS."""
    plain = [[section.consumer, section.epoch_ns, [list(row) for row in section.rows]] for section in sections]
    return _TIME.pack(timestamp_ns) + bytes(cbor2.dumps(plain))


def decode_dead_letters(body: bytes) -> list[DeadSection]:
    """Inverse of `encode_dead_letters`, but for the time."""
    sections: list[DeadSection] = []
    for consumer, epoch_ns, rows in cbor2.loads(body[_TIME.size :]):
        section = DeadSection(consumer, epoch_ns)
        section.rows = [(sequence, bool(terminated), error, client) for sequence, terminated, error, client in rows]
        sections.append(section)
    return sections


def encode_stream(timestamp_ns: int, group: int, created_ns: int, revision: int, config_json: bytes) -> bytes:
    """The body of OP_DEAD_STREAM: the dead-letter stream begins; `group` is its number among the assignments."""
    return _TIME.pack(timestamp_ns) + bytes(cbor2.dumps([group, created_ns, revision, config_json]))


def decode_stream(body: bytes) -> tuple[int, int, int, bytes]:
    """Inverse of `encode_stream`: group, created ns, revision, configuration."""
    group, created_ns, revision, config_json = cbor2.loads(body[_TIME.size :])
    return group, created_ns, revision, config_json


def encode_stream_end(timestamp_ns: int, group: int) -> bytes:
    """The body of OP_DEAD_STREAM_END: that dead-letter stream was deleted."""
    return _TIME.pack(timestamp_ns) + bytes(cbor2.dumps(group))


def decode_stream_end(body: bytes) -> int:
    """Inverse of `encode_stream_end`."""
    group = cbor2.loads(body[_TIME.size :])
    assert isinstance(group, int)
    return group


def dead_letter_stream(stream: str) -> str:
    """The name of a stream's dead-letter stream."""
    return STREAM_PREFIX + stream


def dead_letter_config(source: StreamConfig) -> StreamConfig:
    """What a dead-letter stream is made of: storage, replicas and limits of its source, and no message makes room for
    another."""
    config = StreamConfig()
    config.name = dead_letter_stream(source.name)
    config.description = f"dead letters of {source.name}"
    config.subjects = [f"{SUBJECT_PREFIX}{source.name}.>"]
    config.retention = RETENTION_LIMITS
    config.storage = source.storage
    config.num_replicas = source.num_replicas
    config.max_msgs = source.max_msgs
    config.max_bytes = source.max_bytes
    config.max_age_ns = source.max_age_ns
    config.discard = DISCARD_NEW
    config.allow_direct = True
    config.metadata = {SOURCE_KEY: source.name}
    return config


def letter_headers(
    own: bytes, stream: str, consumer: str, sequence: int, subject: bytes, letter: DeadLetter
) -> bytes:
    """The message's own headers, then what happened. Where both are too much for a message, ours stay."""
    error = "".join(character if character.isprintable() else " " for character in letter.error)[:ERROR_MAX]
    lines = [
        ("Stream", stream),
        ("Consumer", consumer),
        ("Sequence", str(sequence)),
        ("Subject", subject.decode("utf-8", "replace")),
        ("Deliveries", str(letter.deliveries)),
        ("Reason", MODE_TERMINATED if letter.terminated else MODE_MAX_DELIVER),
        ("Error", error),
        ("First-Delivered", format_time(letter.first_ns)),
        ("Last-Delivered", format_time(letter.last_ns)),
        ("Client", letter.client[:CLIENT_MAX]),
    ]
    added = "".join([f"Ternmq-Dlq-{name}: {value}\r\n" for name, value in lines if value]).encode() + b"\r\n"
    head = own[:-2] if own else PREAMBLE + b"\r\n"
    if len(head) + len(added) > HEADERS_MAX:
        head = PREAMBLE + b"\r\n"
    return head + added
