"""Backups under way at the leader of their stream: chunks out, acknowledgements in, never more than a window between.

STREAM.SNAPSHOT is answered with configuration and state; then chunks go to the deliver subject, each with a reply
subject of its own, which the receiver answers. The first one waits until somebody has subscribed to that very subject,
but no longer than `INTEREST_NS`: clients subscribe when they are answered, and a wildcard that is there before takes
their answers only. Who says nothing for `STALL_NS` gets a last word (408). An empty message ends a backup. Not here:
what a backup is made of (`jetstream.backup`).

Invariants: a backup ends when its stream has another leader; nobody has more than `BACKUPS_MAX` under way on a node.
"""

from typing import Final

from broker.cluster.links.answers import LOCAL, Answers
from broker.cluster.streams.audits import asked_by
from broker.cluster.streams.stream_group import StreamGroup
from broker.cluster.turn_clock import TurnClock
from broker.core.subjects import is_literal, is_valid
from broker.jetstream.api_errors import BAD_REQUEST, INSUFFICIENT_RESOURCES, SNAPSHOT_SUBJECT_INVALID, ApiError
from broker.jetstream.api_types import (
    BOOLEAN,
    INTEGER,
    TEXT,
    ApiRequest,
    answer,
    error_answer,
    is_empty_payload,
    read_fields,
    required_level_error,
)
from broker.jetstream.backups.backup import Backup
from broker.jetstream.go_time import format_time
from broker.jetstream.names import fresh_id
from storage.errors import StorageError

ACK_PREFIX: Final = b"$JS.SNAPSHOT.ACK."
KIND: Final = "stream_snapshot_response"
FIELDS: Final = {
    "deliver_subject": TEXT,
    "no_consumers": BOOLEAN,
    "chunk_size": INTEGER,
    "window_size": INTEGER,
    "jsck": BOOLEAN,
}
CHUNK_DEFAULT: Final = 128 * 1024
WINDOW_DEFAULT: Final = 8 * 1024 * 1024
CHUNK_MIN: Final = 1024
CHUNK_MAX: Final = 1024 * 1024
WINDOW_MAX: Final = 8 * 1024 * 1024  # nats-server allows 32 MiB; this is what may wait for one peer
TURN_BYTES_MAX: Final = 1024 * 1024  # made at once: nobody else is served meanwhile
START_NS: Final = 20_000_000  # jsm.go takes a backup that ends before its request is answered for a failed one
STALL_NS: Final = 5_000_000_000
INTEREST_NS: Final = 2_000_000_000
BACKUPS_MAX: Final = 64
ENDED: Final = b"NATS/1.0 204\r\n\r\n"
NO_INTEREST: Final = b"NATS/1.0 408 No Interest\r\n\r\n"
NO_FLOW: Final = b"NATS/1.0 408 No Flow Response\r\n\r\n"


class Snapshot:
    """One backup."""

    def __init__(
        self,
        group: StreamGroup,
        origin: str,
        subject: bytes,
        backup: Backup,
        chunk: int,
        window: int,
        client: dict[str, object],
    ) -> None:
        self.client: Final = client
        self.group: Final = group
        self.origin: Final = origin
        self.subject: Final = subject
        self.backup: Final = backup
        self.chunk: Final = chunk
        self.free: int = window // chunk
        self.index: int = 1
        self.heard_ns: int = 0
        self.begun_ns: int = 0
        self.started_wall_ns: int = 0
        self.started: bool = False
        self.hurried: bool = False  # there is room for more, but not in this turn


class Snapshots:
    """All backups of this node."""

    def __init__(self, answers: Answers, clock: TurnClock) -> None:
        self._answers: Final = answers
        self._clock: Final = clock
        self._running: dict[bytes, Snapshot] = {}

    def begin(self, group: StreamGroup, request: ApiRequest) -> None:
        """STREAM.SNAPSHOT."""
        fields = self._fields(request)
        if isinstance(fields, ApiError):
            self._answer(request, error_answer(KIND, fields))
            return
        clock = self._clock
        backup = Backup(group.machine, clock.wall_ns, not fields.get("no_consumers"))
        chunk, window = fields.get("chunk_size") or CHUNK_DEFAULT, fields.get("window_size") or WINDOW_DEFAULT
        assert isinstance(chunk, int) and isinstance(window, int)
        chunk = min(max(chunk, CHUNK_MIN), CHUNK_MAX)
        window = max(min(window, WINDOW_MAX), chunk)
        subject = str(fields["deliver_subject"]).encode()
        snapshot = Snapshot(group, request.origin, subject, backup, chunk, window, asked_by(request))
        snapshot.heard_ns = snapshot.begun_ns = clock.now_ns
        snapshot.started_wall_ns = clock.wall_ns
        config = group.machine.config.to_json()
        self._answer(request, answer(KIND, {"config": config, "state": backup.state}))
        self._advise(snapshot, "SNAPSHOT_CREATE", {"type": "snapshot_create", "state": backup.state})
        self._running[f"{group.machine.config.name}.{fresh_id(group.rng)}".encode()] = snapshot

    def _fields(self, request: ApiRequest) -> dict[str, object] | ApiError:
        error = required_level_error(request)
        if error is not None:
            return error
        if is_empty_payload(request.payload()):
            return BAD_REQUEST
        fields = read_fields(request.payload(), FIELDS, "JSApiStreamSnapshotRequest")
        if isinstance(fields, ApiError):
            return fields
        subject = str(fields.get("deliver_subject", "")).encode()
        if not is_valid(subject) or not is_literal(subject):
            return SNAPSHOT_SUBJECT_INVALID
        return INSUFFICIENT_RESOURCES if len(self._running) >= BACKUPS_MAX else fields

    def _answer(self, request: ApiRequest, payload: bytes) -> None:
        if request.reply:
            self._answers.say(request.origin, request.reply, payload)

    def _advise(self, snapshot: Snapshot, event: str, fields: dict[str, object]) -> None:
        group = snapshot.group
        name = group.machine.config.name
        told: dict[str, object] = {"type": f"io.nats.jetstream.advisory.v1.{fields['type']}", "stream": name}
        told.update({key: fields[key] for key in fields if key != "type"})
        if snapshot.client:
            told["client"] = snapshot.client
        group.advise(f"$JS.EVENT.ADVISORY.STREAM.{event}.{name}", told)

    def acknowledged(self, subject: bytes) -> None:
        """A message on `$JS.SNAPSHOT.ACK.<stream>.<id>.<length>.<index>`."""
        key = subject[len(ACK_PREFIX) :].rsplit(b".", 2)[0]
        snapshot = self._running.get(key)
        if snapshot is not None:
            snapshot.free += 1
            snapshot.heard_ns = self._clock.now_ns
            self._pump(key, snapshot)

    def tick(self) -> None:
        """50 ms passed: go on, or give up on receivers that are gone."""
        now_ns = self._clock.now_ns
        for key, snapshot in list(self._running.items()):
            if not snapshot.group.is_leader:
                del self._running[key]  # whoever asked waits in vain, as when the node were gone
            elif snapshot.origin == LOCAL and not snapshot.group.router.has_interest(snapshot.subject, b""):
                if now_ns > snapshot.begun_ns + INTEREST_NS:
                    self._end(key, snapshot, NO_INTEREST, "no interest")
            elif not snapshot.started:
                self._start(key, snapshot)
            elif now_ns > snapshot.heard_ns + STALL_NS:
                self._end(key, snapshot, NO_FLOW, "no flow response")
            elif snapshot.hurried:
                self._pump(key, snapshot)

    def _start(self, key: bytes, snapshot: Snapshot) -> None:
        """Somebody has subscribed, or has had the time."""
        waited_ns = self._clock.now_ns - snapshot.begun_ns
        named = waited_ns > START_NS and snapshot.group.router.is_named(snapshot.subject)
        if named or waited_ns > INTEREST_NS:
            snapshot.started = True
            snapshot.heard_ns = self._clock.now_ns
            self._pump(key, snapshot)

    def _pump(self, key: bytes, snapshot: Snapshot) -> None:
        """Send what the window has room for, within what a turn may cost."""
        made = 0
        snapshot.hurried = False
        while snapshot.free > 0:
            if made >= TURN_BYTES_MAX:
                snapshot.hurried = True
                return
            try:
                data = snapshot.backup.read(snapshot.chunk)
            except StorageError as error:
                self._end(key, snapshot, f"NATS/1.0 500 {error}\r\n\r\n".encode(), str(error))
                return
            made += len(data)
            if len(data) < snapshot.chunk:
                if data:
                    self._send(snapshot, b"", 0, data)
                self._end(key, snapshot, ENDED if snapshot.index > 1 else b"", "")
                return
            reply = ACK_PREFIX + key + b".%d.%d" % (len(data), snapshot.index)
            self._send(snapshot, reply, 0, data)
            snapshot.index += 1
            snapshot.free -= 1

    def _send(self, snapshot: Snapshot, reply: bytes, header_length: int, data: bytes) -> None:
        self._answers.send(snapshot.origin, snapshot.subject, b"", reply, header_length, data)

    def _end(self, key: bytes, snapshot: Snapshot, headers: bytes, error: str) -> None:
        del self._running[key]
        self._send(snapshot, b"", len(headers), headers)
        fields: dict[str, object] = {
            "type": "snapshot_complete",
            "start": format_time(snapshot.started_wall_ns),
            "end": format_time(self._clock.wall_ns),
        }
        if error:
            fields["error"] = error
        self._advise(snapshot, "SNAPSHOT_COMPLETE", fields)
