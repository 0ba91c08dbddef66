"""The command line, as Go's `flag` package reads it: `-x v`, `-x=v`, `--x v`, `--x=v`, switches `-x` and `-x=false`.

Is: one table of flags, the parser that reads by it and the help text made from it.
Is not: what a flag changes (`config_load`).
Invariants: imports nothing heavy, because `-v` and `--signal` must answer in milliseconds.
Read next: `config_load.py`, `cli.py`.
"""

from __future__ import annotations

from typing import Final

SWITCH: Final = "switch"
NUMBER: Final = "number"
TEXT: Final = "text"
TRUE_WORDS: Final = ("1", "t", "T", "TRUE", "true", "True")
FALSE_WORDS: Final = ("0", "f", "F", "FALSE", "false", "False")
INTEGER_BOUND: Final = 2**63


class FlagError(Exception):
    """A command line that cannot be read; the text is for a person."""


class Flag:
    """One flag with all its names, the longest last; `unsupported` ones are known to nats-server only."""

    def __init__(
        self, names: str, kind: str, group: str, argument: str, description: str, unsupported: bool = False
    ) -> None:
        self.names = names.split()
        self.key = self.names[-1]
        self.kind = kind
        self.group = group
        self.argument = argument
        self.description = description
        self.unsupported = unsupported


SERVER: Final = "Server Options"
LOGGING: Final = "Logging Options"
JETSTREAM: Final = "JetStream Options"
AUTHORIZATION: Final = "Authorization Options"
CLUSTER: Final = "Cluster Options"
COMMON: Final = "Common Options"
TLS: Final = "TLS Options"

FLAGS: Final = (
    Flag("a net addr", TEXT, SERVER, "<host>", "Bind to host address (default: 0.0.0.0)"),
    Flag("p port", NUMBER, SERVER, "<port>", "Use port for clients (default: 4222, -1: any free port)"),
    Flag("n name server_name", TEXT, SERVER, "<server_name>", "Server name (default: auto)"),
    Flag("P pid", TEXT, SERVER, "<file>", "File to store PID"),
    Flag("m http_port", NUMBER, SERVER, "<port>", "Use port for http monitoring"),
    Flag("ms https_port", NUMBER, SERVER, "<port>", "Use port for https monitoring", unsupported=True),
    Flag("c config", TEXT, SERVER, "<file>", "Configuration file"),
    Flag("t", SWITCH, SERVER, "", "Test configuration and exit"),
    Flag(
        "sl signal",
        TEXT,
        SERVER,
        "<signal>[=<pid>]",
        "Send signal to a running server (ldm, stop, quit, term, reopen, reload); <pid> is a number or a pid file",
    ),
    Flag("client_advertise", TEXT, SERVER, "<string>", "Client URL to advertise to other servers"),
    Flag("ports_file_dir", TEXT, SERVER, "<dir>", "Create a ports file in <dir> (<executable_name>_<pid>.ports)"),
    Flag("l log", TEXT, LOGGING, "<file>", "File to redirect log output"),
    Flag("T logtime", SWITCH, LOGGING, "", "Timestamp log entries (default: true)"),
    Flag("logtime_utc", SWITCH, LOGGING, "", "Timestamps in UTC instead of local timezone (default: false)"),
    Flag("s syslog", SWITCH, LOGGING, "", "Log to syslog", unsupported=True),
    Flag("r remote_syslog", TEXT, LOGGING, "<addr>", "Syslog server addr", unsupported=True),
    Flag("D debug", SWITCH, LOGGING, "", "Enable debugging output"),
    Flag("V trace", SWITCH, LOGGING, "", "Trace the raw protocol"),
    Flag("VV", SWITCH, LOGGING, "", "Verbose trace"),
    Flag("DV", SWITCH, LOGGING, "", "Debug and trace"),
    Flag("DVV", SWITCH, LOGGING, "", "Debug and verbose trace"),
    Flag("log_size_limit", NUMBER, LOGGING, "<limit>", "Logfile size limit (default: no limit)"),
    Flag("max_traced_msg_len", NUMBER, LOGGING, "<len>", "Printable length of traced messages (default: unlimited)"),
    Flag("js jetstream", SWITCH, JETSTREAM, "", "Enable JetStream functionality"),
    Flag("sd store_dir", TEXT, JETSTREAM, "<dir>", "Set the storage directory"),
    Flag("user", TEXT, AUTHORIZATION, "<user>", "User required for connections"),
    Flag("pass", TEXT, AUTHORIZATION, "<password>", "Password required for connections"),
    Flag("auth", TEXT, AUTHORIZATION, "<token>", "Authorization token required for connections"),
    Flag("tls", SWITCH, TLS, "", "Enable TLS", unsupported=True),
    Flag("tlscert", TEXT, TLS, "<file>", "Server certificate file", unsupported=True),
    Flag("tlskey", TEXT, TLS, "<file>", "Private key for server certificate", unsupported=True),
    Flag("tlsverify", SWITCH, TLS, "", "Enable TLS, verify client certificates", unsupported=True),
    Flag("tlscacert", TEXT, TLS, "<file>", "Client certificate CA", unsupported=True),
    Flag("help_tls", SWITCH, TLS, "", "TLS help", unsupported=True),
    Flag("routes", TEXT, CLUSTER, "<rurl-1, rurl-2>", "Routes to solicit and connect"),
    Flag("cluster cluster_listen", TEXT, CLUSTER, "<cluster-url>", "Cluster url from which members can connect"),
    Flag("cluster_name", TEXT, CLUSTER, "<string>", "Cluster name"),
    Flag("no_advertise", SWITCH, CLUSTER, "", "Do not advertise known cluster information to clients"),
    Flag("cluster_advertise", TEXT, CLUSTER, "<string>", "Cluster URL to advertise to other servers"),
    Flag("connect_retries", NUMBER, CLUSTER, "<number>", "For implicit routes, number of connect retries"),
    Flag("profile", NUMBER, COMMON, "<port>", "Accepted for compatibility, without effect"),
    Flag("h help", SWITCH, COMMON, "", "Show this message"),
    Flag("v version", SWITCH, COMMON, "", "Show version"),
)


def _by_name() -> dict[str, Flag]:
    return {name: flag for flag in FLAGS for name in flag.names}


class FlagValues:
    """What a command line said: the value of each flag given, under the flag's longest name."""

    def __init__(self) -> None:
        self.values: dict[str, str | int | bool] = {}

    def given(self, key: str) -> bool:
        return key in self.values

    def text(self, key: str) -> str:
        value = self.values.get(key, "")
        assert isinstance(value, str)
        return value

    def number(self, key: str) -> int:
        value = self.values.get(key, 0)
        assert isinstance(value, int)
        return value

    def switch(self, key: str) -> bool:
        value = self.values.get(key, False)
        assert isinstance(value, bool)
        return value


def parse(arguments: list[str]) -> FlagValues:
    """Reads a command line without the program's name. Errors: FlagError."""
    known = _by_name()
    result = FlagValues()
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        position += 1
        if not argument.startswith("-") or argument == "-":
            _command(argument, result)
            break
        if argument == "--":
            if position < len(arguments):
                _command(arguments[position], result)
            break
        name, equals, attached = argument.removeprefix("-").removeprefix("-").partition("=")
        if name == "" or name.startswith("-"):
            raise FlagError(f"bad flag syntax: {argument}")
        flag = known.get(name)
        if flag is None:
            raise FlagError(f"flag provided but not defined: -{name}")
        value = attached
        if not equals and flag.kind == SWITCH:
            value = "true"
        elif not equals:
            if position == len(arguments):
                raise FlagError(f"flag needs an argument: -{name}")
            value = arguments[position]
            position += 1
        result.values[flag.key] = _converted(flag, name, value)
        if flag.unsupported and result.values[flag.key] is not False:
            raise FlagError(f"the flag -{name} is not supported yet")
    return result


def _command(word: str, result: FlagValues) -> None:
    """`help` and `version` may stand without dashes."""
    if word.lower() not in ("help", "version"):
        raise FlagError(f'unrecognized command: "{word}"')
    result.values[word.lower()] = True


def _converted(flag: Flag, name: str, value: str) -> str | int | bool:
    if flag.kind == TEXT:
        return value
    if flag.kind == SWITCH:
        if value in TRUE_WORDS or value in FALSE_WORDS:
            return value in TRUE_WORDS
        raise FlagError(f'invalid boolean value "{value}" for -{name}: parse error')
    try:
        if len(value) > 30 or not -INTEGER_BOUND <= int(value, 0) < INTEGER_BOUND:
            raise FlagError(f'invalid value "{value}" for flag -{name}: value out of range')
        return int(value, 0)
    except ValueError:
        raise FlagError(f'invalid value "{value}" for flag -{name}: parse error') from None


def help_text(program: str) -> str:
    lines = ["", f"Usage: {program} [options]"]
    for group in (SERVER, LOGGING, JETSTREAM, AUTHORIZATION, CLUSTER, COMMON):
        lines += ["", f"{group}:"]
        for flag in FLAGS:
            if flag.group == group and not flag.unsupported:
                dashes = ["-" if len(name) <= 2 or name.isupper() else "--" for name in flag.names]
                names = ", ".join(dash + name for dash, name in zip(dashes, flag.names, strict=True))
                left = f"{names} {flag.argument}".rstrip()
                lines.append(f"    {left:<42} {flag.description}")
    return "\n".join(lines) + "\n"
