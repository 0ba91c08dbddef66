"""The files of a dead-letter stream, through checkpoints and restarts."""

import random

from crash_disk import CrashDisk

from broker.cluster.streams.dead_letter_stores import DeadLetterStores
from broker.jetstream.config.stream_config import StreamConfig
from storage.block_files import BlockFiles
from storage.stream_store import FileStreamStore

MADE_NS = 7


def checkpoint(stores: DeadLetterStores) -> None:
    job = stores.begin_flush(None)
    if job is not None:
        job.run()
    stores.checkpoint_done(job)  # type: ignore[arg-type]


def test_files_of_a_stream_that_the_log_makes_again_are_kept() -> None:
    """The blocks were written, the snapshot that speaks of them was not: the log brings the stream once more."""
    disk = CrashDisk(random.Random(1))
    config = StreamConfig.from_json({"name": "DLQ_S", "storage": "file"})
    assert isinstance(config, StreamConfig)
    before = DeadLetterStores(disk, "groups/1", BlockFiles(disk))
    store = before.open(config, MADE_NS, None)
    store.append(1, 1, b"$DLQ.S.C.a", 0, b"first")
    job = before.begin_flush(None)
    assert job is not None
    job.run()

    stores = DeadLetterStores(disk, "groups/1", BlockFiles(disk))  # a start, as of a snapshot without the stream
    stores.forget_others()
    store = stores.open(config, MADE_NS, None)
    assert store.last_sequence == 0
    store.append(1, 1, b"$DLQ.S.C.a", 0, b"first")
    checkpoint(stores)
    store.append(2, 2, b"$DLQ.S.C.a", 0, b"second")
    checkpoint(stores)
    store.append(3, 3, b"$DLQ.S.C.a", 0, b"third")
    checkpoint(stores)
    assert isinstance(store, FileStreamStore)
    state = store.state_bytes()
    disk.crash()
    found = FileStreamStore.open(disk, stores.path(MADE_NS), state, BlockFiles(disk))
    assert [bytes(found.get(sequence).data) for sequence in (1, 2, 3)] == [b"first", b"second", b"third"]  # type: ignore[union-attr]
