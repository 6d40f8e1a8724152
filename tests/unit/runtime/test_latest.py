"""The last good look at a device is told without asking it again."""

from __future__ import annotations

import asyncio

from test_poller import Site, answers, make_device, same
from virtual import FakeDriver, run

from headgate.runtime.calls import Calls


def test_the_last_good_look_is_told_and_costs_no_look() -> None:
    async def main() -> None:
        site = Site()
        driver = site.add(make_device(), answers())
        assert not list(site.poller.latest())
        await asyncio.sleep(3.5)
        looks = site.poller.device_health()[0].looks
        ((device, block, age_us),) = site.poller.latest()
        assert (device.id, block.device) == ("d1", 1)
        assert 0 <= age_us < 1_000_000
        assert site.poller.device_health()[0].looks == looks
        assert isinstance(driver, FakeDriver)
        await site.poller.stop()

    run(main)


def test_a_look_under_an_older_map_is_not_told() -> None:
    async def main() -> None:
        site = Site()
        site.add(make_device(), answers())
        await asyncio.sleep(2.5)
        await site.poller.replace(make_device(), FakeDriver(answers()), None, same)
        assert not list(site.poller.latest())
        await asyncio.sleep(2)
        assert list(site.poller.latest())
        await site.poller.stop()

    run(main)


def test_the_local_api_tells_values_and_age() -> None:
    async def no_reload() -> dict[str, object]:
        return {}

    async def main() -> None:
        site = Site()
        site.add(make_device(), answers())
        await asyncio.sleep(2.5)
        calls = Calls(dict, site.poller, dict, no_reload)
        ((said,),) = [answer async for answer in calls.handlers()["latest"]({})]
        assert said["device"] == "d1"
        assert [reading["value"] for reading in said["readings"]] == [0, 0, 0]
        assert 0 <= said["age_s"] < 1
        await site.poller.stop()

    run(main)
