"""A platform moves a pump on OPC UA, all the way; the server's own log of writes and calls is the judge."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from kit.command_attacks import altered, impostor, resigned
from kit.command_station import DOWN, OPCUA, PATIENCE_S, CommandRoad, carried_out, wish

from headgate_receiver.commands import CommandRefused

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(180)]


async def test_a_pump_on_opc_ua_obeys_its_operator_and_nobody_else(tmp_path: Path) -> None:
    async with (
        CommandRoad(tmp_path, OPCUA, modbus=False) as road,
        road.overheard() as heard,
        road.stranger() as link,
        road.operator() as commands,
    ):
        await road.stored("remote", value=True)  # its session is open, and told the first values
        done = await carried_out(commands, wish(lease_s=2))
        assert done.done
        assert road.writes() == [("Pump2/Start", [])]
        # Its lease is over: given back, by the method that does it.
        await road.written(lambda line: line["name"] == "Pump2/Release")
        async with asyncio.timeout(PATIENCE_S):
            async for standing in commands.watch(done.content.command):
                if standing.state == "ended":
                    break
        authorised = road.writes()
        assert {name for name, _ in authorised} == {"Pump2/Start", "Pump2/Release"}
        assert authorised[0] == ("Pump2/Start", [])

        captured = [message.payload for message in heard]
        _, certificate = road.party("operator")
        hostile = [
            *captured,
            *altered(captured[-1], 4),
            resigned(captured[-1], *impostor(road.provider, certificate)),
        ]
        before = sum((await road.refused()).values())
        for each in hostile:
            await link.publish(DOWN, each)
        # Replays of what was carried out are answered with what came of it; all the others are refused.
        await road.judged(before + len(hostile) - len(captured))
        await road.tell(selector="local", device="ps-001")
        await road.stored(
            "remote", value=False
        )  # the gateway was told, as its subscription does it
        with pytest.raises(CommandRefused) as raised:
            await carried_out(commands, wish())
        assert raised.value.gateway_code == "HG-6518"
        assert road.writes() == authorised
