"""How much a piece of code does, in function calls: a measure of proportion that does not depend on the machine.

Compiled code makes no calls that Python sees, so that counts compare equal there; what grows shows interpreted.
"""

import sys
from collections.abc import Callable


def calls(work: Callable[[], object]) -> int:
    """How many functions, Python's own included, are called while `work` runs."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
