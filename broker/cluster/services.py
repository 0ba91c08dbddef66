"""JetStream's services on the router of this node: the API, acks, flow control."""

from typing import TYPE_CHECKING, Final

from broker.core.router import ServiceSubscription

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
