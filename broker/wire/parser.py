"""Client bytes → operations, in whatever pieces they come.

Is: `Parser`. `feed` bytes, then call `next` until OP_NONE; the arguments of an operation are attributes until the next
call. Nothing is allocated per message but its argument slices.
Is not: a judgement on the operation (`core.session`), or the lines of routes (`cluster.route_lines`).
Invariants: the operations do not depend on how the bytes were cut; no more is kept than one control line or one message
and the piece that completed it; after OP_FAILED nothing more is said. Grammar and fates are nats-server's, with its
oddities: the first byte of the arguments is never a line end, bytes behind PING are ignored, payloads must end in CRLF.
Read next: `errors.py`, `core/session.py`.
"""

from typing import Final

from mypy_extensions import i64

from broker.wire.errors import (
    ERR_AUTHORIZATION,
    ERR_MAX_CONTROL_LINE,
    ERR_MAX_PAYLOAD,
    ERR_UNKNOWN_OPERATION,
    PROTOCOL_VIOLATION,
    ProtocolError,
    go_quote,
)
from broker.wire.words import digits, parse_size, words_of

OP_NONE: Final = 0  # more bytes are needed
OP_PUB: Final = 1  # PUB and HPUB, with the whole payload
OP_SUB: Final = 2
OP_UNSUB: Final = 3
OP_CONNECT: Final = 4
OP_PING: Final = 5
OP_PONG: Final = 6
OP_INFO: Final = 7
OP_OK: Final = 8
OP_ERR: Final = 9
OP_FAILED: Final = 10  # `error` says why; the connection must be closed

ERR_ARGUMENTS: Final = ProtocolError("", PROTOCOL_VIOLATION)  # closed without a word

_PUB_START: Final = 4  # length of "PUB "
_CONTROL: Final = 32
_SNIPPET: Final = 32  # so much of what is not understood is shown
_VERBS: Final[dict[int, tuple[bytes, ...]]] = {
    67: (b"CONNECT",),
    72: (b"HPUB", b"HMSG"),
    73: (b"INFO",),
    80: (b"PUB", b"PING", b"PONG"),
    83: (b"SUB",),
    85: (b"UNSUB",),
    43: (b"+OK",),
    45: (b"-ERR",),
}
_BARE: Final = (b"PING", b"PONG", b"+OK")  # anything may follow, up to the line end
_GLUED: Final = (b"CONNECT", b"INFO")  # arguments may follow without a blank
_BARE_OPS: Final = {b"PING": OP_PING, b"PONG": OP_PONG, b"+OK": OP_OK}
_DOCUMENT_OPS: Final = {b"CONNECT": OP_CONNECT, b"INFO": OP_INFO, b"-ERR": OP_ERR}


class Parser:
    def __init__(self, max_control_line: int, max_payload: int) -> None:
        self.max_control_line: i64 = max_control_line
        self.max_payload: i64 = max_payload
        self.awaits_connect: bool = False  # nothing but CONNECT is accepted
        self.accepts_headers: bool = False
        self.error: ProtocolError | None = None
        self.complaint: str = ""  # with `error`: what the log should say of it
        # PUB: subject, reply, sizes. SUB: subject, queue, sid. UNSUB: sid, maximum (-1: none, or not a number).
        self.subject: bytes = b""
        self.reply: bytes = b""
        self.queue: bytes = b""
        self.sid: bytes = b""
        self.maximum: int = -1
        self.header_length: i64 = 0
        self.size: i64 = 0  # headers and payload together
        self.document: bytes = b""  # CONNECT, INFO: the JSON; -ERR: the text
        self._buffer: bytes = b""
        self._end: i64 = 0
        self._position: i64 = 0
        self._line_start: i64 = 0  # of the last publish; -1 when its line is no longer in the buffer
        self._body_start: i64 = 0
        self._awaits_body: bool = False
        self._held: bytearray | None = None  # a payload that comes in pieces
        self._held_need: i64 = 0

    # Bytes in

    def feed(self, data: bytes) -> None:
        if self.error is not None:
            return
        held = self._held
        if held is not None:
            held += data
            size = self._held_need - 2
            if len(held) < self._held_need and not (len(held) > size and held[size] != 13):
                return
            self._held = None
            self._buffer = bytes(held)
            self._body_start = 0
            self._line_start = -1
        elif self._position >= self._end:
            self._buffer = data
        else:
            self._buffer = self._buffer[self._position :] + data
        self._position = 0
        self._end = len(self._buffer)

    def buffered_bytes(self) -> int:
        """How much is kept for operations that are not complete."""
        held = self._held
        return len(held) if held is not None else int(self._end - self._position)

    # Operations out

    def next(self) -> int:
        if self.error is not None:
            return OP_FAILED
        if self._awaits_body:
            if self._held is not None:
                return OP_NONE
            return self._body()
        position = self._position
        if position >= self._end:
            self._buffer = b""
            self._position = 0
            self._end = 0
            return OP_NONE
        if not self.awaits_connect:
            buffer = self._buffer
            if (
                position + 5 < self._end
                and buffer[position] == 80
                and buffer[position + 1] == 85
                and buffer[position + 2] == 66
                and buffer[position + 3] == 32
            ):
                return self._publish_line(position, position + 4, False)
            if (
                position + 6 < self._end
                and self.accepts_headers
                and buffer[position] == 72
                and buffer[position + 1] == 80
                and buffer[position + 2] == 85
                and buffer[position + 3] == 66
                and buffer[position + 4] == 32
            ):
                return self._publish_line(position, position + 5, True)
        return self._any_line(position)

    def line(self) -> bytes:
        """The line of the last publish with its CRLF, when it may be memoised; b"" otherwise."""
        if self._line_start < 0:
            return b""
        return self._buffer[self._line_start : self._body_start]

    def body(self) -> bytes:
        """Headers and payload of the last publish, with the CRLF."""
        return self._buffer[self._body_start : self._body_start + self.size + 2]

    def data(self) -> bytes:
        """Headers and payload of the last publish."""
        return self._buffer[self._body_start : self._body_start + self.size]

    def skip_run(self, line: bytes, size: i64) -> int:
        """How many complete messages with exactly this line come next; they are passed over."""
        buffer = self._buffer
        position = self._position
        length: i64 = len(line)
        step: i64 = length + size + 2
        last: i64 = self._end - step
        count: i64 = 0
        while position <= last and buffer[position : position + length] == line:
            position += step
            if buffer[position - 2] != 13 or buffer[position - 1] != 10:
                position -= step
                break
            count += 1
        self._position = position
        return int(count)

    def take_run(self, line: bytes, size: i64) -> list[bytes] | None:
        """The same, with their bodies (and CRLF) behind a first b"", ready for `head.join`; None when none comes."""
        buffer = self._buffer
        position = self._position
        length: i64 = len(line)
        step: i64 = length + size + 2
        last: i64 = self._end - step
        bodies: list[bytes] | None = None
        while position <= last and buffer[position : position + length] == line:
            following = position + step
            if buffer[following - 2] != 13 or buffer[following - 1] != 10:
                break
            if bodies is None:
                bodies = [b""]
            bodies.append(buffer[position + length : following])
            position = following
        self._position = position
        return bodies

    def _publish_line(self, start: i64, arguments: i64, has_header: bool) -> int:
        """PUB or HPUB as clients write it: single spaces, CRLF. Everything else is for `_any_line`."""
        buffer = self._buffer
        end = self._end
        first: i64 = -1  # the spaces
        second: i64 = -1
        third: i64 = -1
        position = arguments
        while position < end:
            byte: i64 = buffer[position]
            if byte <= _CONTROL:
                if byte != 32:
                    break
                if first < 0:
                    first = position
                elif second < 0:
                    second = position
                elif third < 0:
                    third = position
                else:
                    return self._any_line(start)
            position += 1
        is_usual = (
            position + 1 < end
            and buffer[position] == 13
            and buffer[position + 1] == 10
            and position - arguments <= self.max_control_line
            and first > arguments
            and (second < 0 or second > first + 1)
            and (third < 0 or third > second + 1)
        )
        if not is_usual:
            return self._any_line(start)
        # Behind the last space stands the size, with headers before it their length.
        last = third if third >= 0 else (second if second >= 0 else first)
        size = digits(buffer, last + 1, position)
        header_length: i64 = 0
        reply_end = last
        if has_header:
            reply_end = second if third >= 0 else first
            header_length = digits(buffer, reply_end + 1, last)
        if size < 0 or header_length < 0 or header_length > size or size > self.max_payload:
            return self._any_line(start)
        if (has_header and second < 0) or (not has_header and third >= 0):
            return self._any_line(start)
        self.subject = buffer[arguments:first]
        self.reply = buffer[first + 1 : reply_end] if reply_end > first else b""
        self.header_length = header_length
        self.size = size
        self._line_start = start
        self._body_start = position + 2
        return self._body()

    def _body(self) -> int:
        """The line is read and the payload is at `_body_start`, perhaps not all of it."""
        body_end = self._body_start + self.size
        if body_end + 2 <= self._end:
            self._awaits_body = False
            if self._buffer[body_end] != 13 or self._buffer[body_end + 1] != 10:
                return self._fail_at(body_end)
            self._position = body_end + 2
            return OP_PUB
        if body_end < self._end and self._buffer[body_end] != 13:
            return self._fail_at(body_end)
        self._awaits_body = True
        self._held = bytearray(self._buffer[self._body_start : self._end])
        self._held_need = self.size + 2
        self._buffer = b""
        self._position = 0
        self._end = 0
        return OP_NONE

    # Any line, as the grammar allows it

    def _any_line(self, start: i64) -> int:
        buffer = self._buffer
        first: int = buffer[start]
        if 97 <= first <= 122:
            first -= 32
        if self.awaits_connect and first != 67:
            return self._fail(ERR_AUTHORIZATION)
        word = buffer[start : start + 8].upper()
        verb = b""
        may_become = False
        for candidate in _VERBS.get(first, ()):
            if word.startswith(candidate):
                verb = candidate
            elif candidate.startswith(word):
                may_become = True
        if not verb:
            return OP_NONE if may_become else self._fail_at(start)
        position: i64 = start + len(verb)
        if verb in _BARE:
            line_end = buffer.find(b"\n", position)
            if line_end < 0:
                self._keep(verb)
                return OP_NONE
            self._position = line_end + 1
            return _BARE_OPS[verb]
        while position < self._end and (buffer[position] == 32 or buffer[position] == 9):
            position += 1
        if position >= self._end:
            self._keep(verb + buffer[start + len(verb) : start + len(verb) + 1])
            return OP_NONE
        if position == start + len(verb) and verb not in _GLUED:
            return self._fail_at(start)
        return self._arguments(verb, position)

    def _keep(self, incomplete: bytes) -> None:
        """All that is needed of a line that has said nothing yet."""
        self._buffer = incomplete
        self._position = 0
        self._end = len(incomplete)

    def _arguments(self, verb: bytes, position: i64) -> int:
        buffer = self._buffer
        line_end = buffer.find(b"\n", position + 1)
        if line_end < 0:
            if self._end - position > self.max_control_line + 1:  # one CR does not count
                return self._fail(ERR_MAX_CONTROL_LINE)
            self._keep(verb + b" " + buffer[position : self._end])
            return OP_NONE
        arguments = buffer[position:line_end]
        if b"\r" in arguments[1:]:
            arguments = arguments[:-1]
        if len(arguments) > self.max_control_line:
            return self._fail(ERR_MAX_CONTROL_LINE)
        self._position = line_end + 1
        if verb == b"PUB" or verb == b"HPUB":
            return self._publish_arguments(arguments, verb == b"HPUB")
        if verb == b"SUB":
            return self._sub_arguments(words_of(arguments))
        if verb == b"UNSUB":
            return self._unsub_arguments(words_of(arguments))
        if verb == b"HMSG":  # what nats-server makes of it when a client says so: an empty message to nobody
            self.subject = b""
            self.reply = b""
            self.header_length = 0
            self.size = 0
            self._line_start = -1
            self._body_start = self._position
            return self._body()
        self.document = arguments
        return _DOCUMENT_OPS[verb]

    def _publish_arguments(self, arguments: bytes, has_header: bool) -> int:
        if has_header and not self.accepts_headers:
            return self._fail(ERR_ARGUMENTS, "message headers not supported")
        name = "processHeaderPub" if has_header else "processPub"
        words = [word for word in arguments.replace(b"\t", b" ").split(b" ") if word]
        sizes = 2 if has_header else 1
        if not sizes < len(words) < sizes + 3:
            return self._fail(ERR_ARGUMENTS, f"{name} Parse Error: {go_quote(arguments)}")
        self.subject = words[0]
        self.reply = words[1] if len(words) == sizes + 2 else b""
        self.size = parse_size(words[-1])
        self.header_length = parse_size(words[-2]) if has_header else 0
        if self.size < 0 or self.header_length < 0:
            return self._fail(ERR_ARGUMENTS, f"{name} Bad or Missing Size: {go_quote(arguments)}")
        if self.header_length > self.size:
            return self._fail(ERR_ARGUMENTS, f"{name} Header Size larger then TotalSize: {go_quote(arguments)}")
        if self.size > self.max_payload:
            return self._fail(ERR_MAX_PAYLOAD, f"maximum payload exceeded: {self.size} vs {self.max_payload}")
        self._line_start = -1
        self._body_start = self._position
        return self._body()

    def _sub_arguments(self, words: list[bytes]) -> int:
        if len(words) < 2 or len(words) > 3:
            return self._fail(ERR_ARGUMENTS, f"processSub Parse Error: {go_quote(b' '.join(words))}")
        self.subject = words[0]
        self.queue = words[1] if len(words) == 3 else b""
        self.sid = words[-1]
        return OP_SUB

    def _unsub_arguments(self, words: list[bytes]) -> int:
        if len(words) < 1 or len(words) > 2:
            return self._fail(ERR_ARGUMENTS, f"processUnsub Parse Error: {go_quote(b' '.join(words))}")
        self.sid = words[0]
        self.maximum = parse_size(words[1]) if len(words) == 2 else -1
        return OP_UNSUB

    def _fail_at(self, position: i64) -> int:
        """Nothing that begins like this is known."""
        snippet = go_quote(self._buffer[position : min(position + _SNIPPET, self._end - 1)])
        return self._fail(ERR_UNKNOWN_OPERATION, f"Client parser ERROR: proto='{snippet}...'")

    def _fail(self, error: ProtocolError, complaint: str = "") -> int:
        self.error = error
        self.complaint = complaint
        self._buffer = b""
        self._held = None
        self._position = 0
        self._end = 0
        return OP_FAILED
