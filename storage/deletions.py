"""Which messages were removed lately: who keeps a count of some of them need not count all of them anew.

Not here: the removing (message_log.py). Invariants: `total` only grows, by one for each message; of the last `KEPT` at
least is known which they were, unless a whole stream went at once.
"""

from typing import Final

KEPT: Final = 4096


class Deletions:
    """See the module's text."""

    def __init__(self) -> None:
        self.total: int = 0
        self._sequences: list[int] = []
        self._subjects: list[bytes] = []

    def add(self, sequence: int, subject: bytes) -> None:
        """One more."""
        self.total += 1
        self._sequences.append(sequence)
        self._subjects.append(subject)
        if len(self._sequences) >= 2 * KEPT:
            del self._sequences[:KEPT]
            del self._subjects[:KEPT]

    def lose(self, count: int) -> None:
        """So many at once, and nobody says which."""
        self.total += count
        self._sequences.clear()
        self._subjects.clear()

    def since(self, total: int) -> list[tuple[int, bytes]] | None:
        """(sequence, subject) of those removed since `total` was read; None when that is not known any more."""
        first = len(self._sequences) - (self.total - total)
        if first < 0:
            return None
        return list(zip(self._sequences[first:], self._subjects[first:]))  # noqa: B905 (mypyc compiles the plain form)
