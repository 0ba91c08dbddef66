"""Words and numbers of a protocol line.

Is: splitting at blanks, and decimal sizes as nats-server reads them (digits only, at most nine).
Is not: the grammar of any line (`parser`). Invariant: nothing here raises.
"""

from typing import Final

from mypy_extensions import i64

SIZE_DIGITS_MAX: Final = 9


def parse_size(text: bytes) -> int:
    """Decimal digits, at most nine; -1 for anything else."""
    return int(digits(text, 0, len(text)))


def words_of(arguments: bytes) -> list[bytes]:
    """Split at blanks and line ends only; form feeds are a part of words."""
    blank = arguments.replace(b"\t", b" ").replace(b"\r", b" ").replace(b"\n", b" ")
    return [word for word in blank.split(b" ") if word]


def digits(buffer: bytes, start: i64, end: i64) -> i64:
    if end <= start or end - start > SIZE_DIGITS_MAX:
        return -1
    value: i64 = 0
    position = start
    while position < end:
        digit: i64 = buffer[position]
        digit -= 48
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
        position += 1
    return value
