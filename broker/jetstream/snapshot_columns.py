"""A column of integers in a snapshot or an operation: little-endian bytes. Not here: what it means."""

import sys
from array import array
from typing import Final

_SWAP: Final = sys.byteorder != "little"


def pack_column(typecode: str, values: list[int]) -> bytes:
    """`typecode` as in `array`."""
    column = array(typecode, values)
    if _SWAP:
        column.byteswap()
    return column.tobytes()


def unpack_column(typecode: str, data: bytes) -> list[int]:
    """Inverse of `pack_column`. Raises ValueError when the bytes are no whole number of values."""
    column: array[int] = array(typecode)
    column.frombytes(data)
    if _SWAP:
        column.byteswap()
    return column.tolist()
