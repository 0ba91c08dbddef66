"""A small HTTP/1.1 server for pages that are made on the spot: h11 for the protocol, trio for the rest.

Is: reading requests within limits, answering them all like GET or HEAD, keeping connections alive for a while.
Is not: what the pages say (`monitor/pages.py`), TLS, bodies of requests (they are read and forgotten, up to a limit).
Invariants: whatever arrives, a connection costs one task, 16 KiB of request and a bounded time of patience; what is no
request gets 400 and the connection is closed. Only `make_page` can raise into the server.
Read next: `monitor/pages.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import h11
import trio

HEAD_BYTES_MAX: Final = 16 * 1024
BODY_BYTES_MAX: Final = 64 * 1024
CONNECTIONS_MAX: Final = 256
REQUEST_S: Final = 10.0
IDLE_S: Final = 60.0
READ_BYTES: Final = 8 * 1024


class Page:
    """An answer: status, media type, body; `is_public` allows scripts of other origins to read it."""

    def __init__(self, status: int, media_type: str, body: bytes, is_public: bool = False) -> None:
        self.status: Final = status
        self.media_type: Final = media_type
        self.body: Final = body
        self.is_public: Final = is_public


PageMaker = Callable[[str], Awaitable[Page]]  # from the request's target: path and query


class HttpServer:
    """Serves `make_page` on the connections it is given."""

    def __init__(self, make_page: PageMaker) -> None:
        self._make_page = make_page
        self._connections = 0

    async def serve(self, stream: trio.abc.Stream) -> None:
        """One connection, from accept to close."""
        if self._connections >= CONNECTIONS_MAX:
            await trio.aclose_forcefully(stream)
            return
        self._connections += 1
        try:
            await self._converse(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass  # it went away, which it may
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)

    async def _converse(self, stream: trio.abc.Stream) -> None:
        protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        wait_s = REQUEST_S
        while True:
            with trio.move_on_after(wait_s) as patience:
                try:
                    request = await self._request(protocol, stream)
                except h11.RemoteProtocolError:
                    await self._refuse(protocol, stream)
                    return
            if patience.cancelled_caught or request is None:
                return
            with trio.move_on_after(REQUEST_S) as patience:
                await self._answer(protocol, stream, request)
            if patience.cancelled_caught or protocol.our_state is not h11.DONE:
                return
            if protocol.their_state is not h11.DONE:
                return
            protocol.start_next_cycle()
            wait_s = IDLE_S

    async def _request(self, protocol: h11.Connection, stream: trio.abc.Stream) -> h11.Request | None:
        """The next whole request; None when the peer has closed. Errors: h11.RemoteProtocolError."""
        request: h11.Request | None = None
        body_bytes = 0
        while True:
            event = protocol.next_event()
            if event is h11.NEED_DATA:
                protocol.receive_data(bytes(await stream.receive_some(READ_BYTES)))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body_bytes += len(event.data)
                if body_bytes > BODY_BYTES_MAX:
                    raise h11.RemoteProtocolError("request body too large", error_status_hint=413)
            elif isinstance(event, h11.EndOfMessage):
                return request
            else:  # ConnectionClosed, or PAUSED after an upgrade that nobody offered
                return None

    async def _answer(self, protocol: h11.Connection, stream: trio.abc.Stream, request: h11.Request) -> None:
        # Whatever the method, as nats-server does.
        page = await self._make_page(request.target.decode("ascii", "replace"))
        headers = [
            ("Content-Type", page.media_type),
            ("Date", formatdate(usegmt=True)),
            ("Content-Length", str(len(page.body))),
        ]
        if page.is_public:
            headers.insert(0, ("Access-Control-Allow-Origin", "*"))
        if page.status == 404 and not page.is_public:
            headers.insert(1, ("X-Content-Type-Options", "nosniff"))
        await self._send(protocol, stream, page, headers, b"" if request.method == b"HEAD" else page.body)

    async def _refuse(self, protocol: h11.Connection, stream: trio.abc.Stream) -> None:
        if protocol.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        page = Page(400, "text/plain; charset=utf-8", b"400 Bad Request")
        headers = [
            ("Content-Type", page.media_type),
            ("Content-Length", str(len(page.body))),
            ("Connection", "close"),
        ]
        with trio.move_on_after(REQUEST_S):
            await self._send(protocol, stream, page, headers, page.body)

    async def _send(
        self,
        protocol: h11.Connection,
        stream: trio.abc.Stream,
        page: Page,
        headers: list[tuple[str, str]],
        body: bytes,
    ) -> None:
        reason = HTTPStatus(page.status).phrase
        response = h11.Response(status_code=page.status, headers=headers, reason=reason)
        data = protocol.send(response) or b""
        if body:
            data += protocol.send(h11.Data(data=body)) or b""
        data += protocol.send(h11.EndOfMessage()) or b""
        await stream.send_all(data)
