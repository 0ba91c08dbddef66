"""When which consumer wants to be looked at: one heap for all consumers of a stream.

A consumer is in the heap once for its earliest known deadline (`armed_ns`); entries for deadlines that moved are
skipped, or
found too early, in which case the consumer is armed again. Not here: what a deadline is
(`consumer_lead.next_deadline_ns`).
"""

import heapq

from broker.jetstream.consumer_lead import ConsumerLead


class LeadSchedule:
    """Deadlines, monotonic ns."""

    def __init__(self) -> None:
        self.heap: list[tuple[int, str]] = []

    def arm(self, lead: ConsumerLead) -> None:
        """Note when `lead` wants to be looked at, if that is earlier than what is known."""
        deadline_ns = lead.next_deadline_ns()
        if deadline_ns and (lead.armed_ns == 0 or deadline_ns < lead.armed_ns):
            lead.armed_ns = deadline_ns
            heapq.heappush(self.heap, (deadline_ns, lead.consumer.name))

    def take_due(self, leads: dict[str, ConsumerLead], now_ns: int) -> list[ConsumerLead]:
        """Those whose deadline has passed."""
        due: list[ConsumerLead] = []
        heap = self.heap
        while heap and heap[0][0] <= now_ns:
            deadline_ns, name = heapq.heappop(heap)
            lead = leads.get(name)
            if lead is not None and lead.armed_ns == deadline_ns:
                lead.armed_ns = 0
                due.append(lead)
        return due

    def next_deadline_ns(self) -> int:
        """The earliest deadline, 0 = none."""
        return self.heap[0][0] if self.heap else 0
