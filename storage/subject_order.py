"""A stream's subjects in order, for those who ask for all below a prefix or for a page of them.

Built when it is first asked for, as most streams are never asked. Not here: what
is known of a subject (subject_index.py). Invariant: while it is built, every subject of the index is in `_sorted` or in
`_fresh`; either may also hold subjects that are gone, and some twice.
Costs: building O(n log n); a prefix O(log n + subjects below it + fresh ones).
"""

from bisect import bisect_left
from typing import Final

from storage.subject_index import SubjectIndex

MANY_SUBJECTS: Final = 1024  # with fewer all are looked at
FRESH_MAX: Final = 1024
BEHIND_DOT: Final = b"/"


class SubjectOrder:
    """See the module's text."""

    def __init__(self) -> None:
        self._built: bool = False
        self._sorted: list[bytes] = []
        self._fresh: list[bytes] = []

    def added(self, subject: bytes) -> None:
        """A subject is in the index that was not."""
        if self._built:
            self._fresh.append(subject)
            if len(self._fresh) > FRESH_MAX + len(self._sorted) // 4:
                self.forget()  # nobody has asked for long

    def forget(self) -> None:
        """The index is another one, or the order is not worth keeping."""
        self._built = False
        self._sorted = []
        self._fresh = []

    def below(self, index: SubjectIndex, prefix: bytes) -> list[bytes]:
        """The subjects of the index that begin with `prefix`, which ends in a dot, each once; all but fresh ones in
        order."""
        if not self._built or len(self._sorted) + len(self._fresh) > 2 * len(index) + FRESH_MAX:
            self._build(index)
        elif len(self._fresh) > FRESH_MAX:
            self._merge()
        low = bisect_left(self._sorted, prefix)
        high = bisect_left(self._sorted, prefix[:-1] + BEHIND_DOT, low)
        found = [subject for subject in self._sorted[low:high] if subject in index]
        fresh = [subject for subject in self._fresh if subject.startswith(prefix) and subject in index]
        if fresh:
            found.extend(fresh)
            return list(dict.fromkeys(found))
        return found

    def all(self, index: SubjectIndex) -> list[bytes]:
        """Exactly the subjects of the index, in order. Not to be changed."""
        if not self._built:
            self._build(index)
        elif self._fresh:
            self._merge()
        if len(self._sorted) != len(index):
            self._build(index)  # some are gone
        return self._sorted

    def _build(self, index: SubjectIndex) -> None:
        self._built = True
        self._sorted = sorted(index)
        self._fresh = []

    def _merge(self) -> None:
        """One sorted list again, each once."""
        self._sorted.extend(self._fresh)
        self._fresh = []
        self._sorted.sort()
        merged: list[bytes] = []
        last = b""
        for subject in self._sorted:
            if subject != last:
                merged.append(subject)
                last = subject
        self._sorted = merged
