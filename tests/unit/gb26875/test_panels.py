"""Simulated panels that do what panels do wrong: no alarm is lost, none is raised twice."""

from __future__ import annotations

import asyncio
import socket
from datetime import datetime
from pathlib import Path

import pytest
from kit.running import Site

from headgate.model import Alarm
from headgate_simulators.gb26875_panels.panel import Fault, Panel

PORT = """
[[channel]]
id = "fire"
url = "gb26875+listen://127.0.0.1:{port}"

[[device]]
id = "panel"
channel = "fire"
address = "42070400000017"
profile = "generic/fire-panel"
"""
AT = datetime(2026, 7, 18, 14, 0)  # noqa: DTZ001


@pytest.mark.parametrize(
    "faults",
    [(), (Fault.RESENDS,), (Fault.HANGS_UP,), (Fault.GLUED,), (Fault.WRONG_SUM,)],
    ids=lambda faults: "+".join(each.value for each in faults) or "none",
)
async def test_a_burst_of_fires_is_each_raised_once(
    tmp_path: Path, faults: tuple[Fault, ...]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    here = Site(tmp_path, PORT.format(port=port))
    # Serial numbers wrap in the middle of it.
    panel = Panel("127.0.0.1", port, 42070400000017, faults, serial=65530)
    panel.tell(b"\x15\x01\x01" + bytes([0, 0, 14, 18, 7, 26]), AT)  # it watches
    if Fault.WRONG_SUM in faults:
        panel.kept[0].faulty = False  # whose frame is denied must be known
    panel.burst(12, 0b11, AT)
    async with here.running():
        async with asyncio.timeout(60):
            await panel.run()
    assert panel.confirmed == 13
    assert panel.denied == (12 if Fault.WRONG_SUM in faults else 0)
    raised = [each.code for each in here.stored() if isinstance(each, Alarm) and each.active]
    assert raised == [f"fire/component/1.1.{n:08X}" for n in range(1, 13)]
