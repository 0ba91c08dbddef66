"""One server's side of a conversation: what is said to it, and a transcript of what it says.

After the last line every connection pings once, so that what came too much is in the transcript as well. Answers that
are waited for in vain are a failure of the conversation where the reference is silent, and a difference where ours is.
"""

from __future__ import annotations

import json
import re
import select
import socket
import time

from clients.differential.conversation import HEAR, PUBLISH, QUIET, REQUEST, SUBSCRIBE, UNSUBSCRIBE, Conversation, Line
from clients.differential.heard import Message

PATIENCE_S = 4.0
_CONNECT = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "raw", "name": "raw"}
_VARIABLE = re.compile(r"\$(~?\d+|[CT]\b)")
INBOX_SID = "1"
Transcript = list[tuple[str, list[str]]]
"""Line by line: what was said, what was heard."""


class Connection:
    """A client: its socket, and the messages nobody took yet."""

    def __init__(self, port: int, name: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.inbox = f"_INBOX.{name}"
        self.asked = 0
        self.sids: dict[str, str] = {}
        self.messages: list[Message] = []
        self.errors: list[str] = []
        self.pongs = 0
        self._buffer = b""
        self.send(f"CONNECT {json.dumps(_CONNECT)}\r\nSUB {self.inbox}.> {INBOX_SID}\r\n".encode())
        self.fence()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def publish(self, subject: str, reply: str, headers: list[str], body: str) -> None:
        payload = body.encode()
        if not headers:
            self.send(b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), reply.encode(), len(payload), payload))
            return
        block = "".join(f"{header}\r\n" for header in ["NATS/1.0", *headers, ""]).encode()
        sizes = b"%d %d" % (len(block), len(block) + len(payload))
        self.send(b"HPUB %s %s %s\r\n%s%s\r\n" % (subject.encode(), reply.encode(), sizes, block, payload))

    def place(self, message: Message) -> tuple[int, bool]:
        """Subscription by subscription; in the inbox answers come before deliveries."""
        return int(message.sid), not message.subject.startswith(self.inbox)

    def fresh_inbox(self) -> str:
        self.asked += 1
        return f"{self.inbox}.{self.asked}"

    def subscribe(self, subject: str, queue: str) -> None:
        self.sids[subject] = str(len(self.sids) + 2)
        self.send(f"SUB {subject} {queue} {self.sids[subject]}\r\n".encode())
        self.fence()

    def unsubscribe(self, subject: str) -> None:
        self.send(f"UNSUB {self.sids[subject]}\r\n".encode())
        self.fence()

    def fence(self) -> None:
        """All that was said before has been read by the server."""
        wanted = self.pongs + 1
        self.send(b"PING\r\n")
        while self.pongs < wanted and self.read(PATIENCE_S):
            pass

    def read(self, seconds: float) -> bool:
        """Take what comes within that time; False when nothing came."""
        if not select.select([self.socket], [], [], max(seconds, 0))[0]:
            return False
        data = self.socket.recv(1 << 20)
        self._buffer += data
        while self._take_one():
            pass
        return bool(data)

    def _take_one(self) -> bool:
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return False
        words = line.decode().split(" ")
        if words[0] in ("MSG", "HMSG"):
            size = int(words[-1])
            if len(rest) < size + 2:
                return False
            head = int(words[-2]) if words[0] == "HMSG" else 0
            middle = words[3 : -2 if words[0] == "HMSG" else -1]
            reply = middle[0] if middle else ""
            self.messages.append(Message(words[2], words[1], reply, rest[:head], rest[head:size]))
            rest = rest[size + 2 :]
        elif words[0] == "PONG":
            self.pongs += 1
        elif words[0] == "PING":
            self.send(b"PONG\r\n")
        elif words[0] == "-ERR":
            self.errors.append(line.decode())
        self._buffer = rest
        return True


class Player:
    """Plays one conversation to one server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connections: dict[str, Connection] = {}
        self._acks: list[str] = []
        self._consumer = ""
        self._time = ""
        self._made_up: dict[str, str] = {}
        self.transcript: Transcript = []
        self.silent_at = ""

    def play(self, conversation: Conversation) -> Transcript:
        """What was said and what was heard, line by line."""
        try:
            for line in conversation.lines:
                self._say(line)
            for connection in self._connections.values():
                connection.fence()
            self._note("(afterwards)", "")
        finally:
            for connection in self._connections.values():
                connection.socket.close()
        return self.transcript

    def _connection(self, name: str) -> Connection:
        if name not in self._connections:
            self._connections[name] = Connection(self._port, name)
        return self._connections[name]

    def _say(self, line: Line) -> None:
        client = self._connection(line.who)
        for number in range(1, line.times + 1):
            said = (lambda text, n=number: text.replace("#", str(n))) if line.times > 1 else (lambda text: text)
            subject, body = self._filled(said(line.subject)), self._filled(said(line.body))
            if line.kind in (REQUEST, PUBLISH):
                headers = [self._filled(said(header)) for header in line.headers]
                reply = client.fresh_inbox() if line.kind == REQUEST else said(line.reply)
                client.publish(subject, reply, headers, body)
            elif line.kind == SUBSCRIBE:
                client.subscribe(subject, body)
            elif line.kind == UNSUBSCRIBE:
                client.unsubscribe(subject)
            if line.kind == QUIET:
                self._listen(int(line.subject) / 1000)
            else:
                self._wait(int(line.subject) if line.kind == HEAR else line.answers, line)
            self._note(line.text, f"{subject} {body}")

    def _filled(self, text: str) -> str:
        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name == "C":
                return self._consumer
            if name == "T":
                self._made_up[self._time] = "<T>"
                return self._time
            if name[0] == "~":
                return self._acks[int(name[1:]) % len(self._acks)] if self._acks else "nobody"
            return self._acks[int(name) - 1]

        return _VARIABLE.sub(value, text)

    def _wait(self, count: int, line: Line) -> None:
        """Until so many messages came, over all connections."""
        deadline = time.monotonic() + PATIENCE_S
        for connection in self._connections.values():
            connection.read(0)
        while self._waiting() < count and not (line.until_status and self._has_status()):
            if time.monotonic() > deadline:
                self.silent_at = self.silent_at or line.text
                return
            sockets = [connection.socket for connection in self._connections.values()]
            readable = select.select(sockets, [], [], 0.5)[0]
            for connection in self._connections.values():
                if connection.socket in readable and not connection.read(0):
                    return  # closed

    def _has_status(self) -> bool:
        return any(one.is_status() for connection in self._connections.values() for one in connection.messages)

    def _waiting(self) -> int:
        return sum(len(connection.messages) for connection in self._connections.values())

    def _listen(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (rest := deadline - time.monotonic()) > 0:
            sockets = [connection.socket for connection in self._connections.values()]
            readable = select.select(sockets, [], [], rest)[0]
            for connection in self._connections.values():
                if connection.socket in readable and not connection.read(0):
                    return

    def _note(self, text: str, said: str) -> None:
        """Write down what came, across subscriptions no order is promised."""
        heard: list[str] = []
        for name, connection in sorted(self._connections.items()):
            for message in sorted(connection.messages, key=connection.place):
                self._remember(message, said)
                told = message.told()
                for made_up, shown in self._made_up.items():
                    told = told.replace(made_up, shown)
                heard.append(f"{name} {told}")
            heard.extend(f"{name} {error}" for error in connection.errors)
            connection.messages.clear()
            connection.errors.clear()
        self.transcript.append((text, heard))

    def _remember(self, message: Message, said: str) -> None:
        if message.is_delivery():
            self._acks.append(message.reply)
        fields = message.decoded()
        if fields.get("type") == "io.nats.jetstream.api.v1.consumer_create_response" and "name" in fields:
            self._consumer = str(fields["name"])
            if self._consumer not in said:
                self._made_up.setdefault(self._consumer, f"<name {len(self._made_up) + 1}>")
        found = fields.get("message")
        if isinstance(found, dict):
            self._time = str(found.get("time", ""))


def clear(port: int) -> None:
    """Delete every stream."""
    admin = Connection(port, "admin")
    try:
        while names := _ask(admin, "$JS.API.STREAM.NAMES").get("streams"):
            assert isinstance(names, list)
            for name in names:
                _ask(admin, f"$JS.API.STREAM.DELETE.{name}")
    finally:
        admin.socket.close()


def _ask(client: Connection, subject: str) -> dict[str, object]:
    client.publish(subject, client.fresh_inbox(), [], "")
    while not client.messages:
        assert client.read(PATIENCE_S), f"no answer to {subject}"
    return client.messages.pop().decoded()
