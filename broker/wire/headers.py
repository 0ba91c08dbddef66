"""Header blocks: `NATS/1.0[ status[ description]]\\r\\n`, then `Key: value\\r\\n` lines, then an empty line.

Is: reading and building of one block as bytes.
Is not: the meaning of any header. Invariants: keys are compared byte for byte, as nats-server does; order, repeats and
case are kept; nothing here raises, whatever the block holds.
Read next: `parser.py`.
"""

from typing import Final

PREAMBLE: Final = b"NATS/1.0"
_LINE: Final = b"\r\n"


def get(block: bytes, key: bytes) -> bytes | None:
    """The first value of `key`, without the white space around it; None when absent."""
    needle = b"\r\n" + key + b":"
    start = block.find(needle)
    if start < 0:
        return None
    start += len(needle)
    end = block.find(_LINE, start)
    if end < 0:
        return None
    return block[start:end].strip(b" \t")


def pairs(block: bytes) -> list[tuple[bytes, bytes]]:
    """All headers in order. Lines without a colon are left out."""
    found: list[tuple[bytes, bytes]] = []
    for line in block.split(_LINE)[1:]:
        key, colon, value = line.partition(b":")
        if colon:
            found.append((key, value.strip(b" \t")))
    return found


def status(block: bytes) -> tuple[int, bytes]:
    """(status code, description) of the first line; (0, b"") when it carries none."""
    end = block.find(_LINE)
    if end < 0 or not block.startswith(PREAMBLE):
        return 0, b""
    text = block[len(PREAMBLE) : end].strip()
    code = text[:3]
    if len(code) < 3 or not code.isdigit():
        return 0, b""
    return int(code), text[3:].strip()


def build(fields: list[tuple[bytes, bytes]], status_code: int = 0, description: bytes = b"") -> bytes:
    """A whole block. White space that would break the block is replaced by spaces."""
    first = PREAMBLE
    if status_code:
        first = first + b" %d" % status_code
        if description:
            first = first + b" " + _one_line(description)
    lines = [first]
    for key, value in fields:
        lines.append(_one_line(key) + b": " + _one_line(value))
    return _LINE.join(lines) + b"\r\n\r\n"


def strip_status(block: bytes) -> bytes:
    """The block without its inline status; b"" when nothing but the status was in it."""
    end = block.find(_LINE)
    if end < 0 or not block.startswith(PREAMBLE) or end == len(PREAMBLE):
        return block
    rest = block[end:]
    if len(rest) <= 4:
        return b""
    return PREAMBLE + rest


def without(block: bytes, key: bytes) -> bytes:
    """The block without any header named `key`; b"" when none is left."""
    lines = block.split(_LINE)
    kept = [line for line in lines if not line.startswith(key + b":")]
    if len(kept) == len(lines):
        return block
    if len(kept) <= 3:
        return b""
    return _LINE.join(kept)


def put(header_length: int, data: bytes, key: bytes, value: bytes) -> tuple[int, bytes]:
    """(header length, data) of a message that says `key` once, with this value, whatever it said of it before."""
    kept = without(data[:header_length], key)[:-2] or PREAMBLE + _LINE
    head = kept + _one_line(key) + b": " + _one_line(value) + b"\r\n\r\n"
    return len(head), head + data[header_length:]


def _one_line(text: bytes) -> bytes:
    if b"\r" in text or b"\n" in text:
        return text.replace(b"\r", b" ").replace(b"\n", b" ")
    return text


def only(data: bytes, header_length: int) -> bytes:
    """The header block of a message without its payload, which it tells the size of."""
    line = b"Nats-Msg-Size: %d\r\n\r\n" % (len(data) - header_length)
    if header_length == 0:
        return b"NATS/1.0\r\n" + line
    return data[: header_length - 2] + line
