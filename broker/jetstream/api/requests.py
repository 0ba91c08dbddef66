"""Which request a message on an API subject is, who answers it, and what an answer is.

`parse` splits `$JS.API.<verb>.<stream>.<consumer>…`. Reads and changes of one stream are answered by the leader of
its group (`api/streams`, `api/messages`, `api/consumers`), creation and lists by the meta leader's node, direct gets
by any replica.

Not here: dispatch between nodes (`broker/cluster`), and what a request does.
"""

from collections.abc import Callable
from typing import Final, Protocol

from broker.jetstream.config.server_limits import ServerLimits
from broker.jetstream.delivery.delivery import Delivery
from broker.jetstream.stream import StreamMachine

API_PREFIX: Final = "$JS.API."

ANY: Final = 0  # whichever node hears it
META: Final = 1  # the meta leader's node
STREAM: Final = 2  # the leader of the stream's group
REPLICA: Final = 3  # any node that holds the stream, the leader first

# verb → (tokens that follow at least, where)
_VERBS: Final[dict[str, tuple[int, int]]] = {
    "INFO": (0, META),
    "STREAM.CREATE": (1, META),
    "STREAM.UPDATE": (1, META),
    "STREAM.RESTORE": (1, META),
    "STREAM.DELETE": (1, META),
    "STREAM.NAMES": (0, META),
    "STREAM.LIST": (0, META),
    "STREAM.INFO": (1, STREAM),
    "STREAM.PURGE": (1, STREAM),
    "STREAM.LEADER.STEPDOWN": (1, STREAM),
    "STREAM.SNAPSHOT": (1, STREAM),
    "STREAM.MSG.GET": (1, STREAM),
    "STREAM.MSG.DELETE": (1, STREAM),
    "DIRECT.GET": (1, REPLICA),
    "CONSUMER.CREATE": (1, STREAM),
    "CONSUMER.DURABLE.CREATE": (2, STREAM),
    "CONSUMER.NAMES": (1, STREAM),
    "CONSUMER.LIST": (1, STREAM),
    "CONSUMER.INFO": (2, STREAM),
    "CONSUMER.DELETE": (2, STREAM),
    "CONSUMER.PAUSE": (2, STREAM),
    "CONSUMER.RESET": (2, STREAM),
    "CONSUMER.UNPIN": (2, STREAM),
    "CONSUMER.LEADER.STEPDOWN": (2, STREAM),
    "CONSUMER.PEER.REMOVE": (2, STREAM),
    "CONSUMER.PEER.EVACUATE": (2, STREAM),
    "CONSUMER.MSG.NEXT": (2, STREAM),
    "META.LEADER.STEPDOWN": (0, META),
    "META.RESCUE": (0, META),
    "SERVER.EVACUATE": (0, META),
    "SERVER.REMOVE": (0, META),
    "STREAM.PEER.REMOVE": (1, META),
    "STREAM.PEER.EVACUATE": (1, META),
    "STREAM.CANCEL_MOVE": (1, META),
    "ACCOUNT.PURGE": (1, META),
    "ACCOUNT.STREAM.MOVE": (2, META),
    "ACCOUNT.STREAM.CANCEL_MOVE": (2, META),
}
_KINDS: Final[dict[str, str]] = {
    "STREAM.PEER.REMOVE": "stream_remove_peer_response",
    "STREAM.PEER.EVACUATE": "stream_evacuate_peer_response",
    "CONSUMER.PEER.REMOVE": "consumer_remove_peer_response",
    "CONSUMER.PEER.EVACUATE": "consumer_evacuate_peer_response",
    "SERVER.EVACUATE": "meta_server_evacuate_response",
    "SERVER.REMOVE": "meta_server_remove_response",
    "ACCOUNT.STREAM.MOVE": "stream_update_response",
    "ACCOUNT.STREAM.CANCEL_MOVE": "stream_cancel_move_response",
}
_OPEN_ENDED: Final = ("CONSUMER.CREATE", "DIRECT.GET")  # may carry a subject behind the fixed tokens


class ApiSubject:
    """A parsed API subject; `rest` is what follows stream (and consumer), joined with dots."""

    def __init__(self, verb: str, place: int, stream: str, consumer: str, rest: str) -> None:
        self.verb: Final = verb
        self.place: Final = place
        self.stream: Final = stream
        self.consumer: Final = consumer
        self.rest: Final = rest


def parse(subject: bytes) -> ApiSubject | None:
    """The request a subject names; None when it is none that is known."""
    try:
        text = subject.decode()
    except UnicodeDecodeError:
        return None
    if not text.startswith(API_PREFIX):
        return None
    tokens = text[len(API_PREFIX) :].split(".")
    for words in (3, 2, 1):
        if len(tokens) < words:
            continue
        verb = ".".join(tokens[:words])
        found = _VERBS.get(verb)
        if found is None:
            continue
        needed, place = found
        following = tokens[words:]
        if "" in following or len(following) < needed:
            return None
        if len(following) > needed and verb not in _OPEN_ENDED:
            return None
        stream = following[0] if following else ""
        if verb == "DIRECT.GET":
            return ApiSubject(verb, place, stream, "", ".".join(following[1:]))
        consumer = following[1] if len(following) > 1 else ""
        return ApiSubject(verb, place, stream, consumer, ".".join(following[2:]))
    return None


def response_kind(verb: str) -> str:
    """The `type` of an answer to a verb; "" where the answer is no JSON (messages)."""
    if verb in ("CONSUMER.MSG.NEXT", "DIRECT.GET"):
        return ""
    if verb == "INFO":
        return "account_info_response"
    if verb == "CONSUMER.DURABLE.CREATE":
        return "consumer_create_response"
    return _KINDS.get(verb) or verb.lower().replace(".", "_") + "_response"


def is_lone(info: object) -> bool:
    """Whether a `cluster` object is that of a server without a cluster, which only names itself."""
    return isinstance(info, dict) and "name" not in info


class Reply:
    """Answer now; `headers` is a complete header block or b""."""

    def __init__(self, payload: bytes, headers: bytes = b"") -> None:
        self.payload: Final = payload
        self.headers: Final = headers


class Propose:
    """Append an operation; `respond` turns what the machine gives to `EffectSink.done` into the answer's payload."""

    def __init__(self, kind: int, body: bytes, respond: Callable[[object], bytes]) -> None:
        self.kind: Final = kind
        self.body: Final = body
        self.respond: Final = respond


class Replies:
    """Answer now, with several messages in order."""

    def __init__(self, replies: list[Reply]) -> None:
        self.replies: Final = replies


ApiAnswer = Reply | Replies | Propose | None


class StreamLeader(Protocol):
    """The leader of a stream's group, as the API sees it."""

    @property
    def machine(self) -> StreamMachine:
        """The stream."""

    @property
    def delivery(self) -> Delivery:
        """The leader's side of its consumers."""

    @property
    def wall_ns(self) -> int:
        """The time of this turn."""

    def alternates(self) -> list[dict[str, object]]:
        """Where the messages can be read, this stream included; [] when only here."""

    def sources_info(self) -> dict[str, object]:
        """`mirror` or `sources` of an INFO, {} without them."""

    def limits(self) -> ServerLimits:
        """What this server allows consumers."""

    def domain(self) -> str:
        """JetStream's domain, "" without one."""

    def cluster_info(self) -> dict[str, object] | None:
        """`cluster` of an INFO: name, leader, replicas …"""
