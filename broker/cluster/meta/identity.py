"""Who a node is: the peer id that every node derives from a server's name and the id of its store.

A server name belongs to one store directory for ever (`storage.identity` refuses another one), and a store has an id of
its own, so a peer id is as durable as the promises made under it: who comes back with an empty disk is another peer.
People are shown nats-server's id, which is made of the name alone.
"""

from typing import Final

from broker.jetstream.names import short_hash

META_GROUP: Final = 0


def peer_id(server_name: str, store_id: str = "") -> str:
    """Eight characters, ``digits[sha256(text)[i] % 62]``. The text is the name (then it is NATS's hash of it: a node
    without a store, or with one of an older version), or name, NUL, store id."""
    text = f"{server_name}\0{store_id}" if store_id else server_name
    return short_hash(text)
