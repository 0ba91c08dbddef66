"""A fast batch is stored in its order, nothing twice. Where it may have no gaps: without one from its beginning on, and
all that was acknowledged."""

from sim.account import Account


def judge(account: Account) -> list[str]:
    """What does not hold."""
    faults = []
    places: dict[str, list[int]] = {}
    for text in account.stored.values():
        if text.startswith("F"):
            name, _, number = text.rpartition("-")
            places.setdefault(name, []).append(int(number))
    for name, batch in account.history.batches.get(account.name, {}).items() if account.plan.fast else ():
        numbers = places.get(name, [])
        if numbers != sorted(set(numbers)):
            faults.append(f"{account.name}: fast batch {name} is stored as {numbers}")
        if batch.may_gap:
            continue
        if numbers != list(range(1, len(numbers) + 1)):
            faults.append(f"{account.name}: fast batch {name} has gaps: {numbers}")
        if batch.acked > len(numbers):
            faults.append(f"{account.name}: fast batch {name}: {batch.acked} acknowledged, {len(numbers)} stored")
        if batch.sequence and batch.count != len(numbers):
            faults.append(f"{account.name}: fast batch {name} ended with {batch.count}, {len(numbers)} are stored")
    return faults
