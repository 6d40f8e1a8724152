"""A real gateway process whose clock is moved while it runs; judged on the rows of the platform's store."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headgate.cli.demo.child import Child
from headgate.cli.demo.road import Road

#: The gateway, but its wall clock is what a file says: seconds beside the truth, and the state.
BENT = """
import time
from pathlib import Path
from headgate import env

def told():
    shift, state = Path({file!r}).read_text().split()
    return float(shift), state

env.SystemClock.wall_us = lambda self: int((time.time() + told()[0]) * 1e6)
env.SystemClock.wall_state = lambda self: (told()[1], 1000)
from headgate.cli import main
sys.argv[0] = "headgate"
main()
"""
YEAR_S = 365 * 86_400


def rows(store: Path, query: str) -> list[Any]:
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
            return list(database.execute(query))
    except sqlite3.OperationalError:
        return []  # not made yet


async def until(store: Path, query: str, wanted: int) -> None:
    while not (found := rows(store, query)) or found[0][0] < wanted:
        await asyncio.sleep(0.1)


@pytest.mark.peer("mosquitto")
@pytest.mark.timeout(180)
async def test_a_process_that_starts_in_1970_and_whose_clock_jumps_is_dated_right_in_the_end(
    tmp_path: Path,
) -> None:
    told = tmp_path / "clock"

    def clock(shift_s: float, state: str) -> None:
        new = tmp_path / "clock.new"
        new.write_text(f"{shift_s} {state}")
        new.replace(told)

    fixes = "SELECT count(*) FROM clock_fixes WHERE state = "
    looks = "SELECT count(*) FROM reading"
    clock(-time.time() + 3600, "unsynced")
    road = Road(tmp_path, count=2)
    arguments = ["run", str(tmp_path / "site.toml")]
    road.gateway = Child(
        "gateway", BENT.format(file=str(told)), arguments, tmp_path / "gateway.log"
    )
    async with road:
        async with asyncio.timeout(120):
            await until(road.store, looks, 10)
            assert rows(road.store, "SELECT max(wall_us) < 86400000000 FROM readings") == [(1,)]
            clock(0, "synced")
            await until(road.store, fixes + "'synced'", 1)
            for shift_s in (10 * YEAR_S, -3 * YEAR_S):
                unsure = rows(road.store, fixes + "'unsynced'")[0][0]
                clock(shift_s, "synced")
                await until(road.store, fixes + "'unsynced'", unsure + 1)
                await road.gateway.kill()  # it must not believe this after a restart either
                await road.start_gateway()
                clock(0, "synced")
                await until(road.store, looks, rows(road.store, looks)[0][0] + 10)
        assert await road.finish(30)
        status, words = await road.verify()
        states = rows(road.store, "SELECT DISTINCT wall_state FROM readings")
        worst = rows(road.store, "SELECT max(abs(received_us - wall_us)) FROM readings")
    assert states == [("synced",)]
    assert worst[0][0] < 60_000_000
    assert status == 0, words
