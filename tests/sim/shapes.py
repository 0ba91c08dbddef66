"""The stories of `make sim`: every feature of JetStream under faults.

`plan_of(seed)` goes through the shapes in turn. Not here: what a plan is (`plan`).
"""

from sim.plan import FAULTS, LOST_DISKS, ROT, SECOND_NS, ConsumerPlan, Plan, StreamPlan

STEADY = tuple(fault for fault in FAULTS if fault != "clock")  # where it matters what time it is


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
    return StreamPlan("T", publishers=0, plain=0, consumers=0, schedulers=2, repeaters=1, settings=settings)


def limits() -> list[StreamPlan]:
    """Old messages make room, new ones are refused, and messages grow too old."""
    new: dict[str, object] = {"max_msgs": 200, "discard": "new"}
    return [
        StreamPlan("L", publishers=1, consumers=0, settings={"max_msgs": 50}),
        StreamPlan("N", publishers=1, cleaners=1, consumers=0, settings=new),
        StreamPlan("T", publishers=0, plain=2, settings={"max_age": 3 * SECOND_NS, "duplicate_window": SECOND_NS}),
    ]


def consumer_kinds() -> StreamPlan:
    """Every way to acknowledge and every way to be sent messages, over one stream."""
    takers = (
        ConsumerPlan("all", settings={"ack_policy": "all"}),
        ConsumerPlan("none", settings={"ack_policy": "none"}),
        ConsumerPlan("late", settings={"backoff": [SECOND_NS, 2 * SECOND_NS, 3 * SECOND_NS], "max_deliver": 6}),
        ConsumerPlan("some", settings={"filter_subjects": ["S.DS0", "S.PS0"]}),
        ConsumerPlan("push", "push"),
        ConsumerPlan("queue", "queue", 2),
    )
    return StreamPlan("S", consumers=0, more_takers=takers, ordered=2, forgotten=0.1)


def groups() -> StreamPlan:
    """Priority groups of every policy."""
    takers = (
        ConsumerPlan("pinned", "pinned", 3, {"priority_timeout": 2 * SECOND_NS}),
        ConsumerPlan("overflow", "overflow", 3),
        ConsumerPlan("prioritized", "prioritized", 3),
    )
    return StreamPlan("G", consumers=0, more_takers=takers, unpinners=1, forgotten=0.1)


def steered() -> list[StreamPlan]:
    """Consumers that are paused, and others that begin again."""
    kinds = (ConsumerPlan("D"), ConsumerPlan("push", "push"))
    return [
        StreamPlan("P", publishers=1, consumers=0, more_takers=kinds, pausers=1),
        StreamPlan("R", publishers=1, plain=0, consumers=0, more_takers=kinds, resetters=1),
    ]


def counting() -> StreamPlan:
    """Numbers that only grow and shrink by what is added to them."""
    settings: dict[str, object] = {"allow_msg_counter": True, "allow_direct": True}
    return StreamPlan("N", publishers=0, plain=0, consumers=0, counters=3, settings=settings)


def batches() -> list[StreamPlan]:
    """Messages that belong together, and long rows of them."""
    return [
        StreamPlan("A", publishers=1, plain=0, batchers=3, settings={"allow_atomic": True}),
        StreamPlan("F", publishers=1, plain=0, consumers=0, fast=3, ordered=1, settings={"allow_batched": True}),
    ]


def bucket() -> StreamPlan:
    """A key-value bucket as clients make one, with values that do not last."""
    settings: dict[str, object] = {
        "subjects": ["$KV.B.>"], "max_msgs_per_subject": 5, "allow_rollup_hdrs": True, "deny_delete": True,
        "allow_direct": True, "discard": "new", "allow_msg_ttl": True, "subject_delete_marker_ttl": SECOND_NS,
    }  # fmt: skip
    return StreamPlan("KV_B", publishers=0, plain=0, consumers=0, buckets=4, getters=2, watchers=1, settings=settings)


def origins() -> list[StreamPlan]:
    """A stream that loses messages, its mirror, a mirror of that, and one that takes a part of both."""
    return [
        StreamPlan("O", publishers=2, plain=1, cleaners=1, consumers=0, settings={"max_msgs": 150}),
        StreamPlan("C", publishers=0, plain=0, consumers=0, mirror="O"),
        StreamPlan("E", publishers=0, plain=0, consumers=0, ordered=1, mirror="C", memory=True),
    ]


def given_up() -> list[StreamPlan]:
    """Dead letters of streams that keep their messages, and of one that keeps them as long as somebody wants them."""
    ends: dict[str, object] = {"max_deliver": 2, "metadata": {"ternmq.dead_letter": "both"}}
    return [
        StreamPlan("X", publishers=1, forgotten=0.3, consumer_settings={"max_deliver": 2}),
        StreamPlan("I", publishers=1, plain=0, durables=("D", "E"), forgotten=0.3, settings={"retention": "interest"},
                   consumer_settings=ends),
    ]  # fmt: skip


def plans() -> list[Plan]:
    """The shapes: twenty, so that as many seeds see all of them."""
    small: dict[str, int] = {"log_file_bytes": 24 * 1024}
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
        Plan("values", [key_value(), bucket(), counting()], **small),
        Plan("consumers", [
            StreamPlan("A", consumer_settings={"ack_policy": "all"}),
            StreamPlan("P", publishers=1, plain=0, kind="queue", consumers=2),
            interest(),
        ]),
        Plan("consumer kinds", [consumer_kinds()], faults=STEADY, log_file_bytes=32 * 1024, window_bytes=2048),
        Plan("steered", [*steered(), groups()], faults=STEADY, log_file_bytes=32 * 1024),
        Plan("removing", [cleaning(), *limits()], log_file_bytes=16 * 1024),
        Plan("dead letters", [dead_letters(), *given_up()], **small),
        Plan("lazy", [StreamPlan("S"), StreamPlan("W", work_queue=True, publishers=1)],
             sync_interval_ns=2 * SECOND_NS, **small),
        Plan("lazy, killed", [StreamPlan("S")], sync_interval_ns=600 * SECOND_NS,
             faults=tuple(fault for fault in FAULTS if not fault.startswith(("power", "torn")))),
        Plan("lost disks", [StreamPlan("S"), StreamPlan("M", memory=True, publishers=1, plain=0)],
             faults=FAULTS + LOST_DISKS, log_file_bytes=32 * 1024),
        Plan("replicas", [StreamPlan("S", scalers=1), StreamPlan("M", memory=True, publishers=1, plain=0, scalers=1)],
             log_file_bytes=32 * 1024),
        Plan("bit rot", [StreamPlan("S"), StreamPlan("W", work_queue=True, publishers=1, plain=0)],
             faults=FAULTS + ROT, log_file_bytes=16 * 1024),
        Plan("sourced", [*sourced()], log_file_bytes=32 * 1024),
        Plan("origins", [*origins()], **small),
        Plan("scheduled", [scheduled()], log_file_bytes=32 * 1024),
        Plan("batches", [*batches()], log_file_bytes=32 * 1024),
    ]  # fmt: skip


def plan_of(seed: int) -> Plan:
    """The shape that belongs to a seed."""
    shapes = plans()
    return shapes[seed % len(shapes)]
