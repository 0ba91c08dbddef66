"""RFC 3339 times as Go reads and writes them, in Unix nanoseconds.

`parse_time` gives None for what Go refuses, and `complaint` then has Go's words for it. Not here: durations
(`durations`); the clock, which nobody here has.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

ZERO_TIME: Final = "0001-01-01T00:00:00Z"
_SECOND_NS: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)
# The layout in pieces: what each looks like, and what Go calls it.
_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
_PIECES: Final[list[tuple[re.Pattern[str], str]]] = [
    (re.compile(pattern, re.ASCII), name)
    for pattern, name in (
        (r"\d{4}", "2006"), ("-", "-"), (r"\d\d", "01"), ("-", "-"), (r"\d\d", "02"), ("T", "T"), (r"\d\d", "15"),
        (":", ":"), (r"\d\d", "04"), (":", ":"), (r"\d\d(?:[.,]\d+)?", "05"), (r"Z|[+-]\d\d:\d\d", "Z07:00"),
    )
]  # fmt: skip


def format_time(timestamp_ns: int) -> str:
    """RFC3339 with up to nine fractional digits, UTC, as Go prints it."""
    seconds, fraction = divmod(timestamp_ns, _SECOND_NS)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if fraction:
        text += "." + f"{fraction:09d}".rstrip("0")
    return text + "Z"


def format_time_or_zero(timestamp_ns: int) -> str:
    """Go's zero time where there is none."""
    return format_time(timestamp_ns) if timestamp_ns else ZERO_TIME


def parse_time(text: str) -> int | None:
    """Unix ns of an RFC3339 time; None when it is none. Go's zero time is 0."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, off_hours, off_minutes = found.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return None
    if moment.year == 1 and text == ZERO_TIME:
        return 0
    whole = moment - _EPOCH
    seconds = whole.days * 86400 + whole.seconds
    if sign is not None:
        if int(off_hours) > 24 or int(off_minutes) > 60:
            return None
        offset = int(off_hours) * 3600 + int(off_minutes) * 60
        seconds -= offset if sign == "+" else -offset
    return seconds * _SECOND_NS + int(((fraction or "") + "000000000")[:9])


def complaint(text: str) -> str:
    """Go's words for a text that is no time."""
    position = 0
    for pattern, name in _PIECES:
        found = pattern.match(text, position)
        if found is None:
            return f'parsing time "{text}" as "{_LAYOUT}": cannot parse "{text[position:]}" as "{name}"'
        position = found.end()
    if position < len(text):
        return f'parsing time "{text}": extra text: "{text[position:]}"'
    return f'parsing time "{text}": {_out_of_range(text)} out of range'


def _out_of_range(text: str) -> str:
    found = _TIME.fullmatch(text)
    assert found is not None, text
    for name, value, most in (("month", found[2], 12), ("hour", found[4], 23), ("minute", found[5], 59)):
        if int(value) > most or (name == "month" and int(value) == 0):
            return name
    if int(found[6]) > 59:
        return "second"
    if found[8] is not None and int(found[9]) > 24:
        return "time zone offset hour"
    if found[8] is not None and int(found[10]) > 60:
        return "time zone offset minute"
    return "day"
