"""What a stream's machine holds besides consumers and messages. Rules work on it: `publish`, `retention`; `stream` is
the whole.

Not here: any behaviour. Invariant: everything here is a function of the log.
"""

from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.consumers.consumer_apply import ConsumerOwner
from broker.jetstream.dedupe import DedupeTable
from broker.jetstream.effects import EffectSink
from broker.jetstream.message_ttl import TtlTable
from broker.jetstream.publishing.subject_mapping import mapping_of
from broker.jetstream.schedules.schedules import ScheduleTable
from broker.jetstream.sources.sourced import Positions
from broker.jetstream.store import MessageStore


class StreamState(ConsumerOwner):
    """Configuration, store and consumers come from `ConsumerOwner`."""

    def __init__(self, config: StreamConfig, store: MessageStore, created_ns: int) -> None:
        super().__init__(config, store)
        self.mapping = mapping_of(config)
        self.created_ns: int = created_ns
        self.config_revision: int = 0  # of the last OP_STREAM_CONFIG that counted
        self.last_time_ns: int = 0  # of the newest operation or message; times never go back
        self.last_message_id: bytes = b""  # the id the newest message came with
        self.dedupe: DedupeTable = DedupeTable(config.duplicate_window_ns)
        self.sources: Positions = Positions()
        self.schedules: ScheduleTable = ScheduleTable()
        self.ttl: TtlTable = TtlTable()
        self.aged_sequence: int = 0  # of what is stored up to here, `max_age` removes nothing more

    def set_config(self, config: StreamConfig) -> None:
        """Replace the configuration; what hangs on it elsewhere is the caller's."""
        self.config = config
        self.mapping = mapping_of(config)

    def republishes(self, sink: EffectSink) -> bool:
        """Whether somebody wants to be told of what is stored, to publish it again."""
        return self.mapping is not None and self.mapping.republishes and sink.republishes()

    def advance(self, timestamp_ns: int) -> int:
        """The machine's time for an operation stamped so."""
        time_ns = max(timestamp_ns, self.last_time_ns + 1)
        self.last_time_ns = time_ns
        return time_ns
