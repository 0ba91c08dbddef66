"""The options of one server, typed, with nats-server's defaults.

Is: plain data and its validation. Everything that a configuration file or a flag can say ends up here.
Is not: the reading of files (`config_file`), of keys (`config_keys`) or of flags (`flags`); `config_load` joins those.
Invariants: durations are nanoseconds, sizes are bytes; 0 means what each comment says, never "unset by accident".
Read next: `config_keys.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

VERSION: Final = "2.15.1"  # told to clients: they gate features on it
OWN_VERSION: Final = "0.1.0"  # told to whoever wants to know whom he really speaks to
SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS

DEFAULT_HOST: Final = "0.0.0.0"
DEFAULT_PORT: Final = 4222
DEFAULT_MAX_CONTROL_LINE: Final = 4096
DEFAULT_MAX_PAYLOAD: Final = 1024 * 1024
DEFAULT_MAX_PENDING: Final = 64 * 1024 * 1024
DEFAULT_MAX_CONNECTIONS: Final = 64 * 1024
DEFAULT_MAX_CLOSED_CLIENTS: Final = 10_000

STORE_AUTOMATIC: Final = -1


@dataclass
class RouteUrl:
    """One configured peer: where to dial, and the credentials its URL carried."""

    host: str
    port: int
    user: str = ""
    password: str = ""

    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass
class UserOptions:
    user: str
    password: str  # plain, or a bcrypt hash beginning $2a$


@dataclass
class AuthorizationOptions:
    """Who may connect. Either one user, or a token, or a list of users; all empty: everybody."""

    user: str = ""
    password: str = ""
    token: str = ""
    users: list[UserOptions] = field(default_factory=list)
    timeout_ns: int = 2 * SECOND_NS

    def required(self) -> bool:
        return bool(self.user or self.password or self.token or self.users)


@dataclass
class JetStreamLimits:
    """What any stream or consumer of this server may ask for; 0: no limit."""

    max_request_batch: int = 0
    max_ack_pending: int = 0
    max_ha_assets: int = 0
    duplicate_window_ns: int = 0
    default_max_consumers: int = 0


@dataclass
class JetStreamOptions:
    """`enabled` False: no JetStream at all. `sync_interval_ns` 0: sync before every acknowledgement (the default)."""

    enabled: bool = False
    store_dir: str = ""  # as configured; the streams live in <store_dir>/jetstream
    store_dir_is_temporary: bool = False  # none was configured: a folder for temporary files, worth a warning
    unique_tag: str = ""  # no two replicas of a stream on servers with the same tag of this beginning
    domain: str = ""  # the API is also at $JS.<domain>.API
    max_memory: int = STORE_AUTOMATIC  # bytes; -1 = three quarters of the machine's; 0 = memory streams refused
    max_file: int = STORE_AUTOMATIC  # bytes; -1 = three quarters of what is free on the disk; 0 = file streams refused
    sync_interval_ns: int = 0
    limits: JetStreamLimits = field(default_factory=JetStreamLimits)
    log_file_bytes: int = 64 * 1024 * 1024  # of one file of the write-ahead log; no key sets it


@dataclass
class ClusterOptions:
    """`port` 0: not clustered, no listener (unless `routes` are given); -1: any free port."""

    name: str = ""
    host: str = DEFAULT_HOST
    port: int = 0
    routes: list[RouteUrl] = field(default_factory=list)
    authorization: AuthorizationOptions = field(default_factory=AuthorizationOptions)
    advertise: str = ""  # host:port told to other servers instead of the listener's
    no_advertise: bool = False  # clients are not told the other servers' addresses
    connect_retries: int = 0  # implicit routes only; configured ones are tried for ever
    connect_backoff: bool = False
    ping_interval_ns: int = 30 * SECOND_NS
    ping_max: int = 2

    def configured(self) -> bool:
        return self.port != 0


@dataclass
class TernmqOptions:
    """What nats-server does not have: the block `ternmq { … }`."""

    log_format: str = "text"  # text | json
    dead_letter: bool = True  # False: messages delivered too often stay where they are, as with nats-server
    bootstrap_expect: int = 0  # 0: as many nodes as there are configured routes (own included)


@dataclass
class Options:
    server_name: str = ""  # "": the server id
    server_tags: list[str] = field(default_factory=list)  # in lower case; placement asks for them
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT  # -1: any free port
    client_advertise: str = ""
    http_host: str = ""  # "": same as host
    http_port: int = 0  # 0: no monitoring; -1: any free port
    authorization: AuthorizationOptions = field(default_factory=AuthorizationOptions)
    jetstream: JetStreamOptions = field(default_factory=JetStreamOptions)
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    ternmq: TernmqOptions = field(default_factory=TernmqOptions)

    max_control_line: int = DEFAULT_MAX_CONTROL_LINE
    max_payload: int = DEFAULT_MAX_PAYLOAD
    max_pending: int = DEFAULT_MAX_PENDING
    max_connections: int = DEFAULT_MAX_CONNECTIONS  # -1: refuse all
    max_subscriptions: int = 0  # 0: unlimited
    max_subscription_tokens: int = 0  # 0: unlimited
    max_closed_clients: int = DEFAULT_MAX_CLOSED_CLIENTS
    ping_interval_ns: int = 2 * MINUTE_NS
    ping_max: int = 2
    write_deadline_ns: int = 10 * SECOND_NS
    lame_duck_duration_ns: int = 2 * MINUTE_NS
    lame_duck_grace_period_ns: int = 10 * SECOND_NS

    debug: bool = False
    trace: bool = False
    trace_headers: bool = False  # of payloads, the headers only
    max_traced_msg_len: int = 0  # bytes of a payload; 0: all
    logtime: bool = True
    logtime_utc: bool = False
    log_file: str = ""  # "": standard error
    log_size_limit: int = 0  # bytes; 0: no limit
    log_max_num: int = 0
    pid_file: str = ""
    ports_file_dir: str = ""

    config_file: str = ""
    config_digest: str = ""  # "sha256:…" of the parsed file, as /varz shows it

    def advertised(self) -> tuple[str, int]:
        """Where clients are told that this server is: `client_advertise`, else where it listens."""
        host, colon, port = self.client_advertise.rpartition(":")
        if colon and port.isdigit():
            return host.removeprefix("[").removesuffix("]"), int(port) or self.port
        return self.client_advertise or self.host, self.port
