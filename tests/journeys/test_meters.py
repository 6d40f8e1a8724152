"""Meters of every kind behind a whole road, a night and a morning; the meters are the judge."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

import pytest
from kit.command_station import carried_out
from kit.stairs import SECRET, MeterRoad, shift_to

from headgate.cli.client import call
from headgate.cli.demo.road import GATEWAY
from headgate.env import SystemClock
from headgate_receiver.commands import CommandRefused, Wish

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(180)]

SWITCH, WATER, GAS = "meter-004", "meter-006", "meter-010"
CONTROLS = f"""
[controls]
token = "60s"

[[control]]
device = "{SWITCH}"
point = "switched_on"
on_lease_end = "hold"
feedback = "switched_on"
feedback_within = "500ms"

[[control]]
device = "{WATER}"
point = "valve_closed"
on_lease_end = "hold"
feedback = "valve_closed"
feedback_within = "5s"
"""


def wish(device: str, point: str, value: bool) -> Wish:
    return Wish(GATEWAY, device, point, value, "1", 600)


def on(value: bool) -> Wish:
    return wish(SWITCH, "switched_on", value)


async def test_what_meters_said_is_stored_midnight_once_and_commands_move_what_they_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Just before the round of the new day, for whoever commands too.
    shift_s = shift_to(0, 4, 58)
    monkeypatch.setattr(SystemClock, "wall_us", lambda self: int((time.time() + shift_s) * 1e6))
    road = MeterRoad(
        tmp_path, "--count", "8", "--modbus", "2", "--at-once", "--echo", "--pty", str(tmp_path / "pair"),
        controls=CONTROLS, shift_s=shift_s, interval="2s",
    )  # fmt: skip
    async with road:
        three_phase = {d["id"] for d in road.devices if d["model"].endswith("meter-dlt645")}
        assert len(three_phase) == 1
        await road.until(
            lambda: (
                {d for d, *_ in road.points("frozen_import")} == three_phase
                and len(road.seen()) == len(road.devices)
            )
        )
        # ---- nothing is asked any more, and all that was said is stored as it was said
        await road.rest()
        await road.until_drained()
        await road.tell(flush=True)
        status, words = await road.verify("--format", "json", "--late", "60s")
        found = json.loads(words)

        assert (status, found["examples"]) == (0, {}), words
        assert found["counts"]["matched"] >= len(road.devices)
        # What midnight froze is stored once, and as of midnight.
        frozen = road.points("frozen_import")
        assert Counter(device for device, *_ in frozen) == dict.fromkeys(three_phase, 1)
        # A tenth of a second into the day, less what a clock fix is off.
        after_us = [at_us % 86_400_000_000 - 16 * 3_600_000_000 for _, at_us, *_ in frozen]
        assert all(80_000 <= us <= 120_000 for us in after_us), after_us

        # ---- the morning: the same field again, and somebody who commands
        await road.back("30s")
        async with road.operator() as commands:
            # The switch of a prepaid meter: a password, a time limit, and its relay read back.
            assert (await carried_out(commands, on(False))).done
            assert road.moves() == [(SWITCH, "switch", "1A", "done")]
            closed = await carried_out(commands, on(True))
            assert closed.done
            assert closed.last is not None
            assert closed.last.value is True
            assert road.moves()[1:] == [(SWITCH, "switch", "1C", "done")]

            # It says yes and does not move: nobody calls that done, nobody says it twice.
            await road.tell(fault="stuck", device=SWITCH, on=True)
            stuck = await carried_out(commands, on(False))
            assert (stuck.state, stuck.done) == ("failed", False)
            await road.tell(fault="stuck", device=SWITCH, on=False)
            # Moved, and the answer lost: unknown, once.
            await road.tell(fault="answer-lost", device=SWITCH, on=True)
            lost = await carried_out(commands, on(False))
            assert (lost.state, lost.moved) == ("unknown", None)
            await road.tell(fault="answer-lost", device=SWITCH, on=False)
            assert [move[3] for move in road.moves()[2:]] == ["stuck", "done"]

            # A valve.
            before = len(road.moves())
            assert (await carried_out(commands, wish(WATER, "valve_closed", True))).done
            assert (await carried_out(commands, wish(WATER, "valve_closed", False))).done
            valve = [(WATER, "valve", "99", "done"), (WATER, "valve", "55", "done")]
            assert road.moves()[before:] == valve

            # What is not on the list does not move.
            for device, point in ((GAS, "valve_closed"), ("meter-003", "relay_open")):
                with pytest.raises(CommandRefused):
                    await carried_out(commands, wish(device, point, True))
            assert road.moves()[before:] == valve
        assert road.clocks() == []  # nobody has asked for it
        said = "".join(str(s) for s in await asyncio.to_thread(list, call(road.socket, "status")))
    # The password is nowhere but where it was put.
    assert SECRET not in said
    assert await asyncio.to_thread(road.with_the_secret) == {road.secret_file}
