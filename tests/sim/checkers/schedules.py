"""Every schedule that was acknowledged made its message once and is gone in the end; one that comes again made one for
each time that it was due, no time twice, and not before."""

from collections import Counter

from sim.account import Account
from sim.plan import SECOND_NS
from sim.replay import contents

MADE, EVERY = b".made", b".every"


def judge(account: Account) -> list[str]:
    """What does not hold."""
    faults: list[str] = []
    if not account.plan.schedulers:
        return faults
    acked = account.history.acked.get(account.name, {})
    for machine in account.machines():
        kept = contents(machine).values()
        made = Counter(data.partition(b"\r\n\r\n")[2].decode() for subject, _, data in kept if subject.endswith(MADE))
        left = [subject.decode() for subject, _, _ in kept if not subject.endswith((MADE, EVERY))]
        faults += [f"{account.name}: {text} was made {count} times" for text, count in made.items() if count > 1]
        faults += [
            f"{account.name}: {text} was never made" for text in acked if text.startswith("S") and not made[text]
        ]
        faults += [f"{account.name}: the schedule {subject} is still there" for subject in left]
    return faults + _repeated(account)


def _repeated(account: Account) -> list[str]:
    """Of what comes again, every time that it was due is another one, on a full second, and not to come."""
    faults = []
    due: dict[str, int] = {}
    for text, due_ns, made_ns in account.model.fired:
        if not text.startswith("E") or not due_ns:
            continue
        if due_ns % SECOND_NS or due_ns <= due.get(text, 0):
            faults.append(f"{account.name}: {text} was due at {due_ns} behind {due.get(text, 0)}")
        if made_ns < due_ns:
            faults.append(f"{account.name}: {text} was made {(due_ns - made_ns) / SECOND_NS:.3f} s too early")
        due[text] = due_ns
    return faults
