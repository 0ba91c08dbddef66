"""Mirrors and sources as clients see them, on three nodes; the same on nats-server.

Each test has streams of its own; the cluster is shared, as starting one is what takes time.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import KeyValueConfig, StreamSource

from clients.servers import Cluster, Program
from clients.waiting import wait_until_async
from clients.workload import connect, leader_of

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def cluster(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes for the whole module."""
    with Cluster(program, tmp_path_factory.mktemp("sources")) as running:
        yield running


async def ask(client: Client, verb: str, body: object = None) -> Any:
    """The answer to one API request."""
    payload = b"" if body is None else json.dumps(body).encode()
    return json.loads((await client.request(f"$JS.API.{verb}", payload, timeout=5)).data)


async def create(client: Client, name: str, **fields: object) -> None:
    """A stream of three replicas."""
    answer = await ask(client, f"STREAM.CREATE.{name}", {"name": name, "num_replicas": 3, **fields})
    assert "error" not in answer, answer


async def messages(client: Client, name: str) -> list[tuple[int, str, str, bytes]]:
    """Sequence, subject, headers and payload of everything in a stream."""
    state = (await ask(client, f"STREAM.INFO.{name}"))["state"]
    found = []
    for sequence in range(state["first_seq"], state["last_seq"] + 1):
        message = (await ask(client, f"STREAM.MSG.GET.{name}", {"seq": sequence})).get("message")
        if message is not None:
            headers, data = [base64.b64decode(message.get(key, "")) for key in ("hdrs", "data")]
            found.append((message["seq"], message["subject"], headers.decode(), data))
    return found


async def holds(client: Client, name: str, count: int) -> None:
    """Wait until a stream has that many messages."""

    async def enough() -> bool:
        info = await ask(client, f"STREAM.INFO.{name}")
        return bool(info.get("state", {}).get("messages") == count)

    await wait_until_async(f"{count} messages in {name}", enough)


def test_a_mirror_keeps_sequences_and_times(cluster: Cluster) -> None:
    async def flow() -> None:
        client = await connect([cluster.urls[0]])
        await create(client, "O", subjects=["o.>"], allow_direct=True)
        for number in range(6):
            headers = {"Nats-Expected-Last-Sequence": str(number), "K": "v"} if number == 2 else None
            await client.request(f"o.{number}", b"m%d" % number, headers=headers, timeout=5)
        await ask(client, "STREAM.MSG.DELETE.O", {"seq": 2})
        await create(client, "M", mirror={"name": "O"})
        transforms = [{"src": "o.*", "dest": "x.$1"}]
        await create(client, "MS", mirror={"name": "O", "opt_start_seq": 3, "subject_transforms": transforms})
        await create(client, "MF", mirror={"name": "O", "filter_subject": "o.4"})
        await holds(client, "M", 5)
        await holds(client, "MS", 4)
        await holds(client, "MF", 1)
        assert [message[0] for message in await messages(client, "M")] == [1, 3, 4, 5, 6]
        assert (await messages(client, "M"))[1] == (3, "o.2", "NATS/1.0\r\nK: v\r\n\r\n", b"m2")
        assert [message[:2] for message in await messages(client, "MS")] == [
            (3, "x.2"), (4, "x.3"), (5, "x.4"), (6, "x.5"),
        ]  # fmt: skip
        assert (await messages(client, "MF"))[0][:2] == (5, "o.4")
        times = [(await ask(client, f"STREAM.MSG.GET.{name}", {"seq": 6}))["message"]["time"] for name in ("O", "M")]
        assert times[0] == times[1]
        await client.request("o.6", b"later", timeout=5)
        await holds(client, "M", 6)
        info = await ask(client, "STREAM.INFO.MS")
        assert info["mirror"]["active"] >= 0
        assert {key: info["mirror"][key] for key in info["mirror"] if key != "active"} == {
            "name": "O", "lag": 0, "subject_transforms": transforms,
        }  # fmt: skip
        assert info["config"]["mirror_direct"] is True
        await client.close()

    asyncio.run(flow())


def test_a_source_has_sequences_of_its_own_and_says_where_messages_are_from(cluster: Cluster) -> None:
    async def flow() -> None:
        client = await connect([cluster.urls[0]])
        await create(client, "SA", subjects=["sa.>"])
        await create(client, "SB", subjects=["sb.>"])
        transforms = [{"src": "sb.4", "dest": "y"}, {"src": "sb.0", "dest": "z"}]
        sources = [{"name": "SA", "filter_subject": "sa.*"}, {"name": "SB", "subject_transforms": transforms}]
        await create(client, "ST", subjects=["st.>"], sources=sources)
        for number in range(6):
            await client.request(f"sa.{number}", b"a%d" % number, timeout=5)
            await client.request(f"sb.{number}", b"b%d" % number, timeout=5)
        await client.request("st.own", b"own", timeout=5)
        await holds(client, "ST", 9)
        found = await messages(client, "ST")
        assert [message[0] for message in found] == list(range(1, 10))
        marks = {message[3]: message[2].split("\r\n")[-3].rpartition(" ")[0] for message in found if message[2]}
        assert marks[b"a3"] == "Nats-Stream-Source: SA 4 sa.* > sa.3"
        assert marks[b"b4"] == "Nats-Stream-Source: SB 5 sb.4\fsb.0 y\fz sb.4"
        assert sorted(message[1] for message in found) == [f"sa.{n}" for n in range(6)] + ["st.own", "y", "z"]
        info = {source["name"]: source for source in (await ask(client, "STREAM.INFO.ST"))["sources"]}
        assert (info["SA"]["lag"], info["SA"]["seq"], info["SA"]["filter_subject"]) == (0, 6, "sa.*")
        refused = await client.request("st.own", b"", headers={"Nats-Stream-Source": "x"}, timeout=5)
        assert json.loads(refused.data)["error"]["err_code"] == 10227
        await client.close()

    asyncio.run(flow())


def test_an_origin_that_comes_later_and_again(cluster: Cluster) -> None:
    async def flow() -> None:
        client = await connect([cluster.urls[0]])
        await create(client, "LM", sources=[{"name": "LATE"}])

        async def is_missed() -> bool:
            source = (await ask(client, "STREAM.INFO.LM"))["sources"][0]
            return bool(source["active"] == -1)  # nats-server has an error there only where it is alone

        await wait_until_async("the origin is missed", is_missed)
        await create(client, "LATE", subjects=["late.>"])
        await client.request("late.1", b"1", timeout=5)
        await holds(client, "LM", 1)
        await ask(client, "STREAM.DELETE.LATE")
        await create(client, "LATE", subjects=["late.>"])
        for number in range(3):
            await client.request("late.2", b"again %d" % number, timeout=5)
        await holds(client, "LM", 4)
        await client.close()

    asyncio.run(flow())


def test_work_queues_and_interest_streams_are_emptied_by_who_reads_them(cluster: Cluster) -> None:
    async def flow() -> None:
        client = await connect([cluster.urls[0]])
        await create(client, "WQ", subjects=["wq.>"], retention="workqueue")
        await create(client, "IN", subjects=["in.>"], retention="interest")
        await client.request("wq.1", b"before", timeout=5)
        await create(client, "WR", sources=[{"name": "WQ", "filter_subject": "wq.*"}])
        await create(client, "IR", mirror={"name": "IN"})

        async def has_readers() -> bool:
            infos = [await ask(client, f"STREAM.INFO.{name}") for name in ("WQ", "IN")]
            return all(info["state"]["consumer_count"] == 1 for info in infos)

        await wait_until_async("both are read", has_readers)
        for number in range(3):
            await client.request(f"wq.{number}", b"w%d" % number, timeout=5)
            await client.request(f"in.{number}", b"i%d" % number, timeout=5)
        await holds(client, "WR", 4)
        await holds(client, "IR", 3)
        await holds(client, "WQ", 0)
        await holds(client, "IN", 0)
        assert [message[3] for message in await messages(client, "WR")] == [b"before", b"w0", b"w1", b"w2"]
        await ask(client, "STREAM.DELETE.WR")

        async def is_unread() -> bool:
            return bool((await ask(client, "STREAM.INFO.WQ"))["state"]["consumer_count"] == 0)

        await wait_until_async("nobody reads it", is_unread)
        await client.close()

    asyncio.run(flow())


def test_leaders_of_both_sides_move(cluster: Cluster) -> None:
    async def flow() -> None:
        client = await connect(cluster.urls)
        await create(client, "LO", subjects=["lo.>"])
        await create(client, "LC", mirror={"name": "LO"})
        await create(client, "LS", sources=[{"name": "LO"}])
        for number in range(60):
            if number % 10 == 5:
                await ask(client, f"STREAM.LEADER.STEPDOWN.{('LO', 'LC', 'LS')[number // 10 % 3]}")

            async def published(number: int = number) -> bool:
                headers = {"Nats-Msg-Id": str(number)}
                answer = await client.request("lo.x", b"%d" % number, headers=headers, timeout=1)
                return "seq" in json.loads(answer.data) and "error" not in json.loads(answer.data)

            await wait_until_async("published", published)
        await holds(client, "LC", 60)
        await holds(client, "LS", 60)
        expected = [b"%d" % number for number in range(60)]
        for name in ("LC", "LS"):
            assert [message[3] for message in await messages(client, name)] == expected
        assert await leader_of(client, "LO")
        await client.close()

    asyncio.run(flow())


def test_a_mirrored_bucket_can_be_read(cluster: Cluster) -> None:
    async def flow() -> None:
        client = await connect([cluster.urls[0]])
        js = client.jetstream()
        origin = await js.create_key_value(KeyValueConfig(bucket="FIRST", history=5, replicas=3))
        for number in range(3):
            await origin.put("key", b"%d" % number)
        transforms = [{"src": "$KV.FIRST.>", "dest": "$KV.SECOND.>"}]
        await create(
            client,
            "KV_SECOND",
            subjects=["$KV.SECOND.>"],
            max_msgs_per_subject=5,
            allow_rollup_hdrs=True,
            allow_direct=True,
            sources=[{"name": "KV_FIRST", "subject_transforms": transforms}],
        )
        await holds(client, "KV_SECOND", 3)
        second = await js.key_value("SECOND")
        entry = await second.get("key")
        assert (entry.value, entry.revision) == (b"2", 3)
        await origin.delete("key")
        await holds(client, "KV_SECOND", 4)
        with pytest.raises(Exception, match="key"):
            await second.get("key")
        await js.add_stream(name="KV_MIRROR", mirror=StreamSource(name="KV_FIRST"), num_replicas=3)
        await holds(client, "KV_MIRROR", 4)
        await client.close()

    asyncio.run(flow())


def test_a_mirror_answers_for_its_origin_and_can_take_its_place(cluster: Cluster) -> None:
    async def flow() -> None:
        client = await connect([cluster.urls[0]])
        await create(client, "D", subjects=["d.>"], allow_direct=True)
        await client.request("d.1", b"one", timeout=5)
        await create(client, "DM", mirror={"name": "D"})
        await holds(client, "DM", 1)
        await ask(client, "STREAM.DELETE.D")

        async def answers() -> bool:
            found = await client.request("$JS.API.DIRECT.GET.D", b'{"seq":1}', timeout=1)
            assert found.headers is not None
            return (found.data, found.headers.get("Nats-Stream"), found.headers["Nats-Subject"]) == (
                b"one",
                "DM",
                "d.1",
            )

        await wait_until_async("the mirror answers", answers)
        promoted = await ask(client, "STREAM.UPDATE.DM", {"name": "DM", "subjects": ["d.>"], "num_replicas": 3})
        assert "error" not in promoted and "mirror" not in promoted
        acked = json.loads((await client.request("d.2", b"two", timeout=5)).data)
        assert acked == {"stream": "DM", "seq": 2}
        await client.close()

    asyncio.run(flow())


async def alternates(client: Client, name: str) -> list[tuple[str, str]]:
    """Name and cluster of the places where a stream can be read."""
    info = await ask(client, f"STREAM.INFO.{name}")
    assert not any("alternates" in listed for listed in (await ask(client, "STREAM.LIST"))["streams"])
    return sorted((one["name"], one["cluster"]) for one in info.get("alternates", []))


def test_clients_hear_where_else_they_can_read(cluster: Cluster) -> None:
    """Each node says what it knows of the assignments, which a moment before may have been news elsewhere only."""

    async def flow() -> None:
        client = await connect(cluster.urls)

        async def told(*places: str) -> None:
            wanted = [(place, "trial") for place in places]

            async def is_told() -> bool:
                return await alternates(client, "PLACES") == wanted

            await wait_until_async(f"the places are {places}", is_told)

        await create(client, "PLACES", subjects=["places.>"])
        await told()
        await create(client, "PLACES_M", mirror={"name": "PLACES"})
        await create(client, "PLACES_N", mirror={"name": "PLACES"})
        await told("PLACES", "PLACES_M", "PLACES_N")
        assert await alternates(client, "PLACES_M") == []
        promoted = await ask(client, "STREAM.UPDATE.PLACES_M", {"name": "PLACES_M", "num_replicas": 3})
        assert "error" not in promoted
        await told("PLACES", "PLACES_N")
        await ask(client, "STREAM.DELETE.PLACES_N")
        await told()
        await client.close()

    asyncio.run(flow())
