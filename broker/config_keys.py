"""Every key that nats-server knows: what it sets here, that it is harmless, or that it is not supported yet.

Is: the tables of keys per block and the walk over a parsed file that fills Options.
Is not: the grammar (`config_file`), the types (`config_values`), flags and cross-checks (`config_load`).
Invariants: no key is ever ignored silently: it acts, or it is in a table of harmless ones, or it is an error with a
position. An unknown key is legal only when something in the file refers to it as a variable, as in nats-server.
Read next: `config_load.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from broker import config_values as values
from broker.config import SECOND_NS, AuthorizationOptions, Options, UserOptions
from broker.config_file import Node, Tree
from broker.config_jetstream import jetstream_block, store_dir
from broker.config_values import words

INT32_MAX: Final = 2**31 - 1
LAME_DUCK_MIN_NS: Final = 30 * SECOND_NS
ROUTE_PING_INTERVAL_MAX_NS: Final = 30 * SECOND_NS

Setter = Callable[[Options, str, Node, list[str]], None]


# Accepted and without effect: they tune what we do not have (profiling, a cache that cannot be switched off, …).
HARMLESS: Final = words(
    "disable_sublist_cache no_sublist_cache prof_port prof_block_rate connect_error_reports "
    "reconnect_error_reports no_system_account no_system no_sys_acc no_fast_producer_stall ocsp_cache"
)
CLUSTER_HARMLESS: Final = frozenset(("write_deadline", "write_timeout"))

# Known to nats-server, not built here yet. Saying so is better than running without what the operator asked for.
UNSUPPORTED: Final = words(
    "mappings maps accounts default_sentinel https https_port http_base_path gateway leaf leafnodes remote_syslog tls "
    "ocsp operator operators roots root root_operators root_operator resolver account_resolver accounts_resolver "
    "resolver_tls resolver_preload resolver_pinned_accounts no_auth_user system_account system trusted trusted_keys "
    "websocket ws mqtt server_metadata feature_flags default_js_domain proxies write_timeout"
)
UNSUPPORTED_UNLESS_FALSE: Final = words("syslog proxy_protocol allow_non_tls no_header_support")
CLUSTER_UNSUPPORTED: Final = words("tls permissions accounts")
AUTHORIZATION_UNSUPPORTED: Final = words(
    "default_permission default_permissions permissions auth_callout auth_hook proxy_required"
)
USER_UNSUPPORTED: Final = words(
    "nkey permission permissions authorization allowed_connection_types connection_types clients proxy_required"
)


def fill(options: Options, tree: Tree, warnings: list[str]) -> None:
    """Sets in `options` what the file says. Errors: ConfigError, the first one in the order of the file."""
    for key, node in tree.items():
        name = key.lower()
        setter = SETTERS.get(name)
        if setter is not None:
            setter(options, name, node, warnings)
        elif name not in HARMLESS:
            values.refuse(key, node, UNSUPPORTED, UNSUPPORTED_UNLESS_FALSE)


# Top level


def _listen(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    options.host, options.port = values.listen(key, node)


def _http(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    options.http_host, options.http_port = values.listen(key, node)


def _name(key: str, node: Node) -> str:
    name = values.text(key, node)
    if any(character.isspace() for character in name):
        raise node.failure(f"{key} cannot contain spaces")
    return name


def _server_name(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    options.server_name = _name("server name", node)


def _server_tags(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    given = [node] if isinstance(node.value, str) else values.array(key, node)
    for each in given:
        tag = values.text(key, each).strip().lower()
        if tag not in options.server_tags:
            options.server_tags.append(tag)


def _text(attribute: str) -> Setter:
    def set_text(options: Options, key: str, node: Node, warnings: list[str]) -> None:
        setattr(options, attribute, values.text(key, node))

    return set_text


def _boolean(attribute: str) -> Setter:
    def set_boolean(options: Options, key: str, node: Node, warnings: list[str]) -> None:
        setattr(options, attribute, values.boolean(key, node))

    return set_boolean


def _integer(attribute: str, low: int, high: int) -> Setter:
    def set_integer(options: Options, key: str, node: Node, warnings: list[str]) -> None:
        setattr(options, attribute, values.integer_between(key, node, low, high))

    return set_integer


def _duration(attribute: str) -> Setter:
    def set_duration(options: Options, key: str, node: Node, warnings: list[str]) -> None:
        setattr(options, attribute, values.duration_ns(key, node, warnings))

    return set_duration


def _trace_headers(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    options.trace_headers = values.boolean(key, node)
    options.trace = options.trace or options.trace_headers


def _max_connections(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    options.max_connections = values.integer(key, node) or -1


def _lame_duck_duration(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    duration_ns = values.go_duration(values.text(key, node), key, node)
    if duration_ns < LAME_DUCK_MIN_NS:
        raise node.failure(f"invalid lame_duck_duration of {node.value}, minimum is 30 seconds")
    options.lame_duck_duration_ns = duration_ns


def _lame_duck_grace_period(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    duration_ns = values.go_duration(values.text(key, node), key, node)
    if duration_ns < 0:
        raise node.failure("invalid lame_duck_grace_period, needs to be positive")
    options.lame_duck_grace_period_ns = duration_ns


def _authorization(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    authorization = _read_authorization(key, node, warnings)
    if authorization.token and (authorization.user or authorization.password):
        raise node.failure("Cannot have a user/pass and token")
    if authorization.users and (authorization.user or authorization.token):
        what = "single user/pass" if authorization.user else "token"
        raise node.failure(f"Can not have a {what} and a users array")
    options.authorization = authorization


def _read_authorization(block: str, node: Node, warnings: list[str]) -> AuthorizationOptions:
    result = AuthorizationOptions()
    for key, entry in values.tree(block, node).items():
        name = key.lower()
        if name in ("user", "username"):
            result.user = values.text(key, entry)
        elif name in ("pass", "password"):
            result.password = values.text(key, entry)
        elif name == "token":
            result.token = values.text(key, entry)
        elif name == "timeout":
            result.timeout_ns = _authorization_timeout_ns(entry)
        elif name == "users":
            result.users = _read_users(key, entry)
        else:
            values.refuse(key, entry, AUTHORIZATION_UNSUPPORTED, block="authorization.")
    return result


def _authorization_timeout_ns(node: Node) -> int:
    if isinstance(node.value, str):
        return values.go_duration(node.value, "authorization config, 'timeout'", node)
    if isinstance(node.value, bool) or not isinstance(node.value, int | float) or not 0 <= node.value < 2**31:
        raise node.failure("error parsing authorization config, 'timeout' should be seconds or a duration")
    return int(node.value * SECOND_NS)


def _read_users(block: str, node: Node) -> list[UserOptions]:
    users: list[UserOptions] = []
    for entry in values.array(block, node):
        user = UserOptions("", "")
        for key, field in values.tree("User entry", entry).items():
            name = key.lower()
            if name in ("user", "username"):
                user.user = values.text(key, field)
            elif name in ("pass", "password"):
                user.password = values.text(key, field)
            else:
                values.refuse(key, field, USER_UNSUPPORTED, block="authorization.users.")
        if not user.user:
            raise entry.failure("User entry requires a user")
        if any(user.user == other.user for other in users):
            raise entry.failure(f'Duplicate user "{user.user}" detected')
        users.append(user)
    return users


# jetstream { … }


# cluster { … }


def _cluster(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    for name, entry in values.tree(key, node).items():
        _cluster_entry(options, name, entry, warnings)


def _cluster_entry(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    cluster = options.cluster
    name = key.lower()
    if name == "name":
        cluster.name = _name("cluster name", node)
    elif name == "listen":
        host, cluster.port = values.listen(name, node)
        cluster.host = host or cluster.host
    elif name == "port":
        cluster.port = values.port(name, node)
    elif name in ("host", "net"):
        cluster.host = values.text(name, node)
    elif name == "authorization":
        cluster.authorization = _read_authorization(name, node, warnings)
        if cluster.authorization.users or cluster.authorization.token:
            what = "multiple users" if cluster.authorization.users else "tokens"
            raise node.failure(f"Cluster authorization does not allow {what}")
    elif name == "routes":
        _routes(options, name, node, warnings)
    elif name in ("cluster_advertise", "advertise"):
        cluster.advertise = values.text(name, node)
    elif name == "no_advertise":
        cluster.no_advertise = values.boolean(name, node)
    elif name == "connect_backoff":
        cluster.connect_backoff = values.boolean(name, node)
    elif name == "connect_retries":
        cluster.connect_retries = values.integer_between(name, node, 0, INT32_MAX)
    elif name == "pool_size":
        values.integer_between(name, node, -1, INT32_MAX)  # a route here is one connection; peers adapt to that
    elif name == "compression":
        _compression(node)
    elif name == "ping_interval":
        cluster.ping_interval_ns = min(values.duration_ns(name, node, warnings), ROUTE_PING_INTERVAL_MAX_NS)
    elif name == "ping_max":
        cluster.ping_max = values.integer_between(name, node, 0, INT32_MAX) or 2
    elif name not in CLUSTER_HARMLESS:
        values.refuse(key, node, CLUSTER_UNSUPPORTED, block="cluster.")


def _routes(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    routes = options.cluster.routes
    routes.clear()
    seen: list[str] = []
    for entry in values.array(key, node):
        url = values.text("route", entry)
        if url in seen:
            warnings.append(f"{entry.file}:{entry.line}:{entry.column}: Duplicate route entry detected")
            continue
        seen.append(url)
        try:
            routes.append(values.parse_route(url))
        except ValueError as error:
            raise entry.failure(str(error)) from None


def _compression(node: Node) -> None:
    """Routes here are never compressed; "accept" means: only when the other side asks, and it is told "off"."""
    mode = node.value.get("mode", node).value if isinstance(node.value, dict) else node.value
    if mode not in (False, "off", "disabled", "accept", "not supported"):
        raise node.failure('"cluster.compression" is not supported yet, except off and accept')


# ternmq { … }


def _ternmq(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    for name, entry in values.tree(key, node).items():
        if name.lower() == "log_format":
            options.ternmq.log_format = values.text(name, entry)
            if options.ternmq.log_format not in ("text", "json"):
                raise entry.failure(f"log_format should be text or json, but is '{options.ternmq.log_format}'")
        elif name.lower() == "dead_letter":
            if entry.value in ("off", "on"):
                options.ternmq.dead_letter = entry.value == "on"
            else:
                options.ternmq.dead_letter = values.boolean(name, entry)
        elif name.lower() == "bootstrap_expect":
            options.ternmq.bootstrap_expect = values.integer_between(name, entry, 0, 1000)
        else:
            values.refuse(name, entry, frozenset())


SETTERS: Final[dict[str, Setter]] = {
    "listen": _listen,
    "port": _integer("port", -1, values.PORT_MAX),
    "host": _text("host"),
    "net": _text("host"),
    "server_name": _server_name,
    "client_advertise": _text("client_advertise"),
    "http": _http,
    "http_port": _integer("http_port", -1, values.PORT_MAX),
    "monitor_port": _integer("http_port", -1, values.PORT_MAX),
    "authorization": _authorization,
    "server_tags": _server_tags,
    "store_dir": store_dir,
    "storedir": store_dir,
    "jetstream": jetstream_block,
    "cluster": _cluster,
    "ternmq": _ternmq,
    "debug": _boolean("debug"),
    "trace": _boolean("trace"),
    "trace_verbose": _boolean("trace"),
    "trace_headers": _trace_headers,
    "max_traced_msg_len": _integer("max_traced_msg_len", -(2**31), INT32_MAX),
    "logtime": _boolean("logtime"),
    "logtime_utc": _boolean("logtime_utc"),
    "logfile": _text("log_file"),
    "log_file": _text("log_file"),
    "logfile_size_limit": _integer("log_size_limit", 0, 2**62),
    "log_size_limit": _integer("log_size_limit", 0, 2**62),
    "logfile_max_num": _integer("log_max_num", 0, INT32_MAX),
    "log_max_num": _integer("log_max_num", 0, INT32_MAX),
    "pidfile": _text("pid_file"),
    "pid_file": _text("pid_file"),
    "ports_file_dir": _text("ports_file_dir"),
    "max_control_line": _integer("max_control_line", 1, INT32_MAX),
    "max_payload": _integer("max_payload", 1, INT32_MAX),
    "max_pending": _integer("max_pending", 1, 2**62),
    "max_connections": _max_connections,
    "max_conn": _max_connections,
    "max_subscriptions": _integer("max_subscriptions", 0, INT32_MAX),
    "max_subs": _integer("max_subscriptions", 0, INT32_MAX),
    "max_sub_tokens": _integer("max_subscription_tokens", 1, 255),
    "max_subscription_tokens": _integer("max_subscription_tokens", 1, 255),
    "max_closed_clients": _integer("max_closed_clients", 0, INT32_MAX),
    "ping_interval": _duration("ping_interval_ns"),
    "ping_max": _integer("ping_max", 0, INT32_MAX),
    "write_deadline": _duration("write_deadline_ns"),
    "lame_duck_duration": _lame_duck_duration,
    "lame_duck_grace_period": _lame_duck_grace_period,
}
