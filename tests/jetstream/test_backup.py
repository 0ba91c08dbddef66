"""Backups, layer by layer: S2 blocks and streams, the archive inside. Whole ones go to and from nats-server in
tests/clients/test_clients_backup.py."""

from __future__ import annotations

import random

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from broker.jetstream.backups.archive import CONSUMERS, END, MAGIC, ArchiveReader, Entry, state_entry
from broker.jetstream.backups.restore import Restoring
from broker.jetstream.backups.s2 import BLOCK_BYTES, BackupError, S2Reader, decode_block, write_block
from broker.jetstream.backups.s2 import MAGIC as S2_MAGIC
from broker.jetstream.config.stream_config import StreamConfig


def packed(data: bytes) -> bytes:
    blocks = [write_block(data[at : at + BLOCK_BYTES]) for at in range(0, len(data), BLOCK_BYTES)]
    return S2_MAGIC + b"".join(blocks)


def in_pieces(data: bytes, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    found = []
    while data:
        size = rng.randrange(1, 5000)
        found.append(data[:size])
        data = data[size:]
    return found


def unpacked(stream: bytes, seed: int = 0) -> bytes:
    reader = S2Reader()
    found = b"".join(reader.feed(piece, 1 << 30) for piece in in_pieces(stream, seed))
    reader.finish()
    return found


@given(st.lists(st.binary(max_size=300), max_size=40), st.integers(1, 400), st.integers(0, 1000))
def test_what_was_packed_comes_back(parts: list[bytes], times: int, seed: int) -> None:
    data = b"".join(parts) * times
    assert unpacked(packed(data), seed) == data


def test_blocks_of_go_s_encoder_repeat_offsets() -> None:
    """A copy whose offset is 0 goes on with the offset of the one before; its length may take three more bytes."""
    abcd = bytes([3 << 2]) + b"abcd"
    copy = bytes([0b000_001_01, 4])  # five bytes from four back
    assert decode_block(bytes([9]) + abcd + copy) == b"abcdabcda"
    assert decode_block(bytes([13]) + abcd + copy + bytes([0b000_000_01, 0])) == (b"abcd" * 4)[:13]
    assert decode_block(bytes([18]) + abcd + copy + bytes([0b000_101_01, 0, 1])) == (b"abcd" * 5)[:18]
    long = 9 + 260 + 4 + 7
    length = bytes([long & 0x7F | 0x80, long >> 7])
    assert decode_block(length + abcd + copy + bytes([0b000_110_01, 0, 11, 0])) == (b"abcd" * 80)[:long]
    longer = 9 + (1 << 16) + 4 + 2
    length = bytes([longer & 0x7F | 0x80, longer >> 7 & 0x7F | 0x80, longer >> 14])
    assert decode_block(length + abcd + copy + bytes([0b000_111_01, 0, 2, 0, 0])) == (b"abcd" * 20000)[:longer]


@pytest.mark.parametrize(
    "block",
    [
        b"",
        bytes([5, 0]) + b"a",  # four bytes are missing
        bytes([4, 3 << 2]) + b"abc",  # a literal that is cut off
        bytes([9, 3 << 2]) + b"abcd" + bytes([0b000_001_01, 5]),  # a copy from before the beginning
        bytes([9, 0b000_001_01, 0]),  # a repeat of nothing
        bytes([5, 3 << 2]) + b"abcd" + bytes([0b000_001_01, 4]),  # more than was said
        bytes([0xFF, 0xFF, 0xFF, 0x7F]),  # a bomb
        bytes([0xFF] * 6),
    ],
)
def test_a_bad_block_is_one_error(block: bytes) -> None:
    with pytest.raises(BackupError):
        decode_block(block)


def test_every_flipped_bit_and_every_cut_is_noticed() -> None:
    data = bytes(range(256)) + b"abcabc" * 50
    stream = packed(data)
    for at in range(len(stream) * 8):
        bad = bytearray(stream)
        bad[at // 8] ^= 1 << (at % 8)
        try:
            found = unpacked(bytes(bad))
        except BackupError:
            continue
        assert at // 8 == len(S2_MAGIC), "only what says how a block is to be read"
        assert found != data, "a block that is skipped is missed by what reads the archive"
    for end in range(len(stream)):
        if end != len(S2_MAGIC):  # between two blocks: what reads the archive misses the rest
            with pytest.raises(BackupError):
                unpacked(stream[:end])


entries = st.builds(
    lambda name, time_ns, sequence, headers, payload: Entry(name, time_ns, sequence, len(headers), headers + payload),
    st.binary(max_size=40),
    st.integers(-(1 << 62), 1 << 62),
    st.integers(0, (1 << 64) - 1),
    st.binary(max_size=200),
    st.binary(max_size=3000),
)


@given(st.lists(entries, max_size=20), st.integers(0, 1000))
def test_an_archive_comes_apart_as_it_was_put_together(written: list[Entry], seed: int) -> None:
    data = MAGIC + b"".join(entry.encode() for entry in [*written, END])
    reader = ArchiveReader()
    found = [entry for piece in in_pieces(data, seed) for entry in reader.feed(piece)]
    reader.finish()
    assert [vars_of(entry) for entry in found] == [vars_of(entry) for entry in [*written, END]]
    assert found[-1].is_end()


def vars_of(entry: Entry) -> tuple[object, ...]:
    return entry.name, entry.time_ns, entry.sequence, entry.header_length, entry.data


@pytest.mark.parametrize(
    "data", [b"NATSARC2", MAGIC + b"\xff" * 11, MAGIC + bytes([0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x7F, 0])]
)
def test_nonsense_is_no_archive(data: bytes) -> None:
    with pytest.raises(BackupError):
        ArchiveReader().feed(data)


# What becomes of a backup.


def restoring() -> Restoring:
    config = StreamConfig.from_json({"name": "S", "subjects": ["s.>"], "max_msg_size": 100, "num_replicas": 1})
    assert isinstance(config, StreamConfig)
    return Restoring(config, 1000, 5)


CONSUMER = b'{"config":{"durable_name":"C","ack_policy":"explicit"},"state":%s}'
STATE = (
    b'{"delivered":{"consumer_seq":9,"stream_seq":7},"ack_floor":{"consumer_seq":2,"stream_seq":2},'
    b'"pending":{"7":{"Sequence":9,"Timestamp":70},"3":{"Sequence":3,"Timestamp":30}},"redelivered":{"3":2}}'
)


def backup(*entries: Entry, consumers: int = 1, first: int = 2, last: int = 9) -> bytes:
    state = state_entry({"first_seq": first, "last_seq": last, "consumer_count": consumers}, 1)
    return packed(MAGIC + b"".join(entry.encode() for entry in [state, *entries]))


def test_messages_and_consumers_come_out_of_a_backup() -> None:
    reader = restoring()
    consumer = Entry(CONSUMERS + b"C", 1, 0, 0, CONSUMER % STATE)
    messages = [Entry(b"s.a", 50, 3, 4, b"headdata"), Entry(b"s.b", 40, 7, 0, b"")]
    rows = reader.feed(backup(consumer, *messages, END))
    assert rows == [(3, 50, b"s.a", 4, b"headdata"), (7, 50, b"s.b", 0, b"")], "time does not go back"
    assert (reader.skip(), reader.skip()) == (1, 0)
    ending, consumers = reader.finish()
    assert (ending.last, ending.first, ending.gone) == (9, 0, [])
    found = consumers[0]
    assert (found.name, found.delivered_stream, found.delivered_consumer) == ("C", 7, 9)
    assert (found.ack_floor_stream, found.ack_floor_consumer) == (2, 2)
    assert {s: (p.consumer_sequence, p.timestamp_ns, p.deliveries) for s, p in found.pending.items()} == {
        3: (3, 30, 3), 7: (9, 70, 1),
    }  # fmt: skip
    assert found.order == [3, 7]


BAD = {
    "expected state.json first": packed(MAGIC + Entry(b"s.a", 1, 1, 0, b"").encode()),
    "error in state.json: not a state": packed(MAGIC + state_entry({"first_seq": "x"}, 1).encode()),
    "out of order": backup(Entry(b"s.a", 1, 3, 0, b""), Entry(b"s.a", 1, 3, 0, b""), consumers=0),
    "exceeds maximum message size": backup(Entry(b"s.a", 1, 3, 0, b"x" * 101), consumers=0),
    "exceeds maximum payload size": backup(Entry(b"s.a", 1, 3, 0, b"x" * 1001), consumers=0),
    "has no valid subject": backup(Entry(b"s.*", 1, 3, 0, b"x"), consumers=0),
    "expected message sequence": backup(Entry(b"s.a", 1, 0, 0, b"x"), consumers=0),
    "expected consumer": backup(Entry(b"s.a", 1, 3, 0, b"x")),
    "is missing config": backup(Entry(CONSUMERS + b"C", 1, 0, 0, b"{}")),
    "something follows its end": backup(END, Entry(b"s.a", 1, 3, 0, b"x"), consumers=0),
    "backup was truncated": backup(Entry(b"s.a", 1, 3, 0, b"x"), consumers=0),
    "failed to decode consumer": backup(Entry(CONSUMERS + b"C", 1, 0, 0, CONSUMER % b'{"delivered":7}'), END),
    "is not valid": backup(Entry(CONSUMERS + b"a/../b", 1, 0, 0, CONSUMER % STATE), END),
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_backup_is_one_error(text: str) -> None:
    reader = restoring()
    with pytest.raises(BackupError, match=text):
        reader.feed(BAD[text])
        reader.finish()


@given(st.binary(max_size=400), st.booleans())
def test_nonsense_is_never_more_than_an_error(data: bytes, inside: bool) -> None:
    reader = restoring()
    with pytest.raises(BackupError):
        reader.feed(packed(MAGIC + data) if inside else data)
        reader.finish()


def test_a_few_bytes_that_decode_to_gigabytes_come_a_few_megabytes_at_a_time() -> None:
    """A block of 4 MiB of zeros is twelve bytes to S2; a thousand of them come in one chunk."""
    zeros = bytes(1 << 22)
    body = bytes([0x80, 0x80, 0x80, 0x02, 0]) + b"\0" + bytes([1, 1])  # a literal, and a copy of four
    more = (1 << 22) - 5 - 4 - (1 << 16)
    body += bytes([0b000_111_01, 0]) + more.to_bytes(3, "little")
    check = (lambda crc: ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)(crc32c(zeros))
    block = b"\0" + (len(body) + 4).to_bytes(3, "little") + check.to_bytes(4, "little") + body
    reader = S2Reader()
    assert reader.feed(S2_MAGIC + block * 1000, 1) == zeros
    assert reader.has_more()
    assert reader.feed(b"", 1 << 23) == zeros * 2
