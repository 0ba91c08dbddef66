"""A replica that is too far behind: a snapshot, and the blocks it refers to, are durable before Raft sees it.

Raft's SNAPSHOT message carries the machine's state and the list of the stream's blocks (`SnapshotParcel`; the meta
group's has none). The engine holds the message back; `CatchUp` asks the sender for the blocks that differ, a few pieces
at a time; then a job makes blocks and snapshot durable; only then they become the stream and the message is stepped.
Whatever goes wrong, the fetch is given up, nothing has changed here, and the leader is told `RETRY_NS` later, so that
it sends another snapshot; pieces that came from the same peer are not fetched again.

While the installation runs the group is frozen: nobody changes its store.
"""

import contextlib
from typing import TYPE_CHECKING, Final

import cbor2

from broker.cluster.groups.group import RaftGroup
from broker.cluster.groups.group_store import GroupSnapshot, decode_group_snapshot, group_directory, with_voice
from broker.cluster.groups.jobs import THREAD_FLUSH, Job
from broker.cluster.links.frames import FRAME_BLOCK, FRAME_BLOCK_REQUEST
from broker.cluster.links.link import PeerLink
from broker.cluster.repair.verify import VerifyJob, blocks_of
from broker.jetstream.stream import StreamMachine
from raft.types import Message, Snapshot
from storage.block import BlockInfo
from storage.block_transfer import INCOMING
from storage.disk import Disk
from storage.errors import BlockGone, CorruptBlock, CorruptState, DiskFull, StorageError
from storage.memory import MemoryStreamStore
from storage.snapshots import write_snapshot
from storage.stream_recovery import Installation
from storage.stream_store import FileStreamStore

if TYPE_CHECKING:
    from broker.cluster.streams.stream_group import StreamGroup

PIECE_BYTES: Final = 256 * 1024
PIECES_MAX: Final = 4
STALL_NS: Final = 3_000_000_000
RETRY_NS: Final = 1_000_000_000
BLOCK_BYTES_MAX: Final = 1 << 32
NONSENSE: Final = (ValueError, LookupError, TypeError, cbor2.CBORDecodeError)


class SnapshotParcel:
    """What travels as `raft.types.Snapshot.data` of a stream's group."""

    def __init__(self, snapshot: GroupSnapshot, manifest: list[BlockInfo], dead: list[BlockInfo]) -> None:
        self.snapshot: Final = snapshot
        self.manifest: Final = manifest
        self.dead: Final = dead  # blocks of the dead-letter stream

    def encode(self) -> bytes:
        """CBOR."""
        return bytes(cbor2.dumps([self.snapshot.encode(), _rows(self.manifest), _rows(self.dead)]))


def _rows(manifest: list[BlockInfo]) -> list[list[int]]:
    return [[info.id, info.length, info.crc, info.first_sequence, info.last_sequence] for info in manifest]


def _infos(rows: list[list[int]]) -> list[BlockInfo]:
    manifest = [BlockInfo(row[0], row[1], row[2], row[3], row[4]) for row in rows]
    for info in manifest:
        if not 0 < info.length < BLOCK_BYTES_MAX:
            raise ValueError(f"a block of {info.length} bytes")
    return manifest


def decode_parcel(data: bytes) -> SnapshotParcel:
    """The inverse of `SnapshotParcel.encode`."""
    snapshot, rows, dead = cbor2.loads(data)
    return SnapshotParcel(decode_group_snapshot(snapshot), _infos(rows), _infos(dead))


Store = FileStreamStore | MemoryStreamStore


def dead_letter_store(group: RaftGroup, machine: bytes) -> Store | None:
    """Where the dead letters of a snapshot belong; None where it has none."""
    stores = group.dead_letter_stores()
    found = StreamMachine.dead_store_state(machine) if machine and stores is not None else None
    return None if found is None or stores is None else stores.arriving(found[0], found[1])


class InstallJob(Job):
    """Fetched blocks and the snapshot become durable. What is to become the stream is in `installations` then."""

    def __init__(self, disk: Disk, catch_up: "CatchUp") -> None:
        super().__init__(THREAD_FLUSH)
        self.group: Final = catch_up.group
        self.message: Final = catch_up.message
        self.stores: Final = catch_up.stores
        self.installations: list[tuple[Store, Installation]] = []
        self._parcel: Final = catch_up.parcel
        self._voice: Final = catch_up.group.raft.voice_index
        self._about: Final = catch_up.group.about()
        self._disk: Final = disk

    def run(self) -> None:
        """Do the IO; the group is frozen meanwhile."""
        parcel = self._parcel
        machine = parcel.snapshot.machine
        store, dead = self.stores
        if store is not None and machine:
            self._prepare(store, StreamMachine.store_state(machine), parcel.manifest)
            found = StreamMachine.dead_store_state(machine)
            if dead is not None and found is not None:
                self._prepare(dead, found[2], parcel.dead)
        whole = parcel.snapshot
        own = GroupSnapshot(whole.group, whole.index, whole.term, whole.membership, self._about, machine, whole.voice)
        write_snapshot(self._disk, group_directory(self.group.id), with_voice(own, self._voice).encode())

    def _prepare(self, store: Store, state: bytes, manifest: list[BlockInfo]) -> None:
        files = manifest if isinstance(store, FileStreamStore) else []
        self.installations.append((store, store.prepare(state, files)))


class Piece:
    """One request that is out."""

    def __init__(self, slot: int, block: int, offset: int, length: int) -> None:
        self.slot: Final = slot
        self.block: Final = block
        self.offset: Final = offset
        self.length: Final = length


class CatchUp:
    """The fetch of one group's blocks."""

    def __init__(self, group: RaftGroup, message: Message, now_ns: int, resumes: bool) -> None:
        """`resumes`: what was fetched so far came from the same peer. Raises storage errors, or anything in NONSENSE
        when the snapshot makes no sense."""
        snapshot = message.snapshot
        assert snapshot is not None
        self.group: Final = group
        self.message: Final = message
        self.parcel: Final = decode_parcel(snapshot.data)
        self.sender: Final = message.sender
        self.progress_ns: int = now_ns
        self._wanted: list[Piece] = []
        self._out: dict[tuple[int, int, int], Piece] = {}
        self.stores: Final = (group.message_store(), dead_letter_store(group, self.parcel.snapshot.machine))
        self.must_wait: bool = False  # blocks that came before still have to be moved to their place
        for store in self.stores:
            if isinstance(store, FileStreamStore) and store.promoting:
                self.must_wait = True
        if not self.must_wait:
            self._list(0, self.parcel.manifest, resumes)
            self._list(1, self.parcel.dead, resumes)
            self._wanted.reverse()

    def _list(self, slot: int, manifest: list[BlockInfo], resumes: bool) -> None:
        store = self.stores[slot]
        if not isinstance(store, FileStreamStore):
            return
        if not resumes:
            store.discard_received()
        for info in store.missing_blocks(manifest):
            have = store.received(info)
            start = have if have == info.length else have - have % PIECE_BYTES
            for offset in range(start, info.length, PIECE_BYTES):
                self._wanted.append(Piece(slot, info.id, offset, min(PIECE_BYTES, info.length - offset)))

    def ask(self, link: PeerLink) -> None:
        """Keep a few requests out."""
        while self._wanted and len(self._out) < PIECES_MAX:
            piece = self._wanted.pop()
            self._out[(piece.slot, piece.block, piece.offset)] = piece
            body = {
                "group": self.group.id,
                "slot": piece.slot,
                "block": piece.block,
                "offset": piece.offset,
                "length": piece.length,
            }
            link.write_frame(FRAME_BLOCK_REQUEST, [bytes(cbor2.dumps(body))])
            link.dirty = True

    def received(self, slot: int, block: int, offset: int, data: bytes, now_ns: int) -> bool:
        """A piece arrived; False when it is not the one that was asked for."""
        piece = self._out.pop((slot, block, offset), None)
        if piece is None or len(data) != piece.length:
            return False
        self.progress_ns = now_ns
        store = self.stores[slot]
        assert isinstance(store, FileStreamStore)
        store.receive_block(block, offset, data)
        return True

    def complete(self) -> bool:
        """Everything is here."""
        return not self._wanted and not self._out


class CatchUps:
    """All fetches of this node, and the answering of others' requests."""

    def __init__(self, disk: Disk, jobs: list[Job]) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self._disk: Final = disk
        self._jobs: Final = jobs
        self._running: dict[int, CatchUp] = {}
        self._installing: dict[int, InstallJob] = {}
        self._sources: dict[int, str] = {}  # whose pieces lie here: block numbers are a peer's own
        self._retries: dict[int, tuple[str, int]] = {}  # whom to tell that its snapshot came to nothing, and when
        self._verifying: dict[int, bool] = {}  # whose blocks are being read, as a peer could not use them
        self._corrupt: dict[int, bool] = {}  # … and that its blocks are not what they should be

    def begin(self, group: RaftGroup, message: Message, link: PeerLink | None, now_ns: int) -> None:
        """A SNAPSHOT message was held back."""
        running = self._running.get(group.id)
        if group.id in self._installing or link is None:
            return
        snapshot = message.snapshot
        assert snapshot is not None
        if running is not None and running.message.term >= message.term:
            held = running.message.snapshot
            assert held is not None
            if held.index >= snapshot.index:
                return
        assert not group.checkpoint_running
        sender = message.sender
        try:
            catch_up = CatchUp(group, message, now_ns, self._sources.get(group.id) == sender)
        except NONSENSE as error:
            self._failed(group, f"bad snapshot: {error}")
            return
        except StorageError as error:
            self._failed(group, str(error))
            self._retries[group.id] = (sender, now_ns + RETRY_NS)
            return
        if catch_up.must_wait:
            group.checkpoint_wanted = True
            self._retries[group.id] = (sender, now_ns + RETRY_NS)
            return
        self._sources[group.id] = sender
        self._running[group.id] = catch_up
        fields: dict[str, object] = {"group": group.title(), "index": snapshot.index}
        self.events.append(("info", "catch_up", fields))
        catch_up.ask(link)
        self._install_if_complete(catch_up)

    def _install_if_complete(self, catch_up: CatchUp) -> None:
        group = catch_up.group
        if not catch_up.complete() or group.checkpoint_running:
            return  # a job uses the store: `tick` looks again
        del self._running[group.id]
        if group.failed or group.unassigned or not group.replaces(catch_up.message):
            return  # Raft has moved on; the leader sends another snapshot if it is needed
        group.frozen = True
        job = self._installing[group.id] = InstallJob(self._disk, catch_up)
        self._jobs.append(job)

    def forget(self, group_id: int) -> None:
        """The group's replica begins again: nothing that was fetched for it is of use."""
        self._running.pop(group_id, None)
        self._sources.pop(group_id, None)
        self._retries.pop(group_id, None)
        self._corrupt.pop(group_id, None)

    def verified(self, group_id: int) -> None:
        """The blocks were read."""
        self._verifying.pop(group_id, None)

    def tick(self, now_ns: int, links: dict[str, PeerLink]) -> None:
        """Go on with what waited for a checkpoint; give up on fetches that do not move; tell leaders that theirs came
        to nothing."""
        for catch_up in list(self._running.values()):
            if catch_up.complete():
                self._install_if_complete(catch_up)
            elif now_ns - catch_up.progress_ns > STALL_NS:
                self._give_up(catch_up, now_ns)
        for group_id, (peer, due_ns) in list(self._retries.items()):
            if now_ns >= due_ns:
                del self._retries[group_id]
                link = links.get(peer)
                if link is not None:
                    fields = {"group": group_id, "failed": True, "corrupt": self._corrupt.pop(group_id, False)}
                    link.write_frame(FRAME_BLOCK_REQUEST, [bytes(cbor2.dumps(fields))])
                    link.dirty = True

    def _give_up(self, catch_up: CatchUp, now_ns: int) -> None:
        del self._running[catch_up.group.id]
        self._retries[catch_up.group.id] = (catch_up.sender, now_ns + RETRY_NS)

    def serve(self, link: PeerLink, request: dict[str, object], group: RaftGroup | None) -> None:
        """A peer asks for a piece of a block, or says that its fetch failed."""
        if group is not None and request.get("failed") is True:
            if request.get("corrupt") is True and not group.failed and group.id not in self._verifying:
                self._verifying[group.id] = True
                self._jobs.append(VerifyJob(self._disk, group, blocks_of(group)))
            self._send_another(group, link.peer)
            return
        block, offset, length = request.get("block"), request.get("offset"), request.get("length")
        if group is None or not isinstance(block, int) or not isinstance(offset, int) or not isinstance(length, int):
            return
        slot = request.get("slot", 0)
        stores = group.dead_letter_stores()
        store = group.message_store() if slot == 0 or stores is None else stores.store
        if not isinstance(store, FileStreamStore) or not 0 <= length <= PIECE_BYTES or offset < 0:
            return
        data: bytes | None = None
        with contextlib.suppress(BlockGone, StorageError):
            data = store.read_block(block, offset, length)
        if data is None:
            self._send_another(group, link.peer)
        fields = {"group": group.id, "slot": slot, "block": block, "offset": offset, "gone": data is None}
        head = bytes(cbor2.dumps(fields))
        link.write_frame(FRAME_BLOCK, [len(head).to_bytes(4, "little"), head, data or b""])
        link.dirty = True

    def _send_another(self, group: RaftGroup, peer: str) -> None:
        """The peer gave up what we sent, or will: it needs a newer snapshot."""
        group.raft.snapshot_sent(peer, False)
        group.raft.peer_back(peer)  # we may sleep
        group.touch()

    def piece(self, link: PeerLink, body: bytes, now_ns: int) -> None:
        """A piece of a block came."""
        size = int.from_bytes(body[:4], "little")
        head = cbor2.loads(body[4 : 4 + size])
        catch_up = self._running.get(head["group"])
        if catch_up is None or catch_up.sender != link.peer:
            return
        wanted = False
        try:
            slot, block, offset = head["slot"], head["block"], head["offset"]
            wanted = not head["gone"] and catch_up.received(slot, block, offset, body[4 + size :], now_ns)
        except StorageError as error:  # a full disk, mostly: tried again with the leader's next snapshot
            self._failed(catch_up.group, str(error))
        if not wanted:
            self._give_up(catch_up, now_ns)
            return
        catch_up.ask(link)
        self._install_if_complete(catch_up)

    def _failed(self, group: RaftGroup, error: str) -> None:
        self.events.append(("error", "catch_up_failed", {"group": group.title(), "error": error}))

    def installed(self, job: InstallJob, error: Exception | None, now_ns: int) -> Message | None:
        """The job ended: the message to step now, or None when it failed. Raises StorageError when nobody knows which
        snapshot a restart will find."""
        group = job.group
        group.frozen = False
        self._installing.pop(group.id, None)
        self._sources.pop(group.id, None)
        if error is not None:
            if not isinstance(error, (DiskFull, CorruptBlock, CorruptState, *NONSENSE)):
                raise error
            if isinstance(error, CorruptBlock):
                if INCOMING not in error.path:
                    raise error  # a block of our own, which is as the sender's should be
                self._corrupt[group.id] = True
            self._failed(group, str(error))
            self._retries[group.id] = (job.message.sender, now_ns + RETRY_NS)
            for store in job.stores:
                if isinstance(store, FileStreamStore):
                    store.discard_received()
            return None
        for store, installation in job.installations:
            if isinstance(store, FileStreamStore):
                store.adopt(installation)
                store.snapshot_durable()
                group.checkpoint_wanted = True  # its job moves the blocks to their place
            else:
                store.adopt(installation)
        group.checkpoint = None
        return job.message


def parcel_snapshot(group: "StreamGroup") -> Snapshot | None:
    """What a peer that is too far behind gets: the last checkpoint, whose blocks are in files."""
    found = group.checkpoint
    if found is None or found.index < group.log.snapshot_index:
        return None
    store = group.store
    manifest = store.manifest() if isinstance(store, FileStreamStore) else []
    dead: list[BlockInfo] = []
    about_dead = StreamMachine.dead_store_state(found.machine) if found.machine else None
    if about_dead is not None:
        blocks = group.stores.manifest(about_dead[1])
        if blocks is None:
            return None  # it ended since
        dead = blocks
    return Snapshot(found.index, found.term, found.membership, SnapshotParcel(found, manifest, dead).encode())
