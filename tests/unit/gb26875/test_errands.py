"""A transmitter on a call is asked: what it answers is shown and stored, a denial and silence are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from kit.dialled import stored
from kit.fire import ADDRESS, AT, Panel, alarms, at_noon, sent, site
from kit.running import Site

from headgate.cli.client import call
from headgate.errors import DeviceRefused, HeadgateError
from headgate.messages import say
from headgate.model import Event
from headgate.sdk import Device
from headgate.testing.devices import make_device
from headgate_drivers.gb26875 import adu
from headgate_drivers.gb26875.errands import ERRANDS, asked
from headgate_drivers.gb26875.frames import Command, Frame, encode, stamp_of
from headgate_drivers.gb26875.items import (
    Analogue,
    Ask,
    Clock,
    Configuration,
    Item,
    Message,
    Operation,
    Order,
    Part,
    State,
    Version,
)
from headgate_drivers.gb26875.replies import RESENDS

PANEL: Device = make_device([], name="panel", address=str(ADDRESS))
NOON = datetime(2026, 7, 19, 12)  # noqa: DTZ001
WATCHES = Message(21, 1, (State(None, 1, AT),))
SMOKE, HYDRANT = Part(1, 1, 42, 0xD9), Part(11, 1, 91, 5)


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "items"),
    [
        ("state", {}, 81, (Ask(None),)),
        ("state", {"part": "1.1 1.2"}, 61, (Ask(Part(1, 1)), Ask(Part(1, 2)))),
        ("state", {"part": "1.1.000000d9"}, 62, (Ask(Part(1, 1, None, 0xD9)),)),
        ("values", {"part": "11.1.00000005"}, 63, (Ask(Part(11, 1, None, 5)),)),
        ("system-operations", {"system": "1.1", "count": "5"}, 64,
         (Ask(Part(1, 1), 5, datetime(2026, 7, 18, 12)),)),  # noqa: DTZ001
        ("version", {"system": "1.1"}, 65, (Ask(Part(1, 1)),)),
        ("configuration", {"part": "1.1"}, 66, (Ask(Part(1, 1)),)),
        ("configuration", {"part": "1.1.000000D9"}, 67, (Ask(Part(1, 1, None, 0xD9)),)),
        ("clock", {"system": "1.1"}, 68, (Ask(Part(1, 1)),)),
        ("operations", {"since": "2026-07-01T08:00"}, 84,
         (Ask(None, 20, datetime(2026, 7, 1, 8)),)),  # noqa: DTZ001
        ("version", {}, 85, (Ask(None),)),
        ("configuration", {}, 86, (Ask(None),)),
        ("clock", {}, 88, (Ask(None),)),
        ("set-clock", {}, 90, (Clock(None, NOON),)),
        ("guard", {"minutes": "10"}, 91, (Order(10),)),
    ],
)  # fmt: skip
def test_each_question_of_the_standard_is_said_as_it_has_it(
    name: str, arguments: dict[str, str], kind: int, items: tuple[Item, ...]
) -> None:
    matter = asked(PANEL, name, arguments, NOON)
    assert matter.message == Message(kind, len(items), items)
    assert matter.command == (Command.CONTROL if kind >= 90 else Command.REQUEST)
    adu.write(matter.message)


def test_everything_that_a_centre_may_ask_is_offered_but_to_begin_anew() -> None:
    said = {
        asked(PANEL, name, arguments, NOON).message.type
        for name, arguments in [
            *((name, {"minutes": "1"}) for name in ("guard", "set-clock", "operations")),
            ("system-operations", {"system": "1.1"}), ("values", {"part": "1.1.00000001"}),
            *((name, {"system": "1.1"}) for name in ("version", "clock")),
            *((name, {"part": part}) for name in ("state", "configuration")
              for part in ("1.1", "1.1.00000001")),
            *((name, {}) for name in ("state", "version", "configuration", "clock")),
        ]
    }  # fmt: skip
    assert said == {*range(61, 69), 81, 84, 85, 86, 88, 90, 91}
    for errand in ERRANDS.values():
        assert say(errand.about, "zh") != say(errand.about, "en")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("state", {"part": "1"}),
        ("state", {"part": "1.1 1.1.00000001"}),
        ("state", {"part": "256.1"}),
        ("values", {"part": "1.1"}),
        ("values", {"part": " ".join(["1.1.00000001"] * 64)}),
        ("version", {"system": "1.1.00000001"}),
        ("guard", {"minutes": "0"}),
        ("guard", {"minutes": "256"}),
        ("operations", {"count": "103"}),
        ("operations", {"since": "yesterday"}),
    ],
)
def test_an_argument_that_is_none_is_refused_before_anything_is_sent(
    name: str, arguments: dict[str, str]
) -> None:
    with pytest.raises(DeviceRefused) as refused:
        asked(PANEL, name, arguments, NOON)
    assert refused.value.code == "HG-3655"


def test_a_clock_is_not_set_by_one_that_is_not_trusted() -> None:
    with pytest.raises(DeviceRefused) as refused:
        asked(PANEL, "set-clock", {}, None)
    assert refused.value.code == "HG-3657"


class Desk:
    """Somebody at the box who asks, while the transmitter answers as it is told to."""

    def __init__(self, here: Site, panel: Panel) -> None:
        self._here, self._panel = here, panel

    def ask(self, errand: str, *words: str) -> asyncio.Task[Any]:
        socket = self._here.folder / "gateway.sock"
        request = {"device": "panel", "errand": errand, "arguments": list(words), "confirmed": True}
        return asyncio.create_task(asyncio.to_thread(lambda: next(call(socket, "ask", **request))))

    async def question(self) -> Frame:
        """What the transmitter is asked."""
        return await self._panel.answer()

    def answer(self, question: Frame, command: int, message: Message | None = None) -> None:
        data = b"" if message is None else adu.write(message)
        frame = Frame(
            question.serial, (1, 2), stamp_of(AT), ADDRESS, question.source, command, data
        )
        self._panel.send(encode(frame))


async def at_desk(tmp_path: Path, port: int, work: Callable[[Desk, Panel], Any]) -> Site:
    here = site(tmp_path, port)
    async with here.running(at_noon()):
        panel = await Panel.to(port)
        panel.send(sent(1, WATCHES))
        await panel.answer()
        await work(Desk(here, panel), panel)
        panel.close()
    return here


async def test_what_it_answers_is_shown_and_stored_and_a_fire_in_it_is_raised(
    tmp_path: Path, port: int
) -> None:
    async def work(desk: Desk, panel: Panel) -> None:
        asking = desk.ask("state", "1.1.000000D9")
        question = await desk.question()
        assert (question.command, question.serial) == (Command.REQUEST, 0)
        assert question.sent_at is not None
        assert question.sent_at.date().isoformat() == "2026-07-19"
        assert question.message == Message(62, 1, (Ask(Part(1, 1, None, 0xD9)),))
        desk.answer(question, Command.REPLY, Message(2, 1, (State(SMOKE, 0b11, AT, "3层"),)))
        said = await asking
        assert said["told"] == [
            {
                "name": "component/1.1.000000D9", "value": "normal fire  点型光电感烟火灾探测器 3层",
                "unit": "", "at": "2026-07-18T14:30:15",
            }
        ]  # fmt: skip
        assert [way for way, _ in said["frames"]] == ["sent", "received"]
        asking = desk.ask("values", "11.1.00000005")
        question = await desk.question()
        assert question.serial == 1
        desk.answer(question, Command.REPLY, Message(3, 1, (Analogue(HYDRANT, 5, 3500, AT),)))
        (told,) = (await asking)["told"]
        assert (told["name"], told["value"], told["unit"]) == (
            "component/11.1.00000005 pressure_kpa", 350.0, "kPa",
        )  # fmt: skip

    here = await at_desk(tmp_path, port, work)
    assert ("fire/component/1.1.000000D9", True) in alarms(here)
    events = [json.loads(value) for point, value, _ in stored(here) if point == "event"]
    assert {"value": 350.0}.items() <= events[-1].items()
    asked_of = [item for item in here.stored() if isinstance(item, Event)]
    assert [e.fields["errand"] for e in asked_of if e.kind == "station-asked"] == [
        "state", "values",
    ]  # fmt: skip


async def test_a_control_is_confirmed_and_answers_of_other_kinds_are_read(
    tmp_path: Path, port: int
) -> None:
    async def work(desk: Desk, panel: Panel) -> None:
        answers: list[tuple[str, Message, list[Any]]] = [
            ("version", Message(25, 1, (Version(None, 3, 1),)), ["3.1"]),
            ("configuration", Message(26, 1, (Configuration(None, "主机房"),)), ["主机房"]),
            ("clock", Message(28, 1, (Clock(None, AT),)), ["2026-07-18T14:30:15"]),
            ("operations", Message(24, 2, (Operation(None, 32, 7, AT), Operation(None, 1, 7, AT))),
             ["guard_answer  operator 7", "reset  operator 7"]),
        ]  # fmt: skip
        for name, message, values in answers:
            asking = desk.ask(name)
            desk.answer(await desk.question(), Command.REPLY, message)
            assert [each["value"] for each in (await asking)["told"]] == values
        for name, words, kind in (("set-clock", (), 90), ("guard", ("10",), 91)):
            asking = desk.ask(name, *words)
            question = await desk.question()
            assert question.message is not None
            assert (question.command, question.message.type) == (Command.CONTROL, kind)
            desk.answer(question, Command.ACK)
            assert (await asking)["told"] == [
                {"name": "confirmed", "value": True, "unit": "", "at": ""}
            ]

    await at_desk(tmp_path, port, work)


async def test_a_denial_is_asked_again_three_times_with_one_serial_number_and_then_told(
    tmp_path: Path, port: int
) -> None:
    async def work(desk: Desk, panel: Panel) -> None:
        asking = desk.ask("version")
        serials = []
        for _ in range(1 + RESENDS):
            question = await desk.question()
            serials.append(question.serial)
            desk.answer(question, Command.DENY)
        with pytest.raises(HeadgateError) as refused:
            await asking
        assert refused.value.code == "HG-3672"
        assert serials == [0, 0, 0, 0]

    await at_desk(tmp_path, port, work)


async def test_silence_is_asked_again_and_a_late_answer_to_it_is_taken(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate_drivers.gb26875.driver.ANSWER_S", 0.2)

    async def work(desk: Desk, panel: Panel) -> None:
        asking = desk.ask("version")
        first, again = await desk.question(), await desk.question()
        assert first.serial == again.serial == 0
        # An alarm in between goes its own way.
        panel.send(sent(9, Message(2, 1, (State(SMOKE, 0b11, AT),))))
        while (answer := await panel.answer()).command != Command.ACK:
            pass
        assert answer.serial == 9
        desk.answer(first, Command.REPLY, Message(25, 1, (Version(None, 2, 4),)))
        assert [each["value"] for each in (await asking)["told"]] == ["2.4"]
        asking = desk.ask("clock")
        with pytest.raises(HeadgateError) as silent:
            await asking
        assert silent.value.code == "HG-3673"

    await at_desk(tmp_path, port, work)


async def test_a_transmitter_that_is_on_no_call_is_refused_before_anything_is_sent(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    async with here.running():
        socket = here.folder / "gateway.sock"
        with pytest.raises(HeadgateError) as refused:
            await asyncio.to_thread(
                lambda: next(call(socket, "ask", device="panel", errand="version"))
            )
        assert refused.value.code == "HG-3650"
