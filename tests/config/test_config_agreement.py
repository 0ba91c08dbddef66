"""The same files, read by nats-server itself: it accepts what we accept and refuses what we refuse.

Only what both support is compared: keys that we refuse as "not supported yet" are outside.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from broker.config_file import ConfigError
from broker.config_load import load
from broker.flags import parse
from config.test_config_options import CHART_SAMPLE, ISSUE_SAMPLE

NATS_SERVER = Path(sys.executable).parent / "nats-server"

ACCEPTED = [
    ISSUE_SAMPLE,
    CHART_SAMPLE,
    "port: 4222",
    "port 4222",
    "port = 4222; debug: yes, trace off",
    "{ port: 4222 }",
    '{"port": 4222, "authorization": {"users": [{"user": "a", "password": "b"}]}}',
    "port\n\n  4222",
    "# nothing but\nport: 1 // comments",
    "cluster {\n name: x, port: -1\n routes [\n 'nats://a:1'\n 'nats://b:1' # two\n ]\n}",
    "cluster { routes: [] }",
    "P: 4333\nport: $P\n",
    "port: $PORT_OF_A_TEST",
    "W: '3s'\ncluster { x: $W }\nwrite_deadline: $W".replace("x: $W", ""),
    "authorization { user: a, password: $2a$11$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHyG }",
    "authorization { token: 's3cr3t', timeout: 0.5 }",
    "max_payload: 1k, max_pending: 1GiB, max_control_line: 4ki",
    "ping_interval: '1m30s', ping_max: 3, write_deadline: \"2s\"",
    "jetstream: enabled",
    "jetstream { max_mem: '1G', max_file: 0, sync_interval: always }",
    "jetstream { store_dir: '/tmp/x', sync: '2m', strict: true, max_outstanding_catchup: 1M }",
    "lame_duck_duration: '30s', lame_duck_grace_period: '1s'",
    "server_name: a-b_c, client_advertise: 'x:1', no_sublist_cache: true, prof_port: 1",
    "listen: '[::1]:-1', http: 8222, max_conn: 10, max_sub_tokens: 16",
    "pid_file: '/tmp/x.pid', logfile: \"/tmp/x.log\", log_size_limit: 10MB, log_max_num: 3",
    "port: 1\n}\n",
    "server_name: ;",
    "server_name:",
]

REFUSED = [
    "foo: 1",
    "port: x",
    "port: [1\n",
    "cluster { nmae: x }",
    "jetstream { stroe: x }",
    "cluster: 5",
    "debug: 1",
    "port: 1 debug: true",
    "port =\n 1",
    "authorization { users [ {user: a\n pass: b} {user: c} ] }",
    "authorization { users [ {pass: b} ] }",
    "authorization { user: a, token: b }",
    "authorization { user: a, users [{user: b}] }",
    "cluster { authorization { token: x } }",
    "cluster { authorization { users [{user: a}] } }",
    "port: $NOT_SET_ANYWHERE",
    "write_deadline: '5'",
    "lame_duck_duration: '3s'",
    "ping_interval: 20",
    'server_name: "a b"',
    'server_name: "a',
    'server_name: "\\q"',
    "max_payload: 5GB",
    "max_sub_tokens: 300",
    "listen: nowhere",
    "store_dir: /x\njetstream { store_dir: /y }",
    "jetstream: 5",
    "jetstream { max_mem: '5X' }",
    "port: 1.",
    "port: -",
    "port",
    "port: 1,,",
    "cluster { routes: [,] }",
    "cluster { routes: ['a' 'b'] }",
    "include nowhere.conf",
]


def verdict_of_nats_server(path: Path) -> bool:
    environment = {"PORT_OF_A_TEST": "4444", "SERVER_NAME": "s1"}
    done = subprocess.run(
        [NATS_SERVER, "-t", "-c", path], env=environment, capture_output=True, text=True, timeout=20, check=False
    )
    return done.returncode == 0


def our_verdict(path: Path) -> bool:
    try:
        _options, warnings = load(parse(["-c", str(path)]), {"PORT_OF_A_TEST": "4444", "SERVER_NAME": "s1"})
    except (ConfigError, ValueError):
        return False
    return not warnings  # in check mode nats-server counts a warning as a failure, and so do we


@pytest.mark.parametrize("text", ACCEPTED)
def test_both_accept(text: str, tmp_path: Path) -> None:
    path = tmp_path / "nats.conf"
    path.write_text(text)
    assert verdict_of_nats_server(path)
    assert our_verdict(path)


@pytest.mark.parametrize("text", REFUSED)
def test_both_refuse(text: str, tmp_path: Path) -> None:
    path = tmp_path / "nats.conf"
    path.write_text(text)
    assert not verdict_of_nats_server(path)
    assert not our_verdict(path)


@pytest.mark.parametrize(
    "text", [ISSUE_SAMPLE, CHART_SAMPLE, ACCEPTED[10], "authorization { timeout: 0.5, user: '<&>é' }"]
)
def test_the_digest_is_the_same(text: str, tmp_path: Path) -> None:
    path = tmp_path / "nats.conf"
    path.write_text(text)
    done = subprocess.run(
        [NATS_SERVER, "-t", "-c", path],
        env={"SERVER_NAME": "s1"},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    options, _warnings = load(parse(["-c", str(path)]), {"SERVER_NAME": "s1"})
    assert options.config_digest in done.stderr
