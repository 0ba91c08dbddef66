"""The headers by which a publisher talks to a stream, read from a header block.

Keys are matched byte for byte and the first one counts, as in nats-server. Not here: what they do (`publish`).
"""

from typing import Final

PREAMBLE: Final = b"NATS/1.0"
_OURS: Final = b"Nats-"
_LINE_OF_OURS: Final = b"\r\nNats-"
_SCHEDULE: Final = b"Nats-Schedule"
_ONLY_ID: Final = b"NATS/1.0\r\nNats-Msg-Id: "
_ORIGIN: Final = b"\r\nNats-Stream-Source: "
_ONLY_ID_LENGTH: Final = len(_ONLY_ID)
_NUMBER_MAX: Final = (1 << 64) - 1

ABSENT: Final = -1
NOT_A_NUMBER: Final = -2  # never equal to a sequence


def header_value(headers: bytes, key: bytes) -> bytes:
    """The value of a header, without the blanks before it; b"" when it is absent or empty."""
    start = headers.find(b"\r\n" + key + b":")
    if start < 0:
        return b""
    start += 2 + len(key) + 1
    end = headers.find(b"\r\n", start)
    return headers[start:end].lstrip(b" ") if end >= 0 else b""


def remove_header(headers: bytes, key: bytes) -> bytes:
    """The block without any header of this key; b"" when nothing is left."""
    while True:
        start = headers.find(b"\r\n" + key + b":")
        if start < 0:
            return b"" if headers == PREAMBLE + b"\r\n\r\n" else headers
        end = headers.find(b"\r\n", start + 2)
        headers = headers[:start] + headers[end:]


def remove_headers_with(headers: bytes, prefix: bytes) -> bytes:
    """The block without any header whose key begins so; b"" when nothing is left."""
    start = headers.find(b"\r\n" + prefix)
    while start >= 0:
        headers = headers[:start] + headers[headers.find(b"\r\n", start + 2) :]
        start = headers.find(b"\r\n" + prefix)
    return b"" if headers == PREAMBLE + b"\r\n\r\n" else headers


def add_header(headers: bytes, key: bytes, value: bytes) -> bytes:
    """The block with one more header at its end."""
    head = headers[:-2] if headers else PREAMBLE + b"\r\n"
    return b"%b%b: %b\r\n\r\n" % (head, key, value)


def set_header(headers: bytes, key: bytes, value: bytes) -> bytes:
    """The block with this value: where the first header of the key is, else at its end."""
    start = headers.find(b"\r\n" + key + b":")
    if start < 0:
        return add_header(headers, key, value)
    end = headers.find(b"\r\n", start + 2)
    return b"%b\r\n%b: %b%b" % (headers[:start], key, value, headers[end:])


def only_message_id(headers: bytes) -> bytes:
    """The message id where that is all a publisher says, b"" otherwise (which may still be anything)."""
    if headers.startswith(_ONLY_ID) and headers.count(_OURS) == 1:
        return headers[_ONLY_ID_LENGTH : headers.find(b"\r", _ONLY_ID_LENGTH)].lstrip(b" ")
    return b""


def only_origin(headers: bytes) -> bool:
    """Whether all that a message of another stream says to this one is where it came from."""
    return headers.count(_OURS) == 1 and _ORIGIN in headers


def has_our_headers(headers: bytes) -> bool:
    """Whether there may be anything for the stream."""
    return _OURS in headers


class PublishHeaders:
    """All of them, read in one go: what `header_value` would find; numbers are ABSENT or NOT_A_NUMBER where there is
    none."""

    def __init__(self, headers: bytes) -> None:
        self.message_id: bytes = b""
        self.expected_stream: bytes = b""
        self.expected_last_sequence: int = ABSENT
        self.expected_last_subject_sequence: int = ABSENT
        self.expected_subject: bytes = b""
        self.expected_last_message_id: bytes = b""
        self.rollup: bytes = b""
        self.ttl: bytes = b""
        self.increment: bytes = b""
        self.has_schedule: bool = False  # or what else begins so
        self.batch_id: bytes = b""
        self.stream_source: bytes = b""
        start = headers.find(_LINE_OF_OURS)
        if start >= 0:
            self._read(headers, start)

    def _read(self, headers: bytes, start: int) -> None:
        values: dict[bytes, bytes] = {}
        while start >= 0:
            start += 2
            if headers.startswith(_SCHEDULE, start):
                self.has_schedule = True
            end = headers.find(b"\r\n", start)
            if end < 0:
                break
            colon = headers.find(b":", start, end)
            if colon >= 0:
                key = headers[start:colon]
                if key not in values:
                    values[key] = headers[colon + 1 : end].lstrip(b" ")
            start = headers.find(_LINE_OF_OURS, end)
        self.batch_id = values.pop(b"Nats-Batch-Id", b"")
        values.pop(b"Nats-Batch-Sequence", b"")
        if not values:
            return
        self.message_id = values.get(b"Nats-Msg-Id", b"")
        self.expected_stream = values.get(b"Nats-Expected-Stream", b"")
        self.expected_last_sequence = _number(values.get(b"Nats-Expected-Last-Sequence", b""))
        self.expected_last_subject_sequence = _number(values.get(b"Nats-Expected-Last-Subject-Sequence", b""))
        self.expected_subject = values.get(b"Nats-Expected-Last-Subject-Sequence-Subject", b"")
        self.expected_last_message_id = values.get(b"Nats-Expected-Last-Msg-Id", b"")
        self.rollup = values.get(b"Nats-Rollup", b"").lower()
        self.ttl = values.get(b"Nats-TTL", b"")
        self.increment = values.get(b"Nats-Incr", b"")
        self.stream_source = values.get(b"Nats-Stream-Source", b"")


def _number(value: bytes) -> int:
    """Go's parseInt64: digits only."""
    if not value:
        return ABSENT
    if not value.isdigit():
        return NOT_A_NUMBER
    number = int(value) if len(value) <= 20 else _NUMBER_MAX + 1
    return number if number <= _NUMBER_MAX else NOT_A_NUMBER


def strip_status(header_length: int, data: bytes) -> tuple[int, bytes]:
    """A message without the status line a publisher put there; only a status leaves no headers at all."""
    end = data.find(b"\r\n")
    if end <= len(PREAMBLE) or end > header_length or not data.startswith(PREAMBLE):
        return header_length, data
    rest = data[end:header_length]
    if rest == b"\r\n\r\n":
        return 0, data[header_length:]
    stripped = PREAMBLE + rest
    return len(stripped), stripped + data[header_length:]
