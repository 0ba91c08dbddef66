"""What recovery found damaged in a log: where, which entries of which groups, and what nobody can tell.

A frame whose header or directory fails its checksum may have held anything of any group, unless exactly one flipped
bit explains it (`mended`): then its directory tells whom it concerns. Where nothing explains it, the log is blind
there, and only what a group's later records say about themselves is known.

Not here: reading files (wal_recovery.py), what becomes of the log (wal_salvage.py).
"""

import zlib
from typing import Final

from storage.errors import CorruptLog, DamagedRange
from storage.frame import HEADER_LENGTH, MAGIC, FrameHeader

MENDED_META_MAX: Final = 4096


class LogDamage:
    """Notes, in the order of the log."""

    def __init__(self) -> None:
        self.ranges: list[DamagedRange] = []
        self.mended: list[DamagedRange] = []  # read all the same, by turning one bit back
        self.complete: bool = True  # no other group than those named can be hit
        self.blind_at: tuple[int, int] = (0, 0)  # file and offset of the last place that nobody can read
        self.confirmed: dict[int, tuple[int, int]] = {}  # group → where it last followed from what was before
        self.path: str = ""
        self.offset: int = 0
        self.reason: str = ""

    def note(self, path: str, offset: int, reason: str) -> None:
        """Something is wrong there; the first place is the one that people are told."""
        if not self.path:
            self.path = path
            self.offset = offset
            self.reason = reason

    def add(self, group: int, first: int, last: int) -> None:
        """Entries of a group are lost; 0, 0: something else of it (its vote, where its log starts)."""
        self.ranges.append(DamagedRange(group, first, last))

    def blind(self, sequence: int, offset: int) -> None:
        """Nobody can say what was there."""
        self.complete = False
        self.blind_at = (sequence, offset)

    def error(self) -> CorruptLog | None:
        """All of it; None when nothing was noted."""
        if not self.path:
            return None
        return CorruptLog(self.path, self.offset, self.reason, [*self.ranges, *self.mended], self.complete)


def mended(data: bytes, offset: int, seed: int, file: int) -> FrameHeader | None:
    """The frame at `offset` if one bit turned back makes its header and directory valid; None otherwise.

    CRC-32 tells three flipped bits in so few bytes from one, and what was damaged more passes by a chance of one in
    some 100,000. So whoever can get the data elsewhere does not build on this.
    """
    piece = bytearray(data[offset : offset + HEADER_LENGTH + MENDED_META_MAX])
    if len(piece) < HEADER_LENGTH:
        return None
    room = len(data) - offset
    meta_length = int.from_bytes(piece[32:36], "little")
    for at in range(min(HEADER_LENGTH + meta_length, len(piece)) * 8):
        piece[at >> 3] ^= 1 << (at & 7)
        if _is_valid(piece, seed, file, offset, room):
            synced = int.from_bytes(piece[24:32], "little")
            end = HEADER_LENGTH + int.from_bytes(piece[32:36], "little")
            body_length = int.from_bytes(piece[36:40], "little")
            crc = int.from_bytes(piece[4:8], "little")
            return FrameHeader(offset, synced, crc, bytes(piece[HEADER_LENGTH:end]), body_length)
        piece[at >> 3] ^= 1 << (at & 7)
    return None


def _is_valid(piece: bytearray, seed: int, file: int, offset: int, room: int) -> bool:
    """As `frame.read_header` judges."""
    if piece[:4] != MAGIC or int.from_bytes(piece[8:16], "little") != file:
        return False
    if int.from_bytes(piece[16:24], "little") != offset or int.from_bytes(piece[24:32], "little") > offset:
        return False
    end = HEADER_LENGTH + int.from_bytes(piece[32:36], "little")
    if end > len(piece) or end + int.from_bytes(piece[36:40], "little") > room:
        return False
    return zlib.crc32(piece[8:end], seed) == int.from_bytes(piece[4:8], "little")
