"""The one protobuf message a test API server must read: a Secret, as helm's store of releases sends it.

Not a protobuf library: field numbers are those of k8s.io/api/core/v1 and apimachinery's meta/v1, generated.proto. The
envelope is `k8s\\0` and a runtime.Unknown. Answers may be JSON, so nothing is ever encoded.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

MAGIC = b"k8s\0"
VARINT, LENGTH = 0, 2


class NotASecret(Exception):
    """The body is something else."""


def read_secret(body: bytes) -> dict[str, Any]:
    """The Secret as JSON has it. Errors: NotASecret."""
    if not body.startswith(MAGIC):
        raise NotASecret("no k8s protobuf")
    envelope = _fields(body[len(MAGIC) :])
    kind = _text(_fields(_one(envelope, 1)), 2)
    if kind != "Secret":
        raise NotASecret(f"a {kind}")
    secret = _fields(_one(envelope, 2))
    metadata = _fields(_one(secret, 1))
    named = {"name": 1, "namespace": 3, "uid": 5, "resourceVersion": 6}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {key: _text(metadata, number) for key, number in named.items() if number in metadata}
        | {"labels": {key.decode(): value.decode() for key, value in _map(metadata, 11).items()}},
        "data": {key.decode(): base64.b64encode(value).decode() for key, value in _map(secret, 2).items()},
        "type": _text(secret, 3),
    }


def _fields(message: bytes) -> dict[int, list[Any]]:
    """Field number → values, in order."""
    found: dict[int, list[Any]] = {}
    for number, value in _scan(message):
        found.setdefault(number, []).append(value)
    return found


def _scan(message: bytes) -> Iterator[tuple[int, Any]]:
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        value, position = _varint(message, position)
        if tag & 7 == LENGTH:
            yield tag >> 3, message[position : position + value]
            position += value
        elif tag & 7 == VARINT:
            yield tag >> 3, value
        else:
            raise NotASecret(f"wire type {tag & 7}")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def _one(fields: dict[int, list[Any]], number: int) -> bytes:
    return bytes(fields[number][0]) if number in fields else b""


def _text(fields: dict[int, list[Any]], number: int) -> str:
    return _one(fields, number).decode()


def _map(fields: dict[int, list[Any]], number: int) -> dict[bytes, bytes]:
    entries = [_fields(entry) for entry in fields.get(number, [])]
    return {_one(entry, 1): _one(entry, 2) for entry in entries}
