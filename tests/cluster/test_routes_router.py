"""Routes joined to the real router: what clients of one node publish reaches those of another, once."""

from __future__ import annotations

import random

from broker.cluster.routes.route_bridge import open_routes
from broker.cluster.routes.routes import RouteTable
from broker.config import Options, RouteUrl
from broker.core.router import Router
from broker.core.subscription import ClientSubscription, Subscriber


class Client(Subscriber):
    def __init__(self, router: Router, cid: int) -> None:
        super().__init__(cid, router.outbox(cid, 1 << 20))
        self.headers = True
        self.router = router

    def wants(self, subject: bytes, queue: bytes = b"", sid: bytes = b"1") -> ClientSubscription:
        subscription = ClientSubscription(self, subject, queue, sid)
        assert self.router.subscribe(subscription)
        return subscription

    def says(self, subject: bytes, data: bytes, reply: bytes = b"", header_length: int = 0) -> None:
        self.router.publish(self, subject, reply, header_length, data)

    def heard(self) -> bytes:
        return self.outbox.take()

    def subscription_ended(self, subscription: ClientSubscription) -> None:
        return


class Pair:
    """Two nodes, one route; `run` moves bytes until nothing is in flight."""

    def __init__(self) -> None:
        self.routers = [Router(random.Random(1)), Router(random.Random(2))]
        self.tables: list[RouteTable] = []
        for number, router in enumerate(self.routers):
            options = Options(server_name=f"n{number}")
            options.cluster.name = "c"
            options.cluster.port = 6222 + number
            options.cluster.routes = [RouteUrl("h", 6223)] if number == 0 else []
            self.tables.append(open_routes(options, f"N{number}", router, random.Random(number)))
        self.crossed = b""

    def join(self) -> None:
        (dial,) = self.tables[0].tick(1)
        self.tables[0].dialled(1, dial.token, 1)
        self.tables[1].accepted(2, ("h", 40000), 1)
        self.run()

    def run(self) -> None:
        moved = True
        while moved:
            moved = False
            for number in (0, 1):
                data = self.tables[number].sessions[number + 1].take_output()
                if data:
                    moved = True
                    self.crossed += data
                    self.tables[1 - number].sessions[2 - number].on_bytes(data)

    def close(self) -> None:
        for number in (0, 1):
            self.tables[number].closed(number + 1, 2)


def test_one_message_crosses_for_many_subscribers() -> None:
    pair = Pair()
    near, far, other = Client(pair.routers[0], 1), Client(pair.routers[1], 2), Client(pair.routers[1], 3)
    far.wants(b"orders.*", sid=b"7")
    other.wants(b"orders.eu", sid=b"8")
    pair.join()
    near.says(b"orders.eu", b"hello", b"reply")
    pair.run()
    assert far.heard() == b"MSG orders.eu 7 reply 5\r\nhello\r\n"
    assert other.heard() == b"MSG orders.eu 8 reply 5\r\nhello\r\n"
    assert pair.crossed.count(b"RMSG $G orders.eu reply 5\r\nhello\r\n") == 1


def test_headers_and_binary_payload_cross_as_they_are() -> None:
    pair = Pair()
    near, far = Client(pair.routers[0], 1), Client(pair.routers[1], 2)
    far.wants(b"x")
    pair.join()
    block = b"NATS/1.0\r\nA: b\r\n\r\n"
    near.says(b"x", block + b"\x00\r\n", b"", len(block))
    pair.run()
    assert far.heard() == b"HMSG x 1 %d %d\r\n" % (len(block), len(block) + 3) + block + b"\x00\r\n\r\n"


def test_queue_groups_spread_over_both_nodes_by_weight() -> None:
    pair = Pair()
    near, far = Client(pair.routers[0], 1), Client(pair.routers[1], 2)
    far.wants(b"jobs", b"workers", b"1")
    far.wants(b"jobs", b"workers", b"2")
    far.wants(b"jobs", b"workers", b"3")
    pair.join()
    near.wants(b"jobs", b"workers")
    pair.run()
    for _ in range(400):
        near.says(b"jobs", b"x")
    pair.run()
    here, there = near.heard().count(b"MSG jobs"), far.heard().count(b"MSG jobs")
    assert here + there == 400 and 50 < here < 150


def test_request_and_reply() -> None:
    pair = Pair()
    pair.join()
    asker, service = Client(pair.routers[0], 1), Client(pair.routers[1], 2)
    service.wants(b"ask")
    asker.wants(b"_INBOX.a.*", sid=b"9")
    pair.run()
    asker.says(b"ask", b"?", b"_INBOX.a.1")
    pair.run()
    assert service.heard() == b"MSG ask 1 _INBOX.a.1 1\r\n?\r\n"
    service.says(b"_INBOX.a.1", b"!")
    pair.run()
    assert asker.heard() == b"MSG _INBOX.a.1 9 1\r\n!\r\n"


def test_interest_goes_with_its_subscription_and_with_the_route() -> None:
    pair = Pair()
    pair.join()
    far = Client(pair.routers[1], 2)
    subscription = far.wants(b"orders")
    again = far.wants(b"orders", sid=b"2")
    pair.run()
    assert pair.routers[0].has_interest(b"orders")
    pair.routers[1].unsubscribe(subscription)
    pair.run()
    assert pair.routers[0].has_interest(b"orders")
    pair.routers[1].unsubscribe(again)
    pair.run()
    assert not pair.routers[0].has_interest(b"orders")
    far.wants(b"jobs", b"q")
    pair.run()
    assert pair.routers[0].has_interest(b"jobs")
    pair.close()
    assert not pair.routers[0].has_interest(b"jobs")


def test_a_delivery_of_a_stream_keeps_its_subject_across_a_route() -> None:
    pair = Pair()
    pair.join()
    client = Client(pair.routers[1], 2)
    client.wants(b"_INBOX.b", sid=b"4")
    pair.run()
    ack = b"$JS.ACK.ORDERS.C.1.1.1.1700000000000000000.0"
    assert pair.routers[0].deliver(b"_INBOX.b", b"orders.eu", ack, 0, b"hello") == 1
    pair.run()
    assert client.heard() == b"MSG orders.eu 4 " + ack + b" 5\r\nhello\r\n"
    assert b"RMSG $G _INBOX.b " + ack + b"@orders.eu 5\r\n" in pair.crossed


def test_statistics_of_a_route() -> None:
    pair = Pair()
    pair.join()
    near, far = Client(pair.routers[0], 1), Client(pair.routers[1], 2)
    far.wants(b"orders")
    pair.run()
    near.says(b"orders", b"hello")
    pair.run()
    (row,) = pair.tables[0].statistics(True)
    assert (row["remote_name"], row["did_solicit"], row["is_configured"], row["out_msgs"]) == ("n1", True, True, 1)
    assert (row["num_subscriptions"], row["rtt_ns"]) == (1, 0)
    assert row["subscriptions"] == [{"subject": "orders", "queue": "", "sid": "R $G orders", "msgs": 0, "max": 0}]
    (row,) = pair.tables[1].statistics(False)
    assert (row["in_msgs"], row["in_bytes"], row["did_solicit"]) == (1, 5, False)
