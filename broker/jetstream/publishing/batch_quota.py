"""How many batches all streams that a node leads have, atomic and fast ones apart."""

from typing import Final

ATOMIC_MAX: Final = 1000
FAST_MAX: Final = 50_000


class BatchQuota:
    """One a node; streams count their batches in and out."""

    def __init__(self) -> None:
        self.atomic: int = 0
        self.fast: int = 0

    def has_room_for_atomic(self) -> bool:
        """Whether one more atomic batch may begin."""
        return self.atomic < ATOMIC_MAX

    def has_room_for_fast(self) -> bool:
        """Whether one more fast batch may begin."""
        return self.fast < FAST_MAX
