"""Tasks that workers of taskiq do, on JetStream: a broker that pulls or one that is pushed to, results in an object
store, schedules in a bucket.

`taskiq worker tasks:broker` is the worker; started as a program this is somebody who has work, and prints what came of
it as one JSON object. NATS_URL says where the servers are, REPLICAS how many replicas, CONSUMER is `pull` or `push`.
"""

import asyncio
import datetime
import json
import os

from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig
from taskiq import ScheduledTask, TaskiqResult
from taskiq_nats import (
    NATSKeyValueScheduleSource,
    NATSObjectStoreResultBackend,
    PullBasedJetStreamBroker,
    PushBasedJetStreamBroker,
)

SERVERS = os.environ["NATS_URL"].split(",")
STREAM = StreamConfig(
    name="TASKS", subjects=["tasks"], retention=RetentionPolicy.WORK_QUEUE, num_replicas=int(os.environ["REPLICAS"])
)

broker: PullBasedJetStreamBroker | PushBasedJetStreamBroker
if os.environ["CONSUMER"] == "pull":
    broker = PullBasedJetStreamBroker(
        SERVERS,
        "tasks",
        "TASKS",
        durable="workers",
        stream_config=STREAM,
        pull_consume_batch=5,
        pull_consume_timeout=0.5,
    )
else:
    broker = PushBasedJetStreamBroker(
        SERVERS,
        "tasks",
        "TASKS",
        queue="workers",
        stream_config=STREAM,
        consumer_config=ConsumerConfig(durable_name="workers", deliver_group="workers", ack_wait=3),
    )
broker = broker.with_result_backend(NATSObjectStoreResultBackend(SERVERS))


@broker.task
async def add(one: int, other: int) -> int:
    return one + other


@broker.task
async def divide(one: int, other: int) -> float | None:
    return one / other


@broker.task
async def repeat(text: str, times: int) -> str:
    return text * times


def told(result: TaskiqResult) -> object:
    return type(result.error).__name__ if result.is_err else result.return_value


async def main() -> None:
    await broker.startup()
    if isinstance(broker, PushBasedJetStreamBroker):
        await broker.consumer.unsubscribe()  # whoever starts such a broker is one of the workers; nobody works here
    wanted = [await add.kiq(number, number) for number in range(20)]
    sums = [told(await task.wait_result(timeout=20)) for task in wanted]
    failed = told(await (await divide.kiq(1, 0)).wait_result(timeout=20))
    long = told(await (await repeat.kiq("0123456789", 30_000)).wait_result(timeout=20))
    schedules = NATSKeyValueScheduleSource(SERVERS)
    await schedules.startup()
    when = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
    plan = ScheduledTask(task_name="add", labels={}, args=[1, 2], kwargs={}, time=when, schedule_id="one")
    await schedules.add_schedule(plan)
    planned = [one.schedule_id for one in await schedules.get_schedules()]
    await schedules.delete_schedule("one")
    left = [one.schedule_id for one in await schedules.get_schedules()]
    await schedules.shutdown()
    await broker.shutdown()
    print(json.dumps({"sums": sums, "failed": failed, "long": len(str(long)), "planned": planned, "left": left}))


if __name__ == "__main__":
    asyncio.run(main())
