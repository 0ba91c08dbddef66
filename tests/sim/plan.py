"""What a simulation is made of, apart from its seed: streams and who uses them, faults, how long.

Not here: the stories that are told (`shapes`).
"""

from dataclasses import dataclass, field

SECOND_NS = 1_000_000_000

FAULTS = (
    "kill", "kill leader", "kill majority", "kill all", "power", "power leader", "power majority", "power all",
    "isolate", "isolate leader", "halves", "one way", "swizzle", "clients", "reset", "pause", "pause leader",
    "slow disk", "hanging disk", "clock", "step down",
)  # fmt: skip


ROT = ("bit flip",) * 8
LOST_DISKS = ("lost disk", "lost disk leader") * 4


@dataclass
class ConsumerPlan:
    """One durable consumer with `clients` that take from it. `kind`: pull; queue and push (is sent messages, in a queue
    group or with flow control and heartbeats); pinned, overflow, prioritized (pull, in a priority group)."""

    name: str
    kind: str = "pull"
    clients: int = 1
    settings: dict[str, object] = field(default_factory=dict)

    def config(self, stream: "StreamPlan") -> dict[str, object]:
        """As the API wants it."""
        config: dict[str, object] = {
            "durable_name": self.name, "ack_policy": "explicit", "ack_wait": SECOND_NS, "max_ack_pending": 200,
        }  # fmt: skip
        if self.kind == "queue":
            config |= {"deliver_subject": self.deliver_subject(stream), "deliver_group": "Q"}
        elif self.kind == "push":
            config |= {"deliver_subject": self.deliver_subject(stream), "flow_control": True,
                       "idle_heartbeat": SECOND_NS // 4}  # fmt: skip
        elif self.kind != "pull":
            policy = "pinned_client" if self.kind == "pinned" else self.kind
            config |= {"priority_groups": ["g"], "priority_policy": policy}
        return config | self.settings

    def deliver_subject(self, stream: "StreamPlan") -> str:
        """Where a push consumer sends to."""
        return f"push.{stream.name}.{self.name}"


@dataclass
class StreamPlan:
    """One stream and how many of each kind use it (`workloads`): `publishers` send ids and try again, `plain` ones do
    neither, `consumers` take from each of `durables` (and more from `more_takers`), and so on. `settings` and
    `consumer_settings` are further fields of the two configurations."""

    name: str
    replicas: int = 3
    memory: bool = False
    work_queue: bool = False
    publishers: int = 2
    plain: int = 1
    consumers: int = 1
    durables: tuple[str, ...] = ("D",)
    kind: str = "pull"  # of the durables
    more_takers: tuple[ConsumerPlan, ...] = ()
    keepers: int = 0
    cleaners: int = 0
    scalers: int = 0
    schedulers: int = 0
    repeaters: int = 0
    counters: int = 0
    batchers: int = 0
    fast: int = 0
    buckets: int = 0
    getters: int = 0
    ordered: int = 0
    watchers: int = 0
    pausers: int = 0
    resetters: int = 0
    unpinners: int = 0
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
        kinds = (self.publishers, self.plain, self.keepers, self.schedulers, self.counters, self.batchers, self.fast,
                 self.buckets)  # fmt: skip
        return any(kinds)

    def takers(self) -> list[ConsumerPlan]:
        """Its durable consumers."""
        simple = [ConsumerPlan(name, self.kind, self.consumers, self.consumer_settings) for name in self.durables]
        return [*(simple if self.consumers else ()), *self.more_takers]


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
    window_bytes: int = 0  # of flow control, where it should be felt; 0: as it is
    nodes: list[str] = field(default_factory=lambda: ["n1", "n2", "n3"])
