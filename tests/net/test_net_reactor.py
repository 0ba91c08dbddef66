"""The reactor over real loopback sockets: bytes in, turns, bytes out, and what goes wrong in between."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Any

import pytest
import trio

from broker.net import listener as listening
from broker.net.listener import BindError, Listener, bind
from broker.net.seam import CLIENT, CLUSTER_OUT
from net.echo_node import EchoDial
from net.rig import read_exactly, rig

SECOND_NS = 1_000_000_000
MEBIBYTE = 1 << 20


async def test_what_a_client_says_is_answered() -> None:
    async with rig() as made:
        stream = await made.connect()
        await stream.send_all(b"PING\r\nPING\r\n")
        assert await read_exactly(stream, 12) == b"PONG\r\nPONG\r\n"
        opened = await made.seen("opened", 1, CLIENT)
        assert opened[3][0] == "127.0.0.1"


async def test_connections_do_not_mix() -> None:
    async with rig() as made:
        streams = [await made.connect() for _ in range(50)]
        for count, stream in enumerate(streams, start=1):
            await stream.send_all(b"PING\r\n" * count)
        for count, stream in enumerate(streams, start=1):
            assert await read_exactly(stream, 6 * count) == b"PONG\r\n" * count


async def test_a_client_that_goes_away_is_reported_once() -> None:
    async with rig() as made:
        stream = await made.connect()
        await made.seen("opened", 1)
        await stream.aclose()
        assert await made.seen("closed") == ("closed", 1, "Client Closed")
        assert [event[0] for event in made.node.seen] == ["opened", "closed"]


async def test_a_reset_is_a_read_error() -> None:
    async with rig() as made:
        stream = await made.connect()
        await made.seen("opened", 1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.aclose()
        assert await made.seen("closed") == ("closed", 1, "Read Error")


async def test_last_words_arrive_before_the_close() -> None:
    async with rig() as made:
        stream = await made.connect()
        with contextlib.suppress(trio.BrokenResourceError):  # still writing when the node has had enough
            await stream.send_all(b"QUIT" + b"x" * 4 * MEBIBYTE)
        assert await read_exactly(stream, 5) == b"BYE\r\n"
        assert await made.seen("closed") == ("closed", 1, "Protocol Violation")


async def test_a_slow_reader_gets_everything_in_order_and_nobody_waits_for_it() -> None:
    async with rig() as made:
        slow, quick = await made.connect(), await made.connect()
        data = bytes(range(256)) * 4096 * 16
        made.node.on_bytes = lambda cid, _data: made.node.say(cid, data if cid == 1 else b"PONG\r\n")
        await slow.send_all(b"?")
        await quick.send_all(b"?")
        assert await read_exactly(quick, 6) == b"PONG\r\n"
        await slow.send_all(b"?")  # while the first answer is still stuck
        assert await read_exactly(slow, 2 * len(data)) == data + data


async def test_output_stays_with_the_node_while_the_socket_is_full() -> None:
    async with rig() as made:
        slow, other = await made.connect(), await made.connect()
        made.node.on_bytes = lambda cid, data: made.node.say(1, b"x" * 16 * MEBIBYTE if cid == 1 else data)
        await slow.send_all(b"?")
        while not made.reactor.sockets.blocked():
            await trio.testing.wait_all_tasks_blocked()
        await other.send_all(b"behind")
        while not made.node.output[1]:
            await trio.testing.wait_all_tasks_blocked()
        assert made.node.output[1] == [b"behind"]


async def test_a_client_that_does_not_read_is_closed_at_the_write_deadline() -> None:
    async with rig(write_deadline_ns=3600 * SECOND_NS) as made:
        stream = await made.connect()
        made.node.on_bytes = lambda cid, _data: made.node.say(cid, b"x" * 16 * MEBIBYTE)
        await stream.send_all(b"?")
        while not made.reactor.sockets.blocked():
            await trio.testing.wait_all_tasks_blocked()
        made.clock.added_ns += 3601 * SECOND_NS
        assert await made.seen("closed") == ("closed", 1, "Slow Consumer (Write Deadline)")


async def test_a_close_does_not_wait_for_a_client_that_does_not_read() -> None:
    async with rig(write_deadline_ns=3600 * SECOND_NS) as made:
        stream = await made.connect()

        def answer_and_close(cid: int, _data: bytes) -> None:
            made.node.say(cid, b"x" * 16 * MEBIBYTE)
            made.node.next.closes.append((cid, "Authorization Violation"))

        made.node.on_bytes = answer_and_close
        await stream.send_all(b"?")
        while not made.reactor.sockets.blocked():
            await trio.testing.wait_all_tasks_blocked()
        made.clock.added_ns += 3 * SECOND_NS
        assert await made.seen("closed") == ("closed", 1, "Authorization Violation")


async def test_dials_come_back_with_their_address_and_token() -> None:
    async with rig() as made:
        with bind("127.0.0.1", -1) as peer, bind("127.0.0.1", -1) as gone:
            port, closed_port = peer.getsockname()[1], gone.getsockname()[1]
            gone.close()
            made.node.next.dials = [EchoDial("localhost", port, "peer"), EchoDial("127.0.0.1", closed_port, "route:3")]
            made.reactor.wake()
            assert await made.seen("opened") == ("opened", 1, CLUSTER_OUT, ("localhost", port), "peer")
            assert await made.seen("dial_failed") == (
                "dial_failed",
                ("127.0.0.1", closed_port),
                "route:3",
                "connect: connection refused",
            )


async def test_running_out_of_descriptors_pauses_accepting(monkeypatch: pytest.MonkeyPatch) -> None:
    class Exhausted:
        """A listening socket of a process without descriptors."""

        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock

        def accept(self) -> Any:
            raise OSError(errno.EMFILE, "Too many open files")

        def fileno(self) -> int:
            return self.sock.fileno()

        def getsockname(self) -> Any:
            return self.sock.getsockname()

        def close(self) -> None:
            self.sock.close()

    async with rig() as made:
        sock = bind("127.0.0.1", -1)
        poor: Any = Listener(CLIENT, Exhausted(sock), "127.0.0.1")  # type: ignore[arg-type]
        made.reactor.listen(poor)
        late = await trio.open_tcp_stream("127.0.0.1", poor.port)
        while "accept_paused" not in made.events:
            await trio.testing.wait_all_tasks_blocked()
        turns = made.reactor.turns
        await trio.testing.wait_all_tasks_blocked()
        assert made.reactor.turns - turns < 10, "it spins"
        poor.sock = sock
        made.clock.added_ns += listening.PAUSE_NS
        await late.send_all(b"PING\r\n")
        assert await read_exactly(late, 6) == b"PONG\r\n"


async def test_ticks_go_on_while_nothing_happens() -> None:
    async with rig() as made:
        await trio.testing.wait_all_tasks_blocked()
        while made.node.ticks < 3:
            made.clock.added_ns += 50_000_000
            made.reactor.wake()
            await trio.testing.wait_all_tasks_blocked()


def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    with bind("127.0.0.1", -1) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BindError, match=rf"^listen tcp 127.0.0.1:{port}: bind: address already in use$"):
            bind("127.0.0.1", port)
