"""An ordered consumer gets every message once, in order; a watcher ends with the last value of every subject."""

from sim.account import Account


def judge(account: Account) -> list[str]:
    """What does not hold."""
    faults = []
    for (stream, name), rows in account.history.orders.items():
        if stream != account.name:
            continue
        sequences = [sequence for row in rows for sequence in row]
        if sequences != sorted(set(sequences)):
            faults.append(f"{stream}: {name} was given {_wrong(sequences)} out of order")
        watched = account.history.watched.get((stream, name))
        if watched is None:
            left_out = sorted(account.kept.keys() - set(sequences))
            if left_out:
                faults.append(f"{stream}: {name} was never given {left_out[:5]}")
        else:
            for subject in sorted({kept[0] for kept in account.kept.values()}):
                last = max(sequence for sequence, kept in account.kept.items() if kept[0] == subject)
                seen = watched.get(subject.decode(), 0)
                if seen != last and not (seen > last and seen in account.model.removed):  # which did not last
                    faults.append(f"{stream}: {name} saw {seen} as the last of {subject.decode()}, it is {last}")
    return faults


def _wrong(sequences: list[int]) -> list[int]:
    at = next(at for at in range(1, len(sequences)) if sequences[at] <= sequences[at - 1])
    return sequences[max(at - 2, 0) : at + 2]
