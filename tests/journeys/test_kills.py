"""Every part killed with -9, in every order, and the platform's database wiped: nothing is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from itertools import permutations
from pathlib import Path

import pytest

from headgate.cli.demo.road import Road

#: How long the road is left to itself between two kills: a few looks at each gauge.
BREATH_S = 0.8


async def _kill(road: Road, part: str) -> None:
    if part == "broker":
        await road.broker.stop()  # SIGKILL: it keeps nothing
    else:
        await getattr(road, part).kill()


async def _start(road: Road, part: str) -> None:
    if part == "broker":
        await road.broker.start()
    elif part == "gateway":
        await road.start_gateway()
    else:
        await road.receiver.start()


def _wipe(store: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        store.with_name(store.name + suffix).unlink(missing_ok=True)


def _begins_at_zero(store: Path) -> bool:
    if not store.exists():
        return False
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        try:
            ranges = database.execute(
                "SELECT first, last FROM stored_ranges ORDER BY first"
            ).fetchall()
        except sqlite3.OperationalError:
            return False  # not made yet
    return len(ranges) == 1 and ranges[0][0] == 0


@pytest.mark.peer("mosquitto")
@pytest.mark.timeout(120)
async def test_killed_in_every_order_the_road_loses_nothing(tmp_path: Path) -> None:
    async with Road(tmp_path, count=4) as road:
        for order in permutations(("broker", "gateway", "receiver")):
            for part in order:
                await _kill(road, part)
            await asyncio.sleep(BREATH_S)
            for part in order:
                await _start(road, part)
            await asyncio.sleep(BREATH_S)
        assert await road.finish(30)
        status, words = await road.verify()
    assert status == 0, words


@pytest.mark.peer("mosquitto")
@pytest.mark.timeout(120)
async def test_a_platform_whose_database_is_wiped_in_a_backlog_gets_everything_again(
    tmp_path: Path,
) -> None:
    async with Road(tmp_path, count=4) as road:
        await asyncio.sleep(2 * BREATH_S)
        await road.broker.stop()
        await asyncio.sleep(3 * BREATH_S)
        await road.receiver.kill()
        _wipe(road.store)
        await road.broker.start()
        await road.receiver.start()
        # What was settled before the wipe lies in the spool until its room is wanted: the platform
        # sees the hole below what it gets, waits in case it fills by itself, and asks.
        async with asyncio.timeout(60):
            while not _begins_at_zero(road.store):
                await asyncio.sleep(0.5)
        assert await road.finish(30)
        status, words = await road.verify()
    assert status == 0, words
