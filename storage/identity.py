"""Whom a store belongs to: the server's name, and the store's own id.

The id is made once, with the store. A server that comes back under its old name with an empty disk has another id, so
nobody takes it for the one that made promises on the disk that is gone. A store of an older version has no id ("").

    ternmq store of <server name> \\n  <crc of the name, 8 hex digits> \\n  <id> <crc of name and id, 8 hex digits> \\n

Three times the same lines, one after the other, so that a flipped bit or a lost end does not cost a node all it has;
the first copy that is whole counts. Stores of older versions have one copy.

Invariants: written once, durably, before anything else is; a store without it that has log files is refused.
Read next: wal.py, which opens a store.
"""

import zlib
from typing import Final

from storage.disk import Disk, read_file, replace_file
from storage.errors import WrongIdentity
from storage.frame import identity_seed

IDENTITY_FILE: Final = "identity"
IDENTITY_PREFIX: Final = "ternmq store of "
COPIES: Final = 3


class StoreIdentity:
    """A server's name and its store's id."""

    def __init__(self, name: str, store_id: str) -> None:
        self.name: Final = name
        self.store_id: Final = store_id

    def encode(self) -> bytes:
        """The file."""
        return self.one_copy() * (COPIES if self.store_id else 1)

    def one_copy(self) -> bytes:
        """The lines that stand in the file several times."""
        text = f"{IDENTITY_PREFIX}{self.name}\n{identity_seed(self.name):08x}\n"
        if self.store_id:
            text += f"{self.store_id} {_id_crc(self.name, self.store_id)}\n"
        return text.encode()


def _id_crc(name: str, store_id: str) -> str:
    return f"{zlib.crc32(f'{name} {store_id}'.encode()):08x}"


def _decode(text: str) -> StoreIdentity | None:
    """The first copy that is whole; one without an id counts only where no copy has one."""
    without_id: StoreIdentity | None = None
    at = text.find(IDENTITY_PREFIX)
    while at >= 0:
        found = _decode_copy(text[at:])
        if found is not None and found.store_id:
            return found
        without_id = without_id or found
        at = text.find(IDENTITY_PREFIX, at + 1)
    return without_id


def _decode_copy(text: str) -> StoreIdentity | None:
    """None for anything that `one_copy` does not write."""
    lines = text.split("\n")
    if not lines[0].startswith(IDENTITY_PREFIX) or len(lines) < 3:
        return None
    name = lines[0][len(IDENTITY_PREFIX) :]
    if not name or lines[1] != f"{identity_seed(name):08x}":
        return None
    if not lines[2]:
        return StoreIdentity(name, "")
    store_id, _, crc = lines[2].partition(" ")
    return StoreIdentity(name, store_id) if store_id and crc == _id_crc(name, store_id) else None


def stored_identity(disk: Disk, directory: str) -> StoreIdentity | None:
    """Whom the log in this directory belongs to; None for nobody yet (or when that cannot be read: `claim` says so)."""
    path = f"{directory}/{IDENTITY_FILE}"
    return _decode(read_file(disk, path).decode("utf-8", "replace")) if disk.exists(path) else None


def claim(disk: Disk, directory: str, identity: StoreIdentity) -> None:
    """The directory belongs to this server, from its first use on. Raises WrongIdentity."""
    path = f"{directory}/{IDENTITY_FILE}"
    if disk.exists(path):
        found = stored_identity(disk, directory)
        if found is None or found.name != identity.name:
            raise WrongIdentity(path, "" if found is None else found.name, identity.name)
        return
    if any(name.endswith(".wal") for name in disk.list(directory)):
        raise WrongIdentity(path, "", identity.name)
    replace_file(disk, path, identity.encode())
