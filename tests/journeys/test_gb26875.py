"""A building burns while nobody upstream can be reached and the gateway's power goes, again and again."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.fire_road import FireRoad, Told, changes, stored_alarms, stored_events

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(240)]

PARTS = 50
#: Four frames in one segment, the first try of each with a wrong sum, and hung up upon its confirmation.
MANNERS = (
    "--window",
    "4",
    "--fault",
    "*:glue",
    "--fault",
    "*:wrong-check",
    "--fault",
    "*:hangs-up",
)


def all_confirmed(log: Told) -> bool:
    return bool(log.serials) and log.serials <= log.confirmed


async def test_fifty_detectors_are_each_stored_once_in_order_whatever_is_killed_meanwhile(
    tmp_path: Path,
) -> None:
    async with FireRoad(tmp_path, *MANNERS) as road:
        await road.until(all_confirmed)
        await road.broker.stop()  # SIGKILL
        # What is on disk is confirmed, but no confirmation arrives: the power goes in between.
        await road.command(fault="deaf", device="*", on=True)
        await road.command(fire="*", parts=PARTS, seconds=86_400)
        for _ in range(2):
            await road.resends(4)
            await road.kill_and_start()
        await road.command(fault="deaf", device="*", on=False)
        before = len(road.log.confirmed)
        await road.until(lambda log: len(log.confirmed) >= before + 10)
        await road.kill_and_start()  # in the middle of it
        await road.until(all_confirmed)
        await road.command(reset="*")
        await road.until(lambda log: len(log.alarms) > PARTS + 1 and all_confirmed(log))
        await road.broker.start()
        assert await road.finish(90), road.gateway.tail()
        told = road.log
        status, said = await road.verify()
    assert status == 0, said
    assert len(told.events) == PARTS
    assert stored_events(road.store) == told.events
    assert changes(stored_alarms(road.store)) == told.alarms
