"""The native uplink against a real mosquitto: what is settled was said to be, and nothing else is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from kit.links import trusting
from kit.outbox import EPOCH, KEY, MemoryOutbox, receipt, record
from peers.mosquitto import Mosquitto

from headgate.mqtt import Link, Message, Settings, connect
from headgate.sdk import ConfigError, UplinkContext, UplinkUnavailable
from headgate_plugins.mqtt import MqttUplink

pytestmark = pytest.mark.peer("mosquitto")

UP, DOWN = "headgate/v1/gate-7/up/#", "headgate/v1/gate-7/down/receipt"
RECORD, GRANT = "headgate/v1/gate-7/up/record", "headgate/v1/gate-7/up/grant"
STATUS = "headgate/v1/gate-7/status"

VERSIONS = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


def uplink(broker: Mosquitto, **options: Any) -> MqttUplink:
    given = {
        "url": broker.url,
        "ca_pem": broker.ca_pem,
        "reconnect_min_s": 0.01,
        "reconnect_max_s": 0.05,
        "epoch": EPOCH.hex(),
        "version": "0.1.0",
        **options,
    }
    return MqttUplink(UplinkContext("city", "gate-7", given))


@asynccontextmanager
async def running(up: MqttUplink, outbox: MemoryOutbox) -> AsyncIterator[None]:
    task = asyncio.create_task(up.run(outbox))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert not outbox.in_flight, "something was left in flight"


@asynccontextmanager
async def platform(broker: Mosquitto, *topics: str, **who: Any) -> AsyncIterator[Link]:
    settings = Settings(
        host="127.0.0.1", port=broker.port, tls=broker.authority is not None, timeout_s=10.0, **who
    )
    tls = trusting(broker.ca_pem) if broker.authority else None
    async with connect(settings, tls=tls) as link:
        await link.subscribe(*(topics or (UP,)))
        yield link


async def next_record(link: Link) -> int:
    async for message in link.messages():
        if message.topic == RECORD:
            return int(message.payload.split()[1])
    raise AssertionError


async def until_state(up: MqttUplink, state: str) -> None:
    while up.state != state:
        await asyncio.sleep(0.005)


@VERSIONS
async def test_records_go_up_and_receipts_free_them(tmp_path: Path, protocol: str) -> None:
    outbox = MemoryOutbox([record(n) for n in range(100)])
    async with (
        Mosquitto(tmp_path) as broker,
        platform(broker) as link,
        running(up := uplink(broker, protocol=protocol), outbox),
    ):
        assert [await next_record(link) for _ in range(100)] == list(range(100))
        assert outbox.settled == set()
        await link.publish(DOWN, receipt((0, 49), (60, 99)))
        await outbox.until_settled(*range(50), *range(60, 100))
        assert outbox.settled.isdisjoint(range(50, 60))
        await link.publish(DOWN, receipt(floor=100))
        await outbox.until_settled(*range(100))
        assert up.state == "online"


async def test_a_grant_comes_before_the_first_record_of_its_key(tmp_path: Path) -> None:
    second = b"key-0002"
    outbox = MemoryOutbox([record(0), record(1), record(2)])
    outbox.keys[second] = b"grant " + second
    async with (
        Mosquitto(tmp_path) as broker,
        platform(broker) as link,
        running(uplink(broker), outbox),
    ):
        messages = link.messages()
        seen: list[Message] = [await anext(messages) for _ in range(4)]
        outbox.put(*(record(n, key=second) for n in range(3, 9)))
        seen += [await anext(messages) for _ in range(7)]
    assert [m.payload for m in seen] == [
        b"grant " + KEY,
        *(b"record %d" % n for n in range(3)),
        b"grant " + second,
        *(b"record %d" % n for n in range(3, 9)),
    ]


async def test_a_platform_that_asks_gets_the_grant_again(tmp_path: Path) -> None:
    outbox = MemoryOutbox([record(0)])
    async with (
        Mosquitto(tmp_path) as broker,
        platform(broker) as link,
        running(uplink(broker), outbox),
    ):
        await next_record(link)
        await link.publish(DOWN, receipt(verdicts=[(0, 2, KEY)]))
        assert (await anext(link.messages())).payload == b"grant " + KEY
        assert outbox.settled == set()


async def test_a_refused_record_is_not_waited_for(tmp_path: Path) -> None:
    outbox = MemoryOutbox([record(0), record(1)])
    async with (
        Mosquitto(tmp_path) as broker,
        platform(broker) as link,
        running(uplink(broker), outbox),
    ):
        await next_record(link)
        await next_record(link)
        await link.publish(DOWN, receipt((1, 1), verdicts=[(0, 1, "no such gateway")]))
        await outbox.until_settled(1)
    assert outbox.refused == {0: "no such gateway"}
    assert outbox.given_back == []


async def test_a_receipt_that_does_not_prove_itself_frees_nothing(tmp_path: Path) -> None:
    outbox = MemoryOutbox([record(0)])
    async with (
        Mosquitto(tmp_path) as broker,
        platform(broker) as link,
        running(up := uplink(broker), outbox),
    ):
        await next_record(link)
        await link.publish(DOWN, receipt((0, 9), signature=b"forged"))
        await link.publish(DOWN, b"HG" + bytes(70_000))
        outbox.put(record(1))
        await next_record(link)
        await link.publish(DOWN, receipt((1, 1)))
        await outbox.until_settled(1)
        assert (outbox.settled, up.bad_receipts) == ({1}, 2)


async def test_without_receipts_records_are_offered_again(tmp_path: Path) -> None:
    outbox = MemoryOutbox([record(0), record(1)])
    async with (
        Mosquitto(tmp_path) as broker,
        platform(broker) as link,
        running(up := uplink(broker, receipt_timeout="100ms"), outbox),
    ):
        assert sorted([await next_record(link) for _ in range(4)]) == [0, 0, 1, 1]
        await until_state(up, "no receipts")
        assert up.error is not None and up.error.code == "HG-5024"
        await link.publish(DOWN, receipt(floor=2))
        await outbox.until_settled(0, 1)
        await until_state(up, "online")
        assert up.error is None


async def test_no_more_than_agreed_is_published_ahead_of_receipts(tmp_path: Path) -> None:
    outbox = MemoryOutbox([record(n) for n in range(50)])
    async with (
        Mosquitto(tmp_path) as broker,
        platform(broker) as link,
        running(uplink(broker, ahead=20, in_flight=8), outbox),
    ):
        assert [await next_record(link) for _ in range(20)] == list(range(20))
        assert len(outbox.waiting) == 30
        await link.publish(DOWN, receipt((0, 0)))
        assert await next_record(link) == 20
        assert len(outbox.waiting) == 29


ACL = """
user platform
topic readwrite headgate/#
user gate-7
topic read headgate/v1/gate-7/down/#
topic write headgate/v1/gate-7/status
topic write headgate/v1/gate-7/up/grant
"""
USERS = {"gate-7": "secret", "platform": "other"}


async def test_what_the_broker_refuses_stays(tmp_path: Path) -> None:
    outbox = MemoryOutbox([record(n) for n in range(20)])
    async with (
        Mosquitto(tmp_path, users=USERS, acl=ACL) as broker,
        running(up := uplink(broker, username="gate-7", password="secret"), outbox),
    ):
        await until_state(up, "refused")
        assert up.error is not None and up.error.code == "HG-5019"
        await outbox.until_given_back(0)
        assert outbox.settled == set()


async def test_records_go_on_when_the_broker_lets_them(tmp_path: Path) -> None:
    outbox = MemoryOutbox([record(n) for n in range(20)])
    async with Mosquitto(tmp_path, users=USERS, acl=ACL) as broker:
        up = uplink(broker, username="gate-7", password="secret")
        async with running(up, outbox):
            await until_state(up, "refused")
            rules = broker.folder / "acl"
            rules.write_text(ACL + "topic write headgate/v1/gate-7/up/record\n")
            await broker.reload()
            async with platform(broker, username="platform", password="other") as link:
                seen = {await next_record(link) for _ in range(20)}
                assert seen <= set(range(20))
                await link.publish(DOWN, receipt(floor=20))
                await outbox.until_settled(*range(20))
                await until_state(up, "online")


@asynccontextmanager
async def answering(link: Link) -> AsyncIterator[None]:
    """Receipt whatever comes, a handful at a time."""

    async def answer() -> None:
        async for message in link.messages(manual=True):
            some = [message, *link.take_waiting(1000)]
            for each in some:
                link.ack(each)
            ns = sorted({int(m.payload.split()[1]) for m in some if m.topic == RECORD})
            await link.publish(DOWN, receipt(*((n, n) for n in ns)))

    task = asyncio.create_task(answer())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, UplinkUnavailable):
            await task


async def test_a_broker_killed_mid_flight_loses_nothing(tmp_path: Path) -> None:
    outbox = MemoryOutbox([record(n) for n in range(200)])
    # What is published while no platform listens gets no receipt, and is soon offered again.
    async with (
        Mosquitto(tmp_path) as broker,
        running(up := uplink(broker, receipt_timeout="300ms", ahead=16), outbox),
    ):
        for until in (40, 80, 120):
            async with platform(broker) as link, answering(link):
                await outbox.until_so_many_settled(until)
                broker.freeze()
                await broker.kill()
            await broker.start()
        async with platform(broker) as link, answering(link):
            await outbox.until_so_many_settled(200)
        await until_state(up, "online")
    assert outbox.settled == set(range(200))
    assert not outbox.waiting


async def test_a_broker_that_hangs_is_left(tmp_path: Path) -> None:
    outbox = MemoryOutbox()
    async with (
        Mosquitto(tmp_path) as broker,
        running(up := uplink(broker, timeout_s=0.3), outbox),
    ):
        await until_state(up, "online")
        broker.freeze()
        outbox.put(record(0))
        await outbox.until_given_back(0)
        await until_state(up, "waiting")
        assert up.error is not None and up.error.code in ("HG-5012", "HG-5018")
        broker.thaw()
        async with platform(broker) as link:
            assert await next_record(link) == 0
            await link.publish(DOWN, receipt((0, 0)))
            await outbox.until_settled(0)


async def test_tls_and_password(tmp_path: Path) -> None:
    outbox = MemoryOutbox([record(0)])
    acl = ACL + "topic write headgate/v1/gate-7/up/record\n"
    async with Mosquitto(tmp_path, tls=True, users=USERS, acl=acl) as broker:
        up = uplink(broker, username="gate-7", password="secret")
        who = {"username": "platform", "password": "other"}
        async with platform(broker, **who) as link, running(up, outbox):
            assert await next_record(link) == 0
            await link.publish(DOWN, receipt((0, 0)))
            await outbox.until_settled(0)


async def test_the_brokers_name_may_differ_from_its_address(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path, tls=True) as broker:
        for name, state in (("localhost", "online"), ("elsewhere.example", "waiting")):
            up = uplink(broker, server_name=name)
            async with running(up, MemoryOutbox()):
                await until_state(up, state)
        assert up.error is not None and up.error.code == "HG-5061"


async def test_status_is_kept_and_the_will_tells_of_a_loss(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path) as broker:
        async with platform(broker, STATUS) as link:
            up = uplink(broker)
            messages = link.messages()
            async with running(up, MemoryOutbox()):
                assert json.loads((await anext(messages)).payload) == {
                    "v": 1,
                    "gateway": "gate-7",
                    "state": "online",
                    "epoch": EPOCH.hex(),
                    "version": "0.1.0",
                }
                # Another client of the same name takes the connection: the will speaks.
                who = Settings(host="127.0.0.1", port=broker.port, identifier="gate-7")
                async with connect(who):
                    assert json.loads((await anext(messages)).payload)["state"] == "offline"
                await until_state(up, "online")
            last = [json.loads((await anext(messages)).payload)["state"] for _ in range(2)]
            assert last == ["online", "offline"]
        async with platform(broker, STATUS) as link:
            kept = await anext(link.messages())
            assert kept.retain
            assert json.loads(kept.payload)["state"] == "offline"


async def test_the_brokers_word_settles_where_it_was_agreed(tmp_path: Path) -> None:
    outbox = MemoryOutbox([record(n) for n in range(40)])
    async with Mosquitto(tmp_path) as broker, running(up := uplink(broker, ack="broker"), outbox):
        # Nobody listens: MQTT 5 says so, and a record that nobody gets is not delivered.
        await until_state(up, "refused")
        assert up.error is not None and up.error.code == "HG-5023"
        assert outbox.settled == set()
        async with platform(broker):
            await outbox.until_settled(*range(40))
            await until_state(up, "online")


async def test_nobody_listening_may_be_accepted(tmp_path: Path) -> None:
    outbox = MemoryOutbox([record(n) for n in range(5)])
    options = {"ack": "broker", "nobody_listening": "accept"}
    async with Mosquitto(tmp_path) as broker, running(uplink(broker, **options), outbox):
        await outbox.until_settled(*range(5))


def test_the_word_of_an_old_broker_is_not_enough() -> None:
    given = {"url": "mqtt://127.0.0.1", "ack": "broker", "protocol": "3.1.1"}
    with pytest.raises(ConfigError) as caught:
        MqttUplink(UplinkContext("city", "gate-7", given))
    (problem,) = caught.value.problems
    assert (problem.where, problem.code) == ("uplink city: ack", "HG-1215")
