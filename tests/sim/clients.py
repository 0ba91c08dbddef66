"""Which workloads there are: the field of a stream's plan that says how many, the letter of their names, the class."""

from sim.workloads.atomic_batches import Batcher
from sim.workloads.buckets import Bucket, Getter
from sim.workloads.cleaners import Cleaner
from sim.workloads.consumers import Consumer, Listener, PushTaker
from sim.workloads.counters import Counter
from sim.workloads.fast_batches import FastPublisher
from sim.workloads.groups import Overflow, Pinned, Prioritized
from sim.workloads.keepers import Keeper
from sim.workloads.ordered import Ordered, Watcher
from sim.workloads.publishers import Plain, Publisher
from sim.workloads.scalers import Scaler
from sim.workloads.schedulers import Repeater, Scheduler
from sim.workloads.steering import Pauser, Resetter, Unpinner
from sim.workloads.workload import Workload

WORKLOADS: tuple[tuple[str, str, type[Workload]], ...] = (
    ("publishers", "D", Publisher),
    ("plain", "P", Plain),
    ("schedulers", "S", Scheduler),
    ("repeaters", "E", Repeater),
    ("keepers", "K", Keeper),
    ("scalers", "R", Scaler),
    ("cleaners", "X", Cleaner),
    ("counters", "N", Counter),
    ("batchers", "A", Batcher),
    ("fast", "F", FastPublisher),
    ("buckets", "B", Bucket),
    ("getters", "G", Getter),
    ("ordered", "O", Ordered),
    ("watchers", "W", Watcher),
    ("pausers", "H", Pauser),
    ("resetters", "J", Resetter),
    ("unpinners", "U", Unpinner),
)

CONSUMERS: dict[str, type[Consumer]] = {
    "pull": Consumer,
    "queue": PushTaker,
    "push": Listener,
    "pinned": Pinned,
    "overflow": Overflow,
    "prioritized": Prioritized,
}
