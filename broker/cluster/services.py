"""JetStream's services on the router of this node: the API, acks, flow control."""

from typing import TYPE_CHECKING, Final

from broker.core.router import Router, ServiceSubscription
from broker.jetstream.api.requests import parse
from broker.jetstream.api_types import no_responders

if TYPE_CHECKING:
    from broker.cluster.dispatch import Dispatch


class ApiService(ServiceSubscription):
    """`$JS.API.>` on this node."""

    def __init__(self, dispatch: "Dispatch") -> None:
        super().__init__(b"$JS.API.>")
        self._dispatch: Final = dispatch

    def on_message(self, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str) -> None:
        if not origin:
            self._dispatch.request(subject, reply, header_length, data)


class DomainService(ServiceSubscription):
    """`$JS.<domain>.API.>` on this node: the API under its domain's name, and key-value and object buckets, whose
    clients put the prefix of the API in front of the bucket's subjects, too."""

    def __init__(self, domain: str, dispatch: "Dispatch", router: Router) -> None:
        self._prefix: Final = b"$JS.%b.API." % domain.encode()
        super().__init__(self._prefix + b">")
        self._dispatch: Final = dispatch
        self._router: Final = router

    def on_message(self, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str) -> None:
        if origin:
            return
        mapped = subject[len(self._prefix) :]
        if mapped.startswith((b"$KV.", b"$OBJ.")):
            if not self._router.publish(None, mapped, reply, header_length, data):
                self._nobody(mapped, reply)
        elif parse(b"$JS.API." + mapped) is None:
            self._nobody(subject, reply)
        else:
            self._dispatch.request(b"$JS.API." + mapped, reply, header_length, data)

    def _nobody(self, subject: bytes, reply: bytes) -> None:
        if reply:
            headers = no_responders(subject)
            self._router.deliver(reply, reply, b"", len(headers), headers)


class TransferService(ServiceSubscription):
    """`$JS.SNAPSHOT.>` on this node: what receivers of backups and senders of restores say."""

    def __init__(self, dispatch: "Dispatch") -> None:
        super().__init__(b"$JS.SNAPSHOT.>")
        self._dispatch: Final = dispatch

    def on_message(self, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str) -> None:
        if not origin:
            self._dispatch.transfer(subject, reply, header_length, data)


class AckService(ServiceSubscription):
    """`$JS.ACK.>` and `$JS.FC.>` on this node."""

    def __init__(self, subject: bytes, dispatch: "Dispatch") -> None:
        super().__init__(subject)
        self._dispatch: Final = dispatch

    def on_message(self, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str) -> None:
        if not origin:
            self._dispatch.ack(subject, reply, header_length, data)
