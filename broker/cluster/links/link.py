"""One connection between two nodes, sans-IO: greeting, frames in, frames out.

The dialler speaks first: ``TERNMQ/1 {json}``; the acceptor (a route listener, which had already said INFO)
answers with a line of its own. After that both sides send frames (`frames`). Everything that a turn wants to say
to a peer is gathered here by kind and encoded once by `flush`.

Not here: which links exist and who dials (`transport`), what the frames mean (`engine`, `forward`, `catch_up`).
"""

import json
from typing import Final

from broker.cluster.links.columns import Columns
from broker.cluster.links.frames import (
    FRAME_ACK,
    FRAME_ALIVE,
    FRAME_ANSWER,
    FRAME_PUBLISH,
    FRAME_RAFT,
    FRAME_REQUEST,
    FrameError,
    FrameReader,
    encode_frame,
)
from raft.codec import encode_messages
from raft.types import Message

GREETING: Final = b"TERNMQ/1 "
GREETING_LENGTH_MAX: Final = 16 * 1024
OUTPUT_BYTES_MAX: Final = 256 * 1024 * 1024
COLUMNS_BYTES_MAX: Final = 32 * 1024 * 1024
RAFT_FRAME_BYTES: Final = 8 * 1024 * 1024


class Hello:
    """What a node says of itself when a link opens. `store_id` is "" where it has none (`storage.identity`);
    `has_doubts`: of some streams' logs it may have lost what it acknowledged (`boot_mark`). `tags`: in lower case."""

    def __init__(
        self,
        name: str,
        cluster: str,
        port: int,
        has_meta: bool,
        user: str,
        password: str,
        store_id: str,
        has_jetstream: bool,
        has_doubts: bool = False,
        tags: list[str] | None = None,
    ) -> None:
        self.name = name
        self.cluster = cluster
        self.port = port
        self.has_meta = has_meta
        self.user = user
        self.password = password
        self.store_id = store_id
        self.has_jetstream = has_jetstream
        self.has_doubts = has_doubts
        self.tags = tags or []

    def encode(self) -> bytes:
        """The greeting line."""
        body = {
            "name": self.name,
            "cluster": self.cluster,
            "port": self.port,
            "meta": self.has_meta,
            "user": self.user,
            "pass": self.password,
            "store": self.store_id,
            "jetstream": self.has_jetstream,
            "doubts": self.has_doubts,
            "tags": self.tags,
        }
        return GREETING + json.dumps(body, separators=(",", ":")).encode() + b"\r\n"


def decode_hello(line: bytes) -> Hello | None:
    """The greeting of the other side; None when the line is not one."""
    if not line.startswith(GREETING):
        return None
    try:
        body = json.loads(line[len(GREETING) :])
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    name, cluster, port = body.get("name"), body.get("cluster"), body.get("port")
    user, password, store_id = body.get("user"), body.get("pass"), body.get("store", "")
    if not (isinstance(name, str) and name and isinstance(cluster, str) and isinstance(port, int)):
        return None
    if not (isinstance(user, str) and isinstance(password, str) and isinstance(store_id, str)):
        return None
    has_meta, has_jetstream = body.get("meta") is True, body.get("jetstream") is True
    has_doubts, tags = body.get("doubts") is True, body.get("tags")
    known_tags = [str(tag) for tag in tags] if isinstance(tags, list) else []
    return Hello(name, cluster, port, has_meta, user, password, store_id, has_jetstream, has_doubts, known_tags)


class PeerLink:
    """A connection to one peer. `peer` is "" until its greeting was accepted by the link table."""

    def __init__(self, cid: int, dialled: bool, host: str, port: int) -> None:
        self.cid: Final = cid
        self.dialled: Final = dialled
        self.host: Final = host
        self.port: Final = port
        self.peer: str = ""
        self.name: str = ""
        self.hello: Hello | None = None
        self.close_reason: str = ""
        self.raft_messages: list[Message] = []
        self.answers: Columns = Columns()
        self.requests: dict[int, Columns] = {}
        self.publishes: dict[int, Columns] = {}
        self.acks: dict[int, Columns] = {}
        self.dirty: bool = False
        self.silent_ticks: int = 0  # since the last byte from the peer
        self._spoke: bool = False
        self.in_messages: int = 0
        self.heard_ns: int = 0
        self.out_bytes: int = 0
        self._output: list[bytes] = []
        self.output_bytes: int = 0
        self._line: bytes = b""
        self._reader: FrameReader = FrameReader()

    def on_bytes(self, data: bytes) -> list[bytes]:
        """Bytes from the peer → complete frame bodies. Sets `hello` once; sets `close_reason` on anything wrong."""
        self.silent_ticks = 0
        if self.hello is None:
            data = self._line + data
            self._line = b""
            while self.hello is None:
                end = data.find(b"\n")
                if end < 0:
                    if len(data) > GREETING_LENGTH_MAX:
                        self.close_reason = "greeting too long"
                    self._line = data
                    return []
                line, data = data[:end].rstrip(b"\r"), data[end + 1 :]
                if line.startswith(b"-ERR"):
                    self.close_reason = "refused by peer: " + line[5:].decode("utf-8", "replace")
                    return []
                if line.startswith(b"INFO ") and self.dialled:
                    continue  # the route listener introduces itself to whoever calls
                self.hello = decode_hello(line)
                if self.hello is None:
                    self.close_reason = "not a TernMQ peer"
                    return []
            if not data:
                return []
        try:
            bodies = self._reader.feed(data)
        except FrameError as error:
            self.close_reason = f"bad frame: {error}"
            return []
        self.in_messages += len(bodies)
        return bodies

    def write(self, data: bytes) -> None:
        """Raw bytes (the greeting, an error line)."""
        self._output.append(data)
        self.output_bytes += len(data)

    def write_frame(self, kind: int, parts: list[bytes]) -> None:
        """One frame, now in the output."""
        self._spoke = True
        for part in encode_frame(kind, parts):
            self._output.append(part)
            self.output_bytes += len(part)

    def columns(self, table: dict[int, Columns], group: int) -> Columns | None:
        """The block of this turn for `group`; None when the link holds too much already."""
        if self.output_bytes > OUTPUT_BYTES_MAX:
            return None
        block = table.get(group)
        if block is None:
            block = table[group] = Columns()
        return None if block.bytes > COLUMNS_BYTES_MAX else block

    def flush(self) -> None:
        """Everything gathered since the last flush becomes frames. Raft first: it is what others wait for."""
        if self.raft_messages:
            self._flush_raft()
        if self.answers.count:
            self.write_frame(FRAME_ANSWER, [self.answers.encode()])
            self.answers = Columns()
        if self.acks:
            self._flush_table(FRAME_ACK, self.acks)
            self.acks = {}
        if self.publishes:
            self._flush_table(FRAME_PUBLISH, self.publishes)
            self.publishes = {}
        if self.requests:
            self._flush_table(FRAME_REQUEST, self.requests)
            self.requests = {}
        self.dirty = False

    def _flush_raft(self) -> None:
        """Mostly one frame; peers that catch up in several groups at once get several."""
        messages = self.raft_messages
        self.raft_messages = []
        start = 0
        size = 0
        for at in range(len(messages)):
            weight = messages[at].data_bytes()
            if size + weight > RAFT_FRAME_BYTES and at > start:
                self.write_frame(FRAME_RAFT, encode_messages(messages[start:at]))
                start = at
                size = 0
            size += weight
        self.write_frame(FRAME_RAFT, encode_messages(messages[start:] if start else messages))

    def show_life(self) -> None:
        """Called at an interval: a peer that was told nothing in it is told that we are there."""
        if not self._spoke:
            self.write_frame(FRAME_ALIVE, [])
            self.dirty = True
        self._spoke = False

    def _flush_table(self, kind: int, table: dict[int, Columns]) -> None:
        for group, block in table.items():
            if block.count:
                self.write_frame(kind, [group.to_bytes(8, "little"), block.encode()])

    def take_output(self) -> bytes:
        """All bytes to send."""
        data = b"".join(self._output)
        self._output = []
        self.output_bytes = 0
        self.out_bytes += len(data)
        return data

    def has_output(self) -> bool:
        """Whether `take_output` would return anything."""
        return bool(self._output)
