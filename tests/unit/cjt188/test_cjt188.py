"""The CJ/T 188 driver: meters that lie, refuse, keep silent, or want their identifier reversed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headgate.columns import readings
from headgate.errors import ChannelTimeout, DeviceRefused, ProfileError, ProtocolError
from headgate.sdk import Device, DevicePoint, Point
from headgate.testing.channel import FakeChannel
from headgate.testing.devices import make_device
from headgate_drivers.cjt188 import Cjt188Driver
from headgate_drivers.cjt188.frames import Frame, encode
from headgate_drivers.cjt188.points import ITEMS

PATH = Path(__file__).parents[2] / "vectors" / "protocols" / "cjt188.json"
VECTORS: list[dict[str, Any]] = json.loads(PATH.read_text(encoding="utf-8"))["vectors"]
VALID = [v for v in VECTORS if v["kind"] == "valid"]


def fields(vector: dict[str, Any]) -> dict[str, Any]:
    return {field["field"]: field["value"] for field in vector["fields"]}


def frame(vector: dict[str, Any]) -> bytes:
    return bytes.fromhex(vector["hex"])


def write(kind: int, address: str, control: int, data: bytes) -> bytes:
    return encode(Frame(kind, address, control, data))


ADDRESS = "00924040000018"
SAID = frame(next(v for v in VALID if fields(v)["address"] == ADDRESS))


def meter(address: str | int = ADDRESS, **quirks: Any) -> Device:
    return meter_with(("total", "settlement", "valve_closed", "battery_low"), address, **quirks)


def meter_with(items: tuple[str, ...], address: str | int = ADDRESS, **quirks: Any) -> Device:
    points = [DevicePoint(Point(item, ITEMS[item][1]), {"item": item}) for item in items]  # type: ignore[arg-type]
    return make_device(points, address=address, quirks=quirks)


def asked(device: Device, order: str = "1F90") -> bytes:
    driver = Cjt188Driver()
    plan = driver.plan(device)
    plan.order = "901F" if order == "901F" else "1F90"
    return driver.request(plan)


async def look(answer: bytes | None, device: Device | None = None) -> dict[str, object]:
    device = device or meter()
    driver = Cjt188Driver()
    plan = driver.plan(device)
    line = FakeChannel([(asked(device), answer), (asked(device, "901F"), answer)])
    block = await driver.read(line, device, plan)
    return {r.point: r.value for r in readings(block, device.table)}


async def test_a_meter_tells_its_volumes() -> None:
    # Status 0023: the maker's byte is second, valve and battery are in the first.
    assert await look(b"\xfe\xfe" + SAID) == {
        "total": 0.29, "settlement": 0.29, "valve_closed": False, "battery_low": False,
    }  # fmt: skip


async def test_the_identifier_goes_out_as_the_meter_wants_it() -> None:
    driver, device = Cjt188Driver(), meter()
    plan = driver.plan(device)
    # Silent to the one order, it answers the other, and is asked so from then on.
    line = FakeChannel(
        [(asked(device), None), (asked(device, "901F"), SAID), (asked(device, "901F"), SAID),
         (asked(device, "901F"), None), (asked(device, "901F"), SAID)]
    )  # fmt: skip
    for _ in range(3):
        await driver.read(line, device, plan)
    assert driver.request(driver.plan(meter(identifier="901F"))) == asked(device, "901F")


async def test_another_meter_s_answer_is_not_taken() -> None:
    with pytest.raises(ChannelTimeout):
        await look(frame(VALID[2]))


async def test_several_meters_on_one_pair_are_each_read_as_themselves() -> None:
    # Every meter hears every request; each answers its own address, one of them late.
    water = [fields(v) | {"said": frame(v)} for v in VALID]
    water = [v for v in water if (v["type"], v["control"]) == ("10", "81")]
    told = {str(v["address"]): v["said"] for v in water}
    assert len(told) > 5
    driver = Cjt188Driver()
    plans = {address: driver.plan(meter(address)) for address in told}
    assert len({driver.request(plan) for plan in plans.values()}) == len(told)
    late = b""
    for address, plan in plans.items():
        # What the one before said once more stands before the answer that was asked for.
        line = FakeChannel([(driver.request(plan), late + b"\xfe\xfe" + told[address])])
        device = meter(address)
        block = await driver.read(line, device, plan)
        alone = await look(told[address], device)
        assert {r.point: r.value for r in readings(block, device.table)} == alone
        late = told[address]


async def test_silence_damage_and_refusal_are_three_things() -> None:
    with pytest.raises(ChannelTimeout):
        await look(None)
    spoilt = SAID[:14] + bytes([SAID[14] ^ 1]) + SAID[15:]
    with pytest.raises(ProtocolError):
        await look(spoilt)
    refusal = write(0x10, ADDRESS, 0xC1, bytes.fromhex("070102"))
    with pytest.raises(DeviceRefused):
        await look(refusal)


@pytest.mark.parametrize(
    "device",
    [
        meter("123456789012345"),
        meter("meter"),
        meter(meter_type=999),
        meter(identifier="F901"),
        meter(line="fast"),
        meter(wake=99),
        meter(utc_offset_h=99),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_asked(device: Device) -> None:
    with pytest.raises(ProfileError):
        Cjt188Driver().plan(device)


HEAT_UNIT_FIRST = frame(next(v for v in VALID if fields(v).get("layout") == "unit_first"))
HEAT = frame(next(v for v in VALID if v["name"] == "T25_C81_1912_0fab"))


async def test_a_heat_meter_is_told_in_one_unit_whatever_its_display_says() -> None:
    items = ("heat", "volume", "flow", "supply_temperature", "return_temperature", "hours", "clock")
    found = await look(HEAT, meter_with(items, "00312718241912", meter_type=0x25))
    assert found == {
        "heat": 54427.88, "volume": 7156.08, "flow": 0.0, "supply_temperature": 26.79,
        "return_temperature": 26.64, "hours": 74766.0, "clock": "2025-09-03T17:52:11",
    }  # fmt: skip
    found = await look(HEAT_UNIT_FIRST, meter_with(items, "42590008210438", meter_type=0x20))
    assert (found["heat"], found["volume"], found["hours"]) == (5328.19, 1833.42, 2761.0)


async def test_giga_joules_are_told_in_kilowatt_hours() -> None:
    raw = bytearray(HEAT[11:-2])
    raw[8:13] = bytes.fromhex("0036000011")  # 36.00 GJ
    said = write(0x25, "00312718241912", 0x81, bytes(raw))
    assert await look(said, meter_with(("heat",), "00312718241912", meter_type=0x25)) == {
        "heat": 10000.0
    }


async def test_our_own_request_heard_again_is_no_answer() -> None:
    device = meter()
    assert await look(asked(device) + SAID) == await look(SAID)
    with pytest.raises(ChannelTimeout):
        await look(asked(device))


async def test_a_meter_s_clock_goes_up_in_its_own_zone() -> None:
    device = meter_with(("heat",), "00312718241912", meter_type=0x25)
    driver = Cjt188Driver()
    block = await driver.read(FakeChannel([(asked(device), HEAT)]), device, driver.plan(device))
    assert block.device_time_us == 1_756_893_131_000_000  # 2025-09-03 09:52:11 UTC


@pytest.mark.parametrize(("closed", "byte"), [(True, "99"), (False, "55")])
async def test_a_valve_is_moved_and_tells_its_state(closed: bool, byte: str) -> None:
    device = meter()
    command = encode(Frame(0x10, ADDRESS, 0x04, bytes.fromhex(f"17A000{byte}"), 4))
    answer = write(0x10, ADDRESS, 0x84, bytes.fromhex(f"17A000{'01' if closed else '00'}00"))
    line = FakeChannel([(asked(device), SAID), (command, answer)])
    assert await Cjt188Driver().write(line, device, "valve_closed", closed) is closed
    assert len(line.sent) == 2


async def test_a_valve_that_will_not_or_says_nothing_is_not_asked_twice() -> None:
    device = meter()
    command = encode(Frame(0x10, ADDRESS, 0x04, bytes.fromhex("17A00099"), 4))
    line = FakeChannel([(asked(device), SAID), (command, None)])
    with pytest.raises(ChannelTimeout):
        await Cjt188Driver().write(line, device, "valve_closed", True)
    assert line.sent.count(command) == 1
    refusal = write(0x10, ADDRESS, 0xC4, bytes.fromhex("000102"))
    line = FakeChannel([(asked(device), SAID), (command, refusal)])
    with pytest.raises(DeviceRefused):
        await Cjt188Driver().write(line, device, "valve_closed", True)
    # It took the order without a state, and will not be read now: nobody knows whether it turns.
    taken = write(0x10, ADDRESS, 0x84, bytes.fromhex("17A000"))
    no = write(0x10, ADDRESS, 0xC1, bytes.fromhex("000102"))
    line = FakeChannel([(asked(device), SAID), (command, taken), (asked(device), no)])
    with pytest.raises(ProtocolError):
        await Cjt188Driver().write(line, device, "valve_closed", True)
    with pytest.raises(DeviceRefused, match="total"):
        await Cjt188Driver().write(FakeChannel(), device, "total", 1.0)
