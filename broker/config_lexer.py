"""The words of nats-server's configuration language: keys, scalars, comments, separators.

Is: a scanner over one text, driven by the parser in `config_file`, which knows where a key and where a value may stand.
Is not: the structure (maps, arrays, includes, variables).
Invariants: every failure is a ConfigError with a position; the scanner never reads past the end and always moves on.
Read next: `config_file.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from typing import Final

BLANKS: Final = " \t"
NEWLINES: Final = "\n\r"
SEPARATORS: Final = "=:"
BARE_ENDS: Final = " \t\n\r;,]}"  # and the single quote, which is dropped
NUMBER_ENDS: Final = " \t\n\r;,]}"
DIGITS: Final = "0123456789"
ESCAPES: Final = {"t": b"\t", "n": b"\n", "r": b"\r", '"': b'"', "\\": b"\\"}
TRUE_WORDS: Final = ("true", "yes", "on")
FALSE_WORDS: Final = ("false", "no", "off")
SIZE_LETTERS: Final = "kmgtpe"
INTEGER_MAX: Final = 2**63 - 1

Scalar = str | int | float | bool | datetime


class ConfigError(Exception):
    """What is wrong with a configuration, and where: `file:line:column: text`; line 0: the file could not be read."""

    def __init__(self, file: str, line: int, column: int, text: str) -> None:
        super().__init__(f"{file}:{line}:{column}: {text}" if line else text)
        self.file = file
        self.line = line
        self.column = column
        self.text = text


class Variable:
    """A `$NAME` that stands where a value may stand; the parser looks it up."""

    def __init__(self, name: str) -> None:
        self.name = name


class Scanner:
    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.offset = 0
        self._line_starts = [0]
        for offset, character in enumerate(text):
            if character == "\n":
                self._line_starts.append(offset + 1)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both counted from 1."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def failure(self, offset: int, text: str) -> ConfigError:
        line, column = self.position(offset)
        return ConfigError(self.file, line, column, "Parse error: " + text)

    def peek(self) -> str:
        """The next character, "" at the end."""
        return self.text[self.offset : self.offset + 1]

    def shown(self) -> str:
        """The next character, as an error message names it."""
        character = self.peek()
        return repr(character) if character else "the end of the file"

    def skip_blanks(self) -> None:
        while self.peek() and self.peek() in BLANKS:
            self.offset += 1

    def skip_space(self) -> None:
        while self.peek().isspace():
            self.offset += 1

    def skip_comment(self) -> bool:
        """Skips `# …` or `// …` up to the end of the line."""
        if self.peek() != "#" and not self.text.startswith("//", self.offset):
            return False
        while self.peek() and self.peek() not in NEWLINES:
            self.offset += 1
        return True

    def skip_space_and_comments(self) -> None:
        while True:
            self.skip_space()
            if not self.skip_comment():
                return

    # Keys

    def key(self) -> tuple[str, bool]:
        """A key, quoted or bare, and whether it is the keyword `include` (bare, and no separator follows it)."""
        start = self.offset
        quote = self.peek()
        if quote in ("'", '"'):
            return self._until_quote(quote, "quoted key"), False
        if quote in SEPARATORS:
            raise self.failure(start, f"Unexpected key separator {quote!r}")
        if quote in ("]", "}"):
            raise self.failure(start, f"Unexpected {quote!r} where a key should stand")
        while self.peek() and not self.peek().isspace() and self.peek() not in SEPARATORS:
            self.offset += 1
        word = self.text[start : self.offset]
        return word, word.lower() == "include" and self.peek().isspace()

    def include_path(self) -> str:
        self.skip_blanks()
        first = self.peek()
        if first in ("'", '"'):
            return self._until_quote(first, "quoted include")
        start = self.offset
        if first == "" or first in NEWLINES + "[{(-\\;}" + DIGITS:
            raise self.failure(start, f"Expected the path of a file to include, but got {self.shown()}")
        while self.peek() and self.peek() not in " \t\n\r;}'":
            self.offset += 1
        path = self.text[start : self.offset]
        if self.peek() == "'":
            self.offset += 1
        return path

    def _until_quote(self, quote: str, what: str) -> str:
        start = self.offset
        end = self.text.find(quote, start + 1)
        if end < 0:
            raise self.failure(start, f"Unexpected end of the file in a {what}")
        self.offset = end + 1
        return self.text[start + 1 : end]

    # Values

    def scalar(self) -> Scalar | Variable:
        """A value that is neither a map nor an array."""
        first = self.peek()
        if first == "'":
            return self._until_quote("'", "quoted string")
        if first == '"':
            return self._double_quoted()
        if first == "(":
            return self._block()
        if first == "-" or (first and first in DIGITS):
            return self._number()
        if first == ".":
            raise self.failure(self.offset, "Floats must start with a digit")
        if first and first in "]}":
            raise self.failure(self.offset, f"Expected a value, but got {self.shown()}")
        return self._bare(self.offset)

    def _double_quoted(self) -> str:
        start = self.offset
        self.offset += 1
        part_start = self.offset
        parts: list[bytes] = []
        while True:
            character = self.peek()
            if character == "":
                raise self.failure(start, "Unexpected end of the file in a quoted string")
            if character == '"':
                parts.append(self.text[part_start : self.offset].encode("utf-8", "surrogatepass"))
                self.offset += 1
                return self._joined(parts, start)
            if character == "\\":
                parts.append(self.text[part_start : self.offset].encode("utf-8", "surrogatepass"))
                parts.append(self._escape())
                part_start = self.offset
            else:
                self.offset += 1

    def _joined(self, parts: list[bytes], start: int) -> str:
        try:
            return b"".join(parts).decode("utf-8")
        except UnicodeDecodeError:
            raise self.failure(start, "This string is not UTF-8") from None

    def _escape(self) -> bytes:
        start = self.offset
        self.offset += 1
        letter = self.peek()
        self.offset += 1
        if letter in ESCAPES:
            return ESCAPES[letter]
        if letter != "x":
            self.offset = start
            raise self.failure(
                start,
                f"Invalid escape character {letter!r}. Only the following escape characters are allowed: "
                r"\xXX, \t, \n, \r, \", \\.",
            )
        digits = self.text[self.offset : self.offset + 2]
        if len(digits) != 2 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
            raise self.failure(start, rf"Expected two hexadecimal digits after '\x', but got {digits!r}")
        self.offset += 2
        return bytes.fromhex(digits)

    def _block(self) -> str:
        """Everything between `(` and a `)` that stands alone at the start of a line, as it is."""
        start = self.offset
        end = start + 1
        while True:
            end = self.text.find("\n)", end)
            if end < 0:
                raise self.failure(start, "Unexpected end of the file in a block: ')' must stand alone on a line")
            if self.text[end + 2 : end + 3] in ("", "\n", "\r"):
                self.offset = end + 2
                return self.text[start + 1 : end + 1]
            end += 1

    def _bare(self, start: int) -> Scalar | Variable:
        """An unquoted word: a boolean, a variable, or a string. Everything from `start` belongs to it."""
        parts: list[bytes] = []
        part_start = start
        while self.peek() and self.peek() not in BARE_ENDS and self.peek() != "'":
            if self.peek() == "\\":
                parts.append(self.text[part_start : self.offset].encode("utf-8", "surrogatepass"))
                parts.append(self._escape())
                part_start = self.offset
            else:
                self.offset += 1
        word = self.text[part_start : self.offset]
        if self.peek() == "'":
            self.offset += 1
        if parts:
            parts.append(word.encode("utf-8", "surrogatepass"))
            return self._joined(parts, start)
        if word.lower() in TRUE_WORDS:
            return True
        if word.lower() in FALSE_WORDS:
            return False
        if word.startswith("$"):
            return word if word.startswith("$2a$") else Variable(word[1:])  # a bcrypt hash is not a variable
        return word

    def _digits(self) -> None:
        while self.peek() and self.peek() in DIGITS:
            self.offset += 1

    def _at_number_end(self) -> bool:
        return self.peek() == "" or self.peek() in NUMBER_ENDS

    def _number(self) -> Scalar | Variable:
        """What starts with a digit or a minus: an integer (with a size or not), a float, a time, an address, a word."""
        start = self.offset
        negative = self.peek() == "-"
        if negative:
            self.offset += 1
            if self.peek() == "" or self.peek() not in DIGITS:
                raise self.failure(self.offset, f"Expected a digit, but got {self.shown()}")
        self._digits()
        following = self.peek()
        if following == "-" and not negative:
            return self._datetime(start)
        if following == ".":
            return self._float_or_address(start)
        if following and following.lower() in SIZE_LETTERS:
            self.offset += 1
            while self.peek() and self.peek() in "bBiI":
                self.offset += 1
            if not self._at_number_end():
                return self._bare(start)
        elif not self._at_number_end():
            if negative:
                raise self.failure(self.offset, f"Expected a digit, but got {self.shown()}")
            return self._bare(start)
        return self._integer(start)

    def _integer(self, start: int) -> int:
        word = self.text[start : self.offset]
        number = word.rstrip("kKmMgGtTpPeEbBiI")
        suffix = word[len(number) :].lower()
        factor = 1
        if suffix:
            power = SIZE_LETTERS.index(suffix[0]) + 1
            if suffix[1:] not in ("", "b", "i", "ib"):
                raise self.failure(start, f"{word!r} is neither a number nor a size such as 10k, 10KB or 10KiB")
            factor = 1000**power if len(suffix) == 1 else 1024**power
        # A number of more digits than any integer has is not even converted.
        if len(number) > 20 or not -INTEGER_MAX - 1 <= int(number) * factor <= INTEGER_MAX:
            raise self.failure(start, f"integer {word!r} is out of the range")
        return int(number) * factor

    def _float_or_address(self, start: int) -> Scalar:
        self.offset += 1
        if self.peek() == "" or self.peek() not in DIGITS:
            raise self.failure(self.offset, f"Floats must have a digit after the '.', but got {self.shown()}")
        self._digits()
        if self.peek() != ".":
            try:
                return float(self.text[start : self.offset])
            except ValueError:
                raise self.failure(start, "expected float") from None
        while self.peek() and self.peek() in DIGITS + ".:-":
            self.offset += 1
        return self.text[start : self.offset]

    def _datetime(self, start: int) -> datetime:
        word = self.text[start : start + 20]
        try:
            moment = datetime.strptime(word, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise self.failure(start, "All ISO8601 dates must be in full Zulu form.") from None
        if len(word) != 20:
            raise self.failure(start, "All ISO8601 dates must be in full Zulu form.")
        self.offset = start + 20
        return moment
