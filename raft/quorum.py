"""Majorities: what a majority has reached, and whether a vote is won or lost.

Not here: who votes (`membership.py`) or how far each peer is (`progress.py`).
"""

from __future__ import annotations

from typing import Final

PENDING: Final = 0
WON: Final = 1
LOST: Final = 2


def majority(voters: int) -> int:
    """How many of so many voters decide."""
    return voters // 2 + 1


def reached_by_majority(values: list[int]) -> int:
    """The highest value that a majority of the voters has reached; one value per voter. Changes the list's order.

    Three voters are the normal case and have their own lines.
    """
    count = len(values)
    if count == 3:
        a, b, c = values[0], values[1], values[2]
        if a > b:
            a, b = b, a
        if c <= a:
            return a
        return c if c < b else b
    if count == 0:
        return 0
    values.sort()
    return values[count - majority(count)]


def vote_result(granted: int, refused: int, voters: int) -> int:
    """PENDING, WON or LOST. Nobody ever wins among no voters."""
    needed = majority(voters)
    if granted >= needed:
        return WON
    if voters - refused < needed:
        return LOST
    return PENDING
