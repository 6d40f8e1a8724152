"""Simulated meters: what they obey, what they keep of it, and what a look of theirs is."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from headgate_simulators.cli import app
from headgate_simulators.meters import KINDS, Stairs, StairsPlan, stairwell
from headgate_simulators.meters.electricity import DELIVERED_WITH, Switched, ThreePhase
from headgate_simulators.meters.looks import Looks
from headgate_simulators.meters.metered import HeatUnitFirst, Water
from headgate_simulators.meters.wire import Asked, bcd, moment, requests_in, signed
from headgate_simulators.pytest import StairsMaker
from headgate_simulators.truth import TruthList
from headgate_simulators.world import World

AT = 1_790_000_000.0
WORLD = World(7, AT - 86_400)


def told(meter: Any) -> list[dict[str, Any]]:
    """What is kept of commands."""
    kept: list[dict[str, Any]] = []
    meter.note = kept.append
    return kept


def switch(command: int, until: datetime, secret: str = DELIVERED_WITH) -> bytes:
    raw = bytes.fromhex(secret)
    return raw[:1] + raw[:0:-1] + bytes(4) + bytes([command, 0]) + moment(until, *"SMHdmy")


def order(meter: Any, data: bytes, control: int = 0x1C) -> Asked:
    return Asked("dlt645", meter.address, control, data)


def test_a_switch_obeys_its_password_until_the_command_is_void() -> None:
    meter = Switched(4, WORLD)
    log, now = told(meter), meter.local(AT)
    later, before = now + timedelta(minutes=5), now - timedelta(seconds=1)
    refused = [
        meter.answer(order(meter, data), AT)
        for data in (switch(0x1A, later, "02999999"), switch(0x1A, before), switch(0x77, later), b"\x02")
    ]  # fmt: skip
    assert [said.raw[8] for said in refused if said] == [0xDC] * 4
    assert not meter.tripped
    for command, tripped in ((0x1A, True), (0x1B, True)):
        said = meter.answer(order(meter, switch(command, later)), AT)
        assert said is not None
        assert (said.raw[8], meter.tripped) == (0x9C, tripped)
    meter.press()  # it was permitted
    assert not meter.tripped
    meter.wrong["stuck"] = 0.0
    assert meter.answer(order(meter, switch(0x1A, later)), AT) is not None
    assert not meter.tripped
    assert [line["outcome"] for line in log] == [
        "refused: password", "refused: void", "refused: unknown", "malformed", "done", "done", "stuck",
    ]  # fmt: skip


def test_a_clock_takes_the_time_once_a_day_and_not_from_far_away() -> None:
    meter = ThreePhase(2, WORLD)
    meter.wrong["clock"] = 75.0
    log = told(meter)

    def broadcast(at: datetime, t: float) -> None:
        everybody = Asked("dlt645", "9" * 12, 0x08, moment(at, *"SMHdmy"))
        assert meter.answer(everybody, t) is None

    right = datetime.fromtimestamp(AT, meter.zone)
    broadcast(right + timedelta(seconds=400), AT)
    broadcast(right, AT)
    assert abs((meter.local(AT) - right).total_seconds()) < 1
    broadcast(right + timedelta(seconds=90), AT + 60)
    meter.answer(Asked("dlt645", "9" * 12, 0x08, b"\xff" * 6), AT)
    assert [line["outcome"] for line in log] == ["ignored", "done", "ignored", "malformed"]
    broadcast(right + timedelta(days=1, seconds=30), AT + 86_400)
    assert log[-1]["outcome"] == "done"


def test_a_valve_that_is_told_nonsense_says_so() -> None:
    meter = Water(6, WORLD)
    log = told(meter)
    said = meter.answer(Asked("cjt188", meter.address, 0x04, bytes.fromhex("17a00166"), 0x10), AT)
    assert said is not None
    assert (said.raw[9], log[0]["outcome"], meter.closed) == (0xC4, "malformed", False)
    assert meter.answer(Asked("cjt188", meter.address, 0x04, bytes.fromhex("17a00199"), 0x10), AT)
    assert meter.closed


def test_what_midnight_froze_stands_still_for_a_day() -> None:
    meter = ThreePhase(2, WORLD)
    midnight = meter.midnight(AT)
    assert meter.local(midnight).strftime("%H:%M:%S") == "00:00:00"
    ask = Asked("dlt645", meter.address, 0x11, bytes.fromhex("01010605"))
    first, later = meter.answer(ask, AT), meter.answer(ask, AT + 3600)
    assert first == later
    assert meter.answer(ask, midnight - 1) != first


def test_a_look_is_whole_when_every_point_was_told_and_its_last_answer_may_come_twice() -> None:
    at, meter, kept = [AT], Switched(4, WORLD), TruthList()
    looks = Looks(kept.write, lambda: at[0])
    parts: list[dict[str, Any]] = [{point: 1.0} for point in sorted(meter.points)]
    for part in [
        *parts,
        {next(iter(parts[-1])): 2.0},
    ]:  # the last was lost on its way, and asked for again
        looks.told(AT, meter, part)
    for part in parts[:2]:  # somebody gave up
        looks.told(AT, meter, part)
    for part in parts:
        looks.told(AT, meter, part)
    looks.flush(older_s=0)
    assert [line["sample"] for line in kept.looks()] == [1, 2]
    assert [set(line["values"].values()) for line in kept.looks()] == [{1.0, 2.0}, {1.0}]
    # All in one answer: each is a look.
    one = HeatUnitFirst(9, WORLD)
    for _ in range(3):
        looks.told(AT, one, one.values(AT))
    looks.flush()
    assert len(kept.looks(one.id)) == 2  # the newest may be asked for again
    at[0] += 3
    looks.flush()
    assert len(kept.looks(one.id)) == 3


def test_digits_stand_as_the_standards_have_them() -> None:
    assert (bcd(1234, 3).hex(), signed(-1234, 3).hex(), signed(1234, 3).hex()) == (
        "341200", "341280", "341200",
    )  # fmt: skip
    request = bytes.fromhex("68aaaaaaaaaaaa681300df16")
    (asked,), left = requests_in(b"\xfe\x00\x68" + request)
    assert (asked.address, asked.control, left) == ("A" * 12, 0x13, b"")
    assert requests_in(request[:-1]) == ([], request[:-1])


@pytest.mark.parametrize(
    ("plan", "words"),
    [({"count": 0}, "1 to 240"), ({"kinds": ("steam",)}, "electricity-1997"),
     ({"faults": ("meter-001:tired",)}, "wrong-checksum"),
     ({"faults": ("meter-099:silent",)}, "there is none")],
)  # fmt: skip
def test_what_cannot_be_is_said_before_anything_runs(plan: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Stairs(StairsPlan(**plan), TruthList())


def test_on_the_command_line_too() -> None:
    result = CliRunner().invoke(app, ["meters", "--kind", "steam"])
    assert result.exit_code == 2
    assert "electricity-1997" in result.output


def test_kinds_come_in_turn_and_modbus_units_first() -> None:
    found = stairwell(WORLD, StairsPlan(count=9, modbus=2))
    assert [meter.id for meter in found][:3] == ["meter-001", "meter-002", "meter-003"]
    assert [type(meter) for meter in found[2:]] == [*KINDS.values(), KINDS["electricity"]]


def test_a_stairwell_for_a_test(meters: StairsMaker, tmp_path: Path) -> None:
    stairs = meters(count=2, modbus=1, echo=True, path=tmp_path / "pair")
    assert stairs.device("meter-002")["model"] == "generic/electricity-meter-dlt645"
    site = stairs.site("5min", "file:/run/meter.secret")
    assert 'line = "9600 8N1"' in site
    assert '"000000000003" = { password = "file:/run/meter.secret" }' in site
    assert DELIVERED_WITH not in site
    stairs.fault("meter-002", "clock", 30)
    assert stairs.meters["meter-002"].wrong == {"clock": 30}
    stairs.fault("*", "clock", on=False)
    stairs.command(echo=False)
    stairs.command(press="meter-003")
    stairs.command(flush=True)
    with pytest.raises(ValueError, match="silent"):
        stairs.command(nonsense=1)
    assert isinstance(stairs.truth, TruthList)
    assert stairs.truth.looks() == []
