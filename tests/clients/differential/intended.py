"""Where TernMQ answers otherwise than nats-server on purpose: the one list of it, each with its reason.

A difference that is listed must be there: when it is gone, its entry has to go, too.
"""

from __future__ import annotations

# Conversation, beginning of the line whose answers differ, reason.
INTENDED: list[tuple[str, str, str]] = [
    (
        "requests that nobody knows",
        "quiet",
        "nats-server says nothing to a request that it does not know; here the asker gets `bad request` at once",
    ),
    (
        "purge of an empty stream",
        "STREAM.INFO",
        "a purge of a stream that never held a message changes nothing, so it says first_seq 0 as before, not 1",
    ),
    (
        "a duplicate with a wrong expectation",
        "pub S [Nats-Msg-Id: 1][Nats-Expected-Last-Sequence",
        "a retry whose first PubAck was lost gets its sequence, as nats-server has it for replicated streams; a lone "
        "nats-server looks at the last sequence first",
    ),
    (
        "a batch from a sequence on",
        'DIRECT.GET.S {"seq":1,"batch":2,"no_hdr":true}',
        "nats-server does not count down what is left when headers are not wanted; here the end of a batch tells it",
    ),
    *(
        (
            "consumer limits that consumers exceed",
            line,
            "the group that decides on updates knows no consumers: they stay",
        )
        for line in (
            'STREAM.UPDATE.S {"name":"S","consumer_limits":{"max_ack_pending":10}',
            'STREAM.UPDATE.S {"name":"S","consumer_limits":{"inactive',
            "STREAM.INFO",
        )
    ),
]


def reason_for(title: str, line: str) -> str:
    """Why the answers to a line differ; "" where they must not."""
    for conversation, beginning, reason in INTENDED:
        if conversation == title and line.startswith(beginning):
            return reason
    return ""
