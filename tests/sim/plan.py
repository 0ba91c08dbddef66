"""What a simulation is made of, apart from its seed: streams and who uses them, faults, how long.

`plan_of(seed)` goes through the shapes in turn, so that twenty seeds have seen each of them four times.
"""

from dataclasses import dataclass, field

SECOND_NS = 1_000_000_000

FAULTS = (
    "kill", "kill leader", "kill majority", "kill all", "power", "power leader", "power majority", "power all",
    "isolate", "isolate leader", "halves", "one way", "swizzle", "clients", "reset", "pause", "pause leader",
    "slow disk", "hanging disk", "clock",
)  # fmt: skip


@dataclass
class StreamPlan:
    """One stream, with `publishers` that send ids and try again, `plain` ones that do neither, and `consumers` that
    fetch and confirm."""

    name: str
    replicas: int = 3
    memory: bool = False
    work_queue: bool = False
    publishers: int = 2
    plain: int = 1
    consumers: int = 1

    def config(self) -> dict[str, object]:
        """As the API wants it."""
        return {
            "name": self.name,
            "subjects": [f"{self.name}.>"],
            "num_replicas": self.replicas,
            "storage": "memory" if self.memory else "file",
            "retention": "workqueue" if self.work_queue else "limits",
        }

    def durable(self) -> dict[str, object]:
        """Its consumer."""
        config = {"durable_name": "D", "ack_policy": "explicit", "ack_wait": SECOND_NS, "max_ack_pending": 200}
        return {"stream_name": self.name, "config": config}


@dataclass
class Plan:
    """A story."""

    name: str
    streams: list[StreamPlan]
    faults: tuple[str, ...] = FAULTS
    fault_ns: int = 45 * SECOND_NS  # how long things go wrong
    quiet_ns: int = 700_000_000  # mean time between faults
    pause_ns: int = 80_000_000  # mean time between a publisher's messages
    log_file_bytes: int = 64 * 1024
    nodes: list[str] = field(default_factory=lambda: ["n1", "n2", "n3"])


def plans() -> list[Plan]:
    """The shapes."""
    return [
        Plan("replicated", [StreamPlan("S")]),
        Plan("work queue", [StreamPlan("W", work_queue=True, consumers=2)]),
        Plan("memory", [StreamPlan("M", memory=True), StreamPlan("O", replicas=1, publishers=1, plain=0)]),
        Plan("mixed", [
            StreamPlan("S", publishers=1, plain=0, consumers=0),
            StreamPlan("W", work_queue=True, publishers=1, plain=0, consumers=1),
            StreamPlan("O", replicas=1, publishers=1, plain=0, consumers=0),
        ]),
        Plan("checkpoints", [StreamPlan("S", consumers=0)], log_file_bytes=8 * 1024),
    ]  # fmt: skip


def plan_of(seed: int) -> Plan:
    """The shape that belongs to a seed."""
    shapes = plans()
    return shapes[seed % len(shapes)]
