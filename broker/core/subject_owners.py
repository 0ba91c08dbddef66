"""Who owns which subjects: streams, of which no two may own the same.

Is: a tree of tokens, so that asking costs what the pattern and those that it meets have of tokens, however many owners
there are (ten thousand streams may be made in one go, and each of them asks).
Is not: the sublist (`sublist`), where only literal subjects are looked up.
Invariants: says what `subjects.collides` would say of each pattern inside. Patterns are valid: no empty token, `>`
only at the end. An owner may own patterns that overlap with each other.
"""

from typing import Final

from broker.core.subjects import ANY, REST


class _Place:
    """A place in the tree: who owns exactly these tokens, who owns all that goes on from here, and what goes on."""

    def __init__(self) -> None:
        self.children: Final[dict[bytes, _Place]] = {}
        self.here: Final[list[str]] = []
        self.rest: Final[list[str]] = []

    def is_unused(self) -> bool:
        return not self.children and not self.here and not self.rest


class SubjectOwners:
    """Patterns and their owners."""

    def __init__(self) -> None:
        self._root: Final = _Place()

    def add(self, pattern: bytes, owner: str) -> None:
        """`owner` owns it from now on."""
        place = self._root
        for token in pattern.split(b"."):
            if token == REST:
                place.rest.append(owner)
                return
            following = place.children.get(token)
            if following is None:
                following = _Place()
                place.children[token] = following
            place = following
        place.here.append(owner)

    def remove(self, pattern: bytes, owner: str) -> None:
        """And no longer. It must have been added."""
        tokens = pattern.split(b".")
        path = [self._root]
        for token in tokens:
            if token != REST:
                path.append(path[-1].children[token])
        (path[-1].rest if tokens[-1] == REST else path[-1].here).remove(owner)
        while len(path) > 1 and path[-1].is_unused():
            path.pop()
            del path[-1].children[tokens[len(path) - 1]]

    def owners(self, pattern: bytes) -> list[str]:
        """Who owns a subject that `pattern` matches too; whoever owns several may be named several times."""
        found: list[str] = []
        places = [self._root]
        for token in pattern.split(b"."):
            for place in places:
                found.extend(place.rest)
                if token == REST:
                    _add_below(place, found)
            places = _met_behind(places, token)
        for place in places:
            found.extend(place.here)
        return found

    def is_met(self, pattern: bytes) -> bool:
        """Whether anybody owns a subject that `pattern` matches too."""
        places = [self._root]
        for token in pattern.split(b"."):
            for place in places:
                if place.rest or (token == REST and place.children):
                    return True
            places = _met_behind(places, token)
        return any([bool(place.here) for place in places])  # noqa: C419 (generators are slow under mypyc)

    def is_covered(self, pattern: bytes) -> bool:
        """Whether a pattern inside matches everything that this one does."""
        places = [self._root]
        for token in pattern.split(b"."):
            following: list[_Place] = []
            for place in places:
                if place.rest:
                    return True
                for next_token in (token, ANY):
                    child = place.children.get(next_token) if token != REST else None
                    if child is not None and child not in following:
                        following.append(child)
            places = following
        return any([bool(place.here) for place in places])  # noqa: C419

    def is_taken(self, pattern: bytes, but: str) -> bool:
        """Whether somebody else than `but` owns a subject that `pattern` matches too."""
        return any([owner != but for owner in self.owners(pattern)])  # noqa: C419 (generators are slow under mypyc)


def _met_behind(places: list[_Place], token: bytes) -> list[_Place]:
    """The places behind these that a pattern with this token goes on to; none behind `>`."""
    following: list[_Place] = []
    for place in places:
        if token == ANY:
            following.extend(place.children.values())
        elif token != REST:
            for next_token in (token, ANY):
                child = place.children.get(next_token)
                if child is not None:
                    following.append(child)
    return following


def _add_below(top: _Place, found: list[str]) -> None:
    """Add who owns anything with at least one token more than the place has."""
    places = list(top.children.values())
    while places:
        place = places.pop()
        found.extend(place.here)
        found.extend(place.rest)
        places.extend(place.children.values())
