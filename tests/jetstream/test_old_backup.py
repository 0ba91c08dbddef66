"""Backups of older nats-servers: one of 2.12.2 as it was made, and what is wrong with others.

`backup-of-2.12.2.tar.s2` is the `stream.tar.s2` of a stream `S` with `max_msgs_per_subject` 2 after forty messages
`text <n>` on `S.<n % 7>`, of which 35, 36 and 40 were deleted, and a consumer `C` in the midst of things.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.jetstream.backups.old_index import OldIndex
from broker.jetstream.backups.restore import Restoring
from broker.jetstream.backups.restore_apply import encode_restore, encode_restore_end
from broker.jetstream.backups.s2 import BLOCK_BYTES, BackupError, S2Reader, write_block
from broker.jetstream.backups.s2 import MAGIC as S2_MAGIC
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.effects import EffectSink
from broker.jetstream.ops import OP_RESTORE
from broker.jetstream.stream import StreamMachine
from storage.memory import MemoryStreamStore

SAMPLE = Path(__file__).parent / "testdata" / "backup-of-2.12.2.tar.s2"


def config() -> StreamConfig:
    found = StreamConfig.from_json({"name": "S", "subjects": ["S.>"], "num_replicas": 1, "max_msg_size": -1})
    assert isinstance(found, StreamConfig)
    return found


def restored(archive: bytes, chunk: int = 700) -> StreamMachine:
    """A machine that a backup was restored into, through the operations of the log."""
    machine = StreamMachine(config(), MemoryStreamStore.open(None), 5)
    reader = Restoring(config(), 1 << 20, 5)
    for at in range(0, len(archive), chunk):
        rows = reader.feed(archive[at : at + chunk])
        machine.apply(OP_RESTORE, encode_restore(5, reader.skip(), rows), 0, EffectSink())
    machine.apply(OP_RESTORE, encode_restore_end(5, *reader.finish()), 0, EffectSink())
    return machine


def test_a_backup_of_2_12_is_what_it_was() -> None:
    machine = restored(SAMPLE.read_bytes())
    store = machine.store
    assert (store.messages, store.first_sequence, store.last_sequence) == (11, 27, 40)
    assert store.deleted_sequences() == [35, 36, 40]
    for sequence in (27, 28, 34, 37, 39):
        message = store.get(sequence)
        assert message is not None
        assert bytes(message.subject) == b"S.%d" % (sequence % 7)
        assert bytes(message.data[message.header_length :]) == b"text %d" % sequence
        assert bool(message.header_length) == (sequence % 4 == 0)
    consumer: Consumer = machine.consumers["C"]
    assert (consumer.delivered_consumer, consumer.delivered_stream) == (9, 37)
    assert (consumer.ack_floor_consumer, consumer.ack_floor_stream) == (2, 28)
    assert [(s, p.deliveries) for s, p in consumer.pending.items()] == [(s, 1) for s in (29, 30, 32, 33, 34, 37)]


def files() -> dict[str, bytes]:
    """The files in the sample."""
    reader = S2Reader()
    with tarfile.open(fileobj=io.BytesIO(reader.feed(SAMPLE.read_bytes(), 1 << 30))) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def packed(contents: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    """A backup of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.type = kind
            tar.addfile(member, io.BytesIO(content))
    plain = out.getvalue()
    return S2_MAGIC + b"".join(write_block(plain[at : at + BLOCK_BYTES]) for at in range(0, len(plain), BLOCK_BYTES))


def test_the_sample_packed_again_is_the_same_stream() -> None:
    assert restored(packed(files())).store.messages == 11
    long = {("x" * 150 + "/" + name if name.startswith("y") else name): content for name, content in files().items()}
    assert restored(packed(long)).store.messages == 11


def test_a_compressed_block_is_the_same_block() -> None:
    contents = files()
    block = contents["msgs/1.blk"]
    contents["msgs/1.blk"] = b"cmp\x01" + b"\xff\x01" + S2_MAGIC + write_block(block[:-8]) + block[-8:]
    assert restored(packed(contents)).store.messages == 11


def test_without_an_index_only_what_blocks_know_is_gone() -> None:
    contents = files()
    del contents["msgs/index.db"]
    assert restored(packed(contents)).store.messages == 37


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("meta.inf", b"{", "meta.inf"),
        ("meta.inf", b'{"name":"T"}', "stream names do not match"),
        ("msgs/1.blk", b"abc", "corrupt state"),
        ("msgs/1.blk", b"\xff\xff\xff\x7f" + bytes(40), "corrupt state"),
        ("msgs/1.blk", b"cmp\x01\x05nonsense and more of it", "s2"),
        ("msgs/index.db", b"\x0b\x03\xff", "corrupt state"),
        ("msgs/index.db", b"nonsense", "corrupt state"),
        ("msgs/index.db", b"\x0b\x03\1\1\1\1" + b"\xff" * 9 + b"\1\1\0\0", "ends beyond all sequences"),
        ("obs/C/o.dat", b"\x16\x07nonsense", "corrupt state"),
        ("obs/C/o.dat", b"\x16\x02\x01\x01\x01\x01\x7f", "corrupt state"),
        ("obs/C/meta.inf", b'{"ack_policy":"maybe"}', "failed to decode consumer"),
        ("obs/D/o.dat", b"", "no configuration"),
    ],
)
def test_a_bad_file_is_one_error(name: str, content: bytes, text: str) -> None:
    with pytest.raises(BackupError, match=text):
        restored(packed({**files(), name: content}))


def test_links_and_devices_are_refused() -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
        with pytest.raises(BackupError, match="unexpected content"):
            restored(packed({"meta.inf": b""}, kind))


def test_a_name_that_leads_elsewhere_leads_nowhere() -> None:
    """Nothing is ever written under the names in a backup."""
    assert restored(packed({**files(), "../../etc/passwd": b"x", "/etc/shadow": b"y"})).store.messages == 11


def test_a_backup_that_is_cut_off_is_one_error() -> None:
    whole = SAMPLE.read_bytes()
    for end in range(0, len(whole), 97):
        with pytest.raises(BackupError):
            restored(whole[:end])


@given(st.binary(max_size=60))
def test_a_nonsensical_consumer_is_never_more_than_an_error(tail: bytes) -> None:
    with contextlib.suppress(BackupError):
        restored(packed({**files(), "obs/C/o.dat": b"\x16\x02" + tail}))


@given(st.binary(max_size=200))
def test_a_nonsensical_index_is_never_more_than_an_error(tail: bytes) -> None:
    with contextlib.suppress(BackupError):
        OldIndex(b"\x0b\x03" + tail)
