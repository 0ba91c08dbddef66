"""The consumers to whom a new message would leave at once, and which of them a message concerns.

A stream may have thousands of consumers that wait, each with a filter of its own; a message wakes those it is for. Not
here: what a consumer does when it is woken (`consumer_lead`). Invariant: whoever wants one of the messages that are
asked about is among those found; others may be too.
"""

from typing import Final

from broker.core.subject_owners import SubjectOwners
from broker.jetstream.delivery.consumer_lead import ConsumerLead
from broker.jetstream.store import MessageStore


class HungryConsumers:
    """By name."""

    def __init__(self) -> None:
        self._all: Final[dict[str, ConsumerLead]] = {}
        self._unfiltered: Final[dict[str, ConsumerLead]] = {}
        self._filters: Final[dict[str, list[bytes]]] = {}
        self._owners: Final = SubjectOwners()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, lead: ConsumerLead) -> None:
        """It waits for messages."""
        name = lead.consumer.name
        if self._all.get(name) is lead:
            return
        self.drop(name)
        self._all[name] = lead
        filters = [wanted.encode() for wanted in lead.consumer.config.filters()]
        if not filters:
            self._unfiltered[name] = lead
            return
        self._filters[name] = filters
        for wanted in filters:
            self._owners.add(wanted, name)

    def drop(self, name: str) -> None:
        """It does not, or wants other messages."""
        if self._all.pop(name, None) is None:
            return
        self._unfiltered.pop(name, None)
        for wanted in self._filters.pop(name, []):
            self._owners.remove(wanted, name)

    def everybody(self) -> list[ConsumerLead]:
        """All of them."""
        return list(self._all.values())

    def concerned(self, store: MessageStore, first: int, last: int) -> list[ConsumerLead]:
        """Those that want one of the messages `first` to `last`."""
        if not self._filters:
            return self.everybody()
        if last - first >= len(self._filters):
            return self.everybody()  # asking each of them costs less than looking at each message
        found = dict(self._unfiltered)
        last_subject = b""
        for sequence in range(first, last + 1):
            message = store.get(sequence)
            if message is not None and message.subject != last_subject:
                last_subject = message.subject
                for name in self._owners.owners(last_subject):
                    found[name] = self._all[name]
        return list(found.values())
