"""A register that moves as long as the box lives."""

from __future__ import annotations

import asyncio

from kit.scene import Plant, pump

from headgate.config import Duration, Heartbeat
from headgate.runtime.commands.heartbeat import Hearts
from headgate.testing.env import run

BEAT = Heartbeat(device="pump-1", point="speed", every=Duration.parse("5s"), below=3)


def test_a_heart_beats_over_its_end_and_through_a_silent_device() -> None:
    plant = Plant(pump())

    async def main() -> None:
        hearts = Hearts(plant)
        await hearts.apply([BEAT])
        await asyncio.sleep(17)
        plant.silent = True
        await asyncio.sleep(10)
        assert hearts.beating[BEAT].reason
        plant.silent = False
        await asyncio.sleep(5)
        assert hearts.beating[BEAT].reason == ""
        await hearts.stop()

    run(main)
    assert [raw for _, _, raw in plant.wire] == [1, 2, 0, 1, 1]


def test_a_heartbeat_that_is_gone_from_the_site_file_stops() -> None:
    plant = Plant(pump())

    async def main() -> None:
        hearts = Hearts(plant)
        await hearts.apply([BEAT])
        await asyncio.sleep(1)
        await hearts.apply([])
        await asyncio.sleep(60)

    run(main)
    assert len(plant.wire) == 1
