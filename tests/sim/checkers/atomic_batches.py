"""An atomic batch is stored as a whole, in its order, with nothing between its messages, once; or not at all."""

from sim.account import Account


def judge(account: Account) -> list[str]:
    """What does not hold."""
    faults = []
    places: dict[str, list[int]] = {}
    for sequence, text in account.stored.items():
        places.setdefault(text, []).append(sequence)
    for name, batch in account.history.batches.get(account.name, {}).items() if account.plan.batchers else ():
        found = [sequence for text in batch.texts for sequence in places.get(text, [])]
        if found and found != list(range(found[0], found[0] + len(batch.texts))):
            faults.append(f"{account.name}: of batch {name}, {len(batch.texts)} messages, {found} are stored")
        if batch.acked and (not found or found[-1] != batch.sequence or batch.count != len(batch.texts)):
            told = f"{batch.count} messages up to {batch.sequence}"
            faults.append(f"{account.name}: batch {name} was acknowledged with {told}, stored is {found}")
    return faults
