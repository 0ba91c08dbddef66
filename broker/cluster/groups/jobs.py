"""Work for the IO threads: objects whose `run` touches only files, and nothing that the reactor thread uses
meanwhile."""

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from raft.types import Message
from storage.wal import WalBatch

if TYPE_CHECKING:
    from broker.cluster.groups.group import RaftGroup

THREAD_WAL: Final = 0
THREAD_FLUSH: Final = 1


@mypyc_attr(allow_interpreted_subclasses=True)
class Job:
    """`run` is called once, on the thread named by `thread`; its exception comes back through `job_done`."""

    def __init__(self, thread: int, is_quick: bool = False) -> None:
        """`is_quick`: it waits for no disk (a write to the page cache)."""
        self.thread: Final = thread
        self.is_quick: Final = is_quick

    def run(self) -> None:
        """Do the IO. Raises OSError or a storage error."""
        raise NotImplementedError


class WalJob(Job):
    """One batch of the write-ahead log, and what may happen once it is durable."""

    def __init__(
        self, batch: WalBatch, marks: "list[tuple[RaftGroup, int, int]]", messages: list[Message]
    ) -> None:
        super().__init__(THREAD_WAL, not batch.sync and batch.head is None and not batch.retired)
        self.batch: Final = batch
        self.marks: Final = marks
        self.messages: Final = messages

    def run(self) -> None:
        """Write and sync."""
        self.batch.run()
