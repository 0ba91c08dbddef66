"""`$SYS.REQ.USER.INFO`: who the asking client is to this server. Every client may ask; `nats account info` does.

Answered by the node that the client is connected to. Without JetStream, too. Not here: what monitoring pages show of a
connection (`node_statistics`), who may connect (`core/auth`).
"""

import json
from typing import Final

from broker.cluster.turn_clock import TurnClock
from broker.config import VERSION, Options
from broker.core.router import Router, ServiceSubscription
from broker.core.session import ClientSession
from broker.jetstream.go_time import format_time

SUBJECT: Final = b"$SYS.REQ.USER.INFO"
ACCOUNT: Final = "$G"
WITH_JETSTREAM: Final = 1
"""Of nats-server's flags the one that clients know."""


class UserInfoService(ServiceSubscription):
    """The answers of one node."""

    def __init__(self, router: Router, server_id: str, options: Options, clock: TurnClock) -> None:
        super().__init__(SUBJECT)
        self._router: Final = router
        self._server_id: Final = server_id
        self._options: Final = options
        self._clock: Final = clock
        self._answered: int = 0

    def on_message(self, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str) -> None:
        asking = self._router.delivery.asking
        if not reply or origin or not isinstance(asking, ClientSession):
            return
        user = asking.options.user or ("[REDACTED]" if asking.options.token else "")
        answer = {"server": self._server(), "data": {"user": user, "account": ACCOUNT, "account_name": ACCOUNT}}
        body = json.dumps(answer, separators=(",", ":")).encode()
        self._router.deliver(reply, reply, b"", 0, body)

    def _server(self) -> dict[str, object]:
        options = self._options
        self._answered += 1
        server: dict[str, object] = {"name": options.server_name, "host": options.host, "id": self._server_id}
        if options.cluster.configured():
            server["cluster"] = options.cluster.name
        server["ver"] = VERSION
        server["jetstream"] = options.jetstream.enabled
        server["flags"] = WITH_JETSTREAM if options.jetstream.enabled else 0
        server["seq"] = self._answered
        server["time"] = format_time(self._clock.wall_ns)
        return server
