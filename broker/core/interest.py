"""Interest of this node, counted for those who must hear of it: routes, and consumers that wait for a subscriber.

Is: `LocalInterest`, how many local members each (subject, queue) has; the listener and watcher others implement.
Is not: matching.
Invariants: a listener hears every change of what routes have to know (plain: first and last; queue groups: every change
of the count); counts are never negative.
Read next: `router.py`.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from broker.core.subjects import is_literal, literal_part, matches


@mypyc_attr(allow_interpreted_subclasses=True)
class InterestListener:
    """Hears what routes must be told (`RS+`, `RS-`)."""

    def interest_changed(self, subject: bytes, queue: bytes, weight: int) -> None:
        """`weight` 0: no longer wanted. Queue b"": plain interest, weight 1. Otherwise the members of the group."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class InterestWatcher:
    """Hears that interest in a watched subject may have changed, on this node or another one."""

    def interest_changed(self, subject: bytes) -> None:
        raise NotImplementedError


class LocalInterest:
    def __init__(self) -> None:
        self.listeners: Final[list[InterestListener]] = []
        self._counts: Final[dict[bytes, int]] = {}  # by subject, or subject, space, queue

    def change(self, subject: bytes, queue: bytes, by: int) -> None:
        key = subject + b" " + queue if queue else subject
        count = self._counts.get(key, 0) + by
        assert count >= 0
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]
        if queue:
            for listener in self.listeners:
                listener.interest_changed(subject, queue, count)
        elif count == 0 or (by > 0 and count == by):
            for listener in self.listeners:
                listener.interest_changed(subject, queue, 1 if count else 0)

    def all(self) -> list[tuple[bytes, bytes, int]]:
        """(subject, queue, weight) of everything wanted here, for a route that begins."""
        found: list[tuple[bytes, bytes, int]] = []
        for key, count in self._counts.items():
            subject, _space, queue = key.partition(b" ")
            found.append((subject, queue, count if queue else 1))
        return found


class Watchers:
    """Literal subjects somebody waits for a subscriber on."""

    def __init__(self) -> None:
        self._by_subject: Final[dict[bytes, list[InterestWatcher]]] = {}

    def add(self, subject: bytes, watcher: InterestWatcher) -> None:
        self._by_subject.setdefault(subject, []).append(watcher)

    def remove(self, subject: bytes, watcher: InterestWatcher) -> None:
        watchers = self._by_subject.get(subject)
        if watchers is not None and watcher in watchers:
            watchers.remove(watcher)
            if not watchers:
                del self._by_subject[subject]

    def changed(self, pattern: bytes) -> None:
        """A subscription to `pattern` came or went."""
        if not self._by_subject:
            return
        if is_literal(pattern):
            for watcher in list(self._by_subject.get(pattern, [])):
                watcher.interest_changed(pattern)
            return
        prefix = literal_part(pattern.split(b"."))  # every client subscribes to `_INBOX.<its own>.*`
        for subject in list(self._by_subject):
            if subject.startswith(prefix) and matches(pattern, subject):
                for watcher in list(self._by_subject.get(subject, [])):
                    watcher.interest_changed(subject)
