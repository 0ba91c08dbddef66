"""Numbers are the sums of what was added to them: at every message, in every answer, and in the end."""

import json

from sim.account import Account


def judge(account: Account) -> list[str]:
    """What does not hold."""
    told = account.history.sums.get(account.name, {})
    by_sequence = {sequence: (text, increment, value) for text, (sequence, increment, value) in told.items()}
    if len(by_sequence) != len(told):
        return [f"{account.name}: two increments were acknowledged under one sequence"]
    faults = []
    sums: dict[str, int] = {}
    for sequence, text in account.model.texts.items() if account.plan.counters else ():
        subject = account.model.subjects[sequence]
        if sequence not in by_sequence:
            faults.append(f"{account.name}: {text} ({sequence}) was never acknowledged, and all are asked for again")
            continue
        name, increment, value = by_sequence[sequence]
        sums[subject] = sums.get(subject, 0) + increment
        if name != text:
            faults.append(f"{account.name}: {name} was acknowledged as {sequence}, which is {text}")
        if value is not None and value != sums[subject]:
            faults.append(f"{account.name}: {text} made {subject} {sums[subject]}, its answer says {value}")
    for subject, value in sums.items():
        last = max(sequence for sequence, kept in account.kept.items() if kept[0].decode() == subject)
        kept = json.loads(account.kept[last][2].partition(b"\r\n\r\n")[2])["val"]
        if int(kept) != value:
            faults.append(f"{account.name}: {subject} is {kept}, what was acknowledged sums up to {value}")
    return faults
