"""Where other servers may be found, and when to dial them: configured routes, and those that peers tell us of.

Is: the list of addresses with their back-off, driven by ticks. Pure: it says whom to dial, somebody else dials.
Is not: the routes themselves (`routes`), nor their protocol (`route_session`).
Invariants: an address that led to ourselves is never dialled again; nor is one whose server is connected; a configured
address is tried for ever, one that was only told is forgotten when it fails too often.
Read next: `routes.py`.
"""

import random
from typing import Final
from urllib.parse import urlsplit

from broker.config import RouteUrl

BACK_OFF_FIRST_NS: Final = 250_000_000  # quick while a cluster boots together
BACK_OFF_MAX_NS: Final = 30_000_000_000
IMPLICIT_FAILURES_MAX: Final = 12
ADDRESSES_MAX: Final = 1024
PORT_MAX: Final = 65535


class Address:
    """One place to dial, and what is known about it."""

    def __init__(self, token: int, host: str, port: int, user: str, password: str, configured: bool) -> None:
        self.token = token
        self.host = host
        self.port = port
        self.user = user
        self.password = password
        self.configured = configured
        self.server_id = ""  # who answered there last
        self.is_self = False
        self.is_removed = False  # from the configuration
        self.dialling = False  # a connection is being made, or open
        self.failures = 0
        self.next_dial_ns = 0


class RouteDial:
    """A request to connect; the token comes back with `dialled` or `dial_failed`."""

    def __init__(self, host: str, port: int, token: int) -> None:
        self.host = host
        self.port = port
        self.token = token


def split_route_url(url: str) -> tuple[str, int]:
    """Host and port of `nats-route://host:port/`; ("", 0) when it is none."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        port = parts.port
    except ValueError:
        return "", 0
    if not host or port is None or not 0 < port <= PORT_MAX or len(host) > 255:
        return "", 0
    return host, port


class AddressBook:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._addresses: dict[int, Address] = {}
        self._next_token = 1

    def add(self, host: str, port: int, user: str, password: str, configured: bool) -> Address | None:
        """Learns an address; the one known already when there is one; None when there are too many."""
        wanted = host.lower()
        for address in self._addresses.values():
            if address.port == port and address.host.lower() == wanted:
                return address
        if len(self._addresses) >= ADDRESSES_MAX and not configured:
            return None
        address = Address(self._next_token, host, port, user, password, configured)
        self._next_token += 1
        self._addresses[address.token] = address
        return address

    def configure(self, routes: list[RouteUrl]) -> list[Address]:
        """The configured routes are these from now on; what stood there before is returned, and forgotten with the end
        of its connection."""
        wanted = [(route.host.lower(), route.port) for route in routes]
        removed = [
            address
            for address in self._addresses.values()
            if address.configured and (address.host.lower(), address.port) not in wanted
        ]
        for address in removed:
            address.configured = False
            address.is_removed = True
            if not address.dialling:
                del self._addresses[address.token]
        for route in routes:
            known = self.add(route.host, route.port, route.user, route.password, True)
            assert known is not None, "configured addresses have no bound"
            known.configured = True
            known.is_removed = False
            known.user, known.password = route.user, route.password
        return removed

    def find(self, token: int) -> Address | None:
        return self._addresses.get(token)

    def addresses(self) -> list[Address]:
        return list(self._addresses.values())

    def failed(self, address: Address, now_ns: int) -> None:
        """A dial failed, or its connection ended before the other side was known."""
        address.dialling = False
        address.failures += 1
        if address.is_removed:
            self._addresses.pop(address.token, None)
            return
        if not address.configured and address.failures >= IMPLICIT_FAILURES_MAX:
            self._addresses.pop(address.token, None)
            return
        self._wait(address, now_ns)

    def settled(self, address: Address, server_id: str) -> None:
        """The server behind the address said who it is."""
        address.server_id = server_id

    def lost(self, address: Address, now_ns: int) -> None:
        """A connection that had been a route, or a duplicate of one, ended."""
        address.dialling = False
        address.failures = 0
        if address.is_removed:
            self._addresses.pop(address.token, None)
            return
        self._wait(address, now_ns)

    def is_self(self, address: Address) -> None:
        address.is_self = True
        address.dialling = False

    def _wait(self, address: Address, now_ns: int) -> None:
        delay_ns = BACK_OFF_FIRST_NS << min(address.failures, 16)
        if delay_ns > BACK_OFF_MAX_NS:
            delay_ns = BACK_OFF_MAX_NS
        # Jitter: two servers that dial each other at the same time must not do so for ever.
        address.next_dial_ns = now_ns + delay_ns // 2 + self._rng.randrange(delay_ns)

    def due(self, now_ns: int, connected: dict[str, bool]) -> list[RouteDial]:
        """The addresses to dial now. `connected`: the server ids that have a route."""
        dials: list[RouteDial] = []
        for address in self._addresses.values():
            if address.dialling or address.is_self or address.next_dial_ns > now_ns:
                continue
            if address.server_id and address.server_id in connected:
                continue
            address.dialling = True
            dials.append(RouteDial(address.host, address.port, address.token))
        return dials
