"""The leader's side of schedules: which is due, and the message that is made of it.

A leader knows the times of all schedules from the table and their patterns (time zones included), and proposes an
OP_SCHEDULED for each that is due; what comes of it stands in the table. Not here: the table (`schedules`), when a
stream is looked at (`broker/cluster/streams/stream_group`). Invariant: of a schedule at most one operation is under
way. Times are Unix ns.
"""

import heapq
from datetime import UTC, datetime, tzinfo
from typing import Final

from broker.jetstream.delivery.delivery_output import OpWaiter
from broker.jetstream.durations import SECOND_NS
from broker.jetstream.go_time import format_time
from broker.jetstream.ops import PublishBatch
from broker.jetstream.publishing.publish_headers import add_header, header_value, remove_header, remove_headers_with
from broker.jetstream.schedules.schedule_pattern import SchedulePattern, find_zone, read_pattern
from broker.jetstream.schedules.schedules import PURGE, SCHEDULE, SCHEDULE_NEXT, SCHEDULER, Scheduled, encode_scheduled
from broker.jetstream.store import StoredMessage
from broker.jetstream.stream_state import StreamState

DUE_AT_ONCE_MAX: Final = 256  # of one look; the others wait for the next one
RETRY_NS: Final = SECOND_NS // 10  # when an operation could not be proposed


class ScheduleClock:
    """The schedules of one stream that this node leads."""

    def __init__(self, state: StreamState) -> None:
        self._state: Final = state
        self._heap: list[tuple[int, bytes, int]] = []  # due, subject, sequence
        self._under_way: dict[bytes, bool] = {}
        self._wall_ns: int = 0  # of the last look
        self._not_before_ns: int = 0

    def become_leader(self) -> None:
        """Look at all of them."""
        self._heap = []
        self._under_way = {}
        self._not_before_ns = 0
        table = self._state.schedules
        table.changed = dict.fromkeys(table.entries, True)

    def next_due_ns(self, wall_ns: int) -> int:
        """When the earliest is due; 0 = none."""
        table = self._state.schedules
        if table.changed:
            changed, table.changed = table.changed, {}
            for subject in changed:
                self._under_way.pop(subject, None)
                entry = table.entries.get(subject)
                due_ns = 0 if entry is None else self._due_ns(entry, wall_ns)
                if entry is not None and due_ns:
                    heapq.heappush(self._heap, (due_ns, subject, entry.sequence))
        return max(self._heap[0][0], self._not_before_ns) if self._heap else 0

    def _due_ns(self, entry: Scheduled, wall_ns: int) -> int:
        if entry.due_ns:
            return entry.due_ns
        message = self._state.store.get(entry.sequence)
        found = None if message is None else _pattern_of(message)
        return 0 if found is None else found[0].next_ns(entry.after_ns, wall_ns, found[1])

    def take_due(self, wall_ns: int) -> list[tuple[bytes, OpWaiter]]:
        """The operations for what is due now, with who waits for them."""
        found: list[tuple[bytes, OpWaiter]] = []
        self._wall_ns = wall_ns
        while 0 < self.next_due_ns(wall_ns) <= wall_ns and len(found) < DUE_AT_ONCE_MAX:
            due_ns, subject, sequence = heapq.heappop(self._heap)
            entry = self._state.schedules.entries.get(subject)
            message = self._state.store.get(sequence)
            if entry is None or entry.sequence != sequence or message is None or subject in self._under_way:
                continue
            body = self._operation(subject, message, due_ns, wall_ns)
            if body:
                self._under_way[subject] = True
                found.append((body, ScheduledWaiter(self, subject)))
        return found

    def lost(self, subject: bytes) -> None:
        """An operation was not even proposed, though this node may lead on; or it leads no more."""
        self._not_before_ns = self._wall_ns + RETRY_NS
        self.settled(subject, False)

    def settled(self, subject: bytes, is_done: bool) -> None:
        """An operation was applied: where that changed nothing the schedule is looked at again."""
        if not is_done:
            self._state.schedules.changed[subject] = True

    def _operation(self, subject: bytes, message: StoredMessage, due_ns: int, wall_ns: int) -> bytes:
        """b"" where the schedule makes no sense (to this node)."""
        pattern = _pattern_of(message)
        if pattern is None:
            return b""
        headers = message.data[: message.header_length]
        next_ns = pattern[0].next_ns(due_ns, wall_ns, pattern[1]) if pattern[0].repeats else 0
        source = header_value(headers, b"Nats-Schedule-Source")
        last = self._state.store.last_sequence_for(source) if source else 0
        content = (self._state.store.get(last) if last else None) or message
        made = _made_headers(content.data[: content.header_length])
        made = add_header(made, SCHEDULER, subject)
        made = add_header(made, SCHEDULE_NEXT, _time_text(next_ns, pattern[1]) if next_ns else PURGE)
        for key, name in ((b"Nats-Schedule-TTL", b"Nats-TTL"), (b"Nats-Schedule-Rollup", b"Nats-Rollup")):
            value = header_value(headers, key)
            if value:
                made = add_header(made, name, value)
        batch = PublishBatch()
        target = header_value(headers, b"Nats-Schedule-Target")
        batch.add(target, len(made), made + content.data[content.header_length :])
        return encode_scheduled(wall_ns, subject, message.sequence, next_ns, batch.encode(wall_ns))


class ScheduledWaiter(OpWaiter):
    """Tells the clock what became of a message that was due."""

    def __init__(self, clock: ScheduleClock, subject: bytes) -> None:
        self._clock: Final = clock
        self._subject: Final = subject

    def applied(self, result: object) -> None:
        self._clock.settled(self._subject, result is True)

    def abandoned(self) -> None:
        self._clock.lost(self._subject)


def _pattern_of(message: StoredMessage) -> tuple[SchedulePattern, tzinfo | None] | None:
    """Pattern and time zone of a schedule; None where this node cannot make sense of them."""
    headers = message.data[: message.header_length]
    pattern = read_pattern(header_value(headers, SCHEDULE).decode("utf-8", "replace"))
    name = header_value(headers, b"Nats-Schedule-Time-Zone").decode("utf-8", "replace")
    zone = find_zone(name) if name else None
    return None if pattern is None or (name and zone is None) else (pattern, zone)


def _made_headers(headers: bytes) -> bytes:
    """What a message that is made keeps of where its content is from."""
    for prefix in (b"Nats-Schedule", b"Nats-Expected-"):
        headers = remove_headers_with(headers, prefix)
    for key in (b"Nats-Msg-Id", b"Nats-TTL", b"Nats-Rollup"):
        headers = remove_header(headers, key)
    return headers


def _time_text(time_ns: int, zone: tzinfo | None) -> bytes:
    """As Go writes a time in its zone."""
    if zone is None:
        return format_time(time_ns).encode()
    text = datetime.fromtimestamp(time_ns // SECOND_NS, UTC).astimezone(zone).isoformat()
    return text.replace("+00:00", "Z").encode()
