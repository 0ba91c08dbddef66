"""A small shop written with FastStream, as anybody would: every kind of subscriber that it has for JetStream.

Orders come to a push consumer, which makes invoices of them; a pull consumer ships what was invoiced. Prices are a
bucket that is watched, an order of something without a price is handed back until there is one. Labels are files of an
object store that is watched. NATS_URL says where the servers are, REPLICAS how many replicas there shall be.
"""

import asyncio
import os

from faststream import AckPolicy, Context, FastStream
from faststream.exceptions import NackMessage
from faststream.nats import JStream, KvWatch, NatsBroker, ObjWatch, PullSub
from nats.js.api import ConsumerConfig
from pydantic import BaseModel

REPLICAS = int(os.environ.get("REPLICAS", "1"))

broker = NatsBroker(os.environ["NATS_URL"].split(","))
app = FastStream(broker)
shop = JStream("SHOP", subjects=["shop.>"], num_replicas=REPLICAS)
prices: dict[str, int] = {}


class Order(BaseModel):
    number: int
    what: str
    pieces: int


class Invoice(BaseModel):
    number: int
    total: int


@broker.subscriber("*", kv_watch=KvWatch("prices", declare=False))
async def price_changed(price: int, what: str = Context("message.raw_message.key")) -> None:
    prices[what] = price


@broker.subscriber("shop.orders", stream=shop, durable="accounting", ack_policy=AckPolicy.NACK_ON_ERROR)
@broker.publisher("shop.invoices", stream="SHOP")
async def ordered(order: Order) -> Invoice:
    if order.what not in prices:
        raise NackMessage(delay=0.05)
    return Invoice(number=order.number, total=order.pieces * prices[order.what])


@broker.subscriber(
    "shop.invoices",
    stream=shop,
    durable="shipping",
    pull_sub=PullSub(batch_size=10),
    config=ConsumerConfig(max_ack_pending=100),
)
async def ship(invoice: Invoice) -> None:
    await broker.publish(invoice, "shop.shipped", stream="SHOP")


@broker.subscriber("labels", obj_watch=ObjWatch(declare=False))
async def labelled(name: str) -> None:
    bucket = await broker.object_storage("labels", declare=False)
    label = await bucket.get(name)
    await broker.publish(f"{name}: {len(label.data or b'')} bytes", "shop.labelled", stream="SHOP")


@broker.subscriber("price.of", queue="shops")
async def price_of(what: str) -> int:
    return prices.get(what, 0)


if __name__ == "__main__":
    asyncio.run(app.run())
