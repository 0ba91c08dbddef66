"""A stream that was restored from a backup goes on where its messages say: in what it reads, and with its schedules."""

from broker.jetstream.backups.restore_apply import encode_restore
from broker.jetstream.effects import EffectSink
from broker.jetstream.ops import OP_RESTORE, OP_SOURCED, PublishBatch
from broker.jetstream.snapshot_columns import pack_column
from broker.jetstream.sources.sourced import encode_sourced
from broker.jetstream.stream import StreamMachine
from jetstream.stream_room import SECOND, START, Recorder, contents, headers_of, make_config
from storage.memory import MemoryStreamStore

Row = tuple[int, int, bytes, int, bytes]


def restored(rows: list[Row], **fields: object) -> StreamMachine:
    """A machine that was told of these messages, and that there are no more."""
    machine = StreamMachine(make_config(**fields), MemoryStreamStore.open(None), START)
    body = encode_restore(START, 0, rows)
    machine.apply(OP_RESTORE, body, 0, EffectSink())
    return machine


def row(sequence: int, subject: str, payload: str, *fields: tuple[str, str]) -> Row:
    headers = headers_of(list(fields))
    return sequence, START - 100 * SECOND + sequence, subject.encode(), len(headers), headers + payload.encode()


def sourced(machine: StreamMachine, key: str, after: int, sequence: int, identity: str) -> str:
    """One message of the origin."""
    batch = PublishBatch()
    batch.add(b"o.x", 0, b"%d" % sequence)
    columns = pack_column("Q", [sequence]), pack_column("q", [START])
    sink = Recorder()
    body = encode_sourced(START, key.encode(), identity, after, 1, *columns, batch.encode(0))
    machine.apply(OP_SOURCED, body, 0, sink)
    return sink.text()


def test_sources_are_read_from_where_the_restored_messages_are() -> None:
    machine = restored(
        [
            row(1, "o.x", "7", ("Nats-Stream-Source", "O 7 > > o.x aaaaaaaa")),
            row(2, "p.x", "3", ("Nats-Stream-Source", "P 3 p.* > p.x")),
            row(3, "o.x", "9", ("Nats-Stream-Source", "O 9 > > o.x aaaaaaaa")),
            row(4, "s.own", "own"),
        ],
        sources=[{"name": "O"}, {"name": "P", "filter_subject": "p.*"}],
        subjects=["s.>"],
    )
    assert (machine.sources.of(b"O > >").sequence, machine.sources.of(b"P p.* >").sequence) == (9, 3)
    assert sourced(machine, "O > >", 0, 1, "bbbbbbbb") == "ok False"  # from the beginning: it would come twice
    assert sourced(machine, "O > >", 9, 10, "bbbbbbbb") == "ok 5"
    assert contents(machine) == "[1, 5] 1:o.x=7 2:p.x=3 3:o.x=9 4:s.own=own 5:o.x=10"


def test_schedules_go_on() -> None:
    machine = restored(
        [
            row(1, "s.a", "a", ("Nats-Schedule", "@every 10s"), ("Nats-Schedule-Target", "s.t")),
            row(2, "s.b", "b", ("Nats-Schedule", "@every 10s"), ("Nats-Schedule-Target", "s.t")),
            row(3, "s.b", "a plain message ends it"),
        ],
        subjects=["s.>"],
        allow_msg_schedules=True,
    )
    assert list(machine.schedules.entries) == [b"s.a"]
