"""What the log remembers of a group besides its entries: hard state, where its log starts, and the table of all groups.

A table record stands at the head of every log file for each group, so that older files can go. Not here: entries
(group_log.py). Read next: wal_batch.py for the records that carry these.
"""

import struct
from typing import Final

from storage.errors import StorageError

VOTE_LENGTH_MAX: Final = 255
_FIXED: Final = struct.Struct("<QQQ")


class GroupState:
    """A group as a table record states it: its log holds (start_index, last_index]."""

    def __init__(
        self, group: int, hard_term: int, vote: str, start_index: int, start_term: int, last_index: int, last_term: int
    ) -> None:
        self.group = group
        self.hard_term = hard_term
        self.vote = vote
        self.start_index = start_index
        self.start_term = start_term
        self.last_index = last_index
        self.last_term = last_term


def encode_group_state(state: GroupState) -> bytes:
    """The body of a table record; group, start_index and start_term travel in the record itself."""
    return _FIXED.pack(state.hard_term, state.last_index, state.last_term) + state.vote.encode()


def decode_group_state(group: int, start_index: int, start_term: int, body: bytes) -> GroupState:
    """The inverse of `encode_group_state`."""
    if len(body) < _FIXED.size:
        raise StorageError("a table record is too short")
    hard_term, last_index, last_term = _FIXED.unpack_from(body)
    vote = body[_FIXED.size :].decode()
    return GroupState(group, hard_term, vote, start_index, start_term, last_index, last_term)
