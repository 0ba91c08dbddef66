"""Query parameters of the monitoring pages, decoded with Go's rules and refused with Go's words.

Read next: `connz.py`, which takes the most of them.
"""

from __future__ import annotations

from typing import Final

TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
UNSIGNED_BOUND: Final = 2**64
FALSE: Final = ("0", "f", "F", "FALSE", "false", "False")


class BadQuery(ValueError):
    """Answered with 400 and this text."""


class Query:
    """The first value of every parameter."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        return self._values.get(name, "")

    def is_true(self, name: str) -> bool:
        """Without complaint about nonsense."""
        return self._values.get(name, "") in TRUE

    def boolean(self, name: str) -> bool:
        value = self._values.get(name, "")
        if value in TRUE:
            return True
        if value in FALSE or not value:
            return False
        raise BadQuery(
            f"Error decoding boolean for '{name}': strconv.ParseBool: parsing {_quoted(value)}: invalid syntax"
        )

    def unsigned(self, name: str) -> int:
        """0 when it is not given."""
        value = self._values.get(name, "")
        if not value:
            return 0
        if not (value.isascii() and value.isdigit()):
            reason = "invalid syntax"
        elif int(value) >= UNSIGNED_BOUND:
            reason = "value out of range"
        else:
            return int(value)
        raise BadQuery(f"Error decoding uint64 for '{name}': strconv.ParseUint: parsing {_quoted(value)}: {reason}")

    def integer(self, name: str, otherwise: int = 0) -> int:
        value = self._values.get(name, "")
        if not value:
            return otherwise
        digits = value[1:] if value[0] in "+-" else value
        if not (digits.isascii() and digits.isdigit()):
            raise BadQuery(f"Error decoding int for '{name}': strconv.Atoi: parsing {_quoted(value)}: invalid syntax")
        if len(digits.lstrip("0")) > 18:
            raise BadQuery(
                f"Error decoding int for '{name}': strconv.Atoi: parsing {_quoted(value)}: value out of range"
            )
        return int(value)


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
