"""Where TernMQ answers otherwise than nats-server on purpose: the one list of it, each with its reason.

A difference that is listed must be there: when it is gone, its entry has to go, too.
"""

from __future__ import annotations

# Conversation, beginning of the line whose answers differ, reason.
INTENDED: list[tuple[str, str, str]] = [
    (
        "requests: requests that nobody knows",
        "",
        "nats-server says nothing to a request that it does not know; here the asker gets `bad request` at once",
    ),
    (
        "messages: purge of an empty stream",
        "STREAM.INFO",
        "a purge of a stream that never held a message changes nothing, so it says first_seq 0 as before, not 1",
    ),
    (
        "publishing: a duplicate with a wrong expectation",
        "pub S [Nats-Msg-Id: 1][Nats-Expected-Last-Sequence",
        "a retry whose first PubAck was lost gets its sequence, as nats-server has it for replicated streams; a lone "
        "nats-server looks at the last sequence first",
    ),
    (
        "direct_batches: a batch from a sequence on",
        'DIRECT.GET.S {"seq":1,"batch":2,"no_hdr":true}',
        "nats-server does not count down what is left when headers are not wanted; here the end of a batch tells it",
    ),
    (
        "streams_update: consumer limits that consumers exceed",
        "STREAM.",
        "the group that decides on updates does not know the consumers: those that are there keep what they have",
    ),
    (
        "consumers_create: everything a push consumer may say",
        "CONSUMER.",
        "start times are told in UTC, whatever zone they were given in",
    ),
    (
        "consumers_update: an ephemeral one becomes durable",
        "CONSUMER.",
        "nats-server leaves such a durable the inactive threshold of its ephemeral past, and deletes it after 5 s",
    ),
    (
        "consumers_create: names in subject and body",
        'CONSUMER.CREATE.S.C {"stream_name":"S","config":{"durable_name":"C","name":"D"}}',
        "the same: it was ephemeral a line before",
    ),
    (
        "consumers_create: names at their limit",
        "CONSUMER.CREATE.S.<n*256>",
        "nats-server looks at a name's length only after it could not make a directory of it",
    ),
    (
        "consumers_create: actions",
        'CONSUMER.CREATE.S.C {"stream_name":"S","config":{"name":"C","ack_policy":"explicit"},"action":"create"}',
        "the very same ephemeral consumer may be created again, as a durable may; nats-server compares before defaults",
    ),
    (
        "acks: delivered as often as may be",
        "CONSUMER.INFO",
        "a message that was given up no longer holds the ack floor back; nats-server moves it with the next ack",
    ),
    (
        "acks: delivered once only",
        "CONSUMER.INFO",
        "the same",
    ),
    (
        "push: nobody acknowledges in time",
        "CONSUMER.INFO",
        "the same",
    ),
    (
        "retention: a work queue and what was delivered too often",
        "CONSUMER.INFO",
        "the same",
    ),
    *(
        (title, line, "a consumer does not deliver into another stream; that is what sources are for")
        for title, line in (
            ("bad_input: half of a character", 'CONSUMER.CREATE.S.D {"stream_name":"S","config":{"name":"D","deliver'),
            ("push: deliveries into another stream", ""),
        )
    ),
    (
        "retention: nobody is interested",
        "STREAM.INFO",
        "last_ts is that of the last message that was stored, not of one that nobody wanted",
    ),
]


def reason_for(title: str, line: str) -> str:
    """Why the answers to a line differ; "" where they must not."""
    for conversation, beginning, reason in INTENDED:
        if conversation == title and line.startswith(beginning):
            return reason
    return ""
