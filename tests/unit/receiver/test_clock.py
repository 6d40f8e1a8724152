"""Wall times in the store's own view: right once the clock is right, whatever came in which order."""

from __future__ import annotations

import random
from typing import Any

from kit.gateway import BOOT, Gateway, Gauge

from headgate.envelope.walltime import believed, nearest
from headgate.model import ClockFix

S = 1_000_000
HOUR = 3600 * S
RIGHT = 1_782_864_000 * S
TIMES = "SELECT DISTINCT at_us, wall_us, wall_state FROM readings ORDER BY at_us"


def fix(at_us: int, state: Any = "synced", by_us: int = 0) -> ClockFix:
    return ClockFix(BOOT, at_us, RIGHT + at_us + by_us, 0, state)


async def test_a_clock_that_is_set_corrects_what_is_stored_already(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    """An hour in 1970, years ahead, back again: one boot, and every row of it is right in the end."""
    instants = [i * HOUR // 4 for i in range(12)]
    await platform.deliver(
        gateway.grant(), gateway.link(),
        *(gateway.record(gauge.block(at), announce=[gauge.body]) for at in instants),
    )  # fmt: skip
    for each in (
        fix(0, "unsynced", -RIGHT), fix(HOUR // 2, "unsynced", -RIGHT),
        fix(HOUR, "synced", 10 * 365 * 24 * HOUR),
    ):  # fmt: skip
        await platform.deliver(gateway.record(each))
    assert platform.rows(TIMES)[0][1] != RIGHT
    await platform.deliver(gateway.record(fix(2 * HOUR)))
    assert platform.rows(TIMES) == [(at, RIGHT + at, "synced") for at in instants]
    again = gateway.record(fix(2 * HOUR))
    await platform.deliver(again, again)
    assert platform.rows(TIMES) == [(at, RIGHT + at, "synced") for at in instants]


async def test_whatever_the_order_of_fixes_every_instant_has_the_same_time(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    dice = random.Random(5)
    fixes = [
        fix(
            i * HOUR,
            dice.choice(["synced", "synced", "unsynced", "holdover"]),
            dice.choice([0, 0, 0, S, -30 * 24 * HOUR]),
        )
        for i in range(24)
    ]
    instants = [i * HOUR // 3 for i in range(80)]
    await platform.deliver(
        gateway.grant(), gateway.link(),
        *(gateway.record(gauge.block(at), announce=[gauge.body]) for at in instants),
    )  # fmt: skip
    shuffled = [*fixes, *fixes[:8]]
    dice.shuffle(shuffled)
    for each in shuffled:
        await platform.deliver(gateway.record(each))
    kept = believed(fixes)
    times = [each.at_us for each in kept]
    due = []
    for at in instants:
        near = kept[nearest(times, at)]
        due.append((at, near.wall_us + at - near.at_us, near.state))
    assert platform.rows(TIMES) == due
