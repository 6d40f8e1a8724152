"""What a centre answers: repetitions, denials, commands of makers, a second centre, a wrong clock."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from kit.dialled import stored
from kit.fire import ADDRESS, AT, Panel, alarms, at_noon, component, sent, site

from headgate.model import Alarm, Quality
from headgate.testing.devices import make_device
from headgate_drivers.gb26875 import adu
from headgate_drivers.gb26875.codec import Codec
from headgate_drivers.gb26875.frames import Command, Fault, Frame, encode, stamp_of
from headgate_drivers.gb26875.items import Clock, Message, Operation, Part, State
from headgate_drivers.gb26875.points import Building, looks
from headgate_drivers.gb26875.replies import RESENDS

WATCHES = Message(21, 1, (State(None, 1, AT),))
FIRE = component(1, 0b11)


def said(
    serial: int, command: int, message: Message | None = None, at: datetime = AT, data: bytes = b""
) -> bytes:
    data = adu.write(message) if message is not None else data
    return encode(Frame(serial, (1, 2), stamp_of(at), ADDRESS, 1, command, data))


async def test_a_repetition_bears_another_time_of_sending_and_is_stored_once(
    tmp_path: Path, port: int
) -> None:
    """Table 1: the time in the head is that of sending; the serial number is the matter's."""
    here = site(tmp_path, port)
    async with here.running():
        panel = await Panel.to(port)
        for later in range(3):
            panel.send(said(7, Command.SEND_DATA, FIRE, AT + timedelta(seconds=10 * later)))
            assert (await panel.answer()).command == Command.ACK
        panel.close()
    assert [value for point, value, _ in stored(here) if point == "fires"] == [1.0]
    assert [code for code, active in alarms(here) if active] == ["fire/component/1.1.00000001"]


async def test_two_states_of_one_serial_number_are_two(tmp_path: Path, port: int) -> None:
    """A transmitter that was switched off begins to count anew."""
    here = site(tmp_path, port)
    async with here.running():
        panel = await Panel.to(port)
        for word, minute in ((0b11, 0), (0b01, 1)):
            at = AT + timedelta(minutes=minute)
            state = State(Part(1, 1, 42, 1), word, at, "x")
            panel.send(said(0, Command.SEND_DATA, Message(2, 1, (state,)), at))
            await panel.answer()
        panel.close()
    assert [value for point, value, _ in stored(here) if point == "fires"] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (lambda raw: raw[:40] + bytes([raw[40] ^ 1]) + raw[41:], "bad-bad_checksum"),
        (lambda raw: raw[:-2] + b"#\x13", "bad-bad_end"),
        (lambda raw: raw[:24] + b"\x01\x04" + raw[26:], "bad-bad_length"),
    ],
)
async def test_each_check_that_fails_is_denied_with_its_serial_number(
    tmp_path: Path, port: int, broken: object, fault: str
) -> None:
    here = site(tmp_path, port)
    async with here.running():
        panel = await Panel.to(port)
        panel.send(said(1, Command.SEND_DATA, WATCHES))
        await panel.answer()
        assert callable(broken)
        panel.send(broken(said(2, Command.SEND_DATA, FIRE)))
        denied = await panel.answer()
        assert (denied.command, denied.serial, denied.target) == (Command.DENY, 2, ADDRESS)
        panel.send(said(2, Command.SEND_DATA, FIRE))
        assert (await panel.answer()).command == Command.ACK
        assert (await here.status())["channels"][0]["tally"][fault] >= 1
        panel.close()
    assert len([code for code, active in alarms(here) if active]) == 1


async def test_a_command_that_is_reserved_is_denied_and_one_of_a_maker_is_kept_in_silence(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    async with here.running():
        panel = await Panel.to(port)
        for command in (0, 7, 127, Command.REQUEST):
            panel.send(said(command, command, data=b"\x01\x02"))
            denied = await panel.answer()
            assert (denied.command, denied.serial) == (Command.DENY, command)
        panel.send(said(9, 0xFE, data=b"\xca\xfe"), said(10, Command.SEND_DATA, WATCHES))
        answer = await panel.answer()
        assert (answer.command, answer.serial) == (Command.ACK, 10)
        panel.close()
    (raw,) = [json.loads(value) for point, value, _ in stored(here) if point == "raw"]
    assert raw == {"command": 0xFE, "data": "CAFE"}


async def test_objects_that_do_not_fit_are_told_confirmed_and_no_reason_to_hang_up(
    tmp_path: Path, port: int
) -> None:
    """A handshake of one byte, every twenty seconds, is all that some transmitters say for days."""
    here = site(tmp_path, port)
    async with here.running():
        panel = await Panel.to(port)
        for serial in range(40):
            panel.send(said(serial, Command.SEND_DATA, data=b"\x16"))
            assert (await panel.answer()).command == Command.ACK
        assert (await here.status())["channels"][0]["tally"]["bad-bad_field"] == 40
        panel.close()


async def test_a_panel_that_somebody_reset_ends_what_its_components_said(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    reset = Message(4, 1, (Operation(Part(1, 1), 1, 7, AT),))
    elsewhere = Message(2, 1, (State(Part(1, 2, 42, 1), 0b11, AT, "B座"),))
    async with here.running():
        panel = await Panel.to(port)
        for serial, message in enumerate((FIRE, elsewhere, reset)):
            panel.send(said(serial, Command.SEND_DATA, message))
            await panel.answer()
        panel.close()
    fires = [(code, on) for code, on in alarms(here) if code.startswith("fire/")]
    assert fires == [
        ("fire/component/1.1.00000001", True),
        ("fire/component/1.2.00000001", True),
        ("fire/component/1.1.00000001", False),
    ]
    assert [value for point, value, _ in stored(here) if point == "fires"] == [1.0, 2.0, 1.0]


async def test_what_is_shielded_is_an_alarm_that_no_reset_and_no_restart_ends(
    tmp_path: Path, port: int
) -> None:
    """A detector that somebody took out of service sees no fire; it is forgotten for years."""
    here = site(tmp_path, port)
    reset = Message(4, 1, (Operation(Part(1, 1), 1, 7, AT),))
    for first, messages in ((1, (component(1, 0b1001), component(2, 0b1))), (3, (reset,))):
        async with here.running():
            panel = await Panel.to(port)
            for serial, message in enumerate((*messages, WATCHES), first * 10):
                panel.send(said(serial, Command.SEND_DATA, message))
                await panel.answer()
            panel.close()
    shielded = [each for each in alarms(here) if each[0].startswith("shielded/component")]
    assert shielded == [("shielded/component/1.1.00000001", True)]
    told = [value for point, value, _ in stored(here) if point == "shielded"]
    assert told == [1.0] * 5


def test_points_of_parts_that_a_reset_ends_are_told_with_it() -> None:
    """It names none of them; a point of one would say for good that it burns."""
    device, building = make_device([], name="panel", address=str(ADDRESS)), Building()
    names = {f"component.1.1.0000000{part}.1": f"smoke_{part}" for part in (1, 2)}
    names["component.1.2.00000001.1"] = "elsewhere"
    for fire in (FIRE, Message(2, 1, (State(Part(1, 2, 42, 1), 0b11, AT, "B座"),))):
        building.alarms(device, fire, 1)
    reset = Message(4, 1, (Operation(Part(1, 1), 1, 7, AT),))
    building.alarms(device, reset, 2)
    (look,) = looks(reset, names, building)
    assert look == (AT, {"smoke_1": (False, Quality.GOOD, 0)})
    building.alarms(device, reset, 3)  # nothing is left that it could end
    assert looks(reset, names, building) == []


async def test_a_reset_of_long_ago_that_was_asked_for_ends_nothing(
    tmp_path: Path, port: int
) -> None:
    """Clauses 8.3.2.4, 8.3.2.10: records of what was done, not what happens now."""
    here = site(tmp_path, port)
    reset = Message(4, 1, (Operation(Part(1, 1), 1, 7, AT),))
    async with here.running():
        panel = await Panel.to(port)
        for serial, command, message in ((1, 2, FIRE), (0, 5, reset), (2, 2, WATCHES)):
            panel.send(said(serial, command, message))
        assert [(await panel.answer()).serial for _ in range(2)] == [1, 2]
        panel.close()
    assert [each for each in alarms(here) if each[0].startswith("fire/component")] == [
        ("fire/component/1.1.00000001", True)
    ]


async def test_a_reset_after_a_restart_ends_what_was_raised_before_it(
    tmp_path: Path, port: int
) -> None:
    """A reset names none of the components that it ends."""
    here = site(tmp_path, port)
    told = [component(1, 0b11), component(2, 0b11), component(3, 0b101)]
    async with here.running():
        panel = await Panel.to(port)
        for serial, message in enumerate(told):
            panel.send(said(serial, Command.SEND_DATA, message))
            await panel.answer()
        panel.close()
    async with here.running():
        panel = await Panel.to(port)
        panel.send(said(3, Command.SEND_DATA, WATCHES))
        await panel.answer()
        panel.send(said(4, Command.SEND_DATA, Message(4, 1, (Operation(Part(1, 1), 1, 7, AT),))))
        await panel.answer()
        panel.close()
    found = [(code, on) for code, on in alarms(here) if on or "component" in code]
    names = [f"fire/component/1.1.0000000{n}" for n in (1, 2)] + ["fault/component/1.1.00000003"]
    assert [each for each in found if each[1]] == [(name, True) for name in names]
    assert found[-3:] == [(name, False) for name in names]
    # What it said before is counted, too.
    fires = [value for point, value, _ in stored(here) if point == "fires"]
    assert fires == [1.0, 2.0, 2.0, 2.0, 0.0]


async def test_an_alarm_names_what_kind_of_part_it_is_in_the_words_of_the_standard(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    async with here.running():
        panel = await Panel.to(port)
        panel.send(said(1, Command.SEND_DATA, FIRE))
        await panel.answer()
        panel.close()
    (fire,) = [each for each in here.stored() if isinstance(each, Alarm) and each.active]
    assert fire.text == "component/1.1.00000001 点型光电感烟火灾探测器 3层走廊"


def profile_with(folder: Path, quirk: str) -> Path:
    """The panels' profile under another name, with one quirk changed."""
    text = (Path(str(files("headgate_profiles"))) / "generic/fire-panel/profile.toml").read_text()
    key = quirk.partition(" =")[0]
    kept = [line for line in text.splitlines() if not line.startswith(f"{key} =")]
    kept.insert(kept.index("[quirks]") + 1, quirk)
    at = folder / "profiles" / "test" / "panel"
    at.mkdir(parents=True)
    said = "\n".join(kept).replace('"generic"', '"test"').replace('"fire-panel"', '"panel"')
    (at / "profile.toml").write_text(said)
    return folder / "profiles"


async def test_a_clock_that_is_wrong_is_set_until_it_confirms(tmp_path: Path, port: int) -> None:
    profiles = profile_with(tmp_path, "set_clock = true")
    here = site(tmp_path, port, profile="test/panel")
    async with here.running(at_noon(), [profiles]):
        panel = await Panel.to(port)
        numbers = set()
        for serial in range(RESENDS + 3):
            panel.send(said(serial, Command.SEND_DATA, component(serial, 1)))
            assert (await panel.answer()).serial == serial
            if serial < 2:  # it does not hear the first
                setting = await panel.answer()
                assert setting.command == Command.CONTROL
                assert setting.message is not None
                (clock,) = setting.message.items
                assert isinstance(clock, Clock)
                assert clock.at is not None
                assert clock.at.date().isoformat() == "2026-07-19"
                numbers.add(setting.serial)
                if serial == 1:
                    panel.send(said(setting.serial, Command.ACK))
        assert numbers == {0}
        panel.close()


async def test_a_command_of_a_maker_is_confirmed_where_the_profile_says_so(
    tmp_path: Path, port: int
) -> None:
    profiles = profile_with(tmp_path, "confirm_own = true")
    here = site(tmp_path, port, profile="test/panel")
    async with here.running(profiles=[profiles]):
        panel = await Panel.to(port)
        panel.send(said(3, 0xFE))
        answer = await panel.answer()
        assert (answer.command, answer.serial) == (Command.ACK, 3)
        panel.close()


class Second:
    """A second centre, which confirms or does not."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._calls: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Second:
        self._server = await asyncio.start_server(self._call, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for call in self._calls:
            call.close()
        await self._server.wait_closed()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        codec = Codec()
        self._calls.add(writer)
        while data := await reader.read(4096):
            for found in codec.feed(data):
                frame = found.frame if isinstance(found, Fault) else found
                assert frame is not None, found
                self.frames.put_nowait(frame)
                if self.answers:
                    ack = Frame(
                        frame.serial, (1, 1), frame.stamp, frame.target, frame.source, Command.ACK
                    )
                    writer.write(encode(ack))
        writer.close()
        self._calls.discard(writer)

    async def frame(self) -> Frame:
        async with asyncio.timeout(30):
            return await self.frames.get()


async def test_what_it_says_goes_on_to_a_second_centre_as_it_came(
    tmp_path: Path, port: int
) -> None:
    async with Second(answers=True) as second:
        relay = f'options = {{ relay = {{ to = "tcp://127.0.0.1:{second.port}" }} }}'
        here = site(tmp_path, port, options=relay)
        told = [
            said(1, Command.SEND_DATA, FIRE),
            said(2, Command.ACK),  # to something that we said: no concern of the second centre
            said(3, 0xFE, data=b"\x01"),
            said(4, Command.SEND_DATA, data=b"\x16"),  # with a flaw: its sum is right
        ]
        async with here.running():
            panel = await Panel.to(port)
            panel.send(*told)
            assert [(await panel.answer()).serial for _ in range(2)] == [1, 4]
            went = [encode(await second.frame()) for _ in range(3)]
            panel.close()
    assert went == [told[0], told[2], told[3]]


async def test_a_second_centre_that_says_nothing_keeps_no_confirmation_back(
    tmp_path: Path, port: int
) -> None:
    async with Second(answers=False) as second:
        relay = (
            f'options = {{ relay = {{ to = "tcp://127.0.0.1:{second.port}", timeout_s = 0.2 }} }}'
        )
        here = site(tmp_path, port, options=relay)
        async with here.running():
            panel = await Panel.to(port)
            panel.send(sent(1, FIRE))
            assert (await panel.answer()).serial == 1
            # It is said again there, as clause 6.5 has it.
            assert [(await second.frame()).serial for _ in range(2)] == [1, 1]
            panel.close()
    assert len([code for code, active in alarms(here) if active]) == 1
