"""Fast batches: what waits behind a message that may be refused, silence, bounds, leaders that go, reply subjects."""

import json

import pytest

from broker.jetstream.api_errors import (
    FAST_BATCH_ID_UNKNOWN,
    TOO_MANY_FAST_BATCHES,
    WRONG_LAST_SEQUENCE,
    ApiError,
)
from broker.jetstream.ops import PublishBatch
from broker.jetstream.publishing.admission import may_be_refused
from broker.jetstream.publishing.batch_quota import FAST_MAX, BatchQuota
from broker.jetstream.publishing.fast_batches import (
    IDLE_NS,
    PING,
    FastBatches,
    FastMessage,
    FastOutput,
    HeldMessage,
    read_reply,
)
from jetstream.consumer_world import WALL, World

WRONG = WRONG_LAST_SEQUENCE.of(seq=9)


class Story(FastOutput):
    """One stream's batches; messages are stored when the story says so."""

    def __init__(self, quota: BatchQuota | None = None) -> None:
        self.batches = FastBatches(self, quota or BatchQuota())
        self.said: list[str] = []
        self.told: list[bytes] = []  # the reply subjects of PubAcks
        self.proposed: list[FastMessage] = []
        self.now_ns = 1
        self.sequence = 0

    def answer(self, message: FastMessage, payload: bytes) -> None:
        fields = json.loads(payload)
        self.said.append(" ".join(str(value) for key, value in fields.items() if key != "error"))

    def pub_ack(self, message: FastMessage, sequence: int, count: int) -> None:
        self.told.append(message.reply)
        self.said.append(f"stored {count}, the last one under {sequence}")

    def pub_ack_duplicate(self, message: FastMessage, sequence: int) -> None:
        self.said.append(f"duplicate of {sequence}")

    def refuse(self, message: FastMessage, error: ApiError) -> None:
        self.said.append(f"refused {error.err_code}")

    def release(self, held: HeldMessage) -> None:
        self.take(held.message, risky=held.data == b"risky")

    def say(self, sequence: int, operation: int = 1, gap: str = "fail", flow: int = 10, risky: bool = False) -> None:
        message = read_reply(f"f.b.{flow}.{gap}.{sequence}.{operation}.$FI".encode(), "")
        assert message is not None
        self.take(message, risky)

    def take(self, message: FastMessage, risky: bool) -> None:
        if self.batches.take(message, risky, b"s.a", 0, b"risky" if risky else b"x", self.now_ns):
            self.proposed.append(message)

    def store(self, count: int = 1) -> None:
        for _ in range(count):
            self.sequence += 1
            self.batches.stored(self.proposed.pop(0), self.sequence)

    def heard(self) -> list[str]:
        said, self.said = self.said, []
        return said


def test_behind_a_message_that_may_be_refused_the_batch_waits():
    story = Story()
    story.say(1, 0)
    story.say(2, risky=True)
    story.say(3)
    story.say(4, 2)
    assert [message.sequence for message in story.proposed] == [1, 2]
    assert story.batches.held_bytes > 0
    story.store(2)
    assert [message.sequence for message in story.proposed] == [3, 4]
    assert story.batches.held_bytes == 0
    story.store(2)
    assert story.heard() == ["ack 0 10", "stored 4, the last one under 4"]


def test_when_it_is_refused_nothing_behind_it_is_stored():
    story = Story()
    story.say(1, 0)
    story.say(2, risky=True)
    story.say(3)
    story.say(4, 2)
    story.store()
    story.batches.refused(story.proposed.pop(0), WRONG)
    assert story.proposed == []
    assert story.heard() == ["ack 0 10", "err 2", "stored 1, the last one under 1", "refused 10208", "refused 10208"]


def test_one_after_the_other_may_be_refused():
    story = Story()
    story.say(1, 0, risky=True)
    for sequence in range(2, 6):
        story.say(sequence, risky=True)
    for sequence in range(1, 6):
        assert [message.sequence for message in story.proposed] == [sequence]
        story.store()
    assert story.batches.held_bytes == 0


def test_a_batch_that_bears_gaps_does_not_wait():
    story = Story()
    story.say(1, 0, gap="ok")
    story.say(2, gap="ok", risky=True)
    story.say(3, gap="ok")
    assert len(story.proposed) == 3
    story.store()
    story.batches.refused(story.proposed.pop(0), WRONG)
    story.store()
    story.say(4, 3, gap="ok")
    assert story.heard() == ["ack 0 10", "err 2", "stored 3, the last one under 2"]


def test_acks_come_every_so_many_messages():
    story = Story()
    story.say(1, 0, flow=3)
    for sequence in range(2, 10):
        story.say(sequence)
    story.store(8)
    assert story.heard() == ["ack 0 3", "ack 3 3", "ack 6 3"]
    story.store()
    assert story.heard() == ["ack 9 3"]


def test_who_ends_a_batch_is_told_although_others_are_stored_after_it_came():
    story = Story()
    story.say(1, 0)
    story.say(2)
    story.say(3, 3)
    assert story.heard() == ["ack 0 10"]
    story.store(2)
    assert story.heard() == ["stored 2, the last one under 2"]
    assert story.told == [b"f.b.10.fail.3.3.$FI"]


def test_a_silent_batch_is_forgotten():
    quota = BatchQuota()
    story = Story(quota)
    story.say(1, 0, risky=True)
    story.say(2)
    deadline = story.batches.next_deadline_ns()
    assert deadline == 1 + IDLE_NS
    story.now_ns = 5
    story.say(3)
    story.batches.expire(deadline)
    assert quota.fast == 1
    assert story.batches.next_deadline_ns() == 5 + IDLE_NS
    story.batches.expire(5 + IDLE_NS)
    assert (quota.fast, story.batches.held_bytes, story.batches.next_deadline_ns()) == (0, 0, 0)
    story.store()  # what was under way is stored, and nobody is told
    story.heard()
    story.say(4)
    assert story.heard() == [f"refused {FAST_BATCH_ID_UNKNOWN.err_code}"]


def test_batches_are_gone_with_the_leader():
    quota = BatchQuota()
    story = Story(quota)
    story.say(1, 0, risky=True)
    story.say(2)
    story.batches.clear()
    assert (quota.fast, story.batches.held_bytes, story.batches.next_deadline_ns()) == (0, 0, 0)


def test_a_node_holds_so_many_batches():
    quota = BatchQuota()
    quota.fast = FAST_MAX
    story = Story(quota)
    story.say(1, 0)
    assert story.heard() == [f"refused {TOO_MANY_FAST_BATCHES.err_code}"]


@pytest.mark.parametrize(
    "reply",
    [".$FI", "..$FI", "1.fail.1.0.$FI", "b.1.fail.1.$FI", "b.1.fail.1.9.$FI", "b.1.fail.1.00.$FI",
     "b.1.fail.18446744073709551615.1.$FI", "b.1.fail.²3.1.$FI", "b.1.FAIL.2.1.$FI"],
)  # fmt: skip
def test_reply_subjects_that_are_none(reply):
    assert read_reply(reply.encode(), "") is None


def test_the_flow_that_a_client_asks_for_has_bounds():
    flows = {"1": 1, "0": 10, "-5": 10, "x": 10, "65536": 65535, "9" * 30: 10}
    for asked, granted in flows.items():
        message = read_reply(f"any.prefix.b.{asked}.ok.1.0.$FI".encode(), "")
        assert message is not None
        assert (message.flow, message.batch_id) == (granted, b"b")


@pytest.mark.parametrize(
    ("config", "header", "risky"),
    [
        ({}, b"", False),
        ({}, b"NATS/1.0\r\nColour: red\r\n\r\n", False),
        ({}, b"NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n", False),
        ({}, b"NATS/1.0\r\nNats-Expected-Last-Sequence: 1\r\n\r\n", True),
        ({"max_msgs": 4}, b"", False),
        ({"max_msgs": 4, "discard": "new"}, b"", False),
        ({"max_msgs": 3, "discard": "new"}, b"", True),
        ({"max_bytes": 100_000, "discard": "new"}, b"", False),
        ({"max_bytes": 10_000, "discard": "new"}, b"", True),
    ],
)
def test_what_may_be_refused(config, header, risky):
    world = World(**config)
    world.publish(2)
    assert may_be_refused(world.machine, 9, len(header), header + b"x") is risky


def test_messages_under_way_count_as_if_they_were_small():
    batch = PublishBatch()
    for _ in range(50):
        batch.add(b"s", 0, b"")
    body = batch.encode(WALL)
    world = World(max_msgs=52, discard="new")
    world.publish(2)
    assert may_be_refused(world.machine, len(body), 0, b"")


def test_a_ping_begins_no_batch() -> None:
    """As with nats-server: who asks how far a batch got whose leader is gone is told so, even of a batch of one."""
    story = Story()
    story.say(1, PING)
    assert story.heard() == [f"refused {FAST_BATCH_ID_UNKNOWN.err_code}"]
