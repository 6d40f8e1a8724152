"""A server that refuses subscriptions or monitored items, and one whose clock is off."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kit.opcua import line, listening, station, stations

from headgate_drivers.opcua import stream


class Reports:
    """What `headgate status` would show of a line."""

    def __init__(self, channel: Any) -> None:
        self.said: list[str] = []
        channel.on_report = lambda _state, reason: self.said.append(reason)

    @property
    def now(self) -> str:
        return self.said[-1] if self.said else ""


async def test_a_server_that_refuses_subscriptions_is_polled_until_it_does_not(
    tmp_path: Path,
) -> None:
    async with stations() as farm:
        await farm.fault("*", "subscription-limit")
        channel = line(farm.url, tmp_path, resubscribe="100ms")
        reports = Reports(channel)
        async with listening(channel, station(interval_s=0.4)) as ear:
            said = [await ear.next() for _ in range(3)]
            numbers = [int(look["sample"].value) for look in said]
            assert numbers == sorted(set(numbers))
            assert numbers[-1] - numbers[0] >= 4  # eight cycles an interval
            assert "HG-3340: no subscription (BadTooManySubscriptions)" in reports.now
            await farm.fault("*", "subscription-limit", on=False)
            # Cycle by cycle, which no poll brings.
            row = 0
            before = numbers[-1]
            while row < 5:
                told = await ear.next()
                if "sample" in told:
                    number = int(told["sample"].value)
                    row = row + 1 if number == before + 1 else 0
                    before = number
            assert "HG-3340" not in reports.now


async def test_a_server_clock_that_is_off_is_an_alarm_and_moves_no_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shift_s = 0.0

    def now_ns() -> int:
        return time.time_ns() - int(shift_s * 1e9)

    monkeypatch.setattr(stream, "time", SimpleNamespace(monotonic=time.monotonic, time_ns=now_ns))
    async with stations() as farm:
        channel = line(farm.url, tmp_path)
        reports = Reports(channel)
        async with listening(channel) as ear:
            await ear.next()
            assert ear.alarms == []
            shift_s = 3600.0  # ours: the server's is an hour ahead now
            while not ear.alarms:
                await ear.next()
            (raised,) = ear.alarms
            assert (raised.code, raised.active, raised.severity) == ("clock-skew", True, 300)
            assert raised.value == pytest.approx(3600, abs=30)
            assert "HG-3341: the server's clock is 36" in reports.now
            said = await ear.until(lambda told: "sample" in told)
            assert abs(said["sample"].taken_at_us - channel.now_us()) < 20_000_000
            shift_s = 0.0
            while len(ear.alarms) < 2:
                await ear.next()
            assert not ear.alarms[-1].active
            assert "HG-3341" not in reports.now
