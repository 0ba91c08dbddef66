"""A backup on its way back into a stream: what was packed comes out as messages and, at the end, consumers.

`Restoring` takes the bytes as they come, of either format, and checks everything before it gives it out: whatever is
wrong is a BackupError with one text. Not here: the formats (`archive`, `old_backup`), what the machine does with it
(`restore_apply`), who sends it (`broker/cluster/streams/restores`).

Invariants: sequences ascend; a time that is before the message before it is told as that one's; nothing is larger than
the server takes from a publisher.
"""

from typing import Any, Final

from broker.core.subjects import is_literal, is_valid
from broker.jetstream.backups.archive import CONSUMERS, STATE, ArchiveReader, Entry, read_json
from broker.jetstream.backups.archive import MAGIC as ARCHIVE_MAGIC
from broker.jetstream.backups.backup_reader import BackupReader, Ending, Row
from broker.jetstream.backups.old_backup import OldBackup
from broker.jetstream.backups.s2 import BackupError, S2Reader
from broker.jetstream.config.consumer_config import ACK_NONE, ConfigError, ConsumerConfig, config_from_json
from broker.jetstream.config.consumer_rules import check, set_defaults
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.config.stream_rules import is_asset_name
from broker.jetstream.consumers.consumer import Consumer, Pending
from broker.jetstream.ops import HEADERS_MAX
from broker.jetstream.store import SEQUENCE_MAX

SUBJECT_MAX: Final = 0xFFFF
DECODED_MAX: Final = 4 * 1024 * 1024  # at once


class ArchiveBackup(BackupReader):
    """The format of 2.15."""

    def __init__(self) -> None:
        super().__init__()
        self._reader: Final = ArchiveReader()
        self._missing: int = -1  # consumers that are still to come; -1: the state is
        self._ended: bool = False

    def feed(self, data: bytes) -> list[Row]:
        rows: list[Row] = []
        for entry in self._reader.feed(data):
            if self._ended:
                raise BackupError("archive: something follows its end")
            if self._missing < 0:
                self._begin(entry)
            elif self._missing > 0:
                self._consumer(entry)
            elif entry.is_end():
                self._ended = True
            elif entry.sequence == 0:
                raise BackupError("expected message sequence")
            else:
                rows.append((entry.sequence, entry.time_ns, entry.name, entry.header_length, entry.data))
        return rows

    def _begin(self, entry: Entry) -> None:
        if entry.name != STATE:
            raise BackupError("expected state.json first")
        state = read_json(entry, "state.json")
        first, last, count = (state.get(name, 0) for name in ("first_seq", "last_seq", "consumer_count"))
        if not all(isinstance(number, int) and 0 <= number <= SEQUENCE_MAX for number in (first, last, count)):
            raise BackupError("error in state.json: not a state")
        self.first, self.last, self._missing = first, last, count

    def _consumer(self, entry: Entry) -> None:
        if not entry.name.startswith(CONSUMERS):
            raise BackupError(f'expected consumer, found "{entry.name.decode(errors="replace")}"')
        name = entry.name[len(CONSUMERS) :].decode(errors="replace")
        about = read_json(entry, f'consumer "{name}"')
        for part in ("config", "state"):
            if not isinstance(about.get(part), dict):
                raise BackupError(f'consumer "{name}" is missing {part}')
        self.consumers.append((name, about["config"], about["state"]))
        self._missing -= 1

    def finish(self) -> None:
        self._reader.finish()
        if not self._ended:
            raise BackupError("backup was truncated")


class Restoring:
    """See the module's text."""

    def __init__(self, config: StreamConfig, payload_max: int, wall_ns: int) -> None:
        self._config: Final = config
        self._payload_max: Final = payload_max
        self._wall_ns: Final = wall_ns
        self._s2: Final = S2Reader()
        self._head: bytes = b""
        self._source: BackupReader | None = None
        self._told_first: bool = False
        self._last: int = 0
        self._last_ns: int = 0

    def has_more(self) -> bool:
        """Whether what came may hold more than was given out: ask again with b""."""
        return self._s2.has_more()

    def feed(self, chunk: bytes) -> list[Row]:
        """Messages that are complete now, or some of them. Raises BackupError."""
        data = self._s2.feed(chunk, DECODED_MAX)
        if self._source is None:
            self._head += data
            if len(self._head) < len(ARCHIVE_MAGIC):
                return []
            data = self._head
            self._source = reader_of(data, self._config.name)
        rows = self._source.feed(data)
        return [self._checked(row) for row in rows]

    def skip(self) -> int:
        """The last sequence before the stream begins, once; 0 when there is nothing to skip."""
        source = self._source
        if self._told_first or source is None or source.first == 0:
            return 0
        self._told_first = True
        return source.first - 1

    def _checked(self, row: Row) -> Row:
        sequence, time_ns, subject, header_length, data = row
        if not self._last < sequence <= SEQUENCE_MAX:
            raise BackupError(f"message sequence {sequence} out of order")
        if len(data) > self._payload_max or not 0 <= header_length <= min(len(data), HEADERS_MAX):
            raise BackupError(f"message sequence {sequence} exceeds maximum payload size")
        if 0 <= self._config.max_msg_size < len(data):
            raise BackupError(f"message sequence {sequence} exceeds maximum message size")
        if len(subject) > SUBJECT_MAX or not is_valid(subject) or not is_literal(subject):
            raise BackupError(f"message sequence {sequence} has no valid subject")
        self._last = sequence
        self._last_ns = max(time_ns, self._last_ns)
        return (sequence, self._last_ns, subject, header_length, data)

    def finish(self) -> tuple[Ending, list[Consumer]]:
        """Where the stream begins and ends, and its consumers. Raises BackupError."""
        self._s2.finish()
        source = self._source
        if source is None:
            raise BackupError("unexpected EOF")
        source.finish()
        last = max(source.last, self._last)
        if last > SEQUENCE_MAX:
            raise BackupError("the stream ends beyond all sequences")
        consumers = [
            restored_consumer(self._config, name, config, state, last, self._wall_ns)
            for name, config, state in source.consumers
        ]
        if 0 < self._config.max_consumers < len(consumers):
            raise BackupError("maximum consumers limit reached")
        gone = sorted({sequence for sequence in source.gone if source.begins <= sequence <= self._last})
        return Ending(last, min(source.begins, last + 1), gone), consumers


def reader_of(head: bytes, name: str) -> BackupReader:
    """What reads a backup of the stream `name` that begins so: what is no archive is a tar, or nothing."""
    return ArchiveBackup() if head.startswith(ARCHIVE_MAGIC) else OldBackup(name)


# Consumers.


def restored_consumer(
    stream: StreamConfig, name: str, fields: dict[str, Any], state: dict[str, Any], last: int, wall_ns: int
) -> Consumer:
    """A consumer as a backup has it. Raises BackupError."""
    try:
        config = config_from_json(fields)
        if not is_asset_name(name):
            raise BackupError(f'consumer name "{name}" is not valid')
        config.num_replicas = min(config.num_replicas, stream.num_replicas)
        refusal = set_defaults(config, stream, False) or check(config, stream)
        if refusal is not None:
            raise BackupError(f'failed to add consumer "{name}": {refusal.description}')
        return _with_state(Consumer(stream.name, name, config, wall_ns), config, state, last)
    except ConfigError as error:
        raise BackupError(f'failed to decode consumer "{name}" state: {error}') from None
    except (ValueError, LookupError, TypeError, OverflowError):
        raise BackupError(f'failed to decode consumer "{name}" state') from None


def _with_state(consumer: Consumer, config: ConsumerConfig, state: dict[str, Any], last: int) -> Consumer:
    delivered, floor = state["delivered"], state["ack_floor"]
    consumer.delivered_consumer = _number(delivered.get("consumer_seq"))
    consumer.delivered_stream = min(_number(delivered.get("stream_seq")), last)
    consumer.ack_floor_consumer = min(_number(floor.get("consumer_seq")), consumer.delivered_consumer)
    consumer.ack_floor_stream = min(_number(floor.get("stream_seq")), consumer.delivered_stream)
    again = state.get("redelivered") or {}
    pending = state.get("pending") or {}
    for key in sorted(pending, key=int) if config.ack_policy != ACK_NONE else []:
        sequence = int(key)
        if 0 < sequence <= consumer.delivered_stream:
            entry = pending[key]
            deliveries = 1 + min(_number(again.get(key)), 0x7FFFFFFF)
            consumer.pending[sequence] = Pending(_number(entry["Sequence"]), _number(entry["Timestamp"]), deliveries)
            consumer.order.append(sequence)
    return consumer


def _number(value: object) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise ValueError(value)
    return value
