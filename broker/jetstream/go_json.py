"""JSON as nats-server's decoder (Go's) reads it: the values, or its words for what is no JSON.

Bodies of the API may hold several values one after another; Go decodes each into the same struct. Not here: which
fields there are and of which types (`api_types` and the configurations).

Invariants: any bytes give a value or a JsonError, in time linear in their length; no text that comes out holds half a
surrogate pair, so that all of it can be encoded again. What Go would not take for an integer stays a `RawNumber`.
"""

import json
import re
from typing import Final

NESTING_MAX: Final = 10_000
_EOF: Final = "unexpected EOF"
_NO_MORE: Final = "unexpected end of JSON input"
_DIGITS_MAX: Final = 40  # longer than any integer that fits anywhere
_SHALLOW: Final = 32  # no request of the API nests deeper; what is inside is then of no interest

_SPACE: Final = " \t\r\n"
_HEX: Final = "0123456789abcdefABCDEF"
_LITERALS: Final = ("null", "true", "false")
_CONTROLS: Final = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_OFFSET: Final = re.compile(" at offset \\d+$")
_LONE_SURROGATE: Final = re.compile(f"[{chr(0xD800)}-{chr(0xDFFF)}]")  # a literal of one cannot be compiled


class JsonError(Exception):
    """No JSON; the text is Go's."""


class RawNumber:
    """A number that is no integer we could need, as it was written."""

    def __init__(self, text: str) -> None:
        self.text: Final = text


def decode(data: bytes) -> list[object]:
    """All values of a body, in order. Raises JsonError."""
    text = data.decode("utf-8", "replace")
    values: list[object] = []
    position = _skip_space(text, 0)
    while position < len(text):
        value, position = _next_value(data, text, position)
        values.append(value)
    return values


def decode_one(data: bytes) -> object:
    """The one value of a body that may hold no more (Go's `Unmarshal` instead of its `Decoder`). Raises JsonError;
    here its words name no offset."""
    text = data.decode("utf-8", "replace")
    position = _skip_space(text, 0)
    if position == len(text):
        raise JsonError(_NO_MORE)
    try:
        value, position = _next_value(data, text, position)
    except JsonError as error:
        raise JsonError(_OFFSET.sub("", str(error).replace(_EOF, _NO_MORE))) from None
    if position < len(text):
        raise JsonError(_OFFSET.sub("", _Scanner(data).complaint_behind(len(text[:position].encode()))))
    return value


def _next_value(data: bytes, text: str, position: int) -> tuple[object, int]:
    """The value that begins here, and where the next one may begin."""
    escapes = "\\u" in text
    try:
        value, end = _DECODER.raw_decode(text, position)
        if escapes:
            value = _with_whole_texts(value)
    except RecursionError:
        value, end = _without_depth(data, text, position)
        if escapes:
            value = _with_whole_texts(value)
    except (json.JSONDecodeError, _NotInGo):
        raise JsonError(_Scanner(data).complaint(len(text[:position].encode()))) from None
    return value, _skip_space(text, end)


class _NotInGo(Exception):
    """NaN and Infinity."""


def _no_constant(name: str) -> object:
    raise _NotInGo(name)


def _integer(text: str) -> object:
    return int(text) if len(text) < _DIGITS_MAX else RawNumber(text)


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The last of several values of a key counts, but for `null`, which leaves what was there."""
    members: dict[str, object] = {}
    for key, value in pairs:
        if value is not None or key not in members:
            members[key] = value
    return members


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_integer, parse_float=RawNumber, parse_constant=_no_constant
)


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _with_whole_texts(value: object) -> object:
    """Go writes U+FFFD for a surrogate without its other half."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_with_whole_texts(item) for item in value]
    if isinstance(value, dict):
        return {_LONE_SURROGATE.sub("\ufffd", key): _with_whole_texts(item) for key, item in value.items()}
    return value


def _without_depth(data: bytes, text: str, position: int) -> tuple[object, int]:
    """A value that nests deeper than our own decoder goes: its upper part, and where it ends."""
    start = len(text[:position].encode())
    scanner = _Scanner(data)
    complaint = scanner.complaint(start)
    if complaint:
        raise JsonError(complaint)
    end = position + len(data[start : scanner.position].decode("utf-8", "replace"))
    upper = scanner.upper_part(start).decode("utf-8", "replace")
    return _DECODER.raw_decode(upper)[0], end


class _Scanner:
    """Walks over one value and says what is wrong with it, in Go's words and with Go's offsets (bytes, from 1)."""

    def __init__(self, data: bytes) -> None:
        self.data: Final = data
        self.position: int = 0
        self._cuts: list[int] = []  # where what is nested too deep begins and ends, in turn

    def upper_part(self, start: int) -> bytes:
        """The value without what nests deeper than anybody looks, after `complaint`."""
        parts: list[bytes] = []
        for place in range(0, len(self._cuts), 2):
            parts.append(self.data[start : self._cuts[place]])
            start = self._cuts[place + 1]
        return b"".join([*parts, self.data[start : self.position]])

    def complaint_behind(self, position: int) -> str:
        """What is wrong with something behind the only value."""
        self.position = position
        return self._invalid("after top-level value")

    def complaint(self, start: int) -> str:
        """ "" when a value begins at `start`; `position` is then behind it."""
        self.position = start
        open_with: list[str] = []
        while True:
            self._space()
            found = self._value(open_with)
            if found:
                return found
            while True:  # behind a value, or at the beginning of a container
                if not open_with:
                    return ""
                closed, found = self._after_value(open_with)
                if found:
                    return found
                if not closed:
                    break

    def _value(self, open_with: list[str]) -> str:
        """One simple value, or the beginning of a container (which is then open, marked as empty)."""
        byte = self._byte()
        if byte == "":
            return _EOF
        if byte == '"':
            return self._string()
        if byte in "-0123456789":
            return self._number()
        if byte in "{[":
            if len(open_with) == NESTING_MAX:
                return f"exceeded max depth at offset {self.position + 1}"
            open_with.append("<" + byte)
            self.position += 1
            if len(open_with) == _SHALLOW:
                self._cuts.append(self.position)
            return ""
        for literal in _LITERALS:
            if byte == literal[0]:
                return self._literal(literal)
        return self._invalid("looking for beginning of value")

    def _after_value(self, open_with: list[str]) -> tuple[bool, str]:
        """The end of the innermost container (True), or the way to its next value."""
        self._space()
        byte = self._byte()
        inner = open_with[-1]
        if byte == "":
            return False, _EOF
        if byte == ("}" if inner[-1] == "{" else "]"):
            if len(open_with) == _SHALLOW:
                self._cuts.append(self.position)
            open_with.pop()
            self.position += 1
            return True, ""
        if len(inner) == 1:
            if byte != ",":
                after = "object key:value pair" if inner == "{" else "array element"
                return False, self._invalid("after " + after)
            self.position += 1
        open_with[-1] = inner[-1]
        return False, self._key() if inner[-1] == "{" else ""

    def _key(self) -> str:
        self._space()
        byte = self._byte()
        if byte == "":
            return _EOF
        if byte != '"':
            return self._invalid("looking for beginning of object key string")
        found = self._string()
        if found:
            return found
        self._space()
        byte = self._byte()
        if byte == "":
            return _EOF
        if byte != ":":
            return self._invalid("after object key")
        self.position += 1
        return ""

    def _literal(self, literal: str) -> str:
        for letter in literal:
            byte = self._byte()
            if byte == "":
                return _EOF
            if byte != letter:
                return self._invalid(f"in literal {literal} (expecting '{letter}')")
            self.position += 1
        return ""

    def _number(self) -> str:
        if self._byte() == "-":
            self.position += 1
        if self._byte() == "0":
            self.position += 1
        else:
            found = self._some_digits()
            if found:
                return found
        if self._byte() == ".":
            self.position += 1
            found = self._some_digits()
            if found:
                return found
        if self._byte() in ("e", "E"):
            self.position += 1
            if self._byte() in ("+", "-"):
                self.position += 1
            return self._some_digits()
        return ""

    def _some_digits(self) -> str:
        start = self.position
        while self.data[self.position : self.position + 1].isdigit():
            self.position += 1
        if self.position > start:
            return ""
        return self._invalid("in numeric literal") if self._byte() else _EOF

    def _string(self) -> str:
        self.position += 1
        while True:
            byte = self._byte()
            if byte == "":
                return _EOF
            if byte == '"':
                self.position += 1
                return ""
            if byte < " ":
                return self._invalid("in string")
            if byte != "\\":
                self.position += 1
                continue
            found = self._escape()
            if found:
                return found

    def _escape(self) -> str:
        escape = self.data[self.position : self.position + 6].decode("latin-1")
        if len(escape) == 1:
            return _EOF
        if escape[1] in '"\\/bfnrt':
            self.position += 2
            return ""
        if escape[1] != "u":
            return self._invalid_escape(2)
        if all(letter in _HEX for letter in escape[2:]):
            if len(escape) < 6:
                return _EOF
            self.position += 6
            return ""
        return self._invalid_escape(len(escape))

    def _space(self) -> None:
        while self._byte() in (" ", "\t", "\r", "\n"):
            self.position += 1

    def _byte(self) -> str:
        """The next byte as a character, "" at the end."""
        return self.data[self.position : self.position + 1].decode("latin-1")

    def _invalid(self, where: str) -> str:
        character, length = _first_character(self.data[self.position : self.position + 4])
        return f"invalid character {_quoted(character)} {where} at offset {self.position + length}"

    def _invalid_escape(self, length: int) -> str:
        shown = self.data[self.position : self.position + length].decode("utf-8", "surrogateescape")
        if any(letter in "`\ufffd" or letter.isspace() or not letter.isprintable() for letter in shown):
            shown = quoted(shown)
        else:
            shown = f"`{shown}`"
        return f"invalid escape sequence {shown} in string at offset {self.position + length}"


def _first_character(data: bytes) -> tuple[str, int]:
    """A character and its length in bytes; a byte that begins none is one for itself."""
    for length in range(1, len(data) + 1):
        try:
            return data[:length].decode(), length
        except UnicodeDecodeError:
            continue
    return data[:1].decode("utf-8", "surrogateescape"), 1


def _quoted(text: str, quote: str = "'") -> str:
    """As Go quotes it (`strconv.Quote`)."""
    return quote + "".join(_escaped(letter, quote) for letter in text) + quote


def _escaped(letter: str, quote: str) -> str:
    if letter in (quote, "\\"):
        return "\\" + letter
    if letter.isprintable():
        return letter
    if letter in _CONTROLS:
        return _CONTROLS[letter]
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quoted(text: str) -> str:
    """A text in double quotes, as Go's %q writes it."""
    return _quoted(text, '"')
