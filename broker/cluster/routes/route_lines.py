"""The lines of the route protocol: bytes in any cuts → operations, and operations → bytes.

Is: RS+ RS- RMSG HMSG INFO CONNECT PING PONG -ERR, and nats-server's leaf node and account lines, which are skipped.
Is not: the meaning of any of them (`route_session`, `route_traffic`).
Invariants: the result does not depend on how the bytes were cut; nothing longer than the stated bounds is buffered;
after OP_BAD the reader says nothing more.
Read next: `route_session.py`.
"""

from typing import Final

from mypy_extensions import i64

OP_NONE: Final = 0  # more bytes are needed
OP_BAD: Final = 1
OP_SKIPPED: Final = 2
OP_CONNECT: Final = 3
OP_INFO: Final = 4
OP_PING: Final = 5
OP_PONG: Final = 6
OP_ERR: Final = 7
OP_INTEREST: Final = 8  # RS+
OP_INTEREST_END: Final = 9  # RS-
OP_MESSAGE: Final = 10  # RMSG, HMSG

LINE_LENGTH_MAX: Final = 64 * 1024
PAYLOAD_LENGTH_MAX: Final = 64 * 1024 * 1024
SIZE_DIGITS_MAX: Final = 9
WEIGHT_MAX: Final = 1_000_000
ACCOUNT: Final = b"$G"


class RouteReader:
    """Feed bytes, then call `next` until OP_NONE or OP_BAD; the arguments of an operation are the attributes."""

    def __init__(self) -> None:
        self.document: bytes = b""  # INFO, CONNECT: the JSON; -ERR: the text
        self.account: bytes = b""
        self.subject: bytes = b""
        self.queue: bytes = b""
        self.weight: int = 0
        self.reply: bytes = b""
        self.queues: list[bytes] = []
        self.header_length: int = 0
        self.data: bytes = b""  # headers and payload
        self._buffer: bytes = b""
        self._position: int = 0
        self._parts: list[bytes] = []  # what came after the buffer
        self._missing: int = 0  # as many bytes must come before it is worth looking again
        self._payload_length: int = -1  # a message line was read; its payload follows
        self._is_bad: bool = False
        # Publishers repeat their line: the last message line whose arguments still stand in the attributes.
        self._message_memo: bytes = b""
        self._message_size: int = 0

    def feed(self, data: bytes) -> None:
        if not self._is_bad:
            self._parts.append(data)
            self._missing -= len(data)

    def rest(self) -> bytes:
        """Everything that was fed and not yet read."""
        return self._buffer[self._position :] + b"".join(self._parts)

    def next(self) -> int:
        if self._is_bad or (self._missing > 0 and self._parts):
            return OP_NONE
        if self._parts:
            if self._position == len(self._buffer) and len(self._parts) == 1:
                self._buffer = self._parts[0]
            else:
                self._buffer = self._buffer[self._position :] + b"".join(self._parts)
            self._parts = []
            self._position = 0
        if self._payload_length >= 0:
            return self._payload()
        position: i64 = self._position
        if self._message_memo and self._buffer.startswith(self._message_memo, position):
            self._position = int(position) + len(self._message_memo)
            self._payload_length = self._message_size
            return self._payload()
        end: i64 = self._buffer.find(b"\n", position)
        if end < 0:
            self._missing = 1
            return self._bad() if len(self._buffer) - position > LINE_LENGTH_MAX else OP_NONE
        if end - position > LINE_LENGTH_MAX:
            return self._bad()
        line = self._buffer[position : end + 1]
        self._position = int(end) + 1
        return self._operation(line)

    def _bad(self) -> int:
        self._is_bad = True
        self._buffer = b""
        self._position = 0
        self._parts = []
        return OP_BAD

    def _operation(self, line: bytes) -> int:
        words = line.split()
        if not words:
            return self._bad()
        verb = words[0].upper()
        if verb == b"RMSG" or verb == b"HMSG":
            self._message_memo = b""
            return self._message_line(line, words, verb == b"HMSG")
        if verb == b"RS+" or verb == b"RS-":
            self._message_memo = b""
        if verb == b"RS+":
            return self._interest(words)
        if verb == b"RS-":
            return self._interest_end(words)
        if verb == b"PING":
            return OP_PING
        if verb == b"PONG":
            return OP_PONG
        if verb == b"INFO" or verb == b"CONNECT" or verb == b"-ERR":
            self.document = line[len(verb) :].strip()
            return OP_INFO if verb == b"INFO" else OP_CONNECT if verb == b"CONNECT" else OP_ERR
        if verb == b"LS+" or verb == b"LS-" or verb == b"A+" or verb == b"A-" or verb == b"+OK":
            return OP_SKIPPED
        return self._bad()

    def _interest(self, words: list[bytes]) -> int:
        """`RS+ <account> <subject> [<queue> <weight>]`"""
        count = len(words)
        if count != 3 and count != 5:
            return self._bad()
        self.account = words[1]
        self.subject = words[2]
        self.queue = b""
        self.weight = 1
        if count == 5:
            self.queue = words[3]
            # A missing or malformed weight counts as one member.
            weight = parse_size(words[4])
            self.weight = 1 if weight < 1 else weight if weight < WEIGHT_MAX else WEIGHT_MAX
        return OP_INTEREST

    def _interest_end(self, words: list[bytes]) -> int:
        """`RS- <account> <subject> [<queue>]`"""
        count = len(words)
        if count != 3 and count != 4:
            return self._bad()
        self.account = words[1]
        self.subject = words[2]
        self.queue = words[3] if count == 4 else b""
        return OP_INTEREST_END

    def _message_line(self, line: bytes, words: list[bytes], has_headers: bool) -> int:
        """`RMSG <account> <subject> [<reply> | + <reply> <queues>… | | <queues>…] [<header size>] <size>`"""
        tail = 2 if has_headers else 1
        count = len(words) - tail  # words before the sizes
        if count < 3:
            return self._bad()
        size = parse_size(words[-1])
        header_length = parse_size(words[-2]) if has_headers else 0
        if size < 0 or size > PAYLOAD_LENGTH_MAX or header_length < 0 or header_length > size:
            return self._bad()
        self.account = words[1]
        self.subject = words[2]
        self.reply = b""
        self.queues = []
        if count == 4:
            self.reply = words[3]
        elif count > 4:
            if words[3] == b"+":
                self.reply = words[4]
                self.queues = words[5:count]
            elif words[3] == b"|":
                self.queues = words[4:count]
            else:
                return self._bad()
        self.header_length = header_length
        self._payload_length = size
        self._message_memo = line
        self._message_size = size
        return self._payload()

    def _payload(self) -> int:
        start: i64 = self._position
        end: i64 = start + self._payload_length
        available: i64 = len(self._buffer)
        if available < end + 2:
            self._missing = int(end + 2 - available)
            return OP_NONE
        if self._buffer[end] != 13 or self._buffer[end + 1] != 10:  # \r\n
            return self._bad()
        self.data = self._buffer[start:end]
        self._position = int(end) + 2
        self._payload_length = -1
        return OP_MESSAGE


def parse_size(word: bytes) -> int:
    """A number of at most nine digits; -1 for anything else."""
    if len(word) > SIZE_DIGITS_MAX or not word.isdigit():
        return -1
    return int(word)


def interest_line(subject: bytes, queue: bytes, weight: int) -> bytes:
    """RS+ for a weight above zero, RS- for zero."""
    if weight <= 0:
        return b"RS- $G " + subject + (b" " + queue if queue else b"") + b"\r\n"
    if queue:
        return b"RS+ $G %b %b %d\r\n" % (subject, queue, weight)
    return b"RS+ $G " + subject + b"\r\n"


def message_bytes(subject: bytes, reply: bytes, queues: list[bytes], header_length: int, data: bytes) -> bytes:
    """RMSG, or HMSG when there are headers, with its payload."""
    verb = b"HMSG $G " if header_length else b"RMSG $G "
    if queues:
        target = (b" + " + reply if reply else b" |") + b" " + b" ".join(queues)
    else:
        target = b" " + reply if reply else b""
    sizes = b" %d %d\r\n" % (header_length, len(data)) if header_length else b" %d\r\n" % len(data)
    return b"".join([verb, subject, target, sizes, data, b"\r\n"])
