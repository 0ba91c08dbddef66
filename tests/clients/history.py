"""The history of a publishing workload, and the checker that judges it against what the stream holds afterwards.

Pure: no client, no clock of its own. Promises checked: what was acknowledged is stored, at the acknowledged sequence
and with the published bytes; nothing is stored twice; nothing is stored that nobody sent; sequences have no holes.
A message that was never acknowledged may be stored or not. Its own tests: test_clients_history.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise


@dataclass
class Publish:
    """One message of one publisher and what became of it. `sequence` is 0 until it is acknowledged."""

    message_id: str
    payload: bytes
    sequence: int = 0
    acked_at_s: float = 0.0


@dataclass(frozen=True)
class Stored:
    """One message as it was read back."""

    sequence: int
    message_id: str
    payload: bytes


def judge(sent: list[Publish], stored: list[Stored]) -> list[str]:
    """Broken promises, one line each; an empty list is a good history."""
    by_id = {publish.message_id: publish for publish in sent}
    found: dict[str, int] = {}
    complaints: list[str] = []
    expected = stored[0].sequence if stored else 0
    for message in stored:
        if message.sequence != expected:
            complaints.append(f"hole: sequence {expected} expected, {message.sequence} found")
        expected = message.sequence + 1
        if message.message_id in found:
            complaints.append(
                f"stored twice: {message.message_id} at {found[message.message_id]} and {message.sequence}"
            )
        found.setdefault(message.message_id, message.sequence)
        publish = by_id.get(message.message_id)
        if publish is None:
            complaints.append(f"never sent: {message.message_id} at {message.sequence}")
        elif publish.payload != message.payload:
            complaints.append(f"changed: {message.message_id} at {message.sequence}")
    for publish in sent:
        if not publish.sequence:
            continue
        at = found.get(publish.message_id)
        if at is None:
            complaints.append(f"lost: {publish.message_id} was acknowledged at {publish.sequence}")
        elif at != publish.sequence:
            complaints.append(f"moved: {publish.message_id} acknowledged at {publish.sequence}, stored at {at}")
    return complaints


def longest_gap_s(sent: list[Publish]) -> float:
    """The longest time during which no publisher got any acknowledgement."""
    times = sorted(publish.acked_at_s for publish in sent if publish.sequence)
    return max((later - earlier for earlier, later in pairwise(times)), default=0.0)
