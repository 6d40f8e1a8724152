"""A whole gateway whose disk is read-only from the start, full, or slow: it measures, says so, recovers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit.running import Site
from kit.small_disk import Tmpfs

from headgate.env import AppendFile, Env, SystemFiles, system_env
from headgate.model import Alarm, Block, Gap, GapReason
from headgate.runtime import disk
from headgate_simulators.pytest import FarmMaker, RunningFarm

MIB = 1 << 20
Mount = Callable[..., Tmpfs]


def good(status: Any) -> int:
    return min((device["good"] for device in status["devices"]), default=0)


def looks_answered(farm: RunningFarm) -> int:
    return sum(len(farm.truth.looks(device["id"])) for device in farm.devices)


def gaps(items: list[Any]) -> list[GapReason]:
    """Why something was not measured; a machine that others keep busy may overrun a slot."""
    reasons = [item.reason for item in items if isinstance(item, Gap)]
    return [reason for reason in reasons if reason is not GapReason.OVERRUN]


def alarms(items: list[Any]) -> list[tuple[str, bool]]:
    """Those of the disk; that the audit log stands on it, too, is told beside them."""
    found = [item for item in items if isinstance(item, Alarm) and item.code.startswith("disk-")]
    return [(item.code, item.active) for item in found]


async def test_a_box_starts_on_a_read_only_disk_and_loses_nothing_when_it_returns(
    tmp_path: Path, water_gauge_farm: FarmMaker, tmpfs: Mount
) -> None:
    farm = water_gauge_farm(count=2)
    site = Site(tmp_path, farm.site("100ms"), 'ballast = "1MiB"')
    medium = tmpfs(site.state, 64 * MIB, read_only=True)
    async with site.running():
        status = await site.until(lambda s: good(s) >= 3 and s["disk"]["troubles"])
        assert status["disk"]["troubles"] == ["disk-read-only"]
        assert "[HG-4022]" in status["problems"][0]
        assert status["spool"]["held_records"] > 0
        medium.writable(True)
        looks = good(status)
        status = await site.until(lambda s: not s["disk"]["troubles"] and good(s) > looks + 2)
        assert status["spool"]["held_records"] == 0
    items = site.stored()
    looks = [i for i in items if isinstance(i, Block) and i.columns is not None]
    assert len(looks) == looks_answered(farm)
    assert alarms(items) == [("disk-read-only", True), ("disk-read-only", False)]
    # A slot that waits when the gateway stops is told as such; nothing was lost to the disk.
    assert set(gaps(items)) <= {GapReason.GATEWAY_OFF}


async def test_a_start_on_a_read_only_disk_knows_what_earlier_ones_left(
    tmp_path: Path, water_gauge_farm: FarmMaker, tmpfs: Mount
) -> None:
    farm = water_gauge_farm(count=1)
    site = Site(tmp_path, farm.site("100ms"), 'ballast = "0B"')
    medium = tmpfs(site.state, 64 * MIB)
    async with site.running():
        before = await site.until(lambda s: good(s) >= 3)
    medium.writable(False)
    async with site.running():
        status = await site.until(lambda s: good(s) >= 3)
        assert status["spool"]["segments"] > 1, "what lay there is still to be sent"
        assert before["epoch"] != status["epoch"]
        medium.writable(True)
        await site.until(lambda s: not s["spool"]["held_records"])
    items = site.stored()
    looks = [i for i in items if isinstance(i, Block) and i.columns is not None]
    assert len(looks) == looks_answered(farm)
    assert gaps(items) == [GapReason.GATEWAY_OFF]


async def test_a_full_disk_is_a_sentence_and_an_alarm_and_stops_nobody(
    tmp_path: Path, water_gauge_farm: FarmMaker, tmpfs: Mount
) -> None:
    site = Site(
        tmp_path, water_gauge_farm(count=2).site("100ms"), 'ballast = "1MiB"\nsegment = "256KiB"'
    )
    medium = tmpfs(site.state, 16 * MIB)
    async with site.running():
        await site.until(lambda s: good(s) >= 3 and s["spool"]["ballast"])
        medium.fill()
        status = await site.until(lambda s: "disk-full" in s["disk"]["troubles"])
        assert "[HG-4021]" in status["problems"][0]
        looks = good(status)
        await site.until(lambda s: good(s) >= looks + 5)
        medium.clear()
        await site.until(lambda s: not s["disk"]["troubles"])
    assert ("disk-full", True) in alarms(site.stored())
    assert ("disk-full", False) in alarms(site.stored())


class _SlowFiles(SystemFiles):
    """A disk whose syncs wait while `stuck` is set, as a card does that moves its blocks about."""

    def __init__(self) -> None:
        self.free_again = threading.Event()
        self.free_again.set()

    def append(self, path: Path) -> AppendFile:
        file, free_again = super().append(path), self.free_again

        class Slow:
            write, close = file.write, file.close

            def sync(self) -> None:
                assert free_again.wait(60)
                file.sync()

        return Slow()


async def test_a_disk_that_hangs_stalls_nobody_and_is_told_while_it_hangs(
    tmp_path: Path, water_gauge_farm: FarmMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "SLOW_S", 1.0)
    files = _SlowFiles()
    real = system_env()
    env = Env(real.clock, real.random, files, real.net, real.single)
    farm = water_gauge_farm(count=2)
    site = Site(tmp_path, farm.site("100ms"), 'ballast = "0B"')
    async with site.running(env):
        before = await site.until(lambda s: good(s) >= 3)
        files.free_again.clear()
        try:
            status = await site.until(lambda s: "disk-slow" in s["disk"]["troubles"])
            assert good(status) > good(before) + 3, "devices were asked all the while"
            assert status["writer"]["commits"] <= before["writer"]["commits"] + 5
            assert "[HG-4024]" in status["problems"][0]
        finally:
            files.free_again.set()
        await site.until(lambda s: s["writer"]["commits"] > status["writer"]["commits"] + 3)
    items = await asyncio.to_thread(site.stored)
    looks = [i for i in items if isinstance(i, Block) and i.columns is not None]
    assert len(looks) == looks_answered(farm)
    assert ("disk-slow", True) in alarms(items)
