"""Simulated stations that do what stations do wrong: nothing is lost, nothing is stored twice."""

from __future__ import annotations

import asyncio
import socket
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from kit.running import Site

from headgate.columns import readings
from headgate.model import Block
from headgate_simulators.szy206_stations import wire
from headgate_simulators.szy206_stations.station import Fault, Station

PORT = """
[[channel]]
id = "waters"
url = "szy206+listen://127.0.0.1:{port}"

[[device]]
id = "gauge"
channel = "waters"
address = "4207031100"
profile = "generic/water-resources-station"
interval = "1h"
"""
AT = datetime(2026, 7, 18, 14, 0)  # noqa: DTZ001


def levels(at: Site) -> list[float]:
    from headgate.config import load
    from headgate.env import system_env
    from headgate.runtime.installed import look

    installed = look(system_env())(load(system_env(), at.folder))
    load(system_env(), at.folder, installed.known())
    (device,) = installed.resolved.values()
    blocks = [block for block in at.stored() if isinstance(block, Block) and block.columns]
    found = [each for block in blocks for each in readings(block, device.table)]
    return [each.value for each in found if each.point == "level_1" and each.quality == 0]  # type: ignore[misc]


@pytest.mark.parametrize(
    "faults",
    [
        (),
        (Fault.RESENDS,),
        (Fault.HANGS_UP,),
        (Fault.GLUED,),
        (Fault.WRONG_CHECK,),
        (Fault.RESENDS, Fault.GLUED),
    ],
    ids=lambda faults: "+".join(each.value for each in faults) or "none",
)
async def test_every_report_is_stored_once(tmp_path: Path, faults: tuple[Fault, ...]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    here = Site(tmp_path, PORT.format(port=port))
    station = Station("127.0.0.1", port, wire.address("420703", 17), faults)
    wanted = [1.5, -0.25, 3.125]
    for index, each in enumerate(wanted):
        station.level(each, AT + timedelta(minutes=5 * index))
    station.no_level(AT + timedelta(minutes=30))
    async with here.running():
        async with asyncio.timeout(60):
            await station.run()
    assert station.confirmed == 4
    assert levels(here) == wanted
