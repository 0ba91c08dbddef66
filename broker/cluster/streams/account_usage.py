"""What the account uses: every node sums up the streams that it leads, and one asks all of them.

Asking each stream's leader, as a list of streams does, would be thousands of questions for a few numbers. Not here: the
words of the answer (`stream_list`). Invariant: whoever asked is answered once, with what the nodes have said that are
there, after `ANSWER_NS` at the latest.
"""

from collections.abc import Callable
from typing import Final

import cbor2

from broker.cluster.links.frames import FRAME_USAGE
from broker.cluster.links.link import PeerLink
from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.assignments import Assignments
from broker.cluster.turn_clock import TurnClock
from broker.jetstream.config.stream_config import MEMORY_STORAGE

ANSWER_NS: Final = 2_000_000_000
QUESTIONS_MAX: Final = 64
WAITING_MAX: Final = 1024  # behind one question; whoever comes then gets no answer, and asks again


class Usage:
    """Sums; bytes count once for each replica."""

    def __init__(self) -> None:
        self.memory: int = 0
        self.storage: int = 0
        self.consumers: int = 0

    def add(self, memory: int, storage: int, consumers: int) -> None:
        """And this."""
        self.memory += memory
        self.storage += storage
        self.consumers += consumers


class Question:
    """One to all nodes, and who waits for what they say."""

    def __init__(self, usage: Usage, deadline_ns: int) -> None:
        self.usage: Final = usage
        self.deadline_ns: Final = deadline_ns
        self.waiting: Final[list[Callable[[Usage], None]]] = []
        self.silent: dict[str, bool] = {}  # peers that have not said anything yet


class AccountUsage:
    """See the module's text."""

    def __init__(self, assignments: Assignments, links: LinkTable, clock: TurnClock) -> None:
        self._assignments: Final = assignments
        self._links: Final = links
        self._clock: Final = clock
        self._questions: dict[int, Question] = {}
        self._asked: int = 0

    def ask(self, finish: Callable[[Usage], None]) -> None:
        """`finish` gets the sums."""
        if len(self._questions) >= QUESTIONS_MAX:  # the last one will do
            waiting = self._questions[max(self._questions)].waiting
            if len(waiting) < WAITING_MAX:
                waiting.append(finish)
            return
        self._asked += 1
        question = Question(self._led_here(), self._clock.now_ns + ANSWER_NS)
        question.waiting.append(finish)
        self._questions[self._asked] = question
        for peer, link in self._links.links.items():
            question.silent[peer] = True
            self._write(link, {"asks": self._asked})
        self._end_if_complete(self._asked, question)

    def heard(self, link: PeerLink, said: dict[str, int]) -> None:
        """A peer asks, or answers."""
        if "asks" in said:
            usage = self._led_here()
            numbers = {"memory": usage.memory, "storage": usage.storage, "consumers": usage.consumers}
            self._write(link, {"answers": said["asks"], **numbers})
            return
        question = self._questions.get(said["answers"])
        if question is not None and question.silent.pop(link.peer, False):
            question.usage.add(said["memory"], said["storage"], said["consumers"])
            self._end_if_complete(said["answers"], question)

    def tick(self) -> None:
        """50 ms passed: nobody waits for nodes that are gone."""
        for number, question in list(self._questions.items()):
            for peer in list(question.silent):
                if peer not in self._links.links or question.deadline_ns <= self._clock.now_ns:
                    del question.silent[peer]
            self._end_if_complete(number, question)

    def _end_if_complete(self, number: int, question: Question) -> None:
        if not question.silent:
            del self._questions[number]
            for finish in question.waiting:
                finish(question.usage)

    def _write(self, link: PeerLink, said: dict[str, int]) -> None:
        link.write_frame(FRAME_USAGE, [bytes(cbor2.dumps(said))])
        link.dirty = True

    def _led_here(self) -> Usage:
        usage = Usage()
        meta = self._assignments.meta
        for group in self._assignments.groups.values():
            if not group.is_leader or meta is None:
                continue
            assignment = meta.machine.by_group.get(group.id)
            if assignment is None or assignment.restoring:
                continue
            machine = group.machine
            size = machine.store.bytes * machine.config.num_replicas
            in_memory = machine.config.storage == MEMORY_STORAGE
            usage.add(size if in_memory else 0, 0 if in_memory else size, len(machine.consumers))
        return usage
