"""Who a node is: the peer id that every node derives from a server name, as nats-server does.

A server name belongs to one store directory for ever (`storage.wal` refuses another one), so the derived id is as
durable as the store.
"""

import hashlib
from typing import Final

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PEER_ID_LENGTH: Final = 8
META_GROUP: Final = 0


def peer_id(server_name: str) -> str:
    """NATS's eight-character hash of a server name: ``digits[sha256(name)[i] % 62]``."""
    digest = hashlib.sha256(server_name.encode()).digest()
    return "".join(_DIGITS[byte % 62] for byte in digest[:PEER_ID_LENGTH])
