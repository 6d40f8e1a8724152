"""Profiles against the simulated gauges, which were written from the manual by somebody else."""

import math
import struct

import pytest

from headgate.columns import readings
from headgate.env import SystemFiles
from headgate.model import Quality, Status
from headgate.profiles import judge, load, packaged_folder
from headgate_drivers.modbus import ModbusDriver
from headgate_simulators.faults import FaultKind
from headgate_simulators.water_gauge.instruments import INSTRUMENTS
from headgate_simulators.world import World

LIBRARY = load(SystemFiles(), [packaged_folder()])


@pytest.mark.parametrize("kind", INSTRUMENTS)
@pytest.mark.parametrize(
    "wrong",
    [
        set(),
        {FaultKind.NO_ECHO},
        {FaultKind.SENSOR_FAULT},
        {FaultKind.BLOCKED, FaultKind.LOW_BATTERY},
    ],
    ids=["well", "no-echo", "sensor-fault", "blocked"],
)
def test_what_a_gauge_means_is_what_the_profile_reads(
    device, kind: str, wrong: set[FaultKind]
) -> None:
    world = World(7, 1_700_000_000.0)
    gauge = INSTRUMENTS[kind](world, world.places(3)[1], "gauge-001")
    made = device(LIBRARY.find(gauge.model), firmware=gauge.firmware, params=gauge.params)
    judged = judge(made)
    for look in range(20):
        measured = gauge.measure(world.start + 600.0 * (look + 1), wrong & gauge.conditions)
        sample = gauge.stamp(measured.registers, 70_000 + look)
        data = struct.pack(f">{gauge.size}H", *measured.registers)
        sent = struct.pack(">HHHBBHH", look, 0, 6, 1, gauge.function, 0, gauge.size)
        answer = struct.pack(">HHHBBB", look, 0, 3 + len(data), 1, gauge.function, len(data)) + data
        block = judged(ModbusDriver().replay(made, [(sent, answer)]))
        read = {reading.point: reading for reading in readings(block, made.table)}
        assert read["sample"].value == sample
        for name, meant in measured.values.items():
            reading = read[name]
            if meant is None:
                assert (reading.quality, reading.status >> 8) == (Quality.BAD, Status.SENTINEL)
            else:
                assert reading.quality == Quality.GOOD
                assert math.isclose(reading.value, meant, rel_tol=1e-12)
