"""Whatever clients say, in any order: no replica ends, all stand alike, and a snapshot loses nothing.

A stream's machine is fed with what a leader would propose, made of headers, subjects and configurations that are odd
in every way that a client can be. A failure names its seed.
"""

import random

import pytest

from broker.jetstream.ops import (
    OP_ATOMIC_PUBLISH,
    OP_EXPIRE,
    OP_PUBLISH,
    OP_PURGE,
    PublishBatch,
    PurgeOp,
    encode_expire,
    encode_purge,
)
from broker.jetstream.publishing.admission import admit
from jetstream.consumer_world import SECOND, World

SEEDS = 60
STEPS = 30
DIGITS = b"9" * 5000
HEADERS = [
    b"Nats-Msg-Id", b"Nats-TTL", b"Nats-Rollup", b"Nats-Expected-Stream", b"Nats-Expected-Last-Sequence",
    b"Nats-Expected-Last-Subject-Sequence", b"Nats-Expected-Last-Subject-Sequence-Subject",
    b"Nats-Expected-Last-Msg-Id", b"Nats-Incr", b"Nats-Schedule", b"Nats-Schedule-Target", b"Nats-Scheduler",
    b"Nats-Batch-Id", b"Nats-Batch-Sequence", b"Nats-Batch-Commit", b"Nats-Required-Api-Level", b"Nats-Marker-Reason",
    b"Nats-Stream-Source", b"nats-ttl", b"X", b"",
]  # fmt: skip
VALUES = [
    b"", b"0", b"1", b"-1", b" 1 ", b"+1", b"1e3", b"0x10", b"1_000", b"\xd9\xa1", b"sub", b"all", b"never", b"1s",
    b"10m", b"9223372036854775807", b"9223372036854775808", b"18446744073709551615", DIGITS, DIGITS + b"s", b"\xff\xfe",
    b"x" * 100, b"x" * 60_000, b"S", b"a:b", b"s.a", b"s.*", b"s.>", b">", b"..",
    b"@every 1s", b"@every 2562047h", b"@every " + DIGITS + b"s", b"@at 9999-12-31T23:59:59Z", b"@daily",
    b"@at 1677-09-21T00:12:43Z", b"* * * * * *", b"0 0 0 31 2 *", DIGITS + b" * * * * *",
    b"*/" + DIGITS + b" * * * * *",
]  # fmt: skip
BLOCKS = [
    b"NATS/1.0\r\n\r\n", b"NATS/1.0 503\r\n\r\n", b"NATS/1.0\r\n", b"junk", b"\r\n\r\n",
    b"NATS/1.0\r\nNats-TTL\r\n\r\n", b"NATS/1.0\r\nNats-Msg-Id:\r\n\r\n",
    b"NATS/1.0\r\nNats-Expected-Stream: S", b"NATS/1.0\r\n: x\r\n\r\n", bytes(20),
]  # fmt: skip
SUBJECTS = [b"s.a", b"s.b", b"s.a.b", b"s.\xff", b"s.*", b"s.>", b"s." + b"x" * 9000, b"s.\x00", b"s..a", b"s.a."]
TTLS = {"allow_msg_ttl": True, "allow_rollup_hdrs": True}
STREAMS: list[dict[str, object]] = [
    {},
    TTLS,
    {**TTLS, "subject_delete_marker_ttl": 5 * SECOND, "max_age": 3 * SECOND},
    {**TTLS, "subject_delete_marker_ttl": 2 * SECOND, "max_msgs_per_subject": 1},
    {"retention": "interest"},
    {"retention": "workqueue"},
    {"discard": "new", "max_msgs": 5},
    {"discard": "new", "max_bytes": 3000, "max_msgs_per_subject": 2},
    {"discard": "new", "max_msgs_per_subject": 1, "discard_new_per_subject": True},
    {"max_msg_size": 100},
    {"duplicate_window": SECOND, "max_age": 2 * SECOND},
    {"republish": {"src": ">", "dest": "r.>"}},
    {"allow_atomic": True, **TTLS},
    {"allow_msg_counter": True},
    {"allow_msg_schedules": True, **TTLS},
]
CONSUMERS: list[dict[str, object]] = [
    {},
    {"ack_policy": "none"},
    {"ack_policy": "all"},
    {"filter_subject": "s.a"},
    {"max_deliver": 2, "ack_wait": SECOND},
    {"max_ack_pending": 2},
    {"headers_only": True},
    {"deliver_policy": "last_per_subject", "filter_subject": "s.>"},
]
ACKS = [b"", b"+ACK", b"-NAK", b'-NAK {"delay": 1}', b"-NAK " + DIGITS, b"+TERM x\xff", b"+WPI", b"+NXT", b"junk"]


class Story:
    """One stream, and clients by chance."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.world = World(**self.rng.choice(STREAMS))

    def headers(self) -> bytes:
        rng = self.rng
        kind = rng.random()
        if kind < 0.3:
            return b""
        if kind < 0.4:
            return rng.choice(BLOCKS)
        fields = [rng.choice(HEADERS) + rng.choice([b": ", b":", b" : "]) + rng.choice(VALUES) for _ in range(3)]
        return b"NATS/1.0\r\n" + b"\r\n".join(fields[: rng.randrange(1, 4)]) + b"\r\n\r\n"

    def publish(self) -> None:
        rng, world = self.rng, self.world
        batch = PublishBatch()
        for _ in range(rng.randrange(1, 6)):
            headers, subject = self.headers(), rng.choice(SUBJECTS)
            data = headers + b"p" * rng.choice([0, 1, 200])
            if admit(world.machine, subject, len(headers), data) is None:
                batch.add(subject, len(headers), data)
        if batch.count:
            kind = OP_ATOMIC_PUBLISH if rng.random() < 0.3 else OP_PUBLISH
            world.proposed.append((kind, batch.encode(world.wall_ns), True, None))
            world.turn()

    def consume(self) -> None:
        for name in list(self.world.machine.consumers):
            for message in self.world.pull(name, batch=self.rng.randrange(1, 5)):
                self.world.ack(message, self.rng.choice(ACKS), reply=self.rng.choice(["", "sure"]))

    def change(self) -> None:
        rng, world = self.rng, self.world
        choice = rng.randrange(4)
        if choice == 0:
            purge = PurgeOp(rng.choice([b"", *SUBJECTS]), rng.choice([0, 3, 1 << 63]), rng.choice([0, 1, 1 << 63]))
            world.proposed.append((OP_PURGE, encode_purge(world.wall_ns, purge), True, None))
        elif choice == 1:
            world.proposed.append((OP_EXPIRE, encode_expire(world.wall_ns), False, None))
        elif choice == 2:
            world.advance(rng.randrange(1, 4) * SECOND)
        else:
            world.change_leader(rng.random() < 0.5)
        world.turn()

    def check(self) -> None:
        """All alike, and a snapshot loses nothing."""
        snapshots = [machine.snapshot() for machine in self.world.machines]
        assert snapshots == [snapshots[0]] * len(snapshots)
        for machine in self.world.machines:
            machine.restore(snapshots[0])
            assert machine.snapshot() == snapshots[0]
        self.world.change_leader()

    def tell(self) -> None:
        for _ in range(STEPS):
            deed = self.rng.choice([self.publish, self.publish, self.publish, self.consume, self.change])
            deed()
            if self.rng.random() < 0.1:
                self.world.create(self.rng.choice("CDE"), **self.rng.choice(CONSUMERS))
        self.check()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_ends_a_replica(seed: int) -> None:
    Story(seed).tell()
