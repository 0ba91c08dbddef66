"""What a changed configuration changes in a running server: which keys act at once, which need a restart.

Is: the comparison of two Options, and the sentences nats-server's log has for it.
Is not: the acting (`server.Daemon` for the log and the pid file, `core/clients` for what concerns connections).
Invariants: all or nothing. One key that cannot change while the server runs refuses the whole reload, and the running
configuration stays in force; nothing is ignored silently.
Read next: `server.py`.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Final

from broker.config import SECOND_NS, Options

# Field → what the log calls it. Durations and secrets are put in words below.
RELOADABLE: Final = {
    "debug": "debug",
    "trace": "trace",
    "trace_headers": "trace_headers",
    "max_traced_msg_len": "max_traced_msg_len",
    "logtime": "logtime",
    "logtime_utc": "logtime_utc",
    "log_file": "log_file",
    "pid_file": "pid_file",
    "ports_file_dir": "ports_file_dir",
    "client_advertise": "client_advertise",
    "max_connections": "max_connections",
    "max_payload": "max_payload",
    "max_control_line": "max_control_line",
    "ping_interval_ns": "ping_interval",
    "ping_max": "ping_max",
    "write_deadline_ns": "write_deadline",
    "authorization": "authorization users",
}
# Of the block `cluster`: told in one word, and the routes in another.
CLUSTER_RELOADABLE: Final = (
    *("authorization", "advertise", "no_advertise", "connect_retries", "connect_backoff"),
    *("ping_interval_ns", "ping_max"),
)
ROUTES: Final = "routes"
NO_CHANGE: Final = frozenset(("config_file", "config_digest"))
# Where Go's name of the option is not ours in camel case.
GO_NAMES: Final = {
    "jetstream": "JetStream",
    "http_port": "HTTPPort",
    "http_host": "HTTPHost",
    "max_connections": "MaxConn",
    "max_subscriptions": "MaxSubs",
    "max_subscription_tokens": "MaxSubTokens",
}
UNIT: Final = "_ns"


class ReloadRefused(Exception):
    """A key changed that a running server cannot change; the text is nats-server's."""


def changes(running: Options, wanted: Options) -> list[str]:
    """What the log says was reloaded, in the order of the options. Errors: ReloadRefused.

    Both as they were loaded: a server that listens on any free port was asked for -1.
    """
    _refuse_fixed(running, wanted)
    told: list[str] = []
    for name, words in RELOADABLE.items():
        new = getattr(wanted, name)
        if new != getattr(running, name):
            # A secret has no place in a log.
            told.append(words if name == "authorization" else f"{words} = {_in_words(name, new)}")
    if any(getattr(running.cluster, name) != getattr(wanted.cluster, name) for name in CLUSTER_RELOADABLE):
        told.append("cluster")
    if running.cluster.routes != wanted.cluster.routes:
        told.append("cluster routes")
    return told


def merged(running: Options, wanted: Options) -> Options:
    """The running options, which have the ports that were got, with what `changes` lets change."""
    cluster = {name: getattr(wanted.cluster, name) for name in (*CLUSTER_RELOADABLE, ROUTES)}
    names = (*RELOADABLE, "config_digest")
    options = {name: getattr(wanted, name) for name in names}
    return replace(running, cluster=replace(running.cluster, **cluster), **options)


def _is_reloadable(block: str, name: str) -> bool:
    if block == "Cluster":
        return name in CLUSTER_RELOADABLE or name == ROUTES
    return not block and name in RELOADABLE


def _refuse_fixed(running: object, wanted: object, block: str = "") -> None:
    assert is_dataclass(running)
    for each in fields(running):
        old, new = getattr(running, each.name), getattr(wanted, each.name)
        if old == new or each.name in NO_CHANGE or _is_reloadable(block, each.name):
            continue
        if is_dataclass(old) and type(old) is type(new):
            _refuse_fixed(old, new, block + _go_name(each.name))
            continue
        name = block + _go_name(each.name)
        text = f"old={_in_words(each.name, old)}, new={_in_words(each.name, new)}"
        raise ReloadRefused(f"config reload not supported for {name}: {text}")


def _go_name(field: str) -> str:
    return GO_NAMES.get(field) or "".join(part.capitalize() for part in field.removesuffix(UNIT).split("_"))


def _in_words(field: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if field.endswith(UNIT) and isinstance(value, int):
        return f"{value / SECOND_NS:g}s"
    return str(value)
