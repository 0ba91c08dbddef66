"""A stream's backup as nats-server 2.15 writes it: entries one after the other, inside one S2 stream (`s2`).

    "NATSARC1", then per entry: uvarint name length | varint time in ns | uvarint sequence | uvarint header length |
    uvarint payload length | name | headers | payload

The first entry is `state.json`; `consumers/<name>` follow, as many as its `consumer_count` says, each with
configuration and state; then the messages in their order, named by their subjects; at the end an entry that is all
zeros. Not here: what becomes of the entries (`backup`). Source: nats-server, server/archive.
"""

import json
from typing import Any, Final

from broker.jetstream.backups.s2 import BackupError

MAGIC: Final = b"NATSARC1"
NAME_MAX: Final = 1 << 20
ENTRY_MAX: Final = 64 * 1024 * 1024
STATE: Final = b"state.json"
CONSUMERS: Final = b"consumers/"
_VARINT_MAX: Final = 10


class Entry:
    """One entry; `data` is headers (of `header_length` bytes), then payload."""

    def __init__(self, name: bytes, time_ns: int, sequence: int, header_length: int, data: bytes) -> None:
        self.name: Final = name
        self.time_ns: Final = time_ns
        self.sequence: Final = sequence
        self.header_length: Final = header_length
        self.data: Final = data

    def is_end(self) -> bool:
        """The mark behind the last message."""
        return self.sequence == 0 and self.time_ns == 0 and not self.data

    def encode(self) -> bytes:
        """The bytes of the entry."""
        time_ns = self.time_ns
        numbers = (
            len(self.name),
            time_ns << 1 if time_ns >= 0 else ~(time_ns << 1),
            self.sequence,
            self.header_length,
            len(self.data) - self.header_length,
        )
        return b"".join([_uvarint(number) for number in numbers]) + self.name + self.data


END: Final = Entry(b"", 0, 0, 0, b"")


def _uvarint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


class ArchiveReader:
    """Takes an archive apart as it comes."""

    def __init__(self) -> None:
        self._buffer: bytes = b""
        self._begun: bool = False
        self._needed: int = 0

    def feed(self, data: bytes) -> list[Entry]:
        """The entries that are complete now. Raises BackupError."""
        self._buffer += data
        buffer = self._buffer
        at = 0
        if not self._begun:
            if len(buffer) < len(MAGIC):
                return []
            if not buffer.startswith(MAGIC):
                raise BackupError("archive: invalid archive stream")
            self._begun = True
            at = len(MAGIC)
        elif len(buffer) < self._needed:
            return []
        self._needed = 0
        entries: list[Entry] = []
        while True:
            found = self._entry(buffer, at)
            if found is None:
                break
            entry, at = found
            entries.append(entry)
        self._buffer = buffer[at:]
        self._needed = max(0, self._needed - at)
        return entries

    def finish(self) -> None:
        """No more will come. Raises BackupError when an entry is cut off."""
        if self._buffer or not self._begun:
            raise BackupError("archive: invalid archive stream")

    def _entry(self, buffer: bytes, start: int) -> tuple[Entry, int] | None:
        """One entry and where the next one begins; None when it is not all here."""
        numbers: list[int] = []
        at = start
        for _ in range(5):
            number, at = self._number(buffer, at)
            if at < 0:
                return None
            numbers.append(number)
        name_length, zigzag, sequence, header_length, payload_length = numbers
        if name_length > NAME_MAX or header_length + payload_length > ENTRY_MAX:
            raise BackupError("archive: invalid archive stream")
        end = at + name_length + header_length + payload_length
        if end > len(buffer):
            self._needed = end
            return None
        name = buffer[at : at + name_length]
        time_ns = zigzag >> 1 if zigzag & 1 == 0 else ~(zigzag >> 1)
        return Entry(name, time_ns, sequence, header_length, buffer[at + name_length : end]), end

    def _number(self, buffer: bytes, at: int) -> tuple[int, int]:
        value = 0
        for count in range(_VARINT_MAX):
            if at + count >= len(buffer):
                return 0, -1
            byte = buffer[at + count]
            value |= (byte & 0x7F) << (7 * count)
            if byte < 0x80:
                if value >= 1 << 64:
                    break
                return value, at + count + 1
        raise BackupError("archive: invalid archive stream")


def state_entry(state: dict[str, object], time_ns: int) -> Entry:
    """The first entry."""
    return Entry(STATE, time_ns, 0, 0, json.dumps(state, separators=(",", ":")).encode())


def read_json(entry: Entry, what: str) -> dict[str, Any]:
    """The object that an entry holds. Raises BackupError."""
    try:
        value = json.loads(entry.data)
    except (ValueError, RecursionError) as error:
        raise BackupError(f"error in {what}: {error}") from None
    if not isinstance(value, dict):
        raise BackupError(f"error in {what}: not an object")
    return value
