"""Answers that are made of what several leaders know: STREAM.LIST, account info, INFO on somebody's behalf.

The meta leader asks every stream's leader for its INFO, as a client would, and puts the answers together. A leader that
does not answer within `GATHER_NS` is listed as missing. For the account's sums it asks the nodes (`account_usage`).
"""

import json
from collections.abc import Callable
from typing import Final

from broker.cluster.links.answers import Answers, InnerCaller
from broker.cluster.links.forward import REQUEST
from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.assignment import Assignment
from broker.cluster.meta.assignments import Assignments
from broker.cluster.meta.resources import reserved_bytes
from broker.cluster.streams.account_usage import AccountUsage, Usage
from broker.cluster.turn_clock import TurnClock
from broker.jetstream.api.requests import is_lone
from broker.jetstream.api_errors import ApiError
from broker.jetstream.api_types import (
    API_LEVEL,
    INTEGER,
    TEXT,
    ApiRequest,
    answer,
    error_answer,
    is_container,
    read_fields,
)
from broker.jetstream.config.stream_config import FILE_STORAGE, MEMORY_STORAGE, METADATA_LEVEL, METADATA_VERSION

LIST_PAGE: Final = 256
GATHER_NS: Final = 2_000_000_000
GATHERS_MAX: Final = 1024
UNLIMITED: Final = -1
SERVER_METADATA: Final = (METADATA_LEVEL, METADATA_VERSION)


class Gather(InnerCaller):
    """Infos that are being collected for one request."""

    def __init__(self, names: list[str], deadline_ns: int, finish: "Callable[[Gather], None]") -> None:
        self.names: Final = names
        self.deadline_ns: Final = deadline_ns
        self.infos: dict[str, dict[str, object]] = {}
        self.open: dict[bytes, str] = {}
        self.done: bool = False
        self._finish: Final = finish

    def answered(self, inbox: bytes, data: bytes) -> None:
        name = self.open.pop(inbox, "")
        fields = json.loads(data)
        if name and "error" not in fields:
            fields.pop("type", None)
            for key in ("total", "offset", "limit"):
                fields.pop(key, None)
            self.infos[name] = fields
        if not self.open:
            self.finish()

    def finish(self) -> None:
        """Everybody answered, or waited for long enough."""
        if not self.done:
            self.done = True
            self._finish(self)


class StreamLists:
    """All gathers of this node."""

    def __init__(self, assignments: Assignments, answers: Answers, links: LinkTable, clock: TurnClock) -> None:
        self.usage: Final = AccountUsage(assignments, links, clock)
        self._assignments: Final = assignments
        self._answers: Final = answers
        self._clock: Final = clock
        self._gathers: list[Gather] = []

    def _gather(self, names: list[str], finish: Callable[[Gather], None]) -> None:
        gather = Gather(names, self._clock.now_ns + GATHER_NS, finish)
        forwarder = self._assignments.forwarder
        assert forwarder is not None
        asked: list[tuple[Assignment, bytes]] = []
        for name in names:
            assignment = self._assignments.by_name(name)
            if assignment is not None:
                inbox = self._answers.inner_inbox(gather)
                gather.open[inbox] = name
                asked.append((assignment, inbox))
        if len(self._gathers) < GATHERS_MAX:
            self._gathers.append(gather)
        for assignment, inbox in asked:
            subject = b"$JS.API.STREAM.INFO." + assignment.config.name.encode()
            forwarder.submit(assignment.group, REQUEST, subject, inbox, 0, b"", "", "")
        if not gather.open:
            gather.finish()

    def tick(self) -> None:
        """Give up on those who do not answer."""
        self.usage.tick()
        if self._gathers:
            for gather in self._gathers:
                if gather.deadline_ns <= self._clock.now_ns:
                    for inbox in gather.open:
                        self._answers.forget_inner(inbox)
                    gather.finish()
            self._gathers = [gather for gather in self._gathers if not gather.done]

    def _say(self, request: ApiRequest, payload: bytes) -> None:
        if request.reply:
            self._answers.say(request.origin, request.reply, payload)

    # The requests.

    def info_for(self, assignment: Assignment, request: ApiRequest, kind: str) -> None:
        """One stream's INFO as another kind of answer."""

        def finish(gather: Gather) -> None:
            info = gather.infos.get(assignment.config.name)
            if info is not None:
                fields = {key: info[key] for key in info if key != "domain"}
                if is_lone(fields.get("cluster")):  # in a cluster nobody says that it was there already
                    fields = {**unless_lone(fields), "did_create": True}
                self._say(request, answer(kind, fields))

        self._gather([assignment.config.name], finish)

    def begin(self, request: ApiRequest) -> None:
        """STREAM.LIST."""
        kind = "stream_list_response"
        payload = request.payload() if is_container(request.payload()) else b""
        fields = read_fields(payload, {"offset": INTEGER, "subject": TEXT}, "JSApiStreamListRequest")
        if isinstance(fields, ApiError):
            self._say(request, error_answer(kind, fields))
            return
        names = matching_streams(self._assignments, fields)
        offset = page_offset(fields, len(names))

        def finish(gather: Gather) -> None:
            body: dict[str, object] = {
                "total": len(names),
                "offset": offset,
                "limit": LIST_PAGE,
                "streams": [as_listed(gather.infos[name]) for name in gather.names if name in gather.infos],
            }
            missing = [name for name in gather.names if name not in gather.infos]
            if missing:
                body["missing"] = missing
            self._say(request, answer(kind, body))

        self._gather(names[offset : offset + LIST_PAGE], finish)

    def account_info(self, request: ApiRequest) -> None:
        """INFO: what the account uses."""
        meta = self._assignments.meta
        assert meta is not None

        names = matching_streams(self._assignments, {})

        def finish(usage: Usage) -> None:
            api = {"level": API_LEVEL, "total": self._answers.api_total, "errors": self._answers.api_errors}
            fields = account_fields(usage, len(names), api)
            if self._answers.domain:
                fields["domain"], fields["api"] = self._answers.domain, fields.pop("api")
            fields["reserved_memory"] = reserved_bytes(meta.machine.streams, MEMORY_STORAGE)
            fields["reserved_storage"] = reserved_bytes(meta.machine.streams, FILE_STORAGE)
            self._say(request, answer("account_info_response", fields))

        self.usage.ask(finish)


def account_fields(usage: Usage, streams: int, api: dict[str, int]) -> dict[str, object]:
    """Sums over all streams, in nats-server's words; `api`: what the meta leader has answered so far."""
    return {
        "memory": usage.memory,
        "storage": usage.storage,
        "reserved_memory": 0,
        "reserved_storage": 0,
        "streams": streams,
        "consumers": usage.consumers,
        "limits": {
            "max_memory": UNLIMITED,
            "max_storage": UNLIMITED,
            "max_streams": UNLIMITED,
            "max_consumers": UNLIMITED,
            "max_ack_pending": UNLIMITED,
            "memory_max_stream_bytes": UNLIMITED,
            "storage_max_stream_bytes": UNLIMITED,
            "max_bytes_required": False,
        },
        "api": api,
    }


def unless_lone(info: dict[str, object]) -> dict[str, object]:
    """A StreamInfo for other answers than to INFO: a lone server names itself as the leader only there, and only there
    are mirrors told."""
    return {key: info[key] for key in info if key != "alternates" and (key != "cluster" or not is_lone(info[key]))}


def as_listed(info: dict[str, object]) -> dict[str, object]:
    """A StreamInfo in a list, where servers say nothing of themselves."""
    config = info["config"]
    if isinstance(config, dict):
        metadata = {key: config["metadata"][key] for key in config["metadata"] if key not in SERVER_METADATA}
        info = {**info, "config": {**config, "metadata": metadata}}
    return unless_lone(info)


def matching_streams(assignments: Assignments, fields: dict[str, object]) -> list[str]:
    """Names of the streams whose subjects overlap with `fields["subject"]`, or of all; sorted."""
    meta = assignments.meta
    assert meta is not None
    machine = meta.machine
    subject = fields.get("subject")
    names = machine.owners(str(subject).encode()) if subject else sorted(machine.streams)
    return [name for name in names if machine.shown(name) is not None]


def page_offset(fields: dict[str, object], total: int) -> int:
    """Where a page begins: never negative, never behind the end."""
    offset = fields.get("offset", 0)
    assert isinstance(offset, int)
    return min(max(offset, 0), total)
