"""Values of a configuration by type: text, number, boolean, duration, size, address, route.

Is: one function per type, from a positioned value (or a flag's text) to a plain one; a wrong type is a ConfigError.
Is not: the keys (`config_keys`).
Read next: `config_keys.py`.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote, urlsplit

from broker.config import SECOND_NS, RouteUrl
from broker.config_file import Node, Tree

DEFAULT_ROUTE_PORT: Final = 6222
PORT_MAX: Final = 65535
ROUTE_SCHEMES: Final = ("nats", "nats-route", "tls", "")
UNITS_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
DURATION_PART: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
DURATION_MAX_NS: Final = 2**63 - 1
STRING_SIZES: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def words(text: str) -> frozenset[str]:
    """Names of keys, as a table has them."""
    return frozenset(text.split())


def kind(node: Node) -> str:
    """What an error message calls the type of a value."""
    value = node.value
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "text"
    return "a number" if isinstance(value, int | float) else "a date"


def text(key: str, node: Node) -> str:
    if not isinstance(node.value, str):
        raise node.failure(f"{key} should be text, but is {kind(node)}")
    return node.value


def integer(key: str, node: Node) -> int:
    if not isinstance(node.value, int) or isinstance(node.value, bool):
        raise node.failure(f"{key} should be a number, but is {kind(node)}")
    return node.value


def boolean(key: str, node: Node) -> bool:
    if not isinstance(node.value, bool):
        raise node.failure(f"{key} should be true or false, but is {kind(node)}")
    return node.value


def tree(key: str, node: Node) -> Tree:
    if not isinstance(node.value, dict):
        raise node.failure(f"{key} should be a map, but is {kind(node)}")
    return node.value


def array(key: str, node: Node) -> list[Node]:
    if not isinstance(node.value, list):
        raise node.failure(f"{key} should be an array, but is {kind(node)}")
    return node.value


def integer_between(key: str, node: Node, low: int, high: int) -> int:
    value = integer(key, node)
    if not low <= value <= high:
        raise node.failure(f"{key} should lie between {low} and {high}, but is {value}")
    return value


def port(key: str, node: Node) -> int:
    return integer_between(key, node, -1, PORT_MAX)


def parse_duration_ns(duration: str) -> int:
    """Nanoseconds of a duration as Go writes it: `300ms`, `-1.5h`, `2h45m`. Errors: ValueError."""
    rest = duration[1:] if duration[:1] in ("+", "-") else duration
    if rest == "0":
        return 0
    total = 0
    if not rest:
        raise ValueError(f'invalid duration "{duration}"')
    while rest:
        part = DURATION_PART.match(rest)
        if part is None or not (part[1] or part[2]):
            missing = re.fullmatch(r"[0-9]+(\.[0-9]*)?", rest) is not None
            raise ValueError(f'missing unit in duration "{duration}"' if missing else f'invalid duration "{duration}"')
        unit_ns = UNITS_NS[part[3]]
        fraction = (part[2] or "")[:18]
        if len(part[1]) > 19:
            raise ValueError(f'invalid duration "{duration}"')
        total += int(part[1] or "0") * unit_ns + int(fraction or "0") * unit_ns // 10 ** len(fraction)
        rest = rest[part.end() :]
    if total > DURATION_MAX_NS:
        raise ValueError(f'invalid duration "{duration}"')
    return -total if duration.startswith("-") else total


def go_duration(duration: str, key: str, node: Node) -> int:
    try:
        return parse_duration_ns(duration)
    except ValueError as error:
        raise node.failure(f"error parsing {key}: {error}") from None


def duration_ns(key: str, node: Node, warnings: list[str]) -> int:
    """A quoted duration; a bare number is seconds, as in old files, with a warning (so a bare `2m` is 2,000,000 s)."""
    if isinstance(node.value, str):
        return go_duration(node.value, key, node)
    seconds = integer(key, node)
    advice = f'invalid use of field "{key}": {key} should be converted to a duration'
    warnings.append(f"{node.file}:{node.line}:{node.column}: {advice}")
    if abs(seconds) > DURATION_MAX_NS // SECOND_NS:
        raise node.failure(f"{key} is out of the range")
    return seconds * SECOND_NS


def storage_bytes(key: str, node: Node) -> int:
    """A size: a number, or the old quoted form "10G"."""
    value = node.value
    if isinstance(value, str) and value:
        factor = STRING_SIZES.get(value[-1])
        if factor is None:
            raise node.failure(f"{key} sizes defined as strings must end in K, M, G, T")
        if re.fullmatch(r"[+-]?[0-9]{1,18}", value[:-1]) is None:
            raise node.failure(f"{key} should be a size, but is {value!r}")
        return int(value[:-1]) * factor
    return 0 if value == "" else integer(key, node)


def split_host_port(address: str) -> tuple[str, int]:
    """`host:port`, `[::1]:port`, `:port`. Errors: ValueError."""
    host, colon, port_text = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (not bracketed and (":" in host or "[" in host or "]" in host)):
        raise ValueError(f'could not parse address string "{address}"')
    if re.fullmatch(r"-1|[0-9]{1,5}", port_text) is None or int(port_text) > PORT_MAX:
        raise ValueError(f'could not parse port "{port_text}"')
    return (host[1:-1] if bracketed else host), int(port_text)


def listen(key: str, node: Node) -> tuple[str, int]:
    """Host ("" when only a port is given) and port."""
    if isinstance(node.value, str):
        try:
            return split_host_port(node.value)
        except ValueError as error:
            raise node.failure(f"{key}: {error}") from None
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        return "", port(key, node)
    raise node.failure(f"{key}: expected port or host:port, but got {kind(node)}")


def parse_route(url: str) -> RouteUrl:
    """A peer's URL: `nats://user:password@host:6222`, `nats-route://…`, or plain `host:port`. Errors: ValueError."""
    stripped = url.strip()
    wrong = ValueError(f'error parsing route url ["{_without_password(stripped)}"]')
    try:
        parts = urlsplit(stripped if "://" in stripped else "nats://" + stripped)
        host, number = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ROUTE_SCHEMES or not host or any(character.isspace() for character in stripped):
        raise wrong
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return RouteUrl(host, number or DEFAULT_ROUTE_PORT, user, password)


def _without_password(url: str) -> str:
    return re.sub(r"(//[^:@/]*):[^@/]*@", r"\1:xxxxx@", url)


def refuse(
    key: str, node: Node, unsupported: frozenset[str], unless_false: frozenset[str] = frozenset(), block: str = ""
) -> None:
    """A key that does nothing here: not built yet, or unknown, which is legal only for a variable that is used."""
    name = key.lower()
    if name in unsupported or (name in unless_false and node.value is not False):
        raise node.failure(f'"{block}{name}" is not supported yet')
    if name not in unless_false and not node.used_as_variable:
        raise node.failure(f'unknown field "{key}"')
