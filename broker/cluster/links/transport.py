"""The links of a node: whom to dial, who may stay, one link a peer.

Every configured route address is dialled until it is known who answers there; so is every peer that once greeted
us. Two nodes may dial each other at the same moment: both keep the connection dialled by the smaller peer id, so
they agree without talking. An address that leads to ourselves is remembered and not dialled again. A server name is in
the cluster once: whoever comes under a name that is connected with another store is refused, unless that connection
has gone silent.

Raft travels here and never behind users' messages, which have their own connections (`routes`).
"""

import hmac
import random
from typing import Final

from broker.cluster.links.link import Hello, PeerLink
from broker.cluster.meta.identity import peer_id
from raft.config import ELECTION_TICKS_MIN

RETRY_FIRST_NS: Final = 50_000_000
RETRY_MAX_NS: Final = 1_000_000_000
GREETING_TIMEOUT_NS: Final = 2_000_000_000
SILENT_NS: Final = 3_000_000_000
LIFE_TICKS: Final = 2  # as often as a leader that is awake sends heartbeats
SILENT_TICKS: Final = ELECTION_TICKS_MIN  # then groups that sleep must wake up
STALE_TICKS: Final = 100  # then the connection is given up for a new one
NAME_TOLD_NS: Final = 10_000_000_000
LINKS_MAX: Final = 256
STALE: Final = "Stale Connection"
ANSWERS_BYTES_MAX: Final = 64 * 1024 * 1024


class Address:
    """One place where a peer may answer. `peer` is who did, the last time ("" = nobody yet)."""

    def __init__(self, host: str, port: int, configured: bool) -> None:
        self.host: Final = host
        self.port: Final = port
        self.configured = configured
        self.peer: str = ""
        self.name: str = ""
        self.is_self: bool = False
        self.dialling: bool = False
        self.next_try_ns: int = 0
        self.retry_ns: int = RETRY_FIRST_NS


class Dial:
    """A request to the rim: connect there and report with this token."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self.host: Final = host
        self.port: Final = port
        self.token: Final = token


class LinkTable:
    """All links of this node. Callers read `arrived`, `lost`, `silent` (peer ids) after each input and clear them."""

    def __init__(
        self,
        name: str,
        cluster: str,
        port: int,
        user: str,
        password: str,
        configured: list[tuple[str, int]],
        rng: random.Random,
        store_id: str = "",
        has_jetstream: bool = False,
        tags: list[str] | None = None,
    ) -> None:
        self.tags: Final = tags or []
        self.name: Final = name
        self.store_id: Final = store_id
        self.has_jetstream: Final = has_jetstream
        self.peer: Final = peer_id(name, store_id)
        self.cluster: Final = cluster
        self.port: int = port
        self.has_meta: bool = False
        self.has_doubts: bool = False
        self.addresses: dict[str, Address] = {}
        for host, address_port in configured:
            self._learn(host, address_port, True)
        self.links: dict[str, PeerLink] = {}
        self.connections: dict[int, PeerLink] = {}
        self.hellos: dict[str, Hello] = {}
        self.arrived: list[str] = []
        self.lost: list[str] = []
        self.silent: list[str] = []
        self._ticks: int = 0
        self._parted_ns: dict[str, int] = {}  # when a peer without a link was heard last
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self._name_told_ns: int = 0
        self._opened_ns: dict[int, int] = {}
        self._user: str = user
        self._password: str = password
        self._rng: Final = rng
        self.closing: list[tuple[int, str]] = []
        self.answers_bytes_max: int = ANSWERS_BYTES_MAX

    def _learn(self, host: str, port: int, configured: bool) -> Address:
        key = f"{host}:{port}"
        address = self.addresses.get(key)
        if address is None:
            address = self.addresses[key] = Address(host, port, configured)
        return address

    def reload(self, user: str, password: str, configured: list[tuple[str, int]]) -> None:
        """The configuration changed. Who answered at an address that stands there no more is still a peer."""
        self._user = user
        self._password = password
        wanted = [f"{host}:{port}" for host, port in configured]
        for key, address in list(self.addresses.items()):
            address.configured = key in wanted
            if not address.configured and not address.peer and not address.dialling:
                del self.addresses[key]
        for host, port in configured:
            self._learn(host, port, True).configured = True

    def _hello(self) -> bytes:
        return Hello(
            self.name,
            self.cluster,
            self.port,
            self.has_meta,
            self._user,
            self._password,
            self.store_id,
            self.has_jetstream,
            self.has_doubts,
            self.tags,
        ).encode()

    def tags_of(self, peer: str) -> list[str]:
        """A server's tags, as it told them; those of a peer that was never here are not known."""
        if peer == self.peer:
            return self.tags
        hello = self.hellos.get(peer)
        return [] if hello is None else hello.tags

    def dialled(self, cid: int, host: str, port: int, now_ns: int) -> PeerLink:
        """A dial succeeded: greet."""
        link = PeerLink(cid, True, host, port)
        self.connections[cid] = link
        self._opened_ns[cid] = now_ns
        link.write(self._hello())
        return link

    def accepted(self, cid: int, host: str, now_ns: int) -> PeerLink:
        """The route listener saw a greeting: the connection is ours from its first byte."""
        link = PeerLink(cid, False, host, 0)
        self.connections[cid] = link
        self._opened_ns[cid] = now_ns
        return link

    def dial_failed(self, host: str, port: int, now_ns: int) -> None:
        """Nobody answered there; try again later."""
        address = self._learn(host, port, False)
        address.dialling = False
        self._back_off(address, now_ns)

    def _back_off(self, address: Address, now_ns: int) -> None:
        address.next_try_ns = now_ns + int(address.retry_ns * (0.5 + self._rng.random()))
        address.retry_ns = min(address.retry_ns * 2, RETRY_MAX_NS)

    def on_bytes(self, link: PeerLink, data: bytes, now_ns: int) -> list[bytes]:
        """Bytes on a link → frames; settles identity when the greeting arrives."""
        greeted = link.hello is not None
        link.heard_ns = now_ns
        bodies = link.on_bytes(data)
        if link.hello is not None and not greeted and not link.close_reason:
            self._settle(link, link.hello, now_ns)
        if link.close_reason:
            self.closing.append((link.cid, link.close_reason))
            return []
        return bodies

    def _settle(self, link: PeerLink, hello: Hello, now_ns: int) -> None:
        if hello.cluster != self.cluster:
            self._refuse(link, "Cluster Name Conflict")
            return
        wanted = (self._user + "\0" + self._password).encode()
        given = (hello.user + "\0" + hello.password).encode()
        if self._user and not hmac.compare_digest(wanted, given):
            self._refuse(link, "Authorization Violation")
            return
        peer = peer_id(hello.name, hello.store_id)
        if not self._name_is_free(hello.name, peer, now_ns):
            self._refuse_name(link, hello.name, now_ns)
            return
        if link.dialled:
            address = self._learn(link.host, link.port, False)
            address.dialling = False
            address.peer, address.name = peer, hello.name
            address.is_self = peer == self.peer
            address.retry_ns = RETRY_FIRST_NS
        else:
            known = self._learn(link.host, hello.port, False)
            known.peer, known.name = peer, hello.name
            link.write(self._hello())
        if peer == self.peer:
            link.close_reason = "this is ourselves"
            return
        link.peer, link.name = peer, hello.name
        self._keep_one(link)

    def _name_is_free(self, name: str, peer: str, now_ns: int) -> bool:
        """Whether `peer` may have this name: nobody else has it, or whoever had it is silent (and gives it up)."""
        if name == self.name:
            return peer == self.peer
        for other in list(self.links.values()):
            if other.name == name and other.peer != peer:
                if now_ns - other.heard_ns < SILENT_NS:
                    return False
                self._drop(other, "Stale Connection")
        return True

    def _refuse_name(self, link: PeerLink, name: str, now_ns: int) -> None:
        """It may be that the connection of a store that is gone has not broken yet; said every ten seconds at most."""
        link.write(b"-ERR 'Duplicate Server Name'\r\n")
        link.close_reason = "Duplicate Server Name"
        if now_ns - self._name_told_ns > NAME_TOLD_NS or self._name_told_ns == 0:
            self._name_told_ns = now_ns
            self.events.append(("warning", "peer_name_refused", {"peer": name, "cid": link.cid}))

    def _drop(self, link: PeerLink, reason: str) -> None:
        """A link that is of no use any more."""
        self.closing.append((link.cid, reason))
        self._part(link)
        link.peer = ""

    def _part(self, link: PeerLink) -> None:
        del self.links[link.peer]
        self._parted_ns[link.peer] = link.heard_ns
        self.lost.append(link.peer)

    def _keep_one(self, link: PeerLink) -> None:
        """At most one link a peer; both ends apply the same rule."""
        peer = link.peer
        old = self.links.get(peer)
        if old is not None:
            if old.dialled != link.dialled and self._dialler_is_smaller(old):
                link.close_reason = "Duplicate Route"
                return
            self._drop(old, "Duplicate Route")
        assert link.hello is not None
        self.links[peer] = link
        self.hellos[peer] = link.hello
        self.arrived.append(peer)
        self.events.append(("info", "peer_connected", {"peer": link.name, "cid": link.cid}))

    def _dialler_is_smaller(self, link: PeerLink) -> bool:
        return (self.peer < link.peer) == link.dialled

    def _refuse(self, link: PeerLink, text: str) -> None:
        link.write(f"-ERR '{text}'\r\n".encode())
        link.close_reason = text
        self.events.append(("error", "peer_refused", {"cid": link.cid, "reason": text}))

    def closed(self, cid: int, now_ns: int) -> None:
        """The connection is gone, whoever ended it."""
        link = self.connections.pop(cid, None)
        self._opened_ns.pop(cid, None)
        if link is None:
            return
        if link.dialled:
            address = self._learn(link.host, link.port, False)
            address.dialling = False
            self._back_off(address, now_ns)
        if link.peer and self.links.get(link.peer) is link:
            self._part(link)
            self.events.append(("info", "peer_lost", {"peer": link.name, "cid": cid, "reason": link.close_reason}))

    def tick(self, now_ns: int) -> list[Dial]:
        """Whom to dial now; also ends connections that never greeted."""
        dials: list[Dial] = []
        for key in sorted(self.addresses):
            address = self.addresses[key]
            if address.is_self or address.dialling or now_ns < address.next_try_ns:
                continue
            if address.peer and address.peer in self.links:
                continue
            if len(self.connections) >= LINKS_MAX:
                break
            address.dialling = True
            dials.append(Dial(address.host, address.port, "peer"))
        for cid, opened_ns in self._opened_ns.items():
            if self.connections[cid].hello is None and now_ns - opened_ns > GREETING_TIMEOUT_NS:
                self.closing.append((cid, "no greeting"))
        return dials

    def watch(self) -> None:
        """50 ms passed: show that we are there, notice who is not. In ticks, so that a pause of this process is not
        taken for the silence of others."""
        self._ticks += 1
        for peer, link in self.links.items():
            if self._ticks % LIFE_TICKS == 0:
                link.show_life()
            link.silent_ticks += 1
            if link.silent_ticks == SILENT_TICKS:
                self.silent.append(peer)
            elif link.silent_ticks == STALE_TICKS:
                link.close_reason = STALE
                self.closing.append((link.cid, STALE))

    def take_closing(self) -> list[tuple[int, str]]:
        """Connections that the rim should end (after flushing what was written)."""
        closing, self.closing = self.closing, []
        return closing

    def unresolved(self) -> list[str]:
        """Configured addresses of which nobody knows yet who answers there."""
        waiting: list[str] = []
        for key in sorted(self.addresses):
            address = self.addresses[key]
            if address.configured and not address.is_self and address.peer not in self.links:
                waiting.append(address.name or key)
        return waiting

    def unheard_ns(self, peer: str, now_ns: int) -> int:
        """For how long nothing came from a peer; 0 when it was never here, as nats-server's `active`."""
        link = self.links.get(peer)
        heard_ns = link.heard_ns if link is not None else self._parted_ns.get(peer, 0)
        return max(1, now_ns - heard_ns) if heard_ns else 0

    def peers(self) -> list[str]:
        """Connected peers, sorted."""
        return sorted(self.links)

    def take_events(self) -> list[tuple[str, str, dict[str, object]]]:
        """What a person should know."""
        events, self.events = self.events, []
        return events
