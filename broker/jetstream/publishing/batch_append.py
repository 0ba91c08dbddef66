"""Messages of a batch into a store: all of it as it came, or some runs of it.

Of a part only its own bytes are kept, so that blocks hold nothing else. Not here: which messages (`publish`,
`sourced_apply`), limits.
"""

from array import array
from itertools import accumulate
from operator import add

from broker.jetstream.ops import PublishOp
from broker.jetstream.store import MessageStore


def append_runs(
    store: MessageStore, op: PublishOp, starts: list[int], ends: list[int], first: int, time_ns: int
) -> None:
    """The messages [start, end) of each run, under consecutive sequences from `first` and times from `time_ns`."""
    if len(starts) == 1 and ends[0] - starts[0] == op.count:
        store.append_batch(first, time_ns, op.raw, op.positions, op.subject_lengths, op.header_lengths, op.data_lengths)
        return
    parts: list[bytes] = []
    subject_lengths: array[int] = array("H")
    header_lengths: array[int] = array("H")
    data_lengths: array[int] = array("I")
    for run in range(len(starts)):
        low = starts[run]
        high = ends[run]
        end = op.positions[high] if high < op.count else len(op.raw)
        parts.append(op.raw[op.positions[low] : end])
        subject_lengths.extend(op.subject_lengths[low:high])
        header_lengths.extend(op.header_lengths[low:high])
        data_lengths.extend(op.data_lengths[low:high])
    positions: array[int] = array("I", accumulate(map(add, subject_lengths, data_lengths), initial=0))
    positions.pop()
    store.append_batch(first, time_ns, b"".join(parts), positions, subject_lengths, header_lengths, data_lengths)
