"""Whatever a peer sends, a frame that makes no sense ends its link and nothing else."""

import random
from typing import Any

import cbor2
import pytest
from crash_disk import CrashDisk
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.cluster.links.columns import Columns
from broker.cluster.links.frames import (
    FRAME_BLOCK,
    FRAME_BLOCK_REQUEST,
    FRAME_RAFT,
    FRAME_REQUEST,
    FRAME_USAGE,
    FRAME_VIEW,
)
from broker.cluster.links.link import PeerLink
from broker.cluster.meta.identity import META_GROUP
from broker.config import JetStreamOptions, Options
from broker.node import BrokerNode
from raft.codec import encode_messages
from raft.messages import SNAPSHOT
from raft.types import Membership, Message, Snapshot

PEER = "PEER0001"
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["group", "block", "offset", "length", "gone", "x"]), inner, max_size=6)
    ),
    max_leaves=12,
)


class Room:
    """A node that runs alone, and a link to it."""

    def __init__(self) -> None:
        options = Options(server_name="n1")
        options.jetstream = JetStreamOptions(enabled=True, max_file=1 << 30, max_memory=1 << 30, log_file_bytes=1 << 18)
        self.node = BrokerNode(options, CrashDisk(random.Random(1)), random.Random(1))
        self.now_ns = 1_000_000_000
        self.link: Any = None
        for _ in range(20):
            self.turn()

    def turn(self) -> None:
        self.now_ns += 50_000_000
        self.node.tick(self.now_ns, self.now_ns)
        for job in self.node.turn(self.now_ns, self.now_ns).jobs:
            job.run()
            self.node.job_done(job, None)

    def hears(self, body: bytes) -> None:
        self.link = PeerLink(7, True, "host", 1)
        self.link.peer = PEER
        assert self.node.jetstream is not None
        self.node.jetstream.frames.received(self.link, body)
        self.turn()


@pytest.fixture(scope="module")
def room() -> Room:
    return Room()


@given(kind=st.integers(0, 12), content=st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes(room: Room, kind: int, content: bytes) -> None:
    room.hears(bytes((kind,)) + content)


@given(kind=st.sampled_from([FRAME_BLOCK_REQUEST, FRAME_USAGE, FRAME_VIEW]), value=values)
@settings(deadline=None)
def test_any_value(room: Room, kind: int, value: object) -> None:
    room.hears(bytes((kind,)) + cbor2.dumps(value))


@given(value=values, data=st.binary(max_size=20))
@settings(deadline=None)
def test_any_head_of_a_piece_of_a_block(room: Room, value: object, data: bytes) -> None:
    head = cbor2.dumps(value)
    room.hears(bytes((FRAME_BLOCK,)) + len(head).to_bytes(4, "little") + head + data)


def test_a_piece_that_was_asked_for_by_nobody(room: Room) -> None:
    room.hears(bytes((FRAME_BLOCK,)) + (5).to_bytes(4, "little") + cbor2.dumps([1]))
    assert room.link.close_reason.startswith("bad frame")


@given(value=values)
@settings(deadline=None)
def test_a_snapshot_that_is_none(room: Room, value: object) -> None:
    snapshot = Snapshot(1 << 40, 9, Membership(("PEER0001",)), cbor2.dumps(value))
    assert room.node.jetstream is not None
    message = Message(SNAPSHOT, META_GROUP, PEER, room.node.jetstream.peer, 1 << 40, snapshot=snapshot)
    room.node.links.links[PEER] = PeerLink(7, True, "host", 1)
    room.hears(bytes((FRAME_RAFT,)) + b"".join(encode_messages([message])))
    del room.node.links.links[PEER]


@pytest.mark.parametrize("subject", [b"", b"$JS.API", b"$JS.API.NONSENSE", b"\xff\xfe", b"a b"])
@pytest.mark.parametrize("group", [0, 1, 1 << 60])
def test_requests_about_nothing(room: Room, subject: bytes, group: int) -> None:
    columns = Columns()
    columns.add(subject, b"", b"reply", 0, b"{}")
    room.hears(bytes((FRAME_REQUEST,)) + group.to_bytes(8, "little") + columns.encode())
    room.turn()
