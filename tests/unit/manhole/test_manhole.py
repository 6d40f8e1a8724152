"""Covers behind a concentrator: whole words only, alarms at once and once, sleep is not death."""

from __future__ import annotations

import binascii
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.columns import readings
from headgate.errors import ProfileError
from headgate.sdk import Alarm, Block, Device, DevicePoint, Point
from headgate.testing.channel import FakeChannel
from headgate.testing.devices import make_device
from headgate_drivers.manhole import ManholeDriver
from headgate_drivers.manhole.codec import LONGEST, Codec, acknowledgement, crc16, read

COLUMNS = {
    "cover_open": "bool", "water_high": "bool", "battery_low": "bool",
    "tilt": "u16", "level": "u16", "battery": "u16", "temperature": "i16", "rssi": "i16", "sample": "u32",
}  # fmt: skip


def cover(name: str = "cover-1", number: int = 1, address: str | int = "0012A3F4") -> Device:
    points = [DevicePoint(Point(item, kind), {"item": item}) for item, kind in COLUMNS.items()]  # type: ignore[arg-type]
    return make_device(points, name=name, number=number, address=address)


def word(
    flags: int | None = 0,
    *,
    address: int = 0x12A3F4,
    sequence: int = 1,
    kind: int = 1,
    rssi: int = -90,
    more: bytes = b"",
    whole: bool = True,
) -> bytes:
    """A frame as docs/reference/serial.md writes it, put together by hand."""
    items = b"" if flags is None else b"\x01\x02" + flags.to_bytes(2, "big")
    if whole:
        items += bytes.fromhex("02020007 0302012C 04020E10 0502FFCE 060400000005")
    body = address.to_bytes(4, "big") + bytes([sequence, kind]) + items + more
    body += rssi.to_bytes(1, "big", signed=True)
    frame = b"\x7e\x43" + bytes([len(body) + 2]) + body
    return frame + binascii.crc_hqx(frame, 0xFFFF).to_bytes(2, "big")


async def told(
    *said: bytes, devices: list[Device] | None = None
) -> tuple[list[Alarm | Block], FakeChannel]:
    line = FakeChannel(incoming=said)
    stream: AsyncIterator[Block | Alarm] = ManholeDriver().listen(line, devices or [cover()])
    return [item async for item in stream], line


def alarms(items: list[Alarm | Block]) -> list[tuple[str, bool]]:
    return [(each.code, each.active) for each in items if isinstance(each, Alarm)]


def values(block: Alarm | Block, device: Device) -> dict[str, object]:
    assert isinstance(block, Block)
    return {reading.point: reading.value for reading in readings(block, device.table)}


def test_the_crc_is_the_standard_library_s() -> None:
    assert crc16(b"123456789") == binascii.crc_hqx(b"123456789", 0xFFFF) == 0x29B1


async def test_a_heartbeat_brings_every_point() -> None:
    items, _ = await told(word())
    assert values(items[-1], cover()) == {
        "cover_open": False, "water_high": False, "battery_low": False, "tilt": 7, "level": 300,
        "battery": 3600, "temperature": -50, "rssi": -90, "sample": 5,
    }  # fmt: skip


async def test_an_opened_cover_is_an_alarm_before_it_is_a_block_and_is_acknowledged() -> None:
    opened = word(1, sequence=2, kind=2)
    items, line = await told(word(), opened)
    assert alarms(items[4:]) == [("cover-open", True)]
    assert isinstance(items[4], Alarm)
    assert isinstance(items[5], Block)
    (sent,) = line.sent
    assert sent[:2] == b"\x7e\x41"
    assert sent == acknowledgement(read(opened))  # type: ignore[arg-type]
    assert crc16(sent) == 0  # as every CRC over itself
    assert sent[3:8] == opened[3:8]


async def test_a_closed_cover_ends_its_alarm() -> None:
    items, _ = await told(word(1, kind=2), word(0, sequence=2))
    assert alarms(items)[-1] == ("cover-open", False)


async def test_the_first_word_tells_every_condition_so_that_none_stands_for_ever() -> None:
    items, _ = await told(word(2))
    assert alarms(items) == [("cover-open", False), ("water-high", True), ("battery-low", False)]


async def test_a_repetition_brings_nothing_and_is_acknowledged_again() -> None:
    first = word(1, kind=2, rssi=-90)
    again = word(1, kind=2, rssi=-97)
    items, line = await told(first, again, again)
    assert sum(isinstance(each, Block) for each in items) == 1
    assert len(line.sent) == 3


async def test_what_a_cover_does_not_say_is_not_spoken_of() -> None:
    items, _ = await told(word(1, whole=False, kind=2))
    assert set(values(items[-1], cover())) == {
        "cover_open", "water_high", "battery_low", "rssi",
    }  # fmt: skip


async def test_a_tag_of_a_newer_firmware_is_skipped() -> None:
    items, _ = await told(word(more=b"\x7f\x03abc"))
    assert values(items[-1], cover())["sample"] == 5


async def test_many_covers_behind_one_port_are_told_apart_and_a_stranger_left_alone() -> None:
    devices = [cover(f"cover-{n}", n, n) for n in (1, 2, 3)]
    items, _ = await told(
        word(address=2), word(address=9), word(address=3), word(address=1), devices=devices
    )
    assert [each.device for each in items if isinstance(each, Block)] == [2, 3, 1]


async def test_a_lost_line_does_not_forget_what_was_told() -> None:
    driver, device = ManholeDriver(), cover()
    async for _ in driver.listen(FakeChannel(incoming=[word(1)]), [device]):
        pass
    again = [x async for x in driver.listen(FakeChannel(incoming=[word(1, sequence=2)]), [device])]
    assert alarms(again) == []


@pytest.mark.parametrize("step", [1, 2, 7])
async def test_words_come_whole_however_they_are_cut_and_whatever_is_between(step: int) -> None:
    stream = (
        b"\x7e"
        + word()
        + b"\x7e\x43\xff\x01"
        + word(1, sequence=2)
        + b"noise"
        + word(0, sequence=3)
    )
    items, _ = await told(*(stream[at : at + step] for at in range(0, len(stream), step)))
    assert sum(isinstance(each, Block) for each in items) == 3


def test_a_damaged_word_is_never_a_word() -> None:
    frame = word(1)
    for at in range(len(frame)):
        for flip in (1, 0x80):
            codec = Codec()
            codec.feed(frame[:at] + bytes([frame[at] ^ flip]) + frame[at + 1 :])
            assert codec.events() == []


@pytest.mark.parametrize("items", ["0103000001", "0101", "01", "0102"])
def test_items_that_do_not_add_up_are_damage(items: str) -> None:
    assert read(word(None, whole=False, more=bytes.fromhex(items))) is None


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_whatever_comes_nothing_is_raised_and_little_is_kept(pieces: list[bytes]) -> None:
    codec = Codec()
    for piece in pieces:
        codec.feed(piece)
        codec.events()
        assert codec.waiting <= LONGEST


@given(st.binary(max_size=80), st.integers(1, 40))
def test_after_any_noise_the_second_word_is_understood(noise: bytes, step: int) -> None:
    stream = noise + word(0, sequence=1) + word(0, sequence=2) + word(0, sequence=3)
    codec = Codec()
    heard = []
    for at in range(0, len(stream), step):
        codec.feed(stream[at : at + step])
        heard += [each.sequence for each in codec.events()]
    assert heard[-2:] == [2, 3]


@pytest.mark.parametrize("address", ["cover", "123456789", -1, ""])
def test_an_address_that_is_none_is_told_before_anything_is_opened(address: str | int) -> None:
    with pytest.raises(ProfileError) as wrong:
        ManholeDriver().check(cover(address=address))
    assert [p.code for p in wrong.value.problems] == ["HG-3400"]


def test_a_point_of_another_type_is_told() -> None:
    device = make_device(
        [DevicePoint(Point("t", "f32"), {"item": "tilt"}), Point("x", "u16")], address=1
    )
    with pytest.raises(ProfileError) as wrong:
        ManholeDriver().check(device)
    assert [p.fields["key"] for p in wrong.value.problems] == ["type", "item"]
