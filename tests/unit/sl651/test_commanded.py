"""Stations of SL 651 on a call are asked and commanded: what goes out, what reads back, what is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kit.dialled import Dialled, stored
from kit.dialled import site as site_of
from kit.running import Site

from headgate.channels.listening import ListeningPort
from headgate.cli.client import call
from headgate.errors import DeviceRefused, HeadgateError
from headgate.runtime.commands.plant import FieldPlant
from headgate_drivers.sl651.codec import Codec
from headgate_drivers.sl651.fields import Function
from headgate_drivers.sl651.frames import Control, Frame
from headgate_simulators.sl651_stations import wire

ADDRESS = bytes.fromhex("0061512046")
ST, TIME = b"\xf1\xf1" + ADDRESS, bytes.fromhex("260718143005")
OBSERVED = b"\xf0\xf0" + TIME[:5]
PROFILE = "generic/pump-gate-station"


def up(function: int, body: bytes, serial: int = 7) -> bytes:
    return wire.up(16, ADDRESS, 0xA5C3, function, serial.to_bytes(2, "big") + TIME + body)


KEEP_ALIVE = up(0x2F, b"")


class Station(Dialled[Frame]):
    """A station's end of a call."""

    codec = Codec

    async def asked(self, function: int) -> Frame:
        """The next question; confirmations before it are passed over."""
        while (told := await self.answer()).end != Control.ENQ:
            pass
        assert told.function == function
        return told


class Here:
    """A gateway with one pump and gate station, and whoever stands at the box."""

    def __init__(self, folder: Path, port: int, profile: str = PROFILE) -> None:
        self.socket, self.port = folder / "gateway.sock", port
        self.site: Site = site_of(folder, "sl651", port, {"gate": "0061512046"}, profile)

    async def station(self) -> Station:
        station: Station = await Station.to(self.port)
        station.send(KEEP_ALIVE)
        ports: list[Any] = []
        while not any(port["on_line"] for port in ports):
            ports = await asyncio.to_thread(lambda: list(call(self.socket, "stations")))
        return station

    def do(self, name: str, **arguments: Any) -> asyncio.Task[Any]:
        """One call of the local API, beside what the station does meanwhile."""
        return asyncio.create_task(
            asyncio.to_thread(lambda: next(call(self.socket, name, **arguments)))
        )

    def write(self, point: str, value: Any) -> asyncio.Task[Any]:
        return self.do("write", device="gate", point=point, value=value, confirmed=True)

    def ask(self, errand: str, *arguments: str, **more: Any) -> asyncio.Task[Any]:
        return self.do("ask", device="gate", errand=errand, arguments=list(arguments), **more)


def rows(said: Mapping[str, Any]) -> dict[str, Any]:
    """Lines of an answer by name; of several at different times the last."""
    return {each["name"]: each["value"] for each in said["told"]}


SEVERAL = """
schema = 1
vendor = "acme"
model = "three-pumps"
title = "Three pumps, one by one"
driver = "sl651"
[quirks]
tells_switches = {tells}
[[point]]
name = "pump_2"
type = "bool"
item = "pump.2"
count = 3
access = "rw"
[[point]]
name = "gate_1"
unit = "cm"
type = "uint16"
item = "gate.1"
count = 2
range = [0, 300]
access = "rw"
"""


WRITES = [
    ("pumps", 5, 0x4C, "0105", b"\x01\x05", 5),
    ("valve", "on", 0x4D, "0101", b"\x01\x01", True),
    ("gate", 120, 0x4E, "01010120", b"\x01\x01\x01\x20", 120),
    ("gate", 0, 0x4E, "01000000", b"\x01\x00\x00\x00", 0),
    ("quota", "off", 0x4F, "00", b"\x00", False),
]


@pytest.mark.timeout(120)
async def test_pumps_valve_gate_and_quota_are_written_once_and_read_back_from_the_answer(
    tmp_path: Path, port: int
) -> None:
    here = Here(tmp_path, port)
    async with here.site.running():
        station = await here.station()
        for point, value, function, body, answer, back in WRITES:
            writing = here.write(point, value)
            asked = await station.asked(function)
            # Serial number 0: it is the centre that begins (clause 6.6.2.4); then 6 bytes of time.
            assert asked.body[:2] == b"\x00\x00"
            assert asked.body[8:].hex() == body
            assert (asked.centre, asked.address, asked.password) == (16, "0061512046", "A5C3")
            station.send(up(function, ST + answer))
            done = await writing
            assert (done["back"], done["kept"]) == (back, True)
            assert {way for way, _ in done["frames"]} == {"sent", "received"}
        station.close()
    told = {p: v for p, v, _ in stored(here.site)}
    assert told.items() >= {"pumps": 5, "pump_1": True, "pump_2": False, "pump_3": True,
                            "valve": True, "gate": 0, "gate_open": False, "quota": False}.items()  # fmt: skip


@pytest.mark.timeout(120)
async def test_a_command_that_the_station_does_not_follow_is_told_as_what_reads_back(
    tmp_path: Path, port: int
) -> None:
    here = Here(tmp_path, port)
    async with here.site.running():
        station = await here.station()
        writing = here.write("pumps", 3)
        await station.asked(0x4C)
        station.send(up(0x4C, ST + b"\x01\x01"))  # pump 2 is locked at its panel
        done = await writing
        assert (done["back"], done["kept"]) == (1, False)
        for point, value in (("pumps", 8), ("gate", 301), ("pump_1", 1), ("gate", -1)):
            with pytest.raises(HeadgateError) as refused:
                await here.write(point, value)
            assert refused.value.code.startswith("HG-914")
        asking = here.ask("version")
        await station.asked(0x45)  # the next that it hears: nothing was sent for those
        station.send(up(0x45, ST + b"\x02V1"))
        await asking
        station.close()


@pytest.mark.timeout(120)
async def test_a_station_that_answers_before_anything_has_moved_is_given_time_to_say_so(
    tmp_path: Path, port: int
) -> None:
    here = Here(tmp_path, port)
    async with here.site.running():
        station = await here.station()
        writing = here.write("pumps", 1)
        await station.asked(0x4C)
        station.send(up(0x4C, ST + b"\x01\x00"))
        await station.answer()  # the confirmation of that
        station.send(up(0x4C, ST + b"\x01\x01", serial=8))
        done = await writing
        assert (done["back"], done["kept"]) == (1, True)
        await station.answer()  # the confirmation of that
        # It hangs up before it says more: what it said counts, and not that nothing was sent.
        writing = here.write("pumps", 2)
        await station.asked(0x4C)
        station.send(up(0x4C, ST + b"\x01\x01", serial=9))
        station.close()
        done = await writing
        assert (done["back"], done["kept"]) == (1, False)


@pytest.mark.timeout(120)
async def test_before_a_command_a_station_is_asked_what_it_measures_now(
    tmp_path: Path, port: int
) -> None:
    folder = tmp_path / "profiles" / "acme" / "mute"
    folder.mkdir(parents=True)
    mute = SEVERAL.format(tells="false").replace('"three-pumps"', '"mute"')
    (folder / "profile.toml").write_text(mute.replace("[quirks]", "[quirks]\nasked = false"))
    here = Here(tmp_path, port)
    with (tmp_path / "site.d" / "gauges.toml").open("a") as site:
        site.write(
            '[[device]]\nid = "mute"\nchannel = "port"\naddress = "0061512047"\n'
            'profile = "acme/mute"\ninterval = "1h"\n'
        )
    async with here.site.running(profiles=[tmp_path / "profiles"]) as gateway:
        plant = FieldPlant(gateway._field, 20.0)
        station = await here.station()
        looking = asyncio.create_task(plant.look("gate"))
        await station.asked(0x37)
        body = ST + b"\x44" + OBSERVED + wire.element(0x3B, 3.215, 4, 3)
        station.send(up(0x37, body + wire.element(0x3A, None, 4, 3)))
        seen = await looking
        assert {name: r.value for name, r in seen.items() if name.startswith("level")} == {
            "level_inside": 3.215,  # of the other there is no good value
        }  # fmt: skip
        assert await plant.look("gate") is not None  # within two seconds nobody asks again
        assert await plant.look("mute") == {}  # nobody asks it, and it has said nothing
        station.close()
        while (await here.do("stations"))["on_line"]:
            pass
        with pytest.raises(HeadgateError) as away:
            await plant.look("gate")
        assert away.value.code == "HG-3606"


@pytest.mark.timeout(120)
async def test_an_answer_that_was_stored_by_an_earlier_start_is_fresh_all_the_same(
    tmp_path: Path, port: int
) -> None:
    here = Here(tmp_path, port)
    said = up(0x37, ST + b"\x44" + OBSERVED + wire.element(0x3B, 3.215, 4, 3))
    for _ in range(2):
        async with here.site.running() as gateway:
            plant = FieldPlant(gateway._field, 20.0)
            gateway._field.watch(["gate"])
            station = await here.station()
            looking = asyncio.create_task(plant.look("gate"))
            await station.asked(0x37)
            station.send(said)
            for seen in (await looking, await plant.look("gate")):  # the second one asks nobody
                assert seen["level_inside"].value == 3.215
            station.close()


@pytest.mark.timeout(120)
async def test_a_write_that_waits_behind_a_long_errand_is_refused_and_nothing_was_sent(
    tmp_path: Path, port: int
) -> None:
    here = Here(tmp_path, port)
    async with here.site.running() as gateway:
        station = await here.station()
        asking = here.ask("version")
        await station.asked(0x45)
        with pytest.raises(DeviceRefused) as refused:
            await FieldPlant(gateway._field, 0.05).write("gate", "gate", 120)
        assert refused.value.code == "HG-3695"
        station.send(up(0x45, ST + b"\x051.2.3"))
        await asking
        # The next question is the next write's, not the one that was refused.
        writing = here.write("valve", "on")
        await station.asked(0x4D)
        station.send(up(0x4D, ST + b"\x01\x01"))
        assert (await writing)["back"] is True
        station.close()


@pytest.mark.timeout(120)
async def test_on_no_call_it_is_refused_and_a_station_that_resets_leaves_it_unknown(
    tmp_path: Path, port: int
) -> None:
    here = Here(tmp_path, port)
    async with here.site.running():
        for refused_early in (here.write("gate", 10), here.ask("version")):
            with pytest.raises(HeadgateError) as refused:
                await refused_early
            assert refused.value.code == "HG-3650"
        station = await here.station()
        writing = here.write("gate", 10)
        await station.asked(0x4E)
        station.close()
        with pytest.raises(HeadgateError) as unknown:
            await writing
        assert unknown.value.code == "HG-3652"
        back = await here.station()
        asking = here.ask("clock")
        await back.asked(0x51)  # and not 4E once more
        back.send(up(0x51, ST))
        assert rows(await asking)["clock"] == "2026-07-18 14:30:05"
        back.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("tells", [True, False])
async def test_one_of_several_is_switched_only_where_the_station_tells_what_the_others_do(
    tmp_path: Path, port: int, tells: bool
) -> None:
    folder = tmp_path / "profiles" / "acme" / "three-pumps"
    folder.mkdir(parents=True)
    (folder / "profile.toml").write_text(SEVERAL.format(tells=str(tells).lower()))
    here = Here(tmp_path, port, "acme/three-pumps")
    async with here.site.running(profiles=[tmp_path / "profiles"]):
        station = await here.station()
        for point, value in (("pump_2", "on"), ("gate_1", 50)):
            with pytest.raises(HeadgateError) as unknown:
                await here.write(point, value)
            assert unknown.value.code == "HG-3792"
        for function, state in ((0x4C, b"\x01\x05"), (0x4E, b"\x02\x02\x00\x00\x01\x30")):
            station.send(up(function, ST + state))  # it says so by itself
            await station.answer()
        for point, value, function, body, answer in (
            ("pump_2", "on", 0x4C, "0107", b"\x01\x07"),
            ("gate_1", 50, 0x4E, "020300500130", b"\x02\x03\x00\x50\x01\x30"),
        ):
            writing = here.write(point, value)
            if tells:
                asked = await station.asked(function)
                assert asked.body[8:].hex() == body  # the others as they are
                station.send(up(function, ST + answer))
                assert (await writing)["kept"]
            else:
                with pytest.raises(HeadgateError) as refused:
                    await writing
                assert refused.value.code == "HG-3792"
        station.close()


LEVELS = wire.element(0x39, 3.215, 4, 3)
ANSWERS: list[tuple[list[str], int, str, bytes, dict[str, Any]]] = [
    (["now"], 0x37, "", ST + b"\x44" + OBSERVED + LEVELS, {"39 瞬时河道水位、潮位": 3.215}),
    (["elements", "Z", "20"], 0x3A, "39232019", ST + b"\x44" + OBSERVED + LEVELS,
     {"39 瞬时河道水位、潮位": 3.215}),
    (["history", "2026-07-18T08", "2026-07-18T10", "1h", "39"], 0x38,
     "260718082607181004180001003923",
     ST + b"\x44" + OBSERVED + bytes.fromhex("041800010039230000321500003300"),
     {"39 瞬时河道水位、潮位": 3.3}),
    (["history", "2026-07-18T08", "2026-07-18T09", "slots", "F4"], 0x38,
     "26071808260718090418000000f460",
     ST + b"\x44" + OBSERVED + bytes.fromhex("0418000000f4600500000000000000000000ff"),
     {"F4 DRP": None}),
    (["parameters", "04", "0C"], 0x41, "04000c08",
     ST + bytes.fromhex("0450022180941531720097080c0802"),
     {"04 中心站1主信道类型及地址": "IPv4 218.94.153.172:9708", "0C 工作方式": "2 自报确认"}),
    (["parameters", "28"], 0x43, "2823", ST + bytes.fromhex("282300010000"), {"28 水位基值1": 10}),
    (["pump-motor"], 0x44, "", ST + b"\x44" + OBSERVED + wire.element(0x70, 230.1, 2, 1),
     {"70 交流A相电压": 230.1}),
    (["version"], 0x45, "", ST + b"\x04V1.2", {"version": "V1.2"}),
    (["state"], 0x46, "", ST + b"\x45\x20\x00\x00\x04\x80",
     {"7 终端箱门状态": "关闭", "10 水泵工作状态": "水泵停机"}),
    (["events"], 0x50, "", ST + bytes([0, 3]) + bytes(62), {"ERC1 历史数据初始化": 3}),
    (["typed-in"], 0x39, "", b"\xf2\xf2Q 1.234", {"text": "Q 1.234"}),
    (["picture"], 0x36, "", ST + b"\x44" + OBSERVED + b"\xf3\xf3\xff\xd8\xff\xd9", {"picture": 4}),
]  # fmt: skip


@pytest.mark.timeout(120)
async def test_each_errand_asks_what_the_standard_has_for_it_and_shows_the_answer(
    tmp_path: Path, port: int
) -> None:
    here = Here(tmp_path, port)
    async with here.site.running():
        station = await here.station()
        for words, function, asks, answer, shown in ANSWERS:
            asking = here.ask(*words)
            question = await station.asked(function)
            assert question.body[8:].hex() == asks, words
            station.send(up(function, answer))
            said = await asking
            assert rows(said).items() >= shown.items(), words
            assert {way for way, _ in said["frames"]} == {"sent", "received"}
        listed = await here.do("ask", device="0061512046")  # by its address, too
        assert {"now", "history", "set-clock"} <= listed["errands"].keys()
        assert not {"reset", "clear", "password"} & listed["errands"].keys()
        station.close()
    events = [i for i in here.site.stored() if getattr(i, "kind", "") == "station-asked"]
    assert len(events) == len(ANSWERS)  # upstream, too
    assert events[7].fields["version"] == "V1.2"
    motors = [v for p, v, _ in stored(here.site) if p == "voltage_a"]
    assert motors == [230.1]  # measured values of an answer are readings as any


@pytest.mark.timeout(120)
async def test_what_an_answer_says_in_packets_is_one_answer(tmp_path: Path, port: int) -> None:
    here = Here(tmp_path, port)
    async with here.site.running():
        station = await here.station()
        asking = here.ask("picture")
        await station.asked(0x36)
        body = (7).to_bytes(2, "big") + TIME + ST + b"\x44" + OBSERVED + b"\xf3\xf3" + bytes(900)
        parts = [body[at : at + 400] for at in range(0, len(body), 400)]
        for number, part in enumerate(parts, 1):
            end = wire.ETX if number == len(parts) else wire.ETB
            station.send(wire.up(16, ADDRESS, 0xA5C3, 0x36, part, end, (len(parts), number)))
        assert rows(await asking) == {"picture": 900}
        station.close()


@pytest.mark.timeout(120)
async def test_the_clock_is_set_after_a_yes_and_twice_where_it_was_far_off(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted: list[int | None] = [None]
    monkeypatch.setattr(ListeningPort, "wall_us", lambda port: trusted[0])
    here = Here(tmp_path, port)
    async with here.site.running():
        station = await here.station()
        with pytest.raises(HeadgateError) as refused:
            await here.ask("set-clock", confirmed=True)
        assert refused.value.code == "HG-3657"  # nobody knows the time here
        trusted[0] = time.time_ns() // 1000
        assert (await here.ask("set-clock"))["asked"] is False
        setting = here.ask("set-clock", confirmed=True)
        first = await station.asked(0x4A)
        station.send(up(0x4A, ST))  # years behind, as its time of sending says
        second = await station.asked(0x4A)
        station.send(
            wire.up(16, ADDRESS, 0xA5C3, 0x4A, (8).to_bytes(2, "big") + second.body[2:8] + ST)
        )
        said = await setting
        assert first.function == second.function == Function.SET_CLOCK
        assert abs(rows(said)["off"]) < 60
        station.close()


@pytest.mark.parametrize(
    "words",
    [
        ["history", "yesterday", "2026-07-18T10", "1h", "39"],
        ["history", "2026-07-18T10", "2026-07-18T08", "1h", "39"],
        ["history", "2026-07-18T08", "2026-07-18T10", "1h", "F4"],
        ["history", "2026-07-18T08", "2026-07-18T10", "90min", "39"],
        ["history", "2006-07-18T08", "2026-07-18T10", "1min", "39"],
        ["elements", "ZZZ"],
        ["parameters", "03"],
        ["parameters", "98"],
    ],
)
@pytest.mark.timeout(120)
async def test_what_has_no_place_in_a_question_is_refused_before_it_is_sent(
    words: list[str],
) -> None:
    from headgate.errors import DeviceRefused
    from headgate.sdk.asking import arguments_of
    from headgate.testing.devices import make_device
    from headgate_drivers.sl651.errands import ERRANDS, frames
    from headgate_drivers.sl651.replies import Centre
    from headgate_drivers.sl651.talk import UNKNOWN

    said = arguments_of(ERRANDS[words[0]], words[1:])
    assert said is not None
    with pytest.raises(DeviceRefused) as refused:
        frames(Centre(1, "0061512046", "0000"), make_device(), words[0], said, UNKNOWN)
    assert refused.value.code == "HG-3655"
