"""A platform moves pumps and a gate at a station that dials in (SL 651); the station's log is the judge."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from kit.command_station import PATIENCE_S, carried_out
from kit.hydro_commands import STATION, StationsRoad, wish

from headgate_receiver.commands import CommandRefused

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(180)]


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
