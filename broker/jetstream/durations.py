"""Go's duration texts (`1h30m`, `250ms`), as clients write them in `-NAK 10s` and as error texts show them.

Nanoseconds as int on our side. Not a general time library; JSON durations are plain integers and need nothing of this.
"""

from typing import Final

SECOND_NS: Final = 1_000_000_000
MILLISECOND_NS: Final = 1_000_000
MINUTE_NS: Final = 60 * SECOND_NS
HOUR_NS: Final = 3600 * SECOND_NS
DURATION_NS_MAX: Final = (1 << 63) - 1
_WHOLE_DIGITS_MAX: Final = 19
_FRACTION_DIGITS_MAX: Final = 18  # further ones are less than a nanosecond of any unit

_UNITS_NS: Final[dict[str, int]] = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": MILLISECOND_NS,
    "s": SECOND_NS,
    "m": MINUTE_NS,
    "h": HOUR_NS,
}


def parse_duration(text: str) -> int | None:
    """Nanoseconds of a Go duration, None when it is none (`time.ParseDuration`)."""
    negative = text.startswith("-")
    if text[:1] in ("-", "+"):
        text = text[1:]
    if text == "0":
        return 0
    if not text:
        return None
    total = 0
    position = 0
    while position < len(text):
        start = position
        while position < len(text) and (text[position] in "0123456789."):
            position += 1
        number = text[start:position]
        whole, _, fraction = number.partition(".")
        if (not whole and not fraction) or "." in fraction:
            return None
        start = position
        while position < len(text) and text[position] not in "0123456789.":
            position += 1
        unit = _UNITS_NS.get(text[start:position])
        if unit is None:
            return None
        whole = whole.lstrip("0")
        if len(whole) > _WHOLE_DIGITS_MAX:
            return None
        total += int(whole or "0") * unit
        fraction = fraction[:_FRACTION_DIGITS_MAX]
        if fraction:
            total += int(fraction) * unit // 10 ** len(fraction)
        if total > DURATION_NS_MAX:
            return None
    return -total if negative else total


def format_duration(duration_ns: int) -> str:
    """A duration as Go prints it: `1m0s`, `1.5s`, `250ms`, `0s`."""
    if duration_ns == 0:
        return "0s"
    sign = "-" if duration_ns < 0 else ""
    rest = abs(duration_ns)
    if rest < SECOND_NS:
        for unit, name in ((MILLISECOND_NS, "ms"), (1_000, "µs"), (1, "ns")):
            if rest >= unit:
                return f"{sign}{_decimal(rest, unit)}{name}"
    hours, rest = divmod(rest, HOUR_NS)
    minutes, rest = divmod(rest, MINUTE_NS)
    text = f"{_decimal(rest, SECOND_NS)}s"
    if hours:
        text = f"{hours}h{minutes}m{text}"
    elif minutes:
        text = f"{minutes}m{text}"
    return sign + text


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    if not fraction:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{str(fraction).zfill(digits).rstrip('0')}"
