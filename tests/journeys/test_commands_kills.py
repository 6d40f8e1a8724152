"""Platform, broker and gateway are killed while a pump is commanded; the PLC's log says what moved."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from kit.command_station import MODBUS, PATIENCE_S, CommandRoad, Terminal, wish
from pymodbus.client import AsyncModbusTcpClient

from headgate.cli.demo.road import GATEWAY
from headgate_receiver.commands import Stage

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(180)]

SET = [GATEWAY, "ps-001", "pump2_run"]


async def test_a_platform_that_is_killed_knows_what_it_had_asked_for(tmp_path: Path) -> None:
    async with CommandRoad(tmp_path) as road:
        desk = Terminal(road)
        # One process selects and is gone; the next one carries on with what is on disk.
        status, lines = await desk.run("select", *SET, "true", "--lease", "10min")
        assert (status, lines[-1]["stage"]) == (0, "selected")
        command = lines[-1]["command"]
        status, lines = await desk.run("operate", command[:8])
        assert (status, lines[-1]["state"], lines[-1]["done"]) == (0, "confirmed", True)
        assert road.writes() == [("pump2_run", 1)]

        # One is killed while its OPERATE is on the way: nothing is sent twice, and asking tells.
        await road.tell(fault="slow", device="ps-001", on=True, value=0.5)
        doing = desk.child("do", *SET, "false", "--yes", "--wait", "60")
        await doing.start()
        await road.written(lambda line: line["name"] == "pump2_run" and line["value"] == 0)
        await doing.kill()
        await road.tell(fault="slow", device="ps-001", on=False)
        _, lines = await desk.run("list", "--limit", "1")
        (newest,) = lines
        assert not newest["done"]
        status, _ = await desk.run("operate", newest["command"])
        assert status == 1  # it was sent before, and is not sent again
        status, lines = await desk.run("watch", newest["command"], "--wait", "40")
        assert (status, lines[-1]["state"]) == (0, "confirmed")
        assert road.writes() == [("pump2_run", 1), ("pump2_run", 0)]

        # The broker dies under a command: the answer is lost, the record is not.
        async with road.operator("operator-2") as commands:
            wanted = commands.draft(wish()).command
            await commands.select(wanted)
            await road.tell(fault="slow", device="ps-001", on=True, value=0.3)
            await commands.operate(wanted)
            await road.broker.stop()
            await road.tell(fault="slow", device="ps-001", on=False)
            await road.written(lambda line: line["value"] == 1 and line["connection"] > 0)
            await road.broker.start()
            standing = await commands.settled(wanted, PATIENCE_S)
            assert (standing.stage, standing.done) == (Stage.ANSWERED, True)
        assert road.writes() == [("pump2_run", 1), ("pump2_run", 0), ("pump2_run", 1)]


async def test_a_gateway_that_is_killed_leaves_the_pump_to_the_plc_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    async with CommandRoad(tmp_path, MODBUS, "--watchdog", "2") as road:
        port = road.devices[0]["port"]
        async with road.operator() as commands, AsyncModbusTcpClient("127.0.0.1", port=port) as eye:

            async def automatic() -> bool:
                return bool((await eye.read_coils(3, count=1, device_id=1)).bits[0])

            # Killed while the write is on the way: it was carried out, and is never sent again.
            wanted = commands.draft(wish()).command
            await commands.select(wanted)
            await road.tell(fault="slow", device="ps-001", on=True, value=0.5)
            operating = asyncio.create_task(commands.operate(wanted))
            await road.written(lambda line: line["name"] == "pump2_run")
            await road.gateway.kill()
            await road.tell(fault="slow", device="ps-001", on=False)
            assert not await automatic()
            # Nobody beats any more: the PLC's own timer gives the pump back to its automatic.
            async with asyncio.timeout(PATIENCE_S):
                while not await automatic():
                    await asyncio.sleep(0.05)
            fallen_back = await eye.read_discrete_inputs(7, count=1, device_id=1)
            assert fallen_back.bits[0]
            assert road.writes() == [("pump2_run", 1)]

            await road.start_gateway()
            standing = await commands.settled(wanted, PATIENCE_S)
            assert standing.settled
            assert standing.state in ("confirmed", "unknown")
            await asyncio.gather(operating, return_exceptions=True)
            assert road.writes("pump2_run") == [("pump2_run", 1)]
