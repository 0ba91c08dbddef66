"""From a command line to Options: defaults, then the file, then the flags, then the checks across both.

Is: the only place that knows the order of precedence.
Is not: the reading of either (`config_file`, `config_keys`, `flags`).
Errors: ConfigError (with a position) for the file, ValueError (one line of text) for flags and cross-checks.
Read next: `cli.py`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from broker import config_file, config_keys, config_values
from broker.config import SECOND_NS, AuthorizationOptions, Options
from broker.flags import FlagValues


def load(flags: FlagValues, environment: Mapping[str, str] | None = None) -> tuple[Options, list[str]]:
    """The options that file and flags ask for, and warnings about the file (each a line with a position)."""
    options = Options()
    warnings: list[str] = []
    path = flags.text("config")
    if path:
        tree = config_file.parse_file(path, environment)
        if not tree:
            warnings.append(f"{path}: config has no values or is empty")
        config_keys.fill(options, tree, warnings)
        options.config_file = path
        options.config_digest = config_file.digest(tree)
    apply_flags(options, flags)
    validate(options)
    return options, warnings


def apply_flags(options: Options, flags: FlagValues) -> None:
    """Flags override the file; a flag that was not given changes nothing. Errors: ValueError."""
    _apply_server_flags(options, flags)
    _apply_log_flags(options, flags)
    if flags.given("user") or flags.given("pass") or flags.given("auth"):
        options.authorization = AuthorizationOptions(
            flags.text("user"), flags.text("pass"), flags.text("auth"), [], options.authorization.timeout_ns
        )
    if flags.given("jetstream"):
        options.jetstream.enabled = flags.switch("jetstream")
    if flags.given("store_dir"):
        options.jetstream.store_dir = flags.text("store_dir")
    _apply_cluster_flags(options, flags)


def _apply_server_flags(options: Options, flags: FlagValues) -> None:
    options.host = flags.text("addr") or options.host
    options.port = _port(flags, "port") or options.port
    options.server_name = flags.text("server_name") or options.server_name
    options.http_port = _port(flags, "http_port") or options.http_port
    options.client_advertise = flags.text("client_advertise") or options.client_advertise
    options.pid_file = flags.text("pid") or options.pid_file
    options.ports_file_dir = flags.text("ports_file_dir") or options.ports_file_dir


def _apply_log_flags(options: Options, flags: FlagValues) -> None:
    for key in ("debug", "DV", "DVV"):
        if flags.given(key):
            options.debug = flags.switch(key)
    for key in ("trace", "VV", "DV", "DVV"):
        if flags.given(key):
            options.trace = flags.switch(key)
    if flags.given("logtime"):
        options.logtime = flags.switch("logtime")
    if flags.given("logtime_utc"):
        options.logtime_utc = flags.switch("logtime_utc")
    options.max_traced_msg_len = flags.number("max_traced_msg_len") or options.max_traced_msg_len
    options.log_file = flags.text("log") or options.log_file
    options.log_size_limit = max(0, flags.number("log_size_limit")) or options.log_size_limit


def _port(flags: FlagValues, key: str) -> int:
    number = flags.number(key)
    if not -1 <= number <= config_values.PORT_MAX:
        raise ValueError(f"invalid port {number}: it should lie between -1 and {config_values.PORT_MAX}")
    return number


def _apply_cluster_flags(options: Options, flags: FlagValues) -> None:
    cluster = options.cluster
    if flags.given("cluster_listen"):
        _listen_for_routes(options, flags.text("cluster_listen"))
    if flags.given("routes"):
        routes = [url for url in flags.text("routes").split(",") if url.strip()]
        cluster.routes = [config_values.parse_route(url) for url in routes]
        if cluster.routes and not cluster.configured():
            raise ValueError("solicited routes require cluster capabilities, e.g. --cluster")
    cluster.name = flags.text("cluster_name") or cluster.name
    cluster.advertise = flags.text("cluster_advertise") or cluster.advertise
    cluster.connect_retries = max(0, flags.number("connect_retries")) or cluster.connect_retries
    if flags.given("no_advertise"):
        cluster.no_advertise = flags.switch("no_advertise")


def _listen_for_routes(options: Options, url: str) -> None:
    """`nats://host:port`, or with the credentials that routes must bring; empty: not clustered after all."""
    cluster = options.cluster
    if not url:
        cluster.port = 0
        return
    try:
        parts = urlsplit(url if "://" in url else "nats://" + url)
        credentials, at, address = parts.netloc.rpartition("@")
        cluster.host, cluster.port = config_values.split_host_port(address)
    except ValueError as error:
        raise ValueError(f"--cluster: {error}") from None
    user, colon, password = credentials.partition(":")
    if at and not colon:
        raise ValueError("expected cluster password to be set")
    # The flag replaces the file's block, credentials included.
    cluster.authorization = AuthorizationOptions(unquote(user), unquote(password))


def validate(options: Options) -> None:
    """What no single key can know. Errors: ValueError."""
    if options.lame_duck_grace_period_ns >= options.lame_duck_duration_ns:
        raise ValueError(
            f"lame duck grace period ({options.lame_duck_grace_period_ns // SECOND_NS}s) should be strictly lower "
            f"than lame duck duration ({options.lame_duck_duration_ns // SECOND_NS}s)"
        )
    if options.max_payload > options.max_pending:
        raise ValueError(
            f"max_payload ({options.max_payload}) cannot be higher than max_pending ({options.max_pending})"
        )
    for what, name in (("server", options.server_name), ("cluster", options.cluster.name)):
        if any(character.isspace() for character in name):
            raise ValueError(f"{what} name cannot contain spaces")
    if options.jetstream.enabled and options.cluster.configured() and not options.cluster.name:
        raise ValueError("jetstream cluster requires `cluster.name` to be set")
    if options.ping_interval_ns <= 0:
        options.ping_interval_ns = Options().ping_interval_ns
    if options.write_deadline_ns <= 0:
        options.write_deadline_ns = Options().write_deadline_ns
    options.ping_max = options.ping_max or Options().ping_max
    options.port = options.port or Options().port
    options.host = options.host or Options().host
    options.http_host = options.http_host or options.host
    if options.jetstream.enabled and not options.jetstream.store_dir:
        options.jetstream.store_dir = os.path.join(tempfile.gettempdir(), "nats")
        options.jetstream.store_dir_is_temporary = True
