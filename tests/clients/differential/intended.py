"""Where TernMQ answers otherwise than nats-server on purpose: the one list of it, each with its reason.

A difference that is listed must be there: when it is gone, its entry has to go, too.
"""

from __future__ import annotations

# Conversation, beginning of the line whose answers differ, reason.
INTENDED: list[tuple[str, str, str]] = []


def reason_for(title: str, line: str) -> str:
    """Why the answers to a line differ; "" where they must not."""
    for conversation, beginning, reason in INTENDED:
        if conversation == title and line.startswith(beginning):
            return reason
    return ""
