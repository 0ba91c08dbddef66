"""What travels between nodes: blocks of messages and the frames around them, and what damage does to both."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cluster.links.columns import Columns, ColumnsError, ColumnsReader
from broker.cluster.links.frames import FRAME_ANSWER, JOIN_BYTES_MAX, FrameError, FrameReader, encode_frame

small = st.binary(max_size=20)
messages = st.lists(st.tuples(small, small, small, st.integers(0, 5), st.binary(min_size=5, max_size=60)), max_size=20)


def block_of(rows: list[tuple[bytes, bytes, bytes, int, bytes]]) -> bytes:
    columns = Columns()
    for first, second, reply, header_length, data in rows:
        columns.add(first, second, reply, header_length, data)
    return columns.encode()


def rows_of(block: bytes) -> list[tuple[bytes, bytes, bytes, int, bytes]]:
    reader = ColumnsReader(block)
    rows = []
    while reader.next():
        rows.append((reader.first, reader.second, reader.reply, reader.header_length, reader.data))
    return rows


@given(messages)
def test_a_block_says_what_was_put_in(rows: list[tuple[bytes, bytes, bytes, int, bytes]]) -> None:
    assert rows_of(block_of(rows)) == rows


@given(st.binary(max_size=80))
def test_any_bytes_are_a_block_or_an_error(garbage: bytes) -> None:
    with contextlib.suppress(ColumnsError):
        rows_of(garbage)


def test_a_count_that_the_block_cannot_hold_allocates_nothing() -> None:
    with pytest.raises(ColumnsError, match="more messages announced"):
        ColumnsReader(b"\xff\xff\xff\x7f" + bytes(100))


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_frames_do_not_depend_on_how_bytes_were_cut(bodies: list[bytes], rng: object) -> None:
    stream = b"".join(b"".join(encode_frame(FRAME_ANSWER, [body])) for body in bodies)
    reader, seen, position = FrameReader(), [], 0
    while position < len(stream):
        step = rng.randint(1, 40)  # type: ignore[attr-defined]
        seen += reader.feed(stream[position : position + step])
        position += step
    assert [body[1:] for body in seen] == bodies


@pytest.mark.parametrize("size", [JOIN_BYTES_MAX - 3, JOIN_BYTES_MAX - 2, 3 * JOIN_BYTES_MAX])
def test_a_frame_is_the_same_in_one_piece_and_in_parts(size: int) -> None:
    content = [b"a", bytes(range(256)) * (size // 256), b"z" * (size % 256), b"b"]
    frame = b"".join(encode_frame(FRAME_ANSWER, content))
    assert frame == b"".join(encode_frame(FRAME_ANSWER, [b"".join(content)]))
    assert FrameReader().feed(frame) == [bytes([FRAME_ANSWER]) + b"".join(content)]


def test_a_flipped_bit_or_a_wild_length_ends_the_connection() -> None:
    frame = bytearray(b"".join(encode_frame(FRAME_ANSWER, [b"hello"])))
    frame[-1] ^= 1
    with pytest.raises(FrameError, match="checksum"):
        FrameReader().feed(bytes(frame))
    with pytest.raises(FrameError, match="length"):
        FrameReader().feed(b"\xff" * 12)
