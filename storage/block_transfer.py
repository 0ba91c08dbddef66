"""Blocks that were fetched from a peer, beside the stream's own until a snapshot makes them the stream.

They lie in `incoming/`. When all are there and verified, a list of them (`manifest`) makes the set valid. From then on
a restart decides by the state it is given: if the fetched set holds exactly that state's messages, the move to the
stream's directory is rolled forward, else the set is thrown away. The old blocks are removed only after the snapshot
is durable, so one of the two sets is always whole.
Not here: which blocks to fetch and how (the cluster's part); the move itself (flush.py).
"""

import json
import zlib
from typing import Final

from storage.block import Block, BlockInfo, block_path
from storage.disk import Disk, read_file, replace_file
from storage.errors import CorruptBlock, FileMissing, StorageError
from storage.flush import promote
from storage.message_log import MessageLog
from storage.stream_recovery import SEQUENCE_MAX, LoadedBlock, assemble, load_block
from storage.stream_state import StreamState

MANIFEST: Final = "manifest"
INCOMING: Final = "/incoming"


class Incoming:
    """The directory of fetched blocks of one stream."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self.directory: str = directory + INCOMING
        self._disk = disk
        self._home = directory
        self._made: bool = False

    def path(self, block_id: int) -> str:
        """Where a fetched block lies."""
        return block_path(self.directory, block_id)

    def same(self, info: BlockInfo, own: BlockInfo | None) -> bool:
        """Is the stream's own block byte for byte the peer's?"""
        return own is not None and own.length == info.length and own.crc == info.crc

    def received(self, info: BlockInfo) -> int:
        """Bytes of a block that were received. More than it has can only be of another one: they are thrown away."""
        try:
            file = self._disk.open(self.path(info.id))
        except FileMissing:
            return 0
        try:
            size = file.size()
        finally:
            file.close()
        if size <= info.length:
            return size
        self._disk.remove(self.path(info.id))
        return 0

    def receive(self, block_id: int, offset: int, data: bytes) -> None:
        """Write a piece."""
        if not self._made:
            self._disk.make_directory(self.directory)
            self._made = True
        file = self._disk.open(self.path(block_id), create=True)
        try:
            file.pwrite([data], offset)
        finally:
            file.close()

    def discard(self) -> None:
        """Forget all of it."""
        self._disk.remove_directory(self.directory)
        self._made = False

    def load(self, manifest: list[BlockInfo], state: StreamState, own: list[BlockInfo]) -> list[LoadedBlock]:
        """Read and verify the blocks of a manifest. Raises CorruptBlock."""
        at_home = {info.id: info for info in own}
        result: list[LoadedBlock] = []
        for info in manifest:
            home = self.same(info, at_home.get(info.id)) and not self._disk.exists(self.path(info.id))
            path = block_path(self._home, info.id) if home else self.path(info.id)
            result.append(load_listed(self._disk, path, info, state, not home))
        return result

    def seal(self, manifest: list[BlockInfo]) -> None:
        """All blocks are durable; the list of them makes the set valid."""
        self._disk.make_directory(self.directory)
        self._made = True
        for info in manifest:
            if self._disk.exists(self.path(info.id)):
                file = self._disk.open(self.path(info.id))
                try:
                    file.sync()
                finally:
                    file.close()
        self._disk.sync_directory(self.directory)
        replace_file(self._disk, f"{self.directory}/{MANIFEST}", encode_manifest(manifest))

    def dropped(self, blocks: list[Block]) -> list[tuple[str, str]]:
        """Moves for fetched blocks that were emptied before they could be moved; they are removed later."""
        kept = {block_path(self.directory, block.id) for block in blocks if block.incoming}
        result: list[tuple[str, str]] = []
        for name in self._disk.list(self.directory):
            source = f"{self.directory}/{name}"
            if name != MANIFEST and source not in kept:
                result.append((source, f"{self._home}/{name}"))
        return result


def load_listed(disk: Disk, path: str, info: BlockInfo, state: StreamState, incoming: bool) -> LoadedBlock:
    """One block of a manifest, verified against it. Raises CorruptBlock."""
    try:
        whole = load_block(disk, path, info.id, SEQUENCE_MAX)
    except FileMissing:
        raise CorruptBlock(path, 0, "a block was not fetched", info.first_sequence, info.last_sequence) from None
    if whole.bad_offset >= 0 or whole.block.length != info.length or whole.block.crc != info.crc:
        offset = max(0, whole.bad_offset)
        reason = "a block is not the one that was announced"
        raise CorruptBlock(path, offset, reason, info.first_sequence, info.last_sequence)
    loaded = load_block(disk, path, info.id, state.last_sequence)
    loaded.block.incoming = incoming
    return loaded


def encode_manifest(manifest: list[BlockInfo]) -> bytes:
    """JSON, and a line with its checksum."""
    rows = [[info.id, info.length, info.crc, info.first_sequence, info.last_sequence] for info in manifest]
    text = json.dumps(rows).encode()
    return text + b"\n%08x\n" % zlib.crc32(text)


def decode_manifest(data: bytes) -> list[BlockInfo] | None:
    """The inverse; None when it is damaged."""
    lines = data.split(b"\n")
    if len(lines) < 2 or lines[1] != b"%08x" % zlib.crc32(lines[0]):
        return None
    return [BlockInfo(row[0], row[1], row[2], row[3], row[4]) for row in json.loads(lines[0])]


def recover_promotion(disk: Disk, directory: str, store: MessageLog, state: StreamState) -> None:
    """At opening: roll the move of fetched blocks forward if they are the stream of `state`, else throw them away."""
    incoming = directory + INCOMING
    if not disk.exists(incoming):
        return
    manifest = None
    if disk.exists(f"{incoming}/{MANIFEST}"):
        manifest = decode_manifest(read_file(disk, f"{incoming}/{MANIFEST}"))
    if manifest is not None and is_whole(disk, directory, incoming, manifest, store, state):
        listed = {info.id for info in manifest}
        moves = [(block_path(incoming, block_id), block_path(directory, block_id)) for block_id in sorted(listed)]
        for name in disk.list(directory):
            if name.endswith(".blk") and int(name[:-4], 16) not in listed:
                disk.remove(f"{directory}/{name}")
        promote(disk, directory, incoming, moves)
        return
    disk.remove_directory(incoming)
    disk.sync_directory(directory)


def is_whole(
    disk: Disk, directory: str, incoming: str, manifest: list[BlockInfo], store: MessageLog, state: StreamState
) -> bool:
    """Do the listed blocks, fetched or already moved, hold exactly the messages of `state`?"""
    blocks: list[LoadedBlock] = []
    try:
        for info in manifest:
            path = block_path(incoming, info.id)
            if not disk.exists(path):
                path = block_path(directory, info.id)
            blocks.append(load_listed(disk, path, info, state, False))
        probe = MessageLog(store.message_cost, store.header_cost, store.block_bytes, store.frame_bytes)
        assemble(probe, state, blocks, incoming)
    except StorageError:
        return False
    return True
