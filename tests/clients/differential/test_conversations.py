"""The conversations of testdata/, each with nats-server and with ours: the same answers, byte for byte.

What may differ in any two runs is `heard`'s, what differs on purpose is in `intended`. Dead letters are switched off,
as nats-server has none.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.differential.conversation import Conversation, read_conversations
from clients.differential.intended import INTENDED, reason_for
from clients.differential.player import Player, clear
from clients.servers import Cluster, Program

pytestmark = [pytest.mark.clients, pytest.mark.timeout(60)]

TESTDATA = Path(__file__).parent / "testdata"
CONVERSATIONS = {
    f"{path.stem}: {conversation.title}": conversation
    for path in sorted(TESTDATA.glob("*.txt"))
    for conversation in read_conversations(path)
}
NO_DEAD_LETTERS = "ternmq { dead_letter: off }\n"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with Cluster(Program.nats_server(), tmp_path_factory.mktemp("reference"), 1) as server:
        yield server.nodes[0].client_port


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with Cluster(Program.ours(), tmp_path_factory.mktemp("ours"), 1, extra=NO_DEAD_LETTERS) as server:
        yield server.nodes[0].client_port


def differences(conversation: Conversation, reference: int, ours: int) -> list[str]:
    """What to mend, as a diff for each line that was answered differently."""
    players = Player(reference), Player(ours)
    try:
        theirs, mine = (player.play(conversation) for player in players)
    finally:
        clear(reference)
        clear(ours)
    assert not players[0].silent_at, f"nats-server says less than is waited for: {players[0].silent_at}"
    found = []
    for (text, wanted), (_, heard) in zip(theirs, mine, strict=True):
        reason = reason_for(conversation.title, text)
        if wanted != heard and not reason:
            lines = [part.split("\n") for part in ("\n".join(wanted), "\n".join(heard))]
            found.append("\n".join([text[:300], *difflib.unified_diff(*lines, "nats-server", "ours", lineterm="")]))
        elif wanted == heard and reason:
            found.append(f"{text}: no longer differs, strike it off the list: {reason}")
    return found


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation(name: str, reference: int, ours: int) -> None:
    found = differences(CONVERSATIONS[name], reference, ours)
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)


def test_what_differs_on_purpose_is_said_somewhere() -> None:
    for title, beginning, _ in INTENDED:
        lines = [one.text for talk in CONVERSATIONS.values() if talk.title == title for one in talk.lines]
        assert any(line.startswith(beginning) for line in lines), f"{title}: {beginning}"
