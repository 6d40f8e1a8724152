"""A platform moves pumps and a gate at a station that dials in (SL 651); the station's log is the judge."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from kit.command_station import PATIENCE_S, CommandRoad, carried_out

from headgate.cli.demo.broker import free_port
from headgate.cli.demo.road import GATEWAY, Road
from headgate.cli.demo.simulator import Simulator
from headgate.crypto.provider import default_provider
from headgate_receiver.commands import CommandRefused, Wish

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(180)]

STATION = "st-001"
CONTROLS = """
[controls]
token = "60s"

[[control]]
device = "st-001"
point = "gate"
min = 0
max = 150
on_lease_end = "hold"
interlock = ["{st-001/level_inside} < 500"]

[[control]]
device = "st-001"
point = "pumps"
min = 0
max = 3
on_lease_end = "off"
off_value = 0
feedback = "pumps_running"
feedback_within = "5s"
feedback_tolerance = 0

[[control]]
device = "st-001"
point = "valve"
on_lease_end = "hold"
interlock = ["{st-001/level_inside} > 9000"]
"""


class StationsRoad(CommandRoad):
    """The road with one pump station that dials its gateway."""

    def __init__(self, folder: Path) -> None:
        self.dialled = free_port()
        command = [
            "sl651", "--count", "1", "--kind", "pump", "--to", f"127.0.0.1:{self.dialled}", "--every", "3600",
            "--keep-alive", "0.2", "--redial", "0.2",
        ]  # fmt: skip
        Road.__init__(self, folder, field=[Simulator("stations", command, folder)])
        self.provider = default_provider()
        self._controls = CONTROLS

    def orders(self) -> list[tuple[str, str]]:
        """What reached the station: function and data."""
        lines = self.field[0].truth.read_text(encoding="utf-8").splitlines()
        return [(x["ordered"], x["data"]) for x in map(json.loads, lines) if "ordered" in x]

    async def ordered(self, *wanted: tuple[str, str]) -> None:
        """Return when the station's log, which it writes now and then, has just these."""
        async with asyncio.timeout(PATIENCE_S):
            while self.orders() != list(wanted):
                await asyncio.sleep(0.05)

    async def on_line(self) -> None:
        """Return when the station is on a call."""
        async with asyncio.timeout(PATIENCE_S):
            while not (port := await self.ask("stations")) or not port["on_line"]:
                await asyncio.sleep(0.05)


def wish(point: str, value: Any, unit: str = "1", lease_s: int = 600) -> Wish:
    return Wish(GATEWAY, STATION, point, value, unit, lease_s)


async def test_a_signed_command_moves_a_gate_over_the_stations_own_call_and_is_never_said_twice(
    tmp_path: Path,
) -> None:
    async with StationsRoad(tmp_path) as road, road.operator() as commands:
        await road.on_line()
        done = await carried_out(commands, wish("gate", 120, "cm"))
        assert done.done
        assert done.last is not None
        assert done.last.value == 120
        # Out of bounds, and against an interlock on what it measures now: nothing goes out.
        for wanted, code in (
            (wish("gate", 151, "cm"), "HG-6511"),
            (wish("valve", True), "HG-6516"),
        ):
            with pytest.raises(CommandRefused) as refused:
                await carried_out(commands, wanted)
            assert refused.value.gateway_code == code
        # A lease that nobody renews ends as its control says, also at a station.
        short = await carried_out(commands, wish("pumps", 1, lease_s=1))
        assert short.done
        async with asyncio.timeout(PATIENCE_S):
            async for standing in commands.watch(short.content.command):
                if standing.state == "ended":
                    break
        told = [("4E", "01010120"), ("4C", "0101"), ("4C", "0100")]
        await road.ordered(*told)
        # It resets after it was told: done or not, nobody can say.
        await road.tell(fault="reset", device=STATION, on=True)
        unknown = await carried_out(commands, wish("gate", 80, "cm"))
        assert (unknown.state, unknown.moved) == ("unknown", None)
        await road.tell(fault="reset", device=STATION, on=False)
        await road.on_line()
        assert (await commands.ask(unknown.content.command)).state == "unknown"
        # It answers, and has moved nothing.
        await road.tell(fault="ignore", device=STATION, on=True)
        ignored = await carried_out(commands, wish("gate", 20, "cm"))
        assert (ignored.state, ignored.done) == ("failed", False)
        await road.tell(fault="ignore", device=STATION, on=False)
        told += [("4E", "01010080"), ("4E", "01010020")]
        await road.ordered(*told)
        # The gateway is killed, and comes back: what was unknown stays so, and is not said again.
        await road.gateway.kill()
        await road.start_gateway()
        await road.on_line()
        again = await carried_out(commands, wish("gate", 30, "cm"))
        assert again.done
        told.append(("4E", "01010030"))
        await road.ordered(*told)
        # On no call it is refused before anything is sent.
        await road.field[0].child.kill()
        async with asyncio.timeout(PATIENCE_S):
            while (port := await road.ask("stations")) and port["on_line"]:
                await asyncio.sleep(0.05)
        with pytest.raises(CommandRefused) as refused:
            await carried_out(commands, wish("gate", 50, "cm"))
        assert refused.value.gateway_code == "HG-6529"
        assert road.orders() == told
