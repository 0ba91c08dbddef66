"""Every field of a stream and of a consumer with values that it was not made for: the same refusals, word for word,
from both servers, and what is refused changes nothing.

What must differ is in DIFFERS. Left out are numbers that Go writes `-0` and halves of characters, as their texts
differ, and `republish` with nothing but a source, which nats-server takes for two things: on creation for one without a
destination, on updates for one to `>`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from clients.differential.player import Connection, _ask, clear
from clients.servers import Node
from clients.waiting import wait_until

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

VALUES = [
    "0", "1", "-1", "-9223372036854775808", "9223372036854775807", "9223372036854775808", "18446744073709551615",
    "18446744073709551616", "1e3", "1.5", "1e400", '"x"', '""', "null", "true", "[]", "[1]", '["x"]', "[null]", "{}",
    '{"a":1}', "[[[[]]]]", '"1970-01-01T00:00:00Z"', '"2024-13-01T00:00:00Z"', '"a b"', '">"', '"*"', '"."', '"$JS.x"',
]  # fmt: skip
STREAM_FIELDS = (
    "description subjects retention max_consumers max_msgs max_bytes max_age max_msgs_per_subject max_msg_size discard "
    "storage num_replicas no_ack duplicate_window placement mirror sources compression first_seq subject_transform "
    "republish allow_direct mirror_direct discard_new_per_subject sealed deny_delete deny_purge allow_rollup_hdrs "
    "consumer_limits allow_msg_ttl subject_delete_marker_ttl allow_msg_counter allow_atomic allow_msg_schedules "
    "persist_mode allow_batched metadata pedantic bogus"
)
CONSUMER_FIELDS = (
    "durable_name name description deliver_policy opt_start_seq opt_start_time ack_wait max_deliver backoff "
    "filter_subject filter_subjects replay_policy rate_limit_bps sample_freq max_waiting max_ack_pending flow_control "
    "headers_only max_batch max_expires max_bytes deliver_group idle_heartbeat inactive_threshold num_replicas "
    "mem_storage direct sourcing metadata pause_until priority_groups priority_policy priority_timeout bogus"
)
NESTED = {
    "placement": "cluster tags preferred",
    "mirror": "name opt_start_seq opt_start_time filter_subject external consumer",
    "subject_transform": "src dest",
    "republish": "dest headers_only",
    "consumer_limits": "inactive_threshold max_ack_pending",
}
HUGE = ("9223372036854775807", "9223372036854775808", "18446744073709551615")
DIFFERS = {
    **{("first_seq", value): "sequences end at 2^62, so that none ever overflows" for value in HUGE},
    ("opt_start_time", '"1970-01-01T00:00:00Z"'): "the beginning of time is no time",
    ("sourcing", "true"): "only servers have such consumers",
}


def stream_requests(verb: str, name: str) -> Iterator[tuple[str, str, str, str]]:
    """Field, value, subject, body."""
    for field in STREAM_FIELDS.split():
        for value in VALUES:
            yield field, value, f"{verb}.{name}", f'{{"name":"{name}","{field}":{value}}}'
    for outer, fields in NESTED.items():
        for field in fields.split():
            for value in VALUES:
                yield field, value, f"{verb}.{name}", f'{{"name":"{name}","{outer}":{{"{field}":{value}}}}}'


def consumer_requests(base: str) -> Iterator[tuple[str, str, str, str]]:
    for field in CONSUMER_FIELDS.split():
        for value in VALUES:
            config = f'{{"durable_name":"C",{base},"{field}":{value}}}'
            yield field, value, "CONSUMER.CREATE.U.C", f'{{"stream_name":"U","config":{config}}}'


REQUESTS = {
    "streams are created": list(stream_requests("STREAM.CREATE", "S")),
    "streams are updated": list(stream_requests("STREAM.UPDATE", "U")),
    "pull consumers are created": list(consumer_requests('"ack_policy":"explicit"')),
    "push consumers are created": list(consumer_requests('"ack_policy":"all","deliver_subject":"d"')),
}


class Server:
    """One of the two, with the stream U."""

    def __init__(self, node: Node) -> None:
        self.client = Connection(node.client_port, "fields")
        self.renew()

    def ask(self, subject: str, body: str = "") -> dict[str, object]:
        self.client.publish("$JS.API." + subject, self.client.fresh_inbox(), [], body)
        while not self.client.messages:
            assert self.client.read(4.0), f"no answer to {subject} {body[:200]}"
        return self.client.messages.pop().decoded()

    def renew(self) -> None:
        self.ask("STREAM.DELETE.U")
        # nats-server removes files a little later, and now and then cannot make a stream of that name meanwhile.
        wait_until("the stream U", lambda: "error" not in self.ask("STREAM.CREATE.U", '{"name":"U"}'))

    def refusal(self, subject: str, body: str) -> str:
        """What it says against it; "" when it accepts it, and then it is undone."""
        answer = self.ask(subject, body)
        if "error" in answer:
            return json.dumps(answer["error"])
        if subject.startswith("CONSUMER"):
            self.ask(f"CONSUMER.DELETE.U.{answer['name']}")
        elif subject.endswith(".S"):
            self.ask("STREAM.DELETE.S")
        else:
            self.renew()
        return ""

    def state(self) -> list[object]:
        info = self.ask("STREAM.INFO.U")
        return [info["config"], info["state"], self.ask("STREAM.NAMES")["streams"], self.ask("CONSUMER.NAMES.U")]


@pytest.mark.parametrize("name", REQUESTS)
def test_the_same_refusals(name: str, reference: Node, ours: Node) -> None:
    theirs, mine = Server(reference), Server(ours)
    before = mine.state()
    different = []
    for field, value, subject, body in REQUESTS[name]:
        wanted, got = theirs.refusal(subject, body), mine.refusal(subject, body)
        if (field, value) in DIFFERS:
            continue
        if wanted != got:
            different.append(
                f"{subject} {body}\n  nats-server: {wanted or 'accepts it'}\n  ours: {got or 'accepts it'}"
            )
    after = mine.state()
    for server in (theirs, mine):
        server.client.socket.close()
    clear(reference.client_port)
    clear(ours.client_port)
    assert not different, "\n".join(different)
    assert after == before, "what was refused or undone has left something behind"


def test_nobody_asks_in_vain(ours: Node) -> None:
    """The list of what differs names fields and values that are asked for."""
    asked = {(field, value) for requests in REQUESTS.values() for field, value, _, _ in requests}
    assert set(DIFFERS) <= asked
    admin = Connection(ours.client_port, "admin")
    assert _ask(admin, "$JS.API.INFO")["streams"] == 0
    admin.socket.close()
