"""JetStream under a domain, `$JS.hub.API`: the conversations of testdata/domain, with nats-server and with ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.differential.comparison import differences
from clients.differential.conftest import NO_DEAD_LETTERS
from clients.differential.conversation import Conversation, Line, read_conversations
from clients.differential.player import Player, clear
from clients.servers import Cluster, Node, Program

pytestmark = [pytest.mark.clients, pytest.mark.timeout(60)]

DOMAIN = "  domain: hub\n"
CONVERSATIONS = {
    conversation.title: conversation
    for conversation in read_conversations(Path(__file__).parent / "testdata" / "domain" / "domain.txt")
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Cluster(Program.nats_server(), tmp_path_factory.mktemp("reference"), 1, jetstream=DOMAIN) as server:
        yield server.nodes[0]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    directory = tmp_path_factory.mktemp("ours")
    with Cluster(Program.ours(), directory, 1, extra=NO_DEAD_LETTERS, jetstream=DOMAIN) as server:
        yield server.nodes[0]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation(name: str, reference: Node, ours: Node) -> None:
    found = differences(CONVERSATIONS[name], reference, ours)
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)


def test_pages_and_log_name_the_domain(reference: Node, ours: Node) -> None:
    for server in (reference, ours):
        assert server.get("/jsz")["config"]["domain"] == "hub"
        assert server.get("/varz")["jetstream"]["config"]["domain"] == "hub"
        assert "Domain:          hub" in server.log_tail(60)


def test_the_own_domain_as_an_external_prefix_leads_to_the_own_streams(ours: Node) -> None:
    """nats-server maps the prefix for clients only, and such a mirror never begins."""
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
