"""A platform moves a pump on Modbus, all the way; the PLC's own log of writes is the judge."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from kit.command_station import PATIENCE_S, CommandRoad, Terminal, carried_out, wish

from headgate.cli.client import call
from headgate.cli.demo.road import GATEWAY
from headgate_receiver.commands import CommandRefused, Commands, Stage, Wish

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(180)]


async def refusal(commands: Commands, wanted: Wish, *approvals: bytes) -> str:
    """The code that a command is refused with."""
    with pytest.raises(CommandRefused) as raised:
        await carried_out(commands, wanted, *approvals)
    return raised.value.gateway_code


async def test_a_pump_obeys_until_its_lease_is_over_and_the_read_back_decides(
    tmp_path: Path,
) -> None:
    async with CommandRoad(tmp_path) as road, road.operator() as commands:
        done = await carried_out(commands, wish())
        assert done.done
        assert done.last is not None
        assert done.last.value is True
        assert road.writes() == [("pump2_run", 1)]

        # The lease begins anew and nothing is written.
        renewal = commands.draft(wish(lease_s=900)).command
        await commands.select(renewal)
        assert (await commands.renew(renewal)).content.lease_s == 900
        assert (await commands.settled(renewal, PATIENCE_S)).state == "renewed"
        assert road.writes() == [("pump2_run", 1)]

        # Given back before its time: the station's own automatic has it.
        release = Wish.release(GATEWAY, "ps-001", "pump2_run")
        assert (await carried_out(commands, release)).done
        assert road.writes() == [("pump2_run", 1), ("pump2_auto", 1)]

        # What the platform asked for is in its store, state by state, under the operator's name.
        told = commands.standing(done.content.command).history
        recorded = [each for each in told if each.source == "record"]
        assert {"selected", "accepted", "confirmed"} <= {each.state for each in recorded}
        assert {each.who for each in recorded if each.state == "confirmed"} == {"operator:operator"}

        # A lease that nobody renews ends by itself, and the platform is told.
        short = await carried_out(commands, wish(lease_s=1))
        assert short.done
        async with asyncio.timeout(PATIENCE_S):
            async for standing in commands.watch(short.content.command):
                if standing.state == "ended":
                    break
        assert road.writes()[2:] == [("pump2_run", 1), ("pump2_auto", 1)]


async def test_what_goes_wrong_at_the_station_is_never_called_done(tmp_path: Path) -> None:
    async with CommandRoad(tmp_path) as road, road.operator() as commands:
        # The contactor pulls, its contact says nothing: written is not confirmed.
        await road.tell(fault="no-feedback", device="ps-001/pump2", on=True)
        failed = await carried_out(commands, wish())
        assert (failed.state, failed.done) == ("failed", False)
        assert failed.last is not None
        assert failed.last.code == "HG-6530"
        await road.tell(fault="no-feedback", device="ps-001/pump2", on=False)
        # Acknowledged and not done.
        await road.tell(fault="ignore", device="ps-001", on=True)
        ignored = await carried_out(commands, wish("alarm_level", 3.0, unit="m"))
        assert (ignored.state, ignored.done) == ("failed", False)
        await road.tell(fault="ignore", device="ps-001", on=False)
        # Refused by the device: it did nothing.
        await road.tell(fault="refuse", device="ps-001", on=True, value=6)
        refused = await carried_out(commands, wish("alarm_level", 3.1, unit="m"))
        assert (refused.state, refused.done) == ("failed", False)
        await road.tell(fault="refuse", device="ps-001", on=False)
        # Done, and the answer lost: nobody can tell, and nobody sends it again.
        before = len(road.writes())
        await road.tell(fault="answer-lost", device="ps-001", on=True)
        unknown = await carried_out(commands, wish("alarm_level", 3.2, unit="m"))
        assert (unknown.state, unknown.moved) == ("unknown", None)
        assert (await commands.ask(unknown.content.command)).state == "unknown"
        await road.tell(fault="answer-lost", device="ps-001", on=False)
        assert road.writes()[before:].count(("alarm_level", 3200)) == 1
        # Somebody stands there: nothing from afar reaches the wire.
        await road.tell(selector="local", device="ps-001")
        before = len(road.writes())
        assert await refusal(commands, wish(value=False)) == "HG-6518"
        assert len(road.writes()) == before


async def test_bounds_people_locks_and_races(tmp_path: Path) -> None:
    async with (
        CommandRoad(tmp_path) as road,
        road.operator() as one,
        road.operator("operator-2") as two,
    ):
        assert await refusal(one, wish("alarm_level", 4.001, unit="m")) == "HG-6511"
        assert await refusal(one, wish("alarm_level", 1.0, unit="m")) == "HG-6513"
        assert await refusal(one, wish("alarm_level", 3.0, unit="cm")) == "HG-6512"
        assert await refusal(one, wish("pump2_run", 1)) == "HG-6512"  # 1 is not true
        assert await refusal(one, wish("pump1_run")) == "HG-6509"
        assert await refusal(one, wish(lease_s=1801)) == "HG-6521"
        assert road.writes() == []

        # Two people for the gate: one alone, and one twice, are one.
        gate = wish("gate_setpoint", 42.0, unit="%")
        assert await refusal(one, gate) == "HG-6519"
        content = one.draft(gate)
        selected = await one.select(content.command)
        assert selected.last is not None
        own = await one.approve(content, token=selected.last.token)
        with pytest.raises(CommandRefused):
            await one.operate(content.command, [own])
        assert road.writes() == []
        content = one.draft(gate)
        selected = await one.select(content.command)
        assert selected.last is not None
        agreed = await two.approve(content, token=selected.last.token)
        await one.operate(content.command, [agreed])
        assert (await one.settled(content.command, PATIENCE_S)).done
        assert road.writes() == [("gate_setpoint", 420)]

        # The same at two desks: the request carries the token, so it needs no trusted clock.
        mine, theirs = Terminal(road), Terminal(road, "operator-2")
        request, approval = str(tmp_path / "request"), str(tmp_path / "approval")
        gate_words = [GATEWAY, "ps-001", "gate_setpoint", "55", "--unit", "%"]
        status, lines = await mine.run("select", *gate_words, "--out", request)
        assert status == 0
        agreeing = theirs.child("approve", request, "--out", approval, "--yes")
        await agreeing.start()
        assert await agreeing.wait() == 0
        status, lines = await mine.run("operate", lines[-1]["command"], "--approval", approval)
        assert (status, lines[-1]["state"]) == (0, "confirmed")
        assert road.writes() == [("gate_setpoint", 420), ("gate_setpoint", 550)]

        # Whoever stands at the box locks the others out.
        socket = road.folder / "gateway.sock"
        await asyncio.to_thread(lambda: list(call(socket, "control-lock", reason="pump open")))
        assert await refusal(two, wish()) == "HG-6522"
        await asyncio.to_thread(lambda: list(call(socket, "control-unlock")))

        # Two race for one device: one gets it and the other is told.
        ids = [each.draft(wish()).command for each in (one, two)]
        raced: list[Any] = await asyncio.gather(
            one.select(ids[0]), two.select(ids[1]), return_exceptions=True
        )
        lost = [each for each in raced if isinstance(each, CommandRefused)]
        assert [each.gateway_code for each in lost] == ["HG-6523"]
        winner, command = (one, ids[0]) if raced[1] in lost else (two, ids[1])
        await winner.operate(command)
        assert (await winner.settled(command, PATIENCE_S)).done
        loser, other = (two, ids[1]) if winner is one else (one, ids[0])
        assert loser.standing(other).stage is Stage.ANSWERED
        assert loser.standing(other).moved is False
        assert road.writes()[2:] == [("pump2_run", 1)]
