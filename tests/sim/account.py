"""What came of one stream, for checkers to judge: what clients know, what the log says, what the replicas have."""

from typing import Any

from broker.jetstream.stream import StreamMachine
from sim.history import History
from sim.model import Model
from sim.plan import StreamPlan
from sim.replay import Entries, committed_log, contents, replay

Messages = dict[int, tuple[bytes, int, bytes]]  # sequence → subject, time, data


class Account:
    """`machine` and `model` have seen the whole log; `stored` are the texts of all messages that it ever stored, by
    sequence, `subjects` where they were; `kept` is what is left of them. `others`: all accounts of the story."""

    def __init__(self, plan: StreamPlan, history: History, entries: Entries, replicas: dict[str, Any]) -> None:
        """`replicas`: the groups by node name."""
        self.plan = plan
        self.name = plan.name
        self.history = history
        self.replicas = replicas
        self.others: dict[str, Account] = {}
        self.has_wrong_clocks = False
        newest = max((replicas[name] for name in sorted(replicas)), key=lambda group: group.raft.applied)
        self.applied = newest.raft.applied
        self.log = committed_log(entries, newest.id, self.applied, newest.raft.log.term(self.applied))
        founding = newest.assignment.founding_config
        self.machine, stored = replay(founding, newest.assignment.created_ns, self.log)
        self.stored, self.subjects = stored.texts, stored.subjects
        self.kept: Messages = contents(self.machine)
        self.model = Model(dict(founding.to_json()))
        self.model.replay(self.log)

    def machines(self) -> list[StreamMachine]:
        """Of the replicas."""
        return [self.replicas[name].machine for name in sorted(self.replicas)]

    def on(self, subject: str) -> list[int]:
        """The sequences of all messages ever stored on a subject, ascending."""
        return [sequence for sequence, its in self.model.subjects.items() if its == subject]
