"""Planted into mirrors and sources: what a new leader, or a snapshot, forgets."""

from collections.abc import Iterator
from typing import Any

from broker.cluster.streams.sourcing import SourceReader
from broker.jetstream import stream
from broker.jetstream.snapshot_columns import pack_column
from broker.jetstream.sources.sourced import Positions, SourcedOp, encode_sourced
from sim.bugs.planting import origins, planted
from sim.replacing import replaced


@planted(origins, "origins")
def a_new_leader_reads_a_source_from_its_beginning() -> Iterator[None]:
    """Where a source was read to is not looked up, and what comes twice is stored twice."""
    rewind, apply = SourceReader._rewind, stream.apply_sourced

    def forgetful(reader: SourceReader) -> None:
        rewind(reader)
        if not reader.source.is_mirror:
            reader._after = reader._place = 0

    def careless(state: Any, body: bytes, *rest: Any) -> bool:
        op = SourcedOp(body)
        after = state.sources.of(op.key).sequence if op.key else op.after
        sequences, times = pack_column("Q", op.sequences), pack_column("q", op.times)
        batch = body[len(body) - len(op.batch.raw) - 12 - 8 * op.batch.count :]
        body = encode_sourced(
            op.timestamp_ns, op.key, op.identity, after, op.batch.count, sequences, times, batch
        )  # fmt: skip
        return apply(state, body, *rest)

    with replaced(SourceReader, "_rewind", forgetful), replaced(stream, "apply_sourced", careless):
        yield


@planted(origins, "origins")
def a_new_leader_of_a_mirror_leaves_a_message_out() -> Iterator[None]:
    """It asks for what is behind the next message."""
    rewind = SourceReader._rewind

    def hasty(reader: SourceReader) -> None:
        rewind(reader)
        if reader.source.is_mirror and reader._after:
            reader._place = reader._after + 1

    with replaced(SourceReader, "_rewind", hasty):
        yield


@planted(origins, "machines")
def places_in_origins_are_in_no_snapshot() -> Iterator[None]:
    """A replica that begins from a snapshot does not know how far its sources were read."""
    with replaced(Positions, "snapshot", lambda positions: []):
        yield


@planted(origins, "origins")
def a_work_queue_drops_more_than_its_reader_has() -> Iterator[None]:
    """A reader tells its origin that it has stored one message more than it has."""
    stored = SourceReader.stored_sequence

    with replaced(SourceReader, "stored_sequence", lambda reader: stored(reader) + 1):
        yield
