"""The peer codec: whatever is written is read back, and nothing else is read at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raft.codec import (
    decode_membership,
    decode_messages,
    decode_snapshot,
    encode_membership,
    encode_messages,
    encode_snapshot,
    is_beat,
)
from raft.errors import CodecError
from raft.messages import APPEND, COMMIT, HEARTBEAT, HEARTBEAT_RESPONSE, KIND_MAX, SNAPSHOT, VOTE
from raft.types import ENTRY_CONFIG, ENTRY_KIND_MAX, Entry, Membership, Message, Snapshot

numbers = st.integers(0, 2**63 - 1)
peer_ids = st.text("0123456789ABCxyz", min_size=1, max_size=8)


@st.composite
def memberships(draw: st.DrawFn) -> Membership:
    peers = draw(st.lists(peer_ids, unique=True, max_size=6))
    cut = draw(st.integers(0, len(peers)))
    return Membership(tuple(peers[:cut]), tuple(peers[cut:]))


snapshots = st.builds(Snapshot, numbers, numbers, memberships(), st.binary(max_size=50))


@st.composite
def messages(draw: st.DrawFn) -> Message:
    kind = draw(st.integers(1, KIND_MAX))
    message = Message(kind, draw(numbers), "senderAA", "receiver", draw(numbers))
    message.commit = draw(numbers)
    message.context = draw(numbers)
    if is_beat(kind):
        return message
    message.index = draw(st.integers(0, 2**62))
    message.log_term = draw(numbers)
    message.hint = draw(numbers)
    message.reject = draw(st.booleans())
    if kind == SNAPSHOT:
        message.snapshot = draw(snapshots)
    if kind == APPEND:
        for position in range(draw(st.integers(0, 4))):
            entry_kind = draw(st.integers(0, ENTRY_KIND_MAX))
            data = encode_membership(draw(memberships())) if entry_kind == ENTRY_CONFIG else draw(st.binary(max_size=9))
            entry = Entry(message.index + 1 + position, draw(numbers), entry_kind, data)
            message.entries = [*message.entries, entry]
    return message


@given(st.lists(messages(), min_size=1, max_size=6))
def test_round_trip(originals: list[Message]) -> None:
    body = b"".join(encode_messages(originals))
    beats_first = sorted(originals, key=lambda message: not is_beat(message.kind))
    assert decode_messages(body) == beats_first


@given(st.lists(messages(), min_size=1, max_size=3), st.data())
def test_every_cut_is_refused(originals: list[Message], data: st.DataObject) -> None:
    body = b"".join(encode_messages(originals))
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(CodecError):
        decode_messages(body[:cut])
    with pytest.raises(CodecError):
        decode_messages(body + b"\0")


@settings(max_examples=300)
@given(st.lists(messages(), min_size=1, max_size=3), st.data())
def test_damage_is_refused_or_means_something_else(originals: list[Message], data: st.DataObject) -> None:
    """A flipped byte may give another valid message (the frame has a checksum), never another kind of exception."""
    body = bytearray(b"".join(encode_messages(originals)))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode_messages(bytes(body))
    except CodecError:
        return
    assert b"".join(encode_messages(decoded))


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    for body in (noise, b"\x01" + noise, b"\x01\x01a\x01b" + noise):
        try:
            decode_messages(body)
        except CodecError:
            continue


@given(memberships())
def test_membership_round_trip(membership: Membership) -> None:
    assert decode_membership(encode_membership(membership)) == membership


@given(snapshots)
def test_snapshot_round_trip(snapshot: Snapshot) -> None:
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot


@pytest.mark.parametrize(
    "data",
    [b"", b"\x01", b"\x02\x01b\x01a\x00", b"\x01\x01a\x01\x01a", b"\x00\x00\x00", b"\x01\x01\xff\x00", b"\x01\x00\x00"],
)
def test_malformed_memberships(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode_membership(data)


def test_heartbeats_of_all_groups_travel_in_columns() -> None:
    """33 bytes a group and beat, whatever else is in the frame; a thousand quiet groups are one frame of 33 kB."""
    kinds = (HEARTBEAT, HEARTBEAT_RESPONSE, COMMIT)
    beats = [
        Message(kinds[group % 3], group, "n1", "n2", 5, commit=group, context=group % 7)
        for group in range(1000)
    ]
    vote = Message(VOTE, 3, "n1", "n2", 6, index=4, log_term=5)
    parts = encode_messages([vote, *beats])
    assert len(parts) < 10
    assert sum(len(part) for part in parts) < 33 * 1000 + 100
    assert decode_messages(b"".join(parts)) == [*beats, vote]


def test_entry_data_is_not_copied() -> None:
    data = b"x" * 1000
    parts = encode_messages([Message(APPEND, 1, "n1", "n2", 1, entries=[Entry(1, 1, 0, data)])])
    assert any(part is data for part in parts)


def test_a_lying_count_allocates_nothing() -> None:
    body = bytearray(b"".join(encode_messages([Message(VOTE, 1, "n1", "n2", 1)])))
    body[-4:] = b"\xff\xff\xff\xff"
    with pytest.raises(CodecError, match="more entries than bytes"):
        decode_messages(bytes(body))
