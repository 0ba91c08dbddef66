"""What a stream knows of each of its subjects: how many messages, and where the first and the last one are.

Not here: finding what is not exact (message_search.py). Invariants: a subject without live messages is not in the
index; `first` is never above the first live message and `last` never below the last live one; the flags say whether
they are those messages.
"""

from typing import Protocol

from mypy_extensions import i64

from storage.block_index import FAR, NO_PREVIOUS


class SubjectMatcher(Protocol):
    """Which subjects are asked for. `literal` is the only subject that matches, or None; all of them begin with
    `prefix`, which is empty or ends in a dot."""

    @property
    def literal(self) -> bytes | None: ...

    @property
    def prefix(self) -> bytes: ...

    def matches(self, subject: bytes) -> bool:
        """Does the subject belong to it?"""


class SubjectState:
    """One subject of a stream."""

    def __init__(self, sequence: i64) -> None:
        self.count: i64 = 1
        self.first: i64 = sequence
        self.last: i64 = sequence
        self.first_exact: bool = True
        self.last_exact: bool = True


SubjectIndex = dict[bytes, SubjectState]


def note_message(index: SubjectIndex, subject: bytes, sequence: i64) -> i64:
    """The subject has a new last message; its distance to the subject's message before (NO_PREVIOUS, or FAR)."""
    state = index.get(subject)
    if state is None:
        index[subject] = SubjectState(sequence)
        return NO_PREVIOUS
    distance: i64 = sequence - state.last
    if distance >= FAR or not state.last_exact:
        distance = FAR
    state.last = sequence
    state.last_exact = True
    state.count += 1
    return distance


def forget_message(index: SubjectIndex, subject: bytes, sequence: i64, before: i64, before_live: bool) -> None:
    """A live message of the subject is gone. `before`: an earlier one of the same subject, 0 when not known."""
    state = index[subject]
    state.count -= 1
    if state.count == 0:
        del index[subject]
        return
    if sequence == state.last:
        if before > 0:
            state.last = before
            state.last_exact = before_live
        else:
            state.last = sequence - 1
            state.last_exact = False
    if sequence == state.first:
        state.first = sequence + 1
        state.first_exact = False
    if state.count == 1 and state.last_exact:
        state.first = state.last
        state.first_exact = True
