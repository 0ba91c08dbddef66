"""The conversations of testdata/, each with nats-server and with ours: the same answers, byte for byte.

What may differ in any two runs is `heard`'s, what differs on purpose is in `intended`. Dead letters are switched off,
as nats-server has none.
"""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.differential.conversation import Conversation, read_conversations
from clients.differential.intended import INTENDED, reason_for
from clients.differential.player import Player, clear
from clients.servers import Cluster, Node, Program
from clients.waiting import DeadlineMissed, wait_until

pytestmark = [pytest.mark.clients, pytest.mark.timeout(60)]

TESTDATA = Path(__file__).parent / "testdata"
CONVERSATIONS = {
    conversation.title: conversation
    for path in sorted(TESTDATA.glob("*.txt"))
    for conversation in read_conversations(path)
}
NO_DEAD_LETTERS = "ternmq { dead_letter: off }\n"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Cluster(Program.nats_server(), tmp_path_factory.mktemp("reference"), 1) as server:
        yield server.nodes[0]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Cluster(Program.ours(), tmp_path_factory.mktemp("ours"), 1, extra=NO_DEAD_LETTERS) as server:
        yield server.nodes[0]


def remove_traces(server: Node) -> None:
    """nats-server removes the files of a deleted stream later, now and then never, and a new stream of that name would
    find its messages."""
    streams = server.store_dir / "jetstream" / "$G" / "streams"
    try:
        wait_until("files of deleted streams are gone", lambda: not any(streams.glob("*")), 0.5)
    except DeadlineMissed:
        for path in streams.glob("*"):
            shutil.rmtree(path, ignore_errors=True)


def differences(conversation: Conversation, reference: Node, ours: Node) -> list[str]:
    """What to mend, as a diff for each line that was answered differently."""
    players = Player(reference.client_port), Player(ours.client_port)
    try:
        theirs, mine = (player.play(conversation) for player in players)
    finally:
        clear(reference.client_port)
        clear(ours.client_port)
        remove_traces(reference)
    assert not players[0].silent_at, f"nats-server says less than is waited for: {players[0].silent_at}"
    found = []
    unseen = {reason for title, _, reason in INTENDED if title == conversation.title}
    for (text, wanted), (_, heard) in zip(theirs, mine, strict=True):
        if wanted == heard:
            continue
        reason = reason_for(conversation.title, text)
        unseen.discard(reason)
        if not reason:
            lines = [part.split("\n") for part in ("\n".join(wanted), "\n".join(heard))]
            found.append("\n".join([text[:300], *difflib.unified_diff(*lines, "nats-server", "ours", lineterm="")]))
    return [*found, *(f"no longer differs, strike it off the list: {reason}" for reason in sorted(unseen))]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation(name: str, reference: Node, ours: Node) -> None:
    found = differences(CONVERSATIONS[name], reference, ours)
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)


def test_what_differs_on_purpose_is_said_somewhere() -> None:
    for title, beginning, _ in INTENDED:
        lines = [one.text for talk in CONVERSATIONS.values() if talk.title == title for one in talk.lines]
        assert any(line.startswith(beginning) for line in lines), f"{title}: {beginning}"
