"""What a reload may change, and that one key that may not refuses all of it: texts as nats-server 2.15.1 logs them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.config import Options
from broker.config_file import parse_text
from broker.config_keys import fill
from broker.config_reload import ReloadRefused, changes, merged


def options(text: str) -> Options:
    read = Options()
    fill(read, parse_text(text), [])
    return read


RELOADED = [
    ("", "", []),
    ("debug: false", "debug: true", ["debug = true"]),
    ("", "max_payload: 2MB; ping_interval: '5s'", ["max_payload = 2097152", "ping_interval = 5s"]),
    ("pid_file: a", "pid_file: '/b.pid'", ["pid_file = /b.pid"]),
    ("authorization { user: a, password: old }", "authorization { user: a, password: new }", ["authorization users"]),
    ("cluster { name: c, port: 1, authorization { user: a, password: b } }",
     "cluster { name: c, port: 1, authorization { user: a, password: c } }", ["cluster"]),
    ("cluster { port: 1 }", "cluster { port: 1, no_advertise: true, routes: ['nats://a:1'] }",
     ["cluster", "cluster routes"]),
    ("cluster { port: 1, routes: ['nats://a:1'] }", "cluster { port: 1, routes: ['nats://b:1'] }", ["cluster routes"]),
    ("", "log_file: a; ports_file_dir: b; write_deadline: '3s'",
     ["log_file = a", "ports_file_dir = b", "write_deadline = 3s"]),
]  # fmt: skip
REFUSED = [
    ("port: 4222", "port: 4223", "Port: old=4222, new=4223"),
    ("http_port: 8222", "", "HTTPPort: old=8222, new=0"),
    ("", "server_name: x", "ServerName: old=, new=x"),
    ("", "max_pending: 10MB", "MaxPending: old=67108864, new=10485760"),
    ("", "max_subscriptions: 10", "MaxSubs: old=0, new=10"),
    ("", "lame_duck_duration: '60s'", "LameDuckDuration: old=120s, new=60s"),
    ("jetstream { store_dir: a }", "jetstream { store_dir: b }", "JetStreamStoreDir: old=a, new=b"),
    ("cluster { name: a, port: 1 }", "cluster { name: b, port: 1 }", "ClusterName: old=a, new=b"),
    ("debug: false", "debug: true; port: 4223", "Port: old=4222, new=4223"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "told"), RELOADED)
def test_what_changes_at_once(before: str, after: str, told: list[str]) -> None:
    assert changes(options(before), options(after)) == told


@pytest.mark.parametrize(("before", "after", "reason"), REFUSED)
def test_what_needs_a_restart(before: str, after: str, reason: str) -> None:
    with pytest.raises(ReloadRefused) as refused:
        changes(options(before), options(after))
    assert str(refused.value) == f"config reload not supported for {reason}"


def test_no_secret_reaches_the_log() -> None:
    before, after = "authorization { token: hush1 }", "authorization { token: hush2 }"
    assert "hush" not in " ".join(changes(options(before), options(after)))
    before, after = (f"cluster {{ port: 1, authorization {{ user: a, password: hush{n} }} }}" for n in (1, 2))
    assert "hush" not in " ".join(changes(options(before), options(after)))


def test_what_is_merged_keeps_the_ports_that_were_got() -> None:
    running = replace(options("port: -1; cluster { port: -1, routes: ['nats://a:1'] }"), port=4333)
    wanted = options("port: -1; max_payload: 5; cluster { port: -1, routes: ['nats://b:1'], ping_max: 9 }")
    result = merged(running, wanted)
    assert (result.port, result.max_payload, result.cluster.ping_max) == (4333, 5, 9)
    assert [route.host for route in result.cluster.routes] == ["b"]
