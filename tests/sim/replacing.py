"""A part of the real program is something else for a while: only where it is interpreted."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from broker.jetstream.delivery import push


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """`owner.name` is something else for a while."""
    before = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def windows(most_bytes: int) -> Iterator[None]:
    """Flow control's windows grow to this many bytes, so that messages of a few bytes feel them; 0: as they are."""
    with ExitStack() as stack:
        if most_bytes:
            stack.enter_context(replaced(push, "WINDOW_BYTES_FIRST", most_bytes // 4))
            stack.enter_context(replaced(push, "WINDOW_BYTES_MAX", most_bytes))
        yield
