"""A street of manholes through gateway, broker and receiver, with everything a serial line does wrong.

Every part is a process of its own; `headgate verify` counts what the covers said against what is stored.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from headgate.cli.demo.road import Road
from headgate.cli.demo.simulator import Simulator

WITHIN_S = 20.0


class StreetRoad(Road):
    """The demo's road with a street at its beginning."""

    def __init__(self, folder: Path, *more: str) -> None:
        street = [
            "manhole-street", "--covers", "6", "--heartbeat", "0.4", "--interval", "1s", "--seed", "7",
            *more,
        ]  # fmt: skip
        super().__init__(folder, broker="amqtt", field=[Simulator("street", street, folder)])

    async def command(self, **said: Any) -> None:
        await self.field[0].tell(said)

    def count(self, query: str, *values: object) -> int:
        try:
            with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as database:
                ((count,),) = database.execute(query, values)
                return int(count)
        except sqlite3.Error:
            return 0  # not made yet

    async def until(self, least: int, query: str, *values: object) -> None:
        async with asyncio.timeout(WITHIN_S):
            while self.count(query, *values) < least:
                self.check()
                await asyncio.sleep(0.05)

    async def looks(self, least: int) -> None:
        """Return when there are this many more looks of covers than now."""
        now = self.count(LOOKS)
        await self.until(now + least, LOOKS)

    async def verdict(self) -> dict[str, Any]:
        """What verify found, after all covers fell asleep and everything arrived."""
        await self.command(fault="silent", device="*", on=True)
        assert await self.finish(WITHIN_S), self.gateway.tail()
        _, words = await self.verify("--format", "json")
        found: dict[str, Any] = json.loads(words)
        return found


LOOKS = (
    "SELECT count(*) FROM reading WHERE quality < 2 AND point IN"
    " (SELECT id FROM points WHERE point = 'sample' AND device LIKE 'cover%')"
)
WRONG = ("missing", "doubled", "changed", "unexpected", "unaccounted", "counted_twice")


@asynccontextmanager
async def street(folder: Path, *more: str) -> AsyncIterator[StreetRoad]:
    async with StreetRoad(folder, *more) as road:
        await road.looks(6)
        yield road


async def test_every_word_of_every_cover_arrives_once_through_noise_and_damage(
    tmp_path: Path,
) -> None:
    async with street(tmp_path) as road:
        await road.command(fault="noise", device="*", on=True)
        await road.looks(20)
        await road.command(fault="wrong-checksum", device="cover-001", on=True)
        await road.command(fault="short", device="cover-002", on=True)
        await road.looks(20)
        await road.command(fault="wrong-checksum", device="cover-001", on=False)
        await road.command(fault="short", device="cover-002", on=False)
        await road.looks(20)
        found = await road.verdict()
    counts = found["counts"]
    assert {kind: counts[kind] for kind in WRONG if counts[kind]} == {}, found["examples"]
    assert counts["truth"] > 60


async def test_an_opened_cover_is_an_alarm_at_the_platform_and_its_closing_ends_it(
    tmp_path: Path,
) -> None:
    raised = "SELECT count(*) FROM alarms WHERE code = 'cover-open' AND active = ?"
    async with street(tmp_path) as road:
        await road.command(lid="cover-003", open=True)
        await road.until(1, raised, 1)
        await road.command(lid="cover-003", open=False)
        # Every cover told once, at its first word, that nothing is wrong.
        await road.until(7, raised, 0)
        found = await road.verdict()
    assert not any(found["counts"][kind] for kind in WRONG), found["examples"]


async def test_plugs_pulled_and_put_back_on_pseudo_terminals(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.mkdir()
    async with street(tmp_path, "--pty", str(lines)) as road:
        await road.command(**{"plug": "covers", "in": False})
        stick = (
            "SELECT count(*) FROM reading WHERE point IN"
            " (SELECT id FROM points WHERE point = 'wind_speed')"
        )
        await road.until(road.count(stick) + 2, stick)  # the other lines do not care
        await road.command(**{"plug": "covers", "in": True})
        await road.looks(12)
        found = await road.verdict()
    # A word that was on the wire when the plug was pulled is nobody's fault; none is wrong or twice.
    counts = found["counts"]
    for kind in ("doubled", "changed", "unexpected", "counted_twice"):
        assert not counts[kind], found["examples"]
    assert counts["missing"] <= 1
