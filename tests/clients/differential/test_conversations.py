"""The conversations of testdata/, each with nats-server and with ours: the same answers, byte for byte.

What may differ in any two runs is `heard`'s, what differs on purpose is in `intended`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.differential.comparison import differences
from clients.differential.conversation import read_conversations
from clients.differential.intended import INTENDED
from clients.servers import Node

pytestmark = [pytest.mark.clients, pytest.mark.timeout(60)]

TESTDATA = Path(__file__).parent / "testdata"
CONVERSATIONS = {
    conversation.title: conversation
    for path in sorted(TESTDATA.glob("*.txt"))
    for conversation in read_conversations(path)
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation(name: str, reference: Node, ours: Node) -> None:
    found = differences(CONVERSATIONS[name], reference, ours)
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)


def test_what_differs_on_purpose_is_said_somewhere() -> None:
    for title, beginning, _ in INTENDED:
        lines = [one.text for talk in CONVERSATIONS.values() if talk.title == title for one in talk.lines]
        assert any(line.startswith(beginning) for line in lines), f"{title}: {beginning}"
