"""A road with bad weather and a broker that lies: nothing is lost, doubled or altered.

The long form is the part `chaos` of `make crash`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from kit.outbox import EPOCH, MemoryOutbox, receipt, record
from liar import Liar, Mood
from part_chaos import MOODS, Story

from headgate.mqtt import Settings, connect
from headgate.sdk import UplinkContext
from headgate_plugins.mqtt import MqttUplink

pytestmark = pytest.mark.timeout(120)

LIES = ["acks and forgets", "wrong packet ids", "never acks", "bad record", "twice", "kill gate"]
MORE_LIES = ["wrong topics", "forged receipts", "any order", "forgets sessions", "alters", "closes"]
WEATHER = ["kill broker", "blackhole", "cut in a packet", "kill gate", "crumbs", "reset"]


@pytest.mark.parametrize("lies", [LIES, MORE_LIES], ids=["some", "more"])
async def test_a_lying_broker_costs_time_and_nothing_else(lies: list[str]) -> None:
    counts = await Story("a liar", kind="liar", plot=lies).run()
    assert not counts.violations, counts.violations[0].what
    assert counts.done["lies"] >= 10
    assert counts.done["looks judged"] > 60


@pytest.mark.peer("mosquitto")
async def test_bad_weather_and_a_broker_killed_after_it_acknowledged_cost_time_only() -> None:
    counts = await Story("weather", kind="proxy", plot=WEATHER).run()
    assert not counts.violations, counts.violations[0].what
    assert counts.done["looks judged"] > 60


def test_the_programme_knows_every_lie() -> None:
    told = {name for mood in MOODS.values() for name in mood.__dataclass_fields__
            if getattr(mood, name)}  # fmt: skip
    assert told == set(MOODS["all of it"].__dataclass_fields__)


async def test_a_broker_that_forgets_on_a_live_link_that_we_listen_is_told_again() -> None:
    outbox = MemoryOutbox([record(0), record(1)])
    async with Liar("deaf") as liar:
        liar.mood = Mood(deaf=1.0)
        given = {
            "url": liar.url, "epoch": EPOCH.hex(), "version": "0.1.0", "receipt_timeout": "100ms",
            "reconnect_min_s": 0.01, "reconnect_max_s": 0.05,
        }  # fmt: skip
        up = MqttUplink(UplinkContext("city", "gate-7", given))
        task = asyncio.create_task(up.run(outbox))
        try:
            while up.state != "no receipts":
                await asyncio.sleep(0.01)
            ((_, before),) = liar.links()
            liar.mood = Mood()
            async with connect(Settings(host="127.0.0.1", port=liar.port)) as link:
                while outbox.settled != {0, 1}:
                    await link.publish("headgate/v1/gate-7/down/receipt", receipt(floor=2))
                    await asyncio.sleep(0.02)
                assert before in dict(liar.links()).values(), "it had to connect again for that"
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
