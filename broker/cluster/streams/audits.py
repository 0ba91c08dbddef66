"""The audit of the API: `$JS.EVENT.ADVISORY.API` says who asked for what, and what the answer was.

The node that a request came through tells, as it knows the client; nats-server names the server that answered. Nothing
is kept while nobody listens. As in nats-server these are not told: requests answered by messages instead of JSON,
CONSUMER.RESET, and a message that STREAM.MSG.GET found.

Invariants: a request is told once, when its answer passes; what is not answered within KEEP_NS is not told, nor what
comes while AUDITS_MAX answers are awaited.
"""

import json
import random
from typing import Final

from broker.cluster.links.answers import Answers, InnerCaller
from broker.cluster.links.transport import LinkTable
from broker.cluster.turn_clock import TurnClock
from broker.core.client_info import client_info
from broker.core.router import Router
from broker.core.session import ClientSession
from broker.jetstream.advisories import api_audit, render
from broker.jetstream.api.requests import ApiSubject, response_kind
from broker.jetstream.api_types import ApiRequest
from broker.jetstream.go_time import format_time
from broker.wire import headers

REQUEST_INFO: Final = b"Nats-Request-Info"
SUBJECT: Final = b"$JS.EVENT.ADVISORY.API"
AUDITS_MAX: Final = 4096
KEEP_NS: Final = 30_000_000_000
UNTOLD: Final = "CONSUMER.RESET"
MESSAGE_FOUND: Final = b'{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message"'


def asked_by(request: ApiRequest) -> dict[str, object]:
    """Who asked, as `introduced` put it there; {} where nobody did."""
    found = headers.get(request.data[: request.header_length], REQUEST_INFO) if request.header_length else b""
    return dict(json.loads(found)) if found else {}


class Audit:
    """A request that is being answered."""

    def __init__(self, subject: bytes, request: bytes, client: dict[str, object], deadline_ns: int) -> None:
        self.subject: Final = subject
        self.request: Final = request
        self.client: Final = client
        self.deadline_ns: Final = deadline_ns


class Audits(InnerCaller):
    """The requests of this node's clients that somebody wants to hear of."""

    def __init__(
        self, router: Router, answers: Answers, links: LinkTable, clock: TurnClock, rng: random.Random
    ) -> None:
        self._router: Final = router
        self._answers: Final = answers
        self._links: Final = links
        self._clock: Final = clock
        self._rng: Final = rng
        self._awaited: dict[bytes, list[Audit]] = {}
        self._count: int = 0

    def begin(self, target: ApiSubject, subject: bytes, reply: bytes, header_length: int, data: bytes) -> bytes:
        """A client asks. Returns where the answer is to go: `reply`, or, where there is none, to us."""
        if not self._router.has_interest(SUBJECT) or self._count >= AUDITS_MAX:
            return reply
        if target.verb == UNTOLD or not response_kind(target.verb):
            return reply
        if reply:
            self._answers.overheard[reply] = self
        else:
            reply = self._answers.inner_inbox(self)
        self._count += 1
        audit = Audit(subject, data[header_length:], self._client(), self._clock.now_ns + KEEP_NS)
        self._awaited.setdefault(reply, []).append(audit)
        return reply

    def _client(self) -> dict[str, object]:
        asking = self._router.delivery.asking
        if not isinstance(asking, ClientSession):
            return {}
        start = format_time(asking.started_ns - self._clock.now_ns + self._clock.wall_ns)
        return {"start": start, **client_info(asking, self._links.name, self._links.cluster)}

    def introduced(self, header_length: int, data: bytes) -> tuple[int, bytes]:
        """A request that says who asks, for the leader of a stream which tells of it (`asked_by`). What a client says
        of itself under that name does not count."""
        info = json.dumps(self._client(), separators=(",", ":")).encode()
        return headers.put(header_length, data, REQUEST_INFO, info)

    def client_name(self) -> str:
        """What the client that asks now calls itself; "" where it does not, or where a server asks."""
        asking = self._router.delivery.asking
        return asking.options.name if isinstance(asking, ClientSession) else ""

    def answered(self, inbox: bytes, data: bytes) -> None:
        """The answer passed."""
        waiting = self._awaited.pop(inbox, None)
        if waiting is None:
            return
        audit = waiting.pop(0)
        self._count -= 1
        if waiting:
            self._awaited[inbox] = waiting
            self._answers.overheard[inbox] = self
        if data.startswith(MESSAGE_FOUND):
            return
        fields = api_audit(self._links.name, audit.client, audit.subject, audit.request, data)
        body = render(fields, self._rng, self._clock.wall_ns, self._answers.domain)
        self._router.deliver(SUBJECT, SUBJECT, b"", 0, body)

    def tick(self) -> None:
        """Give up on those who were never answered."""
        if self._awaited:
            for inbox in list(self._awaited):
                kept = [audit for audit in self._awaited[inbox] if audit.deadline_ns > self._clock.now_ns]
                self._count -= len(self._awaited[inbox]) - len(kept)
                self._awaited[inbox] = kept
                if not kept:
                    del self._awaited[inbox]
                    self._answers.overheard.pop(inbox, None)
                    self._answers.forget_inner(inbox)
