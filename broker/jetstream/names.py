"""Names that nobody else has: ids of advisories, backups and restores, as long and of the letters of NATS's NUIDs."""

import random
from typing import Final

DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_LENGTH: Final = 22


def fresh_id(rng: random.Random) -> str:
    """22 letters and digits."""
    return "".join(DIGITS[rng.randrange(62)] for _ in range(ID_LENGTH))
