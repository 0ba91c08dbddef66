"""How Go writes the values that tools parse back: times, durations, uptimes, booleans and JSON.

Is: text only. Is not: JetStream's renderers, which live where the API is.
Read next: `query.py`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

SECOND_NS: Final = 1_000_000_000
INDENTED_MAX: Final = 64 * 1024
ZERO_TIME: Final = "0001-01-01T00:00:00Z"


def time_text(wall_ns: int) -> str:
    """RFC 3339 with as many fractional digits as are not zero, as Go's RFC3339Nano."""
    if wall_ns == 0:
        return ZERO_TIME
    seconds, fraction_ns = divmod(wall_ns, SECOND_NS)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if fraction_ns:
        text += "." + f"{fraction_ns:09d}".rstrip("0")
    return text + "Z"


def duration_text(duration_ns: int) -> str:
    """Go's Duration.String(), e.g. `664µs`, `1.5ms`, `1h0m2s`."""
    if duration_ns == 0:
        return "0s"
    if duration_ns < 1_000:
        return f"{duration_ns}ns"
    if duration_ns < 1_000_000:
        return _decimal(duration_ns, 1_000) + "µs"
    if duration_ns < SECOND_NS:
        return _decimal(duration_ns, 1_000_000) + "ms"
    minutes, rest_ns = divmod(duration_ns, 60 * SECOND_NS)
    hours, minutes = divmod(minutes, 60)
    text = _decimal(rest_ns, SECOND_NS) + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def uptime_text(duration_ns: int) -> str:
    """Whole seconds with days and years: `4s`, `2d3h0m4s`."""
    rest = max(0, duration_ns) // SECOND_NS
    parts: list[str] = []
    for unit, seconds in (("y", 365 * 86_400), ("d", 86_400), ("h", 3_600), ("m", 60)):
        count, rest = divmod(rest, seconds)
        if count or parts:
            parts.append(f"{count}{unit}")
    return "".join(parts) + f"{rest}s"


def json_text(tree: Any, indent: int | None = 2) -> str:
    """JSON as Go's encoder writes it, with <, > and & escaped. Nobody reads a long page; that is not indented, which
    would take ten times as long."""
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":"))
    if indent and len(text) <= INDENTED_MAX:
        text = json.dumps(tree, indent=indent, ensure_ascii=False, separators=(",", ": "))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    if not fraction:
        return str(whole)
    return f"{whole}." + f"{fraction:0{len(str(unit)) - 1}d}".rstrip("0")
