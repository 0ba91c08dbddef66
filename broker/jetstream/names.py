"""Names of NATS's 62 letters and digits: drawn ones, which nobody else has, and short hashes of other names."""

import hashlib
import random
from typing import Final

ID_LENGTH: Final = 22  # of a NUID: advisories, backups, pins
HASH_LENGTH: Final = 8
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def fresh_id(rng: random.Random, length: int = ID_LENGTH) -> str:
    """So many letters and digits, by chance."""
    return "".join(_DIGITS[rng.randrange(62)] for _ in range(length))


def short_hash(text: str) -> str:
    """Eight letters and digits that nats-server makes of a name: `digits[sha256(text)[i] % 62]`."""
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(_DIGITS[byte % 62] for byte in digest[:HASH_LENGTH])
