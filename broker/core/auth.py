"""Who may connect: users with passwords, one user, or a token; plain or as a bcrypt hash.

Is: `Authenticator`, made once from the configuration, and `PasswordCheck`, the comparison one CONNECT needs. A bcrypt
comparison takes tenths of a second, so a check can be run elsewhere: `run` touches nothing but itself.
Is not: permissions. Invariants: comparisons of plain secrets take constant time; an unknown user costs nothing more and
nothing less than the reference server's answer: a refusal.
Read next: `session.py`.
"""

import hmac
import re
from typing import Final

import bcrypt

_BCRYPT: Final = re.compile(r"^\$2[abxy]\$\d{2}\$.*")


def is_bcrypt(secret: str) -> bool:
    return _BCRYPT.match(secret) is not None


class PasswordCheck:
    """`secret` is the server's, `given` the client's. After `run`, `accepted` is the verdict."""

    def __init__(self, secret: str, given: str) -> None:
        self.secret: Final = secret
        self.given: Final = given
        self.accepted: bool = False

    @property
    def is_slow(self) -> bool:
        return is_bcrypt(self.secret)

    def run(self) -> None:
        given = self.given.encode("utf-8", "surrogatepass")
        secret = self.secret.encode("utf-8", "surrogatepass")
        if not is_bcrypt(self.secret):
            self.accepted = hmac.compare_digest(given, secret)
            return
        try:
            self.accepted = bcrypt.checkpw(given[:72], secret)  # the algorithm looks at no more
        except ValueError:
            self.accepted = False


class Authenticator:
    """Everybody may connect when neither users nor a token are given."""

    def __init__(self, users: dict[str, str] | None = None, token: str = "") -> None:
        self.users: Final[dict[str, str]] = users or {}  # name → password or hash
        self.token: Final = token
        self.required: Final = bool(self.users or token)

    def check(self, user: str, password: str, token: str) -> PasswordCheck | None:
        """What must be compared; None when the answer is no already. Only where `required`."""
        secret = self.users.get(user) if user else None
        if secret is not None:
            return PasswordCheck(secret, password)
        if self.token:
            return PasswordCheck(self.token, token)
        return None

    def still_accepts(self, user: str, before: "Authenticator") -> bool:
        """Whether somebody whom `before` let in as `user` ("": by token, or unasked) need not be asked again."""
        if not self.required:
            return True
        if user in self.users:
            return self.users[user] == before.users.get(user)
        return self.token != "" and self.token == before.token
