"""A front-end machine in small: stations, loggers, a gateway that is killed, a second centre of both."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.front_end import FrontEnd

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(180)]


async def test_both_are_stored_once_and_handed_on_though_the_gateway_is_killed(
    tmp_path: Path,
) -> None:
    road = FrontEnd(tmp_path, stations=3, loggers=3, backlog=20, relay=True)
    async with road:
        assert road.farm is not None
        await road.farm.start()
        await road.until_confirmed(4)
        await road.kill_and_start()
        await road.until_confirmed(4)
        await road.quiet()
        while (await road.tally())["relay-waiting"]:
            road.check()
        assert await road.finish(60), road.gateway.tail()
    found = road.judged()
    assert found["reports"] >= 8
    assert found["packets"] >= 60
    wrong = {name: found[name] for name in found if name not in ("reports", "packets")}
    assert wrong == dict.fromkeys(wrong, 0)
    assert road.heard["frames"] >= 60
