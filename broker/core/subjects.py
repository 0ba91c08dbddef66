"""Subjects: what is one, what matches what.

Is: pure functions over `bytes`, and `SubjectMatcher`, filters made ready for repeated matching.
Is not: the store of subscriptions (`sublist`) or the rewriting of subjects.
Invariants: `*` and `>` are wildcards only as a whole token, `>` only as the last one; `foo*` is a literal. Plain
publishes are not validated at all (nats-server does not); what is subscribed or configured is. Nothing here raises.
Read next: `sublist.py`.
"""

from collections.abc import Sequence
from typing import Final

_DOT: Final = b"."
ANY: Final = b"*"
REST: Final = b">"
_ILLEGAL: Final = (b" ", b"\t", b"\r", b"\n", b"\x0c")


def is_valid(subject: bytes) -> bool:
    """Whether it may be subscribed to: no empty token, no white space, `>` only at the end."""
    if not subject:
        return False
    for illegal in _ILLEGAL:
        if illegal in subject:
            return False
    return is_insertable(subject)


def is_insertable(subject: bytes) -> bool:
    """The weaker rule that SUB applies: no empty token, `>` only at the end."""
    tokens = subject.split(_DOT)
    last = len(tokens) - 1
    for at in range(len(tokens)):
        token = tokens[at]
        if not token or (token == REST and at != last):
            return False
    return True


def is_literal(subject: bytes) -> bool:
    """Whether it has no wildcard token."""
    if ANY not in subject and REST not in subject:
        return True
    return all(token not in (ANY, REST) for token in subject.split(_DOT))


def is_valid_literal(subject: bytes) -> bool:
    """The pedantic rule for a publish: no empty and no wildcard token."""
    return all(not (not token or token in (ANY, REST)) for token in subject.split(_DOT))


def matches(pattern: bytes, literal: bytes) -> bool:
    """Whether a literal subject is matched by a pattern."""
    if pattern == literal:
        return True
    return _matches_tokens(pattern.split(_DOT), literal.split(_DOT))


def _matches_tokens(pattern: list[bytes], literal: list[bytes]) -> bool:
    count = len(literal)
    for at in range(len(pattern)):
        token = pattern[at]
        if at >= count:
            return False
        if token == REST and at == len(pattern) - 1:
            return True
        if token != ANY and token != literal[at]:
            return False
    return len(pattern) == count


def is_subset(subject: bytes, pattern: bytes) -> bool:
    """Whether everything that `subject` matches is matched by `pattern` too."""
    ours, theirs = subject.split(_DOT), pattern.split(_DOT)
    for at in range(len(theirs)):
        if at >= len(ours):
            return False
        if theirs[at] == REST:
            return True
        if ours[at] == REST or (ours[at] == ANY and theirs[at] != ANY):
            return False
        if theirs[at] != ANY and ours[at] != theirs[at]:
            return False
    return len(ours) == len(theirs)


def collides(one: bytes, other: bytes) -> bool:
    """Whether some literal subject is matched by both."""
    left, right = one.split(_DOT), other.split(_DOT)
    for at in range(min(len(left), len(right))):
        a, b = left[at], right[at]
        if a == REST or b == REST:
            return True
        if a != ANY and b != ANY and a != b:
            return False
    return len(left) == len(right)


overlaps = collides


def literal_part(pattern: list[bytes]) -> bytes:
    """The tokens of a pattern before its first wildcard, each with a dot."""
    part = b""
    for token in pattern:
        if token in (ANY, REST):
            break
        part += token + _DOT
    return part


class SubjectMatcher:
    """One or more filters as one question. `literal` is the only subject that can match, where there is only one;
    `prefix`, up to a dot, is what all that match begin with, where there is one filter."""

    def __init__(self, filters: Sequence[str] | Sequence[bytes]) -> None:
        self.literal: bytes | None = None
        self.prefix: bytes = b""
        self._literals: dict[bytes, bool] = {}
        self._patterns: list[list[bytes]] = []
        self._all: bool = False
        for given in filters:
            subject = given.encode() if isinstance(given, str) else given
            if is_literal(subject):
                self._literals[subject] = True
            elif subject == REST:
                self._all = True
            else:
                self._patterns.append(subject.split(_DOT))
        if len(self._literals) == 1 and not self._patterns and not self._all:
            for subject in self._literals:
                self.literal = subject
        if len(self._patterns) == 1 and not self._literals and not self._all:
            self.prefix = literal_part(self._patterns[0])

    def matches(self, subject: bytes) -> bool:
        """Whether a literal subject passes."""
        if self._all or subject in self._literals:
            return True
        if self._patterns:
            tokens = subject.split(_DOT)
            for pattern in self._patterns:
                if _matches_tokens(pattern, tokens):
                    return True
        return False
