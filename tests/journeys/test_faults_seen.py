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
LOOKS: dict[tuple[str, float | None], set[Status]] = {
    ("silent", None): SILENT,
    ("late", 0.8): SILENT,
    ("reboot", 1.0): SILENT,
    ("exception", 4): REFUSED,
    ("short", None): NONSENSE,
    ("wrong-unit", None): NONSENSE,
    ("wrong-checksum", None): NONSENSE,
}


async def sick_beside_well(
    folder: Path, simulator: Running, fault: tuple[str, float | None], sick: str, well: str
) -> Seen:
    """The first device is sick for a while; the second goes on meanwhile; both are well in the end."""
    write_site(folder, site(simulator))
    async with running(folder):
        await until(risen(folder, sick, "good", 2))
        simulator.fault(sick, *fault)
        await until(risen(folder, sick, "failed"))
        simulator.fault(sick, fault[0], on=False)
        await until(risen(folder, well, "good", 3))
        await until(risen(folder, sick, "good", 2))
    seen = await kept(folder)
    assert seen.statuses(1) and seen.statuses(1) <= LOOKS[fault]
    assert not seen.statuses(2)
    # A value that is stored is one that was said: not one more than the truth has.
    truth = simulator.truth
    assert isinstance(truth, TruthList)
    assert seen.good(1) <= len(truth.looks(sick)) and seen.good(2) <= len(truth.looks(well))
    return seen


TCP = [fault for fault in LOOKS if fault[0] != "wrong-checksum"]
SERIAL = [fault for fault in LOOKS if fault[0] in ("wrong-checksum", "short", "wrong-unit", "late")]


@pytest.mark.parametrize("fault", TCP, ids=str)
async def test_a_sick_gauge_on_modbus_tcp_is_seen_as_what_it_is(
    tmp_path: Path, water_gauge_farm: FarmMaker, fault: tuple[str, float | None]
) -> None:
    farm = water_gauge_farm(count=2, models=("probe",))
    await sick_beside_well(tmp_path, farm, fault, "gauge-001", "gauge-002")


@pytest.mark.parametrize("line", ["rtu", "ascii", "rtu-tcp", "ascii-tcp"])
@pytest.mark.parametrize("fault", SERIAL, ids=lambda fault: fault[0])
async def test_a_sick_unit_on_a_shared_pair_is_seen_as_what_it_is(
    tmp_path: Path, mixed_bus: BusMaker, line: str, fault: tuple[str, float | None]
) -> None:
    bus = mixed_bus(line, per_line=2, models=("probe", "rain"))
    await sick_beside_well(tmp_path, bus, fault, "unit-001", "unit-002")


@pytest.mark.parametrize("line", ["rtu", "ascii-tcp"])
async def test_noise_and_slowness_cost_no_reading(
    tmp_path: Path, mixed_bus: BusMaker, line: str
) -> None:
    bus = mixed_bus(line, per_line=2, models=("probe", "rain"))
    bus.fault("*", "noise")
    bus.fault("unit-001", "slow", 0.05)
    write_site(tmp_path, site(bus, "1s").replace("300ms", "5s"))
    async with running(tmp_path):
        await until(risen(tmp_path, "unit-001", "good", 3))
        await until(risen(tmp_path, "unit-002", "good", 1))
    seen = await kept(tmp_path)
    assert not seen.statuses(1) and not seen.statuses(2)


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
    [("radar-1", "1.4", "2.1"), ("ultrasonic-1", "1.3", "2.2"), ("air-1", None, "21")],
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


@pytest.mark.parametrize("line", ["rtu", "rtu-tcp", "dtu"])
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


@pytest.mark.parametrize(
    ("kind", "status"),
    [("no-echo", Status.SENTINEL), ("sensor-fault", Status.SENTINEL)],
)
async def test_a_broken_sensor_is_bad_in_its_own_point_alone(
    tmp_path: Path, water_gauge_farm: FarmMaker, kind: str, status: Status
) -> None:
    farm = water_gauge_farm(count=1, models=("radar-2",))
    farm.fault("gauge-001", kind)
    write_site(tmp_path, site(farm))
    async with running(tmp_path):
        await until(risen(tmp_path, "gauge-001", "good", 3))
    seen = await kept(tmp_path)
    assert seen.statuses(1) == {status}
    assert seen.good(1) >= 3


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


@pytest.mark.parametrize("kind", ["wrong-checksum", "short", "wrong-unit", "reboot", "silent"])
async def test_a_sick_cover_is_missed_and_its_neighbours_are_not(
    tmp_path: Path, manhole_street: StreetMaker, kind: str
) -> None:
    street = manhole_street(covers=2, heartbeat_s=0.2)
    write_site(tmp_path, street.site("600ms"))
    async with running(tmp_path):
        await until(risen(tmp_path, "cover-001", "good", 2))
        street.fault("cover-001", kind, 3.0 if kind == "reboot" else None)
        await until(state_is(tmp_path, "cover-001", "silent"))
        street.fault("cover-001", kind, on=False)
        await until(risen(tmp_path, "cover-001", "good", 2))
        await until(risen(tmp_path, "cover-002", "good", 2))
    seen = await kept(tmp_path)
    assert Status.STALE in seen.statuses(1)
    assert GapReason.DEVICE_SILENT in {gap.reason for gap in seen.gaps if gap.device == 1}
