"""One simulated story: a cluster, its clients, faults drawn from the seed, healing; then the history is judged.

The whole run follows from the seed. `Verdict.faults` is empty when every promise held. Read next: `workload`, `world`.
"""

import random

from sim.workload import Consumer, History, Publisher, Setup
from sim.world import SimNode, World

SECOND_NS = 1_000_000_000
NAMES = ["n1", "n2", "n3"]
STREAM: dict[str, object] = {"name": "S", "subjects": ["s.>"], "num_replicas": 3}
CONSUMER: dict[str, object] = {
    "stream_name": "S",
    "config": {"durable_name": "D", "ack_policy": "explicit", "ack_wait": 2 * SECOND_NS},
}


class Verdict:
    """What came of a run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.acked = 0
        self.story: list[str] = []
        self.faults: list[str] = []

    def replay(self) -> str:
        """The command that runs the same story again."""
        return f"make sim SIM='--seed {self.seed}'"


class Nemesis:
    """Does something bad to the cluster, and undoes it."""

    def __init__(self, world: World, story: list[str]) -> None:
        self._world = world
        self._story = story
        self._rng = random.Random(world.rng.getrandbits(64))

    def strike(self) -> None:
        """One fault, to its end."""
        world, rng = self._world, self._rng
        node = world.nodes[rng.choice(NAMES)]
        kind = rng.choice(["crash", "power cut", "isolate", "one way", "power cut of all", "pause"])
        self._story.append(f"{world.now_ns / SECOND_NS:.2f} {kind} {node.name}")
        if kind in ("crash", "power cut"):
            node.crash(kind == "power cut")
            world.run(rng.randrange(SECOND_NS))
            node.start()
        elif kind == "power cut of all":
            for other in world.nodes.values():
                other.crash(True)
            for other in world.nodes.values():
                other.start()
        elif kind == "pause":
            self._pause(node)
        else:
            world.isolate(node.name, one_way=kind == "one way")
            world.run(3 * SECOND_NS)
            world.heal()

    def _pause(self, node: SimNode) -> None:
        node.paused = True
        self._world.run(2 * SECOND_NS)
        node.paused = False
        node.schedule_turn(0)


def simulate(seed: int, strikes: int = 8) -> Verdict:
    """Run the story of a seed and judge it."""
    verdict = Verdict(seed)
    world = World(seed, NAMES)
    for node in world.nodes.values():
        node.start()
    setup = Setup(
        world, [("$JS.API.STREAM.CREATE.S", STREAM), ("$JS.API.CONSUMER.DURABLE.CREATE.S.D", CONSUMER)]
    )
    if not world.run(20 * SECOND_NS, lambda: setup.done):
        verdict.faults.append(f"no stream after 20 s: {setup.errors}")
        return verdict
    history = History()
    publishers = [Publisher(world, history, f"p{n}", f"s.{n}", 20_000_000, n % 2 == 0) for n in range(4)]
    for n in range(2):
        Consumer(world, history, f"c{n}", "S", "D", 10)
    nemesis = Nemesis(world, verdict.story)
    for _ in range(strikes):
        world.run(2 * SECOND_NS)
        nemesis.strike()
    before = len(history.acked)
    world.run(10 * SECOND_NS)
    if len(history.acked) == before:
        verdict.faults.append("nothing was acknowledged in the 10 s after healing")
    for publisher in publishers:
        publisher.stopped = True
    world.run(5 * SECOND_NS)
    verdict.acked = len(history.acked)
    judge(world, history, verdict)
    return verdict


def judge(world: World, history: History, verdict: Verdict) -> None:
    """Acknowledged means stored, under its sequence, on every replica; with an id, once; replicas are equal."""
    verdict.faults += history.conflicts
    states: set[tuple[int, int, int]] = set()
    for name, sim_node in world.nodes.items():
        assert sim_node.node is not None and sim_node.node.jetstream is not None
        store = next(iter(sim_node.node.jetstream.assignments.groups.values())).store
        states.add((store.messages, store.bytes, store.last_sequence))
        counts: dict[str, int] = {}
        for sequence in range(store.first_sequence, store.last_sequence + 1):
            message = store.get(sequence)
            if message is not None:
                text = message.data[message.header_length :].decode()
                counts[text] = counts.get(text, 0) + 1
        for text, sequence in history.acked.items():
            message = store.get(sequence)
            if message is None or message.data[message.header_length :].decode() != text:
                verdict.faults.append(f"{name} lost {text}, acknowledged as {sequence}")
        for text, count in counts.items():
            if count > 1 and text.split("-")[0] in ("p0", "p2"):
                verdict.faults.append(f"{name} stored {text} {count} times, though it carried an id")
    if len(states) != 1:
        verdict.faults.append(f"replicas differ: {sorted(states)}")
