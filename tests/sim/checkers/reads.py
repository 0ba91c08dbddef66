"""Gets are answered with what was stored, and the leader's answers are never older than what was acknowledged, or read,
before they were asked for; writes take effect between their asking and their answer."""

from sim.account import Account
from sim.model_store import AGED
from sim.plan import SECOND_NS
from sim.workloads.buckets import Read

TTL_NS_MIN = SECOND_NS


def judge(account: Account) -> list[str]:
    """What does not hold."""
    faults = []
    for read in account.history.reads.get(account.name, []):
        subjects = (account.subjects.get(read.sequence), account.model.subjects.get(read.sequence))  # or a marker's
        if read.sequence and read.key not in subjects:
            faults.append(f"{account.name}: a get of {read.key} found {read.sequence}, which is not of it")
    return faults + _old(account) + _out_of_order(account)


def _old(account: Account) -> list[str]:
    """The leader's answers that should have been newer."""
    faults = []
    reads = [read for read in account.history.reads.get(account.name, []) if not read.is_direct]
    known: dict[str, list[tuple[int, int]]] = {}  # by key: when it was known, sequence
    for _, answered_ns, sequence in account.history.writes.get(account.name, []):
        known.setdefault(account.subjects.get(sequence, ""), []).append((answered_ns, sequence))
    for read in reads:
        known.setdefault(read.key, []).append((read.answered_ns, read.sequence))
    for read in reads:
        newer = [
            sequence
            for known_ns, sequence in known[read.key]
            if known_ns < read.asked_ns and sequence > read.sequence and not _may_have_ended(account, sequence, read)
        ]
        if newer:
            faults.append(f"{account.name}: a get of {read.key} found {read.sequence}, {newer[0]} was known before")
    return faults


def _may_have_ended(account: Account, sequence: int, read: Read) -> bool:
    """Whether what was there then, this or what replaced it, may have been too old when the read was answered."""
    for other, text in account.stored.items():
        if other >= sequence and account.subjects[other] == read.key and account.model.removed.get(other) == AGED:
            lasts_ns = 0 if account.has_wrong_clocks else TTL_NS_MIN
            if account.history.asked_ns[text] + lasts_ns <= read.answered_ns:
                return True
    return False


def _out_of_order(account: Account) -> list[str]:
    """Writes that began when another one, which comes behind them, was answered."""
    faults = []
    writes = sorted(account.history.writes.get(account.name, []), key=lambda write: write[2])
    answered_first = 1 << 63
    for asked_ns, answered_ns, sequence in reversed(writes):
        if answered_first < asked_ns:
            faults.append(f"{account.name}: {sequence} was asked for when a later one was answered already")
        answered_first = min(answered_first, answered_ns)
    return faults
