"""Backups of nats-server up to 2.14: a tar of the files of its store, inside S2.

`meta.inf` is the configuration; `msgs/<n>.blk` are blocks of records, in order; `msgs/index.db` says where the stream
begins and ends; `obs/<consumer>/meta.inf` and `o.dat` are consumers. Files are never written anywhere, so their names
need no trust. A record is, in little-endian numbers:

    u32 length, top bit: has headers | u64 sequence | i64 time in ns | u16 subject length | subject | u32 header length,
    where it has headers | headers | payload | 8 bytes checksum

Of the sequence the top bit says that the message was erased, the next one that this is the mark of a message deleted
before. A block may be compressed: "cmp", u8 1, uvarint length, an S2 stream of all but the last 8 bytes, those. The
checksums (HighwayHash) are not looked at: each S2 frame around them has its own. Not here: the index (`old_index`),
what becomes of it all (`restore`). Source: nats-server, server/filestore.go.
"""

import json
from typing import Any, Final

from broker.jetstream.backups.backup_reader import BackupReader, Row
from broker.jetstream.backups.old_index import Numbers, OldIndex
from broker.jetstream.backups.s2 import BackupError, S2Reader

TAR_BLOCK: Final = 512
FILE_MAX: Final = 64 * 1024 * 1024
RECORD_HEAD: Final = 22
RECORD_MAX: Final = 64 * 1024 * 1024
CHECKSUM: Final = 8
HEADERS_BIT: Final = 1 << 31
ERASED_BIT: Final = 1 << 63
TOMBSTONE_BIT: Final = 1 << 62
COMPRESSED: Final = b"cmp\x01"
_CONSUMER_MAGIC: Final = 22
_REGULAR: Final = (b"0", b"\0")
_EXTENDED: Final = b"x"
_SECOND_NS: Final = 1_000_000_000


class TarReader:
    """Takes a tar apart as it comes; whole files only."""

    def __init__(self) -> None:
        self.ended: bool = False
        self._buffer: bytes = b""
        self._extended: dict[str, str] = {}
        self._needed: int = TAR_BLOCK

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Names and contents of the files that are complete now. Raises BackupError."""
        self._buffer += data
        found: list[tuple[str, bytes]] = []
        at = 0
        while not self.ended and len(self._buffer) - at >= self._needed:
            head = self._buffer[at : at + TAR_BLOCK]
            if not head.strip(b"\0"):
                self.ended = True
                break
            name, size, kind = self._head(head)
            end = at + TAR_BLOCK + size
            padded = end + -size % TAR_BLOCK
            if len(self._buffer) < padded:
                self._needed = padded - at
                break
            self._needed = TAR_BLOCK
            content = self._buffer[at + TAR_BLOCK : end]
            at = padded
            if kind == _EXTENDED:
                self._extended = pax_records(content)
            elif kind in _REGULAR:
                found.append((name, content))
                self._extended = {}
            else:
                raise BackupError("unexpected content (account=$G)")
        self._buffer = self._buffer[at:]
        return found

    def _head(self, head: bytes) -> tuple[str, int, bytes]:
        total = sum(head[:148]) + 8 * 32 + sum(head[156:])
        size = _octal(head[124:136])
        if _octal(head[148:156]) != total or size < 0:
            raise BackupError("archive/tar: invalid tar header")
        name = head[:100].rstrip(b"\0").decode("utf-8", "replace")
        if head[257:262] == b"ustar" and head[345:500].rstrip(b"\0"):
            name = head[345:500].rstrip(b"\0").decode("utf-8", "replace") + "/" + name
        kind = head[156:157]
        if kind != _EXTENDED:
            name = self._extended.get("path", name)
            told = self._extended.get("size", "")
            size = int(told) if told.isdigit() and len(told) < 12 else size
        if size > FILE_MAX:
            raise BackupError(f"{name} is too large")
        return name, size, kind


def pax_records(content: bytes) -> dict[str, str]:
    """The fields of an extended header. Raises BackupError."""
    found: dict[str, str] = {}
    at = 0
    while at < len(content):
        blank = content.find(b" ", at)
        length = content[at:blank] if blank > 0 else b""
        if not length.isdigit() or len(length) > 8 or at + int(length) > len(content) or int(length) <= blank - at:
            raise BackupError("archive/tar: invalid tar header")
        key, _, value = content[blank + 1 : at + int(length) - 1].decode("utf-8", "replace").partition("=")
        found[key] = value
        at += int(length)
    return found


def _octal(field: bytes) -> int:
    text = field.strip(b" \0")
    try:
        return int(text, 8) if text else 0
    except ValueError:
        return -1


class OldBackup(BackupReader):
    """See the module's text."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name: Final = name
        self._tar: Final = TarReader()
        self._meta: bool = False
        self._stored_last: int = 0
        self._rows: dict[int, tuple[int, int]] = {}  # first and last sequence of each block's messages
        self._consumers: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def feed(self, data: bytes) -> list[Row]:
        rows: list[Row] = []
        for name, content in self._tar.feed(data):
            parts = name.split("/")
            if name == "meta.inf":
                if _object(content, name).get("name") != self._name:
                    raise BackupError("stream names do not match")
                self._meta = True
            elif parts[0] == "msgs" and name.endswith(".blk"):
                before = len(rows)
                self._block(content, name, rows)
                number = parts[-1].removesuffix(".blk")
                if len(rows) > before and number.isdigit():
                    self._rows[int(number)] = (rows[before][0], rows[-1][0])
            elif name == "msgs/index.db":
                self._index(content)
            elif parts[0] == "obs" and len(parts) == 3:
                self._consumer(parts[1], parts[2], content)
        return rows

    def _block(self, content: bytes, name: str, rows: list[Row]) -> None:
        if content.startswith(COMPRESSED):
            at = len(COMPRESSED)
            while at < len(content) and content[at] >= 0x80:
                at += 1
            reader = S2Reader()
            content = reader.feed(content[at + 1 : -CHECKSUM], FILE_MAX) + content[-CHECKSUM:]
            if reader.has_more():
                raise BackupError(f"{name} is too large")
            reader.finish()
        at = 0
        while at < len(content):
            if at + RECORD_HEAD > len(content):
                raise BackupError(f"{name}: corrupt state")
            length = int.from_bytes(content[at : at + 4], "little")
            has_headers = bool(length & HEADERS_BIT)
            length &= HEADERS_BIT - 1
            if not RECORD_HEAD + CHECKSUM <= length <= min(RECORD_MAX, len(content) - at):
                raise BackupError(f"{name}: corrupt state")
            self._record(content[at : at + length], has_headers, name, rows)
            at += length

    def _record(self, record: bytes, has_headers: bool, name: str, rows: list[Row]) -> None:
        sequence = int.from_bytes(record[4:12], "little")
        if sequence & TOMBSTONE_BIT and not sequence & ERASED_BIT:
            self.gone.append(sequence & (TOMBSTONE_BIT - 1))
            self.last = max(self.last, self.gone[-1])
            return
        is_erased = bool(sequence & ERASED_BIT)
        sequence &= TOMBSTONE_BIT - 1
        self.last = max(self.last, sequence)
        if is_erased or sequence <= self._stored_last:
            return
        time_ns = int.from_bytes(record[12:20], "little", signed=True)
        start = RECORD_HEAD + int.from_bytes(record[20:22], "little")
        subject = record[RECORD_HEAD:start]
        header_length = 0
        if has_headers:
            header_length = int.from_bytes(record[start : start + 4], "little")
            start += 4
        end = len(record) - CHECKSUM
        if start + header_length > end:
            raise BackupError(f"{name}: corrupt state")
        self._stored_last = sequence
        rows.append((sequence, time_ns, subject, header_length, record[start:end]))

    def _index(self, content: bytes) -> None:
        """Blocks still hold what limits removed; only the index knows."""
        index = OldIndex(content)
        self.begins = index.first
        self.last = max(self.last, index.last)
        self.gone.extend(index.deleted)
        for block, (first, last) in self._rows.items():
            counted = index.blocks.get(block)
            self.gone.extend(range(first, last + 1 if counted is None else min(counted[0], last + 1)))

    def _consumer(self, name: str, file: str, content: bytes) -> None:
        config, state = self._consumers.get(name, ({}, {}))
        if file == "meta.inf":
            about = _object(content, f"obs/{name}/meta.inf")
            config = {key: about[key] for key in about if key not in ("Created", "Name")}
        elif file == "o.dat":
            state = consumer_state(content, name)
        self._consumers[name] = (config, state)

    def finish(self) -> None:
        if not self._tar.ended:
            raise BackupError("unexpected EOF")
        if not self._meta:
            raise BackupError("meta.inf: no such file")
        for name, (config, state) in self._consumers.items():
            if not config:
                raise BackupError(f'error restoring consumer ["{name}"]: no configuration')
            self.consumers.append((name, config, state or {"delivered": {}, "ack_floor": {}}))


def consumer_state(content: bytes, name: str) -> dict[str, Any]:
    """What an `o.dat` says, in the words of newer backups. Raises BackupError."""
    if len(content) < 2:
        return {}
    version = content[1]
    if content[0] != _CONSUMER_MAGIC or version not in (1, 2):
        raise BackupError(f'error restoring consumer ["{name}"]: corrupt state')
    if len(content) < 6:
        return {}
    numbers = Numbers(content, 2)
    floor_consumer, floor_stream, consumer, stream = (numbers.unsigned() for _ in range(4))
    if version == 1:
        consumer += max(floor_consumer - 1, 0)
        stream += max(floor_stream - 1, 0)
    pending: dict[str, dict[str, int]] = {}
    count = numbers.unsigned()
    base_s = numbers.signed() if count else 0
    for _ in range(count):
        sequence = numbers.unsigned() + floor_stream
        consumer_sequence = numbers.unsigned() + floor_consumer if version == 2 else 0
        shift_s = numbers.signed()
        time_s = base_s + shift_s if version == 1 else base_s - shift_s
        pending[str(sequence)] = {"Sequence": consumer_sequence, "Timestamp": max(time_s, 0) * _SECOND_NS}
    again = {str(numbers.unsigned() + floor_stream): numbers.unsigned() for _ in range(numbers.unsigned())}
    return {
        "delivered": {"consumer_seq": consumer, "stream_seq": stream},
        "ack_floor": {"consumer_seq": floor_consumer, "stream_seq": floor_stream},
        "pending": pending,
        "redelivered": again,
    }


def _object(content: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BackupError(f"{name}: {error}") from None
    if not isinstance(value, dict):
        raise BackupError(f"{name}: not an object")
    return value
