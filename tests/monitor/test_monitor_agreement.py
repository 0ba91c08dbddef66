"""The monitoring pages of the real nats-server and of ours, after the same conversations: keys, types, refusals.

Keys that only one has a reason for stand in OPTIONAL; everything else must be on both sides, in the same order.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from core.core_room import connect_line
from core.reference_server import ReferenceClient, ReferenceServer

from broker.testing import start_server

PATIENCE_S = 10.0
# What is not built here: a system account and its subscriptions, switches of their own, a limit on consumers.
# Here: who we really are; syncing before every acknowledgement is the default; a single server leads too.
OPTIONAL = re.compile(
    r"^/(git_commit|system_account|feature_flags|jetstream/limits/def|limits/def|account_detail/imports)"
    r"|ternmq$|sync_always$|_leader$|consumer_detail\[\]/cluster|http_req_stats/"
)
IN_A_LIST = re.compile(r"\[\]/")  # which row comes first is nobody's business
NUMBERS = {"int": "number", "float": "number"}

PAGES = [
    *("/varz", "/connz", "/connz?subs=1", "/connz?subs=detail&auth=1", "/connz?state=closed", "/connz?state=any"),
    *("/connz?limit=1&offset=1", "/connz?offset=5", "/connz?cid=9999", "/connz?user=u&auth=1", "/connz?acc=$G"),
    *("/connz?mqtt_client=x", "/connz?sort=uptime&state=closed", "/connz?sort=rtt", "/routez", "/routez?subs=detail"),
    *("/subsz", "/subsz?subs=1&test=foo.a", "/subsz?subs=1&acc=nope", "/subscriptionsz?subs=1"),
    *("/jsz", "/jsz?accounts=1", "/jsz?streams=1", "/jsz?consumers=1&config=1", "/jsz?consumers=1&raft=1"),
    *("/jsz?acc=$G&streams=1", "/jsz?acc=nope", "/jsz?leader-only=1", "/jsz?accounts=1&offset=1"),
    *("/jsz?accounts=1&offset=-1", "/jsz?accounts=1&limit=-1"),
    *("/accountz", "/accountz?acc=$G", "/accstatz", "/accstatz?unused=1", "/leafz", "/gatewayz"),
]
WORD_FOR_WORD = [
    *("/healthz", "/healthz?js-enabled-only=1", "/healthz?js-server-only=1", "/healthz?js-meta-only=1"),
    *("/healthz?js-enabled=x", "/healthz?account=nope", "/healthz?stream=S", "/healthz?account=$G&stream=S&consumer=D"),
    *("/healthz?account=$G&consumer=D", "/healthz?account=$G&stream=nope&consumer=D", "/healthz?details=1&stream=S"),
    "/healthz?account=$G&stream=S&consumer=nope",
    *("/healthz?details=1&account=nope&stream=S", "/healthz?details=1&account=$G&stream=S&consumer=nope"),
    *("/connz?sort=nope", "/connz?sort=stop", "/connz?sort=reason&state=any", "/connz?state=x", "/connz?subs=x"),
    *("/connz?auth=x", "/connz?cid=x", "/connz?cid=-1", "/connz?limit=x", "/connz?offset=99999999999999999999"),
    *("/jsz?limit=x", "/jsz?accounts=x", "/routez?subs=x", "/subsz?subs=x", "/subsz?test=foo..a", "/accountz?acc=nope"),
    *("/nope", "/varz/", "/VARZ", "/healthz/"),
]


def get(port: int, target: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, target)
        answer = connection.getresponse()
        headers = {key: value for key, value in answer.getheaders() if key not in ("Date", "Content-Length")}
        headers.pop("Transfer-Encoding", None)
        return answer.status, headers, answer.read()
    finally:
        connection.close()


def shape(tree: Any, path: str = "") -> dict[str, str]:
    """Every path in a page and the type of what is there."""
    if isinstance(tree, dict):
        return {path: "object"} | {
            name: kind for key, value in tree.items() for name, kind in shape(value, f"{path}/{key}").items()
        }
    if isinstance(tree, list):
        return {path: "array"} | {name: kind for value in tree for name, kind in shape(value, path + "[]").items()}
    kind = type(tree).__name__
    return {path: NUMBERS.get(kind, kind)}


def busy(port: int, monitor: int) -> list[ReferenceClient]:
    """Clients with something to show: subscriptions, a stream and a consumer; one has left, one was thrown out."""

    def client(*said: bytes, **fields: object) -> ReferenceClient:
        made = ReferenceClient(port)
        made.send(connect_line(lang="py", version="1.0", **fields) + b"".join(said) + b"PING\r\n")
        made.read_pongs(1)
        return made

    first = client(b"SUB foo.* 1\r\nSUB bar q 2\r\nSUB baz.> 3\r\nUNSUB 3 5\r\nPUB foo.a 2\r\nhi\r\n", name="first")
    second = client(user="u")
    client(name="left").close()
    bad = ReferenceClient(port)
    bad.send(b"BAD\r\n")
    bad.read_rest()
    bad.close()
    stream = {"name": "S", "subjects": ["s.>"], "metadata": {"a": "b"}, "max_bytes": 100_000}
    consumer = {"stream_name": "S", "config": {"durable_name": "D", "ack_policy": "explicit", "description": "d"}}
    for subject, request in (
        ("$JS.API.STREAM.CREATE.S", json.dumps(stream)),
        ("s.1", "x"),
        ("$JS.API.CONSUMER.DURABLE.CREATE.S.D", json.dumps(consumer)),
    ):
        body = request.encode()
        second.take()
        second.send(b"SUB r 9\r\nUNSUB 9 1\r\nPUB %s r %d\r\n%s\r\n" % (subject.encode(), len(body), body))
        while b"MSG r 9 " not in second.received:
            second.read_some()
    deadline = time.monotonic() + PATIENCE_S
    while len(json.loads(get(monitor, "/connz?state=closed")[2])["connections"]) < 2:
        assert time.monotonic() < deadline
    return [first, second]


@pytest.fixture(scope="module")
def monitors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The monitoring ports: theirs, ours."""
    store: Path = tmp_path_factory.mktemp("store")
    with ReferenceServer("-m", "-1", "-js", "-sd", str(store), "-n", "n1") as theirs, start_server() as ours:
        port = int(ours.monitor_url.rsplit(":", 1)[1])
        clients = busy(theirs.port, theirs.monitor_port()) + busy(ours.options.port, port)
        yield theirs.monitor_port(), port
        for client in clients:
            client.close()


@pytest.mark.parametrize("target", PAGES)
def test_a_page_has_the_keys_and_types_of_nats_server(monitors: tuple[int, int], target: str) -> None:
    (status, headers, theirs), (our_status, our_headers, ours) = (get(port, target) for port in monitors)
    assert (our_status, our_headers) == (status, headers)
    wanted, given = shape(json.loads(theirs)), shape(json.loads(ours))
    wanted = {path: kind for path, kind in wanted.items() if not OPTIONAL.search(path)}
    given = {path: kind for path, kind in given.items() if not OPTIONAL.search(path)}
    assert given == wanted
    assert [path for path in given if not IN_A_LIST.search(path)] == [
        path for path in wanted if not IN_A_LIST.search(path)
    ]


@pytest.mark.parametrize("target", WORD_FOR_WORD)
def test_an_answer_is_the_same_word_for_word(monitors: tuple[int, int], target: str) -> None:
    theirs, ours = (get(port, target) for port in monitors)
    assert ours == theirs


@pytest.mark.parametrize("target", ["/varz", "/", "/nope", "/healthz"])
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE"])
def test_methods(monitors: tuple[int, int], method: str, target: str) -> None:
    theirs, ours = (get(port, target, method) for port in monitors)
    assert ours[:2] == theirs[:2]
    assert bool(ours[2]) == bool(theirs[2])
