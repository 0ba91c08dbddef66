"""What the operating system answered, in Go's words: `open /x: no such file or directory`, `address already in use`.

Is: text for logs and refusals; scripts around nats-server look for these words. Is not: a decision about any error.
Read next: `server.py`, `cli.py`, which say them.
"""

from __future__ import annotations

import errno
import os


def reason(error: OSError) -> str:
    """The answer alone, which Go begins in lower case."""
    text = error.strerror or str(error)
    if error.errno is not None and error.errno in errno.errorcode:
        text = os.strerror(error.errno)  # what a library says instead may differ
    return text[:1].lower() + text[1:]


def failed(operation: str, path: str, error: OSError) -> str:
    """What was tried, on what, and the answer."""
    return f"{operation} {path}: {reason(error)}"
