"""What happens when: the road runs, loses its broker at half time, recovers, and is judged."""

from __future__ import annotations

import asyncio
from pathlib import Path

from headgate.cli.demo.broker import BrokerKind
from headgate.cli.demo.field import all_kinds
from headgate.cli.demo.operator import command
from headgate.cli.demo.page import Page
from headgate.cli.demo.road import Road
from headgate.cli.demo.watch import Watch
from headgate.messages import Language

REFRESH_S = 0.25
#: The broker is away for this share of the time, within bounds.
AWAY_SHARE, AWAY_LEAST_S, AWAY_MOST_S = 0.2, 2.0, 8.0
DRAIN_S = 30.0
#: When the operator starts a pump, as a share of the time until the broker goes.
_COMMAND_SHARE = 0.3


async def play(
    folder: Path, seconds: float, lang: Language, page: Page, broker: BrokerKind | None = None
) -> tuple[int, str]:
    """Run the demo; exit status and words of the verdict.

    Raises:
        HeadgateError: a part did not start, or ended by itself.
    """
    page.tell("HG-9520", folder=folder)
    field, missing = all_kinds(folder)
    for code, what in missing:
        page.tell(code, missing=what)
    async with Road(folder, field=field, language=lang, broker=broker) as road:
        page.tell("HG-9521", broker=road.broker.name)
        await road.storm()
        watch = Watch(road)
        away_s = min(AWAY_MOST_S, max(AWAY_LEAST_S, AWAY_SHARE * seconds))
        leaves = (seconds - away_s) / 2
        clock = asyncio.get_running_loop().time
        begun = clock()

        async def until(second: float) -> None:
            while (now := clock() - begun) < second:
                road.check()
                page.show(now, seconds, await watch.look())
                await asyncio.sleep(min(REFRESH_S, max(0.0, second - (clock() - begun))))

        await until(leaves * _COMMAND_SHARE)
        commanding = asyncio.create_task(command(road, page))
        try:
            await until(leaves)
        finally:
            # Not known by then, or never: the demo goes on.
            commanding.cancel()
            await asyncio.gather(commanding, return_exceptions=True)
        page.tell("HG-9522", seconds=f"{away_s:.0f}")
        await road.broker.stop()
        await until(leaves + away_s)
        await road.broker.start()
        page.tell("HG-9523")
        await until(seconds)
        page.tell("HG-9524")
        finish = asyncio.create_task(road.finish(DRAIN_S))
        try:
            while not finish.done():
                page.show(clock() - begun, seconds, await watch.look())
                await asyncio.wait([finish], timeout=REFRESH_S)
        finally:
            finish.cancel()
            await asyncio.gather(finish, return_exceptions=True)
        if not finish.cancelled() and not finish.result():
            page.tell("HG-9525", seconds=f"{DRAIN_S:.0f}")
        return await road.verify()
