"""What a server says of itself in its log when it starts, line by line as nats-server does.

Is: events in nats-server's order; harnesses wait for some of these lines and read ports and folders out of them.
Is not: the sentences (`logs.SENTENCES`).
Read next: `lifecycle.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

from broker import config
from broker.cluster.meta.identity import peer_id
from broker.core.auth import is_bcrypt
from broker.core.clients import API_LEVEL
from broker.monitor.go_text import duration_text
from broker.monitor.statistics import ServerStatistics
from broker.net import machine

PROGRAM: Final = "nats-server"
MICROSECOND_NS: Final = 1_000

OnEvent = Callable[[str, str, Mapping[str, object]], None]


def announce(
    on_event: OnEvent, options: config.Options, server: ServerStatistics, is_monitored: bool, opening_ns: int
) -> None:
    """Everything up to the listeners. `opening_ns`: how long the store took to open."""

    def say(name: str, level: str = "info", /, **fields: object) -> None:
        on_event(level, name, fields)

    say("server_starting", program=PROGRAM)
    say("server_version", version=config.VERSION)
    if server["cluster_name"]:
        say("server_cluster", cluster=server["cluster_name"])
    say("server_name", name=server["server_name"])
    if options.jetstream.enabled:
        say("server_node", node=peer_id(server["server_name"]))
    say("server_id", server_id=server["server_id"])
    if _has_plain_passwords(options.authorization):
        say("plain_passwords", "warning")
    if options.config_file:
        say("config_file", path=options.config_file, digest=options.config_digest)
    if is_monitored:
        say("monitor_listener", host=_shown(options.http_host or options.host), port=options.http_port)
    if options.jetstream.enabled:
        say("jetstream_starting")
        if options.jetstream.store_dir_is_temporary:
            say("jetstream_store_temporary", "warning")
        say("jetstream_head")
        say("jetstream_strict")
        say("jetstream_max_memory", size=machine.size_text(options.jetstream.max_memory))
        say("jetstream_max_file", size=machine.size_text(options.jetstream.max_file))
        say("jetstream_store", path=os.path.join(options.jetstream.store_dir, "jetstream"))
        if options.jetstream.domain:
            say("jetstream_domain", domain=options.jetstream.domain)
        say("jetstream_api_level", level=API_LEVEL)
        say("jetstream_foot")
        took_ns = opening_ns // MICROSECOND_NS * MICROSECOND_NS
        say("jetstream_started", duration=duration_text(took_ns))
    say("client_listener", host=_shown(options.host), port=options.port)
    if options.cluster.configured():
        say("cluster_name", cluster=server["cluster_name"])
        if not options.cluster.name:
            say("cluster_name_dynamic", "warning")
        say("route_listener", host=_shown(options.cluster.host), port=options.cluster.port)


def _shown(host: str) -> str:
    """As it stands before a colon and a port."""
    return f"[{host}]" if ":" in host else host


def _has_plain_passwords(authorization: config.AuthorizationOptions) -> bool:
    passwords = [authorization.password, *(user.password for user in authorization.users)]
    return any(password and not is_bcrypt(password) for password in passwords)
