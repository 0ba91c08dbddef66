"""Origins that forget: a work-queue or interest stream keeps a message only for as long as a consumer needs it, so each
mirror or source that reads such a stream has one there.

It is an ordinary replicated consumer without acks, called `JS_MIRROR_…` or `JS_SRC_…`. Nobody pulls from it: its place
moves to where the reader says that everything is stored on its side (`OriginQuery.taken`), by the same operation that
notes a delivery, and the stream drops what nobody needs. The reader's last word (`ends`) deletes it.

Not here: questions and answers (`origin_reads`). Invariant: nothing is dropped for a reader that it has not stored.
"""

from typing import TYPE_CHECKING, Final

from broker.jetstream.api_errors import ApiError
from broker.jetstream.config.consumer_config import ACK_NONE, ConsumerConfig
from broker.jetstream.config.stream_config import RETENTION_LIMITS
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.consumers.consumer_apply import ACTION_CREATE, encode_create, encode_delete
from broker.jetstream.consumers.delivered import Delivered
from broker.jetstream.delivery.delivery_output import OpWaiter
from broker.jetstream.ops import OP_CONSUMER_CREATE, OP_CONSUMER_DELETE, OP_DELIVERED
from broker.jetstream.sources.source_read import OriginQuery

if TYPE_CHECKING:
    from broker.cluster.streams.stream_group import StreamGroup

TAKEN_MAX: Final = 10_000  # messages in one operation


class OriginConsumers:
    """Of one stream that this node leads."""

    def __init__(self, group: "StreamGroup") -> None:
        self._group: Final = group
        self._under_way: dict[str, bool] = {}
        self._refused: dict[str, ApiError] = {}

    def needed(self) -> bool:
        """Whether the stream forgets."""
        return self._group.machine.config.retention != RETENTION_LIMITS

    def prepare(self, query: OriginQuery) -> bool | ApiError:
        """Whether the reader may be answered: its consumer is there. The error if there cannot be one."""
        name = query.consumer
        consumer = self._group.machine.consumers.get(name)
        if query.ends:
            if consumer is not None:
                self._group.propose(OP_CONSUMER_DELETE, encode_delete(name, 0), None, True)
            return True
        if not self.needed():
            return True
        if consumer is not None:
            self._take(consumer, query.taken)
            return True
        error = self._refused.pop(name, None)
        if error is not None:
            return error
        if name not in self._under_way:
            config = ConsumerConfig()
            config.durable_name = name
            config.name = name
            config.ack_policy = ACK_NONE
            config.sourcing = True
            config.filter_subjects = query.filters if len(query.filters) > 1 else []
            config.filter_subject = query.filters[0] if len(query.filters) == 1 else ""
            self._under_way[name] = True
            body = encode_create(name, ACTION_CREATE, self._group.clock.wall_ns, config)
            self._group.propose(OP_CONSUMER_CREATE, body, _Waiter(self, name), True)
        return False

    def _take(self, consumer: Consumer, taken: int) -> None:
        """Everything up to `taken` is stored at the reader."""
        if taken <= consumer.delivered_stream or consumer.name in self._under_way:
            return
        store = self._group.machine.store
        wall_ns = self._group.clock.wall_ns
        delivered = Delivered(consumer.name, consumer.epoch_ns, wall_ns, consumer.delivered_consumer + 1)
        sequence = store.next_sequence(max(consumer.delivered_stream + 1, store.first_sequence), consumer.matcher)
        count = 0
        while 0 < sequence <= taken and count < TAKEN_MAX:
            delivered.add_new(sequence)
            count += 1
            sequence = store.next_sequence(sequence + 1, consumer.matcher)
        if count:
            self._under_way[consumer.name] = True
            self._group.propose(OP_DELIVERED, delivered.encode(), _Waiter(self, consumer.name), False)

    def settled(self, name: str, result: object) -> None:
        """An operation was applied, or lost."""
        self._under_way.pop(name, None)
        if isinstance(result, ApiError):
            self._refused[name] = result
        self._group.reads.due = True
        self._group.touch()

    def drop(self) -> None:
        """This node no longer leads the stream."""
        self._under_way = {}
        self._refused = {}


class _Waiter(OpWaiter):
    def __init__(self, consumers: OriginConsumers, name: str) -> None:
        self._consumers: Final = consumers
        self._name: Final = name

    def applied(self, result: object) -> None:
        self._consumers.settled(self._name, result)

    def abandoned(self) -> None:
        self._consumers.settled(self._name, None)
