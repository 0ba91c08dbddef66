"""From keys and flags to Options: what each one sets, and how each mistake is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.config import Options, RouteUrl
from broker.config_file import ConfigError
from broker.config_load import load
from broker.config_values import parse_duration_ns, parse_route
from broker.flags import FLAGS, FlagError, help_text, parse

SECOND_NS = 1_000_000_000

ISSUE_SAMPLE = """
listen: 0.0.0.0:4222
http: 0.0.0.0:8222
jetstream {
  store_dir: /data/nats
  max_memory_store: 1GB
  max_file_store: 20GB
}
cluster {
  name: production
  listen: 0.0.0.0:6222
  routes: [
    nats://nats-1:6222
    nats://nats-2:6222
    nats://nats-3:6222
  ]
}
"""

# As upstream's chart renders it (JSON with raw tokens).
CHART_SAMPLE = """{
  "cluster": {
    "name": "nats", "no_advertise": true, "port": 6222,
    "routes": ["nats://my-nats-0.my-nats-headless:6222", "nats://my-nats-1.my-nats-headless:6222"]
  },
  "http_port": 8222,
  "jetstream": { "max_file_store": 10Gi, "max_memory_store": 0, "store_dir": "/data" },
  "lame_duck_duration": "30s",
  "lame_duck_grace_period": "10s",
  "pid_file": "/var/run/nats/nats.pid",
  "port": 4222,
  "server_name": $SERVER_NAME
}
"""


def options_of(text: str, tmp_path: Path, *arguments: str) -> Options:
    path = tmp_path / "nats.conf"
    path.write_text(text)
    options, _warnings = load(parse(["-c", str(path), *arguments]), {"SERVER_NAME": "my-nats-0"})
    return options


def flags_only(*arguments: str) -> Options:
    return load(parse(list(arguments)), {})[0]


def test_the_sample_of_the_manual(tmp_path: Path) -> None:
    options = options_of(ISSUE_SAMPLE, tmp_path)
    assert (options.host, options.port) == ("0.0.0.0", 4222)
    assert (options.http_host, options.http_port) == ("0.0.0.0", 8222)
    assert options.jetstream.enabled and options.jetstream.store_dir == "/data/nats"
    assert (options.jetstream.max_memory, options.jetstream.max_file) == (2**30, 20 * 2**30)
    assert options.jetstream.sync_interval_ns == 0
    assert (options.cluster.name, options.cluster.host, options.cluster.port) == ("production", "0.0.0.0", 6222)
    assert options.cluster.routes == [RouteUrl(f"nats-{number}", 6222) for number in (1, 2, 3)]


def test_the_file_that_the_chart_renders(tmp_path: Path) -> None:
    options = options_of(CHART_SAMPLE, tmp_path)
    assert options.server_name == "my-nats-0"
    assert (options.jetstream.max_memory, options.jetstream.max_file) == (0, 10 * 2**30)
    assert options.cluster.no_advertise and len(options.cluster.routes) == 2
    assert (options.lame_duck_duration_ns, options.lame_duck_grace_period_ns) == (30 * SECOND_NS, 10 * SECOND_NS)
    assert options.pid_file == "/var/run/nats/nats.pid"


KEYS: list[tuple[str, Callable[[Options], object], object]] = [
    ("listen: 4333", lambda o: (o.host, o.port), ("0.0.0.0", 4333)),
    ("listen: localhost:-1", lambda o: (o.host, o.port), ("localhost", -1)),
    ("listen: '[::1]:4222'", lambda o: (o.host, o.port), ("::1", 4222)),
    ("LISTEN: 127.0.0.1:4222", lambda o: o.host, "127.0.0.1"),
    ("net: 127.0.0.1, port: -1", lambda o: (o.host, o.port), ("127.0.0.1", -1)),
    ("host: '::'", lambda o: o.host, "::"),
    ("http: 127.0.0.1:8222", lambda o: (o.http_host, o.http_port), ("127.0.0.1", 8222)),
    ("host: 127.0.0.1, monitor_port: 8222", lambda o: (o.http_host, o.http_port), ("127.0.0.1", 8222)),
    ("jetstream: enabled", lambda o: o.jetstream.enabled, True),
    ("jetstream: true", lambda o: o.jetstream.enabled, True),
    ("jetstream {}", lambda o: o.jetstream.enabled, True),
    ("jetstream { enabled: false }", lambda o: o.jetstream.enabled, False),
    ("jetstream: disabled", lambda o: o.jetstream.enabled, False),
    ("jetstream { sync_interval: always }", lambda o: o.jetstream.sync_interval_ns, 0),
    ("jetstream { sync: '2m' }", lambda o: o.jetstream.sync_interval_ns, 120 * SECOND_NS),
    ("jetstream { max_mem: '10M', max_file: 5k }", lambda o: (o.jetstream.max_memory, o.jetstream.max_file),
     (10 * 2**20, 5000)),
    ("jetstream {}", lambda o: (o.jetstream.max_memory, o.jetstream.max_file), (-1, -1)),
    ("jetstream {}", lambda o: o.jetstream.store_dir_is_temporary, True),
    ("store_dir: /x\njetstream: true", lambda o: o.jetstream.store_dir, "/x"),
    ("jetstream { max_concurrent_io: 8, strict: true }", lambda o: o.jetstream.enabled, True),
    ("authorization { user: a, password: b, timeout: 1.5 }", lambda o: (
        o.authorization.user, o.authorization.password, o.authorization.timeout_ns), ("a", "b", 1_500_000_000)),
    ("authorization { token: t, timeout: '500ms' }", lambda o: (o.authorization.token, o.authorization.timeout_ns),
     ("t", 500_000_000)),
    ("authorization { users [ {user: a, pass: b}\n {username: c, password: d} ] }",
     lambda o: [(u.user, u.password) for u in o.authorization.users], [("a", "b"), ("c", "d")]),
    ("cluster { authorization { user: r, password: p, timeout: 2 }, port: 6222 }",
     lambda o: (o.cluster.authorization.user, o.cluster.port), ("r", 6222)),
    ("cluster { listen: 6222, routes = [nats-route://u:p%40@h:7, h2:8] }", lambda o: o.cluster.routes,
     [RouteUrl("h", 7, "u", "p@"), RouteUrl("h2", 8)]),
    ("cluster { pool_size: 3, compression: accept, connect_retries: 5 }", lambda o: o.cluster.connect_retries, 5),
    ("cluster { ping_interval: '1m' }", lambda o: o.cluster.ping_interval_ns, 30 * SECOND_NS),
    ("max_payload: 8MB, max_pending: 1GB", lambda o: (o.max_payload, o.max_pending), (8 * 2**20, 2**30)),
    ("max_connections: 0", lambda o: o.max_connections, -1),
    ("max_conn: 5, max_subs: 6, max_sub_tokens: 7", lambda o: (
        o.max_connections, o.max_subscriptions, o.max_subscription_tokens), (5, 6, 7)),
    ("ping_interval: '20s', ping_max: 3", lambda o: (o.ping_interval_ns, o.ping_max), (20 * SECOND_NS, 3)),
    ("ping_interval: 20", lambda o: o.ping_interval_ns, 20 * SECOND_NS),
    ("write_deadline: '3s'", lambda o: o.write_deadline_ns, 3 * SECOND_NS),
    ("debug: true, trace: true, logtime: false", lambda o: (o.debug, o.trace, o.logtime), (True, True, False)),
    ("logfile: /tmp/x.log, log_size_limit: 1MB", lambda o: (o.log_file, o.log_size_limit), ("/tmp/x.log", 2**20)),
    ("prof_port: 65432, no_sublist_cache: true, syslog: false", lambda o: o.port, 4222),
    ("ternmq { log_format: json, bootstrap_expect: 3 }", lambda o: (
        o.ternmq.log_format, o.ternmq.bootstrap_expect), ("json", 3)),
    ("SIZE: 2MB\nmax_payload: $SIZE", lambda o: o.max_payload, 2 * 2**20),
]  # fmt: skip


@pytest.mark.parametrize(("text", "read", "value"), KEYS, ids=[text[:40] for text, _, _ in KEYS])
def test_key_sets(text: str, read: Callable[[Options], object], value: object, tmp_path: Path) -> None:
    assert read(options_of(text, tmp_path)) == value


MISTAKES = [
    ("port: 1\nfoo: 1", 2, 1, 'unknown field "foo"'),
    ("cluster {\n nmae: x\n}", 2, 2, 'unknown field "nmae"'),
    ("jetstream {\n store: /x\n stroe_dir: /y\n}", 3, 2, 'unknown field "stroe_dir"'),
    ("ternmq { log: json }", 1, 10, 'unknown field "log"'),
    ("port: 1\ntls { cert_file: x }", 2, 1, '"tls" is not supported yet'),
    ("leafnodes {}", 1, 1, '"leafnodes" is not supported yet'),
    ("websocket {}", 1, 1, '"websocket" is not supported yet'),
    ("accounts {}", 1, 1, '"accounts" is not supported yet'),
    ("operator: x", 1, 1, '"operator" is not supported yet'),
    ("no_header_support: true", 1, 1, '"no_header_support" is not supported yet'),
    ("jetstream {\n domain: a.b\n}", 2, 2, "invalid domain name: may not contain ., * or >"),
    ("cluster {\n tls {}\n}", 2, 2, '"cluster.tls" is not supported yet'),
    ("cluster { compression: s2_fast }", 1, 11, '"cluster.compression" is not supported yet'),
    ("authorization { users [\n { nkey: U }\n ] }", 2, 4, '"authorization.users.nkey" is not supported yet'),
    ("authorization { users [\n { user: a, permissions {} } ] }", 2, 13, "not supported yet"),
    ("authorization { users [ {pass: x} ] }", 1, 25, "requires a user"),
    ("authorization { users [ {user: x}\n {user: x} ] }", 2, 2, 'Duplicate user "x"'),
    ("authorization { user: a, pass: b, token: c }", 1, 1, "Cannot have a user/pass and token"),
    ("authorization { user: a, users [ {user: x} ] }", 1, 1, "a users array"),
    ("authorization { timeout: x }", 1, 17, "invalid duration"),
    ("cluster { authorization { token: x } }", 1, 11, "does not allow tokens"),
    ("cluster: 1", 1, 1, "cluster should be a map"),
    ("cluster { routes: x }", 1, 11, "routes should be an array"),
    ("cluster { routes: [ 'nats://' ] }", 1, 21, "error parsing route url"),
    ("cluster { routes: [ 'http://x:1' ] }", 1, 21, "error parsing route url"),
    ("cluster { name: 'a b' }", 1, 11, "cluster name cannot contain spaces"),
    ("server_name: 'a b'", 1, 1, "server name cannot contain spaces"),
    ("port: x", 1, 1, "port should be a number, but is text"),
    ("port: 70000", 1, 1, "between -1 and 65535"),
    ("listen: x", 1, 1, "could not parse address string"),
    ("listen: x:y", 1, 1, "could not parse port"),
    ("listen: true", 1, 1, "expected port or host:port"),
    ("http: [::1]:8222", 1, 12, "Expected a top-level value to end"),
    ("debug: 1", 1, 1, "debug should be true or false"),
    ("host: 5", 1, 1, "host should be text"),
    ("max_payload: 3GB", 1, 1, "max_payload should lie between"),
    ("max_sub_tokens: 256", 1, 1, "should lie between"),
    ("write_deadline: '5'", 1, 1, "missing unit in duration"),
    ("lame_duck_duration: '5s'", 1, 1, "minimum is 30 seconds"),
    ("lame_duck_duration: 120", 1, 1, "should be text"),
    ("lame_duck_grace_period: '-1s'", 1, 1, "needs to be positive"),
    ("jetstream: maybe", 1, 1, "Expected 'enabled' or 'disabled'"),
    ("jetstream: 5", 1, 1, "Expected map, bool or string"),
    ("jetstream { max_file: '5X' }", 1, 13, "must end in K, M, G, T"),
    ("jetstream { sync_interval: '-5s' }", 1, 13, "cannot be negative"),
    ("jetstream { strict: false }", 1, 13, "not supported yet"),
    ("store_dir: /x\njetstream { store_dir: /y }", 2, 13, "Duplicate 'store_dir'"),
    ("ternmq { log_format: xml }", 1, 10, "log_format should be text or json"),
]


@pytest.mark.parametrize(("text", "line", "column", "reason"), MISTAKES, ids=[mistake[0][:40] for mistake in MISTAKES])
def test_mistake_is_refused_with_its_place(text: str, line: int, column: int, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        options_of(text, tmp_path)
    assert reason in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("max_payload: 2MB, max_pending: 1MB", "max_payload .* cannot be higher than max_pending"),
        ("lame_duck_duration: '30s', lame_duck_grace_period: '30s'", "strictly lower"),
    ],
)
def test_options_that_contradict_one_another(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=reason):
        options_of(text, tmp_path)


def test_an_integer_for_a_duration_is_a_warning_with_a_place(tmp_path: Path) -> None:
    path = tmp_path / "nats.conf"
    path.write_text("port: 1\nping_interval: 2m")
    options, warnings = load(parse(["-c", str(path)]))
    assert options.ping_interval_ns == 2_000_000 * SECOND_NS
    assert warnings == [
        f'{path}:2:1: invalid use of field "ping_interval": ping_interval should be converted to a duration'
    ]


# Flags

FLAG_CASES: list[tuple[list[str], Callable[[Options], object], object]] = [
    (["-p", "4333"], lambda o: o.port, 4333),
    (["--port=-1"], lambda o: o.port, -1),
    (["-a", "::"], lambda o: o.host, "::"),
    (["-net=localhost", "-m", "-1"], lambda o: (o.host, o.http_host, o.http_port), ("localhost", "localhost", -1)),
    (["-n", "one"], lambda o: o.server_name, "one"),
    (["--name=one"], lambda o: o.server_name, "one"),
    (["-server_name", "one"], lambda o: o.server_name, "one"),
    (["-js", "-sd", "/x"], lambda o: (o.jetstream.enabled, o.jetstream.store_dir), (True, "/x")),
    (["-js", "-sd=/x"], lambda o: o.jetstream.store_dir, "/x"),
    (["-DV"], lambda o: (o.debug, o.trace), (True, True)),
    (["-D"], lambda o: (o.debug, o.trace), (True, False)),
    (["-V", "-D=false"], lambda o: (o.debug, o.trace), (False, True)),
    (["-T=false"], lambda o: o.logtime, False),
    (["-l", "x.log", "-P", "x.pid", "--ports_file_dir", "/p"], lambda o: (o.log_file, o.pid_file, o.ports_file_dir),
     ("x.log", "x.pid", "/p")),
    (["-user", "u", "--pass", "p"], lambda o: (o.authorization.user, o.authorization.password), ("u", "p")),
    (["-auth", "t"], lambda o: o.authorization.token, "t"),
    (["--cluster", "nats://0.0.0.0:6222", "--cluster_name", "c", "--routes", "nats-route://a:1, nats://b:2"],
     lambda o: (o.cluster.port, o.cluster.name, [route.address() for route in o.cluster.routes]),
     (6222, "c", ["a:1", "b:2"])),
    (["-cluster_listen", "nats://u:p@127.0.0.1:-1"], lambda o: (o.cluster.host, o.cluster.port,
     o.cluster.authorization.user, o.cluster.authorization.password), ("127.0.0.1", -1, "u", "p")),
    (["--client_advertise", "h:1", "--no_advertise", "--connect_retries", "4"], lambda o: (
        o.client_advertise, o.cluster.no_advertise, o.cluster.connect_retries), ("h:1", True, 4)),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "read", "value"), FLAG_CASES, ids=[" ".join(case[0]) for case in FLAG_CASES])
def test_flag_sets(arguments: list[str], read: Callable[[Options], object], value: object) -> None:
    assert read(flags_only(*arguments)) == value


def test_flags_override_the_file(tmp_path: Path) -> None:
    text = (
        "port: 1\nhost: h\ndebug: true\nauthorization { users [{user: a, pass: b}] }\ncluster { listen: x:1, name: f }"
    )
    options = options_of(text, tmp_path, "-p", "2", "-D=false", "-auth", "t", "--cluster", "nats://y:2")
    assert (options.port, options.host, options.debug) == (2, "h", False)
    assert options.authorization.token == "t" and not options.authorization.users
    assert (options.cluster.host, options.cluster.port, options.cluster.name) == ("y", 2, "f")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-nope"], "flag provided but not defined: -nope"),
        (["--nope=1"], "flag provided but not defined: -nope"),
        (["-p"], "flag needs an argument: -p"),
        (["-p", "x"], 'invalid value "x" for flag -p'),
        (["-p", "9" * 25], "value out of range"),
        (["-D=maybe"], 'invalid boolean value "maybe" for -D'),
        (["---p", "1"], "bad flag syntax: ---p"),
        (["-=1"], "bad flag syntax: -=1"),
        (["run"], 'unrecognized command: "run"'),
        (["--tls"], "the flag -tls is not supported yet"),
        (["-ms", "1"], "the flag -ms is not supported yet"),
    ],
)
def test_flag_is_refused(arguments: list[str], reason: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse(arguments)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-p", "70000"], "invalid port 70000"),
        (["--routes", "nats://x:1"], "solicited routes require cluster capabilities"),
        (["--cluster", "nats://u@x:1"], "expected cluster password"),
        (["--cluster", "nats://x"], "--cluster: could not parse address"),
        (["--cluster", "nats://x:1", "--routes", "http://x:1"], "error parsing route url"),
        (["-n", "a b"], "server name cannot contain spaces"),
    ],
)
def test_flags_that_make_no_sense(arguments: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        flags_only(*arguments)


def test_words_instead_of_flags() -> None:
    assert parse(["version"]).switch("version") and parse(["-js", "--", "help"]).switch("help")


def test_help_names_every_flag_that_works() -> None:
    text = help_text("ternmq-server")
    for flag in FLAGS:
        assert flag.unsupported or f"-{flag.key} " in text.replace("\n", " ")


@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_command_line_is_read_or_refused(arguments: list[str]) -> None:
    try:
        parse(arguments)
    except FlagError:
        return


# Values


@pytest.mark.parametrize(
    ("text", "value_ns"),
    [
        ("2s", 2 * SECOND_NS), ("1m30s", 90 * SECOND_NS), ("1.5h", 5400 * SECOND_NS), ("300ms", 300_000_000),
        ("0", 0), ("-1s", -SECOND_NS), ("+1s", SECOND_NS), ("1us", 1000), ("1µs", 1000), ("7ns", 7),
        (".5s", 500_000_000),
    ],
)  # fmt: skip
def test_duration(text: str, value_ns: int) -> None:
    assert parse_duration_ns(text) == value_ns


@pytest.mark.parametrize("text", ["", "s", "1", "1x", "1 s", "--1s", ".s", "1s1", "99999999999h", "1d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration_ns(text)


def test_password_of_a_route_is_not_shown() -> None:
    with pytest.raises(ValueError, match="xxxxx") as caught:
        parse_route("nats://user:secret@host:port")
    assert "secret" not in str(caught.value)


@settings(max_examples=200)
@given(st.text(max_size=30))
def test_any_text_is_a_route_or_refused(text: str) -> None:
    for url in (text, "nats://" + text, "nats://u:p@[" + text):
        try:
            parse_route(url)
        except ValueError:
            continue
