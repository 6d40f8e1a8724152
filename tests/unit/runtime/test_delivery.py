"""Uplinks run each by itself: one that fails is started again and leaves the others alone."""

from __future__ import annotations

import asyncio
from typing import Any

from headgate.errors import SecurityError, UplinkUnavailable
from headgate.runtime.delivery import FIRST_PAUSE_S, LONGEST_PAUSE_S, STUCK_US, Delivery
from headgate.sdk import Uplink, UplinkContext
from headgate.testing.env import LoopClock, fake_env, run


class Scripted(Uplink):
    name = "scripted"

    def __init__(self, name: str, *ends: Exception | None) -> None:
        super().__init__(UplinkContext(name, "gw", {}))
        self.ends = list(ends)
        self.began: list[float] = []
        self.cancelled = False

    async def run(self, outbox: Any) -> None:
        self.began.append(asyncio.get_running_loop().time())
        if self.ends:
            end = self.ends.pop(0)
            if end is not None:
                raise end
            return
        self.state = "connected"
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


def test_one_that_fails_starts_again_with_growing_pauses_and_the_other_never_notices() -> None:
    async def main() -> None:
        delivery = Delivery(fake_env(LoopClock()))
        bad = Scripted("bad", UplinkUnavailable("down"), KeyError("bug"), None)
        good = Scripted("good")
        delivery.start(bad, None)  # type: ignore[arg-type]
        delivery.start(good, None)  # type: ignore[arg-type]
        await asyncio.sleep(60)
        assert len(good.began) == 1
        pauses = [b - a for a, b in zip(bad.began, bad.began[1:], strict=False)]
        assert len(pauses) == 3
        for number, pause in enumerate(pauses):
            longest = FIRST_PAUSE_S * 2**number
            assert longest / 2 <= pause <= longest
        status = {s.id: s for s in delivery.status()}
        assert status["bad"].state == "connected"
        assert status["bad"].starts == 4
        assert status["good"].error is None
        await delivery.stop()
        assert bad.cancelled
        assert good.cancelled

    run(main)


def test_one_that_cannot_be_helped_stays_down_and_says_why() -> None:
    async def main() -> None:
        delivery = Delivery(fake_env(LoopClock()))
        bad = Scripted("bad", SecurityError("no", code="HG-6003"))
        delivery.start(bad, None)  # type: ignore[arg-type]
        await asyncio.sleep(LONGEST_PAUSE_S * 2)
        (status,) = delivery.status()
        assert (status.state, status.starts, status.code) == ("failed", 1, "HG-6003")
        await delivery.stop()
        assert delivery.status() == []

    run(main)


def test_stopping_one_leaves_the_others_running() -> None:
    async def main() -> None:
        delivery = Delivery(fake_env(LoopClock()))
        one, two = Scripted("one"), Scripted("two")
        for uplink in (one, two):
            delivery.start(uplink, None)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await delivery.stop("one")
        await delivery.stop("nobody")
        assert (one.cancelled, two.cancelled) == (True, False)
        assert list(delivery.uplinks) == ["two"]
        await delivery.stop()

    run(main)


def test_an_uplink_that_is_online_with_a_backlog_and_settles_nothing_is_stuck() -> None:
    async def main() -> None:
        delivery = Delivery(fake_env(LoopClock()))
        uplink = Scripted("city")
        delivery.start(uplink, None)  # type: ignore[arg-type]
        await asyncio.sleep(1)
        uplink.state = "online"
        assert delivery.alive({"city": (10, 5)})
        await asyncio.sleep(STUCK_US / 1e6 - 1)
        assert delivery.alive({"city": (10, 5)}), "not yet"
        await asyncio.sleep(2)
        assert not delivery.alive({"city": (10, 5)})
        assert delivery.alive({"city": (11, 4)}), "it moves again"
        await delivery.stop()

    run(main)


def test_a_platform_that_is_away_and_an_empty_spool_are_no_reason_to_restart() -> None:
    async def main() -> None:
        delivery = Delivery(fake_env(LoopClock()))
        away, idle = Scripted("away"), Scripted("idle")
        delivery.start(away, None)  # type: ignore[arg-type]
        delivery.start(idle, None)  # type: ignore[arg-type]
        await asyncio.sleep(1)
        away.state, idle.state = "waiting", "online"
        for _ in range(4):
            assert delivery.alive({"away": (0, 100_000), "idle": (3, 0)})
            await asyncio.sleep(STUCK_US / 1e6)
        await delivery.stop()

    run(main)
