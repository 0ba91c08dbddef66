"""A conversation held with both servers, and what they answered differently.

Not here: who says what (`conversation`), what is heard (`player`, `heard`), what may differ (`intended`).
"""

from __future__ import annotations

import difflib
import re
import shutil

from clients.differential.conversation import Conversation
from clients.differential.intended import INTENDED, reason_for
from clients.differential.player import Player, Transcript, clear
from clients.servers import Node
from clients.waiting import DeadlineMissed, wait_until


def remove_traces(server: Node) -> None:
    """nats-server removes the files of a deleted stream later, now and then never, and a new stream of that name would
    find its messages."""
    streams = server.store_dir / "jetstream" / "$G" / "streams"
    try:
        wait_until("files of deleted streams are gone", lambda: not any(streams.glob("*")), 0.5)
    except DeadlineMissed:
        for path in streams.glob("*"):
            shutil.rmtree(path, ignore_errors=True)


def reference_says(conversation: Conversation, reference: Node) -> Transcript:
    """nats-server's side. Held again where it said less than is waited for: one stream in thirty goes without the
    advisory of its own deletion (the loop that sends it ends with the stream). Silent thrice is no accident."""
    silent_at: list[str] = []
    for _ in range(3):
        player = Player(reference.client_port)
        try:
            theirs = player.play(conversation)
        finally:
            clear(reference.client_port)
            remove_traces(reference)
        if not player.silent_at:
            return theirs
        silent_at.append(player.silent_at)
    raise AssertionError(f"nats-server says less than is waited for: {silent_at}")


def differences(conversation: Conversation, reference: Node, ours: Node, overlooked: str = "") -> list[str]:
    """What to mend, as a diff for each line that was answered differently. `overlooked` matches what may differ."""
    theirs = reference_says(conversation, reference)
    try:
        mine = Player(ours.client_port).play(conversation)
    finally:
        clear(ours.client_port)
    found = []
    unseen = {reason for title, _, reason in INTENDED if title == conversation.title}
    for (text, wanted), (_, heard) in zip(theirs, mine, strict=True):
        if overlooked:
            wanted, heard = ([re.sub(overlooked, "", part) for part in parts] for parts in (wanted, heard))
        if wanted == heard:
            continue
        reason = reason_for(conversation.title, text)
        unseen.discard(reason)
        if not reason:
            lines = [part.split("\n") for part in ("\n".join(wanted), "\n".join(heard))]
            found.append("\n".join([text[:300], *difflib.unified_diff(*lines, "nats-server", "ours", lineterm="")]))
    return [*found, *(f"no longer differs, strike it off the list: {reason}" for reason in sorted(unseen))]
