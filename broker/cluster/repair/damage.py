"""Groups whose data on this node is damaged: which, why, and that it is said once.

Not here: how damage is found (`store_opening`, `engine`), nor what becomes of it (`repair`).
"""

from typing import Final

from broker.cluster.contained import bug_text
from broker.cluster.meta.assignment import Assignment
from broker.cluster.meta.identity import META_GROUP
from broker.cluster.meta.meta import MetaMachine
from storage.errors import StorageError

UNKNOWN: Final = 1 << 62


class Damage:
    """A group whose data on this node is damaged. `nonce` names this loss for the leader; 0: it was not told yet.
    `since`: as in `Assignment.encode`; unknown when no snapshot can be read."""

    def __init__(self, title: str, error: str, since: int = UNKNOWN) -> None:
        self.since: Final = since
        self.title: str = title
        self.error: Final = error
        self.is_told: bool = False
        self.nonce: int = 0
        self.discarding: bool = False


def damage_of(about: Assignment | None, group_id: int, error: str) -> Damage:
    """Of a group that could not be opened; `about` is None when no snapshot says what it was."""
    if about is not None:
        return Damage(about.config.name, error, about.moved_index)
    return Damage("_meta_" if group_id == META_GROUP else "", error)


def why_not(error: Exception) -> str:
    """Why a group cannot be opened: what storage says, or where a bug of ours is."""
    return str(error) if isinstance(error, StorageError) else bug_text(error)


def tell(damaged: dict[int, Damage], machine: MetaMachine | None) -> list[tuple[str, str, dict[str, object]]]:
    """What was not told yet. A group whose snapshot cannot be read may be known to the meta group's `machine`."""
    events: list[tuple[str, str, dict[str, object]]] = []
    for group_id, damage in damaged.items():
        if not damage.title:
            known = None if machine is None else machine.by_group.get(group_id)
            damage.title = f"group {group_id}" if known is None else known.config.name
        if not damage.is_told:
            damage.is_told = True
            events.append(("error", "stream_damaged", {"group": damage.title, "error": damage.error}))
    return events
