"""Every fault of simulated hardware, as a whole gateway judges it: quality, gap, alarm, new plan.

The device that is well beside it goes on, and no value is ever stored that no device said.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_gateway import ask, running, stored, until, write_site

from headgate.model import Alarm, Block, Event, Gap, GapReason, Status
from headgate_simulators.pytest import BusMaker, FarmMaker, Running, StreetMaker
from headgate_simulators.truth import TruthList

pytestmark = pytest.mark.timeout(120)

#: The site's timeout: what answers later is late.
TIMEOUT_MS = 300
Ask = Callable[[], Awaitable[bool]]


class Seen(NamedTuple):
    """What a stopped gateway had kept. Devices are numbered in the order of the site, from 1."""

    blocks: list[Block]
    gaps: list[Gap]
    events: list[Event]
    alarms: list[Alarm]

    def statuses(self, device: int) -> set[Status]:
        """Why looks of a device brought nothing good."""
        return {
            Status(high)
            for block in self.blocks
            if block.device == device and block.status is not None
            for high in block.status[::2]
            if high
        }

    def good(self, device: int) -> int:
        """How many looks brought values."""
        return sum(block.device == device and block.columns is not None for block in self.blocks)

    def tables(self, device: int) -> list[bytes | int]:
        """The tables that the looks of a device were read by, in order."""
        return list(dict.fromkeys(block.table for block in self.blocks if block.device == device))


async def kept(folder: Path) -> Seen:
    seen = Seen([], [], [], [])
    lists: dict[type, list[Any]] = {
        Block: seen.blocks, Gap: seen.gaps, Event: seen.events, Alarm: seen.alarms
    }  # fmt: skip
    for item in await stored(folder):
        if type(item) in lists:
            lists[type(item)].append(item)
    return seen


def site(simulator: Running, interval: str = "200ms") -> str:
    """The simulator's site, with a short patience."""
    lines = [line for line in simulator.site(interval).splitlines() if "timeout" not in line]
    text = "\n".join(lines)
    return text.replace("[[channel]]", f'[[channel]]\ntimeout = "{TIMEOUT_MS}ms"\nretries = 0')


def risen(folder: Path, device: str, count: str, more: int = 1) -> Ask:
    """True once a count of the device (`good`, `failed`) is so much more than at the first call."""
    first: list[int] = []

    async def is_so() -> bool:
        devices = (await ask(folder, "status"))["devices"]
        now = next(int(each[count]) for each in devices if each["device"] == device)
        first.append(now)
        return now >= first[0] + more

    return is_so


def state_is(folder: Path, device: str, state: str) -> Ask:
    async def is_so() -> bool:
        devices = (await ask(folder, "status"))["devices"]
        return bool(next(d["state"] for d in devices if d["device"] == device) == state)

    return is_so


#: What is stored of the looks at a device with each fault.
SILENT, REFUSED = {Status.NO_ANSWER}, {Status.REFUSED}
NONSENSE = {Status.NO_ANSWER, Status.MALFORMED}
BROKEN_OFF = {*NONSENSE, Status.LINE_CLOSED}
LOOKS: dict[tuple[str, float | None], set[Status]] = {
    ("silent", None): SILENT,
    ("late", 0.8): SILENT,
    ("reboot", 1.0): SILENT,
    ("exception", 4): REFUSED,
    ("short", None): BROKEN_OFF,
    ("wrong-unit", None): NONSENSE,
    ("wrong-checksum", None): NONSENSE,
}


async def sick_beside_well(
    folder: Path, simulator: Running, sick: dict[str, tuple[str, float | None]], well: list[str]
) -> None:
    """Every sick device is seen as what it is; those that are well bring all their looks meanwhile."""
    write_site(folder, site(simulator))
    numbers = {device["id"]: at for at, device in enumerate(simulator.devices, 1)}
    async with running(folder):
        for device in (*sick, *well):
            await until(risen(folder, device, "good"))
        waits = [risen(folder, device, "failed") for device in sick]
        for wait in waits:
            await wait()
        for device, fault in sick.items():
            simulator.fault(device, *fault)
        for wait in waits:
            await until(wait)
        for device in well:
            await until(risen(folder, device, "good", 2))
    seen = await kept(folder)
    for device, fault in sick.items():
        found = seen.statuses(numbers[device])
        assert found and found <= LOOKS[fault], (device, fault, found)
    truth = simulator.truth
    assert isinstance(truth, TruthList)
    for device in well:
        assert not seen.statuses(numbers[device]), device
    # A value that is stored is one that was said: there are no more of them than the truth has.
    for device, number in numbers.items():
        assert seen.good(number) <= len(truth.looks(device)), device


TCP = [fault for fault in LOOKS if fault[0] != "wrong-checksum"]
SERIAL = [fault for fault in LOOKS if fault[0] in ("wrong-checksum", "short", "wrong-unit", "late")]


async def test_sick_gauges_on_modbus_tcp_are_seen_as_what_they_are(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    farm = water_gauge_farm(count=len(TCP) + 1, models=("probe",))
    *sick, well = (device["id"] for device in farm.devices)
    await sick_beside_well(tmp_path, farm, dict(zip(sick, TCP, strict=True)), [well])


async def test_sick_units_on_shared_pairs_are_seen_as_what_they_are(
    tmp_path: Path, mixed_bus: BusMaker
) -> None:
    lines = ("rtu", "ascii", "rtu-tcp", "ascii-tcp")
    bus = mixed_bus(*lines, per_line=2, models=("probe", "rain"))
    names = [device["id"] for device in bus.devices]
    # Each line has one that is sick and one that is well.
    sick = dict(zip(names[::2], SERIAL, strict=True))
    await sick_beside_well(tmp_path, bus, sick, names[1::2])


async def test_noise_and_slowness_cost_no_reading(tmp_path: Path, mixed_bus: BusMaker) -> None:
    bus = mixed_bus("rtu", "ascii-tcp", per_line=2, models=("probe", "rain"))
    bus.fault("*", "noise")
    for unit in ("unit-001", "unit-003"):
        bus.fault(unit, "slow", 0.05)
    write_site(tmp_path, site(bus, "500ms").replace(f"{TIMEOUT_MS}ms", "5s"))
    async with running(tmp_path):
        for device in bus.devices:
            await until(risen(tmp_path, device["id"], "good", 2))
    seen = await kept(tmp_path)
    assert not any(seen.statuses(number) for number in range(1, 5))


async def test_units_of_other_settings_share_one_pair(tmp_path: Path, mixed_bus: BusMaker) -> None:
    bus = mixed_bus("rtu", per_line=3, models=("probe", "rain", "air-1"))
    assert {device["settings"] for device in bus.devices} == {"19200 8N1", "9600 8N1", "38400 8N1"}
    write_site(tmp_path, site(bus))
    async with running(tmp_path):
        for device in bus.devices:
            await until(risen(tmp_path, device["id"], "good", 3))
    # Whoever is spoken to at another unit's speed understands nothing.
    (tmp_path / "other").mkdir()
    write_site(tmp_path / "other", site(bus).replace('line = "38400 8N1"', ""))
    async with running(tmp_path / "other"):
        await until(state_is(tmp_path / "other", "unit-003", "quarantined"))
        await until(risen(tmp_path / "other", "unit-001", "good", 3))


@pytest.mark.parametrize(
    ("model", "before", "after"),
    [("radar-1", "1.4", "2.1")],
)
async def test_a_new_firmware_in_place_is_a_new_plan_and_loses_no_slot(
    tmp_path: Path, mixed_bus: BusMaker, model: str, before: str | None, after: str
) -> None:
    bus = mixed_bus("rtu-tcp", per_line=2, models=(model, "rain"))
    write_site(tmp_path, site(bus))
    async with running(tmp_path):
        await until(risen(tmp_path, "unit-001", "good", 2))
        bus.fault("unit-001", "firmware-upgrade", 0.7)
        await until(risen(tmp_path, "unit-001", "failed"))
        await until(risen(tmp_path, "unit-001", "good", 3))
    seen = await kept(tmp_path)
    assert len(seen.tables(1)) == 2 and len(seen.tables(2)) == 1
    (told,) = [
        e.fields for e in seen.events if e.kind == "identified" and e.fields["firmware"] == after
    ]
    assert told["device"] == "unit-001"
    slots = [block.slot for block in seen.blocks if block.device == 1 and block.slot is not None]
    missed = [
        slot
        for gap in seen.gaps
        if gap.device == 1 and gap.first_slot is not None and gap.reason is not GapReason.OVERRUN
        for slot in range(gap.first_slot, (gap.last_slot or 0) + 1)
    ]
    overruns = sum(
        g.looks or 0 for g in seen.gaps if g.device == 1 and g.reason is GapReason.OVERRUN
    )
    assert len(set(slots) | set(missed)) + overruns == max([*slots, *missed]) + 1
    assert before != after


@pytest.mark.parametrize("line", ["rtu", "dtu"])
async def test_a_pulled_plug_is_a_line_that_is_down_and_comes_back(
    tmp_path: Path, mixed_bus: BusMaker, line: str
) -> None:
    bus = mixed_bus(line, per_line=2, models=("probe", "rain"))
    text = site(bus).replace(
        "[[channel]]", '[[channel]]\nreconnect_min = "50ms"\nreconnect_max = "200ms"'
    )
    write_site(tmp_path, text)
    async with running(tmp_path):
        await until(risen(tmp_path, "unit-002", "good", 2))
        bus.fault("unit-001", "plug-pulled")
        for unit in ("unit-001", "unit-002"):
            await until(state_is(tmp_path, unit, "line-down"))
        bus.fault("unit-001", "plug-pulled", on=False)
        for unit in ("unit-001", "unit-002"):
            await until(risen(tmp_path, unit, "good", 2))
    seen = await kept(tmp_path)
    assert Status.LINE_CLOSED in seen.statuses(1) | seen.statuses(2)
    assert "line-down" in {event.kind for event in seen.events}


async def test_a_broken_sensor_is_bad_in_its_own_point_alone(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    farm = water_gauge_farm(count=2, models=("radar-2",))
    farm.fault("gauge-001", "no-echo")
    farm.fault("gauge-002", "sensor-fault")
    write_site(tmp_path, site(farm))
    async with running(tmp_path):
        for gauge in ("gauge-001", "gauge-002"):
            await until(risen(tmp_path, gauge, "good", 2))
    seen = await kept(tmp_path)
    for number in (1, 2):
        assert seen.statuses(number) == {Status.SENTINEL}
        assert seen.good(number) >= 2


async def test_an_opened_cover_is_an_alarm_through_noise(
    tmp_path: Path, manhole_street: StreetMaker
) -> None:
    street = manhole_street(covers=2, heartbeat_s=0.3)
    street.fault("*", "noise")
    write_site(tmp_path, street.site("2s"))
    async with running(tmp_path):
        await until(risen(tmp_path, "cover-001", "good", 2))
        street.lid("cover-001", open_=True)
        await until(risen(tmp_path, "cover-001", "good", 3))
    raised = [alarm for alarm in (await kept(tmp_path)).alarms if alarm.active]
    assert [alarm.point for alarm in raised] == ["cover_open"]


async def test_sick_covers_are_missed_and_their_neighbour_is_not(
    tmp_path: Path, manhole_street: StreetMaker
) -> None:
    kinds = ["wrong-checksum", "short", "wrong-unit", "reboot", "silent"]
    street = manhole_street(covers=len(kinds) + 1, heartbeat_s=0.2)
    sick = [f"cover-{number:03d}" for number in range(1, len(kinds) + 1)]
    well = f"cover-{len(kinds) + 1:03d}"
    write_site(tmp_path, street.site("1s"))
    async with running(tmp_path):
        for cover in (*sick, well):
            await until(risen(tmp_path, cover, "good", 1))
        for cover, kind in zip(sick, kinds, strict=True):
            street.fault(cover, kind, 3600 if kind == "reboot" else None)
        for cover in sick:
            await until(state_is(tmp_path, cover, "silent"))
        await until(risen(tmp_path, well, "good", 2))
        for cover, kind in zip(sick, kinds, strict=True):
            street.fault(cover, kind, on=False)
        for cover in sick:
            await until(risen(tmp_path, cover, "good", 1))
    seen = await kept(tmp_path)
    for number in range(1, len(kinds) + 1):
        assert Status.STALE in seen.statuses(number)
        assert GapReason.DEVICE_SILENT in {gap.reason for gap in seen.gaps if gap.device == number}
