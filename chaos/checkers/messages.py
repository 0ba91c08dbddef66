"""Published messages against what the stream holds: lost, stored twice, changed, out of order, never sent.

Most of it is the checker of the client tests (clients.history.judge); added here: what a server said it refused and
stored nevertheless, one sequence for two messages, and real-time order: whoever had an acknowledgement before another
began has the smaller sequence (the stream is a linearizable log).
"""

from __future__ import annotations

from collections.abc import Callable

from clients.history import Publish, Stored, judge

from chaos.history import FAILED, OK, Operation

KINDS = {
    "lost": "acknowledged and lost", "stored twice": "stored twice", "changed": "changed", "moved": "moved",
    "never sent": "never sent", "hole": "hole in sequences",
}  # fmt: skip


def check_messages(
    sent: list[Operation], stored: list[Stored], payload_of: Callable[[str], bytes]
) -> dict[str, list[str]]:
    """Broken promises by kind; every kind that was looked for is a key. `stored` in order of sequence."""
    found: dict[str, list[str]] = {kind: [] for kind in KINDS.values()}
    publishes = [
        Publish(each.value, payload_of(each.value), each.sequence if each.outcome == OK else 0, each.end_s)
        for each in sent
    ]
    named = [Stored(each.sequence, value_in(each.payload), each.payload) for each in stored]
    for complaint in judge(publishes, named):
        kind, _, case = complaint.partition(": ")
        found[KINDS[kind]].append(case)
    present = {each.message_id for each in named}
    found["refused and stored"] = [
        f"{each.value}: {each.note}" for each in sent if each.outcome == FAILED and each.value in present
    ]
    found["one sequence for two"] = sequences_given_twice(sent)
    found["out of order"] = out_of_order(sent)
    return found


def value_in(payload: bytes) -> str:
    """The value that a padded payload begins with."""
    return payload.rstrip(b".").decode(errors="replace")


def sequences_given_twice(sent: list[Operation]) -> list[str]:
    """Acknowledgements of different messages that name the same sequence."""
    owners: dict[int, str] = {}
    cases = []
    for each in sent:
        if each.outcome == OK and owners.setdefault(each.sequence, each.value) != each.value:
            cases.append(f"{each.sequence}: {owners[each.sequence]} and {each.value}")
    return cases


def out_of_order(sent: list[Operation]) -> list[str]:
    """Messages with a smaller sequence than one that was acknowledged before they were sent."""
    acknowledged = [each for each in sent if each.outcome == OK]
    ended = sorted(acknowledged, key=lambda each: each.end_s)
    cases = []
    highest: Operation | None = None
    at = 0
    for each in sorted(acknowledged, key=lambda each: each.start_s):
        while at < len(ended) and ended[at].end_s < each.start_s:
            if highest is None or ended[at].sequence > highest.sequence:
                highest = ended[at]
            at += 1
        if highest is not None and each.sequence <= highest.sequence and each is not highest:
            cases.append(f"{each.value} at {each.sequence}, sent after {highest.value} was told {highest.sequence}")
    return cases
