"""What was stored on a condition followed what it expected on its subject, and nothing else came in between."""

from sim.account import Account

ON_CONDITION = ("create", "update")


def judge(account: Account) -> list[str]:
    """What does not hold."""
    faults: list[str] = []
    last: dict[str, list[int]] = {}
    for sequence, text in account.stored.items():
        before = last.setdefault(account.subjects[sequence], [])
        words = text.split("-")
        if text.startswith("K") or (text.startswith("B") and words[3] in ON_CONDITION):
            expected = int(words[-1])
            between = [other for other in before if other > expected and not _is_gone(account, other)]
            if between or (expected and expected not in before):
                faults.append(f"{account.name}: {text} ({sequence}) followed {before[-1:]}")
        before.append(sequence)
    return faults


def _is_gone(account: Account, sequence: int) -> bool:
    """Whether a value may have been gone: only where values do not last."""
    return bool(account.plan.config().get("allow_msg_ttl")) and sequence in account.model.removed
