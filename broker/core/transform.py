"""Subject transforms: `orders.*.>` to `by.{{wildcard(1)}}.>`, NATS's mapping language.

Is: `make_transform`, which reads a source and a destination, and `SubjectTransform`, which rewrites subjects. Is not:
the rules of the configurations that hold transforms (`jetstream.mapping_rules`). Source: nats-server 2.15 behaviour;
its error texts are kept word for word.

Functions of the destination, one a token, first letters in either case: `$1` and `{{wildcard(1)}}`,
`{{partition(buckets[,1,2…])}}`, `{{split(1,delimiter)}}`, `{{splitFromLeft(1,at)}}`, `{{splitFromRight(1,at)}}`,
`{{sliceFromLeft(1,size)}}`, `{{sliceFromRight(1,size)}}`, `{{left(1,length)}}`, `{{right(1,length)}}`,
`{{random(count)}}`. The numbers name the `*` of the source.

Invariants: pure; the chance of `random` is drawn from the `seed` that is given. Read next: `subjects.py`.
"""

import re
from typing import Final

from broker.core.subjects import REST, is_valid, is_valid_literal, matches

INVALID_SUBJECT: Final = "invalid subject"
_PREFIX: Final = "invalid mapping destination: "
_INVALID: Final = _PREFIX + "invalid transform"
_UNKNOWN: Final = _PREFIX + "unknown function"
_OUT_OF_RANGE: Final = _PREFIX + "wildcard index out of range"
_TOO_FEW: Final = _PREFIX + "not enough arguments passed to the function"
_TOO_MANY: Final = _PREFIX + "too many arguments passed to the function"
_BAD_ARGUMENT: Final = _PREFIX + "function argument is invalid or in the wrong format"

_PLAIN: Final = 0
_WILDCARD: Final = 1
_PARTITION: Final = 2
_SPLIT: Final = 3
_SPLIT_LEFT: Final = 4
_SPLIT_RIGHT: Final = 5
_SLICE_LEFT: Final = 6
_SLICE_RIGHT: Final = 7
_LEFT: Final = 8
_RIGHT: Final = 9
_RANDOM: Final = 10

# By the name in small letters: the kind, and where words begin, whose first letters may be capital.
_FUNCTIONS: Final[dict[str, tuple[int, tuple[int, ...]]]] = {
    "wildcard": (_WILDCARD, (0,)),
    "partition": (_PARTITION, (0,)),
    "split": (_SPLIT, (0,)),
    "splitfromleft": (_SPLIT_LEFT, (0, 5, 9)),
    "splitfromright": (_SPLIT_RIGHT, (0, 5, 9)),
    "slicefromleft": (_SLICE_LEFT, (0, 5, 9)),
    "slicefromright": (_SLICE_RIGHT, (0, 5, 9)),
    "left": (_LEFT, (0,)),
    "right": (_RIGHT, (0,)),
    "random": (_RANDOM, (0,)),
}
_CALL: Final = re.compile(r"\{\{\s*([A-Za-z]+)\s*\((.*)\)\s*\}\}")
_COMMA: Final = re.compile(r",\s*")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_INT32_MAX: Final = (1 << 31) - 1
_FNV_OFFSET: Final = 2166136261
_FNV_PRIME: Final = 16777619


class TransformError(Exception):
    """The text is what a client is told."""


class _Token:
    """One token of the destination; `indexes` are those of the source's `*` before `make_transform`, of its tokens
    after it."""

    def __init__(self, kind: int, text: bytes, indexes: list[int], number: int = 0, delimiter: bytes = b"") -> None:
        self.kind: Final = kind
        self.text: Final = text
        self.indexes: list[int] = indexes
        self.number: Final = number
        self.delimiter: Final = delimiter

    def render(self, tokens: list[bytes], seed: int) -> bytes:
        """What stands in its place for a subject of these tokens."""
        kind = self.kind
        if kind == _PLAIN:
            return self.text
        if kind == _PARTITION:
            key = b"".join([tokens[at] for at in self.indexes]) if self.indexes else b".".join(tokens)
            return b"%d" % (_fnv1a(key) % (self.number & 0xFFFFFFFF)) if self.number else b"0"
        if kind == _RANDOM:
            return b"%d" % (_fnv1a(b"%d" % seed) % abs(self.number)) if self.number else b"0"
        at = self.indexes[0]
        token = tokens[at] if at < len(tokens) else b""
        if kind == _WILDCARD:
            return token
        if kind == _SPLIT:
            return b".".join([part for part in _split(token, self.delimiter) if part])
        return _cut(kind, token, self.number)


def _split(token: bytes, delimiter: bytes) -> list[bytes]:
    """Without a delimiter: into characters."""
    if delimiter:
        return token.split(delimiter)
    return [character.encode("utf-8", "surrogateescape") for character in token.decode("utf-8", "surrogateescape")]


def _cut(kind: int, token: bytes, number: int) -> bytes:
    """The functions that count characters; a token that is too short for them stays as it is."""
    size = len(token)
    if not 0 < number < size:
        return token
    if kind == _LEFT:
        return token[:number]
    if kind == _RIGHT:
        return token[size - number :]
    if kind == _SPLIT_LEFT:
        return token[:number] + b"." + token[number:]
    if kind == _SPLIT_RIGHT:
        return token[: size - number] + b"." + token[size - number :]
    first = size % number if kind == _SLICE_RIGHT else 0
    parts = [token[:first]] if first else []
    parts += [token[start : start + number] for start in range(first, size, number)]
    return b".".join(parts)


class SubjectTransform:
    """A source and a destination that belong together; see `make_transform`."""

    def __init__(self, source: bytes, destination: bytes, tokens: list[_Token]) -> None:
        self.source: Final = source
        self.destination: Final = destination
        self._tokens: Final = tokens
        self._has_rest: Final = destination.split(b".")[-1] == REST
        self._rest_at: Final = len(source.split(b".")) - 1
        self._is_identity: Final = source == REST and destination == REST

    def apply(self, subject: bytes, seed: int) -> bytes | None:
        """The subject that a literal subject becomes; None when the source does not match it."""
        if self._is_identity:
            return subject
        if not is_valid_literal(subject) or not (self.source == REST or matches(self.source, subject)):
            return None
        tokens = subject.split(b".")
        parts = [token.render(tokens, seed) for token in self._tokens]
        if self._has_rest:
            parts.extend(tokens[self._rest_at :])
        return b".".join(parts)


def make_transform(source: str, destination: str) -> SubjectTransform | None:
    """Read a transform; None when there is no destination, which leaves subjects as they are. Raises TransformError."""
    if not destination:
        return None
    _check_destination(destination)
    source_tokens = (source or ">").split(".")
    tokens = destination.split(".")
    if not _is_well_formed(source_tokens) or not _is_well_formed(tokens) or "*" in tokens:
        raise TransformError(INVALID_SUBJECT)
    if (source_tokens[-1] == ">") != (tokens[-1] == ">"):
        raise TransformError(INVALID_SUBJECT)
    wildcards = [at for at in range(len(source_tokens)) if source_tokens[at] == "*"]
    read = [_read_token(token, wildcards, source_tokens[-1] == ">") for token in tokens]
    if tokens[-1] == ">":
        read.pop()
    return SubjectTransform((source or ">").encode(), destination.encode(), read)


def _is_well_formed(tokens: list[str]) -> bool:
    return "" not in tokens and ">" not in tokens[:-1]


def _check_destination(destination: str) -> None:
    """What nats-server looks at before it reads the functions."""
    ended = False
    for token in destination.split("."):
        if not token or ended:
            raise TransformError(f"{_INVALID} in {token}" if token else _INVALID)
        if _is_call(token):
            _function(token)
        elif token == ">":
            ended = True
        elif any(character in token for character in "\t\n\f\r "):
            raise TransformError(_INVALID)


def _is_call(token: str) -> bool:
    return len(token) > 4 and token.startswith("{{") and token.endswith("}}")


def _function(token: str) -> tuple[int, list[str]]:
    """Kind and arguments of `{{name(arguments)}}`. Raises TransformError."""
    found = _CALL.search(token)
    if found is not None:
        name = str(found.group(1))
        kind, words = _FUNCTIONS.get(name.lower(), (_PLAIN, ()))
        if kind and all(name[at].islower() or at in words for at in range(len(name))):
            return kind, _COMMA.split(str(found.group(2)))
    raise TransformError(f"{_UNKNOWN} in {token}")


def _read_token(token: str, wildcards: list[int], has_rest: bool) -> _Token:
    """One token of a destination. Raises TransformError."""
    read = _read_call(token)
    if read.kind in (_PLAIN, _RANDOM) or (read.kind == _PARTITION and not wildcards and not has_rest):
        read.indexes = []
        return read
    if not wildcards and not has_rest:
        raise TransformError(f"{_OUT_OF_RANGE} in {token}")
    for index in read.indexes:
        if index > len(wildcards):
            raise TransformError(f"{_OUT_OF_RANGE} in {token}: [{index}]")
    # As in nats-server, an index that is no `*` at all (0, negative) means the first token.
    read.indexes = [wildcards[index - 1] if index > 0 else 0 for index in read.indexes]
    return read


def _read_call(token: str) -> _Token:
    """A token by itself, indexes unchecked."""
    text = token.encode()
    if len(token) > 1 and token[0] == "$":
        number = _number(token[1:])
        return _Token(_PLAIN, text, []) if number is None else _Token(_WILDCARD, text, [number])
    if not _is_call(token):
        return _Token(_PLAIN, text, [])
    kind, arguments = _function(token)
    if kind == _WILDCARD:
        if arguments == [""]:
            raise TransformError(f"{_TOO_FEW} in {token}")
        _check_count(token, arguments, 1)
        return _Token(kind, text, [_argument(token, arguments[0])])
    if kind == _RANDOM:
        if len(arguments) != 1:
            raise TransformError(f"{_TOO_FEW} in {token}")
        return _Token(kind, text, [], _argument(token, arguments[0], _INT32_MAX))
    if kind == _PARTITION:
        number = _argument(token, arguments[0], _INT32_MAX)
        return _Token(kind, text, [_argument(token, argument) for argument in arguments[1:]], number)
    _check_count(token, arguments, 2)
    index = _argument(token, arguments[0])
    if kind == _SPLIT:
        if " " in arguments[1]:
            raise TransformError(f"{_BAD_ARGUMENT} in {token}")
        return _Token(kind, text, [index], 0, arguments[1].encode())
    return _Token(kind, text, [index], _argument(token, arguments[1], _INT32_MAX))


def _check_count(token: str, arguments: list[str], count: int) -> None:
    if len(arguments) != count:
        raise TransformError(f"{_TOO_FEW if len(arguments) < count else _TOO_MANY} in {token}")


def _argument(token: str, text: str, most: int = (1 << 63) - 1) -> int:
    number = _number(text.strip(" "))
    if number is None or number > most:
        raise TransformError(f"{_BAD_ARGUMENT} in {token}")
    return number


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _fnv1a(key: bytes) -> int:
    """The 32-bit FNV-1a hash, NATS's choice for partitions."""
    value = _FNV_OFFSET
    for byte in key:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return value


def is_source(source: str) -> bool:
    """Whether it may stand as the source of a transform; empty means everything."""
    return not source or is_valid(source.encode())
