"""Fire alarm transmitters dial a whole gateway: what is confirmed, what is raised, who is refused."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from kit.dialled import stored
from kit.fire import ADDRESS, AT, Panel, alarms, component, sent, site

from headgate.model import Alarm
from headgate_drivers.gb26875.frames import Command, Frame, encode, stamp_of
from headgate_drivers.gb26875.items import Message, Part, State

VECTORS = {
    each["name"]: bytes.fromhex(each["hex"])
    for each in json.loads(
        (Path(__file__).parents[2] / "vectors" / "protocols" / "gb26875.json").read_text()
    )["vectors"]
}
#: Its maker leaves the source address out, and writes its own as the target.
FIRE = VECTORS["real_cmd2_type2_68"]
GAS = VECTORS["gas_analog_25_3_LEL"]


async def test_a_fire_is_confirmed_with_its_serial_and_raised_with_its_place(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port, 1108152157446)
    async with here.running():
        panel = await Panel.to(port)
        panel.send(FIRE[:9])  # noise of a modem before it
        panel.send(FIRE)
        answer = await panel.answer()
        assert (answer.command, answer.serial) == (Command.ACK, 0)
        assert (answer.source, answer.target) == (1108152157446, 0)
        assert answer.adu == b""
        panel.close()
    (fire,) = [each for each in here.stored() if isinstance(each, Alarm) and each.active]
    assert fire.code == "fire/component/1.3.000600D9"
    assert fire.severity == 1000
    assert "Ａ区１层呷哺走廊" in fire.text
    own = datetime(2020, 8, 1, 19, 18, 48, tzinfo=ZoneInfo("Asia/Shanghai"))
    (event,) = [(v, t) for p, v, t in stored(here) if p == "event"]
    assert json.loads(event[0])["bits"] == ["fire"]
    assert event[1] == round(own.timestamp() * 1e6)


async def test_an_alarm_is_on_disk_before_it_is_confirmed_and_raised_once_however_often_it_comes(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    fire = sent(7, component(1, 0b11))
    async with here.running():
        panel = await Panel.to(port)
        for _ in range(3):
            panel.send(fire)
            assert (await panel.answer()).serial == 7
        panel.close()
        again = await Panel.to(port)
        again.send(fire + sent(8, component(2, 0b11)))
        assert {(await again.answer()).serial for _ in range(2)} == {7, 8}
        again.send(sent(9, component(1, 0b1)))
        await again.answer()
        again.close()
    raised = [each for each in alarms(here) if each[0].startswith("fire/")]
    assert raised == [
        ("fire/component/1.1.00000001", True),
        ("fire/component/1.1.00000002", True),
        ("fire/component/1.1.00000001", False),
    ]
    assert [v for p, v, _ in stored(here) if p == "fires"] == [1.0, 2.0, 1.0]


async def test_a_restart_knows_a_resend_and_tells_that_a_fire_is_over(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    fire = sent(7, component(1, 0b11))
    async with here.running():
        panel = await Panel.to(port)
        panel.send(fire)
        await panel.answer()
        panel.close()
    async with here.running():
        panel = await Panel.to(port)
        panel.send(fire)
        assert (await panel.answer()).command == Command.ACK
        panel.send(sent(8, component(1, 0b1)))
        await panel.answer()
        panel.close()
    raised = [each for each in alarms(here) if each[0].startswith("fire/")]
    assert raised == [("fire/component/1.1.00000001", True), ("fire/component/1.1.00000001", False)]


async def test_a_panel_that_is_reset_ends_what_its_components_said(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    async with here.running():
        panel = await Panel.to(port)
        panel.send(sent(1, component(1, 0b111)))
        await panel.answer()
        panel.send(sent(2, Message(1, 1, (State(Part(1, 1), 1 | 1 << 13, AT),))))
        await panel.answer()
        panel.close()
    ended = [code for code, active in alarms(here) if not active]
    assert {"fire/component/1.1.00000001", "fault/component/1.1.00000001"} <= set(ended)


async def test_fifty_components_at_once_are_each_raised_and_each_frame_confirmed(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    async with here.running():
        panel = await Panel.to(port)
        panel.send(b"".join(sent(n, component(n, 0b11)) for n in range(1, 51)))
        assert [(await panel.answer()).serial for _ in range(50)] == list(range(1, 51))
        panel.close()
    assert len([1 for code, active in alarms(here) if active and code.startswith("fire/")]) == 50


async def test_a_wrong_sum_is_denied_once_the_station_is_known(tmp_path: Path, port: int) -> None:
    here = site(tmp_path, port)
    async with here.running():
        panel = await Panel.to(port)
        panel.send(GAS)
        await panel.answer()
        spoilt = bytearray(sent(9, component(1, 0b11)))
        spoilt[40] ^= 1
        panel.send(bytes(spoilt))
        denied = await panel.answer()
        assert (denied.command, denied.serial) == (Command.DENY, 9)
        status = await here.status()
        assert status["channels"][0]["tally"]["bad-bad_checksum"] == 1
        panel.close()
    assert [code for code, active in alarms(here) if active] == []


async def test_a_transmitter_of_nobody_is_hung_up_on_and_shown(tmp_path: Path, port: int) -> None:
    here = site(tmp_path, port)
    async with here.running():
        stranger = await Panel.to(port)
        stranger.send(sent(1, component(1, 0b11), source=99))
        assert await stranger.hung_up()
        status = await here.until(lambda s: s["channels"][0]["tally"].get("refused-stranger"))
        assert status["channels"][0]["tally"]["refused-stranger"] == 1
        stranger.close()
    assert alarms(here) == []


async def test_an_answer_and_an_empty_unit_are_no_reason_to_answer_wrongly(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    async with here.running():
        panel = await Panel.to(port)
        panel.send(encode(Frame(5, (1, 2), stamp_of(AT), ADDRESS, 1, Command.ACK)))
        panel.send(sent(6, None))
        answer = await panel.answer()
        assert (answer.command, answer.serial) == (Command.ACK, 6)
        panel.close()
