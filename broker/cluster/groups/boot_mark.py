"""Which logs of this node are in doubt: those that were not synced before they acknowledged, when the power goes.

With `sync_interval` in `jetstream {}` a node acknowledges what is in the kernel's page cache. That survives the
process, but not the machine, so the store remembers under which boot of the kernel it was written. A store that finds
another boot id, and was not closed cleanly, doubts the logs of its streams (`raft.doubt`): they count in elections
only with everybody's agreement until they have caught up from a leader. The meta group, terms, votes and memberships
are synced in any mode (`engine`), and so is everything by default: then nothing is ever in doubt. That holds for
memory streams, too: their log is the node's log, as durable as any.

The file, `MAGIC`, CRC-32 and CBOR: `boot` (id), `lazy` (something was written without a sync under that boot), `clean`
(and all of it was synced at the end), `doubted` (groups). When it is damaged, everything is doubted. Not here: who
knows the boot id (the rim).
"""

import zlib
from typing import Final

import cbor2

from broker.cluster.groups.jobs import THREAD_WAL, Job
from broker.cluster.streams.stream_group import StreamGroup
from storage.disk import Disk, read_file, replace_file

MARK_FILE: Final = "wal/boot"
MAGIC: Final = b"TmqB"
HEADER_LENGTH: Final = 8


def _encode(boot: str, is_lazy: bool, is_clean: bool, doubted: list[int]) -> bytes:
    content = bytes(cbor2.dumps({"boot": boot, "lazy": is_lazy, "clean": is_clean, "doubted": doubted}))
    return MAGIC + zlib.crc32(content).to_bytes(4, "little") + content


def _decode(data: bytes) -> dict[str, object] | None:
    """None: damaged."""
    content = data[HEADER_LENGTH:]
    if data[:4] != MAGIC:
        content = data  # of an older version, which had no checksum
    elif zlib.crc32(content) != int.from_bytes(data[4:HEADER_LENGTH], "little"):
        return None
    try:
        found = cbor2.loads(content)
    except (ValueError, cbor2.CBORDecodeError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("doubted"), list) else None


class MarkJob(Job):
    """Writes the mark."""

    def __init__(self, disk: Disk, content: bytes) -> None:
        super().__init__(THREAD_WAL)
        self._disk: Final = disk
        self._content: Final = content

    def run(self) -> None:
        """Write and sync."""
        replace_file(self._disk, MARK_FILE, self._content)


class BootMark:
    """See the module's text. `boot` "": nobody knows, and nothing is doubted."""

    def __init__(self, disk: Disk, boot: str, is_lazy: bool, jobs: list[Job]) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self.doubted: dict[int, bool] = {}
        self._disk: Final = disk
        self._boot: Final = boot
        self._jobs: Final = jobs
        self._is_lazy: bool = is_lazy
        self._told: dict[int, int] = {}
        self._closed: bool = False

    def open(self, groups: dict[int, StreamGroup]) -> None:
        """At the start, before any group speaks. Does IO. Raises storage errors."""
        found: dict[str, object] | None = {}
        if self._disk.exists(MARK_FILE):
            found = _decode(read_file(self._disk, MARK_FILE))
        if found is None:
            self.events.append(("error", "boot_mark_damaged", {"streams": len(groups)}))
            found = {"doubted": list(groups)}
        doubted = found.get("doubted", [])
        assert isinstance(doubted, list)
        same_boot = not self._boot or found.get("boot") == self._boot
        if not same_boot and found.get("lazy") is True and found.get("clean") is not True:
            doubted = list(groups)
            self.events.append(("warning", "logs_doubted", {"streams": len(groups)}))
        self._is_lazy = self._is_lazy or (same_boot and found.get("lazy") is True and found.get("clean") is not True)
        for group_id in doubted:
            group = groups.get(group_id)
            if group is not None:
                self.doubted[group_id] = True
                group.raft.doubt_log()
        replace_file(self._disk, MARK_FILE, self._content(False))

    def _content(self, is_clean: bool) -> bytes:
        return _encode(self._boot, self._is_lazy, is_clean, sorted(self.doubted))

    def tick(self, groups: dict[int, StreamGroup]) -> None:
        """50 ms passed: whose log is beyond doubt by now?"""
        if not self.doubted:
            return
        before = len(self.doubted)
        for group_id in list(self.doubted):
            group = groups.get(group_id)
            if group is None or not group.raft.doubtful:
                del self.doubted[group_id]
        if len(self.doubted) != before:
            self._jobs.append(MarkJob(self._disk, self._content(False)))

    def led(self, group: StreamGroup) -> None:
        """This node leads a stream now: if it was elected by logs that are in doubt, say what is left."""
        raft = group.raft
        if raft.elected_in_doubt and self._told.get(group.id) != raft.term:
            self._told[group.id] = raft.term
            fields: dict[str, object] = {
                "stream": group.machine.config.name,
                "last_sequence": group.machine.store.last_sequence,
            }
            self.events.append(("warning", "stream_cut_short", fields))

    def close(self) -> None:
        """Everything that was ever written is synced, and so will be what follows."""
        if not self._closed:
            self._closed = True
            self._jobs.append(MarkJob(self._disk, self._content(True)))
