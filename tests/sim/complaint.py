"""What does not hold, and which checker says so: a planted bug counts as found only by a checker that looks for it.

The names are the checkers' own: of the promises of `invariants` and `durable` the first word of a line in the table
there, of `checkers/` the names of the files. LIVENESS is what did not happen in time (`run`). PROCESS is what our own
programs raise: no checker's word, so that no planted bug counts as found by it.
"""

PROCESS, LIVENESS = "process", "liveness"


class Complaint(str):
    """A sentence; `by` is who says it."""

    by: str

    def __new__(cls, by: str, text: str) -> "Complaint":
        made = super().__new__(cls, text)
        made.by = by
        return made

    def __reduce__(self) -> tuple[type["Complaint"], tuple[str, str]]:
        return Complaint, (self.by, str(self))


class Broken(AssertionError):
    """A promise does not hold."""

    def __init__(self, by: str, text: str) -> None:
        super().__init__(text)
        self.by = by

    def complaint(self, who: str) -> Complaint:
        """As said of a node."""
        return Complaint(self.by, f"{who}: {self}")
