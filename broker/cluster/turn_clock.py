"""The time of the present turn. The rim sets it; nobody below the rim reads a clock."""


class TurnClock:
    """`now_ns` is monotonic and only for timers; `wall_ns` is Unix time and only for data."""

    def __init__(self) -> None:
        self.now_ns: int = 0
        self.wall_ns: int = 0

    def set(self, now_ns: int, wall_ns: int) -> None:
        """A turn or a tick begins."""
        self.now_ns = now_ns
        self.wall_ns = wall_ns
