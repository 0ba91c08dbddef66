"""The same conversations with three nodes of ours and three replicas, each through another node: every line is
answered, and every node lives on.

Answers are not compared here: three nodes of nats-server do many things a little later, so that they differ from
themselves. What is said of one replica is said of three as well, but for `cluster`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.differential.conftest import NO_DEAD_LETTERS
from clients.differential.conversation import Conversation, Line
from clients.differential.player import Player, clear
from clients.differential.test_conversations import CONVERSATIONS
from clients.servers import Cluster, Program

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(600)]

CHANGES = ("$JS.API.STREAM.CREATE.", "$JS.API.STREAM.UPDATE.")


def replicated(conversation: Conversation) -> Conversation:
    """The same with three replicas, where nothing is said about them and the body is what it seems to be."""
    lines = []
    for line in conversation.lines:
        copy = Line(line.text, conversation.title)
        plain = line.body.startswith('{"name"') and line.body.endswith("}") and "num_replicas" not in line.body
        if line.subject.startswith(CHANGES) and plain:
            copy.body = f'{line.body[:-1]},"num_replicas":3}}'
        lines.append(copy)
    return Conversation(conversation.title, lines)


def test_every_line_is_answered_through_every_node(tmp_path: Path) -> None:
    unanswered = []
    with Cluster(Program.ours(), tmp_path, 3, extra=NO_DEAD_LETTERS) as cluster:
        for number, conversation in enumerate(CONVERSATIONS.values()):
            node = cluster.nodes[number % 3]
            player = Player(node.client_port)
            player.play(replicated(conversation))
            if player.silent_at:
                unanswered.append(f"{conversation.title}: {player.silent_at[:120]}")
            clear(node.client_port)
            assert all(one.running() for one in cluster.nodes), conversation.title
    assert not unanswered
