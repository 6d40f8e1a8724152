"""Stations of SZY 206 on a call are asked and moved: what goes out, what reads back, what is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kit.dialled import SHANGHAI, Dialled, stored
from kit.dialled import site as site_of
from kit.running import Site

from headgate.cli.client import call
from headgate.env import ClockState, SystemClock, system_env
from headgate.errors import HeadgateError, ProtocolError
from headgate.model import Access
from headgate.sdk import DevicePoint, Point
from headgate.testing.channel import FakeChannel
from headgate.testing.devices import make_device
from headgate_drivers.szy206 import body
from headgate_drivers.szy206.codec import Codec
from headgate_drivers.szy206.driver import Szy206Driver
from headgate_drivers.szy206.frames import Afn, Frame
from headgate_drivers.szy206.replies import Centre
from headgate_drivers.szy206.switching import outcome
from headgate_simulators.szy206_stations import wire

A, B = "4207031100", "4207031200"
PROFILE = "generic/water-intake-station"
PASSWORD = "NAME_OF_NO_SECRET"
OPTIONS = f'options = {{ stations = {{ "{A}" = {{ password = "env:{PASSWORD}" }} }} }}'
TP = bytes.fromhex("00301418072600")
JPEG = b"\xff\xd8\xff\xe0" + bytes(1500) + b"\xff\xd9"


class Trusted(SystemClock):
    def wall_state(self) -> tuple[ClockState, int | None]:
        return "synced", 1000


def up(afn: int, data: str | bytes, kind: int = 0, address: str = A) -> bytes:
    raw = bytes.fromhex(data) if isinstance(data, str) else data
    return wire.frame(wire.up(kind, 3), bytes.fromhex(address), afn, raw)


def alive(address: str = A) -> bytes:
    return up(Afn.LINK, "F2", address=address)


class Station(Dialled[Frame]):
    """A station's end of a call."""

    codec = Codec

    async def asked(self, afn: int) -> Frame:
        """The next question; what else it is told is passed over."""
        while (told := await self.answer()).afn in (Afn.LINK, Afn.REPORT):
            pass
        assert told.afn == afn
        return told


class Here:
    """A gateway with two intakes, of which it may move the first, and whoever stands at the box."""

    def __init__(self, folder: Path, port: int, profile: str = PROFILE) -> None:
        self.socket, self.port = folder / "gateway.sock", port
        stations = {"intake": A, "other": B}
        self.site: Site = site_of(folder, "szy206", port, stations, profile, options=OPTIONS)

    async def station(self, address: str = A) -> Station:
        station: Station = await Station.to(self.port)
        station.send(alive(address))
        ports: list[Any] = []
        while not any(address in str(port["on_line"]) for port in ports):
            ports = await asyncio.to_thread(lambda: list(call(self.socket, "stations")))
        return station

    def do(self, name: str, **arguments: Any) -> asyncio.Task[Any]:
        """One call of the local API, beside what the station does meanwhile."""
        return asyncio.create_task(
            asyncio.to_thread(lambda: next(call(self.socket, name, **arguments)))
        )

    def write(self, point: str, value: Any, device: str = "intake") -> asyncio.Task[Any]:
        return self.do("write", device=device, point=point, value=value, confirmed=True)

    def ask(self, errand: str, *arguments: str, **more: Any) -> asyncio.Task[Any]:
        return self.do("ask", device="intake", errand=errand, arguments=list(arguments), **more)


@pytest.fixture
def here(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setenv(PASSWORD, "1234")
    return Here(tmp_path, port)


def rows(said: Mapping[str, Any]) -> dict[str, Any]:
    return {each["name"]: each["value"] for each in said["told"]}


# ---------------------------------------------------------------- moved

#: Point, value; function, data before the password; what is answered; what reads back.
WRITES = [
    ("pump_1", "on", 0x92, "01", "A1", True),
    ("pump_2", "off", 0x93, "02", "A2", False),
    ("valve_1", "on", 0x92, "f1", "A1", True),
    ("quota", 25000, 0x34, "0050020000", "0050020000", 25000),
    ("quota_control", "off", 0x33, "", "5A", False),
    ("work_mode", 1, 0x12, "01", "01", 1),
]


@pytest.mark.timeout(60)
async def test_pumps_valves_quota_and_mode_are_written_once_with_the_password(here: Here) -> None:
    async with here.site.running():
        station = await here.station()
        for point, value, afn, data, answer, back in WRITES:
            writing = here.write(point, value)
            asked = await station.asked(afn)
            assert asked.data[:-9].hex() == data
            assert asked.data[-9:-7].hex() == "1234"
            assert (asked.up, asked.tries, asked.address) == (False, 3, A)
            station.send(up(afn, answer))
            done = await writing
            assert (done["back"], done["kept"]) == (back, True)
        station.close()
    told = {point: value for point, value, _ in stored(here.site)}
    assert {point: told[point] for point, *_ in WRITES} == {
        point: back for point, _, _, _, _, back in WRITES
    }


@pytest.mark.timeout(60)
async def test_what_was_not_done_or_may_not_be_is_told(here: Here) -> None:
    async with here.site.running():
        station = await here.station()
        writing = here.write("pump_1", "on")
        await station.asked(0x92)
        station.send(up(0x92, "A2"), up(0x92, "51"))  # of another pump; not done
        with pytest.raises(HeadgateError) as refused:
            await writing
        assert refused.value.code == "HG-3666"
        for point, value, code in (("quota", 10.5, "HG-3664"), ("work_mode", 1.5, "HG-3664")):
            with pytest.raises(HeadgateError) as refused:
                await here.write(point, value)
            assert refused.value.code == code
        other = await here.station(B)
        with pytest.raises(HeadgateError) as refused:
            await here.write("pump_1", "on", device="other")
        assert refused.value.code == "HG-3663"
        asking = here.ask("clock")
        await station.asked(0x51)  # the next that it hears: nothing was sent for those
        station.send(up(0x51, "301514120526"))
        assert rows(await asking)["clock"] == "2026-05-12T14:15:30"
        station.close()
        other.close()


# ---------------------------------------------------------------- asked


@pytest.mark.timeout(60)
async def test_its_parameters_state_events_and_store_are_read(here: Here) -> None:
    questions: list[tuple[tuple[str, ...], int, str, str, dict[str, Any]]] = [
        (("parameters", "address"), 0x50, "", A, {"address": A}),
        (("parameters", "remaining"), 0x56, "", "563412 7856000000",
         {"remaining_alarm": 123456, "remaining": 5678}),
        (("parameters", "flows"), 0x64, "", "9908000000 0100 2000", {"flow_high_1": 0.899}),
        (("state",), 0x5E, "", "0100 3000", {"alarms": "ac_power_fail", "states": "4 5"}),
        (("events",), 0x5D, "", "0100" + "0000" * 31, {"events_1": 1, "events_2": 0}),
        (("pump-motor",), 0x5F, "", "7c017d017e01050006000700", {"voltage_a": 380, "current_c": 7}),
        (("history", "total", "2016-12-22T00", "2016-12-22T02"), 0xB1,
         "210022121602221216", "210022121602221216" + "9200000000" * 18, {"total_18": 92}),
    ]  # fmt: skip
    async with here.site.running():
        station = await here.station()
        for said, afn, data, answer, expected in questions:
            asking = here.ask(*said)
            asked = await station.asked(afn)
            assert asked.data.hex() == data
            station.send(up(afn, answer))
            told = rows(await asking)
            assert {name: told[name] for name in expected} == expected
        for said in (("parameters", "all"), ("history", "rain", "1", "2")):
            with pytest.raises(HeadgateError) as refused:
                await here.ask(*said)
            assert refused.value.code == "HG-3655"
        station.close()


@pytest.mark.timeout(60)
async def test_values_now_are_stored_and_a_picture_when_it_is_whole(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, "1234")
    here = Here(tmp_path, port, "generic/water-resources-station")
    async with here.site.running():
        station = await here.station()
        asking = here.ask("now", "level")
        asked = await station.asked(0xB0)
        assert asked.kind == 2
        station.send(up(0xB0, wire.level(3.14) + bytes.fromhex("00002000"), kind=2))
        assert rows(await asking)["level_1"] == 3.14
        asking = here.ask("picture", "2")
        assert (await station.asked(0x61)).data == b"\x02"
        first = wire.picture_part(wire.up(0, 3), bytes.fromhex(A), JPEG[:1024], 2)
        last = wire.picture_part(wire.up(0, 3), bytes.fromhex(A), JPEG[1024:], 1)
        station.send(first)
        assert rows(await asking) == {"parts": 2}
        assert (await station.asked(0x61)).parts == 2
        station.send(last)
        assert (await station.asked(0x61)).parts == 1
        station.send(last)  # that was lost on its way
        assert (await station.asked(0x61)).parts == 1
        station.close()
    told = stored(here.site)
    assert [value for point, value, _ in told if point == "picture"] == [JPEG]
    assert [value for point, value, _ in told if point == "level_1"] == [3.14]


@pytest.mark.timeout(60)
async def test_its_clock_is_set_while_ours_is_trusted_and_only_then(here: Here) -> None:
    async with here.site.running():
        station = await here.station()
        with pytest.raises(HeadgateError) as refused:
            await here.ask("set-clock", confirmed=True)
        assert refused.value.code == "HG-3657"
        station.close()
    env = system_env()
    env.clock = Trusted()
    async with here.site.running(env):
        station = await here.station()
        asking = here.ask("set-clock", confirmed=True)
        asked = await station.asked(0x11)
        at = wire.clock_of(asked.data[:6]).replace(tzinfo=SHANGHAI)
        assert abs(at.timestamp() - time.time()) < 30
        station.send(up(0x11, asked.data))  # PW and Tp once more: stations in the field do
        told = rows(await asking)
        assert datetime.fromisoformat(told["clock"]) == at.replace(tzinfo=None)
        assert abs(told["off"]) < 30
        station.close()


# ---------------------------------------------------------------- a second centre


@pytest.mark.timeout(60)
async def test_what_stations_say_is_handed_on_as_it_came(tmp_path: Path, port: int) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def bureau(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            heard.put_nowait(data)
        writer.close()

    server = await asyncio.start_server(bureau, "127.0.0.1", 0)
    to = server.sockets[0].getsockname()[1]
    relay = f'options = {{ relay = {{ to = "tcp://127.0.0.1:{to}", answers = "none" }} }}'
    here = site_of(tmp_path, "szy206", port, {"intake": A}, PROFILE, options=relay)
    report = up(0xC0, wire.flow(5.9, 106182) + bytes.fromhex("00002000") + TP, kind=3)
    async with here.running(), asyncio.timeout(30):
        station: Station = await Station.to(port)
        station.send(alive(), report)
        got = b""
        while report not in got:
            got += await heard.get()
        assert got == alive() + report
        station.close()
    server.close()
    await server.wait_closed()
    assert ("flow_1", 5.9) in [(point, value) for point, value, _ in stored(here)]


# ---------------------------------------------------------------- what an answer says


@pytest.mark.parametrize(
    ("answer", "echoes", "done"),
    [("A1", False, True), ("F1", False, False), ("F1", True, True), ("F2", True, False),
     ("A2", True, False), ("01", True, False), ("A1" + "1234" + "0030141800", False, True)],
)  # fmt: skip
def test_a_valve_was_moved_where_the_answer_says_so_or_repeats_what_it_was_told(
    answer: str, echoes: bool, done: bool
) -> None:
    command = Centre(A, "1234").start(1, datetime(2026, 7, 18, 14, 30), valve=True)  # noqa: DTZ001
    (frame,) = Codec().feed(up(0x92, answer))
    assert isinstance(frame, Frame)
    said = outcome(command, body.read(frame), echoes=echoes)
    assert said == (("valve.1", True) if done else None)


class Echoing:
    """Questions of a station that answers with what it was told, as one without quirk `echoes`."""

    async def ask(self, channel: Any, device: Any, key: Any, data: bytes, **_: Any) -> Frame:
        (command,) = Codec().feed(data)
        assert isinstance(command, Frame)
        (frame,) = Codec().feed(up(command.afn, command.data[:1].hex()))
        assert isinstance(frame, Frame)
        return msgspec.structs.replace(frame, message=body.read(frame))


async def test_an_answer_that_does_not_say_done_is_no_refusal_the_pump_may_run() -> None:
    driver, line = Szy206Driver(), FakeChannel()
    pump = DevicePoint(Point("pump_1", "bool", access=Access.READ_WRITE), {"item": "pump.1"})
    device = make_device([pump], address=A)
    driver._calls[line] = ({"stations": {A: {"password": "1234"}}}, None)  # type: ignore[assignment]
    driver.questions = Echoing()  # type: ignore[assignment]
    with pytest.raises(ProtocolError) as unknown:
        await driver.write(line, device, "pump_1", True)
    assert unknown.value.code == "HG-3666"


def test_what_a_station_says_again_behind_its_limits_is_no_second_gauge() -> None:
    """As a terminal in the field answers 17: its limits, its password, its time (SZY 206)."""
    one = bytes.fromhex("00001000100020")
    for tail, gauges in (("12340030141800", 1), ("00001000100020", 2)):
        (frame,) = Codec().feed(up(0x17, one + bytes.fromhex(tail)))
        assert isinstance(frame, Frame)
        message = body.read(frame)
        assert message is not None
        assert len(message.values) == 3 * gauges
        assert message.password == ("1234" if gauges == 1 else "")
