"""Errors of the storage layer: one class for each thing a caller must tell apart.

Not here: retries. A failed sync is never retried (the kernel may have thrown the dirty pages away), a full disk may be.
Read next: disk.py raises most of these.
"""


class StorageError(Exception):
    """Anything that storage raises on purpose."""


class FileMissing(StorageError):
    """A file or directory that was to be opened is not there."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: no such file")
        self.path = path


class DiskFull(StorageError):
    """No space (or quota) left. Nothing was acknowledged; the same job may be run again once there is space."""

    def __init__(self, path: str, operation: str) -> None:
        super().__init__(f"{path}: no space left on the disk ({operation})")
        self.path = path
        self.operation = operation


class DiskFailure(StorageError):
    """The operating system refused a read, a write or a sync. After this the file is not to be trusted."""

    def __init__(self, path: str, operation: str, reason: str) -> None:
        super().__init__(f"{path}: {operation} failed: {reason}")
        self.path = path
        self.operation = operation
        self.reason = reason


class StorageFailed(StorageError):
    """An earlier failure ended this log or store; nothing more may be written through it."""

    def __init__(self, path: str, cause: Exception) -> None:
        super().__init__(f"{path}: stopped after an earlier failure: {cause}")
        self.path = path
        self.cause = cause


class WrongIdentity(StorageError):
    """The store directory belongs to another server, for ever."""

    def __init__(self, path: str, found: str, expected: str) -> None:
        owner = f'the server "{found}"' if found else "a server whose name cannot be read"
        super().__init__(
            f'{path}: this store belongs to {owner}, not to "{expected}"; '
            f"start it under its own name, or give this server an empty store directory"
        )
        self.path = path
        self.found = found
        self.expected = expected


class NoDirectory(StorageError):
    """A file is where the store directory should be; nats-server's words, which clients' harnesses look for."""

    def __init__(self) -> None:
        super().__init__("storage directory is not a directory")


class ForeignStore(StorageError):
    """The store directory holds streams of nats-server, whose files are not read here."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path}: holds streams of nats-server, which are neither read nor touched here; "
            f"move them away, or give this server an empty store directory"
        )
        self.path = path


class DamagedRange:
    """Entries of one group that were lost: first to last, both included."""

    def __init__(self, group: int, first: int, last: int) -> None:
        self.group = group
        self.first = first
        self.last = last

    def __repr__(self) -> str:
        return f"group {self.group} entries {self.first}-{self.last}"


class CorruptLog(StorageError):
    """Records of the log that were once durable cannot be read.

    `damage` names the entries known to be lost; when `complete` is False more groups than those may be affected.
    """

    def __init__(self, path: str, offset: int, reason: str, damage: list[DamagedRange], complete: bool) -> None:
        affected = ", ".join(repr(item) for item in damage[:20]) or "no entry known"
        more = "" if complete else " (perhaps more)"
        super().__init__(f"{path}: corrupt at offset {offset}: {reason}; affected: {affected}{more}")
        self.path = path
        self.offset = offset
        self.reason = reason
        self.damage = damage
        self.complete = complete

    def groups(self) -> list[int]:
        """The affected groups, ascending."""
        return sorted({item.group for item in self.damage})


class CorruptBlock(StorageError):
    """Messages of a stream that should be there cannot be read."""

    def __init__(self, path: str, offset: int, reason: str, first_sequence: int = 0, last_sequence: int = 0) -> None:
        where = f" (messages {first_sequence}-{last_sequence})" if last_sequence else ""
        super().__init__(f"{path}: corrupt at offset {offset}: {reason}{where}")
        self.path = path
        self.offset = offset
        self.reason = reason
        self.first_sequence = first_sequence
        self.last_sequence = last_sequence


class BlockGone(StorageError):
    """A block asked for by number is no longer part of the stream: ask for the manifest again."""


class CorruptSnapshot(StorageError):
    """No generation of a snapshot can be read, though there is at least one file."""


class CorruptState(StorageError):
    """State bytes handed to `open` or `prepare` are not what `state_bytes` wrote."""


def is_damage(error: Exception) -> bool:
    """Whether what was stored cannot be read any more (rather than that nothing more can be written)."""
    if isinstance(error, DiskFailure):
        return error.operation in ("read", "stat")
    return isinstance(error, (CorruptLog, CorruptBlock, CorruptSnapshot, CorruptState, FileMissing))
