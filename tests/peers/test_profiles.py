"""Recorded cases once more, from a living device: pymodbus holds the registers, the driver plans.

What a case did not record the device does not have, so that plans which cross holes are refused and
cut, as they are in the field.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import pytest

from headgate.channels import ChannelSettings, open_channel
from headgate.env import SystemFiles, system_env
from headgate.profiles import Profile, judge, load, packaged_folder, resolve
from headgate.profiles.case_files import load_cases
from headgate.profiles.cases import Case, compare
from headgate_drivers.modbus import ModbusDriver

FILES = SystemFiles()
LIBRARY = load(FILES, [packaged_folder()], {"modbus": ModbusDriver.point_keys})
CASES = [
    (profile, case)
    for profile in LIBRARY.profiles.values()
    if profile.driver == "modbus"
    for case in load_cases(FILES, profile)
    # A busy device (exception 6) is a state that pymodbus does not play.
    if case.name.rpartition("/")[2] != "refused"
]

COILS, DISCRETE, HOLDING, INPUT = 1, 2, 3, 4


def memory(case: Case) -> dict[int, dict[int, int]]:
    """What the frames say the device holds, taken apart by hand: function, register or bit, value."""
    held: dict[int, dict[int, int]] = {COILS: {}, DISCRETE: {}, HOLDING: {}, INPUT: {}}
    for sent, answer in case.frames:
        at = 6 if len(sent) == 12 else 0
        function, start, count = struct.unpack_from(">BHH", sent, at + 1)
        if answer[at + 1] & 0x80:
            continue
        data = answer[at + 3 : at + 3 + answer[at + 2]]
        if function in (COILS, DISCRETE):
            values = [data[i // 8] >> i % 8 & 1 for i in range(count)]
        else:
            values = list(struct.unpack(f">{count}H", data))
        held[function].update(zip(range(start, start + count), values, strict=True))
    return held


def runs(held: dict[int, int]) -> Iterable[tuple[int, list[int]]]:
    """(first, values) of everything that stands side by side."""
    found: list[tuple[int, list[int]]] = []
    for at in sorted(held):
        if found and found[-1][0] + len(found[-1][1]) == at:
            found[-1][1].append(held[at])
        else:
            found.append((at, [held[at]]))
    return found


@pytest.mark.parametrize(
    ("profile", "case"), CASES, ids=[f"{p.model}-{c.name.rpartition('/')[2]}" for p, c in CASES]
)
async def test_a_living_device_gives_what_its_case_says(profile: Profile, case: Case) -> None:
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    held = memory(case)
    blocks: list[Any] = []
    for function in (COILS, DISCRETE, HOLDING, INPUT):
        bits = function in (COILS, DISCRETE)
        kind = DataType.BITS if bits else DataType.REGISTERS
        entries = [
            SimData(at, values=[bool(v) for v in values] if bits else values, datatype=kind)
            for at, values in runs(held[function])
        ]
        # A table that the device does not have at all: far from whatever is asked.
        blocks.append(entries or [SimData(0xFFF0, values=[False] if bits else 0, datatype=kind)])
    assert isinstance(case.address, int)
    server = ModbusTcpServer(
        SimDevice(case.address, simdata=tuple(blocks)), address=("127.0.0.1", 0)
    )
    await server.serve_forever(background=True)
    port = server.transport.sockets[0].getsockname()[1]
    channel = open_channel(system_env(), ChannelSettings("c1", f"modbus+tcp://127.0.0.1:{port}"))
    channel.open()
    await channel.settled()
    try:
        driver = ModbusDriver()
        device = resolve(
            profile,
            device_id=profile.model,
            number=1,
            channel="c1",
            address=case.address,
            sm3=lambda _: bytes(32),
            firmware=case.firmware,
            params=case.params,
            timeout_s=5,
        )
        block = judge(device)(await driver.read(channel, device, driver.plan(device)))
        assert compare(case, block, device.table, case.name) == ()
    finally:
        await channel.close()
        await server.shutdown()
