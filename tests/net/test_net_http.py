"""The monitoring port: pages within limits, and abuse that costs nothing."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.net import http
from broker.net.http import HttpServer, Page


async def page(target: str) -> Page:
    return Page(200, "text/plain", target.encode(), is_public=True)


async def converse(request: bytes, server: HttpServer | None = None) -> bytes:
    """Everything that is answered until the server closes; the client shuts its side after the request."""
    ours, theirs = trio.testing.memory_stream_pair()
    answer = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon((server or HttpServer(page)).serve, theirs)
        await ours.send_all(request)
        await ours.send_eof()
        async for part in ours:
            answer += part
    return answer


async def test_a_page_is_answered() -> None:
    answer = await converse(b"GET /varz?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\n")
    assert answer.endswith(b"\r\n\r\n/varz?x=1")


async def test_two_requests_share_a_connection() -> None:
    answer = await converse(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.count(b"200 OK") == 2
    assert answer.endswith(b"/b")


async def test_head_has_no_body() -> None:
    assert (await converse(b"HEAD /varz HTTP/1.1\r\nHost: a\r\n\r\n")).endswith(b"\r\n\r\n")


async def test_http_1_0_closes() -> None:
    assert (await converse(b"GET /a HTTP/1.0\r\n\r\n")).endswith(b"/a")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"INFO {}\r\nCONNECT {}\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 50 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000,
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100_000,
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_request_gets_400_and_the_connection_is_closed(request_bytes: bytes) -> None:
    answer = await converse(request_bytes)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Connection: close" in answer


async def test_any_method_is_answered_like_get() -> None:
    answer = await converse(b"POST /varz HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
    assert b"200 OK" in answer and answer.endswith(b"/varz")


async def test_a_request_that_never_ends_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(HttpServer(page).serve, theirs)
        await ours.send_all(b"GET / HTTP/1.1\r\n")
        start = trio.current_time()
        assert await ours.receive_some() == b""
        assert trio.current_time() - start == pytest.approx(http.REQUEST_S)


async def test_too_many_connections_are_closed_at_once() -> None:
    server = HttpServer(page)
    async with trio.open_nursery() as nursery:
        for _ in range(http.CONNECTIONS_MAX):
            nursery.start_soon(server.serve, trio.testing.memory_stream_pair()[1])
        await trio.testing.wait_all_tasks_blocked()
        ours, theirs = trio.testing.memory_stream_pair()
        await server.serve(theirs)
        assert await ours.receive_some() == b""
        nursery.cancel_scope.cancel()


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_no_bytes_raise(request_bytes: bytes) -> None:
    trio.run(converse, b"GET / HTTP/1.1\r\n" + request_bytes)
    trio.run(converse, request_bytes)
