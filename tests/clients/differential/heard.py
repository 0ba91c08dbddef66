"""What a client heard, written so that two servers can be compared: one text a message.

Only what no two runs have alike is replaced: times, generated names and ids, who the client is. Everything else stays
as it came: subjects, header blocks, JSON keys, values and their types, and where a payload is no JSON its bytes.
"""

from __future__ import annotations

import json
import re

ZERO_TIME = "0001-01-01T00:00:00Z"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z")
_ACK = re.compile(r"(\$JS\.ACK\.[^. ]+\.[^. ]+\.\d+\.\d+\.\d+)\.(\d{19})\.(\d+)")
_FLOW = re.compile(r"(\$JS\.FC\.[^. ]+\.[^. ]+)\.\w{4}\b")
_TIMES = ("created", "first_ts", "last_ts", "last_active", "ts", "time", "timestamp", "leader_since")
_INNER = ("request", "response")  # of an audit of the API: JSON in a text
_ANY = ("id", "client", "ack_time", "server", "server_id", "pause_remaining")


class Message:
    """One message as it came."""

    def __init__(self, sid: str, subject: str, reply: str, headers: bytes, payload: bytes) -> None:
        self.sid = sid
        self.subject = subject
        self.reply = reply
        self.headers = headers
        self.payload = payload

    def is_delivery(self) -> bool:
        """It wants an acknowledgement."""
        return self.reply.startswith("$JS.ACK.")

    def is_status(self) -> bool:
        """It says how a request ended."""
        return self.headers.startswith(b"NATS/1.0 ")

    def decoded(self) -> dict[str, object]:
        """The JSON object it carries; {} when it is none."""
        try:
            value = json.loads(self.payload)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def told(self) -> str:
        """As text, without what differs in any two runs."""
        parts = [self.subject]
        if self.reply:
            parts.append("reply " + _FLOW.sub(r"\1.<id>", _ACK.sub(r"\1.<time>.\3", self.reply)))
        if self.headers:
            parts.append(repr(_headers(self.headers)))
        value = self.decoded()
        text = self.payload.decode("utf-8", "backslashreplace")
        if value:
            text = json.dumps(_alike(value), indent=1, ensure_ascii=False)
        elif len(text) > 400:
            text = f"{text[:200]}… ({len(text)} characters)"
        return "\n".join([" ".join(parts), text] if text else [" ".join(parts)])


def _headers(block: bytes) -> str:
    text = block.decode("utf-8", "backslashreplace")
    text = re.sub(r"(Nats-Time-Stamp: )(\S+)\r\n", lambda found: found[1] + _time(found[2]) + "\r\n", text)
    return _FLOW.sub(r"\1.<id>", _ACK.sub(r"\1.<time>.\3", text))


def _time(value: object) -> str:
    """A time is as good as another if it is one, written as Go writes it."""
    return "<time>" if isinstance(value, str) and value != ZERO_TIME and _TIME.fullmatch(value) else str(value)


def _inner(text: str) -> object:
    try:
        return _alike(json.loads(text))
    except ValueError:
        return text


def _alike(value: object) -> object:
    if isinstance(value, list):
        return [_alike(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = {}
    for key, item in value.items():
        if key in _TIMES:
            item = _time(item)
        elif key in _ANY or (key == "active" and item != -1):  # -1 is never
            item = "<any>"
        elif key in _INNER and isinstance(item, str):
            item = _inner(item)
        elif key == "description" and isinstance(item, str):
            item = _ACK.sub(r"\1.<time>.\3", item)
        elif key == "api":
            item = {name: item[name] if name == "level" else "<any>" for name in item}
        else:
            item = _alike(item)
        fields[key] = item
    return fields
