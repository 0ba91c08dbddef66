"""The kinds of messages, and which fields of `Message` each of them uses.

Not here: how they are answered (`node.py` has the table) or written to the wire (`codec.py`).

kind                 fields beside kind, group, sender, receiver, term
APPEND               index, log_term: the entry before `entries`; commit. No entries = a probe that wants an answer
APPEND_RESPONSE      index: everything up to it is durable at the sender. reject: index = the refused
                     `index` of APPEND; hint, log_term = where the leader should try next, and that entry's term
HEARTBEAT            commit: never beyond what the receiver is known to have; context: round of reads to confirm
HEARTBEAT_RESPONSE   context: as received
COMMIT               commit, as in HEARTBEAT; context: 1 = the leader has committed no more; wants no answer
QUIET                commit: the end of the leader's log, which the receiver has; the leader sleeps; wants no answer
VOTE, PRE_VOTE       index, log_term: the candidate's last entry; hint: VOTE_FORCED after a leadership transfer.
                     PRE_VOTE's term is the term that would come, which nobody has entered yet
VOTE_RESPONSE,       reject; hint: VOTE_DOUBTFUL (`doubt.py`)
PRE_VOTE_RESPONSE    PRE_VOTE_RESPONSE's term: granted = the term asked about, refused = the answerer's own
SNAPSHOT             snapshot
TIMEOUT_NOW          campaign at once, without a pre-vote: leadership is being handed over
READ_INDEX           context: a follower's read
READ_INDEX_RESPONSE  context, index: the read may be answered once `index` is applied; index 0 = refused, ask again
"""

from __future__ import annotations

from typing import Final

from raft.types import ENTRY_CONFIG, Entry, Message

APPEND: Final = 1
APPEND_RESPONSE: Final = 2
HEARTBEAT: Final = 3
HEARTBEAT_RESPONSE: Final = 4
COMMIT: Final = 5
VOTE: Final = 6
VOTE_RESPONSE: Final = 7
PRE_VOTE: Final = 8
PRE_VOTE_RESPONSE: Final = 9
SNAPSHOT: Final = 10
TIMEOUT_NOW: Final = 11
READ_INDEX: Final = 12
READ_INDEX_RESPONSE: Final = 13
QUIET: Final = 14

KIND_MAX: Final = 14

VOTE_FORCED: Final = 1
VOTE_DOUBTFUL: Final = 1

KIND_NAMES: Final[list[str]] = [
    "?",
    "Append",
    "AppendResponse",
    "Heartbeat",
    "HeartbeatResponse",
    "Commit",
    "Vote",
    "VoteResponse",
    "PreVote",
    "PreVoteResponse",
    "Snapshot",
    "TimeoutNow",
    "ReadIndex",
    "ReadIndexResponse",
    "Quiet",
]

ENTRY_KIND_NAMES: Final[list[str]] = ["Normal", "Lazy", "Config", "Noop"]


_HINTS: Final = {VOTE: " forced", VOTE_RESPONSE: " doubtful", PRE_VOTE_RESPONSE: " doubtful"}


def describe_entry(entry: Entry) -> str:
    """One entry as people read it in transcripts: `3/7 Normal "x"` is term 3, index 7."""
    text = f"{entry.term}/{entry.index} {ENTRY_KIND_NAMES[entry.kind]}"
    if entry.data and entry.kind != ENTRY_CONFIG:
        text += f' "{entry.data.decode("ascii", "backslashreplace")}"'
    return text


def describe_message(message: Message) -> str:
    """One message on one line, without the fields that are zero."""
    text = f"{message.sender}->{message.receiver} {KIND_NAMES[message.kind]} term={message.term}"
    if message.kind in (APPEND, VOTE, PRE_VOTE):
        text += f" log={message.log_term}/{message.index}"
    elif message.index:
        text += f" index={message.index}"
    if message.commit:
        text += f" commit={message.commit}"
    if message.reject:
        text += " reject"
        if message.kind == APPEND_RESPONSE:
            text += f" hint={message.log_term}/{message.hint}"
    elif message.hint:
        text += _HINTS.get(message.kind, f" hint={message.hint}")
    if message.kind == COMMIT:
        text += "" if message.context else " and more"
    elif message.context:
        text += f" context={message.context}"
    if message.snapshot is not None:
        text += f" snapshot={message.snapshot.term}/{message.snapshot.index}"
    if message.entries:
        text += " [" + ", ".join(describe_entry(entry) for entry in message.entries) + "]"
    return text
