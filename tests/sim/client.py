"""A NATS client for the simulated world: connects, reconnects elsewhere, asks, subscribes. Its wire code is its own,
so that a mistake in ours is not made twice."""

import json
from collections.abc import Callable

from sim.world import End, Host, World

CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"protocol":1,"headers":true,"no_responders":true}\r\nPING\r\n'
RECONNECT_NS = 250_000_000
SILENT_MAX = 3  # requests without an answer before a server is given up


class Message:
    """A message as the client got it."""

    def __init__(self, subject: str, reply: str, header: bytes, data: bytes) -> None:
        self.subject = subject
        self.reply = reply
        self.header = header
        self.data = data

    @property
    def status(self) -> int:
        """Inline status, 0 when there is none."""
        first = self.header.split(b"\r\n", 1)[0].split(b" ")
        return int(first[1]) if len(first) > 1 and first[1].isdigit() else 0

    def headers(self) -> dict[str, str]:
        """The first value of every header."""
        found: dict[str, str] = {}
        for line in self.header.decode().split("\r\n")[1:]:
            name, colon, value = line.partition(":")
            if colon:
                found.setdefault(name, value.strip())
        return found

    def json(self) -> dict[str, object]:
        """The body as JSON."""
        found = json.loads(self.data)
        assert isinstance(found, dict)
        return found


def fields_of(answer: Message | None) -> dict[str, object]:
    """The JSON of an answer; {} where none came, or one without a body."""
    return {} if answer is None or not answer.data else answer.json()


def error_code(body: dict[str, object]) -> int:
    """JetStream's number of the error, 0 without one."""
    error = body.get("error")
    code = error.get("err_code", 0) if isinstance(error, dict) else 0
    assert isinstance(code, int)
    return code


Handler = Callable[[Message | None], None]


class SimClient(Host):
    """One client. Handlers get None when a request timed out or its connection broke."""

    def __init__(self, world: World, name: str, servers: list[str]) -> None:
        self.world = world
        self.name = name
        self.servers = servers
        self.end: End | None = None
        self.ready = False
        self.errors: list[str] = []
        self._buffer = b""
        self._waiting: dict[str, Handler] = {}
        self._subscriptions: dict[str, tuple[str, Handler, str]] = {}
        self._count = 0
        self._inbox = f"_INBOX.{name}"
        self._silent = 0
        world.clients.append(name)
        self.connect()

    def connect(self) -> None:
        """To one of the servers that is up."""
        if self.end is not None:
            return
        server = self.world.rng.choice(self.servers)
        self._buffer = b""
        self.end = self.world.connect_client(self, server)
        if self.end is None:
            self.world.after(RECONNECT_NS, self.connect)
            return
        lines = [CONNECT, f"SUB {self._inbox}.* 0\r\n".encode()]
        lines += [
            f"SUB {subject} {queue} {sid}\r\n".encode() for sid, (subject, _, queue) in self._subscriptions.items()
        ]
        self.world.carry(self.end, b"".join(lines))

    def closed(self, end: End) -> None:
        if end is self.end:
            self.end = None
            self.ready = False
            waiting, self._waiting = self._waiting, {}
            for handler in waiting.values():
                handler(None)
            self.world.after(RECONNECT_NS, self.connect)

    def publish(self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """PUB or HPUB."""
        if self.end is None:
            return
        if headers:
            block = b"NATS/1.0\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in headers.items()) + b"\r\n"
            line = f"HPUB {subject} {reply} {len(block)} {len(block) + len(data)}\r\n".encode()
            self.world.carry(self.end, line + block + data + b"\r\n")
        else:
            self.world.carry(self.end, f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n")

    def ping(self) -> None:
        """PING: who says nothing never learns that the other side has lost its power."""
        if self.end is not None:
            self.world.carry(self.end, b"PING\r\n")

    def request(
        self,
        subject: str,
        data: bytes,
        handler: Handler,
        timeout_ns: int = 5_000_000_000,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Ask; the first answer counts."""
        if self.end is None:
            self.world.after(RECONNECT_NS, lambda: handler(None))
            return
        self._count += 1
        token = str(self._count)
        self._waiting[token] = handler
        self.world.after(timeout_ns, lambda: self._time_out(token))
        self.publish(subject, data, f"{self._inbox}.{token}", headers)

    def _time_out(self, token: str) -> None:
        handler = self._waiting.pop(token, None)
        if handler is not None:
            self._silent += 1
            if self._silent > SILENT_MAX and self.end is not None:
                self._silent = 0
                self.world.close(self.end)  # try another server
            handler(None)

    def subscribe(self, subject: str, handler: Handler, queue: str = "") -> None:
        """SUB, again after every reconnect."""
        sid = str(len(self._subscriptions) + 1)
        self._subscriptions[sid] = (subject, handler, queue)
        if self.end is not None:
            self.world.carry(self.end, f"SUB {subject} {queue} {sid}\r\n".encode())

    def received(self, end: End, data: bytes) -> None:
        if end is not self.end:
            return
        self._buffer += data
        while True:
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                return
            words = line.split(b" ")
            verb = words[0].upper()
            if verb in (b"MSG", b"HMSG"):
                total = int(words[-1])
                if len(rest) < total + 2:
                    return
                self._buffer = rest[total + 2 :]
                self._message(verb, words, rest[:total])
                continue
            self._buffer = rest
            if verb == b"PING":
                self.world.carry(end, b"PONG\r\n")
            elif verb == b"PONG":
                self.ready = True
            elif verb == b"-ERR":
                self.errors.append(line.decode())

    def _message(self, verb: bytes, words: list[bytes], body: bytes) -> None:
        header_length = int(words[-2]) if verb == b"HMSG" else 0
        arguments = words[1:-2] if verb == b"HMSG" else words[1:-1]
        subject, sid = arguments[0].decode(), arguments[1].decode()
        reply = arguments[2].decode() if len(arguments) > 2 else ""
        message = Message(subject, reply, body[:header_length], body[header_length:])
        if sid == "0":
            self._silent = 0
            handler = self._waiting.pop(subject.rpartition(".")[2], None)
            if handler is not None:
                handler(message)
        elif sid in self._subscriptions:
            self._subscriptions[sid][1](message)
