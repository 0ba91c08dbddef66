"""A header block read in one go says what looking for each header says."""

from effort import calls
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.jetstream.publishing.publish_headers import PublishHeaders, _number, header_value

TEXTS = {
    "message_id": b"Nats-Msg-Id",
    "expected_stream": b"Nats-Expected-Stream",
    "expected_subject": b"Nats-Expected-Last-Subject-Sequence-Subject",
    "expected_last_message_id": b"Nats-Expected-Last-Msg-Id",
    "ttl": b"Nats-TTL",
    "increment": b"Nats-Incr",
    "batch_id": b"Nats-Batch-Id",
    "stream_source": b"Nats-Stream-Source",
}
NUMBERS = {
    "expected_last_sequence": b"Nats-Expected-Last-Sequence",
    "expected_last_subject_sequence": b"Nats-Expected-Last-Subject-Sequence",
}
OTHERS = [b"Nats-Rollup", b"Nats-Batch-Sequence", b"Nats-Schedule-Next", b"Nats-Sched"]
key = st.sampled_from(
    [*TEXTS.values(), *NUMBERS.values(), *OTHERS, b"X", b"nats-ttl", b"Nats-", b"Nats-TTL ", b" Nats-TTL", b""]
)
VALUES = [b"", b" ", b" 5", b"5", b"  a b ", b"SUB", b"x:y", b"\r", b"\n", b"Nats-TTL: 1", b"9" * 21, b":"]
value = st.sampled_from(VALUES)
line = st.builds(lambda k, colon, v: k + colon + v, key, st.sampled_from([b":", b":", b"", b" :"]), value)
blocks = st.builds(
    lambda lines, end: b"NATS/1.0\r\n" + b"".join(each + b"\r\n" for each in lines) + end,
    st.lists(line, max_size=6),
    st.sampled_from([b"\r\n", b"", b"Nats-TTL: 7", b"\r\n\r\n"]),
)


@settings(max_examples=1000)
@given(blocks | st.binary(max_size=40))
def test_all_headers_are_those_that_are_found_one_by_one(block: bytes) -> None:
    read = PublishHeaders(block)
    for name, header in TEXTS.items():
        assert getattr(read, name) == header_value(block, header), name
    for name, header in NUMBERS.items():
        assert getattr(read, name) == _number(header_value(block, header)), name
    assert read.rollup == header_value(block, b"Nats-Rollup").lower()
    assert read.has_schedule == (b"\r\nNats-Schedule" in block)


def test_what_a_batch_says_is_not_looked_through_for_each_header() -> None:
    block = b"NATS/1.0\r\nNats-Batch-Id: b\r\nNats-Batch-Sequence: 7\r\n\r\n"
    assert calls(lambda: PublishHeaders(block)) < 25
