"""What the two formats of backups have in common: messages as they come, the rest at the end.

Not here: the formats (`restore` for 2.15's archive, `old_backup`).
"""

from typing import Any

from mypy_extensions import mypyc_attr

Row = tuple[int, int, bytes, int, bytes]
"""A message: sequence, time in ns, subject, length of its headers, headers and payload."""


@mypyc_attr(allow_interpreted_subclasses=True)
class BackupReader:
    """One format."""

    def __init__(self) -> None:
        self.first: int = 0  # where the stream begins, told before its messages; 0: it is not
        self.begins: int = 0  # the same, told at the end
        self.last: int = 0  # where it ends
        self.gone: list[int] = []  # messages that were deleted behind their time
        self.consumers: list[tuple[str, dict[str, Any], dict[str, Any]]] = []  # name, configuration, state

    def feed(self, data: bytes) -> list[Row]:
        """Messages that are complete now. Raises BackupError."""
        raise NotImplementedError

    def finish(self) -> None:
        """No more will come; all attributes are known now. Raises BackupError."""
        raise NotImplementedError


class Ending:
    """What a backup says at its end. `first`: nothing is kept before; `gone`: nor are these."""

    def __init__(self, last: int, first: int, gone: list[int]) -> None:
        self.last = last
        self.first = first
        self.gone = gone
