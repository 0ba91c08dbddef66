"""Acknowledged means stored, under that sequence; with an id, once; without, at most once an attempt."""

from collections import Counter

from sim.account import Account

ONCE = ("D", "A", "N")  # publishers that give ids, or send once under a text
REPEATED = "E"


def judge(account: Account) -> list[str]:
    """What does not hold."""
    name, history, stored = account.name, account.history, account.stored
    faults = []
    for text, sequence in history.acked.get(name, {}).items():
        if stored.get(sequence) != text:
            faults.append(f"{name}: {text} was acknowledged as {sequence}, which is {stored.get(sequence)}")
    if account.plan.mirror or account.plan.sources:
        return faults  # others' messages are here too: `origins`
    for text, count in Counter(stored.values()).items():
        attempts = history.attempts.get(text, 0)
        most = min(attempts, 1) if text.startswith(ONCE) else attempts
        if text.startswith("S"):
            most = 2 * min(attempts, 1)  # the schedule, and what it made
        if count > most and not text.startswith(REPEATED):
            faults.append(f"{name}: {text} is stored {count} times after {attempts} attempts")
        if history.refused.get(text) == name:
            faults.append(f"{name}: {text} is stored though it was refused")
    return faults
