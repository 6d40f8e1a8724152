"""Stations of SL 651 dial a whole gateway: what is confirmed, what is stored, who is refused."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kit.dialled import Dialled, Heard, local_us, stored
from kit.dialled import site as site_of
from kit.running import Site

from headgate_drivers.sl651.codec import Codec
from headgate_drivers.sl651.fields import Function
from headgate_drivers.sl651.frames import Control, Direction, Fault, Frame, encode
from headgate_drivers.sl651.replies import Centre

VECTORS = {
    each["name"]: each
    for each in json.loads(
        (Path(__file__).parents[2] / "vectors" / "protocols" / "sl651.json").read_text()
    )["vectors"]
}
KEEP_ALIVE = bytes.fromhex(VECTORS["2F_keep_alive_up_1978"]["hex"])
TEST = bytes.fromhex(VECTORS["30_test_report_up_f0b6"]["hex"])
ADDED = bytes.fromhex(VECTORS["33_added_report_up_8e57"]["hex"])
HOURLY = bytes.fromhex(VECTORS["34_hour_report_up_069f"]["hex"])
PICTURE = [bytes.fromhex(each) for each in VECTORS["36_picture_13_packets_in_order"]["packets"]]


def site(folder: Path, *addresses: str, port: int, udp: str = "") -> Site:
    stations = {f"st-{address}": address for address in addresses}
    return site_of(folder, "sl651", port, stations, "generic/hydrological-station", udp=udp)


class Station(Dialled[Frame]):
    """A station's end of a call."""

    codec = Codec


async def test_a_report_is_confirmed_with_its_function_and_serial_and_stored(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, "0011223344", port=port)
    async with here.running():
        station = await Station.to(port)
        station.send(KEEP_ALIVE[:5])  # noise of a DTU before it
        station.send(ADDED)
        answer = await station.answer()
        assert (answer.direction, answer.function) == (Direction.DOWN, Function.ADDED)
        assert (answer.address, answer.centre) == ("0011223344", 5)
        assert answer.message is not None
        assert answer.message.serial == 38
        assert answer.end == Control.ESC
        station.close()
    at = local_us(2017, 7, 18, 10, 22)
    values = {(p, v, t) for p, v, t in stored(here) if p != "clock_off"}
    assert values == {
        ("water_level", 10.49, at), ("rain_now", 4.0, at), ("rain_total", 4.0, at),
        ("battery", 11.02, at),
    }  # fmt: skip


async def test_an_hour_of_slots_becomes_a_reading_for_each_at_its_own_time(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, "0011223344", port=port)
    async with here.running():
        station = await Station.to(port)
        station.send(HOURLY)
        await station.answer()
        station.close()
    rain = {t: v for p, v, t in stored(here) if p == "rain_5min"}
    slots = [0.5, 0.0, 0.0, 0.0, 2.0, None, None, None, None, None, 0.0, 0.0]
    begin = local_us(2017, 7, 18, 10, 5)
    assert rain == {
        begin + k * 300_000_000: value for k, value in enumerate(slots) if value is not None
    }


async def test_glued_split_and_repeated_reports_are_each_confirmed_and_stored_once(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, "0011223344", port=port)
    async with here.running():
        station = await Station.to(port)
        station.send(ADDED + HOURLY)
        assert {(await station.answer()).function for _ in range(2)} == {0x33, 0x34}
        for byte in ADDED:
            station.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await station.answer()).function == 0x33
        station.close()
        # The confirmation was lost with the line: the station dials again, and says it again.
        again = await Station.to(port)
        again.send(HOURLY)
        assert (await again.answer()).function == 0x34
        again.close()
    levels = [v for p, v, _ in stored(here) if p == "water_level"]
    assert levels == [10.49, 10.49]  # of the added report, and of the hourly one


async def test_a_wrong_frame_is_not_answered_and_the_next_one_is(tmp_path: Path, port: int) -> None:
    here = site(tmp_path, "0011223344", port=port)
    async with here.running():
        station = await Station.to(port)
        spoilt = bytearray(ADDED)
        spoilt[30] ^= 1
        station.send(bytes(spoilt))
        station.send(HOURLY)
        assert (await station.answer()).function == 0x34
        status = await here.status()
        (line,) = status["channels"]
        assert line["tally"]["bad-bad_checksum"] == 1
        station.close()


async def test_a_station_of_nobody_is_hung_up_on_and_shown(tmp_path: Path, port: int) -> None:
    here = site(tmp_path, "0011223344", port=port)
    async with here.running():
        stranger = await Station.to(port)
        stranger.send(TEST)
        assert await stranger.hung_up()
        status = await here.until(lambda s: s["channels"][0]["tally"].get("refused-stranger"))
        assert status["channels"][0]["tally"]["refused-stranger"] == 1
        stranger.close()
    assert stored(here) == []


async def test_a_picture_in_packets_is_confirmed_once_and_a_lost_packet_asked_for(
    tmp_path: Path, port: int
) -> None:
    first = next(f for f in Codec().feed(PICTURE[0]) if not isinstance(f, Fault))
    here = site(tmp_path, first.address, port=port)
    async with here.running():
        station = await Station.to(port)
        for number, packet in enumerate(PICTURE):
            if number != 4:
                station.send(packet)
        asked = await station.answer()
        assert (asked.end, asked.number) == (Control.NAK, 5)
        station.send(PICTURE[4])
        done = await station.answer()
        assert done.end in (Control.ESC, Control.EOT)
        assert (done.total, done.number) == (len(PICTURE), len(PICTURE))
        station.close()
    (picture,) = [v for p, v, _ in stored(here) if p == "picture"]
    assert picture[:2] == b"\xff\xd8"
    assert b"\xff\xd9" in picture[-8:]  # the end of a JPEG, and what its maker added


async def test_datagrams_are_confirmed_too(tmp_path: Path, port: int) -> None:
    here = site(tmp_path, "0011223344", port=port, udp="+udp")

    async with here.running():
        await here.until(lambda s: s["channels"][0]["state"] == "up")
        transport, station = await Heard.to(port)
        transport.sendto(ADDED)
        async with asyncio.timeout(30):
            (answer,) = Codec().feed(await station.data.get())
        assert isinstance(answer, Frame)
        assert answer.function == 0x33
        transport.close()


def test_what_a_centre_begins_is_a_frame_that_a_station_reads() -> None:
    frame = Centre(1, "0012345678", "1234").set_clock(datetime(2026, 7, 1, 8, 0, 0))  # noqa: DTZ001
    (read,) = Codec().feed(encode(frame))
    assert isinstance(read, Frame)
    assert (read.function, read.direction) == (Function.SET_CLOCK, Direction.DOWN)


async def test_a_station_on_line_is_asked_now_and_one_that_is_not_is_said_to_be_away(
    tmp_path: Path, port: int
) -> None:
    from headgate.cli.client import call
    from headgate.errors import HeadgateError

    here = site(tmp_path, "0011223344", port=port)

    def read() -> Any:
        return next(call(tmp_path / "gateway.sock", "read", device="st-0011223344"))

    async with here.running():
        with pytest.raises(HeadgateError) as away:
            await asyncio.to_thread(read)
        assert away.value.code == "HG-3606"
        station = await Station.to(port)
        station.send(ADDED)
        await station.answer()
        asking = asyncio.create_task(asyncio.to_thread(read))
        question = await station.answer()
        assert (question.function, question.end) == (Function.ASK_NOW, Control.ENQ)
        assert (question.centre, question.address) == (5, "0011223344")
        said = next(f for f in Codec().feed(ADDED) if isinstance(f, Frame))
        asked = msgspec.structs.replace(said, function=Function.ASK_NOW, message=None)
        station.send(encode(asked))
        look = await asking
        station.close()
    assert {r["point"]: r["value"] for r in look["readings"] if r["quality"] == 0}[
        "water_level"
    ] == 10.49
    assert {way for way, _ in look["frames"]} == {"sent", "received"}
    levels = [v for p, v, _ in stored(here) if p == "water_level"]
    assert levels == [10.49, 10.49]  # the report, and the answer


def test_a_repetition_that_is_stamped_anew_is_the_same_report_and_another_look_is_not() -> None:
    from headgate_drivers.sl651.talk import identity

    def name(data: bytes) -> bytes:
        frame = next(f for f in Codec().feed(data) if isinstance(f, Frame))
        assert frame.message is not None
        return identity(frame, frame.message)

    frame = next(f for f in Codec().feed(ADDED) if isinstance(f, Frame))
    later = frame.body[:2] + bytes.fromhex("170718102259") + frame.body[8:]
    other = frame.body[:2] + frame.body[2:8] + frame.body[8:-1] + b"\x07"
    resent = encode(msgspec.structs.replace(frame, body=later))
    changed = encode(msgspec.structs.replace(frame, body=other))
    assert name(ADDED) == name(resent)
    assert name(ADDED) != name(changed)
    # Where nothing says when it was observed, the time of sending is all there is.
    bare = encode(msgspec.structs.replace(frame, body=frame.body[:8] + b"\x38\x12\x11\x02"))
    again = encode(msgspec.structs.replace(frame, body=later[:8] + b"\x38\x12\x11\x02"))
    assert name(bare) != name(again)
