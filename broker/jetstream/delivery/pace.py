"""When the next message of a consumer may leave: pauses, a limit of its rate, replay at the original speed.

One consumer's leader has one of these where its configuration asks for any of that; a new leader begins the pace anew.
Replay (`replay_policy`): new messages leave as far apart as they were stored, until the consumer has caught up.
Rate (`rate_limit_bps`): a bucket of bytes fills at the rate and holds at most `BURST_BYTES`, as nats-server's limiter
does; a message leaves when the bucket has its size (a bigger one than the bucket: when it is full). Subject, headers
and payload are counted. Pause (`pause_until`): nothing is delivered; requests and heartbeats go on.

Not here: which message is next (`consumer_lead`). Times are monotonic ns but for those of messages and pauses, which
are Unix ns.
"""

from typing import Final

from broker.jetstream.config.consumer_config import REPLAY_ORIGINAL, ConsumerConfig
from broker.jetstream.durations import MILLISECOND_NS, SECOND_NS

BURST_BYTES: Final = 1024 * 1024
_SHORTEST_NS: Final = MILLISECOND_NS


def needs_pace(config: ConsumerConfig) -> bool:
    """Whether anything here concerns a consumer."""
    return bool(config.pause_until_ns or config.rate_limit_bps or config.replay_policy == REPLAY_ORIGINAL)


class Pace:
    """Holds messages back."""

    def __init__(self, config: ConsumerConfig, last_sequence: int) -> None:
        """`last_sequence` of the stream: where a replay will have caught up."""
        self.due_ns: int = 0  # when the message that is held back may leave
        self.pausing: bool = False
        self._until: Final = last_sequence if config.replay_policy == REPLAY_ORIGINAL else 0
        self._previous: int = 0
        self._previous_ns: int = 0
        self._config: ConsumerConfig = config
        self._filled_bytes: int = BURST_BYTES
        self._filled_ns: int = 0

    def follow(self, config: ConsumerConfig, wall_ns: int) -> None:
        """The consumer has this configuration now."""
        self._config = config
        self.pausing = wall_ns < config.pause_until_ns

    def resumes(self, wall_ns: int) -> bool:
        """True once, when a pause is over."""
        if self.pausing and wall_ns >= self._config.pause_until_ns:
            self.pausing = False
            return True
        return False

    def holds_back(self, sequence: int, timestamp_ns: int, size: int, new: bool, now_ns: int) -> bool:
        """Whether the message's time has not come; otherwise it is taken to leave now. Replay does not slow
        redeliveries."""
        if new and self._too_early(sequence, timestamp_ns, now_ns):
            return True
        if self._config.rate_limit_bps and self._too_fast(size, now_ns):
            return True
        self.due_ns = 0
        if new:
            self._previous = sequence if sequence < self._until else self._until + 1
            self._previous_ns = timestamp_ns
        return False

    def _too_early(self, sequence: int, timestamp_ns: int, now_ns: int) -> bool:
        if self._previous > self._until or not self._previous or self._previous == sequence:
            return False
        gap_ns = timestamp_ns - self._previous_ns
        if gap_ns <= _SHORTEST_NS:
            return False
        if self.due_ns == 0:
            self.due_ns = now_ns + gap_ns
        return now_ns < self.due_ns

    def _too_fast(self, size: int, now_ns: int) -> bool:
        rate = max(self._config.rate_limit_bps // 8, 1)
        if self._filled_ns == 0:
            self._filled_ns = now_ns
        gained = (now_ns - self._filled_ns) * rate // SECOND_NS
        if gained > 0:
            # What is not a whole byte yet goes on counting.
            self._filled_ns += gained * SECOND_NS // rate
            self._filled_bytes = min(self._filled_bytes + gained, BURST_BYTES)
        missing = min(size, BURST_BYTES) - self._filled_bytes
        if missing > 0:
            self.due_ns = self._filled_ns - (-missing * SECOND_NS // rate)
            return True
        self._filled_bytes -= size
        return False

    def next_deadline_ns(self, now_ns: int, wall_ns: int) -> int:
        """When something is to be done again; 0 = never."""
        if self.pausing:
            return now_ns + max(self._config.pause_until_ns - wall_ns, 1)
        return self.due_ns
