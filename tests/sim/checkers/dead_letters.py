"""What was delivered in vain as often as it may be is a dead letter: once, after exactly so many deliveries; of a work
queue, nowhere else.

That the letters are those of the log is in `replicas`; that nothing is delivered once too often in `leaving`.
"""

from sim.account import Account
from sim.replay import contents, dead_contents

OFTEN = 0.3  # of the messages are forgotten: some must then be given up


def judge(account: Account) -> list[str]:
    """What does not hold."""
    plan, name = account.plan, account.name
    most = plan.consumer_settings.get("max_deliver")
    if not most:
        return []
    faults: list[str] = []
    letters: dict[tuple[str, int], str] = {}
    for subject, _, data in dead_contents(account.machine).values():
        block, _, payload = data.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in block.decode().split("\r\n")[1:])
        consumer, sequence, text = fields["Ternmq-Dlq-Consumer"], int(fields["Ternmq-Dlq-Sequence"]), payload.decode()
        if (consumer, sequence) in letters:
            faults.append(f"{name}: {sequence} is a dead letter of {consumer} twice")
        letters[consumer, sequence] = text
        if text != account.stored.get(sequence) or not subject.startswith(f"$DLQ.{name}.{consumer}.{name}.".encode()):
            faults.append(f"{name}: dead letter {sequence} is {text}, stored was {account.stored.get(sequence)}")
        if fields["Ternmq-Dlq-Reason"] == "max_deliver" and int(fields["Ternmq-Dlq-Deliveries"]) != most:
            faults.append(f"{name}: {sequence} was given up after {fields['Ternmq-Dlq-Deliveries']} deliveries")
        if plan.work_queue and sequence in account.kept:
            faults.append(f"{name}: {sequence} is a dead letter and still in the queue")
    if plan.work_queue:
        faults += _vanished(account, {sequence for _, sequence in letters})
    for machine in account.machines():
        waiting = [
            f"{name}: {sequence} waits to become a dead letter of {consumer.name}"
            for consumer in machine.consumers.values()
            for sequence in consumer.exceeded
            if sequence in contents(machine)
        ]
        faults += waiting[:1]
    if not letters and plan.forgotten >= OFTEN:
        faults.append(f"{name}: nothing was given up: this story proves nothing")
    return faults


def _vanished(account: Account, letters: set[int]) -> list[str]:
    """What left a work queue, neither acknowledged nor a dead letter."""
    return [
        f"{account.name}: {text} ({sequence}) left the queue, neither acknowledged nor a dead letter"
        for sequence, text in account.stored.items()
        if sequence not in account.kept
        and sequence not in letters
        and (account.name, sequence) not in account.history.tried
    ]
