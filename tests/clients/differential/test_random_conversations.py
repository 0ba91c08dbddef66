"""Conversations that nobody wrote: valid operations in any order, with nats-server and with ours; the same answers to
each, the same state at the end.

Hypothesis draws them, and makes those short in which the two differ. Nothing in them depends on time. Always the same
ones are drawn; TERNMQ_RANDOM_CONVERSATIONS=500 draws so many others.
"""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from clients.differential.comparison import differences
from clients.differential.conversation import Conversation, Line
from clients.servers import Node

pytestmark = [pytest.mark.clients, pytest.mark.timeout(900)]

MANY = int(os.environ.get("TERNMQ_RANDOM_CONVERSATIONS", "0"))

# As `intended` has it: the time of a message that nobody was interested in. And what is pending behind a delivery: in
# nats-server a consumer counts a new message a little after it was stored.
OVERLOOKED = r'"last_ts": "[^"]*"|(?<=<time>)\.\d+'
# After messages were removed it is miscounted for good, until the consumer has seen the end of the stream.
UNCOUNTED = OVERLOOKED + r'|"num_pending": \d+'

subject = st.sampled_from(["s.a", "s.b", "s.c", "s.a.x"])
sequence = st.integers(0, 12)
number = st.integers(0, 50)
consumer = st.sampled_from(["A", "B"])
pattern = st.sampled_from(["s.a", "s.b", "s.*", "s.>", "s.a.*"])

publish = st.builds("pub {} x{}".format, subject, number)
publish_with_id = st.builds("pub {} [Nats-Msg-Id: {}] y".format, subject, st.integers(1, 4))
publish_expecting = st.builds("pub {} [Nats-Expected-Last-Subject-Sequence: {}] z".format, subject, sequence)
rolled_up = st.builds("pub {} [Nats-Rollup: {}] r".format, subject, st.sampled_from(["sub", "all"]))
fetch = st.builds('CONSUMER.MSG.NEXT.S.{} {{"batch":{},"no_wait":true}} => end'.format, consumer, st.integers(1, 4))
answered = st.builds("req $~{} {}".format, number, st.sampled_from(["+ACK", "+ACK", "+ACK", "-NAK", "+TERM", "+WPI"]))
deleted = st.builds('STREAM.MSG.DELETE.S {{"seq":{}}}'.format, st.integers(1, 12))
gotten = st.builds('STREAM.MSG.GET.S {{"next_by_subj":"{}","seq":{}}}'.format, pattern, sequence)
purged = st.one_of(
    st.just("STREAM.PURGE.S"),
    st.builds('STREAM.PURGE.S {{"seq":{}}}'.format, sequence),
    st.builds('STREAM.PURGE.S {{"keep":{}}}'.format, sequence),
    st.builds('STREAM.PURGE.S {{"filter":"{}"}}'.format, pattern),
    st.builds('STREAM.PURGE.S {{"filter":"{}","keep":{}}}'.format, pattern, st.integers(1, 3)),
)
ADDING = [publish, publish, publish, publish_with_id, publish_expecting, fetch, fetch, answered, answered, answered,
          gotten]  # fmt: skip
REMOVING = [rolled_up, deleted, purged]

limits = st.fixed_dictionaries(
    {},
    optional={
        "max_msgs": st.integers(1, 6),
        "max_msgs_per_subject": st.integers(1, 3),
        "max_bytes": st.integers(60, 300),
        "discard": st.sampled_from(["old", "new"]),
        "storage": st.sampled_from(["file", "memory"]),
    },
)


@st.composite
def conversations(draw: st.DrawFn, operations: list[st.SearchStrategy[str]], changing: bool) -> list[str]:
    """A stream with two consumers, what happens to them, and how they are at the end."""
    retention = draw(st.sampled_from(["limits", "limits", "interest", "workqueue"]))
    fields = {"name": "S", "subjects": ["s.>"], "retention": retention, "allow_rollup_hdrs": True, **draw(limits)}
    acks = "explicit" if retention == "workqueue" else draw(st.sampled_from(["explicit", "explicit", "all", "none"]))
    filters = ["s.a", "s.b"] if retention == "workqueue" else [draw(pattern), draw(pattern)]
    lines = [f"STREAM.CREATE.S {written(fields)}"]
    for name, wanted in zip("AB", filters, strict=True):
        config = {"durable_name": name, "ack_policy": acks, "filter_subject": wanted}
        lines.append(f"CONSUMER.CREATE.S.{name} {written({'stream_name': 'S', 'config': config})}")
    if changing:
        operations = [*operations, limits.map(lambda other: updated(fields, other))]
    lines.append("pub s.c first")  # a stream that never held a message is told otherwise on purpose
    lines += draw(st.lists(st.one_of(operations), min_size=3, max_size=25))
    return [*lines, "quiet 20", 'STREAM.INFO.S {"subjects_filter":">","deleted_details":true}',
            "CONSUMER.INFO.S.A", "CONSUMER.INFO.S.B"]  # fmt: skip


def updated(fields: dict[str, object], other: dict[str, object]) -> str:
    """The stream with other limits."""
    kept = {name: fields[name] for name in ("name", "subjects", "retention", "allow_rollup_hdrs")}
    return f"STREAM.UPDATE.S {written({**kept, **other, 'storage': fields.get('storage', 'file')})}"


def written(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


drawn = settings(
    max_examples=MANY or 40, deadline=None, derandomize=not MANY, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip


@drawn
@given(lines=conversations(ADDING, False))
def test_publish_fetch_and_acknowledge(reference: Node, ours: Node, lines: list[str]) -> None:
    compare(lines, reference, ours, OVERLOOKED)


@drawn
@given(lines=conversations(ADDING + REMOVING, True))
def test_delete_purge_roll_up_and_update_between(reference: Node, ours: Node, lines: list[str]) -> None:
    compare(lines, reference, ours, UNCOUNTED)


def compare(lines: list[str], reference: Node, ours: Node, overlooked: str) -> None:
    note("\n".join(lines))
    conversation = Conversation("random", [Line(line, "random") for line in lines])
    found = differences(conversation, reference, ours, overlooked)
    if found:  # nats-server does some things a little later; what it does twice alike counts
        found = differences(conversation, reference, ours, overlooked)
    assert not found, "\n\n".join(found)
