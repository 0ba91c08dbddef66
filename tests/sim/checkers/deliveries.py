"""What was delivered is what was stored; everything stored was delivered, if consumed, or removed by somebody who may,
or is still there. What was confirmed to be acknowledged, or removed, is gone where it must be."""

from sim.account import Account
from sim.model_store import ACKED
from sim.plan import ConsumerPlan


def judge(account: Account) -> list[str]:
    """What does not hold."""
    name, history, model = account.name, account.history, account.model
    faults: list[str] = []
    for sequence, text in history.delivered.get(name, {}).items():
        right = model.texts.get(sequence)
        if right != text and not account.plan.counters:
            faults.append(f"{name}: {sequence} was delivered as {text}, stored as {right}")
    for taker in account.plan.takers():
        faults += _missed(account, taker)
    for sequence, text in model.texts.items():
        if sequence not in account.kept and sequence not in model.removed:
            faults.append(f"{name}: {text} ({sequence}) is gone")
    confirmed = [key[2] for key in history.confirmed if key[0] == name]
    for sequence in confirmed if account.plan.work_queue else ():
        if sequence in account.kept:
            faults.append(f"{name}: {sequence} is still in the work queue though its ack was confirmed")
    faults += [f"{key[0]}: {key[1]} is there though its removal was confirmed" for key in history.deleted
               if key[0] == name and key[1] in account.kept]  # fmt: skip
    return faults


def _missed(account: Account, taker: ConsumerPlan) -> list[str]:
    """Messages that a consumer was never given. Who acknowledges nothing may lose some on their way."""
    if taker.config(account.plan)["ack_policy"] == "none":
        return []
    consumer = account.model.consumers.get(taker.name)
    assert consumer is not None
    received = account.history.received.get((account.name, taker.name), set())
    settled = account.history.confirmed_up_to.get((account.name, taker.name), 0)
    return [
        f"{account.name}: {text} ({sequence}) was never delivered to {taker.name}"
        for sequence, text in account.model.texts.items()
        if sequence > settled  # acks of all settle what got lost on its way
        and sequence not in received
        and account.model.removed.get(sequence, ACKED) == ACKED
        and consumer.wants(account.model.subjects[sequence])
    ]
