"""A bug of ours, contained: what it was and where it happened, in one line for the log.

What a client can send must never end a node, let alone every replica of a stream, one after the other and again at
each start. So where the state of one stream, or one request, is all that a bug can have touched, it ends that stream
here, or that request, and says so. Everywhere else, and where Raft's own rules are broken, it ends the process.

Not here: who contains what (`Engine.contain`, `Dispatch.perform`).
"""

import traceback
from typing import Final

PLACES_MAX: Final = 6


def bug_text(bug: Exception) -> str:
    """`KeyError: 'x' (a bug; engine.py:98, stream.py:91, publish.py:76)`, the place where it was raised last."""
    frames = traceback.extract_tb(bug.__traceback__)
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames[-PLACES_MAX:]]
    return f"{type(bug).__name__}: {bug} (a bug; {', '.join(places)})"
