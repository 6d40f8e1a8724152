"""A whole gateway on a pair with meters of four protocols at three speeds: all that is stored was said."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.running import Site

from headgate import config
from headgate.columns import readings
from headgate.env import system_env
from headgate.model import Block, Quality
from headgate.runtime.installed import look
from headgate.spool import State
from headgate_simulators.meters import Kind, MeterLine, Wrong, stairwell
from headgate_simulators.ports import PtyPort
from headgate_simulators.world import World

START = 1_790_000_000.0
PROFILES = {
    Kind.DLT645_2007: "generic/electricity-meter-dlt645",
    Kind.DLT645_1997: "generic/electricity-meter-dlt645-1997",
    Kind.WATER: "generic/water-meter-cjt188",
    Kind.WATER_REVERSED: "generic/water-meter-cjt188",
    Kind.HEAT: "generic/heat-meter-cjt188",
    Kind.HEAT_UNIT_FIRST: "generic/heat-meter-cjt188",
    Kind.MODBUS: "test/probe",
}
#: What a point of a profile is in the meter's own words.
NAMES = {"energy_import": "energy", "voltage_a": "voltage"}
PROBE = """\
schema = 1
vendor = "test"
model = "probe"
driver = "modbus"
source = "made up"
quirks = { line = "9600 8N1" }

[[point]]
name = "energy"
unit = "kW.h"
type = "uint32"
register = 0
scale = 0.01
"""


async def test_what_meters_of_four_protocols_said_on_one_pair_is_what_is_stored(
    tmp_path: Path,
) -> None:
    said: dict[tuple[str, str], set[float]] = defaultdict(set)

    def keep(line: Mapping[str, Any]) -> None:
        for name, value in line["values"].items():
            said[line["device"], name].add(value)

    began = time.monotonic()
    # A minute of the world in each second, so that counters move.
    meters = stairwell(World(7, START), 7)
    port = PtyPort(tmp_path / "pair")
    line = MeterLine(
        port, meters, lambda: START + 3600 + 60 * (time.monotonic() - began), truth=keep
    )
    silent = next(meter for meter in meters if meter.kind is Kind.HEAT)
    line.wrong = {silent.id: Wrong.SILENT}
    (tmp_path / "profiles/test/probe").mkdir(parents=True)
    (tmp_path / "profiles/test/probe/profile.toml").write_text(PROBE)
    gauges = f'[[channel]]\nid = "pair"\nurl = "modbus+rtu://{port.path}?baud=2400&echo=1"\ntimeout = "1s"\n'
    for meter in meters:
        gauges += (
            f'[[device]]\nid = "{meter.id}"\nchannel = "pair"\naddress = "{meter.address}"\n'
            f'profile = "{PROFILES[meter.kind]}"\ninterval = "3s"\n'
        )
        if meter.kind is Kind.DLT645_1997:
            gauges += 'line = "1200 8E1"\n'
    (tmp_path / "box").mkdir()
    site = Site(tmp_path / "box", gauges)
    await line.plug()
    try:
        async with site.running(profiles=[tmp_path / "profiles"]):
            await site.until(lambda status: len({name for name, _ in said}) >= len(meters) - 1)
            # The pair goes on without the silent one, and every other one is well.
            await site.until(
                lambda status: sum(d["state"] == "ok" for d in status["devices"]) >= len(meters) - 1
            )
    finally:
        await line.pull()
    env = system_env()
    loaded = config.load(env, site.folder)
    installed = look(env, [tmp_path / "profiles"])(loaded)
    config.load(env, site.folder, installed.known())
    tables = {each.id: each.table for each in installed.resolved.values()}
    state = State(env, site.state / "state.db")
    state.open()
    names = {number: name for name, number in state.devices().items()}
    state.close()
    found = set()
    for block in site.stored():
        if not isinstance(block, Block) or not block.columns:
            continue
        for each in readings(block, tables[names[block.device]]):
            name = NAMES.get(each.point, each.point)
            key = names[block.device], name
            if each.quality is Quality.GOOD and key in said:
                found.add(key)
                assert isinstance(each.value, float | int)
                assert any(abs(each.value - one) < 1e-9 for one in said[key]), (key, each.value)
    assert {device for device, _ in found} == {m.id for m in meters if m is not silent}
