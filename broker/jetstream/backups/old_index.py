"""`index.db` of nats-server's file store: where a stream begins and ends, which messages its blocks no longer count.

    u8 11, u8 version | messages, bytes, first | varint base time | last | varint | subjects: count, then each: length,
    name, count, first block, last block (only where the count is not 1, before version 4) | blocks: count, then each:
    number, bytes, first | varint | last | varint | deleted, TTLs (since version 2), schedules (since 3) | the set of
    the deleted, where there are any

Numbers are uvarints but for those called varint. A set is u8 22, u8 version, u32 nodes, u32 size, then per node: u64
base, u64[32] bits (u64[64] in version 1), u16. Not here: the blocks (`old_backup`).
"""

from typing import Final

from broker.jetstream.backups.s2 import BackupError

MAGIC: Final = 11
VERSION_MAX: Final = 4
SET_MAGIC: Final = 22
SUBJECT_MAX: Final = 0xFFFF
_WORDS: Final = {1: 64, 2: 32}


class Numbers:
    """Varints, one after the other."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data: Final = data
        self.at: int = at

    def unsigned(self) -> int:
        """The next one. Raises BackupError."""
        value = 0
        for shift in range(0, 70, 7):
            if self.at >= len(self.data):
                break
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise BackupError("corrupt state")

    def signed(self) -> int:
        """The next one, which may be negative."""
        value = self.unsigned()
        return ~(value >> 1) if value & 1 else value >> 1


class OldIndex:
    """What the file says. `blocks`: first and last sequence by number; `deleted`: what they hold and do not count."""

    def __init__(self, content: bytes) -> None:
        """Raises BackupError."""
        if len(content) < 2 or content[0] != MAGIC or not 1 <= content[1] <= VERSION_MAX:
            raise BackupError("msgs/index.db: corrupt state")
        self.deleted: Final[list[int]] = []
        self.blocks: Final[dict[int, tuple[int, int]]] = {}
        version = content[1]
        numbers = Numbers(content, 2)
        numbers.unsigned()
        numbers.unsigned()
        self.first: Final = numbers.unsigned()
        numbers.signed()
        self.last: Final = numbers.unsigned()
        numbers.signed()
        for _ in range(numbers.unsigned()):
            length = numbers.unsigned()
            if not 0 < length <= SUBJECT_MAX:
                raise BackupError("msgs/index.db: corrupt state")
            numbers.at += length
            total = numbers.unsigned()
            numbers.unsigned()
            if total > 1 or version >= 4:
                numbers.unsigned()
        for _ in range(numbers.unsigned()):
            self._block(numbers, version)

    def _block(self, numbers: Numbers, version: int) -> None:
        block = numbers.unsigned()
        numbers.unsigned()
        first = numbers.unsigned()
        numbers.signed()
        last = numbers.unsigned()
        numbers.signed()
        deleted = numbers.unsigned()
        for since in (2, 3):
            if version >= since:
                numbers.unsigned()
        self.blocks[block] = (first, last)
        if deleted:
            self._set(numbers)

    def _set(self, numbers: Numbers) -> None:
        data, at = numbers.data, numbers.at
        words = _WORDS.get(data[at + 1]) if len(data) > at + 10 and data[at] == SET_MAGIC else None
        nodes = int.from_bytes(data[at + 2 : at + 6], "little")
        at += 10
        if words is None or at + nodes * (8 * words + 10) > len(data):
            raise BackupError("msgs/index.db: corrupt state")
        for _ in range(nodes):
            base = int.from_bytes(data[at : at + 8], "little")
            bits = int.from_bytes(data[at + 8 : at + 8 + 8 * words], "little")
            while bits:
                lowest = bits & -bits
                self.deleted.append(base + lowest.bit_length() - 1)
                bits ^= lowest
            at += 8 * words + 10
        numbers.at = at
