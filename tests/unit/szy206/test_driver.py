"""Stations of SZY 206 dial a whole gateway: what is confirmed, what is stored, who is refused."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from kit.dialled import Dialled, Heard, everything, local_us, stored
from kit.dialled import site as site_of
from kit.running import Site

from headgate.env import ClockState, SystemClock, system_env
from headgate.model import Quality
from headgate_drivers.szy206 import body
from headgate_drivers.szy206.codec import Codec
from headgate_drivers.szy206.frames import Afn, Frame, Kind, encode
from headgate_drivers.szy206.items import ALIVE, LOG_IN, LOG_OUT, Label, Message, Value
from headgate_drivers.szy206.parts import Assembly
from headgate_drivers.szy206.replies import Centre, confirmation, label_of, wants_answer

VECTORS = {
    each["name"]: bytes.fromhex(each["hex"])
    for each in json.loads(
        (Path(__file__).parents[2] / "vectors" / "protocols" / "szy206.json").read_text()
    )["vectors"]
}
FLOW, RAIN = VECTORS["real_flow_report_35"], VECTORS["rain_0427"]
ADDRESS = "4207031100"
ZONE = ZoneInfo("Asia/Shanghai")
AT = Label(0, 30, 14, 18, 7, 26)


def site(
    folder: Path,
    port: int,
    address: str = ADDRESS,
    udp: str = "",
    profile: str = "generic/water-resources-station",
) -> Site:
    return site_of(folder, "szy206", port, {"intake": address}, profile, udp=udp)


class Station(Dialled[Frame]):
    """A station's end of a call."""

    codec = Codec


def level(value: float, *, tries: int = 3, label: Label | None = AT) -> bytes:
    empty = Frame(True, tries, Kind.LEVEL, ADDRESS, Afn.REPORT)
    told = Message((Value("level_1", value),), b"", 0, 0x20, label)
    data = body.write(empty, told) + (bytes([0xAA] * 7) if label is None else b"")
    return encode(Frame(True, tries, Kind.LEVEL, ADDRESS, Afn.REPORT, data))


def link(word: int) -> bytes:
    return encode(Frame(True, 3, Kind.ACK, ADDRESS, Afn.LINK, bytes([word])))


class Trusted(SystemClock):
    def wall_state(self) -> tuple[ClockState, int | None]:
        return "synced", 1000


async def test_a_report_is_stored_at_its_own_time_and_confirmed_with_our_clock(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    env = system_env()
    env.clock = Trusted()
    async with here.running(env):
        station = await Station.to(port)
        station.send(b"+IPD,26:" + RAIN)  # noise of a modem before it
        answer = await station.answer()
        assert (answer.up, answer.afn, answer.kind) == (False, Afn.REPORT, Kind.ACK)
        assert (answer.address, answer.tries) == (ADDRESS, 3)
        assert answer.message is not None
        assert answer.message.mode == 0
        told = answer.message.label
        assert told is not None
        assert told.at is not None
        assert abs(told.at - datetime.now(ZONE).replace(tzinfo=None)) < timedelta(minutes=5)
        station.close()
    assert ("rain", 68.5, local_us(2026, 7, 18, 14, 30)) in stored(here)


async def test_a_station_with_short_labels_is_answered_with_a_short_one(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port, "5303810D00")
    env = system_env()
    env.clock = Trusted()
    async with here.running(env):
        station = await Station.to(port)
        station.send(FLOW)
        answer = await station.answer()
        assert len(answer.data) == 1 + 5
        station.close()
    values = {p: (v, t) for p, v, t in stored(here)}
    assert values["flow_1"][0] == 5.9
    at = datetime.fromtimestamp((values["flow_1"][1] or 0) / 1e6, ZONE)
    assert (at.day, at.hour, at.minute) == (9, 8, 45)
    assert values["mains_failed"][0] is True


async def test_without_a_trusted_clock_a_station_gets_its_own_time_back(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    async with here.running():
        station = await Station.to(port)
        station.send(RAIN)
        answer = await station.answer()
        assert answer.message is not None
        assert answer.message.label == AT
        station.close()
    assert ("rain", 68.5, local_us(2026, 7, 18, 14, 30)) in stored(here)


async def test_link_tests_are_answered_in_kind_and_a_log_out_ends_the_call(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    async with here.running():
        station = await Station.to(port)
        for word in (LOG_IN, ALIVE):
            station.send(link(word))
            answer = await station.answer()
            assert (answer.afn, answer.data) == (Afn.LINK, bytes([word]))
        station.send(link(LOG_OUT))
        assert (await station.answer()).data == bytes([LOG_OUT])
        assert await station.hung_up()
        station.close()


async def test_what_is_sent_again_with_a_lower_count_is_stored_once_also_after_a_restart(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    async with here.running():
        station = await Station.to(port)
        for tries in (3, 2, 1):
            station.send(level(3.14, tries=tries))
            assert (await station.answer()).tries == tries
        station.close()
    async with here.running():
        station = await Station.to(port)
        station.send(level(3.14, tries=2) + level(3.15, label=Label(0, 35, 14, 18, 7, 26)))
        assert {(await station.answer()).tries for _ in range(2)} == {2, 3}
        station.close()
    assert [v for p, v, _ in stored(here) if p == "level_1"] == [3.14, 3.15]


async def test_reports_without_a_time_are_not_taken_for_each_other(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    async with here.running():
        station = await Station.to(port)
        for tries in (3, 2, 3):  # said, said again, and the same level an hour later
            station.send(level(3.14, tries=tries, label=None))
            await station.answer()
        station.close()
    assert [v for p, v, _ in stored(here) if p == "level_1"] == [3.14, 3.14]


async def test_a_wrong_check_is_not_answered_and_the_next_report_is(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, port)
    async with here.running():
        station = await Station.to(port)
        spoilt = bytearray(level(1.0))
        spoilt[12] ^= 1
        station.send(bytes(spoilt) + level(2.0, tries=2))
        assert (await station.answer()).tries == 2
        status = await here.status()
        assert status["channels"][0]["tally"]["bad-bad_checksum"] == 1
        station.close()
    assert [v for p, v, _ in stored(here) if p == "level_1"] == [2.0]


async def test_a_station_of_nobody_is_hung_up_on_and_shown(tmp_path: Path, port: int) -> None:
    here = site(tmp_path, port)
    async with here.running():
        stranger = await Station.to(port)
        stranger.send(FLOW)
        assert await stranger.hung_up()
        status = await here.until(lambda s: s["channels"][0]["tally"].get("refused-stranger"))
        assert status["channels"][0]["tally"]["refused-stranger"] == 1
        stranger.close()
    assert stored(here) == []


async def test_datagrams_are_confirmed_too(tmp_path: Path, port: int) -> None:
    here = site(tmp_path, port, udp="+udp")

    async with here.running():
        await here.until(lambda s: s["channels"][0]["state"] == "up")
        transport, station = await Heard.to(port)
        transport.sendto(RAIN)
        async with asyncio.timeout(30):
            (answer,) = Codec().feed(await station.data.get())
        assert isinstance(answer, Frame)
        assert answer.afn == Afn.REPORT
        transport.close()


@pytest.mark.parametrize(("lone", "quality"), [(True, Quality.UNCERTAIN), (False, Quality.GOOD)])
async def test_the_last_part_of_a_report_alone_vouches_for_no_value(
    tmp_path: Path, port: int, lone: bool, quality: Quality
) -> None:
    here = site(tmp_path, port)
    (whole,) = Codec().feed(level(21.5))
    assert isinstance(whole, Frame)
    parts = [] if lone else [msgspec.structs.replace(whole, parts=2, data=whole.data[:2])]
    parts += [msgspec.structs.replace(whole, parts=1, data=whole.data[2 * (not lone) :])]
    async with here.running():
        station = await Station.to(port)
        for each in parts:
            station.send(encode(each))
            assert (await station.answer()).parts == each.parts
        station.close()
    ((value, told),) = [(r.value, r.quality) for r in everything(here) if r.point == "level_1"]
    assert (value, told) == (21.5, quality)


# ---------------------------------------------------------------- pictures, and what a centre says


def part(number: int, data: bytes, address: str = ADDRESS) -> Frame:
    return Frame(True, 3, Kind.ACK, address, Afn.PICTURE, data, number, picture=True)


def test_a_picture_is_whole_once_all_its_parts_are_there() -> None:
    pieces = Assembly()
    assert pieces.add(part(3, b"\xff\xd8 one")) is None
    assert pieces.add(part(1, b"three")) is None
    assert pieces.add(part(3, b"\xff\xd8 one")) is None  # sent again
    whole = [b"\xff\xd8 one", b"two ", b"three"]
    assert pieces.add(part(2, b"two ")) == whole
    assert pieces.size == 0
    assert pieces.add(part(1, b"three")) == whole  # its confirmation was lost
    assert pieces.add(part(2, b"other")) is None


def test_a_picture_that_never_ends_is_not_kept() -> None:
    pieces = Assembly(most_bytes=100)
    for number in range(200, 1, -1):
        assert pieces.add(part(number, b"x" * 30)) is None
        assert pieces.size <= 100


def test_a_confirmation_holds_the_working_mode_and_the_time() -> None:
    (report,) = Codec().feed(RAIN)
    assert isinstance(report, Frame)
    assert report.message is not None
    answer = confirmation(report, Label(1, 30, 14, 18, 7, 26))
    assert encode(answer) == VECTORS["ack_downlink_0427"]


def test_only_what_a_station_begins_is_confirmed() -> None:
    (report,) = Codec().feed(RAIN)
    (down,) = Codec().feed(VECTORS["ack_downlink_0427"])
    (alive,) = Codec().feed(VECTORS["link_login"])
    assert isinstance(report, Frame)
    assert isinstance(down, Frame)
    assert isinstance(alive, Frame)
    assert [wants_answer(each) for each in (report, down, alive)] == [True, False, True]


def test_commands_carry_a_password_and_the_time() -> None:
    at = datetime(2026, 7, 18, 14, 30)  # noqa: DTZ001
    centre = Centre(ADDRESS, "1234")
    for frame in (
        centre.ask_values(Kind.LEVEL),
        centre.ask(Afn.ASK_CLOCK),
        centre.set_mode(1, at),
        centre.start(2, at),
        centre.stop(2, at, valve=True),
    ):
        (read,) = Codec().feed(encode(frame))
        assert isinstance(read, Frame)
        assert (read.up, read.afn, read.data) == (False, frame.afn, frame.data)
    assert centre.stop(2, at, valve=True).data == bytes.fromhex("F2 1234 00301418072600")
    with pytest.raises(ValueError, match="password"):
        Centre(ADDRESS).start(1, at)
    assert label_of(at, long=False) == Label(0, 30, 14, 18)
