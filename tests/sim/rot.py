"""Bits that rot on one node's disk: in the blocks of a stream, in snapshots, in the log where it was durable once.

Only one node a story, so that a majority of intact copies is always left; when it is noticed is up to the node.
"""

import random

from crash_disk import CrashDisk

from sim.server import Machine

TAIL_FRAMES = 4  # of the log: what nothing behind it proves to have been durable passes for the torn end of a crash


def rot(machine: Machine, rng: random.Random) -> str:
    """Flip bits of one kind of file; what was done, "" when there is nothing of that kind."""
    return rng.choice((_blocks, _log, _log, _snapshots, _mark))(machine.disk, rng)


def _group_files(disk: CrashDisk, suffix: str) -> list[str]:
    return sorted(path for path in disk._names if path.startswith("groups/") and path.endswith(suffix))


def _flip(disk: CrashDisk, path: str, end: int, rng: random.Random) -> str:
    bit = rng.randrange(8 * end)
    disk.flip_bit(path, bit)
    return f"bit {bit} of {path}"


def _blocks(disk: CrashDisk, rng: random.Random) -> str:
    paths = [path for path in _group_files(disk, ".blk") if disk.content(path)]
    return _flip(disk, path, len(disk.content(path)), rng) if paths and (path := rng.choice(paths)) else ""


def _snapshots(disk: CrashDisk, rng: random.Random) -> str:
    """All generations of a group's, or only the newest."""
    paths = _group_files(disk, ".snap")
    if not paths:
        return ""
    directory = rng.choice(paths).rpartition("/")[0]
    mine = [path for path in paths if path.rpartition("/")[0] == directory]
    return ", ".join(_flip(disk, path, len(disk.content(path)), rng) for path in mine[rng.randrange(2) * -1 :])


def _mark(disk: CrashDisk, rng: random.Random) -> str:
    """Of the last boot."""
    return _flip(disk, "wal/boot", len(disk.content("wal/boot")), rng)


def _log(disk: CrashDisk, rng: random.Random) -> str:
    paths = sorted(path for path in disk._names if path.startswith("wal/") and path.endswith(".wal"))
    if not paths:
        return ""
    path = rng.choice(paths)
    data = disk.content(path)
    starts = [at for at in range(0, len(data), 8) if data[at : at + 4] == b"TmqF"]
    if len(starts) <= TAIL_FRAMES:
        return ""
    return _flip(disk, path, starts[-TAIL_FRAMES], rng)
