"""Five hundred real uplinks on one real broker that is killed: all come back, all deliver, none storms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from kit.outbox import EPOCH, MemoryOutbox, receipt, record
from peers.mosquitto import Mosquitto

from headgate.mqtt import Settings, connect
from headgate.sdk import UplinkContext
from headgate_plugins.mqtt import MqttUplink

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(240)]

BOXES = 500
#: The first tries fall anywhere within this; the afternoon of ninety seconds made short.
SPREAD_S = 3.0
WITHIN_S = 180.0


def box(number: int, broker: Mosquitto) -> MqttUplink:
    options = {
        "url": broker.url, "epoch": EPOCH.hex(),
        "reconnect_min_s": 0.1, "reconnect_max_s": SPREAD_S,
    }  # fmt: skip
    return MqttUplink(UplinkContext("city", f"gate-{number}", options))


@asynccontextmanager
async def platform(broker: Mosquitto) -> AsyncIterator[None]:
    """Whatever record comes from a box, its receipt goes back to it."""
    settings = Settings(host="127.0.0.1", port=broker.port, timeout_s=60.0, window=1000)
    async with connect(settings) as link:

        async def answer() -> None:
            async for message in link.messages():
                _, _, gateway, *kind = message.topic.split("/")
                if kind == ["up", "record"]:
                    n = int(message.payload.split()[1])
                    await link.publish(f"headgate/v1/{gateway}/down/receipt", receipt((n, n)))

        await link.subscribe("headgate/v1/+/up/#")
        task = asyncio.create_task(answer())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def running(
    uplinks: Sequence[MqttUplink], outboxes: Sequence[MemoryOutbox]
) -> AsyncIterator[None]:
    pairs = zip(uplinks, outboxes, strict=True)
    tasks = [asyncio.create_task(uplink.run(outbox)) for uplink, outbox in pairs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def all_settled(outboxes: Sequence[MemoryOutbox], n: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        for outbox in outboxes:
            await outbox.until_settled(n)


async def test_five_hundred_boxes_lose_their_broker_and_come_back(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    outboxes = [MemoryOutbox([record(0)]) for _ in range(BOXES)]
    uplinks = [box(number, broker) for number in range(BOXES)]
    async with broker:
        async with running(uplinks, outboxes):
            async with platform(broker):
                await all_settled(outboxes, 0)
            await broker.kill()
            for outbox in outboxes:
                outbox.put(record(1))
            broker.log.unlink()
            await broker.start()
            async with platform(broker):
                await all_settled(outboxes, 1)
        # No box hammers: one that found no broker yet tries once more, the platform is one more client.
        connections = broker.log.read_text().count("New client connected")
    assert BOXES < connections <= 1.1 * BOXES
    assert not any(outbox.in_flight for outbox in outboxes)
