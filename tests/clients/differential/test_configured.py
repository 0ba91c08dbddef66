"""Servers with a configuration of their own, as the first line of each file in testdata/configured says it: the same
conversations with nats-server and with ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from clients.differential.comparison import differences
from clients.differential.conftest import NO_DEAD_LETTERS
from clients.differential.conversation import Conversation, Line, read_conversations
from clients.differential.player import Player, clear
from clients.servers import Cluster, Node, Program

pytestmark = [pytest.mark.clients, pytest.mark.timeout(60)]

TESTDATA = Path(__file__).parent / "testdata" / "configured"
JETSTREAM = {
    "domain": "  domain: hub\n",
    "limits": (
        "  max_mem: 10MB\n  max_file: 20MB\n  limits {\n    max_request_batch: 10\n    max_ack_pending: 50\n"
        '    max_ha_assets: 2\n    duplicate_window: "1m"\n    default_max_consumers: 10\n  }\n'
    ),
}
CONVERSATIONS = {
    conversation.title: (path.stem, conversation)
    for path in sorted(TESTDATA.glob("*.txt"))
    for conversation in read_conversations(path)
}
Servers = Callable[[str], tuple[Node, Node]]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """nats-server and ours, started when their configuration is first asked for."""
    started: dict[str, tuple[Node, Node]] = {}
    with ExitStack() as running:

        def configured(name: str) -> tuple[Node, Node]:
            if name not in started:
                lines = JETSTREAM[name]
                directory = tmp_path_factory.mktemp(name)
                theirs = Cluster(Program.nats_server(), directory / "reference", 1, jetstream=lines)
                ours = Cluster(Program.ours(), directory / "ours", 1, extra=NO_DEAD_LETTERS, jetstream=lines)
                started[name] = (
                    running.enter_context(theirs).nodes[0],
                    running.enter_context(ours).nodes[0],
                )
            return started[name]

        yield configured


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation(name: str, servers: Servers) -> None:
    stem, conversation = CONVERSATIONS[name]
    found = differences(conversation, *servers(stem))
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)


def test_pages_and_log_name_the_domain(servers: Servers) -> None:
    for server in servers("domain"):
        assert server.get("/jsz")["config"]["domain"] == "hub"
        assert server.get("/varz")["jetstream"]["config"]["domain"] == "hub"
        assert "Domain:          hub" in server.log_tail(60)


def test_pages_tell_the_limits(servers: Servers) -> None:
    pages = [server.get("/jsz")["limits"] for server in servers("limits")]
    assert pages[0] == pages[1]
    assert all(server.get("/varz")["jetstream"]["limits"] == pages[0] for server in servers("limits"))


def test_answers_of_the_api_are_counted_as_nats_server_counts_them(servers: Servers) -> None:
    lines = [
        'STREAM.CREATE.S {"name":"S"}',
        "STREAM.INFO.S",
        "STREAM.INFO.X",
        'CONSUMER.CREATE.S.C {"stream_name":"S","config":{"durable_name":"C"}}',
        'CONSUMER.MSG.NEXT.S.C {"no_wait":true}',
        "CONSUMER.DELETE.S.X",
        "STREAM.LIST",
        "INFO",
    ]
    told = []
    for server in servers("limits"):
        before = server.get("/jsz")["api"]
        Player(server.client_port).play(Conversation("counts", [Line(line, "counts") for line in lines]))
        after = server.get("/jsz")["api"]
        clear(server.client_port)
        told.append((after["total"] - before["total"], after["errors"] - before["errors"]))
    assert told == [(7, 2), (7, 2)]


def test_the_own_domain_as_an_external_prefix_leads_to_the_own_streams(servers: Servers) -> None:
    """nats-server maps the prefix for clients only, and such a mirror never begins."""
    ours = servers("domain")[1]
    source = '{"name":"O","external":{"api":"$JS.hub.API","deliver":"d"}}'
    lines = [
        'STREAM.CREATE.O {"name":"O"}',
        "pub O one",
        f'STREAM.CREATE.M {{"name":"M","mirror":{source}}}',
        f'STREAM.CREATE.S {{"name":"S","sources":[{source}]}}',
        "quiet 500",
        'STREAM.MSG.GET.M {"seq":1}',
        'STREAM.MSG.GET.S {"seq":1}',
    ]
    try:
        transcript = Player(ours.client_port).play(Conversation("own", [Line(line, "own") for line in lines]))
    finally:
        clear(ours.client_port)
    for _, heard in transcript[5:7]:
        assert '"subject": "O"' in heard[0]
