"""A log with damage in it: what is sound goes into a new file, and the groups that were hit are marked there.

The new file takes a number that leaves a hole behind the others, which thereby are strays (wal_recovery.py): the
renaming to that number is the one moment in which the new log replaces the old one. A group that was hit keeps what can
be read from the beginning of its part, and a record that says that it is not to be trusted, until it is removed.

What counts as hit: entries of a group that cannot be read, if its snapshot does not cover them; a lost vote or start of
its log; anything at all where the log is blind. A group that is one node's alone is judged milder: nobody else votes in
it and nothing in it is ever replaced, so entries that follow one another leave no doubt, nor does a frame that one
turned bit puts right.

Not here: finding the damage. Read next: wal_damage.py.
"""

from collections.abc import Collection, Iterator
from typing import Final

from storage.disk import Disk
from storage.errors import CorruptLog, StorageError
from storage.frame import identity_seed
from storage.group_log import GroupLog, LogFiles
from storage.hard_state import GroupState, encode_group_state
from storage.wal_batch import RECORD_DAMAGED, RECORD_ENTRY, RECORD_PREVIOUS, RECORD_TABLE, Records, log_path
from storage.wal_damage import LogDamage
from storage.wal_recovery import Recovery

FRAME_BYTES: Final = 1024 * 1024


class Covered:
    """A group's snapshot: everything up to (index, term) is in it. `lone`: at `index` no other node held the group."""

    def __init__(self, index: int, term: int, lone: bool) -> None:
        self.index: Final = index
        self.term: Final = term
        self.lone: Final = lone


def salvage(
    disk: Disk,
    directory: str,
    identity: str,
    covered: dict[int, Covered],
    needed: Collection[int],
    membership_kind: int,
) -> list[int]:
    """Replace the damaged log in `directory`; the groups that were hit. Does IO. An entry of `membership_kind` may let
    other nodes into a group.

    Raises the CorruptLog, and changes nothing, when one of the groups in `needed` was hit.
    """
    seed = identity_seed(identity)
    files = LogFiles(disk, directory)
    recovery = Recovery(disk, directory, seed, files, 0)
    recovery.read()
    error = recovery.damage.error()
    if error is None:
        return []
    logs = recovery.groups
    lone = [
        group
        for group, cover in covered.items()
        if cover.lone and (group not in logs or not logs[group].has_kind(membership_kind))
    ]
    hit: list[int] = []
    for group in sorted({*logs, *covered}):
        reach = covered[group].index if group in covered else 0
        if _is_hit(group, logs.get(group), reach, group in lone, recovery.damage):
            hit.append(group)
    for group in needed:
        if group in hit:
            raise error
    reasons = {group: _reason(group, error) for group in hit}
    heirs = [group for group in sorted({*logs, *hit}) if group in hit or not logs[group].blank()]
    for group in heirs:
        log = logs.setdefault(group, GroupLog(group, files, 0))
        cover = covered.get(group)
        if cover is not None and group not in hit and cover.index > log.snapshot_index:
            log.start_at(cover.index, cover.term, log.continues(cover.index, cover.term))
    number = recovery.newest_number() + 2
    _write(disk, log_path(directory, number), seed, number, [logs[group] for group in heirs], reasons)
    files.close()
    return hit


def _reason(group: int, error: CorruptLog) -> str:
    return str(CorruptLog(error.path, error.offset, error.reason, [r for r in error.damage if r.group == group], True))


def _is_hit(group: int, log: GroupLog | None, reach: int, lone: bool, damage: LogDamage) -> bool:
    """Whether something of the group is lost, or may be. `reach`: its snapshot's index."""
    if log is not None and log.damage:
        return True  # since an earlier salvage
    for item in damage.ranges if lone else [*damage.ranges, *damage.mended]:
        if item.group == group and item.last > reach:
            return True
        if item.group == group and item.last == 0 and not lone:
            return True
    if damage.complete:
        return False
    return not (lone and damage.confirmed.get(group, (0, 0)) > damage.blind_at)


def _write(
    disk: Disk, path: str, seed: int, number: int, logs: list[GroupLog], reasons: dict[int, str]
) -> None:
    """The new file, under its name only when all of it is durable."""
    temporary = path + ".tmp"
    disk.remove(temporary)
    file = disk.open(temporary, create=True)
    offset = 0
    try:
        for records in _frames(number, logs, reasons):
            file.pwrite(records.encode(seed, number, offset, offset), offset)
            offset += records.length()
        file.sync()
    finally:
        file.close()
    directory, _, _ = path.rpartition("/")
    disk.rename(temporary, path)
    disk.sync_directory(directory)


def _frames(number: int, logs: list[GroupLog], reasons: dict[int, str]) -> Iterator[Records]:
    """The head, the entries, and an empty frame that says that they were durable."""
    head = Records()
    head.add(RECORD_PREVIOUS, number - 1, 0, 0, 0, b"")
    for log in logs:
        start, term = log.snapshot_index, log.snapshot_term
        vote = log.vote if log.hard_term >= log.last_term else ""
        state = GroupState(log.group, max(log.hard_term, log.last_term), vote, start, term, start, term)
        head.add(RECORD_TABLE, log.group, start, term, 0, encode_group_state(state))
        if log.group in reasons:
            head.add(RECORD_DAMAGED, log.group, 0, 0, 0, reasons[log.group].encode())
    yield head
    records = Records()
    for log in logs:
        for index in range(log.first_index, log.last_index + 1):
            try:
                entry = log.read(index, index + 1, 0)[0]
            except StorageError:
                assert log.group in reasons, f"group {log.group} has no entry {index}"
                break
            records.add(RECORD_ENTRY, log.group, index, entry.term, entry.kind, entry.data)
            if records.body_bytes >= FRAME_BYTES:
                yield records
                records = Records()
    if records.types:
        yield records
    records = Records()
    records.add(RECORD_PREVIOUS, 0, 0, 0, 0, b"")
    yield records
