"""Stages joined into one step: in order, for the devices that are meant, alarms untouched."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headgate.model import Alarm, Block
from headgate.runtime.pipeline import step_for
from headgate.sdk import Device, Stage, Step
from headgate.testing import make_device

BLOCK = Block(1, bytes(32), 0, slot=1)
ALARM = Alarm(1, "p", "high", 1, True, 0)
DEVICE = make_device(name="gauge-7")


class Do(Stage):
    name = "do"

    def __init__(self, what: str) -> None:
        super().__init__({})
        self.what = what

    def step(self, device: Device) -> Step | None:
        def step(block: Block) -> Sequence[Block | Alarm]:
            assert isinstance(block, Block), "alarms are said, not filtered"
            if self.what == "drop":
                return ()
            if self.what == "alarm":
                return (block, ALARM)
            if self.what == "twice":
                return (block, block)
            return (msgspec.structs.replace(block, slot=(block.slot or 0) * 10 + int(self.what)),)

        return None if self.what == "none" else step


def result(*stages: tuple[str, str]) -> list[Block | Alarm] | None:
    step = step_for([((pattern,), Do(what)) for pattern, what in stages], DEVICE)
    return None if step is None else list(step(BLOCK))


def test_no_stage_for_a_device_is_no_step_at_all() -> None:
    assert result() is None
    assert result(("pump-*", "drop"), ("GAUGE-7", "drop"), ("*", "none")) is None


def test_steps_run_in_the_order_of_the_site_file() -> None:
    got = result(("*", "2"), ("gauge-*", "3"), ("pump-*", "drop"), ("gauge-7", "4"))
    assert got == [msgspec.structs.replace(BLOCK, slot=1234)]


def test_an_alarm_survives_a_later_step_that_drops_its_block() -> None:
    assert result(("*", "alarm"), ("*", "drop")) == [ALARM]
    assert result(("*", "drop"), ("*", "alarm")) == []


def test_what_one_step_multiplies_the_next_one_sees_each() -> None:
    assert result(("*", "twice"), ("*", "alarm")) == [BLOCK, ALARM, BLOCK, ALARM]
