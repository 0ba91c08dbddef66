"""The meta group's entries as bytes: one CBOR map each, with a key ``op``.

Not here: what they do (`meta`), who proposes them (`api_meta` and its neighbours).
"""

from typing import Final

import cbor2

from broker.jetstream.config.stream_config import StreamConfig

OP_CREATE: Final = "create"
OP_UPDATE: Final = "update"
OP_DELETE: Final = "delete"
OP_PEERS: Final = "peers"
OP_REPLACE: Final = "replace"
OP_SETTLED: Final = "settled"
OP_RESTORED: Final = "restored"
OP_REMOVED: Final = "removed"
OP_RETURNED: Final = "returned"


def create_op(
    config: StreamConfig,
    peers: list[str],
    wall_ns: int,
    reply: bytes,
    origin: str,
    host: int = 0,
    restoring: bool = False,
) -> bytes:
    """The entry that creates a stream; in the group `host` where it is given; hidden while it is `restoring`."""
    return encode_entry(
        {
            "op": OP_CREATE,
            "config": config.to_json(),
            "peers": peers,
            "time": wall_ns,
            "reply": reply,
            "origin": origin,
            "host": host,
            "restoring": restoring,
        }
    )


def update_op(
    config: StreamConfig,
    reply: bytes,
    origin: str,
    peers: list[str] | None = None,
    moving: bool = False,
    excluded: str = "",
    kind: str = "",
    refounds: bool = False,
) -> bytes:
    """The entry that gives a stream a new configuration, and other peers where they are given. `kind`: the type of the
    answer, where it is no plain one. `refounds`: nobody has the stream any more, and it begins again, empty."""
    return encode_entry(
        {
            "op": OP_UPDATE,
            "config": config.to_json(),
            "reply": reply,
            "origin": origin,
            "peers": peers,
            "moving": moving,
            "excluded": excluded,
            "kind": kind,
            "refounds": refounds,
        }
    )


def settled_op(group: int, revision: int, peers: list[str], log: list[int]) -> bytes:
    """The entry that says: these peers, sorted, and nobody else, are members of the group since that revision.
    `log`: an index of the group's log behind the change, and the term in which it was committed."""
    return encode_entry({"op": OP_SETTLED, "group": group, "revision": revision, "peers": peers, "log": log})


def restored_op(group: int, reply: bytes, origin: str) -> bytes:
    """The entry that shows a stream which was restored."""
    return encode_entry({"op": OP_RESTORED, "group": group, "reply": reply, "origin": origin})


def delete_op(name: str, reply: bytes, origin: str, teller: str) -> bytes:
    """The entry that deletes a stream; `teller`, its leader as far as known, tells who asked for that when it has
    stopped serving it. A peer is named, as leadership may just be changing and nobody have it then."""
    return encode_entry({"op": OP_DELETE, "name": name, "reply": reply, "origin": origin, "teller": teller})


def removed_op(peer: str) -> bytes:
    """The entry by which an operator takes a server out of the cluster."""
    return encode_entry({"op": OP_REMOVED, "peer": peer})


def returned_op(peer: str) -> bytes:
    """The entry by which it may come in again."""
    return encode_entry({"op": OP_RETURNED, "peer": peer})


def peers_op(names: dict[str, str]) -> bytes:
    """The entry that teaches names of peers (peer id → server name)."""
    return encode_entry({"op": OP_PEERS, "names": names})


def replace_op(old: str, new: str) -> bytes:
    """The entry that assigns to the peer `new` everything that `old`, whose store is lost, held."""
    return encode_entry({"op": OP_REPLACE, "old": old, "new": new})


def encode_entry(entry: dict[str, object]) -> bytes:
    """CBOR."""
    return bytes(cbor2.dumps(entry))
