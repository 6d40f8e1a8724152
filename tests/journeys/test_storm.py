"""A storm in small: every kind of line, faults all along, no broker for a while; the truth judges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storm.field import StormPlan, field
from storm.run import storm
from storm.trouble import QUIET_S, troubles

WRONG = ("missing", "doubled", "changed", "unexpected", "unaccounted", "counted_twice")


@pytest.mark.timeout(180)
@pytest.mark.peer("dbus-daemon")
async def test_after_a_storm_every_reading_is_true_or_bad_and_every_slot_accounted_for(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    found = await storm(
        StormPlan(minutes=0.12, seed=5, share=0.4, fault_every_s=0.4), tmp_path, said.append
    )
    counts = found["counts"]
    assert {kind: counts[kind] for kind in WRONG if counts[kind]} == {}, (found["examples"], said)
    assert found["storm"]["drained"]
    assert found["storm"]["devices"] >= 35 and found["storm"]["lines"] >= 15
    assert found["storm"]["broker_outages"] == 1 and sum(found["storm"]["faults"].values()) >= 5
    # Nothing can be right of which nothing is there.
    assert counts["matched"] > 100 and counts["arrived"] > 100


class Known:
    """A simulator that is ready, as far as who plans the trouble needs one."""

    def __init__(self, name: str, devices: list[dict[str, Any]]) -> None:
        self.name = name
        self.devices = devices


def gauges(count: int) -> Any:
    return Known(
        "gauges",
        [
            {"id": f"g-{at}", "model": "generic/radar-level", "firmware": "1.4", "unit": 1}
            for at in range(count)
        ],
    )


def test_a_seed_decides_what_goes_wrong_and_all_of_it_ends_before_the_storm_does() -> None:
    first, again, other = (troubles([gauges(100)], 600, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) > 400
    begun = {(t.command["fault"], t.command["device"]) for t in first if t.command["on"]}
    ended = {(t.command["fault"], t.command["device"]) for t in first if not t.command["on"]}
    assert begun == ended
    assert max(trouble.at_s for trouble in first) <= 600 - QUIET_S / 2
    kinds = {fault for fault, _ in begun}
    assert {"silent", "slow", "late", "short", "exception", "wrong-unit", "reboot",
            "firmware-upgrade", "plug-pulled"} <= kinds  # fmt: skip


def test_a_storm_is_a_hundred_devices_and_one_hour_of_weather(tmp_path: Path) -> None:
    plan = StormPlan(minutes=10)
    assert plan.speed == 6 and plan.seconds == 600
    assert [each.name for each in field(plan, tmp_path)][:4] == ["gauges", "bus", "covers", "pumps"]
    with pytest.raises(ValueError, match="more than 0"):
        StormPlan(minutes=0)
