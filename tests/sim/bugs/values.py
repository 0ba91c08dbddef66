"""Planted into keys, counters and what does not last: which value counts, and what a snapshot forgets."""

from collections.abc import Iterator

from broker.cluster.groups.confirmed_reads import ConfirmedReads, ReadWaiter
from broker.jetstream.message_ttl import TtlTable
from broker.jetstream.publishing import publish, publish_counter
from broker.jetstream.publishing.publish_headers import PublishHeaders
from sim.bugs.planting import bucket, counting, planted, stale
from sim.replacing import replaced


@planted(stale, "reads")
def a_get_is_answered_without_asking_the_others() -> Iterator[None]:
    """Who led once, and was not told that others do, answers what it has."""

    def trusting(reads: ConfirmedReads, waiter: ReadWaiter) -> None:
        waiter.confirmed()

    with replaced(ConfirmedReads, "ask", trusting):
        yield


@planted(bucket, "conditions")
def a_revision_is_not_compared() -> Iterator[None]:
    """Whatever an update expects, it is stored."""
    with replaced(publish, "check_expectations", lambda *_: None):
        yield


@planted(bucket, "replicas", "machines")
def times_to_live_are_in_no_snapshot() -> Iterator[None]:
    """What does not last, lasts on a replica that begins from a snapshot."""
    with replaced(TtlTable, "restore", lambda table, state: None):
        yield


class Anonymous(PublishHeaders):
    """No message has an id."""

    def __init__(self, headers: bytes) -> None:
        super().__init__(headers)
        self.message_id = b""


@planted(counting, "sums")
def an_increment_that_is_repeated_counts_twice() -> Iterator[None]:
    """A counter does not look at message ids."""
    with replaced(publish_counter, "PublishHeaders", Anonymous):
        yield
