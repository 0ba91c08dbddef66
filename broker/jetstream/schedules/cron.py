"""Cron patterns of six fields (second, minute, hour, day of month, month, day of week): when one is due next.

Is: `read_cron` and `Cron.after`. Fields are lists of numbers, names (jan–dec, sun–sat), ranges `a-b`, steps `/n`, `*`
and `?`. As in nats-server, a day must match both day fields where one of them is `*`, and either where none is.

Pure: a time zone is an argument. Not here: what else a schedule may be (`schedule_pattern`). Times are Unix seconds.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

_YEARS_MAX: Final = 5  # a pattern without any time in them is none
_BOUNDS: Final = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
_MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS: Final = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY = range(6)


class Cron:
    """A pattern that was read; `fields` are the numbers each field allows, `any_day` says that a day field is `*`."""

    def __init__(self, fields: list[dict[int, bool]], any_day: bool) -> None:
        self._fields: Final = fields
        self._any_day: Final = any_day

    def after(self, seconds: int, zone: tzinfo | None) -> int | None:
        """The first time behind `seconds` that matches; None when there is none in five years."""
        local = datetime.fromtimestamp(seconds + 1, zone or UTC)
        last_year = local.year + _YEARS_MAX
        while local.year <= last_year:
            following = self._step(local)
            if following is None:
                return int(local.timestamp())
            local = following
        return None

    def _step(self, local: datetime) -> datetime | None:
        """The beginning of the next month, day, hour, minute or second, if the present one does not match."""
        fields = self._fields
        if local.month not in fields[_MONTH]:
            return _moved(local, local.year + local.month // 12, local.month % 12 + 1, 1)
        if not self._matches_day(local):
            tomorrow = datetime(local.year, local.month, local.day, tzinfo=UTC) + timedelta(days=1)
            return _moved(local, tomorrow.year, tomorrow.month, tomorrow.day)
        if local.hour not in fields[_HOUR]:
            return _later(local, 3600 - 60 * local.minute - local.second)
        if local.minute not in fields[_MINUTE]:
            return _later(local, 60 - local.second)
        if local.second not in fields[_SECOND]:
            return _later(local, 1)
        return None

    def _matches_day(self, local: datetime) -> bool:
        by_month = local.day in self._fields[_DAY]
        by_week = (local.weekday() + 1) % 7 in self._fields[_WEEKDAY]
        return (by_month and by_week) if self._any_day else (by_month or by_week)


def _moved(local: datetime, year: int, month: int, day: int) -> datetime:
    """The beginning of another day; where the clock is put forward then, the first time there is."""
    midnight = datetime(year, month, day, tzinfo=local.tzinfo)
    return datetime.fromtimestamp(midnight.timestamp(), local.tzinfo)


def _later(local: datetime, seconds: int) -> datetime:
    """In real time: an hour that the clock shows twice comes twice."""
    return datetime.fromtimestamp(local.timestamp() + seconds, local.tzinfo)


def read_cron(pattern: str) -> Cron | None:
    """None when it is no pattern."""
    texts = pattern.split()
    if len(texts) != len(_BOUNDS):
        return None
    fields: list[dict[int, bool]] = []
    any_day = False
    for at in range(len(texts)):
        names = _MONTHS if at == _MONTH else _DAYS if at == _WEEKDAY else []
        low, high = _BOUNDS[at]
        allowed: dict[int, bool] = {}
        for text in [part for part in texts[at].split(",") if part]:
            found = _read_range(text, low, high, names)
            if found is None:
                return None
            if found[1] and at in (_DAY, _WEEKDAY):
                any_day = True
            allowed.update(dict.fromkeys(found[0], True))
        fields.append(allowed)
    return Cron(fields, any_day)


def _read_range(text: str, low: int, high: int, names: list[str]) -> tuple[list[int], bool] | None:
    """Numbers of `a`, `a-b`, `*`, each with `/step`, and whether it was a plain star."""
    front, slash, step_text = text.partition("/")
    ends = front.split("-")
    is_star = ends[0] in ("*", "?")
    step = _number(step_text, []) if slash else 1
    first = low if is_star else _number(ends[0], names)
    if first is None or step is None or step == 0 or "/" in step_text:
        return None
    last: int | None = first
    if is_star or (slash and len(ends) == 1):
        last = high
    elif len(ends) == 2:
        last = _number(ends[1], names)
    elif len(ends) > 2:
        return None
    if last is None or first < low or last > high or first > last:
        return None
    return list(range(first, last + 1, step)), is_star and step == 1


def _number(text: str, names: list[str]) -> int | None:
    if text.lower() in names:
        return names.index(text.lower()) + (1 if names is _MONTHS else 0)
    digits = text[1:] if text.startswith("+") else text
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None
