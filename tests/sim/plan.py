"""What a simulation is made of, apart from its seed: streams and who uses them, faults, how long.

`plan_of(seed)` goes through the shapes in turn, so that two dozen seeds have seen each of them twice.
"""

from dataclasses import dataclass, field

SECOND_NS = 1_000_000_000

FAULTS = (
    "kill", "kill leader", "kill majority", "kill all", "power", "power leader", "power majority", "power all",
    "isolate", "isolate leader", "halves", "one way", "swizzle", "clients", "reset", "pause", "pause leader",
    "slow disk", "hanging disk", "clock",
)  # fmt: skip


ROT = ("bit flip",) * 8
LOST_DISKS = ("lost disk", "lost disk leader") * 4


@dataclass
class StreamPlan:
    """One stream, with `publishers` that send ids and try again, `plain` ones that do neither, `consumers` that take
    from each of `durables` and confirm, `keepers` that compare and set, `cleaners` that purge and delete, `schedulers`
    that ask for messages to come, `scalers` that change the number of replicas. `settings` and `consumer_settings` are
    further fields of the two configurations."""

    name: str
    replicas: int = 3
    memory: bool = False
    work_queue: bool = False
    publishers: int = 2
    plain: int = 1
    consumers: int = 1
    durables: tuple[str, ...] = ("D",)
    push: bool = False
    keepers: int = 0
    cleaners: int = 0
    scalers: int = 0
    schedulers: int = 0
    mirror: str = ""  # the stream that it mirrors
    sources: tuple[str, ...] = ()  # the streams whose messages it takes
    forgotten: float = 0.05  # of the messages a consumer gets, it does not acknowledge that many
    settings: dict[str, object] = field(default_factory=dict)
    consumer_settings: dict[str, object] = field(default_factory=dict)

    def config(self) -> dict[str, object]:
        """As the API wants it."""
        origins: dict[str, object] = {"subjects": [f"{self.name}.>"]}
        if self.mirror:
            origins = {"mirror": {"name": self.mirror}}
        elif self.sources:
            origins["sources"] = [{"name": name} for name in self.sources]
        return {
            "name": self.name,
            **origins,
            "num_replicas": self.replicas,
            "storage": "memory" if self.memory else "file",
            "retention": "workqueue" if self.work_queue else "limits",
            **self.settings,
        }

    def is_published_to(self) -> bool:
        """Whether any client does."""
        return bool(self.publishers or self.plain or self.keepers or self.schedulers)

    def durable(self, name: str) -> dict[str, object]:
        """One of its consumers."""
        config: dict[str, object] = {
            "durable_name": name, "ack_policy": "explicit", "ack_wait": SECOND_NS, "max_ack_pending": 200,
        }  # fmt: skip
        if self.push:
            config |= {"deliver_subject": self.deliver_subject(name), "deliver_group": "Q"}
        return {"stream_name": self.name, "config": config | self.consumer_settings}

    def deliver_subject(self, durable: str) -> str:
        """Where a push consumer sends to."""
        return f"push.{self.name}.{durable}"


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
    small_log_bytes: int = 0  # groups with less in the log write it once more instead of making checkpoints
    sync_interval_ns: int = 0  # 0: everything is synced before it is acknowledged
    nodes: list[str] = field(default_factory=lambda: ["n1", "n2", "n3"])


def key_value() -> StreamPlan:
    """Compare and set on a few keys, each with a short history."""
    settings: dict[str, object] = {"max_msgs_per_subject": 3, "allow_rollup_hdrs": True}
    return StreamPlan("K", publishers=0, plain=0, consumers=0, keepers=4, settings=settings)


def interest() -> StreamPlan:
    """Two consumers, both of which must be done with a message before it goes."""
    return StreamPlan("I", durables=("D", "E"), settings={"retention": "interest"})


def cleaning() -> StreamPlan:
    """Messages are purged and deleted under a consumer's hands, some given up after three deliveries."""
    return StreamPlan("S", cleaners=2, consumer_settings={"max_deliver": 3})


def dead_letters() -> StreamPlan:
    """A work queue whose consumers fail so often that many messages are given up."""
    return StreamPlan("W", work_queue=True, consumers=2, forgotten=0.4, consumer_settings={"max_deliver": 2})


def sourced() -> list[StreamPlan]:
    """A stream and a work queue, a mirror of the stream, and one that takes the messages of both besides its own."""
    return [
        StreamPlan("O", consumers=0),
        StreamPlan("P", publishers=1, plain=0, consumers=0, work_queue=True),
        StreamPlan("C", publishers=0, plain=0, consumers=0, mirror="O"),
        StreamPlan("B", publishers=1, plain=0, consumers=0, sources=("O", "P"),
                   settings={"duplicate_window": 120 * SECOND_NS}),
    ]  # fmt: skip


def scheduled() -> StreamPlan:
    """Messages that are to come within a few seconds."""
    settings: dict[str, object] = {"allow_msg_schedules": True}
    return StreamPlan("T", publishers=0, plain=0, consumers=0, schedulers=2, settings=settings)


def limits() -> list[StreamPlan]:
    """Old messages make room, new ones are refused, and messages grow too old."""
    new: dict[str, object] = {"max_msgs": 200, "discard": "new"}
    return [
        StreamPlan("L", publishers=1, consumers=0, settings={"max_msgs": 50}),
        StreamPlan("N", publishers=1, cleaners=1, consumers=0, settings=new),
        StreamPlan("T", publishers=0, plain=2, settings={"max_age": 3 * SECOND_NS, "duplicate_window": SECOND_NS}),
    ]


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
        ], log_file_bytes=16 * 1024, small_log_bytes=6 * 1024),
        Plan("checkpoints", [StreamPlan("S", consumers=0)], log_file_bytes=8 * 1024),
        Plan("key value", [key_value()]),
        Plan("push", [
            StreamPlan("A", consumer_settings={"ack_policy": "all"}),
            StreamPlan("P", publishers=1, plain=0, push=True, consumers=2),
        ]),
        Plan("interest", [interest()]),
        Plan("cleaning", [cleaning()], log_file_bytes=16 * 1024),
        Plan("limits", [*limits()]),
        Plan("dead letters", [dead_letters()], log_file_bytes=24 * 1024),
        Plan("lazy", [StreamPlan("S"), StreamPlan("W", work_queue=True, publishers=1)],
             log_file_bytes=24 * 1024, sync_interval_ns=2 * SECOND_NS),
        Plan("lazy, killed", [StreamPlan("S")], sync_interval_ns=600 * SECOND_NS,
             faults=tuple(fault for fault in FAULTS if not fault.startswith(("power", "torn")))),
        Plan("lost disks", [StreamPlan("S"), StreamPlan("M", memory=True, publishers=1, plain=0)],
             faults=FAULTS + LOST_DISKS, log_file_bytes=32 * 1024),
        Plan("replicas", [StreamPlan("S", scalers=1), StreamPlan("M", memory=True, publishers=1, plain=0, scalers=1)],
             log_file_bytes=32 * 1024),
        Plan("bit rot", [StreamPlan("S"), StreamPlan("W", work_queue=True, publishers=1, plain=0)],
             faults=FAULTS + ROT, log_file_bytes=16 * 1024),
        Plan("sourced", [*sourced()], log_file_bytes=32 * 1024),
        Plan("scheduled", [scheduled()], log_file_bytes=32 * 1024),
    ]  # fmt: skip


def plan_of(seed: int) -> Plan:
    """The shape that belongs to a seed."""
    shapes = plans()
    return shapes[seed % len(shapes)]
