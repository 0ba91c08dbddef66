"""Restores under way: chunks of a backup come in at the leader of a stream that nobody else sees yet.

STREAM.RESTORE makes the stream, hidden (`Assignment.restoring`); its leader tells where chunks are to be sent and
answers each when what it brought is stored by a majority. After the last one the meta group shows the stream. Whatever
goes wrong (a bad archive, a sender that says nothing for `STALL_NS`, another leader) deletes it: a restore leaves
the whole stream or nothing. Not here: what is in a backup (`jetstream.restore`), the requests to the meta group
(`api_restore`).

Invariants: chunks are taken in the order in which they come; a sender that does not wait for answers is stopped at
`UNSTORED_MAX`.
"""

from typing import TYPE_CHECKING, Final

import cbor2

from broker.cluster.links.answers import Answers
from broker.cluster.links.forward import REQUEST
from broker.cluster.meta.identity import META_GROUP
from broker.cluster.streams.stream_group import StreamGroup
from broker.cluster.turn_clock import TurnClock
from broker.jetstream.api_errors import STREAM_RESTORE_FAILED
from broker.jetstream.api_types import ApiRequest, answer, error_answer
from broker.jetstream.backups.backup_reader import Row
from broker.jetstream.backups.restore import Restoring
from broker.jetstream.backups.restore_apply import encode_restore, encode_restore_end
from broker.jetstream.backups.s2 import BackupError
from broker.jetstream.delivery.delivery_output import OpWaiter
from broker.jetstream.go_time import format_time
from broker.jetstream.names import fresh_id
from broker.jetstream.ops import OP_RESTORE

if TYPE_CHECKING:
    from broker.cluster.meta.assignments import Assignments

RESTORE_PREFIX: Final = b"$JS.SNAPSHOT.RESTORE."
RESTORED_PREFIX: Final = b"$TMQ.RESTORED."
FAILED_PREFIX: Final = b"$TMQ.RESTORE.FAILED."
STALL_NS: Final = 5_000_000_000
ORPHAN_NS: Final = 5_000_000_000
LOOK_NS: Final = 1_000_000_000
OP_BYTES: Final = 1024 * 1024
UNSTORED_MAX: Final = 64 * 1024 * 1024
CHUNK_COST: Final = 512
CREATED: Final = "stream_create_response"
_ADVISORY: Final = "io.nats.jetstream.advisory.v1."


class Restore:
    """One of them."""

    def __init__(self, group: StreamGroup, subject: bytes, reader: Restoring, now_ns: int, wall_ns: int) -> None:
        self.group: Final = group
        self.subject: Final = subject
        self.reader: Final = reader
        self.heard_ns: int = now_ns
        self.begun_wall_ns: Final = wall_ns
        self.bytes: int = 0
        self.unstored: int = 0
        self.chunks: list[ApiRequest] = []  # the first one is being stored
        self.busy: bool = False
        self.ended: bool = False  # the last chunk is here, or it failed


class ChunkWaiter(OpWaiter):
    """A chunk is stored: its sender may send more."""

    def __init__(self, restores: "Restores", restore: Restore, request: ApiRequest, is_last: bool) -> None:
        self._restores: Final = restores
        self._restore: Final = restore
        self._request: Final = request
        self._is_last: Final = is_last

    def applied(self, result: object) -> None:
        self._restores.stored(self._restore, self._request, self._is_last)

    def abandoned(self) -> None:
        """Another leader finds a restore that nobody continues."""


class Restores:
    """All of this node."""

    def __init__(self, answers: Answers, clock: TurnClock, assignments: "Assignments", payload_max: int) -> None:
        self._answers: Final = answers
        self._clock: Final = clock
        self._assignments: Final = assignments
        self._payload_max: Final = payload_max
        self._running: dict[int, Restore] = {}
        self._orphans: dict[int, int] = {}  # hidden streams that lead here without a restore: since when
        self._look_ns: int = 0

    def begin(self, group: StreamGroup) -> None:
        """The hidden stream is there, and leads here: say where the chunks are to go."""
        clock = self._clock
        name = group.machine.config.name
        subject = RESTORE_PREFIX + f"{name}.{fresh_id(group.rng)}".encode()
        reader = Restoring(group.machine.config, self._payload_max, clock.wall_ns)
        self._running[group.id] = Restore(group, subject, reader, clock.now_ns, clock.wall_ns)
        group.advise(
            f"$JS.EVENT.ADVISORY.STREAM.RESTORE_CREATE.{name}", {"type": _ADVISORY + "restore_create", "stream": name}
        )
        assignment = group.assignment
        payload = answer("stream_restore_response", {"deliver_subject": subject.decode()})
        origin = assignment.origin_for(self._assignments.peer)
        self._answers.send(origin, assignment.reply, b"", b"", 0, payload)

    def chunk(self, group: StreamGroup, request: ApiRequest) -> None:
        """A message on `$JS.SNAPSHOT.RESTORE.>`."""
        restore = self._running.get(group.id)
        if restore is None or restore.subject != request.subject or restore.ended:
            self.refuse(request, "no restore is under way here")
            return
        restore.heard_ns = self._clock.now_ns
        size = len(request.payload())
        restore.bytes += size
        restore.unstored += size + CHUNK_COST
        if not request.reply:
            name = group.machine.config.name
            self._fail(restore, request, f"restore for stream '$G > {name}' requires reply subject for each chunk")
        elif restore.unstored > UNSTORED_MAX:
            self._fail(restore, request, "too much was sent before it was acknowledged")
        else:
            restore.chunks.append(request)
            self._next(restore)

    def _next(self, restore: Restore) -> None:
        """Take the next chunk, when nothing of the one before is missing."""
        while restore.chunks and not restore.busy and not restore.ended:
            request = restore.chunks[0]
            data = request.payload()
            try:
                if not data:
                    self._finish(restore, request)
                elif not self._take(restore, request, data):
                    self._done(restore, request)
            except BackupError as error:
                self._fail(restore, request, str(error))

    def _done(self, restore: Restore, request: ApiRequest) -> None:
        """All that a chunk brought is stored: its sender may send more."""
        restore.chunks.pop(0)
        restore.unstored -= len(request.payload()) + CHUNK_COST
        self._answer(request, b"")

    def _take(self, restore: Restore, request: ApiRequest, data: bytes) -> bool:
        """Propose what the chunk holds, or a part of it; False when there is nothing to propose in it."""
        rows = restore.reader.feed(data)
        last = restore.reader.skip()
        while not rows and not last and restore.reader.has_more():
            rows = restore.reader.feed(b"")
            last = restore.reader.skip()
        if not rows and not last:
            return False
        part: list[Row] = []
        size = 0
        for row in rows:
            if size > OP_BYTES:
                self._propose(restore, encode_restore(self._clock.wall_ns, last, part), None)
                part = []
                size = 0
                last = 0
            part.append(row)
            size += len(row[2]) + len(row[4])
        restore.busy = True
        body = encode_restore(self._clock.wall_ns, last, part)
        self._propose(restore, body, ChunkWaiter(self, restore, request, False))
        return True

    def _finish(self, restore: Restore, request: ApiRequest) -> None:
        ending, consumers = restore.reader.finish()
        restore.ended = True
        body = encode_restore_end(self._clock.wall_ns, ending, consumers)
        self._propose(restore, body, ChunkWaiter(self, restore, request, True))

    def _propose(self, restore: Restore, body: bytes, waiter: ChunkWaiter | None) -> None:
        restore.group.propose(OP_RESTORE, body, waiter, True)

    def stored(self, restore: Restore, request: ApiRequest, is_last: bool) -> None:
        """What a chunk brought is committed."""
        restore.busy = False
        if not is_last:
            restore.heard_ns = self._clock.now_ns
            try:
                if not restore.ended and not (restore.reader.has_more() and self._take(restore, request, b"")):
                    self._done(restore, request)
            except BackupError as error:
                self._fail(restore, request, str(error))
            self._next(restore)
            return
        self._running.pop(restore.group.id, None)
        self._tell(restore)
        origin = request.origin or self._assignments.peer
        self._ask_meta(RESTORED_PREFIX, restore.group, bytes(cbor2.dumps([request.reply, origin])))

    def _fail(self, restore: Restore, request: ApiRequest, error: str) -> None:
        restore.ended = True
        self.refuse(request, error)
        self._abandon(restore)

    def _abandon(self, restore: Restore) -> None:
        self._running.pop(restore.group.id, None)
        self._tell(restore)
        self._ask_meta(FAILED_PREFIX, restore.group, b"")

    def _ask_meta(self, prefix: bytes, group: StreamGroup, body: bytes) -> None:
        forwarder = self._assignments.forwarder
        assert forwarder is not None
        forwarder.submit(META_GROUP, REQUEST, prefix + str(group.id).encode(), b"", 0, body, "", "")

    def _tell(self, restore: Restore) -> None:
        name = restore.group.machine.config.name
        fields: dict[str, object] = {
            "type": _ADVISORY + "restore_complete",
            "stream": name,
            "start": format_time(restore.begun_wall_ns),
            "end": format_time(self._clock.wall_ns),
            "bytes": restore.bytes,
        }
        restore.group.advise(f"$JS.EVENT.ADVISORY.STREAM.RESTORE_COMPLETE.{name}", fields)

    def _answer(self, request: ApiRequest, payload: bytes) -> None:
        if request.reply:
            self._answers.send(request.origin, request.reply, b"", b"", 0, payload)

    def refuse(self, request: ApiRequest, error: str) -> None:
        """Tell a sender that its restore failed."""
        if request.reply:
            payload = error_answer(CREATED, STREAM_RESTORE_FAILED.of(err=error))
            self._answers.say(request.origin, request.reply, payload)

    def tick(self) -> None:
        """50 ms passed: end what its sender has left, and what was under way at a leader that is gone."""
        now_ns = self._clock.now_ns
        for group_id, restore in list(self._running.items()):
            if not restore.group.is_leader:
                del self._running[group_id]
            elif not restore.ended and now_ns > restore.heard_ns + STALL_NS and not restore.chunks:
                self._abandon(restore)
        if now_ns < self._look_ns:
            return
        self._look_ns = now_ns + LOOK_NS
        hidden = [group for group in self._assignments.leading() if group.assignment.restoring]
        orphans = {group.id: self._orphans.get(group.id, now_ns) for group in hidden if group.id not in self._running}
        self._orphans = orphans
        for group in hidden:
            if group.id in orphans and now_ns > orphans[group.id] + ORPHAN_NS:
                self._ask_meta(FAILED_PREFIX, group, b"")
