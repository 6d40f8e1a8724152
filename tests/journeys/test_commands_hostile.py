"""Forged, altered, replayed and re-targeted commands: what the PLC's own log says of them is nothing."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from kit.command_attacks import Intercepted, altered, impostor, resigned
from kit.command_station import DOWN, PATIENCE_S, CommandRoad, carried_out, wish

from headgate.cli.demo.road import GATEWAY
from headgate.env import system_env
from headgate.envelope.command import Step, parse_command

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(180)]


async def test_what_nobody_may_command_never_reaches_the_wire(tmp_path: Path) -> None:
    async with CommandRoad(tmp_path) as road, road.stranger() as link:
        way = Intercepted(system_env(), road.broker_settings)
        async with road.operator(road=way) as commands:
            command = commands.draft(wish()).command
            await commands.select(command)
            operating = asyncio.create_task(commands.operate(command))
            async with asyncio.timeout(PATIENCE_S):
                message = await way.taken.get()
            operating.cancel()  # nobody answers what never arrived
            await asyncio.gather(operating, return_exceptions=True)
            assert commands.standing(command).in_doubt
        # Whoever has it turns bits of it, signs it anew with keys that may not, or sends it elsewhere.
        own, certificate = road.party("operator")
        stranger = impostor(road.provider, certificate)
        forged = [
            *altered(message, 8),
            message[:-1],
            resigned(message, *stranger),
            resigned(message, own, stranger[1]),
            resigned(message, stranger[0], certificate),
            resigned(message, *road.party("technician")),
            resigned(message, *road.party(f"gateways/{GATEWAY}")),
        ]
        for each in forged:
            await link.publish(DOWN, each)
        refused = await road.judged(len(forged))
        assert refused.keys() <= {"HG-6500", "HG-6501", "HG-6502"}
        await link.publish("headgate/v1/another-gate/down/command", message)
        assert road.writes() == []
        # The message itself, late and by whoever has it: what its operator signed is what is done, once.
        await link.publish(DOWN, message)
        await link.publish(DOWN, message)
        await road.written(lambda line: line["name"] == "pump2_run")
        assert road.writes() == [("pump2_run", 1)]


async def test_what_was_said_once_is_done_once_over_restarts_and_restored_disks(
    tmp_path: Path,
) -> None:
    async with CommandRoad(tmp_path) as road, road.overheard() as heard, road.stranger() as link:
        # A disk image from before everything, as a backup would have it.
        await road.gateway.kill()
        shutil.copytree(road.folder / "state", tmp_path / "image")
        await road.start_gateway()
        async with road.operator() as commands:
            assert (await carried_out(commands, wish())).done
        captured = [message.payload for message in heard]
        steps = [parse_command(each).command.step for each in captured]
        assert steps == [Step.SELECT, Step.OPERATE]
        assert road.writes() == [("pump2_run", 1)]

        async def replay() -> None:
            for each in (*captured, *reversed(captured), captured[1], captured[1]):
                await link.publish(DOWN, each)

        await replay()
        await link.publish(DOWN, captured[1], retain=True)
        await road.gateway.kill()
        await road.start_gateway()
        await replay()
        refused = await road.judged(1)
        assert "HG-6533" in refused  # what a broker keeps was said to somebody else, some other day
        await road.gateway.kill()
        shutil.rmtree(road.folder / "state")
        shutil.copytree(tmp_path / "image", road.folder / "state")
        await road.start_gateway()
        await replay()
        # It still listens: a new command is carried out, and is the only one since.
        async with road.operator("operator-2") as commands:
            done = await carried_out(commands, wish("alarm_level", 3.0, unit="m"))
            assert done.done
        assert road.writes("pump2_run") == [("pump2_run", 1)]
        assert road.writes("alarm_level") == [("alarm_level", 3000)]
