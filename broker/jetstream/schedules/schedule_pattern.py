"""What `Nats-Schedule` may be: `@at <time>`, `@every <duration>`, `@daily` and its like, or a cron pattern (ADR-51).

Time zones are for cron patterns only and come from the time zone database of the machine, which is not the same
everywhere: only leaders ask for one (`find_zone`), and what they find is told to the others as times. Not here: the
headers (`schedule_checks`), the table of schedules (`schedules`). Times are Unix ns.
"""

from datetime import tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from broker.jetstream.durations import SECOND_NS, parse_duration
from broker.jetstream.go_time import parse_time
from broker.jetstream.schedules.cron import Cron, read_cron

_AT: Final = "@at "
_EVERY: Final = "@every "
_NAMED: Final[dict[str, str]] = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}


class SchedulePattern:
    """A pattern that was read: a time, an interval, or a cron pattern."""

    def __init__(self, at_ns: int, every_ns: int, cron: Cron | None) -> None:
        self._at_ns: Final = at_ns
        self._every_ns: Final = every_ns
        self._cron: Final = cron

    @property
    def repeats(self) -> bool:
        """Whether it is due more than once."""
        return self._every_ns > 0 or self._cron is not None

    @property
    def takes_zone(self) -> bool:
        """Whether a time zone means anything."""
        return self._cron is not None

    def next_ns(self, after_ns: int, now_ns: int, zone: tzinfo | None) -> int:
        """When it is due behind `after_ns`; what was missed is not made up for. 0 = never."""
        if self._cron is None and self._every_ns == 0:
            return self._at_ns
        due_ns = self._following(after_ns, zone)
        if 0 < due_ns < now_ns:
            due_ns = self._following(_rounded(now_ns), zone)
        return due_ns

    def _following(self, after_ns: int, zone: tzinfo | None) -> int:
        if self._cron is None:
            return _rounded(after_ns) + self._every_ns
        found = self._cron.after(after_ns // SECOND_NS, zone)
        return 0 if found is None else found * SECOND_NS


def _rounded(time_ns: int) -> int:
    return (time_ns + SECOND_NS // 2) // SECOND_NS * SECOND_NS


def read_pattern(pattern: str) -> SchedulePattern | None:
    """None when it is none."""
    if pattern.startswith(_AT):
        at_ns = parse_time(pattern[len(_AT) :])
        return None if at_ns is None else SchedulePattern(at_ns, 0, None)
    if pattern.startswith(_EVERY):
        every_ns = parse_duration(pattern[len(_EVERY) :])
        return None if every_ns is None or every_ns < SECOND_NS else SchedulePattern(0, every_ns, None)
    cron = read_cron(_NAMED.get(pattern, pattern))
    return None if cron is None else SchedulePattern(0, 0, cron)


def find_zone(name: str) -> tzinfo | None:
    """A time zone of this machine; None when it has none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
