"""A platform wiped when everything was settled finds its way back through every start of the gateway."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from headgate.cli.demo.road import Road


def _rows(store: Path, query: str) -> list[tuple[int, ...]]:
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
            return list(database.execute(query))
    except sqlite3.OperationalError:
        return []  # not made yet


async def _until(store: Path, query: str, wanted: int) -> None:
    while _rows(store, query) < [(wanted,)]:  # another process writes the file
        await asyncio.sleep(0.1)


ARRIVED = "SELECT count(*) FROM records"
EPOCHS = "SELECT count(*) FROM epochs WHERE linked"
WHOLE = "SELECT count(*) FROM stored_ranges WHERE first = 0"


@pytest.mark.peer("mosquitto")
@pytest.mark.timeout(120)
async def test_a_wiped_platform_gets_back_what_earlier_starts_of_the_gateway_sent(
    tmp_path: Path,
) -> None:
    async with Road(tmp_path, count=4) as road:
        async with asyncio.timeout(60):
            for starts in (1, 2, 3):
                await _until(road.store, EPOCHS, starts)
                await _until(road.store, ARRIVED, 5 * starts)
                await road.gateway.kill()
                await road.start_gateway()
            await _until(road.store, EPOCHS, 4)
        await road.receiver.kill()
        for suffix in ("", "-wal", "-shm"):
            road.store.with_name(road.store.name + suffix).unlink(missing_ok=True)
        await road.receiver.start()
        async with asyncio.timeout(60):
            await _until(road.store, EPOCHS, 4)
            await _until(road.store, WHOLE, 4)
        assert await road.finish(30)
        status, words = await road.verify()
    assert status == 0, words
