"""Mirrors and sources: every message of the origin, once, in its order, and nothing else.

What the origin has lost since may be there or not; a mirror has nothing at all that its origin never had.
"""

from sim.account import Account, Messages
from sim.model_store import read_headers


def judge(account: Account) -> list[str]:
    """What does not hold."""
    plan = account.plan
    faults: list[str] = []
    for name in [plan.mirror] if plan.mirror else plan.sources:
        origin = account.others[name]
        if plan.mirror:
            faults += _mirror(account, origin)
        elif origin.plan.work_queue:
            faults += _queue(account, origin)
        else:
            faults += _source(account, origin)
    return faults


def _mirror(account: Account, origin: Account) -> list[str]:
    faults = [f"{account.name}: {sequence} is missing" for sequence in origin.kept if sequence not in account.kept]
    for sequence, (subject, _, data) in account.kept.items():
        theirs = origin.kept.get(sequence)
        if theirs is not None and theirs != account.kept[sequence]:
            faults.append(f"{account.name}: {sequence} is {account.kept[sequence]}, in the origin {theirs}")
        elif theirs is None and not _was_there(origin, sequence, subject, data):
            faults.append(f"{account.name}: {sequence} is {data!r}, which the origin never had there")
    return faults


def _was_there(origin: Account, sequence: int, subject: bytes, data: bytes) -> bool:
    payload = data.partition(b"\r\n\r\n")[2] if data.startswith(b"NATS/1.0\r\n") else data
    model = origin.model
    return (model.subjects.get(sequence), model.texts.get(sequence)) == (subject.decode(), payload.decode())


def _queue(account: Account, origin: Account) -> list[str]:
    """A work queue is empty in the end: everything that was ever acknowledged is here, once."""
    texts = [payload.decode() for _, _, payload in _from(origin.name, account.kept)]
    acked = account.history.acked.get(origin.name, {})
    faults = [f"{account.name}: {text} of {origin.name} is not here" for text in acked if text not in texts]
    if len(set(texts)) != len(texts):
        faults.append(f"{account.name}: something of {origin.name} came twice")
    if origin.kept:
        faults.append(f"{origin.name}: {len(origin.kept)} messages are left though {account.name} has read it")
    return faults


def _from(origin: str, mine: Messages) -> list[tuple[int, bytes, bytes]]:
    """What came from an origin: sequence there, subject, payload."""
    found = []
    for sequence in sorted(mine):
        subject, _, data = mine[sequence]
        block, _, payload = data.partition(b"\r\n\r\n")
        mark = read_headers(block + b"\r\n").get("Nats-Stream-Source", "").split(" ")
        if mark[0] == origin:
            found.append((int(mark[1]), subject, payload))
    return found


def _source(account: Account, origin: Account) -> list[str]:
    found = _from(origin.name, account.kept)
    expected = [
        (sequence, subject, data.partition(b"\r\n\r\n")[2] if data.startswith(b"NATS/1.0\r\n") else data)
        for sequence, (subject, _, data) in sorted(origin.kept.items())
    ]
    if found == expected:
        return []
    twice = sorted({message[0] for message in found if found.count(message) > 1})
    left_out = sorted({message[0] for message in expected} - {message[0] for message in found})
    counts = f"{len(found)} of {len(expected)}"
    return [f"{account.name}: of {origin.name}, twice: {twice[:5]}, left out: {left_out[:5]}, {counts}"]
