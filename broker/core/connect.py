"""CONNECT: the JSON a client introduces itself with.

Is: `ConnectOptions`, with what is said in one or more CONNECTs; absent keys keep their value, as in the reference.
Is not: their consequences (`session`). Invariants: malformed JSON and wrong types are refused as a whole with
`ConnectError` (the one exception that leaves this module, caught by the session); unknown keys are ignored.
Read next: `session.py`.
"""

import json
from typing import Final

_BOOLEANS: Final = ("verbose", "pedantic", "tls_required", "echo", "headers", "no_responders", "new_account")
_STRINGS: Final = ("user", "pass", "auth_token", "name", "lang", "version", "account", "jwt", "nkey", "sig")
_KNOWN: Final = {name: name for name in (*_BOOLEANS, *_STRINGS, "protocol")}


class ConnectError(Exception):
    """The document is not what a CONNECT may hold."""


class ConnectOptions:
    """Defaults are what a connection is that never says CONNECT."""

    def __init__(self) -> None:
        self.verbose: bool = True
        self.pedantic: bool = True
        self.echo: bool = True
        self.headers: bool = False
        self.no_responders: bool = False
        self.protocol: int = 0
        self.user: str = ""
        self.password: str = ""
        self.token: str = ""
        self.name: str = ""
        self.lang: str = ""
        self.version: str = ""
        self.names_account: bool = False  # `account` or `new_account`, which nobody may say any more

    def update(self, document: bytes) -> None:
        """Take over what one CONNECT says; raises ConnectError and changes nothing when it is malformed."""
        flags: dict[str, bool] = {}
        texts: dict[str, str] = {}
        protocol = self.protocol
        for given, value in parse_object(document).items():
            key = _KNOWN.get(given) or _KNOWN.get(given.lower())
            if key is None or value is None:
                continue
            if key in _BOOLEANS:
                if not isinstance(value, bool):
                    raise ConnectError(f"{key} is not a boolean")
                flags[key] = value
            elif key in _STRINGS:
                if not isinstance(value, str):
                    raise ConnectError(f"{key} is not a string")
                texts[key] = _whole(value)
            elif isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 63:
                raise ConnectError(f"{key} is not an integer")
            else:
                protocol = value
        self.protocol = protocol
        self._take_flags(flags)
        self._take_texts(texts)

    def _take_flags(self, flags: dict[str, bool]) -> None:
        self.verbose = flags.get("verbose", self.verbose)
        self.pedantic = flags.get("pedantic", self.pedantic)
        self.echo = flags.get("echo", self.echo)
        self.headers = flags.get("headers", self.headers)
        self.no_responders = flags.get("no_responders", self.no_responders)
        self.names_account = flags.get("new_account", self.names_account)

    def _take_texts(self, texts: dict[str, str]) -> None:
        self.user = texts.get("user", self.user)
        self.password = texts.get("pass", self.password)
        self.token = texts.get("auth_token", self.token)
        self.name = texts.get("name", self.name)
        self.lang = texts.get("lang", self.lang)
        self.version = texts.get("version", self.version)
        self.names_account = self.names_account or bool(texts.get("account", ""))


def _refuse_constant(text: str) -> object:
    raise ValueError(text)


def parse_object(document: bytes) -> dict[str, object]:
    """A JSON object, `null` for an empty one; raises ConnectError."""
    try:
        parsed = json.loads(document.decode("utf-8", "replace"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ConnectError(str(error)) from error
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise ConnectError("not an object")
    return parsed


def _whole(text: str) -> str:
    """Without lone surrogates, which no encoder of ours would take."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
