"""Every replica is in the state that a replay of the log leads to, and that state is right (`model`)."""

from sim.account import Account
from sim.model_check import against_model
from sim.replay import contents, dead_contents, machine_digest


def judge(account: Account) -> list[str]:
    """What does not hold."""
    name = account.name
    faults = [f"{name}: {fault}" for fault in against_model(account.machine, account.model)]
    expected = machine_digest(account.machine)
    for node, group in sorted(account.replicas.items()):
        if group.raft.applied != account.applied:
            faults.append(f"{name}: {node} has applied {group.raft.applied}, others {account.applied}")
        elif machine_digest(group.machine) != expected:
            faults.append(f"{name}: {node} is not in the state that a replay of the log leads to")
        elif contents(group.machine) != account.kept:
            faults.append(f"{name}: {node} keeps other messages than a replay of the log")
        elif dead_contents(group.machine) != dead_contents(account.machine):
            faults.append(f"{name}: {node} has other dead letters than a replay of the log")
    return faults
